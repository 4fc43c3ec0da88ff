//! How items, directions and channels end.

use alloc::string::String;
use alloc::vec::Vec;

use super::waiting::Drain;
use super::{Event, GoingAway, Session};
use crate::proto::send::{Flow, MessageId, Queued};
use crate::proto::v1::channel::{Begun, Block, ChannelKey, Rx, Stage, Tx};
use crate::proto::v1::code::{ChannelCode, FatalCode};
use crate::proto::v1::flow::needed;
use crate::proto::v1::replay::Ends;
use crate::proto::{Done, Outcome};
use crate::time::{Duration, Timestamp};

impl Session {
    /// An item that never began has ended.
    pub(super) fn finish_queued(&mut self, item: &Queued, outcome: Outcome) {
        if let Some(block) = self.take_block(item.flow, item.id) {
            self.release_source(block.source);
        }
        self.finish(done(item, 0, outcome));
        self.release(item.payload.slot());
    }

    pub(super) fn finish(&mut self, done: Done) {
        match done.outcome {
            Outcome::Unsent => self.unsent.add(done.bytes),
            Outcome::Unknown => self.unknown.add(done.bytes),
            _ => {}
        }
        self.event(Event::Done(done));
    }

    /// An item that had begun has ended before its last chunk.
    pub(super) fn finish_begun(&mut self, begun: &Begun, outcome: Outcome) {
        // Its place in the queue holds nothing but a mark.
        self.queue.remove(begun.done.id);
        let block = self.take_block(begun.done.flow, begun.done.id);
        self.let_go(begun, block);
        self.finish(Done { outcome, ..begun.done });
    }

    /// What was read of an item that has ended.
    pub(super) fn take_block(&mut self, flow: Flow, id: MessageId) -> Option<Block> {
        self.mux.get_mut(ChannelKey(flow.0))?.block.take_if(|block| block.item == id)
    }

    /// Ends everything that is queued on a channel.
    pub(super) fn drop_items(&mut self, key: ChannelKey, outcome: Outcome) {
        let begun = self.mux.get_mut(key).and_then(|channel| channel.begun.take());
        if let Some(begun) = begun {
            // The peer drops what it has of it.
            self.finish_begun(&begun, outcome);
        }
        while let Some(item) = self.queue.pop_flow(Flow(key.0)) {
            self.finish_queued(&item, outcome);
        }
    }

    /// Nothing more of what is queued on a channel goes: RESET is to follow.
    pub(super) fn stop_sending(&mut self, key: ChannelKey, outcome: Outcome) {
        if let Some(channel) = self.mux.get_mut(key) {
            channel.tx = Tx::Ending;
        }
        self.drop_items(key, outcome);
    }

    pub(super) fn stop_receiving(&mut self, key: ChannelKey) {
        let Some(channel) = self.mux.get_mut(key) else { return };
        channel.rx = Rx::Discarding;
        if let Some(arriving) = channel.arriving.take() {
            self.event(Event::Void(key));
            self.consume(key, arriving.cost);
        }
    }

    /// As [`handle_close_channel`](Self::handle_close_channel), and [`Event::Closed`] with this tag tells how that has come to
    /// its end, unless the session ends before. False, and nothing has happened, if the direction does not go on any more.
    pub fn handle_close_tagged(&mut self, key: ChannelKey, tag: u64) -> bool {
        let Some(channel) = self.mux.get_mut(key).filter(|channel| channel.tx == Tx::Open) else {
            return false;
        };
        channel.tag = Some(tag);
        self.handle_close_channel(key);
        true
    }

    /// Tells who waits for CLOSE to be acknowledged that it does not go.
    pub(super) fn tell_reset(&mut self, key: ChannelKey, code: ChannelCode, detail: &[u8]) {
        if let Some(tag) = self.mux.get_mut(key).and_then(|channel| channel.tag.take()) {
            self.event(Event::Closed { tag, reset: Some((code, Vec::from(detail))) });
        }
    }

    /// What has gone on a channel may never be seen by anybody, for this reason.
    pub(super) fn give_up_ends(
        &mut self,
        channel: u64,
        outcome: Outcome,
        (code, detail): (ChannelCode, &[u8]),
    ) {
        for ends in self.log.take_ends(channel) {
            match ends {
                Ends::Item(done) => self.finish(Done { outcome, ..done }),
                Ends::Channel(tag) => {
                    self.event(Event::Closed { tag, reset: Some((code, Vec::from(detail))) });
                }
            }
        }
    }

    /// CLOSE follows the last item.
    pub(super) fn close_if_sent(&mut self, key: ChannelKey) {
        let Some(channel) = self.mux.get_mut(key) else { return };
        if channel.tx == Tx::Closing && channel.begun.is_none() && self.queue.is_flow_empty(Flow(key.0)) {
            self.say_close(key);
        }
    }

    /// What was received has been taken, or thrown away: credit may be due.
    pub(super) fn consume(&mut self, key: ChannelKey, cost: u64) {
        let (now, round_trip) = (self.now, self.budget.round_trip_micros());
        let spare = self.spare();
        let Some(channel) = self.mux.get_mut(key) else { return };
        self.windows = self.windows.saturating_sub(channel.recv_window.consume(now, cost));
        if channel.rx != Rx::Open {
            return;
        }
        if channel.recv_window.grows(now, round_trip) {
            self.windows += channel.recv_window.grow(spare);
        }
        self.grant(key);
    }

