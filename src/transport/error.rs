//! What a transport knows about a connection that failed.

use core::fmt;
use core::ops::Deref;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use crate::proto::ws::{HandshakeError, ProtocolError, Refusal, TunnelError};

/// An [`io::Error`] that is shared by the clones of the error whose source it is. Two of the same kind and words are
/// equal.
#[derive(Clone, Debug)]
pub struct IoSource(Arc<io::Error>);

impl IoSource {
    #[allow(dead_code, reason = "only sockets have such errors")]
    pub(crate) fn new(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl Deref for IoSource {
    type Target = io::Error;

    fn deref(&self) -> &io::Error {
        &self.0
    }
}

impl PartialEq for IoSource {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.to_string() == other.to_string()
    }
}

impl Eq for IoSource {}

/// What a transport knows about a connection that failed, beyond the close event. Browsers tell
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection to the server: the name is unknown, the port refuses, the network is away.
    Connect {
        /// To where, and the operating system's words.
        message: String,
        /// What the operating system has said; also by `source()`.
        source: Option<IoSource>,
    },
    /// The proxy gave no tunnel to the server.
    Proxy(
        /// Its answer, or what was wrong with it.
        TunnelError,
    ),
    /// The server's certificate is not to be trusted: not issued by a root that is, expired, for another
    /// name.
    Certificate {
        /// What is wrong with it.
        message: String,
        /// That as an error, whose [`get_ref`](io::Error::get_ref) is one of rustls; also by `source()`.
        source: Option<IoSource>,
    },
    /// TLS came to no agreement, or the other end does not speak it.
    Tls {
        /// What is wrong.
        message: String,
        /// That as an error, if it came with the stream; also by `source()`.
        source: Option<IoSource>,
    },
    /// The server answered the opening handshake, but not by accepting it. [`refusal`](Self::refusal)
    /// has its answer, if it was a complete one.
    Handshake(
        /// What was wrong with it.
        HandshakeError,
    ),
    /// The peer broke RFC 6455 in an open connection.
    Protocol(
        /// The rule it broke.
        ProtocolError,
    ),
    /// The peer broke `tidegate.v1`.
    #[cfg(feature = "v1")]
    Records {
        /// In words.
        why: &'static str,
    },
    /// Nothing came from the peer for so long, though it was asked by a ping: the network or the other
    /// machine is gone.
    Silent {
        /// How long it had to answer.
        within: Duration,
    },
    /// Reading or writing failed, or the peer vanished without a close frame.
    Io {
        /// The operating system's words, or that the stream has ended.
        message: String,
        /// What the operating system has said, if it has; also by `source()`.
        source: Option<IoSource>,
    },
}

impl TransportError {
    /// The answer of a server that refused the opening handshake: its status, its header fields (such as
    /// `Location` or `WWW-Authenticate`) and the start of its body. That of a proxy is in
    /// [`TunnelError::refusal`].
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Handshake(error) => error.refusal(),
            _ => None,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, message) = match self {
            Self::Connect { message, .. } => ("could not connect: ", message),
            Self::Certificate { message, .. } => ("the server's certificate is not trusted: ", message),
            Self::Tls { message, .. } => ("tls failed: ", message),
            Self::Proxy(error) => return write!(f, "no way through the proxy: {error}"),
            Self::Handshake(error) => return write!(f, "opening handshake failed: {error}"),
            Self::Protocol(error) => return write!(f, "the peer broke the protocol: {error}"),
            #[cfg(feature = "v1")]
            Self::Records { why } => return write!(f, "the peer broke tidegate.v1: {why}"),
            Self::Silent { within } => {
                let (seconds, millis) = (within.as_secs(), within.subsec_millis());
                return write!(
                    f,
                    "the peer is silent: nothing came within {seconds}.{millis:03} s of a ping"
                );
            }
            Self::Io { message, .. } => ("the connection broke: ", message),
        };
        f.write_str(what)?;
        f.write_str(message)
    }
}

impl core::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // They speak in the words of their cause.
            Self::Proxy(error) => error.source(),
            Self::Handshake(error) => error.source(),
            Self::Connect { source, .. }
            | Self::Certificate { source, .. }
            | Self::Tls { source, .. }
            | Self::Io { source, .. } => {
                // The error itself, so that a caller finds its type.
                source.as_deref().map(|error| error as &(dyn core::error::Error + 'static))
            }
            #[cfg(feature = "v1")]
            Self::Records { .. } => None,
            Self::Protocol(_) | Self::Silent { .. } => None,
        }
    }
}
