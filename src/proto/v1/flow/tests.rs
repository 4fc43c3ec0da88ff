mod growth;
mod random;

use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

/// A window of whose limit nothing is used, with items of `max_item` bytes.
fn opened(window: u64, max_item: u64) -> RecvWindow {
    let mut this = RecvWindow::new(65_536, 1024);
    this.open(window, max_item);
    this
}

/// `cost` arrives and is taken at once.
fn pass(window: &mut RecvWindow, now: Timestamp, cost: u64) -> u64 {
    window.receive(cost).unwrap();
    window.consume(now, cost)
}

#[test]
fn a_window_for_an_item_admits_it_in_chunks_of_any_permitted_size() {
    assert_eq!((cost(0), cost(1000), cost(u64::MAX)), (64, 1064, u64::MAX));
    // PROTOCOL section 4: what the largest settings and the constants admit.
    assert_eq!(needed(14_913_024), 16_777_216);
    assert!(needed(57_344) <= 65_536);
    assert_eq!(needed(1024), 1216);
    for item in 0..3 * 8192_u64 {
        for chunk in [512, 513, 700, 992, 1023, 4064, 8192] {
            let (whole, rest) = (item / chunk, item % chunk);
            let last = if rest > 0 || whole == 0 { cost(rest) } else { 0 };
            assert!(whole * cost(chunk) + last <= needed(item), "{item} in chunks of {chunk}");
        }
    }
}

#[test]
fn what_is_sent_is_taken_from_the_credit_and_grants_only_raise_the_limit() {
    let mut window = SendWindow::new(65_536);
    window.charge(cost(1000));
    assert_eq!((window.credit(), window.limit(), window.used()), (64_472, 65_536, 1064));
    // A repeated or lower grant changes nothing.
    assert!(!window.raise(65_536) && !window.raise(0));
    assert_eq!(window.credit(), 64_472);
    assert!(window.raise(65_537));
    assert_eq!(window.credit(), 64_473);
    // Nor is there a grant beyond what an integer of JavaScript holds.
    assert!(window.raise(u64::MAX) && !window.raise(u64::MAX));
    assert_eq!((window.limit(), SendWindow::new(u64::MAX).limit()), (MAX_LIMIT, MAX_LIMIT));
    // Who does not ask before has none left, and no more by it.
    window.charge(u64::MAX);
    window.charge(u64::MAX);
    assert_eq!(window.credit(), 0);
}

#[test]
fn one_byte_beyond_the_limit_changes_nothing() {
    let mut window = RecvWindow::new(65_536, 57_344);
    assert_eq!(window.receive(65_536), Ok(()));
    for cost in [1, 64, u64::MAX] {
        assert_eq!(window.receive(cost), Err(Overflow));
        assert_eq!((window.received(), window.limit()), (65_536, 65_536));
    }
    assert_eq!(window.receive(0), Ok(()));
}

#[test]
fn a_grant_is_due_at_a_quarter_or_for_the_rest_of_an_item() {
    // Consumed of a window of 65,536, whether an item waits: what is granted.
    let table = [
        (0, false, None),
        (0, true, None),
        (1, false, None),
        (1, true, Some(65_537)),
        (16_383, false, None),
        (16_384, false, Some(81_920)),
        (65_536, false, Some(131_072)),
    ];
    for (consumed, waits, granted) in table {
        let mut window = RecvWindow::new(65_536, 57_344);
        assert_eq!(pass(&mut window, at(0), consumed), 0);
        assert_eq!(window.grant(waits), granted, "{consumed} {waits}");
        assert_eq!(window.limit(), granted.unwrap_or(65_536));
        // Once, and repeated after a resume; that one takes in what is not granted yet.
        assert_eq!((window.grant(waits), window.regrant()), (None, 65_536 + consumed));
        assert_eq!((window.grant(true), window.limit()), (None, 65_536 + consumed));
    }
    // What has arrived is not consumed by it.
    let mut window = RecvWindow::new(65_536, 57_344);
    window.receive(65_536).unwrap();
    assert_eq!((window.grant(true), window.regrant()), (None, 65_536));
}

#[test]
fn the_walks_of_the_specification_come_to_their_limits() {
    for (taken, limit) in [(201_600, 725_888), (202_048, 726_336)] {
        let mut window = opened(524_288, 262_144);
        assert_eq!(window.limit(), 524_288);
        assert_eq!(pass(&mut window, at(0), taken), 0);
        assert_eq!(window.grant(false), Some(limit));
    }
}

