//! A complete frame, as a place in a decoder's buffer or with the payload lent.
//!
//! Not here: reading one (`decoder.rs`), and its header's bytes (`header.rs`).

use super::header::Opcode;

/// Where a complete frame lies in its [`Decoder`](super::Decoder)'s buffer.
///
/// It stays good until the next call of [`Decoder::spare`](super::Decoder::spare) or
/// [`Decoder::take`](super::Decoder::take). A stale one lends other bytes of the buffer or none, and
/// never panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRef {
    pub(super) fin: bool,
    pub(super) rsv1: bool,
    pub(super) opcode: Opcode,
    pub(super) start: usize,
    pub(super) len: usize,
}

impl FrameRef {
    /// Whether this is the last fragment of its message.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.fin
    }

    /// Whether RSV1 is set: this is the first frame of a compressed message. Never without
    /// [`Decoder::allow_rsv1`](super::Decoder::allow_rsv1).
    #[must_use]
    pub const fn has_rsv1(&self) -> bool {
        self.rsv1
    }

    /// What the frame is for.
    #[must_use]
    pub const fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// Payload bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the payload is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A complete frame, lent by [`Decoder::next_frame`](super::Decoder::next_frame) and
/// [`Decoder::decode_in_place`](super::Decoder::decode_in_place).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Whether this is the last fragment of its message.
    pub fin: bool,
    /// Whether this is the first frame of a compressed message.
    pub rsv1: bool,
    /// What the frame is for.
    pub opcode: Opcode,
    /// The payload, unmasked.
    pub payload: &'a [u8],
}
