//! The life of one channel on this side: two directions, each of which ends once.
//!
//! | sending | until |
//! |---|---|
//! | `Open` | the application closes or resets it, or the peer asks to stop |
//! | `Closing` | what is queued has gone: then CLOSE follows |
//! | `Ending` | CLOSE or RESET has been handed over |
//! | `Ended` | – |
//!
//! | receiving | until |
//! |---|---|
//! | `Open` | CLOSE or RESET arrives, or this side wants no more |
//! | `Discarding` | the same arrives; whatever comes before is counted and thrown away |
//! | `Ended` | – |
//!
//! Not here: other channels, ids, credit (`flow`), what is queued (`send::queue`).

use super::code::ChannelCode;
use super::flow::{RecvWindow, SendWindow};
use super::replay::SourceKey;
use crate::proto::Done;
use crate::proto::payload::Slot;
use crate::proto::send::{MessageId, Priority};
#[cfg(not(feature = "js"))]
use crate::proto::ws::Utf8Validator;
use alloc::string::String;
use alloc::vec::Vec;

/// By what this side knows a channel. Small, and used again for another one once the channel is over and
/// [`Session::handle_dropped`](super::Session::handle_dropped) has been called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelKey(pub u32);

/// What a channel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChannelKind {
    /// Messages, both ways.
    Items,
    /// A question and its answer; the name of the channel is that of the method.
    Call,
    /// One file.
    File,
}

impl ChannelKind {
    /// Its number in OPEN.
    pub(super) const fn to_wire(self) -> u8 {
        match self {
            Self::Items => 0,
            Self::Call => 1,
            Self::File => 2,
        }
    }

    /// The kind of this number, if there is one.
    pub(super) const fn from_wire(kind: u8) -> Option<Self> {
        match kind {
            0 => Some(Self::Items),
            1 => Some(Self::Call),
            2 => Some(Self::File),
            _ => None,
        }
    }

    /// Whether the acceptor has to say ACCEPT before anything else.
    pub(super) const fn wants_accept(self) -> bool {
        !matches!(self, Self::Call)
    }
}

/// Which directions a reset ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Directions {
    /// This side sends no more, and what it had begun is void.
    Sending,
    /// This side wants no more of the peer.
    Receiving,
    /// Both.
    Both,
}

impl Directions {
    pub(super) const fn sending(self) -> bool {
        matches!(self, Self::Sending | Self::Both)
    }

    pub(super) const fn receiving(self) -> bool {
        matches!(self, Self::Receiving | Self::Both)
    }

    pub(super) const fn of(sending: bool, receiving: bool) -> Option<Self> {
        match (sending, receiving) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Sending),
            (false, true) => Some(Self::Receiving),
            (false, false) => None,
        }
    }

    /// The bits of RESET.
    pub(super) const fn to_wire(self) -> u8 {
        self.sending() as u8 | (self.receiving() as u8) << 1
    }
}

/// See the module's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tx {
    Open,
    Closing,
    Ending,
    Ended,
}

/// See the module's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rx {
    Open,
    Discarding,
    Ended,
}

/// Whether the peer knows the channel.
#[derive(Debug)]
pub(super) enum Stage {
    /// OPEN waits to be handed over, in a line where this is its place.
    Pending { name: String, meta: Vec<u8>, place: u64 },
    /// It has been, or has arrived, with this id.
    Known(u64),
}

/// What RESET says.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) directions: Directions,
    pub(super) code: ChannelCode,
    pub(super) detail: Vec<u8>,
}

/// The item of which a chunk has been handed over and others have not.
#[derive(Debug)]
pub(super) struct Begun {
    /// Its end, but for the outcome.
    pub(super) done: Done,
    pub(super) total: u64,
    /// Invariant: `sent < total`, but while its last chunk goes.
    pub(super) sent: u64,
    /// All of it, unless it is a Blob.
    pub(super) source: Option<SourceKey>,
    /// Where the host keeps the Blob.
    pub(super) blob: Option<Slot>,
    /// The rest of it could not be read: the peer is to forget it.
    pub(super) is_void: bool,
}

/// A piece of a Blob that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub(super) item: MessageId,
    pub(super) source: SourceKey,
    /// Where in the Blob it begins.
    pub(super) at: u64,
    pub(super) bytes: u64,
}

/// A piece of a Blob that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) fetch: u64,
    pub(super) item: MessageId,
    pub(super) at: u64,
    pub(super) bytes: u64,
}

