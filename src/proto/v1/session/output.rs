//! What a session says to its driver.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::Token;
use crate::proto::Done;
use crate::proto::outcome::Amount;
use crate::proto::payload::{FetchId, Outgoing, Payload, Slot};
use crate::proto::send::{MessageId, Priority, TicketId};
use crate::proto::v1::channel::{ChannelKey, ChannelKind};
use crate::proto::v1::code::{ChannelCode, FatalCode, RefusedCode};
use crate::proto::v1::resume::Position;
use crate::time::Timestamp;

/// An item as it enters a channel.
#[derive(Debug)]
pub struct NewItem {
    /// What is to be sent.
    pub payload: Payload,
    /// When it is not worth beginning any more.
    pub deadline: Option<Timestamp>,
    /// The item whose newer value it is. If that has not begun it ends, and this one takes its place; if that is in
    /// another channel this one goes behind what is queued in its own.
    pub replaces: Option<MessageId>,
    /// Who waits for its outcome; `None` if nobody can.
    pub ticket: Option<TicketId>,
}

/// What the driver has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Give this to the connection as one binary message.
    Transmit(Outgoing),
    /// See how much stands in the connection's buffer, then call [`Session::handle_amount`](super::Session::handle_amount).
    Look,
    /// Read this range of a host value, then call [`Session::handle_fetched`](super::Session::handle_fetched).
    Fetch {
        /// Names the answer.
        id: FetchId,
        /// The value.
        slot: Slot,
        /// Bytes of its content.
        range: Range<u64>,
    },
    /// Nobody needs the value in this slot any more.
    Release(Slot),
    /// Close the connection with this code, after what was transmitted. Nothing of it counts any more.
    Close(u16),
    /// Tell the handles.
    Event(Event),
    /// Something waits for room in the connection; otherwise as `Timeout`.
    Blocked(Option<Timestamp>),
    /// Nothing to do before this moment, or before the next input if `None`.
    Timeout(Option<Timestamp>),
}

impl Output {
    /// Which channel's user it is for.
    pub(super) fn channel(&self) -> Option<ChannelKey> {
        match self {
            Self::Event(
                Event::Incoming { channel, .. }
                | Event::Accepted(channel)
                | Event::Chunk(Chunk { channel, .. })
                | Event::Void(channel)
                | Event::PeerEnded { channel, .. }
                | Event::PeerStopped { channel, .. },
            ) => Some(*channel),
            _ => None,
        }
    }
}

/// What the handles learn.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer has answered the greeting: a new session has begun, or an old one goes on.
    Attached {
        /// 1 for a new one, and one more with each resume.
        epoch: u64,
    },
    /// A client asks a server's new session for an old one: give the connection to that, if it
    /// [may be resumed](super::Session::may_resume)
    /// ([`Session::handle_resume`](super::Session::handle_resume)), or refuse ([`Session::refuse`](super::Session::refuse)).
    Resume(ResumeRequest),
    /// The connection is gone, and the session may be resumed on another.
    Detached {
        /// For how many milliseconds the server wants to be left alone; 0 if it has not said so.
        retry_after_ms: u64,
    },
    /// The peer has opened a channel.
    Incoming {
        /// What it is known by from now on.
        channel: ChannelKey,
        /// What it is for.
        kind: ChannelKind,
        /// Its name.
        name: String,
        /// Pairs of key and value, as PROTOCOL.md has them.
        meta: Vec<u8>,
        /// The class that the peer wants for what it is sent.
        priority: Priority,
    },
    /// The peer has accepted a channel that was opened here.
    Accepted(ChannelKey),
    /// A part of an item has arrived.
    Chunk(Chunk),
    /// The item that had begun to arrive is void.
    Void(ChannelKey),
    /// The peer sends nothing more on this channel: it has closed its direction (`None`), or reset it.
    PeerEnded {
        /// The channel.
        channel: ChannelKey,
        /// Why, if it was reset.
        code: Option<ChannelCode>,
        /// What it has added to that.
        detail: Vec<u8>,
    },
    /// The peer wants nothing more on this channel; what was queued there has ended.
    PeerStopped {
        /// The channel.
        channel: ChannelKey,
        /// Why.
        code: ChannelCode,
        /// What it has added to that.
        detail: Vec<u8>,
    },
    /// What was sent on a channel has come to its end, for which somebody waits under this tag
    /// ([`Session::handle_close_tagged`](super::Session::handle_close_tagged)).
    Closed {
        /// The tag.
        tag: u64,
        /// Why it was reset instead, and what was added to that; `None` if the peer has acknowledged that it was closed.
        reset: Option<(ChannelCode, Vec<u8>)>,
    },
    /// An item has come to its end.
    Done(Done),
    /// The peer goes away: no channel can be opened any more.
    GoingAway(GoingAway),
    /// The session is over. The last event.
    Over(Over),
}

