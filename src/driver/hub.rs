//! What the handles and the driver share: one mutex over commands, room, tickets, received
//! messages and wakers. Free of host values, so that handles are `Send`.
//!
//! No waker is called while the lock is held.

#[cfg(feature = "v1")]
mod channel;
mod report;
mod sending;

use core::ops::Range;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_channel::oneshot;

#[cfg(feature = "v1")]
pub(crate) use self::channel::{Accepted, Opening};
use super::outbox::{Outbox, Outgoing};
use super::send_options::SendOptions;
#[cfg(feature = "v1")]
use super::tidegate::{ChannelEnd, ChannelId, Origin};
use super::waiters::Waiters;
use crate::platform;
use crate::proto::{
    Amount, CloseRequest, Closed, NewMessage, RecvLimits, RecvQueue, SendLimits, Slot, TicketId,
};
use crate::time::{Clock, Timestamp};
use crate::transport::{Incoming, Opened, TransportError};

/// By which the driver answers [`Command::Read`]; `None` if the content could not be read.
pub(crate) type Reply = oneshot::Sender<Option<Vec<u8>>>;

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send a message for which room was taken, in the place of another that may still be queued.
    Send { new: NewMessage, replaced: Option<TicketId> },
    /// Take a message out of the queue.
    Cancel(TicketId),
    /// The peer has so many bytes of all that was handed over.
    Acknowledged(u64),
    /// Close, after flushing or not.
    Close(CloseRequest),
    /// Tell the peer that this side goes away.
    #[cfg(all(feature = "native", not(target_family = "wasm")))]
    ShutDown(GoAway),
    /// Stop sending, go on receiving.
    End { within: Option<Duration>, close_within: Option<Duration> },
    /// Read a received host value.
    Read { slot: Slot, range: Range<u64>, reply: Reply },
    /// A received host value is not needed any more.
    Release(Slot),
    /// The last handle is gone.
    Wake,
    /// Look at what the handles of a channel want.
    #[cfg(feature = "v1")]
    Channel(ChannelId),
    /// Open a channel.
    #[cfg(feature = "v1")]
    Open(Box<Opening>),
    /// Items were taken by the application, so that their channels are due credit.
    #[cfg(feature = "v1")]
    Taken(Vec<Origin>),
    /// A channel sends nothing more: after what is queued, or at once, as the end says.
    #[cfg(feature = "v1")]
    EndSending(ChannelEnd),
    /// A channel's peer is to send nothing more.
    #[cfg(feature = "v1")]
    EndReceiving(ChannelEnd),
    /// A channel sends in another class.
    #[cfg(feature = "v1")]
    Prefer(crate::proto::Priority),
}

/// How a server goes away.
#[cfg(all(feature = "native", not(target_family = "wasm")))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoAway {
    /// What has begun may go on for so long.
    pub(crate) drain: Duration,
    /// Who was served comes back after so long, and up to so much later.
    #[cfg_attr(not(feature = "v1"), allow(dead_code, reason = "only said over tidegate.v1"))]
    pub(crate) back: [Duration; 2],
}

/// Who is told of the end of a connection, once.
#[cfg(all(feature = "native", not(target_family = "wasm")))]
#[derive(Default)]
struct Observers(Vec<Observer>);

#[cfg(all(feature = "native", not(target_family = "wasm")))]
type Observer = Box<dyn FnOnce(&Closed) + Send>;

#[cfg(all(feature = "native", not(target_family = "wasm")))]
impl core::fmt::Debug for Observers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Observers").field(&self.0.len()).finish()
    }
}

/// How far the handles see the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Stage {
    /// Not open yet.
    Connecting,
    /// Messages are taken.
    Open,
    /// No message is taken any more.
    Closing,
    /// The final word is known.
    Closed,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The queue is full.
    Full,
    /// The connection is closing or closed.
    Closed,
}

/// What the driver is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attention {
    /// It takes commands and messages.
    Here,
    /// It waits for a reader before it takes another message: see [`Hub::reader_is_due`].
    Paused,
    /// There is no driver any more.
    Gone,
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Hub {
    /// Unique in the process; a driver is found by it on its own thread, and a channel in its driver.
    #[cfg(any(feature = "v1", all(target_family = "wasm", target_os = "unknown")))]
    pub(crate) id: u64,
    kick: Kick,
    /// The driver's clock, from which deadlines are counted.
    now: Now,
    state: Mutex<State>,
}

