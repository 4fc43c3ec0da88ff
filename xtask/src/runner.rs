//! The wasm test runner: `cargo xtask wasm-runner FILE.wasm [libtest arguments]`.
//!
//! Cargo calls it for `cargo test --target wasm32-unknown-unknown` (`.cargo/config.toml`), and `test`
//! calls [`run_file`]. wasm-bindgen's own runner, linked into xtask, does the work in a second process
//! of xtask; the first chooses the place, finds browser and driver, tries once more when the browser
//! does not start, and trusts no run that did not say `test result: ok`.
//!
//! Environment: `TIDEGATE_PLACE` (default `chromium`) says where; `WASM_BINDGEN_TEST_TIMEOUT` how many
//! seconds one file may take (default 300, with `TIDEGATE_FULL` 3600); `TIDEGATE_BROWSER_MEMORY` how many MiB
//! a browser may hold (default a third of the machine's memory), above which it is ended and the run fails.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::place::Place;
use crate::process::{self, End, Wait, memory};
use crate::tools::screen::Screen;
use crate::tools::{self, browsers};

/// Tells the second process that it is the second.
const INNER: &str = "TIDEGATE_WASM_RUNNER";

/// How long driver, browser and page may take to report the first test. Seen on a loaded machine: a
/// Firefox that never loads its worker, and does at once when started again.
const START_LIMIT: Duration = Duration::from_secs(90);

/// All that can choose a mode or a driver in wasm-bindgen's runner; only one of each may be set.
const CHOICES: [&str; 14] = [
    "WASM_BINDGEN_USE_BROWSER",
    "WASM_BINDGEN_USE_DEDICATED_WORKER",
    "WASM_BINDGEN_USE_SHARED_WORKER",
    "WASM_BINDGEN_USE_SERVICE_WORKER",
    "WASM_BINDGEN_USE_NODE_EXPERIMENTAL",
    "WASM_BINDGEN_USE_DENO",
    "GECKODRIVER",
    "CHROMEDRIVER",
    "SAFARIDRIVER",
    "MSEDGEDRIVER",
    "GECKODRIVER_REMOTE",
    "CHROMEDRIVER_REMOTE",
    "SAFARIDRIVER_REMOTE",
    "MSEDGEDRIVER_REMOTE",
];

/// Runs the subcommand with the arguments that follow `wasm-runner`.
///
/// # Errors
///
/// If a test fails, the place cannot be reached, or the run did not come to its end.
pub(crate) fn main(arguments: &[OsString]) -> Result<()> {
    if std::env::var_os(INNER).is_some() {
        let program = OsString::from("wasm-bindgen-test-runner");
        return wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(
            std::iter::once(program).chain(arguments.iter().cloned()),
        );
    }
    let name = std::env::var("TIDEGATE_PLACE").unwrap_or_else(|_| "chromium".to_owned());
    let place: Place = name.parse().context("TIDEGATE_PLACE")?;
    let setup = Setup::new(place, std::env::var_os("TIDEGATE_FULL").is_some())?;
    if !run_file(&setup, arguments, Path::new("."), |_| ())? {
        bail!("tests failed in {place}");
    }
    Ok(())
}

/// What a place needs, found once for many files.
pub(crate) struct Setup {
    place: Place,
    full: bool,
    browser: Option<browsers::Found>,
    screen: Option<Screen>,
}

impl Setup {
    /// Finds, or where it may installs, what tests in `place` need.
    ///
    /// # Errors
    ///
    /// If something is missing and cannot be installed from here, or if `place` is the host's own.
    pub(crate) fn new(place: Place, full: bool) -> Result<Self> {
        if place.runner_variable().is_none() {
            bail!("{place} is the host: wasm tests do not run there");
        }
        if place == Place::Node {
            tools::node()?;
        }
        let browser = place.browser().map(browsers::find).transpose()?;
        let screen = browser.as_ref().map(browsers::Found::screen).transpose()?.flatten();
        Ok(Self { place, full, browser, screen })
    }
}

