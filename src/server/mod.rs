//! The server's side of a connection, on the same driver as the client's.
//!
//! Any byte stream will do, such as the server's stream of `tokio-rustls` for `wss:`. [`read_request`] reads the request
//! where nothing else is served on the port; on a route of axum `axum::upgrade` does all there is to do; where other HTTP
//! is, what that has read is judged by [`ServerHandshake`](crate::proto::ws::ServerHandshake) or
//! [`Request::new`](crate::proto::ws::Request::new). Then it is [`accept`]ed here. [`Connections`] has limits for all of a
//! server, and ends them.
//!
//! With the feature `tracing` each connection that was accepted, has ended (with its close code, its cause, how long it
//! lasted, and what was not sent or is unknown), or was refused on a route is an event of the level DEBUG and the target
//! `tidegate::server::trace`. The names of the fields may change with a minor version.
//!
//! Not here: listening, HTTP, static files, certificates.
//!
//! # Examples
//!
//! An echo server for tests. One that others can reach looks at `Origin`, and gives [`read_request`] a deadline
//! (docs/SERVER.md, "Without axum"):
//!
//! ```
//! use tidegate::proto::ws::HeadLimits;
//! use tidegate::server::{AcceptOptions, accept, read_request};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! async fn serve(listener: TcpListener) -> std::io::Result<()> {
//!     loop {
//!         let (stream, _) = listener.accept().await?;
//!         tokio::spawn(echo(stream));
//!     }
//! }
//!
//! async fn echo(mut stream: TcpStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let request = read_request(&mut stream, HeadLimits::default()).await?;
//!     let client = accept(stream, &request, None, AcceptOptions::default())?;
//!     while let Some(message) = client.recv().await {
//!         client.send(message).await?;
//!     }
//!     Ok(())
//! }
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! # let listener = TcpListener::bind("127.0.0.1:0").await?;
//! # let address = listener.local_addr()?;
//! # tokio::spawn(serve(listener));
//! # let client = tidegate::Client::builder(format!("ws://{address}/")).connect().await.unwrap();
//! # client.send("hello").await.unwrap();
//! # assert_eq!(client.recv().await, Some("hello".into()));
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

#[cfg(feature = "axum")]
pub mod axum;
mod connections;
mod request;
#[cfg(feature = "socket")]
mod socket;
#[cfg(feature = "tracing")]
mod trace;

use core::fmt;
use core::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

pub use self::connections::{AdmitError, ConnectionCounts, ConnectionLimits, Connections, Place};
pub use self::request::{ReadRequestError, read_request};
#[cfg(feature = "socket")]
pub use self::socket::{UNSENT_BYTES, keep_unsent_short};
use crate::client::{Client, CloseOptions};
#[cfg(feature = "v1")]
use crate::client::{DelayError, TidegateOptions};
use crate::driver::hub::{Hub, Now};
use crate::driver::task::DriverTask;
#[cfg(feature = "v1")]
use crate::driver::tidegate::{MOST_MESSAGE_BYTES, SUBPROTOCOL};
use crate::driver::{Driver, DriverConfig, HubOutlet};
use crate::platform::native::{HostClock, HostTimer};
#[cfg(feature = "v1")]
use crate::proto::v1::Side;
use crate::proto::ws::{Connection, InvalidResponse, Limits, Request, Response, Role};
#[cfg(feature = "deflate")]
use crate::proto::ws::{Deflate, DeflateOptions};
use crate::proto::{RecvLimits, SendLimits};
use crate::transport::Opened;
use crate::transport::native::{NativeTransport, Options as TransportOptions};

