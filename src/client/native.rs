//! `connect` on the host: TCP by tokio.

use core::time::Duration;

use tokio::net::TcpStream;

use super::builder::ClientBuilder;
use super::error::ConnectError;
use super::{Client, UrlError, address};
use crate::driver::task::{DriverTask, PollTransport};
use crate::driver::{Driver, HubOutlet};
use crate::platform::native::{HostClock, HostTimer};
use crate::proto::ws::{ClientHandshake, ClientRequest, HeadLimits};
use crate::transport::Moved;
use crate::transport::native::{ByteStream, Keys, NativeTransport};

impl<S: ByteStream> PollTransport for NativeTransport<S> {
    fn poll_io(&self, cx: &mut core::task::Context<'_>, reads: bool) -> Moved {
        self.poll_io(cx, reads)
    }
}

/// Begins to connect; the driver is a task of the present runtime.
pub(super) fn start(builder: &ClientBuilder) -> Result<Client, ConnectError> {
    let resolved =
        address::resolve(&builder.url, builder.base.as_deref(), parse).map_err(ConnectError::Url)?;
    let invalid = || ConnectError::Url(UrlError::Invalid { url: builder.url.clone() });
    let url = url::Url::parse(&resolved).map_err(|_| invalid())?;
    if url.scheme() == "wss" {
        return Err(ConnectError::NoTls);
    }
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
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;

    let handshake = ClientHandshake::new(request, Keys::new().nonce(), HeadLimits::default());
    // An IPv6 address is in brackets in a URL and without them everywhere else.
    let address = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let dial = Box::pin(async move {
        let stream = TcpStream::connect((address.as_str(), port)).await?;
        // Messages are written whole, so that waiting for more to come only costs time.
        stream.set_nodelay(true)?;
        Ok(stream)
    });
    let (hub, deadline) = builder.hub(None, Duration::from_secs(15));
    let client = Client::new(&hub, url.as_str(), builder.close.clone());
    let clock = HostClock::new();
    let transport = NativeTransport::dial(dial, handshake);
    let deadlines = [deadline, builder.close.deadline()];
    let driver = Driver::new(HubOutlet::in_task(hub), transport, clock, deadlines);
    runtime.spawn(DriverTask::new(driver, HostTimer::new(clock)));
    Ok(client)
}

fn parse(url: &str, base: Option<&str>) -> Option<String> {
    let parsed = match base {
        Some(base) => url::Url::parse(base).ok()?.join(url),
        None => url::Url::parse(url),
    };
    parsed.ok().map(String::from)
}
