//! What waits to be written: whole frames, and at most one pong that waits behind another.
//!
//! Not here: making frames, and which may be sent when.

use super::header::{MAX_CONTROL_BYTES, MAX_HEADER_BYTES};

/// A buffer that one message made larger than this is given back once it is empty.
const KEPT_OUTPUT: usize = 1 << 20;

/// Frames in the order they are written.
///
/// RFC 6455 §5.5.3: only the most recent ping need be answered. While a pong waits here, the newest
/// other one is kept aside, so that a peer that pings and does not read costs two pongs of memory.
#[derive(Debug)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Bytes of the front that are written. Invariant: `start <= bytes.len()`.
    start: usize,
    /// Bytes written before those in `bytes`.
    written: u64,
    /// Where our close frame ends, counted as [`Output::queued`], until it is written.
    close_end: Option<u64>,
    /// Where the pong that is queued ends, counted as [`Output::queued`], until it is written.
    pong_end: Option<u64>,
    /// The pong kept aside. Invariant: `aside_len <= aside.len()`; 0 is none.
    aside: [u8; MAX_HEADER_BYTES + MAX_CONTROL_BYTES],
    aside_len: usize,
}

impl Output {
    pub(super) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            written: 0,
            close_end: None,
            pong_end: None,
            aside: [0; MAX_HEADER_BYTES + MAX_CONTROL_BYTES],
            aside_len: 0,
        }
    }

    /// What is not written yet.
    pub(super) fn pending(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Where frames are appended.
    pub(super) fn writer(&mut self) -> &mut Vec<u8> {
        // What is written is dropped only when it outweighs the rest, so that a slow reader does
        // not make each frame move all others.
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.written += self.start as u64;
            self.start = 0;
        }
        &mut self.bytes
    }

    /// Appends a pong, or keeps it aside in place of an older one while another waits.
    pub(super) fn push_pong(&mut self, frame: &[u8]) {
        for (slot, byte) in self.aside.iter_mut().zip(frame) {
            *slot = *byte;
        }
        self.aside_len = frame.len().min(self.aside.len());
        if self.pong_end.is_none() {
            self.flush_pong();
        }
    }

    /// Says that the frame appended last is our close frame, behind which nothing may come.
    pub(super) fn mark_close(&mut self) {
        self.aside_len = 0;
        self.close_end = Some(self.queued());
    }

    /// Drops `n` bytes that were written; `true` if the close frame is among them.
    pub(super) fn consume(&mut self, n: usize) -> bool {
        self.start = self.start.saturating_add(n).min(self.bytes.len());
        if self.start == self.bytes.len() {
            self.written += self.start as u64;
            self.start = 0;
            self.bytes.clear();
            if self.bytes.capacity() > KEPT_OUTPUT {
                self.bytes = Vec::new();
            }
        }
        let written = self.written + self.start as u64;
        if self.pong_end.is_some_and(|end| end <= written) {
            self.pong_end = None;
            self.flush_pong();
        }
        let closed = self.close_end.is_some_and(|end| end <= written);
        if closed {
            self.close_end = None;
        }
        closed
    }

    /// Bytes taken in memory.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Bytes ever appended.
    fn queued(&self) -> u64 {
        self.written + self.bytes.len() as u64
    }

    fn flush_pong(&mut self) {
        if self.aside_len == 0 {
            return;
        }
        self.writer();
        self.bytes.extend_from_slice(self.aside.get(..self.aside_len).unwrap_or_default());
        self.pong_end = Some(self.queued());
        self.aside_len = 0;
    }
}
