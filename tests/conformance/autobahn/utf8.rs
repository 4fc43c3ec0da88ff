//! Section 6: what is UTF-8 and what is not, in one frame or many, and how soon it shows.
//!
//! Groups 5 to 23 follow Markus Kuhn's stress test for UTF-8 decoders, one payload a case.

use tidegate::proto::ws::MessageKind::Text;

use super::case::{Answer, Case, Payload, Sent};

/// Greek, two and three bytes a letter.
const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";

/// Letters of one and two bytes, in two halves.
const HALVES: [&str; 2] = ["Hello-\u{b5}@\u{df}\u{f6}\u{e4}", "\u{fc}\u{e0}\u{e1}-UTF-8!!"];

/// Sequences of two to six bytes that lack their last one; those of five and six could not be completed
/// either, nor could the overlong ones at the beginning.
const CUT_OFF: [&[u8]; 10] = [
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xf8\x80\x80\x80",
    b"\xfc\x80\x80\x80\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xfb\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf",
];

fn frame(first: u8, payload: impl Into<Payload>) -> Sent {
    Sent::Frame(first, payload.into())
}

fn text(payload: impl Into<Payload>) -> Answer {
    Answer::Message(Text, payload.into())
}

pub fn cases() -> Vec<Case> {
    let mut cases = in_fragments();
    cases.extend(fail_fast());
    for (group, (valid, payloads)) in (5..).zip(groups()) {
        for (number, payload) in (1..).zip(payloads) {
            let id = format!("6.{group}.{number}");
            let is_valid = match valid {
                Valid::All => true,
                Valid::None => false,
                Valid::Only(numbers) => numbers.contains(&number),
            };
            cases.push(if is_valid {
                Case::answered(id, vec![frame(0x81, &payload)], vec![text(&payload)])
            } else {
                Case::failed(id, vec![frame(0x81, &payload)], vec![], 1007)
            });
        }
    }
    cases
}

/// Groups 1 to 3: empty fragments, and fragments that end inside a character.
fn in_fragments() -> Vec<Case> {
    let [one, two] = HALVES;
    let whole = HALVES.concat();
    let bad = [KOSME, b"\xed\xa0\x80edited"].concat();
    let middle = b"middle frame payload";
    let bytewise = |payload: &[u8]| vec![Sent::Fragments(Text, payload.into(), 1)];
    let answered = |id: &str, sent: Vec<Sent>, payload: &[u8]| Case::answered(id, sent, vec![text(payload)]);
    vec![
        answered("6.1.1", vec![frame(0x81, b"")], b""),
        answered("6.1.2", vec![frame(0x01, b""), frame(0x00, b""), frame(0x80, b"")], b""),
        answered("6.1.3", vec![frame(0x01, b""), frame(0x00, middle), frame(0x80, b"")], middle),
        answered("6.2.1", vec![frame(0x81, &whole)], whole.as_bytes()),
        answered("6.2.2", vec![frame(0x01, one), frame(0x80, two)], whole.as_bytes()),
        answered("6.2.3", bytewise(whole.as_bytes()), whole.as_bytes()),
        answered("6.2.4", bytewise(KOSME), KOSME),
        Case::failed("6.3.1", vec![frame(0x81, &bad)], vec![], 1007),
        Case::failed("6.3.2", bytewise(&bad), vec![], 1007),
    ]
}

/// Group 4: the first part is the beginning of a valid text and nothing happens; the second has the byte
/// that makes it impossible, and fails at once, though more of the message could come.
fn fail_fast() -> Vec<Case> {
    // Above U+10FFFF, which the 13th byte decides.
    let bad = [KOSME, b"\xf4\x90\x80\x80edited"].concat();
    let frames = |id: &str, cut: usize, end: usize| {
        let (start, rest) = (frame(0x01, &bad[..cut]), frame(0x00, &bad[cut..end]));
        Case::failed(id, vec![rest], vec![], 1007).after(vec![start], vec![])
    };
    let chops = |id: &str, cut: usize, end: usize| {
        let part = |range| vec![Sent::Part(0x81, Payload::from(&bad), range)];
        Case::failed(id, part(cut..end), vec![], 1007).after(part(0..cut), vec![])
    };
    vec![frames("6.4.1", 11, 15), frames("6.4.2", 12, 13), chops("6.4.3", 11, 15), chops("6.4.4", 12, 13)]
}

fn owned(payloads: &[&[u8]]) -> Vec<Vec<u8>> {
    payloads.iter().map(|payload| payload.to_vec()).collect()
}

