//! tidegate: `Decoder`, `Encoder` and `Connection`.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use tidegate::proto::ws::{
    ClientHandshake, ClientRequest, Connection, Decoder, Deflate, DeflateOptions, Encoder, Event, HeadLimits,
    Limits, MessageKind, Role, ServerHandshake, no_key,
};

use super::{Made, OUTPUT};
use crate::memory::Source;
use crate::subject::{Look, Pass};
use crate::wire::Wire;

/// Frames, lent from the decoder's buffer, into which the transport reads.
pub(crate) struct Copied {
    decoder: Decoder,
    source: Source,
    frames: usize,
}

impl Copied {
    pub(crate) fn new(wire: &Wire) -> Self {
        let decoder = Decoder::new(Role::Server, Limits::default());
        Self { decoder, source: Source::new(&wire.bytes), frames: wire.payloads.len() }
    }
}

impl Pass for Copied {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut seen = 0;
        loop {
            while let Some(frame) = self.decoder.poll_frame().expect("the wire is valid") {
                look.look(self.decoder.payload(&frame));
                seen += 1;
                if seen == self.frames {
                    return seen;
                }
            }
            let n = self.source.read_into(self.decoder.spare());
            self.decoder.filled(n);
        }
    }
}

/// Frames of bytes that lie in the caller's buffer already.
pub(crate) struct Lent {
    decoder: Decoder,
    buffer: Vec<u8>,
    wire: Wire,
}

impl Lent {
    pub(crate) fn new(wire: &Wire) -> Self {
        let decoder = Decoder::new(Role::Server, Limits::default());
        Self { decoder, buffer: Vec::new(), wire: wire.clone() }
    }
}

impl Pass for Lent {
    const REFRESHED: bool = true;

    fn refresh(&mut self) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&self.wire.bytes);
    }

    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut seen = 0;
        let mut rest = self.buffer.as_mut_slice();
        while let Some((frame, taken)) = self.decoder.decode_in_place(rest).expect("the wire is valid") {
            look.look(frame.payload);
            seen += 1;
            rest = rest.get_mut(taken..).unwrap_or_default();
        }
        seen
    }
}

/// permessage-deflate as the cells have it: level 6, the largest windows, which are kept, and no message
/// too short.
fn deflate() -> Deflate {
    let mut options = DeflateOptions::default();
    options.min_bytes = 0;
    let mut request = ClientRequest::new("localhost", "/").expect("both are valid");
    request.deflate(options);
    let client = ClientHandshake::new(request, [7; 16], HeadLimits::default());
    let mut server = ServerHandshake::new(HeadLimits::default());
    let request = server.receive(client.request()).expect("the request is valid").expect("it is whole");
    let (_, agreed) = request.accept_with_deflate(None, &options).expect("no subprotocol is chosen");
    agreed.expect("it was offered")
}

/// `wire` with its payloads compressed, as a client sends them.
///
/// It can be read round and round as others can: what its first message refers to lies in itself.
pub(crate) fn deflated(wire: Wire) -> Wire {
    let mut encoder = Encoder::with_deflate(Role::Client, &deflate());
    let mut keys = Keys::new();
    let kind = if wire.text { MessageKind::Text } else { MessageKind::Binary };
    let mut bytes = Vec::new();
    for payload in &wire.payloads {
        encoder.message(kind, payload, true, || keys.next(), &mut bytes).expect("no message is open");
    }
    Wire { bytes: bytes.into(), ..wire }
}

/// Owned messages out of a whole connection, driven as a transport drives it.
pub(crate) struct Whole {
    connection: Connection,
    source: Source,
    frames: usize,
}

impl Whole {
    pub(crate) fn new(wire: &Wire) -> Self {
        Self::of(Connection::new(Role::Server, Limits::default()), wire)
    }

    /// A connection that has agreed on permessage-deflate.
    pub(crate) fn inflating(wire: &Wire) -> Self {
        Self::of(Connection::with_deflate(Role::Server, Limits::default(), Some(&deflate())), wire)
    }

    fn of(connection: Connection, wire: &Wire) -> Self {
        Self { connection, source: Source::new(&wire.bytes), frames: wire.payloads.len() }
    }
}

impl Pass for Whole {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let mut seen = 0;
        loop {
            while let Some(event) = self.connection.poll_event(no_key).expect("the wire is valid") {
                if let Event::Message(message) = event {
                    look.look(message.as_bytes());
                    seen += 1;
                }
                if seen == self.frames {
                    return seen;
                }
            }
            let n = self.source.read_into(self.connection.spare());
            self.connection.filled(n);
        }
    }
}

/// Where masking keys come from.
pub(crate) trait NextKey {
    fn next(&mut self) -> [u8; 4];
}

/// As two of the peers draw theirs: fast, and not what RFC 6455 section 10.3 asks for. Shown beside
/// [`Keys`] to tell the cost of keys from that of frames; it counts in no ratio.
pub(crate) struct Fastrand;

impl NextKey for Fastrand {
    #[inline]
    fn next(&mut self) -> [u8; 4] {
        fastrand::u32(..).to_ne_bytes()
    }
}

/// Masking keys as tidegate's native transport draws them.
pub(crate) struct Keys(ChaCha8Rng);

impl Keys {
    pub(crate) fn new() -> Self {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the operating system has random numbers");
        Self(ChaCha8Rng::from_seed(seed))
    }
}

impl NextKey for Keys {
    #[inline]
    fn next(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }
}

/// Frames of payloads that are kept, appended to a buffer.
pub(crate) struct Kept<K> {
    encoder: Encoder,
    keys: K,
    made: Made,
    out: Vec<u8>,
}

impl<K> Kept<K> {
    pub(crate) const fn new(keys: K, made: Made) -> Self {
        Self { encoder: Encoder::new(Role::Client), keys, made, out: Vec::new() }
    }

    /// Compressed, as the endpoint in this role sends them.
    pub(crate) fn deflating(role: Role, keys: K, made: Made) -> Self {
        Self { encoder: Encoder::with_deflate(role, &deflate()), keys, made, out: Vec::new() }
    }
}

impl<K: NextKey> Pass for Kept<K> {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let times = self.made.times::<L>();
        for _ in 0..times {
            for payload in &self.made.payloads {
                let next_key = || self.keys.next();
                self.encoder
                    .message(MessageKind::Binary, payload, true, next_key, &mut self.out)
                    .expect("no message is open");
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
pub(crate) struct InPlace<K> {
    encoder: Encoder,
    keys: K,
    made: Made,
}

impl<K> InPlace<K> {
    pub(crate) const fn new(keys: K, made: Made) -> Self {
        Self { encoder: Encoder::new(Role::Client), keys, made }
    }
}

impl<K: NextKey> Pass for InPlace<K> {
    fn pass<L: Look>(&mut self, look: &mut L) -> usize {
        let times = self.made.times::<L>();
        for _ in 0..times {
            for payload in &mut self.made.payloads {
                let next_key = || self.keys.next();
                let header = self
                    .encoder
                    .in_place(MessageKind::Binary, payload, true, next_key)
                    .expect("no message is open");
                look.look(header.encode().as_bytes());
                look.look(payload);
            }
        }
        times * self.made.payloads.len()
    }
}
