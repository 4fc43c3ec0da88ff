//! `connect` on the host: TCP by tokio, and TLS.
//!
//! Not here: frames and the opening handshake (the transport's), and what a browser can do, too.

mod options;
mod proxy;
#[cfg(feature = "tls")]
mod tls;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;

pub(super) use self::options::HostOptions;
use self::proxy::Proxy;
#[cfg(feature = "tls")]
pub use self::tls::{TlsError, TlsOptions};
use super::builder::{ClientBuilder, opened};
use super::error::ConnectError;
use super::{Client, UrlError, address};
use crate::driver::task::{DriverTask, PollTransport};
#[cfg(feature = "v1")]
use crate::driver::tidegate::{MOST_MESSAGE_BYTES, SUBPROTOCOL};
use crate::driver::{Driver, HubOutlet};
use crate::platform::native::{HostClock, HostTimer};
use crate::proto::ws::{ClientHandshake, ClientRequest, HeadLimits};
use crate::time::Timestamp;
#[cfg(feature = "v1")]
use crate::transport::native::Options;
use crate::transport::native::dial::{self, AnyStream};
use crate::transport::native::{ByteStream, Connecting, Established, Keys, NativeTransport, greet, tunnel};
use crate::transport::{Moved, TransportError};

impl<S: ByteStream> PollTransport for NativeTransport<S> {
    fn poll_io(&self, cx: &mut core::task::Context<'_>, reads: bool, now: Timestamp) -> Moved {
        self.poll_io(cx, reads, now)
    }

    fn due(&self) -> Option<Timestamp> {
        self.due()
    }

    fn handle_timeout(&self, now: Timestamp) {
        self.handle_timeout(now);
    }
}

/// Begins to connect; the driver is a task of the present runtime.
pub(super) fn start(builder: &ClientBuilder) -> Result<Client, ConnectError> {
    let target = Target::of(builder)?;
    if target.is_secure && !cfg!(feature = "tls") {
        return Err(ConnectError::NoTls);
    }
    let proxy = builder.host.proxy.as_ref().map(|url| Proxy::new(url, &target.authority())).transpose()?;
    let runtime = runtime()?;
    let handshake = ClientHandshake::new(target.request.clone(), Keys::new().nonce(), HeadLimits::default());
    let (url, options) = (target.url.clone(), builder.host.clone());
    let connecting = Box::pin(async move {
        let mut stream = dial(&target, proxy, options).await?;
        let accepted = greet(&mut stream, handshake).await?;
        Ok(Established { stream, accepted })
    });
    Ok(run(builder, &runtime, &url, connecting))
}

/// Begins to connect over `stream`.
fn start_over<S: ByteStream + 'static>(
    builder: &ClientBuilder,
    mut stream: S,
) -> Result<Client, ConnectError> {
    builder.check()?;
    let target = Target::of(builder)?;
    let runtime = runtime()?;
    let handshake = ClientHandshake::new(target.request, Keys::new().nonce(), HeadLimits::default());
    let connecting = Box::pin(async move {
        let accepted = greet(&mut stream, handshake).await?;
        Ok(Established { stream, accepted })
    });
    Ok(run(builder, &runtime, &target.url, connecting))
}

/// Host only, feature `native`: over byte streams of the caller's own.
impl ClientBuilder {
    /// Opens the connection over `stream`, which leads to the server already: a Unix socket, a tunnel, TLS of
    /// another library, an end of `tokio::io::duplex` in a test. Resolves when it is open.
    ///
    /// The URL tells host and path to ask for, and nothing is dialled: neither proxy nor TLS options count,
    /// and `wss:` asks for no TLS, since that is the stream's. Reads and writes wait as the stream lets
    /// them; what it buffers is flushed when nothing more is there to be read or written.
    ///
    /// Runs in the present tokio runtime, as [`connect`](Self::connect) does.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect). The stream is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let stream = tokio::net::TcpStream::connect("127.0.0.1:9001").await?;
    /// let client = tidegate::Client::builder("ws://example.com/live").connect_over(stream).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect_over<S>(self, stream: S) -> Result<Client, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = opened(start_over(&self, stream)?).await?;
        #[cfg(feature = "v1")]
        let client = self.in_its_mode(client)?;
        Ok(client)
    }

    /// [`connect_over`](Self::connect_over) for a stream with the traits of `futures-io` 0.3, such as those of
    /// async-std and smol. The connection itself still runs in the present tokio runtime, in which its timers
    /// are.
    ///
    /// Feature `futures-io`.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect). The stream is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream.
    #[cfg(feature = "futures-io")]
    pub async fn connect_over_futures_io<S>(self, stream: S) -> Result<Client, ConnectError>
    where
        S: futures_io::AsyncRead + futures_io::AsyncWrite + Unpin + Send + 'static,
    {
        use tokio_util::compat::FuturesAsyncReadCompatExt as _;

        self.connect_over(stream.compat()).await
    }
}

