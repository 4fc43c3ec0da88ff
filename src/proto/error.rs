//! What a peer can do wrong, and the close code that each fault is answered with.
//!
//! Not here: faults of the caller (each operation has its own small error) and of the
//! environment (`TransportError`).

use core::fmt;

use super::ws::CloseCode;

/// A fault of the peer that fails the connection.
///
/// Every variant is final: the connection that reports it sends a close frame with
/// [`ProtocolError::close_code`] and reads nothing more.
///
/// # Specification
///
/// [RFC 6455 §7.1.7](https://www.rfc-editor.org/rfc/rfc6455#section-7.1.7), *Fail the WebSocket
/// Connection*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A client sent a frame without a masking key.
    UnmaskedFrame,
    /// A server sent a frame with a masking key.
    MaskedFrame,
    /// One of RSV1, RSV2, RSV3 is set though no extension that defines it was negotiated.
    ReservedBits {
        /// The three bits as a number, RSV1 being 4.
        bits: u8,
    },
    /// An opcode that RFC 6455 leaves undefined: 3–7 or 11–15.
    ReservedOpcode {
        /// The opcode's four bits.
        opcode: u8,
    },
    /// A close, ping or pong frame without FIN.
    FragmentedControl,
    /// A close, ping or pong frame that declares more than 125 bytes.
    ControlTooLong,
    /// A length in more bytes than it needs.
    NonMinimalLength {
        /// The length that was declared.
        len: u64,
    },
    /// A 64-bit length with its highest bit set.
    LengthOverflow,
    /// A continuation frame while no message is open.
    UnexpectedContinuation,
    /// A new text or binary frame inside an unfinished message.
    UnfinishedMessage,
    /// A close frame with a body of one byte, which cannot hold a code.
    TruncatedCloseCode,
    /// A close code that may not stand in a frame.
    InvalidCloseCode {
        /// The code as received.
        code: u16,
    },
    /// A close reason that is not UTF-8.
    InvalidCloseReason,
    /// A text message that is not UTF-8.
    InvalidUtf8,
    /// The bytes of a compressed message cannot be inflated.
    ///
    /// A message that breaks off inside a block is not noticed as such: what it inflates to up to there is
    /// the message, and the next one is read as the rest of the block.
    InvalidCompression,
    /// A frame that declares more bytes than the limit; nothing was allocated for it.
    FrameTooBig {
        /// The length that was declared, in bytes.
        len: u64,
        /// The limit it exceeds, in bytes.
        limit: u64,
    },
    /// A message whose fragments so far, with the length just declared, exceed the limit.
    MessageTooBig {
        /// The limit, in bytes.
        limit: u64,
    },
    /// A message in more fragments than the limit.
    TooManyFragments {
        /// The limit, in frames.
        limit: u64,
    },
    /// More control frames than [`Limits::max_control_frames`](super::ws::Limits) within one
    /// allowance.
    TooManyControlFrames {
        /// The limit, in frames.
        limit: u64,
    },
}

impl ProtocolError {
    /// The close code by which the peer is told: 1009 for every exceeded limit, 1007 for bytes
    /// that should have been UTF-8 or deflate, 1002 for everything else.
    ///
    /// # Specification
    ///
    /// [RFC 6455 §7.4.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1).
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::UnmaskedFrame
            | Self::MaskedFrame
            | Self::ReservedBits { .. }
            | Self::ReservedOpcode { .. }
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::NonMinimalLength { .. }
            | Self::LengthOverflow
            | Self::UnexpectedContinuation
            | Self::UnfinishedMessage
            | Self::TruncatedCloseCode
            | Self::InvalidCloseCode { .. } => CloseCode::PROTOCOL_ERROR,
            Self::InvalidCloseReason | Self::InvalidUtf8 | Self::InvalidCompression => {
                CloseCode::INVALID_DATA
            }
            Self::FrameTooBig { .. }
            | Self::MessageTooBig { .. }
            | Self::TooManyFragments { .. }
            | Self::TooManyControlFrames { .. } => CloseCode::TOO_BIG,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnmaskedFrame => f.write_str("frame from a client is not masked"),
            Self::MaskedFrame => f.write_str("frame from a server is masked"),
            Self::ReservedBits { bits } => write!(f, "reserved bits {bits:03b} are set"),
            Self::ReservedOpcode { opcode } => write!(f, "opcode {opcode} is reserved"),
            Self::FragmentedControl => f.write_str("control frame is fragmented"),
            Self::ControlTooLong => f.write_str("control frame is longer than 125 bytes"),
            Self::NonMinimalLength { len } => {
                write!(f, "length {len} is not in its shortest form")
            }
            Self::LengthOverflow => f.write_str("length is above 2^63 - 1"),
            Self::UnexpectedContinuation => f.write_str("continuation frame outside of a message"),
            Self::UnfinishedMessage => f.write_str("new message inside an unfinished one"),
            Self::TruncatedCloseCode => f.write_str("close frame with a body of one byte"),
            Self::InvalidCloseCode { code } => write!(f, "close code {code} may not be sent"),
            Self::InvalidCloseReason => f.write_str("close reason is not valid utf-8"),
            Self::InvalidUtf8 => f.write_str("text message is not valid utf-8"),
            Self::InvalidCompression => f.write_str("compressed message cannot be inflated"),
            Self::FrameTooBig { len, limit } => {
                write!(f, "frame of {len} bytes is above the limit of {limit}")
            }
            Self::MessageTooBig { limit } => {
                write!(f, "message is above the limit of {limit} bytes")
            }
            Self::TooManyFragments { limit } => {
                write!(f, "message has more than {limit} fragments")
            }
            Self::TooManyControlFrames { limit } => {
                write!(f, "more than {limit} control frames in one allowance")
            }
        }
    }
}

impl core::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_lower_case_without_full_stop() {
        let all = [
            ProtocolError::UnmaskedFrame,
            ProtocolError::ReservedBits { bits: 2 },
            ProtocolError::LengthOverflow,
            ProtocolError::FrameTooBig { len: 9, limit: 8 },
            ProtocolError::TooManyControlFrames { limit: 8 },
        ];
        for error in all {
            let text = error.to_string();
            assert_eq!(text, text.to_lowercase());
            assert!(!text.ends_with('.'), "{text}");
        }
        assert_eq!(ProtocolError::ReservedBits { bits: 2 }.to_string(), "reserved bits 010 are set");
    }
}
