//! The server of `cargo xtask bench browser`: a thread for each connection, tidegate's codec by hand, nothing else.
//!
//! The server of xtask is built without optimisations, with the rest of xtask. It takes 40,000 small messages a second
//! and 170 MB a second, and every contender would look alike. This one must be faster than any of them.
//!
//! | Route | What it does |
//! |---|---|
//! | `/echo` | Sends each message back as its own kind. |
//! | `/sink` | Takes everything; the text `report` is answered by `{"messages": …, "bytes": …}`. |
//! | `/flood?messages=M&bytes=N` | Sends `M` binary messages of `N` bytes, then closes. |
//!
//! Who offers `tidegate.v1` gets the same over it, from the crate's own server.
//!
//! All other paths end the connection. Not here: deadlines and bounds, which a server for others would need.

mod in_chunks;
mod socket;

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

use tidegate::proto::ws::{Event, MessageKind};

use self::socket::Socket;

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), None) = (arguments.next(), arguments.next()) else {
        return Err("usage: tidegate-bench-server ADDRESS:PORT".into());
    };
    let listener = TcpListener::bind(&address)?;
    loop {
        let (stream, _) = listener.accept()?;
        std::thread::spawn(move || {
            // Browsers go in the middle of a message when their page is left.
            let _ = serve(stream);
        });
    }
}

fn serve(mut stream: TcpStream) -> Result<(), Failure> {
    let request = Socket::read_request(&mut stream)?;
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    if request.subprotocols.iter().any(|name| name == in_chunks::SUBPROTOCOL) {
        return in_chunks::serve(stream, &request, path, query);
    }
    let mut socket = Socket::accept(stream, &request)?;
    match path {
        "/echo" => echo(&mut socket)?,
        "/sink" => sink(&mut socket)?,
        "/flood" => flood(&mut socket, number(query, "messages")?, number(query, "bytes")?)?,
        _ => return Ok(()),
    }
    socket.part()
}

/// A number of the query.
fn number(query: &str, name: &str) -> Result<usize, Failure> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.find(|(key, _)| *key == name).map(|(_, value)| value);
    Ok(value.ok_or("a parameter is missing")?.parse()?)
}

fn echo(socket: &mut Socket) -> Result<(), Failure> {
    while let Some(event) = socket.next()? {
        if let Event::Message(message) = event {
            socket.send(message.kind(), message.as_bytes())?;
        }
    }
    Ok(())
}

fn sink(socket: &mut Socket) -> Result<(), Failure> {
    let (mut messages, mut bytes) = (0_u64, 0);
    while let Some(event) = socket.next()? {
        let Event::Message(message) = event else { continue };
        if message.as_bytes() == b"report" {
            let report = format!("{{\"messages\":{messages},\"bytes\":{bytes}}}");
            socket.send(MessageKind::Text, report.as_bytes())?;
        } else {
            messages += 1;
            bytes += message.as_bytes().len();
        }
    }
    Ok(())
}

fn flood(socket: &mut Socket, messages: usize, bytes: usize) -> Result<(), Failure> {
    let data = vec![0; bytes];
    for _ in 0..messages {
        socket.send(MessageKind::Binary, &data)?;
    }
    Ok(())
}
