//! Channels of tidegate mode: [`Channel`] and those that the peer opens.

mod halves;
#[cfg(any(feature = "json", all(feature = "browser-json", target_family = "wasm", target_os = "unknown")))]
mod typed;

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use futures_channel::oneshot;
use futures_core::Stream;

use self::halves::Keep;
pub use self::halves::{ChannelClosing, ChannelReceiver, ChannelSender};
#[cfg(any(
    feature = "json",
    all(feature = "browser-json", target_family = "wasm", target_os = "unknown")
))]
pub use self::typed::{TypedChannel, TypedChannelReceiver, TypedChannelSender};
use super::error::{SendError, TryRecvError};
use super::flush::NotSent;
use super::message::Message;
use super::sender::{Sending, Ticket};
use super::{Client, Mode};
use crate::driver::hub::{Accepted, Opening};
use crate::driver::{ChannelEnd, Command, Hub, SendOptions};
use crate::proto::v1::{ChannelCode, OpenError};
use crate::proto::{Priority, SendLimits, Stats};

/// How a channel is opened.
///
/// # Examples
///
/// ```
/// let options = tidegate::ChannelOptions::bulk();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct ChannelOptions {
    priority: Priority,
    limits: SendLimits,
}

impl ChannelOptions {
    /// Priority normal, and the default bounds of a send queue.
    pub fn new() -> Self {
        Self { priority: Priority::Normal, limits: SendLimits::default() }
    }

    /// With [`Priority::Urgent`].
    pub fn urgent() -> Self {
        Self::new().priority(Priority::Urgent)
    }

    /// With [`Priority::Bulk`].
    pub fn bulk() -> Self {
        Self::new().priority(Priority::Bulk)
    }

    /// With [`Priority::Background`].
    pub fn background() -> Self {
        Self::new().priority(Priority::Background)
    }

    /// The class of everything that this side sends on the channel. The peer is asked to answer in the same.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How much may be queued and unacknowledged on this channel. Default [`SendLimits::default`].
    pub fn send_limits(mut self, limits: SendLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a channel was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelError {
    /// The connection is in plain mode: its server speaks no `tidegate.v1`, or was not asked to.
    Plain,
    /// A name is needed: what has none carries the messages of the connection itself.
    NoName,
    /// The name is longer than the peer takes; so many bytes of UTF-8 at most.
    NameTooLong(u32),
    /// The connection is closing or closed, or its peer is going away.
    Closed,
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("channels need a peer that speaks tidegate.v1"),
            Self::NoName => f.write_str("a channel needs a name"),
            Self::NameTooLong(most) => {
                write!(f, "the name is longer than the {most} bytes that the peer takes")
            }
            Self::Closed => f.write_str("the connection is closing or closed"),
        }
    }
}

impl core::error::Error for ChannelError {}

impl From<OpenError> for ChannelError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NameTooLong(most) => Self::NameTooLong(most),
            // None is sent.
            OpenError::Closing | OpenError::MetaTooLong(_) | OpenError::BadMeta(_) => Self::Closed,
        }
    }
}

/// Messages both ways under a name, beside others on the same connection and independent of them: a channel whose reader
/// is slow holds up its own writer only.
///
/// Dropping it closes both directions: what is queued still goes, and the peer is asked to stop.
///
/// # Examples
///
/// ```no_run
/// use tidegate::{ChannelOptions, Client, Mode};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("wss://example.com/live").mode(Mode::Tidegate).connect().await?;
/// let photos = client.channel("photos", ChannelOptions::bulk()).await?;
/// photos.send(vec![0; 5_000_000]).await?;
/// client.send("in between").await?;
/// let answer = photos.recv().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Channel {
    sender: ChannelSender,
    receiver: ChannelReceiver,
}

impl Channel {
    fn new(hub: &Arc<Hub>, name: &str, priority: Priority, close_within: Option<Duration>) -> Self {
        let keep = || Keep::new(hub.main().unwrap_or(hub), close_within);
        Self {
            sender: ChannelSender::new(hub, name, priority, keep()),
            receiver: ChannelReceiver::new(hub, keep()),
        }
    }

    /// Its two halves, each of which can go where the other is not.
    #[must_use]
    pub fn split(self) -> (ChannelSender, ChannelReceiver) {
        (self.sender, self.receiver)
    }

    /// The sending half.
    #[must_use]
    pub fn sender(&self) -> &ChannelSender {
        &self.sender
    }

    /// The receiving half.
    #[must_use]
    pub fn receiver(&self) -> &ChannelReceiver {
        &self.receiver
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.sender.name()
    }

