//! Both ends over all seeds: one pass, and one test for each invariant.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate::proto::v1::Cause;

use crate::amount;
use crate::check::check;
use crate::end::End;
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
    /// In how many runs what has happened.
    happened: BTreeMap<&'static str, u64>,
    /// How many clients' sessions ended by what.
    causes: BTreeMap<String, u64>,
}

impl Summary {
    fn add(&mut self, other: Self) {
        self.failures.extend(other.failures);
        self.runs += other.runs;
        self.resumes += other.resumes;
        self.items += other.items;
        self.messages += other.messages;
        self.seconds += other.seconds;
        for (what, count) in other.happened {
            *self.happened.entry(what).or_default() += count;
        }
        for (cause, count) in other.causes {
            *self.causes.entry(cause).or_default() += count;
        }
    }
}

/// The runs in which bits are flipped come behind the others.
const FLIPS: u64 = 1 << 40;

fn plan(seed: u64) -> Plan {
    let mut plan = Plan::new(seed % FLIPS);
    if seed >= FLIPS {
        plan.flips = [1, 5, 30, 200][seed as usize % 4];
    }
    plan
}

fn run(seed: u64, prints: bool) -> Trace {
    World::new(plan(seed), prints).run()
}

/// Runs a seed and judges it.
fn judge(seed: u64, prints: bool, summary: &mut Summary) {
    let mut trace = run(seed, prints);
    summary.runs += 1;
    summary.resumes += trace.resumes;
    summary.messages += trace.messages;
    summary.seconds += trace.lasted / 1_000_000;
    summary.items += trace.pairs.iter().flatten().map(|end| end.sent.len() as u64).sum::<u64>();
    for what in trace.happened.iter().collect::<BTreeSet<_>>() {
        *summary.happened.entry(what).or_default() += 1;
    }
    for over in trace.pairs.iter().filter_map(|pair| pair[0].over) {
        let cause = format!("{:?}", over.cause);
        let cause = cause.split([' ', '(']).next().unwrap_or_default().to_owned();
        *summary.causes.entry(cause).or_default() += 1;
    }
    let findings = check(&plan(seed), &mut trace);
    summary.failures.extend(findings.into_iter().map(|(which, what)| (seed, which, what)));
}

fn one(seed: u64, summary: &mut Summary) {
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let mut part = Summary::default();
        judge(seed, false, &mut part);
        part
    }));
    match judged {
        Ok(part) => summary.add(part),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text =
                text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            let which = ["I4", "I5"].into_iter().find(|which| text.starts_with(which)).unwrap_or("I10");
            summary.runs += 1;
            summary.failures.push((seed, which, text));
        }
    }
}

/// Beyond the seeds of the test command: what was thrown away behind a RESET ended as delivered, as the ACCEPT before it waited for the
/// budget (7560); an acknowledgement in front of a GOAWAY (3004); and three that the checks themselves had wrong.
const HAVE_FOUND: [u64; 5] = [7_560, 3_004, 3_629, 73_589, 79_300];

#[test]
fn what_seeds_have_found_before_they_find_no_more() {
    let mut summary = Summary::default();
    for seed in HAVE_FOUND {
        one(seed, &mut summary);
    }
    assert_eq!((summary.runs, summary.failures.len()), (5, 0), "{:?}", summary.failures);
}

fn all() -> &'static Summary {
    static ALL: OnceLock<Summary> = OnceLock::new();
    ALL.get_or_init(|| {
        if let Ok(seed) = std::env::var("TIDEGATE_SEED") {
            let seed = seed.parse().expect("a number");
            println!("{:#?}", plan(seed));
            let mut summary = Summary::default();
            judge(seed, true, &mut summary);
            return summary;
        }
        std::panic::set_hook(Box::new(|_| {}));
        let from = std::env::var("TIDEGATE_FROM").map_or(0, |from| from.parse().expect("a number"));
        let (next, seeds) = (AtomicU64::new(0), amount(2_000, 100_000));
        let flips = amount(200, 10_000);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut summary = Summary::default();
        std::thread::scope(|scope| {
            let work = || {
                let mut part = Summary::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds + flips {
                        return part;
                    }
                    one(from + if seed < seeds { seed } else { FLIPS + seed - seeds }, &mut part);
                }
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            for thread in threads {
                let part = thread.join().expect("a thread that catches panics");
                summary.add(part);
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
    let seeds: BTreeSet<_> = failures.iter().map(|failure| failure.0).collect();
    assert!(failures.is_empty(), "{} of {} runs break {invariants:?}", seeds.len(), summary.runs);
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
fn i07_no_round_trip_began_on_another_connection() {
    holds(&["I7"]);
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
fn a_session_waits_for_its_time_and_no_longer() {
    holds(&["TTL"]);
}

#[test]
fn every_ping_is_answered() {
    holds(&["PING"]);
}

#[test]
fn i03_nothing_is_sent_beyond_credit_and_no_credit_is_lost_or_made() {
    holds(&["I3"]);
}

#[test]
fn i12_channels_are_allowed_only_after_their_handlers_have_stopped() {
    holds(&["I12"]);
}

#[test]
fn the_runs_are_of_all_kinds() {
    let summary = all();
    let Summary { runs, resumes, items, messages, seconds, happened, causes, .. } = summary;
    println!("{runs} runs of {seconds} s, {items} items in {messages} messages, {resumes} resumes");
    println!("{happened:?}\n{causes:?}");
    if *runs > 1 {
        assert!(resumes > &(runs / 2) && causes["Closed"] > runs / 2);
        let kinds = [
            "RESUMED lost",
            "accepted by the opener",
            "begun anew",
            "closed early",
            "fenced",
            "flipped",
            "given up",
            "jumped",
            "resumed in the wrong order",
            "shut down",
            "stalled",
            "taken over",
        ];
        for kind in kinds {
            assert!(happened.contains_key(kind), "{kind} in no run");
        }
    }
}

#[test]
fn i15_the_same_seed_leaves_the_same_trace() {
    for seed in 0..amount(50, 2_000) {
        assert_eq!(run(seed, false).hash, run(seed, false).hash, "TIDEGATE_SEED={seed}");
    }
}

#[test]
fn i11_what_means_nothing_changes_nothing() {
    let (mut items, mut differences) = (0, 0);
    for seed in 0..amount(60, 2_000) {
        let [plain, greased] = [false, true].map(|grease| World::new(Plan::plain(seed, grease), false).run());
        differences += u64::from(plain.hash != greased.hash);
        for (one, other) in plain.pairs[0].iter().zip(&greased.pairs[0]) {
            assert_eq!(one.received, other.received, "TIDEGATE_SEED={seed}");
            let outcomes = |end: &End| end.sent.iter().map(|sent| sent.outcome).collect::<Vec<_>>();
            assert_eq!(outcomes(one), outcomes(other), "TIDEGATE_SEED={seed}");
            assert_eq!(one.over.map(|over| over.cause), Some(Cause::Closed), "TIDEGATE_SEED={seed}");
            items += one.sent.len();
        }
        for (plan, mut trace) in
            [false, true].map(|grease| Plan::plain(seed, grease)).into_iter().zip([plain, greased])
        {
            assert_eq!(check(&plan, &mut trace), [], "TIDEGATE_SEED={seed}");
        }
    }
    assert!(differences > 50 && items > 1_000, "{differences} runs differ, {items} items");
}
