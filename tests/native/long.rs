//! Messages that take long to go out, over streams in memory, where every byte can be counted.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate::proto::ws::{CloseCode, CloseFrame, Event, Message, no_key};
use tidegate::server::{AcceptOptions, accept};
use tidegate::{CloseCause, Outcome};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};

use crate::block_on;
use crate::peer::{STREAM_BYTES, pair, request, with};
use crate::suite::{amount, pattern};

/// What the transport lets wait beside a fragment.
const OUTPUT_BYTES: usize = 64 << 10;

/// The size of a fragment where nothing else was asked for.
const FRAGMENT_BYTES: usize = 256 << 10;

#[test]
fn b66_a_ping_is_answered_within_a_long_message_that_goes_out() {
    block_on(async {
        let (server, mut peer) = pair(AcceptOptions::default()).await;
        let long = pattern(66, 16 << 20);
        let ticket = server.try_send(long.clone()).unwrap();
        for number in 0..50_u32 {
            let payload = number.to_be_bytes();
            peer.say(|codec| codec.send_ping(&payload, no_key).unwrap()).await;
            let before = peer.read;
            assert_eq!(peer.event().await, Event::Pong(payload.to_vec()));
            // What was written or waited before the ping came, and the fragment that had begun.
            let most = STREAM_BYTES + OUTPUT_BYTES + FRAGMENT_BYTES + 1024;
            assert!(peer.read - before <= most, "{} bytes before pong {number}", peer.read - before);
        }
        let Event::Message(message) = peer.event().await else { panic!("not a message") };
        assert!(message.as_bytes() == long);
        assert_eq!(ticket.await, Outcome::HandedOver);
    });
}

#[test]
fn b29_a_long_text_is_cut_anywhere_and_arrives_whole() {
    block_on(async {
        for fragment_bytes in [Some(0), Some(1), Some(7), Some(65_536), None] {
            let (server, mut peer) = pair(with(|options| options.fragment_bytes = fragment_bytes)).await;
            let text = "\u{1f30a}\u{e9}x".repeat(if fragment_bytes > Some(7) { 50_000 } else { 500 });
            for text in [text.as_str(), "short", ""] {
                server.try_send(text).unwrap();
            }
            for text in [text.as_str(), "short", ""] {
                assert_eq!(peer.event().await, Event::Message(Message::from(text)), "{fragment_bytes:?}");
            }
        }
    });
}

#[test]
fn b29_only_messages_above_the_bound_are_cut_and_into_as_few_frames_as_go() {
    block_on(async {
        let whole = usize::MAX;
        for (fragment_bytes, bytes, frames) in [
            (Some(FRAGMENT_BYTES), FRAGMENT_BYTES, &[FRAGMENT_BYTES][..]),
            (Some(FRAGMENT_BYTES), FRAGMENT_BYTES + 1, &[FRAGMENT_BYTES, 1]),
            (AcceptOptions::default().fragment_bytes, 2 * FRAGMENT_BYTES, &[FRAGMENT_BYTES, FRAGMENT_BYTES]),
            (None, 3 * FRAGMENT_BYTES, &[3 * FRAGMENT_BYTES]),
            (Some(whole), 3 * FRAGMENT_BYTES, &[3 * FRAGMENT_BYTES]),
        ] {
            let (server, mut peer) = pair(with(|options| options.fragment_bytes = fragment_bytes)).await;
            server.try_send(vec![7; bytes]).unwrap();
            let mut seen = Vec::new();
            while seen.iter().sum::<usize>() < bytes {
                // A server's header of a frame above 64 KiB has 10 bytes, of a very short one 2.
                let first = peer.stream.read_u8().await.unwrap();
                let len = match peer.stream.read_u8().await.unwrap() {
                    127 => peer.stream.read_u64().await.unwrap(),
                    short => short.into(),
                };
                let len = usize::try_from(len).unwrap();
                seen.push(len);
                assert_eq!(first & 0x80 != 0, seen.iter().sum::<usize>() == bytes);
                peer.stream.read_exact(&mut vec![0; len]).await.unwrap();
            }
            assert_eq!(seen, frames);
        }
    });
}

