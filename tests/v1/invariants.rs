//! Both ends over all seeds: one pass, and one test for each invariant.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate::proto::v1::Cause;

use crate::amount;
use crate::check::check;
use crate::plan::Plan;
use crate::world::{Trace, World};

/// What all runs have shown.
#[derive(Default)]
struct Summary {
    failures: Vec<(u64, &'static str, String)>,
    runs: u64,
    resumes: u64,
    items: u64,
    messages: u64,
    seconds: u64,
    closed: u64,
    lost: u64,
}

fn run(seed: u64, prints: bool) -> Trace {
    World::new(Plan::new(seed), prints).run()
}

fn one(seed: u64, summary: &mut Summary) {
    summary.runs += 1;
    match catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
        Ok(trace) => {
            summary.resumes += trace.resumes;
            summary.messages += trace.messages;
            summary.seconds += trace.lasted / 1_000_000;
            summary.items += trace.ends.iter().map(|end| end.sent.len() as u64).sum::<u64>();
            let is_closed = trace.ends[0].over.is_some_and(|over| over.cause == Cause::Closed);
            summary.closed += u64::from(is_closed);
            summary.lost += u64::from(!is_closed);
            summary.failures.extend(check(&trace).into_iter().map(|(which, what)| (seed, which, what)));
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text =
                text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            let which = if text.starts_with("I4") {
                "I4"
            } else if text.starts_with("I5") {
                "I5"
            } else {
                "I10"
            };
            summary.failures.push((seed, which, text));
        }
    }
}

fn all() -> &'static Summary {
    static ALL: OnceLock<Summary> = OnceLock::new();
    ALL.get_or_init(|| {
        if let Ok(seed) = std::env::var("TIDEGATE_SEED") {
            let seed = seed.parse().expect("a number");
            println!("{:#?}", Plan::new(seed));
            let trace = run(seed, true);
            let mut summary = Summary { runs: 1, ..Summary::default() };
            summary.failures.extend(check(&trace).into_iter().map(|(which, what)| (seed, which, what)));
            return summary;
        }
        std::panic::set_hook(Box::new(|_| {}));
        let (next, seeds) = (AtomicU64::new(0), amount(2_000, 100_000));
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut summary = Summary::default();
        std::thread::scope(|scope| {
            let work = || {
                let mut part = Summary::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return part;
                    }
                    one(seed, &mut part);
                }
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                let part = thread.join().expect("a thread that catches panics");
                summary.failures.extend(part.failures);
                summary.runs += part.runs;
                summary.resumes += part.resumes;
                summary.items += part.items;
                summary.messages += part.messages;
                summary.seconds += part.seconds;
                summary.closed += part.closed;
                summary.lost += part.lost;
            }
        });
        let _ = std::panic::take_hook();
        summary.failures.sort();
        summary
    })
}

/// No run has broken one of these.
fn holds(invariants: &[&str]) {
    let summary = all();
    let failures: Vec<_> =
        summary.failures.iter().filter(|failure| invariants.contains(&failure.1)).collect();
    for (seed, which, what) in failures.iter().take(5) {
        println!("TIDEGATE_SEED={seed} {which}: {}", &what[..what.len().min(1_500)]);
    }
    assert!(failures.is_empty(), "{} of {} runs break {invariants:?}", failures.len(), summary.runs);
}

#[test]
fn i01_each_number_is_applied_once_and_in_order_under_any_cuts() {
    holds(&["I1"]);
}

#[test]
fn i02_b56_items_of_a_channel_arrive_whole_in_order_and_once() {
    holds(&["I2"]);
}

#[test]
fn i04_windows_and_log_stay_within_their_limits() {
    holds(&["I4"]);
}

#[test]
fn i05_no_more_is_under_way_than_the_budget_and_a_chunk() {
    holds(&["I5"]);
}

#[test]
fn i08_every_item_comes_to_its_end() {
    holds(&["I8"]);
}

#[test]
fn i09_outcomes_tell_the_truth() {
    holds(&["I9"]);
}

#[test]
fn i10_nothing_panics() {
    holds(&["I10"]);
}

#[test]
fn i13_an_item_expires_only_by_its_deadline() {
    holds(&["I13"]);
}

#[test]
fn the_runs_are_of_all_kinds() {
    let summary = all();
    println!(
        "{} runs of {} s, {} items in {} messages, {} resumes, {} closed in good order, {} lost",
        summary.runs,
        summary.seconds,
        summary.items,
        summary.messages,
        summary.resumes,
        summary.closed,
        summary.lost
    );
    if summary.runs > 1 {
        assert!(summary.resumes > summary.runs / 4 && summary.closed > summary.runs / 3 && summary.lost > 10);
    }
}

#[test]
fn i15_the_same_seed_leaves_the_same_trace() {
    for seed in 0..amount(50, 2_000) {
        assert_eq!(run(seed, false).hash, run(seed, false).hash, "TIDEGATE_SEED={seed}");
    }
}
