//! `connect` on the host: TCP by tokio, and TLS.
//!
//! Not here: frames and the opening handshake (the transport's), and what a browser can do, too.

mod options;
#[cfg(feature = "tls")]
mod tls;

use core::time::Duration;

use tokio::runtime::Handle;

pub(super) use self::options::HostOptions;
#[cfg(feature = "tls")]
pub use self::tls::{TlsError, TlsOptions};
use super::builder::ClientBuilder;
use super::error::ConnectError;
use super::{Client, UrlError, address};
use crate::driver::hub::Hub;
use crate::driver::task::{DriverTask, PollTransport};
use crate::driver::{Driver, HubOutlet};
use crate::platform::native::{HostClock, HostTimer};
use crate::proto::ws::{ClientHandshake, ClientRequest, HeadLimits};
use crate::transport::native::dial::{self, AnyStream};
use crate::transport::native::{ByteStream, Connecting, Established, Keys, NativeTransport, greet};
use crate::transport::{Moved, TransportError};

impl<S: ByteStream> PollTransport for NativeTransport<S> {
    fn poll_io(&self, cx: &mut core::task::Context<'_>, reads: bool) -> Moved {
        self.poll_io(cx, reads)
    }
}

/// Begins to connect; the driver is a task of the present runtime.
pub(super) fn start(builder: &ClientBuilder) -> Result<Client, ConnectError> {
    let target = Target::of(builder)?;
    if target.is_secure && !cfg!(feature = "tls") {
        return Err(ConnectError::NoTls);
    }
    let runtime = runtime()?;
    let Target { url, host, port, is_secure, request } = target;
    let handshake = handshake(request);
    let options = builder.host.clone();
    let connecting = Box::pin(async move {
        let mut stream = dial(&host, port, is_secure, options).await?;
        let accepted = greet(&mut stream, handshake).await?;
        Ok(Established { stream, accepted })
    });
    Ok(run(builder, &runtime, &url, connecting))
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
    fn of(builder: &ClientBuilder) -> Result<Self, ConnectError> {
        let resolved =
            address::resolve(&builder.url, builder.base.as_deref(), parse).map_err(ConnectError::Url)?;
        let invalid = || ConnectError::Url(UrlError::Invalid { url: builder.url.clone() });
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
        for name in &builder.protocols {
            request.subprotocol(name).map_err(|_| invalid())?;
        }
        // An IPv6 address is in brackets in a URL and without them everywhere else.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port, is_secure: url.scheme() == "wss", url: url.into(), request })
    }
}

/// The stream on which the opening handshake is done.
#[cfg_attr(not(feature = "tls"), allow(unused_variables, reason = "what is left out is TLS"))]
async fn dial(
    host: &str,
    port: u16,
    is_secure: bool,
    options: HostOptions,
) -> Result<AnyStream, TransportError> {
    let stream = dial::tcp(host, port).await?;
    #[cfg(feature = "tls")]
    if is_secure {
        let config = tls::config(options.tls).await?;
        return Ok(Box::new(crate::transport::native::tls::handshake(stream, host, config).await?));
    }
    Ok(Box::new(stream))
}

fn handshake(request: ClientRequest) -> ClientHandshake {
    ClientHandshake::new(request, Keys::new().nonce(), HeadLimits::default())
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
    let (hub, deadline) = builder.hub(Hub::wake_driver, Duration::from_secs(15));
    let client = Client::new(&hub, url, builder.close.clone());
    let clock = HostClock::new();
    let transport = NativeTransport::connecting(connecting);
    let deadlines = [deadline, builder.close.deadline()];
    let driver = Driver::new(HubOutlet::in_task(hub), transport, clock, deadlines);
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
