//! How much of an item is one record: what passes in the chunk time, so that little stands before what is urgent.

/// How many samples in a row make a chunk larger.
const AGREEING: u8 = 8;
/// The binary logarithms of the smallest, the first and the largest chunk, each with [`HEADER`].
const SMALLEST: u8 = 10;
const FIRST: u8 = 12;
const LARGEST: u8 = 16;
/// What a record adds to its chunk at most, rounded up.
const HEADER: u32 = 32;

#[derive(Debug)]
pub(super) struct Chunk {
    /// The binary logarithm of its size with [`HEADER`]; of the largest that is allowed.
    log: u8,
    most: u8,
    /// How many samples in a row were for a larger one.
    agreeing: u8,
}

impl Default for Chunk {
    fn default() -> Self {
        Self { log: FIRST, most: LARGEST, agreeing: 0 }
    }
}

impl Chunk {
    /// The payload: 992, 2,016, 4,064, 8,160, 16,352, 32,736 or 65,504 bytes.
    pub(super) fn bytes(&self) -> u32 {
        (1 << self.log) - HEADER
    }

    /// It is to be no more than `bytes` with [`HEADER`], if the smallest is not.
    pub(super) fn set_most(&mut self, bytes: u64) {
        self.most = (SMALLEST..=LARGEST).rev().find(|log| 1 << log <= bytes).unwrap_or(SMALLEST);
        self.log = self.log.min(self.most);
    }

    /// It is to be no more than `bytes`. One step at a time.
    pub(super) fn fit(&mut self, bytes: f64) {
        let size = |log: u8| f64::from((1 << log) - HEADER);
        if bytes < size(self.log) {
            self.agreeing = 0;
            self.log = SMALLEST.max(self.log - 1);
        } else if self.log < self.most && bytes >= size(self.log + 1) {
            self.agreeing += 1;
            if self.agreeing == AGREEING {
                self.agreeing = 0;
                self.log += 1;
            }
        } else {
            self.agreeing = 0;
        }
    }
}
