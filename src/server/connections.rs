//! The connections of a server: how many there may be, and how all of them end.

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests;

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use tokio::time::Instant;

use crate::client::Client;
use crate::driver::hub::GoAway;
use crate::driver::waiters::Waiters;
use crate::driver::{Command, Hub};
use crate::platform;
use crate::slab::Slab;

/// How many connections are served at the same time.
///
/// # Examples
///
/// ```
/// let mut limits = tidegate::server::ConnectionLimits::default();
/// limits.max_per_address = 20;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionLimits {
    /// In all, those that are being accepted included. Default 10,000.
    pub max_connections: usize,
    /// From one address of IPv4, or from one network of 64 bits of IPv6, which is what one customer has. Those of whom no
    /// address is known count as one. Default `usize::MAX`, as behind a proxy all come from the same.
    pub max_per_address: usize,
}

impl Default for ConnectionLimits {
    /// The defaults of each.
    fn default() -> Self {
        Self { max_connections: 10_000, max_per_address: usize::MAX }
    }
}

/// Why there is no place for a connection. What a client deserves is 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdmitError {
    /// [`ConnectionLimits::max_connections`] are there.
    Full,
    /// [`ConnectionLimits::max_per_address`] are there from this address.
    AddressFull,
    /// The server goes away: [`Connections::shutdown`] was called.
    ShuttingDown,
}

impl fmt::Display for AdmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the server has as many connections as it takes",
            Self::AddressFull => "the server has as many connections from this address as it takes",
            Self::ShuttingDown => "the server is shutting down",
        })
    }
}

impl core::error::Error for AdmitError {}

/// How many connections there are and were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionCounts {
    /// Those that are open or closing.
    pub open: usize,
    /// Places that were given and hold no connection yet.
    pub pending: usize,
    /// All that were ever held.
    pub accepted: u64,
    /// All that found no place.
    pub refused: u64,
}

/// The connections of a server, or of a part of it. Clones are the same.
///
/// Whoever is about to accept a connection asks for a [`Place`], and puts the connection into it. A place is free again
/// when its connection is over, or when it is dropped without one.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use tidegate::proto::ws::HeadLimits;
/// use tidegate::server::{AcceptOptions, Connections, accept, read_request};
/// use tokio::net::TcpStream;
///
/// type Failure = Box<dyn std::error::Error + Send + Sync>;
///
/// async fn serve(mut stream: TcpStream, connections: Connections) -> Result<(), Failure> {
///     let place = connections.admit(Some(stream.peer_addr()?.ip()))?;
///     // Who sends nothing holds its place no longer.
///     let reading = read_request(&mut stream, HeadLimits::default());
///     let request = tokio::time::timeout(Duration::from_secs(10), reading).await??;
///     let client = accept(stream, &request, None, AcceptOptions::default())?;
///     place.hold(&client);
///     while let Some(message) = client.recv().await {
///         client.send(message).await?;
///     }
///     Ok(())
/// }
///
/// /// When the process is told to end.
/// async fn end(connections: &Connections) {
///     connections.shutdown(Duration::from_secs(10), Duration::ZERO, Duration::from_secs(5)).await;
/// }
/// # let connections = Connections::default();
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
/// # runtime.block_on(end(&connections));
/// # assert!(connections.is_shutting_down());
/// ```
#[derive(Clone)]
pub struct Connections {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
}

struct State {
    limits: ConnectionLimits,
    held: Slab<Weak<Hub>>,
    counts: ConnectionCounts,
    addresses: HashMap<Option<IpAddr>, usize>,
    going: Option<Going>,
    waiters: Waiters,
}

/// How the server goes away.
#[derive(Clone, Copy)]
struct Going {
    /// Until when what has begun may go on; `None` if that is beyond the clock.
    due: Option<Instant>,
    back: [Duration; 2],
}

impl Going {
    /// What a connection is told now.
    fn now(self) -> GoAway {
        let drain = self.due.map_or(Duration::MAX, |due| due.saturating_duration_since(Instant::now()));
        GoAway { drain, back: self.back }
    }
}

