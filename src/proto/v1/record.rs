//! Records: what a message of `tidegate.v1` consists of.
//!
//! ```text
//! record = type(1) len(v) [seq16(2) if S] body(len)
//! type   = bit 7 I: who does not know it skips it | bit 6 S: sequenced | bits 5..0 code
//! ```
//!
//! [`Records`] cuts a message into [`Raw`] records, whose types, directions and numbers are the session's to check, and
//! [`Raw::decode`] reads a body, so that the checks come in the order of PROTOCOL.md section 4.5. [`Record::put`] is the way
//! back. Nothing is copied and no memory taken: records borrow from their message.
//!
//! | left to the session | |
//! |---|---|
//! | before | kind, emptiness and size of the message |
//! | between | whether the type is known, and allowed in this state and direction; `seq16` |
//! | after | versions, features, tokens; acknowledgements of what was never sent; channels, items, credit |
//!
//! Not here: any of the above.

#![allow(dead_code, unreachable_pub, reason = "the session uses and re-exports it")]

use super::code::{ChannelCode, FatalCode, RefusedCode};
use super::varint::Reader;

mod decode;
mod encode;
mod greeting;
mod meta;

pub(super) use encode::{data_head_len, put_data_head};
pub(super) use greeting::{Hello, Resume, Resumed, Welcome};
pub use meta::Meta;

/// The only version there is.
pub(super) const VERSION: u8 = 1;
/// Bytes of a session's token.
pub(super) const TOKEN_BYTES: usize = 32;
/// Most UTF-8 bytes of a reason.
pub(super) const MAX_REASON_BYTES: usize = 256;
/// Most bytes of the detail of a RESET.
pub(super) const MAX_DETAIL_BYTES: usize = 1_024;
/// Least payload of a chunk that does not end its item, in bytes.
pub(super) const MIN_CHUNK_BYTES: usize = 512;

/// Types of records, whole bytes.
pub(super) mod kind {
    pub(in super::super) const HELLO: u8 = 0x01;
    pub(in super::super) const WELCOME: u8 = 0x02;
    pub(in super::super) const RESUME: u8 = 0x03;
    pub(in super::super) const RESUMED: u8 = 0x04;
    pub(in super::super) const REFUSED: u8 = 0x05;
    pub(in super::super) const ACK: u8 = 0x06;
    pub(in super::super) const PING: u8 = 0x07;
    pub(in super::super) const PONG: u8 = 0x08;
    pub(in super::super) const GOAWAY: u8 = 0x09;
    pub(in super::super) const ERROR: u8 = 0x0a;
    pub(in super::super) const CREDIT: u8 = 0x10;
    pub(in super::super) const CHAN_LIMIT: u8 = 0x11;
    pub(in super::super) const OPEN: u8 = 0x41;
    pub(in super::super) const ACCEPT: u8 = 0x42;
    pub(in super::super) const RESET: u8 = 0x43;
    pub(in super::super) const CLOSE: u8 = 0x44;
    pub(in super::super) const DATA: u8 = 0x45;
    pub(in super::super) const PAD: u8 = 0x80;
    pub(in super::super) const BLOCKED: u8 = 0x91;
    pub(in super::super) const PRIORITY: u8 = 0xc6;
    /// Never assigned: for greasing.
    pub(in super::super) const GREASE: [u8; 2] = [0x9f, 0xbf];
    /// Never assigned, and sequenced: for greasing.
    pub(in super::super) const GREASE_SEQUENCED: [u8; 2] = [0xdf, 0xff];

    /// Has no effect in the receiver if it is not known.
    pub(in super::super) const IGNORABLE: u8 = 0x80;
    /// Has a number, and is kept until acknowledged.
    pub(in super::super) const SEQUENCED: u8 = 0x40;
}

/// What is wrong with a record; it ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What ERROR and the close code say.
    pub code: FatalCode,
    /// The first byte of the record.
    pub record_type: u8,
    /// The reason, in the words of the test vectors where they have it.
    pub why: &'static str,
}

/// The records of one message, one after the other.
///
/// A message of no bytes has none: that it is not allowed is the session's to say. After a fault there are no more.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    left: Reader<'a>,
    /// Bytes of the message.
    size: usize,
}

