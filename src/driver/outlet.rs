//! The outlet to the handles: what the driver does with the hub.

#[cfg(feature = "v1")]
mod channels;

use core::cell::{Cell, RefCell};
use std::sync::Arc;

use super::hub::{Command, Hub, Reply};
use super::tickets::MessageIds;
#[cfg(feature = "v1")]
use super::tidegate::{ChannelEnd, ChannelId, Offered, Origin};
use super::{Awaited, Driver, Outlet};
#[cfg(feature = "v1")]
use crate::proto::Payload;
use crate::proto::{Amount, CloseCause, Closed, Done, Gauges, MessageId, Outcome};
use crate::slab::Slab;
use crate::time::Clock;
use crate::transport::{FetchToken, Incoming, Transport, TransportError};

/// Reports to a [`Hub`] and carries out its commands.
pub(crate) struct HubOutlet {
    hub: Arc<Hub>,
    pauses: bool,
    /// Swapped with the hub's, for their capacity.
    commands: RefCell<Vec<Command>>,
    /// Who waits for the content of a received value.
    replies: RefCell<Slab<Reply>>,
    ids: RefCell<MessageIds>,
    /// Messages that have left the queue, for the hub to be told of in one go.
    done: RefCell<Vec<Done>>,
    /// What was delivered last has left the receive queue half full.
    crowded: Cell<bool>,
    /// Messages that came out of the hub after the session had stopped taking any.
    rejected: Cell<Amount>,
    #[cfg(feature = "v1")]
    sides: RefCell<channels::Sides>,
}

impl HubOutlet {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            pauses: false,
            commands: RefCell::default(),
            replies: RefCell::default(),
            ids: RefCell::default(),
            done: RefCell::default(),
            crowded: Cell::default(),
            rejected: Cell::default(),
            #[cfg(feature = "v1")]
            sides: RefCell::default(),
        }
    }

    /// For a driver that waits for readers: they wait for their turn where it is a task among others, and its
    /// peer can be made to wait with them.
    pub(crate) fn pausing(hub: Arc<Hub>) -> Self {
        Self { pauses: true, ..Self::new(hub) }
    }

    /// What the handles share with the driver.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    fn tell_done(&self, gauges: Gauges) {
        // Taken out, since a waker may call back and end in here again.
        let mut done = self.done.take();
        if !done.is_empty() {
            self.hub.finish(&mut done, gauges);
            self.done.replace(done);
        }
    }

    /// Counts a message that the session did not take.
    fn reject(&self, bytes: u64) {
        let mut rejected = self.rejected.get();
        rejected.add(bytes);
        self.rejected.set(rejected);
    }

    fn carry_out<T: Transport, C: Clock>(&self, driver: &Driver<T, C, Self>, command: Command) {
        match command {
            Command::Send { mut new, replaced } => {
                let (priority, flow, bytes, ticket) =
                    (new.priority, new.flow, new.payload.bytes(), new.ticket);
                new.replaces = replaced.and_then(|old| self.ids.borrow().get(old));
                match driver.send(new) {
                    Ok(id) => {
                        if let Some(ticket) = ticket {
                            self.ids.borrow_mut().insert(ticket, id);
                        }
                    }
                    Err(payload) => {
                        self.reject(bytes);
                        driver.release(payload.slot());
                        let (id, outcome) = (MessageId(0), Outcome::Unsent);
                        self.done.borrow_mut().push(Done {
                            id,
                            ticket,
                            outcome,
                            bytes,
                            priority,
                            flow,
                            waited_micros: 0,
                        });
                    }
                }
            }
            Command::Cancel(ticket) => {
                let id = self.ids.borrow().get(ticket);
                if let Some(id) = id {
                    driver.cancel(id);
                }
            }
            Command::Acknowledged(bytes) => driver.acknowledged(bytes),
            Command::Close(request) => driver.close(request),
            Command::End { within, close_within } => driver.end(within, close_within),
            #[cfg(all(feature = "native", not(target_family = "wasm")))]
            Command::ShutDown(going) => driver.go_away(going),
            Command::Read { slot, range, reply } => {
                let key = self.replies.borrow_mut().insert(reply);
                driver.transport().fetch(slot, range, FetchToken::Reply(key));
            }
            Command::Release(slot) => driver.transport().release(slot),
            // Nothing to do but to look whether anybody is left, which the shell does.
            Command::Wake => {}
            #[cfg(feature = "v1")]
            Command::Channel(id) => self.look_at_channel(driver, id),
            #[cfg(feature = "v1")]
            Command::Open(opening) => self.open_channel(driver, *opening),
            #[cfg(feature = "v1")]
            Command::Taken(origins) => origins.into_iter().for_each(|origin| driver.taken(origin)),
            // Of channels only, whose commands are carried out there.
            #[cfg(feature = "v1")]
            Command::EndSending(_) | Command::EndReceiving(_) | Command::Prefer(_) => {}
        }
    }
}

