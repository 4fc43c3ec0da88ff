//! What a link is like: its rate and how it changes, its delays, how much it takes.

use core::time::Duration;

use super::random::Random;
use crate::time::Timestamp;

/// One direction of a simulated connection.
///
/// It neither loses nor reorders anything: under a WebSocket lies TCP, so that the model has no need to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Bytes a second; `None` for no limit, `Some(0)` for none at all. Default no limit.
    pub bytes_per_second: Option<u64>,
    /// From the end of sending to arrival. Default 0.
    pub delay: Duration,
    /// How many bytes may be under way or unread before the sender has to wait; at least 1. Default
    /// 256 KiB. Below a simulated [`Engine`](super::Engine) it is the receiver's window, and the sender has
    /// its own buffers above.
    pub buffer_bytes: u64,
    /// Added to `delay` at random, from 0 to this; what comes later never arrives earlier. Default 0.
    pub jitter: Duration,
    /// From the end of sending to the moment when the sender's system learns that it may forget the
    /// bytes; read by an [`Engine`](super::Engine)'s connections only. Default `None`: arrival and, from
    /// there, `delay` once more. `Some(Duration::ZERO)` is a proxy beside the sender, which has the delay
    /// behind it.
    pub acknowledged_after: Option<Duration>,
    /// Changes of the rate: from its moment on the last one in the list holds whose moment has come. A
    /// stall is a step to `Some(0)` and one back. Default none.
    pub steps: Vec<RateStep>,
}

/// From when on a [`Link`] has another rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateStep {
    /// In virtual time since the network was made.
    pub at: Duration,
    /// As [`Link::bytes_per_second`].
    pub bytes_per_second: Option<u64>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            bytes_per_second: None,
            delay: Duration::ZERO,
            buffer_bytes: 256 << 10,
            jitter: Duration::ZERO,
            acknowledged_after: None,
            steps: Vec::new(),
        }
    }
}

/// A moment that does not come.
pub(crate) const NEVER: Timestamp = Timestamp::from_micros(u64::MAX);

impl Link {
    /// The rate at `now`.
    pub(crate) fn rate_at(&self, now: Timestamp) -> Option<u64> {
        let past = |step: &&RateStep| Timestamp::ZERO.saturating_add(step.at) <= now;
        self.steps.iter().rfind(past).map_or(self.bytes_per_second, |step| step.bytes_per_second)
    }

    /// When the last of `bytes` is sent, if the first is at `start`; [`NEVER`] if the link stands still for
    /// ever. No bytes at all take no time, but do not pass a link that stands still either.
    pub(crate) fn sent_at(&self, start: Timestamp, bytes: u64) -> Timestamp {
        let mut at = start;
        // In bytes times microseconds a second, so that a step takes no rounding with it.
        let mut rest = bytes.saturating_mul(1_000_000);
        loop {
            let moments = self.steps.iter().map(|step| Timestamp::ZERO.saturating_add(step.at));
            let change = moments.filter(|moment| *moment > at).min().unwrap_or(NEVER);
            let Some(rate) = self.rate_at(at) else { return at };
            let until_change = rate.saturating_mul(change.micros_since(at));
            if rest <= until_change && rate > 0 {
                return at.saturating_add(Duration::from_micros(rest.div_ceil(rate)));
            }
            if change == NEVER {
                return NEVER;
            }
            rest -= until_change;
            at = change;
        }
    }

    /// When what was sent at `sent` arrives, drawn at random.
    pub(crate) fn arrives_at(&self, sent: Timestamp, random: &mut Random) -> Timestamp {
        sent.saturating_add(self.delay).saturating_add(random.between(Duration::ZERO, self.jitter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn stepped(steps: &[(u64, Option<u64>)]) -> Link {
        let step = |&(at, bytes_per_second)| RateStep { at: Duration::from_millis(at), bytes_per_second };
        Link { bytes_per_second: Some(1_000), steps: steps.iter().map(step).collect(), ..Link::default() }
    }

    #[test]
    fn bytes_take_their_time_across_steps_and_stalls() {
        let link = stepped(&[(1_000, Some(10_000)), (2_000, Some(0)), (5_000, Some(100))]);
        assert_eq!(link.sent_at(millis(0), 0), millis(0));
        assert_eq!(link.sent_at(millis(0), 1_000), millis(1_000));
        assert_eq!(link.sent_at(millis(500), 5_500), millis(1_500));
        assert_eq!(link.sent_at(millis(0), 11_000), millis(2_000));
        assert_eq!(link.sent_at(millis(0), 11_001), millis(5_010));
        assert_eq!(link.sent_at(millis(3_000), 1), millis(5_010));
    }

    #[test]
    fn a_link_may_stand_still_for_ever_or_take_all_at_once() {
        assert_eq!(stepped(&[(0, Some(0))]).sent_at(millis(1), 1), NEVER);
        assert_eq!(stepped(&[(0, Some(0))]).sent_at(millis(1), 0), NEVER);
        assert_eq!(stepped(&[(0, Some(0)), (7, None)]).sent_at(millis(1), 0), millis(7));
        assert_eq!(stepped(&[(2_000, None)]).sent_at(millis(0), u64::MAX), millis(2_000));
        assert_eq!(Link::default().sent_at(millis(3), u64::MAX), millis(3));
    }

    #[test]
    fn of_two_steps_the_later_in_the_list_holds() {
        let link = stepped(&[(100, Some(1)), (50, Some(2))]);
        assert_eq!(link.rate_at(millis(49)), Some(1_000));
        assert_eq!(link.rate_at(millis(50)), Some(2));
        assert_eq!(link.rate_at(millis(100)), Some(2));
    }
}