/// One record with its body as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    /// The type: the whole first byte.
    pub kind: u8,
    /// The low 16 bits of its number. Invariant: there if and only if it is sequenced.
    pub seq16: Option<u16>,
    /// What follows the header.
    pub body: &'a [u8],
    /// Where in the message the body begins, in bytes.
    pub body_at: usize,
    /// Size of the whole record, with its header.
    pub bytes: usize,
}

impl<'a> Records<'a> {
    /// Those of `message`, a binary one within the size limit.
    pub(super) const fn new(message: &'a [u8]) -> Self {
        Self { left: Reader::new(message), size: message.len() }
    }

    /// The next one, of which header and length are checked; `None` at the end of the message, and after a fault.
    #[allow(clippy::should_implement_trait, reason = "it is one, too; this needs no trait in scope")]
    pub(super) fn next(&mut self) -> Option<Result<Raw<'a>, Fault>> {
        let start = self.size - self.left.remaining();
        let record_type = self.left.u8().ok()?;
        let raw = self.raw(record_type, start).map_err(|why| {
            self.left = Reader::new(&[]);
            Fault { code: FatalCode::ProtocolViolation, record_type, why }
        });
        Some(raw)
    }

    /// What follows the type.
    fn raw(&mut self, kind: u8, start: usize) -> Result<Raw<'a>, &'static str> {
        let len = self.left.varint()?;
        let seq16 = if kind & kind::SEQUENCED != 0 { Some(self.left.u16()?) } else { None };
        let body_at = self.size - self.left.remaining();
        let body = self.left.take(len)?;
        Ok(Raw { kind, seq16, body, body_at, bytes: body_at + body.len() - start })
    }
}

impl Raw<'_> {
    /// Whether a receiver that does not know the type skips it.
    pub(super) const fn is_ignorable(&self) -> bool {
        self.kind & kind::IGNORABLE != 0
    }

    /// Whether it has a number.
    pub(super) const fn is_sequenced(&self) -> bool {
        self.kind & kind::SEQUENCED != 0
    }

    /// Whether the type has a meaning in this version.
    pub(super) const fn is_known(&self) -> bool {
        use kind::{BLOCKED, CHAN_LIMIT, CREDIT, DATA, ERROR, HELLO, OPEN, PAD, PRIORITY};
        matches!(self.kind, HELLO..=ERROR | CREDIT | CHAN_LIMIT | OPEN..=DATA | PAD | BLOCKED | PRIORITY)
    }
}

/// The flags of DATA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct DataFlags(pub u8);

impl DataFlags {
    /// The item begins here.
    pub(super) const FIRST: u8 = 0x01;
    /// The item ends here.
    pub(super) const LAST: u8 = 0x02;
    /// The item is UTF-8.
    pub(super) const TEXT: u8 = 0x04;
    /// The item is given up.
    pub(super) const ABORT: u8 = 0x08;
    /// It is to be acknowledged at once.
    pub(super) const ACK_NOW: u8 = 0x10;
    /// Those without a meaning, one of them reserved for compression.
    pub(super) const RESERVED: u8 = 0xe0;

    /// Those that are asked for, and no acknowledgement.
    #[allow(clippy::fn_params_excessive_bools, reason = "they are flags")]
    pub(super) const fn new(is_first: bool, is_last: bool, is_text: bool, is_abort: bool) -> Self {
        Self(is_first as u8 | (is_last as u8) << 1 | (is_text as u8) << 2 | (is_abort as u8) << 3)
    }

    /// These, and an acknowledgement at once.
    #[must_use]
    pub(super) const fn with_ack(self) -> Self {
        Self(self.0 | Self::ACK_NOW)
    }

    /// Whether the item begins here.
    pub(super) const fn is_first(self) -> bool {
        self.0 & Self::FIRST != 0
    }

    /// Whether the item ends here.
    pub(super) const fn is_last(self) -> bool {
        self.0 & Self::LAST != 0
    }

    /// Whether the item is UTF-8; told in its first chunk only.
    pub(super) const fn is_text(self) -> bool {
        self.0 & Self::TEXT != 0
    }

    /// Whether the item is given up.
    pub(super) const fn is_abort(self) -> bool {
        self.0 & Self::ABORT != 0
    }

    /// Whether the sender wants an acknowledgement at once.
    pub(super) const fn wants_ack(self) -> bool {
        self.0 & Self::ACK_NOW != 0
    }

