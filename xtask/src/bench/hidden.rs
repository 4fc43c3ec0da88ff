//! `cargo xtask bench hidden`: how fast an upload is in a hidden page, beside the same in one that is seen.
//!
//! The page waits until it is hidden, by a second tab in front of it, and leaves its figures where that one finds them,
//! since nobody can ask it without showing it. A run counts only if the page was hidden all the time and its timers
//! were held up, which drivers prevent unless they are told not to.
//!
//! Not here: the upload (`pages/hol/upload.js`), and a judgement.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::figures::Quartiles;
use super::pages::{self, Prepared};
use crate::link::{Link, Shape};
use crate::place::Browser;
use crate::server::{self, Config, Running};
use crate::steps::{Steps, print_table, write_json};
use crate::tools::browsers;
use crate::webdriver::Session;

/// The size of an upload's messages.
const PIECE_BYTES: u32 = 64 << 10;

/// A timer of 10 ms that takes longer than this, in milliseconds, was held up.
const HELD_UP: f64 = 500.0;

/// How long a hidden upload may take before it is given up.
const LIMIT: Duration = Duration::from_secs(120);

/// The most seconds that one upload may take by the link's rate: WebDriver waits for no script longer than 90.
const LONGEST: u64 = 75;

/// Who uploads: with the worker that waits in hidden pages.
const CONTENDER: &str = "tidegate";

/// What is measured, and where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this browser, not both
    #[arg(long, value_enum)]
    browser: Option<Browser>,
    /// How often everything is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The size of the upload
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    mebibytes: u32,
    /// Bytes a second on the way to the server
    #[arg(long, default_value = "2000000", value_name = "BYTES")]
    rate: NonZeroU32,
    /// Milliseconds that everything takes on the way to the server
    #[arg(long, default_value_t = 20, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    delay: u64,
    /// Also write all figures as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// What the page tells of one upload, in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Upload {
    /// Until the server had all of it.
    took: f64,
    /// The shortest time that a timer of 10 ms took before it.
    timer: f64,
    was_hidden: bool,
    was_seen: bool,
}

/// The uploads of one round.
#[derive(Clone, Copy, Debug, Serialize)]
struct Round {
    seen: Upload,
    hidden: Upload,
}

/// Everything that one browser did.
#[derive(Clone, Debug, Serialize)]
struct Measured {
    browser: String,
    rounds: Vec<Round>,
}

/// Measures and prints.
///
/// # Errors
///
/// If something cannot be built, a browser is missing, a page fails, or it was not hidden.
pub(crate) fn run(options: &Options) -> Result<()> {
    let Options { mebibytes, rate, .. } = options;
    if (u64::from(*mebibytes) << 20) / u64::from(rate.get()) > LONGEST {
        bail!("{mebibytes} MiB take more than {LONGEST} s at {rate} bytes a second");
    }
    let mut steps = Steps::default();
    let browsers = super::browsers(options.browser);
    for browser in &browsers {
        steps.run(&format!("find {browser}"), || browsers::find(*browser))?;
    }
    let Prepared { roots, .. } = pages::prepare(&mut steps)?;
    let server = server::start(Config { roots, isolates: true, ..Config::default() })?;
    let up = Shape { bytes_per_second: Some(options.rate), delay: Duration::from_millis(options.delay) };
    let link = Link::start(server.address(), up, Shape::default())?;
    let mut all = Vec::new();
    for browser in browsers {
        let rounds =
            steps.run(&format!("measure in {browser}"), || measure(browser, options, &server, &link))?;
        all.push(Measured { browser: browser.to_string(), rounds });
    }
    print(options, &all)?;
    write_json(options.json.as_deref(), &all)
}

fn measure(browser: Browser, options: &Options, server: &Running, link: &Link) -> Result<Vec<Round>> {
    let session = Session::start(&browsers::find(browser)?.holding_timers_up())?;
    let page = format!("http://{}/bench/hol.html", server.address());
    session.open(&page)?;
    (0..options.rounds)
        .map(|round| {
            let asked = |kind: &str| {
                json!({
                    "contender": CONTENDER,
                    "bytes": u64::from(options.mebibytes) << 20,
                    "pieceBytes": PIECE_BYTES,
                    "link": format!("ws://{}", link.address()),
                    "server": format!("ws://{}", server.address()),
                    "run": format!("{browser} {kind} {round}"),
                })
            };
            let told = session.run("return bench.observed(arguments[0])", &[asked("seen")])?;
            let seen: Upload = serde_json::from_value(told).context("reading what the page tells")?;
            let hidden = hidden(&session, &page, &format!("hidden {round}"), &asked("hidden"))?;
            if !seen.was_seen || !hidden.was_hidden || hidden.timer < HELD_UP {
                bail!("the page was not hidden, or its timers were not held up: {seen:?}, {hidden:?}");
            }
            println!("   seen {:.1} s, hidden {:.1} s", seen.took / 1_000.0, hidden.took / 1_000.0);
            Ok(Round { seen, hidden })
        })
        .collect()
}

/// One upload behind another tab, which is closed afterwards.
fn hidden(session: &Session, page: &str, key: &str, asked: &Value) -> Result<Upload> {
    // Not waited for: the page is not asked again before it is seen.
    session.run("bench.whenHidden(arguments[0], arguments[1])", &[key.into(), asked.clone()])?;
    let behind = session.window()?;
    let front = session.new_tab()?;
    session.switch_to(&front)?;
    session.open(page)?;
    let told = session.wait(&format!("return localStorage.getItem({})", Value::from(key)), LIMIT)?;
    session.close_window()?;
    session.switch_to(&behind)?;
    session.wait("return !document.hidden", LIMIT)?;
    let told = told.as_str().context("the page has left no text")?;
    serde_json::from_str(told).with_context(|| format!("reading what the hidden page has left: {told}"))
}

fn print(options: &Options, all: &[Measured]) -> Result<()> {
    println!(
        "\nan upload of {} MiB at {:.1} MB/s and {} ms in a hidden page and in one that is seen: medians and quartiles of {} \
         rounds",
        options.mebibytes,
        f64::from(options.rate.get()) / 1e6,
        options.delay,
        options.rounds,
    );
    let bytes = f64::from(options.mebibytes) * f64::from(1 << 20);
    let rows = all.iter().map(|Measured { browser, rounds }| {
        let show = |value: fn(Round, f64) -> f64, digits| {
            let quartiles = Quartiles::of(rounds.iter().map(|round| value(*round, bytes)));
            quartiles.map(|quartiles| quartiles.show(digits)).context("no round was measured")
        };
        Ok([
            browser.clone(),
            show(|round, bytes| bytes / round.seen.took / 1_000.0, 3)?,
            show(|round, bytes| bytes / round.hidden.took / 1_000.0, 3)?,
            show(|round, _| round.seen.took / round.hidden.took, 3)?,
            show(|round, _| round.hidden.timer, 0)?,
        ])
    });
    let rows: Vec<_> = rows.collect::<Result<_>>()?;
    print_table(["", "seen, MB/s", "hidden, MB/s", "hidden : seen", "a timer of 10 ms there"], &rows);
    Ok(())
}
