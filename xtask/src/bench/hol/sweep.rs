//! tidegate mode over many links, and with more or less that may queue: `--grid` and `--budget-delays`.
//!
//! Each cell is one upload, or download, in messages of [`PIECE_BYTES`], as long as it takes to find out the rate and then for
//! 40 round trips or 10 s. Beside what an urgent message took stands what section 15.6 of PROTOCOL.md promises.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tidegate::TidegateOptions;

use super::site::{Asked, Server, Site};
use super::{IN_CHUNKS, LONGEST, Options, Upload, report};
use crate::bench;
use crate::bench::figures::{Quartiles, Tail};
use crate::link::Shape;
use crate::place::Browser;
use crate::steps::{Steps, print_table};

/// The links of the grid: bytes a second, and milliseconds.
const RATES: [u32; 3] = [200_000, 2_000_000, 20_000_000];
const DELAYS_MS: [u64; 3] = [5, 50, 200];

/// The size of a message of the upload.
const PIECE_BYTES: u32 = 64 << 10;

/// An urgent message with its header.
const URGENT_BYTES: u32 = 40;

/// What a record adds to its chunk at most, rounded up.
const HEADER_BYTES: u32 = 32;

/// How long and how many round trips a cell lasts once the rate is known, and if it is to be quick.
const LASTS: (Duration, u32) = (Duration::from_secs(10), 40);
const LASTS_QUICK: (Duration, u32) = (Duration::from_secs(2), 8);

/// One link, with what may queue on it, and the server at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cell {
    bytes_per_second: NonZeroU32,
    /// One way; the other takes no time.
    delay_ms: u64,
    /// D: what is wanted of the sender.
    budget_delay_ms: u64,
    server: Server,
    bytes: u64,
}

impl Cell {
    fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// How long the sender may take to find out the rate, and until the queue that this makes is gone: what
    /// `tests/v1/latency.rs` leaves out as well. The promise is for a rate that is known.
    fn startup(&self) -> Duration {
        18 * self.delay() + self.line_time(2 * 14_600) + Duration::from_millis(1_200)
    }

    /// What the line takes for so many bytes.
    fn line_time(&self, bytes: u64) -> Duration {
        Duration::from_micros(bytes * 1_000_000 / u64::from(self.bytes_per_second.get()))
    }

    /// The same with as many bytes as it is to carry.
    fn sized(mut self, is_quick: bool) -> Self {
        let (least, round_trips) = if is_quick { LASTS_QUICK } else { LASTS };
        let lasts = self.startup() + least.max(round_trips * self.delay());
        let bytes = u128::from(self.bytes_per_second.get()) * lasts.as_millis() / 1_000;
        self.bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self
    }
}

/// All cells that are asked for, by rate, delay, D and server.
///
/// # Errors
///
/// If one of them takes too long.
pub(super) fn plan(options: &Options) -> Result<Vec<Cell>> {
    let links: Vec<_> = if options.grid {
        let rates = RATES.into_iter().filter_map(NonZeroU32::new);
        rates.flat_map(|rate| DELAYS_MS.map(|delay| (rate, delay))).collect()
    } else {
        vec![(options.rate, options.delay)]
    };
    let usual = u64::try_from(TidegateOptions::client().delay.as_millis())?;
    let budget_delays = if options.budget_delays.is_empty() { &[usual][..] } else { &options.budget_delays };
    let mut cells = Vec::new();
    for (bytes_per_second, delay_ms) in links {
        for &budget_delay_ms in budget_delays {
            for &server in options.server.all() {
                let cell = Cell { bytes_per_second, delay_ms, budget_delay_ms, server, bytes: 0 };
                let cell = cell.sized(options.quick);
                let takes = cell.line_time(cell.bytes).as_secs();
                if takes > LONGEST {
                    bail!("with {delay_ms} ms a measurement takes {takes} s, more than {LONGEST}");
                }
                cells.push(cell);
            }
        }
    }
    Ok(cells)
}

/// All that was measured of one cell in one browser.
#[derive(Clone, Debug, Serialize)]
struct Measured {
    browser: String,
    down: bool,
    #[serde(flatten)]
    cell: Cell,
    row: Row,
    samples: Vec<Upload>,
}

/// Everything, as it is written.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sweep {
    rounds: u32,
    cells: Vec<Measured>,
}

