//! Measures what an operation of tidegate's send queue costs while a million messages are in it. See README.md.

mod figures;
mod load;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use figures::Row;
use load::Load;

const USAGE: &str = "usage: tidegate-bench-queue [--rounds N] [--json PATH] [--only LOAD-PREFIX]";

/// What the command line says.
#[derive(Debug)]
struct Options {
    rounds: usize,
    json: Option<PathBuf>,
    only: String,
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

    let mut options = Options { rounds: 13, json: None, only: String::new() };
    let mut parser = lexopt::Parser::from_env();
    let wrong = |error: lexopt::Error| format!("{error}\n{USAGE}");
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("rounds") => {
                options.rounds = parser.value().and_then(|value| value.parse()).map_err(wrong)?;
            }
            Long("json") => options.json = Some(parser.value().map_err(wrong)?.into()),
            Long("only") => options.only = parser.value().and_then(|value| value.parse()).map_err(wrong)?,
            other => return Err(wrong(other.unexpected())),
        }
    }
    options.rounds = options.rounds.max(1);
    Ok(options)
}

fn run(options: &Options) -> Result<(), String> {
    let loads: Vec<_> = Load::ALL.into_iter().filter(|load| load.name.starts_with(&options.only)).collect();
    if loads.is_empty() {
        return Err(format!("no load's name begins with {:?}", options.only));
    }
    let mut samples = vec![Vec::new(); loads.len()];
    // The first round is not counted.
    for round in 0..=options.rounds {
        for (load, samples) in loads.iter().zip(&mut samples) {
            let sample = load::measure(*load, round as u64);
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    let rows: Vec<Row> =
        loads.iter().zip(&samples).map(|(load, samples)| Row::new(load.name, samples)).collect();
    println!(
        "nanoseconds of CPU time per message, with {} queued: medians and quartiles of {} rounds, in turn",
        load::QUEUED,
        options.rounds
    );
    figures::print(&rows);
    options.json.as_deref().map_or(Ok(()), |path: &Path| figures::write_json(path, options.rounds, &rows))
}
