//! A slow link in front of a server: a proxy on loopback that carries bytes at a rate and after a delay.
//!
//! What a link of this rate would make a browser feel has to be kept apart from what loopback adds. Segments
//! of loopback have 64 KiB, and both kernels hold buffers by the segment, so that megabytes would be
//! under way that no path on the internet has; the listener therefore asks for segments of Ethernet's size and
//! has a small receive buffer.
//!
//! A connection here is two of TCP, one on each side. Each direction has a [`Shape`]. A direction takes
//! bytes when it has room for them, as the queue in front of a slow line has, and hands them on when the line
//! would have: `length / rate` for each piece, one after the other, and then the delay. What is not taken
//! stays in the kernel of the sender, which is what slows it down.
//!
//! Not here: losses and jitter, and what is said over the link.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// The segment size of TCP over Ethernet.
const SEGMENT_BYTES: u32 = 1_460;

/// What the listener's connections hold before the link; the kernel doubles it for its own purposes.
const RECEIVE_BUFFER_BYTES: usize = 16 << 10;

/// How far ahead of the line bytes are taken, so that it has something to do while a timer is late.
const AHEAD: Duration = Duration::from_millis(2);

/// A sender that lets the line wait for longer than this has nothing to send. Until then it is the link that was
/// late, with its timers and its turns on a busy machine, and the line goes on as if it had not been.
const IDLE_AFTER: Duration = Duration::from_millis(1);

/// The most that the line catches up with. A receiver that did not read for longer than that has stopped it.
/// By as much as the link was late, a message may seem to have been early.
const CATCH_UP: Duration = Duration::from_millis(50);

/// How long the line may be taken by one piece, and bounds of a piece's length.
const PIECE: Duration = Duration::from_millis(2);
const MIN_PIECE_BYTES: u64 = 256;
const MAX_PIECE_BYTES: u64 = 64 << 10;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

/// What one direction of a link is like. Default: as fast as loopback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes a second; unlimited without.
    pub(crate) bytes_per_second: Option<NonZeroU32>,
    /// How long each byte is under way, beside the time that the rate takes. The timer's resolution of a
    /// millisecond comes on top.
    pub(crate) delay: Duration,
}

impl Shape {
    /// How long the line is taken by so many bytes.
    fn duration_of(self, bytes: usize) -> Duration {
        self.bytes_per_second.map_or(Duration::ZERO, |rate| {
            // No piece is longer than `MAX_PIECE_BYTES`, so the product fits.
            Duration::from_nanos(bytes as u64 * 1_000_000_000 / u64::from(rate.get()))
        })
    }

    /// How many bytes are taken at once, at most.
    fn piece_bytes(self) -> usize {
        let bytes = self.bytes_per_second.map_or(MAX_PIECE_BYTES, |rate| {
            u64::from(rate.get()) * u64::try_from(PIECE.as_millis()).unwrap_or(u64::MAX) / 1_000
        });
        usize::try_from(bytes.clamp(MIN_PIECE_BYTES, MAX_PIECE_BYTES)).unwrap_or(usize::MAX)
    }
}

