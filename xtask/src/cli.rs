//! The command line: `cargo xtask --help`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::place::Browser;
use crate::test::{self, Options, Part};
use crate::{autobahn, behaviours, bench, demo, dist, fuzz, size, tidy};

/// Build, test and show tidegate.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the demo page, or drive it in a browser and compare every byte
    Demo(demo::Options),
    /// Run all checks and tests, in Chromium and Firefox too, or one part of the tests
    Test {
        /// Only this part, without the static checks
        #[arg(value_enum)]
        part: Option<Part>,
        /// With full counts: 10,000 cycles, a million messages
        #[arg(long)]
        full: bool,
        /// With `web`, `package` or `proxies`: only in this browser, and not in Node; may be given more than once
        #[arg(long = "engine", value_enum, value_name = "ENGINE", requires = "part")]
        engines: Vec<Browser>,
        /// With `web` or `package`: only the tests whose names have this in them, and nothing that has no name; what
        /// `behaviours` knows stays as it is
        #[arg(long, value_name = "TEXT", requires = "part")]
        only: Option<String>,
        #[command(flatten)]
        table: Table,
    },
    /// Run the Autobahn test suite against the client, the server, or both
    Autobahn(autobahn::Options),
    /// Measure the npm package against other libraries in Chromium and Firefox, or the codec against other codecs
    Bench(bench::Choice),
    /// Look for inputs that break a promise of the codec or the native transport
    Fuzz(fuzz::Options),
    /// Build the npm package and its tarball under target/npm
    Dist(Table),
    /// Print what the npm package weighs in a web application, and fail above its bound
    Size(size::Options),
    /// Check rules that no compiler checks: layers, file lengths, unfinished marks, machine paths
    Tidy(Table),
    /// Print which statement of docs/BEHAVIOURS.md was tested where, and how that went
    Behaviours(Table),
}

/// What every command that prints a table takes.
#[derive(Args)]
pub(crate) struct Table {
    /// Also write the table as JSON to this file
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

/// Reads the command line and does what it says.
///
/// # Errors
///
/// The command's own.
pub(crate) fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Test { part, full, engines, only, table } => {
            test::run(&Options { part, full, engines, only }, table.json.as_deref())
        }
        Command::Autobahn(options) => autobahn::run(&options),
        Command::Bench(choice) => bench::run(&choice),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Dist(table) => dist::run(table.json.as_deref()),
        Command::Size(options) => size::run(&options),
        Command::Tidy(table) => tidy::run(table.json.as_deref()),
        Command::Behaviours(table) => behaviours::run(table.json.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::Cli;

    #[test]
    fn the_command_line_is_sound_and_bench_needs_no_word() {
        Cli::command().debug_assert();
        for line in [
            "bench",
            "bench --rounds 3",
            "bench browser --rounds 3 --only tidegate",
            "bench hol --quick --browser firefox --svg a.svg",
            "bench hol --rounds 3 --rate 100000 --delay 80 --mebibytes 2",
            "bench hol --from a.json --svg a.svg",
            "bench hol --only tidegate --server node --down",
            "bench hol --grid --quick --server rust --json a.json",
            "bench hol --grid --budget-delays 6,50 --down",
            "bench hol --budget-delays 5,12,500 --rate 200000 --delay 50",
            "bench codec --only encode/16 --native",
            "test web --engine webkit --engine firefox",
            "test package --only b28_",
            "test proxies --full --engine chromium",
        ] {
            assert!(Cli::try_parse_from(["xtask"].into_iter().chain(line.split(' '))).is_ok(), "{line}");
        }
        for line in [
            "bench --rounds 3 codec",
            "bench codec --rounds 0",
            "bench echo --browser firefox",
            "bench hol --rate 0",
            "bench hol --quick --rounds 2",
            "bench hol --from a.json --quick",
            "bench hol --from a.json --server node",
            "bench hol --server go",
            "bench hol --grid --rate 100000",
            "bench hol --grid --then 100000",
            "bench hol --grid --svg a.svg",
            "bench hol --budget-delays 4",
            "bench hol --budget-delays 12,501",
            "bench hol --budget-delays 12 --mebibytes 2",
            "test --engine webkit",
            "test --only b28_",
            "test web --engine safari",
        ] {
            assert!(Cli::try_parse_from(["xtask"].into_iter().chain(line.split(' '))).is_err(), "{line}");
        }
    }
}
