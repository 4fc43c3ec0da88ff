//! A network in memory and in virtual time, for tests: of applications, and of tidegate itself.

mod timer;

use core::cell::RefCell;
use core::fmt;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, PoisonError};

use self::timer::Pages;
use super::builder::{BinaryType, ClientBuilder};
use super::error::ConnectError;
use super::message::Message;
use super::{Client, address};
use crate::driver::task::{DriverTask, PollTransport};
use crate::driver::{Driver, HubOutlet};
use crate::platform::PollTimer;
use crate::platform::sim::{Executor, World, WorldTimer};
use crate::time::{Clock, Timestamp};
use crate::transport::Moved;
use crate::transport::sim::browser::BrowserConfig;
use crate::transport::sim::page::PageConfig;
use crate::transport::sim::{Item, Pipe, SimTransport, Values};

#[doc(hidden)]
pub use self::timer::PageTask;
pub use crate::transport::sim::{Amounts, Engine, Link, RateStep};

type Handler = Rc<dyn Fn(Handshake) -> core::pin::Pin<Box<dyn Future<Output = ()>>>>;

/// A simulated network: servers under paths, links with rate and delay, virtual time.
///
/// Nothing in it takes real time, and every run is the same. Clones are the same network.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate::sim::{Link, Sim};
/// use tidegate::{Client, Message};
///
/// let sim = Sim::new();
/// sim.set_link(Link { delay: Duration::from_millis(20), ..Link::default() });
/// sim.serve("/echo", |handshake| async move {
///     let mut peer = handshake.accept(None);
///     while let Some(message) = peer.recv().await {
///         peer.send(message).await;
///     }
/// });
/// sim.block_on(async {
///     let client = Client::builder("ws://sim/echo").connect_in(&sim).await.unwrap();
///     client.send("hello").await.unwrap();
///     assert_eq!(client.recv().await, Some(Message::from("hello")));
/// });
/// assert_eq!(sim.elapsed(), Duration::from_millis(80)); // twice there and back
/// ```
#[derive(Clone, Default)]
pub struct Sim {
    executor: Executor,
    inner: Rc<RefCell<Inner>>,
}

#[derive(Default)]
struct Inner {
    link: Link,
    engine: Option<Engine>,
    /// Of the next connection.
    seed: u64,
    routes: Vec<(String, Handler)>,
    values: Values,
    pages: Pages,
}

impl Sim {
    /// A network without servers, whose links are [`Link::default`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The link that connections made from now on get, in both directions.
    pub fn set_link(&self, link: Link) {
        self.inner.borrow_mut().link = link;
    }

    /// Has the clients of connections made from now on behave like a browser of this engine: messages are
    /// taken at once, whatever the link, a `bufferedAmount` shows some of them, and timers are those of a page. With
    /// `None`, the default, a client waits while its link has no room, and its timers are exact, as on the host.
    pub fn set_engine(&self, engine: Option<Engine>) {
        self.inner.borrow_mut().engine = engine;
    }

    /// Sets what everything random in connections made from now on depends on: the jitter of links, and the
    /// moments at which an engine's page hears of what was sent. Two networks that are used alike and have the
    /// same seed do the same. Default 0.
    pub fn set_seed(&self, seed: u64) {
        self.inner.borrow_mut().seed = seed;
    }

    /// Whether the pages of all clients with an engine are hidden from now on: their timers fire once a
    /// second then, in Chromium once a minute after five. Default false.
    pub fn set_hidden(&self, hidden: bool) {
        let now = self.executor.world().now();
        // Woken when nothing is borrowed any more.
        let wakers = self.inner.borrow_mut().pages.set_hidden(now, hidden);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Has `watch` called at the beginning of each task that the driver of a connection made from now on has
    /// asked its page for: what tests of tidegate itself count.
    #[doc(hidden)]
    pub fn watch_pages(&self, watch: impl Fn(PageTask) + 'static) {
        self.inner.borrow_mut().pages.watch(watch);
    }

    /// Serves a path: `handler` is called for each connection to it. A path that nobody serves
    /// refuses. A handler that holds a clone of this network keeps it in memory.
    pub fn serve<F: Future<Output = ()> + 'static>(
        &self,
        path: &str,
        handler: impl Fn(Handshake) -> F + 'static,
    ) {
        let handler: Handler = Rc::new(move |handshake| Box::pin(handler(handshake)));
        self.inner.borrow_mut().routes.push((path.into(), handler));
    }

