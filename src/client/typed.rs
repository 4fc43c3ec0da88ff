//! Messages that carry values of the application's own types.

use core::fmt;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{SendError, TryRecvError};
use super::flush::NotSent;
use super::message::{Message, Outline};
use super::{Receiver, SendOptions, Sender, Sending, Ticket};
use crate::proto::{Amount, Closed, Stats};

/// Turns values into messages and back.
pub trait Codec {
    /// The message of a value.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if the value has no form in this encoding.
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message, EncodeError>;

    /// The value of a message.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] with the message, if it is not a `T` in this encoding.
    fn decode<T: DeserializeOwned>(message: Message) -> Result<T, DecodeError>;
}

type BoxError = Box<dyn core::error::Error + Send + Sync>;

/// A value has no form in the encoding. Nothing was sent.
#[derive(Debug)]
pub struct EncodeError(BoxError);

impl EncodeError {
    /// Wraps what the encoder says.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value cannot be encoded")
    }
}

impl core::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// A message is not a value of the wanted type. The connection goes on. `Debug` shows no more of it than its kind and
/// size, and what the decoder says.
pub struct DecodeError {
    error: BoxError,
    message: Message,
}

impl DecodeError {
    /// Wraps what the decoder says of `message`.
    pub fn new(error: impl Into<BoxError>, message: Message) -> Self {
        Self { error: error.into(), message }
    }

    pub(super) fn unsuited(what: &str, message: Message) -> Self {
        Self::new(format!("the message is {what}"), message)
    }

    /// The message as it came.
    #[must_use]
    pub fn into_message(self) -> Message {
        self.message
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DecodeError").field(&Outline(&self.message)).field(&self.error).finish()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message cannot be decoded")
    }
}

impl core::error::Error for DecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&*self.error)
    }
}

/// Why a value was not queued.
#[derive(Debug)]
#[non_exhaustive]
pub enum TypedSendError {
    /// It has no form in the encoding.
    Encode(EncodeError),
    /// Its message was not taken.
    Send(SendError),
}

impl fmt::Display for TypedSendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TypedSendError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Encode(error) => error.source(),
            Self::Send(error) => error.source(),
        }
    }
}

/// Both halves of a typed connection: sends `Out`, receives `In`.
///
/// # Examples
///
/// ```no_run
/// # async fn example(client: tidegate::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use serde::{Deserialize, Serialize};
/// use tidegate::Json;
///
/// #[derive(Serialize)]
/// struct Say { text: String }
/// #[derive(Deserialize)]
/// struct Said { by: String, text: String }
///
/// let chat = client.typed::<Say, Said, Json>();
/// chat.send(&Say { text: "hello".into() }).await?;
/// while let Some(said) = chat.recv().await {
///     let said = said?;
///     println!("{}: {}", said.by, said.text);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Typed<Out: ?Sized, In, C> {
    sender: TypedSender<Out, C>,
    receiver: TypedReceiver<In, C>,
}

impl<Out, In, C: Codec> Typed<Out, In, C> {
    pub(super) fn new(sender: Sender, receiver: Receiver) -> Self {
        Self { sender: TypedSender::new(sender), receiver: TypedReceiver::new(receiver) }
    }

    /// The two halves apart.
    #[must_use]
    pub fn split(self) -> (TypedSender<Out, C>, TypedReceiver<In, C>) {
        (self.sender, self.receiver)
    }

    /// Queues a value; see [`TypedSender::send`].
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

    /// Queues a value with a priority, a flow, a deadline, or as the latest of a key; see
    /// [`TypedSender::send_with`].
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

    /// Queues a value if there is room now; see [`TypedSender::try_send`].
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

    /// As [`send_with`](Self::send_with), if there is room now; see [`TypedSender::try_send_with`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_send_with(&self, value: &Out, options: SendOptions) -> Result<Ticket, TypedSendError>
    where
        Out: Serialize,
    {
        self.sender.try_send_with(value, options)
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
        self.sender.sender.flushed()
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
        self.sender.sender.drained()
    }

    /// Tells the queue how much the server has received, in bytes of payload; see [`Sender::acknowledged`].
    pub fn acknowledged(&self, bytes: u64) {
        self.sender.sender.acknowledged(bytes);
    }

    /// The numbers of the connection, now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.sender.sender.stats()
    }

    /// The next value; see [`TypedReceiver::recv`].
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

    /// A value that is there already; see [`TypedReceiver::try_recv`].
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

    /// What was received and dropped so far for want of room; see [`Receiver::dropped`].
    #[must_use]
    pub fn dropped(&self) -> Amount {
        self.receiver.receiver.dropped()
    }

    /// The final word, when it has come.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub fn closed(&self) -> impl Future<Output = Closed> + Send + 'static {
        self.sender.sender.closed()
    }
}

/// What values are sent by: [`Sender`], or the sending half of a channel.
pub trait SendMessages: sealed::Sealed {
    #[doc(hidden)]
    fn send_message(&self, message: Message, options: SendOptions) -> Sending<'_>;
    #[doc(hidden)]
    fn try_send_message(&self, message: Message, options: SendOptions) -> Result<Ticket, SendError>;
}

