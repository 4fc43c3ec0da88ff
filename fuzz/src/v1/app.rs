//! What the application of one side does.

use tidegate::proto::v1::{ChannelCode, ChannelKind, Directions, NewItem};
use tidegate::proto::{Payload, Priority};
use tidegate::time::Timestamp;

use super::super::input::Input;
use super::end::{End, Item, Known};

/// How many operations there are.
pub(crate) const OPERATIONS: u8 = 16;

/// More channels than an input is good for.
const MOST_CHANNELS: usize = 60;

impl End {
    /// Does one thing; the session is polled afterwards by whoever calls this.
    pub(crate) fn act(&mut self, operation: u8, input: &mut Input<'_>) {
        match operation % OPERATIONS {
            0 | 1 => self.open(input),
            2..=6 => self.send(input),
            7 | 8 => {
                for _ in 0..=input.byte() {
                    self.take();
                }
            }
            9 => self.close_channel(input),
            10 => self.reset(input),
            11 => self.accept(input),
            12 => {
                let choice = input.byte();
                if let Some(place) = self.choose(choice, |known| !known.is_dropped) {
                    let priority = Priority::ALL[usize::from(choice >> 6)];
                    self.session.set_priority(self.known[place].key, priority);
                }
            }
            13 => {
                let choice = input.small();
                if let Some((id, at)) = self.ids.iter().nth(choice % self.ids.len().max(1)) {
                    let (id, at) = (*id, *at);
                    let is_cancelled = self.session.handle_cancel(id);
                    assert!(!(is_cancelled && self.items[at].has_begun), "what has begun is not cancelled");
                    self.items[at].is_cancelled |= is_cancelled;
                }
            }
            14 => {
                let choice = input.byte();
                if let Some(place) = self.choose(choice, |known| !known.is_dropped) {
                    self.drop_channel(place);
                }
            }
            _ => self.end(input),
        }
    }

    /// The place of one of the channels for which `is_one` says so.
    fn choose(&self, choice: u8, is_one: impl Fn(&Known) -> bool) -> Option<usize> {
        let places: Vec<usize> = (0..self.known.len()).filter(|place| is_one(&self.known[*place])).collect();
        places.get(usize::from(choice & 63) % places.len().max(1)).copied()
    }

    fn open(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        if self.known.len() >= MOST_CHANNELS {
            return;
        }
        let kind = match choice & 3 {
            0 | 1 => ChannelKind::Items,
            2 => ChannelKind::Call,
            _ => ChannelKind::File,
        };
        let priority = Priority::ALL[usize::from(choice >> 2 & 3)];
        let meta = if choice & 0x10 == 0 { Vec::new() } else { vec![3, 1, b'x', 0x40, 64, 1, choice] };
        let mut name = format!("{}", self.known.len());
        if choice & 0x20 != 0 {
            name.push_str(&"n".repeat(20));
        }
        if let Ok(key) = self.session.open(kind, name.clone(), meta, priority) {
            self.know(Known::new(key, name, true));
        } else {
            let is_short = self.book.peer.max_name_bytes >= 64;
            let is_ending = self.is_closing || self.over.is_some() || self.book.peer_handles.is_some();
            assert!(is_ending || !is_short, "it opens nothing");
        }
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let (choice, how) = (input.byte(), input.byte());
        let len = input.length().min(self.left);
        let Some(place) = self.choose(choice, |known| known.sends) else { return };
        self.left -= len;
        let (at, is_text) = (self.items.len(), how & 1 != 0);
        let content = content(at, len, is_text);
        // None, some milliseconds, or over already.
        let due = match how >> 1 & 7 {
            0 => Some(self.now),
            1 => Some(self.now + 1_000 * u64::from(how)),
            _ => None,
        };
        let old = (how & 0x30 == 0x30).then(|| {
            let order = self.known[place].order.iter().rev();
            order.copied().find(|at| self.items[*at].outcome.is_none())
        });
        let old = old.flatten();
        let replaces = old.and_then(|old| self.ids.iter().find(|(_, at)| **at == old).map(|(id, _)| *id));
        let payload = if is_text {
            Payload::Text(String::from_utf8(content.clone()).expect("it is text"))
        } else {
            Payload::Binary(content.clone())
        };
        let item = NewItem { payload, deadline: due.map(Timestamp::from_micros), replaces, ticket: None };
        let key = self.known[place].key;
        let Ok(id) = self.session.handle_send(self.at(), key, item) else {
            assert!(self.is_closing || self.over.is_some(), "it takes nothing on a channel that is open");
            return;
        };
        self.items.push(Item::new(place, content, is_text, due));
        self.ids.insert(id, at);
        let order = &mut self.known[place].order;
        let old = old.filter(|old| !self.items[*old].has_begun);
        match old.and_then(|old| order.iter().position(|at| *at == old)) {
            Some(of_old) => {
                self.items[order[of_old]].is_replaced = true;
                order.insert(of_old, at);
            }
            None => order.push(at),
        }
    }

    /// Takes the item that has waited longest. Returns whether there was one.
    pub(crate) fn take(&mut self) -> bool {
        let Some((place, cost)) = self.waiting.pop_front() else { return false };
        let known = &self.known[place];
        let (key, id) = (known.key, known.id.expect("something has come on it"));
        self.session.handle_taken(self.at(), key, cost);
        self.book.channel(id).expect("it was opened").consumed += cost;
        true
    }

