//! Plain mode with servers of others: the Python packages websockets and ws4py, by the scripts in `tests/foreign`,
//! and the test server of libwebsockets as Debian has it.
//!
//! Not here: the npm package `ws` and tungstenite, which `tests/native` has.

mod libwebsockets;
mod python;

use std::fs::File;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Session;
use super::way::Way;
use crate::listen;
use crate::process::Job;
use crate::tools;

/// How long a server may take to listen, on a loaded machine.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);

/// What is offered to those that choose the first.
const SUBPROTOCOLS: &[&str] = &["chat.v2", "chat.v1"];

/// Runs the checks with each server.
pub(super) fn run(session: &mut Session) {
    session.step("foreign servers: websockets", |tally| python::check("websockets", tally));
    session.step("foreign servers: ws4py", |tally| python::check("ws4py", tally));
    session.step("foreign servers: libwebsockets", libwebsockets::check);
}

/// A server that runs; gone when it is dropped.
struct Server {
    way: Way,
    _job: Job,
}

/// Starts what `command` makes of an address, with a log of what it says below `target/foreign`.
fn start(name: &str, mut command: impl FnMut(SocketAddr) -> Result<Command>) -> Result<Server> {
    let directory = tools::target().join("foreign");
    std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let output = directory.join(format!("{name}.log"));
    let started = listen::start(LISTENS_WITHIN, |address| {
        let mut command = command(address)?;
        let log = File::create(&output).with_context(|| format!("making {}", output.display()))?;
        command.current_dir(&directory).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    });
    let (job, address) = started.with_context(|| {
        let said = std::fs::read_to_string(&output).unwrap_or_default();
        format!("{name}, which says {said:?}")
    })?;
    Ok(Server { way: Way { address, subprotocols: SUBPROTOCOLS }, _job: job })
}
