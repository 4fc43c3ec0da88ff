//! Floods: how many records that cost the peer nothing it may send.
//!
//! Counted are unsequenced records, PRIORITY, unknown records, and RESET without effect. Two pots pay for them:
//!
//! | pot | holds | is filled by | used |
//! |---|---|---|---|
//! | standing | 200 at most | 100 a second | first: what does not fit into it is lost with time |
//! | earned | [`MOST_EARNED`] at most | 2 for each sequenced record that this side sent, 1 for each PING, 1 and the open channels at each attach | behind it: kept until used |
//!
//! Either pays for everything, so using the one first that would refill never leaves fewer than another order. An
//! honest peer answers a sequenced record by an ACK and a CREDIT at most, a PING by a PONG, and an attach by
//! CHAN_LIMIT and a CREDIT for each channel; what it does on its own, PING above all, the standing pot pays.
//!
//! Not here: which records count, and the error.

use crate::time::{Duration, Timestamp};

/// How long one record takes to be refilled.
const REFILL: Duration = Duration::from_millis(10);
/// How long all 200 take.
const REFILL_ALL: Duration = Duration::from_secs(2);

/// What is earned and kept at most. An honest peer owes an ACK for each of 32,767 records, and a CREDIT for each item that
/// its application has still to take: windows of 64 MB in all hold a million of a byte each. All of it at once is
/// some megabytes of the smallest records.
pub(super) const MOST_EARNED: u32 = 1 << 20;

/// The two pots of one session. They go on through all of its connections.
#[derive(Debug)]
pub(super) struct Bucket {
    /// When the standing pot is full; in the past if it is.
    full_at: Timestamp,
    /// Invariant: `earned <= MOST_EARNED`.
    earned: u32,
}

impl Bucket {
    /// With a full standing pot, and nothing earned.
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { full_at: now, earned: 0 }
    }

    /// This side handed over a sequenced record; not again when it is replayed.
    pub(super) fn earn_sequenced(&mut self) {
        self.earn(2);
    }

    /// This side sent a PING.
    pub(super) fn earn_ping(&mut self) {
        self.earn(1);
    }

    /// The session has a connection: its first, or another one, upon which the peer repeats one grant for each channel.
    pub(super) fn handle_attached(&mut self, _now: Timestamp, open_channels: u64) {
        self.earn(u32::try_from(open_channels).unwrap_or(MOST_EARNED).saturating_add(1));
    }

    /// Pays for one record. If it says no, nothing is left: CALM_DOWN.
    #[must_use]
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let empty = now.saturating_add(REFILL_ALL);
        // Bounded from above as well, or a clock that jumps back would leave the pot empty for as long.
        self.full_at = self.full_at.max(now).min(empty);
        let full_at = self.full_at.saturating_add(REFILL);
        let is_standing = full_at <= empty;
        if is_standing {
            self.full_at = full_at;
        }
        is_standing || {
            let is_earned = self.earned > 0;
            self.earned = self.earned.saturating_sub(1);
            is_earned
        }
    }

    fn earn(&mut self, records: u32) {
        self.earned = self.earned.saturating_add(records).min(MOST_EARNED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    /// How many records are paid for at one moment.
    fn flood(bucket: &mut Bucket, now: Timestamp) -> u32 {
        (0..2 * MOST_EARNED).take_while(|_| bucket.take(now)).count().try_into().unwrap_or(u32::MAX)
    }

    #[test]
    fn a_flood_is_cut_after_200_and_what_was_earned() {
        for (sequenced, pings, channels) in [(0, 0, 0), (1, 0, 0), (7, 3, 0), (1000, 0, 16), (0, 1, 128)] {
            let mut bucket = Bucket::new(at(5));
            for _ in 0..sequenced {
                bucket.earn_sequenced();
            }
            for _ in 0..pings {
                bucket.earn_ping();
            }
            bucket.handle_attached(at(5), u64::from(channels));
            let paid = flood(&mut bucket, at(5));
            assert_eq!(paid, 200 + 2 * sequenced + pings + 1 + channels);
            assert!(!bucket.take(at(5)));
        }
    }

    #[test]
    fn a_hundred_are_refilled_in_a_second_up_to_two_hundred() {
        let table =
            [(9, 0), (10, 1), (19, 1), (1000, 100), (1999, 199), (2000, 200), (2001, 200), (9_000_000, 200)];
        for (wait, refilled) in table {
            let mut bucket = Bucket::new(at(0));
            assert_eq!(flood(&mut bucket, at(0)), 200);
            assert_eq!(flood(&mut bucket, at(wait)), refilled, "after {wait} ms");
        }
        // In whatever steps one looks.
        let mut bucket = Bucket::new(at(0));
        let in_ten_seconds: u32 = (0..=10_000).map(|millis| flood(&mut bucket, at(millis))).sum();
        assert_eq!(in_ten_seconds, 200 + 1000);
    }

    #[test]
    fn what_was_earned_stays_and_what_would_be_lost_with_time_goes_first() {
        let mut bucket = Bucket::new(at(0));
        bucket.earn_sequenced();
        assert!((0..200).all(|_| bucket.take(at(0))));
        assert_eq!(flood(&mut bucket, at(2000)), 202);
        bucket.earn_sequenced();
        assert_eq!(flood(&mut bucket, at(3_600_000)), 202);
    }

    #[test]
    fn what_is_earned_has_a_bound() {
        let mut bucket = Bucket::new(at(0));
        (0..MOST_EARNED).for_each(|_| bucket.earn_sequenced());
        bucket.handle_attached(at(0), u64::MAX);
        assert_eq!(flood(&mut bucket, at(0)), 200 + MOST_EARNED);
    }

    #[test]
    fn a_clock_that_jumps_costs_two_seconds_at_most() {
        let mut bucket = Bucket::new(at(3_600_000));
        assert_eq!(flood(&mut bucket, at(3_600_000)), 200);
        assert_eq!(flood(&mut bucket, at(0)), 0);
        assert!((1..=500).all(|n| bucket.take(at(n * 10))), "one in 10 ms is what it refills");
    }

    #[test]
    fn who_only_answers_never_runs_out() {
        for seed in 0..200_u64 {
            let mut random = seed;
            let mut below = |bound: u64| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % bound
            };
            let mut bucket = Bucket::new(at(0));
            let (mut owed, mut now, mut spent) = (0, 0, 0);
            for step in 0..2_000 {
                now += below(3);
                match below(40) {
                    0 => {
                        let channels = below(200);
                        bucket.handle_attached(at(now), channels);
                        owed += 1 + channels;
                    }
                    1..=4 => {
                        bucket.earn_ping();
                        owed += 1;
                    }
                    5..=24 => {
                        for _ in 0..below(50) {
                            bucket.earn_sequenced();
                            owed += 2;
                        }
                    }
                    // All at once, late, or some of it.
                    _ => {
                        let answers = below(owed + 1);
                        owed -= answers;
                        spent += answers;
                        assert!((0..answers).all(|_| bucket.take(at(now))), "seed {seed}, step {step}");
                    }
                }
            }
            assert!(spent > 10_000, "seed {seed}");
            let left = flood(&mut bucket, at(now));
            assert!(u64::from(left) <= owed + spent.min(200 + now / 10) + 200, "seed {seed}: {left}");
        }
    }
}
