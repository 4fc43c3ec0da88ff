//! tokio-websockets: `WebSocketStream` over a stream in memory. Its codec is not public.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio_websockets::{ClientBuilder, Limits, Message, ServerBuilder, WebSocketStream};

use super::Made;
use crate::memory::Memory;
use crate::subject::{Look, Pass};
use crate::wire::Wire;

/// Messages, owned; their payloads share the read buffer.
pub(crate) struct Whole {
    stream: WebSocketStream<Memory>,
    frames: usize,
}

impl Whole {
    pub(crate) fn new(wire: &Wire) -> Self {
        let server = ServerBuilder::new().limits(Limits::unlimited());
        Self { stream: server.serve(Memory::new(&wire.bytes)), frames: wire.payloads.len() }
    }
}

impl Pass for Whole {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..self.frames {
            let Poll::Ready(Some(message)) = Pin::new(&mut self.stream).poll_next(&mut context) else {
                panic!("a wire without end has ended");
            };
            look.look(message.expect("the wire is valid").as_payload());
        }
        self.frames
    }
}

/// Sends one message and lets the stream write when it wants to.
fn feed(stream: &mut WebSocketStream<Memory>, context: &mut Context<'_>, message: Message) {
    let mut stream = Pin::new(stream);
    assert!(matches!(stream.as_mut().poll_ready(context), Poll::Ready(Ok(()))), "a sink takes everything");
    stream.start_send(message).expect("a sink takes everything");
}

fn flush(stream: &mut WebSocketStream<Memory>, context: &mut Context<'_>) {
    assert!(matches!(Pin::new(stream).poll_flush(context), Poll::Ready(Ok(()))), "a sink takes everything");
}

/// Messages of payloads that are kept, as shared bytes. It masks a copy.
pub(crate) struct Kept {
    stream: WebSocketStream<Memory>,
    payloads: Vec<Bytes>,
    made: Made,
}

impl Kept {
    pub(crate) fn new(made: Made) -> Self {
        let payloads = made.payloads.iter().cloned().map(Bytes::from).collect();
        Self { stream: ClientBuilder::new().take_over(Memory::sink()), payloads, made }
    }
}

impl Pass for Kept {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let times = self.made.times::<L>();
        let mut context = Context::from_waker(Waker::noop());
        if L::KEEPS {
            self.stream.get_ref().written.keep();
        }
        for _ in 0..times {
            for payload in &self.payloads {
                feed(&mut self.stream, &mut context, Message::binary(payload.clone()));
            }
        }
        flush(&mut self.stream, &mut context);
        if L::KEEPS {
            look.look(&self.stream.get_ref().written.take());
        }
        times * self.payloads.len()
    }
}

/// Messages of payloads that are given away, and masked where they lie.
///
/// They are made while the clock stands still; that they are freed is measured, as the library
/// does that and gives none back.
pub(crate) struct InPlace {
    stream: WebSocketStream<Memory>,
    made: Made,
    payloads: Vec<BytesMut>,
}

impl InPlace {
    pub(crate) fn new(made: Made) -> Self {
        Self { stream: ClientBuilder::new().take_over(Memory::sink()), made, payloads: Vec::new() }
    }
}

impl Pass for InPlace {
    const REFRESHED: bool = true;

    fn refresh(&mut self) {
        for _ in 0..self.made.times {
            self.payloads.extend(self.made.payloads.iter().map(|payload| BytesMut::from(payload.as_slice())));
        }
    }

    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        if L::KEEPS {
            self.stream.get_ref().written.keep();
        }
        let frames = self.payloads.len();
        for payload in self.payloads.drain(..) {
            feed(&mut self.stream, &mut context, Message::binary(payload));
        }
        flush(&mut self.stream, &mut context);
        if L::KEEPS {
            look.look(&self.stream.get_ref().written.take());
        }
        frames
    }
}
