//! The frame header as pure functions of bytes.
//!
//! Not here: buffers, payloads, the order of frames, limits.

use core::ops::Range;

use super::message::{MessageKind, Role};
use crate::proto::error::ProtocolError;

/// Longest frame header: 2 bytes, 8 of extended length, 4 of masking key.
pub const MAX_HEADER_BYTES: usize = 14;

/// Two words, in which every header has room.
pub(super) const HEADER_WORDS: usize = 16;

/// Most payload bytes of a close, ping or pong frame (RFC 6455 §5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

pub(super) const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;

/// What a frame is for.
///
/// # Specification
///
/// [RFC 6455 §11.8](https://www.rfc-editor.org/rfc/rfc6455#section-11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// 0: a further fragment of the open message.
    Continuation = 0,
    /// 1: the first or only fragment of a text message.
    Text = 1,
    /// 2: the first or only fragment of a binary message.
    Binary = 2,
    /// 8: the closing handshake.
    Close = 8,
    /// 9: asks for a pong.
    Ping = 9,
    /// 10: answers a ping, or is sent unasked.
    Pong = 10,
}

impl Opcode {
    /// The opcode with these four bits, or `None` if they are reserved.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// The opcode's four bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Whether this is a close, ping or pong.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame header.
///
/// # Specification
///
/// [RFC 6455 §5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameHeader {
    /// Whether this is the last fragment of its message.
    pub fin: bool,
    /// RSV1: whether this is the first frame of a message compressed by permessage-deflate
    /// ([RFC 7692 §6](https://www.rfc-editor.org/rfc/rfc7692#section-6)).
    pub rsv1: bool,
    /// What the frame is for.
    pub opcode: Opcode,
    /// The masking key, if the payload is masked.
    pub mask: Option<[u8; 4]>,
    /// Payload bytes; at most 2^63 - 1 in anything that [`FrameHeader::decode`] returns.
    pub len: u64,
}

impl FrameHeader {
    /// Reads a header from the start of `input`, as an endpoint in the role `receiver` sees it.
    ///
    /// Returns the header and the bytes it takes, or `None` while its end is missing. The length
    /// is as declared; whether to believe it is for the caller's limits to say.
    ///
    /// # Errors
    ///
    /// Each as soon as the byte that shows it is there, the wrong mask direction before any part
    /// of an extended length is looked at: [`ProtocolError::ReservedBits`],
    /// [`ProtocolError::ReservedOpcode`], [`ProtocolError::FragmentedControl`],
    /// [`ProtocolError::UnmaskedFrame`], [`ProtocolError::MaskedFrame`],
    /// [`ProtocolError::ControlTooLong`], [`ProtocolError::NonMinimalLength`],
    /// [`ProtocolError::LengthOverflow`].
    pub fn decode(input: &[u8], receiver: Role) -> Result<Option<(Self, usize)>, ProtocolError> {
        Self::decode_extended(input, receiver, false)
    }

    /// [`decode`](Self::decode) where RSV1 may be set, since permessage-deflate was agreed on: on a text
    /// or binary frame, and on no other ([RFC 7692 §6.1](https://www.rfc-editor.org/rfc/rfc7692#section-6.1)).
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_extended(
        input: &[u8],
        receiver: Role,
        allows_rsv1: bool,
    ) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&first, input)) = input.split_first() else { return Ok(None) };
        let (fin, rsv1, opcode) = decode_first(first, allows_rsv1)?;

        let Some((&second, input)) = input.split_first() else { return Ok(None) };
        // RFC 6455 §5.1: a server closes on an unmasked frame, a client on a masked one.
        let masked = second & MASKED != 0;
        match receiver {
            Role::Server if !masked => return Err(ProtocolError::UnmaskedFrame),
            Role::Client if masked => return Err(ProtocolError::MaskedFrame),
            _ => {}
        }
        let short = second & !MASKED;
        // RFC 6455 §5.5: control frames carry at most 125 bytes; 126 and 127 announce more.
        if opcode.is_control() && usize::from(short) > MAX_CONTROL_BYTES {
            return Err(ProtocolError::ControlTooLong);
        }

        // RFC 6455 §5.2: the minimal number of bytes MUST be used to encode the length.
        let (len, input, len_bytes) = match short {
            126 => {
                let Some((bytes, input)) = input.split_first_chunk() else { return Ok(None) };
                let len = u64::from(u16::from_be_bytes(*bytes));
                if len < 126 {
                    return Err(ProtocolError::NonMinimalLength { len });
                }
                (len, input, 2)
            }
            127 => {
                let Some((bytes, input)) = input.split_first_chunk() else { return Ok(None) };
                let len = u64::from_be_bytes(*bytes);
                if len >> 63 != 0 {
                    return Err(ProtocolError::LengthOverflow);
                }
                if u16::try_from(len).is_ok() {
                    return Err(ProtocolError::NonMinimalLength { len });
                }
                (len, input, 8)
            }
            short => (u64::from(short), input, 0),
        };

        let (mask, mask_bytes) = if masked {
            let Some(key) = input.first_chunk() else { return Ok(None) };
            (Some(*key), 4)
        } else {
            (None, 0)
        };
        Ok(Some((Self { fin, rsv1, opcode, mask, len }, 2 + len_bytes + mask_bytes)))
    }

    /// Writes the header in its shortest form.
    ///
    /// The inverse of [`FrameHeader::decode`] for every header that it accepts.
    #[must_use]
    #[inline]
    pub fn encode(&self) -> EncodedHeader {
        let (number, len) = header_number(self.first_byte(), self.mask, self.len);
        EncodedHeader { bytes: number.to_le_bytes(), len }
    }

    /// FIN, RSV1 and the opcode.
    #[inline]
    pub(super) const fn first_byte(&self) -> u8 {
        (if self.fin { FIN } else { 0 }) | (if self.rsv1 { RSV1 } else { 0 }) | self.opcode.bits()
    }
}

