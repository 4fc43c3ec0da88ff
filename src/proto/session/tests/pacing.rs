//! Priorities, deadlines and pacing over a transport that takes everything at once.

use core::time::Duration;

use super::host::{Host, ticket};
use crate::proto::outcome::Outcome;
use crate::proto::payload::{HostedKind, Payload};
use crate::proto::send::{Flow, GateConfig, NewMessage, Priority};

pub(super) const KIB: usize = 1 << 10;

/// A session behind a gate, open.
pub(super) fn fresh() -> Host {
    behind(GateConfig::default())
}

fn behind(config: GateConfig) -> Host {
    let mut host = Host::behind_gate(true, Some(config));
    host.session.handle_opened();
    host.drain();
    host
}

/// Lets time pass in a page that is not busy: whatever is due fires within half a millisecond.
pub(super) fn idle(host: &mut Host, millis: u64) {
    for _ in 0..2 * millis {
        host.pass(Duration::from_micros(500));
    }
}

/// As [`fresh`], over a link that is known to be slow: something has stood there, and is gone.
fn open() -> Host {
    let mut host = fresh();
    for number in 10_001..=10_009 {
        host.send_new(new(Priority::Normal, 64 * KIB, number));
    }
    idle(&mut host, 60);
    for _ in 0..5 {
        host.standing = 0;
        host.pass(Duration::from_millis(5));
    }
    assert_eq!((host.due, host.sent.len(), host.session.gauges().budget_bytes), (None, 9, 64 << 10));
    (host.standing, host.looks) = (0, 0);
    host.sent.clear();
    host
}

pub(super) fn new(priority: Priority, bytes: usize, number: u64) -> NewMessage {
    NewMessage { priority, ..NewMessage::normal(Payload::Binary(vec![0; bytes]), Some(ticket(number))) }
}

/// So many bulk messages of `bytes`, numbered from 1.
pub(super) fn send_bulk(host: &mut Host, messages: u64, bytes: usize) {
    for number in 1..=messages {
        host.send_new(new(Priority::Bulk, bytes, number));
    }
}

fn sizes(host: &Host) -> Vec<usize> {
    host.sent.iter().map(|sent| usize::try_from(sent.bytes).unwrap()).collect()
}

/// Lets the timer fire that the session has asked for, after `drained` bytes have gone.
fn turn(host: &mut Host, drained: u64) {
    host.standing = host.standing.saturating_sub(drained);
    let due = host.due.expect("something waits");
    // At once takes some time as well.
    host.pass(due.saturating_since(host.now).max(Duration::from_micros(20)));
}

#[test]
fn b21_at_first_eight_budgets_may_stand_until_something_does() {
    let mut host = fresh();
    send_bulk(&mut host, 100, 16 * KIB);
    assert_eq!((host.sent.len(), host.standing), (32, 512 << 10));
    // While the page is busy nothing can be seen to go, however long that is.
    host.pass(Duration::from_millis(100));
    assert_eq!(host.session.gauges().budget_bytes, 512 << 10);
    // A part of a fast link's buffer is free now and then, and less than 40 ms apart.
    idle(&mut host, 24);
    assert_eq!(host.session.gauges().budget_bytes, 256 << 10);
    idle(&mut host, 28);
    assert_eq!(host.session.gauges().budget_bytes, 64 << 10);
}

#[test]
fn b21_no_more_than_the_budget_is_handed_over() {
    let mut host = open();
    send_bulk(&mut host, 100, 16 * KIB);
    assert_eq!((sizes(&host), host.standing), (vec![16 * KIB; 4], 64 << 10));
    for _ in 0..40 {
        turn(&mut host, 10_000);
        assert!(host.standing <= 64 << 10);
    }
    assert!(host.sent.len() > 25, "{}", host.sent.len());
}

#[test]
fn b21_a_message_above_the_budget_goes_when_half_of_it_is_free() {
    let mut host = open();
    host.send_new(new(Priority::Normal, 33 * KIB, 1));
    host.send_new(new(Priority::Normal, 1 << 20, 2));
    assert_eq!(sizes(&host), [33 * KIB]);
    turn(&mut host, 2 << 10);
    assert_eq!(sizes(&host), [33 * KIB, 1 << 20]);
}

