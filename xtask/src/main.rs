//! tidegate's own build, demo and test commands: `cargo xtask --help`.

mod autobahn;
mod behaviours;
mod bench;
mod cli;
mod demo;
mod dist;
mod fuzz;
mod hash;
mod link;
mod listen;
mod place;
mod process;
mod runner;
mod server;
mod size;
mod steps;
mod test;
mod tidy;
mod tools;
mod web_examples;
mod webdriver;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

/// An error that has been told already, so that nothing follows the last line of the output.
#[derive(Debug)]
struct Silent;

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed, as told above")
    }
}

impl std::error::Error for Silent {}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Silent>() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            // 2: the user has to install something; 1: something is wrong.
            ExitCode::from(if error.is::<tools::Missing>() { 2 } else { 1 })
        }
    }
}

fn run() -> Result<()> {
    let _guard = process::guard()?;
    let arguments: Vec<_> = std::env::args_os().collect();
    // Before the command line is parsed: what follows is libtest's, not ours.
    match arguments.split_first() {
        Some((_, [first, rest @ ..])) if first == "wasm-runner" => runner::main(rest),
        _ => cli::run(),
    }
}