    pub(super) fn grant(&mut self, key: ChannelKey) {
        let Some(channel) = self.mux.get_mut(key) else { return };
        let left = channel.recv_window.limit() - channel.recv_window.received();
        let waits = channel.arriving.as_ref().is_some_and(|arriving| match arriving.total {
            // What is left may be all that it needs.
            Some(total) => needed(total.saturating_sub(arriving.bytes)) > left,
            None => true,
        });
        if channel.rx == Rx::Open && channel.recv_window.grant(waits).is_some() && !channel.owes_credit {
            channel.owes_credit = true;
            self.loose.credits.push_back(key);
        }
    }

    /// The peer sends nothing more on a channel. Returns whether somebody here wanted it to.
    pub(super) fn end_receiving(&mut self, key: ChannelKey) -> bool {
        let Some(channel) = self.mux.get_mut(key) else { return false };
        let was_open = core::mem::replace(&mut channel.rx, Rx::Ended) == Rx::Open;
        self.receiving = self.receiving.saturating_sub(u64::from(!channel.is_own));
        self.windows = self.windows.saturating_sub(channel.recv_window.end());
        if let Some(arriving) = channel.arriving.take() {
            self.event(Event::Void(key));
            self.consume(key, arriving.cost);
        }
        was_open
    }

    /// A channel has come a step nearer to its end.
    pub(super) fn forget_if_over(&mut self, key: ChannelKey) {
        let Some(channel) = self.mux.get(key) else { return };
        if !channel.is_over() {
            return;
        }
        let (id, is_dropped) = (channel.id(), channel.is_dropped);
        self.unsay(key);
        if let Some(id) = id {
            self.mux.end(id);
        }
        if is_dropped && let Some(channel) = self.mux.get(key) {
            self.windows = self.windows.saturating_sub(channel.recv_window.window());
            // Its lane may be held, empty: the next channel of this key would stay so.
            self.drop_items(key, Outcome::Cancelled);
            // Nor does that one hear what nobody has asked for yet.
            if self.mux.get(key).is_some_and(|channel| channel.events > 0) {
                #[cfg(test)]
                crate::slab::steps::add(self.pending.len());
                self.pending.retain(|output| output.channel() != Some(key));
            }
            self.mux.remove(key);
            if self.mux.grant() {
                self.loose.chan_limit = true;
            }
        }
    }

    /// What the peer is told of an end in good order, if that begins now.
    pub(super) fn going_away(&self, drain_ms: u64, reconnect_after_ms: u64, jitter_ms: u64) -> GoingAway {
        let (channels, code) = (self.mux.peer_opened(), FatalCode::None);
        let reason = String::from(code.name());
        GoingAway { channels, code, drain_ms, reconnect_after_ms, jitter_ms, reason }
    }

    pub(super) fn go_away(&mut self, now: Timestamp, going: GoingAway, waits_for_channels: bool) {
        self.now = now;
        if let Some(drain) = &mut self.drain {
            // What was said stays; only the patience may become less.
            let due = now.saturating_add(Duration::from_millis(going.drain_ms));
            drain.due = drain.due.min(due);
        }
        if self.is_ending() {
            return;
        }
        self.handles = Some(going.channels);
        let due = now.saturating_add(Duration::from_millis(going.drain_ms));
        self.drain = Some(Drain { due, code: going.code, channels: waits_for_channels });
        self.goaway = Some(going);
        // What is queued still goes, also if the peer has not heard of its channel yet.
        let opens = self.opens.iter().map(|(_, key)| *key);
        let empty: Vec<ChannelKey> = opens.filter(|key| self.queue.is_flow_empty(Flow(key.0))).collect();
        for key in empty {
            self.end_unopened(key, Outcome::Unsent);
        }
    }

    /// OPEN of this channel waits no more.
    pub(super) fn leave_line(&mut self, key: ChannelKey) {
        if let Some(Stage::Pending { place, .. }) = self.mux.get(key).map(|channel| &channel.stage) {
            self.opens.remove(*place);
        }
    }

    /// Ends a channel that the peer will never hear of.
    pub(super) fn end_unopened(&mut self, key: ChannelKey, outcome: Outcome) {
        self.leave_line(key);
        if let Some(channel) = self.mux.get_mut(key) {
            (channel.tx, channel.rx) = (Tx::Ended, Rx::Ended);
        }
        self.drop_items(key, outcome);
        let code = ChannelCode::Refused;
        self.tell_reset(key, code, &[]);
        if self.mux.get(key).is_some_and(|channel| !channel.is_dropped) {
            self.event(Event::PeerStopped { channel: key, code, detail: Vec::new() });
            self.event(Event::PeerEnded { channel: key, code: Some(code), detail: Vec::new() });
        }
        self.forget_if_over(key);
    }
}

/// The end of an item.
fn done(item: &Queued, waited_micros: u64, outcome: Outcome) -> Done {
    Done {
        id: item.id,
        ticket: item.ticket,
        outcome,
        bytes: item.payload.bytes(),
        priority: item.priority,
        flow: item.flow,
        waited_micros,
    }
}
