//! A decoder of RFC 6455 as plain as it can be: it has all bytes before it, copies what it likes, and looks
//! at one rule after the other in the order in which the bytes show them.
//!
//! Not here: anything that makes a decoder fast or frugal.

use tidegate::proto::error::ProtocolError as E;
use tidegate::proto::ws::{CloseCode, CloseFrame, Limits, Message, Role};

/// A frame: whether it is final, whether RSV1 is set, its opcode, its payload without the mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) rsv1: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// What the frames mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Message(Message),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<CloseFrame>),
}

/// What is asked of the reference.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) receiver: Role,
    pub(crate) limits: Limits,
    /// permessage-deflate was agreed on. What is compressed is not looked into.
    pub(crate) allows_rsv1: bool,
    pub(crate) texts: Texts,
}

/// When a text is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Texts {
    /// Byte by byte, as they arrive.
    AtOnce,
    /// When their frame is complete.
    WithTheirFrame,
}

/// The unfinished message.
struct Open {
    is_text: bool,
    is_compressed: bool,
    len: u128,
    /// The bytes of a character of which the end has not come.
    partial: Vec<u8>,
    fragments: u64,
}

/// All frames of `wire` up to its end, or up to the first fault.
pub(crate) fn frames(mut wire: &[u8], rules: &Rules) -> (Vec<Frame>, Result<(), E>) {
    let mut frames = Vec::new();
    let mut open = None;
    let mut controls = 0;
    loop {
        match frame(&mut wire, rules, &mut open, &mut controls) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, Ok(())),
            Err(error) => return (frames, Err(error)),
        }
    }
}

/// Removes one frame from the front of `wire`; `None` if its end is missing.
fn frame(
    wire: &mut &[u8],
    rules: &Rules,
    open: &mut Option<Open>,
    controls: &mut u64,
) -> Result<Option<Frame>, E> {
    let Rules { receiver, limits, allows_rsv1, texts } = rules;
    // Section 5.2, the first byte.
    let Some(&first) = wire.first() else { return Ok(None) };
    let (fin, bits, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 15);
    let is_control = opcode >= 8;
    // RFC 7692 section 6.1: RSV1 alone, on the first frame of a message.
    let rsv1 = *allows_rsv1 && bits == 4 && matches!(opcode, 1 | 2);
    match opcode {
        _ if bits != 0 && !rsv1 => return Err(E::ReservedBits { bits }),
        3..=7 | 11..=15 => return Err(E::ReservedOpcode { opcode }),
        8..=10 if !fin => return Err(E::FragmentedControl),
        // Section 5.4.
        0 if open.is_none() => return Err(E::UnexpectedContinuation),
        1 | 2 if open.is_some() => return Err(E::UnfinishedMessage),
        _ => {}
    }
    // The second byte: section 5.1, section 5.5.
    let Some(&second) = wire.get(1) else { return Ok(None) };
    let (is_masked, short) = (second & 0x80 != 0, second & 0x7f);
    match receiver {
        Role::Server if !is_masked => return Err(E::UnmaskedFrame),
        Role::Client if is_masked => return Err(E::MaskedFrame),
        _ if is_control && short > 125 => return Err(E::ControlTooLong),
        _ => {}
    }
    // The length, big-endian and in its shortest form.
    let (size, least) = match short {
        126 => (2, 126),
        127 => (8, 65_536),
        _ => (0, 0),
    };
    let Some(extended) = wire.get(2..2 + size) else { return Ok(None) };
    let len = match size {
        0 => u64::from(short),
        _ => extended.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
    };
    if len >= 1 << 63 {
        return Err(E::LengthOverflow);
    }
    if len < least {
        return Err(E::NonMinimalLength { len });
    }
    let start = 2 + size + if is_masked { 4 } else { 0 };
    let Some(key) = wire.get(2 + size..start) else { return Ok(None) };

    // The limits, before a byte of payload is wanted.
    if is_control {
        *controls += 1;
        match limits.max_control_frames {
            Some(limit) if *controls > limit => return Err(E::TooManyControlFrames { limit }),
            _ => {}
        }
    } else {
        let is_compressed = open.as_ref().map_or(rsv1, |message| message.is_compressed);
        // What does not compress becomes longer.
        let most = |limit: u64| {
            u128::from(limit) + if is_compressed { u128::from(limit / 8 + limit / 64 + 64) } else { 0 }
        };
        let limit = limits.max_frame_bytes;
        if u128::from(len) > most(limit) {
            return Err(E::FrameTooBig { len, limit });
        }
        let is_text = opcode == 1;
        let message =
            open.get_or_insert(Open { is_text, is_compressed, len: 0, partial: Vec::new(), fragments: 0 });
        let limit = limits.max_message_bytes;
        if u128::from(len) + message.len > most(limit) {
            return Err(E::MessageTooBig { limit });
        }
        message.fragments += 1;
        let limit = limits.max_fragments;
        if message.fragments > limit {
            return Err(E::TooManyFragments { limit });
        }
    }
    // What no allocation can hold is too big whatever the limits say.
    let limit = isize::MAX as u64;
    if len > limit {
        return Err(E::FrameTooBig { len, limit });
    }
    let len = usize::try_from(len).expect("it is below the largest allocation");

    // The payload, as much of it as is there. Section 5.3.
    let there = &wire[start..wire.len().min(start.saturating_add(len))];
    let unmask = |(at, byte): (usize, &u8)| byte ^ if key.is_empty() { 0 } else { key[at % 4] };
    let payload: Vec<u8> = there.iter().enumerate().map(unmask).collect();
    let is_whole = payload.len() == len;
    if let (false, Some(message)) = (is_control, &mut *open) {
        // Section 8.1.
        if message.is_text && !message.is_compressed && (is_whole || *texts == Texts::AtOnce) {
            let text = [message.partial.as_slice(), &payload].concat();
            let whole_characters = match std::str::from_utf8(&text) {
                Ok(_) => text.len(),
                Err(error) if error.error_len().is_none() && !(fin && is_whole) => error.valid_up_to(),
                Err(_) => return Err(E::InvalidUtf8),
            };
            message.partial = text[whole_characters..].to_vec();
        }
        message.len += payload.len() as u128;
        if is_whole && fin {
            *open = None;
        }
    }
    if !is_whole {
        return Ok(None);
    }
    *wire = &wire[start + len..];
    Ok(Some(Frame { fin, rsv1, opcode, payload }))
}

