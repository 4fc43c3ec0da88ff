//! Integers of the wire: big endian, fixed or of variable length.
//!
//! A varint is that of RFC 9000 §16: the top two bits of its first byte tell its length, the rest is the value. Here it
//! has to be as short as it can be, so that a value has one form, and at most 2^53 - 1, so that JavaScript holds it.
//!
//! | bytes | first byte | largest value |
//! |---|---|---|
//! | 1 | 0x00–0x3f | 63 |
//! | 2 | 0x40–0x7f | 16,383 |
//! | 4 | 0x80–0xbf | 1,073,741,823 |
//! | 8 | 0xc0–0xff | 9,007,199,254,740,991 |
//!
//! Not here: what a number means.

#![allow(dead_code, unreachable_pub, reason = "the session uses and re-exports it")]

use alloc::vec::Vec;

/// The largest number on the wire: 2^53 - 1, the largest integer that a JavaScript number holds exactly.
pub const MAX: u64 = (1 << 53) - 1;

/// The bytes run out inside a field, or there are fewer than a length says.
pub(super) const TRUNCATED: &str = "truncated";

/// How many bytes [`put`] writes for `value`: 1, 2, 4 or 8.
pub(super) fn len(value: u64) -> usize {
    1 << exponent(value)
}

/// Appends `value` in its shortest form. Above [`MAX`] it writes [`MAX`]: callers stay below.
pub(super) fn put(out: &mut Vec<u8>, value: u64) {
    let exponent = exponent(value);
    let shift = 64 - (8 << exponent);
    let tagged = value.min(MAX) << shift | u64::from(exponent) << 62;
    out.extend(tagged.to_be_bytes().into_iter().take(1 << exponent));
}

/// The two bits that stand for the length.
fn exponent(value: u64) -> u8 {
    match value {
        0..=0x3f => 0,
        0x40..=0x3fff => 1,
        0x4000..=0x3fff_ffff => 2,
        _ => 3,
    }
}

/// What is left to read of some bytes.
///
/// Each method takes from the front, and fails with the reason, in the words of the test vectors; after that, what is
/// left is of no use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// All of `bytes`.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub(super) const fn remaining(&self) -> usize {
        self.0.len()
    }

    /// One byte.
    ///
    /// # Errors
    ///
    /// "truncated" if there is none.
    pub(super) fn u8(&mut self) -> Result<u8, &'static str> {
        let (&first, rest) = self.0.split_first().ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(first)
    }

    /// Two bytes, big endian.
    ///
    /// # Errors
    ///
    /// "truncated" if there are fewer.
    pub(super) fn u16(&mut self) -> Result<u16, &'static str> {
        let (&first, rest) = self.0.split_first_chunk().ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(first))
    }

    /// A varint: 0 to [`MAX`].
    ///
    /// # Errors
    ///
    /// "truncated", "above 2^53-1", or "not shortest" where a shorter form would do.
    pub(super) fn varint(&mut self) -> Result<u64, &'static str> {
        let first = self.u8()?;
        let more = (1_u64 << (first >> 6)) - 1;
        let value = self
            .take(more)?
            .iter()
            .fold(u64::from(first & 0x3f), |value, &byte| value << 8 | u64::from(byte));
        if value > MAX {
            return Err("above 2^53-1");
        }
        if exponent(value) != first >> 6 {
            return Err("not shortest");
        }
        Ok(value)
    }

    /// `count` bytes; a `u64`, as lengths on the wire are, whatever the platform's `usize`.
    ///
    /// # Errors
    ///
    /// "truncated" if there are fewer.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8], &'static str> {
        let count = usize::try_from(count).map_err(|_| TRUNCATED)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(taken)
    }

    /// All that is left, which may be nothing.
    ///
    /// # Errors
    ///
    /// None; it is a `Result` as those of the other fields.
    #[allow(clippy::unnecessary_wraps, reason = "read as every other field")]
    pub(super) fn rest(&mut self) -> Result<&'a [u8], &'static str> {
        Ok(core::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests;