/// How a connection is accepted.
///
/// # Examples
///
/// ```
/// let mut options = tidegate::server::AcceptOptions::default();
/// options.limits.max_message_bytes = 1 << 20;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcceptOptions {
    /// What the peer may send. Default [`Limits::default`].
    /// [`max_control_frames`](Limits::max_control_frames) is per second here, and counts pongs that answer
    /// the pings of [`ping_after`](Self::ping_after), too. Of
    /// [`max_output_bytes`](Limits::max_output_bytes) at most 64 KiB are used: what waits longer does so in
    /// the send queue. In tidegate mode a message of the WebSocket, which is another thing than one of the application's,
    /// has 320 KiB at most, and the client is told of what `max_message_bytes` and
    /// `max_frame_bytes` leave of 257 KiB.
    pub limits: Limits,
    /// Bounds of the send queue. Default [`SendLimits::default`].
    pub send_limits: SendLimits,
    /// Bounds of the receive queue. Default [`RecvLimits::default`].
    pub recv_limits: RecvLimits,
    /// How long the end may take once the peer has closed, and the close when the last handle is
    /// dropped; `None` for as long as it takes. Default 10 s.
    pub close_within: Option<Duration>,
    /// Longer messages are sent in fragments of this many bytes, between which pings are answered; `None`
    /// sends each as one frame. Default 256 KiB. 0 counts as 1. In tidegate mode they have up to 1 KiB more.
    pub fragment_bytes: Option<usize>,
    /// Pings the peer when nothing has come from it for so long, and takes it for gone when nothing comes
    /// for as long again, as [`ClientBuilder::ping_after`](crate::ClientBuilder::ping_after) has it; `None`
    /// never does. Default 20 s.
    ///
    /// In tidegate mode the session asks as well, from 1 to 300 s, for `None` after 300; and the client, which is told of it, takes
    /// this side for gone after 2.25 times as long a silence, by default 45 s, and up to as long again with much under way.
    pub ping_after: Option<Duration>,
    /// Compresses messages if the client offers to, as these options say; `None` never does. Default `None`:
    /// it costs 420 KiB of memory for each connection that uses it, some 2 MiB more after large messages, and the time to compress, and the length of a
    /// compressed message tells something of its content to whoever can see it and add to it. Never done in tidegate
    /// mode, where all channels would share it.
    #[cfg(feature = "deflate")]
    pub deflate: Option<DeflateOptions>,
    /// What this side takes and does where `tidegate.v1` is the subprotocol that the connection is accepted with.
    /// `None` leaves the subprotocol to the caller, who then gets its messages as they are. Default
    /// [`TidegateOptions::server`].
    #[cfg(feature = "v1")]
    pub tidegate: Option<TidegateOptions>,
}

impl Default for AcceptOptions {
    /// The defaults of each, and 10 s.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            send_limits: SendLimits::default(),
            recv_limits: RecvLimits::default(),
            close_within: CloseOptions::default().deadline(),
            fragment_bytes: TransportOptions::default().fragment_bytes,
            ping_after: TransportOptions::default().ping_after,
            #[cfg(feature = "deflate")]
            deflate: None,
            #[cfg(feature = "v1")]
            tidegate: Some(TidegateOptions::server()),
        }
    }
}

/// Why a connection was not accepted. The stream is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptError {
    /// The response cannot be sent: the subprotocol was not offered.
    Response(InvalidResponse),
    /// [`TidegateOptions::delay`] of [`AcceptOptions::tidegate`] is out of its range.
    #[cfg(feature = "v1")]
    Delay(DelayError),
    /// There is no tokio runtime to run the connection in.
    NoRuntime,
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response(error) => error.fmt(f),
            #[cfg(feature = "v1")]
            Self::Delay(error) => error.fmt(f),
            Self::NoRuntime => f.write_str("accept was called outside a tokio runtime"),
        }
    }
}

impl core::error::Error for AcceptError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Response(error) => error.source(),
            #[cfg(feature = "v1")]
            Self::Delay(error) => error.source(),
            Self::NoRuntime => None,
        }
    }
}

/// Accepts the connection that `request` asks for on `stream`: writes the response and runs the
/// connection as a task. `subprotocol` must be among those offered.
///
/// Bytes that came behind the request are in [`Request::rest`]; they are read first.
///
/// # Errors
///
/// [`AcceptError`]; nothing was written.
///
/// # Specification
///
/// [RFC 6455 section 4.2.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2).
pub fn accept<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    request: &Request,
    subprotocol: Option<&str>,
    options: AcceptOptions,
) -> Result<Client, AcceptError> {
    let answer = Answer::new(request, subprotocol, &options)?;
    let response = answer.response.to_bytes();
    answer.run(stream, request, response, options)
}

/// What a request is answered with.
struct Answer {
    response: Response,
    subprotocol: String,
    #[cfg(feature = "deflate")]
    deflate: Option<Deflate>,
}