/// The events that `frames` make up, and the fault at their end: that of a close frame's body, or `end`.
pub(crate) fn events(frames: &[Frame], end: Result<(), E>) -> (Vec<Event>, Result<(), E>) {
    let mut events = Vec::new();
    let mut open: Option<(bool, Vec<u8>)> = None;
    for Frame { fin, opcode, payload, .. } in frames {
        match opcode {
            8 => match close(payload) {
                Ok(close) => events.push(Event::Close(close)),
                Err(error) => return (events, Err(error)),
            },
            9 => events.push(Event::Ping(payload.clone())),
            10 => events.push(Event::Pong(payload.clone())),
            _ => {
                let (is_text, mut content) = open.take().unwrap_or((*opcode == 1, Vec::new()));
                content.extend_from_slice(payload);
                if !fin {
                    open = Some((is_text, content));
                } else if is_text {
                    let text = String::from_utf8(content).expect("the frames were checked");
                    events.push(Event::Message(Message::Text(text)));
                } else {
                    events.push(Event::Message(Message::Binary(content)));
                }
            }
        }
    }
    (events, end)
}

/// Section 5.5.1, and section 7.4 with what IANA has registered since.
fn close(body: &[u8]) -> Result<Option<CloseFrame>, E> {
    let [high, low, reason @ ..] = body else {
        return if body.is_empty() { Ok(None) } else { Err(E::TruncatedCloseCode) };
    };
    let code = u16::from(*high) << 8 | u16::from(*low);
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        _ => return Err(E::InvalidCloseCode { code }),
    }
    let reason = std::str::from_utf8(reason).map_err(|_| E::InvalidCloseReason)?;
    Ok(Some(CloseFrame::new(CloseCode::new(code), reason).expect("it may be sent too")))
}
