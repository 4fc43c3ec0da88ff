//! The outlet's channels: the hub of each, by the id that the driver knows it by.

use std::sync::Arc;

use super::HubOutlet;
use crate::driver::Driver;
use crate::driver::hub::{Accepted, Command, Hub, Opening};
use crate::driver::tickets::MessageIds;
use crate::driver::tidegate::{ChannelEnd, ChannelId, Offered};
use crate::proto::v1::{ChannelCode, ChannelKey, Directions};
use crate::proto::{Done, Gauges, MessageId, NewMessage, Outcome, Payload, SendLimits, TicketId};
use crate::time::{Clock, Timestamp};
use crate::transport::Transport;

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is said once, in any order")]
struct Side {
    id: ChannelId,
    hub: Arc<Hub>,
    key: ChannelKey,
    ids: MessageIds,
    done: Vec<Done>,
    /// Messages that were sent and have not ended.
    under_way: u64,
    /// Handles of each half are left.
    has_sender: bool,
    has_receiver: bool,
    /// It was closed, of which the peer's word is still to come.
    is_closing: bool,
    /// Somebody waits for room until then.
    due: Option<Timestamp>,
    /// The session knows it no more; its key may be that of another.
    is_dropped: bool,
}

/// In the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Sides {
    sides: Vec<Side>,
}

impl Sides {
    fn find(&mut self, id: ChannelId) -> Option<&mut Side> {
        let at = self.sides.binary_search_by_key(&id.0, |side| side.id.0).ok()?;
        self.sides.get_mut(at)
    }

    fn insert(&mut self, hub: &Arc<Hub>, key: ChannelKey) {
        let id = hub.channel_id();
        let at = self.sides.partition_point(|side| side.id.0 < id.0);
        let side = Side {
            id,
            hub: hub.clone(),
            key,
            ids: MessageIds::default(),
            done: Vec::new(),
            under_way: 0,
            has_sender: true,
            has_receiver: true,
            is_closing: false,
            due: None,
            is_dropped: false,
        };
        self.sides.insert(at, side);
    }

    /// Forgets those of which nobody will ask any more.
    fn tidy(&mut self) {
        self.sides.retain(|side| {
            let is_used = side.has_sender || side.has_receiver || side.is_closing;
            is_used || side.under_way > 0 || !side.done.is_empty()
        });
    }
}

impl HubOutlet {
    /// Opens a channel.
    pub(super) fn open_channel<T: Transport, C: Clock>(&self, driver: &Driver<T, C, Self>, opening: Opening) {
        let Opening { hub, name, priority, reply } = opening;
        let opened = driver.open_channel(hub.channel_id(), name, priority);
        let answer = opened.map(|opened| opened.map(|key| self.sides.borrow_mut().insert(&hub, key)));
        if !matches!(answer, Some(Ok(()))) {
            hub.end_channel();
        }
        // Whoever has dropped the question has dropped the channel's handles, too, which is seen next.
        let _ = reply.send(answer);
    }

    /// What the handles of a channel want.
    pub(super) fn look_at_channel<T: Transport, C: Clock>(&self, driver: &Driver<T, C, Self>, id: ChannelId) {
        let hub = self.sides.borrow_mut().find(id).map(|side| side.hub.clone());
        let Some(hub) = hub else { return };
        let mut commands = Vec::new();
        hub.swap_commands(&mut commands, || driver.now());
        for command in commands {
            self.carry_out_on(driver, id, command);
        }
        self.tell_channels_done(|| driver.gauges());
        // Who begins to wait for room leaves a command if it waits less long than the others; one that has left may have the
        // driver look once too often.
        let due = hub.awaited().due;
        if let Some(side) = self.sides.borrow_mut().find(id) {
            side.due = due;
        }
    }

