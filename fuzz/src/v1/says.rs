//! What a session may say, by what it has heard: sections 5 to 8 of PROTOCOL.md.

use super::book::{Awaits, Book, Partial, Phase, hash};
use super::wire::{
    ABORT, ACCEPT, ACK, Body, CHAN_LIMIT, CLOSE, CREDIT, DATA, ERROR, FIRST, GOAWAY, HELLO, LAST, MOST, OPEN,
    PING, PONG, REFUSED, RESET, RESUME, RESUMED, Record, TEXT, WELCOME, record, seq16,
};

/// Numbers that may be unacknowledged.
const MOST_UNACKNOWLEDGED: u64 = 32_767;

/// Something that the harness has to know of what was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A channel was opened, by this name.
    Opened { id: u64, name: String },
    /// An item has begun on a channel.
    Began { id: u64 },
    /// An item was said in whole, by the record of this number.
    Item { id: u64, is_text: bool, content: Vec<u8>, number: u64 },
    /// An item was given up, or its direction has ended in the midst of it.
    GivenUp { id: u64 },
    /// The peer is to stop what it sends on a channel.
    Stops { id: u64 },
    /// ERROR, with its code.
    Error { code: u64 },
}

impl Book {
    /// The session says a message.
    ///
    /// # Panics
    ///
    /// If it may not.
    pub(crate) fn says(&mut self, mut message: &[u8]) -> Vec<Said> {
        assert!(!self.has_failed, "something behind ERROR: {message:?}");
        assert!(!message.is_empty(), "an empty message");
        let most = u64::from(self.peer.max_message_bytes);
        assert!(message.len() as u64 <= most, "{} bytes to a peer that takes {most}", message.len());
        let mut said = Vec::new();
        while !message.is_empty() {
            let record = record(&mut message).expect("it says records");
            self.greets(&record);
            if let Some(number) = record.seq16 {
                assert_eq!(number, seq16(self.next), "it numbers its records");
                let known = usize::try_from(self.next - 1).expect("there are few");
                self.next += 1;
                if let Some(before) = self.log.get(known) {
                    assert_eq!(*before, hash(&record), "it says again what it has said: {record:?}");
                    continue;
                }
                assert!(!self.restates, "its limits come first after a resume: {record:?}");
                assert!(self.next - 1 - self.acked <= MOST_UNACKNOWLEDGED, "too many are not acknowledged");
                self.log.push(hash(&record));
                self.pots.earn(2, 2);
            }
            self.say(&record, &mut said);
        }
        said
    }

    /// Its first record on a connection is a greeting, and no other.
    fn greets(&mut self, record: &Record<'_>) {
        let had_greeted = core::mem::replace(&mut self.has_greeted, true);
        let fits = match record.kind {
            HELLO => !self.is_server && !had_greeted && self.epoch == 0,
            RESUME => !self.is_server && !had_greeted && self.epoch > 0,
            WELCOME => self.is_server && self.epoch == 1,
            RESUMED => self.is_server && !had_greeted && self.epoch > 1,
            REFUSED => self.is_server && !had_greeted,
            ERROR => true,
            // Nothing follows RESUME, and before WELCOME only what has a number.
            _ => match self.phase {
                Phase::Open => had_greeted,
                Phase::Greeting(Awaits::Welcome) => had_greeted && record.seq16.is_some(),
                _ => false,
            },
        };
        assert!(fits, "{:?} of epoch {}: {record:?}", self.phase, self.epoch);
    }

    fn say(&mut self, record: &Record<'_>, said: &mut Vec<Said>) {
        let mut body = Body(record.body);
        let rx = self.rx;
        let mut numbers = |count| {
            let numbers: Vec<u64> = (0..count).map(|_| body.number().expect("it says numbers")).collect();
            numbers
        };
        match record.kind {
            RESUME => {
                let mut body = Body(&record.body[34..]);
                let position = body.numbers().expect("three");
                assert_eq!(position, [rx, self.acked + 1, self.log.len() as u64 + 1], "where it stands");
            }
            RESUMED => {
                let position = [rx, self.acked + 1, self.log.len() as u64 + 1];
                assert_eq!(numbers(4)[1..], position, "where it stands");
            }
            ERROR => {
                self.has_failed = true;
                said.push(Said::Error { code: numbers(1)[0] });
            }
            ACK => {
                // Less than it has accepted is said before a RESET that has to go first (PROTOCOL section 7.5, Decision 39).
                let told = numbers(2)[0];
                assert!(told > self.told, "an ACK that says nothing new");
                assert!(told <= rx, "what it has accepted");
                self.told = told;
            }
            PING => {
                numbers(1);
                self.pots.earn(1, 0);
            }
            PONG => {
                let numbers = numbers(4);
                assert_eq!(Some(numbers[0]), self.ping.take(), "it answers the newest PING");
                assert!((self.told..=rx).contains(&numbers[3]), "what it has accepted");
                self.told = numbers[3];
            }
            GOAWAY => {
                let handled = numbers(5)[0];
                assert_eq!(Some(handled), self.handles, "what it handles");
            }
            CREDIT | CHAN_LIMIT => self.say_limit(record),
            OPEN => self.say_open(record.body, said),
            ACCEPT | RESET | CLOSE => self.say_of_channel(record, said),
            DATA => self.say_data(record.body, said),
            _ => assert!(record.kind & 0x80 != 0 || record.kind <= REFUSED, "{record:?}"),
        }
    }

