//! sockudo-ws: `FrameParser` for frames, `Protocol` for messages, `WebSocketStream` for both ways.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use futures_util::Stream;
use sockudo_ws::deflate::DeflateConfig;
use sockudo_ws::frame::{FrameParser, encode_frame, encode_frame_header};
use sockudo_ws::mask::{apply_mask, generate_mask};
use sockudo_ws::protocol::{CompressedProtocol, Protocol};
use sockudo_ws::utf8::validate_utf8;
use sockudo_ws::{CompressedWebSocketStream, Config, Frame, Message, OpCode, Role, WebSocketStream};

use super::{LIMIT, Made, OUTPUT};
use crate::memory::{Memory, Source};
use crate::subject::{Look, Pass};
use crate::wire::{READ, Wire};

/// The parser leaves texts unchecked; `Protocol` checks them with this.
#[inline]
fn check(frame: &Frame, text: bool) {
    if text {
        assert!(validate_utf8(&frame.payload), "the wire is valid");
    }
}

/// Frames, owned; their payloads share the buffer into which the wire is copied.
pub(crate) struct ParserCopied {
    parser: FrameParser,
    buffer: BytesMut,
    source: Source,
    frames: usize,
    text: bool,
}

impl ParserCopied {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self {
            parser: FrameParser::new(LIMIT, true),
            buffer: BytesMut::with_capacity(READ),
            source: Source::new(&wire.bytes),
            frames: wire.payloads.len(),
            text: wire.text,
        }
    }
}

impl Pass for ParserCopied {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut seen = 0;
        loop {
            while let Some(frame) = self.parser.parse(&mut self.buffer).expect("the wire is valid") {
                check(&frame, self.text);
                look.look(&frame.payload);
                seen += 1;
                if seen == self.frames {
                    return seen;
                }
            }
            self.source.read_buf(&mut self.buffer);
        }
    }
}

/// Messages, owned, in a list that is reused.
pub(crate) struct ProtocolCopied {
    protocol: Protocol,
    messages: Vec<Message>,
    buffer: BytesMut,
    source: Source,
    frames: usize,
}

impl ProtocolCopied {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self {
            protocol: Protocol::new(Role::Server, LIMIT, LIMIT),
            messages: Vec::new(),
            buffer: BytesMut::with_capacity(READ),
            source: Source::new(&wire.bytes),
            frames: wire.payloads.len(),
        }
    }
}

impl Pass for ProtocolCopied {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut seen = 0;
        // It gives all messages of a read at once, so a pass may see a few more than it needs.
        while seen < self.frames {
            self.source.read_buf(&mut self.buffer);
            let result = self.protocol.process_into(&mut self.buffer, &mut self.messages);
            result.expect("the wire is valid");
            self.messages.iter().for_each(|message| look.look(message.as_bytes()));
            seen += self.messages.len();
            // So that the buffer is its own again before the next read.
            self.messages.clear();
        }
        seen
    }
}

/// Frames of bytes that lie in the caller's buffer already.
pub(crate) struct ParserInPlace {
    parser: FrameParser,
    buffer: BytesMut,
    wire: Wire,
}

impl ParserInPlace {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self { parser: FrameParser::new(LIMIT, true), buffer: BytesMut::new(), wire: wire.clone() }
    }
}

impl Pass for ParserInPlace {
    const REFRESHED: bool = true;

    fn refresh(&mut self) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.wire.bytes);
    }

    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut seen = 0;
        while let Some(frame) = self.parser.parse(&mut self.buffer).expect("the wire is valid") {
            check(&frame, self.wire.text);
            look.look(&frame.payload);
            seen += 1;
        }
        seen
    }
}

/// The same with `Protocol`.
pub(crate) struct ProtocolInPlace {
    protocol: Protocol,
    messages: Vec<Message>,
    buffer: BytesMut,
    wire: Wire,
}

impl ProtocolInPlace {
    pub(crate) fn new(wire: &Wire) -> Self {
        let protocol = Protocol::new(Role::Server, LIMIT, LIMIT);
        Self { protocol, messages: Vec::new(), buffer: BytesMut::new(), wire: wire.clone() }
    }
}

impl Pass for ProtocolInPlace {
    const REFRESHED: bool = true;

    fn refresh(&mut self) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.wire.bytes);
    }

    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let result = self.protocol.process_into(&mut self.buffer, &mut self.messages);
        result.expect("the wire is valid");
        self.messages.iter().for_each(|message| look.look(message.as_bytes()));
        let seen = self.messages.len();
        self.messages.clear();
        seen
    }
}

/// A stream's settings. Without its timers, for which it would read a clock at each message.
pub(crate) fn config() -> Config {
    Config::builder().auto_ping(false).idle_timeout(0).max_frame_size(LIMIT).max_message_size(LIMIT).build()
}

/// Messages, owned; their payloads share the read buffer.
pub(crate) struct Whole {
    stream: WebSocketStream<Memory>,
    frames: usize,
}

