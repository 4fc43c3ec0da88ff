//! Measures what sessions cost tidegate's server: bytes that an idle one holds, messages a second of active ones beside them,
//! and what one of many channels costs. See README.md.

mod channels;
mod clients;
mod server;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const USAGE: &str = "usage: tidegate-bench-server [--idle N] [--active N] [--seconds N] [--only plain|tidegate] [--json PATH]";

/// Files that are open besides sockets.
const OTHER_FILES: u64 = 64;

/// What sessions speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Plain,
    Tidegate,
}

impl Mode {
    const ALL: [Self; 2] = [Self::Plain, Self::Tidegate];

    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tidegate => "tidegate",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// How many sessions, and for how long.
#[derive(Clone, Copy, Debug, Serialize)]
struct Load {
    idle: u32,
    active: u32,
    seconds: u32,
}

impl Load {
    const fn time(self) -> Duration {
        Duration::from_secs(self.seconds as u64)
    }
}

/// What the command line says.
#[derive(Debug)]
struct Options {
    load: Load,
    only: Option<Mode>,
    json: Option<PathBuf>,
    /// Of a process that is the clients: where the server is.
    server: Option<String>,
}

/// What one mode has cost.
#[derive(Clone, Copy, Debug, Serialize)]
struct Row {
    mode: Mode,
    /// Of the server, for each session that is open and idle.
    bytes_per_idle_session: u64,
    /// That came to the server and went back, beside the idle sessions.
    messages_per_second: f64,
    /// Of the server's one thread, for each of them.
    microseconds_per_message: f64,
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    use lexopt::prelude::*;

    let load = Load { idle: 10_000, active: 1_000, seconds: 5 };
    let mut options = Options { load, only: None, json: None, server: None };
    let mut parser = lexopt::Parser::from_env();
    let wrong = |error: lexopt::Error| format!("{error}\n{USAGE}");
    while let Some(argument) = parser.next().map_err(wrong)? {
        let load = &mut options.load;
        match argument {
            Long("idle") => load.idle = parser.value().and_then(|value| value.parse()).map_err(wrong)?,
            Long("active") => load.active = parser.value().and_then(|value| value.parse()).map_err(wrong)?,
            Long("seconds") => {
                load.seconds = parser.value().and_then(|value| value.parse()).map_err(wrong)?;
            }
            // What all benches take; these figures need no rounds.
            Long("rounds") => drop(parser.value().map_err(wrong)?),
            Long("only") => {
                let name: String = parser.value().and_then(|value| value.parse()).map_err(wrong)?;
                options.only = Some(Mode::of(&name).ok_or_else(|| format!("no mode {name:?}\n{USAGE}"))?);
            }
            Long("json") => options.json = Some(parser.value().map_err(wrong)?.into()),
            // Only for the process that this one starts.
            Long("server") => {
                options.server = Some(parser.value().and_then(|value| value.parse()).map_err(wrong)?);
            }
            other => return Err(wrong(other.unexpected())),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), String> {
    let load = options.load;
    allow_files(u64::from(load.idle) + u64::from(load.active) + OTHER_FILES)?;
    if let (Some(address), Some(mode)) = (&options.server, options.only) {
        return clients::run(address, mode, load);
    }
    let mut rows = Vec::new();
    for mode in Mode::ALL.into_iter().filter(|mode| options.only.is_none_or(|only| only == *mode)) {
        rows.push(server::measure(mode, load)?);
    }
    println!(
        "{} idle sessions, beside which {} sent 32 bytes each and waited for the answer for {} s; the server has one \
         thread, over loopback",
        load.idle, load.active, load.seconds
    );
    println!(
        "{:<10}{:>24}{:>12}{:>24}",
        "", "bytes per idle session", "messages/s", "server's CPU, us/message"
    );
    for row in &rows {
        let Row { mode, bytes_per_idle_session, messages_per_second, microseconds_per_message } = row;
        println!(
            "{:<10}{bytes_per_idle_session:>24}{messages_per_second:>12.0}{microseconds_per_message:>24.2}",
            mode.name()
        );
    }
    let channels = match options.only {
        Some(Mode::Plain) => Vec::new(),
        _ => channels::measure(load.time())?,
    };
    if !channels.is_empty() {
        println!(
            "\none session, of whose channels one is used: a message there, and one back, through memory in one thread"
        );
        println!("{:<10}{:>24}{:>12}", "channels", "us to open one", "messages/s");
    }
    for row in &channels {
        let channels::Row { channels, microseconds_per_opening, messages_per_second } = row;
        println!("{channels:<10}{microseconds_per_opening:>24.1}{messages_per_second:>12.0}");
    }
    options.json.as_deref().map_or(Ok(()), |path| write_json(path, load, &rows, &channels))
}

/// Raises the number of files that may be open as far as the system allows.
fn allow_files(files: u64) -> Result<(), String> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if maximum.is_some_and(|maximum| maximum < files) {
        return Err(format!(
            "so many sockets need {files} open files (`ulimit -Hn`): ask for fewer sessions"
        ));
    }
    let limit = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, limit).map_err(|error| format!("raising the number of open files: {error}"))
}

fn write_json(path: &Path, load: Load, rows: &[Row], channels: &[channels::Row]) -> Result<(), String> {
    #[derive(Serialize)]
    struct Report<'a> {
        load: Load,
        rows: &'a [Row],
        channels: &'a [channels::Row],
    }
    let failed = |error: String| format!("writing {}: {error}", path.display());
    let text = serde_json::to_string_pretty(&Report { load, rows, channels })
        .map_err(|error| failed(error.to_string()))?;
    std::fs::write(path, text + "\n").map_err(|error| failed(error.to_string()))
}
