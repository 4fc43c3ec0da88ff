//! Both codecs on values and texts that nobody chose: what one writes the other reads, and what one refuses the
//! other does.

use std::collections::BTreeMap;

use tidegate::{BrowserJson, Codec, Json, Message};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::codecs::Any;
use crate::suite::amount;

/// The same numbers in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 11 ^ self.0
    }

    #[allow(clippy::cast_possible_truncation, reason = "below a bound of that size")]
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 10] =
            ["", "a", "\"", "\\", "\n", "\u{1f}", "\u{e4}", "\u{1f30a}", "9007199254740993", "__proto__"];
        (0..self.below(4)).map(|_| PARTS[self.below(10)]).collect()
    }

    #[allow(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
    fn value(&mut self, depth: usize) -> Any {
        let kinds = if depth == 0 { 6 } else { 8 };
        match self.below(kinds) {
            0 => Any::Null,
            1 => Any::Bool(self.below(2) == 0),
            // Of every length.
            2 => Any::Unsigned(self.next() >> self.below(64)),
            3 => Any::Signed(!(self.next() >> (1 + self.below(63))).cast_signed()),
            // Of so few digits that `Json` reads them exactly.
            4 => Any::Float(f64::from(self.next() as u32) / 8.0 + 0.0625),
            5 => Any::Text(self.text()),
            6 => Any::List((0..self.below(4)).map(|_| self.value(depth - 1)).collect()),
            _ => Any::Map(
                (0..self.below(4)).map(|_| (self.text(), self.value(depth - 1))).collect::<BTreeMap<_, _>>(),
            ),
        }
    }
}

fn written<C: Codec>(value: &Any) -> String {
    C::encode(value).ok().and_then(|message| message.into_text().ok()).expect("it can be written")
}

fn read<C: Codec>(text: &str) -> Option<Any> {
    C::decode(Message::from(text)).ok()
}

#[wasm_bindgen_test]
fn b29_either_codec_reads_what_the_other_has_written() {
    let mut chance = Chance(29);
    for _ in 0..amount(20_000) {
        let value = chance.value(4);
        let (json, browser) = (written::<Json>(&value), written::<BrowserJson>(&value));
        assert_eq!(json, browser);
        assert_eq!(read::<BrowserJson>(&json).as_ref(), Some(&value), "{json}");
        assert_eq!(read::<Json>(&json), Some(value), "{json}");
    }
}

#[wasm_bindgen_test]
fn b14_either_codec_refuses_what_the_other_refuses() {
    const BYTES: &[u8] = b"\"\\{}[],:0123456789-+.eEu dcDCtrfalsn\x01\n";
    let mut chance = Chance(14);
    let mut refused = 0;
    for _ in 0..amount(100_000) {
        let mut bytes = written::<Json>(&chance.value(3)).into_bytes();
        for _ in 0..=chance.below(2) {
            let at = chance.below(bytes.len() + 1);
            let byte = BYTES[chance.below(BYTES.len())];
            match chance.below(3) {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => drop(bytes.remove(at)),
                _ => {}
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let (json, browser) = (read::<Json>(&text), read::<BrowserJson>(&text));
        assert_eq!(json.is_some(), browser.is_some(), "{text}");
        refused += u32::from(json.is_none());
    }
    assert!(refused > amount(10_000), "{refused} were refused: too few to say much");
}
