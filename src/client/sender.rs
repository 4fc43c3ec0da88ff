//! The sending half, and the ticket of each message.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;

use super::close::{CloseOptions, Closing};
use super::error::{ReserveError, SendError, SinkError};
use super::flush::NotSent;
use super::message::Message;
use super::permit::Permit;
use super::stats::StatsChanges;
use crate::driver::hub::NoRoom;
use crate::driver::outbox::Outgoing;
use crate::driver::{Command, Hub, SendOptions};
use crate::proto::{Closed, Outcome, Payload, Stats, TicketId};
use crate::transport::TransportError;

/// Sends messages on one connection. Clones share one queue.
pub struct Sender {
    hub: Arc<Hub>,
    close: CloseOptions,
    room: Option<u64>,
    flushed: Option<u64>,
    closed: Option<u64>,
    /// It was closed as a `Sink`.
    closes: bool,
}

impl Sender {
    pub(crate) fn new(hub: Arc<Hub>, close: CloseOptions) -> Self {
        hub.add_user();
        Self { hub, close, room: None, flushed: None, closed: None, closes: false }
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// How long a close takes at most that says nothing else.
    #[cfg(feature = "v1")]
    pub(super) fn close_deadline(&self) -> Option<Duration> {
        self.close.deadline()
    }

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    pub(crate) fn close_options(&self) -> CloseOptions {
        self.close.clone()
    }

    /// Queues a message, when there is room for it; gives a [`Ticket`] for its outcome.
    ///
    /// Messages leave in the order in which they were queued, but for [priorities](Self::send_with). A message
    /// larger than the queue's bound in bytes is taken when nothing else of its priority is queued. Those who
    /// wait for room get it in turn.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] once the connection is closing; [`SendError::ForeignBlob`] and
    /// [`SendError::Unsupported`] for messages that can never be sent here. Each gives the message
    /// back, and the connection stays as it is.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, nothing was queued, the message is dropped with it, and whoever
    /// waits next gets the room. Once ready, the message is queued whatever happens to the ticket.
    pub fn send(&self, message: impl Into<Message>) -> Sending<'_> {
        self.send_with(message, SendOptions::new())
    }

    /// As [`send`](Self::send), with a priority, a flow, a deadline, or as the latest value of a key.
    ///
    /// It waits in line with those of its own priority and flow only, so that a waiting upload keeps no urgent
    /// message waiting.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). A deadline that has passed, for want of room also, is none: the message is dropped
    /// and the ticket says [`Outcome::Expired`].
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub fn send_with(&self, message: impl Into<Message>, options: SendOptions) -> Sending<'_> {
        Sending::new(&self.hub, message.into(), options)
    }

    /// Queues a message if there is room for it now. A [`send`](Self::send) of the same priority and flow that waits
    /// for room is not overtaken; those of others may be.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if there is none, and what [`send`](Self::send) gives; the message is
    /// given back.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<Ticket, SendError> {
        self.try_send_with(message, SendOptions::new())
    }

    /// As [`try_send`](Self::try_send), with the options of [`send_with`](Self::send_with).
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_send_with(
        &self,
        message: impl Into<Message>,
        options: SendOptions,
    ) -> Result<Ticket, SendError> {
        try_send(&self.hub, message.into(), options)
    }

    /// Waits for room for one message of up to `bytes` bytes, and keeps it: for a message that is to be made
    /// only when it can go, such as the newest state.
    ///
    /// # Errors
    ///
    /// [`ReserveError`] once the connection is closing. A deadline in `options` counts from [`Permit::send`] on and
    /// ends no wait for room.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits, nothing was kept, and whoever waits next gets the room.
    pub async fn reserve(&self, bytes: u64, options: SendOptions) -> Result<Permit, ReserveError> {
        let mut waiting = Reserving { hub: &self.hub, options: &options, key: None };
        let reserved = core::future::poll_fn(|cx| {
            waiting.hub.poll_reserve(waiting.options, bytes, &mut waiting.key, cx.waker())
        });
        match reserved.await {
            Ok(reserved) => {
                drop(waiting);
                Ok(Permit::new(&self.hub, options, reserved))
            }
            Err(_) => Err(ReserveError),
        }
    }

    /// Waits until all that is queued now has left the queue: it has been handed over, or was dropped (cancelled,
    /// expired, superseded, an unreadable Blob). What is queued later is not waited for.
    ///
    /// # Errors
    ///
    /// [`NotSent`] if the connection ended first.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time. The mark is set by the call, not by the first poll.
    pub fn flushed(&self) -> impl Future<Output = Result<(), NotSent>> + Send + 'static {
        let flushed = super::flush::flushed(&self.hub);
        async move { flushed.await.map(|_| ()) }
    }

    /// As [`flushed`](Self::flushed), and then until the transport's own buffer has let go of it as well: in a
    /// browser what `bufferedAmount` counts, on the host what waits to be written. Nobody but the peer can say
    /// whether it has arrived.
    ///
    /// # Errors
    ///
    /// As [`flushed`](Self::flushed); and if the connection ended before the buffer was seen without it, however it ended:
    /// nobody can say then whether all of it was sent.
    ///
    /// # Cancel safety
    ///
    /// As [`flushed`](Self::flushed).
    pub fn drained(&self) -> impl Future<Output = Result<(), NotSent>> + Send + 'static {
        super::flush::drained(&self.hub)
    }

    /// Tells the queue that the server has received the first `bytes` bytes of payload of all messages that this
    /// connection has sent (text counts in UTF-8), as the server itself has said by some message of the
    /// application's.
    ///
    /// From the first call on, also one with 0 right after connecting, the queue keeps so little under way that an
    /// urgent message waits some 12 ms in front of the link, or for one message where that is more, and not for
    /// the megabyte that browsers and kernels hide; the link stays full. The server should answer
    /// often, at best each message, and count all of them. Less than before says nothing, and neither does
    /// more than was sent. Where nothing is acknowledged for a second, or four round trips, the queue goes
    /// by what the browser says again until something is.
    pub fn acknowledged(&self, bytes: u64) {
        self.hub.command(Command::Acknowledged(bytes));
    }

    /// The numbers of the connection, now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.hub.stats().0
    }

    /// The numbers of the connection whenever they have changed.
    pub fn stats_changes(&self) -> StatsChanges {
        StatsChanges::new(&self.hub)
    }

    /// How many messages are queued and not handed over, and their size in bytes.
    #[must_use]
    pub fn queued(&self) -> crate::proto::Amount {
        self.hub.queued()
    }

    /// Sends what is queued, then closes; see [`Client::close`](super::Client::close).
    ///
    /// # Errors
    ///
    /// [`CloseError`](super::CloseError) if code or reason may not be sent.
    pub fn close(&self, code: u16, reason: &str) -> Closing {
        self.close_with(self.close.clone().code(code).reason(reason))
    }

    /// Closes as `options` say.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub fn close_with(&self, options: CloseOptions) -> Closing {
        Closing::begin(&self.hub, options)
    }

    /// Stops sending: what is queued goes out, nothing more is taken. Receiving goes on until the
    /// peer closes, or until `within` is over; then this side closes with 1000. `None`: for as long as it takes.
    ///
    /// This is how to read a peer's last words: after a `close` browsers deliver nothing more.
    ///
    /// # Cancel safety
    ///
    /// The end begins with the call; dropping the future only stops waiting.
    pub fn end(&self, within: Option<Duration>) -> impl Future<Output = Closed> + Send + 'static {
        self.hub.begin_close(Command::End { within, close_within: self.close.deadline() });
        super::closed(self.hub.clone())
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

