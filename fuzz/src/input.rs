//! Decisions, numbers and contents from the bytes of a fuzzer.
//!
//! Everything is read from the front, one byte or a run of bytes at a time, so that a change of one byte
//! changes one decision and seeds can be written by hand. What is missing reads as zero.

use arbitrary::Unstructured;

/// The bytes that are left.
pub(crate) struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A byte as a length or an index.
    pub(crate) fn small(&mut self) -> usize {
        usize::from(self.byte())
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// A length that is mostly small and at times large: one byte, three of whose values are borders of
    /// the wire format, and those from 192 multiples of a larger unit.
    pub(crate) fn length(&mut self) -> usize {
        match self.small() {
            128 => 65_535,
            129 => 65_536,
            130 => 70_000,
            large @ 192.. => (large - 191) * 1_000,
            small => small,
        }
    }

    /// At most `len` bytes, as they are.
    pub(crate) fn bytes(&mut self, len: usize) -> &'a [u8] {
        self.0.bytes(len.min(self.0.len())).unwrap_or_default()
    }

    /// A run of bytes that says its own length in one byte.
    pub(crate) fn run(&mut self) -> &'a [u8] {
        let len = self.small();
        self.bytes(len)
    }

    /// [`run`](Self::run) as text; each byte that is not UTF-8 becomes a replacement character.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.run()).into_owned()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }
}

/// Where to cut a stream of bytes into pieces: sizes that are used in turn, over and over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cuts([u8; 4]);

impl Cuts {
    pub(crate) fn new(input: &mut Input<'_>) -> Self {
        Self([input.byte(), input.byte(), input.byte(), input.byte()])
    }

    /// The pieces of `bytes`, none of them empty. A size is 1 to 128, or up to 4,000, or all the rest; of
    /// long input there are no more than some thousand.
    pub(crate) fn pieces(self, mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut sizes = self.0.into_iter().cycle();
        let least = bytes.len() / 4_000;
        core::iter::from_fn(move || {
            let size = match usize::from(sizes.next()?) {
                small @ 0..128 => small + 1,
                large @ 128..192 => (large - 127) * 63,
                _ => usize::MAX,
            };
            let (piece, rest) = bytes.split_at(size.max(least).min(bytes.len()));
            bytes = rest;
            Some(piece).filter(|piece| !piece.is_empty())
        })
    }
}
