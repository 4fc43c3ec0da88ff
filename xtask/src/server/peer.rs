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
use tidegate::proto::ws::Request;
use tidegate::server::{AcceptOptions, accept};
use tidegate::{Client, CloseOptions, Message, Outcome, ReadyState, RecvLimits, SendOptions};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::channels;

/// The subprotocol of tidegate mode.
pub(super) const TIDEGATE: &str = "tidegate.v1";

/// Largest message. Tests send 1 GiB.
const MAX_MESSAGE_BYTES: u64 = 2 << 30;

/// How long a peer may take to read what is queued when the connection closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(300);

/// How often in a row a peer is read before its route gets its turn. Fewer than the sixteen after
/// which tidegate's transport looks up: it would go on only at the next event, and in the middle of
/// a message of many fragments there is none.
const READS_IN_A_ROW: u32 = 8;

/// How much is hashed before other connections get their turn.
const HASHED_AT_ONCE: usize = 1 << 20;

/// One accepted connection.
pub(super) struct Peer {
    client: Client,
    gate: Arc<Gate>,
    /// It speaks `tidegate.v1`, by which a peer is made to wait without not being read.
    is_tidegate: bool,
}

impl Peer {
    /// Accepts what `request` asks for. With [`TIDEGATE`] for subprotocol its channels are served by
    /// [`channels::serve`].
    ///
    /// # Errors
    ///
    /// If `subprotocol` was not offered.
    pub(super) async fn accept(
        stream: TcpStream,
        request: &Request,
        subprotocol: Option<&str>,
    ) -> io::Result<Self> {
        Self::accept_with(stream, request, subprotocol, |_| ()).await
    }

    /// As [`accept`](Self::accept), with what `change` makes of its options.
    ///
    /// # Errors
    ///
    /// As there.
    pub(super) async fn accept_with(
        stream: TcpStream,
        request: &Request,
        subprotocol: Option<&str>,
        change: impl FnOnce(&mut AcceptOptions),
    ) -> io::Result<Self> {
        let gate = Arc::new(Gate::default());
        let stream = Gated { stream, gate: gate.clone(), reads: 0 };
        let mut options = AcceptOptions::default();
        options.limits.max_message_bytes = MAX_MESSAGE_BYTES;
        options.limits.max_frame_bytes = MAX_MESSAGE_BYTES;
        // What one turn of reading may bring: the end of one large message with others behind it,
        // or of the smallest messages more than the default allows.
        options.recv_limits = RecvLimits::default()
            .max_queued_bytes(MAX_MESSAGE_BYTES + (64 << 20))
            .max_queued_messages(1 << 21);
        change(&mut options);
        let client = accept(stream, request, subprotocol, options).map_err(io::Error::other)?;
        let is_tidegate = subprotocol == Some(TIDEGATE);
        // Until the driver has run once the connection is not open, and closing would abort it
        // before the response is written.
        while !is_tidegate && client.ready_state() == ReadyState::Connecting {
            tokio::task::yield_now().await;
        }
        if is_tidegate {
            tokio::spawn(channels::serve(client.channels()));
        }
        Ok(Self { client, gate, is_tidegate })
    }

    /// The next message; `None` after the last.
    ///
    /// Only while this waits is anything read from the peer: one that sends faster than its
    /// messages are handled, or does not read what it is sent, is made to wait itself.
    pub(super) async fn recv(&self) -> Option<Message> {
        if let Ok(message) = self.client.try_recv() {
            return Some(message);
        }
        self.gate.open();
        let message = self.client.recv().await?;
        if !self.is_tidegate {
            self.gate.hold();
        }
        Some(message)
    }

    /// Queues a message, when there is room. `false` once the connection is closing.
    pub(super) async fn send(&self, message: impl Into<Message>) -> bool {
        self.client.send(message).await.is_ok()
    }

    /// As [`send`](Self::send), as `options` say.
    pub(super) async fn send_with(&self, message: impl Into<Message>, options: SendOptions) -> bool {
        self.client.send_with(message, options).await.is_ok()
    }

    /// How much may be under way, in bytes, and how many are thought to pass in a second.
    pub(super) fn budget(&self) -> (u64, u64) {
        let stats = self.client.stats();
        (stats.budget_bytes, stats.bytes_per_second)
    }

    /// Sends a message and waits until the writer has it. `false` once the connection is closing.
    pub(super) async fn hand_over(&self, message: impl Into<Message>) -> bool {
        match self.client.send(message).await {
            // In tidegate mode the peer says when it has it, which is later: what waits is bounded by credit.
            Ok(_) if self.is_tidegate => true,
            Ok(ticket) => ticket.await == Outcome::HandedOver,
            Err(_) => false,
        }
    }

    /// Sends what is queued, then closes with 1000 and waits for the end.
    pub(super) async fn close(&self, reason: &str) {
        self.gate.open();
        let options = CloseOptions::default().code(1000).reason(reason).within(CLOSE_WITHIN);
        // How it ended makes no difference here.
        let _ = self.client.close_with(options).await;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The driver goes on until the connection has ended, and the peer's close has to be read.
        self.gate.open();
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
    fn hold(&self) {
        self.state().held = true;
    }

    fn open(&self) {
        let mut state = self.state();
        state.held = false;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        // Nothing that holds the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream behind a [`Gate`].
struct Gated {
    stream: TcpStream,
    gate: Arc<Gate>,
    /// Reads since the last pause. Invariant: `reads <= READS_IN_A_ROW`.
    reads: u32,
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
        if self.reads == READS_IN_A_ROW {
            self.reads = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.reads = if polled.is_ready() { self.reads + 1 } else { 0 };
        polled
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
