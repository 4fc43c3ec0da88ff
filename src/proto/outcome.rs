//! How messages and connections end.

use super::payload::Reason;

/// How one message ended. Each message that was queued ends in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The transport has it: a browser, which says nothing more about a message, or on the host the writer of
    /// this connection, which may still be writing it when the connection ends.
    HandedOver,
    /// The ticket was cancelled while the message was still queued, and nothing of it was sent; or its channel was reset
    /// before all of it had gone, and the peer drops what it has.
    Cancelled,
    /// The connection ended before its turn came; nothing of it was sent.
    Unsent,
    /// It was handed over, or a part of it, when the connection ended, or when the peer stopped its channel: the peer may or
    /// may not have it.
    Unknown,
    /// Its Blob could not be read (a file that is gone or has changed). The peer drops what it may have of it.
    Unreadable,
    /// Its deadline passed while it was queued, or waited for room in the queue; nothing of it was sent.
    Expired,
    /// A newer message of the same `latest` key came while it was queued; nothing of it was sent.
    Superseded,
    /// The peer has it, as it has said: only over `tidegate.v1`.
    #[cfg(feature = "v1")]
    Delivered,
    /// It is larger than the peer takes; nothing of it was sent. Only over `tidegate.v1`.
    #[cfg(feature = "v1")]
    TooBig,
}

/// A number of messages and the sum of their sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Amount {
    /// Messages.
    pub messages: u64,
    /// Bytes of payload (UTF-8 for text).
    pub bytes: u64,
}

impl Amount {
    /// Counts one more message of `bytes`.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Who or what ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseCause {
    /// The peer closed it, or the network or the opening handshake failed.
    Peer,
    /// The caller gave up: a dropped `connect` future, an aborted signal; on the host also a runtime that is gone.
    Aborted,
    /// The connect deadline passed; in tidegate mode also that of the peer's greeting.
    ConnectTimeout,
    /// The caller closed it and the peer confirmed.
    Local,
    /// The caller closed it; no confirmation came before the deadline, or the connection broke.
    Unconfirmed,
    /// The application took messages too slowly and the receive queue overflowed.
    ReceiveOverflow,
    /// The peer was silent, also when it was asked, for so long that it was taken for gone: on the host, and over
    /// `tidegate.v1`.
    Silent,
    /// The peer broke `tidegate.v1`, in the way that the code says; the handles' `failure()` has it in words.
    #[cfg(feature = "v1")]
    PeerFault(super::v1::FatalCode),
    /// The peer says that this side broke `tidegate.v1`, or that it has failed itself.
    #[cfg(feature = "v1")]
    ToldFault(super::v1::FatalCode),
    /// The server refused the session.
    #[cfg(feature = "v1")]
    Refused(super::v1::RefusedCode),
    /// The session goes on in another connection, which is not this client's.
    #[cfg(feature = "v1")]
    Superseded,
}

#[cfg(feature = "v1")]
impl CloseCause {
    /// What the end of a session adds to that of its connection.
    #[must_use]
    pub fn of_session(cause: super::v1::Cause) -> Option<Self> {
        use super::v1::{Cause, FatalCode};

        match cause {
            // The peer has found this side silent.
            Cause::Lost { code } if code == FatalCode::Timeout.close_code() => {
                Some(Self::ToldFault(FatalCode::Timeout))
            }
            Cause::Closed | Cause::Lost { .. } | Cause::Expired => None,
            Cause::Silent => Some(Self::Silent),
            Cause::NoGreeting => Some(Self::ConnectTimeout),
            Cause::Peer { code, .. } => Some(Self::PeerFault(code)),
            Cause::Told(code) => Some(Self::ToldFault(code)),
            Cause::Refused { code, .. } => Some(Self::Refused(code)),
            Cause::Superseded => Some(Self::Superseded),
        }
    }
}

/// The one final word about a connection. Every handle gets the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Close code: the peer's, 1005 if it gave none, 1006 if no close frame came.
    pub code: u16,
    /// The peer's reason; empty if none came.
    pub reason: Reason,
    /// Whether the closing handshake was completed, as WHATWG `wasClean`. Over a browser's `WebSocketStream` false
    /// as well if messages that came before the peer's close may be missing.
    pub was_clean: bool,
    /// Who or what ended it.
    pub cause: CloseCause,
    /// Queued, but never given to the transport: safe to send again.
    pub unsent: Amount,
    /// Given to the transport and not known to have arrived.
    ///
    /// A plain server acknowledges nothing, so this is everything that was sent on the connection,
    /// unless the peer confirmed a close that began here: then it had read all before it, and this
    /// is zero. A peer that closes of its own accord at the same moment and with the same code looks
    /// the same; give a close a code of its own where that matters.
    pub unknown: Amount,
    /// Received, and dropped because the application took too little of what came before:
    /// [`RecvPolicy`](crate::proto::RecvPolicy). Nothing is dropped after this.
    pub dropped: Amount,
}
