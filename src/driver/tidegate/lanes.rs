//! Which channel carries the messages of which class and flow.

use alloc::vec::Vec;

use crate::proto::v1::ChannelKey;
use crate::proto::{Flow, Priority};
use crate::slab::Slab;

/// How many flows have a channel of their own at the same time. The smaller of the usual two limits is 32: this leaves
/// half of it to channels with names.
const MOST_FLOWS: usize = 12;

#[derive(Debug)]
struct Lane {
    priority: Priority,
    flow: Flow,
    key: ChannelKey,
    /// It goes by the channel of its class, for want of one of its own.
    is_guest: bool,
    /// Messages that were sent on it and have not ended.
    messages: u32,
    /// Its channel is over.
    is_over: bool,
}

/// Those in use. A lane without a flow stays, the others go with their last message.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Slab<Lane>,
    /// Their keys in the slab. There are few.
    used: Vec<u32>,
}

impl Lanes {
    /// The lane of a class and flow, and its channel.
    pub(super) fn find(&self, priority: Priority, flow: Flow) -> Option<(u32, ChannelKey)> {
        self.used.iter().find_map(|number| {
            let lane = self.lanes.get(*number)?;
            (lane.priority == priority && lane.flow == flow && !lane.is_over).then_some((*number, lane.key))
        })
    }

    /// Whether no other flow is to have a channel of its own.
    pub(super) fn are_many(&self) -> bool {
        let has_own = |number: &&u32| {
            let lane = self.lanes.get(**number);
            lane.is_some_and(|lane| !lane.is_guest && !lane.is_over && lane.flow != Flow::default())
        };
        self.used.iter().filter(has_own).count() >= MOST_FLOWS
    }

    pub(super) fn insert(&mut self, priority: Priority, flow: Flow, key: ChannelKey, is_guest: bool) -> u32 {
        let number = self.lanes.insert(Lane { priority, flow, key, is_guest, messages: 0, is_over: false });
        self.used.push(number);
        number
    }

    /// A message was sent on it.
    pub(super) fn enter(&mut self, number: u32) {
        if let Some(lane) = self.lanes.get_mut(number) {
            lane.messages += 1;
        }
    }

    /// A message has ended. Gives the channel that nobody needs any more.
    pub(super) fn leave(&mut self, number: u32) -> Option<ChannelKey> {
        let lane = self.lanes.get_mut(number)?;
        lane.messages = lane.messages.saturating_sub(1);
        self.forget_if_idle(number)
    }

    /// Forgets the lane of a flow that has nothing under way. Gives its channel, if it has one of its own.
    pub(super) fn forget_if_idle(&mut self, number: u32) -> Option<ChannelKey> {
        let lane = self.lanes.get(number)?;
        if lane.messages > 0 || lane.flow == Flow::default() && !lane.is_over {
            return None;
        }
        let lane = self.remove(number)?;
        (!lane.is_guest && !lane.is_over).then_some(lane.key)
    }

    /// The channel is over: what is sent next on its lanes goes on another.
    pub(super) fn end(&mut self, key: ChannelKey) {
        for number in self.used.clone() {
            if let Some(lane) = self.lanes.get_mut(number).filter(|lane| lane.key == key && !lane.is_over) {
                lane.is_over = true;
                self.forget_if_idle(number);
            }
        }
    }

    /// The channels of all lanes, each once.
    pub(super) fn keys(&self) -> Vec<ChannelKey> {
        let lanes = self.used.iter().filter_map(|number| self.lanes.get(*number));
        lanes.filter(|lane| !lane.is_guest && !lane.is_over).map(|lane| lane.key).collect()
    }

    fn remove(&mut self, number: u32) -> Option<Lane> {
        self.used.retain(|used| *used != number);
        self.lanes.remove(number)
    }
}
