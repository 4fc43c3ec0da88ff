//! A byte stream in memory that gives way only as far as it is told to.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The end of the stream that a test holds.
#[derive(Clone, Default)]
pub(super) struct Wire(Arc<Mutex<State>>);

/// The end that the transport under test holds.
pub(super) struct Stream(Wire);

#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own, in any combination")]
struct State {
    /// On the way to the transport, of which it may read the first `readable`.
    inward: Vec<u8>,
    readable: usize,
    /// Nothing comes behind `inward`.
    is_ended: bool,
    /// On the way from the transport, which may add `writable` more.
    outward: Vec<u8>,
    writable: usize,
    /// The head of the opening handshake was taken off.
    head_passed: bool,
    is_read_broken: bool,
    is_write_broken: bool,
    is_flush_stalled: bool,
    is_shut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    pub(super) fn stream(&self) -> Stream {
        Stream(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then wakes whoever waits: the transport may look again and find nothing.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Sends bytes to the transport.
    pub(super) fn put(&self, bytes: &[u8]) {
        self.change(|state| {
            if !state.is_ended {
                state.inward.extend_from_slice(bytes);
            }
        });
    }

    /// Takes up to `n` of the bytes that the transport has written, behind the response.
    pub(super) fn take(&self, n: usize) -> Vec<u8> {
        let mut state = self.state();
        if !state.head_passed {
            let end = b"\r\n\r\n";
            let Some(at) = state.outward.windows(end.len()).position(|window| window == end) else {
                return Vec::new();
            };
            state.outward.drain(..at + end.len());
            state.head_passed = true;
        }
        let n = n.min(state.outward.len());
        state.outward.drain(..n).collect()
    }

    /// Takes all that a client has written before it is open.
    pub(super) fn take_head(&self) -> Vec<u8> {
        let mut state = self.state();
        // What it is answered is not read from this side.
        state.head_passed = true;
        core::mem::take(&mut state.outward)
    }

    pub(super) fn let_read(&self, n: usize) {
        self.change(|state| state.readable = state.readable.saturating_add(n));
    }

    pub(super) fn let_write(&self, n: usize) {
        self.change(|state| state.writable = state.writable.saturating_add(n));
    }

    pub(super) fn stall_flush(&self, stall: bool) {
        self.change(|state| state.is_flush_stalled = stall);
    }

    pub(super) fn end_reading(&self) {
        self.change(|state| state.is_ended = true);
    }

    pub(super) fn break_reading(&self) {
        self.change(|state| state.is_read_broken = true);
    }

    pub(super) fn break_writing(&self) {
        self.change(|state| state.is_write_broken = true);
    }

    /// Whether anything was said to end or break it.
    pub(super) fn is_broken(&self) -> bool {
        let state = self.state();
        state.is_ended || state.is_read_broken || state.is_write_broken
    }

    /// Whether the transport has ended its direction, or let go of the stream.
    pub(super) fn is_shut(&self) -> bool {
        self.state().is_shut
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        if state.is_read_broken {
            return Poll::Ready(Err(reset()));
        }
        let n = state.inward.len().min(state.readable).min(buf.remaining());
        if n == 0 && !(state.is_ended && state.inward.is_empty()) {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes: Vec<u8> = state.inward.drain(..n).collect();
        buf.put_slice(&bytes);
        state.readable -= n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.state();
        assert!(!state.is_shut, "nothing is written after the end");
        if state.is_write_broken {
            return Poll::Ready(Err(reset()));
        }
        let n = bytes.len().min(state.writable);
        if n == 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.outward.extend_from_slice(&bytes[..n]);
        state.writable -= n;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        if state.is_write_broken {
            return Poll::Ready(Err(reset()));
        }
        if state.is_flush_stalled {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        if state.is_flush_stalled {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.is_shut = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.state().is_shut = true;
    }
}
