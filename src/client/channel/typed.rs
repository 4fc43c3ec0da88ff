//! Channels that carry values of the application's own types.

use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Channel, ChannelClosing, ChannelReceiver, ChannelSender};
use crate::client::error::{SendError, TryRecvError};
use crate::client::typed::sealed::Sealed;
use crate::client::typed::{
    Codec, DecodeError, ReceiveMessages, SendMessages, TypedReceiver, TypedSendError, TypedSender,
};
use crate::client::{Message, SendOptions, Sending, Ticket};

/// A channel on which this side sends `Out` and receives `In`, encoded by `C`. From [`Channel::typed`].
///
/// # Examples
///
/// ```no_run
/// # #[cfg(feature = "json")]
/// # async fn example(client: tidegate::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use serde::{Deserialize, Serialize};
/// use tidegate::{ChannelOptions, Json};
///
/// #[derive(Serialize, Deserialize)]
/// struct Line { text: String }
///
/// let chat = client.channel("chat", ChannelOptions::new()).await?.typed::<Line, Line, Json>();
/// chat.send(&Line { text: "hello".into() }).await?;
/// while let Some(line) = chat.recv().await {
///     println!("{}", line?.text);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TypedChannel<Out: ?Sized, In, C> {
    sender: TypedChannelSender<Out, C>,
    receiver: TypedChannelReceiver<In, C>,
}

impl<Out: ?Sized, In, C: Codec> TypedChannel<Out, In, C> {
    pub(super) fn new(channel: Channel) -> Self {
        let (sender, receiver) = channel.split();
        Self { sender: TypedSender::new(sender), receiver: TypedReceiver::new(receiver) }
    }

    /// Its two halves, each of which can go where the other is not.
    #[must_use]
    pub fn split(self) -> (TypedChannelSender<Out, C>, TypedChannelReceiver<In, C>) {
        (self.sender, self.receiver)
    }

    /// The half that sends messages, below the one that sends values: for `flushed`, `stats`, `close` and `reset`.
    #[must_use]
    pub fn sender(&self) -> &ChannelSender {
        self.sender.sender()
    }

    /// The half that receives messages, below the one that receives values: for `ended` and `stop`.
    #[must_use]
    pub fn receiver(&self) -> &ChannelReceiver {
        self.receiver.receiver()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.sender().name()
    }

    /// See [`TypedChannelSender::send`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub fn send(
        &self,
        value: &Out,
    ) -> impl Future<Output = Result<Ticket, TypedSendError>> + use<'_, Out, In, C>
    where
        Out: Serialize,
    {
        self.sender.send(value)
    }

    /// See [`TypedChannelSender::send_with`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub fn send_with(
        &self,
        value: &Out,
        options: SendOptions,
    ) -> impl Future<Output = Result<Ticket, TypedSendError>> + use<'_, Out, In, C>
    where
        Out: Serialize,
    {
        self.sender.send_with(value, options)
    }

    /// See [`TypedChannelSender::try_send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_send(&self, value: &Out) -> Result<Ticket, TypedSendError>
    where
        Out: Serialize,
    {
        self.sender.try_send(value)
    }

    /// See [`TypedChannelReceiver::recv`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub async fn recv(&self) -> Option<Result<In, DecodeError>>
    where
        In: DeserializeOwned,
    {
        self.receiver.recv().await
    }

    /// See [`TypedChannelReceiver::try_recv`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_recv(&self) -> Result<Result<In, DecodeError>, TryRecvError>
    where
        In: DeserializeOwned,
    {
        self.receiver.try_recv()
    }

    /// See [`ChannelSender::close`].
    ///
    /// # Cancel safety
    ///
    /// As there.
    pub fn close(&self) -> ChannelClosing {
        self.sender().close()
    }
}

impl<Out: ?Sized, In: DeserializeOwned, C: Codec> Stream for TypedChannel<Out, In, C> {
    type Item = Result<In, DecodeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

/// Sends values of one type on a channel.
pub type TypedChannelSender<Out, C> = TypedSender<Out, C, ChannelSender>;

/// Receives values of one type on a channel. A message that is not one is an error item; the next goes on.
pub type TypedChannelReceiver<In, C> = TypedReceiver<In, C, ChannelReceiver>;

impl Sealed for ChannelSender {}

impl SendMessages for ChannelSender {
    fn send_message(&self, message: Message, options: SendOptions) -> Sending<'_> {
        self.send_with(message, options)
    }

    fn try_send_message(&self, message: Message, options: SendOptions) -> Result<Ticket, SendError> {
        self.try_send_with(message, options)
    }
}

impl Sealed for ChannelReceiver {}

impl ReceiveMessages for ChannelReceiver {
    fn recv_message(&self) -> impl Future<Output = Option<Message>> + Send {
        self.recv()
    }

    fn try_recv_message(&self) -> Result<Message, TryRecvError> {
        self.try_recv()
    }
}
