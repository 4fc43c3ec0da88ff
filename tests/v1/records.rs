//! Records, read by a second reader that knows no more than it needs, and panics at what is none.

pub(crate) const HELLO: u8 = 0x01;
pub(crate) const WELCOME: u8 = 0x02;
pub(crate) const RESUME: u8 = 0x03;
pub(crate) const RESUMED: u8 = 0x04;
pub(crate) const REFUSED: u8 = 0x05;
pub(crate) const ACK: u8 = 0x06;
pub(crate) const PING: u8 = 0x07;
pub(crate) const PONG: u8 = 0x08;
pub(crate) const GOAWAY: u8 = 0x09;
pub(crate) const CREDIT: u8 = 0x10;
pub(crate) const CHAN_LIMIT: u8 = 0x11;
pub(crate) const OPEN: u8 = 0x41;
pub(crate) const ACCEPT: u8 = 0x42;
pub(crate) const RESET: u8 = 0x43;
pub(crate) const CLOSE: u8 = 0x44;
pub(crate) const DATA: u8 = 0x45;

pub(crate) const FIRST: u8 = 0x01;
pub(crate) const LAST: u8 = 0x02;
pub(crate) const ABORT: u8 = 0x08;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen<'a> {
    pub(crate) kind: u8,
    pub(crate) seq16: Option<u16>,
    pub(crate) body: &'a [u8],
    /// With its header.
    pub(crate) whole: &'a [u8],
}

impl Seen<'_> {
    /// The first numbers of its body.
    pub(crate) fn numbers<const N: usize>(&self) -> [u64; N] {
        let mut at = 0;
        [(); N].map(|()| varint(self.body, &mut at))
    }
}

pub(crate) fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let first = bytes[*at];
    let len = 1_usize << (first >> 6);
    let mut value = u64::from(first & 0x3f);
    for byte in &bytes[*at + 1..*at + len] {
        value = value << 8 | u64::from(*byte);
    }
    *at += len;
    value
}

/// All records of a message.
pub(crate) fn records(message: &[u8]) -> Vec<Seen<'_>> {
    let (mut at, mut seen) = (0, Vec::new());
    while at < message.len() {
        let (from, kind) = (at, message[at]);
        at += 1;
        let len = usize::try_from(varint(message, &mut at)).unwrap();
        let seq16 = (kind & 0x40 != 0).then(|| {
            at += 2;
            u16::from_be_bytes([message[at - 2], message[at - 1]])
        });
        let body = &message[at..at + len];
        at += len;
        seen.push(Seen { kind, seq16, body, whole: &message[from..at] });
    }
    seen
}

/// Channel, flags and payload of DATA.
pub(crate) fn chunk<'a>(record: &Seen<'a>) -> (u64, u8, &'a [u8]) {
    let mut at = 0;
    let channel = varint(record.body, &mut at);
    let flags = record.body[at];
    at += 1;
    if flags & (FIRST | LAST) == FIRST {
        varint(record.body, &mut at);
    }
    (channel, flags, &record.body[at..])
}

/// Size of the item of which this is the first chunk, if it is told.
pub(crate) fn total(record: &Seen<'_>) -> Option<u64> {
    let (_, flags, payload) = chunk(record);
    if flags & LAST != 0 {
        return Some(payload.len() as u64);
    }
    let mut at = 0;
    varint(record.body, &mut at);
    at += 1;
    varint(record.body, &mut at).checked_sub(1)
}
