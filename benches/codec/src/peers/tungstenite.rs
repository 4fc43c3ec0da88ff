//! tungstenite: `WebSocket` over a stream in memory. Its frame codec alone does not unmask.

use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Bytes, Message, WebSocket};

use super::{LIMIT, Made, OUTPUT};
use crate::memory::Memory;
use crate::subject::{Look, Pass};
use crate::wire::{READ, Wire};

fn config() -> WebSocketConfig {
    // Its read buffer is zeroed before each read, so one that is larger than the reads costs more.
    WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(OUTPUT)
        .max_frame_size(Some(LIMIT))
        .max_message_size(Some(LIMIT))
}

/// Messages, owned; their payloads share the read buffer.
pub(crate) struct Whole {
    socket: WebSocket<Memory>,
    frames: usize,
}

impl Whole {
    pub(crate) fn new(wire: &Wire) -> Self {
        let socket = WebSocket::from_raw_socket(Memory::new(&wire.bytes), Role::Server, Some(config()));
        Self { socket, frames: wire.payloads.len() }
    }
}

impl Pass for Whole {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        for _ in 0..self.frames {
            match self.socket.read().expect("the wire is valid") {
                Message::Binary(bytes) => look.look(&bytes),
                Message::Text(text) => look.look(text.as_bytes()),
                other => panic!("{other} was not sent"),
            }
        }
        self.frames
    }
}

/// Messages of payloads that are kept, as shared bytes.
pub(crate) struct Kept {
    socket: WebSocket<Memory>,
    payloads: Vec<Bytes>,
    made: Made,
}

impl Kept {
    pub(crate) fn new(made: Made) -> Self {
        let socket = WebSocket::from_raw_socket(Memory::sink(), Role::Client, Some(config()));
        let payloads = made.payloads.iter().cloned().map(Bytes::from).collect();
        Self { socket, payloads, made }
    }
}

impl Pass for Kept {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let times = self.made.times::<L>();
        if L::KEEPS {
            self.socket.get_ref().written.keep();
        }
        for _ in 0..times {
            for payload in &self.payloads {
                self.socket.write(Message::Binary(payload.clone())).expect("a sink takes everything");
            }
        }
        self.socket.flush().expect("a sink takes everything");
        if L::KEEPS {
            look.look(&self.socket.get_ref().written.take());
        }
        times * self.payloads.len()
    }
}
