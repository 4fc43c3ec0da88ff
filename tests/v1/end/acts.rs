//! What the application of one side does by chance: opens, sends, closes, resets, cancels.

use tidegate::proto::Outcome;
use tidegate::proto::v1::{ChannelCode, ChannelKey, ChannelKind, Directions, NewItem};
use tidegate::proto::{MessageId, Payload, Priority};
use tidegate::time::Timestamp;

use super::{End, MAX_ITEM, Sent, WINDOW};
use crate::content::{NUMBER, content};
use crate::plan::AMPLE;

impl End {
    /// The application does something.
    pub(crate) fn act(&mut self, now: u64) {
        let sending =
            self.channels.iter().filter(|(_, known)| known.sends && (known.is_own || !self.plan.is_plain));
        let sending: Vec<_> = sending.map(|(key, _)| *key).collect();
        let random = &mut self.random;
        match random.between(0, 19) {
            0..=2 => self.open(),
            3..=6 if self.plan.is_plain => self.open(),
            3 if !sending.is_empty() && self.plan.resets => {
                let key = random.of(&sending);
                let directions = random.of(&[Directions::Sending, Directions::Receiving, Directions::Both]);
                let code = random.of(&[ChannelCode::Cancelled, ChannelCode::Application]);
                self.session.handle_reset(key, directions, code, vec![1, 2, 3]);
                let known = self.channels.get_mut(&key).expect("it is in the table");
                if directions != Directions::Receiving {
                    known.sends = false;
                }
                if directions != Directions::Sending {
                    known.receives = false;
                    known.arriving = None;
                    self.unwanted.insert((known.name.clone(), 1 - self.which));
                }
                self.drop_if_over(key);
            }
            4 if !sending.is_empty() => {
                let key = random.of(&sending);
                self.session.handle_close_channel(key);
                self.channels.get_mut(&key).expect("it is in the table").sends = false;
                self.drop_if_over(key);
            }
            5 if !sending.is_empty() => {
                let (key, priority) = (random.of(&sending), random.of(&Priority::ALL));
                self.session.set_priority(key, priority);
            }
            6 => {
                let ids: Vec<_> = self.ids.keys().copied().collect();
                if !ids.is_empty() {
                    let id = random.of(&ids);
                    let place = self.ids[&id];
                    self.sent[place].is_cancelled = self.session.handle_cancel(id);
                }
            }
            _ if sending.is_empty() => self.open(),
            _ => {
                let key = random.of(&sending);
                for _ in 0..random.of(&[1, 1, 1, 4, 20]) {
                    self.send(now, key);
                }
            }
        }
    }

    fn open(&mut self) {
        let name = format!("{}{}", ["c", "s"][self.which], self.opened);
        let kind = self.random.of(&[ChannelKind::Items, ChannelKind::Items, ChannelKind::Call]);
        let priority = self.random.of(&Priority::ALL);
        if let Ok(key) = self.session.open(kind, name.clone(), Vec::new(), priority) {
            self.opened += 1;
            self.know(key, name, kind, true);
            if self.plan.accepts {
                self.session.handle_accept(key, WINDOW, MAX_ITEM);
            }
        }
    }

    fn send(&mut self, now: u64, key: ChannelKey) {
        let at = self.at(now);
        let random = &mut self.random;
        let mut bytes = match random.between(0, 9) {
            0 => 0,
            1..=4 => random.between(8, 64),
            5..=7 => random.between(8, self.plan.largest.min(6_000)),
            _ => random.between(8, self.plan.largest),
        };
        if random.once_in(60) {
            // Larger than the peer takes.
            bytes = 700_000;
        }
        if self.bytes + bytes > self.plan.bytes {
            bytes = bytes.min(8);
        }
        self.bytes += bytes;
        let is_text = random.once_in(3);
        let id = self.sent.len();
        let due =
            (self.plan.deadlines && random.once_in(4)).then(|| at.as_micros() + random.between(0, 300_000));
        let latest = (self.plan.latest && random.once_in(4)).then(|| random.between(0, 2));
        let payload = content(self.which, id, bytes, is_text);
        let payload = if is_text {
            Payload::Text(String::from_utf8(payload).expect("it is text"))
        } else {
            Payload::Binary(payload)
        };
        let known = self.channels.get_mut(&key).expect("it is in the table");
        let replaces = latest.and_then(|key| known.latest.get(&key).copied());
        let item = NewItem {
            payload,
            deadline: due.map(Timestamp::from_micros),
            replaces: replaces.map(|(id, _)| id),
            ticket: None,
        };
        let Ok(message) = self.session.handle_send(at, key, item) else {
            assert!(
                self.is_closing,
                "the session takes nothing on a channel that it has not said to be over"
            );
            return;
        };
        // Who accepts a channel that is no call says that it takes more, and who opens one may.
        let says_more = if known.is_own { known.kind != ChannelKind::Call } else { self.plan.accepts };
        let takes = if says_more && self.plan.rx_budget == AMPLE { MAX_ITEM } else { 57_344 };
        self.sent.push(Sent {
            bytes,
            is_text,
            outcome: None,
            due,
            began: None,
            has_arrived: false,
            is_replaced: false,
            is_cancelled: false,
            takes,
        });
        if let Some((_, old)) = replaces {
            self.sent[old].is_replaced = true;
        }
        let stream = (known.name.clone(), self.which);
        let order = self.order.entry(stream).or_default();
        let place = replaces.and_then(|(old, place)| self.ids.contains_key(&old).then_some(place));
        let place = place.and_then(|old| order.iter().position(|at| *at == old));
        if let Some(key) = latest {
            known.latest.insert(key, (message, id));
        }
        self.ids.insert(message, id);
        // Whether it has taken the place of the old one shows when that ends.
        match place {
            Some(at) => order.insert(at, id),
            None => order.push(id),
        }
        self.moved(now, id, replaces);
    }

    /// An item that was to replace one that had begun goes behind all others.
    fn moved(&mut self, now: u64, id: usize, replaces: Option<(MessageId, usize)>) {
        let (Some((message, old)), which) = (replaces, self.which) else { return };
        let old_one = &self.sent[old];
        let is_seen = old_one.bytes >= NUMBER as u64;
        let waited = is_seen && self.ids.contains_key(&message) && old_one.began.is_none();
        self.settle(now);
        let is_superseded = self.sent[old].outcome == Some(Outcome::Superseded);
        // It may have ended otherwise before this.
        if waited && self.sent[old].outcome.is_none() {
            let what = format!("item {old} stays beside the newer {id}: {:?}", self.sent[old]);
            self.wrong("I13", what);
        }
        if !is_superseded {
            for (stream, order) in &mut self.order {
                if stream.1 == which
                    && let Some(at) = order.iter().position(|at| *at == id)
                {
                    order.remove(at);
                    order.push(id);
                }
            }
        }
    }
}
