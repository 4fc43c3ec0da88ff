//! The half of the table that goes from text to values.

use core::fmt::Debug;
use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_bytes::ByteBuf;
use tidegate::{Message, ReceiveError};

use super::types::{
    Adjacent, Any, External, Flat, Inherited, Internal, Nest, Pair, Pairs, Point, Strict, Untagged,
};
use super::{Subject, map, read};

/// Every codec reads the text as this value.
fn same<C: Subject, T: DeserializeOwned + PartialEq + Debug>(text: &str, value: T) {
    assert_eq!(read::<C, T>(text), Some(value), "{text}");
}

/// `Json` reads the text as `json`, `BrowserJson` as `browser`; `None` is a refusal.
fn apart<C: Subject, T: DeserializeOwned + PartialEq + Debug>(
    text: &str,
    json: Option<T>,
    browser: Option<T>,
) {
    assert_eq!(read::<C, T>(text), if C::IS_BROWSERS { browser } else { json }, "{text}");
}

/// No codec reads any of the texts as a value of this type.
fn refused<C: Subject, T: DeserializeOwned + PartialEq + Debug>(texts: &[&str]) {
    for text in texts {
        assert_eq!(read::<C, T>(text), None, "{text}");
    }
}

/// The whole half.
pub(crate) fn decodes<C: Subject>() {
    grammar::<C>();
    numbers::<C>();
    large_numbers::<C>();
    text_and_bytes::<C>();
    structs_and_enums::<C>();
    maps::<C>();
    nesting::<C>();
    messages::<C>();
}

fn grammar<C: Subject>() {
    same::<C, _>(" \t\r\n[ 1 , 2 ] ", [1_u8, 2]);
    same::<C, _>("[]", Vec::<u8>::new());
    refused::<C, Any>(&[
        "",
        " ",
        "{",
        "[1,]",
        "[1 2]",
        "{\"a\" 1}",
        "{a:1}",
        "'a'",
        "01",
        "+1",
        ".5",
        "1.",
        "nul",
        "NaN",
        "undefined",
        "1 2",
        "\u{feff}1",
        "\"\t\"",
        "\"\\x41\"",
        "\"",
        "\"\\u12\"",
        "\"\\ud8",
        "\"\\ud83c\\u",
        "\"\\",
        "/**/1",
    ]);
}

fn numbers<C: Subject>() {
    same::<C, _>("255", 255_u8);
    same::<C, _>("-128", -128_i8);
    same::<C, _>("1", 1.0_f64);
    same::<C, _>("1e2", 100.0_f64);
    same::<C, _>("0.1", 0.1_f32);
    same::<C, _>("1e300", 1e300);
    refused::<C, u8>(&["256", "-1", "1.5", "null", "\"1\"", "true", "[1]", "{}", "1e400"]);
    refused::<C, i8>(&["128", "-129", "-0.5", "-0"]);
    refused::<C, f64>(&["null", "\"1\"", "1e400", "-1e400"]);
    refused::<C, Any>(&["1e400", "[-1e400]"]);
    refused::<C, bool>(&["1", "0", "null", "\"true\""]);
    assert!(read::<C, f64>("-0.0").is_some_and(f64::is_sign_negative));
    assert!(read::<C, f64>("-0").is_some_and(f64::is_sign_negative));
    // Of many digits serde_json may read the float beside the nearest.
    apart::<C, f64>("0.9999999999999999", Some(1.0), Some(0.999_999_999_999_999_9));
    // JavaScript has one kind of number, so that 1.0 is 1.
    apart::<C, u8>("1.0", None, Some(1));
    apart::<C, u8>("1e2", None, Some(100));
    apart::<C, Any>("1.0", Some(Any::Float(1.0)), Some(Any::Unsigned(1)));
    same::<C, _>("1.5", Any::Float(1.5));
    same::<C, _>("-1", Any::Signed(-1));
}

