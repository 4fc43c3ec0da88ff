//! Streams that cannot be written to any more: what the peer has sent before still comes out. And peers
//! that go on sending when the connection has failed: they hear why.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate::proto::ws::{CloseCode, CloseFrame, Connection, Event, Limits, Role, no_key};
use tidegate::server::{AcceptOptions, accept};
use tidegate::{Client, CloseCause, ReadyState, TransportError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::time::{Instant, advance, timeout};

use crate::in_virtual_time;
use crate::peer::{STREAM_BYTES, pair, request, with};
use crate::suite::{poll_once, text};

/// A stream that takes nothing from some moment on. What comes is as it was.
struct Torn {
    stream: DuplexStream,
    is_down: Arc<AtomicBool>,
    /// There is always one more message.
    is_endless: bool,
}

impl AsyncRead for Torn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_endless {
            buf.put_slice(b"\x81\x81\0\0\0\0x");
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Torn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_down.load(Ordering::SeqCst) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A server over a stream that can be torn, and the stream's other end.
fn torn(options: AcceptOptions, is_endless: bool) -> (Client, DuplexStream, Arc<AtomicBool>) {
    let (stream, theirs) = tokio::io::duplex(STREAM_BYTES);
    let torn = Arc::new(AtomicBool::new(false));
    let stream = Torn { stream, is_down: torn.clone(), is_endless };
    (accept(stream, &request(), None, options).unwrap(), theirs, torn)
}

/// `count` messages of `len` bytes and a close frame, as a client sends them.
fn messages(count: usize, len: usize) -> Vec<u8> {
    let mut limits = Limits::default();
    limits.max_output_bytes = usize::MAX;
    let mut codec = Connection::new(Role::Client, limits);
    for _ in 0..count {
        codec.send_text(&"x".repeat(len), no_key).unwrap();
    }
    codec.send_close(Some(&CloseFrame::new(CloseCode::NORMAL, "done").unwrap()), no_key).unwrap();
    codec.output().to_vec()
}

fn has_failed(server: &Client) -> bool {
    matches!(server.failure(), Some(TransportError::Io { .. }))
}

#[test]
fn b11_what_came_before_the_peer_went_comes_out_though_something_was_to_be_written() {
    in_virtual_time(async {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let server = accept(ours, &request(), None, AcceptOptions::default()).unwrap();
        tokio::task::yield_now().await;
        theirs.write_all(&messages(10_000, 4)).await.unwrap();
        drop(theirs);
        let ticket = server.try_send("one more").unwrap();
        for _ in 0..10_000 {
            assert_eq!(server.recv().await, text("xxxx"));
        }
        assert_eq!(server.recv().await, None);
        let closed = server.closed().await;
        assert_eq!((closed.code, closed.reason.as_str(), closed.cause), (1000, "done", CloseCause::Peer));
        // Its own close frame did not go out.
        assert!(!closed.was_clean && has_failed(&server), "{closed:?}");
        assert_eq!(closed.unknown.messages, 1);
        drop(ticket);
    });
}

#[test]
fn b11_a_reader_that_is_not_polled_loses_nothing_when_the_stream_cannot_be_written_to() {
    in_virtual_time(async {
        let options = with(|options| options.recv_limits.max_queued_messages = 4);
        let (server, mut theirs, torn) = torn(options, false);
        let mut reading = Box::pin(server.recv());
        assert!(poll_once(reading.as_mut()).await.is_pending());
        let writing = tokio::spawn(async move {
            theirs.write_all(&messages(20, STREAM_BYTES)).await.unwrap();
            theirs
        });
        advance(Duration::from_secs(1)).await;
        torn.store(true, Ordering::SeqCst);
        server.try_send("one more").unwrap();
        assert!(timeout(Duration::from_secs(3600), server.closed()).await.is_err());
        let expected = text(&"x".repeat(STREAM_BYTES));
        assert_eq!(reading.await, expected);
        for _ in 1..20 {
            assert_eq!(server.recv().await, expected);
        }
        let closed = server.closed().await;
        assert_eq!((closed.code, closed.was_clean), (1000, false));
        assert!(has_failed(&server));
        drop(writing.await.unwrap());
    });
}

#[test]
fn b58_a_stream_that_only_cannot_be_written_to_ends_whether_more_comes_or_not() {
    in_virtual_time(async {
        for (is_endless, seconds) in [(false, 1), (true, 10)] {
            let (server, _theirs, torn) = torn(with(|options| options.ping_after = None), is_endless);
            let start = Instant::now();
            torn.store(true, Ordering::SeqCst);
            server.try_send("never").unwrap();
            let mut received = 0;
            while server.recv().await.is_some() {
                received += 1;
                if received % 1_000 == 0 {
                    // Somebody always has something to do, so that time goes by only so.
                    advance(Duration::from_millis(500)).await;
                }
            }
            let closed = server.closed().await;
            assert_eq!((closed.code, closed.was_clean), (1006, false));
            assert!(has_failed(&server));
            assert_eq!(received > 0, is_endless);
            let took = start.elapsed();
            assert!((seconds..=seconds + 1).contains(&took.as_secs()), "{took:?}");
        }
    });
}

#[test]
fn b58_a_peer_that_goes_on_sending_after_its_fault_hears_of_it() {
    in_virtual_time(async {
        let options = with(|options| options.limits.max_message_bytes = 1000);
        let (server, mut peer) = pair(options).await;
        // A header that says 100 MiB, and of those more than any buffer holds.
        peer.stream.write_all(b"\x82\xff\0\0\0\0\x06\x40\0\0\0\0\0\0").await.unwrap();
        peer.stream.write_all(&vec![0; 100 * STREAM_BYTES]).await.unwrap();
        let Event::Close(Some(close)) = peer.event().await else { panic!("no close frame") };
        assert_eq!(close.code(), CloseCode::TOO_BIG);
        assert_eq!(peer.stream.read(&mut [0; 16]).await.unwrap(), 0);
        let start = Instant::now();
        drop(peer);
        assert_eq!(server.closed().await.code, 1006);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(matches!(server.failure(), Some(TransportError::Protocol { .. })), "{:?}", server.failure());
    });
}

#[test]
fn b58_a_peer_that_never_ends_after_its_fault_is_left_in_time() {
    in_virtual_time(async {
        for (close_within, expected) in [(None, 1000), (Some(Duration::from_millis(200)), 200)] {
            let (server, mut peer) = pair(with(|options| options.close_within = close_within)).await;
            let start = Instant::now();
            peer.stream.write_all(b"\xc1\x80\0\0\0\0").await.unwrap();
            assert_eq!(server.closed().await.code, 1006);
            let took = start.elapsed();
            assert!(took.abs_diff(Duration::from_millis(expected)) < Duration::from_millis(3), "{took:?}");
            // And so is one that always has something to say.
            let options = with(|options| options.close_within = close_within);
            let (stream, mut theirs) = tokio::io::duplex(STREAM_BYTES);
            let server = accept(stream, &request(), None, options).unwrap();
            let sending =
                tokio::spawn(async move { while theirs.write_all(b"\xc1\x80\0\0\0\0").await.is_ok() {} });
            let start = Instant::now();
            while server.ready_state() != ReadyState::Closed {
                advance(Duration::from_millis(50)).await;
            }
            sending.await.unwrap();
            let took = start.elapsed();
            assert!(took <= Duration::from_millis(expected + 200), "{took:?}");
        }
    });
}
