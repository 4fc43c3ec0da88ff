//! The client of all echo servers: bytes prepared beforehand, and the comparing of what comes back.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::sync_channel;
use std::thread;

use crate::wire::split_frame;

/// Pieces that are under way at once when pipelined.
const IN_FLIGHT: usize = 4;

/// What is sent, and what has to come back.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// What one write sends: whole frames, all of `payloads` together.
    pub(crate) pieces: Vec<Vec<u8>>,
    /// The frames of each piece.
    pub(crate) frames_at_once: usize,
    /// The payloads of those frames, in order.
    pub(crate) payloads: Vec<Vec<u8>>,
    /// How many messages are sent; a multiple of `frames_at_once`.
    pub(crate) messages: usize,
    /// Whether further pieces are sent before one is answered.
    pub(crate) pipelined: bool,
}

/// Sends all of `load`, compares all that comes back, and ends the connection.
///
/// `greeted` says that the server sends the head of a response first.
///
/// # Panics
///
/// If something else comes back.
pub(crate) fn run(address: SocketAddr, load: &Load, greeted: bool) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answers = Answers { stream: stream.try_clone()?, bytes: Vec::new(), used: 0 };
    if greeted {
        answers.skip_head()?;
    }
    let pieces = load.pieces.iter().cycle().take(load.messages / load.frames_at_once);
    let mut payloads = load.payloads.iter().cycle();
    if load.pipelined {
        let (sent, under_way) = sync_channel(IN_FLIGHT);
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                for frames in under_way {
                    for payload in payloads.by_ref().take(frames) {
                        answers.expect(payload)?;
                    }
                }
                Ok::<_, io::Error>(())
            });
            for piece in pieces {
                if sent.send(load.frames_at_once).is_err() {
                    break;
                }
                stream.write_all(piece)?;
            }
            drop(sent);
            reader.join().expect("what comes back is right")
        })?;
    } else {
        for piece in pieces {
            stream.write_all(piece)?;
            for payload in payloads.by_ref().take(load.frames_at_once) {
                answers.expect(payload)?;
            }
        }
    }
    stream.shutdown(Shutdown::Both)
}

/// What has come back.
struct Answers {
    stream: TcpStream,
    bytes: Vec<u8>,
    /// Bytes of the front that were looked at. Invariant: `used <= bytes.len()`.
    used: usize,
}

impl Answers {
    fn read(&mut self) -> io::Result<()> {
        self.bytes.drain(..self.used);
        self.used = 0;
        let before = self.bytes.len();
        self.bytes.resize(before + (256 << 10), 0);
        let n = self.stream.read(self.bytes.get_mut(before..).unwrap_or_default())?;
        self.bytes.truncate(before + n);
        if n == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn skip_head(&mut self) -> io::Result<()> {
        loop {
            let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                self.used = end + 4;
                return Ok(());
            }
            self.read()?;
        }
    }

    fn expect(&mut self, payload: &[u8]) -> io::Result<()> {
        loop {
            let bytes = self.bytes.get(self.used..).unwrap_or_default();
            if let Some((frame, rest)) = split_frame(bytes) {
                let plain = !frame.masked && !frame.compressed;
                assert!(plain && frame.payload == payload, "another message came back");
                self.used = self.bytes.len() - rest.len();
                return Ok(());
            }
            self.read()?;
        }
    }
}
