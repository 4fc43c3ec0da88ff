//! The two halves of a channel.

use core::fmt;
use core::pin::Pin;
use core::sync::atomic::{AtomicU8, Ordering};
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use futures_core::Stream;
use futures_sink::Sink;

use crate::client::error::{SendError, SinkError, TryRecvError};
use crate::client::flush::{self, NotSent};
use crate::client::message::Message;
use crate::client::receiver;
use crate::client::sender::{self, Sending, Ticket};
use crate::client::wait::Wait;
use crate::driver::{ChannelEnd, Command, Hub, SendOptions};
use crate::proto::v1::ChannelCode;
use crate::proto::{Amount, Priority, Stats};

/// Keeps the connection open.
pub(super) struct Keep {
    main: Arc<Hub>,
    close_within: Option<Duration>,
}

impl Keep {
    pub(super) fn new(main: &Arc<Hub>, close_within: Option<Duration>) -> Self {
        main.add_user();
        Self { main: main.clone(), close_within }
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.main.remove_user(self.close_within);
    }
}

/// What the clones of a sending half share.
struct Half {
    hub: Arc<Hub>,
    name: Arc<str>,
    priority: AtomicU8,
    // Dropped after the half has said that it ends.
    _keep: Keep,
}

impl Half {
    fn priority(&self) -> Priority {
        let at = usize::from(self.priority.load(Ordering::Relaxed));
        Priority::ALL.get(at).copied().unwrap_or_default()
    }

    /// What is sent on a channel goes in its class, and in its order.
    fn options(&self, options: SendOptions) -> SendOptions {
        options.on_channel(self.priority())
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.hub.command(Command::EndSending(ChannelEnd::Closed));
    }
}

fn number(priority: Priority) -> u8 {
    u8::try_from(priority.index()).unwrap_or(0)
}

/// The sending half of a [`Channel`](crate::Channel). Clones are the same; when the last is dropped the channel is
/// [closed](Self::close).
pub struct ChannelSender {
    half: Arc<Half>,
    // Where this one waits as a `Sink`.
    room: Option<u64>,
    flushed: Option<u64>,
    stopped: Option<u64>,
    /// It was closed as one.
    closes: bool,
}

impl ChannelSender {
    pub(super) fn new(hub: &Arc<Hub>, name: &str, priority: Priority, keep: Keep) -> Self {
        let priority = AtomicU8::new(number(priority));
        Self::of(Arc::new(Half { hub: hub.clone(), name: name.into(), priority, _keep: keep }))
    }

    fn of(half: Arc<Half>) -> Self {
        Self { half, room: None, flushed: None, stopped: None, closes: false }
    }