/// What came of one cell, all rounds together; milliseconds but where it says something else.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Row {
    idle: Tail,
    urgent: Tail,
    messages: usize,
    /// Without those that were sent before the rate was known.
    settled: Tail,
    settled_messages: usize,
    /// What the sender took the link for, and let be under way, as it sent the urgent messages: medians.
    bytes_per_second: f64,
    budget_bytes: f64,
    /// The payload of its chunks, by that rate.
    chunk_bytes: u32,
    /// How long so much waits, beside one chunk and what fills the path: D as it was, which may be more than was wanted.
    queue_delay: f64,
    /// What is promised, and whether the settled p99 is within.
    bound: f64,
    is_within: bool,
    /// Of what an upload would take that fills the link from its first moment to its last.
    link: f64,
    megabytes_per_second: f64,
}

/// c by the rate that the sender knows: section 15.5 of PROTOCOL.md.
fn chunk_bytes(bytes_per_second: f64) -> u32 {
    let wanted = bytes_per_second * 0.004;
    let sizes = (10..=16).map(|log| (1 << log) - HEADER_BYTES).chain([1 << 17, 1 << 18]);
    sizes.filter(|size| f64::from(*size) <= wanted).fold(992, u32::max)
}

/// # Errors
///
/// If the page has told of no idle message, of none once the rate was known, or of no budget.
fn row(cell: &Cell, samples: &[Upload]) -> Result<Row> {
    let rate = f64::from(cell.bytes_per_second.get());
    let milliseconds = |bytes: f64| bytes / rate * 1_000.0;
    let startup = cell.startup().as_secs_f64() * 1_000.0;
    let all = || samples.iter().flat_map(|upload| &upload.urgent);
    let latencies = |from: f64| all().filter(move |(at, _)| *at >= from).map(|(_, latency)| *latency);
    let budgets = || {
        let told = samples.iter().flat_map(|upload| upload.urgent.iter().zip(&upload.budgets));
        told.filter(|((at, _), _)| *at >= startup).map(|(_, budget)| *budget)
    };
    let median = |values: Vec<f64>| Quartiles::of(values).map(|quartiles| quartiles.median);
    let idle = || samples.iter().flat_map(|upload| upload.idle.iter().copied());
    let shortest = idle().fold(f64::INFINITY, f64::min);
    let idle = Tail::of(idle()).context("no message went over the idle link")?;
    let settled =
        Tail::of(latencies(startup)).context("no urgent message was sent once the rate was known")?;
    let budget_bytes = median(budgets().map(|(bytes, _)| bytes).collect()).context("no budget was told")?;
    let bytes_per_second = median(budgets().map(|(_, rate)| rate).collect()).context("no rate was told")?;
    let chunk = chunk_bytes(bytes_per_second);
    let beside = budget_bytes - f64::from(chunk + HEADER_BYTES);
    let queue_delay = beside / bytes_per_second.max(1.0) * 1_000.0 - shortest;
    #[allow(
        clippy::cast_precision_loss,
        reason = "a delay is far from 2^52 ms, and an upload from as many bytes"
    )]
    let (wanted, delay, bytes) = (cell.budget_delay_ms as f64, cell.delay_ms as f64, cell.bytes as f64);
    // The idle link stands for the way there, and for J: what timers and event loops are late by.
    let bound = wanted.max(queue_delay) + milliseconds(f64::from(2 * chunk + URGENT_BYTES)) + idle.p50;
    let took: f64 = samples.iter().map(|upload| upload.took).sum();
    #[allow(clippy::cast_precision_loss, reason = "nobody measures so often")]
    let rounds = samples.len() as f64;
    Ok(Row {
        idle,
        urgent: Tail::of(latencies(f64::NEG_INFINITY)).context("no urgent message was sent")?,
        messages: all().count(),
        settled,
        settled_messages: latencies(startup).count(),
        bytes_per_second,
        budget_bytes,
        chunk_bytes: chunk,
        queue_delay,
        bound,
        is_within: settled.p99 <= bound,
        link: rounds * (milliseconds(bytes) + delay) / took,
        megabytes_per_second: rounds * bytes / took / 1_000.0,
    })
}