    fn close_channel(&mut self, input: &mut Input<'_>) {
        if let Some(place) = self.choose(input.byte(), |known| known.sends) {
            self.close_at(place);
        }
    }

    fn close_at(&mut self, place: usize) {
        let known = &mut self.known[place];
        known.sends = false;
        self.session.handle_close_channel(known.key);
        if let Some(channel) = known.id.and_then(|id| self.book.channel(id)) {
            channel.is_ending = true;
        }
    }

    /// Closes and stops everything that is open, and drops it.
    pub(crate) fn close_all(&mut self) {
        for place in 0..self.known.len() {
            if self.known[place].sends {
                self.close_at(place);
            }
        }
    }

    /// Drops whatever has ended in both directions and has nothing left to be taken.
    pub(crate) fn drop_ended(&mut self) {
        for place in 0..self.known.len() {
            let known = &self.known[place];
            let has_ended = !known.sends && !known.receives && !known.is_dropped;
            if has_ended && !self.waiting.iter().any(|(waits, _)| *waits == place) {
                self.drop_channel(place);
            }
        }
    }

    fn reset(&mut self, input: &mut Input<'_>) {
        let (choice, how) = (input.byte(), input.byte());
        let directions = match how & 3 {
            0 => Directions::Sending,
            1 => Directions::Receiving,
            _ => Directions::Both,
        };
        let code = if how & 4 == 0 { ChannelCode::Cancelled } else { ChannelCode::Application };
        let Some(place) = self.choose(choice, |known| !known.is_dropped) else { return };
        let known = &mut self.known[place];
        self.session.handle_reset(known.key, directions, code, vec![how; usize::from(how)]);
        let (sending, receiving) = match directions {
            Directions::Sending => (true, false),
            Directions::Receiving => (false, true),
            Directions::Both => (true, true),
        };
        known.sends &= !sending;
        known.receives &= !receiving;
        if let Some(channel) = known.id.and_then(|id| self.book.channel(id)) {
            channel.is_ending |= sending;
            if receiving && !channel.has_ended {
                channel.stop();
            }
        }
    }

    fn accept(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let may = |known: &Known| known.id.is_some() && known.sends && known.receives && !known.accepts;
        let Some(place) = self.choose(choice, may) else { return };
        let known = &mut self.known[place];
        known.accepts = true;
        let (window, max_item) = if choice & 0x80 == 0 { (200_000, 100_000) } else { (100, 1 << 20) };
        self.session.handle_accept(known.key, window, max_item);
        self.book.accept(known.id.expect("it was asked for"), window, max_item);
    }

    fn drop_channel(&mut self, place: usize) {
        let known = &mut self.known[place];
        self.session.handle_dropped(known.key);
        (known.sends, known.receives, known.is_dropped) = (false, false, true);
        self.waiting.retain(|(waits, _)| *waits != place);
        if let Some(channel) = known.id.and_then(|id| self.book.channel(id)) {
            (channel.is_ending, channel.is_released) = (true, true);
            if !channel.has_ended {
                channel.stop();
            }
        }
    }

    /// The session is to end, in one way or another.
    fn end(&mut self, input: &mut Input<'_>) {
        let how = input.byte();
        let at = self.at();
        match how & 15 {
            0 => self.close(1_000 * u64::from(how)),
            1 => {
                self.goes();
                self.session.handle_shutdown(at, 1_000 * u64::from(how), 50, 20);
            }
            2 if how & 0x80 != 0 => {
                self.is_closing = true;
                self.session.handle_end(at);
            }
            3..=7 => self.session.handle_probe(at),
            8..=10 => self.amount = u64::from(how) << 10,
            _ => self.amount = 0,
        }
    }

    /// The session is to end when all has gone, or after so many milliseconds.
    pub(crate) fn close(&mut self, within_ms: u64) {
        self.goes();
        self.session.handle_close(self.at(), within_ms);
    }

    fn goes(&mut self) {
        self.is_closing = true;
        if self.over.is_none() && self.book.handles.is_none() {
            self.book.handles = Some(self.book.of_peer.len() as u64);
        }
    }
}

impl Item {
    fn new(place: usize, content: Vec<u8>, is_text: bool, due: Option<u64>) -> Self {
        Self {
            place,
            content,
            is_text,
            due,
            has_begun: false,
            is_cancelled: false,
            is_replaced: false,
            outcome: None,
            number: None,
        }
    }
}

/// Bytes that tell one item of an input from the others, but for the shortest; characters of two bytes if it is text.
fn content(number: usize, len: usize, is_text: bool) -> Vec<u8> {
    if is_text {
        let mut text = format!("{number}:");
        text.truncate(len);
        while text.len() + 1 < len {
            text.push(['é', 'ß', 'ä'][(text.len() + number) % 3]);
        }
        text.push_str(&"."[..len - text.len()]);
        return text.into_bytes();
    }
    (0..len).map(|at| u8::try_from((at * 7 + number * 31) % 251).expect("it is small")).collect()
}
