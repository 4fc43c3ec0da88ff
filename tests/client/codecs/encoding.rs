//! The half of the table that goes from values to text, and back where it says so.

use core::fmt::Debug;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::{ByteBuf, Bytes};

use super::types::{
    Adjacent, Any, Colour, External, Flat, Inherited, Internal, New, Pair, Pairs, Point, Strict, Unit,
    Untagged, Unwritable,
};
use super::{Subject, map, read, written};

/// Every codec writes the value so, and reads it back.
fn same<C: Subject, T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, text: &str) {
    assert_eq!(written::<C>(&value).as_deref(), Some(text));
    assert_eq!(read::<C, T>(text), Some(value), "{text}");
}

/// `Json` writes the value as `json`, `BrowserJson` as `browser`; each reads back what it has written.
fn apart<C: Subject, T: Serialize + DeserializeOwned + PartialEq + Debug>(
    value: T,
    json: &str,
    browser: &str,
) {
    same::<C, T>(value, if C::IS_BROWSERS { browser } else { json });
}

/// Every codec writes the value so; what is read back is another matter.
fn written_so<C: Subject>(value: &(impl Serialize + ?Sized), text: &str) {
    assert_eq!(written::<C>(value).as_deref(), Some(text));
}

/// No codec writes the value.
fn refused<C: Subject>(value: &impl Serialize) {
    assert_eq!(written::<C>(value), None);
}

/// The whole half.
pub(crate) fn encodes<C: Subject>() {
    numbers::<C>();
    text_and_bytes::<C>();
    nothing::<C>();
    structs_and_enums::<C>();
    maps::<C>();
}

fn numbers<C: Subject>() {
    same::<C, _>(true, "true");
    same::<C, _>(0_u8, "0");
    same::<C, _>([i8::MIN, i8::MAX], "[-128,127]");
    same::<C, _>([u32::MAX], "[4294967295]");
    same::<C, _>(9_007_199_254_740_991_u64, "9007199254740991");
    same::<C, _>(-9_007_199_254_740_991_i64, "-9007199254740991");
    same::<C, _>([5_i128, -5], "[5,-5]");
    same::<C, _>(7_u128, "7");
    // Beyond, JavaScript has only every second, fourth, … integer.
    same::<C, _>(9_007_199_254_740_993_u64, "9007199254740993");
    same::<C, _>(-9_007_199_254_740_993_i64, "-9007199254740993");
    same::<C, _>([u64::MAX, 1, u64::MAX - 1], "[18446744073709551615,1,18446744073709551614]");
    same::<C, _>((i64::MIN, "9007199254740993".to_owned()), "[-9223372036854775808,\"9007199254740993\"]");
    same::<C, _>(i128::MIN, "-170141183460469231731687303715884105728");
    same::<C, _>(u128::MAX, "340282366920938463463374607431768211455");

    same::<C, _>([1.5, -0.25, 123_456.75, 5e-324], "[1.5,-0.25,123456.75,5e-324]");
    same::<C, _>(1e-7, "1e-7");
    same::<C, _>([1e300, f64::MAX], "[1e+300,1.7976931348623157e+308]");
    same::<C, _>([1.0, -2.0, 0.0, -0.0], "[1.0,-2.0,0.0,-0.0]");
    same::<C, _>([1e15, 9_007_199_254_740_992.0], "[1000000000000000.0,9007199254740992.0]");
    // The same numbers in other digits.
    apart::<C, _>(1e20, "1e+20", "100000000000000000000.0");
    apart::<C, _>(0.1_f32, "0.1", "0.10000000149011612");
    apart::<C, _>(f32::MAX, "3.4028235e+38", "3.4028234663852886e+38");
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        written_so::<C>(&value, "null");
    }
    written_so::<C>(&f32::NAN, "null");
}

