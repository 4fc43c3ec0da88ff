//! The outlet's channels: the hub of each, by the id that the driver knows it by.
//!
//! What a round of the driver costs follows what has changed: of many channels it looks at those whose messages have ended,
//! and at those where somebody has waited long enough.

use core::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::HubOutlet;
use crate::driver::Driver;
use crate::driver::hub::{Accepted, Command, Hub, Opening};
use crate::driver::tickets::MessageIds;
use crate::driver::tidegate::{ChannelEnd, ChannelId, Offered};
use crate::proto::v1::{ChannelCode, ChannelKey, Directions};
use crate::proto::{Done, Gauges, MessageId, NewMessage, Outcome, Payload, SendLimits, TicketId};
use crate::slab::Ascending;
use crate::time::{Clock, Timestamp};
use crate::transport::Transport;

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is said once, in any order")]
struct Side {
    hub: Arc<Hub>,
    key: ChannelKey,
    ids: MessageIds,
    /// Not told yet: the side is among `Sides::told` unless this is empty.
    done: Vec<Done>,
    /// Messages that were sent and have not ended.
    under_way: u64,
    /// Handles of each half are left.
    has_sender: bool,
    has_receiver: bool,
    /// It was closed, of which the peer's word is still to come.
    is_closing: bool,
    /// Somebody waits for room until then: it is in `Sides::dues`.
    due: Option<Timestamp>,
    /// The session knows it no more; its key may be that of another.
    is_dropped: bool,
}

/// All of them, and those that something is to be done about.
#[derive(Debug, Default)]
pub(super) struct Sides {
    table: Ascending<Side>,
    /// Where messages have ended of which the handles are to be told.
    told: Vec<ChannelId>,
    /// When somebody has waited long enough, and where. What is another now than the side's own counts for nothing.
    dues: BinaryHeap<Reverse<(Timestamp, u64)>>,
    /// How many of those there are.
    stale: usize,
}

impl Sides {
    fn find(&mut self, id: ChannelId) -> Option<&mut Side> {
        self.table.get_mut(id.0)
    }

    fn insert(&mut self, hub: &Arc<Hub>, key: ChannelKey) {
        let side = Side {
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
        self.table.insert(hub.channel_id().0, side);
    }

    /// Notes the end of a message, of which the handles hear later.
    fn push_done(&mut self, id: ChannelId, done: Done) {
        let Some(side) = self.table.get_mut(id.0) else { return };
        if side.done.is_empty() {
            self.told.push(id);
        }
        side.done.push(done);
    }

    /// Notes until when somebody waits for room.
    fn set_due(&mut self, id: ChannelId, due: Option<Timestamp>) {
        let Some(side) = self.table.get_mut(id.0) else { return };
        let before = core::mem::replace(&mut side.due, due);
        if before == due {
            return;
        }
        self.stale += usize::from(before.is_some());
        if let Some(due) = due {
            self.dues.push(Reverse((due, id.0)));
        }
        if self.stale > 16 && self.stale * 2 > self.dues.len() {
            let sides = &self.table;
            self.dues.retain(|Reverse((due, id))| sides.get(*id).is_some_and(|side| side.due == Some(*due)));
            // One that has changed its mind back again may be there twice; it is no more stale than the other.
            self.stale = 0;
        }
    }

    /// The side where somebody waits the least long, and until when.
    fn next_due(&mut self) -> Option<(Timestamp, ChannelId)> {
        while let Some(Reverse((due, id))) = self.dues.peek().copied() {
            if self.table.get(id).is_some_and(|side| side.due == Some(due)) {
                return Some((due, ChannelId(id)));
            }
            self.dues.pop();
            self.stale = self.stale.saturating_sub(1);
        }
        None
    }

    /// Where somebody has waited long enough. Whoever looks there says anew until when somebody waits.
    fn take_late(&mut self, now: Timestamp) -> Vec<ChannelId> {
        let mut late = Vec::new();
        while let Some((_, id)) = self.next_due().filter(|(due, _)| *due <= now) {
            self.set_due(id, None);
            late.push(id);
        }
        late
    }

    /// Forgets one of which nobody will ask any more.
    fn tidy(&mut self, id: ChannelId) {
        let Some(side) = self.table.get(id.0) else { return };
        let is_used = side.has_sender || side.has_receiver || side.is_closing;
        if is_used || side.under_way > 0 || !side.done.is_empty() {
            return;
        }
        self.set_due(id, None);
        self.table.remove(id.0);
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
        self.sides.borrow_mut().set_due(id, due);
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
                sides.push_done(
                    channel.0,
                    Done { id, ticket, outcome, bytes, priority, flow, waited_micros: 0 },
                );
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
            sides.tidy(id);
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
            sides.tidy(id);
            hub
        };
        hub.end_sending(end);
    }

    /// Notes the end of a message.
    pub(super) fn note_channel_done(&self, id: ChannelId, done: Done) {
        let mut sides = self.sides.borrow_mut();
        if let Some(side) = sides.find(id) {
            side.under_way = side.under_way.saturating_sub(1);
            sides.push_done(id, done);
        }
    }

