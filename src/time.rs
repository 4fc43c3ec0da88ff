//! Moments on a driver's own clock. Only drivers and transports hold a [`Clock`]; the core gets
//! every moment as an argument, so that tests run in virtual time.

use core::num::NonZeroU64;
#[cfg(not(feature = "js"))]
pub(crate) use core::time::Duration;

/// A span of time in microseconds: all that the npm build asks of one, which seconds and nanoseconds would be converted
/// from.
#[cfg(feature = "js")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "v1", derive(Default, PartialOrd, Ord))]
pub struct Duration(u64);

#[cfg(feature = "js")]
impl Duration {
    /// No time.
    #[cfg(feature = "v1")]
    pub const ZERO: Self = Self(0);

    /// So many microseconds.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// So many milliseconds; the longest span if that is beyond it.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// So many seconds; likewise.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// How many whole milliseconds.
    #[cfg(feature = "v1")]
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }
}

/// A moment, in microseconds since the zero of the [`Clock`] that gave it.
///
/// Timestamps of two clocks are not comparable. 64 bits of microseconds last 584,000 years; the largest is
/// `u64::MAX - 1`.
// One more than there are microseconds, so that `Option<Timestamp>` is one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Default for Timestamp {
    /// The zero of the clock.
    fn default() -> Self {
        Self::ZERO
    }
}

impl Timestamp {
    /// The zero of the clock.
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// The moment `micros` microseconds after the clock's zero.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(micros))
    }

    /// Microseconds since the clock's zero.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0.get() - 1
    }

    /// The moment `after` later; the largest timestamp if that is beyond it.
    #[must_use]
    // Inlined into a dozen places it would be 40 B of brotli more in the npm build.
    #[inline(never)]
    pub fn saturating_add(self, after: Duration) -> Self {
        #[cfg(feature = "js")]
        let micros = after.0;
        // In 64 bits: `Duration::as_micros` has 128, whose arithmetic is code of its own on wasm32.
        #[cfg(not(feature = "js"))]
        let micros = after.as_secs().min(u64::MAX / 2_000_000) * 1_000_000 + u64::from(after.subsec_micros());
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this moment; 0 if it is before.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }

    /// How long after `earlier` this moment is; zero if it is before (a clock that jumped back).
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros_since(earlier))
    }
}

/// Where drivers take the time from.
pub trait Clock {
    /// The present moment. Never goes back.
    fn now(&self) -> Timestamp;
}

/// Wakes tasks at moments of the clock it belongs to: what the in-memory transport needs beside
/// the time itself.
pub trait Alarm: Clock {
    /// Calls `waker` once `due` has come.
    fn wake_at(&self, due: Timestamp, waker: &core::task::Waker);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let late = Timestamp::from_micros(u64::MAX - 1);
        assert_eq!(late.saturating_add(Duration::from_secs(1)), late);
        assert_eq!(Timestamp::from_micros(u64::MAX), late);
        // Half of what 64 bits hold, 292,000 years: beyond every deadline.
        assert!(Timestamp::ZERO.saturating_add(Duration::MAX).as_micros() > u64::MAX / 2 - 1_000_000);
        assert_eq!(late.saturating_add(Duration::MAX), late);
        assert_eq!(Timestamp::ZERO.saturating_since(late), Duration::ZERO);
        assert_eq!(late.saturating_since(Timestamp::from_micros(u64::MAX - 3)), Duration::from_micros(2));
    }
}
