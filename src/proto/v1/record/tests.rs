//! What the vectors leave open: limits at their borders, the order of checks, sizes.

use super::encode::MAX_DATA_HEAD;
use super::*;
use crate::proto::v1::settings::Settings;
use crate::proto::v1::varint;

mod random;
mod vectors;

/// One record of type `kind`, with the number 1 if it has one.
fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    varint::put(&mut out, body.len() as u64);
    if kind & kind::SEQUENCED != 0 {
        out.extend([0, 1]);
    }
    out.extend(body);
    out
}

fn only(message: &[u8]) -> Raw<'_> {
    let mut records = Records::new(message);
    let raw = records.next().unwrap().unwrap();
    assert_eq!((records.next(), raw.bytes), (None, message.len()));
    raw
}

/// Code and reason with which a body is refused.
fn refused_under(own: &Settings, kind: u8, body: &[u8]) -> Option<(FatalCode, &'static str)> {
    let fault = only(&framed(kind, body)).decode(own).err()?;
    assert_eq!(fault.record_type, kind);
    Some((fault.code, fault.why))
}

/// The reason for which a body is a violation.
fn violation(kind: u8, body: &[u8]) -> Option<&'static str> {
    let (code, why) = refused_under(&Settings::default(), kind, body)?;
    assert_eq!(code, FatalCode::ProtocolViolation, "{why}");
    Some(why)
}

fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn types_are_known_as_a_whole() {
    let known = [
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x10, 0x11, 0x41, 0x42, 0x43, 0x44, 0x45,
        0x80, 0x91, 0xc6,
    ];
    for kind in 0..=u8::MAX {
        let message = framed(kind, &[]);
        let raw = only(&message);
        assert_eq!(raw.is_known(), known.contains(&kind), "{kind:02x}");
        assert_eq!(raw.is_ignorable(), kind >= 0x80);
        assert_eq!((raw.is_sequenced(), raw.seq16.is_some()), (kind & 0x40 != 0, kind & 0x40 != 0));
        if !raw.is_known() {
            let expected = match kind {
                0x80.. => Ok(Record::Unknown { kind, body: &[] }),
                _ => Err("unknown mandatory type"),
            };
            assert_eq!(raw.decode(&Settings::default()).map_err(|fault| fault.why), expected);
        }
    }
    for grease in [kind::GREASE, kind::GREASE_SEQUENCED].concat() {
        assert!(grease & kind::IGNORABLE != 0 && !known.contains(&grease));
        let mut out = Vec::new();
        Record::put_unknown(grease, Some(1), &mut out);
        assert_eq!(out, framed(grease, &[]));
    }
}

#[test]
fn records_cover_their_message_and_end_with_the_first_fault() {
    let message = concat(&[&framed(kind::PAD, &[0; 70]), &framed(kind::CLOSE, &[4]), &[0x06, 0x03, 0, 0]]);
    let mut records = Records::new(&message);
    let pad = records.next().unwrap().unwrap();
    assert_eq!((pad.kind, pad.body_at, pad.bytes, pad.seq16), (kind::PAD, 3, 73, None));
    let close = records.next().unwrap().unwrap();
    assert_eq!((close.kind, close.body_at, close.bytes, close.seq16), (kind::CLOSE, 77, 5, Some(1)));
    let fault = Fault { code: FatalCode::ProtocolViolation, record_type: kind::ACK, why: "truncated" };
    assert_eq!(records.next(), Some(Err(fault)));
    assert_eq!((records.next(), records.next()), (None, None));
    assert_eq!(Records::new(&[]).next(), None);
}

#[test]
fn payload_is_found_in_the_message() {
    let mut message = Vec::new();
    Record::Ack { rx: 4, delay_us: 70 }.put(None, &mut message);
    let first = DataFlags(DataFlags::FIRST);
    put_data_head(&mut message, 70_000, 9, first, Some(9_000), 600);
    let expected_at = message.len();
    message.extend([7; 600]);
    let mut records = Records::new(&message);
    records.next();
    let raw = records.next().unwrap().unwrap();
    assert_eq!(raw.seq16, Some(4_464));
    let data = Record::Data(Data {
        channel: 9,
        flags: first,
        total: Some(9_000),
        payload: &[7; 600],
        payload_at: expected_at,
    });
    assert_eq!(raw.decode(&Settings::default()), Ok(data));
}