/// A header as a number, its first byte lowest, and how many bytes of it count.
///
/// Never through memory: a header that is stored in smaller pieces than it is then loaded by waits for its
/// own stores, which takes longer than all the rest of a small frame.
#[inline]
pub(super) fn header_number(first: u8, key: Option<[u8; 4]>, len: u64) -> (u128, usize) {
    let masked = if key.is_some() { MASKED } else { 0 };
    let start = |second: u8| u128::from(u16::from_le_bytes([first, masked | second]));
    // The key is put behind the length in any case, and counted only if there is one.
    let bits = u128::from(u32::from_le_bytes(key.unwrap_or_default()));
    let (number, bytes) = match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ 0..=125), _) => (start(len) | bits << 16, 2),
        (_, Ok(len)) => (start(126) | u128::from(len.swap_bytes()) << 16 | bits << 32, 4),
        _ => (start(127) | u128::from(len.swap_bytes()) << 16 | bits << 80, 10),
    };
    (number, if key.is_some() { bytes + 4 } else { bytes })
}

/// The frame at the start of `bytes` if it is a message of its own of fewer than `end` bytes, is complete,
/// and keeps every rule: its masking key, and where its payload is.
#[inline]
pub(super) fn find_whole(
    bytes: &[u8],
    receiver: Role,
    end: u64,
) -> Option<(MessageKind, Option<[u8; 4]>, Range<usize>)> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    // FIN, no reserved bit, and one of the two opcodes.
    let kind = match first {
        0x81 => MessageKind::Text,
        0x82 => MessageKind::Binary,
        _ => return None,
    };
    let is_masked = second & 0x80 != 0;
    if is_masked != (receiver == Role::Server) {
        return None;
    }
    let (len, rest, head) = match second & 0x7f {
        126 => {
            let (bytes, rest) = rest.split_first_chunk::<2>()?;
            let len = usize::from(u16::from_be_bytes(*bytes));
            if len < 126 {
                return None;
            }
            (len, rest, 4)
        }
        127 => return None,
        len => (usize::from(len), rest, 2),
    };
    if len as u64 >= end {
        return None;
    }
    let (key, rest, head) = if is_masked {
        let (key, rest) = rest.split_first_chunk::<4>()?;
        (Some(*key), rest, head + 4)
    } else {
        (None, rest, head)
    };
    (rest.len() >= len).then_some((kind, key, head..head + len))
}

/// What the first byte of a header says by itself: FIN, RSV1, the opcode.
pub(super) fn decode_first(first: u8, allows_rsv1: bool) -> Result<(bool, bool, Opcode), ProtocolError> {
    let bits = first & 0x0f;
    let opcode = Opcode::from_bits(bits);
    let starts = matches!(opcode, Some(Opcode::Text | Opcode::Binary));
    let defined = if allows_rsv1 && starts { RSV1 } else { 0 };
    // RFC 6455 §5.2: MUST be 0 unless an extension is negotiated that defines them.
    if first & RESERVED & !defined != 0 {
        return Err(ProtocolError::ReservedBits { bits: (first & RESERVED) >> 4 });
    }
    let opcode = opcode.ok_or(ProtocolError::ReservedOpcode { opcode: bits })?;
    let fin = first & FIN != 0;
    // RFC 6455 §5.5: control frames MUST NOT be fragmented.
    if opcode.is_control() && !fin {
        return Err(ProtocolError::FragmentedControl);
    }
    Ok((fin, first & RSV1 != 0, opcode))
}

