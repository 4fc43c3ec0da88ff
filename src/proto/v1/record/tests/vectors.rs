//! The test vectors, as far as a record tells all by itself. What they say of sessions and channels is tested there.

use serde_json::{Map, Value};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

/// Malformed ones whose records are well formed each by itself: state, direction, number, versions, features, channels
/// and credit, and the message around them, are the session's to check.
const LEFT_TO_THE_SESSION: &[&str] = &[
    "empty message",
    "text message",
    "message over max_message_bytes",
    "first record is not a greeting",
    "second HELLO",
    "RESUME in an open session",
    "server-only record sent to the server",
    "no common version",
    "WELCOME grants a feature never offered",
    "record before WELCOME",
    "sequence number skipped",
    "sequence number repeated",
    "unknown optional sequenced record with a wrong number",
    "OPEN with the parity of the receiver",
    "OPEN skips a channel id",
    "OPEN repeats a channel id",
    "OPEN beyond CHAN_LIMIT",
    "DATA on a channel never opened",
    "middle chunk without an item",
    "last chunk without an item",
    "FIRST inside an item",
    "item shorter than total",
    "item longer than total",
    "CLOSE inside an item",
    "DATA beyond credit by one byte",
    "DATA after CLOSE",
    "second CLOSE",
    "DATA after RESET of the own direction",
    "ACK of a number never sent",
    "PONG acknowledges a number never sent",
    "CREDIT for a channel never opened",
    "second ACCEPT of one side",
];

/// An object whose fields are all to be looked at. What is taken from it lives as long as the tests, which is not long.
struct Fields(Map<String, Value>);

impl Fields {
    fn new(value: &Value) -> Self {
        Self(value.as_object().unwrap().clone())
    }

    fn find(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key)
    }

    fn value(&mut self, key: &str) -> Value {
        self.find(key).unwrap_or_else(|| panic!("no {key} in {:?}", self.0))
    }

    fn number(&mut self, key: &str) -> u64 {
        self.value(key).as_u64().unwrap()
    }

    fn byte(&mut self, key: &str) -> u8 {
        self.number(key).try_into().unwrap()
    }

    fn text(&mut self, key: &str) -> &'static str {
        self.value(key).as_str().unwrap().to_owned().leak()
    }

    fn bytes(&mut self, key: &str) -> &'static [u8] {
        hex(self.text(key)).leak()
    }

    fn list(&mut self, key: &str) -> Vec<Value> {
        self.value(key).as_array().unwrap().clone()
    }

    /// Settings by their ids, and as pairs on the wire.
    fn settings(&mut self, key: &str) -> (Settings, &'static [u8]) {
        let (mut settings, mut out) = (Settings::default(), Vec::new());
        for pair in self.list(key) {
            let mut pair = Self::new(&pair);
            let (id, value) = (pair.number("id"), pair.number("value"));
            pair.end();
            varint::put(&mut out, id);
            varint::put(&mut out, value);
            let field = match id {
                1 => &mut settings.max_message_bytes,
                2 => &mut settings.max_channels,
                3 => &mut settings.initial_window,
                4 => &mut settings.max_item_bytes,
                58 => continue,
                _ => panic!("a setting that no vector had before"),
            };
            *field = value.try_into().unwrap();
        }
        (settings, out.leak())
    }

    /// Nothing that was not looked at.
    fn end(mut self) {
        self.find("note");
        assert!(self.0.is_empty(), "not looked at: {:?}", self.0);
    }
}

fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii());
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(super) fn section(name: &str) -> Vec<Value> {
    let file = include_str!("../../../../../tests/vectors/tidegate-v1.json");
    let mut file = Fields::new(&serde_json::from_str(file).unwrap());
    let section = file.list(name);
    assert!(!section.is_empty());
    for other in ["varints", "valid", "malformed", "channel_errors", "accepted", "resume_checks", "about"] {
        file.find(other);
    }
    assert_eq!(file.text("protocol"), "tidegate.v1");
    file.end();
    section
}

