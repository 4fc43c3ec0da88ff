//! I10: whatever is written is read, and any bytes are records or one error.

use std::collections::BTreeSet;

use super::vectors::{decode_all, valid_messages};
use super::*;

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn size(&mut self, most: usize) -> usize {
        usize::try_from(self.below(most as u64 + 1)).unwrap()
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.size(from.len() - 1)]
    }

    /// Any number of the wire, each length as often as another.
    fn number(&mut self) -> u64 {
        let bits = self.pick(&[6, 14, 30, 53]);
        self.below(1 << bits)
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.size(most)).map(|_| self.byte()).collect()
    }

    fn text(&mut self, most: usize) -> String {
        let len = self.size(most);
        let mut text: String = (0..len).map(|_| self.pick(&['a', 'Z', ' ', '\0', 'é', '€', '𝄞'])).collect();
        while text.len() > most {
            text.pop();
        }
        text
    }
}

const KINDS: [u8; 24] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x10, 0x11, 0x41, 0x42, 0x43, 0x44, 0x45,
    0x80, 0x91, 0xc6, 0x9f, 0xff, 0x3e, 0x7e,
];

/// Settings that no receiver of them refuses: WELCOME's rule is the strictest.
fn some_settings(rng: &mut Rng) -> Vec<u8> {
    let mut settings = Settings::default();
    if rng.below(2) == 0 {
        settings.max_message_bytes = 65_535 + u32::from(rng.byte());
        settings.max_channels = 16 + u32::from(rng.byte());
        settings.max_ack_delay_ms = u32::from(rng.byte());
        settings.initial_window = 1 << 20;
    }
    let grease = (rng.below(2) == 0).then(|| rng.next());
    let mut out = Vec::new();
    settings.check().unwrap();
    settings.put(&mut out, grease);
    out
}

fn some_meta(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    if rng.below(2) == 0 {
        Meta::put_deadline_ms(&mut out, rng.number());
    }
    for key in [2, 3, 4 + rng.below(60), 64 + rng.below(varint::MAX - 64)] {
        match rng.below(2) {
            0 => Meta::put(&mut out, key, &rng.bytes(80)),
            _ => Meta::put(&mut out, key, rng.text(80).as_bytes()),
        }
        if key == 3 && Meta::new(&out).content_type().is_none() {
            // Bytes that are no text.
            out.clear();
        }
    }
    out
}

/// Everything that a record borrows.
struct Borrowed {
    settings: Vec<u8>,
    meta: Vec<u8>,
    text: String,
    bytes: Vec<u8>,
    name: String,
}

/// A record of type `kind`, anything within the documented ranges.
fn some_record<'a>(rng: &mut Rng, kind: u8, of: &'a Borrowed) -> Record<'a> {
    let token: &[u8] = &[5; TOKEN_BYTES];
    let reason = of.text.as_str();
    let tx_oldest = rng.number().max(1);
    let tx_next = tx_oldest.saturating_add(rng.number()).min(varint::MAX);
    let fatal = |rng: &mut Rng, least: u64| FatalCode::from_wire(least + rng.below(11 - least));
    let channel = rng.number();
    let prio = 1 + rng.byte() % 4;
    match kind {
        kind::HELLO => {
            let ver_min = rng.byte() % 2;
            let ver_max = rng.byte().max(1);
            match Record::hello(VERSION, rng.number(), &of.settings) {
                Record::Hello(hello) => Record::Hello(Hello { ver_min, ver_max, ..hello }),
                other => other,
            }
        }
        kind::WELCOME => {
            let ttl = rng.pick(&[0, 1, 120, 3_600]);
            let token = if ttl == 0 { &[] } else { token };
            let hint = rng.pick(&["", "n3", "A-Z.a_z~09"]);
            Record::welcome(VERSION, rng.number(), ttl, token, hint, &of.settings)
        }
        kind::RESUME => Record::resume(VERSION, token, rng.number(), tx_oldest, tx_next),
        kind::RESUMED => Record::resumed(rng.number(), rng.number(), tx_oldest, tx_next, &of.settings),
        kind::REFUSED => {
            let code = RefusedCode::from_wire(rng.pick(&[10, 16, 17, 18, 19, 20, 21]));
            Record::Refused { code, retry_after_ms: rng.number(), reason }
        }
        kind::ACK => Record::Ack { rx: rng.number(), delay_us: rng.number() },
        kind::PING => Record::Ping { t_us: rng.number() },
        kind::PONG => Record::Pong {
            t_us: rng.number(),
            hold_us: rng.number(),
            peer_t_us: rng.number(),
            rx: rng.number(),
        },
        kind::GOAWAY => Record::GoAway {
            channels: rng.number(),
            code: fatal(rng, 0),
            drain_ms: rng.number(),
            reconnect_after_ms: rng.number(),
            jitter_ms: rng.number(),
            reason,
        },
        kind::ERROR => Record::Error { code: fatal(rng, 1), record_type: rng.byte(), reason },
        kind::CREDIT => Record::Credit { channel, limit: rng.number() },
        kind::CHAN_LIMIT => Record::ChanLimit { count: rng.number() },
        kind::OPEN => {
            let (kind, name) = (rng.byte(), of.name.as_str());
            Record::Open(Open { channel, kind, prio, name, meta: Meta::new(&of.meta) })
        }
        kind::ACCEPT => Record::Accept { channel, limit: rng.number(), max_item_bytes: rng.number() },
        kind::RESET => {
            let code = ChannelCode::from_wire(32 + rng.below(10));
            Record::Reset { channel, dir: 1 + rng.byte() % 3, code, detail: &of.bytes }
        }
        kind::CLOSE => Record::Close { channel },
        kind::DATA => some_data(rng, channel, &of.bytes),
        kind::PAD => Record::Pad { body: &of.bytes },
        kind::BLOCKED => Record::Blocked { channel, limit: rng.number() },
        kind::PRIORITY => Record::Priority { channel, prio },
        _ => Record::Unknown { kind: kind | kind::IGNORABLE, body: &of.bytes },
    }
}

