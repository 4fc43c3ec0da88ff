//! `cargo xtask bench hol`: how long an urgent message takes while an upload fills a slow link.
//!
//! The page in `benches/browser/pages` does one upload at a time over a [`Link`](crate::link::Link), with an urgent message
//! every 100 ms, and the server behind the link tells over another socket when each of them arrived. Here the order is made,
//! by turns over all contenders, so that all see the same machine; and what the pages measured becomes a table, a file and a
//! picture. With `--grid` and `--budget-delays` it is tidegate mode alone, over many links ([`sweep`]).
//!
//! Not here: who the contenders are (`pages/hol/contenders.js`), and a judgement.

mod plot;
mod report;
mod site;
mod sweep;

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use self::site::{Asked, Server, Servers, Site, Way};
use crate::link::{Link, Shape};
use crate::place::Browser;
use crate::steps::{Steps, write_json};

/// The sizes of an upload's messages.
const PIECES: [u32; 3] = [64 << 10, 16 << 10, LARGE];

/// One that nothing but chunks can be overtaken in: only who makes those is measured with it, and the raw WebSocket.
const LARGE: u32 = 8 << 20;

/// Contenders in tidegate mode begin so.
const IN_CHUNKS: &str = "tidegate.v1";

/// The most seconds that one upload may take by the link's rate: WebDriver waits for no script longer than 90.
const LONGEST: u64 = 75;

/// What is measured, and where.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this browser, not both
    #[arg(long, value_enum)]
    browser: Option<Browser>,
    /// How often everything is measured
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// One round with an upload of 4 MiB, most of which vanishes in buffers, or with some seconds of each cell of the grid: to
    /// see that it works
    #[arg(long, conflicts_with_all = ["rounds", "mebibytes"])]
    quick: bool,
    /// Only the contenders whose names begin so; the raw WebSocket is always there
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Which server tidegate.v1 is measured against; all others are against the one in Rust
    #[arg(long, value_enum, default_value_t = Servers::Both)]
    server: Servers,
    /// The size of the upload
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    mebibytes: u32,
    /// Bytes a second on the way that is measured: to the server, with `--down` to the page
    #[arg(long, default_value = "2000000", value_name = "BYTES")]
    rate: NonZeroU32,
    /// Milliseconds that everything takes on that way; the other is free
    #[arg(long, default_value_t = 20, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    delay: u64,
    /// The other way: the server sends, over a link that is slow on the way to the page
    #[arg(long)]
    down: bool,
    /// Halfway the link's rate becomes this, in bytes a second
    #[arg(long, value_name = "BYTES", conflicts_with = "down")]
    then: Option<NonZeroU32>,
    /// Only tidegate.v1, over links of 0.2, 2 and 20 MB/s with 5, 50 and 200 ms, beside what PROTOCOL.md promises
    #[arg(long, conflicts_with_all = ["rate", "delay", "mebibytes", "then", "only", "from", "svg"])]
    grid: bool,
    /// Only tidegate.v1, with so many milliseconds that may queue: 5 to 500 each, as in 6,12,25,50
    #[arg(
        long,
        value_name = "MS,…",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u64).range(5..=500),
        conflicts_with_all = ["mebibytes", "then", "only", "from", "svg"]
    )]
    budget_delays: Vec<u64>,
    /// Measure nothing: print and draw what an earlier run wrote as JSON
    #[arg(long, value_name = "PATH", conflicts_with_all = ["browser", "rounds", "quick", "only", "server", "json"])]
    from: Option<PathBuf>,
    /// Also write all figures as JSON to this file
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Also draw the latency over time, of the first size of messages, into this file
    #[arg(long, value_name = "PATH")]
    svg: Option<PathBuf>,
}

/// The load, the same for everybody.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Load {
    rounds: u32,
    bytes: u64,
    /// Of the link, on the way that is measured.
    bytes_per_second: NonZeroU32,
    delay_ms: u64,
    /// The server sends.
    #[serde(default)]
    down: bool,
    /// What the rate becomes halfway.
    #[serde(default)]
    then: Option<NonZeroU32>,
}

/// What the page tells of one upload; milliseconds and bytes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Upload {
    /// Latencies over the idle link.
    idle: Vec<f64>,
    /// When each urgent message was sent, since the upload began, and its latency.
    urgent: Vec<(f64, f64)>,
    /// What the sender could tell at each of them: how many bytes may be under way, and how many it believes to pass in a
    /// second. None of who can tell nothing.
    #[serde(default)]
    budgets: Vec<(f64, f64)>,
    /// Until the server had all of the upload.
    took: f64,
    largest_buffered_amount: u64,
    /// How far the clocks of page and server went apart meanwhile.
    drift: f64,
    /// The round trip by which they were compared.
    nearest: f64,
}

/// One upload, and whose it was.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Sample {
    contender: String,
    #[serde(default)]
    server: Server,
    piece_bytes: u32,
    round: u32,
    #[serde(flatten)]
    upload: Upload,
}

impl Sample {
    /// What it is called beside others.
    fn name(&self) -> String {
        match self.server {
            Server::Rust => self.contender.clone(),
            Server::Node => format!("{}, Node", self.contender),
        }
    }
}

/// Everything that one browser did.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Measured {
    browser: String,
    samples: Vec<Sample>,
}

/// Everything, as it is written and read again.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Figures {
    load: Load,
    browsers: Vec<Measured>,
}

