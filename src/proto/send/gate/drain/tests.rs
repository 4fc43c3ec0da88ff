//! Each line of the table, and what is told of it.

use super::{Drain, Drained, FORGET, SHORTEST, STILL};
use crate::time::Timestamp;

const BUDGET: u64 = 64 << 10;
/// What makes a burst large.
const LARGE: u64 = super::LARGE * BUDGET;

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// What is told of `gone`, in a window that is not the first.
fn gone(drain: &mut Drain, micros: u64, gone: u64) -> Drained {
    drain.handle_gone(at(micros), gone, gone, BUDGET, false)
}

fn unknown() -> Drain {
    let mut drain = Drain::new();
    drain.begin(at(0), false);
    drain
}

#[test]
fn a_burst_is_large_once_so_much_has_gone_and_others_are_taken_for_that_for_a_while() {
    let mut drain = unknown();
    assert_eq!(gone(&mut drain, 10, LARGE - 1), Drained::Some);
    assert_eq!(gone(&mut drain, 20, 1), Drained::Large { fills: true });
    assert_eq!(gone(&mut drain, 20 + STILL, 0), Drained::Over);
    assert!(drain.is_eager(at(19 + FORGET)), "it was one not long ago");
    assert!(!drain.is_eager(at(20 + FORGET)));
}

#[test]
fn what_hidden_buffers_can_have_taken_is_told() {
    let mut drain = unknown();
    assert_eq!(gone(&mut drain, 10, super::HIDDEN - 1), Drained::Large { fills: true });
    assert_eq!(gone(&mut drain, 20, 1), Drained::Large { fills: false });
}

#[test]
fn a_burst_that_is_over_before_is_small_and_so_are_all_others() {
    let mut drain = unknown();
    gone(&mut drain, 10, LARGE - 1);
    assert_eq!(gone(&mut drain, 10 + STILL, 0), Drained::Over);
    assert!(!drain.is_eager(at(10 + STILL)));
    assert_eq!(gone(&mut drain, 20 + STILL, 2 * LARGE), Drained::Some);

    // Also behind large ones.
    let mut drain = unknown();
    gone(&mut drain, 10, LARGE);
    gone(&mut drain, 10 + STILL, 0);
    gone(&mut drain, 20 + STILL, LARGE - 1);
    assert!(drain.is_eager(at(20 + STILL)));
    assert_eq!(gone(&mut drain, 20 + 2 * STILL, 0), Drained::Over);
    assert!(!drain.is_eager(at(20 + 2 * STILL)));
}

#[test]
fn in_the_first_window_a_small_burst_says_nothing_as_buffers_fill() {
    let mut drain = unknown();
    gone(&mut drain, 10, 1);
    assert_eq!(drain.handle_gone(at(10 + STILL), 0, 0, BUDGET, true), Drained::Over);
    assert!(drain.is_eager(at(10 + STILL)));
}

#[test]
fn without_a_large_burst_nothing_is_awaited_for_ever() {
    let mut drain = unknown();
    assert!(drain.is_eager(at(FORGET - 1)));
    assert!(!drain.is_eager(at(FORGET)));
    assert_eq!(gone(&mut drain, FORGET, LARGE), Drained::Some);
    drain.begin(at(2 * FORGET), true);
    assert!(!drain.is_eager(at(2 * FORGET)), "the link is known");
    drain.begin(at(3 * FORGET), false);
    assert!(drain.is_eager(at(3 * FORGET)), "it may be another");
}

#[test]
fn it_stands_as_soon_as_a_timer_has_found_nothing_and_a_busy_page_is_no_timer() {
    let mut drain = unknown();
    gone(&mut drain, 10, 1);
    assert_eq!(gone(&mut drain, 9 + SHORTEST, 0), Drained::Some);
    assert_eq!(gone(&mut drain, 10 + SHORTEST, 0), Drained::Stands);
    drain.handle_busy(at(20 + SHORTEST), SHORTEST);
    assert_eq!(drain.still(at(20 + SHORTEST)), 10);
    assert_eq!(gone(&mut drain, 20 + SHORTEST, 0), Drained::Some);
    // A clock that went back, or was wrong by hours.
    drain.handle_busy(at(30 + SHORTEST), u64::MAX);
    assert_eq!(drain.still(at(30 + SHORTEST)), 0);
}

#[test]
fn after_a_short_pause_a_burst_goes_on() {
    let mut drain = unknown();
    gone(&mut drain, 10, LARGE - 1);
    drain.go_on(at(STILL), true);
    assert_eq!(drain.still(at(STILL)), 0);
    drain.go_on(at(STILL + 5), false);
    assert_eq!(drain.still(at(STILL + 5)), 5, "what stood still does so");
    assert_eq!(gone(&mut drain, STILL + 10, 1), Drained::Large { fills: true });
    drain.begin(at(2 * STILL), true);
    assert_eq!(gone(&mut drain, 2 * STILL + 10, 1), Drained::Some);
}

#[test]
fn what_stands_takes_as_long_as_the_burst_did() {
    let mut drain = unknown();
    assert_eq!(drain.takes(at(10), 100), 0, "none has begun");
    gone(&mut drain, 100, 50);
    assert_eq!(drain.takes(at(200), 100), 200);
}