/// A record as a vector describes it, with its number.
#[allow(clippy::too_many_lines, reason = "a row for each type")]
fn described(record: &Value, body: &'static [u8], body_at: usize) -> (Record<'static>, Option<u64>) {
    let mut of = Fields::new(record);
    let kind = u8::from_str_radix(of.text("type").strip_prefix("0x").unwrap(), 16).unwrap();
    assert_eq!(of.number("body_bytes"), body.len() as u64);
    let seq = (kind & 0x40 != 0).then(|| of.number("seq16"));
    let name = of.text("name");
    let (expected_name, record) = match kind {
        0x01 => ("HELLO", {
            let (settings, pairs) = of.settings("settings");
            Record::Hello(Hello {
                ver_min: of.byte("ver_min"),
                ver_max: of.byte("ver_max"),
                features: of.number("features"),
                settings,
                pairs,
            })
        }),
        0x02 => ("WELCOME", {
            let (settings, pairs) = of.settings("settings");
            Record::Welcome(Welcome {
                ver: of.byte("ver"),
                features: of.number("features"),
                resume_ttl_s: of.number("resume_ttl_s"),
                token: of.bytes("token"),
                hint: of.text("hint"),
                settings,
                pairs,
            })
        }),
        0x03 => (
            "RESUME",
            Record::Resume(Resume {
                ver: of.byte("ver"),
                token: of.bytes("token"),
                rx: of.number("rx"),
                tx_oldest: of.number("tx_oldest"),
                tx_next: of.number("tx_next"),
            }),
        ),
        0x04 => (
            "RESUMED",
            Record::Resumed(Resumed {
                epoch: of.number("epoch"),
                rx: of.number("rx"),
                tx_oldest: of.number("tx_oldest"),
                tx_next: of.number("tx_next"),
                pairs: of.settings("settings").1,
            }),
        ),
        0x05 => (
            "REFUSED",
            Record::Refused {
                code: RefusedCode::from_wire(of.number("code")),
                retry_after_ms: of.number("retry_after_ms"),
                reason: of.text("reason"),
            },
        ),
        0x06 => ("ACK", Record::Ack { rx: of.number("rx"), delay_us: of.number("delay_us") }),
        0x07 => ("PING", Record::Ping { t_us: of.number("t_us") }),
        0x08 => (
            "PONG",
            Record::Pong {
                t_us: of.number("t_us"),
                hold_us: of.number("hold_us"),
                peer_t_us: of.number("peer_t_us"),
                rx: of.number("rx"),
            },
        ),
        0x09 => (
            "GOAWAY",
            Record::GoAway {
                channels: of.number("channels"),
                code: FatalCode::from_wire(of.number("code")),
                drain_ms: of.number("drain_ms"),
                reconnect_after_ms: of.number("reconnect_after_ms"),
                jitter_ms: of.number("jitter_ms"),
                reason: of.text("reason"),
            },
        ),
        0x0a => (
            "ERROR",
            Record::Error {
                code: FatalCode::from_wire(of.number("code")),
                record_type: of.byte("record_type"),
                reason: of.text("reason"),
            },
        ),
        0x10 => ("CREDIT", Record::Credit { channel: of.number("channel"), limit: of.number("limit") }),
        0x11 => ("CHAN_LIMIT", Record::ChanLimit { count: of.number("count") }),
        0x41 => (
            // The channel's name stands where the record's stands elsewhere.
            name,
            Record::Open(Open {
                channel: of.number("channel"),
                kind: of.byte("kind"),
                prio: of.byte("prio"),
                name,
                meta: Meta::new(of.bytes("meta")),
            }),
        ),
        0x42 => (
            "ACCEPT",
            Record::Accept {
                channel: of.number("channel"),
                limit: of.number("limit"),
                max_item_bytes: of.number("max_item_bytes"),
            },
        ),
        0x43 => (
            "RESET",
            Record::Reset {
                channel: of.number("channel"),
                dir: of.byte("dir"),
                code: ChannelCode::from_wire(of.number("code")),
                detail: of.bytes("detail"),
            },
        ),
        0x44 => ("CLOSE", Record::Close { channel: of.number("channel") }),
        0x45 => {
            let flags = DataFlags(of.byte("flags"));
            let names = [
                ("FIRST", flags.is_first()),
                ("LAST", flags.is_last()),
                ("TEXT", flags.is_text()),
                ("ABORT", flags.is_abort()),
                ("ACK_NOW", flags.wants_ack()),
            ];
            let names: Vec<_> = names.into_iter().filter(|flag| flag.1).map(|flag| flag.0).collect();
            assert_eq!(of.list("flag_names"), names);
            let payload = of.bytes("payload");
            assert_eq!(of.number("payload_bytes"), payload.len() as u64);
            let total = of.find("total");
            assert_eq!(total.is_some(), flags.is_first() && !flags.is_last(), "a total where one belongs");
            let total = total.and_then(|total| total.as_u64());
            let payload_at = body_at + body.len() - payload.len();
            ("DATA", Record::Data(Data { channel: of.number("channel"), flags, total, payload, payload_at }))
        }
        0x80 => {
            // All of them 0.
            let size = usize::try_from(of.number("bytes")).unwrap();
            ("PAD", Record::Pad { body: vec![0; size].leak() })
        }
        0x91 => ("BLOCKED", Record::Blocked { channel: of.number("channel"), limit: of.number("limit") }),
        0xc6 => ("PRIORITY", Record::Priority { channel: of.number("channel"), prio: of.byte("prio") }),
        // Not described but for its size.
        _ => ("unknown", Record::Unknown { kind, body }),
    };
    assert_eq!((name, kind), (expected_name, record.kind()));
    of.end();
    (record, seq)
}