impl Connections {
    /// None yet, and so many at most.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Self {
        let state = State {
            limits,
            held: Slab::default(),
            counts: ConnectionCounts::default(),
            addresses: HashMap::new(),
            going: None,
            waiters: Waiters::default(),
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state) }) }
    }

    /// A place for a connection from `address`, which is as good as taken until it is dropped.
    ///
    /// # Errors
    ///
    /// [`AdmitError`]; the connection is counted as refused.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<Place, AdmitError> {
        let address = address.map(network);
        self.shared.lock().admit(address)?;
        let pending = Taken { shared: self.shared.clone(), address, held: None };
        Ok(Place { pending })
    }

    /// How many there are and were.
    #[must_use]
    pub fn counts(&self) -> ConnectionCounts {
        self.shared.lock().counts
    }

    /// Whether [`shutdown`](Self::shutdown) was called.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.shared.lock().going.is_some()
    }

    /// Resolves when [`shutdown`](Self::shutdown) is called, for handlers that want to come to an end before they are cut
    /// off.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub fn shutting_down(&self) -> impl Future<Output = ()> + Send + 'static {
        Wait { shared: self.shared.clone(), key: None, until: |state| state.going.is_some() }
    }

    /// Takes no connection any more, tells all that are there, and resolves when they are over. It begins with the call;
    /// awaiting only waits.
    ///
    /// - A peer that speaks `tidegate.v1` is told that the server goes away, and to come back after `reconnect_after` and
    ///   up to `jitter` later. What was sent arrives; neither side opens another channel or sends another message of the
    ///   connection; open channels go on until both sides have closed them, or `drain` is over. Then the connection
    ///   closes with 4200.
    /// - To any other what is queued is sent within `drain`, and the connection closes with 1001.
    ///
    /// Called again it can only be more impatient: the earlier end of what has begun holds, also for a connection that comes
    /// to be held later; when clients are to come back those are told that have not been told yet. In tidegate mode a
    /// peer that does not answer the close is given up after 10 s more.
    ///
    /// A client is told when to come back and has to act upon it: one of this crate does not connect again by itself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting; all goes on to its end as long as the runtime does.
    ///
    /// # Specification
    ///
    /// Section 6.6 of `docs/PROTOCOL.md`, and [RFC 6455 section
    /// 7.4.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1).
    pub fn shutdown(
        &self,
        drain: Duration,
        reconnect_after: Duration,
        jitter: Duration,
    ) -> impl Future<Output = ()> + Send + 'static {
        let back = [reconnect_after, jitter];
        let going = GoAway { drain, back };
        let (hubs, wakers) = {
            let mut state = self.shared.lock();
            let due = Instant::now().checked_add(drain);
            let before = state.going.and_then(|before| before.due);
            state.going = Some(Going { due: due.into_iter().chain(before).min(), back });
            let hubs: Vec<_> = state.held.iter().filter_map(Weak::upgrade).collect();
            (hubs, state.waiters.all())
        };
        wakers.into_iter().for_each(Waker::wake);
        for hub in hubs {
            hub.begin_close(Command::ShutDown(going));
        }
        Wait {
            shared: self.shared.clone(),
            key: None,
            until: |state| state.counts.open == 0 && state.counts.pending == 0,
        }
    }
}

impl Default for Connections {
    /// With the default limits.
    fn default() -> Self {
        Self::new(ConnectionLimits::default())
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// A place for one connection: see [`Connections::admit`].
#[must_use = "the place is free again when it is dropped"]
pub struct Place {
    pending: Taken,
}

impl Place {
    /// Puts a connection into it. The place is free when that is over, whatever becomes of its handles. If the server is
    /// shutting down meanwhile, the connection is told at once.
    pub fn hold(self, client: &Client) {
        let Self { mut pending } = self;
        let hub = client.hub();
        let going = {
            let mut state = pending.shared.lock();
            state.counts.pending -= 1;
            state.counts.open += 1;
            state.counts.accepted += 1;
            pending.held = Some(state.held.insert(Arc::downgrade(hub)));
            state.going
        };
        hub.on_closed(move |_| drop(pending));
        if let Some(going) = going {
            hub.begin_close(Command::ShutDown(going.now()));
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("address", &self.pending.address).finish_non_exhaustive()
    }
}

/// A place that is taken until this is dropped.
struct Taken {
    shared: Arc<Shared>,
    address: Option<IpAddr>,
    /// Where its connection is found.
    held: Option<u32>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let wakers = self.shared.lock().leave(self.address, self.held);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        platform::lock(&self.state)
    }
}

impl State {
    fn admit(&mut self, address: Option<IpAddr>) -> Result<(), AdmitError> {
        let from_address = self.addresses.get(&address).copied().unwrap_or(0);
        let refused = if self.going.is_some() {
            AdmitError::ShuttingDown
        } else if self.counts.open + self.counts.pending >= self.limits.max_connections {
            AdmitError::Full
        } else if from_address >= self.limits.max_per_address {
            AdmitError::AddressFull
        } else {
            self.counts.pending += 1;
            self.addresses.insert(address, from_address + 1);
            return Ok(());
        };
        self.counts.refused += 1;
        Err(refused)
    }

    /// A place is free. Gives who waits for that, if nobody is left.
    fn leave(&mut self, address: Option<IpAddr>, held: Option<u32>) -> Vec<Waker> {
        match held {
            Some(key) => {
                drop(self.held.remove(key));
                self.counts.open -= 1;
            }
            None => self.counts.pending -= 1,
        }
        if let Some(from_address) = self.addresses.get_mut(&address) {
            *from_address -= 1;
            if *from_address == 0 {
                self.addresses.remove(&address);
            }
        }
        if self.counts.open == 0 && self.counts.pending == 0 { self.waiters.all() } else { Vec::new() }
    }
}

/// By what connections from the same place are counted together.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Waits until something holds of all connections.
struct Wait {
    shared: Arc<Shared>,
    key: Option<u64>,
    until: fn(&State) -> bool,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // Dropped after the lock, as it may run anything.
        let _displaced;
        let mut state = this.shared.lock();
        if (this.until)(&state) {
            _displaced = state.waiters.remove(&mut this.key);
            return Poll::Ready(());
        }
        _displaced = state.waiters.register(&mut this.key, cx.waker());
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let displaced = self.shared.lock().waiters.remove(&mut self.key);
        drop(displaced);
    }
}