    /// The name of the channel.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.half.name
    }

    /// Sends a message on this channel: as [`Sender::send`](crate::Sender::send), in the channel's class and order.
    ///
    /// It is cut into chunks, between which those of other channels go, and goes as the peer's application takes
    /// what was sent before. The ticket ends with [`Outcome::Delivered`](crate::Outcome::Delivered) once the peer has all
    /// of it.
    ///
    /// # Errors
    ///
    /// As [`Sender::send`](crate::Sender::send); [`SendError::ChannelClosed`] when the channel was closed or reset here, or
    /// is no longer wanted there, of which [`stopped`](Self::stopped) tells.
    ///
    /// # Cancel safety
    ///
    /// As [`Sender::send`](crate::Sender::send).
    pub fn send(&self, message: impl Into<Message>) -> Sending<'_> {
        self.send_with(message, SendOptions::new())
    }

    /// [`send`](Self::send) with a deadline, or as the newest of a key. Priority and flow of the options do not count: the
    /// channel has its own.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_with(&self, message: impl Into<Message>, options: SendOptions) -> Sending<'_> {
        Sending::new(&self.half.hub, message.into(), self.half.options(options))
    }

    /// Queues a message if there is room for it now.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::Full`]. The message is given back.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<Ticket, SendError> {
        self.try_send_with(message, SendOptions::new())
    }

    /// [`try_send`](Self::try_send) as [`send_with`](Self::send_with) has it.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_send_with(
        &self,
        message: impl Into<Message>,
        options: SendOptions,
    ) -> Result<Ticket, SendError> {
        sender::try_send(&self.half.hub, message.into(), self.half.options(options))
    }

    /// Resolves when each message that was queued before has ended: mostly since the peer has it, but it may also have expired, been
    /// replaced or taken back, or have gone with the channel's reset. Tickets tell which it was.
    ///
    /// # Errors
    ///
    /// [`NotSent`] if the connection ended first, of which [`Client::closed`](crate::Client::closed) says how much was not sent,
    /// or if the peer has reset the channel over what was on its way, of which [`stopped`](Self::stopped) tells.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub fn flushed(&self) -> impl Future<Output = Result<(), NotSent>> + Send + 'static {
        let flushed = flush::flushed(&self.half.hub);
        async move { flushed.await.map(|_| ()) }
    }

    /// What was taken for sending on this channel and has not ended.
    #[must_use]
    pub fn queued(&self) -> Amount {
        self.half.hub.queued()
    }

    /// The numbers of this channel. Its messages count in the class that it had when they were sent; what the connection
    /// has under way stands in each channel's.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.half.hub.stats().0
    }

    /// Resolves when the peer has accepted the channel. At once for one that the peer has opened. Nothing has to wait
    /// for it: what is sent before goes with the opening.
    ///
    /// It is tidegate at the other end, or whoever speaks for it, that accepts, as soon as it may: whether the application there
    /// has looked at the channel is told by nothing but what it sends, or by the end of one that it does not want.
    ///
    /// # Errors
    ///
    /// How the channel has ended instead.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub fn accepted(&self) -> impl Future<Output = Result<(), ChannelEnd>> + Send + 'static {
        Wait::new(self.half.hub.clone(), Hub::poll_accepted, Hub::leave_watchers)
    }

    /// Resolves when what is sent on this channel has ended, with how that has come: [`ChannelEnd::Closed`] if it was
    /// closed here and the peer has acknowledged everything and the end; [`ChannelEnd::Reset`] if one of the two has reset
    /// it, at once for this side's own reset; [`ChannelEnd::ConnectionOver`] if the connection ended first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub fn stopped(&self) -> impl Future<Output = ChannelEnd> + Send + 'static {
        Wait::new(self.half.hub.clone(), Hub::poll_stopped, Hub::leave_watchers)
    }

    /// The class of what is sent.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.half.priority()
    }

    /// What is sent goes in another class from now on, what is queued included.
    pub fn set_priority(&self, priority: Priority) {
        self.half.priority.store(number(priority), Ordering::Relaxed);
        self.half.hub.command(Command::Prefer(priority));
    }

    /// Sends nothing more; what is queued goes first, and then the peer sees the end. The other direction goes on. It begins
    /// with the call; awaiting gives what [`stopped`](Self::stopped) does: [`ChannelEnd::Closed`] once the peer has
    /// everything and the end of it, else how it has ended instead.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    pub fn close(&self) -> ChannelClosing {
        self.half.hub.end_own(ChannelEnd::Closed);
        ChannelClosing { wait: Wait::new(self.half.hub.clone(), Hub::poll_stopped, Hub::leave_watchers) }
    }

    /// Sends nothing more at once: what is queued ends as [`Outcome::Cancelled`](crate::Outcome::Cancelled), and the peer
    /// drops the message of which it has a part. `detail` goes with it, up to 1,024 bytes; the rest is cut off.
    ///
    /// Behind [`close`](Self::close) it cuts off what has not gone by then, if the end has not.
    pub fn reset(&self, code: ChannelCode, detail: impl Into<Vec<u8>>) {
        let mut detail = detail.into();
        detail.truncate(LONGEST_DETAIL);
        self.half.hub.end_own(ChannelEnd::Reset { code, detail });
    }
}

impl Clone for ChannelSender {
    fn clone(&self) -> Self {
        Self::of(self.half.clone())
    }
}

impl Drop for ChannelSender {
    fn drop(&mut self) {
        let hub = &self.half.hub;
        hub.leave_sinks(&mut self.room);
        hub.leave_flushers(&mut self.flushed);
        hub.leave_watchers(&mut self.stopped);
    }
}