/// A part of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Of which channel.
    pub channel: ChannelKey,
    /// Where its content is in the message that was given last.
    pub range: Range<usize>,
    /// Whether it begins an item, and if so whether that is text, and its size if that is known.
    pub first: Option<(bool, Option<u64>)>,
    /// Whether it ends it; what [`Session::handle_taken`](super::Session::handle_taken) is to be told when the item was taken.
    pub last: Option<u64>,
}

/// A client's wish to go on with an old session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeRequest {
    /// By which it is found. To be compared in constant time.
    pub token: Token,
    /// What the client has and knows.
    pub(in crate::proto::v1) position: Position,
}

/// Where a session stands when the peer wants to end it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoingAway {
    /// How many of this side's channels the peer handles.
    pub channels: u64,
    /// Why.
    pub code: FatalCode,
    /// For how long those may go on, in milliseconds.
    pub drain_ms: u64,
    /// When to connect again, at the earliest, in milliseconds.
    pub reconnect_after_ms: u64,
    /// By how many milliseconds at most that is to be later, at random.
    pub jitter_ms: u64,
    /// Why, in words for people.
    pub reason: String,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    /// Why.
    pub cause: Cause,
    /// Items that the peer never had anything of.
    pub unsent: Amount,
    /// Items that it may have.
    pub unknown: Amount,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It was closed here or there in good order; also if the peer has announced that by GOAWAY, and does not know the
    /// session any more.
    Closed,
    /// Its connection was lost, and it cannot be resumed.
    Lost {
        /// The close code of the connection.
        code: u16,
    },
    /// The peer was silent for too long, and the session cannot be resumed.
    Silent,
    /// It was not resumed in time.
    Expired,
    /// The peer did not greet in time, and there was nothing yet to resume.
    NoGreeting,
    /// The server has refused it.
    Refused {
        /// Why.
        code: RefusedCode,
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The peer has broken the protocol, as this side found.
    Peer {
        /// What it has broken.
        code: FatalCode,
        /// In words.
        why: &'static str,
    },
    /// This side has broken the protocol, or its peer has failed, as the peer says, or has announced.
    Told(FatalCode),
    /// The session goes on in another connection, which is not this client's.
    Superseded,
}

/// Why a channel was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The session is over, or on its way there.
    Closing,
    /// The name is longer than the peer takes; so many bytes at most.
    NameTooLong(u32),
    /// So is what describes it.
    MetaTooLong(u32),
    /// What describes it is no list of pairs as PROTOCOL.md 5.5 has it; why.
    BadMeta(&'static str),
}

/// What is under way, and what may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Bytes handed over and not acknowledged.
    pub in_flight: u64,
    /// How many there may be.
    pub budget: u64,
    /// Payload of a chunk, in bytes.
    pub chunk: u32,
    /// At which the peer receives; 0 if that is not known.
    pub bytes_per_second: u64,
    /// The shortest there and back, in microseconds.
    pub round_trip_micros: Option<u64>,
    /// Bytes in the log.
    pub log: u64,
    /// Sum of what all channels may receive, in bytes.
    pub windows: u64,
    /// Items that have not been handed over in whole.
    pub queued: u64,
}