#[test]
fn b24_an_urgent_message_leaves_at_once_while_the_budget_is_full() {
    let mut host = open();
    for number in 1..=10 {
        host.send_new(new(Priority::Bulk, 32 * KIB, number));
    }
    assert_eq!(sizes(&host), [32 * KIB; 2]);
    host.send_new(new(Priority::Urgent, 32, 11));
    assert_eq!(sizes(&host), [32 * KIB, 32 * KIB, 32]);
    // The next one would be above it by more than a message.
    host.send_new(new(Priority::Urgent, 33, 12));
    assert_eq!(host.sent.len(), 3);
    turn(&mut host, 40_000);
    assert_eq!(sizes(&host)[3..], [33, 32 * KIB]);
}

#[test]
fn b22_a_fast_link_is_known_by_its_rate() {
    for (bytes_per_micro, is_fast) in [(100, true), (4, false)] {
        let mut host = open();
        for number in 1..=40_000 {
            host.send_new(new(Priority::Bulk, KIB, number));
        }
        while host.sent.len() < 30_000 {
            let due = host.due.expect("something waits");
            let wait = due.micros_since(host.now).max(20);
            turn(&mut host, wait * bytes_per_micro);
        }
        let budget = host.session.gauges().budget_bytes;
        assert!(if is_fast { budget > 1_500_000 } else { budget == 64 << 10 }, "{budget}");
    }
}

#[test]
fn b22_a_fast_link_is_known_though_timers_are_late_and_only_a_budget_goes_at_a_time() {
    for late in [0, 4, 40] {
        let mut host = open();
        for number in 1..=2_000 {
            host.send_new(new(Priority::Bulk, 64 * KIB, number));
        }
        for _ in 0..300 {
            host.standing = 0;
            let Some(due) = host.due else { break };
            host.pass(due.saturating_since(host.now) + Duration::from_millis(late));
        }
        let budget = host.session.gauges().budget_bytes;
        assert!(budget > 1 << 20, "{late} ms late: {budget}");
    }
}

#[test]
fn b23_a_slow_link_is_looked_at_by_timers_once_it_is_known() {
    let mut host = open();
    for number in 1..=6_000 {
        host.send_new(new(Priority::Bulk, KIB, number));
    }
    let (mut hops, mut timers) = ([0, 0], 0);
    while host.sent.len() < 5_900 {
        let wait = host.due.unwrap().saturating_since(host.now).max(Duration::from_micros(20));
        let is_hop = wait == Duration::from_micros(20);
        let is_known = host.session.gauges().bytes_per_second > 0;
        hops[usize::from(is_known)] += u32::from(is_hop);
        timers += u32::from(!is_hop);
        // 2 MB/s.
        turn(&mut host, 2 * u64::try_from(wait.as_micros()).unwrap());
    }
    assert!(hops[0] > 0 && hops[1] == 0 && timers > 100, "{hops:?} {timers}");
}

#[test]
fn b21_on_a_slow_link_nothing_but_what_is_urgent_goes_to_a_browser_in_which_something_stands() {
    let mut host = fresh();
    send_bulk(&mut host, 300, 16 * KIB);
    // 2 MB/s, until that is known and something stands.
    while host.session.gauges().bytes_per_second == 0 || host.standing < 40_000 {
        host.standing = host.standing.saturating_sub(2_000);
        host.pass(Duration::from_millis(1));
    }
    idle(&mut host, 60);
    let sent = host.sent.len();
    // A message has gone, and another; the budget has room, but the buffers below are full.
    for standing in [32_000, 16_000, 1] {
        host.standing = standing;
        idle(&mut host, 60);
        assert_eq!(host.sent.len(), sent, "{standing}");
    }
    host.send_new(new(Priority::Urgent, 5, 1_000));
    assert_eq!(host.sent.len(), sent + 1);
    host.standing = 0;
    idle(&mut host, 60);
    assert_eq!(host.sent.len(), sent + 5, "a budget in four messages");
}

