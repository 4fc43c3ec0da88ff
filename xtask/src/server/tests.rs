//! Over real TCP: a foreign WebSocket where the server behaves, plain bytes where it does not.

mod arrivals;
mod files;
mod link;
mod misbehave;
mod talk;
mod tidegate_mode;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{Config, Running, start};

/// So long may anything take that is not there at once; a limit, never a pause.
const PATIENCE: Duration = Duration::from_secs(20);

fn server() -> Running {
    start(Config::default()).unwrap()
}

/// Sends `head` as it is and returns all that comes until the end.
fn exchange(server: &Running, head: &str) -> String {
    let mut stream = connect(server);
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn connect(server: &Running) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All connections have ended, and with them their tasks.
fn assert_idle(server: &Running) {
    assert_tasks(server, 0);
}

fn assert_tasks(server: &Running, tasks: usize) {
    let start = Instant::now();
    while server.tasks() != tasks {
        assert!(start.elapsed() < PATIENCE, "{} tasks, and not {tasks}", server.tasks());
        std::thread::yield_now();
    }
}

#[test]
fn it_listens_on_loopback_and_stops_when_dropped() {
    let server = server();
    let address = server.address();
    assert!(address.ip().is_loopback());
    let idle = connect(&server);
    drop(server);
    assert!(TcpStream::connect(address).is_err());
    // The connection that was open has ended too.
    assert!(matches!((&idle).read(&mut [0]), Ok(0) | Err(_)));
    // And the port can be had again at once.
    let again = start(Config { port: Some(address.port()), ..Config::default() }).unwrap();
    assert_eq!(again.address(), address);
    assert!(start(Config { port: Some(address.port()), ..Config::default() }).is_err());
}
