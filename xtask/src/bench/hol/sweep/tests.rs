use clap::Parser;

use super::*;

/// Options as they are typed.
fn options(line: &str) -> Options {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }
    Line::try_parse_from(["hol"].into_iter().chain(line.split_whitespace())).unwrap().options
}

fn cell() -> Cell {
    let bytes_per_second = NonZeroU32::new(2_000_000).unwrap();
    Cell { bytes_per_second, delay_ms: 20, budget_delay_ms: 12, server: Server::Rust, bytes: 20_000_000 }
}

fn upload(urgent: &[(f64, f64)], budgets: &[(f64, f64)], took: f64) -> Upload {
    Upload {
        idle: vec![20.5, 22.0, 23.0],
        urgent: urgent.to_vec(),
        budgets: budgets.to_vec(),
        took,
        largest_buffered_amount: 0,
        drift: 0.0,
        nearest: 0.0,
    }
}

#[test]
fn the_grid_has_every_link_with_each_d_and_each_server_once() {
    let cells = plan(&options("--grid")).unwrap();
    assert_eq!(cells.len(), 18);
    let links: Vec<_> = cells.iter().map(|cell| (cell.bytes_per_second.get(), cell.delay_ms)).collect();
    for link in RATES.into_iter().flat_map(|rate| DELAYS_MS.map(|delay| (rate, delay))) {
        assert_eq!(links.iter().filter(|other| **other == link).count(), 2, "{link:?}");
    }
    assert!(cells.iter().all(|cell| cell.budget_delay_ms == 11), "as tidegate has it");
    let cells = plan(&options("--grid --budget-delays 6,25 --server node")).unwrap();
    assert_eq!(cells.len(), 18);
    assert!(cells.iter().all(|cell| cell.server == Server::Node));
    assert_eq!(cells.iter().filter(|cell| cell.budget_delay_ms == 25).count(), 9);
}

#[test]
fn without_the_grid_there_is_the_one_link_that_is_asked_for() {
    let cells = plan(&options("--budget-delays 6,12,25,50 --rate 400000 --delay 30 --server rust")).unwrap();
    let seen: Vec<_> =
        cells.iter().map(|cell| (cell.bytes_per_second.get(), cell.delay_ms, cell.budget_delay_ms)).collect();
    assert_eq!(seen, [6, 12, 25, 50].map(|wanted| (400_000, 30, wanted)));
}

#[test]
fn a_cell_lasts_for_forty_round_trips_or_ten_seconds_beyond_its_startup() {
    for cell in plan(&options("--grid")).unwrap() {
        let takes = cell.line_time(cell.bytes);
        let wanted = cell.startup() + Duration::from_secs(10).max(40 * cell.delay());
        assert!(takes.abs_diff(wanted) < Duration::from_millis(10), "{cell:?}");
    }
    let quick = plan(&options("--grid --quick")).unwrap();
    assert!(quick.iter().all(|cell| cell.line_time(cell.bytes) < Duration::from_secs(8)));
    // 58 round trips of two seconds are more than a page may take.
    let error = plan(&options("--budget-delays 12 --delay 2000")).unwrap_err().to_string();
    assert!(error.contains("more than 75"), "{error}");
}

#[test]
fn chunks_take_four_milliseconds_of_the_line_as_far_as_their_sizes_allow() {
    for (rate, bytes) in [
        (0.0, 992),
        (200_000.0, 992),
        (504_000.0, 2_016),
        (2_000_000.0, 4_064),
        (2_040_000.0, 8_160),
        (20_000_000.0, 65_504),
        (33_000_000.0, 131_072),
        (1e9, 262_144),
    ] {
        assert_eq!(chunk_bytes(rate), bytes, "{rate}");
    }
}

#[test]
fn a_row_judges_what_was_sent_once_the_rate_was_known() {
    let cell = cell();
    // 1,574.6 ms of startup.
    let urgent = [(100.0, 90.0), (1_500.0, 80.0), (1_600.0, 30.0), (1_700.0, 32.0), (1_800.0, 34.0)];
    // 24 ms of the rate less the shortest way, and a chunk.
    let budget = (2_000_000.0 * 0.0325 + 4_096.0, 2_000_000.0);
    let budgets = [(14_600.0, 0.0), (1e6, 9e6), budget, budget, budget];
    let row = row(&cell, &[upload(&urgent, &budgets, 10_050.0)]).unwrap();
    assert_eq!((row.messages, row.urgent.max, row.urgent.p50), (5, 90.0, 34.0));
    assert_eq!((row.settled_messages, row.settled.max, row.settled.p50), (3, 34.0, 32.0));
    assert_eq!((row.budget_bytes, row.bytes_per_second, row.chunk_bytes), (budget.0, budget.1, 4_064));
    assert!((row.queue_delay - 12.0).abs() < 1e-9, "{}", row.queue_delay);
    // D, two chunks and the message at 2,000 B a millisecond, the idle link.
    assert!((row.bound - (12.0 + 8_168.0 / 2_000.0 + 22.0)).abs() < 1e-9, "{}", row.bound);
    assert!(row.is_within);
    assert!((row.link - 10_020.0 / 10_050.0).abs() < 1e-9, "{}", row.link);
    assert!((row.megabytes_per_second - 20_000.0 / 10_050.0).abs() < 1e-9);
}

#[test]
fn the_promise_goes_by_the_d_that_is_wanted_or_by_the_one_that_lumps_have_made_of_it() {
    let sample = |queue: f64, latency: f64| {
        let budget = (2_000_000.0 * (0.0205 + queue / 1_000.0) + 4_096.0, 2_000_000.0);
        upload(&[(2_000.0, latency)], &[budget], 10_000.0)
    };
    let bound = |queue, latency| {
        let row = row(&cell(), &[sample(queue, latency)]).unwrap();
        (row.bound.round(), row.is_within)
    };
    assert_eq!(bound(3.0, 38.0), (38.0, true), "what is wanted is the least");
    assert_eq!(bound(3.0, 38.2), (38.0, false));
    assert_eq!(bound(50.0, 76.0), (76.0, true));
    assert_eq!(bound(50.0, 76.2), (76.0, false));
}

#[test]
fn rounds_are_pooled_and_what_says_nothing_is_an_error() {
    let budget = (70_000.0, 2_000_000.0);
    let samples =
        [10_020.0, 20_040.0].map(|took| upload(&[(2_000.0, 30.0), (3_000.0, 40.0)], &[budget; 2], took));
    let pooled = row(&cell(), &samples).unwrap();
    assert_eq!((pooled.messages, pooled.settled.p50), (4, 35.0));
    assert!((pooled.link - 2.0 / 3.0).abs() < 1e-9);
    for (sample, why) in [
        (upload(&[(100.0, 30.0)], &[budget], 10_000.0), "once the rate was known"),
        (upload(&[(2_000.0, 30.0)], &[], 10_000.0), "budget"),
        (Upload { idle: Vec::new(), ..upload(&[(2_000.0, 30.0)], &[budget], 10_000.0) }, "idle"),
    ] {
        let error = row(&cell(), &[sample]).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
