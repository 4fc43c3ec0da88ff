//! The cases of the Autobahn test suite's sections 1 to 10, without the suite: what its peer sends, and
//! what an endpoint that echoes must answer. Section 8 does not exist; 11 does neither, and 12 and 13 are
//! permessage-deflate's.
//!
//! Where the suite takes several answers for an answer, the strictest stands here. `cargo xtask autobahn`
//! runs the suite itself, over TCP.

mod case;
mod closing;
mod framing;
mod utf8;
mod volume;

use core::ops::RangeInclusive;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use self::case::Case;

/// How many cases the suite has in each section.
const SECTIONS: [(u32, usize); 9] =
    [(1, 16), (2, 11), (3, 7), (4, 10), (5, 20), (6, 145), (7, 37), (9, 54), (10, 1)];

fn table() -> Vec<Case> {
    [
        framing::messages(),
        framing::pings(),
        framing::reserved_bits(),
        framing::reserved_opcodes(),
        framing::fragments(),
        utf8::cases(),
        closing::cases(),
        volume::limits(),
        volume::fragmented(),
    ]
    .concat()
}

/// Runs all cases of a section.
fn run(section: u32) {
    run_groups(section, 0..=u32::MAX);
}

/// Runs the cases of a section whose second number is in `groups`.
fn run_groups(section: u32, groups: RangeInclusive<u32>) {
    let mut cases = table();
    cases.retain(|case| {
        let number = case.number();
        number[0] == section && groups.contains(&number[1])
    });
    assert!(!cases.is_empty());
    cases.iter().for_each(Case::run);
}

#[test]
fn the_table_has_every_case_of_the_suite() {
    let table = table();
    let count = |section| table.iter().filter(|case| case.number()[0] == section).count();
    assert_eq!(SECTIONS.map(|(section, _)| (section, count(section))), SECTIONS);
    assert_eq!(table.len(), 301);
    // In the suite's order, so that none is there twice.
    assert!(table.iter().map(Case::number).is_sorted_by(|one, next| one < next));
}

#[test]
fn autobahn_1_messages_of_every_form_of_length() {
    run(1);
}

#[test]
fn b66_autobahn_2_pings_and_pongs() {
    run(2);
}

#[test]
fn b59_autobahn_3_reserved_bits() {
    run(3);
}

#[test]
fn b59_autobahn_4_reserved_opcodes() {
    run(4);
}

#[test]
fn b59_b66_autobahn_5_fragments() {
    run(5);
}

#[test]
fn b60_autobahn_6_utf8() {
    run(6);
}

#[test]
fn b65_autobahn_7_closing() {
    run(7);
}

#[test]
fn b61_autobahn_9_large_messages() {
    run_groups(9, 1..=2);
}

#[test]
fn b61_autobahn_9_large_messages_in_fragments() {
    run_groups(9, 3..=4);
}

#[test]
fn b61_autobahn_9_small_pieces_and_many_messages() {
    run_groups(9, 5..=8);
}

#[test]
fn autobahn_10_a_message_in_many_fragments() {
    run(10);
}
