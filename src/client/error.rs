//! Errors of the client, one small enum for each operation.

use core::fmt;

use super::address::{ProxyError, SubprotocolError, UrlError};
use super::message::{Message, Outline};
#[cfg(feature = "v1")]
use crate::proto::CloseCause;
use crate::proto::Closed;
use crate::proto::ws::{InvalidRequest, Refusal};
use crate::transport::TransportError;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is not one that a WebSocket can be opened to. Nothing was tried.
    Url(UrlError),
    /// A subprotocol may not be offered. Nothing was tried.
    Subprotocol(SubprotocolError),
    /// A header field may not be sent (host only). Nothing was tried.
    Header {
        /// The name that was given. The value is not told, since it may be a secret.
        name: String,
        /// Whether it is the name or the value that may not.
        reason: InvalidRequest,
    },
    /// The proxy's URL names no proxy (host only). Nothing was tried.
    Proxy(ProxyError),
    /// The code of [`RecvPolicy::Close`](crate::RecvPolicy::Close) may not be sent. Nothing was tried.
    OverflowCode(CloseError),
    /// [`TidegateOptions::delay`](crate::TidegateOptions::delay) is out of its range. Nothing was tried.
    #[cfg(feature = "v1")]
    Delay(DelayError),
    /// The host refused to try, such as `ws:` from a secure page; its words. Nothing was tried.
    Forbidden {
        /// What the host says.
        message: String,
    },
    /// The server refused, could not be reached, or answered wrongly.
    Failed {
        /// The close event: 1006 and not clean.
        closed: Closed,
        /// What is known beyond it. Nothing in a browser, which tells script no more.
        source: Option<TransportError>,
    },
    /// The connect deadline passed, or in tidegate mode the server's greeting did not come in time; the attempt was ended.
    TimedOut {
        /// The close event: 1006 and not clean.
        closed: Closed,
    },
    /// The caller gave up.
    Aborted {
        /// The close event: 1006 and not clean.
        closed: Closed,
    },
    /// The server chose `tidegate.v1` and then refused the session, or does not speak it as it should;
    /// [`Closed::cause`] says which.
    #[cfg(feature = "v1")]
    Session {
        /// The close event.
        closed: Closed,
        /// What the server has done wrong, in words, if that is it: [`TransportError::Records`].
        source: Option<TransportError>,
    },
    /// [`Mode::Tidegate`](crate::Mode::Tidegate) was asked for, and the server chose another subprotocol.
    #[cfg(feature = "v1")]
    NotTidegate {
        /// Which; empty for none.
        protocol: String,
    },
    /// [`Transport::Stream`](crate::Transport::Stream) was chosen, and this browser has no `WebSocketStream`.
    /// Nothing was tried, neither that nor another way.
    NoWebSocketStream,
    /// This build has no transport: on the host, enable the feature `native`, or use `connect_in` of the
    /// feature `sim`.
    NoTransport,
    /// `wss:`, or a proxy with `https:`, on the host in a build without the feature `tls`. Nothing was tried.
    NoTls,
    /// On the host, `connect` has to be called inside a tokio runtime, and `connect_in` inside
    /// `Sim::block_on`. Nothing was tried.
    ///
    /// The runtime needs its timers and its IO (`enable_all` of tokio's `Builder`), which nobody can ask for: without
    /// one of them tokio panics in the task of the connection, and `connect` ends as [`Aborted`](Self::Aborted).
    NoRuntime,
}

impl ConnectError {
    /// The answer of a server that refused the opening handshake: its status, its header fields (such as
    /// `Location` or `WWW-Authenticate`) and the start of its body. Nothing in a browser, which keeps it
    /// from script.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Failed { source: Some(source), .. } => source.refusal(),
            _ => None,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::Subprotocol(error) => error.fmt(f),
            Self::Header { name, reason } => write!(f, "the header {name:?} cannot be sent: {reason}"),
            Self::Proxy(error) => error.fmt(f),
            Self::OverflowCode(error) => write!(f, "overflow code: {error}"),
            #[cfg(feature = "v1")]
            Self::Delay(error) => error.fmt(f),
            Self::Forbidden { message } => write!(f, "the host does not allow this connection: {message}"),
            Self::Failed { source: Some(source), .. } => source.fmt(f),
            Self::Failed { closed, .. } => {
                write!(f, "the connection failed before it was open (close code {})", closed.code)
            }
            Self::TimedOut { .. } => f.write_str("the connection did not open before the deadline"),
            Self::Aborted { .. } => f.write_str("aborted by the caller"),
            #[cfg(feature = "v1")]
            Self::Session { closed, source } => {
                match (closed.cause, source) {
                    (_, Some(source)) => source.fmt(f)?,
                    (CloseCause::ToldFault(code), _) => {
                        write!(f, "the server says of this session of tidegate.v1: {code}")?;
                    }
                    (CloseCause::Refused(code), _) => {
                        write!(f, "the server refused the session of tidegate.v1: {code}")?;
                    }
                    _ => f.write_str("the session of tidegate.v1 did not begin")?,
                }
                write!(f, " (close code {}", closed.code)?;
                if !closed.reason.is_empty() {
                    write!(f, ", {:?}", closed.reason.as_str())?;
                }
                f.write_str(")")
            }
            #[cfg(feature = "v1")]
            Self::NotTidegate { protocol } if protocol.is_empty() => {
                f.write_str("the server does not speak tidegate.v1")
            }
            #[cfg(feature = "v1")]
            Self::NotTidegate { protocol } => {
                write!(f, "the server chose the subprotocol {protocol} over tidegate.v1")
            }
            Self::NoWebSocketStream => {
                f.write_str("this browser has no WebSocketStream: connect with `Transport::Socket`")
            }
            Self::NoTls => f.write_str("this build has no tls: enable the feature `tls`"),
            Self::NoRuntime => f.write_str("connect was called outside a runtime"),
            Self::NoTransport => {
                f.write_str("this build has no transport: enable the feature `native`, or use `connect_in`")
            }
        }
    }
}