fn some_data<'a>(rng: &mut Rng, channel: u64, payload: &'a [u8]) -> Record<'a> {
    let first = [DataFlags::FIRST, DataFlags::FIRST | DataFlags::TEXT, 0];
    let mut flags = rng.pick(&first) | rng.pick(&[0, DataFlags::ACK_NOW]);
    if payload.len() < MIN_CHUNK_BYTES || rng.below(2) == 0 {
        flags |= DataFlags::LAST;
    }
    if flags & DataFlags::FIRST == 0 && payload.is_empty() {
        flags |= rng.pick(&[0, DataFlags::ABORT]);
    }
    let flags = DataFlags(flags);
    let total = (flags.has_total() && rng.below(2) == 0).then(|| rng.number().min(varint::MAX - 1));
    Record::Data(Data { channel, flags, total, payload, payload_at: 0 })
}

/// `record`, with its payload where it is in a message.
fn placed(record: Record<'_>, at: usize) -> Record<'_> {
    match record {
        Record::Data(data) => Record::Data(Data { payload_at: at, ..data }),
        other => other,
    }
}

#[test]
fn i10_what_is_written_within_the_ranges_is_read() {
    let mut rng = Rng(10);
    let mut seen = BTreeSet::new();
    for round in 0..4_000 {
        let most = rng.pick(&[0, 60, 1_024]);
        let of = Borrowed {
            settings: some_settings(&mut rng),
            meta: some_meta(&mut rng),
            text: rng.text(MAX_REASON_BYTES),
            bytes: rng.bytes(most),
            name: rng.text(128),
        };
        let (mut message, mut expected, mut last) = (Vec::new(), Vec::new(), 0);
        for _ in 0..=rng.below(3) {
            let kind = rng.pick(&KINDS);
            let record = some_record(&mut rng, kind, &of);
            seen.insert(record.kind());
            last = rng.number();
            record.put(Some(last), &mut message);
            let payload = if let Record::Data(data) = record { data.payload.len() } else { 0 };
            expected.push(placed(record, message.len() - payload));
        }
        let (decoded, fault) = decode_all(&message, &Settings::default());
        assert_eq!((decoded, fault), (expected, None), "round {round}");
        let mut records = Records::new(&message);
        let raws: Vec<_> = core::iter::from_fn(|| records.next()).map(Result::unwrap).collect();
        assert_eq!(raws.iter().map(|raw| raw.bytes).sum::<usize>(), message.len());
        if let Some(seq16) = raws.last().and_then(|raw| raw.seq16) {
            assert_eq!(u64::from(seq16), last % 65_536);
        }
    }
    assert!(seen.len() >= 22, "not every type was tried: {seen:02x?}");
}

/// Bytes that come more or less close to a message.
fn some_bytes(rng: &mut Rng, valid: &[(&str, &[u8])]) -> Vec<u8> {
    match rng.below(4) {
        0 => rng.bytes(60),
        1 => {
            // Right lengths around any body.
            let mut out = Vec::new();
            for _ in 0..=rng.below(3) {
                let kind = rng.pick(&KINDS);
                out.extend(framed(kind, &rng.bytes(24)));
            }
            out
        }
        2 => {
            // The same with small numbers, which more often mean something.
            let kind = rng.pick(&KINDS);
            let body: Vec<_> = rng.bytes(12).into_iter().map(|byte| byte % 8).collect();
            framed(kind, &body)
        }
        _ => {
            let mut out = rng.pick(valid).1.to_vec();
            for _ in 0..=rng.below(3) {
                let at = rng.size(out.len().min(48));
                match rng.below(4) {
                    0 => out.truncate(at),
                    1 => out.insert(at, rng.byte()),
                    2 if at < out.len() => drop(out.remove(at)),
                    _ => {
                        if let Some(byte) = out.get_mut(at) {
                            *byte ^= 1 << rng.below(8);
                        }
                    }
                }
            }
            out
        }
    }
}

#[test]
fn i10_any_bytes_are_records_or_one_error() {
    let valid = valid_messages();
    let (mut kinds, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    let mut rng = Rng(11);
    for round in 0..60_000 {
        let message = some_bytes(&mut rng, &valid);
        let (mut records, mut at) = (Records::new(&message), 0);
        while let Some(raw) = records.next() {
            let raw = match raw {
                Ok(raw) => raw,
                Err(fault) => {
                    reasons.insert(fault.why);
                    assert_eq!((fault.record_type, records.next()), (message[at], None), "round {round}");
                    at = message.len();
                    break;
                }
            };
            let whole = &message[at..at + raw.bytes];
            at += raw.bytes;
            assert_eq!((raw.body_at + raw.body.len(), raw.kind), (at, whole[0]), "round {round}");
            assert_eq!(raw.body, &message[raw.body_at..at]);
            match raw.decode(&Settings::default()) {
                Ok(record) => {
                    kinds.insert(record.kind());
                    is_written_as_it_was(&raw, &record, whole);
                }
                Err(fault) => {
                    assert_eq!(fault.record_type, raw.kind);
                    reasons.insert(fault.why);
                }
            }
        }
        assert_eq!(at, message.len(), "round {round}: bytes that belong to nothing");
    }
    // Otherwise the bytes are too far from any message to prove something.
    assert!(KINDS[..22].iter().all(|kind| kinds.contains(kind)), "never read: {kinds:02x?}");
    assert!(reasons.len() >= 24, "{reasons:?}");
}

/// There is one form of each record, but for codes, of which unknown ones read as others.
fn is_written_as_it_was(raw: &Raw<'_>, record: &Record<'_>, whole: &[u8]) {
    let mut out = Vec::new();
    record.put(raw.seq16.map(u64::from), &mut out);
    let has_code = matches!(raw.kind, kind::REFUSED | kind::GOAWAY | kind::ERROR | kind::RESET);
    if has_code {
        let again = decode_all(&out, &Settings::default());
        assert_eq!(again, (vec![*record], None));
    } else {
        assert_eq!(out, whole);
    }
}

#[test]
fn i10_reading_takes_no_memory() {
    const fn owns_nothing<T: Copy>() {}
    // Nor does what comes out of it, whatever a message says of its own size.
    owns_nothing::<Record<'_>>();
    owns_nothing::<Raw<'_>>();
    owns_nothing::<Fault>();
    // What takes memory has a name, and the only ones here are those of functions that write.
    let sources = [
        include_str!("../../varint.rs"),
        include_str!("../../settings.rs"),
        include_str!("../../record.rs"),
        include_str!("../meta.rs"),
        include_str!("../greeting.rs"),
        include_str!("../decode.rs"),
    ];
    for line in sources.iter().flat_map(|source| source.lines()) {
        let line = line.split("//").next().unwrap_or_default();
        let is_writing = line.contains("out: &mut Vec<u8>") || line == "use alloc::vec::Vec;";
        for name in ["Vec", "vec!", "Box", "String", "format!", "to_vec", "to_owned", "to_string", "collect"]
        {
            assert!(is_writing || !line.contains(name), "{name} in {line}");
        }
    }
    assert!(!sources[5].contains("alloc"));
}