impl Clone for Sender {
    fn clone(&self) -> Self {
        Self::new(self.hub.clone(), self.close.clone())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.hub.leave_sinks(&mut self.room);
        self.hub.leave_flushers(&mut self.flushed);
        self.hub.leave_watchers(&mut self.closed);
        self.hub.remove_user(self.close.deadline());
    }
}

/// For `SinkExt`. Flushing waits until the transport has everything that was queued; closing
/// sends what is queued and closes with 1000. Tickets are not given.
///
/// `forward` closes the sink at its end, and after a close nothing more is received: where answers are
/// still to come, use `send_all` and then [`end`](super::Client::end).
///
/// Through `&mut Sender`, `send` and `close` of `SinkExt` come before those of [`Sender`].
impl futures_sink::Sink<Message> for Sender {
    type Error = SinkError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let this = &mut *self;
        match this.hub.poll_room(&SendOptions::new(), &mut this.room, cx.waker()) {
            Poll::Pending => Poll::Pending,
            // There is no message to give back yet; `start_send` gives back its own.
            Poll::Ready(_) => Poll::Ready(Ok(())),
        }
    }

    /// A message larger than the room that `poll_ready` found is taken none the less.
    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SinkError> {
        send_now(&self.hub, message, SendOptions::new()).map_err(SinkError::Refused)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let this = &mut *self;
        let flushed = this.hub.poll_flushed(&mut this.flushed, cx.waker());
        flushed.map(|all| if all { Ok(()) } else { Err(SinkError::Lost) })
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SinkError>> {
        let this = &mut *self;
        // Who waits for room is woken by a close, this one as well if it has waited and given that up.
        this.hub.leave_sinks(&mut this.room);
        // Whatever else has ended what is sent, and perhaps nothing besides.
        if !core::mem::replace(&mut this.closes, true) {
            drop(this.close(1000, ""));
        }
        let closed = this.hub.poll_closed(&mut this.closed, cx.waker());
        closed.map(|_| if this.hub.has_lost() { Err(SinkError::Lost) } else { Ok(()) })
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (queued, kept) = (self.queued(), self.hub.kept());
        f.debug_struct("Sender").field("queued", &queued).field("kept", &kept).finish_non_exhaustive()
    }
}

/// Queues a message if there is room now.
pub(super) fn try_send(hub: &Arc<Hub>, message: Message, options: SendOptions) -> Result<Ticket, SendError> {
    let payload = message.into_payload(hub)?;
    match hub.try_send(hub.outgoing(payload, options)) {
        Ok(id) => Ok(Ticket::new(hub, id)),
        Err((why, payload)) => Err(refused(why, payload, hub)),
    }
}

