//! The codec alone, driven over a blocking socket of the standard library: no async, no tokio.
//!
//! ```sh
//! cargo run --no-default-features --example codec_over_std_tcp -- 127.0.0.1:9002 [TEXT]
//! ```
//!
//! Sends one text, prints the first message that comes back, and closes. The example `echo_server` is a peer
//! for it.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use tidegate::proto::ws::{
    ClientHandshake, ClientRequest, CloseCode, CloseFrame, Connection, Event, HeadLimits, Limits, Message,
    Role,
};

/// How long the server may take to connect, and for each thing it says.
const PATIENCE: Duration = Duration::from_secs(10);

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("codec_over_std_tcp: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), text, None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: codec_over_std_tcp HOST:PORT [TEXT]".into());
    };
    match ask(&address, text.as_deref().unwrap_or("Hello"))? {
        Message::Text(text) => println!("{text}"),
        Message::Binary(bytes) => println!("{} bytes", bytes.len()),
    }
    Ok(())
}

/// Sends `text` to the server at `address` and returns the first message that comes back, after a clean close.
///
/// # Errors
///
/// If the server cannot be reached, refuses, breaks the protocol, takes too long, or goes without a closing
/// handshake.
pub fn ask(address: &str, text: &str) -> Result<Message, Failure> {
    let mut socket = Socket::open(address)?;
    socket.connection.send_text(text, next_key)?;
    let answer = loop {
        match socket.next_event()? {
            Event::Message(message) => break message,
            Event::Close(_) => return Err("the server closed before it had answered".into()),
            // Pings are answered already, pongs were not asked for.
            _ => {}
        }
    };
    socket.close()?;
    Ok(answer)
}

/// An open connection and the stream that carries it.
struct Socket {
    stream: TcpStream,
    connection: Connection,
}

impl Socket {
    /// Connects and greets.
    fn open(address: &str) -> Result<Self, Failure> {
        let mut stream = connect(address)?;
        // Extensions would be offered in the request, and what the response accepts given to the connection.
        let request = ClientRequest::new(address, "/")?;
        let mut handshake = ClientHandshake::new(request, random(), HeadLimits::default());
        stream.write_all(handshake.request())?;
        let mut buffer = [0; 4096];
        let accepted = loop {
            let n = stream.read(&mut buffer)?;
            if n == 0 {
                return Err(handshake.end().into());
            }
            if let Some(accepted) = handshake.receive(buffer.get(..n).unwrap_or_default())? {
                break accepted;
            }
        };
        let mut connection = Connection::new(Role::Client, Limits::default());
        // The first frames may have come with the response.
        connection.receive(&accepted.rest);
        Ok(Self { stream, connection })
    }

    /// Writes what waits and reads until there is an event.
    fn next_event(&mut self) -> Result<Event, Failure> {
        loop {
            let event = self.connection.poll_event(next_key);
            // Also after a fault: what waits then is the close frame that tells the server of it.
            self.flush()?;
            if let Some(event) = event? {
                return Ok(event);
            }
            let n = self.stream.read(self.connection.spare())?;
            if n == 0 {
                let closed = self.connection.transport_ended();
                return Err(format!("the connection ended with code {}", closed.code).into());
            }
            self.connection.filled(n);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(self.connection.output())?;
        self.connection.consume(self.connection.pending());
        Ok(())
    }

    /// Carries out the closing handshake.
    fn close(mut self) -> Result<(), Failure> {
        let close = CloseFrame::new(CloseCode::NORMAL, "")?;
        self.connection.send_close(Some(&close), next_key)?;
        // What the server had sent before it saw the close frame still comes.
        while !matches!(self.next_event()?, Event::Close(_)) {}
        // RFC 6455 section 7.1.1: it is for the server to end the transport. That it has done so is all that
        // counts, not how.
        let _ = io::copy(&mut self.stream, &mut io::sink());
        let closed = self.connection.transport_ended();
        if !closed.was_clean || closed.code != CloseCode::NORMAL {
            return Err(format!("the server closed with code {}", closed.code).into());
        }
        Ok(())
    }
}

/// Connects to the first address of `name` that answers.
fn connect(name: &str) -> Result<TcpStream, Failure> {
    let mut failure = format!("{name} has no address");
    for address in name.to_socket_addrs().map_err(|error| format!("{name}: {error}"))? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failure = format!("{address}: {error}"),
        }
    }
    Err(failure.into())
}

/// A masking key for one frame; it must not be predictable (RFC 6455 section 10.3).
fn next_key() -> [u8; 4] {
    random()
}

/// Bytes from the operating system's generator. Without one nothing on the machine is secure, and predictable
/// bytes would only hide that.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    bytes
}
