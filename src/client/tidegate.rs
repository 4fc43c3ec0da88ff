//! The mode of a connection, the limits of tidegate mode, and which servers are known to speak no `tidegate.v1`.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Mutex;

use super::error::{ConnectError, DelayError};
use crate::driver::tidegate::TidegateConfig;
use crate::platform;
use crate::proto::CloseCause;
use crate::proto::v1::Side;
use crate::proto::ws::HandshakeError;
use crate::time::Timestamp;
use crate::transport::TransportError;

/// What a connection speaks above WebSocket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Messages as they are, with any server. The default.
    #[default]
    Plain,
    /// `tidegate.v1`, with a server that speaks it: messages are cut and interleaved, there are
    /// [channels](crate::Client::channel), and each message is acknowledged. Connecting fails with any other.
    Tidegate,
    /// `tidegate.v1` where the server speaks it, else plain. The offer stands before the subprotocols of the
    /// application's own, so that a server with one of those picks that. If it picks none the connection fails, as in a
    /// browser: then a second one is opened without the offer, and if that succeeds the URL, whatever its query, is known as
    /// plain for ten minutes.
    ///
    /// A browser does not tell why a connection has failed, so that any failure before it was open is a reason there. On the
    /// host only an answer about the subprotocol is: 101 without one or with another than was offered, and the statuses 400,
    /// 406 and 426. A server that hangs up without an answer, as some do with a subprotocol that they do not know, is
    /// tried without the offer each time: it may only have been restarted. Everywhere one that has chosen `tidegate.v1` and then
    /// says something else is plain: some choose whatever they are offered. After 401, 403, 503 and the like, and where no
    /// connection came about, there is no second attempt; nor is there one for
    /// `ClientBuilder::connect_over`, which has only one stream.
    Auto,
}

/// What this side takes and does in tidegate mode. Limits are told to the peer, and enforced.
///
/// # Examples
///
/// ```
/// use tidegate::TidegateOptions;
///
/// let options = TidegateOptions::client().max_channels(8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct TidegateOptions {
    /// How many channels the peer may have open at the same time, up to 65,535, in a server at least 16. Default 32 in a
    /// client, 128 in a server. The messages of the connection itself take up to 16 of them.
    pub max_channels: u32,
    /// The largest message that the peer may send, in bytes. 1,024 to 14,913,024, the default; in a server
    /// at least 57,344. What a client may assume before it is told cannot be less; a smaller value counts as the least one.
    pub max_message_bytes: u32,
    /// How much may have arrived in all channels together without having been taken by the application, in bytes; each has
    /// 1 MiB of it at least, or an equal part if that is less. Default 96 MiB in a client, 256 MiB in a server, which is
    /// a bound and no reservation. What the first windows of channels that this side opens take comes on top.
    ///
    /// A channel takes messages of up to [`max_message_bytes`](Self::max_message_bytes) as long as this has room for a
    /// window with which one arrives, 16 MiB for the largest: by default for about two channels that this side opens and
    /// two of the peer's, in a server for four each, the channels that carry messages of the connection included. Others
    /// take less, 932,008 bytes at least by default.
    pub max_queued_bytes: u64,
    /// For how long what is under way may queue on the way to the peer, where it delays urgent messages: 5 to 500 ms,
    /// default 11. Less has an urgent message there sooner, more fills links better whose rate or delay changes much. Where
    /// acknowledgements come in lumps it is up to 50 ms by itself.
    ///
    /// Anything else is refused, unlike a limit: connecting fails with [`ConnectError::Delay`](crate::ConnectError::Delay),
    /// `server::accept` likewise.
    pub delay: Duration,
}

impl TidegateOptions {
    /// A client's defaults.
    pub const fn client() -> Self {
        Self {
            max_channels: 32,
            max_message_bytes: 14_913_024,
            max_queued_bytes: 96 << 20,
            delay: Duration::from_millis(11),
        }
    }

    /// A server's defaults.
    pub const fn server() -> Self {
        Self { max_channels: 128, max_queued_bytes: 256 << 20, ..Self::client() }
    }