#[test]
fn accept_announces_no_less_than_is_in_force_and_no_less_than_its_items_need() {
    // Window and item that are wanted of 65,536 and 57,344 (which need 64,576): what comes of it.
    let table = [
        ((0, 0), (65_536, 57_344)),
        ((65_537, 1), (65_537, 57_344)),
        ((1 << 20, 100_000), (1 << 20, 100_000)),
        ((1 << 20, 14_913_024), (16_777_216, 14_913_024)),
    ];
    for ((window, item), (limit, max_item)) in table {
        let mut fresh = RecvWindow::new(65_536, 57_344);
        assert_eq!(fresh.open(window, item), limit);
        assert_eq!((fresh.window(), fresh.limit(), fresh.max_item()), (limit, limit, max_item));
        // What was taken before is no part of the window.
        let mut used = RecvWindow::new(65_536, 57_344);
        assert_eq!(pass(&mut used, at(0), 1000), 0);
        assert_eq!((used.open(window, item), used.window()), (limit + 1000, limit));
        assert_eq!(used.grant(true), None, "ACCEPT was the grant");
    }
    // A limit that is too small for the items is mended by the first CREDIT.
    let mut small = RecvWindow::new(1000, 1024);
    assert_eq!((small.limit(), small.window()), (1000, 1216));
    assert_eq!(small.receive(1001), Err(Overflow));
    assert_eq!(small.grant(true), Some(1216));
}

#[test]
fn limits_end_at_the_largest_integer_of_javascript() {
    let mut window = RecvWindow::new(u64::MAX, u64::MAX);
    assert_eq!((window.limit(), window.window()), (MAX_LIMIT, MAX_LIMIT));
    assert!(needed(window.max_item()) <= MAX_LIMIT && window.max_item() > MAX_LIMIT / 9 * 8 - 100);
    assert_eq!(window.open(u64::MAX, u64::MAX), MAX_LIMIT);
    assert_eq!(pass(&mut window, at(0), MAX_LIMIT - 1), 0);
    assert_eq!((window.grant(true), window.grow(u64::MAX)), (None, 0));
    assert_eq!(window.receive(2), Err(Overflow));
    // Near the end what is left is granted, however little that is; then nothing is.
    let mut window = RecvWindow::new(MAX_LIMIT - 100, 1024);
    assert_eq!(pass(&mut window, at(0), 50), 0);
    assert_eq!((window.grant(false), window.grant(true)), (None, Some(MAX_LIMIT - 50)));
    assert_eq!(pass(&mut window, at(0), MAX_LIMIT - 200), 0);
    assert_eq!((window.grant(false), window.grant(true)), (Some(MAX_LIMIT), None));
}

#[test]
fn no_more_is_consumed_than_has_arrived() {
    let mut window = RecvWindow::new(65_536, 57_344);
    window.receive(100).unwrap();
    assert_eq!(window.consume(at(0), u64::MAX), 0);
    assert_eq!((window.consumed(), window.grant(true)), (100, Some(65_636)));
}

#[test]
fn half_a_window_in_two_round_trips_doubles_it_within_what_is_left() {
    // The shortest round trip, how long half a window takes in ms: whether it grows.
    let table = [
        (Some(50_000), 100, true),
        (Some(50_000), 101, false),
        // Unknown counts as 100 ms, and credit always waits for event loops.
        (None, 200, true),
        (None, 201, false),
        (Some(1), 10, true),
        (Some(1), 11, false),
        (Some(u64::MAX), 29_999, true),
    ];
    for (round_trip, took, grows) in table {
        let mut window = RecvWindow::new(65_536, 57_344);
        assert!(!window.grows(at(0), round_trip), "nothing was taken");
        assert_eq!(pass(&mut window, at(1000), 64), 0);
        assert!(!window.grows(at(1000), round_trip), "no half is over");
        assert_eq!(pass(&mut window, at(1000), 32_767), 0);
        assert!(!window.grows(at(1000), round_trip), "nor that one");
        assert_eq!(pass(&mut window, at(1000 + took), 1), 0);
        assert_eq!(window.grows(at(1000 + took), round_trip), grows, "{round_trip:?} {took}");
        assert_eq!(window.grows(at(30_999 + took), round_trip), grows, "as long as it is not idle");
        assert!(!window.grows(at(31_000 + took), round_trip));
        for spare in [0, 1000, u64::MAX] {
            let mut window = RecvWindow { ..window };
            let limit = window.regrant();
            assert_eq!(window.grow(spare), spare.min(65_536));
            assert_eq!(window.window(), 65_536 + spare.min(65_536));
            assert!(!window.grows(at(1000 + took), round_trip), "another half has to be taken first");
            assert_eq!(window.regrant(), limit + spare.min(65_536));
        }
    }
}

