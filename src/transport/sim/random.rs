//! Chance with a seed: the same seed gives the same numbers on every platform.

use core::time::Duration;

/// SplitMix64: no state to warm up, no dependency, good enough to spread delays.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From `from` to `to`, both included, all equally likely; `from` if it is not below `to`. Whole
    /// microseconds.
    pub(crate) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = u64::try_from(to.saturating_sub(from).as_micros()).unwrap_or(u64::MAX);
        if span == 0 {
            return from;
        }
        // The remainder favours small numbers by less than one in 2^20 for spans below 200 days.
        from.saturating_add(Duration::from_micros(self.bits() % span.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            [random.bits(), random.bits(), random.bits()]
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
    }

    #[test]
    fn durations_stay_within_their_bounds_and_reach_both() {
        let mut random = Random::new(1);
        let micros = Duration::from_micros;
        let mut seen = [false; 4];
        for _ in 0..200 {
            let duration = random.between(micros(3), micros(6));
            assert!((3..=6).contains(&duration.as_micros()));
            seen[usize::try_from(duration.as_micros() - 3).unwrap()] = true;
        }
        assert_eq!(seen, [true; 4]);
        assert_eq!(random.between(micros(9), micros(2)), micros(9));
        assert!(random.between(Duration::ZERO, Duration::MAX) <= Duration::MAX);
    }
}