/// How the driver comes to look into the hub.
#[derive(Debug)]
enum Kick {
    /// It is a task, and is woken.
    Wake,
    /// By a call, which on the driver's own thread may run it at once.
    Call(fn(&Hub)),
    /// It is a channel's hub, and the connection's is told.
    #[cfg(feature = "v1")]
    Main(Arc<Hub>),
}

/// A clock that is shared with handles.
#[derive(Clone)]
pub(crate) struct Now(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Now {
    pub(crate) fn of(clock: impl Clock + Send + Sync + 'static) -> Self {
        Self(Arc::new(move || clock.now()))
    }
}

impl core::fmt::Debug for Now {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Now")
    }
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// A handle has closed it; it may also be closing since the peer is going away.
    closes: bool,
    commands: Vec<Command>,
    driver: DriverWaker,
    outbox: Outbox,
    received: RecvQueue<Received>,
    /// What had no room there and was dropped.
    dropped: Amount,
    /// The transport can make the peer wait, so that readers are waited for.
    waits_for_readers: bool,
    readers: Waiters,
    /// Those who wait for the connection to open or to close.
    watchers: Waiters,
    opened: Opened,
    /// Whether the connection has been open, whatever came after.
    was_open: bool,
    failure: Option<TransportError>,
    closed: Option<Closed>,
    /// Handles that keep the connection open.
    users: u32,
    /// Received host values that are held outside.
    values: u32,
    attention: Attention,
    #[cfg(all(feature = "native", not(target_family = "wasm")))]
    observers: Observers,
    #[cfg(feature = "v1")]
    channels: channel::Channels,
}

/// A message in the receive queue.
#[derive(Debug)]
struct Received {
    incoming: Incoming,
    /// The channel that it came on, which is due credit when it is taken.
    #[cfg(feature = "v1")]
    origin: Option<Origin>,
}

impl From<Incoming> for Received {
    fn from(incoming: Incoming) -> Self {
        Self {
            incoming,
            #[cfg(feature = "v1")]
            origin: None,
        }
    }
}

/// How the driver is woken.
#[derive(Debug, Default)]
struct DriverWaker {
    /// Its task's; none before that is polled, nor for a driver without a task.
    waker: Option<Waker>,
    /// It was woken and has not taken the commands since.
    is_woken: bool,
}

/// The driver, to be called after the lock.
#[derive(Debug)]
struct ToWake {
    /// Of its task, unless that was woken already.
    waker: Option<Waker>,
    /// It was not told before, since it has looked.
    #[cfg(feature = "v1")]
    is_first: bool,
}

impl Hub {
    /// A hub for one connection with one user.
    pub(crate) fn new(send: SendLimits, receive: RecvLimits, now: Now, kick: Option<fn(&Self)>) -> Arc<Self> {
        Arc::new(Self::with(send, receive, now, kick.map_or(Kick::Wake, Kick::Call)))
    }

    fn with(send: SendLimits, receive: RecvLimits, now: Now, kick: Kick) -> Self {
        Self {
            #[cfg(any(feature = "v1", all(target_family = "wasm", target_os = "unknown")))]
            id: next_id(),
            kick,
            now,
            state: Mutex::new(State {
                stage: Stage::Connecting,
                closes: false,
                commands: Vec::new(),
                driver: DriverWaker::default(),
                outbox: Outbox::new(send),
                received: RecvQueue::new(receive),
                dropped: Amount::default(),
                waits_for_readers: false,
                readers: Waiters::default(),
                watchers: Waiters::default(),
                opened: Opened::default(),
                was_open: false,
                failure: None,
                closed: None,
                users: 0,
                values: 0,
                attention: Attention::Here,
                #[cfg(all(feature = "native", not(target_family = "wasm")))]
                observers: Observers::default(),
                #[cfg(feature = "v1")]
                channels: channel::Channels::default(),
            }),
        }
    }

