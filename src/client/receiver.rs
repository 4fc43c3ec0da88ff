//! The receiving half.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use futures_core::Stream;

use super::close::{CloseOptions, Closing};
use super::error::TryRecvError;
use super::message::Message;
use super::wait::Wait;
use crate::driver::Hub;
use crate::proto::{Amount, Closed};
use crate::transport::TransportError;

/// Receives the messages of one connection, as a `Stream` or by [`recv`](Self::recv).
///
/// Everything that arrived before the close comes out before the end; then the stream is finished
/// for ever, and [`closed`](Self::closed) says how. Messages wait in a bounded queue
/// ([`RecvLimits`]); if the application leaves them there until it overflows, the connection closes, or
/// messages are dropped and counted, as [`RecvPolicy`](crate::RecvPolicy) has it.
///
/// [`RecvLimits`]: crate::RecvLimits
pub struct Receiver {
    hub: Arc<Hub>,
    close: CloseOptions,
    key: Option<u64>,
}

impl Receiver {
    pub(crate) fn new(hub: Arc<Hub>, close: CloseOptions) -> Self {
        hub.add_user();
        Self { hub, close, key: None }
    }

    /// Another receiver of the same queue.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.hub.clone(), self.close.clone())
    }

    /// The next message; `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub async fn recv(&self) -> Option<Message> {
        recv(&self.hub).await
    }

    /// A message that is there already, for loops that run once a frame.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if none is, [`TryRecvError::Closed`] if none will be.
    pub fn try_recv(&self) -> Result<Message, TryRecvError> {
        try_recv(&self.hub)
    }

    /// What was received and dropped so far, because the queue had no room: none unless
    /// [`RecvPolicy`](crate::RecvPolicy) says so, and never any on the host, where the peer has to wait.
    ///
    /// The same on every handle of the connection. What arrives after a local close is not delivered, and not
    /// counted.
    #[must_use]
    pub fn dropped(&self) -> Amount {
        self.hub.dropped()
    }

    /// Sends what is queued, then closes; see [`Client::close`](super::Client::close).
    ///
    /// # Errors
    ///
    /// [`CloseError`](super::CloseError) if code or reason may not be sent.
    pub fn close(&self, code: u16, reason: &str) -> Closing {
        Closing::begin(&self.hub, self.close.clone().code(code).reason(reason))
    }

    /// The final word, when it has come.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub fn closed(&self) -> impl Future<Output = Closed> + Send + 'static {
        super::closed(self.hub.clone())
    }

    /// What the transport knows about a connection that broke: see
    /// [`Client::failure`](super::Client::failure).
    #[must_use]
    pub fn failure(&self) -> Option<TransportError> {
        self.hub.failure()
    }
}

impl Stream for Receiver {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let this = &mut *self;
        poll_next(&this.hub, &mut this.key, cx)
    }
}

/// The next message of a hub, which is a connection's or a channel's.
pub(super) async fn recv(hub: &Arc<Hub>) -> Option<Message> {
    let incoming = Wait::new(&**hub, Hub::poll_recv, Hub::leave_readers).await?;
    Some(Message::from_incoming(incoming, hub))
}

/// One that is there.
pub(super) fn try_recv(hub: &Arc<Hub>) -> Result<Message, TryRecvError> {
    match hub.try_recv() {
        Ok(incoming) => Ok(Message::from_incoming(incoming, hub)),
        Err(true) => Err(TryRecvError::Closed),
        Err(false) => Err(TryRecvError::Empty),
    }
}

/// As [`recv`], for a stream with the place `key` among the readers.
pub(super) fn poll_next(
    hub: &Arc<Hub>,
    key: &mut Option<u64>,
    cx: &mut Context<'_>,
) -> Poll<Option<Message>> {
    let polled = hub.poll_recv(key, cx.waker());
    polled.map(|incoming| incoming.map(|incoming| Message::from_incoming(incoming, hub)))
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.hub.leave_readers(&mut self.key);
        self.hub.remove_user(self.close.deadline());
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("stage", &self.hub.stage()).finish_non_exhaustive()
    }
}
