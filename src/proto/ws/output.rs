//! What waits to be written: whole frames, and at most one pong that waits behind others.
//!
//! Not here: making frames, and which may be sent when.

use super::header::{MAX_CONTROL_BYTES, MAX_HEADER_BYTES};

/// How many pongs may wait to be written before only the newest further one is kept.
///
/// Every ping of a burst is answered by it, which is what peers that count their pongs look for (Autobahn's
/// 2.10 sends ten), and a peer that pings and does not read costs 2.4 kB.
pub(super) const MAX_QUEUED_PONGS: u8 = 16;

/// A buffer that one message made larger than this is given back once it is empty.
const KEPT_OUTPUT: usize = 1 << 20;

/// Frames in the order they are written.
///
/// RFC 6455 §5.5.3: only the most recent ping need be answered. While [`MAX_QUEUED_PONGS`] wait
/// here, the newest further one is kept aside, so that a peer that pings and does not read costs
/// one pong more than those.
#[derive(Debug)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Bytes of the front that are written. Invariant: `start <= bytes.len()`.
    start: usize,
    /// Bytes written before those in `bytes`.
    written: u64,
    /// Where our close frame ends, counted as [`Output::queued`], until it is written.
    close_end: Option<u64>,
    /// Pongs queued since there was none. Invariant: `pongs <= MAX_QUEUED_PONGS`.
    pongs: u8,
    /// Where the last of them ends, counted as [`Output::queued`]. Once it is written there is none.
    pong_end: u64,
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
            pongs: 0,
            pong_end: 0,
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

    /// Appends a pong, or keeps it aside in place of an older one while too many wait.
    pub(super) fn push_pong(&mut self, frame: &[u8]) {
        for (slot, byte) in self.aside.iter_mut().zip(frame) {
            *slot = *byte;
        }
        self.aside_len = frame.len().min(self.aside.len());
        if self.pongs < MAX_QUEUED_PONGS {
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
        if self.pongs > 0 && self.pong_end <= written {
            self.pongs = 0;
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
        self.pong_end = self.queued();
        self.pongs += 1;
        self.aside_len = 0;
    }
}
