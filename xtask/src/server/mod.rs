//! The server that demo and tests talk to: files over HTTP, and WebSocket routes that behave or
//! misbehave on request. WebSockets run on tidegate's own handshake, codec and driver.
//!
//! | Route | What it does |
//! |---|---|
//! | `/echo` | Sends each message back as its own kind. |
//! | `/echo?digest=1` | The same, each followed by the text `{"bytes", "sha256"}` about it. With `deflate=1` it compresses if the peer has offered to, with `ping=MS` it pings a peer that has been silent for so long, at most 60,000 ms. |
//! | `/sink` | Takes everything; the text `report` is answered by `{"messages", "bytes", "sha256"}`. |
//! | `/upload` | Takes everything; each text is answered at once by `{"text", "messages", "bytes", "sha256", "received"}`, that is by itself, by what binary messages have arrived before it, and by how many bytes have arrived in all. With `every=BYTES` the same comes unasked, `text` being null, each time that so much more has arrived. |
//! | `/link?rate=BYTES&delay=MS` | Opens a slow link to this server for as long as the connection lasts, and tells `{"port"}` of 127.0.0.1. The way to the server has this rate in bytes a second and this delay, at most 10,000 ms, for each connection over it; the way back is free. The text `RATE DELAY` changes both and comes back once it has. |
//! | `/arrivals?run=NAME` | Takes everything and notes when it arrives. A binary message of 32 B is urgent, its first four bytes its number, little endian; all else is bulk. With `acknowledge=1` each message is answered by how many bytes have arrived in all. |
//! | `/watch?run=NAME` | Tells of `/arrivals`: `now` is answered by the milliseconds of the server's clock, `wait BYTES URGENT` by `{"bulk": {"messages", "bytes", "at"}, "urgent": [[number, at], …]}` once so much has arrived. |
//! | `/push?run=NAME&messages=M&bytes=N` | As `/flood`, one message at a time, and notes for `/watch`, as bulk, what the writer of the connection has taken, which holds next to nothing. It never closes: what a reader has not asked for some browsers then forget. |
//! | `/stream?messages=M&bytes=N` | Five urgent messages, then `M` of `N` bytes with an urgent one every 100 ms. An urgent message has 32 B, little endian: at 0 its number, at 8 the milliseconds of the server's clock, at 16 how many bytes may be under way, at 24 how many are thought to pass in a second. With `priorities=1` they are sent as what they are, else all the same; with `delay=MS`, 5 to 500, so long may what is under way queue in tidegate mode. It never closes. |
//! | `/feed` | The Unicode Character Database, a text message a row; then close 1000, the reason being the SHA-256 of all rows joined by line feeds. |
//! | `/flood?messages=M&bytes=N` | `M` binary messages of `N` bytes, byte `i` of message `m` being `m + i` modulo 256; then close 1000, the reason being the SHA-256 of all bytes. |
//! | `/request` | The text `{"target": "…", "headers": {"name": "value", …}}` about the request as it has arrived, names in lower case. |
//! | `/subprotocol` | `/echo` with its parameters, acknowledging the first subprotocol offered. |
//! | `/no-subprotocol` | `/echo`, acknowledging none; as all other routes do. |
//! | `/subprotocols` | The text `{"offered": […], "origin": … or null}`, acknowledging the first. |
//! | `/burst` | Text `one`, binary 1 2 3, text `three`, close 4001 `done`, in one write with the 101. |
//! | `/close?code=C&reason=R` | A close frame in one write with the 101; any code, no body without one. |
//! | `/raw?hex=H` | These bytes in one write with the 101. A close or ping of the peer is answered, unless the bytes had a close frame or broke the protocol. |
//! | `/stall?seconds=S` | Reads nothing after the handshake, into small buffers; at most 3,600 s, which is also what it does untold. |
//! | `/reset?after=N` | Resets the connection when `N` bytes have come behind the handshake, however they are framed. |
//! | `/never` | Never answers the handshake. |
//! | `/refuse` | Drops the connection instead of an answer. |
//! | `/status?code=C` | Answers with status `C`, 200 to 599, and the body `status C`. |
//! | `/redirect` | Answers 302 to `/echo`. |
//! | `/wrong-accept` | Accepts with a wrong `Sec-WebSocket-Accept`. |
//! | `/extension` | Accepts with an extension nobody has offered. |
//!
//! Who offers `tidegate.v1` for `/echo`, `/sink`, `/upload`, `/arrivals`, `/push` or `/stream` gets that: the messages of the connection
//! are what the route deals with, and beside them there are channels ([`channels`]).
//!
//! A WebSocket for another path gets 404, wrong parameters 400.
//! All else is HTTP: `/healthz`, and files below [`Config::roots`].
//!
//! Not here: TLS, HTTP/2, any address but 127.0.0.1.

mod arrivals;
mod channels;
mod connection;
mod feed;
mod files;
mod link;
mod misbehave;
mod peer;
mod route;
mod talk;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Semaphore, oneshot};

use self::arrivals::Arrivals;
use self::files::Files;

/// Connections at one time; a further one waits in the listener's backlog.
const SEATS: usize = 1_024;

/// How the server is started. Default: any free port, no files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// The port on 127.0.0.1. Default: one that is free.
    pub(crate) port: Option<u16>,
    /// Directories by the URL path below which they appear, `/` or like `/pkg`. Of several that
    /// match, the longest path comes first, then the order given; the first that has the file
    /// answers.
    pub(crate) roots: Vec<(String, PathBuf)>,
    /// Whether pages are cross-origin isolated, which gives them a clock of at most 20 µs of resolution;
    /// else Firefox rounds it to a millisecond.
    pub(crate) isolates: bool,
}

/// What all connections share.
struct Site {
    files: Files,
    arrivals: Arrivals,
}

/// A server that runs, on a thread of its own; dropped, it stops and its thread has ended.
#[derive(Debug)]
pub(crate) struct Running {
    address: SocketAddr,
    #[cfg_attr(not(test), allow(dead_code, reason = "asked for its tasks by tests"))]
    runtime: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many tasks are alive: none, if no peer is connected.
    #[cfg(test)]
    pub(crate) fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It fails only if the thread has ended, which is what is wanted.
        let _ = self.stop.take().map(|stop| stop.send(()));
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Starts a server.
///
/// # Errors
///
/// If the port is taken, a root is not a directory or its path does not begin with `/`, or the
/// operating system gives no thread.
pub(crate) fn start(config: Config) -> io::Result<Running> {
    let site = Site { files: Files::new(config.roots, config.isolates)?, arrivals: Arrivals::default() };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, config.port.unwrap_or(0)))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    // One thread: what a connection has received is handled before more is read for it, so that
    // queues stay short.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("server".into())
        .spawn(move || run(runtime, listener, site, stopped))?;
    Ok(Running { address, runtime: handle, stop: Some(stop), thread: Some(thread) })
}

fn run(runtime: Runtime, listener: TcpListener, site: Site, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        tokio::select! {
            () = accept(listener, Arc::new(site)) => {}
            _ = stopped => {}
        }
    });
    // Drops all tasks, and with them their sockets. Only the reading of a file is waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
}

async fn accept(listener: TcpListener, site: Arc<Site>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("it is a listener, not blocking");
    let seats = Arc::new(Semaphore::new(SEATS));
    loop {
        let seat = seats.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = site.clone();
                tokio::spawn(async move {
                    // A peer that breaks off is none of the server's business.
                    let _ = connection::serve(stream, site).await;
                    drop(seat);
                });
            }
            // Out of file descriptors, most likely; some are given back when connections end.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
