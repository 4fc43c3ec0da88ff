//! Both codecs in a browser: the table of values, and what only `BrowserJson` has to show.

use core::error::Error;
use std::collections::BTreeMap;

use serde::Deserialize;
use tidegate::{BrowserJson, Codec, Json, Message};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::WebNet;
use crate::codecs::{decodes, encodes};
use crate::suite::typed;

#[wasm_bindgen_test]
fn b29_json_writes_what_stands_in_the_table() {
    encodes::<Json>();
}

#[wasm_bindgen_test]
fn b14_json_reads_what_stands_in_the_table() {
    decodes::<Json>();
}

#[wasm_bindgen_test]
fn b29_browser_json_writes_what_stands_in_the_table() {
    encodes::<BrowserJson>();
}

#[wasm_bindgen_test]
fn b14_browser_json_reads_what_stands_in_the_table() {
    decodes::<BrowserJson>();
}

#[wasm_bindgen_test]
async fn b29_values_by_browser_json_make_the_round_trip() {
    typed::values_make_the_round_trip::<BrowserJson>(&WebNet).await;
}

#[wasm_bindgen_test]
async fn b14_a_message_that_is_no_value_for_browser_json_is_an_error_item() {
    typed::a_message_that_is_no_value_is_an_error_item::<BrowserJson>(&WebNet).await;
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only its refusals are read")]
struct Order {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "only its refusals are read")]
struct Item {
    name: String,
    count: Option<u8>,
}

#[wasm_bindgen_test]
fn b14_a_refusal_says_what_is_wrong_and_where_and_shows_no_value() {
    for (text, words) in [
        ("{\"items\":[{\"name\":\"a\"},{\"name\":7}]}", "a number in the place of a string at items[1].name"),
        (
            "{\"items\":[{\"name\":\"secret\",\"count\":\"secret\"}]}",
            "text in the place of u8 at items[0].count",
        ),
        ("{\"items\":[{\"name\":\"a\",\"count\":300}]}", "a number in the place of u8 at items[0].count"),
        (
            "{\"items\":[{\"name\":\"a\",\"count\":9007199254740993}]}",
            "a number in the place of u8 at items[0].count",
        ),
        ("{\"items\":[{}]}", "missing field `name` at items[0]"),
        ("{\"items\":{}}", "an object in the place of a sequence at items"),
        ("null", "null in the place of struct Order"),
        ("{\"items\":[\"secret", "text that is no JSON"),
    ] {
        let error = BrowserJson::decode::<Order>(Message::from(text)).expect_err("no order");
        assert_eq!(error.source().expect("a reason").to_string(), words, "{text}");
    }
    let value = [(1, vec![BTreeMap::from([(vec![1_u8], 1)])])];
    let error = BrowserJson::encode(&value).expect_err("no key of JSON");
    let words = "a key of a map that is neither text nor number, boolean or name of a variant at [0][1][0]";
    assert_eq!(error.source().expect("a reason").to_string(), words);
}
