//! `cargo xtask fuzz`: looks for inputs that break a promise, with the targets of `fuzz/`.
//!
//! Each target runs for a while on the inputs that are kept in `fuzz/corpus`, and on those that earlier runs
//! have left below the target directory. An input that breaks something is left there as a file; put into
//! the corpus, it is a test of `tests/fuzz` from then on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use crate::process::{self, End, Wait};
use crate::steps::{Steps, print_table, write_json};
use crate::tools;

/// Most bytes of an input: longer ones are slower and reach nothing that these do not.
const MOST_BYTES: u32 = 4_096;

/// What runs, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these targets, not all
    targets: Vec<String>,
    /// How long each of them runs; fractions are allowed
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    minutes: f64,
    /// Afterwards put those inputs into fuzz/corpus that reach what none there does
    #[arg(long)]
    keep: bool,
    /// Also write the table as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// How one target did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Row {
    target: String,
    executions: u64,
    /// Edges of the program that were reached.
    coverage: u64,
    /// Inputs that are needed to reach them.
    inputs: u64,
    /// Files with inputs that broke something.
    findings: Vec<String>,
}

/// Runs the targets and prints how they did.
///
/// # Errors
///
/// If something was found, if there is no such target, or if they cannot be built: libFuzzer needs a C++
/// compiler.
pub(crate) fn run(options: &Options) -> Result<()> {
    let targets = chosen(&options.targets)?;
    let mut steps = Steps::default();
    steps.run("cargo-fuzz", tools::cargo_fuzz)?;
    steps.run("build", || process::run(&mut cargo_fuzz("build", &[])?))?;
    let mut rows = Vec::new();
    for target in &targets {
        rows.push(steps.run(target, || fuzz(target, options.minutes))?);
    }
    if options.keep {
        for target in &targets {
            steps.run(&format!("{target}: keep what is new"), || keep(target))?;
        }
    }
    steps.print();
    let cells: Vec<_> = rows.iter().map(cells).collect();
    print_table(["target", "executions", "coverage", "inputs", "findings"], &cells);
    write_json(options.json.as_deref(), &rows)?;
    let findings: Vec<&str> = rows.iter().flat_map(|row| &row.findings).map(String::as_str).collect();
    if findings.is_empty() {
        return Ok(());
    }
    bail!("promises are broken by {}", findings.join(", "))
}

fn cells(row: &Row) -> [String; 5] {
    let numbers = [row.executions, row.coverage, row.inputs].map(|number| number.to_string());
    let [executions, coverage, inputs] = numbers;
    [row.target.clone(), executions, coverage, inputs, row.findings.len().to_string()]
}