#[test]
fn both_ways_to_write_data_give_the_same_bytes() {
    let numbers = [0, 1, 62, 63, 64, 16_382, 16_383, (1 << 30) - 1, 1 << 30, varint::MAX - 1, varint::MAX];
    let mut longest = 0;
    for channel in numbers {
        for flags in (0..0x20).map(DataFlags) {
            for total in [None].into_iter().chain(numbers.map(Some)) {
                // Bodies of every width of the length.
                for size in [0, 20, 63, 512, 16_384] {
                    let (number, payload) = (channel ^ 0x1_2345, vec![1; size]);
                    let mut whole = Vec::new();
                    let data = Record::Data(Data { channel, flags, total, payload: &payload, payload_at: 0 });
                    data.put(Some(number), &mut whole);
                    let mut head = Vec::new();
                    put_data_head(&mut head, number, channel, flags, total, size);
                    assert_eq!(head.len(), data_head_len(channel, flags, total, size));
                    assert_eq!(head.len() + size, only(&whole).bytes);
                    assert!(whole.starts_with(&head));
                    longest = longest.max(head.len());
                }
            }
        }
    }
    assert_eq!(longest, MAX_DATA_HEAD);
}

#[test]
fn texts_and_details_end_at_their_limits() {
    let fixed: [(u8, &[u8]); 3] =
        [(kind::REFUSED, &[16, 0]), (kind::GOAWAY, &[0, 0, 0, 0, 0]), (kind::ERROR, &[1, 0])];
    for (kind, fixed) in fixed {
        assert_eq!(violation(kind, &concat(&[fixed, &[b'r'; 256]])), None);
        assert_eq!(violation(kind, &concat(&[fixed, &[b'r'; 257]])), Some("reason"));
        assert_eq!(violation(kind, &concat(&[fixed, b"\xc3"])), Some("reason"));
        assert_eq!(violation(kind, &fixed[1..]), Some("truncated"));
    }
    assert_eq!(violation(kind::RESET, &concat(&[&[0, 3, 38], &[0xff; 1_024]])), None);
    assert_eq!(violation(kind::RESET, &concat(&[&[0, 3, 38], &[0xff; 1_025]])), Some("detail"));
}

#[test]
fn welcome_has_a_token_if_and_only_if_it_can_be_resumed() {
    let welcome = |ttl: u8, token: usize| {
        let len = u8::try_from(token).unwrap();
        violation(kind::WELCOME, &concat(&[&[1, 0, ttl, len], &vec![9; token], &[0]]))
    };
    assert_eq!((welcome(0, 0), welcome(1, 32)), (None, None));
    let mismatch = Some("token without ttl or ttl without token");
    assert_eq!((welcome(1, 0), welcome(0, 32)), (mismatch, mismatch));
    for len in [1, 16, 31, 33, 255] {
        assert_eq!(welcome(1, len), Some("token length"), "{len}");
    }
    let other = refused_under(&Settings::default(), kind::WELCOME, &[2]);
    assert_eq!(other, Some((FatalCode::Version, "version never offered")));
}

#[test]
fn a_hint_has_only_characters_that_a_query_takes_as_they_are() {
    let welcome = |hint: &[u8]| {
        let len = u8::try_from(hint.len()).unwrap();
        violation(kind::WELCOME, &concat(&[&[1, 0, 0, 0, len], hint]))
    };
    for byte in 0..=u8::MAX {
        let is_allowed = byte.is_ascii_alphanumeric() || "-._~".bytes().any(|allowed| allowed == byte);
        assert_eq!(welcome(&[b'n', byte]).is_none(), is_allowed, "{byte:02x}");
    }
    assert_eq!(welcome(&[b'a'; 255]), None);
    assert_eq!(welcome("é".as_bytes()), Some("hint"));
    assert_eq!(violation(kind::WELCOME, &[1, 0, 0, 0, 2, b'a']), Some("truncated"));
}

#[test]
fn positions_are_in_order_and_a_resume_has_a_whole_token() {
    let resume = |len: u8, positions: [u8; 3]| {
        let token = vec![0; len.into()];
        violation(kind::RESUME, &concat(&[&[1, len], &token, &positions]))
    };
    assert_eq!((resume(32, [0, 1, 1]), resume(32, [63, 7, 9])), (None, None));
    for positions in [[0, 0, 1], [0, 0, 0], [0, 3, 2]] {
        assert_eq!(resume(32, positions), Some("tx order"));
        assert_eq!(violation(kind::RESUMED, &concat(&[&[2], &positions])), Some("tx order"));
    }
    for len in [0, 31, 33] {
        assert_eq!(resume(len, [0, 1, 1]), Some("token length"));
    }
    let other = refused_under(&Settings::default(), kind::RESUME, &[2]);
    assert_eq!(other, Some((FatalCode::Version, "no common version")));
}

