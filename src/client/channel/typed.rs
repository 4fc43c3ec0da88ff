//! Channels that carry values of the application's own types.

use core::fmt;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Channel, ChannelReceiver, ChannelSender};
use crate::client::error::TryRecvError;
use crate::client::typed::{Codec, DecodeError, TypedSendError};
use crate::client::{SendOptions, Ticket};

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
        Self {
            sender: TypedChannelSender { sender, marker: PhantomData },
            receiver: TypedChannelReceiver { receiver, marker: PhantomData },
        }
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
    pub fn close(&self) {
        self.sender().close();
    }
}

impl<Out: ?Sized, In: DeserializeOwned, C: Codec> Stream for TypedChannel<Out, In, C> {
    type Item = Result<In, DecodeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

/// Sends values of one type on a channel.
pub struct TypedChannelSender<Out: ?Sized, C> {
    sender: ChannelSender,
    marker: PhantomData<fn(&Out, C)>,
}

impl<Out: Serialize + ?Sized, C: Codec> TypedChannelSender<Out, C> {
    /// Encodes a value and queues it, when there is room.
    ///
    /// # Errors
    ///
    /// [`TypedSendError`]; nothing was queued.
    ///
    /// # Cancel safety
    ///
    /// As [`ChannelSender::send`]: dropped while it waits, nothing was queued.
    pub fn send(
        &self,
        value: &Out,
    ) -> impl Future<Output = Result<Ticket, TypedSendError>> + use<'_, Out, C> {
        self.send_with(value, SendOptions::new())
    }

    /// As [`send`](Self::send), with a deadline or as the latest value of a key; see [`ChannelSender::send_with`].
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub fn send_with(
        &self,
        value: &Out,
        options: SendOptions,
    ) -> impl Future<Output = Result<Ticket, TypedSendError>> + use<'_, Out, C> {
        let sending = C::encode(value).map(|message| self.sender.send_with(message, options));
        async move { sending.map_err(TypedSendError::Encode)?.await.map_err(TypedSendError::Send) }
    }

    /// Encodes a value and queues it if there is room now; see [`ChannelSender::try_send`].
    ///
    /// # Errors
    ///
    /// [`TypedSendError`]; nothing was queued.
    pub fn try_send(&self, value: &Out) -> Result<Ticket, TypedSendError> {
        let message = C::encode(value).map_err(TypedSendError::Encode)?;
        self.sender.try_send(message).map_err(TypedSendError::Send)
    }
}

impl<Out: ?Sized, C> TypedChannelSender<Out, C> {
    /// The half that sends messages: for `flushed`, `stats`, `close`, `reset`, and to send what is no `Out`.
    #[must_use]
    pub fn sender(&self) -> &ChannelSender {
        &self.sender
    }
}

impl<Out: ?Sized, C> fmt::Debug for TypedChannelSender<Out, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sender.fmt(f)
    }
}

/// Receives values of one type on a channel. A message that is not one is an error item; the next goes on.
pub struct TypedChannelReceiver<In, C> {
    receiver: ChannelReceiver,
    marker: PhantomData<fn(C) -> In>,
}

impl<In: DeserializeOwned, C: Codec> TypedChannelReceiver<In, C> {
    /// The next value; `None` after the last.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] with the message, if it is not a value of this type.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub async fn recv(&self) -> Option<Result<In, DecodeError>> {
        Some(C::decode(self.receiver.recv().await?))
    }

    /// A value that is there already, for loops that run once a frame. One that cannot be decoded is an `Ok` with the error
    /// in it: it is taken, and others may be behind it.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if nothing is there, [`TryRecvError::Closed`] if nothing will be.
    pub fn try_recv(&self) -> Result<Result<In, DecodeError>, TryRecvError> {
        self.receiver.try_recv().map(C::decode)
    }
}

impl<In, C> TypedChannelReceiver<In, C> {
    /// The half that receives messages: for `ended` and `stop`.
    #[must_use]
    pub fn receiver(&self) -> &ChannelReceiver {
        &self.receiver
    }
}

impl<In: DeserializeOwned, C: Codec> Stream for TypedChannelReceiver<In, C> {
    type Item = Result<In, DecodeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx).map(|message| message.map(C::decode))
    }
}

impl<In, C> fmt::Debug for TypedChannelReceiver<In, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.receiver.fmt(f)
    }
}
