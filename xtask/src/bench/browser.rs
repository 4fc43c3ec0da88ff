//! `cargo xtask bench browser`: messages and megabytes a second, of the npm package and of others in the same page.
//!
//! The page in `benches/browser/pages` does one measurement at a time; here they are put into rounds, each contender once
//! in each, so that all see the same machine. The figures are printed and judge nothing: a ratio says something about the
//! machine that it was measured on, too.
//!
//! Not here: who the contenders are and what they do (`pages/throughput`).

mod table;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::figures::Quartiles;
use super::pages::{self, Prepared};
use crate::listen;
use crate::place::Browser;
use crate::server::{self, Config};
use crate::steps::{Steps, write_json};
use crate::tools::browsers;
use crate::webdriver::Session;

pub(crate) use table::print;

/// What is done, with messages of how many bytes, and how many of them: long enough to measure, short enough
/// for many rounds.
const CELLS: [(&str, u32, u32); 12] = [
    ("send", 32, 10_000),
    ("send", 1_024, 5_000),
    ("send", 65_536, 400),
    ("send", 1_048_576, 32),
    ("receive", 32, 10_000),
    ("receive", 1_024, 5_000),
    ("receive", 65_536, 400),
    ("receive", 1_048_576, 32),
    ("echo", 32, 2_000),
    ("echo", 1_024, 2_000),
    ("echo", 65_536, 300),
    ("echo", 1_048_576, 24),
];

/// Who is measured over a socket that does nothing.
const COSTED: [&str; 2] = ["tidegate", "raw"];

/// How long the server may take to listen.
const SERVER_LIMIT: Duration = Duration::from_secs(20);

/// What is measured, and where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this browser, not Chromium and Firefox
    #[arg(long, value_enum)]
    browser: Option<Browser>,
    /// How often everything is measured, beside one round to warm up
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// How many times as many messages are measured at once
    ///
    /// Most measurements take 30 to 100 ms, of which what a connection does at its beginning is a part; with more messages it
    /// is a smaller one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    times: u32,
    /// Only the contenders whose names begin so; the raw WebSocket is always there
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Also write the figures as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// How fast one contender was.
#[derive(Debug, Serialize)]
struct Row {
    contender: String,
    messages_per_second: Quartiles,
    megabytes_per_second: Quartiles,
    /// Its rate in that of the first contender, round by round.
    ratio: Quartiles,
}

/// One thing to do with messages of one size.
#[derive(Debug, Serialize)]
struct Cell {
    what: &'static str,
    bytes: u32,
    /// How many of them were measured at once.
    messages: u32,
    rows: Vec<Row>,
}

/// Microseconds per message of 32 bytes, over a socket that does nothing.
#[derive(Debug, Serialize)]
struct Cost {
    what: &'static str,
    tidegate: Quartiles,
    raw: Quartiles,
}

/// What came of all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    rounds: u32,
    cells: Vec<Cell>,
    costs: Vec<Cost>,
}

/// Measures and prints.
///
/// # Errors
///
/// If something cannot be built, a browser is missing, or the page fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut steps = Steps::default();
    let browsers = super::browsers(options.browser);
    for browser in &browsers {
        // Before the build, since they are what may be missing.
        steps.run(&format!("find {browser}"), || browsers::find(*browser))?;
    }
    let Prepared { roots, .. } = pages::prepare(&mut steps)?;
    let program = steps.run("server: compile", pages::build_server)?;
    let files = server::start(Config { roots, isolates: true, ..Config::default() })?;
    let (_job, peer) = listen::start(SERVER_LIMIT, |address| {
        let mut command = Command::new(&program);
        command.arg(address.to_string());
        Ok(command)
    })?;
    let page = format!("http://{}/bench/throughput.html", files.address());
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|prefix| name.starts_with(prefix));
    let mut all = serde_json::Map::new();
    for browser in browsers {
        let measured = steps.run(&format!("measure in {browser}"), || {
            measure(browser, &page, &format!("ws://{peer}"), (options.rounds, options.times), is_wanted)
        })?;
        print(browser, &measured);
        all.insert(browser.to_string(), serde_json::to_value(measured)?);
    }
    write_json(options.json.as_deref(), &all)
}

