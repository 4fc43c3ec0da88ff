//! Values of the host: what tests from outside cannot make. Everything else is in `tests/v1`.

mod order;

use super::*;
use crate::proto::payload::{Hosted, HostedKind};
use crate::proto::v1::channel::ChannelKind;
use alloc::string::ToString;
use alloc::vec;
use core::ops::Range;

/// What a side has heard, in words.
type Heard = Vec<String>;

/// A client and a server that have greeted, and a channel of the client's.
struct Pair {
    ends: [Session; 2],
    channel: ChannelKey,
    heard: [Heard; 2],
    /// What has arrived of the item that is not complete.
    arriving: Vec<u8>,
    fetches: Vec<(FetchId, Slot, Range<u64>)>,
}

impl Pair {
    fn new() -> Self {
        let mut config = SessionConfig::server();
        config.settings.max_item_bytes = 700_000;
        let mut ends = [SessionConfig::client(), config].map(|config| Session::new(Timestamp::ZERO, config));
        for end in &mut ends {
            end.handle_attached(Timestamp::ZERO, 0);
        }
        let channel = ends[0].open(ChannelKind::Call, "f".into(), Vec::new(), Priority::Normal).unwrap();
        let heard = [Vec::new(), Vec::new()];
        let mut pair = Self { ends, channel, heard, arriving: Vec::new(), fetches: Vec::new() };
        pair.go();
        pair.heard = [Vec::new(), Vec::new()];
        pair
    }

    fn send(&mut self, payload: Payload) {
        let item = NewItem { payload, deadline: None, replaces: None, ticket: None };
        self.ends[0].handle_send(Timestamp::ZERO, self.channel, item).unwrap();
    }

    /// Until nobody has anything to say at this moment.
    fn go(&mut self) {
        let now = Timestamp::ZERO;
        let mut quiet = 0;
        while quiet < 2 {
            quiet += 1;
            for which in 0..2 {
                while let Some(message) = self.poll(which) {
                    quiet = 0;
                    let other = &mut self.ends[1 - which];
                    other.handle_message(now, &message);
                    self.hear(1 - which, &message);
                }
            }
        }
    }

    /// The next message.
    fn poll(&mut self, which: usize) -> Option<Vec<u8>> {
        loop {
            match self.ends[which].poll_output(true) {
                Output::Transmit(out) => return Some(out.bytes),
                Output::Fetch { id, slot, range } => self.fetches.push((id, slot, range)),
                Output::Release(slot) => self.heard[which].push(alloc::format!("release {}", slot.0)),
                Output::Event(event) => self.note(which, event, &[]),
                _ => return None,
            }
        }
    }

    fn hear(&mut self, which: usize, message: &[u8]) {
        while let Some(Output::Event(_)) = self.ends[which].pending.front() {
            let Some(Output::Event(event)) = self.ends[which].pending.pop_front() else { return };
            self.note(which, event, message);
        }
    }

    fn note(&mut self, which: usize, event: Event, message: &[u8]) {
        let what = match event {
            Event::Chunk(chunk) => {
                if chunk.first.is_some() {
                    self.arriving.clear();
                }
                self.arriving.extend_from_slice(&message[chunk.range]);
                if chunk.last.is_none() {
                    return;
                }
                alloc::format!("item of {}", self.arriving.len())
            }
            Event::Void(_) => "void".to_string(),
            Event::Done(done) => alloc::format!("{:?}", done.outcome),
            Event::Over(over) => alloc::format!("{:?}", over.cause),
            _ => return,
        };
        self.heard[which].push(what);
    }
}

fn blob(slot: u32, bytes: u64) -> Payload {
    Payload::Hosted(Hosted { slot: Slot(slot), kind: HostedKind::Blob, bytes })
}

/// A piece of a Blob that was read.
fn piece(bytes: u64) -> Payload {
    Payload::Binary(vec![1; usize::try_from(bytes).unwrap()])
}

#[test]
fn a_blob_is_read_in_pieces_and_arrives_as_one_item() {
    let mut pair = Pair::new();
    pair.send(blob(7, 600_000));
    let mut ranges = Vec::new();
    for millis in 1.. {
        pair.go();
        if let Some((id, slot, range)) = pair.fetches.pop() {
            assert_eq!(slot, Slot(7));
            ranges.push(range.clone());
            pair.ends[0].handle_fetched(id, Some(piece(range.end - range.start)));
        } else if pair.heard[0].contains(&"Delivered".to_string()) {
            break;
        }
        for end in &mut pair.ends {
            end.handle_timeout(Timestamp::from_micros(millis * 1_000));
        }
        assert!(millis < 10_000, "{:?}", pair.heard);
    }
    assert_eq!(ranges, [0..262_144, 262_144..524_288, 524_288..600_000]);
    assert_eq!(pair.heard, [vec!["release 7", "Delivered"], vec!["item of 600000"]]);
}

#[test]
fn a_blob_that_cannot_be_read_to_its_end_is_void_and_the_next_item_arrives() {
    // In the first piece nothing has gone yet; in the second the peer has to be told.
    for (good, void) in [(0, false), (1, true)] {
        let mut pair = Pair::new();
        pair.send(blob(7, 600_000));
        pair.send(Payload::Text("next".into()));
        let mut reads = 0;
        for millis in 1.. {
            pair.go();
            if let Some((id, _, range)) = pair.fetches.pop() {
                reads += 1;
                pair.ends[0].handle_fetched(id, (reads <= good).then(|| piece(range.end - range.start)));
            } else if pair.heard[0].contains(&"Delivered".to_string()) {
                break;
            }
            pair.ends.iter_mut().for_each(|end| end.handle_timeout(Timestamp::from_micros(millis * 1_000)));
            assert!(millis < 10_000, "{:?}", pair.heard);
        }
        let mut client = pair.heard[0].clone();
        client.sort();
        assert_eq!(client, ["Delivered", "Unreadable", "release 7"], "{good}");
        let server = if void { vec!["void", "item of 4"] } else { vec!["item of 4"] };
        assert_eq!(pair.heard[1], server, "{good}");
    }
}