    /// Starts a task of the application under test.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(task);
    }

    /// Runs everything until `future` is done.
    ///
    /// # Panics
    ///
    /// If nothing can ever happen any more (every task waits for another), if tasks wake each other without end
    /// while time stands still, or if called from inside a task of this network.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.executor.block_on(future)
    }

    /// Virtual time since the network was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.executor.world().now().saturating_since(Timestamp::ZERO)
    }

    /// Waits in virtual time.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn sleep(&self, time: Duration) {
        sleep(self.executor.world().clone(), time).await;
    }

    /// Lets the content of every Blob that was received so far vanish, as when its file is deleted.
    pub fn vanish_blobs(&self) {
        let values =
            core::mem::take(&mut *self.inner.borrow().values.lock().unwrap_or_else(PoisonError::into_inner));
        for value in values {
            value.vanish();
        }
    }

    fn handler(&self, path: &str) -> Option<Handler> {
        let inner = self.inner.borrow();
        inner.routes.iter().find(|route| route.0 == path).map(|route| route.1.clone())
    }
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("elapsed", &self.elapsed()).finish_non_exhaustive()
    }
}

impl PollTransport for SimTransport<World> {
    fn poll_io(&self, cx: &mut core::task::Context<'_>, reads: bool, _: Timestamp) -> Moved {
        self.poll_io(cx, reads)
    }
}

impl ClientBuilder {
    /// Opens the connection in a simulated network. Of the URL only path and query count; it has
    /// to be absolute, since there is no page and no URL parser here.
    ///
    /// Must be called, like everything in it, from inside [`Sim::block_on`].
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); [`ConnectError::NoRuntime`] outside [`Sim::block_on`].
    ///
    /// # Cancel safety
    ///
    /// As [`connect`](Self::connect): dropping the future aborts the attempt.
    pub async fn connect_in(self, sim: &Sim) -> Result<Client, ConnectError> {
        self.connect_by(|builder| builder.start_in(sim), false).await
    }

    /// Begins to connect.
    fn start_in(&self, sim: &Sim) -> Result<Client, ConnectError> {
        if !sim.executor.is_running() {
            return Err(ConnectError::NoRuntime);
        }
        let url = address::check_absolute(&self.url).map_err(ConnectError::Url)?;
        let target = url.find('/').map_or("/", |at| url.get(at..).unwrap_or("/")).to_owned();
        let path = target.split('?').next().unwrap_or("/").to_owned();

        let world = sim.executor.world();
        let (link, engine, seed, values) = {
            let mut inner = sim.inner.borrow_mut();
            let seed = inner.seed;
            inner.seed = seed.wrapping_add(1);
            (inner.link.clone(), inner.engine, seed, inner.values.clone())
        };
        let (delay, down) = (link.delay, Pipe::new(link.clone(), seed, world.clone()));
        let up = match engine {
            Some(engine) => {
                let config = BrowserConfig { engine, link, seed: !seed, ..BrowserConfig::default() };
                Pipe::from_browser(config, world.clone())
            }
            None => Pipe::new(link, !seed, world.clone()),
        };
        let (hub, config) = self.hub(world.clone(), None, || seed);
        let is_blob = self.binary_type == BinaryType::Blob;
        #[cfg(feature = "v1")]
        let is_blob = is_blob && self.mode == super::Mode::Plain;
        let keep_blobs = is_blob.then_some(values);
        let transport = SimTransport::new(up.clone(), down.clone(), keep_blobs, self.offered());
        let client = Client::new(&hub, &self.url, self.close.clone());
        let driver = Driver::new(HubOutlet::pausing(hub), transport, world.clone(), config);
        match engine {
            Some(engine) => {
                let config = PageConfig { engine, seed, ..PageConfig::default() };
                let timer = sim.inner.borrow_mut().pages.timer(world.clone(), config);
                sim.executor.spawn(DriverTask::new(driver, timer));
            }
            None => sim.executor.spawn(DriverTask::new(driver, WorldTimer::new(world.clone()))),
        }

        let end = End { up, down };
        let handshake = Handshake { target, protocols: self.offered(), end: Some(end) };
        match sim.handler(&path) {
            Some(handler) => {
                // Without the network itself, which would keep its own tasks alive for ever.
                let arrival = sleep(world.clone(), delay);
                sim.spawn(async move {
                    arrival.await;
                    handler(handshake).await;
                });
            }
            None => drop(handshake),
        }
        Ok(client)
    }
}

/// Waits until `time` has passed in `world`.
async fn sleep(world: Arc<World>, time: Duration) {
    let due = Some(world.now().saturating_add(time));
    let mut timer = WorldTimer::new(world);
    core::future::poll_fn(|cx| timer.poll_due(due, cx)).await;
}

/// The server's end of a connection.
struct End {
    up: Arc<Pipe<World>>,
    down: Arc<Pipe<World>>,
}