/// Which cases of a group have a valid text.
#[derive(Clone, Copy)]
enum Valid {
    All,
    None,
    /// Those with these numbers.
    Only(&'static [usize]),
}

/// The payloads of groups 5 to 23, and which of them are valid.
fn groups() -> [(Valid, Vec<Vec<u8>>); 19] {
    use Valid::{All, None, Only};
    let texts =
        |texts: &[&str]| -> Vec<Vec<u8>> { texts.iter().map(|text| text.as_bytes().to_vec()).collect() };
    let hello = ["$", "\u{a2}", "\u{20ac}", "\u{24b62}"].map(|c| format!("hello{c}world").into_bytes());
    let high = [0xd800, 0xdb7f, 0xdb80, 0xdbff];
    let pair = |high, low| [surrogate(high), surrogate(low)].concat();
    [
        // Some valid text.
        (All, [&hello[..], &[KOSME.to_vec()]].concat()),
        // Every beginning of one.
        (Only(&[2, 5, 7, 9, 11]), (1..=KOSME.len()).map(|len| KOSME[..len].to_vec()).collect()),
        // The first of each length.
        (All, texts(&["\0", "\u{80}", "\u{800}", "\u{10000}"])),
        (None, owned(&[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"])),
        // The last of each length.
        (All, texts(&["\u{7f}", "\u{7ff}", "\u{ffff}", "\u{10ffff}"])),
        (None, owned(&[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"])),
        // Around the surrogates and the end of Unicode.
        (
            Only(&[1, 2, 3, 4]),
            [texts(&["\u{d7ff}", "\u{e000}", "\u{fffd}", "\u{10ffff}"]), owned(&[b"\xf4\x90\x80\x80"])]
                .concat(),
        ),
        (None, continuations()),
        (None, lonely_starts()),
        (None, owned(&CUT_OFF)),
        (None, vec![CUT_OFF.concat()]),
        // Bytes that never occur.
        (None, owned(&[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"])),
        (None, overlong(b'/')),
        // The largest overlong of each length.
        (
            None,
            owned(&[
                b"\xc1\xbf",
                b"\xe0\x9f\xbf",
                b"\xf0\x8f\xbf\xbf",
                b"\xf8\x87\xbf\xbf\xbf",
                b"\xfc\x83\xbf\xbf\xbf\xbf",
            ]),
        ),
        (None, overlong(0)),
        // Surrogates, alone and in pairs.
        (None, [&high[..], &[0xdc00, 0xdf80, 0xdfff]].concat().into_iter().map(surrogate).collect()),
        (None, high.into_iter().flat_map(|high| [pair(high, 0xdc00), pair(high, 0xdfff)]).collect()),
        (All, non_characters()),
        // Specials: annotation, the replacement character, and the last two of the plane.
        (All, ('\u{fff9}'..='\u{ffff}').map(|c| c.to_string().into_bytes()).collect()),
    ]
}

/// Continuation bytes with nothing to continue: one to six, and all but the last in a row.
fn continuations() -> Vec<Vec<u8>> {
    let mut payloads = owned(&[b"\x80", b"\xbf"]);
    payloads.extend((2..=6).map(|len| b"\x80\xbf".repeat(3)[..len].to_vec()));
    payloads.push((0x80..0xbf).collect());
    payloads
}

/// All but the last of the bytes that start sequences of two to six bytes, each followed by a space.
fn lonely_starts() -> Vec<Vec<u8>> {
    let starts = [0xc0..0xdf, 0xe0..0xef, 0xf0..0xf7, 0xf8..0xfb, 0xfc..0xfd];
    starts.map(|starts| starts.flat_map(|start| [start, b' ']).collect()).to_vec()
}

/// An ASCII character in two to six bytes.
fn overlong(ascii: u8) -> Vec<Vec<u8>> {
    let starts = [(0xc0, 2), (0xe0, 3), (0xf0, 4), (0xf8, 5), (0xfc, 6)];
    let sequence = |(start, len): (u8, usize)| {
        let mut bytes = vec![0x80; len];
        bytes[0] = start;
        bytes[len - 1] |= ascii;
        bytes
    };
    starts.map(sequence).to_vec()
}

/// Half of a UTF-16 pair, as if it were a character.
fn surrogate(code: u16) -> Vec<u8> {
    let [high, low] = [(code >> 6).to_le_bytes()[0] & 0x3f, code.to_le_bytes()[0] & 0x3f];
    vec![0xed, 0x80 | high, 0x80 | low]
}

/// The last two code points of each plane, and those of each quarter of one: no characters, and valid.
fn non_characters() -> Vec<Vec<u8>> {
    let mut payloads = owned(&[b"\xef\xbf\xbe", b"\xef\xbf\xbf"]);
    for first in 0xf0..=0xf4 {
        for second in [0x8f, 0x9f, 0xaf, 0xbf] {
            // Below are overlong forms, above is the end of Unicode.
            if (first, second) == (0xf0, 0x8f) || (first == 0xf4 && second > 0x8f) {
                continue;
            }
            payloads.extend([0xbe, 0xbf].map(|last| vec![first, second, 0xbf, last]));
        }
    }
    payloads
}