/// What values are received by: [`Receiver`], or the receiving half of a channel.
pub trait ReceiveMessages: Stream<Item = Message> + Unpin + sealed::Sealed {
    #[doc(hidden)]
    fn recv_message(&self) -> impl Future<Output = Option<Message>> + Send;
    #[doc(hidden)]
    fn try_recv_message(&self) -> Result<Message, TryRecvError>;
}

pub(super) mod sealed {
    /// Only of this crate's halves.
    pub trait Sealed {}
}

impl sealed::Sealed for Sender {}

impl SendMessages for Sender {
    fn send_message(&self, message: Message, options: SendOptions) -> Sending<'_> {
        self.send_with(message, options)
    }

    fn try_send_message(&self, message: Message, options: SendOptions) -> Result<Ticket, SendError> {
        self.try_send_with(message, options)
    }
}

impl sealed::Sealed for Receiver {}

impl ReceiveMessages for Receiver {
    fn recv_message(&self) -> impl Future<Output = Option<Message>> + Send {
        self.recv()
    }

    fn try_recv_message(&self) -> Result<Message, TryRecvError> {
        self.try_recv()
    }
}

/// Sends values of one type. Clones share one queue.
pub struct TypedSender<Out: ?Sized, C, S = Sender> {
    sender: S,
    marker: PhantomData<fn(&Out, C)>,
}

impl<Out: Serialize + ?Sized, C: Codec, S: SendMessages> TypedSender<Out, C, S> {
    /// Encodes a value and queues it, when there is room.
    ///
    /// # Errors
    ///
    /// [`TypedSendError`]; nothing was queued.
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::send`]: dropped while it waits, nothing was queued.
    pub fn send(
        &self,
        value: &Out,
    ) -> impl Future<Output = Result<Ticket, TypedSendError>> + use<'_, Out, C, S> {
        self.send_with(value, SendOptions::new())
    }

    /// As [`send`](Self::send), with a priority, a flow, a deadline, or as the latest value of a key; see
    /// [`Sender::send_with`]. The value is encoded by the call, and a deadline begins with it.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). A deadline that has passed is none: the ticket then says
    /// [`Outcome::Expired`](crate::Outcome::Expired).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub fn send_with(
        &self,
        value: &Out,
        options: SendOptions,
    ) -> impl Future<Output = Result<Ticket, TypedSendError>> + use<'_, Out, C, S> {
        let sending = C::encode(value).map(|message| self.sender.send_message(message, options));
        async move { sending.map_err(TypedSendError::Encode)?.await.map_err(TypedSendError::Send) }
    }

    /// Encodes a value and queues it if there is room now; see [`Sender::try_send`].
    ///
    /// # Errors
    ///
    /// [`TypedSendError`]; nothing was queued.
    pub fn try_send(&self, value: &Out) -> Result<Ticket, TypedSendError> {
        self.try_send_with(value, SendOptions::new())
    }

    /// As [`try_send`](Self::try_send), with the options of [`send_with`](Self::send_with).
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_send_with(&self, value: &Out, options: SendOptions) -> Result<Ticket, TypedSendError> {
        let message = C::encode(value).map_err(TypedSendError::Encode)?;
        self.sender.try_send_message(message, options).map_err(TypedSendError::Send)
    }
}

impl<Out: ?Sized, C, S> TypedSender<Out, C, S> {
    pub(super) fn new(sender: S) -> Self {
        Self { sender, marker: PhantomData }
    }

    /// The sender of messages below it: for `flushed`, `stats`, `close` and what else that has, and to send what is no
    /// `Out`.
    #[must_use]
    pub fn sender(&self) -> &S {
        &self.sender
    }
}

impl<Out: ?Sized, C, S: Clone> Clone for TypedSender<Out, C, S> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), marker: PhantomData }
    }
}

impl<Out: ?Sized, C, S: fmt::Debug> fmt::Debug for TypedSender<Out, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sender.fmt(f)
    }
}

/// Receives values of one type. A message that is not one is an error item; the next goes on.
pub struct TypedReceiver<In, C, R = Receiver> {
    receiver: R,
    marker: PhantomData<fn(C) -> In>,
}

impl<In: DeserializeOwned, C: Codec, R: ReceiveMessages> TypedReceiver<In, C, R> {
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
        Some(C::decode(self.receiver.recv_message().await?))
    }

    /// A value that is there already, for loops that run once a frame.
    ///
    /// A message that is not a value of this type is an `Ok` with the error in it, as an item of
    /// [`recv`](Self::recv) would be: it is taken, and others may be behind it.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if nothing is there, [`TryRecvError::Closed`] if nothing will be.
    pub fn try_recv(&self) -> Result<Result<In, DecodeError>, TryRecvError> {
        self.receiver.try_recv_message().map(C::decode)
    }
}

impl<In, C, R> TypedReceiver<In, C, R> {
    pub(super) fn new(receiver: R) -> Self {
        Self { receiver, marker: PhantomData }
    }

    /// The receiver of messages below it: for `dropped`, `closed`, `ended` and what else that has.
    #[must_use]
    pub fn receiver(&self) -> &R {
        &self.receiver
    }
}

impl<In: DeserializeOwned, C: Codec, R: ReceiveMessages> Stream for TypedReceiver<In, C, R> {
    type Item = Result<In, DecodeError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.receiver).poll_next(cx).map(|message| message.map(C::decode))
    }
}

impl<In, C, R: fmt::Debug> fmt::Debug for TypedReceiver<In, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.receiver.fmt(f)
    }
}
