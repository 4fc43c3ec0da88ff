//! What channels add to a hub: each has one of its own, with the connection's behind it.

use core::task::{Poll, Waker};
use std::collections::VecDeque;
use std::sync::Arc;

use futures_channel::oneshot;

use super::{Command, Hub, Kick, Stage, State, ToWake, wake};
use crate::driver::tidegate::{ChannelEnd, ChannelId, Origin};
use crate::driver::waiters::Waiters;
use crate::proto::v1::{GoingAway, OpenError};
use crate::proto::{Payload, Priority, RecvLimits, SendLimits};
use crate::transport::Incoming;

/// So much is taken before the driver hears of it, in bytes of credit, as long as more is there: an eighth of the smallest
/// usual window.
const TAKEN_BYTES: u64 = 8 << 10;

/// A wish to open a channel.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) hub: Arc<Hub>,
    pub(crate) name: String,
    pub(crate) priority: Priority,
    /// `None` in plain mode.
    pub(crate) reply: oneshot::Sender<Option<Result<(), OpenError>>>,
}

/// A channel that the peer has opened.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) hub: Arc<Hub>,
    pub(crate) name: String,
    pub(crate) priority: Priority,
}

/// What a hub knows of channels: of those that the peer opens, if it is the connection's, else of itself.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// This is the hub of a connection in tidegate mode.
    are_spoken: bool,
    /// What the peer of the connection has announced of its end, the newest of it.
    going: Option<GoingAway>,
    /// What was taken and the driver has not heard of.
    taken: Vec<Origin>,
    taken_cost: u64,
    /// Opened by the peer, and not taken by the application.
    offered: VecDeque<Accepted>,
    acceptors: Waiters,
    /// Nobody takes what comes on this channel any more.
    is_deaf: bool,
    /// The peer has accepted this channel.
    was_accepted: bool,
    /// How what is received has ended, and how what is sent.
    ended: Option<ChannelEnd>,
    stopped: Option<ChannelEnd>,
}

impl Channels {
    /// Whether the peer sends nothing more on this channel.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    fn count_taken(&mut self, origin: Origin) {
        self.taken_cost += origin.cost;
        match self.taken.last_mut().filter(|last| last.is_with(&origin)) {
            Some(last) => last.cost += origin.cost,
            None => self.taken.push(origin),
        }
    }
}

impl State {
    /// An item was taken. Gives the driver if it is to hear of it now.
    pub(super) fn note_taken(&mut self, origin: Origin) -> Option<ToWake> {
        self.channels.count_taken(origin);
        // The last of what is there is told at once: the peer may have nothing else to wait for.
        if self.channels.taken_cost < TAKEN_BYTES && self.received.queued().0 > 0 {
            return None;
        }
        Some(self.tell_taken())
    }

    /// Has the driver hear of all that was taken.
    fn tell_taken(&mut self) -> ToWake {
        self.channels.taken_cost = 0;
        let taken = core::mem::take(&mut self.channels.taken);
        self.commands.push(Command::Taken(taken));
        self.driver_to_wake()
    }

    /// Who waits for a channel of the peer's.
    pub(super) fn acceptors(&self) -> Vec<Waker> {
        self.channels.acceptors.all()
    }
}

impl Hub {
    /// The hub of a channel of the connection whose hub `main` is.
    pub(crate) fn channel(main: &Arc<Self>, send: SendLimits) -> Arc<Self> {
        let hub = Self::with(send, RecvLimits::default(), main.now.clone(), Kick::Main(main.clone()));
        {
            let mut state = hub.lock();
            (state.stage, state.was_open) = (Stage::Open, true);
            // Its peer waits for credit, which comes as it is read.
            state.waits_for_readers = true;
        }
        Arc::new(hub)
    }

    /// By what its driver knows it.
    pub(crate) fn channel_id(&self) -> ChannelId {
        ChannelId(self.id)
    }

    // For the driver.

    /// The connection is in tidegate mode.
    pub(crate) fn set_tidegate(&self) {
        self.lock().channels.are_spoken = true;
    }

    /// The peer goes away.
    pub(crate) fn set_going(&self, going: GoingAway) {
        let wakers = {
            let mut state = self.lock();
            state.channels.going = Some(going);
            state.watchers.all()
        };
        wake(wakers);
    }

    /// Queues an item, which there is always room for: its sender waits for credit.
    pub(crate) fn deliver_item(&self, item: Payload, origin: Origin) {
        let (first, others) = {
            let mut state = self.lock();
            if state.channels.is_deaf {
                // Sent before the peer could hear that it is to stop.
                state.channels.count_taken(origin);
                let driver = state.tell_taken();
                drop(state);
                self.kick(driver);
                return;
            }
            let bytes = item.bytes();
            let received = super::Received { incoming: Incoming::Message(item), origin: Some(origin) };
            state.received.push(received, bytes);
            state.readers.first_and_others()
        };
        wake(first);
        wake(others);
    }

