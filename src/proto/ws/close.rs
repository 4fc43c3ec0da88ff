//! Close codes and reasons: what may be sent, and what may be received.
//!
//! Not here: when to close, and who answers.

use core::fmt;

use super::header::MAX_CONTROL_BYTES;
use crate::proto::error::ProtocolError;

/// Most UTF-8 bytes of a close reason: a control frame carries 125, two of them are the code.
pub const MAX_REASON_BYTES: usize = MAX_CONTROL_BYTES - 2;

/// Why a connection was closed, as a number.
///
/// Any number can be held, since an application sees codes that never travel (1005, 1006, 1015);
/// which of them may be sent is asked with [`CloseCode::is_browser_sendable`] and
/// [`CloseCode::is_sendable`].
///
/// # Specification
///
/// [RFC 6455 §7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4) and the
/// [IANA registry](https://www.iana.org/assignments/websocket/websocket.xhtml).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: a server goes down, or a page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data that this endpoint does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: the close frame had no code. Never sent.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: no close frame was received. Never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: a text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: a policy of the endpoint, when no other code fits.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message too big to process.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: the client needed an extension that the server did not negotiate.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the endpoint met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the service is overloaded; try later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got an invalid answer from the server behind it.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015: the TLS handshake failed. Never sent.
    pub const TLS_FAILURE: Self = Self(1015);

    /// The code with this number, whatever its meaning.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether a browser lets a page send this code: 1000 and 3000–4999.
    ///
    /// # Specification
    ///
    /// [WHATWG WebSockets, `close()`](https://websockets.spec.whatwg.org/#dom-websocket-close).
    #[must_use]
    pub const fn is_browser_sendable(self) -> bool {
        matches!(self.0, 1000 | 3000..=4999)
    }

    /// Whether this code may stand in a close frame, sent or received: 1000–1003, 1007–1014 and
    /// 3000–4999.
    ///
    /// 1004 is reserved without a meaning; 1005, 1006 and 1015 stand for the absence of a frame;
    /// 1016–2999 are left to later versions of the protocol.
    ///
    /// # Specification
    ///
    /// [RFC 6455 §7.4.2](https://www.rfc-editor.org/rfc/rfc6455#section-7.4.2).
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A reason of at most [`MAX_REASON_BYTES`] UTF-8 bytes; empty by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CloseReason(Box<str>);

impl CloseReason {
    /// Checks the length, in UTF-8 bytes and not in characters.
    ///
    /// # Errors
    ///
    /// [`InvalidClose::ReasonTooLong`] above 123 bytes. It is not shortened, since the caller
    /// knows better what to leave out.
    pub fn new(reason: &str) -> Result<Self, InvalidClose> {
        if reason.len() > MAX_REASON_BYTES {
            return Err(InvalidClose::ReasonTooLong { len: reason.len() });
        }
        Ok(Self(reason.into()))
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A code or reason that may not be sent; the fault of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidClose {
    /// The code may not be sent from here.
    Code {
        /// The code.
        code: u16,
    },
    /// The reason is longer than [`MAX_REASON_BYTES`].
    ReasonTooLong {
        /// Its length in UTF-8 bytes.
        len: usize,
    },
}

impl fmt::Display for InvalidClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code { code } => write!(f, "close code {code} may not be sent"),
            Self::ReasonTooLong { len } => {
                write!(f, "close reason has {len} bytes, at most {MAX_REASON_BYTES} may be sent")
            }
        }
    }
}

impl core::error::Error for InvalidClose {}

/// The body of a close frame that carries a code; both parts may stand in a frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CloseFrame {
    /// Invariant: `code.is_sendable()`.
    code: CloseCode,
    reason: CloseReason,
}

impl CloseFrame {
    /// Checks what an endpoint with its own codec may send: see [`CloseCode::is_sendable`].
    ///
    /// # Errors
    ///
    /// [`InvalidClose`] if the code may not be sent or the reason is too long.
    pub fn new(code: CloseCode, reason: &str) -> Result<Self, InvalidClose> {
        if !code.is_sendable() {
            return Err(InvalidClose::Code { code: code.get() });
        }
        Ok(Self { code, reason: CloseReason::new(reason)? })
    }