/// Measures and prints.
///
/// # Errors
///
/// If something cannot be built, a browser is missing, or a page fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.grid || !options.budget_delays.is_empty() {
        return write_json(options.json.as_deref(), &sweep::measure_all(options)?);
    }
    let figures = match &options.from {
        Some(path) => read(path)?,
        None => measure_all(options)?,
    };
    if let Some(path) = &options.svg {
        let picture = plot::draw(&figures)?;
        std::fs::write(path, picture).with_context(|| format!("writing {}", path.display()))?;
    }
    write_json(options.json.as_deref(), &report::with_rows(&figures)?)
}

/// Reads what an earlier run has written, and prints it.
fn read(path: &Path) -> Result<Figures> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let figures: Figures =
        serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    figures.browsers.iter().for_each(|measured| report::print(figures.load, measured));
    Ok(figures)
}

fn measure_all(options: &Options) -> Result<Figures> {
    let load = load(options)?;
    let mut steps = Steps::default();
    let browsers = super::browsers(options.browser);
    let site = Site::start(&mut steps, &browsers, options.server)?;
    let mut ways = vec![site.link(Server::Rust, load.shape(), load.down)?];
    if options.server.all().contains(&Server::Node) {
        ways.push(site.link(Server::Node, load.shape(), load.down)?);
    }
    let mut figures = Figures { load, browsers: Vec::new() };
    for browser in browsers {
        let samples =
            steps.run(&format!("measure in {browser}"), || measure(browser, options, load, &site, &ways))?;
        let measured = Measured { browser: browser.to_string(), samples };
        report::print(load, &measured);
        figures.browsers.push(measured);
    }
    Ok(figures)
}

fn load(options: &Options) -> Result<Load> {
    let (rounds, mebibytes) = if options.quick { (1, 4) } else { (options.rounds, options.mebibytes) };
    let bytes = u64::from(mebibytes) << 20;
    let slowest = options.then.map_or(options.rate, |then| then.min(options.rate));
    let takes = bytes / 2 / u64::from(options.rate.get()) + bytes / 2 / u64::from(slowest.get());
    if takes > LONGEST {
        bail!("{mebibytes} MiB take more than {LONGEST} s at {} bytes a second", options.rate);
    }
    let Options { rate, delay, down, then, .. } = *options;
    Ok(Load { rounds, bytes, bytes_per_second: rate, delay_ms: delay, down, then })
}

impl Load {
    fn shape(&self) -> Shape {
        let delay = Duration::from_millis(self.delay_ms);
        Shape { bytes_per_second: Some(self.bytes_per_second), delay }
    }
}

/// Each contender with the ways on which it is measured: in tidegate mode those to the servers that are wanted, else the one
/// to xtask's own.
fn places<'a>(contenders: &'a [String], servers: Servers, ways: &'a [Way]) -> Vec<(&'a str, &'a Way)> {
    let place = |contender: &'a String| {
        let servers = if contender.starts_with(IN_CHUNKS) { servers } else { Servers::Rust };
        let ways = ways.iter().filter(move |way| servers.all().contains(&way.server));
        ways.map(move |way| (contender.as_str(), way))
    };
    contenders.iter().flat_map(place).collect()
}

/// All uploads in one browser. Nothing else should run on the machine meanwhile.
fn measure(
    browser: Browser,
    options: &Options,
    load: Load,
    site: &Site,
    ways: &[Way],
) -> Result<Vec<Sample>> {
    let page = site.open(browser)?;
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|prefix| name.starts_with(prefix));
    let contenders = page.contenders(load.down, is_wanted)?;
    let places = places(&contenders, options.server, ways);
    let mut samples = Vec::new();
    for round in 0..load.rounds {
        for piece_bytes in PIECES {
            for (contender, way) in super::in_turn(places.len(), round).filter_map(|place| places.get(place))
            {
                let is_first = contenders.first().is_some_and(|first| first == contender);
                if piece_bytes == LARGE && !is_first && !contender.starts_with(IN_CHUNKS) {
                    continue;
                }
                let asked = Asked {
                    contender,
                    bytes: load.bytes,
                    piece_bytes,
                    bytes_per_second: load.bytes_per_second.get(),
                    budget_delay_ms: None,
                    run: format!("{browser} {contender} {piece_bytes} {round}"),
                };
                let upload = while_the_link_changes(load, &way.link, || page.ask(way, &asked))?;
                let (contender, server) = ((*contender).to_owned(), way.server);
                let sample = Sample { contender, server, piece_bytes, round, upload };
                println!("   {}", report::line(&sample));
                samples.push(sample);
            }
        }
    }
    Ok(samples)
}

/// Runs an upload during which the link changes, if it is to: when half of it has gone through a full link.
fn while_the_link_changes<T>(load: Load, link: &Link, upload: impl FnOnce() -> T) -> T {
    let Some(then) = load.then else { return upload() };
    link.reshape(load.shape());
    let half = Duration::from_millis(load.bytes / 2 * 1_000 / u64::from(load.bytes_per_second.get()));
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // Nothing is ever sent: it is the end of the upload, or the time.
            if is_over.recv_timeout(half + BEFORE_UPLOAD) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                link.reshape(Shape { bytes_per_second: Some(then), ..load.shape() });
            }
        });
        let told = upload();
        drop(over);
        told
    })
}

/// How long the page sends over the idle link first, and compares clocks.
const BEFORE_UPLOAD: Duration = Duration::from_millis(400);
