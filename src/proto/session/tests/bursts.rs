//! Pacing over buffers that drain in bursts, and how many timers it takes.

use core::time::Duration;

use super::host::{Host, ticket};
use super::pacing::{KIB, fresh, idle, new, send_bulk};
use crate::proto::send::{NewMessage, Priority};
use crate::time::Timestamp;

/// Lets pass `time` in which a kernel takes `room` bytes as fast as it is given them, and then no more. Returns for how
/// long it was given them; for ever, if it has less in the end.
fn burst(host: &mut Host, time: Duration, room: u64) -> Duration {
    let (until, mut room) = (host.now.saturating_add(time), room);
    let (mut first, mut took) = (None, Duration::MAX);
    while let Some(due) = host.due.filter(|due| *due < until) {
        let goes = host.standing.min(room);
        host.standing -= goes;
        room -= goes;
        host.pass(due.saturating_since(host.now).max(Duration::from_micros(20)));
        if goes > 0 {
            let first = *first.get_or_insert(host.now);
            took = if room == 0 { host.now.saturating_since(first) } else { took };
        }
    }
    host.pass(until.saturating_since(host.now));
    took
}

#[test]
fn b23_on_a_path_that_drains_in_large_bursts_the_budget_is_by_what_goes_between_two_looks() {
    let mut host = fresh();
    send_bulk(&mut host, 4_000, 16 * KIB);
    // A megabyte each half a second: 2 MB/s, which buffers that run empty in between make of any link.
    let took = [(); 12].map(|()| burst(&mut host, Duration::from_millis(550), 1_100_000).as_millis());
    assert!(took[1] > 80 && took[7..].iter().all(|took| *took <= 12), "{took:?}");
    assert!(host.session.gauges().budget_bytes <= 1_200_000);
    // The same rate in the bursts of a link that is as slow as that: after a second it is known.
    for _ in 0..12 {
        burst(&mut host, Duration::from_millis(180), 373_000);
    }
    assert_eq!(host.session.gauges().budget_bytes, 64 << 10);
    for _ in 0..20 {
        burst(&mut host, Duration::from_millis(180), 373_000);
        assert_eq!(host.session.gauges().budget_bytes, 64 << 10);
    }
}

#[test]
fn b21_as_long_as_a_buffer_may_fill_no_more_than_four_budgets_stand() {
    let mut host = fresh();
    send_bulk(&mut host, 1_000, 16 * KIB);
    // 40 ms without anything, and then 4 MB at once, or nearly.
    idle(&mut host, 60);
    assert_eq!(host.session.gauges().budget_bytes, 64 << 10);
    for _ in 0..14 {
        burst(&mut host, Duration::from_millis(20), 300_000);
        assert!(host.session.gauges().budget_bytes <= 256 << 10);
    }
    assert_eq!(host.session.gauges().budget_bytes, 256 << 10);
}

#[test]
fn b23_behind_what_may_be_hidden_the_budget_is_what_would_go_by_a_timer() {
    let mut host = fresh();
    send_bulk(&mut host, 4_000, 16 * KIB);
    let mut gone = 0;
    while gone < 9 << 19 {
        assert_eq!(host.session.gauges().budget_bytes, 512 << 10, "{gone}");
        gone += core::mem::take(&mut host.standing);
        let due = host.due.unwrap();
        host.pass(due.saturating_since(host.now).max(Duration::from_millis(1)));
    }
    // 512 KiB in each millisecond, twelve of them, and twice that.
    assert_eq!(host.session.gauges().budget_bytes, 12 << 20);
}

#[test]
fn b23_no_more_than_a_hundred_timers_fire_in_a_second() {
    // Faster than by each timer, by each, by bursts of the kernel's, and hardly anything.
    for (room, every) in [(20_000, 1), (70_000, 12), (373_000, 15), (100_000, 200)] {
        let mut host = fresh();
        send_bulk(&mut host, 20_000, 4 * KIB);
        let (mut timers, mut next, mut free) = (Vec::new(), host.now, 0);
        while let Some(due) = host.due.filter(|due| due.as_micros() < 5_000_000) {
            if due > host.now {
                timers.push(due);
            }
            host.pass(due.saturating_since(host.now).max(Duration::from_micros(20)));
            while next <= host.now {
                next = next.saturating_add(Duration::from_millis(every));
                free = room;
            }
            let goes = host.standing.min(free);
            host.standing -= goes;
            free -= goes;
        }
        assert!(timers.len() > 200, "{room} {every}: {}", timers.len());
        let second = |pair: &[Timestamp]| pair[100].saturating_since(pair[0]);
        assert!(timers.windows(101).all(|timers| second(timers) >= Duration::from_secs(1)), "{room} {every}");
    }
}

