//! What arrives for channels, and what it does to them.

use alloc::string::String;
use alloc::vec::Vec;

use super::receive::{class, violation};
use super::{Chunk, Event, Session};
use crate::proto::Outcome;
use crate::proto::v1::channel::{Arriving, ChannelKey, ChannelKind, Directions, Rx, Stage, Text, Tx};
use crate::proto::v1::code::{ChannelCode, FatalCode};
use crate::proto::v1::flow::cost;
use crate::proto::v1::record::{Data, Fault, Open, Raw};

impl Session {
    pub(super) fn apply_open(&mut self, raw: &Raw<'_>, open: &Open<'_>) -> Result<(), Fault> {
        if !self.mux.is_next_of_peer(open.channel) {
            return Err(violation(raw, "not the next channel id"));
        }
        if !self.mux.peer_may_open() {
            return Err(Fault {
                code: FatalCode::FlowControl,
                record_type: raw.kind,
                why: "beyond CHAN_LIMIT",
            });
        }
        let is_beyond = self.handles.is_some_and(|handled| self.mux.peer_opened() >= handled);
        let kind = ChannelKind::from_wire(open.kind);
        let refused = match kind {
            None => Some(ChannelCode::UnsupportedKind),
            Some(_) => is_beyond.then_some(ChannelCode::Refused),
        };
        let kind = kind.unwrap_or(ChannelKind::Call);
        let priority = class(open.prio);
        let channel = self.channel(Stage::Known(open.channel), false, kind, priority);
        let key = self.mux.insert_peer(channel);
        // Perhaps the last one: then what others have left is granted, however little.
        self.loose.chan_limit |= self.mux.grant();
        self.receiving += 1;
        if let Some(code) = refused {
            self.handle_reset(key, Directions::Both, code, Vec::new());
            self.handle_dropped(key);
            return Ok(());
        }
        let (name, meta) = (String::from(open.name), Vec::from(open.meta.bytes()));
        self.event(Event::Incoming { channel: key, kind, name, meta, priority });
        if kind.wants_accept() {
            self.handle_accept(key, self.config.channel_window, self.config.channel_max_item);
        }
        Ok(())
    }

    pub(super) fn apply_accept(
        &mut self,
        raw: &Raw<'_>,
        id: u64,
        limit: u64,
        max_item: u64,
    ) -> Result<(), Fault> {
        const WHY: &str = "second ACCEPT or ACCEPT after the end";
        let key = self.find(raw, id)?.ok_or_else(|| violation(raw, WHY))?;
        let Some(channel) = self.mux.get_mut(key) else { return Ok(()) };
        if channel.was_accepted || channel.rx == Rx::Ended {
            return Err(violation(raw, WHY));
        }
        channel.was_accepted = true;
        channel.send_window.raise(limit);
        channel.max_item = channel.max_item.max(max_item);
        let is_own = channel.is_own;
        self.set_ready(key);
        if is_own {
            self.event(Event::Accepted(key));
        }
        Ok(())
    }

    pub(super) fn apply_reset(
        &mut self,
        raw: &Raw<'_>,
        id: u64,
        dir: u8,
        code: ChannelCode,
        detail: &[u8],
    ) -> Result<(), Fault> {
        let found = self.find(raw, id)?;
        if dir & 2 != 0 {
            // What has gone, CLOSE included, may have come too late, and then it is thrown away; that it is acknowledged says
            // no more.
            self.give_up_ends(id, Outcome::Unknown, (code, detail));
        }
        let Some(key) = found else { return self.pay(raw) };
        let Some(channel) = self.mux.get_mut(key) else { return Ok(()) };
        let ends = dir & 1 != 0 && channel.rx != Rx::Ended;
        let stops = dir & 2 != 0 && matches!(channel.tx, Tx::Open | Tx::Closing);
        if !ends && !stops {
            return self.pay(raw);
        }
        if ends && self.end_receiving(key) {
            self.event(Event::PeerEnded { channel: key, code: Some(code), detail: Vec::from(detail) });
        }
        if stops {
            self.tell_reset(key, code, detail);
            self.stop_sending(key, Outcome::Cancelled);
            self.say_reset(key, code, Vec::new());
            self.event(Event::PeerStopped { channel: key, code, detail: Vec::from(detail) });
        }
        self.forget_if_over(key);
        Ok(())
    }