    fn carry_out_on<T: Transport, C: Clock>(
        &self,
        driver: &Driver<T, C, Self>,
        id: ChannelId,
        command: Command,
    ) {
        let key = self.sides.borrow_mut().find(id).filter(|side| !side.is_dropped).map(|side| side.key);
        let Some(key) = key else { return };
        match command {
            Command::Send { new, replaced } => self.send_on(driver, (id, key), new, replaced),
            Command::Cancel(ticket) => {
                let message = self.sides.borrow_mut().find(id).and_then(|side| side.ids.get(ticket));
                if let Some(message) = message {
                    driver.cancel(message);
                }
            }
            Command::Taken(origins) => origins.into_iter().for_each(|origin| driver.taken(origin)),
            Command::Prefer(priority) => driver.prefer_channel(key, priority),
            Command::EndSending(end) => {
                let is_told = match end {
                    ChannelEnd::Reset { code, detail } => {
                        driver.reset_channel(key, Directions::Sending, code, detail);
                        false
                    }
                    ChannelEnd::Closed | ChannelEnd::ConnectionOver => driver.close_channel(id, key),
                };
                self.drop_half(driver, id, |side| {
                    side.has_sender = false;
                    side.is_closing |= is_told;
                });
            }
            Command::EndReceiving(end) => {
                let (code, detail) = match end {
                    ChannelEnd::Reset { code, detail } => (code, detail),
                    ChannelEnd::Closed | ChannelEnd::ConnectionOver => (ChannelCode::Cancelled, Vec::new()),
                };
                driver.reset_channel(key, Directions::Receiving, code, detail);
                self.drop_half(driver, id, |side| side.has_receiver = false);
            }
            // No handle of a channel says any of this.
            #[cfg(all(feature = "native", not(target_family = "wasm")))]
            Command::ShutDown(_) => {}
            Command::Acknowledged(_)
            | Command::Close(_)
            | Command::End { .. }
            | Command::Read { .. }
            | Command::Release(_)
            | Command::Wake
            | Command::Channel(_)
            | Command::Open(_) => {}
        }
    }

    fn send_on<T: Transport, C: Clock>(
        &self,
        driver: &Driver<T, C, Self>,
        channel: (ChannelId, ChannelKey),
        mut new: NewMessage,
        replaced: Option<TicketId>,
    ) {
        let (priority, flow, bytes, ticket) = (new.priority, new.flow, new.payload.bytes(), new.ticket);
        let known = |id| self.sides.borrow_mut().find(channel.0).and_then(|side| side.ids.get(id));
        new.replaces = replaced.and_then(known);
        let sent = driver.send_on(channel, new);
        let mut sides = self.sides.borrow_mut();
        let Some(side) = sides.find(channel.0) else { return };
        match sent {
            Ok(id) => {
                side.under_way += 1;
                if let Some(ticket) = ticket {
                    side.ids.insert(ticket, id);
                }
            }
            Err(payload) => {
                self.reject(bytes);
                driver.release(payload.slot());
                let (id, outcome) = (MessageId(0), Outcome::Unsent);
                side.done.push(Done { id, ticket, outcome, bytes, priority, flow, waited_micros: 0 });
            }
        }
    }

    fn drop_half<T: Transport, C: Clock>(
        &self,
        driver: &Driver<T, C, Self>,
        id: ChannelId,
        note: impl FnOnce(&mut Side),
    ) {
        let over = {
            let mut sides = self.sides.borrow_mut();
            let Some(side) = sides.find(id) else { return };
            note(side);
            let over = (!side.has_sender && !side.has_receiver)
                .then(|| (side.key, side.hub.clone(), side.is_closing));
            side.is_dropped = over.is_some();
            sides.tidy();
            over
        };
        if let Some((key, hub, is_closing)) = over {
            driver.drop_channel(key);
            // Whatever the peer says of it now, nobody hears, but whether it has heard of the close.
            hub.end_receiving(ChannelEnd::Closed);
            if !is_closing {
                hub.end_sending(ChannelEnd::Closed);
            }
        }
    }

