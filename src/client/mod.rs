//! The async API: [`Client`], [`Sender`], [`Receiver`], [`Ticket`].
//!
//! All of it is `Send` and free of host values, but for `LocalClient`, which lives on the driver's
//! thread. A future that is dropped leaves nothing half done: each says so under *Cancel safety*.
//!
//! Not here: protocol state (the session's), host values (the driver's).

mod address;
#[cfg(all(feature = "browser-json", target_family = "wasm", target_os = "unknown"))]
mod browser_json;
mod builder;
#[cfg(feature = "v1")]
mod channel;
mod close;
mod error;
mod flush;
#[cfg(feature = "v1")]
mod go_away;
#[cfg(feature = "json")]
mod json;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod local;
mod message;
#[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
mod native;
mod permit;
mod receiver;
mod sender;
#[cfg(feature = "sim")]
pub mod sim;
mod stats;
#[cfg(feature = "v1")]
mod tidegate;
#[cfg(any(feature = "json", all(feature = "browser-json", target_family = "wasm", target_os = "unknown")))]
mod typed;
mod wait;

use core::fmt;
use std::sync::Arc;

pub use self::address::{ProxyError, SubprotocolError, UrlError};
#[cfg(all(feature = "browser-json", target_family = "wasm", target_os = "unknown"))]
pub use self::browser_json::BrowserJson;
pub use self::builder::{BinaryType, ClientBuilder, Transport};
#[cfg(feature = "v1")]
pub use self::channel::{
    Channel, ChannelClosing, ChannelError, ChannelOptions, ChannelReceiver, ChannelSender, Channels,
};
#[cfg(all(
    feature = "v1",
    any(feature = "json", all(feature = "browser-json", target_family = "wasm", target_os = "unknown"))
))]
pub use self::channel::{TypedChannel, TypedChannelReceiver, TypedChannelSender};
pub use self::close::{CloseOptions, Closing};
#[cfg(feature = "v1")]
pub use self::error::DelayError;
pub use self::error::{
    BlobError, CloseError, ConnectError, ReceiveError, ReserveError, SendError, SinkError, TryRecvError,
};
pub use self::flush::NotSent;
#[cfg(feature = "v1")]
pub use self::go_away::GoAway;
#[cfg(feature = "json")]
pub use self::json::Json;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub use self::local::{LocalClient, LocalSendError, OffThread};
pub use self::message::{Blob, Message};
#[cfg(all(feature = "tls", not(all(target_family = "wasm", target_os = "unknown"))))]
pub use self::native::{TlsError, TlsOptions};
pub use self::permit::Permit;
pub use self::receiver::Receiver;
pub use self::sender::{Sender, Sending, Ticket};
pub use self::stats::StatsChanges;
#[cfg(feature = "v1")]
pub use self::tidegate::{Mode, TidegateOptions};
#[cfg(any(
    feature = "json",
    all(feature = "browser-json", target_family = "wasm", target_os = "unknown")
))]
pub use self::typed::{
    Codec, DecodeError, EncodeError, ReceiveMessages, SendMessages, Typed, TypedReceiver, TypedSendError,
    TypedSender,
};
use self::wait::Wait;
#[cfg(feature = "v1")]
pub use crate::driver::ChannelEnd;
pub use crate::driver::SendOptions;
use crate::driver::{Hub, Stage};
use crate::proto::{Amount, Closed, Stats};
use crate::transport::TransportError;

/// What a browser calls `readyState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// The opening handshake is under way. No handle exists yet.
    Connecting,
    /// Messages are taken.
    Open,
    /// No message is taken any more; some may still arrive.
    Closing,
    /// The final word is known.
    Closed,
}

/// One open connection.
///
/// It is at once a [`Sender`] and a [`Receiver`]; [`split`](Self::split) gives both apart. When
/// the last of all handles is dropped, what is queued is still sent and the connection closes
/// with 1000.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tidegate::{Client, Message};
///
/// let client = Client::builder("wss://example.com/live").subprotocol("chat.v2").connect().await?;
/// client.send("hello").await?;
/// while let Some(message) = client.recv().await {
///     if let Message::Text(text) = message {
///         println!("{text}");
///     }
/// }
/// println!("closed with {}", client.closed().await.code);
/// # Ok(())
/// # }
/// ```
///
/// # Specification
///
/// [WHATWG WebSockets](https://websockets.spec.whatwg.org/#the-websocket-interface).
pub struct Client {
    sender: Sender,
    receiver: Receiver,
    url: Arc<str>,
}

