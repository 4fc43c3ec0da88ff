//! A peer of one session that sends what a test wants, byte by byte, and reads with a second reader what it gets.

use tidegate::proto::v1::{Event, Output, Session};
use tidegate::time::Timestamp;

use crate::records::{Seen, records};

/// What a session has said.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) messages: Vec<Vec<u8>>,
    pub(crate) events: Vec<Event>,
    pub(crate) close: Option<u16>,
    /// Slots that it needs no more, and fetches.
    pub(crate) others: Vec<Output>,
}

impl Said {
    pub(crate) fn records(&self) -> Vec<Seen<'_>> {
        self.messages.iter().flat_map(|message| records(message)).collect()
    }

    /// The types of its records.
    pub(crate) fn kinds(&self) -> Vec<u8> {
        self.records().iter().map(|record| record.kind).collect()
    }

    pub(crate) fn has(&self, is_it: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(is_it)
    }
}

/// See the module's page.
pub(crate) struct Peer {
    pub(crate) session: Session,
    pub(crate) now: u64,
    /// The number of its next sequenced record.
    number: u64,
}

impl Peer {
    /// Attaches the session to it.
    pub(crate) fn of(session: Session) -> Self {
        let mut peer = Self { session, now: 0, number: 1 };
        peer.session.handle_attached(peer.at(), 0);
        peer
    }

    /// The server of a client, whose HELLO it has got, with a session that can be resumed.
    pub(crate) fn server_of(session: Session, settings: &[u64]) -> Self {
        let mut peer = Self::of(session);
        peer.poll();
        peer.welcome(settings);
        peer
    }

    /// WELCOME, with pairs of settings.
    pub(crate) fn welcome(&mut self, settings: &[u64]) -> Said {
        let mut body = vec![1, 0, 60, 32];
        body.extend([9; 32]);
        body.push(0);
        body.extend(varints(settings));
        self.give(0x02, &body)
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    /// Sends a message of one record.
    pub(crate) fn give(&mut self, kind: u8, body: &[u8]) -> Said {
        let record = self.record(kind, body);
        self.send(&record)
    }

    /// A record with the next number, if it has one.
    pub(crate) fn record(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        let mut record = vec![kind];
        record.extend(varints(&[body.len() as u64]));
        if kind & 0x40 != 0 {
            record.extend((self.number as u16).to_be_bytes());
            self.number += 1;
        }
        record.extend(body);
        record
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, message: &[u8]) -> Said {
        self.session.handle_message(self.at(), message);
        self.poll()
    }

    /// What the session has to say.
    pub(crate) fn poll(&mut self) -> Said {
        self.session.handle_time(self.at());
        let mut said = Said::default();
        for _ in 0..100_000 {
            match self.session.poll_output(true) {
                Output::Transmit(out) => said.messages.push(out.bytes),
                Output::Close(code) => said.close = Some(code),
                Output::Event(event) => said.events.push(event),
                Output::Timeout(_) | Output::Blocked(_) => return said,
                other => said.others.push(other),
            }
        }
        panic!("it never has nothing to do: {:?}", said.messages.last());
    }
}

pub(crate) fn varints(values: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for &value in values {
        match value {
            0..0x40 => out.push(value as u8),
            0x40..0x4000 => out.extend((value as u16 | 0x4000).to_be_bytes()),
            0x4000..0x4000_0000 => out.extend((value as u32 | 0x8000_0000).to_be_bytes()),
            _ => out.extend((value | 0xc000_0000_0000_0000).to_be_bytes()),
        }
    }
    out
}
