//! `cargo xtask autobahn`: the Autobahn test suite against tidegate's client and server, over TCP.
//!
//! The suite plays the peer of the examples `autobahn_client` and `echo_server`, and judges each case. A case
//! passes if it is plainly OK: what the suite calls non-strict or unimplemented fails, and so does a
//! connection that is not closed as it must be. Three cases on which the suite has no opinion are allowed to
//! have none.
//!
//! Some cases have limits of a second or less, others send megabytes through Python. One that fails on a busy
//! machine is run again alone, once, and the output says which were.
//!
//! Not here: the cases without TCP, which `tests/conformance` has as a table.

mod cases;
mod report;
mod run;
mod suite;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread;

use anyhow::{Result, anyhow, bail};

use self::cases::CaseId;
pub(crate) use self::cases::Selection;
use self::report::{Report, Verdict};
use self::run::{Run, Side};
use self::suite::{Python, Suite};
use crate::steps::write_json;
use crate::tools::{self, Missing};
use crate::{Silent, process};

/// Features that the examples are built with.
const FEATURES: &str = "native,deflate";

/// More cases than this do not fail because the machine is busy.
const MOST_AGAIN: usize = 20;

/// Which sides are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sides {
    /// tidegate's client, the suite being the server.
    Client,
    /// tidegate's server, the suite being the client.
    Server,
    /// Both, side by side.
    All,
}

impl Sides {
    fn list(self) -> &'static [Side] {
        match self {
            Self::Client => &[Side::Client],
            Self::Server => &[Side::Server],
            Self::All => &[Side::Client, Side::Server],
        }
    }
}

/// What is run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Which side of the connection is tidegate's
    #[arg(value_enum)]
    sides: Sides,
    /// Only what takes less than a minute: all rules, little of what measures time
    #[arg(long, conflicts_with = "cases")]
    quick: bool,
    /// Only the cases that match one of these; `*` stands for anything
    #[arg(long, num_args = 1.., value_name = "PATTERN")]
    cases: Vec<String>,
    /// Also write the results as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// Runs the cases and prints a table for each side.
///
/// # Errors
///
/// [`Missing`] without Python 2.7; [`Silent`] after the tables if a case failed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let selection = match (options.quick, options.cases.as_slice()) {
        (true, _) => Selection::Quick,
        (false, []) => Selection::Full,
        (false, patterns) => Selection::Matching(patterns.to_vec()),
    };
    let cases = selection.cases()?;
    let verdicts = test(Python::find()?, options.sides.list(), &cases)?;
    let named: BTreeMap<&str, &Verdict> =
        verdicts.iter().map(|(side, verdict)| (side.name(), verdict)).collect();
    write_json(options.json.as_deref(), &named)?;
    let passed = verdicts.iter().all(|(_, verdict)| verdict.passed);
    println!("{}", if passed { "passed" } else { "failed" });
    if !passed {
        bail!(Silent);
    }
    Ok(())
}

/// Runs the cases of `selection` on both sides for `cargo xtask test`, and tells `record` the name of each and
/// whether it passed. Without Python 2.7 it only says so.
///
/// # Errors
///
/// If a case failed, or the suite cannot be run.
pub(crate) fn check(selection: &Selection, mut record: impl FnMut(String, bool)) -> Result<()> {
    let python = match Python::find() {
        Err(error) if error.is::<Missing>() => {
            println!("Autobahn's test suite was NOT RUN, which is no failure here. {error}");
            return Ok(());
        }
        found => found?,
    };
    let cases = selection.cases()?;
    let verdicts = test(python, Sides::All.list(), &cases)?;
    for (side, verdict) in &verdicts {
        for case in &cases {
            record(format!("autobahn::{}::{case}", side.name()), verdict.has_passed(case));
        }
    }
    if !verdicts.iter().all(|(_, verdict)| verdict.passed) {
        bail!("cases of Autobahn's test suite failed");
    }
    Ok(())
}

/// Runs `cases` on these sides at the same time, judges and prints.
fn test(python: Python, sides: &[Side], cases: &[CaseId]) -> Result<Vec<(Side, Verdict)>> {
    let suite = Suite::install(python)?;
    build(sides)?;
    let directory = |name: &str| tools::target().join("autobahn/reports").join(name);
    // One after the other until all listen, so that no run takes the port that another has found free.
    let start = |side: &Side| Run::start(*side, &suite, cases, directory(side.name()));
    let runs: Vec<Run> = sides.iter().map(start).collect::<Result<_>>()?;
    let reports = finish_all(runs)?;
    let mut verdicts = Vec::new();
    for (side, mut report) in sides.iter().zip(reports) {
        let again = Some(report::doubtful(&report)).filter(|cases| cases.len() <= MOST_AGAIN);
        let again = again.unwrap_or_default();
        if !again.is_empty() {
            println!("   {}: {} cases once more, alone", side.name(), again.len());
            let alone = directory(&format!("{}-again", side.name()));
            report.extend(Run::start(*side, &suite, &again, alone)?.finish()?);
        }
        verdicts.push((*side, report::judge(&report, cases, again)));
    }
    for (side, verdict) in &verdicts {
        verdict.print(side.name(), &directory(side.name()));
    }
    Ok(verdicts)
}

/// Builds the examples for release: the suite is slow enough.
fn build(sides: &[Side]) -> Result<()> {
    let mut cargo = tools::cargo();
    cargo.args(["build", "--quiet", "--release", "--package", "tidegate", "--features", FEATURES]);
    for side in sides {
        cargo.args(["--example", side.example()]);
    }
    process::run(&mut cargo)
}

/// Waits for all runs at once.
fn finish_all(runs: Vec<Run>) -> Result<Vec<Report>> {
    thread::scope(|scope| {
        let threads: Vec<_> = runs.into_iter().map(|run| scope.spawn(|| run.finish())).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<Report>>| {
            thread.join().map_err(|_| anyhow!("a run of the suite panicked"))?
        };
        threads.into_iter().map(join).collect()
    })
}