    fn say_limit(&mut self, record: &Record<'_>) {
        let mut body = Body(record.body);
        assert!(self.next > self.log.len() as u64, "limits before all is said that was lost");
        if record.kind == CHAN_LIMIT {
            let count = body.number().expect("a number");
            let most = u64::from(self.config.settings.max_channels) + self.released();
            assert!((self.allows..=most).contains(&count), "{count} of {} to {most}", self.allows);
            (self.allows, self.restates) = (count, false);
            return;
        }
        // After a resume each is told once more, whether it has changed or not.
        let repeats = self.epoch > 1;
        let [id, limit] = body.numbers().expect("two");
        let channel = self.channel(id).expect("a channel that there is");
        assert!(!channel.has_ended && !channel.is_stopped, "CREDIT for nothing: {channel:?}");
        assert!((channel.allows..=MOST).contains(&limit), "{limit} for {channel:?}");
        assert!(repeats || limit > channel.allows, "CREDIT that says nothing new: {channel:?}");
        channel.allows = limit;
    }

    fn say_of_channel(&mut self, record: &Record<'_>, said: &mut Vec<Said>) {
        let mut body = Body(record.body);
        let (id, is_exact) = (body.number().expect("an id"), self.is_exact);
        let channel = self.channel(id).expect("a channel that there is");
        match record.kind {
            ACCEPT => {
                let [allows, max_item] = body.numbers().expect("two");
                assert!(!channel.has_accepted && !channel.ended, "a second or late ACCEPT: {channel:?}");
                channel.has_accepted = true;
                if is_exact && !channel.has_ended && !channel.is_stopped {
                    assert_eq!([allows, max_item], [channel.allows, channel.max_item], "as was decided");
                }
                channel.allows = channel.allows.max(allows);
                channel.max_item = channel.max_item.max(max_item);
            }
            CLOSE => {
                let may = channel.is_own || !channel.wants_accept() || channel.has_accepted;
                assert!(may && !channel.ended && channel.sending.is_none(), "CLOSE of {channel:?}");
                (channel.ended, channel.is_ending) = (true, true);
            }
            _ => {
                let dir = body.byte().expect("which");
                if dir & 1 != 0 {
                    assert!(!channel.ended, "it ends once: {channel:?}");
                    (channel.ended, channel.is_ending) = (true, true);
                    if channel.sending.take().is_some() {
                        said.push(Said::GivenUp { id });
                    }
                }
                if dir & 2 != 0 {
                    said.push(Said::Stops { id });
                }
            }
        }
    }

    fn say_open(&mut self, body: &[u8], said: &mut Vec<Said>) {
        let mut body = Body(body);
        let id = body.number().expect("an id");
        let (kind, _) = (body.byte().expect("a kind"), body.byte().expect("a class"));
        let len = body.number().expect("a length");
        let name = core::str::from_utf8(body.take(len).expect("a name")).expect("text").to_owned();
        let meta = body.number().expect("a length");
        assert!(
            name.len() as u64 <= self.peer.max_name_bytes.into() && meta <= self.peer.max_meta_bytes.into()
        );
        let count = self.own.len() as u64;
        assert_eq!(id, count * 2 + u64::from(self.is_server), "the next id");
        assert!(count < self.may_open, "{count} channels of {}", self.may_open);
        assert_eq!(self.peer_handles, None, "the peer goes away");
        self.add(true, kind);
        said.push(Said::Opened { id, name });
    }

    fn say_data(&mut self, body: &[u8], said: &mut Vec<Said>) {
        let mut body = Body(body);
        let id = body.number().expect("an id");
        let flags = body.byte().expect("flags");
        let [first, last, text, abort] = [FIRST, LAST, TEXT, ABORT].map(|flag| flags & flag != 0);
        let known = if first && !last { body.number().expect("a total").checked_sub(1) } else { None };
        let payload = body.rest();
        let number = self.next - 1;
        let channel = self.channel(id).expect("a channel that there is");
        let may = channel.is_own || !channel.wants_accept() || channel.has_accepted;
        assert!(may && !channel.ended && first == channel.sending.is_none(), "{flags:x} for {channel:?}");
        assert!(last || payload.len() >= 512, "a chunk of {} bytes", payload.len());
        channel.spent += payload.len() as u64 + 64;
        assert!(channel.spent <= channel.limit, "beyond credit: {channel:?}");
        let fresh = || Partial { is_text: text, known, content: Vec::new(), cost: 0 };
        let mut item = channel.sending.take().unwrap_or_else(fresh);
        item.content.extend_from_slice(payload);
        assert!(item.content.len() as u64 <= channel.takes, "larger than the peer takes: {channel:?}");
        if first {
            said.push(Said::Began { id });
        }
        if abort {
            said.push(Said::GivenUp { id });
        } else if last {
            assert!(
                item.known.is_none_or(|known| known == item.content.len() as u64),
                "another size than it has told"
            );
            said.push(Said::Item { id, is_text: item.is_text, content: item.content, number });
        } else {
            channel.sending = Some(item);
        }
    }
}