/// An item of which a chunk has arrived and others have not.
#[derive(Debug)]
pub(super) struct Arriving {
    pub(super) total: Option<u64>,
    pub(super) bytes: u64,
    pub(super) cost: u64,
    pub(super) text: Option<Text>,
}

/// The check of a text that comes in pieces.
#[cfg(not(feature = "js"))]
#[derive(Debug)]
pub(super) struct Text {
    validator: Utf8Validator,
    is_bad: bool,
}

#[cfg(not(feature = "js"))]
impl Text {
    pub(super) fn new() -> Self {
        Self { validator: Utf8Validator::new(), is_bad: false }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.is_bad = self.is_bad || self.validator.push(piece).is_err();
    }

    /// Whether the whole of it was UTF-8.
    pub(super) fn is_good(&self) -> bool {
        let mut validator = self.validator;
        !self.is_bad && validator.finish().is_ok()
    }
}

/// The host decodes it, and says if it cannot: see [`Session::handle_reset`](super::Session::handle_reset).
#[cfg(feature = "js")]
#[derive(Debug)]
pub(super) struct Text;

#[cfg(feature = "js")]
#[allow(clippy::unused_self, reason = "as above")]
impl Text {
    pub(super) fn new() -> Self {
        Self
    }

    pub(super) fn push(&mut self, _: &[u8]) {}

    pub(super) fn is_good(&self) -> bool {
        true
    }
}

/// See the module's page.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is said once, in any order")]
pub(super) struct Channel {
    pub(super) stage: Stage,
    /// This side has opened it.
    pub(super) is_own: bool,
    pub(super) kind: ChannelKind,
    /// Of what this side sends.
    pub(super) class: Priority,
    /// What the peer wants it to be.
    pub(super) wish: Option<Priority>,
    pub(super) tx: Tx,
    /// Under which tag somebody waits for CLOSE to be acknowledged, until that has been handed over.
    pub(super) tag: Option<u64>,
    pub(super) rx: Rx,
    pub(super) send_window: SendWindow,
    pub(super) recv_window: RecvWindow,
    /// The largest item that the peer takes.
    pub(super) max_item: u64,
    /// The peer has sent ACCEPT.
    pub(super) was_accepted: bool,
    /// This side has queued ACCEPT.
    pub(super) has_accepted: bool,
    pub(super) begun: Option<Begun>,
    pub(super) block: Option<Block>,
    pub(super) reading: Option<Reading>,
    /// Its queue waits for credit, for ACCEPT, for OPEN to go, or for a Blob to be read.
    pub(super) is_aside: bool,
    pub(super) arriving: Option<Arriving>,
    /// CREDIT is to be sent.
    pub(super) owes_credit: bool,
    /// How many records about it wait to be handed over, and how many events about it to be told.
    pub(super) controls: u32,
    pub(super) events: u32,
    /// ACCEPT is one of those records.
    pub(super) accept_waits: bool,
    /// RESET is to follow, once OPEN or ACCEPT has been handed over.
    pub(super) stop: Option<Stop>,
    /// Nobody uses it here any more.
    pub(super) is_dropped: bool,
}

impl Channel {
    pub(super) fn new(
        stage: Stage,
        is_own: bool,
        kind: ChannelKind,
        class: Priority,
        windows: (SendWindow, RecvWindow),
    ) -> Self {
        let (send_window, recv_window) = windows;
        Self {
            stage,
            is_own,
            kind,
            class,
            wish: None,
            tx: Tx::Open,
            tag: None,
            rx: Rx::Open,
            send_window,
            recv_window,
            max_item: 0,
            was_accepted: false,
            has_accepted: false,
            begun: None,
            block: None,
            reading: None,
            is_aside: false,
            arriving: None,
            owes_credit: false,
            controls: 0,
            events: 0,
            accept_waits: false,
            stop: None,
            is_dropped: false,
        }
    }

    /// Its number, once the peer knows it.
    pub(super) fn id(&self) -> Option<u64> {
        match self.stage {
            Stage::Known(id) => Some(id),
            Stage::Pending { .. } => None,
        }
    }

    /// Whether both directions have ended.
    pub(super) fn is_over(&self) -> bool {
        self.tx == Tx::Ended && self.rx == Rx::Ended
    }

    /// Whether an item that is larger than the peer takes may become small enough.
    pub(super) fn awaits_accept(&self) -> bool {
        self.is_own && self.kind.wants_accept() && !self.was_accepted
    }
}
