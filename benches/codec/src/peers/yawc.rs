//! yawc: its public `codec` for frames, its `WebSocket` for messages.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use futures_util::Sink;
use tokio_util::codec::{Decoder as _, Encoder as _};
use yawc::codec::{Decoder, Encoder};
use yawc::{CompressionLevel, Frame, Options, Role, WebSocket};

use super::{LIMIT, Made, OUTPUT};
use crate::memory::{Memory, Source, Written};
use crate::subject::{Look, Pass};
use crate::wire::{READ, Wire};

/// The codec leaves texts unchecked; its `WebSocket` checks them with this.
#[inline]
fn check(frame: &Frame, text: bool) {
    if text {
        simdutf8::basic::from_utf8(frame.payload()).expect("the wire is valid");
    }
}

/// Frames, owned; their payloads share the buffer into which the wire is copied.
pub(crate) struct Copied {
    decoder: Decoder,
    buffer: BytesMut,
    source: Source,
    frames: usize,
    text: bool,
}

impl Copied {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self {
            decoder: Decoder::new(Role::Server, LIMIT),
            buffer: BytesMut::with_capacity(READ),
            source: Source::new(&wire.bytes),
            frames: wire.payloads.len(),
            text: wire.text,
        }
    }
}

impl Pass for Copied {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut seen = 0;
        loop {
            while let Some(frame) = self.decoder.decode(&mut self.buffer).expect("the wire is valid") {
                check(&frame, self.text);
                look.look(frame.payload());
                seen += 1;
                if seen == self.frames {
                    return seen;
                }
            }
            self.source.read_buf(&mut self.buffer);
        }
    }
}

/// Frames of bytes that lie in the caller's buffer already.
pub(crate) struct InPlace {
    decoder: Decoder,
    buffer: BytesMut,
    wire: Wire,
}

impl InPlace {
    pub(crate) fn new(wire: &Wire) -> Self {
        let decoder = Decoder::new(Role::Server, LIMIT);
        Self { decoder, buffer: BytesMut::new(), wire: wire.clone() }
    }
}

impl Pass for InPlace {
    const REFRESHED: bool = true;

    fn refresh(&mut self) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.wire.bytes);
    }

    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut seen = 0;
        while let Some(frame) = self.decoder.decode(&mut self.buffer).expect("the wire is valid") {
            check(&frame, self.wire.text);
            look.look(frame.payload());
            seen += 1;
        }
        seen
    }
}

/// As both sides have agreed on it: the largest windows, which are kept.
const EXTENSIONS: &str = "permessage-deflate";

fn options() -> Options {
    Options::default()
        .without_compression()
        .with_utf8()
        .with_limits(LIMIT, 2 * LIMIT)
        .with_read_buffer_capacity(READ)
        .with_write_buffer_capacity(OUTPUT)
        .with_backpressure_boundary(OUTPUT)
}

fn deflating() -> Options {
    options().with_compression_level(CompressionLevel::new(6)).with_compression_threshold(0)
}

/// Messages, owned; their payloads share the read buffer unless they are compressed.
pub(crate) struct Whole {
    socket: WebSocket<Memory>,
    frames: usize,
}

impl Whole {
    pub(crate) fn new(wire: &Wire) -> Self {
        let socket = WebSocket::from_stream(Memory::new(&wire.bytes), Role::Server, options());
        Self { socket: socket.expect("no extension is asked for"), frames: wire.payloads.len() }
    }

    /// A connection that has agreed on permessage-deflate.
    pub(crate) fn inflating(wire: &Wire) -> Self {
        let memory = Memory::new(&wire.bytes);
        let socket =
            WebSocket::from_stream_with_extensions(memory, Role::Server, Some(EXTENSIONS), deflating());
        Self { socket: socket.expect("the extension is known"), frames: wire.payloads.len() }
    }
}

impl Pass for Whole {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..self.frames {
            let Poll::Ready(frame) = self.socket.poll_next_frame(&mut context) else {
                panic!("a stream that is always ready was waited for");
            };
            look.look(frame.expect("the wire is valid").payload());
        }
        self.frames
    }
}

/// Frames of payloads that are kept, as shared bytes.
pub(crate) struct Kept {
    encoder: Encoder,
    payloads: Vec<Bytes>,
    made: Made,
    out: BytesMut,
}

impl Kept {
    pub(crate) fn new(made: Made) -> Self {
        let payloads = made.payloads.iter().cloned().map(Bytes::from).collect();
        Self { encoder: Encoder::new(Role::Client), payloads, made, out: BytesMut::new() }
    }
}

impl Pass for Kept {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let times = self.made.times::<L>();
        for _ in 0..times {
            for payload in &self.payloads {
                let frame = Frame::binary(payload.clone());
                self.encoder.encode(frame, &mut self.out).expect("nothing is refused");
                if self.out.len() >= OUTPUT {
                    look.look(&self.out);
                    self.out.clear();
                }
            }
        }
        look.look(&self.out);
        self.out.clear();
        times * self.payloads.len()
    }
}

/// Compressed messages, as shared bytes, out of a whole connection; the compressor alone is not public.
pub(crate) struct Deflating {
    socket: WebSocket<Memory>,
    written: Written,
    payloads: Vec<Bytes>,
}

impl Deflating {
    pub(crate) fn new(role: tidegate::proto::ws::Role, made: Made) -> Self {
        let memory = Memory::sink();
        let written = memory.written.clone();
        let role = match role {
            tidegate::proto::ws::Role::Client => Role::Client,
            tidegate::proto::ws::Role::Server => Role::Server,
        };
        let socket = WebSocket::from_stream_with_extensions(memory, role, Some(EXTENSIONS), deflating());
        let payloads = made.payloads.into_iter().map(Bytes::from).collect();
        Self { socket: socket.expect("the extension is known"), written, payloads }
    }
}

impl Pass for Deflating {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        if L::KEEPS {
            self.written.keep();
        }
        let mut socket = Pin::new(&mut self.socket);
        for payload in &self.payloads {
            let ready = socket.as_mut().poll_ready(&mut context);
            assert!(matches!(ready, Poll::Ready(Ok(()))), "a sink takes everything");
            socket.as_mut().start_send(Frame::binary(payload.clone())).expect("a sink takes everything");
        }
        let flushed = socket.poll_flush(&mut context);
        assert!(matches!(flushed, Poll::Ready(Ok(()))), "a sink takes everything");
        if L::KEEPS {
            look.look(&self.written.take());
        }
        self.payloads.len()
    }
}