impl Answer {
    fn new(
        request: &Request,
        subprotocol: Option<&str>,
        options: &AcceptOptions,
    ) -> Result<Self, AcceptError> {
        #[cfg(feature = "v1")]
        options.tidegate.map_or(Ok(()), |tidegate| tidegate.check()).map_err(AcceptError::Delay)?;
        #[cfg(not(feature = "deflate"))]
        let response = {
            let _ = options;
            request.accept(subprotocol).map_err(AcceptError::Response)?
        };
        #[cfg(feature = "deflate")]
        let (response, deflate) = match &options.deflate {
            Some(deflate) if !is_tidegate(subprotocol, options) => {
                request.accept_with_deflate(subprotocol, deflate).map_err(AcceptError::Response)?
            }
            _ => (request.accept(subprotocol).map_err(AcceptError::Response)?, None),
        };
        Ok(Self {
            response,
            subprotocol: subprotocol.unwrap_or_default().to_owned(),
            #[cfg(feature = "deflate")]
            deflate,
        })
    }

    /// Runs the connection; `preface` is written before all frames.
    fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: S,
        request: &Request,
        preface: Vec<u8>,
        options: AcceptOptions,
    ) -> Result<Client, AcceptError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| AcceptError::NoRuntime)?;
        #[cfg(not(feature = "v1"))]
        let limits = options.limits;
        #[cfg(feature = "v1")]
        let limits = limits(&self.subprotocol, &options);
        #[cfg(not(feature = "deflate"))]
        let mut connection = Connection::new(Role::Server, limits);
        #[cfg(feature = "deflate")]
        let mut connection = Connection::with_deflate(Role::Server, limits, self.deflate.as_ref());
        connection.receive(&request.rest);
        let clock = HostClock::new();
        let hub = Hub::new(options.send_limits, options.recv_limits, Now::of(clock), None);
        hub.wait_for_readers();
        let close = CloseOptions::default().within(options.close_within);
        let config = DriverConfig {
            peer_close_within: close.deadline(),
            #[cfg(feature = "v1")]
            tidegate: options.tidegate.map(|tidegate| {
                let side = Side::Server { resume: None, hint: String::new() };
                let mut config = tidegate.config(side, crate::platform::native::random());
                let Limits { max_message_bytes, max_frame_bytes, .. } = options.limits;
                config.bound_messages(max_message_bytes.min(max_frame_bytes));
                config.ping_after(options.ping_after);
                Box::new(config)
            }),
            ..DriverConfig::default()
        };
        let client = Client::new(&hub, &request.target, close);
        let extensions = self.response.header_value("Sec-WebSocket-Extensions").unwrap_or_default();
        #[cfg(feature = "tracing")]
        trace::accepted(&client, &self.subprotocol);
        let opened = Opened { protocol: self.subprotocol, extensions: extensions.to_owned() };
        let chosen = TransportOptions {
            fragment_bytes: options.fragment_bytes,
            ping_after: options.ping_after,
            limits,
            ..TransportOptions::default()
        };
        let transport = NativeTransport::accepted(stream, connection, preface, opened, chosen);
        let driver = Driver::new(HubOutlet::pausing(hub), transport, clock, config);
        // It is open from the first moment: what the caller sends, and a close, must not come upon a
        // connection that seems to be connecting still.
        driver.pump();
        runtime.spawn(DriverTask::new(driver, HostTimer::new(clock)));
        Ok(client)
    }
}

/// What the client may send: of tidegate's messages, which are short, none that is long is put together.
#[cfg(feature = "v1")]
fn limits(subprotocol: &str, options: &AcceptOptions) -> Limits {
    let mut limits = options.limits;
    if is_tidegate(Some(subprotocol), options) {
        limits.max_message_bytes = limits.max_message_bytes.min(MOST_MESSAGE_BYTES);
    }
    limits
}

/// Whether a connection that is accepted with `subprotocol` is in tidegate mode.
#[cfg(feature = "v1")]
fn is_tidegate(subprotocol: Option<&str>, options: &AcceptOptions) -> bool {
    options.tidegate.is_some() && subprotocol == Some(SUBPROTOCOL)
}

#[cfg(all(not(feature = "v1"), feature = "deflate"))]
fn is_tidegate(_: Option<&str>, _: &AcceptOptions) -> bool {
    false
}

/// [`accept`] on a stream with the traits of `futures-io` 0.3. The connection itself still runs in the present
/// tokio runtime, in which its timers are.
///
/// Feature `futures-io`.
///
/// # Errors
///
/// As [`accept`].
#[cfg(feature = "futures-io")]
pub fn accept_futures_io<S>(
    stream: S,
    request: &Request,
    subprotocol: Option<&str>,
    options: AcceptOptions,
) -> Result<Client, AcceptError>
where
    S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + Send + 'static,
{
    use tokio_util::compat::FuturesAsyncReadCompatExt as _;

    accept(stream.compat(), request, subprotocol, options)
}
