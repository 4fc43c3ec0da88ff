//! Byte streams in memory: a wire that is read round and round, and a sink that forgets.

use std::cell::RefCell;
use std::hint::black_box;
use std::io::{self, IoSlice, Read, Write};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::READ;

/// A wire without end: behind its last frame comes its first one.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    wire: Rc<[u8]>,
    at: usize,
}

impl Source {
    pub(crate) fn new(wire: &Rc<[u8]>) -> Self {
        Self { wire: wire.clone(), at: 0 }
    }

    /// What one read into `room` bytes gives.
    #[inline]
    fn next(&mut self, room: usize) -> &[u8] {
        let rest = self.wire.get(self.at..).unwrap_or_default();
        let n = rest.len().min(room).min(READ);
        self.at += n;
        if self.at == self.wire.len() {
            self.at = 0;
        }
        rest.get(..n).unwrap_or_default()
    }

    /// Reads into the start of `room`, as a transport does.
    #[inline]
    pub(crate) fn read_into(&mut self, room: &mut [u8]) -> usize {
        let bytes = self.next(room.len());
        if let Some(room) = room.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        bytes.len()
    }

    /// Appends one read to `buffer`, which then makes its own room.
    #[inline]
    pub(crate) fn read_buf(&mut self, buffer: &mut BytesMut) {
        buffer.extend_from_slice(self.next(READ));
    }
}

/// What a [`Memory`] was given to write, when somebody wants to know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written(Rc<RefCell<Option<Vec<u8>>>>);

impl Written {
    /// Keeps what is written from now on.
    pub(crate) fn keep(&self) {
        *self.0.borrow_mut() = Some(Vec::new());
    }

    /// What was written, and forgets again.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().take().unwrap_or_default()
    }

    #[inline]
    fn write(&self, bytes: &[u8]) {
        match &mut *self.0.borrow_mut() {
            Some(kept) => kept.extend_from_slice(bytes),
            None => {
                black_box(bytes);
            }
        }
    }
}

/// A stream that is always ready.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    source: Source,
    pub(crate) written: Written,
}

impl Memory {
    pub(crate) fn new(wire: &Rc<[u8]>) -> Self {
        Self { source: Source::new(wire), written: Written::default() }
    }

    /// For a subject that only writes.
    pub(crate) fn sink() -> Self {
        Self::new(&Rc::default())
    }
}

impl Read for Memory {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        Ok(self.source.read_into(room))
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        room.put_slice(self.source.next(room.remaining()));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        for slice in slices {
            self.written.write(slice);
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The result of a future that waits for nothing, as none does on a [`Memory`].
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a stream that is always ready was waited for"),
    }
}
