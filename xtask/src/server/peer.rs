//! A connection that was accepted, with backpressure.
//!
//! Not here: what is said on it.

use std::fmt::Write as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tidegate::proto::ws::{Limits, Request};
use tidegate::server::{AcceptOptions, accept};
use tidegate::{Client, CloseOptions, Message, RecvLimits, SendError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Largest message. Tests send 1 GiB.
const MAX_MESSAGE_BYTES: u64 = 2 << 30;

/// How long a peer may take to read what is queued when the connection closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(300);

/// How much is hashed before other connections get their turn.
const HASHED_AT_ONCE: usize = 1 << 20;

/// One accepted connection.
pub(super) struct Peer {
    client: Client,
    gate: Arc<Gate>,
}

impl Peer {
    /// Accepts what `request` asks for.
    ///
    /// # Errors
    ///
    /// If `subprotocol` was not offered.
    pub(super) fn accept(
        stream: TcpStream,
        request: &Request,
        subprotocol: Option<&str>,
    ) -> io::Result<Self> {
        let gate = Arc::new(Gate::default());
        let stream = Gated { stream, gate: gate.clone() };
        let mut limits = Limits::default();
        limits.max_message_bytes = MAX_MESSAGE_BYTES;
        limits.max_frame_bytes = MAX_MESSAGE_BYTES;
        // The driver reads up to 128 buffers of 64 KiB before a route is run again. Of the
        // smallest messages that is more than the default allows.
        let recv_limits = RecvLimits { max_queued_messages: 1 << 21, ..RecvLimits::default() };
        let options = AcceptOptions { limits, recv_limits, ..AcceptOptions::default() };
        let client = accept(stream, request, subprotocol, options).map_err(io::Error::other)?;
        Ok(Self { client, gate })
    }

    /// The next message; `None` after the last.
    pub(super) async fn recv(&self) -> Option<Message> {
        self.client.recv().await
    }

    /// Queues a message. Nothing is read from the peer while it has to wait for room: a peer that
    /// sends and does not read is made to wait. `false` once the connection is closing.
    pub(super) async fn send(&self, message: impl Into<Message>) -> bool {
        match self.client.try_send(message) {
            Ok(_) => true,
            Err(SendError::Full(message)) => {
                let _held = Held::new(&self.gate);
                self.client.send(message).await.is_ok()
            }
            Err(_) => false,
        }
    }

    /// Sends what is queued, then closes with 1000 and waits for the end.
    pub(super) async fn close(&self, reason: &str) {
        let options = CloseOptions::default().code(1000).reason(reason).within(CLOSE_WITHIN);
        // How it ended makes no difference here.
        let _ = self.client.close_with(options).await;
    }
}

/// Adds `bytes` to `hash`, letting others run now and then.
pub(super) async fn hash(hash: &mut Sha256, bytes: &[u8]) {
    for (n, part) in bytes.chunks(HASHED_AT_ONCE).enumerate() {
        if n > 0 {
            tokio::task::yield_now().await;
        }
        hash.update(part);
    }
}

/// What `hash` has come to, in lower case hexadecimal.
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a stream may be read.
///
/// The driver takes whatever arrives, as in a browser, and closes the connection when its queue
/// overflows. A server on a byte stream can do better.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
}

#[derive(Default)]
struct GateState {
    held: bool,
    reader: Option<Waker>,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, GateState> {
        // Nothing that holds the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Holds a gate until it is dropped.
struct Held<'a>(&'a Gate);

impl<'a> Held<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.state().held = true;
        Self(gate)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.held = false;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

/// A stream behind a [`Gate`].
struct Gated {
    stream: TcpStream,
    gate: Arc<Gate>,
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.gate.state();
        if state.held {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        drop(state);
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Gated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
