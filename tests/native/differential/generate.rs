//! Streams of frames: valid ones, and valid ones that were damaged.

use tidegate::proto::ws::{Role, mask};

use super::{Item, MAX_FRAME, MAX_MESSAGE};

/// The generator of `java.util.SplittableRandom`.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// A text of `len` bytes or a few more.
    fn text(&mut self, len: usize) -> String {
        let mut text = String::new();
        while text.len() < len {
            text.push(['a', 'z', '\u{e9}', '\u{7ff}', '\u{2022}', '\u{ffff}', '\u{1f30a}'][self.below(7)]);
        }
        text
    }

    /// A length at or near a border, or any small one.
    fn len(&mut self) -> usize {
        match self.below(12) {
            0 => 0,
            1 => 125 + self.below(3),
            2 => 200 + self.below(600),
            _ => self.below(40),
        }
    }
}

/// Cuts `input` into random pieces.
pub(super) fn pieces<'a>(rng: &mut Rng, mut input: &'a [u8]) -> Vec<&'a [u8]> {
    let most = 1 + rng.below(input.len() + 1);
    let mut pieces = Vec::new();
    while !input.is_empty() {
        let (piece, rest) = input.split_at((1 + rng.below(most)).min(input.len()));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

/// Some messages and pings.
pub(super) fn messages(rng: &mut Rng) -> Vec<Item> {
    let item = |rng: &mut Rng| {
        let len = rng.len();
        match rng.below(3) {
            0 => Item::Text(rng.text(len)),
            1 => Item::Binary(rng.bytes(len)),
            _ => Item::Ping(rng.bytes(len.min(125))),
        }
    };
    (0..=rng.below(6)).map(|_| item(rng)).collect()
}

/// A frame with its header still in parts, so that one part can be wrong.
struct Frame {
    first: u8,
    is_masked: bool,
    /// How the length is written: as short as can be, in 2 bytes, or in 8.
    form: u8,
    len: u64,
    payload: Vec<u8>,
}

impl Frame {
    fn new(receiver: Role, first: u8, payload: Vec<u8>) -> Self {
        Self { first, is_masked: receiver == Role::Server, form: 0, len: payload.len() as u64, payload }
    }

    fn write(&self, rng: &mut Rng, out: &mut Vec<u8>) {
        out.push(self.first);
        let bit = if self.is_masked { 0x80 } else { 0 };
        match (self.form, u8::try_from(self.len), u16::try_from(self.len)) {
            (0, Ok(len @ 0..=125), _) => out.push(bit | len),
            (0 | 1, _, Ok(len)) => {
                out.push(bit | 0x7e);
                out.extend(len.to_be_bytes());
            }
            _ => {
                out.push(bit | 0x7f);
                out.extend(self.len.to_be_bytes());
            }
        }
        let start = out.len() + 4;
        if self.is_masked {
            let key: [u8; 4] = rng.bytes(4).try_into().unwrap();
            out.extend(key);
            out.extend_from_slice(&self.payload);
            mask(&mut out[start..], key, 0);
        } else {
            out.extend_from_slice(&self.payload);
        }
    }
}

/// What the peer of `receiver` may send; `damaged`, with something wrong in it, mostly.
pub(super) fn stream(rng: &mut Rng, receiver: Role, damaged: bool) -> Vec<u8> {
    let mut frames = Vec::new();
    for _ in 0..=rng.below(5) {
        message(rng, receiver, &mut frames);
    }
    if rng.once_in(3) {
        frames.push(Frame::new(receiver, 0x88, close_body(rng, damaged)));
        if rng.once_in(2) {
            message(rng, receiver, &mut frames);
        }
    }
    if damaged {
        for _ in 0..=rng.below(2) {
            damage_frame(rng, receiver, &mut frames);
        }
    }
    let mut bytes = Vec::new();
    for frame in &frames {
        frame.write(rng, &mut bytes);
    }
    if damaged && rng.once_in(4) && !bytes.is_empty() {
        let at = rng.below(bytes.len());
        match rng.below(3) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, rng.next().to_le_bytes()[0]),
        }
    }
    // The end may be missing.
    if rng.once_in(3) {
        bytes.truncate(rng.below(bytes.len() + 1));
    }
    bytes
}

