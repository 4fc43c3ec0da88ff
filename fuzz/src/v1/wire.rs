//! Records, written and read by hand: this reader knows PROTOCOL.md and nothing of the one under test.

pub(crate) const HELLO: u8 = 0x01;
pub(crate) const WELCOME: u8 = 0x02;
pub(crate) const RESUME: u8 = 0x03;
pub(crate) const RESUMED: u8 = 0x04;
pub(crate) const REFUSED: u8 = 0x05;
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

/// All types that mean something, in the order of their table.
pub(crate) const KNOWN: [u8; 20] = [
    HELLO, WELCOME, RESUME, RESUMED, REFUSED, ACK, PING, PONG, GOAWAY, ERROR, CREDIT, CHAN_LIMIT, OPEN,
    ACCEPT, RESET, CLOSE, DATA, PAD, BLOCKED, PRIORITY,
];

/// That what was read is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl<'a> Body<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn take(&mut self, count: u64) -> Result<&'a [u8], Malformed> {
        let left = self.0.len() as u64;
        if count > left {
            return Err(Malformed);
        }
        let (taken, rest) = self.0.split_at(usize::try_from(count).expect("no more than there are"));
        self.0 = rest;
        Ok(taken)
    }

    /// As section 4.2 has it.
    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let first = *self.0.first().ok_or(Malformed)?;
        let size = 1_u64 << (first >> 6);
        let bytes = self.take(size)?;
        let value =
            bytes.iter().skip(1).fold(u64::from(first & 0x3f), |value, byte| value * 256 + u64::from(*byte));
        let is_shortest = match size {
            1 => true,
            2 => value >= 1 << 6,
            4 => value >= 1 << 14,
            _ => value >= 1 << 30,
        };
        if is_shortest && value <= MOST { Ok(value) } else { Err(Malformed) }
    }

    pub(crate) fn numbers<const N: usize>(&mut self) -> Result<[u64; N], Malformed> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = self.number()?;
        }
        Ok(numbers)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    /// All was read.
    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// One record of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: u8,
    pub(crate) seq16: Option<u16>,
    pub(crate) body: &'a [u8],
    /// With its header.
    pub(crate) whole: &'a [u8],
}

/// Cuts the first record off a message that is not empty: step 4 of section 4.5.
pub(crate) fn record<'a>(message: &mut &'a [u8]) -> Result<Record<'a>, Malformed> {
    let all = *message;
    let mut left = Body(all);
    let kind = left.byte()?;
    let len = left.number()?;
    let seq16 = if kind & 0x40 == 0 {
        None
    } else {
        let seq16 = left.take(2)?;
        Some(u16::from_be_bytes([seq16[0], seq16[1]]))
    };
    let body = left.take(len)?;
    *message = left.0;
    Ok(Record { kind, seq16, body, whole: &all[..all.len() - left.0.len()] })
}

pub(crate) fn put(out: &mut Vec<u8>, value: u64) {
    let value = value.min(MOST);
    let size = match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    };
    let at = out.len();
    out.extend_from_slice(&value.to_be_bytes()[8 - size..]);
    out[at] |= match size {
        1 => 0,
        2 => 0x40,
        4 => 0x80,
        _ => 0xc0,
    };
}

pub(crate) fn numbers(values: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        put(&mut out, *value);
    }
    out
}

/// Appends a record; `number` is its own if it is sequenced.
pub(crate) fn put_record(out: &mut Vec<u8>, kind: u8, number: u64, body: &[u8]) {
    out.push(kind);
    put(out, body.len() as u64);
    if kind & 0x40 != 0 {
        out.extend_from_slice(&seq16(number).to_be_bytes());
    }
    out.extend_from_slice(body);
}

/// A number as it is on the wire.
pub(crate) fn seq16(number: u64) -> u16 {
    u16::try_from(number % 65_536).expect("it is the remainder")
}