/// Queues a message whether there is room or not, without a ticket.
pub(super) fn send_now(hub: &Arc<Hub>, message: Message, options: SendOptions) -> Result<(), SendError> {
    let payload = message.into_payload(hub)?;
    match hub.send_now(hub.outgoing(payload, options)) {
        Ok(id) => {
            drop(Ticket::new(hub, id));
            Ok(())
        }
        Err((why, payload)) => Err(refused(why, payload, hub)),
    }
}

pub(super) fn refused(why: NoRoom, payload: Payload, hub: &Arc<Hub>) -> SendError {
    let message = Message::from_payload(payload, hub);
    match why {
        NoRoom::Full => SendError::Full(message),
        #[cfg(feature = "v1")]
        NoRoom::Closed if hub.is_channel_closed() => SendError::ChannelClosed(message),
        NoRoom::Closed => SendError::Closed(message),
    }
}

/// A place in the line of those who wait for room, given up when it is dropped.
struct Reserving<'a> {
    hub: &'a Arc<Hub>,
    options: &'a SendOptions,
    key: Option<u64>,
}

impl Drop for Reserving<'_> {
    fn drop(&mut self) {
        self.hub.leave_line(self.options, &mut self.key);
    }
}

/// A message on its way into the queue; what [`Sender::send`] gives.
#[must_use = "the message is queued only when this is awaited"]
pub struct Sending<'a> {
    hub: &'a Arc<Hub>,
    outgoing: Option<Outgoing>,
    error: Option<SendError>,
    /// The place in the line of those who wait for the same room.
    key: Option<u64>,
}

impl<'a> Sending<'a> {
    pub(super) fn new(hub: &'a Arc<Hub>, message: Message, options: SendOptions) -> Self {
        let (outgoing, error) = match message.into_payload(hub) {
            Ok(payload) => (Some(hub.outgoing(payload, options)), None),
            Err(error) => (None, Some(error)),
        };
        Self { hub, outgoing, error, key: None }
    }
}

impl Future for Sending<'_> {
    type Output = Result<Ticket, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(error) = this.error.take() {
            return Poll::Ready(Err(error));
        }
        match this.hub.poll_send(&mut this.outgoing, &mut this.key, cx.waker()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(id))) => Poll::Ready(Ok(Ticket::new(this.hub, id))),
            Poll::Ready(Ok(None)) => {
                if let Some(outgoing) = this.outgoing.take() {
                    // A Blob is released as one.
                    drop(Message::from_payload(outgoing.payload, this.hub));
                }
                Poll::Ready(Ok(Ticket { state: TicketState::Known(Outcome::Expired) }))
            }
            Poll::Ready(Err(why)) => {
                let outgoing = this.outgoing.take().expect("polled after it was ready");
                Poll::Ready(Err(refused(why, outgoing.payload, this.hub)))
            }
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Some(outgoing) = self.outgoing.take() {
            self.hub.leave_line(&outgoing.options, &mut self.key);
            // A Blob that was to be sent is released as a Blob.
            drop(Message::from_payload(outgoing.payload, self.hub));
        }
    }
}

/// The outcome of one queued message, as a future; and the power to cancel it.
///
/// Dropping it detaches: the message stays queued and nobody hears of its outcome.
pub struct Ticket {
    state: TicketState,
}

enum TicketState {
    Known(Outcome),
    Open { hub: Arc<Hub>, id: TicketId },
}

impl Ticket {
    pub(crate) fn new(hub: &Arc<Hub>, id: TicketId) -> Self {
        // Where the driver runs at once, most messages have been handed over by the time their ticket is
        // made; then nothing has to be kept for it.
        if hub.sends_at_once()
            && let Poll::Ready(outcome) = hub.poll_outcome(id, None)
        {
            hub.detach(id);
            return Self { state: TicketState::Known(outcome) };
        }
        Self { state: TicketState::Open { hub: hub.clone(), id } }
    }

    /// Takes the message out of the queue, if it is still there; the outcome says whether.
    pub fn cancel(&self) {
        if let TicketState::Open { hub, id } = &self.state {
            hub.command(Command::Cancel(*id));
        }
    }

    /// The outcome, if it is known already.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match &self.state {
            TicketState::Known(outcome) => Some(*outcome),
            TicketState::Open { hub, id } => match hub.poll_outcome(*id, None) {
                Poll::Ready(outcome) => Some(outcome),
                Poll::Pending => None,
            },
        }
    }

    fn poll_outcome(&mut self, waker: &Waker) -> Poll<Outcome> {
        match &self.state {
            TicketState::Known(outcome) => Poll::Ready(*outcome),
            TicketState::Open { hub, id } => hub.poll_outcome(*id, Some(waker)),
        }
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        self.poll_outcome(cx.waker())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let TicketState::Open { hub, id } = &self.state {
            hub.detach(*id);
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("outcome", &self.outcome()).finish()
    }
}
