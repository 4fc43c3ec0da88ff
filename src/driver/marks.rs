//! Marks in the order of queueing, for those who wait until all that was queued before has ended.

use std::collections::VecDeque;

/// What was queued before a mark and behind the one before it.
#[derive(Debug)]
struct Mark {
    /// The serial number of the last message before it.
    last: u64,
    /// How many of its messages have not ended.
    open: u64,
    /// One of them was not sent because the connection has ended.
    lost: bool,
}

/// Whether a mark is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// A message before it is still queued.
    NotYet,
    /// All before it have ended.
    Yes,
    /// The connection ended before all of them could be sent.
    Lost,
}

/// Marks that are not passed yet. They are known by how many were set.
#[derive(Debug, Default)]
pub(super) struct Marks {
    ahead: VecDeque<Mark>,
    /// How many were passed.
    passed: u64,
    /// The first one that was lost.
    lost: Option<u64>,
    /// A message was lost that is behind all marks.
    loses: bool,
    /// The sum of what is open before the marks.
    open: u64,
}

impl Marks {
    /// Sets a mark behind the message `last`, when `queued` messages have not ended. Gives its number.
    pub(super) fn set(&mut self, last: u64, queued: u64) -> u64 {
        let is_new = self.ahead.back().is_none_or(|mark| mark.last != last);
        if queued > 0 && is_new {
            let open = queued.saturating_sub(self.open);
            self.open += open;
            self.ahead.push_back(Mark { last, open, lost: core::mem::take(&mut self.loses) });
        } else if queued == 0 && core::mem::take(&mut self.loses) {
            self.passed += 1;
            self.lost.get_or_insert(self.passed);
        }
        self.passed + self.ahead.len() as u64
    }

    /// A message has ended. Returns whether a mark was passed by that.
    pub(super) fn end(&mut self, serial: u64, lost: bool) -> bool {
        let at = self.ahead.partition_point(|mark| mark.last < serial);
        if let Some(mark) = self.ahead.get_mut(at) {
            mark.open = mark.open.saturating_sub(1);
            mark.lost |= lost;
            self.open = self.open.saturating_sub(1);
        } else {
            self.loses |= lost;
        }
        let before = self.passed;
        while let Some(&Mark { open: 0, lost, .. }) = self.ahead.front() {
            self.ahead.pop_front();
            self.passed += 1;
            if lost {
                self.lost.get_or_insert(self.passed);
            }
        }
        self.passed > before
    }

    /// Whether the mark of this number is passed.
    pub(super) fn passed(&self, number: u64) -> Passed {
        if number > self.passed {
            Passed::NotYet
        } else if self.lost.is_some_and(|lost| lost <= number) {
            Passed::Lost
        } else {
            Passed::Yes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_passed_when_all_before_it_have_ended_in_whatever_order() {
        let mut marks = Marks::default();
        let empty = marks.set(0, 0);
        assert_eq!(marks.passed(empty), Passed::Yes);
        let first = marks.set(3, 3);
        assert_eq!(marks.set(3, 3), first, "nothing has come in between");
        let second = marks.set(5, 5);
        assert!(!marks.end(4, false) && !marks.end(6, false) && !marks.end(1, false) && !marks.end(5, false));
        assert_eq!([marks.passed(first), marks.passed(second)], [Passed::NotYet; 2]);
        assert!(!marks.end(3, false));
        assert!(marks.end(2, false));
        assert_eq!([marks.passed(first), marks.passed(second)], [Passed::Yes; 2]);
        assert_eq!(marks.set(9, 0), second);
    }

    #[test]
    fn what_was_lost_before_any_mark_is_lost_for_those_that_are_set_later() {
        let mut marks = Marks::default();
        let empty = marks.set(0, 0);
        marks.end(1, false);
        marks.end(2, true);
        let behind = marks.set(4, 2);
        marks.end(3, false);
        marks.end(4, false);
        assert_eq!([empty, behind].map(|mark| marks.passed(mark)), [Passed::Yes, Passed::Lost]);
        // Also when nothing is queued any more.
        let mut marks = Marks::default();
        let empty = marks.set(0, 0);
        marks.end(1, true);
        let behind = marks.set(1, 0);
        assert_eq!(
            [empty, behind, marks.set(1, 0)].map(|mark| marks.passed(mark)),
            [Passed::Yes, Passed::Lost, Passed::Lost]
        );
    }

    #[test]
    fn what_was_lost_is_lost_for_its_mark_and_those_behind_it() {
        let mut marks = Marks::default();
        let first = marks.set(1, 1);
        let second = marks.set(2, 2);
        let third = marks.set(3, 3);
        for (serial, lost) in [(1, false), (2, true), (3, false)] {
            marks.end(serial, lost);
        }
        assert_eq!(
            [first, second, third].map(|mark| marks.passed(mark)),
            [Passed::Yes, Passed::Lost, Passed::Lost]
        );
    }
}