impl Client {
    /// Begins to describe a connection to `url`: `ws:`, `wss:`, or what resolves to one of them.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    pub(crate) fn new(hub: &Arc<Hub>, url: &str, close: CloseOptions) -> Self {
        Self {
            sender: Sender::new(hub.clone(), close.clone()),
            receiver: Receiver::new(hub.clone(), close),
            url: url.into(),
        }
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        self.sender.hub()
    }

    /// A sender and a receiver of this connection, which outlive the client. The sender is a `Sink`,
    /// the receiver a `Stream`.
    ///
    /// Senders may be cloned. Receivers share one queue: each message goes to one of them.
    #[must_use]
    pub fn split(&self) -> (Sender, Receiver) {
        (self.sender.clone(), self.receiver.another())
    }

    /// The URL after resolution, as WHATWG `url`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The subprotocol that the server chose; empty if none.
    #[must_use]
    pub fn protocol(&self) -> String {
        self.hub().opened().protocol
    }

    /// The extensions that the server chose, as the header has them; empty if none.
    #[must_use]
    pub fn extensions(&self) -> String {
        self.hub().opened().extensions
    }

    /// What the transport knows about a connection that broke, beyond the close event: on the host, the
    /// rule that the peer broke or the operating system's words. `None` in browsers, which tell script
    /// nothing, and while nothing is wrong.
    #[must_use]
    pub fn failure(&self) -> Option<TransportError> {
        self.hub().failure()
    }

    /// Where the connection stands.
    #[must_use]
    pub fn ready_state(&self) -> ReadyState {
        match self.hub().stage() {
            Stage::Connecting => ReadyState::Connecting,
            Stage::Open => ReadyState::Open,
            Stage::Closing => ReadyState::Closing,
            Stage::Closed => ReadyState::Closed,
        }
    }

    /// Queues a message; see [`Sender::send`].
    pub fn send(&self, message: impl Into<Message>) -> Sending<'_> {
        self.sender.send(message)
    }

    /// Queues a message if there is room now; see [`Sender::try_send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<Ticket, SendError> {
        self.sender.try_send(message)
    }

    /// Queues a message with a priority, a flow, a deadline, or as the latest value of a key; see
    /// [`Sender::send_with`].
    pub fn send_with(&self, message: impl Into<Message>, options: SendOptions) -> Sending<'_> {
        self.sender.send_with(message, options)
    }

    /// As [`send_with`](Self::send_with), if there is room now; see [`Sender::try_send_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_send_with(
        &self,
        message: impl Into<Message>,
        options: SendOptions,
    ) -> Result<Ticket, SendError> {
        self.sender.try_send_with(message, options)
    }

    /// Waits for room for one message of up to `bytes` bytes, and keeps it; see [`Sender::reserve`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn reserve(&self, bytes: u64, options: SendOptions) -> Result<Permit, ReserveError> {
        self.sender.reserve(bytes, options).await
    }

    /// How many messages are queued and not handed over, and their size in bytes.
    #[must_use]
    pub fn queued(&self) -> Amount {
        self.sender.queued()
    }

    /// Waits until all that is queued now has left the queue; see [`Sender::flushed`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub fn flushed(&self) -> impl Future<Output = Result<(), NotSent>> + Send + 'static {
        self.sender.flushed()
    }

    /// As [`flushed`](Self::flushed), and until the transport has sent it; see [`Sender::drained`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub fn drained(&self) -> impl Future<Output = Result<(), NotSent>> + Send + 'static {
        self.sender.drained()
    }

    /// Tells the queue how much the server has received; see [`Sender::acknowledged`].
    pub fn acknowledged(&self, bytes: u64) {
        self.sender.acknowledged(bytes);
    }

    /// The numbers of the connection, now. What goes over a channel stands in the channel's own.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.sender.stats()
    }

    /// The numbers of the connection whenever they have changed; see [`StatsChanges`].
    pub fn stats_changes(&self) -> StatsChanges {
        self.sender.stats_changes()
    }

    /// The next message; see [`Receiver::recv`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub async fn recv(&self) -> Option<Message> {
        self.receiver.recv().await
    }

    /// A message that is there already; see [`Receiver::try_recv`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_recv(&self) -> Result<Message, TryRecvError> {
        self.receiver.try_recv()
    }

    /// What was received and dropped so far for want of room; see [`Receiver::dropped`].
    #[must_use]
    pub fn dropped(&self) -> Amount {
        self.receiver.dropped()
    }

    /// Sends what is queued, then closes, within 10 s in all (or what
    /// [`ClientBuilder::close_within`] says). It begins with the call; awaiting only waits.
    ///
    /// # Errors
    ///
    /// [`CloseError`] if code or reason may not be sent; the connection stays open.
    pub fn close(&self, code: u16, reason: &str) -> Closing {
        self.sender.close(code, reason)
    }

    /// Closes as `options` say.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub fn close_with(&self, options: CloseOptions) -> Closing {
        self.sender.close_with(options)
    }

    /// Stops sending, goes on receiving; see [`Sender::end`].
    ///
    /// # Cancel safety
    ///
    /// The end begins with the call; dropping the future only stops waiting.
    pub fn end(&self, within: Option<core::time::Duration>) -> impl Future<Output = Closed> + Send + 'static {
        self.sender.end(within)
    }

    /// The final word, when it has come.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub fn closed(&self) -> impl Future<Output = Closed> + Send + 'static {
        closed(self.hub().clone())
    }

    /// Messages that carry values of your own types, encoded by `C`, such as `Json` or `BrowserJson`.
    #[cfg(any(
        feature = "json",
        all(feature = "browser-json", target_family = "wasm", target_os = "unknown")
    ))]
    #[must_use]
    pub fn typed<Out, In, C: Codec>(&self) -> Typed<Out, In, C> {
        let (sender, receiver) = self.split();
        Typed::new(sender, receiver)
    }

    /// The client for host values (`Blob`, `ArrayBuffer`), on the thread that has opened the
    /// connection.
    ///
    /// # Errors
    ///
    /// [`OffThread`] on any other thread.
    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    pub fn local(&self) -> Result<LocalClient, OffThread> {
        LocalClient::of(self.hub(), self.sender.close_options())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &address::shown(&self.url))
            .field("ready_state", &self.ready_state())
            .finish_non_exhaustive()
    }
}

/// The final word of `hub`, when it has come.
fn closed(hub: Arc<Hub>) -> impl Future<Output = Closed> + Send + 'static {
    Wait::new(hub, Hub::poll_closed, Hub::leave_watchers)
}