#[test]
fn a_second_item_of_more_than_half_a_window_doubles_it() {
    let late = |n: u64| at(n * 20_000);
    for (item, grows) in [(32_768, false), (32_769, true), (65_536, true)] {
        let mut window = RecvWindow::new(65_536, 57_344);
        for n in 1..=2 {
            assert!(!window.grows(late(n), Some(0)));
            assert_eq!(pass(&mut window, late(n), item), 0);
            window.grant(false);
        }
        assert_eq!(window.grows(late(2), Some(0)), grows, "{item}");
        assert_eq!(window.grow(u64::MAX), 65_536);
        window.grant(false);
        // As it is now, such an item is at most half of it.
        for n in 3..9 {
            assert_eq!(pass(&mut window, late(n), item), 0);
            window.grant(false);
            assert!(!window.grows(late(n), Some(0)));
        }
    }
    // Not if each is taken half a minute after the other.
    let mut window = RecvWindow::new(65_536, 57_344);
    for n in 1..9 {
        assert_eq!(pass(&mut window, at(n * 30_000), 65_536), 0);
        assert!(!window.grows(at(n * 30_000), None));
        window.grant(false);
    }
}

#[test]
fn after_thirty_idle_seconds_the_window_falls_by_what_is_taken_and_the_limit_stays() {
    let mut window = opened(100_000, 57_344);
    assert_eq!(pass(&mut window, at(0), 1000), 0);
    assert_eq!(window.grow(200_000), 100_000);
    assert_eq!(window.grant(false), Some(201_000));
    // Just before, and just then; nobody may think it fast any more.
    assert_eq!(pass(&mut window, at(29_999), 100), 0);
    assert!(!window.grows(at(59_999), Some(u64::MAX)));
    assert_eq!(window.window(), 200_000);
    // 201,000 are promised, of which 1,100 were used: 199,900 are what the peer may send. The 100 are free.
    assert_eq!(pass(&mut window, at(59_999), 0), 100);
    let mut limits = 0;
    for taken in 1..=99 {
        assert_eq!(pass(&mut window, at(60_000), 1000), 1000, "nothing of it is granted again");
        limits += u32::from(window.grant(true).is_some());
        assert_eq!(window.window(), 199_900 - taken * 1000);
        assert_eq!((window.limit(), window.grows(at(60_000), Some(0)) && taken < 50), (201_000, false));
    }
    assert_eq!(limits, 0);
    // Then it is the first one again, and what is taken is granted.
    assert_eq!(pass(&mut window, at(60_000), 1000), 900);
    assert_eq!((window.window(), window.grant(true)), (100_000, Some(201_100)));
    assert_eq!((pass(&mut window, at(60_000), 1000), window.grant(true)), (0, Some(202_100)));
}

#[test]
fn a_window_that_is_wanted_again_stops_shrinking() {
    let mut window = opened(100_000, 1024);
    assert_eq!(pass(&mut window, at(0), 1), 0);
    assert_eq!(window.grow(u64::MAX), 100_000);
    window.grant(false);
    let fell = pass(&mut window, at(30_000), 10_000) + pass(&mut window, at(30_001), 95_000);
    assert_eq!((fell, window.window()), (100_000, 100_000));
    assert!(window.grows(at(30_001), None));
    assert_eq!((window.grow(70_000), window.window()), (70_000, 170_000));
    assert_eq!(window.grant(false), Some(275_001));
    assert_eq!((pass(&mut window, at(30_002), 1), window.window()), (0, 170_000));
    // ACCEPT with a larger one, while it shrinks: as far as that.
    assert_eq!(pass(&mut window, at(90_000), 1000), 1001);
    assert_eq!((window.open(120_000, 1024), window.window()), (275_001, 168_999));
    assert_eq!((pass(&mut window, at(90_000), 60_000), window.window()), (48_999, 120_000));
}

#[test]
fn behind_the_end_only_what_waits_is_promised_and_nothing_is_granted() {
    let mut window = opened(100_000, 57_344);
    window.receive(70_000).unwrap();
    assert_eq!(window.consume(at(0), 30_000), 0);
    assert_eq!(window.end(), 60_000);
    assert_eq!((window.window(), window.limit()), (40_000, 100_000));
    assert_eq!(
        (window.grant(true), window.regrant(), window.open(1 << 30, 1 << 20)),
        (None, 100_000, 100_000)
    );
    assert_eq!(window.receive(1), Err(Overflow));
    assert_eq!(window.consume(at(1), 30_000), 30_000);
    assert!(!window.grows(at(1), None));
    assert_eq!((window.grow(u64::MAX), window.window(), window.end()), (0, 10_000, 0));
    assert_eq!(window.consume(at(60_000), 10_000), 10_000);
    assert_eq!((window.window(), window.grant(true)), (0, None));
}
