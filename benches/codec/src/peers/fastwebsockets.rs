//! fastwebsockets: `read_frame` over a stream in memory, and `Frame` for what is sent.

use fastwebsockets::{FragmentCollector, Frame, Payload, Role, WebSocket};

use super::{LIMIT, Made, OUTPUT};
use crate::memory::{Memory, now};
use crate::subject::{Look, Pass};
use crate::wire::Wire;

fn server(wire: &Wire) -> WebSocket<Memory> {
    let mut socket = WebSocket::after_handshake(Memory::new(&wire.bytes), Role::Server);
    socket.set_max_message_size(LIMIT);
    socket
}

/// Frames, owned; their payloads share the read buffer. Texts are checked by `read_frame`.
pub(crate) struct Frames {
    socket: WebSocket<Memory>,
    frames: usize,
}

impl Frames {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self { socket: server(wire), frames: wire.payloads.len() }
    }
}

impl Pass for Frames {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        now(async {
            for _ in 0..self.frames {
                look.look(&self.socket.read_frame().await.expect("the wire is valid").payload);
            }
        });
        self.frames
    }
}

/// Messages, owned: the same with fragments joined.
pub(crate) struct Whole {
    socket: FragmentCollector<Memory>,
    frames: usize,
}

impl Whole {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self { socket: FragmentCollector::new(server(wire)), frames: wire.payloads.len() }
    }
}

impl Pass for Whole {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        now(async {
            for _ in 0..self.frames {
                look.look(&self.socket.read_frame().await.expect("the wire is valid").payload);
            }
        });
        self.frames
    }
}

/// Masks `payload` with a new key and returns the header of its frame, with its length.
#[inline]
fn masked(payload: &mut [u8]) -> ([u8; 16], usize) {
    let mut frame = Frame::binary(Payload::BorrowedMut(payload));
    frame.mask();
    let mut head = [0; 16];
    let len = frame.fmt_head(&mut head);
    (head, len)
}

/// Frames of payloads that are kept.
///
/// `write_frame` masks in place or clones, then copies once more. Faster: the payload is copied
/// to where it will stand in the output, and masked there.
pub(crate) struct Kept {
    made: Made,
    out: Vec<u8>,
}

impl Kept {
    pub(crate) const fn new(made: Made) -> Self {
        Self { made, out: Vec::new() }
    }
}

impl Pass for Kept {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let times = self.made.times::<L>();
        for _ in 0..times {
            for payload in &self.made.payloads {
                let head_len = match payload.len() {
                    ..126 => 6,
                    126..65_536 => 8,
                    _ => 14,
                };
                let start = self.out.len();
                self.out.reserve(head_len + payload.len());
                self.out.extend_from_slice([0; 16].get(..head_len).unwrap_or_default());
                self.out.extend_from_slice(payload);
                let frame = self.out.get_mut(start..).unwrap_or_default();
                if let Some((place, payload)) = frame.split_at_mut_checked(head_len) {
                    let (head, len) = masked(payload);
                    place.copy_from_slice(head.get(..len).unwrap_or_default());
                }
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

/// Frames whose payloads are masked where they lie; the header apart, for a vectored write.
pub(crate) struct InPlace {
    made: Made,
}

impl InPlace {
    pub(crate) const fn new(made: Made) -> Self {
        Self { made }
    }
}

impl Pass for InPlace {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let times = self.made.times::<L>();
        for _ in 0..times {
            for payload in &mut self.made.payloads {
                let (head, len) = masked(payload);
                look.look(head.get(..len).unwrap_or_default());
                look.look(payload);
            }
        }
        times * self.made.payloads.len()
    }
}
