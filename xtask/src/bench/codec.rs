//! `cargo xtask bench codec`, `echo`, `queue` and `server`: builds the program in `benches/codec`, `benches/queue` or
//! `benches/server` and runs it.
//!
//! Not here: what is measured and how, which their READMEs say, and the tables, which they print themselves.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;
use crate::steps::Steps;
use crate::tools;

/// A program below `benches`, and what it is told to do, if it does several things.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    directory: &'static str,
    word: Option<&'static str>,
}

impl Program {
    pub(super) const CODEC: Self = Self { directory: "codec", word: Some("codec") };
    pub(super) const ECHO: Self = Self { directory: "codec", word: Some("echo") };
    pub(super) const QUEUE: Self = Self { directory: "queue", word: None };
    const SERVER: Self = Self { directory: "server", word: None };
}

/// What every program takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often everything is measured
    #[arg(long, default_value_t = 13, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Only the cells or loads whose names begin so, as in `encode/16`
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Build all for this very processor, in a target directory of its own
    #[arg(long)]
    native: bool,
    /// Also write the figures as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// What the program in `benches/server` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServerOptions {
    /// Only sessions of this mode: `plain` or `tidegate`
    #[arg(long, value_name = "MODE")]
    only: Option<String>,
    /// Also write the figures as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// As [`run`], for what needs no rounds.
///
/// # Errors
///
/// As there.
pub(super) fn run_server(options: &ServerOptions) -> Result<()> {
    let ServerOptions { only, json } = options.clone();
    run(Program::SERVER, &Options { rounds: 1, only, native: false, json })
}

/// Builds a program and runs it.
///
/// # Errors
///
/// If it does not build, nothing's name begins as asked for, or what is measured does something wrong.
pub(super) fn run(program: Program, options: &Options) -> Result<()> {
    let Program { directory, word } = program;
    let arguments = arguments(word, options)?;
    let mut steps = Steps::default();
    steps.run(&format!("build benches/{directory}"), || {
        process::run(&mut cargo(directory, "build", options.native))
    })?;
    steps.run(&format!("measure {}", word.unwrap_or(directory)), || {
        process::run(cargo(directory, "run", options.native).args(["--quiet", "--"]).args(&arguments))
    })
}

/// What the program is told.
fn arguments(word: Option<&str>, options: &Options) -> Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> = word.into_iter().map(OsString::from).collect();
    arguments.extend(["--rounds".into(), options.rounds.to_string().into()]);
    if let Some(prefix) = &options.only {
        arguments.extend(["--only".into(), prefix.into()]);
    }
    if let Some(path) = &options.json {
        // The program runs in another directory than the one that was typed in.
        let path = std::path::absolute(path).with_context(|| format!("finding {}", path.display()))?;
        arguments.extend(["--json".into(), path.into()]);
    }
    Ok(arguments)
}

/// `cargo build` or `run` in the workspace of the program.
fn cargo(directory: &str, word: &str, native: bool) -> Command {
    let directory = tools::root().join("benches").join(directory);
    // Where cargo puts things by itself, as the README's commands do too.
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| directory.join("target"), |_| tools::target());
    let mut command = tools::cargo();
    command.current_dir(&directory).args([word, "--release"]);
    if native {
        let mut flags = env::var_os("RUSTFLAGS").unwrap_or_default();
        flags.push(" -C target-cpu=native");
        command.env("RUSTFLAGS", flags);
        command.arg("--target-dir").arg(target.join("native"));
    } else {
        command.arg("--target-dir").arg(target);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::{Options, arguments};

    #[test]
    fn what_is_asked_for_is_passed_on_and_files_are_found_from_elsewhere() {
        let options = Options { rounds: 3, only: Some("encode/16".into()), native: true, json: None };
        let passed = arguments(Some("codec"), &options).unwrap();
        assert_eq!(passed, ["codec", "--rounds", "3", "--only", "encode/16"]);
        let options = Options { rounds: 13, only: None, native: false, json: Some("figures.json".into()) };
        let passed = arguments(None, &options).unwrap();
        assert_eq!(passed.first().unwrap(), "--rounds");
        let path = std::env::current_dir().unwrap().join("figures.json").into_os_string();
        assert_eq!(passed.last(), Some(&path));
    }
}
