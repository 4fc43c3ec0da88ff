//! Section 7: the closing handshake, close codes and reasons.

use tidegate::proto::ws::MessageKind::Text;

use super::case::{Answer, Case, Payload, Sent};

const HELLO: &[u8] = b"Hello World!";

/// Codes that an endpoint may send, and what section 7.7 sends.
const VALID: [u16; 13] = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];

/// What section 7.9 sends.
const INVALID: [u16; 9] = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];

/// What section 7.13 sends. The suite has no opinion on codes that nobody has defined; RFC 6455 section 7.4.2
/// leaves 5000 and above out of its ranges, and here they are as invalid as the others.
const UNDEFINED: [u16; 2] = [5000, 65_535];

fn frame(first: u8, payload: impl Into<Payload>) -> Sent {
    Sent::Frame(first, payload.into())
}

fn close(code: u16, reason: &[u8]) -> Sent {
    frame(0x88, [&code.to_be_bytes()[..], reason].concat())
}

fn text(payload: impl Into<Payload>) -> Answer {
    Answer::Message(Text, payload.into())
}

pub fn cases() -> Vec<Case> {
    let normal = || close(1000, b"");
    let long = Payload::repeated(b"BAsd7&jh23", 256 << 10);
    let mut cases = vec![
        Case::answered("7.1.1", vec![frame(0x81, HELLO)], vec![text(HELLO)]),
        // Whatever comes behind the close frame is ignored.
        Case::closed("7.1.2", vec![normal(), frame(0x88, b"")], vec![], 1000),
        Case::closed("7.1.3", vec![normal(), frame(0x89, b"")], vec![], 1000),
        Case::closed("7.1.4", vec![normal(), frame(0x81, HELLO)], vec![], 1000),
        Case::closed(
            "7.1.5",
            vec![frame(0x01, b"fragment1"), normal(), frame(0x80, b"fragment2")],
            vec![],
            1000,
        ),
        // Informational: an endpoint may close before it has answered the messages. One that takes event
        // after event, as here, answers both.
        Case::closed(
            "7.1.6",
            vec![frame(0x81, long.clone()), frame(0x81, HELLO), normal(), frame(0x89, b"")],
            vec![text(long), text(HELLO)],
            1000,
        ),
        Case::closed("7.3.1", vec![frame(0x88, b"")], vec![], 1005),
        Case::failed("7.3.2", vec![frame(0x88, b"a")], vec![], 1002),
        Case::closed("7.3.3", vec![normal()], vec![], 1000),
        Case::closed("7.3.4", vec![close(1000, HELLO)], vec![], 1000),
        Case::closed("7.3.5", vec![close(1000, &[b'*'; 123])], vec![], 1000),
        Case::failed("7.3.6", vec![close(1000, &[b'*'; 124])], vec![], 1002),
        // A surrogate in the reason. The suite takes 1002 as well.
        Case::failed(
            "7.5.1",
            vec![close(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited")],
            vec![],
            1007,
        ),
    ];
    for (number, code) in (1..).zip(VALID) {
        cases.push(Case::closed(format!("7.7.{number}"), vec![close(code, b"")], vec![], code));
    }
    for (group, codes) in [(9, &INVALID[..]), (13, &UNDEFINED)] {
        for (number, code) in (1..).zip(codes) {
            let id = format!("7.{group}.{number}");
            cases.push(Case::failed(id, vec![close(*code, b"")], vec![], 1002));
        }
    }
    cases
}