/// Who is to be connected to, and what is asked there.
struct Target {
    url: String,
    /// A name or an address, the latter without brackets.
    host: String,
    port: u16,
    is_secure: bool,
    request: ClientRequest,
}

impl Target {
    /// Host and port, for a proxy.
    fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    fn of(builder: &ClientBuilder) -> Result<Self, ConnectError> {
        let resolved =
            address::resolve(&builder.url, builder.base.as_deref(), parse).map_err(ConnectError::Url)?;
        let invalid = || ConnectError::Url(UrlError::Invalid { url: address::shown(&builder.url).into() });
        let url = url::Url::parse(&resolved).map_err(|_| invalid())?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(invalid());
        };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut request = ClientRequest::new(&authority, &target).map_err(|_| invalid())?;
        for name in builder.offered() {
            request.subprotocol(&name).map_err(|_| invalid())?;
        }
        for (name, value) in &builder.host.headers {
            let header = |reason| ConnectError::Header { name: name.clone(), reason };
            request.header(name, &value.0).map_err(header)?;
        }
        // RFC 7617 section 2. What a URL has of them would otherwise be lost without a word.
        let has_own =
            || builder.host.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Authorization"));
        if let Some((user, password)) = proxy::credentials(&url).map_err(|_| invalid())?
            && !has_own()
        {
            let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            request.header("Authorization", &basic).map_err(|_| invalid())?;
        }
        #[cfg(feature = "deflate")]
        if let Some(options) = builder.host.deflate {
            request.deflate(options);
        }
        // An IPv6 address is in brackets in a URL and without them everywhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port, is_secure: url.scheme() == "wss", url: url.into(), request })
    }
}

/// The stream on which the opening handshake is done.
async fn dial(
    target: &Target,
    proxy: Option<Proxy>,
    options: HostOptions,
) -> Result<AnyStream, TransportError> {
    let stream: AnyStream = match proxy {
        None => Box::new(dial::tcp(&target.host, target.port).await?),
        Some(proxy) => {
            let tcp = dial::tcp(&proxy.host, proxy.port).await.map_err(|error| match error {
                TransportError::Connect { message, source } => {
                    TransportError::Connect { message: format!("proxy {message}"), source }
                }
                error => error,
            })?;
            let stream: AnyStream = Box::new(tcp);
            let mut stream = secure(stream, proxy.is_secure, &proxy.host, &options).await?;
            tunnel(&mut stream, proxy.tunnel).await?;
            stream
        }
    };
    secure(stream, target.is_secure, &target.host, &options).await
}

/// `stream` with TLS on it, if that `is_secure`.
#[cfg(feature = "tls")]
async fn secure(
    stream: AnyStream,
    is_secure: bool,
    host: &str,
    options: &HostOptions,
) -> Result<AnyStream, TransportError> {
    if !is_secure {
        return Ok(stream);
    }
    let config = tls::config(options.tls.clone()).await?;
    Ok(Box::new(crate::transport::native::tls::handshake(stream, host, config).await?))
}

/// Where there is no TLS nothing that wants it comes so far.
#[cfg(not(feature = "tls"))]
#[allow(clippy::unused_async, reason = "as with TLS")]
async fn secure(stream: AnyStream, _: bool, _: &str, _: &HostOptions) -> Result<AnyStream, TransportError> {
    Ok(stream)
}

fn runtime() -> Result<Handle, ConnectError> {
    Handle::try_current().map_err(|_| ConnectError::NoRuntime)
}

/// Runs the connection that `connecting` makes, as a task of `runtime`.
fn run<S: ByteStream + 'static>(
    builder: &ClientBuilder,
    runtime: &Handle,
    url: &str,
    connecting: Connecting<S>,
) -> Client {
    let clock = HostClock::new();
    let (hub, config) = builder.hub(clock, None, crate::platform::native::random);
    #[cfg(feature = "v1")]
    let mut config = config;
    #[cfg(feature = "v1")]
    if let Some(tidegate) = &mut config.tidegate {
        let limits = builder.host.transport.limits;
        tidegate.bound_messages(limits.max_message_bytes.min(limits.max_frame_bytes));
    }
    hub.wait_for_readers();
    let client = Client::new(&hub, url, builder.close.clone());
    #[cfg(not(feature = "v1"))]
    let options = builder.host.transport;
    #[cfg(feature = "v1")]
    let options = Options {
        message_bytes_of: config.tidegate.is_some().then_some((SUBPROTOCOL, MOST_MESSAGE_BYTES)),
        ..builder.host.transport
    };
    let transport = NativeTransport::connecting(connecting, options);
    let driver = Driver::new(HubOutlet::pausing(hub), transport, clock, config);
    runtime.spawn(DriverTask::new(driver, HostTimer::new(clock)));
    client
}

fn parse(url: &str, base: Option<&str>) -> Option<String> {
    let parsed = match base {
        Some(base) => url::Url::parse(base).ok()?.join(url),
        None => url::Url::parse(url),
    };
    parsed.ok().map(String::from)
}
