//! `cargo xtask test`: everything that must hold before a commit is taken, with one count at the end.
//!
//! The static checks come first, then tests on the host, in browsers, of the npm package, and in full runs through
//! proxies. A failed step is told at once and does not keep the later ones from running. Each test is recorded with
//! its place, for `behaviours`. The last line stands alone: `N passed, N failed`; a step that fails without a
//! failed test in it (a lint, a build) counts as one failure.
//!
//! A browser is either required, or reported: then its failures are named above the last line, and neither
//! they nor what passed in it are counted there. WebKit is reported in full runs, and if it cannot be had,
//! that is reported, too. Who names a browser with `--engine` asks about that one, so it is required.

mod cargo;
mod checks;
mod count;
mod examples;
mod foreign;
mod native;
mod output;
mod package;
mod places;
mod project;
mod proxies;
mod server;
mod way;
mod web;
mod web_examples;

use std::path::Path;

use anyhow::{Result, bail};
use serde::Serialize;

use self::count::{Count, Tally, Weight};
use self::places::Places;
use crate::behaviours;
use crate::place::Browser;
use crate::steps::{Row, Steps, write_json};
use crate::tools;

/// A part of the tests that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Unit, integration and documentation tests on the host, the examples, and the Autobahn test suite.
    Native,
    /// wasm tests in Node, Chromium and Firefox, in page and worker; with `--full` in WebKit, too.
    Web,
    /// The npm package: its facade, and applications that install it.
    Package,
    /// Through nginx, Apache, lighttpd and HAProxy, on the host and in browsers, and with servers of others:
    /// libwebsockets, websockets, ws4py. Without a name only with `--full`.
    Proxies,
}

/// What runs and how.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// One part without the static checks, or everything.
    pub(crate) part: Option<Part>,
    /// With full counts: `TIDEGATE_FULL=1` for builds and runs.
    pub(crate) full: bool,
    /// The only browsers of `web`, `package` and `proxies`, which then leave out what needs no browser; if there is
    /// none, those that are usual.
    pub(crate) engines: Vec<Browser>,
    /// The only tests of `web` and `package`: those that have this in their names.
    pub(crate) only: Option<String>,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Summary<'a> {
    passed: usize,
    failed: usize,
    /// In browsers that are not required.
    reported_passed: usize,
    reported_failed: usize,
    steps: &'a [Row],
}

/// Runs the tests and prints times and count.
///
/// # Errors
///
/// [`tools::Missing`] before anything runs, if a tool is missing; [`crate::Silent`] after the count, if
/// anything failed.
pub(crate) fn run(options: &Options, json: Option<&Path>) -> Result<()> {
    if options.part == Some(Part::Native) && !options.engines.is_empty() {
        bail!("--engine goes with `web`, `package` or `proxies`: the tests of `native` run in no browser");
    }
    if options.part == Some(Part::Native) && options.only.is_some() {
        bail!("--only goes with `web` or `package`; `cargo test NAME` runs single tests of the host");
    }
    let mut session = Session {
        steps: Steps::default(),
        required: Count::default(),
        reported: Count::default(),
        full: options.full,
        only: options.only.clone(),
    };
    let wants = |part| options.part.is_none_or(|chosen| chosen == part);
    let mut places = Places::of(&options.engines, options.full);
    let with_proxies = options.part == Some(Part::Proxies) || (options.part.is_none() && options.full);
    session.steps.run("tools", || find_tools(options.part, with_proxies, &mut places))?;
    if options.part.is_none() {
        checks::run(&mut session);
    }
    if wants(Part::Native) {
        session.part("native", &places, native::run)?;
    }
    if wants(Part::Web) {
        session.part("web", &places, |session| web::run(session, &places))?;
    }
    if wants(Part::Package) {
        session.part("package", &places, |session| {
            package::run(session, &places);
            Ok(())
        })?;
    }
    if with_proxies {
        session.part("proxies", &places, |session| {
            proxies::run(session, &places);
            if places.node {
                foreign::run(session);
            }
            Ok(())
        })?;
    }
    if options.part.is_none() {
        checks::packaging(&mut session);
    }
    session.steps.print();
    let (passed, failed) = (session.required.passed(), session.required.failed());
    let (reported_passed, reported_failed) = (session.reported.passed(), session.reported.failed());
    let steps = session.steps.rows();
    write_json(json, &Summary { passed, failed, reported_passed, reported_failed, steps })?;
    session.required.print_failed("failed");
    session.reported.print_failed("failed, reported only");
    places.left_out.iter().for_each(|note| println!("{note}"));
    if reported_passed + reported_failed > 0 {
        println!(
            "webkit, which is reported and not required: {reported_passed} passed, {reported_failed} failed"
        );
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!(crate::Silent);
    }
    Ok(())
}

/// A run in progress.
struct Session {
    steps: Steps,
    required: Count,
    reported: Count,
    full: bool,
    only: Option<String>,
}

impl Session {
    /// Does one step; whatever fails in it is counted.
    fn step<T>(&mut self, name: &str, work: impl FnOnce(&mut Tally) -> Result<T>) -> Option<T> {
        self.weighed(Weight::Required, name, work)
    }

    /// Does one step, which counts as much as `weight` says.
    fn weighed<T>(
        &mut self,
        weight: Weight,
        name: &str,
        work: impl FnOnce(&mut Tally) -> Result<T>,
    ) -> Option<T> {
        let Self { steps, required, reported, .. } = self;
        let count = match weight {
            Weight::Required => required,
            Weight::Reported => reported,
        };
        count.step(name, |tally| steps.attempt(name, || work(tally)))
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

    /// Does one part, and records its tests instead of those that ran in the same places before, if it was all of them.
    fn part(
        &mut self,
        name: &str,
        places: &Places,
        work: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let before = [&self.required, &self.reported].map(|count| count.records().len());
        work(self)?;
        if self.only.is_some() {
            return Ok(());
        }
        let counts = [&self.required, &self.reported].into_iter().zip(before);
        let new = counts.map(|(count, before)| count.records().get(before..).unwrap_or_default());
        behaviours::record(name, &new.collect::<Vec<_>>().concat(), |place| places.includes(place))
    }
}

/// Fails early, and with exit code 2, if something is missing that a later step needs.
fn find_tools(part: Option<Part>, with_proxies: bool, places: &mut Places) -> Result<()> {
    // The tests on the host and of the package have servers and clients in Node and in Python.
    tools::node()?;
    tools::npm()?;
    if part != Some(Part::Web) {
        tools::python::find()?;
    }
    if part != Some(Part::Native) {
        tools::check_wasm_bindgen()?;
        tools::rust_target(tools::WASM_TARGET)?;
        tools::npm::tools()?;
        places.find()?;
    }
    if with_proxies {
        tools::daemons::find()?;
    }
    if part.is_none() {
        tools::component("rustfmt", "fmt")?;
        tools::component("clippy", "clippy")?;
        tools::rust_target(tools::NEON_TARGET)?;
        tools::rust_target(tools::WASM_TARGET)?;
    }
    Ok(())
}