    /// The peer has opened a channel. False if it is not wanted any more.
    pub(crate) fn offer(&self, accepted: Accepted) -> bool {
        let wakers = {
            let mut state = self.lock();
            // A peer that goes away opens what it has had queued.
            if state.closes || state.stage == Stage::Closed {
                return false;
            }
            state.channels.offered.push_back(accepted);
            state.channels.acceptors.all()
        };
        wake(wakers);
        true
    }

    /// The peer has accepted this channel.
    pub(crate) fn set_accepted(&self) {
        let wakers = {
            let mut state = self.lock();
            state.channels.was_accepted = true;
            state.watchers.all()
        };
        wake(wakers);
    }

    /// Nothing more comes on this channel.
    pub(crate) fn end_receiving(&self, end: ChannelEnd) {
        let wakers = {
            let mut state = self.lock();
            state.channels.ended.get_or_insert(end);
            state.everybody()
        };
        wake(wakers);
    }

    /// Nothing more is wanted on this channel.
    pub(crate) fn end_sending(&self, end: ChannelEnd) {
        self.stop_sending();
        let wakers = {
            let mut state = self.lock();
            state.channels.stopped.get_or_insert(end);
            state.everybody()
        };
        wake(wakers);
    }

    /// A handle ends what is sent: for a reset that is known at once, if it is the first that is said of it. How a close has
    /// ended the peer tells.
    pub(crate) fn end_own(&self, end: ChannelEnd) {
        let is_first = self.stage() < Stage::Closing;
        if is_first && matches!(end, ChannelEnd::Reset { .. }) {
            self.end_sending(end.clone());
        } else {
            self.stop_sending();
        }
        self.command(Command::EndSending(end));
    }

    /// Whether nothing can be sent on this channel any more, though its connection is not over.
    pub(crate) fn is_channel_closed(&self) -> bool {
        let Some(main) = self.main() else { return false };
        let stopped = self.lock().channels.stopped.clone();
        match stopped {
            Some(end) => end != ChannelEnd::ConnectionOver,
            // Closed here, of which the peer's word is still to come, or else gone with its connection.
            None => main.lock().stage < Stage::Closing,
        }
    }

    /// The connection is over.
    pub(crate) fn end_channel(&self) {
        let wakers = {
            let mut state = self.lock();
            state.stage = Stage::Closed;
            state.channels.ended.get_or_insert(ChannelEnd::ConnectionOver);
            state.channels.stopped.get_or_insert(ChannelEnd::ConnectionOver);
            state.everybody()
        };
        wake(wakers);
        self.abandon();
    }

    /// The peer opens no more channels. What it has opened can still be taken, with what has come on it, as long as somebody
    /// has the connection.
    pub(crate) fn end_offers(&self) {
        let (wakers, offered) = {
            let mut state = self.lock();
            let offered =
                if state.users == 0 { core::mem::take(&mut state.channels.offered) } else { VecDeque::new() };
            (state.channels.acceptors.all(), offered)
        };
        drop(offered);
        wake(wakers);
    }

    /// Nobody has the connection any more: nor will anybody take the channels that were opened.
    pub(crate) fn drop_offers(&self) {
        let offered = core::mem::take(&mut self.lock().channels.offered);
        drop(offered);
    }

    // For handles.

    /// Whether one of the two has reset what is sent on this channel.
    pub(crate) fn is_reset(&self) -> bool {
        matches!(self.lock().channels.stopped, Some(ChannelEnd::Reset { .. }))
    }

    /// Nobody takes what comes on this channel any more: what is there goes, as if it had been taken, and so does what
    /// still comes.
    pub(crate) fn drop_received(&self) {
        let (received, driver) = {
            let mut state = self.lock();
            state.channels.is_deaf = true;
            let mut received = Vec::new();
            while let Some(super::Received { incoming, origin }) = state.received.pop() {
                received.push(incoming);
                if let Some(origin) = origin {
                    state.channels.count_taken(origin);
                }
            }
            let driver = (!state.channels.taken.is_empty() && state.attention != super::Attention::Gone)
                .then(|| state.tell_taken());
            (received, driver)
        };
        drop(received);
        self.go_on(driver);
    }

    /// Whether the connection is in tidegate mode.
    pub(crate) fn is_tidegate(&self) -> bool {
        self.lock().channels.are_spoken
    }

    /// What the peer has announced of its end.
    pub(crate) fn going(&self) -> Option<GoingAway> {
        self.lock().channels.going.clone()
    }

