//! Routes that misbehave. They write their bytes themselves, as tidegate would refuse to.
//!
//! Not here: anything that a good server would do.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tidegate::proto::ws::{
    Connection, Encoder, Event, FrameHeader, Limits, MessageKind, Opcode, Request, Response, Role,
    accept_key, no_key,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest, copy, sink};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::connection::{discard, part};

/// How long a peer may stay on one of these routes.
const STAY_WITHIN: Duration = Duration::from_secs(600);

/// How often a route that does not read looks whether its peer is still there.
const GLANCE_EVERY: Duration = Duration::from_millis(100);

/// The kernel doubles it and takes no less than about 2 KiB.
const STALLED_RECEIVE_BYTES: usize = 4 << 10;

/// Closes as soon as the connection is open, with any code; without one the frame has no body.
pub(super) async fn close(
    stream: TcpStream,
    request: &Request,
    code: Option<u16>,
    reason: &str,
) -> io::Result<()> {
    let mut bytes = switching(request)?;
    push_close(&mut bytes, code, reason);
    converse(stream, request, &bytes, false).await
}

/// Three messages and a close frame, with the response in one write.
pub(super) async fn burst(stream: TcpStream, request: &Request) -> io::Result<()> {
    let mut bytes = switching(request)?;
    let mut encoder = Encoder::new(Role::Server);
    let mut push = |kind, part: &[u8]| encoder.message(kind, part, true, no_key, &mut bytes);
    push(MessageKind::Text, b"one").map_err(io::Error::other)?;
    push(MessageKind::Binary, &[1, 2, 3]).map_err(io::Error::other)?;
    push(MessageKind::Text, b"three").map_err(io::Error::other)?;
    push_close(&mut bytes, Some(4001), "done");
    converse(stream, request, &bytes, false).await
}

/// Any bytes behind the response, in the same write. The peer's pings and close are answered,
/// unless the bytes had a close frame or broke the protocol.
pub(super) async fn raw(stream: TcpStream, request: &Request, raw: &[u8]) -> io::Result<()> {
    let mut bytes = switching(request)?;
    bytes.extend_from_slice(raw);
    converse(stream, request, &bytes, stays_open(raw)).await
}

/// A response with the accept key of another request.
pub(super) async fn wrong_accept(stream: TcpStream, request: &Request) -> io::Result<()> {
    let accept = accept_key(b"of another request");
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    converse(stream, request, head.as_bytes(), true).await
}

/// A response that names an extension nobody has offered.
pub(super) async fn extension(stream: TcpStream, request: &Request) -> io::Result<()> {
    let mut bytes = switching(request)?;
    let end = bytes.len() - b"\r\n".len();
    let field = b"Sec-WebSocket-Extensions: x-nobody-offered\r\n";
    bytes.splice(end..end, field.iter().copied());
    converse(stream, request, &bytes, true).await
}

/// Opens the connection and reads nothing, for `seconds` or until the peer's end shows.
///
/// A peer that has ended while more is on its way than the buffer holds cannot be noticed without
/// reading: its end stands behind what it sent. Hence the bound.
pub(super) async fn stall(mut stream: TcpStream, request: &Request, seconds: u64) -> io::Result<()> {
    SockRef::from(&stream).set_recv_buffer_size(STALLED_RECEIVE_BYTES)?;
    stream.write_all(&switching(request)?).await?;
    let until_end = async {
        loop {
            let ready = stream.ready(Interest::READABLE).await?;
            if ready.is_read_closed() {
                return Ok(());
            }
            sleep(GLANCE_EVERY).await;
        }
    };
    // That the time is over is an end like any other.
    timeout(Duration::from_secs(seconds), until_end).await.unwrap_or(Ok(()))
}

/// Resets the connection when `after` bytes have come behind the handshake, whatever else is under way.
pub(super) async fn reset(mut stream: TcpStream, request: &Request, after: usize) -> io::Result<()> {
    SockRef::from(&stream).set_recv_buffer_size(STALLED_RECEIVE_BYTES)?;
    stream.write_all(&switching(request)?).await?;
    let mut part = (&mut stream).take(after as u64);
    timeout(STAY_WITHIN, copy(&mut part, &mut sink())).await??;
    // Without waiting for anything, so that the close is a reset even if all was read.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))
}

/// Never answers the handshake.
pub(super) async fn never(mut stream: TcpStream) -> io::Result<()> {
    timeout(STAY_WITHIN, discard(&mut stream)).await?
}

/// Refuses with this status.
pub(super) async fn status(stream: TcpStream, status: u16) -> io::Result<()> {
    let response = Response::refuse(status, &format!("status {status}\n")).map_err(io::Error::other)?;
    part(stream, &response.to_bytes()).await
}

/// Sends the peer to `/echo`, where a WebSocket may not follow.
pub(super) async fn redirect(stream: TcpStream) -> io::Result<()> {
    let mut response = Response::refuse(302, "/echo\n").map_err(io::Error::other)?;
    response.header("Location", "/echo").map_err(io::Error::other)?;
    part(stream, &response.to_bytes()).await
}

/// The response that accepts, without a subprotocol.
fn switching(request: &Request) -> io::Result<Vec<u8>> {
    Ok(request.accept(None).map_err(io::Error::other)?.to_bytes())
}

fn push_close(bytes: &mut Vec<u8>, code: Option<u16>, reason: &str) {
    let mut body = Vec::new();
    if let Some(code) = code {
        body.extend_from_slice(&code.to_be_bytes());
        body.extend_from_slice(reason.as_bytes());
    }
    let header =
        FrameHeader { fin: true, rsv1: false, opcode: Opcode::Close, mask: None, len: body.len() as u64 };
    bytes.extend_from_slice(header.encode().as_bytes());
    bytes.extend_from_slice(&body);
}

/// Whether a client that has received `raw` still expects frames.
fn stays_open(raw: &[u8]) -> bool {
    let mut client = Connection::new(Role::Client, Limits::default());
    client.receive(raw);
    loop {
        // What it would answer is not sent, so that its masks need not be random.
        match client.poll_event(|| [0; 4]) {
            Ok(Some(Event::Close(_))) | Err(_) => return false,
            Ok(Some(_)) => {}
            Ok(None) => return true,
        }
    }
}

/// Writes `bytes`, reads until the peer closes, breaks the protocol, or ends, and ends too.
/// `answers` says whether its pings and its close frame are answered.
async fn converse(mut stream: TcpStream, request: &Request, bytes: &[u8], answers: bool) -> io::Result<()> {
    stream.write_all(bytes).await?;
    let mut connection = Connection::new(Role::Server, Limits::default());
    connection.receive(&request.rest);
    timeout(STAY_WITHIN, listen(&mut stream, &mut connection, answers)).await??;
    part(stream, &[]).await
}

async fn listen(stream: &mut TcpStream, connection: &mut Connection, answers: bool) -> io::Result<()> {
    loop {
        let over = loop {
            match connection.poll_event(no_key) {
                Ok(Some(Event::Close(_))) | Err(_) => break true,
                Ok(Some(_)) => {}
                Ok(None) => break false,
            }
        };
        if answers {
            stream.write_all(connection.output()).await?;
        }
        connection.consume(connection.pending());
        if over {
            return Ok(());
        }
        match stream.read(connection.spare()).await? {
            0 => return Ok(()),
            n => connection.filled(n),
        }
    }
}
