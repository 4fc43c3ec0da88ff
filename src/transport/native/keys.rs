//! Masking keys and nonces.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};

/// Masking keys and nonces: a cryptographic generator of each connection's own, seeded by the operating
/// system's.
///
/// RFC 6455 section 10.3: a key must not be predictable, or a peer could choose the bytes on the wire.
///
/// ChaCha of 8 rounds, which no attack on record distinguishes from randomness: 12 take half a nanosecond
/// more for a key, of the 3 that a small frame takes.
pub(crate) struct Keys(ChaCha8Rng);

impl Keys {
    pub(crate) fn new() -> Self {
        let mut seed = [0; 32];
        // An operating system without random numbers cannot run anything that is secure; going on with
        // predictable keys would hide it.
        getrandom::fill(&mut seed).expect("the operating system has random numbers");
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// The next masking key.
    pub(crate) fn next(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }

    /// The nonce of one opening handshake.
    pub(crate) fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        self.0.fill_bytes(&mut nonce);
        nonce
    }
}
