//! Sections 1 to 5: lengths, pings, reserved bits and opcodes, fragments.

use tidegate::proto::ws::MessageKind::{Binary, Text};

use super::case::{Answer, Case, Cut, Payload, Sent};

const HELLO: &[u8] = b"Hello, world!";
const BYTES: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

fn frame(first: u8, payload: impl Into<Payload>) -> Sent {
    Sent::Frame(first, payload.into())
}

fn text(payload: impl Into<Payload>) -> Answer {
    Answer::Message(Text, payload.into())
}

fn pong(payload: impl Into<Payload>) -> Answer {
    Answer::Pong(payload.into())
}

/// Section 1: one message of each length at which the form of the length changes.
pub fn messages() -> Vec<Case> {
    let cuts = [Cut::Whole; 7].into_iter().chain([Cut::Bytes(997)]);
    let lengths = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536].into_iter().zip(cuts);
    let mut cases = Vec::new();
    for (group, first, kind, byte) in [(1, 0x81, Text, b"*"), (2, 0x82, Binary, b"\xfe")] {
        for (number, (len, cut)) in (1..).zip(lengths.clone()) {
            let payload = Payload::repeated(byte, len);
            let answer = Answer::Message(kind, payload.clone());
            let id = format!("1.{group}.{number}");
            cases.push(Case::answered(id, vec![frame(first, payload)], vec![answer]).cut(cut));
        }
    }
    cases
}

/// Section 2: every ping is answered, no pong is.
pub fn pings() -> Vec<Case> {
    let ping = |id: &str, payload: &[u8]| Case::answered(id, vec![frame(0x89, payload)], vec![pong(payload)]);
    let full = [0xfe; 125];
    let unasked = b"unsolicited pong payload";
    let normal = frame(0x88, 1000_u16.to_be_bytes());
    let many: Vec<Vec<u8>> = (0..10).map(|i| format!("payload-{i}").into_bytes()).collect();
    let ten = |id: &str| {
        let sent = many.iter().map(|payload| frame(0x89, payload)).collect();
        Case::answered(id, sent, many.iter().map(pong).collect())
    };
    vec![
        ping("2.1", b""),
        ping("2.2", HELLO),
        ping("2.3", BYTES),
        ping("2.4", &full),
        Case::failed("2.5", vec![frame(0x89, [0xfe; 126])], vec![], 1002),
        ping("2.6", &full).cut(Cut::Bytes(1)),
        Case::closed("2.7", vec![frame(0x8a, b""), normal.clone()], vec![], 1000),
        Case::closed("2.8", vec![frame(0x8a, unasked), normal], vec![], 1000),
        Case::answered(
            "2.9",
            vec![frame(0x8a, unasked), frame(0x89, b"ping payload")],
            vec![pong(b"ping payload")],
        ),
        ten("2.10"),
        ten("2.11").cut(Cut::Bytes(1)),
    ]
}

/// A message, then a frame that fails the connection, then a ping that nobody answers.
fn fault_behind_a_message(id: &str, fault: Sent, cut: Cut) -> Case {
    let sent = vec![frame(0x81, HELLO), fault, frame(0x89, b"")];
    Case::failed(id, sent, vec![text(HELLO)], 1002).cut(cut)
}

/// Section 3: RSV1 to RSV3 without an extension.
pub fn reserved_bits() -> Vec<Case> {
    let alone =
        |id: &str, first: u8, payload: &[u8]| Case::failed(id, vec![frame(first, payload)], vec![], 1002);
    vec![
        alone("3.1", 0x91, HELLO),
        fault_behind_a_message("3.2", frame(0xa1, HELLO), Cut::Whole),
        fault_behind_a_message("3.3", frame(0xb1, HELLO), Cut::Frames),
        fault_behind_a_message("3.4", frame(0xc1, HELLO), Cut::Bytes(1)),
        alone("3.5", 0xd2, BYTES),
        alone("3.6", 0xe2, HELLO),
        alone("3.7", 0xf8, b""),
    ]
}

