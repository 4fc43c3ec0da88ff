//! The log: what was handed over and is not acknowledged, for another connection.
//!
//! It keeps parts and not copies: the head of a record as it was encoded, and the range of a *source* for its content.
//! A source is the content of an item, or of a piece of a Blob; it is let go of when no record needs it.
//!
//! Not here: when to send again, how much may be in it.

use super::budget::Stamp;
use crate::proto::Done;
use crate::proto::payload::{Payload, Slot};
use crate::slab::{Ascending, Slab};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

/// Most numbers that may be unacknowledged: half of what 16 bits tell apart, less one.
pub(super) const MAX_UNACKNOWLEDGED: u64 = 32_767;

/// By what a source is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourceKey(u32);

/// Contents in use.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: Slab<(Payload, u32)>,
}

impl Sources {
    /// Keeps a content, which has one user.
    pub(super) fn insert(&mut self, payload: Payload) -> SourceKey {
        SourceKey(self.sources.insert((payload, 1)))
    }

    /// One more user.
    pub(super) fn hold(&mut self, key: SourceKey) {
        if let Some((_, users)) = self.sources.get_mut(key.0) {
            *users += 1;
        }
    }

    /// One user less; the slot that nobody needs any more, if there is one.
    pub(super) fn release(&mut self, key: SourceKey) -> Option<Slot> {
        let (_, users) = self.sources.get_mut(key.0)?;
        *users -= 1;
        if *users > 0 {
            return None;
        }
        self.sources.remove(key.0).and_then(|(payload, _)| payload.slot())
    }

    /// The content.
    pub(super) fn get(&self, key: SourceKey) -> Option<&Payload> {
        self.sources.get(key.0).map(|(payload, _)| payload)
    }
}

/// What comes to its end with a record.
#[derive(Debug)]
pub(super) enum Ends {
    /// An item, but for its outcome.
    Item(Done),
    /// What this side sends on a channel, by the tag under which somebody waits for it.
    Channel(u64),
}

/// One record.
#[derive(Debug)]
pub(super) struct Entry {
    /// Of the whole record, as it goes over the wire.
    pub(super) bytes: u64,
    /// Its beginning, or all of it.
    pub(super) head: Vec<u8>,
    /// The rest.
    pub(super) content: Option<(SourceKey, Range<u64>)>,
    /// When it was last handed over.
    pub(super) stamp: Option<Stamp>,
    /// Whose last record it is.
    pub(super) ends: Option<Ends>,
    /// The channel of that, by its number.
    pub(super) channel: u64,
    /// The record before it that came with ends on the same channel, 0 if there was none. For the log.
    pub(super) before: u64,
}