    /// The same, as soon as it has; `None` at the end.
    pub(crate) fn poll_going(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<Option<GoingAway>> {
        let _displaced;
        let mut state = self.lock();
        let going = state.channels.going.clone();
        if going.is_some() || state.stage == Stage::Closed {
            _displaced = state.watchers.remove(key);
            return Poll::Ready(going);
        }
        _displaced = state.watchers.register(key, waker);
        Poll::Pending
    }

    /// The connection's hub, if this is a channel's.
    pub(crate) fn main(&self) -> Option<&Arc<Self>> {
        match &self.kick {
            Kick::Main(main) => Some(main),
            _ => None,
        }
    }

    /// The next channel that the peer has opened; `None` at the end.
    pub(crate) fn poll_offered(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<Option<Accepted>> {
        let _displaced;
        let mut state = self.lock();
        let offered = state.channels.offered.pop_front();
        if offered.is_some() || state.stage == Stage::Closed {
            _displaced = state.channels.acceptors.remove(key);
            return Poll::Ready(offered);
        }
        _displaced = state.channels.acceptors.register(key, waker);
        Poll::Pending
    }

    /// Gives up waiting for one.
    pub(crate) fn leave_acceptors(&self, key: &mut Option<u64>) {
        if key.is_some() {
            let displaced = self.lock().channels.acceptors.remove(key);
            drop(displaced);
        }
    }

    /// Whether the peer has accepted this channel; with how it has ended if it will not.
    pub(crate) fn poll_accepted(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<Result<(), ChannelEnd>> {
        let _displaced;
        let mut state = self.lock();
        let channels = &state.channels;
        let polled = if channels.was_accepted {
            Poll::Ready(Ok(()))
        } else {
            match &channels.stopped {
                Some(end) => Poll::Ready(Err(end.clone())),
                None => Poll::Pending,
            }
        };
        _displaced = match polled {
            Poll::Ready(_) => state.watchers.remove(key),
            Poll::Pending => state.watchers.register(key, waker),
        };
        polled
    }

    /// How what is sent on this channel has ended.
    pub(crate) fn poll_stopped(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<ChannelEnd> {
        let _displaced;
        let mut state = self.lock();
        let Some(end) = state.channels.stopped.clone() else {
            _displaced = state.watchers.register(key, waker);
            return Poll::Pending;
        };
        _displaced = state.watchers.remove(key);
        Poll::Ready(end)
    }

    /// How what is received on this channel has ended, once it has.
    pub(crate) fn ended(&self) -> Option<ChannelEnd> {
        self.lock().channels.ended.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::hub::Now;
    use crate::proto::v1::{ChannelCode, ChannelKey};
    use crate::time::{Clock, Timestamp};

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::ZERO
        }
    }

    /// What was taken, as the driver hears it, and whether the peer is to stop before it.
    fn told(hub: &Hub) -> (u64, bool) {
        let mut commands = Vec::new();
        hub.swap_commands(&mut commands, || Timestamp::ZERO);
        let stops = matches!(commands.first(), Some(Command::EndReceiving(_)));
        let taken = commands.iter().filter_map(|command| match command {
            Command::Taken(origins) => Some(origins.iter().map(|origin| origin.cost).sum::<u64>()),
            _ => None,
        });
        (taken.sum(), stops)
    }

    #[test]
    fn what_a_channel_does_not_take_since_its_connection_goes_is_not_the_channels_end() {
        let main = Hub::new(SendLimits::default(), RecvLimits::default(), Now::of(Still), None);
        let hub = Hub::channel(&main, SendLimits::default());
        assert!(!main.is_channel_closed() && hub.is_channel_closed());
        for stage in [Stage::Closing, Stage::Closed] {
            main.lock().stage = stage;
            assert!(!hub.is_channel_closed(), "{stage:?}");
        }
        for (end, is_its) in [(ChannelEnd::ConnectionOver, false), (ChannelEnd::Closed, true)] {
            hub.lock().channels.stopped = Some(end);
            assert_eq!(hub.is_channel_closed(), is_its);
        }
    }

    #[test]
    fn what_a_dropped_receiver_had_received_is_released_with_its_credit_and_so_is_what_still_comes() {
        let main = Hub::new(SendLimits::default(), RecvLimits::default(), Now::of(Still), None);
        let hub = Hub::channel(&main, SendLimits::default());
        let origin = |cost| Origin { key: ChannelKey(3), serial: 1, cost };
        let item = || Payload::Binary(vec![0; 1 << 20]);
        for cost in 1..=4 {
            hub.deliver_item(item(), origin(cost));
        }
        // One was taken, of which the driver has not heard yet.
        assert!(hub.try_recv().is_ok());
        assert_eq!(told(&hub), (0, false));
        let end = ChannelEnd::Reset { code: ChannelCode::Cancelled, detail: Vec::new() };
        hub.command(Command::EndReceiving(end));
        hub.drop_received();
        assert_eq!(hub.lock().received.queued(), (0, 0));
        assert_eq!(told(&hub), (1 + 2 + 3 + 4, true));
        // The peer has not heard of it yet, and goes on.
        hub.deliver_item(item(), origin(7));
        assert_eq!(hub.lock().received.queued(), (0, 0));
        assert_eq!(told(&hub), (7, false));
        hub.drop_received();
        assert_eq!(told(&hub), (0, false));
    }
}
