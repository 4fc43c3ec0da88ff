//! Sections 9 and 10: messages of up to 16 MiB, in fragments, in small pieces, and a thousand in a row.

use tidegate::proto::ws::MessageKind::{self, Binary, Text};

use super::case::{Answer, Case, Cut, Payload, Sent};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

const TEXT: &[u8] = b"BAsd7&jh23";
const BYTES: &[u8] = b"\x00\xfe\x23\xfa\xf0";

/// One frame, sent back.
fn echo(id: String, kind: MessageKind, payload: &Payload) -> Case {
    let first = if kind == Text { 0x81 } else { 0x82 };
    let answer = Answer::Message(kind, payload.clone());
    Case::answered(id, vec![Sent::Frame(first, payload.clone())], vec![answer])
}

/// One message in fragments of `size` bytes, sent back.
fn joined(id: String, kind: MessageKind, payload: &Payload, size: usize) -> Case {
    let answer = Answer::Message(kind, payload.clone());
    Case::answered(id, vec![Sent::Fragments(kind, payload.clone(), size)], vec![answer])
}

/// Section 9.
pub fn limits() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, kind, pattern) in [(1, Text, TEXT), (2, Binary, BYTES)] {
        let sizes = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 8 * MIB, 16 * MIB];
        for (number, len) in (1..).zip(sizes) {
            let payload = Payload::repeated(pattern, len);
            cases.push(echo(format!("9.{group}.{number}"), kind, &payload));
        }
    }
    for (group, kind) in [(3, Text), (4, Binary)] {
        let sizes = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB];
        for (number, size) in (1..).zip(sizes) {
            // Of the binary ones only the first is no text.
            let byte = if (group, number) == (4, 1) { b"\xfe" } else { b"*" };
            let payload = Payload::repeated(byte, 4 * MIB);
            cases.push(joined(format!("9.{group}.{number}"), kind, &payload, size));
        }
    }
    for (group, kind, pattern) in [(5, Text, TEXT), (6, Binary, BYTES)] {
        for (number, piece) in (1..).zip([64, 128, 256, 512, KIB, 2 * KIB]) {
            let payload = Payload::repeated(pattern, MIB);
            cases.push(echo(format!("9.{group}.{number}"), kind, &payload).cut(Cut::Bytes(piece)));
        }
    }
    for (group, kind, pattern) in [(7, Text, b"*"), (8, Binary, b"\xfe")] {
        for (number, len) in (1..).zip([0, 16, 64, 256, KIB, 4 * KIB]) {
            let payload = Payload::repeated(pattern, len);
            cases.push(echo(format!("9.{group}.{number}"), kind, &payload).times(1_000));
        }
    }
    cases
}

/// Section 10.
pub fn fragmented() -> Vec<Case> {
    vec![joined("10.1.1".to_owned(), Text, &Payload::repeated(b"*", 64 * KIB), 1_300)]
}