/// Has the page at `page` measure in `browser` against the WebSockets of `server`, each cell once in each of `rounds`
/// with `factor` times its messages. Nothing else should run on
/// the machine meanwhile.
///
/// # Errors
///
/// If the browser does not start, or the page fails or takes too long.
pub(crate) fn measure(
    browser: Browser,
    page: &str,
    server: &str,
    (rounds, factor): (u32, u32),
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Measured> {
    let session = Session::start(&browsers::find(browser)?)?;
    session.open(page)?;
    let contenders = super::contenders(&session, is_wanted)?;
    let cells = CELLS.map(|(what, bytes, messages)| (what, bytes, messages * factor));
    let mut times = vec![vec![Vec::new(); contenders.len()]; CELLS.len()];
    // One round more, the first of which only warms up.
    for round in 0..=rounds {
        for ((what, bytes, messages), times) in cells.into_iter().zip(&mut times) {
            for place in super::in_turn(contenders.len(), round) {
                let (Some(name), Some(times)) = (contenders.get(place), times.get_mut(place)) else {
                    continue;
                };
                let cell = [json!(name), json!(what), json!(bytes), json!(messages), json!(server)];
                let took = session.run("return bench.measure(...arguments)", &cell);
                let took = took.and_then(|took| took.as_f64().context("the page gives no time"));
                let took = took.with_context(|| format!("{name}: {what} of {messages} times {bytes} B"))?;
                if round > 0 {
                    times.push(took);
                }
            }
        }
    }
    let cells = cells.into_iter().zip(&times).map(|(cell, times)| summary(cell, &contenders, times));
    Ok(Measured {
        rounds,
        cells: cells.collect::<Option<_>>().context("a cell is empty")?,
        costs: costs(&session, rounds)?,
    })
}

/// What came of one cell; `times` has the milliseconds of each round for each contender.
fn summary(
    (what, bytes, messages): (&'static str, u32, u32),
    contenders: &[String],
    times: &[Vec<f64>],
) -> Option<Cell> {
    let first = times.first()?;
    let rows = contenders.iter().zip(times).map(|(contender, times)| {
        let per_second = |amount: f64| Quartiles::of(times.iter().map(|took| amount / took * 1_000.0));
        Some(Row {
            contender: contender.clone(),
            messages_per_second: per_second(f64::from(messages))?,
            megabytes_per_second: per_second(f64::from(messages) * f64::from(bytes) / 1e6)?,
            ratio: Quartiles::of(times.iter().zip(first).map(|(took, first)| first / took))?,
        })
    });
    Some(Cell { what, bytes, messages, rows: rows.collect::<Option<_>>()? })
}

/// What the library itself costs per message, beside what one would write by hand.
fn costs(session: &Session, rounds: u32) -> Result<Vec<Cost>> {
    #[derive(Deserialize)]
    struct Told {
        send: f64,
        receive: f64,
    }
    let mut told = COSTED.map(|_| Vec::new());
    for round in 0..=rounds {
        for (name, told) in COSTED.iter().zip(&mut told) {
            let cost = session.run("return bench.cost(arguments[0])", &[json!(name)])?;
            let cost: Told = serde_json::from_value(cost).context("reading the costs of the page")?;
            if round > 0 {
                told.push(cost);
            }
        }
    }
    let of = |what: &'static str, cost: fn(&Told) -> f64| {
        let [tidegate, raw] = told.each_ref().map(|told| Quartiles::of(told.iter().map(cost)));
        Some(Cost { what, tidegate: tidegate?, raw: raw? })
    };
    let costs = [of("send", |told| told.send), of("receive", |told| told.receive)];
    costs.into_iter().collect::<Option<_>>().context("nothing was measured")
}

#[cfg(test)]
mod tests {
    use super::{Quartiles, summary};

    #[test]
    fn rates_are_medians_and_ratios_are_taken_round_by_round() {
        let names = ["raw", "other"].map(str::to_owned);
        let times = [vec![100.0, 200.0, 400.0], vec![200.0, 100.0, 800.0]];
        let cell = summary(("send", 1_000, 50), &names, &times).unwrap();
        let [raw, other] = &cell.rows[..] else { panic!("two rows") };
        let same = |value| Quartiles { q1: value, median: value, q3: value };
        assert_eq!((raw.messages_per_second.median, raw.megabytes_per_second.median), (250.0, 0.25));
        assert_eq!(raw.ratio, same(1.0));
        assert_eq!((other.messages_per_second.median, other.messages_per_second.q3), (250.0, 375.0));
        assert_eq!(other.ratio, Quartiles { q1: 0.5, median: 0.5, q3: 1.25 });
        assert!(summary(("send", 1, 1), &names, &[vec![], vec![]]).is_none());
    }
}