/// All targets, or those of them that were asked for.
fn chosen(wanted: &[String]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(tools::root().join("fuzz/fuzz_targets")).context("reading the targets")? {
        all.extend(entry?.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    all.sort();
    if let Some(unknown) = wanted.iter().find(|target| !all.contains(target)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    Ok(if wanted.is_empty() { all } else { wanted.to_vec() })
}

/// Where runs leave their inputs and findings, and programs are built.
fn directory() -> PathBuf {
    tools::target().join("fuzz")
}

fn cargo_fuzz(command: &str, arguments: &[&str]) -> Result<Command> {
    let mut cargo = tools::cargo();
    // The switch by which a stable compiler takes the flags of the sanitizers.
    cargo.env("RUSTC_BOOTSTRAP", "1").env("PATH", tools::with_own_tools()?);
    cargo.args(["fuzz", command, "--fuzz-dir", "fuzz", "--target-dir"]).arg(directory()).args(arguments);
    Ok(cargo)
}

/// A run of `target` over these directories of inputs, of which the first takes new ones.
fn over(target: &str, inputs: [&Path; 2], arguments: &[String]) -> Result<Command> {
    let mut command = cargo_fuzz("run", &[target])?;
    command.args(inputs).arg("--").arg(format!("-max_len={MOST_BYTES}")).args(arguments);
    Ok(command)
}

fn kept(target: &str) -> PathBuf {
    tools::root().join("fuzz/corpus").join(target)
}

fn fuzz(target: &str, minutes: f64) -> Result<Row> {
    let found = directory().join("findings").join(target);
    let inputs = directory().join("corpus").join(target);
    for path in [&found, &inputs] {
        std::fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
    }
    let arguments = [
        // 0 would be for ever.
        format!("-max_total_time={}", (minutes * 60.0).ceil().max(1.0)),
        format!("-artifact_prefix={}/", found.display()),
        // From the start, since seeds are longer than what could be reached by growing.
        "-len_control=0".to_owned(),
        // So slow is a finding. What takes 10 s would otherwise be left among the findings without being one.
        "-timeout=30".to_owned(),
        "-report_slow_units=30".to_owned(),
        "-print_final_stats=1".to_owned(),
    ];
    let mut row = Row { target: target.to_owned(), ..Row::default() };
    let mut command = over(target, [&inputs, &kept(target)], &arguments)?;
    let end = process::lines(&mut command, Wait::Forever, |line| {
        if note(&mut row, line) {
            println!("{line}");
        }
        Wait::Forever
    })?;
    match end {
        End::Exited(status) if !status.success() && row.findings.is_empty() => {
            bail!("{target} ended without a finding ({status})")
        }
        _ => Ok(row),
    }
}

/// Takes from a line of libFuzzer's what it says, and says whether it is worth showing.
fn note(row: &mut Row, line: &str) -> bool {
    let mut words = line.split_whitespace();
    let number = |word: Option<&str>| word.and_then(|word| word.split('/').next()?.parse().ok());
    if line.starts_with('#') {
        while let Some(word) = words.next() {
            match word {
                "cov:" => row.coverage = number(words.next()).unwrap_or(row.coverage),
                "corp:" => row.inputs = number(words.next()).unwrap_or(row.inputs),
                _ => {}
            }
        }
        // There are thousands of the others.
        return line.contains("INITED") || line.contains("pulse") || line.contains("DONE");
    }
    if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
        row.executions = number(Some(count.trim())).unwrap_or_default();
    }
    if let Some((_, path)) = line.split_once("Test unit written to ") {
        row.findings.push(path.to_owned());
    }
    !line.starts_with("stat::") && !line.starts_with("INFO: ") && !line.is_empty()
}

/// Copies what reaches more than the kept inputs do to them.
fn keep(target: &str) -> Result<()> {
    let inputs = directory().join("corpus").join(target);
    // By what is reached and not by how often, or ten times as many would be kept.
    let arguments = ["-set_cover_merge=1", "-use_counters=0"].map(str::to_owned);
    process::run(&mut over(target, [&kept(target), &inputs], &arguments)?)
}

#[cfg(test)]
mod tests {
    use super::{Row, note};

    #[test]
    fn a_run_is_read_from_its_lines() {
        let mut row = Row::default();
        let shown: Vec<bool> = [
            "INFO: Seed: 1",
            "#2\tINITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 40Mb",
            "#8\tNEW    cov: 7 ft: 9 corp: 3/20b lim: 4 exec/s: 0 rss: 40Mb L: 2/9 MS: 1 InsertByte-",
            "#9\tDONE   cov: 12 ft: 20 corp: 4/1Kb lim: 4 exec/s: 2 rss: 40Mb",
            "stat::number_of_executed_units: 21647",
            "thread panicked",
            "artifact_prefix='x/'; Test unit written to x/crash-1",
        ]
        .into_iter()
        .map(|line| note(&mut row, line))
        .collect();
        assert_eq!(shown, [false, true, false, true, false, true, true]);
        let findings = vec!["x/crash-1".to_owned()];
        assert_eq!(row, Row { target: String::new(), executions: 21_647, coverage: 12, inputs: 4, findings });
    }
}