    /// What is sent on a channel has ended.
    pub(super) fn end_sending_on(&self, id: ChannelId, end: ChannelEnd) {
        let hub = {
            let mut sides = self.sides.borrow_mut();
            let Some(side) = sides.find(id) else { return };
            side.is_closing = false;
            let hub = side.hub.clone();
            sides.tidy();
            hub
        };
        hub.end_sending(end);
    }

    /// Notes the end of a message.
    pub(super) fn note_channel_done(&self, id: ChannelId, done: Done) {
        if let Some(side) = self.sides.borrow_mut().find(id) {
            side.under_way = side.under_way.saturating_sub(1);
            side.done.push(done);
        }
    }

    /// Tells the handles of channels which messages have ended.
    pub(super) fn tell_channels_done(&self, gauges: impl FnOnce() -> Gauges) {
        let told: Vec<_> = {
            let mut sides = self.sides.borrow_mut();
            let has_done = sides.sides.iter_mut().filter(|side| !side.done.is_empty());
            has_done.map(|side| (side.hub.clone(), core::mem::take(&mut side.done))).collect()
        };
        if told.is_empty() {
            return;
        }
        self.sides.borrow_mut().tidy();
        let gauges = gauges();
        for (hub, mut done) in told {
            hub.finish(&mut done, gauges);
        }
    }

    /// Wakes those who have waited long enough for room in a channel.
    pub(super) fn pass_channels<T: Transport, C: Clock>(&self, driver: &Driver<T, C, Self>) {
        if self.channels_due().is_none() {
            return;
        }
        let now = driver.now();
        let late: Vec<_> = {
            let sides = self.sides.borrow();
            sides
                .sides
                .iter()
                .filter(|side| side.due.is_some_and(|due| due <= now))
                .map(|side| side.id)
                .collect()
        };
        for id in late {
            self.look_at_channel(driver, id);
        }
    }

    /// When the first of those who wait for room in a channel has waited long enough.
    pub(super) fn channels_due(&self) -> Option<Timestamp> {
        self.sides.borrow().sides.iter().filter_map(|side| side.due).min()
    }

    /// The peer has opened a channel.
    pub(super) fn offer_channel(&self, offered: Offered) -> Option<ChannelId> {
        let Offered { key, name, priority } = offered;
        let hub = Hub::channel(self.hub(), SendLimits::default());
        let accepted = Accepted { hub: hub.clone(), name, priority };
        if !self.hub().offer(accepted) {
            return None;
        }
        self.sides.borrow_mut().insert(&hub, key);
        Some(hub.channel_id())
    }

    /// An item for the handles.
    pub(super) fn deliver_to(
        &self,
        channel: Option<ChannelId>,
        item: Payload,
        origin: crate::driver::tidegate::Origin,
    ) {
        let hub = match channel {
            None => Some(self.hub().clone()),
            Some(id) => self.channel_hub(id),
        };
        if let Some(hub) = hub {
            hub.deliver_item(item, origin);
        }
    }

    pub(super) fn channel_hub(&self, id: ChannelId) -> Option<Arc<Hub>> {
        self.sides.borrow_mut().find(id).map(|side| side.hub.clone())
    }

    /// All channels end with their connection.
    pub(super) fn end_channels<T: Transport, C: Clock>(&self, driver: &Driver<T, C, Self>) {
        let ids: Vec<_> = self.sides.borrow().sides.iter().map(|side| side.id).collect();
        for id in ids {
            // What was taken for sending and nobody has looked at is not sent.
            if let Some(hub) = self.channel_hub(id) {
                hub.stop_sending();
            }
            self.look_at_channel(driver, id);
        }
        self.tell_channels_done(Gauges::default);
        let sides = core::mem::take(&mut self.sides.borrow_mut().sides);
        for side in sides {
            side.hub.end_channel();
        }
        self.hub().end_offers();
    }
}
