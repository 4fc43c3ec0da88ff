//! The embedded server for tests.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::server::{self, Config, Running};

/// Where the server listens unless something else does. Always the same, because the address is compiled
/// into the wasm tests: another one would build them anew.
const PORT: u16 = 7357;

/// Starts the server with those of `roots` that exist.
///
/// # Errors
///
/// If it cannot listen.
pub(super) fn start(roots: &[(&str, PathBuf)]) -> Result<Running> {
    let roots: Vec<_> = roots.iter().filter(|(_, directory)| directory.is_dir()).collect();
    let roots: Vec<_> =
        roots.into_iter().map(|(path, directory)| ((*path).to_owned(), directory.clone())).collect();
    let on = |port| server::start(Config { port, roots: roots.clone(), ..Config::default() });
    on(Some(PORT)).or_else(|_| on(None)).context("starting the embedded server")
}

/// The address as tests get it in `TIDEGATE_TEST_SERVER`: `127.0.0.1:7357`.
pub(super) fn variable(address: SocketAddr) -> (&'static str, String) {
    ("TIDEGATE_TEST_SERVER", address.to_string())
}
