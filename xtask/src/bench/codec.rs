//! `cargo xtask bench codec` and `echo`: builds the program in `benches/codec` and runs it.
//!
//! Not here: what is measured and how, which its README says, and the tables, which it prints itself.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;
use crate::steps::Steps;
use crate::tools;

/// What every command of the program takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// How often everything is measured
    #[arg(long, default_value_t = 13, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Only the cells whose names begin so, as in `encode/16`
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Build all for this very processor, in a target directory of its own
    #[arg(long)]
    native: bool,
    /// Also write the figures as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// Builds the program and has it do `command`.
///
/// # Errors
///
/// If it does not build, no cell's name begins as asked for, or a library decodes something wrong.
pub(crate) fn run(command: &str, options: &Options) -> Result<()> {
    let arguments = arguments(command, options)?;
    let mut steps = Steps::default();
    steps.run("build benches/codec", || process::run(&mut cargo("build", options.native)))?;
    steps.run(&format!("measure {command}"), || {
        process::run(cargo("run", options.native).args(["--quiet", "--"]).args(&arguments))
    })
}

/// What the program is told.
fn arguments(command: &str, options: &Options) -> Result<Vec<OsString>> {
    let mut arguments: Vec<OsString> =
        vec![command.into(), "--rounds".into(), options.rounds.to_string().into()];
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
fn cargo(word: &str, native: bool) -> Command {
    let directory = tools::root().join("benches/codec");
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
        let passed = arguments("codec", &options).unwrap();
        assert_eq!(passed, ["codec", "--rounds", "3", "--only", "encode/16"]);
        let options = Options { rounds: 13, only: None, native: false, json: Some("figures.json".into()) };
        let passed = arguments("echo", &options).unwrap();
        let path = std::env::current_dir().unwrap().join("figures.json").into_os_string();
        assert_eq!(passed.last(), Some(&path));
    }
}