fn text_and_bytes<C: Subject>() {
    same::<C, _>('a', "\"a\"");
    same::<C, _>('\u{1f30a}', "\"\u{1f30a}\"");
    same::<C, _>(String::new(), "\"\"");
    same::<C, _>(
        "\" \\ / \u{8}\u{c}\n\r\t\0\u{1f}\u{7f} \u{e4}\u{6c34}\u{1f30a}\u{2028}\u{fffd}".to_owned(),
        "\"\\\" \\\\ / \\b\\f\\n\\r\\t\\u0000\\u001f\u{7f} \u{e4}\u{6c34}\u{1f30a}\u{2028}\u{fffd}\"",
    );
    // What would be half a surrogate pair if it were an escape.
    same::<C, _>("\\ud800".to_owned(), "\"\\\\ud800\"");
    same::<C, _>(vec![0_u8, 255], "[0,255]");
    same::<C, _>(ByteBuf::from([0, 255]), "[0,255]");
    same::<C, _>(ByteBuf::new(), "[]");
    written_so::<C>(Bytes::new(&[1, 2]), "[1,2]");
}

fn nothing<C: Subject>() {
    same::<C, _>((), "null");
    same::<C, _>(Unit, "null");
    same::<C, _>(None::<u8>, "null");
    same::<C, _>(Some(1_u8), "1");
    same::<C, _>(vec![Some(1_u8), None], "[1,null]");
    // What is inside an option cannot be told from it, in no codec.
    written_so::<C>(&Some(()), "null");
    assert_eq!(read::<C, Option<()>>("null"), Some(None));
    written_so::<C>(&Some(None::<u8>), "null");
    assert_eq!(read::<C, Option<Option<u8>>>("null"), Some(None));
}

fn structs_and_enums<C: Subject>() {
    same::<C, _>(New(New(3_u8)), "3");
    same::<C, _>((1_u8, "two".to_owned(), [3.5]), "[1,\"two\",[3.5]]");
    same::<C, _>(Pair(1, "two".to_owned()), "[1,\"two\"]");
    same::<C, _>(Vec::<u8>::new(), "[]");
    same::<C, _>(Point { x: 0.5, y: -1, ..Point::default() }, "{\"x\":0.5,\"y\":-1,\"tags\":[]}");
    let point = Point { x: 0.5, y: -1, name: Some("p".to_owned()), tags: vec!["t".to_owned()] };
    same::<C, _>(point, "{\"x\":0.5,\"y\":-1,\"name\":\"p\",\"tags\":[\"t\"]}");
    same::<C, _>(
        Inherited { constructor: Some(1), to_string: 2, proto: 3 },
        "{\"constructor\":1,\"toString\":2,\"__proto__\":3}",
    );
    same::<C, _>(Flat { id: 1, rest: map([("a".to_owned(), 2)]) }, "{\"id\":1,\"a\":2}");

    same::<C, _>(External::Unit, "\"Unit\"");
    same::<C, _>(External::New(1), "{\"New\":1}");
    same::<C, _>(External::Tuple(1, "two".to_owned()), "{\"Tuple\":[1,\"two\"]}");
    same::<C, _>(External::Struct { a: 1, b: None }, "{\"Struct\":{\"a\":1,\"b\":null}}");
    same::<C, _>(Internal::Unit, "{\"kind\":\"Unit\"}");
    same::<C, _>(Internal::New(Strict { a: 1 }), "{\"kind\":\"New\",\"a\":1}");
    same::<C, _>(Internal::Struct { a: 1.5 }, "{\"kind\":\"Struct\",\"a\":1.5}");
    same::<C, _>(Internal::Struct { a: 1e300 }, "{\"kind\":\"Struct\",\"a\":1e+300}");
    same::<C, _>(Adjacent::Unit, "{\"kind\":\"Unit\"}");
    same::<C, _>(Adjacent::New(1), "{\"kind\":\"New\",\"value\":1}");
    same::<C, _>(Adjacent::Tuple(1, 2), "{\"kind\":\"Tuple\",\"value\":[1,2]}");
    same::<C, _>(Adjacent::Struct { a: 1 }, "{\"kind\":\"Struct\",\"value\":{\"a\":1}}");
    same::<C, _>(Untagged::Unsigned(1), "1");
    same::<C, _>(Untagged::Signed(-1), "-1");
    same::<C, _>(Untagged::Float(1.5), "1.5");
    same::<C, _>(Untagged::Text("t".to_owned()), "\"t\"");
    same::<C, _>(Untagged::Pair(1, "two".to_owned()), "[1,\"two\"]");
    same::<C, _>(Untagged::Struct { a: 1 }, "{\"a\":1}");
    let list = Any::List(vec![Any::Null, Any::Bool(true), Any::Unsigned(1), Any::Text("t".to_owned())]);
    same::<C, _>(Any::Map(map([("list".to_owned(), list)])), "{\"list\":[null,true,1,\"t\"]}");
    refused::<C>(&Unwritable);
    refused::<C>(&[Some(Unwritable)]);
}