    /// The lock. A panic elsewhere while it was held leaves plain data, which is still consistent
    /// enough to close by, so that poisoning is ignored.
    fn lock(&self) -> MutexGuard<'_, State> {
        platform::lock(&self.state)
    }

    // For handles.

    /// Leaves a command and makes the driver look. Without a driver nobody will carry it out; it
    /// is dropped, and with it the reply that it may carry.
    pub(crate) fn command(&self, command: Command) {
        let driver = {
            let mut state = self.lock();
            if state.attention == Attention::Gone {
                return;
            }
            state.commands.push(command);
            state.driver_to_wake()
        };
        self.kick(driver);
    }

    /// Makes the driver look, after the lock.
    fn kick(&self, driver: ToWake) {
        match &self.kick {
            Kick::Call(call) => call(self),
            Kick::Wake => wake(driver.waker),
            #[cfg(feature = "v1")]
            Kick::Main(main) if driver.is_first => main.command(Command::Channel(self.channel_id())),
            #[cfg(feature = "v1")]
            Kick::Main(_) => {}
        }
    }

    /// Has the driver take messages again, if it waited for a reader; after the lock.
    fn go_on(&self, resumed: Option<ToWake>) {
        if let Some(driver) = resumed {
            self.kick(driver);
        }
    }

    /// Wakes the task that runs the driver, if there is one.
    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    pub(crate) fn wake_driver(&self) {
        let driver = self.lock().driver_to_wake();
        wake(driver.waker);
    }

    /// Whether a message may have been handed over by the time that it is queued.
    pub(crate) fn sends_at_once(&self) -> bool {
        match &self.kick {
            Kick::Wake => false,
            Kick::Call(_) => true,
            #[cfg(feature = "v1")]
            Kick::Main(main) => main.sends_at_once(),
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        self.lock().stage
    }

    pub(crate) fn opened(&self) -> Opened {
        self.lock().opened.clone()
    }

    pub(crate) fn failure(&self) -> Option<TransportError> {
        self.lock().failure.clone()
    }

    /// A message that is there; otherwise whether the connection is closed, so that none will be.
    pub(crate) fn try_recv(&self) -> Result<Incoming, bool> {
        let (taken, driver) = {
            let mut state = self.lock();
            let (incoming, driver) = state.take_received();
            (incoming.ok_or(state.is_input_over()), driver)
        };
        self.go_on(driver);
        taken
    }

    /// The next message; `None` at the end.
    pub(crate) fn poll_recv(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<Option<Incoming>> {
        let _displaced;
        let (polled, driver) = {
            let mut state = self.lock();
            let (incoming, driver) = state.take_received();
            if incoming.is_some() || state.is_input_over() {
                _displaced = state.readers.remove(key);
                // Whether a reader is waited for is known without this one only.
                (Poll::Ready(incoming), driver.or_else(|| state.resume()))
            } else {
                _displaced = state.readers.register(key, waker);
                (Poll::Pending, None)
            }
        };
        self.go_on(driver);
        polled
    }

    /// What was received, and dropped for want of room.
    pub(crate) fn dropped(&self) -> Amount {
        self.lock().dropped
    }

    /// Gives up a place among the readers.
    pub(crate) fn leave_readers(&self, key: &mut Option<u64>) {
        if key.is_some() {
            let _displaced;
            let driver = {
                let mut state = self.lock();
                _displaced = state.readers.remove(key);
                state.resume()
            };
            self.go_on(driver);
        }
    }

    /// Whether the connection has opened, or ended without having been open. One that has opened
    /// and ended since is still one that has opened: its messages are there to be taken.
    pub(crate) fn poll_opened(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<Result<(), Closed>> {
        let _displaced;
        let mut state = self.lock();
        if state.was_open {
            _displaced = state.watchers.remove(key);
            return Poll::Ready(Ok(()));
        }
        if let Some(closed) = &state.closed {
            let closed = closed.clone();
            _displaced = state.watchers.remove(key);
            return Poll::Ready(Err(closed));
        }
        _displaced = state.watchers.register(key, waker);
        Poll::Pending
    }

    pub(crate) fn poll_closed(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<Closed> {
        let _displaced;
        let mut state = self.lock();
        if let Some(closed) = &state.closed {
            let closed = closed.clone();
            _displaced = state.watchers.remove(key);
            return Poll::Ready(closed);
        }
        _displaced = state.watchers.register(key, waker);
        Poll::Pending
    }

    pub(crate) fn leave_watchers(&self, key: &mut Option<u64>) {
        if key.is_some() {
            let _displaced;
            let mut state = self.lock();
            _displaced = state.watchers.remove(key);
        }
    }

    pub(crate) fn leave_flushers(&self, key: &mut Option<u64>) {
        if key.is_some() {
            let _displaced;
            let mut state = self.lock();
            _displaced = state.outbox.flushers.remove(key);
        }
    }

    /// Closes or ends; from now on no message is taken. Only the first call counts.
    pub(crate) fn begin_close(&self, command: Command) {
        self.lock().closes = true;
        self.stop_sending();
        self.command(command);
    }

    /// Calls `observer` once the connection is over, at once if it is.
    #[cfg(all(feature = "native", not(target_family = "wasm")))]
    pub(crate) fn on_closed(&self, observer: impl FnOnce(&Closed) + Send + 'static) {
        let closed = {
            let mut state = self.lock();
            let Some(closed) = state.closed.clone() else {
                state.observers.0.push(Box::new(observer));
                return;
            };
            closed
        };
        observer(&closed);
    }

    /// One more handle keeps the connection open.
    pub(crate) fn add_user(&self) {
        self.lock().users += 1;
    }

    /// A handle is gone. The last one closes with 1000.
    pub(crate) fn remove_user(&self, close_within: Option<Duration>) {
        let last = {
            let mut state = self.lock();
            state.users -= 1;
            state.users == 0
        };
        if last {
            #[cfg(feature = "v1")]
            self.drop_offers();
            let reason = String::new();
            self.begin_close(Command::Close(CloseRequest {
                code: Some(1000),
                reason,
                within: close_within,
                flush: true,
            }));
            self.command(Command::Wake);
        }
    }

    /// A received host value is not held any more.
    pub(crate) fn remove_value(&self, slot: Slot) {
        self.lock().values -= 1;
        self.command(Command::Release(slot));
    }

    /// A host value that was to be sent is held outside again.
    pub(crate) fn hold_value(&self) {
        self.lock().values += 1;
    }

    /// A received host value has become part of a message to send: the queue owns its slot.
    pub(crate) fn adopt_value(&self) {
        self.lock().values -= 1;
    }
}

impl State {
    fn admit(&mut self, options: &SendOptions, bytes: u64) -> Result<(), NoRoom> {
        if self.stage >= Stage::Closing {
            Err(NoRoom::Closed)
        } else if self.outbox.admits(options, bytes) {
            Ok(())
        } else {
            Err(NoRoom::Full)
        }
    }

    /// Counts a message and leaves it for the driver.
    fn queue(&mut self, outgoing: Outgoing) -> TicketId {
        let (ticket, new, replaced) = self.outbox.take(outgoing);
        self.commands.push(Command::Send { new, replaced });
        ticket
    }

    /// The driver, which has something to look at.
    fn driver_to_wake(&mut self) -> ToWake {
        let was_woken = core::mem::replace(&mut self.driver.is_woken, true);
        ToWake {
            waker: if was_woken { None } else { self.driver.waker.clone() },
            #[cfg(feature = "v1")]
            is_first: !was_woken,
        }
    }

    /// The next message, and the driver if that is to look now.
    fn take_received(&mut self) -> (Option<Incoming>, Option<ToWake>) {
        let received = self.received.pop();
        #[cfg(feature = "v1")]
        let driver = received.as_ref().and_then(|received| received.origin).and_then(|o| self.note_taken(o));
        #[cfg(not(feature = "v1"))]
        let driver = None;
        let incoming = received.map(|received| received.incoming);
        self.count_value(incoming.as_ref());
        (incoming, driver.or_else(|| self.resume()))
    }

    /// Whether nothing comes any more beyond what is queued.
    fn is_input_over(&self) -> bool {
        #[cfg(feature = "v1")]
        if self.channels.has_ended() {
            return true;
        }
        self.stage == Stage::Closed
    }

    /// Whether the driver is to wait for a reader, where the queue `is_filled` enough for that.
    fn awaits_reader(&self, is_filled: bool) -> bool {
        is_filled && self.stage < Stage::Closed && (self.waits_for_readers || !self.readers.is_empty())
    }

    /// The driver, if it waits for a reader and need not any more. A quarter of a bound is left when it
    /// goes on, so that it does not wake for each message.
    fn resume(&mut self) -> Option<ToWake> {
        if self.attention != Attention::Paused || self.awaits_reader(self.received.is_filled_by(4)) {
            return None;
        }
        self.attention = Attention::Here;
        Some(ToWake {
            waker: self.driver.waker.clone(),
            #[cfg(feature = "v1")]
            is_first: false,
        })
    }

    fn count_value(&mut self, incoming: Option<&Incoming>) {
        if incoming.and_then(Incoming::slot).is_some() {
            self.values += 1;
        }
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

#[cfg(any(feature = "v1", all(target_family = "wasm", target_os = "unknown")))]
fn next_id() -> u64 {
    use core::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed) as u64
}
