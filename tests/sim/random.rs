//! Chance with a seed.

use core::time::Duration;

/// SplitMix64, as the simulator's own.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The numbers of a seed. `what` keeps those of different kinds of runs apart.
    pub(crate) fn new(what: u64, seed: u64) -> Self {
        let mut random = Self(seed);
        random.0 = random.bits() ^ what;
        random
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// From `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.bits() % (to - from + 1)
    }

    /// Whether something happens that does so once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.bits().is_multiple_of(times)
    }

    pub(crate) fn of<T: Clone>(&mut self, all: &[T]) -> T {
        let at = self.between(0, all.len() as u64 - 1);
        all[usize::try_from(at).expect("a place in a slice")].clone()
    }

    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.between(from * 1_000, to * 1_000))
    }
}
