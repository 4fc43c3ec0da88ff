//! `cargo xtask bench`: what is measured against what others do, in browsers and on the host.

mod browser;
mod codec;

use anyhow::Result;

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
    /// The npm package against a raw WebSocket in the same page, in Chromium and Firefox
    Browser(browser::Options),
    /// The frame codec against other Rust libraries, by the CPU time of one thread
    Codec(codec::Options),
    /// Echo servers of other Rust libraries and tidegate's over loopback
    Echo(codec::Options),
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
        Some(What::Codec(options)) => codec::run("codec", options),
        Some(What::Echo(options)) => codec::run("echo", options),
    }
}