#[test]
fn b32_a_close_waits_for_the_long_message_before_it() {
    block_on(async {
        let (server, mut peer) = pair(AcceptOptions::default()).await;
        let (one, two) = (pattern(1, 1 << 20), pattern(2, 1 << 20));
        server.try_send(one.clone()).unwrap();
        server.try_send(two.clone()).unwrap();
        let closing = server.close(4001, "bye");
        let reading = async {
            for expected in [one, two] {
                let Event::Message(message) = peer.event().await else { panic!("not a message") };
                assert!(message.as_bytes() == expected);
            }
            let close = CloseFrame::new(CloseCode::new(4001), "bye").unwrap();
            assert_eq!(peer.event().await, Event::Close(Some(close)));
            peer.say(|_| ()).await;
            peer
        };
        let (closed, _peer) = futures_util::future::join(closing, reading).await;
        let closed = closed.unwrap();
        assert_eq!((closed.code, closed.was_clean, closed.cause), (4001, true, CloseCause::Local));
        assert_eq!((closed.unsent.messages, closed.unknown.messages), (0, 0));
    });
}

#[test]
fn b39_a_close_of_the_peer_within_a_long_message_leaves_it_unknown() {
    block_on(async {
        let (server, mut peer) = pair(AcceptOptions::default()).await;
        server.try_send(pattern(1, 4 << 20)).unwrap();
        server.try_send("behind it").unwrap();
        peer.stream.read_exact(&mut [0; 1000]).await.unwrap();
        let close = CloseFrame::new(CloseCode::NORMAL, "").unwrap();
        peer.say(|codec| codec.send_close(Some(&close), no_key).unwrap()).await;
        // Reads what is still coming, which ends long before the message would.
        let mut rest = Vec::new();
        peer.stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.len() < 1 << 20, "{} bytes", rest.len());
        assert!(rest.ends_with(b"\x88\x02\x03\xe8"));
        let closed = server.closed().await;
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1000, true, CloseCause::Peer));
        assert_eq!((closed.unsent.messages, closed.unknown.messages), (1, 1));
    });
}

/// A stream that counts how often it is flushed.
struct Counted {
    stream: DuplexStream,
    flushes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[test]
fn b28_a_stream_is_flushed_once_for_all_that_goes_out_together() {
    block_on(async {
        let messages = amount(1_000) as usize;
        let flushes = Arc::new(AtomicUsize::new(0));
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let stream = Counted { stream: ours, flushes: flushes.clone() };
        let server = accept(stream, &request(), None, AcceptOptions::default()).unwrap();
        for _ in 0..messages {
            server.try_send("12345678").unwrap();
        }
        let mut all = Vec::new();
        while !all.ends_with(&b"\x81\x0812345678".repeat(messages)) {
            theirs.read_buf(&mut all).await.unwrap();
        }
        // Echoes go out together as well, when nothing more is there to be read.
        let echoing = tokio::spawn(async move {
            while let Some(message) = server.recv().await {
                server.send(message).await.unwrap();
            }
        });
        tokio::task::yield_now().await;
        let before = flushes.load(Ordering::SeqCst);
        assert_eq!(before, 1, "with the response");
        theirs.write_all(&b"\x81\x88\0\0\0\x0012345678".repeat(messages)).await.unwrap();
        let mut all = Vec::new();
        while all.len() < 10 * messages {
            theirs.read_buf(&mut all).await.unwrap();
        }
        tokio::task::yield_now().await;
        let after = flushes.load(Ordering::SeqCst) - before;
        assert!((1..=5).contains(&after), "{after} flushes for {messages} echoes");
        drop(theirs);
        echoing.await.unwrap();
    });
}
