//! Which channel carries the messages of which class and flow.
//!
//! However many flows are in use, a message costs the same: a lane is found by the number of its flow, of which the
//! outlets give the lowest that are free.

use alloc::vec::Vec;

use crate::proto::v1::ChannelKey;
use crate::proto::{Flow, Priority};
use crate::slab::Slab;

/// How many flows have a channel of their own at the same time. The smaller of the usual two limits is 32: this leaves
/// half of it to channels with names.
const MOST_FLOWS: usize = 12;

/// No lane.
const NONE: u32 = u32::MAX;

const CLASSES: usize = Priority::ALL.len();

#[derive(Debug)]
struct Lane {
    priority: Priority,
    flow: Flow,
    key: ChannelKey,
    by: By,
    /// Messages that were sent on it and have not ended.
    messages: u32,
    /// Its channel is over. Then it is not among those that are in use, but for its messages.
    is_over: bool,
}

/// What a lane has of its channel.
#[derive(Debug)]
enum By {
    /// It is its own, and carries the messages of these as well.
    Own { guests: Vec<u32> },
    /// For want of one of its own it goes by that of `host`, where it is the guest at this place.
    Guest { host: u32, at: usize },
}

/// Those in use. A lane without a flow stays, the others go with their last message.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    table: Slab<Lane>,
    /// The lane of each class of flow `f` from `4 f` on.
    places: Vec<u32>,
    /// Those with a channel that is not over: one for each class, and few flows.
    own: Vec<u32>,
}

impl Lanes {
    /// The lane of a class and flow, and its channel.
    pub(super) fn find(&self, priority: Priority, flow: Flow) -> Option<(u32, ChannelKey)> {
        let number = *self.places.get(place(priority, flow))?;
        self.table.get(number).map(|lane| (number, lane.key))
    }

    /// Whether no other flow is to have a channel of its own.
    pub(super) fn are_many(&self) -> bool {
        let lanes = self.own.iter().filter_map(|number| self.table.get(*number));
        lanes.filter(|lane| lane.flow != Flow::default()).count() >= MOST_FLOWS
    }

    /// A lane with a channel of its own.
    pub(super) fn insert(&mut self, priority: Priority, flow: Flow, key: ChannelKey) -> u32 {
        let by = By::Own { guests: Vec::new() };
        let number = self.keep(Lane { priority, flow, key, by, messages: 0, is_over: false });
        self.own.push(number);
        number
    }

    /// A lane that goes by the channel of another, `host`. Gives that as well.
    pub(super) fn insert_guest(
        &mut self,
        priority: Priority,
        flow: Flow,
        host: u32,
    ) -> Option<(u32, ChannelKey)> {
        let Lane { key, by: By::Own { guests }, .. } = self.table.get(host)? else { return None };
        let (key, by) = (*key, By::Guest { host, at: guests.len() });
        let number = self.keep(Lane { priority, flow, key, by, messages: 0, is_over: false });
        if let Some(Lane { by: By::Own { guests }, .. }) = self.table.get_mut(host) {
            guests.push(number);
        }
        Some((number, key))
    }

    /// A message was sent on it.
    pub(super) fn enter(&mut self, number: u32) {
        if let Some(lane) = self.table.get_mut(number) {
            lane.messages += 1;
        }
    }

    /// A message has ended. Gives the channel that nobody needs any more.
    pub(super) fn leave(&mut self, number: u32) -> Option<ChannelKey> {
        let lane = self.table.get_mut(number)?;
        lane.messages = lane.messages.saturating_sub(1);
        self.forget_if_idle(number)
    }

    /// Forgets the lane of a flow that has nothing under way. Gives its channel, if it has one of its own.
    pub(super) fn forget_if_idle(&mut self, number: u32) -> Option<ChannelKey> {
        let lane = self.table.get(number)?;
        if lane.messages > 0 || lane.flow == Flow::default() && !lane.is_over {
            return None;
        }
        let Lane { priority, flow, key, by, is_over, .. } = self.table.remove(number)?;
        if is_over {
            return None;
        }
        self.set_place(priority, flow, NONE);
        match by {
            By::Own { .. } => {
                self.own.retain(|own| *own != number);
                Some(key)
            }
            By::Guest { host, at } => {
                self.leave_host(host, at);
                None
            }
        }
    }

    /// The channel is over: what is sent next on its lanes goes on another.
    pub(super) fn end(&mut self, key: ChannelKey) {
        let is_its = |number: &&u32| self.table.get(**number).is_some_and(|lane| lane.key == key);
        let Some(host) = self.own.iter().find(is_its).copied() else { return };
        self.own.retain(|own| *own != host);
        let guests = match self.table.get_mut(host) {
            Some(Lane { by: By::Own { guests }, .. }) => core::mem::take(guests),
            _ => Vec::new(),
        };
        for number in guests.into_iter().chain([host]) {
            let Some(lane) = self.table.get_mut(number) else { continue };
            lane.is_over = true;
            let (priority, flow) = (lane.priority, lane.flow);
            self.set_place(priority, flow, NONE);
            self.forget_if_idle(number);
        }
    }

    /// The channels of all lanes, each once.
    pub(super) fn keys(&self) -> Vec<ChannelKey> {
        self.own.iter().filter_map(|number| self.table.get(*number)).map(|lane| lane.key).collect()
    }

