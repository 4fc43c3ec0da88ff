//! `cargo xtask test`: everything that must hold before a commit is taken, with one count at the end.
//!
//! The static checks come first, then tests on the host, in browsers, and of the npm package. A failed
//! step is told at once and does not keep the later ones from running. Each test is recorded with its
//! place, for `behaviours`. The last line stands alone: `N passed, N failed`; a step that fails without a
//! failed test in it (a lint, a build) counts as one failure.

mod cargo;
mod checks;
mod examples;
mod native;
mod output;
mod package;
mod project;
mod server;
mod web;

use std::path::Path;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::behaviours::{self, Record};
use crate::steps::{Row, Steps, write_json};
use crate::tools::{self, browsers};
use crate::{place::Browser, process, webdriver};

/// A part of the tests that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Unit, integration and documentation tests on the host, the examples, and the Autobahn test suite.
    Native,
    /// wasm tests in Node, Chromium and Firefox, in page and worker.
    Web,
    /// The npm package: its facade, and applications that install it.
    Package,
}

/// What runs and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// One part without the static checks, or everything.
    pub(crate) part: Option<Part>,
    /// With full counts: `TIDEGATE_FULL=1` for builds and runs.
    pub(crate) full: bool,
}

/// All tests that have run, and where.
#[derive(Default)]
struct Tally {
    records: Vec<Record>,
}

impl Tally {
    fn failed(&self) -> usize {
        self.records.iter().filter(|record| !record.passed).count()
    }
}

/// What `--json` writes.
#[derive(Serialize)]
struct Summary<'a> {
    passed: usize,
    failed: usize,
    steps: &'a [Row],
}

/// Runs the tests and prints times and count.
///
/// # Errors
///
/// [`tools::Missing`] before anything runs, if a tool is missing; [`crate::Silent`] after the count, if
/// anything failed.
pub(crate) fn run(options: Options, json: Option<&Path>) -> Result<()> {
    let mut session =
        Session { steps: Steps::default(), tally: Tally::default(), loose: 0, full: options.full };
    let wants = |part| options.part.is_none_or(|chosen| chosen == part);
    session.steps.run("tools", || find_tools(options.part))?;
    if options.part.is_none() {
        checks::run(&mut session);
    }
    if wants(Part::Native) {
        session.part("native", |session| {
            native::run(session);
            Ok(())
        })?;
    }
    if wants(Part::Web) {
        session.part("web", web::run)?;
    }
    if wants(Part::Package) {
        session.part("package", |session| {
            package::run(session);
            Ok(())
        })?;
    }
    if options.part.is_none() {
        checks::packaging(&mut session);
    }
    session.steps.print();
    let failed = session.tally.failed() + session.loose;
    let passed = session.tally.records.len() - session.tally.failed();
    write_json(json, &Summary { passed, failed, steps: session.steps.rows() })?;
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!(crate::Silent);
    }
    Ok(())
}

/// A run in progress.
struct Session {
    steps: Steps,
    tally: Tally,
    /// Steps that failed without a failed test.
    loose: usize,
    full: bool,
}

impl Session {
    /// Does one step; whatever fails in it is counted.
    fn step<T>(&mut self, name: &str, work: impl FnOnce(&mut Tally) -> Result<T>) -> Option<T> {
        let before = self.tally.failed();
        let Self { steps, tally, .. } = self;
        let result = steps.attempt(name, || work(tally));
        if result.is_none() && self.tally.failed() == before {
            self.loose += 1;
        }
        result
    }

    /// Cargo with the environment of this run.
    fn cargo(&self) -> std::process::Command {
        let mut command = tools::cargo();
        self.environment(&mut command);
        command
    }

    /// Gives `command` the environment of this run.
    fn environment(&self, command: &mut std::process::Command) {
        if self.full {
            command.env("TIDEGATE_FULL", "1");
        } else {
            command.env_remove("TIDEGATE_FULL");
        }
    }

    /// Does one part, and records its tests in the stead of those of its last run.
    fn part(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let before = self.tally.records.len();
        work(self)?;
        behaviours::record(name, self.tally.records.get(before..).unwrap_or_default())
    }
}

/// Fails early, and with exit code 2, if something is missing that a later step needs.
fn find_tools(part: Option<Part>) -> Result<()> {
    // The tests on the host have servers and clients in Node.
    tools::node()?;
    tools::npm()?;
    if part != Some(Part::Native) {
        tools::check_wasm_bindgen()?;
        tools::rust_target(tools::WASM_TARGET)?;
        tools::npm::tools()?;
        for browser in Browser::REQUIRED {
            println!("{browser}: {}", version(browser)?);
        }
    }
    if part.is_none() {
        tools::component("rustfmt", "fmt")?;
        tools::component("clippy", "clippy")?;
        tools::rust_target(tools::NEON_TARGET)?;
        tools::rust_target(tools::WASM_TARGET)?;
    }
    Ok(())
}

/// Finds a browser, and what it says about itself.
fn version(browser: Browser) -> Result<String> {
    let found = browsers::find(browser)?;
    Ok(match found.version() {
        Some(mut command) => process::stdout_of(&mut command)?.trim().to_owned(),
        None => webdriver::Session::start(&found)?.version().to_owned(),
    })
}