/// For `SinkExt`. Flushing waits until each message that was queued has ended; closing sends what is queued, ends what is
/// sent on the channel, and waits until the peer has all of it. [`SinkError::Lost`] says that it has not, of which
/// [`stopped`](ChannelSender::stopped) tells more. The other direction goes on. Tickets are not given.
///
/// Through `&mut ChannelSender`, `send` and `close` of `SinkExt` come before those of [`ChannelSender`].
impl Sink<Message> for ChannelSender {
    type Error = SinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let this = &mut *self;
        let options = this.half.options(SendOptions::new());
        match this.half.hub.poll_room(&options, &mut this.room, cx.waker()) {
            Poll::Pending => Poll::Pending,
            // There is no message to give back yet; `start_send` gives back its own.
            Poll::Ready(_) => Poll::Ready(Ok(())),
        }
    }

    /// A message larger than the room that `poll_ready` found is taken none the less.
    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SinkError> {
        let options = self.half.options(SendOptions::new());
        sender::send_now(&self.half.hub, message, options).map_err(SinkError::Refused)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let this = &mut *self;
        let flushed = this.half.hub.poll_flushed(&mut this.flushed, cx.waker());
        // Without a ticket nobody else would be told of what a reset has thrown away.
        flushed.map(|all| if all && !this.half.hub.is_reset() { Ok(()) } else { Err(SinkError::Lost) })
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let this = &mut *self;
        // Who waits for room is woken by a close, this one as well if it has waited and given that up.
        this.half.hub.leave_sinks(&mut this.room);
        if !core::mem::replace(&mut this.closes, true) {
            drop(this.close());
        }
        let stopped = this.half.hub.poll_stopped(&mut this.stopped, cx.waker());
        stopped.map(|end| if end == ChannelEnd::Closed { Ok(()) } else { Err(SinkError::Lost) })
    }
}

/// PROTOCOL section 5.3: the most that goes with a RESET, in bytes.
const LONGEST_DETAIL: usize = 1_024;

/// A close of what is sent on a channel, which has begun: what [`ChannelSender::close`] gives. Awaiting it tells how that
/// has ended; dropping it only stops waiting.
pub struct ChannelClosing {
    wait: Wait<ChannelEnd>,
}

impl Future for ChannelClosing {
    type Output = ChannelEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ChannelEnd> {
        self.wait.poll_ask(cx)
    }
}

impl fmt::Debug for ChannelClosing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelClosing").finish_non_exhaustive()
    }
}

impl fmt::Debug for ChannelSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelSender")
            .field("name", &self.name())
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}

/// The receiving half of a [`Channel`](crate::Channel): a `Stream` of messages, which ends when the peer sends nothing more. Dropping it
/// before asks the peer to stop; what has come and was not taken is released.
pub struct ChannelReceiver {
    hub: Arc<Hub>,
    key: Option<u64>,
    // Dropped after the half has said that it ends.
    _keep: Keep,
}

impl ChannelReceiver {
    pub(super) fn new(hub: &Arc<Hub>, keep: Keep) -> Self {
        Self { hub: hub.clone(), key: None, _keep: keep }
    }

    /// The next message; `None` when the peer sends nothing more, of which [`ended`](Self::ended) tells.
    ///
    /// What is not taken keeps the peer from sending more than the channel's window, and no other channel from
    /// anything.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no message.
    pub async fn recv(&self) -> Option<Message> {
        receiver::recv(&self.hub).await
    }

    /// A message that is there.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    pub fn try_recv(&self) -> Result<Message, TryRecvError> {
        receiver::try_recv(&self.hub)
    }

    /// How what is received has ended, once it has. What came before may still wait to be taken.
    #[must_use]
    pub fn ended(&self) -> Option<ChannelEnd> {
        self.hub.ended()
    }

    /// Asks the peer to send nothing more, and why; `detail` has up to 1,024 bytes, and the rest is cut off. What is there
    /// can still be taken.
    pub fn stop(&self, code: ChannelCode, detail: impl Into<Vec<u8>>) {
        let mut detail = detail.into();
        detail.truncate(LONGEST_DETAIL);
        self.hub.command(Command::EndReceiving(ChannelEnd::Reset { code, detail: detail.clone() }));
        self.hub.end_receiving(ChannelEnd::Reset { code, detail });
    }
}

impl Stream for ChannelReceiver {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let this = &mut *self;
        receiver::poll_next(&this.hub, &mut this.key, cx)
    }
}

impl Drop for ChannelReceiver {
    fn drop(&mut self) {
        self.hub.leave_readers(&mut self.key);
        let (code, detail) = (ChannelCode::Cancelled, Vec::new());
        self.hub.command(Command::EndReceiving(ChannelEnd::Reset { code, detail }));
        self.hub.drop_received();
    }
}

impl fmt::Debug for ChannelReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelReceiver").field("ended", &self.ended()).finish_non_exhaustive()
    }
}