/// The valid messages, with a name each.
pub(super) fn valid_messages() -> Vec<(&'static str, &'static [u8])> {
    section("valid").iter().map(Fields::new).map(|mut of| (of.text("name"), of.bytes("hex"))).collect()
}

/// Records up to the first fault, if there is one.
pub(super) fn decode_all<'a>(message: &'a [u8], own: &Settings) -> (Vec<Record<'a>>, Option<Fault>) {
    let (mut records, mut decoded) = (Records::new(message), Vec::new());
    while let Some(raw) = records.next() {
        match raw.and_then(|raw| raw.decode(own)) {
            Ok(record) => decoded.push(record),
            Err(fault) => return (decoded, Some(fault)),
        }
    }
    (decoded, None)
}

#[test]
fn varints_have_the_bytes_of_their_vectors() {
    for varint in section("varints") {
        let mut of = Fields::new(&varint);
        let (value, bytes) = (of.number("value"), of.bytes("hex"));
        of.end();
        let mut out = Vec::new();
        varint::put(&mut out, value);
        assert_eq!((out.as_slice(), varint::len(value)), (bytes, bytes.len()), "{value}");
        let mut reader = Reader::new(bytes);
        assert_eq!((reader.varint(), reader.is_empty()), (Ok(value), true));
    }
}

#[test]
fn valid_messages_are_read_as_described_and_written_as_they_are() {
    for vector in section("valid") {
        let mut of = Fields::new(&vector);
        let (name, message) = (of.text("name"), of.bytes("hex"));
        assert!(["client", "server"].contains(&of.text("from")), "{name}");
        let (mut records, mut written, mut again) = (Records::new(message), Vec::new(), Vec::new());
        for record in of.list("records") {
            let raw = records.next().unwrap().unwrap();
            let (expected, seq) = described(&record, raw.body, raw.body_at);
            assert_eq!(raw.seq16.map(u64::from), seq, "{name}");
            assert_eq!(raw.decode(&Settings::default()), Ok(expected), "{name}");
            expected.put(seq, &mut written);
            // Of a number only its low 16 bits go on the wire.
            expected.put(seq.map(|seq| seq + 7 * 65_536), &mut again);
        }
        of.end();
        assert_eq!(records.next(), None, "{name}");
        assert_eq!((written.as_slice(), again.as_slice()), (message, message), "{name}");
    }
}

#[test]
fn malformed_records_are_refused_and_what_is_left_to_the_session_is_named() {
    let mut left = Vec::new();
    for vector in section("malformed") {
        let mut of = Fields::new(&vector);
        let (name, message, why) = (of.text("name"), of.bytes("hex"), of.text("why"));
        let mut error = Fields::new(&of.value("error"));
        let code = FatalCode::from_wire(error.number("code"));
        let close_code = u64::from(code.close_code());
        assert_eq!((code.name(), close_code), (error.text("name"), error.number("close_code")), "{name}");
        error.end();
        let own = own_settings(&mut of);
        before_is_well_formed(&mut of, &own);
        assert!(["client", "server"].contains(&of.text("receiver")), "{name}");
        of.find("receiver_sent_s");
        let kind = of.find("message_kind");
        of.end();
        if let Some(kind) = kind {
            assert_eq!(kind, "text");
            left.push(name);
            continue;
        }
        match decode_all(message, &own).1 {
            // None of them has records in front of the faulty one.
            Some(fault) => {
                assert_eq!(fault, Fault { code, record_type: message[0], why }, "{name}");
            }
            None => left.push(name),
        }
    }
    assert_eq!(left, LEFT_TO_THE_SESSION);
}