#[test]
fn b23_nothing_is_asked_for_when_nothing_waits() {
    let mut host = open();
    assert_eq!(host.due, None);
    // Small messages need no look and no timer, until a budget of them has gone.
    for number in 1..=64 {
        host.send_new(new(Priority::Normal, KIB, number));
    }
    assert_eq!((host.due, host.sent.len()), (None, 64));
    assert!(host.looks <= 1, "one to learn of what was there before");
    host.looks = 0;
    host.standing = 0;
    host.send_new(new(Priority::Normal, KIB, 65));
    assert_eq!((host.due, host.looks, host.sent.len()), (None, 1, 65));
    host.standing = 64 << 10;
    for number in 66..=140 {
        host.send_new(new(Priority::Normal, KIB, number));
    }
    assert!(host.due.is_some());
    host.standing = 0;
    turn(&mut host, 0);
    assert_eq!(host.due, None);
}

#[test]
fn b23_a_stalled_transport_is_looked_at_seldom() {
    let mut host = open();
    for number in 1..=10 {
        host.send_new(new(Priority::Normal, 64 * KIB, number));
    }
    let looks = host.looks;
    let mut passed = Duration::ZERO;
    while passed < Duration::from_secs(60) {
        let before = host.now;
        turn(&mut host, 0);
        passed += host.now.saturating_since(before);
    }
    let looks = host.looks - looks;
    assert!((200..400).contains(&looks), "{looks} looks in a minute");
    // It goes on as soon as something moves.
    turn(&mut host, 64 << 10);
    assert_eq!(host.sent.len(), 2);
}

#[test]
fn sends_while_one_waits_look_no_more_often() {
    let mut host = open();
    for number in 1..=1000 {
        host.send_new(new(Priority::Normal, 16 * KIB, number));
    }
    assert!(host.looks <= 2, "{}", host.looks);
    host.now = host.now.saturating_add(Duration::from_millis(5));
    host.standing = 0;
    host.send_new(new(Priority::Normal, 1, 1001));
    assert_eq!(host.sent.len(), 8, "a send after a while looks as well");
}

#[test]
fn b26_a_message_expires_on_time_and_is_never_started() {
    let mut host = open();
    let due = |host: &Host, millis| Some(host.now.saturating_add(Duration::from_millis(millis)));
    host.send_new(new(Priority::Bulk, 64 * KIB, 1));
    for (number, millis) in [(2, 30), (3, 10), (4, 0)] {
        let deadline = due(&host, millis);
        host.send_new(NewMessage { deadline, ..new(Priority::Bulk, 10, number) });
    }
    assert_eq!(host.outcome(4), Some(Outcome::Expired), "in the past");
    host.pass(Duration::from_millis(10));
    assert_eq!((host.outcome(3), host.outcome(2)), (Some(Outcome::Expired), None));
    // The timer comes late: what has expired meanwhile does not go, though there is room now.
    host.standing = 0;
    host.pass(Duration::from_secs(1));
    assert_eq!((host.outcome(2), host.sent.len()), (Some(Outcome::Expired), 1));
    host.transport_end(1006, false);
    assert_eq!(host.left(), [(0, 0), (10, 10 * (64 << 10))], "expired is neither unsent nor unknown");
}

#[test]
fn b26_deadlines_pass_while_the_connection_opens() {
    let mut host = Host::behind_gate(true, Some(GateConfig::default()));
    let deadline = Some(host.now.saturating_add(Duration::from_millis(20)));
    host.send_new(NewMessage { deadline, ..new(Priority::Normal, 10, 1) });
    assert!(host.due.is_some_and(|due| Some(due) <= deadline));
    host.pass(Duration::from_millis(20));
    assert_eq!(host.outcome(1), Some(Outcome::Expired));
}

#[test]
fn b26_a_newer_value_supersedes_the_queued_one() {
    let mut host = open();
    host.send_new(new(Priority::Normal, 64 * KIB, 1));
    host.send_new(new(Priority::Normal, 10, 2));
    let replaces = host.ids.get(&2).copied();
    host.send_new(NewMessage { replaces, ..new(Priority::Normal, 11, 3) });
    host.send_new(new(Priority::Normal, 12, 4));
    assert_eq!((host.outcome(2), host.outcome(3)), (Some(Outcome::Superseded), None));
    turn(&mut host, 64 << 10);
    assert_eq!(sizes(&host), [64 * KIB, 11, 12]);
    assert_eq!(host.session.queued_bytes(), 0);
}