impl core::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // Those that speak in the words of their cause have its cause.
            Self::Url(error) => error.source(),
            Self::Subprotocol(error) => error.source(),
            Self::Proxy(error) => error.source(),
            Self::Failed { source: Some(source), .. } => source.source(),
            _ => None,
        }
    }
}

/// Why a message was not queued. It is given back; `Debug` shows no more of it than its kind and size.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// The send queue is full (only `try_send`).
    Full(Message),
    /// The connection is closing or closed.
    Closed(Message),
    /// The channel takes no more messages, though its connection may go on: it was closed or reset here, or its peer wants
    /// nothing more on it, of which [`ChannelSender::stopped`](crate::ChannelSender::stopped) tells.
    #[cfg(feature = "v1")]
    ChannelClosed(Message),
    /// The Blob was received on another connection; read it and send its bytes.
    ForeignBlob(Message),
    /// [`Message::Error`] cannot be sent.
    Unsupported(Message),
    /// It is larger than the room that was kept for it (only [`Permit::send`](super::Permit::send)).
    AbovePermit(Message),
}

impl SendError {
    /// The message that was not queued.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            Self::Full(message)
            | Self::Closed(message)
            | Self::ForeignBlob(message)
            | Self::Unsupported(message)
            | Self::AbovePermit(message) => message,
            #[cfg(feature = "v1")]
            Self::ChannelClosed(message) => message,
        }
    }
}

impl fmt::Debug for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, message) = match self {
            Self::Full(message) => ("Full", message),
            Self::Closed(message) => ("Closed", message),
            #[cfg(feature = "v1")]
            Self::ChannelClosed(message) => ("ChannelClosed", message),
            Self::ForeignBlob(message) => ("ForeignBlob", message),
            Self::Unsupported(message) => ("Unsupported", message),
            Self::AbovePermit(message) => ("AbovePermit", message),
        };
        f.debug_tuple(name).field(&Outline(message)).finish()
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the send queue is full",
            Self::Closed(_) => "the connection is closing or closed",
            #[cfg(feature = "v1")]
            Self::ChannelClosed(_) => {
                "the channel takes no more messages: it was closed, reset or is not wanted"
            }
            Self::ForeignBlob(_) => "the blob was received on another connection",
            Self::Unsupported(_) => "a receive error cannot be sent",
            Self::AbovePermit(_) => "the message is larger than the room that was reserved for it",
        })
    }
}

impl core::error::Error for SendError {}

/// No room was kept: the connection is closing or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReserveError;

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is closing or closed")
    }
}

impl core::error::Error for ReserveError {}

/// Why a [`Sender`](super::Sender), or the sender of a channel, failed that is used as a `Sink`.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkError {
    /// A message was not queued; it is given back.
    Refused(SendError),
    /// Not everything that was queued has been handed over: the connection ended first
    /// ([`closed`](super::Sender::closed) says how much was not), or a Blob could not be read. Of a channel's sender also: the
    /// peer has reset the channel, and thrown away what it had not delivered; `ChannelSender::stopped` tells.
    Lost,
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Lost => f.write_str("not everything that was queued could be sent"),
        }
    }
}

impl core::error::Error for SinkError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(error) => error.source(),
            Self::Lost => None,
        }
    }
}

/// Why `try_recv` gave no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryRecvError {
    /// None is there now.
    Empty,
    /// None will ever come: the connection is over and all messages were taken.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no message is waiting",
            Self::Closed => "the connection is closed and no message is left",
        })
    }
}

impl core::error::Error for TryRecvError {}

/// Why something that arrived is not a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The host delivered a value that is neither a string, an `ArrayBuffer` nor a `Blob`.
    UnsupportedData {
        /// Its JavaScript type.
        name: String,
    },
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::UnsupportedData { name } = self;
        write!(f, "the host delivered data of type {name}, which is no WebSocket message")
    }
}

impl core::error::Error for ReceiveError {}

/// Why a Blob gave no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlobError {
    /// The browser cannot read it: its file has gone or changed, or memory is short.
    Unreadable,
    /// The thread that received it has ended, and with it the value.
    Gone,
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "the blob cannot be read",
            Self::Gone => "the thread that received the blob has ended",
        })
    }
}

impl core::error::Error for BlobError {}

/// Why a close was not begun; the connection stays open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseError {
    /// Only 1000 and 3000 to 4999 may be sent from a browser, and so everywhere.
    Code {
        /// The code that was given.
        code: u16,
    },
    /// A reason has at most 123 bytes of UTF-8 (RFC 6455 section 5.5).
    Reason {
        /// How many the given one has.
        bytes: usize,
    },
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code { code } => write!(f, "close code {code} may not be sent: use 1000 or 3000 to 4999"),
            Self::Reason { bytes } => {
                write!(f, "the close reason has {bytes} bytes: at most 123 may be sent")
            }
        }
    }
}

impl core::error::Error for CloseError {}

/// A delay that [`TidegateOptions`](crate::TidegateOptions) cannot have.
#[cfg(feature = "v1")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DelayError {
    /// The one that was given.
    pub delay: core::time::Duration,
}

#[cfg(feature = "v1")]
impl fmt::Display for DelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the delay of tidegate mode is {:?}: give 5 to 500 ms", self.delay)
    }
}

#[cfg(feature = "v1")]
impl core::error::Error for DelayError {}