    /// Tells the handles of channels which messages have ended.
    pub(super) fn tell_channels_done(&self, gauges: impl FnOnce() -> Gauges) {
        let told: Vec<_> = {
            let mut sides = self.sides.borrow_mut();
            let ids = core::mem::take(&mut sides.told);
            let told = ids.into_iter().filter_map(|id| {
                let side = sides.find(id)?;
                let told = (side.hub.clone(), core::mem::take(&mut side.done));
                sides.tidy(id);
                Some(told)
            });
            told.collect()
        };
        if told.is_empty() {
            return;
        }
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
        let late = self.sides.borrow_mut().take_late(now);
        for id in late {
            self.look_at_channel(driver, id);
        }
    }

    /// When the first of those who wait for room in a channel has waited long enough.
    pub(super) fn channels_due(&self) -> Option<Timestamp> {
        self.sides.borrow_mut().next_due().map(|(due, _)| due)
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
        let ids: Vec<_> = self.sides.borrow().table.iter().map(|(id, _)| ChannelId(id)).collect();
        for id in ids {
            // What was taken for sending and nobody has looked at is not sent.
            if let Some(hub) = self.channel_hub(id) {
                hub.stop_sending();
            }
            self.look_at_channel(driver, id);
        }
        self.tell_channels_done(Gauges::default);
        let sides = self.sides.take();
        for (_, side) in sides.table.iter() {
            side.hub.end_channel();
        }
        self.hub().end_offers();
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use crate::driver::hub::Now;
    use crate::proto::{Flow, Priority, RecvLimits};
    use crate::slab::steps;
    use crate::time::Duration;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::ZERO
        }
    }

    /// An outlet with so many channels, and their ids.
    fn outlet(channels: u32) -> (HubOutlet, Vec<ChannelId>) {
        let main = Hub::new(SendLimits::default(), RecvLimits::default(), Now::of(Still), None);
        let outlet = HubOutlet::new(main.clone());
        let ids = (0..channels).map(|key| {
            let hub = Hub::channel(&main, SendLimits::default());
            outlet.sides.borrow_mut().insert(&hub, ChannelKey(key));
            hub.channel_id()
        });
        let ids = ids.collect();
        (outlet, ids)
    }

    fn done() -> Done {
        Done {
            id: MessageId(1),
            ticket: None,
            outcome: Outcome::Delivered,
            bytes: 0,
            priority: Priority::Normal,
            flow: Flow::default(),
            waited_micros: 0,
        }
    }

    #[test]
    fn a_round_looks_at_channels_where_something_has_happened_only() {
        let (outlet, ids) = outlet(1_000);
        let round = || {
            outlet.tell_channels_done(Gauges::default);
            outlet.channels_due()
        };
        assert_eq!(steps::of(round), 0);
        let some = [ids[3], ids[500], ids[998]];
        let steps = steps::of(|| {
            for id in some {
                outlet.note_channel_done(id, done());
                outlet.note_channel_done(id, done());
            }
            round()
        });
        assert!(steps <= 24, "{steps}");
        assert!(outlet.sides.borrow().told.is_empty());
    }

    #[test]
    fn a_channel_that_nobody_has_is_forgotten_when_its_last_message_has_ended_and_was_told() {
        let (outlet, ids) = outlet(3);
        if let Some(side) = outlet.sides.borrow_mut().find(ids[1]) {
            (side.has_sender, side.has_receiver, side.under_way) = (false, false, 2);
        }
        for left in [3, 2] {
            outlet.note_channel_done(ids[1], done());
            outlet.tell_channels_done(Gauges::default);
            assert_eq!(outlet.sides.borrow().table.len(), left);
        }
    }

    #[test]
    fn the_earliest_who_waits_for_room_is_known_and_what_is_out_of_date_is_not_kept() {
        let (outlet, ids) = outlet(100);
        let at = |micros| Timestamp::ZERO.saturating_add(Duration::from_micros(micros));
        let mut sides = outlet.sides.borrow_mut();
        for (n, id) in (1..).zip(&ids) {
            sides.set_due(*id, Some(at(n * 10)));
        }
        // One that waits for long changes its mind again and again, the earliest stays.
        for n in 0..10_000 {
            sides.set_due(ids[50], Some(at(5_000 + n)));
            assert!(sides.dues.len() <= 2 * 100 + 20);
        }
        assert_eq!(sides.next_due(), Some((at(10), ids[0])));
        sides.set_due(ids[0], None);
        assert_eq!(sides.take_late(at(30)), [ids[1], ids[2]]);
        assert_eq!(sides.next_due(), Some((at(40), ids[3])));
        // One look does not go through all of them.
        let steps = steps::of(|| sides.next_due());
        assert!(steps <= 2, "{steps}");
        for id in &ids {
            sides.set_due(*id, None);
        }
        assert_eq!(sides.next_due(), None);
    }
}