    /// Checks what a page may send through a browser, as its `close(code, reason)` would.
    ///
    /// `None` means a close frame without a body. A reason without a code is sent with 1000.
    ///
    /// # Errors
    ///
    /// [`InvalidClose`] if the code is neither 1000 nor 3000–4999, or the reason is too long.
    ///
    /// # Specification
    ///
    /// [WHATWG WebSockets, `close()`](https://websockets.spec.whatwg.org/#dom-websocket-close).
    pub fn for_browser(code: Option<CloseCode>, reason: &str) -> Result<Option<Self>, InvalidClose> {
        let code = match code {
            None if reason.is_empty() => return Ok(None),
            None => CloseCode::NORMAL,
            Some(code) => code,
        };
        if !code.is_browser_sendable() {
            return Err(InvalidClose::Code { code: code.get() });
        }
        Self::new(code, reason).map(Some)
    }

    /// Reads the body of a received close frame; `None` if it is empty.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::TruncatedCloseCode`] for a single byte, [`ProtocolError::InvalidCloseCode`]
    /// for a code that may not be sent, [`ProtocolError::ControlTooLong`] above 125 bytes,
    /// [`ProtocolError::InvalidCloseReason`] if the rest is not UTF-8.
    ///
    /// # Specification
    ///
    /// [RFC 6455 §5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1).
    pub fn decode(body: &[u8]) -> Result<Option<Self>, ProtocolError> {
        if body.is_empty() {
            return Ok(None);
        }
        let Some((code, reason)) = body.split_first_chunk::<2>() else {
            return Err(ProtocolError::TruncatedCloseCode);
        };
        let code = CloseCode::new(u16::from_be_bytes(*code));
        if !code.is_sendable() {
            return Err(ProtocolError::InvalidCloseCode { code: code.get() });
        }
        let reason = core::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
        let reason = CloseReason::new(reason).map_err(|_| ProtocolError::ControlTooLong)?;
        Ok(Some(Self { code, reason }))
    }

    /// Appends the body to `out`: the code, highest byte first, then the reason.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.code.get().to_be_bytes());
        out.extend_from_slice(self.reason.as_str().as_bytes());
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason, which may be empty.
    #[must_use]
    pub const fn reason(&self) -> &CloseReason {
        &self.reason
    }
}

impl From<ProtocolError> for CloseFrame {
    /// The frame that tells the peer about its fault: the code only, as a reason would tell an
    /// attacker more than a debugging friend.
    fn from(error: ProtocolError) -> Self {
        Self { code: error.close_code(), reason: CloseReason::default() }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_its_group() {
        for number in 0..=u16::MAX {
            let code = CloseCode::new(number);
            let sendable = [(1000, 1003), (1007, 1014), (3000, 4999)]
                .iter()
                .any(|&(from, to)| (from..=to).contains(&number));
            assert_eq!(code.is_sendable(), sendable, "{number}");
            let browser = number == 1000 || (3000..=4999).contains(&number);
            assert_eq!(code.is_browser_sendable(), browser, "{number}");
            let received = CloseFrame::decode(&number.to_be_bytes());
            assert_eq!(received.is_ok(), sendable, "{number}");
        }
    }

    #[test]
    fn reasons_are_counted_in_bytes() {
        assert!(CloseReason::new(&"a".repeat(123)).is_ok());
        let waves = "\u{1f30a}".repeat(31);
        assert_eq!(CloseReason::new(&waves), Err(InvalidClose::ReasonTooLong { len: 124 }));
    }

    #[test]
    fn browser_rules_for_a_missing_code() {
        assert_eq!(CloseFrame::for_browser(None, ""), Ok(None));
        let frame = CloseFrame::for_browser(None, "bye").unwrap().unwrap();
        assert_eq!((frame.code(), frame.reason().as_str()), (CloseCode::NORMAL, "bye"));
        let away = CloseFrame::for_browser(Some(CloseCode::GOING_AWAY), "");
        assert_eq!(away, Err(InvalidClose::Code { code: 1001 }));
    }

    #[test]
    fn bodies_survive_the_round_trip() {
        for reason in ["", "bye", &"\u{e9}".repeat(61)] {
            let frame = CloseFrame::new(CloseCode::new(4001), reason).unwrap();
            let mut body = Vec::new();
            frame.encode(&mut body);
            assert!(body.len() <= MAX_CONTROL_BYTES);
            assert_eq!(CloseFrame::decode(&body), Ok(Some(frame)));
        }
        assert_eq!(CloseFrame::decode(&[]), Ok(None));
        assert_eq!(CloseFrame::decode(&[3]), Err(ProtocolError::TruncatedCloseCode));
        assert_eq!(CloseFrame::decode(b"\x03\xe8\xff"), Err(ProtocolError::InvalidCloseReason));
    }
}