/// See the module's page. Numbers begin with 1.
#[derive(Debug)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The highest number that the peer has acknowledged.
    acknowledged: u64,
    /// The highest number that this connection was given.
    sent: u64,
    /// Sum of the sizes of all records in it.
    bytes: u64,
    /// Whether contents are kept: no connection will ever follow otherwise.
    keeps: bool,
    /// By channel, the last record that came with ends on it: the peer may ask for them as often as it wants, and mostly in vain.
    ends: Ascending<u64>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            acknowledged: 0,
            sent: 0,
            bytes: 0,
            keeps: true,
            ends: Ascending::default(),
        }
    }

    /// The number of the next new record.
    pub(super) fn next(&self) -> u64 {
        self.acknowledged + self.entries.len() as u64 + 1
    }

    /// The first number in it; the next one if it is empty.
    pub(super) fn oldest(&self) -> u64 {
        self.acknowledged + 1
    }

    /// The highest number that this connection was given.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }

    /// Whether so many more records, of `bytes` together, may be handed over.
    pub(super) fn has_room(&self, records: u64, bytes: u64, limit: u64) -> bool {
        self.entries.len() as u64 + records <= MAX_UNACKNOWLEDGED && self.bytes + bytes <= limit
    }

    /// A new record, which is given to the connection now. Its number is [`next`](Self::next) of before.
    pub(super) fn push(&mut self, mut entry: Entry) {
        self.bytes += entry.bytes;
        if entry.ends.is_some() {
            entry.before = self.ends.get(entry.channel).copied().unwrap_or(0);
            self.ends.insert(entry.channel, self.next());
        }
        self.entries.push_back(entry);
        self.sent = self.next() - 1;
    }

    /// The record that is to be given to this connection again, if one is.
    pub(super) fn unsent(&mut self) -> Option<&mut Entry> {
        self.entry(self.sent + 1)
    }

    fn entry(&mut self, number: u64) -> Option<&mut Entry> {
        let at = usize::try_from(number.checked_sub(self.acknowledged + 1)?).ok()?;
        self.entries.get_mut(at)
    }

    /// It was given.
    pub(super) fn note_sent(&mut self) {
        self.sent += 1;
    }

    /// Another connection has begun, and the peer has everything up to what is acknowledged.
    pub(super) fn restart(&mut self) {
        self.sent = self.acknowledged;
    }

    /// When the record `number` was handed over.
    pub(super) fn stamp(&self, number: u64) -> Option<Stamp> {
        let at = usize::try_from(number.checked_sub(self.acknowledged + 1)?).ok()?;
        self.entries.get(at).and_then(|entry| entry.stamp)
    }

    /// Takes out the oldest record if the peer has everything up to `number`.
    pub(super) fn acknowledge(&mut self, number: u64) -> Option<Entry> {
        if self.acknowledged >= number {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.acknowledged += 1;
        self.sent = self.sent.max(self.acknowledged);
        self.bytes -= entry.bytes;
        if self.ends.get(entry.channel) == Some(&self.acknowledged) {
            self.ends.remove(entry.channel);
        }
        Some(entry)
    }

    /// Takes the ends of what belongs to a channel, the oldest first.
    pub(super) fn take_ends(&mut self, channel: u64) -> Vec<Ends> {
        let mut number = self.ends.remove(channel).unwrap_or(0);
        let mut ends = Vec::new();
        while let Some(entry) = self.entry(number) {
            #[cfg(test)]
            crate::slab::steps::add(1);
            number = entry.before;
            ends.extend(entry.ends.take());
        }
        ends.reverse();
        ends
    }

    /// The channels of which something ends in it, from one number on.
    pub(super) fn ending_from(&self, channel: u64) -> impl Iterator<Item = u64> + '_ {
        self.ends.iter_from(channel).map(|(channel, _)| channel)
    }

    /// Takes out the oldest record, since none will be needed any more.
    pub(super) fn give_up(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.bytes;
        self.ends = Ascending::default();
        Some(entry)
    }

    /// No connection will follow this one: contents are not needed. Gives those that were kept, one by one.
    pub(super) fn forget_content(&mut self) -> Vec<SourceKey> {
        self.keeps = false;
        let mut sources = Vec::new();
        for entry in &mut self.entries {
            entry.head = Vec::new();
            sources.extend(entry.content.take().map(|(source, _)| source));
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::steps;

    fn entry(bytes: u64) -> Entry {
        Entry { bytes, head: Vec::new(), content: None, stamp: None, ends: None, channel: 0, before: 0 }
    }

    /// The last record of `channel`, whoever waits for it under `tag`.
    fn end(channel: u64, tag: u64) -> Entry {
        Entry { ends: Some(Ends::Channel(tag)), channel, ..entry(1) }
    }

    fn tags(ends: &[Ends]) -> Vec<u64> {
        let tags = ends.iter().map(|ends| if let Ends::Channel(tag) = ends { *tag } else { u64::MAX });
        tags.collect()
    }

    #[test]
    fn ends_are_taken_by_channel_in_their_order_and_each_is_looked_at_once() {
        let mut log = Log::new();
        for n in 0..9_000 {
            log.push(if n % 3 == 0 { entry(1) } else { end(n % 5, n) });
        }
        assert!(log.acknowledge(9_000).is_some_and(|first| first.ends.is_none()));
        assert!(log.acknowledge(9_000).is_some_and(|second| second.ends.is_some()));
        // One that was acknowledged ends there, and in no other way.
        let expected: Vec<u64> = (2..9_000).filter(|n| n % 3 != 0 && n % 5 == 1).collect();
        let mut taken = Vec::new();
        let steps = steps::of(|| taken = log.take_ends(1));
        assert_eq!(tags(&taken), expected);
        assert!(steps <= expected.len() + 4, "{steps}");
        // Those that are not there any more are not looked for.
        let steps = steps::of(|| (0..1_000).for_each(|_| assert!(log.take_ends(1).is_empty())));
        assert!(steps <= 4_000, "{steps}");
        assert_eq!(log.ending_from(2).collect::<Vec<_>>(), [2, 3, 4]);
        log.push(end(1, 9_000));
        assert_eq!(tags(&log.take_ends(1)), [9_000]);
        log.push(end(7, 9_001));
        while log.acknowledge(9_002).is_some() {}
        assert!(log.is_empty() && log.ends.len() == 0);
    }

    #[test]
    fn a_log_that_is_full_takes_nothing_before_something_is_acknowledged() {
        let mut log = Log::new();
        assert!(log.has_room(1, 100, 100) && !log.has_room(1, 101, 100));
        log.push(entry(60));
        assert!(log.has_room(1, 40, 100) && !log.has_room(1, 41, 100));
        assert_eq!((log.acknowledge(0).is_some(), log.bytes()), (false, 60));
        assert_eq!((log.acknowledge(1).is_some(), log.bytes()), (true, 0));
        assert!(log.has_room(1, 100, 100));
    }

    #[test]
    fn sixteen_bits_tell_apart_all_that_is_not_acknowledged() {
        let mut log = Log::new();
        for _ in 0..MAX_UNACKNOWLEDGED {
            assert!(log.has_room(1, 1, u64::MAX));
            log.push(entry(1));
        }
        assert!(!log.has_room(1, 1, u64::MAX));
        assert_eq!((log.oldest(), log.next(), log.sent()), (1, 32_768, 32_767));
        assert!(log.acknowledge(1).is_some());
        assert!(log.has_room(1, 1, u64::MAX) && !log.has_room(2, 2, u64::MAX));
    }
}
