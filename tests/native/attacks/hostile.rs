//! A peer of `tidegate.v1` that says what it likes, record by record.
//!
//! Not here: how it is said.

pub(crate) const HELLO: u8 = 0x01;
pub(crate) const WELCOME: u8 = 0x02;
pub(crate) const ACK: u8 = 0x06;
pub(crate) const PING: u8 = 0x07;
pub(crate) const PONG: u8 = 0x08;
pub(crate) const GOAWAY: u8 = 0x09;
pub(crate) const ERROR: u8 = 0x0a;
pub(crate) const CREDIT: u8 = 0x10;
pub(crate) const CHAN_LIMIT: u8 = 0x11;
pub(crate) const OPEN: u8 = 0x41;
pub(crate) const ACCEPT: u8 = 0x42;
pub(crate) const RESET: u8 = 0x43;
pub(crate) const CLOSE: u8 = 0x44;
pub(crate) const DATA: u8 = 0x45;
pub(crate) const PAD: u8 = 0x80;
pub(crate) const BLOCKED: u8 = 0x91;
pub(crate) const PRIORITY: u8 = 0xc6;

pub(crate) const FIRST: u8 = 0x01;
pub(crate) const LAST: u8 = 0x02;
pub(crate) const TEXT: u8 = 0x04;
pub(crate) const ABORT: u8 = 0x08;
pub(crate) const ACK_NOW: u8 = 0x10;

/// The largest number of the wire.
pub(crate) const MOST: u64 = (1 << 53) - 1;

/// Numbers as they are on the wire.
pub(crate) fn varints(values: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for &value in values {
        match value {
            0..0x40 => out.push(u8::try_from(value).unwrap()),
            0x40..0x4000 => out.extend((u16::try_from(value).unwrap() | 0x4000).to_be_bytes()),
            0x4000..0x4000_0000 => out.extend((u32::try_from(value).unwrap() | 0x8000_0000).to_be_bytes()),
            _ => out.extend((value | 3 << 62).to_be_bytes()),
        }
    }
    out
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Text(&'static str),
    Bytes(Vec<u8>),
}

/// What a hostile peer is going to say.
pub(crate) struct Hostile {
    pub(crate) is_server: bool,
    pub(crate) messages: Vec<Said>,
    /// Of its next sequenced record.
    pub(crate) number: u16,
}

impl Hostile {
    pub(crate) fn new(is_server: bool) -> Self {
        Self { is_server, messages: Vec::new(), number: 1 }
    }

    /// HELLO or WELCOME, without settings and without a session that could be resumed.
    pub(crate) fn greeting(&self) -> Vec<u8> {
        if self.is_server { vec![WELCOME, 5, 1, 0, 0, 0, 0] } else { vec![HELLO, 3, 1, 1, 0] }
    }

    pub(crate) fn say(&mut self, message: &[u8]) {
        self.messages.push(Said::Bytes(message.to_vec()));
    }

    pub(crate) fn say_text(&mut self, text: &'static str) {
        self.messages.push(Said::Text(text));
    }

    pub(crate) fn record(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        let mut record = [&[kind][..], &varints(&[body.len() as u64])].concat();
        if kind & 0x40 != 0 {
            record.extend(self.number.to_be_bytes());
            self.number = self.number.wrapping_add(1);
        }
        record.extend(body);
        record
    }

    /// A message of one record.
    pub(crate) fn tell(&mut self, kind: u8, body: &[u8]) {
        let record = self.record(kind, body);
        self.say(&record);
    }

    /// The id of its channel `n`.
    pub(crate) fn id(&self, n: u64) -> u64 {
        2 * n + u64::from(self.is_server)
    }

    pub(crate) fn open(&mut self, n: u64, name: &str) {
        self.open_as(self.id(n), name);
    }

    pub(crate) fn open_as(&mut self, id: u64, name: &str) {
        let record = self.open_record(id, name);
        self.say(&record);
    }

    pub(crate) fn open_record(&mut self, id: u64, name: &str) -> Vec<u8> {
        let len = varints(&[name.len() as u64]);
        let body = [&varints(&[id])[..], &[0, 2], &len, name.as_bytes(), &[0]].concat();
        self.record(OPEN, &body)
    }

    pub(crate) fn data(&mut self, n: u64, flags: u8, payload: &[u8]) {
        let record = self.data_record(n, flags, payload);
        self.say(&record);
    }

    pub(crate) fn data_record(&mut self, n: u64, flags: u8, payload: &[u8]) -> Vec<u8> {
        let body = [&varints(&[self.id(n)])[..], &[flags], payload].concat();
        self.record(DATA, &body)
    }

    /// The first chunk of an item of which there are more, with the size that it is said to have.
    pub(crate) fn data_of(&mut self, n: u64, flags: u8, total: Option<u64>, payload: &[u8]) {
        let total = varints(&[total.map_or(0, |total| total + 1)]);
        let body = [&varints(&[self.id(n)])[..], &[flags], &total, payload].concat();
        self.tell(DATA, &body);
    }
}