    /// See [`ChannelSender::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send(&self, message: impl Into<Message>) -> Sending<'_> {
        self.sender.send(message)
    }

    /// See [`ChannelSender::send_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_with(&self, message: impl Into<Message>, options: SendOptions) -> Sending<'_> {
        self.sender.send_with(message, options)
    }

    /// See [`ChannelSender::try_send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<Ticket, SendError> {
        self.sender.try_send(message)
    }

    /// See [`ChannelSender::try_send_with`].
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

    /// See [`ChannelSender::accepted`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub fn accepted(&self) -> impl Future<Output = Result<(), ChannelEnd>> + Send + 'static {
        self.sender.accepted()
    }

    /// See [`ChannelSender::stats`].
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.sender.stats()
    }

    /// See [`ChannelReceiver::recv`].
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn recv(&self) -> Option<Message> {
        self.receiver.recv().await
    }

    /// See [`ChannelReceiver::try_recv`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_recv(&self) -> Result<Message, TryRecvError> {
        self.receiver.try_recv()
    }

    /// See [`ChannelSender::flushed`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn flushed(&self) -> impl Future<Output = Result<(), NotSent>> + Send + 'static {
        self.sender.flushed()
    }

    /// See [`ChannelSender::close`].
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub fn close(&self) -> ChannelClosing {
        self.sender.close()
    }

    /// Wants nothing of it in either direction: for a channel that the peer has opened and nobody here knows. It is told
    /// [`ChannelCode::Refused`], with `detail`, up to 1,024 bytes.
    ///
    /// One that is dropped ends too, with [`ChannelCode::Cancelled`], but what was queued on it still goes.
    pub fn refuse(self, detail: impl Into<Vec<u8>>) {
        let detail = detail.into();
        self.sender.reset(ChannelCode::Refused, detail.clone());
        self.receiver.stop(ChannelCode::Refused, detail);
    }

    /// The same channel with values of your own types, encoded by `C`, such as `Json` or `BrowserJson`; of a channel that was
    /// opened here or by the peer.
    #[cfg(any(
        feature = "json",
        all(feature = "browser-json", target_family = "wasm", target_os = "unknown")
    ))]
    #[must_use]
    pub fn typed<Out: ?Sized, In, C: super::Codec>(self) -> TypedChannel<Out, In, C> {
        TypedChannel::new(self)
    }
}

impl Stream for Channel {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

/// The channels that the peer opens, in their order: a `Stream`. Several share them, each channel goes to one.
///
/// What nobody takes waits, with what its peer may send before it was accepted by anybody.
pub struct Channels {
    main: Arc<Hub>,
    close_within: Option<Duration>,
    key: Option<u64>,
}

impl Channels {
    /// The next channel; `None` when the connection is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no channel.
    pub async fn accept(&mut self) -> Option<Channel> {
        core::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<Channel>> {
        let offered = self.main.poll_offered(&mut self.key, cx.waker());
        offered.map(|offered| {
            let Accepted { hub, name, priority } = offered?;
            // It was opened by the peer, so that nothing is left to be accepted.
            hub.set_accepted();
            Some(Channel::new(&hub, &name, priority, self.close_within))
        })
    }
}

impl Stream for Channels {
    type Item = Channel;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Channel>> {
        self.poll_accept(cx)
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        self.main.leave_acceptors(&mut self.key);
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").finish_non_exhaustive()
    }
}

/// Tidegate mode, feature `v1`.
impl Client {
    /// Whether this connection is in plain or in tidegate mode; never [`Mode::Auto`].
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.hub().is_tidegate() { Mode::Tidegate } else { Mode::Plain }
    }

    /// Opens a channel. It can be used at once: what is sent goes with the opening, up to what the peer takes without
    /// having been asked; whether it was accepted, [`ChannelSender::accepted`] tells.
    ///
    /// As long as the peer's limit of channels is reached, what is sent waits for another to end.
    ///
    /// # Errors
    ///
    /// [`ChannelError`]. Nothing was opened.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens no channel, or closes it again.
    pub async fn channel(&self, name: &str, options: ChannelOptions) -> Result<Channel, ChannelError> {
        if name.is_empty() {
            return Err(ChannelError::NoName);
        }
        let main = self.hub();
        let hub = Hub::channel(main, options.limits);
        // Made before the answer, so that it is closed when this future is dropped.
        let channel = Channel::new(&hub, name, options.priority, self.sender.close_deadline());
        let (reply, answer) = oneshot::channel();
        let (name, priority) = (name.to_owned(), options.priority);
        main.command(Command::Open(Box::new(Opening { hub, name, priority, reply })));
        match answer.await {
            Ok(Some(Ok(()))) => Ok(channel),
            Ok(Some(Err(error))) => Err(error.into()),
            Ok(None) => Err(ChannelError::Plain),
            Err(oneshot::Canceled) => Err(ChannelError::Closed),
        }
    }

    /// The channels that the peer opens. In plain mode there are none. This does not keep the connection open, but
    /// each channel that is taken does.
    #[must_use]
    pub fn channels(&self) -> Channels {
        Channels { main: self.hub().clone(), close_within: self.sender.close_deadline(), key: None }
    }
}