/// Frames of one message, with control frames between them.
fn message(rng: &mut Rng, receiver: Role, frames: &mut Vec<Frame>) {
    let len = rng.len();
    let (opcode, mut rest) =
        if rng.once_in(2) { (1, rng.text(len).into_bytes()) } else { (2, rng.bytes(len)) };
    let mut first = opcode;
    loop {
        if rng.once_in(4) {
            let control = if rng.once_in(2) { 0x89 } else { 0x8a };
            let len = rng.len().min(125);
            frames.push(Frame::new(receiver, control, rng.bytes(len)));
        }
        let cut = if rng.once_in(2) { rest.len() } else { rng.below(rest.len() + 1) };
        let later = rest.split_off(cut);
        let fin = later.is_empty();
        frames.push(Frame::new(receiver, first | if fin { 0x80 } else { 0 }, rest));
        if fin {
            return;
        }
        (first, rest) = (0, later);
    }
}

fn close_body(rng: &mut Rng, damaged: bool) -> Vec<u8> {
    let valid =
        [1000_u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999];
    let invalid = [0_u16, 1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 2999, 5000, 65_535];
    let reason_len = rng.len().min(100);
    let mut reason = rng.text(reason_len).into_bytes();
    let mut code = valid[rng.below(valid.len())];
    if damaged {
        match rng.below(6) {
            0 | 1 => code = invalid[rng.below(invalid.len())],
            2 => reason.push(0xff),
            3 => {
                code = invalid[rng.below(invalid.len())];
                reason.push(0xff);
            }
            4 => return rng.bytes(1),
            _ => {}
        }
    } else if rng.once_in(4) {
        return Vec::new();
    }
    [&code.to_be_bytes()[..], &reason].concat()
}

/// Makes something of one frame wrong, or too large.
fn damage_frame(rng: &mut Rng, receiver: Role, frames: &mut Vec<Frame>) {
    let at = rng.below(frames.len());
    let frame = &mut frames[at];
    match rng.below(11) {
        0 => frame.first ^= 0x10 << rng.below(3),
        1 => frame.first = frame.first & 0xf0 | rng.next().to_le_bytes()[0] & 0x0f,
        2 => frame.first ^= 0x80,
        3 => frame.is_masked = !frame.is_masked,
        4 => frame.form = 1 + u8::from(rng.once_in(2)),
        5 => {
            // Text that is none, or a longer control frame.
            let bad = [&b"\x80"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"];
            frame.payload.extend_from_slice(bad[rng.below(bad.len())]);
            frame.len = frame.payload.len() as u64;
        }
        6 => {
            // A declared length, of which nothing more comes.
            let declared = [126, 1_000, 1_001, 70_000, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX];
            frame.len = declared[rng.below(declared.len())];
            frame.payload.truncate(20);
            frames.truncate(at + 1);
        }
        7 => {
            // At the limit of a frame, or just above.
            let len = usize::from(MAX_FRAME) + rng.below(2);
            frame.payload = vec![b'x'; len];
            frame.len = len as u64;
        }
        8 => {
            // At the limit of a message, or just above, in fragments.
            let mut left = usize::from(MAX_MESSAGE) + rng.below(2);
            let mut first = 1 + u8::from(rng.once_in(2));
            let mut all = Vec::new();
            while left > 0 {
                let len = left.min(usize::from(MAX_FRAME) - rng.below(300));
                left -= len;
                let fin = if left == 0 { 0x80 } else { 0 };
                all.push(Frame::new(receiver, first | fin, vec![b'y'; len]));
                first = 0;
            }
            frames.splice(at..at, all);
        }
        9 => drop(frames.remove(at)),
        _ => {
            let again = Frame { payload: frame.payload.clone(), ..*frame };
            frames.insert(at, again);
        }
    }
    if frames.is_empty() {
        message(rng, receiver, frames);
    }
}
