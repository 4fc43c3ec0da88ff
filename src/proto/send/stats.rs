//! What became of messages, in numbers.

use super::priority::Priority;
use crate::proto::outcome::Amount;
#[cfg(not(feature = "js"))]
use crate::proto::{Done, Outcome};

/// How long messages have waited in the queue, in 32 classes of time, each twice as wide as the one before.
///
/// The first counts those that have not waited, or for less than a microsecond; class `i` those from
/// 2^(i-1) to 2^i microseconds; the last all from 2^30 (18 minutes) on. Percentiles are for who shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits([u32; 32]);

impl Waits {
    /// How many messages there are in each class of time.
    #[must_use]
    pub const fn counts(&self) -> &[u32; 32] {
        &self.0
    }

    fn record(&mut self, micros: u64) {
        let class = (u64::BITS - micros.leading_zeros()) as usize;
        if let Some(count) = self.0.get_mut(class.min(31)) {
            *count = count.saturating_add(1);
        }
    }
}

/// What became of the messages of one priority, since the connection was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClassStats {
    /// Queued now.
    pub queued: Amount,
    /// Given to the transport.
    pub handed_over: Amount,
    /// Dropped because their deadline had passed.
    pub expired: Amount,
    /// Dropped for a newer value of their key.
    pub superseded: Amount,
    /// Taken back.
    pub cancelled: Amount,
    /// How long those that were given to the transport had been queued.
    pub waits: Waits,
}

impl ClassStats {
    /// A message was queued.
    pub fn enter(&mut self, bytes: u64) {
        self.queued.add(bytes);
    }

    /// It has ended.
    #[cfg(not(feature = "js"))]
    pub fn leave(&mut self, done: &Done) {
        self.queued.messages = self.queued.messages.saturating_sub(1);
        self.queued.bytes = self.queued.bytes.saturating_sub(done.bytes);
        let ended = match done.outcome {
            Outcome::HandedOver => {
                self.waits.record(done.waited_micros);
                &mut self.handed_over
            }
            #[cfg(feature = "v1")]
            Outcome::Delivered => {
                self.waits.record(done.waited_micros);
                &mut self.handed_over
            }
            #[cfg(feature = "v1")]
            Outcome::TooBig => return,
            Outcome::Expired => &mut self.expired,
            Outcome::Superseded => &mut self.superseded,
            Outcome::Cancelled => &mut self.cancelled,
            // The final word counts these.
            Outcome::Unsent | Outcome::Unknown | Outcome::Unreadable => return,
        };
        ended.add(done.bytes);
    }
}

/// What stands in the transport's own buffer, and what may: see [`Stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// [`Stats::buffered_amount`].
    pub buffered_amount: u64,
    /// [`Stats::budget_bytes`].
    pub budget_bytes: u64,
    /// [`Stats::bytes_per_second`].
    pub bytes_per_second: u64,
}

/// Numbers of one connection: see each field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    classes: [ClassStats; Priority::ALL.len()],
    /// What stands in the browser's own buffer, in bytes: as it was seen last, and what it was given since; it is
    /// looked at only when a message has to wait. What is under way instead, if the server acknowledges
    /// ([`Sender::acknowledged`](crate::Sender::acknowledged)) and that is less. 0 on the host otherwise.
    pub buffered_amount: u64,
    /// What may stand there, or be under way; 0 on the host, unless the server acknowledges.
    pub budget_bytes: u64,
    /// What has left it in a second, over the last quarter of a second or more in which messages had to wait; 0 if
    /// none had. If the server acknowledges, the fastest that it has received of late, over the time of one message
    /// there and back: more than the link's rate where answers come in lumps.
    pub bytes_per_second: u64,
    /// Received, and not taken by the application.
    pub received: Amount,
}

impl Stats {
    /// The messages of one priority.
    #[must_use]
    pub fn class(&self, priority: Priority) -> &ClassStats {
        let [urgent, normal, bulk, background] = &self.classes;
        match priority {
            Priority::Urgent => urgent,
            Priority::Normal => normal,
            Priority::Bulk => bulk,
            Priority::Background => background,
        }
    }

    /// Notes what stands in the transport's buffer.
    pub fn set_gauges(&mut self, gauges: Gauges) {
        let Gauges { buffered_amount, budget_bytes, bytes_per_second } = gauges;
        self.buffered_amount = buffered_amount;
        self.budget_bytes = budget_bytes;
        self.bytes_per_second = bytes_per_second;
    }

    /// As [`class`](Self::class), to count.
    pub fn class_mut(&mut self, priority: Priority) -> &mut ClassStats {
        let [urgent, normal, bulk, background] = &mut self.classes;
        match priority {
            Priority::Urgent => urgent,
            Priority::Normal => normal,
            Priority::Bulk => bulk,
            Priority::Background => background,
        }
    }

    /// Queued in all.
    #[must_use]
    pub fn queued(&self) -> Amount {
        let add = |sum: Amount, class: &ClassStats| Amount {
            messages: sum.messages + class.queued.messages,
            bytes: sum.bytes.saturating_add(class.queued.bytes),
        };
        self.classes.iter().fold(Amount::default(), add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_counted_by_powers_of_two() {
        let mut waits = Waits::default();
        for micros in [0, 1, 2, 3, 4, (1 << 30) - 1, 1 << 30, 1 << 31, u64::MAX] {
            waits.record(micros);
        }
        let counts = waits.counts();
        assert_eq!((counts[..4].to_vec(), counts[30], counts[31]), (vec![1, 1, 2, 1], 1, 3));
    }
}
