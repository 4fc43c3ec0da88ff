//! The server of the npm package in Node, as `bench hol` measures against it: `benches/browser/node/server.mjs`, in a
//! project that has the package from its tarball, and `ws`.
//!
//! Not here: what it does, which is what xtask's own server does on the same routes.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::Job;
use crate::tools::{self, npm};

/// Its script.
const SCRIPT: &str = "server.mjs";

/// How long Node may take to start it.
const LIMIT: Duration = Duration::from_secs(30);

/// Puts it into `project`, which has the package, with what else it needs.
///
/// # Errors
///
/// [`tools::Missing`] without Node or npm; else if a file cannot be copied.
pub(super) fn install(project: &Path) -> Result<()> {
    npm::link(&npm::tools()?.modules().join("ws"), &project.join("node_modules/ws"))?;
    let source = tools::root().join("benches/browser/node").join(SCRIPT);
    std::fs::copy(&source, project.join(SCRIPT)).with_context(|| format!("copying {}", source.display()))?;
    Ok(())
}

/// Starts it in `project`; it runs as long as the job is kept.
///
/// # Errors
///
/// As [`install`], and if it does not start.
pub(super) fn start(project: &Path) -> Result<(Job, SocketAddr)> {
    let mut node = npm::tools()?.node();
    let (job, port) = Job::start_and_read(node.current_dir(project).arg(SCRIPT), LIMIT)?;
    let port = port.trim().parse().with_context(|| format!("`{port}` is no port"))?;
    Ok((job, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}
