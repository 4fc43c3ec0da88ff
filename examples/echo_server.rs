//! A WebSocket server that sends every message back as its own type.
//!
//! ```sh
//! cargo run --release --features native,deflate --example echo_server -- 127.0.0.1:9002
//! ```
//!
//! It prints where it listens, which tells the port when 0 was asked for, and serves until it is ended.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use tidegate::proto::ws::HeadLimits;
use tidegate::server::{AcceptOptions, accept, read_request};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Largest message that is taken, however many frames it comes in.
const MAX_MESSAGE_BYTES: u64 = 16 << 20;

/// How long a client may take for its request. One that never finishes it holds a socket for nothing.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// How long to wait when the system has no socket left for a new client.
const BREATH: Duration = Duration::from_millis(100);

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: echo_server HOST:PORT".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener =
            TcpListener::bind(&address).await.map_err(|error| format!("listening on {address}: {error}"))?;
        println!("listening on ws://{}", listener.local_addr()?);
        serve(listener).await;
        Ok(())
    })
}

/// Accepts connections for ever, each in a task of its own.
pub async fn serve(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(async move {
                    // What one client does wrong ends its connection and nothing else.
                    if let Err(error) = talk(stream).await {
                        eprintln!("{peer}: {error}");
                    }
                });
            }
            // Too many open files, mostly: that passes when others have gone.
            Err(error) => {
                eprintln!("accepting: {error}");
                sleep(BREATH).await;
            }
        }
    }
}

/// Serves one client to its end.
async fn talk(mut stream: TcpStream) -> Result<(), Failure> {
    // A message is written whole; waiting for more to come would only delay it.
    stream.set_nodelay(true)?;
    // A bad one is answered as it deserves.
    let request = timeout(REQUEST_WITHIN, read_request(&mut stream, HeadLimits::default())).await;
    let request = request.map_err(|_| "no request within the time for one")??;
    // Here is where a real server looks at `request.target` and, before it gives away anything private, at
    // the field `Origin`.
    let client = accept(stream, &request, None, options())?;
    while let Some(message) = client.recv().await {
        // Waits while the client does not read. Then nothing is read from it either, once the receive queue
        // is half full (`AcceptOptions::recv_limits`).
        if client.send(message).await.is_err() {
            break; // closing: nothing more is taken
        }
    }
    client.closed().await;
    Ok(())
}

/// What a client may ask of this server.
fn options() -> AcceptOptions {
    let mut options = AcceptOptions::default();
    options.limits.max_message_bytes = MAX_MESSAGE_BYTES;
    options.limits.max_frame_bytes = MAX_MESSAGE_BYTES;
    // Messages are compressed for a client that offers to.
    #[cfg(feature = "deflate")]
    {
        options.deflate = Some(tidegate::proto::ws::DeflateOptions::default());
    }
    options
}