#[test]
fn what_is_accepted_or_reset_is_well_formed() {
    for vector in [section("accepted"), section("channel_errors")].concat() {
        let mut of = Fields::new(&vector);
        let (name, message) = (of.text("name"), of.bytes("hex"));
        let own = own_settings(&mut of);
        before_is_well_formed(&mut of, &own);
        assert_eq!(decode_all(message, &own).1, None, "{name}");
        if let Some(reply) = of.find("reply") {
            let mut reply = Fields::new(&reply);
            assert_eq!(reply.text("record"), "RESET");
            let code = ChannelCode::from_wire(reply.number("code"));
            assert_eq!(code.name(), reply.text("name"), "{name}");
            let dir = reply.byte("dir");
            let reset = Record::Reset { channel: reply.number("channel"), dir, code, detail: b"" };
            reply.end();
            let mut out = Vec::new();
            reset.put(Some(1), &mut out);
            assert_eq!(decode_all(&out, &Settings::default()), (vec![reset], None));
        }
        // The session's.
        assert_eq!((of.value("receiver").is_string(), of.value("rx_after").is_u64()), (true, true));
        of.find("why");
        of.end();
    }
}

/// What the receiver has told, which is within the ranges.
fn own_settings(of: &mut Fields) -> Settings {
    if !of.0.contains_key("receiver_settings") {
        return Settings::default();
    }
    let (settings, _) = of.settings("receiver_settings");
    assert_eq!(settings.check(), Ok(()));
    settings
}

fn before_is_well_formed(of: &mut Fields, own: &Settings) {
    for message in of.list("before") {
        let message = hex(message.as_str().unwrap());
        let (records, fault) = decode_all(&message, own);
        assert_eq!((records.is_empty(), fault), (false, None));
    }
}

#[test]
fn a_message_cut_short_is_refused_or_has_fewer_records() {
    for (name, message) in valid_messages() {
        let whole = decode_all(message, &Settings::default()).0;
        let (mut records, mut ends) = (Records::new(message), vec![0]);
        while let Some(raw) = records.next() {
            ends.push(ends[ends.len() - 1] + raw.unwrap().bytes);
        }
        for cut in 0..message.len() {
            let (left, fault) = decode_all(&message[..cut], &Settings::default());
            // Only whole ones, and a fault unless the cut is between two of them.
            let complete = ends.iter().filter(|&&end| 0 < end && end <= cut).count();
            assert_eq!(left, whole[..complete], "{name} cut after {cut}");
            let expected = (!ends.contains(&cut)).then_some("truncated");
            assert_eq!(fault.map(|fault| fault.why), expected, "{name} cut after {cut}");
        }
    }
}

#[test]
fn a_body_cut_short_is_refused_or_means_what_it_says() {
    let (mut refused, mut taken) = (0, 0);
    for (name, message) in valid_messages() {
        let mut records = Records::new(message);
        while let Some(raw) = records.next() {
            let raw = raw.unwrap();
            for cut in 0..raw.body.len() {
                let short = framed(raw.kind, &raw.body[..cut]);
                match only(&short).decode(&Settings::default()) {
                    Ok(record) => {
                        let mut out = Vec::new();
                        record.put(Some(1), &mut out);
                        assert_eq!(out, short, "{name} with {cut} bytes");
                        taken += 1;
                    }
                    Err(fault) => {
                        assert_eq!(fault.code, FatalCode::ProtocolViolation, "{name} with {cut} bytes");
                        refused += 1;
                    }
                }
            }
        }
    }
    // The payload of last chunks, reasons and details, paddings: shorter ones are as good.
    assert!(refused > 1_000 && taken > 100, "{refused} refused, {taken} taken");
}