/// A link that runs, on a thread of its own; dropped, it ends with all of its connections.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    up: watch::Sender<Shape>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// Starts a link on a free port of 127.0.0.1 that leads to `server`: `up` is the way to it, `down` back.
    ///
    /// # Errors
    ///
    /// If the operating system gives no socket or no thread.
    pub(crate) fn start(server: SocketAddr, up: Shape, down: Shape) -> io::Result<Self> {
        let listener = listen()?;
        let address = listener.local_addr()?;
        let (up, shape) = watch::channel(up);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("link".into())
            .spawn(move || run(runtime, listener, server, &(shape, down), stopped))?;
        Ok(Self { address, up, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the way to the server, from the next piece on and for connections that are open too. What is
    /// under way arrives when it would have, and nothing overtakes it.
    pub(crate) fn reshape(&self, up: Shape) {
        self.up.send_replace(up);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // It fails only if the thread has ended, which is what is wanted.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Options of the listener hold for what it accepts, if they are set before it listens.
fn listen() -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    #[cfg(unix)]
    socket.set_tcp_mss(SEGMENT_BYTES)?;
    socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn run(
    runtime: Runtime,
    listener: std::net::TcpListener,
    server: SocketAddr,
    (up, down): &(watch::Receiver<Shape>, Shape),
    stopped: oneshot::Receiver<()>,
) {
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener).expect("it is a listener, not blocking");
        let accepted = async {
            // Without another file descriptor a bench is over anyway.
            while let Ok((stream, _)) = listener.accept().await {
                let (up, down) = (up.clone(), *down);
                tokio::spawn(async move {
                    // Who breaks off is none of the link's business.
                    let _ = connect(stream, server, up, down).await;
                });
            }
        };
        tokio::select! {
            () = accepted => {}
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

/// Carries one connection to its end; if either side breaks off, so does the other.
async fn connect(
    mut stream: TcpStream,
    server: SocketAddr,
    up: watch::Receiver<Shape>,
    down: Shape,
) -> io::Result<()> {
    let mut onward = dial(server).await?;
    // The link alone decides when something goes on.
    stream.set_nodelay(true)?;
    onward.set_nodelay(true)?;
    let (reader, writer) = stream.split();
    let (back, on) = onward.split();
    let (_keep, down) = watch::channel(down);
    tokio::try_join!(carry(reader, on, up), carry(back, writer, down))?;
    Ok(())
}

/// The connection to the server, which is as narrow as the listener's: what the server sends must not vanish in it.
async fn dial(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    #[cfg(unix)]
    socket.set_tcp_mss(SEGMENT_BYTES)?;
    socket.set_nonblocking(true)?;
    TcpSocket::from_std_stream(socket.into()).connect(server).await
}

/// Bytes that are under way.
struct Piece {
    /// When the last of them arrives.
    due: Instant,
    bytes: Vec<u8>,
}

/// Carries bytes until `reader` ends, and then ends `writer`.
async fn carry(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    shape: watch::Receiver<Shape>,
) -> io::Result<()> {
    let mut under_way: VecDeque<Piece> = VecDeque::new();
    // When the line is done with all that it has taken.
    let mut free_at = Instant::now();
    // Since when there has been room, and nothing to take.
    let mut idle_since = None;
    let mut buffer = vec![0; usize::try_from(MAX_PIECE_BYTES).unwrap_or(usize::MAX)];
    let mut ended = false;
    loop {
        // Nothing is taken while this waits: what the far side does not read stays with the sender.
        while let Some(piece) = under_way.front().filter(|piece| piece.due <= Instant::now()) {
            writer.write_all(&piece.bytes).await?;
            under_way.pop_front();
        }
        let due = under_way.front().map(|piece| piece.due);
        if ended && due.is_none() {
            return writer.shutdown().await;
        }
        let now = Instant::now();
        let room_at = free_at.checked_sub(AHEAD).unwrap_or(now);
        let current = *shape.borrow();
        let room = buffer.get_mut(..current.piece_bytes()).unwrap_or_default();
        tokio::select! {
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            taken = take(&mut reader, room, room_at, &mut idle_since), if !ended => {
                let bytes = taken?;
                ended = bytes.is_empty();
                let now = Instant::now();
                let was_idle = idle_since.take().is_some_and(|since| now - since > IDLE_AFTER);
                let earliest = if was_idle { Some(now) } else { now.checked_sub(CATCH_UP) };
                free_at = free_at.max(earliest.unwrap_or(now)) + current.duration_of(bytes.len());
                under_way.push_back(Piece { due: free_at + current.delay, bytes });
            }
        }
    }
}

/// Reads when there is room; nothing at the end. Dropped before it is ready, it has read nothing.
async fn take(
    reader: &mut (impl AsyncRead + Unpin),
    room: &mut [u8],
    room_at: Instant,
    idle_since: &mut Option<Instant>,
) -> io::Result<Vec<u8>> {
    // Even a moment that has passed costs a turn of the timer.
    if room_at > Instant::now() {
        sleep_until(room_at).await;
    }
    let mut room = ReadBuf::new(room);
    poll_fn(|context| {
        let polled = Pin::new(&mut *reader).poll_read(context, &mut room);
        if polled.is_pending() {
            idle_since.get_or_insert_with(Instant::now);
        }
        polled
    })
    .await?;
    Ok(room.filled().to_vec())
}
