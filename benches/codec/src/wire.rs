//! Payloads, the frames that carry them, and the reading of frames by the book.
//!
//! Not here: any of the libraries. What they make and find is compared with what stands here.

use std::rc::Rc;

use flate2::{Decompress, FlushDecompress, Status};

use crate::records;

/// Payload sizes of the cells, in bytes.
pub(crate) const SIZES: [usize; 6] = [16, 125, 1 << 10, 16 << 10, 64 << 10, 1 << 20];

/// Most bytes of one read, as a transport over TCP makes them.
pub(crate) const READ: usize = 64 << 10;

/// What a payload consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Random bytes, in binary frames.
    Binary,
    /// English, in text frames.
    Ascii,
    /// Several scripts and symbols, characters of one to four bytes, in text frames.
    Mixed,
    /// Records of a chat as JSON, no two alike, in text frames: what deflate makes a third or a quarter of.
    Records,
    /// [`Content::Records`] in binary frames.
    BinaryRecords,
}

impl Content {
    const fn is_text(self) -> bool {
        matches!(self, Self::Ascii | Self::Mixed | Self::Records)
    }
}

/// Frames of one size, with their payloads.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    /// What the frames carry, in order.
    pub(crate) payloads: Vec<Vec<u8>>,
    /// The frames of a client, each with a key of its own.
    pub(crate) bytes: Rc<[u8]>,
    /// Whether the frames are text frames.
    pub(crate) text: bool,
}

impl Wire {
    /// A wire of about 256 KiB, which lies in the second cache, as what a kernel has just copied
    /// does; at least four frames, and never so many that the keys repeat.
    pub(crate) fn new(content: Content, size: usize) -> Self {
        let frames = ((256 << 10) / size).clamp(4, 16 << 10);
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ size as u64);
        let text = content.is_text();
        let payloads: Vec<_> = (0..frames).map(|_| payload(content, size, &mut random)).collect();
        let mut bytes = Vec::new();
        for payload in &payloads {
            let [a, b, c, d, ..] = random.next().to_ne_bytes();
            push_frame(&mut bytes, text, payload, Some([a, b, c, d]));
        }
        Self { payloads, bytes: bytes.into(), text }
    }

    /// The same in memory of its own.
    pub(crate) fn moved(&self) -> Self {
        Self { bytes: self.bytes.to_vec().into(), ..self.clone() }
    }
}

/// Appends one final frame.
pub(crate) fn push_frame(out: &mut Vec<u8>, text: bool, payload: &[u8], key: Option<[u8; 4]>) {
    out.push(if text { 0x81 } else { 0x82 });
    let masked = if key.is_some() { 0x80 } else { 0 };
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..=125), _) => out.push(masked | len),
        (_, Ok(len)) => {
            out.push(masked | 0x7e);
            out.extend(len.to_be_bytes());
        }
        _ => {
            out.push(masked | 0x7f);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    let key = key.inspect(|key| out.extend(key)).unwrap_or_default();
    out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Whether its payload was masked.
    pub(crate) masked: bool,
    /// Whether its payload is compressed: RFC 7692, section 6.
    pub(crate) compressed: bool,
    /// The payload, unmasked.
    pub(crate) payload: Vec<u8>,
}