#[test]
fn a_blob_that_is_being_read_holds_up_its_own_lane_only() {
    let mut host = open();
    let blob = host.blob(100);
    host.send(blob, 1);
    host.send(Payload::Text("behind".into()), 2);
    host.send_new(new(Priority::Urgent, 5, 3));
    host.send_new(NewMessage { flow: Flow(1), ..new(Priority::Normal, 7, 4) });
    assert_eq!(sizes(&host), [5, 7]);
    host.answer_value();
    assert_eq!(sizes(&host), [5, 7, 100, 6]);
    assert_eq!(host.held(), [0_u32; 0]);
}

#[test]
fn b32_what_waits_at_the_gate_is_flushed_before_the_close() {
    let mut host = open();
    for number in 1..=8 {
        host.send_new(new(Priority::Background, 16 * KIB, number));
    }
    host.close(4001, true);
    assert_eq!((host.sent.len(), host.closes.len()), (4, 0));
    turn(&mut host, 64 << 10);
    assert_eq!((host.sent.len(), host.closes.len()), (8, 1));
}

#[test]
fn b23_nothing_is_looked_at_behind_a_close_frame() {
    // Flushed, dropped, or overtaken by the peer's end: each leaves the gate waiting.
    for flush in [true, false] {
        let mut host = open();
        for number in 1..=8 {
            host.send_new(new(Priority::Normal, 16 * KIB, number));
        }
        let looks_at = host.due;
        assert!(looks_at.is_some());
        host.close(4001, flush);
        if flush {
            turn(&mut host, 64 << 10);
        }
        assert_eq!(host.closes.len(), 1);
        assert!(host.due > looks_at, "only the deadline of the close is left: {:?}", host.due);
        host.transport_end(4001, true);
        assert_eq!(host.due, None);
    }
}

#[test]
fn a_bound_on_the_rate_is_kept_but_by_urgent_messages() {
    let config = GateConfig { max_bytes_per_second: Some(1_000_000), ..GateConfig::default() };
    let mut host = behind(config);
    for number in 1..=400 {
        host.send_new(new(Priority::Bulk, 10_000, number));
    }
    let start = host.now;
    while host.sent.len() < 300 {
        turn(&mut host, 1 << 20);
    }
    let passed = host.now.saturating_since(start);
    assert!((2_900..3_020).contains(&passed.as_millis()), "{passed:?} for 3 MB");
    let sent = host.sent.len();
    host.send_new(new(Priority::Urgent, 50_000, 1000));
    assert_eq!(host.sent.len(), sent + 1);
    // But what it has taken is missing afterwards.
    let start = host.now;
    while host.sent.len() < sent + 2 {
        turn(&mut host, 1 << 20);
    }
    assert!(host.now.saturating_since(start) >= Duration::from_millis(50));
}

#[test]
fn a_bound_on_the_rate_is_reached_by_the_timers_of_a_hidden_page() {
    let config = GateConfig { max_bytes_per_second: Some(50_000), ..GateConfig::default() };
    let mut host = behind(config);
    send_bulk(&mut host, 1_000, 1_000);
    for _ in 0..10 {
        host.standing = 0;
        host.pass(Duration::from_secs(1));
    }
    assert!((490..=510).contains(&host.sent.len()), "{} of 50 in a second", host.sent.len());
    // But an hour of sleep is not made good for at once.
    host.standing = 0;
    host.pass(Duration::from_secs(3_600));
    assert!(host.sent.len() < 580, "{}", host.sent.len());
}

/// The peer has the first `upto` bytes of what was sent behind the nine messages of [`open`].
fn acknowledge(host: &mut Host, upto: usize) {
    let upto = 9 * 64 * KIB + upto;
    host.session.handle_acknowledged(host.now, u64::try_from(upto).unwrap());
    host.drain();
}

