//! How a connection is described and opened.

use core::time::Duration;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use std::rc::Rc;
use std::sync::Arc;

use super::Client;
use super::address::{self, Address};
use super::close::{self, CloseOptions};
use super::error::ConnectError;
#[cfg(feature = "v1")]
use super::tidegate::{self, Hint, Mode, TidegateOptions};
use super::wait::Wait;
use crate::driver::hub::Now;
#[cfg(feature = "v1")]
use crate::driver::tidegate::SUBPROTOCOL;
use crate::driver::{DriverConfig, Hub};
#[cfg(any(feature = "v1", all(target_family = "wasm", target_os = "unknown")))]
use crate::platform;
use crate::proto::{CloseCause, Closed, GateConfig, QueueConfig, RecvLimits, RecvPolicy, SendLimits};
use crate::time::Clock;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use crate::transport::web::{Offer, WebTransport};

/// How binary messages arrive, as WHATWG `binaryType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BinaryType {
    /// In memory, as [`Message::Binary`](super::Message::Binary).
    #[default]
    ArrayBuffer,
    /// Kept by the browser, as [`Message::Blob`](super::Message::Blob). On the host all messages
    /// are in memory, whatever is chosen.
    Blob,
}

/// By which of its classes a browser carries a connection; on the host, and in the simulator, whatever is chosen
/// changes nothing.
///
/// | | [`Socket`](Self::Socket) | [`Stream`](Self::Stream) |
/// |---|---|---|
/// | where | every browser | Chromium and its relatives |
/// | a full receive queue | closes or drops, by its [policy](crate::RecvPolicy) | makes the peer wait, as on the host |
/// | what the browser is given | by [`budget_bytes`](ClientBuilder::budget_bytes), looked after by a timer | the next message when the one before it has left for the network |
/// | `max_bytes_per_second` | holds back | without effect |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// `WebSocket`.
    #[default]
    Socket,
    /// `WebSocketStream`, an API that is not a standard yet.
    ///
    /// For those who receive more than they can take in, from a server that can wait. It is never chosen
    /// by itself: when a peer reset the connection while a message was being written, the whole tab crashed in
    /// tests with Chromium 156, and nothing that script can do prevents that.
    ///
    /// Let the reader close, not the server: if the server does while messages wait for the reader, Chromium 156
    /// forgets up to 128 KiB of them. [`Closed::was_clean`](crate::Closed::was_clean) is false if that may have
    /// happened.
    ///
    /// Nothing overtakes the message that is being written; besides, browser and kernel hide about as much as they
    /// do below `bufferedAmount`. A Blob is read into the browser's memory, whole, before it is written.
    ///
    /// Where there is no such class [`connect`](ClientBuilder::connect) fails with
    /// [`NoWebSocketStream`](ConnectError::NoWebSocketStream), before anything was tried. Who wants the other one
    /// then asks for it:
    ///
    /// ```no_run
    /// # async fn example() -> Result<tidegate::Client, tidegate::ConnectError> {
    /// use tidegate::{Client, ConnectError, Transport};
    ///
    /// let builder = Client::builder("wss://example.com/prices");
    /// match builder.clone().transport(Transport::Stream).connect().await {
    ///     Err(ConnectError::NoWebSocketStream) => builder.connect().await,
    ///     connected => connected,
    /// }
    /// # }
    /// ```
    Stream,
}

