//! `cargo xtask bench browser`: the npm package against a raw WebSocket in the same page.
//!
//! The page in `tests/package/throughput` does the measuring: rounds in turn, so that both see the same
//! machine, each behind the same shape of API. Its figures are printed and judge nothing: a ratio says
//! something about the machine that it was measured on, too.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::dist::{self, Package};
use crate::place::Browser;
use crate::server::{self, Config};
use crate::steps::{Steps, print_table, write_json};
use crate::tools::{self, browsers};
use crate::webdriver::Session;

/// How long one round of one browser may take on a loaded machine, its six cells and their costs.
const ROUND_LIMIT: Duration = Duration::from_secs(60);

/// What is measured, and where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this browser, not Chromium and Firefox
    #[arg(long, value_enum)]
    browser: Option<Browser>,
    /// How often everything is measured, beside one round to warm up
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Also write the figures as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// The middle of several measurements, and the bounds of their middle half.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Quartiles {
    q1: f64,
    median: f64,
    q3: f64,
}

/// How fast one subject was.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rate {
    messages_per_second: Quartiles,
    megabytes_per_second: Quartiles,
}

/// One thing to do with messages of one size.
#[derive(Debug, Deserialize, Serialize)]
struct Cell {
    what: String,
    bytes: u32,
    messages: u32,
    tidegate: Rate,
    raw: Rate,
    /// tidegate's rate in raw's, round by round.
    ratio: Quartiles,
}

/// Microseconds per message, over a socket that does nothing.
#[derive(Debug, Deserialize, Serialize)]
struct Cost {
    tidegate: Quartiles,
    raw: Quartiles,
    /// The difference of the medians.
    library: f64,
}

/// The costs of both directions.
#[derive(Debug, Deserialize, Serialize)]
struct Costs {
    unit: String,
    send: Cost,
    receive: Cost,
}

/// What the page leaves behind.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Measured {
    rounds: u32,
    cells: Vec<Cell>,
    cost: Costs,
}

/// Measures and prints.
///
/// # Errors
///
/// If the package cannot be built, a browser is missing, or the page fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut steps = Steps::default();
    let browsers = options.browser.map_or(Browser::REQUIRED.to_vec(), |one| vec![one]);
    for browser in &browsers {
        // Before the build, since they are what may be missing.
        steps.run(&format!("find {browser}"), || browsers::find(*browser))?;
    }
    let package = dist::build(&mut steps)?;
    let server = server::start(Config { port: None, roots: roots(&package) })?;
    let base = format!("http://{}", server.address());
    let mut all = Vec::new();
    for browser in browsers {
        let measured = steps.run(&format!("measure in {browser}"), || {
            measure(browser, &format!("{base}/throughput/"), options.rounds)
        })?;
        print(browser, &measured);
        all.push((browser.to_string(), measured));
    }
    let all: serde_json::Map<_, _> = all
        .into_iter()
        .map(|(browser, measured)| Ok((browser, serde_json::to_value(measured)?)))
        .collect::<Result<_>>()?;
    write_json(options.json.as_deref(), &all)
}

fn roots(package: &Package) -> Vec<(String, PathBuf)> {
    let page = tools::root().join("tests/package/throughput");
    vec![("/pkg".to_owned(), package.directory.clone()), ("/throughput".to_owned(), page)]
}

/// Has the page at `page` measure in `browser`. Nothing else should run on the machine meanwhile.
///
/// # Errors
///
/// If the browser does not start, or the page fails or takes too long.
pub(crate) fn measure(browser: Browser, page: &str, rounds: u32) -> Result<Measured> {
    let session = Session::start(&browsers::find(browser)?)?;
    session.open(&format!("{page}?rounds={rounds}"))?;
    let result = session.wait("return globalThis.result", ROUND_LIMIT * (rounds + 1)).with_context(|| {
        let seen = session.run("return document.title", &[]);
        format!("the page of the bench, at {}", seen.unwrap_or_default())
    })?;
    if let Some(error) = result.get("error") {
        bail!("the page of the bench failed: {error}");
    }
    let measured: Measured = serde_json::from_value(result).context("reading the figures of the page")?;
    if measured.cells.is_empty() || measured.rounds != rounds {
        bail!("the page of the bench measured {} cells in {} rounds", measured.cells.len(), measured.rounds);
    }
    Ok(measured)
}

/// Prints both tables.
pub(crate) fn print(browser: Browser, measured: &Measured) {
    let range = |Quartiles { q1, median, q3 }: Quartiles, digits: usize| {
        format!("{median:.digits$} ({q1:.digits$}–{q3:.digits$})")
    };
    let cells: Vec<_> = measured
        .cells
        .iter()
        .map(|cell| {
            let Quartiles { median: megabytes, .. } = cell.tidegate.megabytes_per_second;
            [
                format!("{} {} B", cell.what, cell.bytes),
                range(cell.tidegate.messages_per_second, 0),
                range(cell.raw.messages_per_second, 0),
                range(cell.ratio, 2),
                format!("{megabytes:.1}"),
            ]
        })
        .collect();
    println!("\n{browser}: medians and quartiles of {} rounds, in turn", measured.rounds);
    print_table(["", "tidegate, messages/s", "raw, messages/s", "tidegate : raw", "MB/s"], &cells);
    let cost = |name: &str, cost: &Cost| {
        [name.to_owned(), range(cost.tidegate, 2), range(cost.raw, 2), format!("{:.2}", cost.library)]
    };
    let rows = [cost("send", &measured.cost.send), cost("receive", &measured.cost.receive)];
    println!("{browser}: {}, over a socket that does nothing", measured.cost.unit);
    print_table(["", "tidegate", "by hand", "difference"], &rows);
}
