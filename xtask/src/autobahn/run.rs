//! One run of the suite against one of the examples.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::cases::CaseId;
use super::report::{self, Report};
use super::suite::Suite;
use crate::process::Job;
use crate::{listen, tools};

/// How long a program may take to listen. The suite's loads for some seconds, more on a busy machine.
const LISTENS_WITHIN: Duration = Duration::from_secs(60);

/// How long nothing may happen: more than the longest that the suite gives a peer for one case, 1000 s.
const CASE_WITHIN: Duration = Duration::from_secs(1_100);

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// How long to wait between two looks at a run.
const PAUSE: Duration = Duration::from_millis(50);

/// Which side of the connection is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// `autobahn_client`; the suite is the server.
    Client,
    /// `echo_server`; the suite is the client.
    Server,
}

impl Side {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The example that is tested.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Client => "autobahn_client",
            Self::Server => "echo_server",
        }
    }
}

/// A run in progress.
pub(super) struct Run {
    side: Side,
    /// Listens; it goes on until it is ended.
    listener: Job,
    /// Connects, once for each case; the run is over when it ends.
    driver: Job,
    /// Where the report is written, and what both programs say.
    directory: PathBuf,
    cases: usize,
}

impl Run {
    /// Starts the suite and the example built for release.
    ///
    /// # Errors
    ///
    /// If one of them does not start.
    pub(super) fn start(side: Side, suite: &Suite, cases: &[CaseId], directory: PathBuf) -> Result<Self> {
        if directory.is_dir() {
            fs::remove_dir_all(&directory).with_context(|| format!("removing {}", directory.display()))?;
        }
        fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        let file = format!("{}{}", side.example(), std::env::consts::EXE_SUFFIX);
        let example = tools::target().join("release/examples").join(file);
        let example = || logged(Command::new(&example), &directory.join("example.log"));
        let wstest = |url: &str| {
            let specification = directory.join("specification.json");
            fs::write(&specification, specify(side, url, cases, &directory)?)
                .with_context(|| format!("writing {}", specification.display()))?;
            let mode = match side {
                Side::Client => "fuzzingserver",
                Side::Server => "fuzzingclient",
            };
            logged(suite.wstest(mode, &specification), &directory.join("wstest.log"))
        };
        let url = |address| format!("ws://{address}");
        let (listener, driver) = match side {
            Side::Client => {
                let (listener, address) = listen::start(LISTENS_WITHIN, |address| wstest(&url(address)))?;
                (listener, Job::start(example()?.args([&url(address), "tidegate"]))?)
            }
            Side::Server => {
                let (listener, address) = listen::start(LISTENS_WITHIN, |address| {
                    let mut example = example()?;
                    example.arg(address.to_string());
                    Ok(example)
                })?;
                (listener, Job::start(&mut wstest(&url(address))?)?)
            }
        };
        Ok(Self { side, listener, driver, directory, cases: cases.len() })
    }

    /// Waits for the end and reads the report.
    ///
    /// # Errors
    ///
    /// If nothing happens for longer than any case may take, or one of the programs fails.
    pub(super) fn finish(mut self) -> Result<Report> {
        let log = self.directory.join("wstest.log");
        let (mut size, mut changed, mut told) = (0, Instant::now(), Instant::now());
        while self.driver.is_running() {
            thread::sleep(PAUSE);
            let now = fs::metadata(&log).map_or(0, |data| data.len());
            if now != size {
                (size, changed) = (now, Instant::now());
            }
            if changed.elapsed() > CASE_WITHIN {
                bail!("{}: no case has come to its end for {} s", self.said(), CASE_WITHIN.as_secs());
            }
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                println!("   {}: {} of {} cases", self.side.name(), started(&log), self.cases);
            }
        }
        let said = self.said();
        if !self.listener.is_running() {
            bail!("{said}: what listens has ended");
        }
        let status = self.driver.wait()?;
        if !status.success() {
            bail!("{said}: what connects has failed ({status})");
        }
        report::read(&self.directory.join("index.json"))
    }

    /// Where to look when something is wrong.
    fn said(&self) -> String {
        format!("{}, see {}/*.log", self.side.name(), self.directory.display())
    }
}

/// `command` with its output in a file.
fn logged(mut command: Command, log: &Path) -> Result<Command> {
    let file = File::create(log).with_context(|| format!("making {}", log.display()))?;
    command.stderr(file.try_clone()?).stdout(Stdio::from(file));
    Ok(command)
}

/// What the suite is told.
fn specify(side: Side, url: &str, cases: &[CaseId], directory: &Path) -> Result<String> {
    let specification = match side {
        Side::Client => json!({ "outdir": directory, "cases": cases, "url": url }),
        Side::Server => {
            let servers = [json!({ "agent": "tidegate", "url": url })];
            json!({ "outdir": directory, "cases": cases, "servers": servers })
        }
    };
    Ok(serde_json::to_string_pretty(&specification)?)
}

/// How many cases have begun.
fn started(log: &Path) -> usize {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter(|line| line.starts_with("Running test case")).count()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::{CaseId, Side, specify};

    #[test]
    fn the_suite_is_told_its_cases_by_name() {
        let cases = [CaseId::parse("1.1.1").unwrap(), CaseId::parse("10.1.1").unwrap()];
        let told = |side| -> Value {
            let text = specify(side, "ws://127.0.0.1:1234", &cases, Path::new("reports")).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        let cases = json!(["1.1.1", "10.1.1"]);
        let url = "ws://127.0.0.1:1234";
        assert_eq!(told(Side::Client), json!({ "outdir": "reports", "cases": cases, "url": url }));
        let servers = json!([{ "agent": "tidegate", "url": url }]);
        assert_eq!(told(Side::Server), json!({ "outdir": "reports", "cases": cases, "servers": servers }));
    }
}