/// A connection that asks to be opened. Dropped, it is refused.
pub struct Handshake {
    target: String,
    protocols: Vec<String>,
    end: Option<End>,
}

impl Handshake {
    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The subprotocols that were offered.
    #[must_use]
    pub fn protocols(&self) -> &[String] {
        &self.protocols
    }

    /// Opens the connection, with this subprotocol.
    ///
    /// # Panics
    ///
    /// Never: the end is only taken here, and this consumes `self`.
    #[must_use]
    pub fn accept(mut self, protocol: Option<&str>) -> Peer {
        let end = self.end.take().expect("taken here only");
        end.down.write(Item::Accept { protocol: protocol.unwrap_or_default().into() });
        Peer {
            end,
            partial: Vec::new(),
            parts: VecDeque::new(),
            part_sizes: Vec::new(),
            closed: None,
            close_sent: false,
        }
    }

    /// Neither accepts nor refuses, for ever.
    pub fn ignore(mut self) {
        self.end = None;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end.down.write(Item::Cut);
        }
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("target", &self.target).finish_non_exhaustive()
    }
}

/// A server's side of an open connection. Dropped without a close, it cuts the connection.
pub struct Peer {
    end: End,
    partial: Vec<u8>,
    parts: VecDeque<u64>,
    part_sizes: Vec<u64>,
    closed: Option<(Option<u16>, String)>,
    close_sent: bool,
}

impl Peer {
    /// The next message: text or binary. `None` when the client has closed (which is answered) or
    /// is gone; [`closed`](Self::closed) tells which.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no message.
    pub async fn recv(&mut self) -> Option<Message> {
        core::future::poll_fn(|cx| {
            while self.closed.is_none()
                && let Some(item) = self.end.up.read(cx.waker())
            {
                match item {
                    Item::Part { text, last, bytes, .. } => {
                        self.parts.push_back(bytes.len() as u64);
                        self.partial.extend_from_slice(&bytes);
                        if last {
                            self.part_sizes = self.parts.drain(..).collect();
                            let bytes = core::mem::take(&mut self.partial);
                            return Poll::Ready(Some(message(text, bytes)));
                        }
                    }
                    Item::Close { code, reason } => {
                        if !core::mem::replace(&mut self.close_sent, true) {
                            self.end.down.write(Item::Close { code, reason: reason.clone() });
                        }
                        self.closed = Some((code, reason));
                    }
                    Item::Cut | Item::Accept { .. } => self.closed = Some((Some(1006), String::new())),
                }
            }
            if self.closed.is_some() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    /// The sizes in bytes of the parts in which the last message came.
    #[must_use]
    pub fn part_sizes(&self) -> &[u64] {
        &self.part_sizes
    }

    /// What the client's browser shows and holds of what it has sent; `None` without an
    /// [`Engine`](Sim::set_engine).
    #[must_use]
    pub fn client_amounts(&self) -> Option<Amounts> {
        self.end.up.amounts()
    }

    /// Sends a message, when the link has room. A Blob or an error is not sent.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, nothing was sent.
    pub async fn send(&mut self, message: impl Into<Message>) {
        let (text, bytes) = match message.into() {
            Message::Text(text) => (true, text.into_bytes()),
            Message::Binary(bytes) => (false, bytes),
            Message::Blob(_) | Message::Error(_) => return,
        };
        core::future::poll_fn(|cx| {
            if self.end.down.has_room(Some(cx.waker())) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.end.down.write(Item::Part { text, first: true, last: true, bytes });
    }

    /// Sends a close frame. Messages of the client may still be received.
    pub fn close(&mut self, code: u16, reason: &str) {
        if !core::mem::replace(&mut self.close_sent, true) {
            self.end.down.write(Item::Close { code: Some(code), reason: reason.into() });
        }
    }

    /// Code and reason of the client's close frame, once [`recv`](Self::recv) has come upon it;
    /// 1006 if the client is gone without one.
    #[must_use]
    pub fn closed(&self) -> Option<(Option<u16>, &str)> {
        self.closed.as_ref().map(|(code, reason)| (*code, reason.as_str()))
    }

    /// Waits without reading, for ever.
    pub async fn stall(self) {
        core::future::pending::<()>().await;
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if !self.close_sent {
            self.end.down.write(Item::Cut);
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("closed", &self.closed).finish_non_exhaustive()
    }
}

/// Text is made from `String`s at both ends, so that it is UTF-8; if it is not, it shows as bytes.
fn message(text: bool, bytes: Vec<u8>) -> Message {
    if text {
        String::from_utf8(bytes).map_or_else(|error| Message::Binary(error.into_bytes()), Message::Text)
    } else {
        Message::Binary(bytes)
    }
}