    /// Whether the chunk says how large its item is.
    const fn has_total(self) -> bool {
        self.is_first() && !self.is_last()
    }
}

/// A channel begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open<'a> {
    pub channel: u64,
    /// Anything: which are known is the session's to say.
    pub kind: u8,
    /// The class wanted for the peer's data, 1 to 4.
    pub prio: u8,
    pub name: &'a str,
    pub meta: Meta<'a>,
}

/// A chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Data<'a> {
    pub channel: u64,
    pub flags: DataFlags,
    /// The item's size in bytes if the sender knows it, in a first chunk that is not the last.
    pub total: Option<u64>,
    pub payload: &'a [u8],
    /// Where in the message the payload begins, in bytes. Of no account in [`Record::put`].
    pub payload_at: usize,
}

/// A record, with what its body says. Numbers are 0 to 2^53 - 1 where their type has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// A client begins a session.
    Hello(Hello<'a>),
    /// A server takes part in it.
    Welcome(Welcome<'a>),
    /// A client goes on with a session.
    Resume(Resume<'a>),
    /// A server does as well.
    Resumed(Resumed<'a>),
    /// A server does not.
    Refused { code: RefusedCode, retry_after_ms: u64, reason: &'a str },
    /// Up to which number records have arrived.
    Ack { rx: u64, delay_us: u64 },
    /// Are you there?
    Ping { t_us: u64 },
    /// Yes.
    Pong { t_us: u64, hold_us: u64, peer_t_us: u64, rx: u64 },
    /// How the session is going to end.
    GoAway {
        channels: u64,
        code: FatalCode,
        drain_ms: u64,
        reconnect_after_ms: u64,
        jitter_ms: u64,
        reason: &'a str,
    },
    /// Why the connection ends.
    Error { code: FatalCode, record_type: u8, reason: &'a str },
    /// How much cost may be sent on a channel, since it opened.
    Credit { channel: u64, limit: u64 },
    /// How many channels may be opened, since the session began.
    ChanLimit { count: u64 },
    /// A channel begins.
    Open(Open<'a>),
    /// What the sender takes on a channel.
    Accept { channel: u64, limit: u64, max_item_bytes: u64 },
    /// Directions of a channel end: 1 the sender's, 2 the receiver's, 3 both.
    Reset { channel: u64, dir: u8, code: ChannelCode, detail: &'a [u8] },
    /// The sender's direction of a channel ends in good order.
    Close { channel: u64 },
    /// A chunk.
    Data(Data<'a>),
    /// Nothing.
    Pad { body: &'a [u8] },
    /// The sender has more for a channel than its limit allows.
    Blocked { channel: u64, limit: u64 },
    /// The class wanted for the peer's data on a channel, 1 to 4.
    Priority { channel: u64, prio: u8 },
    /// One of a type without a meaning, to be skipped. Invariant: the type is ignorable.
    Unknown { kind: u8, body: &'a [u8] },
}

impl Record<'_> {
    /// The type, as on the wire.
    pub(super) const fn kind(&self) -> u8 {
        match *self {
            Self::Hello(_) => kind::HELLO,
            Self::Welcome(_) => kind::WELCOME,
            Self::Resume(_) => kind::RESUME,
            Self::Resumed(_) => kind::RESUMED,
            Self::Refused { .. } => kind::REFUSED,
            Self::Ack { .. } => kind::ACK,
            Self::Ping { .. } => kind::PING,
            Self::Pong { .. } => kind::PONG,
            Self::GoAway { .. } => kind::GOAWAY,
            Self::Error { .. } => kind::ERROR,
            Self::Credit { .. } => kind::CREDIT,
            Self::ChanLimit { .. } => kind::CHAN_LIMIT,
            Self::Open(_) => kind::OPEN,
            Self::Accept { .. } => kind::ACCEPT,
            Self::Reset { .. } => kind::RESET,
            Self::Close { .. } => kind::CLOSE,
            Self::Data(_) => kind::DATA,
            Self::Pad { .. } => kind::PAD,
            Self::Blocked { .. } => kind::BLOCKED,
            Self::Priority { .. } => kind::PRIORITY,
            Self::Unknown { kind, .. } => kind,
        }
    }
}

#[cfg(test)]
mod tests;
