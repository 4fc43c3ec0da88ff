//! Programs that listen: started on a port that is free, and awaited.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process::{self, Job};

/// How often another port is tried: between being found free and being listened on, a port may be taken.
const ATTEMPTS: u32 = 3;

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Starts what `command` makes of an address, and returns it with the address once it takes connections
/// there.
///
/// # Errors
///
/// If it ends before, or takes longer than `within`, on each of several ports.
pub(crate) fn start(
    within: Duration,
    mut command: impl FnMut(SocketAddr) -> Result<Command>,
) -> Result<(Job, SocketAddr)> {
    let mut attempt = 1;
    loop {
        let address = free_address()?;
        let mut command = command(address)?;
        let mut job = Job::start(&mut command)?;
        match wait(&mut job, address, within) {
            Ok(()) => return Ok((job, address)),
            Err(error) if attempt == ATTEMPTS => {
                return Err(error.context(format!("starting `{}`", process::show(&command))));
            }
            Err(_) => attempt += 1,
        }
    }
}

/// An address of this machine with a port on which nobody listens.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?)
}

fn wait(job: &mut Job, address: SocketAddr, within: Duration) -> Result<()> {
    let limit = Instant::now() + within;
    while TcpStream::connect(address).is_err() {
        if !job.is_running() {
            bail!("it ended before it listened on {address}");
        }
        if Instant::now() > limit {
            bail!("it does not listen on {address} after {} s", within.as_secs());
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;
    use std::time::Duration;

    use super::start;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_that_listens_is_returned_with_its_address() {
        let mut listener = None;
        let started = start(Duration::from_secs(60), |address| {
            // In the program's stead.
            listener = Some(TcpListener::bind(address)?);
            Ok(shell("tail -f /dev/null"))
        });
        let (mut job, address) = started.unwrap();
        assert_eq!(listener.unwrap().local_addr().unwrap(), address);
        assert!(job.is_running());
    }

    #[test]
    fn a_program_that_ends_is_tried_on_other_ports_and_given_up() {
        let mut ports = Vec::new();
        let started = start(Duration::from_secs(60), |address| {
            ports.push(address.port());
            Ok(shell("exit 1"))
        });
        let error = format!("{:#}", started.err().unwrap());
        assert!(error.contains("sh -c exit 1") && error.contains("ended"), "{error}");
        assert_eq!(ports.len(), 3);
    }
}