    fn keep(&mut self, lane: Lane) -> u32 {
        let (priority, flow) = (lane.priority, lane.flow);
        let number = self.table.insert(lane);
        self.set_place(priority, flow, number);
        number
    }

    fn set_place(&mut self, priority: Priority, flow: Flow, number: u32) {
        let at = place(priority, flow);
        if self.places.len() <= at {
            self.places.resize(at + 1, NONE);
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = number;
        }
    }

    /// The guest at this place is gone; the last one takes it.
    fn leave_host(&mut self, host: u32, at: usize) {
        let Some(Lane { by: By::Own { guests }, .. }) = self.table.get_mut(host) else { return };
        if at >= guests.len() {
            return;
        }
        guests.swap_remove(at);
        let moved = guests.get(at).copied();
        if let Some(Lane { by: By::Guest { at: place, .. }, .. }) =
            moved.and_then(|moved| self.table.get_mut(moved))
        {
            *place = at;
        }
    }
}

fn place(priority: Priority, flow: Flow) -> usize {
    flow.0 as usize * CLASSES + priority.index()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;
    use crate::slab::steps;

    const NORMAL: Priority = Priority::Normal;

    /// Lanes as `Tidegate::lane` makes them: twelve flows have channels of their own, others are guests of their class.
    fn lane(lanes: &mut Lanes, keys: &mut u32, priority: Priority, flow: Flow) -> (u32, ChannelKey) {
        if let Some(known) = lanes.find(priority, flow) {
            return known;
        }
        if flow != Flow::default() && lanes.are_many() {
            let (host, _) = lane(lanes, keys, priority, Flow::default());
            return lanes.insert_guest(priority, flow, host).unwrap();
        }
        *keys += 1;
        (lanes.insert(priority, flow, ChannelKey(*keys)), ChannelKey(*keys))
    }

    #[test]
    fn a_message_costs_the_same_whatever_flows_are_in_use() {
        let (mut lanes, mut keys) = (Lanes::default(), 0);
        let mut message = |flow: Flow| {
            let (number, _) = lane(&mut lanes, &mut keys, NORMAL, flow);
            lanes.enter(number);
            number
        };
        let most = (1..=10_000).map(|flow| steps::of(|| message(Flow(flow)))).max();
        assert!(most <= Some(40), "{most:?}");
        let number = message(Flow(5_000));
        let again = steps::of(|| message(Flow(5_000)));
        assert!(again <= 4, "{again}");
        lanes.leave(number);
        lanes.leave(number);
        let last = steps::of(|| lanes.leave(number));
        assert!(last <= 6 && lanes.find(NORMAL, Flow(5_000)).is_none(), "{last}");
    }

    #[test]
    fn a_guest_keeps_its_channel_as_long_as_it_has_messages_and_others_may_come_and_go() {
        let (mut lanes, mut keys) = (Lanes::default(), 0);
        let numbers: Vec<_> =
            (1..=100).map(|flow| (lane(&mut lanes, &mut keys, NORMAL, Flow(flow)), Flow(flow))).collect();
        for ((number, _), _) in &numbers {
            lanes.enter(*number);
        }
        let main = lanes.find(NORMAL, Flow::default()).unwrap().1;
        assert_eq!(numbers.iter().filter(|((_, key), _)| *key == main).count(), 88);
        assert_eq!((lanes.keys().len(), keys), (13, 13));
        // In any order: each gives back its own channel, a guest none.
        for n in 0..50 {
            let ((number, key), flow) = numbers.get(n * 37 % 100).copied().unwrap();
            assert_eq!(lanes.leave(number), (key != main).then_some(key), "{flow:?}");
            assert_eq!(lanes.find(NORMAL, flow), None);
        }
        for n in 50..100 {
            let ((number, key), flow) = numbers.get(n * 37 % 100).copied().unwrap();
            assert_eq!(lanes.find(NORMAL, flow), Some((number, key)));
        }
        // Of the same flow, another class is another lane.
        assert_eq!(lanes.find(Priority::Bulk, Flow(1)), None);
    }

    #[test]
    fn all_guests_of_a_channel_that_is_over_go_on_another() {
        let (mut lanes, mut keys) = (Lanes::default(), 0);
        let numbers: Vec<_> = (1..=40).map(|flow| lane(&mut lanes, &mut keys, NORMAL, Flow(flow))).collect();
        let guests: Vec<_> = numbers.get(12..).unwrap().to_vec();
        for (number, _) in &numbers {
            lanes.enter(*number);
        }
        let (first, _) = *guests.first().unwrap();
        lanes.leave(first);
        let main = lanes.find(NORMAL, Flow::default()).unwrap().1;
        lanes.end(main);
        assert!((0..=40).all(|flow| (1..=12).contains(&flow) || lanes.find(NORMAL, Flow(flow)).is_none()));
        assert_eq!(lanes.keys().len(), 12);
        let (again, key) = lane(&mut lanes, &mut keys, NORMAL, Flow(20));
        assert!(key != main && lanes.find(NORMAL, Flow::default()).unwrap().1 == key);
        // What was under way ends, and touches nothing of those that are there now.
        guests.iter().skip(1).for_each(|(number, _)| assert_eq!(lanes.leave(*number), None));
        assert_eq!(lanes.find(NORMAL, Flow(20)), Some((again, key)));
    }
}