#[test]
fn b24_what_is_not_acknowledged_counts_instead_of_what_stands() {
    let mut host = open();
    acknowledge(&mut host, 0);
    for number in 1..=100 {
        host.send_new(new(Priority::Bulk, 4 * KIB, number));
    }
    assert_eq!((host.sent.len(), host.session.gauges().budget_bytes), (3, 14_600));
    host.standing = 0;
    host.pass(Duration::from_millis(200));
    assert_eq!(host.sent.len(), 3, "that nothing stands says nothing");
    acknowledge(&mut host, 4 * KIB);
    host.pass(Duration::from_millis(1));
    let sent = host.sent.len();
    assert!(sent > 3);
    // What was acknowledged before, and what was never sent, says nothing.
    acknowledge(&mut host, 4 * KIB - 1);
    assert_eq!(host.sent.len(), sent);
    let gauges = host.session.gauges();
    assert!(gauges.bytes_per_second > 0 && gauges.budget_bytes >= 14_600, "{gauges:?}");
    host.session.handle_acknowledged(host.now, u64::MAX);
    host.drain();
    assert_eq!(host.sent.len(), sent);
    acknowledge(&mut host, 4 * KIB * sent);
    host.pass(Duration::from_millis(1));
    assert!(host.sent.len() > sent);
}

#[test]
fn b24_an_urgent_message_goes_beyond_what_may_be_under_way_once() {
    let mut host = open();
    acknowledge(&mut host, 0);
    for number in 1..=10 {
        host.send_new(new(Priority::Bulk, 4 * KIB, number));
    }
    host.send_new(new(Priority::Urgent, 32 * KIB, 11));
    assert_eq!(sizes(&host), [4 * KIB, 4 * KIB, 4 * KIB, 32 * KIB]);
    host.send_new(new(Priority::Urgent, 32, 12));
    assert_eq!(host.sent.len(), 4);
}

