//! When a peer has been silent for so long that it is asked, and when it is taken for gone.
//!
//! Not here: a clock, a timer, and the ping itself.

use core::time::Duration;

use crate::time::Timestamp;

/// Watches for signs of life. Any will do: what matters is that somebody is there.
///
/// The timer is moved only when it is due, not with every sign: a sign costs one assignment.
#[derive(Debug)]
pub(super) struct Silence {
    /// How long silence may last before a ping, and again after it.
    after: Duration,
    /// The last sign of life.
    heard: Timestamp,
    /// When to look again.
    due: Timestamp,
    /// A ping has been sent since the last sign of life.
    asked: bool,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Wait,
    /// Send a ping.
    Ask,
    /// Nobody has answered.
    Gone,
}

/// By how much a timer may be late without the machine having slept: one that is busy, or too coarse for
/// a very short time.
const LATENESS: Duration = Duration::from_secs(1);

impl Silence {
    pub(super) fn new(after: Duration, now: Timestamp) -> Self {
        Self { after, heard: now, due: now.saturating_add(after), asked: false }
    }

    /// When [`look`](Self::look) wants to be called.
    pub(super) const fn due(&self) -> Timestamp {
        self.due
    }

    /// How long silence may last.
    pub(super) const fn after(&self) -> Duration {
        self.after
    }

    /// There was a sign of life.
    pub(super) fn heard(&mut self, now: Timestamp) {
        self.heard = now;
        self.asked = false;
    }

    /// Looks at the time. Nobody is taken for gone who had less than the whole time to answer, also if the
    /// machine has slept meanwhile, before the ping or after it.
    pub(super) fn look(&mut self, now: Timestamp) -> Verdict {
        if now < self.due {
            return Verdict::Wait;
        }
        let silent_at = self.heard.saturating_add(self.after);
        if now < silent_at {
            self.due = silent_at;
            return Verdict::Wait;
        }
        // Looked at so late, this side has slept: an answer may have been lost, or not be read yet.
        let has_slept = now.saturating_since(self.due) > (self.after / 2).max(LATENESS);
        if self.asked && !has_slept {
            return Verdict::Gone;
        }
        self.asked = true;
        self.due = now.saturating_add(self.after);
        Verdict::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn silence_is_asked_after_its_time_and_gone_after_it_once_more() {
        let mut silence = Silence::new(Duration::from_secs(20), at(5));
        assert_eq!((silence.due(), silence.look(at(24))), (at(25), Verdict::Wait));
        assert_eq!((silence.look(at(25)), silence.due()), (Verdict::Ask, at(45)));
        assert_eq!(silence.look(at(44)), Verdict::Wait);
        assert_eq!(silence.look(at(45)), Verdict::Gone);
    }

    #[test]
    fn every_sign_of_life_begins_anew() {
        let mut silence = Silence::new(Duration::from_secs(20), at(0));
        silence.heard(at(7));
        assert_eq!((silence.look(at(20)), silence.due()), (Verdict::Wait, at(27)));
        assert_eq!(silence.look(at(27)), Verdict::Ask);
        // The pong, or anything else.
        silence.heard(at(28));
        assert_eq!((silence.look(at(47)), silence.due()), (Verdict::Wait, at(48)));
        assert_eq!((silence.look(at(48)), silence.due()), (Verdict::Ask, at(68)));
        assert_eq!(silence.look(at(68)), Verdict::Gone);
    }

    #[test]
    fn after_a_sleep_of_the_machine_the_peer_has_its_whole_time_to_answer() {
        let mut silence = Silence::new(Duration::from_secs(20), at(0));
        assert_eq!((silence.look(at(10_000)), silence.due()), (Verdict::Ask, at(10_020)));
        silence.heard(at(10_001));
        assert_eq!((silence.look(at(10_020)), silence.due()), (Verdict::Wait, at(10_021)));
        // Between the ping and its answer.
        assert_eq!((silence.look(at(10_021)), silence.due()), (Verdict::Ask, at(10_041)));
        assert_eq!((silence.look(at(20_000)), silence.due()), (Verdict::Ask, at(20_020)));
        // A timer that is merely late.
        assert_eq!(silence.look(at(20_030)), Verdict::Gone);
        let mut short = Silence::new(Duration::ZERO, at(0));
        assert_eq!((short.look(at(0)), short.look(at(1))), (Verdict::Ask, Verdict::Gone));
        let mut for_ever = Silence::new(Duration::MAX, at(1));
        assert_eq!(for_ever.look(at(1 << 40)), Verdict::Wait);
    }
}
