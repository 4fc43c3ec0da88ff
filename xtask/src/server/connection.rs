//! One TCP connection: reads a head and decides who answers it.
//!
//! Not here: what is answered.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tidegate::proto::ws::{HeadLimits, InvalidHead, Request, RequestError, Response, ServerHandshake};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::peer::TIDEGATE;
use super::route::{Echo, Route, Unknown};
use super::{Site, arrivals, link, misbehave, talk};

/// How long a head may take. Browsers open connections ahead of need and leave them unused.
const HEAD_WITHIN: Duration = Duration::from_secs(60);

/// How long a peer that was refused may take to end the connection.
const PARTING_WITHIN: Duration = Duration::from_secs(2);

/// What a head asks for.
enum Asked {
    /// A WebSocket.
    WebSocket(Box<Request>),
    /// Something of HTTP; the head, with what came behind it.
    Http(Vec<u8>),
    /// A WebSocket, but wrongly.
    Refused(Response),
    /// Nothing: the peer has gone.
    Nothing,
}

/// Serves one connection to its end.
///
/// Each carries one request. A second one might be for a WebSocket, and then everything read ahead
/// for HTTP would have to be taken back.
pub(super) async fn serve(mut stream: TcpStream, site: Arc<Site>) -> io::Result<()> {
    // Small messages are not held back for the acknowledgement of those before.
    stream.set_nodelay(true)?;
    match timeout(HEAD_WITHIN, read_head(&mut stream)).await?? {
        Asked::WebSocket(request) => web_socket(stream, *request, &site).await,
        Asked::Http(read) => http(stream, read, site).await,
        Asked::Refused(response) => part(stream, &response.to_bytes()).await,
        Asked::Nothing => Ok(()),
    }
}

async fn read_head(stream: &mut TcpStream) -> io::Result<Asked> {
    let mut handshake = ServerHandshake::new(HeadLimits::default());
    let mut read = Vec::new();
    loop {
        let known = read.len();
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(Asked::Nothing);
        }
        return Ok(match handshake.receive(read.get(known..).unwrap_or_default()) {
            Ok(None) => continue,
            Ok(Some(request)) => Asked::WebSocket(Box::new(request)),
            // HTTP's own server judges what is not for a WebSocket.
            Err(
                RequestError::NoUpgrade
                | RequestError::Method
                | RequestError::Head(InvalidHead::Malformed | InvalidHead::Version),
            ) => Asked::Http(read),
            Err(error) => Asked::Refused(error.response()),
        });
    }
}

async fn http(stream: TcpStream, read: Vec<u8>, site: Arc<Site>) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let stream = tokio::io::join(io::Cursor::new(read).chain(reader), writer);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let site = site.clone();
        async move { site.files.answer(&request).await }
    });
    http1::Builder::new()
        .keep_alive(false)
        // A peer may say that it sends no more, and still wants the answer.
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

async fn web_socket(stream: TcpStream, request: Request, site: &Site) -> io::Result<()> {
    let route = match Route::of(&request.target) {
        Ok(route) => route,
        Err(unknown) => {
            let status = match unknown {
                Unknown::Path => 404,
                Unknown::Query(_) => 400,
            };
            let response = Response::refuse(status, &format!("{unknown}\n")).map_err(io::Error::other)?;
            return part(stream, &response.to_bytes()).await;
        }
    };
    let first = request.subprotocols.first().map(String::as_str);
    let either = request.subprotocols.iter().map(String::as_str).find(|name| *name == TIDEGATE);
    match route {
        Route::Arrivals { run, acknowledges } => {
            arrivals::note(stream, &request, either, &run, acknowledges, &site.arrivals).await
        }
        Route::Burst => misbehave::burst(stream, &request).await,
        Route::Close { code, reason } => misbehave::close(stream, &request, code, &reason).await,
        Route::Echo(echo) => talk::echo(stream, &request, either, echo).await,
        Route::Extension => misbehave::extension(stream, &request).await,
        Route::Feed => talk::feed(stream, &request).await,
        Route::Flood { messages, bytes } => talk::flood(stream, &request, messages, bytes).await,
        Route::Link(shape) => link::open(stream, &request, shape).await,
        Route::Never => misbehave::never(stream).await,
        Route::NoSubprotocol => talk::echo(stream, &request, None, Echo::default()).await,
        Route::Push { run, messages, bytes } => {
            arrivals::push(stream, &request, either, &run, messages, bytes, &site.arrivals).await
        }
        Route::Raw(raw) => misbehave::raw(stream, &request, &raw).await,
        Route::Redirect => misbehave::redirect(stream).await,
        // Dropped here, without a word.
        Route::Refuse => Ok(()),
        Route::Request => talk::request(stream, &request).await,
        Route::Sink => talk::sink(stream, &request, either).await,
        Route::Reset { after } => misbehave::reset(stream, &request, after).await,
        Route::Stall { seconds } => misbehave::stall(stream, &request, seconds).await,
        Route::Stream(wanted) => arrivals::stream(stream, &request, either, wanted, &site.arrivals).await,
        Route::Status(status) => misbehave::status(stream, status).await,
        Route::Subprotocol(echo) => talk::echo(stream, &request, first, echo).await,
        Route::Subprotocols => talk::subprotocols(stream, &request, first).await,
        Route::Upload { every } => talk::upload(stream, &request, either, every).await,
        Route::Watch { run } => arrivals::watch(stream, &request, &run, &site.arrivals).await,
        Route::WrongAccept => misbehave::wrong_accept(stream, &request).await,
    }
}

/// Sends the last bytes of a connection that never became a WebSocket.
pub(super) async fn part(mut stream: TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    // What was received and not read would reset the connection, and the peer might lose the answer.
    let _ = timeout(PARTING_WITHIN, discard(&mut stream)).await;
    Ok(())
}

/// Reads to the end.
pub(super) async fn discard(stream: &mut TcpStream) -> io::Result<()> {
    tokio::io::copy(stream, &mut tokio::io::sink()).await.map(drop)
}