fn maps<C: Subject>() {
    same::<C, _>(BTreeMap::<String, u8>::new(), "{}");
    same::<C, _>(map([(String::new(), 1), ("\u{1f30a}\"".to_owned(), 2)]), "{\"\":1,\"\u{1f30a}\\\"\":2}");
    same::<C, _>(map([("__proto__".to_owned(), map([("a".to_owned(), 1)]))]), "{\"__proto__\":{\"a\":1}}");
    same::<C, _>(map([(-7, 'a'), (-1, 'b')]), "{\"-7\":\"a\",\"-1\":\"b\"}");
    same::<C, _>(map([(0, 'a'), (7, 'b')]), "{\"0\":\"a\",\"7\":\"b\"}");
    // A key is text, and so exact at any size.
    same::<C, _>(map([(u64::MAX, 1)]), "{\"18446744073709551615\":1}");
    same::<C, _>(map([(i64::MIN, 1)]), "{\"-9223372036854775808\":1}");
    same::<C, _>(map([(i128::MIN, 1)]), "{\"-170141183460469231731687303715884105728\":1}");
    same::<C, _>(map([(u128::MAX, 1)]), "{\"340282366920938463463374607431768211455\":1}");
    same::<C, _>(map([(false, 0), (true, 1)]), "{\"false\":0,\"true\":1}");
    same::<C, _>(map([('a', 0)]), "{\"a\":0}");
    same::<C, _>(map([(Colour::Red, 0), (Colour::Green, 1)]), "{\"red\":0,\"green\":1}");
    same::<C, _>(map([(New(5_u8), 0)]), "{\"5\":0}");
    same::<C, _>(map([(Some("a".to_owned()), 0)]), "{\"a\":0}");
    same::<C, _>(Pairs(vec![(1.5, 0), (-0.25, 1)]), "{\"1.5\":0,\"-0.25\":1}");
    same::<C, _>(Pairs(vec![(2.0, 0)]), "{\"2.0\":0}");
    // As they come, and as often: what JavaScript would make of that is no matter here.
    written_so::<C>(&Pairs(vec![("b", 2), ("10", 0), ("9", 1)]), "{\"b\":2,\"10\":0,\"9\":1}");
    written_so::<C>(&Pairs(vec![("a", 1), ("a", 2)]), "{\"a\":1,\"a\":2}");
    refused::<C>(&Pairs(vec![(f64::NAN, 0)]));
    refused::<C>(&Pairs(vec![((), 0)]));
    refused::<C>(&Pairs(vec![(None::<u8>, 0)]));
    refused::<C>(&Pairs(vec![(vec![1_u8], 0)]));
    refused::<C>(&Pairs(vec![((1_u8, 2_u8), 0)]));
    refused::<C>(&Pairs(vec![(ByteBuf::new(), 0)]));
    refused::<C>(&Pairs(vec![(Strict { a: 1 }, 0)]));
    refused::<C>(&Pairs(vec![(External::New(1), 0)]));
    refused::<C>(&Pairs(vec![("a", Unwritable)]));
}