fn large_numbers<C: Subject>() {
    same::<C, _>("9007199254740991", 9_007_199_254_740_991_u64);
    same::<C, _>("-9007199254740991", -9_007_199_254_740_991_i64);
    same::<C, _>("9007199254740991", Any::Unsigned(9_007_199_254_740_991));
    // Beyond, floats have neighbours only.
    same::<C, _>("9007199254740993", 9_007_199_254_740_993_u64);
    same::<C, _>("9007199254740992", 9_007_199_254_740_992_u64);
    same::<C, _>("-9007199254740993", -9_007_199_254_740_993_i64);
    same::<C, _>("18446744073709551615", u64::MAX);
    same::<C, _>("-9007199254740993", -9_007_199_254_740_993_i128);
    same::<C, _>("340282366920938463463374607431768211455", u128::MAX);
    refused::<C, u64>(&["18446744073709551616", "-9007199254740993", "1e30", "9007199254740993.0"]);
    refused::<C, i64>(&["9223372036854775808", "-9223372036854775809"]);
    refused::<C, i128>(&["170141183460469231731687303715884105728", "1e30"]);
    refused::<C, u128>(&["340282366920938463463374607431768211456", "-9007199254740993"]);
    refused::<C, u8>(&["9007199254740993"]);
    // A float is asked for, so rounding is, too.
    same::<C, _>("9007199254740993", 9_007_199_254_740_992.0_f64);
    same::<C, _>("18446744073709551616", 18_446_744_073_709_551_616.0_f64);
    same::<C, _>("9007199254740993", 9_007_199_254_740_992.0_f32);
    refused::<C, f64>(&[&"9".repeat(400)]);
    // Where the type lets the text decide.
    same::<C, _>("9007199254740993", Any::Unsigned(9_007_199_254_740_993));
    same::<C, _>("-9007199254740993", Any::Signed(-9_007_199_254_740_993));
    same::<C, _>("18446744073709551615", Untagged::Unsigned(u64::MAX));
    same::<C, _>("18446744073709551616", Untagged::Float(18_446_744_073_709_551_616.0));
    same::<C, _>("{\"value\":9007199254740993,\"kind\":\"New\"}", Adjacent::New(9_007_199_254_740_993));
    same::<C, _>(
        "{\"kind\":\"Struct\",\"a\":9007199254740993}",
        Internal::Struct { a: 9_007_199_254_740_992.0 },
    );
    refused::<C, Any>(&[
        &"9".repeat(400),
        "{9007199254740993:1}",
        "{9007199254740993 :1}",
        "09007199254740993",
    ]);
    // It is a number, where something else is wanted.
    refused::<C, String>(&["9007199254740993"]);
    refused::<C, char>(&["9007199254740993"]);
    refused::<C, bool>(&["9007199254740993"]);
    refused::<C, ()>(&["9007199254740993"]);
    refused::<C, ByteBuf>(&["9007199254740993", "[9007199254740993]"]);
    refused::<C, External>(&["9007199254740993", "{\"New\":9007199254740993}"]);
    refused::<C, Point>(&["9007199254740993"]);
    // And beside it everything is as it is.
    let text = "[\"\u{1f30a}\\ud83c\\udf0a\\\"9007199254740993\", -9007199254740993 , 9007199254740993.5, {\"9007199254740993\":null}]";
    let list = vec![
        Any::Text("\u{1f30a}\u{1f30a}\"9007199254740993".to_owned()),
        Any::Signed(-9_007_199_254_740_993),
        Any::Float(9_007_199_254_740_994.0),
        Any::Map(map([("9007199254740993".to_owned(), Any::Null)])),
    ];
    same::<C, _>(text, Any::List(list));
    // What is written as a float is one.
    same::<C, _>("9007199254740993e0", Any::Float(9_007_199_254_740_992.0));
    same::<C, _>("100000000000000000000", Any::Float(1e20));
    same::<C, _>("[1e300, 0.5]", Any::List(vec![Any::Float(1e300), Any::Float(0.5)]));
    same::<C, _>("{\"kind\":\"Struct\",\"a\":1e300}", Internal::Struct { a: 1e300 });
    let floats = |floats: [f64; 3]| Any::List(floats.map(Any::Float).into());
    same::<C, _>(
        "[0.9500000000000000,1e16,9007199254740994.0]",
        floats([0.95, 1e16, 9_007_199_254_740_994.0]),
    );
    // Nor is it an integer that stands in text.
    let list = |text: &str| Any::List(vec![Any::Text(text.to_owned()), Any::Float(1e16)]);
    same::<C, _>(r#"["9007199254740993",1e16]"#, list("9007199254740993"));
    same::<C, _>(r#"["\"9007199254740993",1e16]"#, list("\"9007199254740993"));
    same::<C, _>(r#"["\\",1e16]"#, list("\\"));
    // As text it is exact.
    same::<C, _>("\"9007199254740993\"", "9007199254740993".to_owned());
}

fn text_and_bytes<C: Subject>() {
    same::<C, _>(r#""\u00e4\ud83c\udf0a\/\"""#, "\u{e4}\u{1f30a}/\"".to_owned());
    same::<C, _>(r#""\ud83c\udf0a""#, '\u{1f30a}');
    same::<C, _>(r#""\\ud800""#, "\\ud800".to_owned());
    refused::<C, char>(&["\"\"", "\"ab\"", "1"]);
    refused::<C, String>(&["1", "null", "[]"]);
    // One half of a surrogate pair is no text in Rust, wherever it stands.
    refused::<C, String>(&[r#""\ud800""#, r#""\udf0a""#, r#""\ud83cx\udf0a""#, r#""\ud83c\ud83c\udf0a""#]);
    refused::<C, BTreeMap<String, u8>>(&[r#"{"\ud800":1}"#]);
    same::<C, _>("[0,255]", ByteBuf::from([0, 255]));
    same::<C, _>("\"a\u{e4}\"", ByteBuf::from("a\u{e4}".as_bytes()));
    refused::<C, ByteBuf>(&["[256]", "[1.5]", "1", "null", "{}"]);
}

fn structs_and_enums<C: Subject>() {
    same::<C, _>("{\"y\":1,\"x\":2.5,\"more\":[{}]}", Point { x: 2.5, y: 1, ..Point::default() });
    same::<C, _>("{\"x\":2.5,\"y\":1,\"name\":null}", Point { x: 2.5, y: 1, ..Point::default() });
    same::<C, _>("[2.5,1,\"n\",[]]", Point { x: 2.5, y: 1, name: Some("n".to_owned()), tags: vec![] });
    refused::<C, Point>(&[
        "{\"x\":1}",
        "{}",
        "[]",
        "[1,1,null,[],1]",
        "{\"x\":1,\"y\":1,\"tags\":null}",
        "null",
        "\"x\"",
    ]);
    refused::<C, Strict>(&["{\"a\":1,\"b\":2}", "{\"b\":2}"]);
    same::<C, _>("{\"__proto__\":3}", Inherited { constructor: None, to_string: 0, proto: 3 });
    refused::<C, Inherited>(&["{}", "{\"constructor\":1}"]);
    same::<C, _>("{\"a\":2,\"id\":1}", Flat { id: 1, rest: map([("a".to_owned(), 2)]) });
    // Of a field that comes twice JavaScript keeps the last.
    apart::<C, _>("{\"a\":1,\"a\":2}", None, Some(Strict { a: 2 }));

    same::<C, _>("[1,\"two\"]", Pair(1, "two".to_owned()));
    refused::<C, Pair>(&["[1]", "[1,\"two\",3]", "{}"]);
    refused::<C, [u8; 2]>(&["[1]", "[1,2,3]", "\"ab\"", "{\"0\":1,\"1\":2}"]);
    refused::<C, Vec<u8>>(&["null", "{}", "\"a\""]);
    refused::<C, ()>(&["0", "[]", "{}", "\"\""]);

    same::<C, _>("{\"Unit\":null}", External::Unit);
    same::<C, _>("{\"Struct\":[1,true]}", External::Struct { a: 1, b: Some(true) });
    refused::<C, External>(&[
        "\"New\"",
        "\"Tuple\"",
        "\"Struct\"",
        "\"unit\"",
        "\"\"",
        "{\"Unit\":1}",
        "{\"New\":null}",
        "{\"New\":\"1\"}",
        "{\"Tuple\":[1]}",
        "{\"Tuple\":[1,\"two\",3]}",
        "{\"Tuple\":1}",
        "{\"Struct\":{}}",
        "{}",
        "{\"New\":1,\"Unit\":null}",
        "[\"Unit\"]",
        "null",
        "1",
    ]);
    same::<C, _>("{\"a\":1,\"kind\":\"New\"}", Internal::New(Strict { a: 1 }));
    refused::<C, Internal>(&[
        "{}",
        "{\"kind\":\"Else\"}",
        "{\"kind\":1}",
        "{\"kind\":\"New\",\"a\":1,\"b\":1}",
    ]);
    refused::<C, Adjacent>(&["{}", "{\"kind\":\"New\"}", "{\"kind\":\"Tuple\",\"value\":[1]}"]);
    refused::<C, Untagged>(&["null", "true", "[1]", "{\"a\":256}"]);
}

fn maps<C: Subject>() {
    same::<C, _>("{\"__proto__\":1}", map([("__proto__".to_owned(), 1)]));
    same::<C, _>("{\"a\":1,\"a\":2}", map([("a".to_owned(), 2)]));
    same::<C, _>("{\"7\":1}", map([(7_u8, 1)]));
    same::<C, _>("{\"-7\":1}", map([(-7_i64, 1)]));
    same::<C, _>("{\"0\":1}", map([(0_i128, 1)]));
    same::<C, _>("{\"18446744073709551615\":1}", map([(u64::MAX, 1)]));
    same::<C, _>("{\"true\":1}", map([(true, 1)]));
    same::<C, _>("{\"x\":1}", map([('x', 1)]));
    same::<C, _>("{\"x\":1}", map([(Some("x".to_owned()), 1)]));
    same::<C, _>("{\"1.5\":1,\"-2\":2,\"1e3\":3}", Pairs(vec![(1.5, 1), (-2.0, 2), (1000.0, 3)]));
    // Keys that are indices of arrays come first in every object of JavaScript's.
    let pairs = |keys: [u8; 3]| Some(Pairs(keys.map(|key| (key, ())).to_vec()));
    apart::<C, _>("{\"10\":null,\"9\":null,\"1\":null}", pairs([10, 9, 1]), pairs([1, 9, 10]));
    refused::<C, BTreeMap<u8, u8>>(&[
        "{\"\":1}",
        "{\"a\":1}",
        "{\"256\":1}",
        "{\"-1\":1}",
        "{\"+1\":1}",
        "{\"01\":1}",
        "{\" 1\":1}",
        "{\"1 \":1}",
        "{\"-\":1}",
        "{\"1.5\":1}",
        "{\"true\":1}",
    ]);
    refused::<C, BTreeMap<i128, u8>>(&["{\"\":1}", "{\"+1\":1}", "{\"01\":1}", "{\"1x\":1}"]);
    refused::<C, BTreeMap<bool, u8>>(&["{\"True\":1}", "{\"1\":1}", "{\"\":1}"]);
    refused::<C, BTreeMap<char, u8>>(&["{\"ab\":1}", "{\"\":1}"]);
    refused::<C, Pairs<f64, u8>>(&[
        "{\"\":1}",
        "{\"x\":1}",
        "{\" 1\":1}",
        "{\"1 \":1}",
        "{\"0x1\":1}",
        "{\"1e400\":1}",
        "{\"null\":1}",
    ]);
    refused::<C, BTreeMap<String, u8>>(&["[]", "[[\"a\",1]]", "null", "\"a\"", "{\"a\":null}"]);
}

fn nesting<C: Subject>() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let levels = |mut nest: Nest| {
        let mut levels = 1;
        while let Some(inner) = nest.0.pop() {
            (nest, levels) = (inner, levels + 1);
        }
        levels
    };
    assert_eq!(read::<C, Nest>(&nested(127)).map(levels), Some(127));
    refused::<C, Nest>(&[&nested(128), &nested(100_000), &"[".repeat(100_000)]);
    same::<C, _>(&format!("[{}[]]", "[],".repeat(1000)), vec![Vec::<u8>::new(); 1001]);
    same::<C, _>(&format!("\"{}\"", "[{".repeat(1000)), "[{".repeat(1000));
    // `Json` does not count what it passes over.
    let passed_over = format!("[[1,{}]]", nested(126));
    let ignored = read::<C, Vec<(u8, IgnoredAny)>>(&passed_over).is_some();
    assert_eq!(ignored, !C::IS_BROWSERS);
}

fn messages<C: Subject>() {
    let decoded = |message| C::decode::<Vec<u8>>(message);
    assert_eq!(decoded(Message::from(b"[1,2]")).expect("JSON in bytes is JSON"), [1, 2]);
    let error = Message::Error(ReceiveError::UnsupportedData { name: "number".to_owned() });
    assert!(matches!(decoded(error).expect_err("no value").into_message(), Message::Error(_)));
    for bytes in [&b"[1"[..], b"\xff", b"\"\xc3\""] {
        assert_eq!(decoded(Message::from(bytes)).expect_err("no value").into_message(), Message::from(bytes));
    }
}