/// Runs one test module, its path being the first of `arguments`, in `directory`, and passes every line
/// of the output to `on_line`. Returns whether all tests passed. A run without tests passes.
///
/// # Errors
///
/// If the place could not be reached twice in a row, the run broke off without a result, or the browser held too
/// much memory.
pub(crate) fn run_file(
    setup: &Setup,
    arguments: &[OsString],
    directory: &Path,
    mut on_line: impl FnMut(&str),
) -> Result<bool> {
    let bound = setup.browser.as_ref().map(|_| memory::browser_bound()).transpose()?.flatten();
    for attempt in 0..2 {
        let mut run = Run::default();
        let mut command = setup.command(arguments)?;
        command.current_dir(directory);
        let limit =
            if attempt == 0 { Instant::now() + START_LIMIT } else { Instant::now() + 2 * START_LIMIT };
        let end = process::tee_within(bound, &mut command, Wait::Until(limit), |line| {
            on_line(line);
            run.see(line);
            // From the first test on, wasm-bindgen's runner keeps the time.
            if run.started { Wait::Forever } else { Wait::Until(limit) }
        })?;
        match (run.result, end) {
            (Some(passed), End::Exited(status)) => return Ok(passed && status.success()),
            (None, End::Exited(status)) if run.is_empty && status.success() => return Ok(true),
            (_, End::Outgrown(outgrown)) => return Err(outgrown).context(setup.place),
            // Node ends with status 0 when its event loop runs dry under a waiting test.
            _ if run.started => bail!("the run in {} broke off without a result", setup.place),
            _ if attempt == 0 => println!("{} did not start; trying once more", setup.place),
            _ => {}
        }
    }
    bail!("{} did not start, twice", setup.place)
}

impl Setup {
    fn command(&self, arguments: &[OsString]) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe().context("finding xtask's own program")?);
        command.arg("wasm-runner").args(arguments).env(INNER, "1");
        for name in CHOICES {
            command.env_remove(name);
        }
        command.env(self.place.runner_variable().unwrap_or_default(), "1");
        if let Some(browser) = &self.browser {
            command.env(browser.driver_variable(), &browser.driver);
            command.env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", self.capabilities(browser)?);
            command.env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "30");
            command.env("TMPDIR", process::scratch()?);
        }
        if let Some(screen) = &self.screen {
            screen.take(&mut command);
        }
        if std::env::var_os("WASM_BINDGEN_TEST_TIMEOUT").is_none() {
            command.env("WASM_BINDGEN_TEST_TIMEOUT", if self.full { "3600" } else { "300" });
        }
        Ok(command)
    }

    fn capabilities(&self, browser: &browsers::Found) -> Result<PathBuf> {
        let path = process::scratch()?.join(format!("webdriver-{}.json", self.place));
        let text = serde_json::to_string(&browser.capabilities())?;
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// What the output of a run has told so far.
#[derive(Default)]
struct Run {
    started: bool,
    is_empty: bool,
    result: Option<bool>,
}

impl Run {
    fn see(&mut self, line: &str) {
        let line = line.trim();
        self.is_empty |= line == "no tests to run!";
        self.started |= is_start(line);
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.result = Some(rest.starts_with("ok"));
        }
    }
}

/// Whether this is the `running 12 tests` that the harness prints from inside the browser.
fn is_start(line: &str) -> bool {
    let count = line.strip_prefix("running ").and_then(|rest| rest.split_once(' '));
    count.is_some_and(|(number, rest)| number.parse::<u32>().is_ok() && rest.starts_with("test"))
}

#[cfg(test)]
mod tests {
    use super::{Run, is_start};

    #[test]
    fn a_start_is_told_from_the_runners_own_lines() {
        assert!(is_start("running 1 test"));
        assert!(is_start("running 40 tests"));
        assert!(!is_start("Running headless tests in Chrome on `http://127.0.0.1:1/`"));
        assert!(!is_start("running tests"));
    }

    #[test]
    fn only_a_result_line_makes_a_run_complete() {
        let mut run = Run::default();
        for line in ["running 2 tests", "test a ... ok"] {
            run.see(line);
        }
        assert!(run.started && run.result.is_none());
        run.see("test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 filtered out");
        assert_eq!(run.result, Some(false));
    }
}
