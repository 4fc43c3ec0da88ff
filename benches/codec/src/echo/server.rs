//! One echo server for each library, on tokio.
//!
//! All answer at once what has come at once: they write when there is nothing more to read.

use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Sink, SinkExt, Stream};
use tidegate::proto::ws::{Connection, Event, HeadLimits, Limits, Role, SendError, ServerHandshake, no_key};
use tidegate::server::AcceptOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter, ReadBuf};
use tokio::net::TcpStream;

use crate::measure::thread_time;
use crate::peers::{LIMIT, OUTPUT, sockudo};

/// A library that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// `server::accept`: handles, queues and the driver, as an application has them.
    Tidegate,
    /// `proto::ws::Connection`, driven here by hand.
    TidegateConnection,
    Tungstenite,
    TokioWebsockets,
    Fastwebsockets,
    Yawc,
    Sockudo,
}

/// What a server has done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    /// All messages.
    pub(crate) messages: usize,
    /// CPU time of the thread from the first message that counts to the end of the connection.
    pub(crate) nanoseconds: f64,
}

/// Counts messages, and the time from one of them on.
struct Meter {
    messages: usize,
    skipped: usize,
    begin: f64,
}

impl Meter {
    fn count(&mut self) {
        if self.messages == self.skipped {
            self.begin = thread_time();
        }
        self.messages += 1;
    }
}

impl Server {
    pub(crate) const ALL: [Self; 7] = [
        Self::Tidegate,
        Self::TidegateConnection,
        Self::Tungstenite,
        Self::TokioWebsockets,
        Self::Fastwebsockets,
        Self::Yawc,
        Self::Sockudo,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tidegate => "tidegate",
            Self::TidegateConnection => "tidegate Connection",
            Self::Tungstenite => "tokio-tungstenite",
            Self::TokioWebsockets => "tokio-websockets",
            Self::Fastwebsockets => "fastwebsockets",
            Self::Yawc => "yawc",
            Self::Sockudo => "sockudo",
        }
    }

    /// Whether it sends the response of an opening handshake: tidegate's has no other way in.
    pub(crate) const fn greets(self) -> bool {
        matches!(self, Self::Tidegate)
    }

    /// Serves one connection. The time of the first `skipped` messages does not count.
    pub(crate) fn serve(self, listener: TcpListener, skipped: usize) -> io::Result<Served> {
        let mut meter = Meter { messages: 0, skipped, begin: 0.0 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            listener.set_nonblocking(true)?;
            let (stream, _) = tokio::net::TcpListener::from_std(listener)?.accept().await?;
            stream.set_nodelay(true)?;
            self.echo(stream, &mut meter).await;
            Ok::<_, io::Error>(())
        })?;
        Ok(Served { messages: meter.messages, nanoseconds: thread_time() - meter.begin })
    }

    async fn echo(self, stream: TcpStream, meter: &mut Meter) {
        match self {
            Self::Tidegate => serve_client(stream, meter).await,
            Self::TidegateConnection => drop(serve_connection(stream, meter).await),
            Self::Tungstenite => {
                use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
                let config = WebSocketConfig::default().write_buffer_size(OUTPUT);
                let socket =
                    tokio_tungstenite::WebSocketStream::from_raw_socket(stream, Role::Server, Some(config));
                forward(socket.await, Result::ok, meter).await;
            }
            Self::TokioWebsockets => {
                let config = tokio_websockets::Config::default().flush_threshold(OUTPUT);
                let socket = tokio_websockets::ServerBuilder::new().config(config).serve(stream);
                forward(socket, Result::ok, meter).await;
            }
            Self::Fastwebsockets => serve_fastwebsockets(stream, meter).await,
            Self::Yawc => {
                let options = yawc::Options::default()
                    .without_compression()
                    .with_utf8()
                    .with_limits(LIMIT, 2 * LIMIT)
                    .with_read_buffer_capacity(OUTPUT)
                    .with_backpressure_boundary(OUTPUT);
                let socket = yawc::WebSocket::from_stream(stream, yawc::Role::Server, options);
                forward(socket.expect("no extension is asked for"), Some, meter).await;
            }
            Self::Sockudo => {
                let socket = sockudo_ws::WebSocketStream::server(stream, sockudo::config());
                forward(socket, Result::ok, meter).await;
            }
        }
    }
}

/// Sends back what comes, and flushes when nothing more has come.
async fn forward<S, M>(mut socket: S, open: impl Fn(S::Item) -> Option<M>, meter: &mut Meter)
where
    S: Stream + Sink<M> + Unpin,
{
    loop {
        let item = poll_fn(|context| {
            let item = Pin::new(&mut socket).poll_next(context);
            if item.is_pending() && matches!(Pin::new(&mut socket).poll_flush(context), Poll::Ready(Err(_))) {
                return Poll::Ready(None);
            }
            item
        });
        let Some(message) = item.await.and_then(&open) else { return };
        meter.count();
        if socket.feed(message).await.is_err() {
            return;
        }
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

async fn serve_client(stream: TcpStream, meter: &mut Meter) {
    let request = ServerHandshake::new(HeadLimits::default()).receive(REQUEST);
    let request = request.ok().flatten().expect("the request is whole and valid");
    let client = tidegate::server::accept(stream, &request, None, AcceptOptions::default());
    let client = client.expect("this runs in a runtime");
    while let Some(message) = client.recv().await {
        meter.count();
        if client.send(message).await.is_err() {
            return;
        }
    }
}

async fn serve_connection(mut stream: TcpStream, meter: &mut Meter) -> io::Result<()> {
    let mut connection = Connection::new(Role::Server, Limits::default());
    loop {
        let n = stream.read(connection.spare()).await?;
        if n == 0 {
            return Ok(());
        }
        connection.filled(n);
        while let Some(event) = connection.poll_event(no_key).map_err(io::Error::other)? {
            let Event::Message(message) = event else { return Ok(()) };
            meter.count();
            let (kind, bytes) = (message.kind(), message.as_bytes());
            while let Err(error) = connection.send_message(kind, bytes, true, no_key) {
                let SendError::OutputFull { .. } = error else { return Err(io::Error::other(error)) };
                write_out(&mut stream, &mut connection).await?;
            }
        }
        write_out(&mut stream, &mut connection).await?;
    }
}

async fn write_out(stream: &mut TcpStream, connection: &mut Connection) -> io::Result<()> {
    while connection.pending() > 0 {
        let n = stream.write(connection.output()).await?;
        connection.consume(n);
    }
    Ok(())
}

/// It writes each frame at once, so its stream collects them, and writes when it is asked for
/// bytes that have not come.
async fn serve_fastwebsockets(stream: TcpStream, meter: &mut Meter) {
    use fastwebsockets::{FragmentCollector, Role, WebSocket};
    let collecting = Collecting(BufWriter::with_capacity(OUTPUT, stream));
    let mut socket = FragmentCollector::new(WebSocket::after_handshake(collecting, Role::Server));
    while let Ok(frame) = socket.read_frame().await {
        meter.count();
        if socket.write_frame(frame).await.is_err() {
            return;
        }
    }
}

struct Collecting(BufWriter<TcpStream>);

impl AsyncRead for Collecting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(context, room);
        if read.is_pending()
            && let Poll::Ready(Err(error)) = Pin::new(&mut self.0).poll_flush(context)
        {
            return Poll::Ready(Err(error));
        }
        read
    }
}

impl AsyncWrite for Collecting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