impl Whole {
    pub(crate) fn new(wire: &Wire) -> Self {
        let stream = WebSocketStream::server(Memory::new(&wire.bytes), config());
        Self { stream, frames: wire.payloads.len() }
    }
}

impl Pass for Whole {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..self.frames {
            let Poll::Ready(Some(message)) = Pin::new(&mut self.stream).poll_next(&mut context) else {
                panic!("a wire without end has ended");
            };
            look.look(message.expect("the wire is valid").as_bytes());
        }
        self.frames
    }
}

/// Level 6 and the largest windows, which are kept, are its defaults.
fn deflate() -> DeflateConfig {
    DeflateConfig { compression_threshold: 0, ..DeflateConfig::default() }
}

/// Messages that are compressed, owned, each in memory of its own.
pub(crate) struct Inflating {
    stream: CompressedWebSocketStream<Memory>,
    frames: usize,
}

impl Inflating {
    pub(crate) fn new(wire: &Wire) -> Self {
        let stream = CompressedWebSocketStream::server(Memory::new(&wire.bytes), config(), deflate());
        Self { stream, frames: wire.payloads.len() }
    }
}

impl Pass for Inflating {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..self.frames {
            let Poll::Ready(Some(message)) = Pin::new(&mut self.stream).poll_next(&mut context) else {
                panic!("a wire without end has ended");
            };
            look.look(message.expect("the wire is valid").as_bytes());
        }
        self.frames
    }
}

/// The same in a list that is reused.
pub(crate) struct ProtocolInflating {
    protocol: CompressedProtocol,
    messages: Vec<Message>,
    buffer: BytesMut,
    source: Source,
    frames: usize,
}

impl ProtocolInflating {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self {
            protocol: CompressedProtocol::server(LIMIT, LIMIT, deflate()),
            messages: Vec::new(),
            buffer: BytesMut::with_capacity(READ),
            source: Source::new(&wire.bytes),
            frames: wire.payloads.len(),
        }
    }
}

impl Pass for ProtocolInflating {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut seen = 0;
        // As in `ProtocolCopied`.
        while seen < self.frames {
            self.source.read_buf(&mut self.buffer);
            let result = self.protocol.process_into(&mut self.buffer, &mut self.messages);
            result.expect("the wire is valid");
            self.messages.iter().for_each(|message| look.look(message.as_bytes()));
            seen += self.messages.len();
            self.messages.clear();
        }
        seen
    }
}

/// Compressed frames of messages that are kept, as shared bytes, appended to a buffer.
pub(crate) struct Deflating {
    protocol: CompressedProtocol,
    messages: Vec<Message>,
    out: BytesMut,
}

impl Deflating {
    pub(crate) fn new(role: tidegate::proto::ws::Role, made: Made) -> Self {
        let protocol = match role {
            tidegate::proto::ws::Role::Client => CompressedProtocol::client(LIMIT, LIMIT, deflate()),
            tidegate::proto::ws::Role::Server => CompressedProtocol::server(LIMIT, LIMIT, deflate()),
        };
        let messages = made.payloads.into_iter().map(Message::binary).collect();
        Self { protocol, messages, out: BytesMut::new() }
    }
}

impl Pass for Deflating {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        for message in &self.messages {
            self.protocol.encode_message(message, &mut self.out).expect("nothing is refused");
            if self.out.len() >= OUTPUT {
                look.look(&self.out);
                self.out.clear();
            }
        }
        look.look(&self.out);
        self.out.clear();
        self.messages.len()
    }
}

/// Frames of payloads that are kept, appended to a buffer. `Protocol::encode_message` does the
/// same behind a `match`.
pub(crate) struct Kept {
    made: Made,
    out: BytesMut,
}

impl Kept {
    pub(crate) fn new(made: Made) -> Self {
        Self { made, out: BytesMut::new() }
    }
}

impl Pass for Kept {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let times = self.made.times::<L>();
        for _ in 0..times {
            for payload in &self.made.payloads {
                encode_frame(&mut self.out, OpCode::Binary, payload, true, Some(generate_mask()));
                if self.out.len() >= OUTPUT {
                    look.look(&self.out);
                    self.out.clear();
                }
            }
        }
        look.look(&self.out);
        self.out.clear();
        times * self.made.payloads.len()
    }
}

/// Frames whose payloads are masked where they lie; the header apart.
pub(crate) struct InPlace {
    made: Made,
    header: BytesMut,
}

impl InPlace {
    pub(crate) fn new(made: Made) -> Self {
        Self { made, header: BytesMut::new() }
    }
}

impl Pass for InPlace {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let times = self.made.times::<L>();
        for _ in 0..times {
            for payload in &mut self.made.payloads {
                let mask = generate_mask();
                self.header.clear();
                encode_frame_header(&mut self.header, OpCode::Binary, payload.len(), true, Some(mask));
                apply_mask(payload, mask);
                look.look(&self.header);
                look.look(payload);
            }
        }
        times * self.made.payloads.len()
    }
}
