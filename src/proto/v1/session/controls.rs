//! Records about channels that wait to be handed over before all data: in which order, and what they wait for.
//!
//! What is to be said of a channel of which the peer has not heard, and RESET of one that it was not told ACCEPT of,
//! waits with the channel, so that nobody has to look for it here or to pass it by.
//!
//! Not here: OPEN, CREDIT, GOAWAY (`send`), acknowledgements (`waiting`).

use alloc::vec::Vec;

use super::{Outgoing, Session};
use crate::proto::v1::budget::Class;
use crate::proto::v1::channel::{Channel, ChannelKey, Directions, Stop, Tx};
use crate::proto::v1::code::ChannelCode;
use crate::proto::v1::record::Record;
use crate::proto::v1::replay::Ends;

/// A sequenced record that waits to be handed over, before all data.
#[derive(Debug)]
pub(super) enum Control {
    Accept(ChannelKey),
    Reset {
        channel: ChannelKey,
        stop: Stop,
    },
    Close(ChannelKey),
    /// A record that means nothing.
    Grease(u8),
}

impl Control {
    /// Whether it is a RESET of what the peer sends.
    fn stops_peer(&self) -> bool {
        matches!(self, Self::Reset { stop, .. } if stop.directions.receiving())
    }

    /// Which channel it is about.
    fn channel(&self) -> Option<ChannelKey> {
        match self {
            Self::Accept(key) | Self::Close(key) | Self::Reset { channel: key, .. } => Some(*key),
            Self::Grease(_) => None,
        }
    }
}

impl Session {
    /// Has a record wait, behind the others. The peer knows its channel.
    pub(super) fn say(&mut self, control: Control) {
        if let Some(channel) = self.channel_of(&control) {
            channel.controls += 1;
            channel.accept_waits |= matches!(control, Control::Accept(_));
        }
        self.controls.push_back(control);
    }

    /// Has a RESET wait that ends what this side sends.
    pub(super) fn say_reset(&mut self, channel: ChannelKey, code: ChannelCode, detail: Vec<u8>) {
        let directions = Directions::Sending;
        self.say(Control::Reset { channel, stop: Stop { directions, code, detail } });
    }

    /// CLOSE is to follow what was sent.
    pub(super) fn say_close(&mut self, key: ChannelKey) {
        let Some(channel) = self.mux.get_mut(key) else { return };
        channel.tx = Tx::Ending;
        if channel.id().is_some() {
            self.say(Control::Close(key));
        }
    }

    /// Has a RESET wait by which the peer stops: before what may have to wait itself, and behind ACCEPT of the same channel.
    pub(super) fn say_stop(&mut self, key: ChannelKey, stop: Stop) {
        let Some(channel) = self.mux.get_mut(key) else { return };
        if channel.id().is_none() {
            // Nor has the peer sent anything that is not to be acknowledged.
            channel.stop = Some(stop);
            return;
        }
        self.stops += 1;
        self.acks.hold();
        if channel.accept_waits {
            channel.stop = Some(stop);
            // In front of all that waits for room, as RESET will be; where it stood before it is passed over.
            channel.controls += 1;
            self.controls.push_front(Control::Accept(key));
        } else {
            channel.controls += 1;
            self.controls.push_front(Control::Reset { channel: key, stop });
        }
    }

    /// OPEN has gone: what has waited for that waits for its turn.
    pub(super) fn say_what_waited(&mut self, key: ChannelKey) {
        let Some(channel) = self.mux.get_mut(key) else { return };
        let closes = channel.tx == Tx::Ending;
        if let Some(stop) = channel.stop.take() {
            self.say_stop(key, stop);
        }
        if closes {
            self.say(Control::Close(key));
        }
    }

    /// A channel is over: what is still to be said of it means nothing any more.
    pub(super) fn unsay(&mut self, key: ChannelKey) {
        let Some(channel) = self.mux.get_mut(key) else { return };
        let controls = core::mem::take(&mut channel.controls);
        let mut stops = u64::from(channel.stop.take().is_some() && channel.id().is_some());
        if controls > 0 {
            #[cfg(test)]
            crate::slab::steps::add(self.controls.len());
            self.controls.retain(|control| {
                let is_its = control.channel() == Some(key);
                stops += u64::from(is_its && control.stops_peer());
                !is_its
            });
        }
        self.stops = self.stops.saturating_sub(stops);
    }

    fn channel_of(&mut self, control: &Control) -> Option<&mut Channel> {
        control.channel().and_then(|key| self.mux.get_mut(key))
    }

    /// Hands over what comes before all data. Returns whether the message has room for more.
    pub(super) fn put_controls(&mut self, out: &mut Outgoing, target: u64) -> bool {
        while let Some(control) = self.controls.front() {
            let number = Some(self.log.next());
            let mut head = Vec::new();
            let state = control.channel().and_then(|key| self.mux.get(key));
            let channel = state.and_then(Channel::id).unwrap_or(0);
            if let (Control::Accept(key), Some(Channel { accept_waits: false, .. })) = (control, state) {
                if let Some(channel) = self.mux.get_mut(*key) {
                    channel.controls = channel.controls.saturating_sub(1);
                }
                self.controls.pop_front();
                continue;
            }
            match control {
                Control::Accept(_) => {
                    let Some(state) = state else { return true };
                    let window = &state.recv_window;
                    let (limit, max_item_bytes) = (window.limit(), window.max_item());
                    Record::Accept { channel, limit, max_item_bytes }.put(number, &mut head);
                }
                Control::Reset { stop, .. } => {
                    let Stop { directions, code, detail } = stop;
                    let dir = directions.to_wire();
                    Record::Reset { channel, dir, code: *code, detail }.put(number, &mut head);
                }
                Control::Close(_) => Record::Close { channel }.put(number, &mut head),
                Control::Grease(kind) => Record::put_unknown(*kind, number, &mut head),
            }
            let opens_stop =
                matches!(control, Control::Accept(_)) && state.is_some_and(|state| state.stop.is_some());
            let (bytes, stops_peer) = (head.len() as u64, control.stops_peer() || opens_stop);
            if !out.is_empty() && out.len() + bytes > target {
                return false;
            }
            // The sooner the peer stops, the better, and what it has under way is not acknowledged before.
            let goes = if stops_peer { self.log_takes(1, bytes) } else { self.admits(bytes, Class::Control) };
            if !goes {
                return false;
            }
            let Some(control) = self.controls.pop_front() else { return true };
            let tag = match &control {
                Control::Close(key) => self.mux.get_mut(*key).and_then(|state| state.tag.take()),
                _ => None,
            };
            let ends = tag.map(|tag| (Ends::Channel(tag), channel));
            self.hand_over(out, Class::Control, head, None, ends);
            self.note_control(&control);
        }
        true
    }

    /// A control record has been handed over.
    fn note_control(&mut self, control: &Control) {
        self.stops = self.stops.saturating_sub(u64::from(control.stops_peer()));
        let Some(key) = control.channel() else { return };
        let Some(channel) = self.mux.get_mut(key) else { return };
        channel.controls = channel.controls.saturating_sub(1);
        let ends = match control {
            Control::Close(_) => true,
            Control::Reset { stop, .. } => stop.directions.sending(),
            Control::Accept(_) => {
                channel.accept_waits = false;
                if let Some(stop) = channel.stop.take() {
                    channel.controls += 1;
                    self.controls.push_front(Control::Reset { channel: key, stop });
                }
                return;
            }
            Control::Grease(_) => return,
        };
        if ends {
            channel.tx = Tx::Ended;
            self.forget_if_over(key);
        }
    }
}