#[test]
fn b24_where_acknowledgements_fail_to_come_what_stands_counts_until_they_do() {
    let mut host = open();
    acknowledge(&mut host, 0);
    for number in 1..=400 {
        host.send_new(new(Priority::Bulk, 4 * KIB, number));
    }
    assert_eq!((sizes(&host), host.standing), (vec![4 * KIB; 3], 12 << 10));
    host.standing = 0;
    let start = host.now;
    turn(&mut host, 0);
    let waited = host.now.saturating_since(start);
    assert!((1_000..=1_125).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!((host.sent.len(), host.standing), (19, 64 << 10));
    turn(&mut host, 64 << 10);
    assert_eq!((host.sent.len(), host.session.gauges().budget_bytes), (35, 64 << 10));
    // A tenth of it: what remains is still more than may be under way.
    acknowledge(&mut host, 14 << 10);
    assert_eq!(host.sent.len(), 35);
    let budget = host.session.gauges().budget_bytes;
    assert!((14_600..64 << 10).contains(&budget), "{budget}");
    acknowledge(&mut host, 35 * 4 * KIB);
    assert!(host.sent.len() > 35);
}

#[test]
fn without_a_gate_what_is_acknowledged_counts_as_well() {
    let mut host = Host::behind_gate(true, None);
    host.session.handle_opened();
    host.drain();
    for number in 1..=3 {
        host.send_new(new(Priority::Normal, 64 * KIB, number));
    }
    host.session.handle_acknowledged(host.now, (3 * 64) << 10);
    for number in 4..=100 {
        host.send_new(new(Priority::Normal, 4 * KIB, number));
    }
    assert_eq!(host.sent.len(), 6);
    // Until it fails to come: such a transport takes no more than it sends.
    turn(&mut host, 0);
    assert_eq!((host.sent.len(), host.due), (100, None));
}

#[test]
fn b22_a_fast_link_is_known_though_only_a_message_goes_at_a_time() {
    for bytes in [70_000, 100_000, 1 << 20] {
        let mut host = open();
        for number in 1..=100 {
            host.send_new(new(Priority::Bulk, bytes, number));
        }
        let mut looks = 0;
        while let Some(due) = host.due {
            // The timer's own lateness makes a little less of the rate.
            host.standing = 0;
            host.pass(due.saturating_since(host.now) + Duration::from_micros(30));
            looks += 1;
        }
        assert!(looks < 80, "{looks} looks for 100 messages of {bytes}");
    }
}

#[test]
fn time_without_a_message_makes_up_for_none_that_comes_then() {
    let config = GateConfig { max_bytes_per_second: Some(1), ..GateConfig::default() };
    // At first, and after an hour: nobody has looked since. With wasm threads the clock's zero is in 1970.
    let mut host = behind(config);
    for _ in 0..2 {
        let sent = host.sent.len();
        host.standing = 0;
        host.pass(Duration::from_secs(3_600));
        host.send_new(new(Priority::Normal, 5, 1));
        host.send_new(new(Priority::Normal, 5, 2));
        assert_eq!(host.sent.len(), sent + 1);
        host.pass(Duration::from_secs(1));
        assert_eq!(host.sent.len(), sent + 1);
        host.pass(Duration::from_secs(9));
        assert_eq!(host.sent.len(), sent + 2);
    }
}

#[test]
fn an_urgent_message_is_not_held_up_by_the_bound_on_the_rate() {
    let config = GateConfig { max_bytes_per_second: Some(1_000), ..GateConfig::default() };
    let mut host = behind(config);
    // A minute's worth and more.
    host.send_new(new(Priority::Bulk, 1 << 20, 1));
    host.send_new(new(Priority::Urgent, 32, 2));
    assert_eq!(host.sent.len(), 1, "what stands is too much");
    turn(&mut host, 1 << 20);
    assert_eq!(host.sent.len(), 2);
    assert!(host.now.as_micros() < 1_000_000, "{:?}", host.now);
}

#[test]
fn urgent_messages_do_not_wait_for_one_that_is_owed_its_share_and_held_up_by_the_bound_on_the_rate() {
    let config = GateConfig { max_bytes_per_second: Some(1_000), ..GateConfig::default() };
    let mut host = behind(config);
    host.send_new(new(Priority::Bulk, 16 * KIB, 1));
    host.send_new(new(Priority::Bulk, 16 * KIB, 2));
    for number in 3..100 {
        host.send_new(new(Priority::Urgent, 4 * KIB, number));
        host.standing = 0;
        host.pass(Duration::from_millis(1));
    }
    assert_eq!(sizes(&host).iter().filter(|bytes| **bytes == 4 * KIB).count(), 97);
    assert_eq!(host.sent.len(), 98);
}

#[test]
fn b21_a_message_that_stands_until_all_of_it_has_gone_makes_no_link_fast() {
    let mut host = open();
    for number in 1..=100 {
        host.send_new(new(Priority::Bulk, 4 << 20, number));
    }
    // 1 MB/s, seen every 4 MiB.
    for _ in 0..20 {
        let until = host.now.saturating_add(Duration::from_millis(4_194));
        while host.now < until {
            turn(&mut host, 0);
        }
        turn(&mut host, 4 << 20);
        assert_eq!(host.session.gauges().budget_bytes, 64 << 10);
    }
}

#[test]
fn b41_an_amount_above_4_gib_counts_in_full_and_a_missing_one_as_nothing() {
    let mut host = fresh();
    host.standing = 5 << 30;
    for number in 1..=33 {
        host.send_new(new(Priority::Normal, 16 * KIB, number));
    }
    assert_eq!(host.sent.len(), 32, "what the gate does not know it has no reason to look for");
    turn(&mut host, 1 << 20);
    assert_eq!(host.sent.len(), 32);
    host.standing = 0;
    for number in 34..=100 {
        host.send_new(new(Priority::Normal, 16 * KIB, number));
        host.standing = 0;
    }
    while host.sent.len() < 100 {
        turn(&mut host, u64::MAX);
    }
}

#[test]
fn b41_sizes_that_no_memory_holds_pass_the_gate_and_do_no_harm() {
    let mut host = fresh();
    for number in 1..=3 {
        let payload = host.keep(HostedKind::Buffer, u64::MAX);
        host.only_send_new(NewMessage::normal(payload, Some(ticket(number))));
    }
    assert_eq!(host.session.queued_bytes(), u64::MAX - 2, "modulo 2^64");
    host.drain();
    for (gone, number) in [(1, 1), (2, 2)] {
        // Neither was as large as it said.
        assert_eq!((host.sent.len(), host.outcome(number)), (gone, Some(Outcome::HandedOver)));
        host.standing = 1;
        turn(&mut host, 1);
    }
    assert_eq!((host.outcome(3), host.session.queued_bytes()), (Some(Outcome::HandedOver), 0));
    host.transport_end(1006, false);
    assert_eq!(host.left(), [(0, 0), (3, u64::MAX)]);
}
