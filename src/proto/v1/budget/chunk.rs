//! How much of an item is one record: what passes in the chunk time, so that little stands before what is urgent.

use crate::proto::float::smaller;

/// How many chunks have to be acknowledged, one agreeing sample behind the other, until they become larger. Counted in bytes:
/// where the link is fast an acknowledgement is of many small ones, and they would stay small for megabytes.
const AGREEING: f64 = 8.0;
/// The binary logarithms of the smallest, the first and the largest chunk, each with [`HEADER`] or nearly so.
const SMALLEST: u8 = 10;
const FIRST: u8 = 12;
const LARGEST: u8 = 18;
/// Of the largest that goes to every peer, with [`HEADER`]. Larger ones are whole powers of two, into which items of such
/// sizes are cut without a rest.
const COMMON: u8 = 16;
/// What a record adds to its chunk at most, rounded up.
const HEADER: u32 = 32;

/// The payload of a chunk of this logarithm.
const fn size(log: u8) -> u32 {
    if log > COMMON { 1 << log } else { (1 << log) - HEADER }
}

#[derive(Debug)]
pub(super) struct Chunk {
    /// The binary logarithm of its size with [`HEADER`]; of the largest that is allowed.
    log: u8,
    most: u8,
    /// How many bytes were acknowledged by samples in a row that were for a larger one.
    agreeing: f64,
}

impl Default for Chunk {
    fn default() -> Self {
        Self { log: FIRST, most: LARGEST, agreeing: 0.0 }
    }
}

impl Chunk {
    /// The payload: 992, 2,016, 4,064, 8,160, 16,352, 32,736, 65,504, 131,072 or 262,144 bytes.
    pub(super) fn bytes(&self) -> u32 {
        size(self.log)
    }

    /// It is to be no more than `bytes` with [`HEADER`], if the smallest is not.
    pub(super) fn set_most(&mut self, bytes: u64) {
        let fits = |log: &u8| u64::from(size(*log) + HEADER) <= bytes;
        self.most = (SMALLEST..=LARGEST).rev().find(fits).unwrap_or(SMALLEST);
        self.log = self.log.min(self.most);
    }

    /// It is to be no more than `bytes`, says a sample by which `acknowledged` were. One step at a time.
    pub(super) fn fit(&mut self, bytes: f64, acknowledged: f64) {
        let size = |log| f64::from(size(log));
        if bytes < size(self.log) {
            self.agreeing = 0.0;
            self.log = SMALLEST.max(self.log - 1);
        } else if self.log < self.most && bytes >= size(self.log + 1) {
            // Near the border between two sizes R is now above it and now below, and each time that chunks are larger
            // for nothing an urgent item waits some milliseconds more. There an acknowledgement of many counts as one.
            let is_near = bytes < 2.0 * size(self.log + 1);
            self.agreeing += if is_near { smaller(acknowledged, size(self.log)) } else { acknowledged };
            if self.agreeing >= AGREEING * size(self.log) {
                self.agreeing = 0.0;
                self.log += 1;
            }
        } else {
            self.agreeing = 0.0;
        }
    }
}