impl<T: Transport> Outlet<T> for HubOutlet {
    fn take_commands<C: Clock>(&self, driver: &Driver<T, C, Self>) -> bool {
        let mut commands = self.commands.take();
        self.hub.swap_commands(&mut commands, || driver.now());
        let any = !commands.is_empty();
        for command in commands.drain(..) {
            self.carry_out(driver, command);
        }
        self.commands.replace(commands);
        #[cfg(feature = "v1")]
        self.pass_channels(driver);
        self.tell_done(driver.gauges());
        any
    }

    fn is_behind(&self) -> bool {
        self.pauses && self.crowded.get() && self.hub.reader_is_due()
    }

    #[cfg(feature = "v1")]
    fn begins_tidegate(&self) {
        self.hub.set_tidegate();
    }

    #[cfg(feature = "v1")]
    fn going_away(&self, going: crate::proto::v1::GoingAway) {
        self.hub.set_going(going);
    }

    #[cfg(feature = "v1")]
    fn attached(&self, transport: &T) {
        self.hub.open(transport.opened());
    }

    fn opened(&self, transport: &T) {
        self.hub.open(transport.opened());
    }

    fn done(&self, done: Done) {
        self.done.borrow_mut().push(done);
    }

    fn settle(&self, gauges: impl FnOnce() -> Gauges) {
        let gauges = gauges();
        #[cfg(feature = "v1")]
        self.tell_channels_done(|| gauges);
        self.tell_done(gauges);
    }

    fn awaited(&self) -> Awaited {
        let awaited = self.hub.awaited();
        #[cfg(feature = "v1")]
        let awaited = Awaited { due: awaited.due.into_iter().chain(self.channels_due()).min(), ..awaited };
        awaited
    }

    fn set_standing(&self, amount: u64) {
        self.hub.set_standing(amount);
    }

    fn deliver(&self, incoming: Incoming, transport: &T) -> Result<(), (Incoming, u16)> {
        let delivered = self.hub.deliver(incoming)?;
        self.crowded.set(delivered.is_half_full);
        for slot in delivered.dropped {
            transport.release(slot);
        }
        Ok(())
    }

    fn read_done(&self, key: u32, content: Option<Vec<u8>>) {
        let reply = self.replies.borrow_mut().remove(key);
        if let Some(reply) = reply {
            // Nobody waits any more if this fails, which is nobody's loss.
            let _ = reply.send(content);
        }
    }

    fn failed(&self, error: TransportError) {
        self.hub.set_failure(error);
    }

    fn stop_sending(&self) {
        self.hub.stop_sending();
    }

    fn closed(&self, mut closed: Closed) {
        closed.dropped = self.hub.dropped();
        let rejected = self.rejected.take();
        closed.unsent.messages += rejected.messages;
        closed.unsent.bytes = closed.unsent.bytes.saturating_add(rejected.bytes);
        // The session saw that the connection broke, the transport knows why.
        let is_silent = matches!(self.hub.failure(), Some(TransportError::Silent { .. }));
        if is_silent && closed.cause == CloseCause::Peer {
            closed.cause = CloseCause::Silent;
        }
        self.hub.close(closed);
    }

    fn abandoned(&self) {
        self.hub.abandon();
    }

    #[cfg(feature = "v1")]
    fn deliver_item(&self, channel: Option<ChannelId>, item: Payload, origin: Origin) {
        self.deliver_to(channel, item, origin);
    }

    #[cfg(feature = "v1")]
    fn channel_done(&self, id: ChannelId, done: Done) {
        self.note_channel_done(id, done);
    }

    #[cfg(feature = "v1")]
    fn channel_offered(&self, offered: Offered) -> Option<ChannelId> {
        self.offer_channel(offered)
    }

    #[cfg(feature = "v1")]
    fn channel_accepted(&self, id: ChannelId) {
        if let Some(hub) = self.channel_hub(id) {
            hub.set_accepted();
        }
    }

    #[cfg(feature = "v1")]
    fn channel_ended(&self, id: ChannelId, end: ChannelEnd) {
        if let Some(hub) = self.channel_hub(id) {
            hub.end_receiving(end);
        }
    }

    #[cfg(feature = "v1")]
    fn channel_stopped(&self, id: ChannelId, end: ChannelEnd) {
        self.end_sending_on(id, end);
    }

    #[cfg(feature = "v1")]
    fn channels_over<C: Clock>(&self, driver: &Driver<T, C, Self>) {
        self.end_channels(driver);
    }
}