/// The first frame of `bytes`, and what comes behind it. `None` if its end is missing.
///
/// # Panics
///
/// If it is anything but a final text or binary frame.
pub(crate) fn split_frame(bytes: &[u8]) -> Option<(Frame, &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    assert!(matches!(first & !0x40, 0x81 | 0x82), "first byte {first:#x} of a frame");
    let (len, rest) = match second & 0x7f {
        0x7e => {
            let (len, rest) = rest.split_first_chunk()?;
            (u64::from(u16::from_be_bytes(*len)), rest)
        }
        0x7f => {
            let (len, rest) = rest.split_first_chunk()?;
            (u64::from_be_bytes(*len), rest)
        }
        len => (u64::from(len), rest),
    };
    let masked = second & 0x80 != 0;
    let (key, rest) = if masked { rest.split_first_chunk::<4>()? } else { (&[0; 4], rest) };
    let (payload, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    let payload = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    Some((Frame { masked, compressed: first & 0x40 != 0, payload }, rest))
}

/// The payloads of all frames of `bytes`, inflated where they are compressed, one window for all of them.
///
/// # Panics
///
/// If a frame is masked other than as said, is no data frame, does not inflate, or is cut off.
pub(crate) fn payloads_of(mut bytes: &[u8], masked: bool) -> Vec<Vec<u8>> {
    let mut inflater = Decompress::new(false);
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = split_frame(bytes).expect("the last frame is whole");
        assert_eq!(frame.masked, masked, "whether a frame is masked");
        all.push(if frame.compressed { inflated(&mut inflater, frame.payload) } else { frame.payload });
        bytes = rest;
    }
    all
}

/// RFC 7692, section 7.2.2.
fn inflated(inflater: &mut Decompress, mut payload: Vec<u8>) -> Vec<u8> {
    payload.extend([0, 0, 0xff, 0xff]);
    let mut out = Vec::new();
    let mut rest = payload.as_slice();
    loop {
        out.reserve(64 << 10);
        let before = inflater.total_in();
        let status = inflater.decompress_vec(rest, &mut out, FlushDecompress::Sync);
        assert_ne!(status.expect("a frame inflates"), Status::StreamEnd, "nobody ends the stream");
        let taken = usize::try_from(inflater.total_in() - before).expect("no more than there was");
        rest = rest.get(taken..).unwrap_or_default();
        if rest.is_empty() && out.len() < out.capacity() {
            return out;
        }
    }
}

fn payload(content: Content, size: usize, random: &mut Random) -> Vec<u8> {
    let source = match content {
        Content::Binary => {
            let words = (0..size.div_ceil(8)).flat_map(|_| random.next().to_ne_bytes());
            return words.take(size).collect();
        }
        Content::Ascii => ASCII,
        Content::Mixed => MIXED,
        Content::Records | Content::BinaryRecords => return records::text(size, random),
    };
    let skipped = usize::try_from(random.next() % 64).expect("is below 64");
    let mut text = String::with_capacity(size);
    for character in source.chars().cycle().skip(skipped) {
        if text.len() + character.len_utf8() > size {
            break;
        }
        text.push(character);
    }
    // What no whole character fills.
    text.extend(std::iter::repeat_n(' ', size - text.len()));
    text.into_bytes()
}

/// xorshift64, for payloads that are the same in every run.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, which is small.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

const ASCII: &str = "{\"id\":48213,\"user\":\"ann\",\"text\":\"The tide turns at noon; the gate opens \
    half an hour before.\",\"at\":\"2025-03-01T12:00:00Z\",\"tags\":[\"harbour\",\"tide\"]} ";

/// Half of its bytes are ASCII, as in JSON whose strings are in other languages.
const MIXED: &str = "{\"id\":48213,\"user\":\"Åsa\",\"text\":\"Die Flut kommt zur Mittagsstunde, \
    das Tor öffnet früher. Прилив начинается в полдень.\",\"reply\":\"潮は正午に変わる。門は三十分前に\
    開く。 🌊⚓\",\"tags\":[\"λιμάνι\",\"marée\",\"潮\"]} ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_split_again() {
        for size in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![7; size];
            let mut bytes = Vec::new();
            push_frame(&mut bytes, false, &payload, Some([1, 2, 3, 4]));
            assert_eq!(payloads_of(&bytes, true), [payload]);
        }
    }

    #[test]
    fn texts_have_their_size_and_are_utf_8() {
        for size in SIZES {
            for content in [Content::Ascii, Content::Mixed, Content::Records] {
                let wire = Wire::new(content, size);
                assert!(wire.payloads.iter().all(|text| text.len() == size));
                let valid = wire.payloads.iter().all(|text| std::str::from_utf8(text).is_ok());
                assert!(valid, "{content:?} of {size} bytes");
            }
        }
    }
}