/// Section 4: data opcodes 3 to 7, control opcodes 11 to 15.
pub fn reserved_opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, lowest) in [(1, 0x83), (2, 0x8b)] {
        let id = |number: u8| format!("4.{group}.{number}");
        let alone = |number: u8, payload: &[u8]| {
            Case::failed(id(number), vec![frame(lowest + number - 1, payload)], vec![], 1002)
        };
        let behind = |number: u8, payload: &[u8], cut| {
            fault_behind_a_message(&id(number), frame(lowest + number - 1, payload), cut)
        };
        cases.extend([
            alone(1, b""),
            alone(2, b"reserved opcode payload"),
            behind(3, b"", Cut::Whole),
            behind(4, HELLO, Cut::Whole),
            behind(5, HELLO, Cut::Bytes(1)),
        ]);
    }
    cases
}

/// Section 5: what may be fragmented, and what may stand between fragments.
pub fn fragments() -> Vec<Case> {
    let one = || frame(0x01, b"fragment1");
    let two = || frame(0x80, b"fragment2");
    let both = || text(b"fragment1fragment2");
    let ping = || frame(0x89, b"ping payload");
    let fails = |id: &str, sent: Vec<Sent>| Case::failed(id, sent, vec![], 1002);
    let joined = |id: &str, cut| Case::answered(id, vec![one(), two()], vec![both()]).cut(cut);
    let around = |id: &str, cut| {
        let answers = vec![pong(b"ping payload"), both()];
        Case::answered(id, vec![one(), ping(), two()], answers).cut(cut)
    };
    // A continuation where nothing is to be continued, then a text.
    let lone = |id: &str, first, cut| {
        fails(id, vec![frame(first, b"non-continuation payload"), frame(0x81, HELLO)]).cut(cut)
    };
    let twice = |id: &str, first| {
        let round = [frame(first, b"fragment1"), frame(0x01, b"fragment2"), frame(0x80, b"fragment3")];
        fails(id, [&round[..], &round].concat())
    };
    // Two pings in five fragments, and a pause behind the first ping.
    let paused = |id: &str, cut| {
        let whole = b"fragment1fragment2fragment3fragment4fragment5";
        let rest = vec![
            frame(0x00, b"fragment3"),
            frame(0x00, b"fragment4"),
            frame(0x89, b"pongme 2!"),
            frame(0x80, b"fragment5"),
        ];
        let start = vec![one(), frame(0x00, b"fragment2"), frame(0x89, b"pongme 1!")];
        Case::answered(id, rest, vec![pong(b"pongme 2!"), text(whole)])
            .after(start, vec![pong(b"pongme 1!")])
            .cut(cut)
    };
    vec![
        fails("5.1", vec![frame(0x09, b"fragment1"), two()]),
        fails("5.2", vec![frame(0x0a, b"fragment1"), two()]),
        joined("5.3", Cut::Whole),
        joined("5.4", Cut::Frames),
        joined("5.5", Cut::Bytes(1)),
        around("5.6", Cut::Whole),
        around("5.7", Cut::Frames),
        around("5.8", Cut::Bytes(1)),
        lone("5.9", 0x80, Cut::Whole),
        lone("5.10", 0x80, Cut::Frames),
        lone("5.11", 0x80, Cut::Bytes(1)),
        lone("5.12", 0x00, Cut::Whole),
        lone("5.13", 0x00, Cut::Frames),
        lone("5.14", 0x00, Cut::Bytes(1)),
        Case::failed(
            "5.15",
            vec![one(), two(), frame(0x00, b"fragment3"), frame(0x81, b"fragment4")],
            vec![both()],
            1002,
        ),
        twice("5.16", 0x00),
        twice("5.17", 0x80),
        fails("5.18", vec![one(), frame(0x81, b"fragment2")]),
        paused("5.19", Cut::Whole),
        paused("5.20", Cut::Frames),
    ]
}