/// The bytes of a header, kept without an allocation.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHeader {
    /// Two more than the longest has, which makes two words.
    bytes: [u8; HEADER_WORDS],
    /// Invariant: `2 <= len <= MAX_HEADER_BYTES` once made.
    len: usize,
}

impl EncodedHeader {
    /// The bytes, 2 to 14 of them.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl AsRef<[u8]> for EncodedHeader {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    fn every_first_two_bytes_are_judged_as_the_rfc_says() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                for (receiver, extended) in
                    [(Role::Client, false), (Role::Server, false), (Role::Client, true), (Role::Server, true)]
                {
                    // A length of 65,536 is minimal in 8 bytes, and its first two are not in 2.
                    let mut input = vec![first, second];
                    match second & 0x7f {
                        126 => input.extend([1, 0]),
                        127 => input.extend(65_536_u64.to_be_bytes()),
                        _ => {}
                    }
                    let masked = second & 0x80 != 0;
                    if masked {
                        input.extend(KEY);
                    }
                    let control = first & 0x08 != 0;
                    // RFC 7692 §6.1 gives a meaning to RSV1 of the first frame of a message.
                    let rsv1 = extended && matches!(first & 0x7f, 0x41 | 0x42);
                    let expected = if first & 0x70 != 0 && !rsv1 {
                        Err(ProtocolError::ReservedBits { bits: first >> 4 & 7 })
                    } else if matches!(first & 0x0f, 3..=7 | 11..=15) {
                        Err(ProtocolError::ReservedOpcode { opcode: first & 0x0f })
                    } else if control && first & 0x80 == 0 {
                        Err(ProtocolError::FragmentedControl)
                    } else if masked != (receiver == Role::Server) {
                        Err(match receiver {
                            Role::Server => ProtocolError::UnmaskedFrame,
                            Role::Client => ProtocolError::MaskedFrame,
                        })
                    } else if control && second & 0x7f > 125 {
                        Err(ProtocolError::ControlTooLong)
                    } else {
                        let len = match second & 0x7f {
                            126 => 256,
                            127 => 65_536,
                            short => u64::from(short),
                        };
                        let header = FrameHeader {
                            fin: first & 0x80 != 0,
                            rsv1,
                            opcode: Opcode::from_bits(first & 0x0f).unwrap(),
                            mask: masked.then_some(KEY),
                            len,
                        };
                        Ok(Some((header, input.len())))
                    };
                    let decode = |input: &[u8]| FrameHeader::decode_extended(input, receiver, extended);
                    assert_eq!(decode(&input), expected, "{input:x?}");
                    if !extended {
                        assert_eq!(FrameHeader::decode(&input, receiver), expected, "{input:x?}");
                    }
                    if let Ok(Some((header, _))) = expected {
                        assert_eq!(header.encode().as_bytes(), input);
                        for cut in 0..input.len() {
                            let partial = decode(&input[..cut]);
                            assert_eq!(partial, Ok(None), "{input:x?} cut at {cut}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_length_near_a_border_survives_the_round_trip() {
        let borders = [0, 125, 126, 127, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1 << 62];
        let lens = borders
            .iter()
            .flat_map(|&len: &u64| [len.saturating_sub(1), len, len + 1])
            .chain([(1 << 63) - 1]);
        for len in lens {
            for (mask, receiver) in [(Some(KEY), Role::Server), (None, Role::Client)] {
                for opcode in [Opcode::Continuation, Opcode::Text, Opcode::Binary] {
                    let header = FrameHeader { fin: false, rsv1: false, opcode, mask, len };
                    let bytes = header.encode();
                    let used = bytes.as_bytes().len();
                    let decoded = FrameHeader::decode(bytes.as_bytes(), receiver);
                    assert_eq!(decoded, Ok(Some((header, used))));
                }
            }
        }
    }

    #[test]
    fn every_two_byte_length_is_minimal_or_refused() {
        for len in 0..=u16::MAX {
            let [high, low] = len.to_be_bytes();
            let decoded = FrameHeader::decode(&[0x82, 126, high, low], Role::Client);
            if len < 126 {
                let len = u64::from(len);
                assert_eq!(decoded, Err(ProtocolError::NonMinimalLength { len }));
            } else {
                assert_eq!(decoded.unwrap().unwrap().0.len, u64::from(len));
            }
        }
        let mut long = vec![0x82, 127];
        long.extend(65_535_u64.to_be_bytes());
        let refused = FrameHeader::decode(&long, Role::Client);
        assert_eq!(refused, Err(ProtocolError::NonMinimalLength { len: 65_535 }));
        long.truncate(2);
        long.extend((1_u64 << 63).to_be_bytes());
        let refused = FrameHeader::decode(&long, Role::Client);
        assert_eq!(refused, Err(ProtocolError::LengthOverflow));
    }
}
