//! What waits to be said, apart from items and from what is said of channels (`controls`).

use alloc::collections::VecDeque;

use crate::proto::v1::channel::ChannelKey;
use crate::proto::v1::code::FatalCode;
use crate::time::Timestamp;

/// Unsequenced records that wait, the newest of each kind.
#[derive(Debug, Default)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "one for each kind of record that says nothing but that it is due"
)]
pub(super) struct Loose {
    /// The newest PING, and when it came.
    pub(super) pong: Option<(u64, Timestamp)>,
    pub(super) ping: bool,
    pub(super) chan_limit: bool,
    /// Channels that owe CREDIT, each once.
    pub(super) credits: VecDeque<ChannelKey>,
    /// GOAWAY was said on this connection, if there is one to be said.
    pub(super) went: bool,
    pub(super) pad: bool,
    /// The type of a record that means nothing.
    pub(super) grease: Option<u8>,
}

/// The way to the end of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    pub(super) due: Timestamp,
    pub(super) code: FatalCode,
    /// Until all channels are over; else until everything has gone.
    pub(super) channels: bool,
}

/// What is to be acknowledged, and when.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// The highest number accepted.
    pub(super) rx: u64,
    /// When it came.
    pub(super) rx_at: Timestamp,
    /// The highest that was acknowledged on this connection.
    pub(super) told: u64,
    /// When the next acknowledgement is due, if something is not acknowledged.
    pub(super) due: Option<Timestamp>,
    pub(super) is_due: bool,
    /// Bytes of records since the last one.
    pub(super) bytes: u64,
    /// No more than this is acknowledged before RESET has gone: what came behind it on that channel is thrown away, and its
    /// sender would take it for delivered.
    pub(super) hold: Option<u64>,
}

impl Acks {
    /// Whether something is to be acknowledged now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.upto() > self.told && (self.is_due || self.due.is_some_and(|due| due <= now))
    }

    /// The number up to which may be acknowledged.
    pub(super) fn upto(&self) -> u64 {
        self.hold.map_or(self.rx, |hold| hold.min(self.rx))
    }

    /// That was acknowledged.
    pub(super) fn note_told(&mut self) {
        self.told = self.told.max(self.upto());
        (self.due, self.is_due, self.bytes) = (None, self.told < self.rx, 0);
    }

    /// RESET is going to follow what has been received, of which the peer is told before.
    pub(super) fn hold(&mut self) {
        self.hold.get_or_insert(self.rx);
        self.is_due = true;
    }
}