/// Measures all cells in turn, in each browser, and prints.
///
/// # Errors
///
/// If something cannot be built, a browser is missing, or a page fails.
pub(super) fn measure_all(options: &Options) -> Result<Sweep> {
    let cells = plan(options)?;
    let rounds = if options.quick { 1 } else { options.rounds };
    let mut steps = Steps::default();
    let browsers = bench::browsers(options.browser);
    let site = Site::start(&mut steps, &browsers, options.server)?;
    let mut sweep = Sweep { rounds, cells: Vec::new() };
    for browser in browsers {
        let measured = steps.run(&format!("measure in {browser}"), || {
            measure(browser, &site, &cells, rounds, options.down)
        })?;
        print(browser, rounds, options.down, &measured);
        sweep.cells.extend(measured);
    }
    Ok(sweep)
}

fn measure(browser: Browser, site: &Site, cells: &[Cell], rounds: u32, down: bool) -> Result<Vec<Measured>> {
    let page = site.open(browser)?;
    let mut samples: Vec<Vec<Upload>> = vec![Vec::new(); cells.len()];
    for round in 0..rounds {
        for place in bench::in_turn(cells.len(), round) {
            let (Some(cell), Some(samples)) = (cells.get(place), samples.get_mut(place)) else { continue };
            let shape = Shape { bytes_per_second: Some(cell.bytes_per_second), delay: cell.delay() };
            let way = site.link(cell.server, shape, down)?;
            let asked = Asked {
                contender: IN_CHUNKS,
                bytes: cell.bytes,
                piece_bytes: PIECE_BYTES,
                bytes_per_second: cell.bytes_per_second.get(),
                budget_delay_ms: Some(cell.budget_delay_ms),
                run: format!("{browser} cell {place} {round}"),
            };
            let upload = page.ask(&way, &asked)?;
            println!("   {}", line(cell, &upload));
            samples.push(upload);
        }
    }
    let browser = browser.to_string();
    let cells = cells.iter().zip(samples).map(|(cell, samples)| {
        let row = row(cell, &samples).with_context(|| format!("{browser}: {cell:?}"))?;
        Ok(Measured { browser: browser.clone(), down, cell: *cell, row, samples })
    });
    cells.collect()
}

/// A rate as people say it.
fn megabytes(bytes_per_second: NonZeroU32) -> String {
    format!("{}", f64::from(bytes_per_second.get()) / 1e6)
}

/// One upload, in a line, while the next one runs.
fn line(cell: &Cell, upload: &Upload) -> String {
    let Cell { bytes_per_second, delay_ms, budget_delay_ms, server, .. } = cell;
    let p50 = Tail::of(upload.urgent.iter().map(|(_, latency)| *latency)).map_or(f64::NAN, |tail| tail.p50);
    format!(
        "{} MB/s, {delay_ms} ms, D {budget_delay_ms} ms, {}: {:.1} s, p50 {p50:.0} ms",
        megabytes(*bytes_per_second),
        server.name(),
        upload.took / 1_000.0,
    )
}

/// Prints the table of one browser.
fn print(browser: Browser, rounds: u32, down: bool, measured: &[Measured]) {
    println!(
        "\n{browser}: {IN_CHUNKS}, an urgent message of 32 B every 100 ms while the {} sends messages of {} KiB; {rounds} \
         rounds together. ms, but where it says something else.",
        if down { "server" } else { "page" },
        PIECE_BYTES >> 10,
    );
    let cells: Vec<_> = measured
        .iter()
        .map(|Measured { cell, row, .. }| {
            let number = |value: f64, digits: usize| format!("{value:>7.digits$}");
            [
                megabytes(cell.bytes_per_second),
                cell.delay_ms.to_string(),
                cell.budget_delay_ms.to_string(),
                cell.server.name().to_owned(),
                number(row.idle.p50, 1),
                number(row.urgent.p50, 1),
                number(row.urgent.p99, 1),
                number(row.urgent.max, 1),
                number(row.settled.p99, 1),
                number(row.queue_delay, 1),
                format!("{:>7}", row.chunk_bytes),
                number(row.bound, 1),
                if row.is_within { "yes" } else { "no" }.to_owned(),
                number(row.megabytes_per_second, 3),
                number(row.link, 3),
            ]
        })
        .collect();
    let head = [
        "MB/s", "delay", "D", "server", "   idle", "    p50", "    p99", "    max", "settled", "D was",
        "chunk B", "  bound", "within", "   MB/s", "of link",
    ];
    print_table(head, &cells);
    println!(
        "settled: p99 of what was sent once the rate was known. bound: D as it was, two chunks, and the idle link \
         (PROTOCOL.md 15.6)."
    );
    report::print_clocks(measured.iter().flat_map(|measured| &measured.samples));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;
