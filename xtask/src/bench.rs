//! `cargo xtask bench`: what is measured against what others do, in browsers and on the host.

mod browser;
mod codec;
mod figures;
mod hidden;
mod hol;
mod node;
mod pages;

use anyhow::{Context as _, Result, bail};

use self::codec::Program;
use crate::place::Browser;
use crate::webdriver::Session;

pub(crate) use browser::{measure, print};

/// What is measured. Without a word, the package in browsers.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Choice {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    browser: browser::Options,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Messages and megabytes a second beside other libraries and a raw WebSocket, in Chromium and Firefox
    Browser(browser::Options),
    /// How long an urgent message takes behind an upload over a slow link, beside the same, in both browsers
    Hol(hol::Options),
    /// How fast an upload is in a hidden page, beside one that is seen, in both browsers
    Hidden(hidden::Options),
    /// The frame codec against other Rust libraries, by the CPU time of one thread
    Codec(codec::Options),
    /// Echo servers of other Rust libraries and tidegate's over loopback
    Echo(codec::Options),
    /// What idle and active sessions cost the server, in memory and time
    Server(codec::ServerOptions),
    /// The send queue with a million messages in it, by the CPU time of one thread
    Queue(codec::Options),
}

/// Measures and prints.
///
/// # Errors
///
/// If something cannot be built, is missing, or fails while it is measured.
pub(crate) fn run(choice: &Choice) -> Result<()> {
    match &choice.what {
        None => browser::run(&choice.browser),
        Some(What::Browser(options)) => browser::run(options),
        Some(What::Hol(options)) => hol::run(options),
        Some(What::Hidden(options)) => hidden::run(options),
        Some(What::Codec(options)) => codec::run(Program::CODEC, options),
        Some(What::Echo(options)) => codec::run(Program::ECHO, options),
        Some(What::Server(options)) => codec::run_server(options),
        Some(What::Queue(options)) => codec::run(Program::QUEUE, options),
    }
}

/// All browsers, or the one that is wanted.
fn browsers(only: Option<Browser>) -> Vec<Browser> {
    only.map_or(Browser::REQUIRED.to_vec(), |one| vec![one])
}

/// The names of the page's contenders that are wanted, behind the first, with which they are compared.
///
/// # Errors
///
/// If the page did not load, or none of them is wanted.
fn contenders(session: &Session, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    named(session, "contenders", is_wanted)
}

/// A list of the page's, for which WebKit says too early that it has loaded.
const LIST: &str = "
    const [list] = arguments;
    return (async () => {
        for (let tries = 0; !globalThis.bench && tries < 200; tries += 1) await new Promise((later) => setTimeout(later, 50));
        return globalThis.bench?.[list];
    })()";

/// The same of another list of the page's.
fn named(session: &Session, list: &str, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let told = session.run(LIST, &[list.into()])?;
    let names: Vec<String> =
        serde_json::from_value(told).context("the page of the bench did not load, or names no contenders")?;
    if !names.iter().any(|name| is_wanted(name)) {
        bail!("no contender has such a name; there are {}", names.join("; "));
    }
    let wanted = names.into_iter().enumerate().filter(|(place, name)| *place == 0 || is_wanted(name));
    Ok(wanted.map(|(_, name)| name).collect())
}

/// The places of all contenders in the order of this round: each begins with another one.
fn in_turn(contenders: usize, round: u32) -> impl Iterator<Item = usize> {
    let first = usize::try_from(round).unwrap_or(0) % contenders.max(1);
    (first..contenders).chain(0..first)
}

#[cfg(test)]
mod tests {
    use super::in_turn;

    #[test]
    fn everybody_has_a_turn_in_each_round_and_each_round_begins_with_another() {
        let rounds: Vec<Vec<usize>> = (0..4).map(|round| in_turn(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]);
        assert_eq!(in_turn(0, 3).count(), 0);
    }
}