    /// Sets [`max_channels`](Self::max_channels).
    pub fn max_channels(self, max_channels: u32) -> Self {
        Self { max_channels, ..self }
    }

    /// Sets [`max_message_bytes`](Self::max_message_bytes).
    pub fn max_message_bytes(self, max_message_bytes: u32) -> Self {
        Self { max_message_bytes, ..self }
    }

    /// Sets [`max_queued_bytes`](Self::max_queued_bytes).
    pub fn max_queued_bytes(self, max_queued_bytes: u64) -> Self {
        Self { max_queued_bytes, ..self }
    }

    /// Sets [`delay`](Self::delay).
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Whether all of it can be done.
    pub(crate) fn check(&self) -> Result<(), DelayError> {
        let Self { delay, .. } = *self;
        if DELAYS.contains(&delay) { Ok(()) } else { Err(DelayError { delay }) }
    }

    /// What a session is made of.
    pub(crate) fn config(self, side: Side, random: u64) -> TidegateConfig {
        let counts = [self.max_channels, self.max_message_bytes];
        TidegateConfig::new(side, random, counts, self.max_queued_bytes, self.delay)
    }
}

/// What a failed attempt that has offered `tidegate.v1` says about one without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hint {
    /// It would come to the same.
    None,
    /// It may be worth it; the server may also have been away for a moment.
    Perhaps,
    /// If that opens, the server is plain.
    Plain,
}

impl Hint {
    /// What `error` says.
    pub(super) fn of(error: &ConnectError) -> Self {
        /// RFC 6455 leaves it to the server what it answers where it speaks none of the subprotocols: Bad Request, Not
        /// Acceptable or Upgrade Required is what servers do answer.
        const STATUSES: [u16; 3] = [400, 406, 426];

        let ConnectError::Failed { source, .. } = error else { return Self::None };
        // A browser, or the simulator, tells nothing (PROTOCOL section 3).
        let Some(source) = source else { return Self::Plain };
        let TransportError::Handshake(fault) = source else { return Self::None };
        match fault {
            HandshakeError::NoSubprotocol | HandshakeError::UnofferedSubprotocol => Self::Plain,
            HandshakeError::DoubledHeader { name } if *name == "Sec-WebSocket-Protocol" => Self::Plain,
            HandshakeError::Refused(refusal) if STATUSES.contains(&refusal.status) => Self::Plain,
            // libwebsockets hangs up.
            HandshakeError::Truncated => Self::Perhaps,
            _ => Self::None,
        }
    }

    /// What `error` says of a server that has chosen the subprotocol: it speaks it, whatever became of the session. But some
    /// choose whatever they are offered, and then say something else.
    pub(super) fn of_session(error: &ConnectError) -> Self {
        match error {
            ConnectError::Session { closed, .. } if matches!(closed.cause, CloseCause::PeerFault(_)) => {
                Self::Plain
            }
            _ => Self::None,
        }
    }
}

/// What [`TidegateOptions::delay`] may be (PROTOCOL section 15.7).
const DELAYS: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_millis(500);

/// How long a server is known as plain.
const PLAIN_MEMORY: Duration = Duration::from_secs(600);

/// How many are known at most.
const MOST_PLAIN: usize = 256;

/// Places of servers that speak no `tidegate.v1`, and until when that is believed, the oldest first.
static PLAIN: Mutex<VecDeque<(String, Timestamp)>> = Mutex::new(VecDeque::new());

/// Whether the server at `place` is known as plain.
pub(super) fn is_plain(place: &str, now: Timestamp) -> bool {
    platform::lock(&PLAIN).iter().any(|(known, until)| *until > now && known == place)
}

/// Notes that it is.
pub(super) fn note_plain(place: String, now: Timestamp) {
    let mut plain = platform::lock(&PLAIN);
    plain.retain(|(known, until)| *until > now && *known != place);
    if plain.len() >= MOST_PLAIN {
        plain.pop_front();
    }
    plain.push_back((place, now.saturating_add(PLAIN_MEMORY)));
}