#[test]
fn settings_of_another_version_are_not_judged_by_this_one() {
    // A window of 100, which is out of range here.
    assert_eq!(violation(kind::HELLO, &[1, 2, 0, 3, 0x40, 0x64]), Some("setting out of range"));
    assert_eq!(violation(kind::HELLO, &[0, 1, 0, 3, 0x40, 0x64]), Some("setting out of range"));
    for versions in [[2, 3], [0, 0]] {
        let message = framed(kind::HELLO, &concat(&[&versions, &[0, 3, 0x40, 0x64]]));
        let hello = only(&message).decode(&Settings::default()).unwrap();
        let (ver_min, ver_max) = (versions[0], versions[1]);
        let (settings, pairs) = (Settings::default(), &[3, 0x40, 0x64][..]);
        let expected = Hello { ver_min, ver_max, features: 0, settings, pairs };
        assert_eq!(hello, Record::Hello(expected));
        // The layout is the same.
        assert_eq!(violation(kind::HELLO, &concat(&[&versions, &[0, 3]])), Some("truncated"));
    }
}

#[test]
fn settings_are_those_of_their_record() {
    let told = [2, 30, 5, 7];
    let of_constants = Settings { max_channels: 30, max_ack_delay_ms: 7, ..Settings::default() };
    let hello = Record::hello(VERSION, 0, &told);
    let welcome = Record::welcome(VERSION, 0, 0, &[], "", &told);
    let resumed = Record::resumed(2, 0, 1, 1, &told);
    for record in [hello, welcome, resumed] {
        let mut message = Vec::new();
        record.put(None, &mut message);
        let raw = only(&message);
        assert_eq!(raw.decode(&Settings::default()), Ok(record));
        let base = Settings { ping_interval_ms: 9_000, max_channels: 700, ..Settings::default() };
        let (settings, expected) = match record {
            Record::Hello(hello) => (hello.settings, of_constants),
            Record::Welcome(welcome) => (welcome.settings, of_constants),
            Record::Resumed(resumed) => {
                let wrong = Resumed { pairs: &[5], ..resumed };
                assert_eq!(wrong.settings(&raw, base).unwrap_err().record_type, kind::RESUMED);
                (resumed.settings(&raw, base).unwrap(), Settings { max_ack_delay_ms: 7, ..base })
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(settings, expected, "{record:?}");
    }
}

#[test]
fn flags_are_the_bits_of_their_names() {
    assert_eq!(DataFlags::new(true, false, false, false), DataFlags(0x01));
    assert_eq!(DataFlags::new(false, true, false, false), DataFlags(0x02));
    assert_eq!(DataFlags::new(true, true, true, false).with_ack(), DataFlags(0x17));
    assert_eq!(DataFlags::new(false, true, false, true), DataFlags(0x0a));
    assert_eq!(DataFlags::default().with_ack(), DataFlags(0x10));
}

#[test]
fn codes_of_another_range_read_as_the_general_one() {
    for (kind, body, expected) in [
        (kind::ERROR, &[0, 0][..], Record::Error { code: FatalCode::Internal, record_type: 0, reason: "" }),
        (kind::ERROR, &[32, 7], Record::Error { code: FatalCode::Internal, record_type: 7, reason: "" }),
        (
            kind::REFUSED,
            &[25, 0],
            Record::Refused { code: RefusedCode::UnknownSession, retry_after_ms: 0, reason: "" },
        ),
        (
            kind::RESET,
            &[1, 2, 8],
            Record::Reset { channel: 1, dir: 2, code: ChannelCode::Cancelled, detail: b"" },
        ),
        (
            kind::GOAWAY,
            &[0, 15, 0, 0, 0],
            Record::GoAway {
                channels: 0,
                code: FatalCode::Internal,
                drain_ms: 0,
                reconnect_after_ms: 0,
                jitter_ms: 0,
                reason: "",
            },
        ),
    ] {
        assert_eq!(only(&framed(kind, body)).decode(&Settings::default()), Ok(expected));
    }
}

#[test]
fn names_and_meta_are_measured_by_the_receivers_own_limits() {
    let own = Settings { max_name_bytes: 16, max_meta_bytes: 64, ..Settings::default() };
    let open = |name: &[u8], meta: &[u8]| {
        let mut body = vec![0, 0, 1];
        varint::put(&mut body, name.len() as u64);
        body.extend(name);
        varint::put(&mut body, meta.len() as u64);
        body.extend(meta);
        (refused_under(&own, kind::OPEN, &body), refused_under(&Settings::default(), kind::OPEN, &body))
    };
    let meta = |len: usize| {
        let mut meta = Vec::new();
        Meta::put(&mut meta, 2, &vec![0xff; len - 2]);
        meta
    };
    let too_big = Some((FatalCode::TooBig, "name or meta too long"));
    assert_eq!(open(&[b'n'; 16], &meta(64)), (None, None));
    assert_eq!(open(&[b'n'; 17], &[]), (too_big, None));
    assert_eq!(open(b"n", &meta(65)), (too_big, None));
    // Form before limits.
    let not_utf8 = Some((FatalCode::ProtocolViolation, "name not UTF-8"));
    assert_eq!(open(&[0xff; 17], &[]), (not_utf8, not_utf8));
    assert_eq!(refused_under(&own, kind::OPEN, &[0, 0, 1, 0x40, 0x80]).unwrap().1, "truncated");
}

#[test]
fn meta_has_each_key_once_and_its_known_values_in_their_form() {
    let open = |meta: &[u8]| {
        let len = u8::try_from(meta.len()).unwrap();
        violation(kind::OPEN, &concat(&[&[0, 1, 2, 0, len], meta]))
    };
    assert_eq!(open(&[1, 1, 5, 2, 0, 3, 1, b'x', 4, 0, 63, 1, 0]), None);
    assert_eq!(open(&[2, 0, 5, 0, 2, 0]), Some("meta key twice"));
    assert_eq!(open(&[1, 0]), Some("truncated"));
    assert_eq!(open(&[1, 2, 5, 5]), Some("trailing bytes"));
    assert_eq!(open(&[1, 2, 0x40, 5]), Some("not shortest"));
    assert_eq!(open(&[3, 1, 0xff]), Some("content type not UTF-8"));
    assert_eq!(open(&[9]), Some("truncated"));

    let mut many = vec![];
    for key in 0..65_u8 {
        Meta::put(&mut many, 100 + u64::from(key), &[]);
    }
    let body = |meta: &[u8]| {
        let mut body = vec![0, 1, 2, 0];
        varint::put(&mut body, meta.len() as u64);
        concat(&[&body, meta])
    };
    assert_eq!(violation(kind::OPEN, &body(&many)), Some("too many pairs"));
    assert_eq!(violation(kind::OPEN, &body(&many[3..])), None);
}

#[test]
fn meta_is_read_by_key() {
    let mut bytes = Vec::new();
    Meta::put(&mut bytes, 2, b"once");
    Meta::put_deadline_ms(&mut bytes, 3_000);
    Meta::put(&mut bytes, 3, "text/plain".as_bytes());
    Meta::put(&mut bytes, 64, &[]);
    let meta = Meta::new(&bytes);
    assert_eq!(meta.check(), Ok(()));
    let keys: Vec<_> = meta.into_iter().map(|(key, value)| (key, value.len())).collect();
    assert_eq!(keys, [(2, 4), (1, 2), (3, 10), (64, 0)]);
    assert_eq!((meta.deadline_ms(), meta.idempotency_key()), (Some(3_000), Some(&b"once"[..])));
    assert_eq!((meta.content_type(), meta.get(64), meta.get(65)), (Some("text/plain"), Some(&[][..]), None));
    let none = Meta::default();
    assert_eq!((none.deadline_ms(), none.idempotency_key(), none.content_type()), (None, None, None));
    // Unchecked ones end where they are no longer such.
    assert_eq!(Meta::new(&[10, 0, 11, 9, 1]).iter().count(), 1);
}

#[test]
fn a_record_without_its_number_is_still_one() {
    let mut out = Vec::new();
    Record::Close { channel: 3 }.put(None, &mut out);
    assert_eq!(out, [0x44, 1, 0, 0, 3]);
    out.clear();
    Record::ChanLimit { count: 3 }.put(Some(9), &mut out);
    assert_eq!(out, [0x11, 1, 3]);
}

#[test]
fn records_are_appended_to_what_is_there() {
    // A body of 64 bytes, whose length takes two: what was written before stays where it was.
    let mut out = vec![1, 2, 3];
    Record::Pad { body: &[9; 64] }.put(None, &mut out);
    assert_eq!(out[..6], [1, 2, 3, 0x80, 0x40, 64]);
    assert_eq!(out[6..], [9; 64]);
}