    pub(super) fn apply_close(&mut self, raw: &Raw<'_>, id: u64) -> Result<(), Fault> {
        let key = self.find(raw, id)?.ok_or_else(|| violation(raw, "CLOSE after the end"))?;
        let Some(channel) = self.mux.get_mut(key) else { return Ok(()) };
        if channel.rx == Rx::Ended {
            return Err(violation(raw, "CLOSE after the end"));
        }
        if channel.arriving.is_some() {
            return Err(violation(raw, "CLOSE inside an item"));
        }
        if channel.awaits_accept() {
            return Err(violation(raw, "something before ACCEPT"));
        }
        if self.end_receiving(key) {
            self.event(Event::PeerEnded { channel: key, code: None, detail: Vec::new() });
        }
        self.forget_if_over(key);
        Ok(())
    }

    pub(super) fn apply_data(&mut self, raw: &Raw<'_>, data: &Data<'_>) -> Result<(), Fault> {
        let key = self.find(raw, data.channel)?.ok_or_else(|| violation(raw, "DATA after the end"))?;
        let Some(channel) = self.mux.get_mut(key) else { return Ok(()) };
        if channel.rx == Rx::Ended {
            return Err(violation(raw, "DATA after the end"));
        }
        if channel.awaits_accept() {
            return Err(violation(raw, "something before ACCEPT"));
        }
        let (flags, bytes) = (data.flags, data.payload.len() as u64);
        // Of what nobody wants any more only number and cost are counted.
        let discards = channel.rx == Rx::Discarding;
        if !discards {
            match (flags.is_first(), &channel.arriving) {
                (true, Some(_)) => return Err(violation(raw, "FIRST inside an item")),
                (false, None) => return Err(violation(raw, "no item begun")),
                _ => {}
            }
            let begun = channel.arriving.as_ref();
            let size = begun.map_or(0, |arriving| arriving.bytes) + bytes;
            if let Some(total) = begun.map_or(data.total, |arriving| arriving.total) {
                if size > total {
                    return Err(violation(raw, "more than total"));
                }
                if flags.is_last() && !flags.is_abort() && size != total {
                    return Err(violation(raw, "total is wrong"));
                }
            }
        }
        if channel.recv_window.receive(cost(bytes)).is_err() {
            return Err(Fault { code: FatalCode::FlowControl, record_type: raw.kind, why: "beyond credit" });
        }
        self.acks.is_due |= flags.wants_ack();
        if discards {
            self.consume(key, cost(bytes));
        } else {
            self.take_chunk(key, data);
        }
        Ok(())
    }

    /// A chunk that is in its place and paid for.
    fn take_chunk(&mut self, key: ChannelKey, data: &Data<'_>) {
        let Some(channel) = self.mux.get_mut(key) else { return };
        let (flags, bytes) = (data.flags, data.payload.len() as u64);
        let mut arriving = channel.arriving.take().unwrap_or_else(|| Arriving {
            total: data.total,
            bytes: 0,
            cost: 0,
            text: flags.is_text().then(Text::new),
        });
        arriving.bytes += bytes;
        arriving.cost += cost(bytes);
        if let Some(text) = &mut arriving.text {
            text.push(data.payload);
        }
        let size = arriving.total.unwrap_or(0).max(arriving.bytes);
        let fault = if size > channel.recv_window.max_item() {
            Some(ChannelCode::ItemTooBig)
        } else if flags.is_last()
            && !flags.is_abort()
            && arriving.text.as_ref().is_some_and(|text| !text.is_good())
        {
            Some(ChannelCode::BadUtf8)
        } else {
            None
        };
        if fault.is_some() || flags.is_abort() {
            if !flags.is_first() {
                self.event(Event::Void(key));
            }
            if let Some(code) = fault {
                self.handle_reset(key, Directions::Receiving, code, Vec::new());
                self.event(Event::PeerEnded { channel: key, code: Some(code), detail: Vec::new() });
            }
            self.consume(key, arriving.cost);
            return;
        }
        let is_text = arriving.text.is_some();
        let total = arriving.total.or(flags.is_last().then_some(bytes));
        let first = flags.is_first().then_some((is_text, total));
        let last = flags.is_last().then_some(arriving.cost);
        let range = data.payload_at..data.payload_at + data.payload.len();
        if last.is_none() {
            channel.arriving = Some(arriving);
        }
        self.event(Event::Chunk(Chunk { channel: key, range, first, last }));
        if last.is_none() {
            self.grant(key);
        }
    }
}