#[test]
fn b23_an_upload_of_blobs_that_are_read_in_between_has_one_beginning() {
    let mut host = fresh();
    for number in 1..=100 {
        let blob = host.blob(100_000);
        host.send_new(NewMessage {
            priority: Priority::Bulk,
            ..NewMessage::normal(blob, Some(ticket(number)))
        });
    }
    // Read within a millisecond, and a link of 2 MB/s.
    let mut budgets = Vec::new();
    while !host.asked.is_empty() || host.due.is_some() {
        if !host.asked.is_empty() {
            host.answer_value();
        }
        host.standing = host.standing.saturating_sub(2_000);
        host.pass(Duration::from_millis(1));
        budgets.push(host.session.gauges().budget_bytes);
    }
    let gauges = host.session.gauges();
    assert!((1_900_000..=2_100_000).contains(&gauges.bytes_per_second), "{}", gauges.bytes_per_second);
    assert!(budgets.len() > 4_000 && budgets[1_000..].iter().all(|budget| *budget == 64 << 10));
}

#[test]
fn b21_that_a_blob_was_read_for_long_is_not_that_the_page_was_held_up() {
    let mut host = fresh();
    send_bulk(&mut host, 40, 64 * KIB);
    idle(&mut host, 60);
    assert_eq!(host.session.gauges().budget_bytes, 64 << 10);
    for number in 41..=42 {
        let blob = host.blob(60_000);
        host.send_new(NewMessage {
            priority: Priority::Bulk,
            ..NewMessage::normal(blob, Some(ticket(number)))
        });
    }
    // 2 MB/s, until it is the first Blob's turn, which is read for a second.
    while host.asked.is_empty() {
        host.standing = host.standing.saturating_sub(2_000);
        host.pass(Duration::from_millis(1));
    }
    host.pass(Duration::from_secs(1));
    assert_eq!(host.due, None);
    host.standing = 0;
    host.answer_value();
    assert_eq!((host.sent.len(), host.session.gauges().budget_bytes), (41, 64 << 10));
    let rate = host.session.gauges().bytes_per_second;
    assert!((1_700_000..=2_100_000).contains(&rate), "{rate}");
}

#[test]
fn b22_that_a_blob_was_read_for_long_makes_no_fast_link_slow() {
    let mut host = fresh();
    send_bulk(&mut host, 1_000, 64 * KIB);
    let blob = host.blob(60_000);
    host.send_new(NewMessage { priority: Priority::Bulk, ..NewMessage::normal(blob, Some(ticket(1_001))) });
    // 100 MB/s.
    while host.asked.is_empty() {
        host.standing = host.standing.saturating_sub(100_000);
        host.pass(Duration::from_millis(1));
    }
    let before = host.session.gauges();
    assert!(before.bytes_per_second > 90_000_000 && before.budget_bytes > 2_000_000, "{before:?}");
    host.standing = 0;
    host.pass(Duration::from_millis(900));
    host.answer_value();
    for number in 1_002..=1_200 {
        host.send_new(new(Priority::Bulk, 64 * KIB, number));
    }
    let after = host.session.gauges();
    assert_eq!((after.bytes_per_second, after.budget_bytes), (before.bytes_per_second, before.budget_bytes));
}

#[test]
fn b23_short_timers_are_a_quarter_of_what_the_burst_takes_at_its_pace() {
    // So much goes in each millisecond; half a megabyte stands, which takes 2, 10 and 40 ms.
    for (kib, expected) in [(256, 1_000..=1_000), (51, 2_000..=3_000), (13, 4_000..=4_000)] {
        let mut host = fresh();
        send_bulk(&mut host, 4_000, 16 * KIB);
        let (mut wait, mut short, mut next) = (0, 0, host.now);
        let end = host.now.saturating_add(Duration::from_millis(16));
        while host.now < end {
            wait = host.due.expect("something waits").micros_since(host.now);
            short = if (1..12_000).contains(&wait) { wait } else { short };
            host.pass(Duration::from_micros(wait.max(20)));
            while next <= host.now {
                next = next.saturating_add(Duration::from_millis(1));
                host.standing = host.standing.saturating_sub(kib << 10);
            }
        }
        assert!(expected.contains(&short), "{kib}: {short}, and last {wait}");
    }
}

#[test]
fn b23_there_are_short_timers_again_behind_a_second_without_a_backlog() {
    let mut host = fresh();
    for (pause, expected) in [(0, 16), (900, 0), (1_100, 16)] {
        host.pass(Duration::from_millis(pause));
        let mut shorts = 0;
        let mut next = host.now;
        send_bulk(&mut host, 80, 16 * KIB);
        while let Some(due) = host.due {
            let wait = due.micros_since(host.now);
            shorts += u32::from((1..12_000).contains(&wait));
            host.pass(Duration::from_micros(wait.max(20)));
            while next <= host.now {
                next = next.saturating_add(Duration::from_millis(1));
                host.standing = host.standing.saturating_sub(13 << 10);
            }
        }
        host.standing = 0;
        assert_eq!(shorts, expected, "behind {pause} ms");
    }
}