/// How a transport of the browser is opened: URL, subprotocols, binary type, and what makes the driver look.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
type Open = fn(&str, Offer<'_>, Rc<dyn Fn()>) -> Result<Box<dyn WebTransport>, ConnectError>;

/// Describes a connection; [`connect`](Self::connect) opens it.
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `connect`"]
pub struct ClientBuilder {
    pub(crate) url: Address,
    pub(crate) base: Option<Address>,
    pub(crate) protocols: Vec<String>,
    pub(crate) binary_type: BinaryType,
    #[allow(clippy::option_option, reason = "outside: whether it was set; inside: whether there is one")]
    pub(crate) connect_within: Option<Option<Duration>>,
    pub(crate) send: SendLimits,
    pub(crate) receive: RecvLimits,
    pub(crate) close: CloseOptions,
    queue: QueueConfig,
    gate: GateConfig,
    #[cfg(feature = "v1")]
    pub(crate) mode: Mode,
    #[cfg(feature = "v1")]
    tidegate: TidegateOptions,
    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    waiter: Option<&'static crate::platform::web::waiter::Waiter>,
    /// Another way than `WebSocket`. It is named only where it is chosen, so that a program in which nobody
    /// does is not linked with it.
    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    open: Option<Open>,
    #[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
    pub(super) host: super::native::HostOptions,
}

impl ClientBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url: Address(url),
            base: None,
            protocols: Vec::new(),
            binary_type: BinaryType::default(),
            connect_within: None,
            send: SendLimits::default(),
            receive: RecvLimits::default(),
            close: CloseOptions::default(),
            queue: QueueConfig::default(),
            gate: GateConfig::default(),
            #[cfg(feature = "v1")]
            mode: Mode::default(),
            #[cfg(feature = "v1")]
            tidegate: TidegateOptions::client(),
            #[cfg(all(target_family = "wasm", target_os = "unknown"))]
            waiter: None,
            #[cfg(all(target_family = "wasm", target_os = "unknown"))]
            open: None,
            #[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
            host: super::native::HostOptions::default(),
        }
    }

    /// Offers a subprotocol; call it once for each, the most wanted first.
    ///
    /// A browser fails the connection if the server acknowledges none of those offered.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.protocols.push(name.into());
        self
    }

    /// Against what a relative URL resolves. Default: the page's or worker's own URL; on the host
    /// there is none.
    pub fn base(mut self, base: impl Into<String>) -> Self {
        self.base = Some(Address(base.into()));
        self
    }

    /// How binary messages arrive. Default [`BinaryType::ArrayBuffer`].
    pub fn binary_type(mut self, binary_type: BinaryType) -> Self {
        self.binary_type = binary_type;
        self
    }

    /// By which of its classes a browser carries the connection. Default [`Transport::Socket`].
    #[cfg_attr(
        not(all(target_family = "wasm", target_os = "unknown")),
        allow(unused_mut, reason = "there is nothing to choose from")
    )]
    pub fn transport(mut self, transport: Transport) -> Self {
        #[cfg(all(target_family = "wasm", target_os = "unknown"))]
        {
            self.open = match transport {
                Transport::Socket => None,
                Transport::Stream => Some(open_stream),
            };
        }
        #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
        let _ = transport;
        self
    }

    /// How long opening may take; `None` for as long as it takes. Default 75 s in browsers, since
    /// Firefox may hold an attempt back for 60 s without notice, and 15 s on the host. In tidegate mode the server's
    /// greeting belongs to it, which may take 10 s of that at most.
    pub fn connect_within(mut self, within: impl Into<Option<Duration>>) -> Self {
        self.connect_within = Some(within.into());
        self
    }

    /// Bounds of the send queue. Default 16 MiB and 65,536 messages.
    pub fn send_limits(mut self, limits: SendLimits) -> Self {
        self.send = limits;
        self
    }

    /// What each priority below urgent is guaranteed while it has something to send, in 256ths of all bytes.
    /// Default 16, a sixteenth; at most 64. 0 lets a higher priority starve the lower ones.
    pub fn guaranteed_share(mut self, share: u8) -> Self {
        self.queue = QueueConfig { share };
        self
    }

    /// How much may stand in the browser's own buffer (`bufferedAmount`) on a slow link, in bytes, besides one
    /// urgent message, or one that is larger than that. Default 64 KiB, at least 1. Eight times as much may at the
    /// beginning, until something stands there; on fast links it grows by itself, up to 16 MiB.
    ///
    /// What the browser has been given nothing overtakes, so that this and what it hides (about a megabyte at
    /// 2 MB/s) are what an urgent message waits behind. Less makes little difference; it slows fast links down.
    /// Below 60,000 an upload of messages that fit it may be no faster than this in each 12 ms, whatever the link takes.
    ///
    /// Only in browsers, over [`Transport::Socket`]: on the host the connection waits for the stream.
    pub fn budget_bytes(mut self, budget: u64) -> Self {
        self.gate.budget_bytes = budget;
        self
    }

    /// Most bytes to hand over to the browser in a second; `None` for no bound. Default none.
    ///
    /// A little less than what the link is known to take keeps even the buffers empty that the browser hides.
    /// Urgent messages do not wait for it, but are counted. Behind a timer that was late, as in a hidden page or a busy one, up
    /// to what a second allows goes at once.
    ///
    /// Only in browsers, over [`Transport::Socket`].
    pub fn max_bytes_per_second(mut self, rate: impl Into<Option<u64>>) -> Self {
        self.gate.max_bytes_per_second = rate.into();
        self
    }

    /// Has a worker wait in a hidden page, so that an upload goes on there at full speed, and deadlines are kept.
    /// Default off.
    ///
    /// Browsers let the timers of a hidden page come once a second, and after some minutes once a minute; those of a
    /// worker are on time. With this option one small worker is made for each thread, out of a Blob, as soon as the
    /// page is hidden while something is waited for, and kept. Without it, and where a Content-Security-Policy forbids
    /// it (it has to allow `worker-src blob:`) or the browser has none, as much is handed over at each late timer as
    /// has gone since the last one, twice; nothing fails.
    ///
    /// Only in pages of browsers: elsewhere timers are on time, and it does nothing.
    #[cfg_attr(
        not(all(target_family = "wasm", target_os = "unknown")),
        allow(unused_mut, clippy::missing_const_for_fn, reason = "it does nothing there")
    )]
    pub fn timer_worker(mut self) -> Self {
        #[cfg(all(target_family = "wasm", target_os = "unknown"))]
        {
            self.waiter = Some(&crate::platform::web::waiter::WORKER);
        }
        self
    }

    /// Bounds of the receive queue, and what becomes of messages that do not fit. Default 64 MiB and 65,536
    /// messages; in browsers the connection then closes with 4009; on the host, and over [`Transport::Stream`], the
    /// peer has to wait instead.
    pub fn recv_limits(mut self, limits: RecvLimits) -> Self {
        self.receive = limits;
        self
    }

    /// The deadline of a close that gives none of its own, also of the one on dropping the last
    /// handle; `None` waits for ever. Default 10 s.
    pub fn close_within(mut self, within: impl Into<Option<Duration>>) -> Self {
        self.close = self.close.within(within);
        self
    }

    /// What is spoken above WebSocket. Default [`Mode::Plain`]. Feature `v1`.
    ///
    /// [`binary_type`](Self::binary_type) counts in plain mode only.
    #[cfg(feature = "v1")]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// What this side takes and does in tidegate mode. Default [`TidegateOptions::client`]. Feature `v1`.
    #[cfg(feature = "v1")]
    pub fn tidegate(mut self, options: TidegateOptions) -> Self {
        self.tidegate = options;
        self
    }

    /// Opens the connection and resolves when it is open.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: the URL, a subprotocol, the overflow code or on the host a header field or the
    /// proxy's URL is wrong (nothing was tried), the server refused or failed, the deadline passed. It never
    /// hangs unless the deadline is off.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future aborts the attempt and leaves no listener, timer or socket behind.
    ///
    /// # Specification
    ///
    /// RFC 6455 section 4.1; WHATWG WebSockets, *establish a WebSocket connection*.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        self.connect_by(Self::start, true).await
    }

    /// Connects as `start` does it, once or twice as the mode says. `remembers` which servers are plain.
    #[cfg(not(feature = "v1"))]
    pub(crate) async fn connect_by(
        self,
        start: impl Fn(&Self) -> Result<Client, ConnectError>,
        _: bool,
    ) -> Result<Client, ConnectError> {
        self.check()?;
        opened(start(&self)?).await
    }

    /// See above.
    #[cfg(feature = "v1")]
    pub(crate) async fn connect_by(
        mut self,
        start: impl Fn(&Self) -> Result<Client, ConnectError>,
        remembers: bool,
    ) -> Result<Client, ConnectError> {
        self.check()?;
        if self.mode != Mode::Auto {
            let client = opened(start(&self)?).await?;
            return self.in_its_mode(client);
        }
        let began = platform::now();
        if remembers && tidegate::is_plain(&self.place(), began) {
            self.mode = Mode::Plain;
            return opened(start(&self)?).await;
        }
        let client = start(&self)?;
        let hub = client.hub().clone();
        let failed = match opened(client).await {
            Err(error) => error,
            Ok(client) => return Ok(client),
        };
        let hint = if hub.is_tidegate() { Hint::of_session(&failed) } else { Hint::of(&failed) };
        if hint == Hint::None {
            return Err(failed);
        }
        let took = platform::now().saturating_since(began);
        self.mode = Mode::Plain;
        if let Some(within) = self.connect_within.unwrap_or(Some(CONNECT_WITHIN)) {
            let Some(rest) = within.checked_sub(took) else { return Err(failed) };
            self.connect_within = Some(Some(rest));
        }
        let client = opened(start(&self)?).await?;
        if remembers && hint == Hint::Plain {
            tidegate::note_plain(self.place(), platform::now());
        }
        Ok(client)
    }

    /// What a server is remembered by: a token in the query, which may be another each time, makes no difference.
    #[cfg(feature = "v1")]
    fn place(&self) -> String {
        let path = self.url.split(['?', '#']).next().unwrap_or_default();
        format!("{} {path}", self.base.as_deref().unwrap_or_default())
    }

    /// The client, if it is in the mode that was asked for.
    #[cfg(feature = "v1")]
    pub(crate) fn in_its_mode(&self, client: Client) -> Result<Client, ConnectError> {
        if self.mode == Mode::Tidegate && client.mode() != Mode::Tidegate {
            return Err(ConnectError::NotTidegate { protocol: client.protocol() });
        }
        Ok(client)
    }

    /// The subprotocols to offer.
    pub(crate) fn offered(&self) -> Vec<String> {
        #[cfg(feature = "v1")]
        if self.mode != Mode::Plain {
            let own = self.protocols.iter().filter(|name| *name != SUBPROTOCOL).cloned();
            return core::iter::once(SUBPROTOCOL.to_owned()).chain(own).collect();
        }
        self.protocols.clone()
    }

    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        address::check_subprotocols(&self.protocols).map_err(ConnectError::Subprotocol)?;
        #[cfg(feature = "v1")]
        self.tidegate.check().map_err(ConnectError::Delay)?;
        match self.receive.policy {
            RecvPolicy::Close { code } => close::check_code(code).map_err(ConnectError::OverflowCode),
            RecvPolicy::DropOldest | RecvPolicy::DropNewest => Ok(()),
        }
    }

    /// The hub of a new connection, and how it is to be driven.
    pub(crate) fn hub(
        &self,
        clock: impl Clock + Send + Sync + 'static,
        kick: Option<fn(&Hub)>,
        random: impl FnOnce() -> u64,
    ) -> (Arc<Hub>, DriverConfig) {
        #[cfg(not(feature = "v1"))]
        let _ = random;
        let config = DriverConfig {
            connect_within: self.connect_within.unwrap_or(Some(CONNECT_WITHIN)),
            peer_close_within: self.close.deadline(),
            queue: self.queue,
            gate: self.gate,
            #[cfg(feature = "v1")]
            tidegate: (self.mode != Mode::Plain)
                .then(|| Box::new(self.tidegate.config(crate::proto::v1::Side::Client, random()))),
        };
        (Hub::new(self.send, self.receive, Now::of(clock), kick), config)
    }

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    fn start(&self) -> Result<Client, ConnectError> {
        use crate::driver::web;
        use crate::platform::web::{WebClock, base_url};

        let parse = |url: &str, base: Option<&str>| {
            let parsed = match base {
                Some(base) => web_sys::Url::new_with_base(url, base),
                None => web_sys::Url::new(url),
            };
            parsed.ok().map(|url| url.href())
        };
        let base = self.base.clone().or_else(|| base_url().map(Address));
        let url = address::resolve(&self.url, base.as_deref(), parse).map_err(ConnectError::Url)?;
        let (hub, config) = self.hub(WebClock, Some(web::kick), platform::web::random);
        let binary_type = match self.binary_type {
            BinaryType::ArrayBuffer => web_sys::BinaryType::Arraybuffer,
            BinaryType::Blob => web_sys::BinaryType::Blob,
        };
        let open = self.open.unwrap_or(open_socket);
        let protocols = self.offered();
        let offer = Offer {
            protocols: &protocols,
            binary_type,
            #[cfg(feature = "v1")]
            bytes_over: (self.mode != Mode::Plain).then_some(SUBPROTOCOL),
        };
        let transport = open(&url, offer, web::notifier(hub.id))?;
        #[cfg(target_feature = "atomics")]
        web::spawn_waker_task(&hub);
        let client = Client::new(&hub, &url, self.close.clone());
        web::start(hub, transport, config, self.waiter).pump();
        Ok(client)
    }

    #[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
    fn start(&self) -> Result<Client, ConnectError> {
        super::native::start(self)
    }

    #[cfg(not(any(feature = "native", all(target_family = "wasm", target_os = "unknown"))))]
    #[allow(clippy::unused_self, reason = "the other builds use it")]
    fn start(&self) -> Result<Client, ConnectError> {
        Err(ConnectError::NoTransport)
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
fn open_socket(
    url: &str,
    offer: Offer<'_>,
    notify: Rc<dyn Fn()>,
) -> Result<Box<dyn WebTransport>, ConnectError> {
    use crate::transport::web_socket::WebSocketTransport;

    WebSocketTransport::open(url, offer, notify)
        .map(|transport| Box::new(transport) as Box<dyn WebTransport>)
        .map_err(|thrown| forbidden(&thrown))
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
fn open_stream(
    url: &str,
    offer: Offer<'_>,
    notify: Rc<dyn Fn()>,
) -> Result<Box<dyn WebTransport>, ConnectError> {
    use crate::transport::web_socket_stream::{WebSocketStreamTransport, is_available};

    if !is_available() {
        return Err(ConnectError::NoWebSocketStream);
    }
    WebSocketStreamTransport::open(url, offer, notify)
        .map(|transport| Box::new(transport) as Box<dyn WebTransport>)
        .map_err(|thrown| forbidden(&thrown))
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
fn forbidden(thrown: &wasm_bindgen::JsValue) -> ConnectError {
    ConnectError::Forbidden { message: crate::driver::web::message_of(thrown) }
}

/// How long connecting may take where nobody has said so. Firefox parks an attempt for up to a minute.
const CONNECT_WITHIN: Duration =
    Duration::from_secs(if cfg!(all(target_family = "wasm", target_os = "unknown")) { 75 } else { 15 });

/// Waits until `client` is open. Dropped meanwhile, the client aborts its attempt: a close before
/// the connection is open is an abort.
pub(crate) async fn opened(client: Client) -> Result<Client, ConnectError> {
    let hub = client.hub().clone();
    match Wait::new(hub.clone(), Hub::poll_opened, Hub::leave_watchers).await {
        Ok(()) => Ok(client),
        Err(closed) => Err(failed(&hub, closed)),
    }
}

fn failed(hub: &Hub, closed: Closed) -> ConnectError {
    match closed.cause {
        CloseCause::ConnectTimeout => ConnectError::TimedOut { closed },
        CloseCause::Aborted => ConnectError::Aborted { closed },
        #[cfg(feature = "v1")]
        CloseCause::PeerFault(_)
        | CloseCause::ToldFault(_)
        | CloseCause::Refused(_)
        | CloseCause::Superseded => {
            let source = hub
                .failure()
                .filter(|failure| matches!(failure, crate::transport::TransportError::Records { .. }));
            ConnectError::Session { closed, source }
        }
        _ => ConnectError::Failed { closed, source: hub.failure() },
    }
}
