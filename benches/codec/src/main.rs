//! Measures tidegate's frame codec against other Rust WebSocket libraries. See README.md.

mod cells;
mod echo;
mod layout;
mod measure;
mod memory;
mod peers;
mod records;
mod report;
mod subject;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use cells::Cell;
use report::Row;

const USAGE: &str = "usage: tidegate-bench-codec codec|echo [--rounds N] [--json PATH] [--only CELL-PREFIX]";

/// What the command line says.
#[derive(Debug)]
struct Options {
    command: Command,
    rounds: usize,
    json: Option<PathBuf>,
    only: String,
}

#[derive(Clone, Copy, Debug)]
enum Command {
    Codec,
    Echo,
}

fn main() -> ExitCode {
    let result = options().and_then(|options| match options.command {
        Command::Codec => codec(&options),
        Command::Echo => echo(&options),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    use lexopt::prelude::*;

    let mut command = None;
    let mut options = Options { command: Command::Codec, rounds: 13, json: None, only: String::new() };
    let mut parser = lexopt::Parser::from_env();
    let wrong = |error: lexopt::Error| format!("{error}\n{USAGE}");
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Value(name) if command.is_none() && name == "codec" => command = Some(Command::Codec),
            Value(name) if command.is_none() && name == "echo" => command = Some(Command::Echo),
            Long("rounds") => {
                options.rounds = parser.value().and_then(|value| value.parse()).map_err(wrong)?;
            }
            Long("json") => options.json = Some(parser.value().map_err(wrong)?.into()),
            Long("only") => options.only = parser.value().and_then(|value| value.parse()).map_err(wrong)?,
            other => return Err(wrong(other.unexpected())),
        }
    }
    options.command = command.ok_or(USAGE)?;
    options.rounds = options.rounds.max(1);
    Ok(options)
}

fn codec(options: &Options) -> Result<(), String> {
    let mut rows: Vec<Row> = Vec::new();
    println!(
        "nanoseconds of CPU time per frame: medians and quartiles of {} rounds, in turn",
        options.rounds
    );
    let cells = Cell::all(&options.only);
    for (index, cell) in cells.iter().enumerate() {
        let ready = cell.ready();
        let figures = measure::rounds(|| ready.subjects(), options.rounds);
        rows.push(
            Row::new(cell.what(), cell.bytes, &ready.names, figures).with_shares(ready.shares.as_deref()),
        );
        if cells.get(index + 1).is_none_or(|next| next.what() != cell.what()) {
            let table: Vec<_> = rows.iter().filter(|row| row.what == cell.what()).cloned().collect();
            report::print(&table);
        }
    }
    write_json(options, "nanoseconds of CPU time per frame", &rows)
}

fn echo(options: &Options) -> Result<(), String> {
    println!(
        "nanoseconds of CPU time of the server's thread per message: medians and quartiles of {} connections",
        options.rounds
    );
    let rows = echo::rows(&options.only, options.rounds)?;
    rows.chunk_by(|one, next| one.what == next.what).for_each(report::print);
    write_json(options, "nanoseconds of the server's CPU time per message", &rows)
}

fn write_json(options: &Options, unit: &'static str, rows: &[Row]) -> Result<(), String> {
    if rows.is_empty() {
        return Err(format!("no cell's name begins with {:?}", options.only));
    }
    let write = |path| report::write_json(path, unit, options.rounds, rows);
    options.json.as_deref().map_or(Ok(()), write)
}
