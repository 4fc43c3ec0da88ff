//! Echo servers over loopback, and what a message costs their threads.
//!
//! Every server runs in a thread of its own, on a runtime of one thread; the client is the same for
//! all and runs in others, whose time does not count.

mod client;
mod server;

use std::net::TcpListener;
use std::thread;

use crate::layout;
use crate::report::Row;
use crate::wire::{Content, Wire, push_frame};
use client::Load;
use server::Server;

/// All loads whose names begin with `prefix`, as rows of nanoseconds of a server's CPU time per
/// message.
///
/// # Errors
///
/// If a socket of the loopback interface fails.
///
/// # Panics
///
/// If what comes back is not what was sent.
pub(crate) fn rows(prefix: &str, rounds: usize) -> Result<Vec<Row>, String> {
    let loads = [("echo-pipelined", true), ("echo-one-by-one", false)]
        .into_iter()
        .flat_map(|(what, pipelined)| [32, 64 << 10].map(|bytes| (what, pipelined, bytes)))
        .filter(|(what, _, bytes)| format!("{what}/{bytes}").starts_with(prefix));
    loads.map(|(what, pipelined, bytes)| row(what, pipelined, bytes, rounds)).collect()
}

fn row(what: &str, pipelined: bool, bytes: usize, rounds: usize) -> Result<Row, String> {
    let load = load(pipelined, bytes);
    let mut figures = vec![Vec::with_capacity(rounds); Server::ALL.len()];
    // The first round is not counted.
    for round in 0..=rounds {
        layout::set(round);
        for turn in 0..Server::ALL.len() {
            let index = (round + turn) % Server::ALL.len();
            let Some((&server, figures)) = Server::ALL.get(index).zip(figures.get_mut(index)) else {
                continue;
            };
            let nanoseconds = sample(server, &load).map_err(|error| format!("{}: {error}", server.name()))?;
            if round > 0 {
                figures.push(nanoseconds);
            }
        }
    }
    let names: Vec<_> = Server::ALL.iter().map(|server| server.name()).collect();
    Ok(Row::new(what, bytes, &names, figures))
}

/// What the client sends: enough for at least 5 ms of any server's time.
fn load(pipelined: bool, bytes: usize) -> Load {
    let wire = Wire::new(Content::Binary, bytes);
    let small = bytes < 1 << 10;
    let payloads: Vec<_> = wire.payloads.into_iter().take(if small { 512 } else { 4 }).collect();
    let frames_at_once = if pipelined && small { 512 } else { 1 };
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let pieces = payloads.chunks(frames_at_once).map(|payloads| {
        let mut piece = Vec::new();
        for payload in payloads {
            push_frame(&mut piece, false, payload, Some(key));
        }
        piece
    });
    let messages = match (pipelined, small) {
        (true, true) => 80 * 512,
        (false, true) => 8 * 512,
        (true, false) => 1_000,
        (false, false) => 600,
    };
    Load { pieces: pieces.collect(), frames_at_once, payloads, messages, pipelined }
}

/// Nanoseconds per message of one connection to a fresh server.
fn sample(server: Server, load: &Load) -> std::io::Result<f64> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    // Until the buffers of sockets and of the library have grown.
    let skipped = load.messages / 10;
    thread::scope(|scope| {
        let thread = scope.spawn(move || server.serve(listener, skipped));
        client::run(address, load, server.greets())?;
        let done = thread.join().expect("a server does not panic")?;
        assert_eq!(done.messages, load.messages, "{} has lost messages", server.name());
        #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^53 messages")]
        let counted = (load.messages - skipped) as f64;
        Ok(done.nanoseconds / counted)
    })
}
