//! Peers that are there no more, or only seem so, in virtual time.

use core::time::Duration;

use tidegate::proto::ws::{Event, Message, no_key};
use tidegate::server::AcceptOptions;
#[cfg(feature = "v1")]
use tidegate::{Client, Mode, proto::ws::HeadLimits, server::accept, server::read_request};
use tidegate::{CloseCause, CloseOptions, TransportError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, advance, timeout};

use crate::in_virtual_time;
use crate::peer::{STREAM_BYTES, pair, with};
use crate::suite::{poll_once, text};

const PING: &[u8] = b"\x89\x00";

const AFTER: Duration = Duration::from_secs(20);

/// Whether `time` has passed since `start`, to the millisecond to which timers are exact.
fn is_at(start: Instant, time: Duration) -> bool {
    start.elapsed().abs_diff(time) <= Duration::from_millis(2)
}

#[test]
fn a_silent_peer_is_pinged_and_then_taken_for_gone() {
    in_virtual_time(async {
        let (server, mut peer) = pair(AcceptOptions::default()).await;
        let start = Instant::now();
        let mut ping = [0; 2];
        peer.stream.read_exact(&mut ping).await.unwrap();
        assert_eq!(ping, PING);
        assert!(is_at(start, AFTER), "{:?}", start.elapsed());
        let closed = server.closed().await;
        assert!(is_at(start, 2 * AFTER), "{:?}", start.elapsed());
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Silent));
        assert_eq!(server.failure(), Some(TransportError::Silent { within: AFTER }));
        // The stream is let go of.
        assert_eq!(peer.stream.read(&mut [0; 16]).await.unwrap(), 0);
    });
}

#[test]
fn a_peer_that_answers_stays_for_ever() {
    in_virtual_time(async {
        let (server, mut peer) = pair(AcceptOptions::default()).await;
        let start = Instant::now();
        for number in 1..=100 {
            // Answered by the codec, as by every browser.
            assert_eq!(peer.event().await, Event::Ping(Vec::new()));
            peer.say(|_| ()).await;
            assert!(is_at(start, number * AFTER), "{:?}", start.elapsed());
        }
        server.try_send("still here").unwrap();
        assert_eq!(peer.event().await, Event::Message(Message::from("still here")));
    });
}

#[test]
fn b58_control_frames_are_bounded_by_the_second_and_not_for_good() {
    in_virtual_time(async {
        let (server, mut peer) = pair(with(|options| options.limits.max_control_frames = Some(5))).await;
        for _ in 0..20 {
            for _ in 0..5 {
                peer.say(|codec| codec.send_ping(b"?", no_key).unwrap()).await;
                assert_eq!(peer.event().await, Event::Pong(b"?".to_vec()));
            }
            advance(Duration::from_secs(1)).await;
        }
        // The pongs to its own pings count likewise.
        for _ in 0..20 {
            assert_eq!(peer.event().await, Event::Ping(Vec::new()));
            peer.say(|_| ()).await;
        }
        assert_eq!(server.failure(), None);
        advance(Duration::from_secs(1)).await;
        for _ in 0..6 {
            peer.say(|codec| codec.send_ping(b"?", no_key).unwrap()).await;
        }
        assert_eq!(server.closed().await.code, 1006);
        assert!(matches!(server.failure(), Some(TransportError::Protocol { .. })), "{:?}", server.failure());
    });
}

#[test]
fn every_byte_is_a_sign_of_life() {
    in_virtual_time(async {
        let (server, mut peer) = pair(AcceptOptions::default()).await;
        // A message that comes in so slowly that it takes a quarter of an hour.
        let frame = [&b"\x81\xbc\0\0\0\0"[..], &[0; 60]].concat();
        for byte in frame {
            peer.stream.write_all(&[byte]).await.unwrap();
            advance(Duration::from_secs(15)).await;
        }
        assert_eq!(server.recv().await, text(&"\0".repeat(60)));
        assert_eq!(peer.codec.pending(), 0);
        server.try_send("no ping before this").unwrap();
        assert_eq!(peer.event().await, Event::Message(Message::from("no ping before this")));
    });
}

#[test]
fn a_peer_that_takes_what_is_sent_is_there_though_it_says_nothing() {
    in_virtual_time(async {
        let (server, mut peer) = pair(AcceptOptions::default()).await;
        server.try_send(vec![7; 100 * STREAM_BYTES]).unwrap();
        for _ in 0..50 {
            advance(Duration::from_secs(15)).await;
            peer.stream.read_exact(&mut [0; STREAM_BYTES]).await.unwrap();
        }
        // From now on it takes nothing more.
        let start = Instant::now();
        server.closed().await;
        assert!(start.elapsed() <= 2 * AFTER + Duration::from_millis(2), "{:?}", start.elapsed());
        assert_eq!(server.failure(), Some(TransportError::Silent { within: AFTER }));
    });
}

#[test]
fn a_peer_is_not_blamed_while_nobody_listens_to_it() {
    in_virtual_time(async {
        let mut options = AcceptOptions::default();
        options.recv_limits.max_queued_messages = 4;
        let (server, mut peer) = pair(options).await;
        // A reader that waits and is then not polled for an hour: reading pauses at half of the queue.
        let mut reading = Box::pin(server.recv());
        assert!(poll_once(reading.as_mut()).await.is_pending());
        for _ in 0..8 {
            peer.say(|codec| codec.send_text("x", no_key).unwrap()).await;
        }
        assert!(timeout(Duration::from_secs(3600), server.closed()).await.is_err());
        assert_eq!(reading.await, text("x"));
        for _ in 1..8 {
            assert_eq!(server.recv().await, text("x"));
        }
        assert_eq!(server.failure(), None);
    });
}

#[test]
fn after_a_sleep_of_the_machine_the_peer_has_time_to_answer() {
    in_virtual_time(async {
        let (server, mut peer) = pair(AcceptOptions::default()).await;
        advance(Duration::from_secs(100_000)).await;
        assert_eq!(peer.event().await, Event::Ping(Vec::new()));
        advance(AFTER / 2).await;
        peer.say(|_| ()).await;
        assert!(timeout(AFTER, server.closed()).await.is_err());
        assert_eq!(server.failure(), None);
    });
}

#[test]
fn after_a_sleep_between_the_ping_and_its_answer_the_peer_has_time_again() {
    in_virtual_time(async {
        let (server, mut peer) = pair(AcceptOptions::default()).await;
        assert_eq!(peer.event().await, Event::Ping(Vec::new()));
        advance(Duration::from_secs(3600)).await;
        assert_eq!(peer.event().await, Event::Ping(Vec::new()));
        advance(AFTER / 2).await;
        peer.say(|_| ()).await;
        assert!(timeout(AFTER, server.closed()).await.is_err());
        assert_eq!(server.failure(), None);
        // Without an answer it has that time once, and no more.
        let start = Instant::now();
        server.closed().await;
        assert!(start.elapsed() <= 2 * AFTER, "{:?}", start.elapsed());
    });
}

#[test]
fn nobody_is_pinged_where_that_is_switched_off() {
    in_virtual_time(async {
        let (server, mut peer) = pair(with(|options| options.ping_after = None)).await;
        assert!(timeout(Duration::from_secs(1_000_000), server.closed()).await.is_err());
        server.try_send("no ping before this").unwrap();
        assert_eq!(peer.event().await, Event::Message(Message::from("no ping before this")));
    });
}

#[test]
fn b31_a_close_without_a_deadline_ends_when_the_peer_is_gone() {
    in_virtual_time(async {
        let (server, _peer) = pair(AcceptOptions::default()).await;
        let start = Instant::now();
        let closed = server.close_with(CloseOptions::default().within(None)).await.unwrap();
        assert!(is_at(start, 2 * AFTER), "{:?}", start.elapsed());
        assert_eq!((closed.code, closed.cause), (1006, CloseCause::Unconfirmed));
    });
}

/// Both ends of a connection in tidegate mode, over something that at some moment carries nothing more: either finds out, as soon as
/// the server has said. The client pings by records only; the server, but for `None`, by WebSocket as well.
#[cfg(feature = "v1")]
#[test]
fn in_tidegate_mode_either_end_finds_out_that_the_other_is_silent() {
    let second = Duration::from_secs(1);
    for (after, used) in [
        (Some(second * 4), second * 4),
        (Some(second * 20), second * 20),
        (Some(second / 100), second),
        (None, second * 300),
    ] {
        in_virtual_time(async {
            let (here, mut near) = tokio::io::duplex(64 << 10);
            let (mut far, mut there) = tokio::io::duplex(64 << 10);
            let (cut, is_cut) = tokio::sync::oneshot::channel::<()>();
            let carries = tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = is_cut => {}
                }
                // Both stay open.
                (near, far)
            });
            let server = tokio::spawn(async move {
                let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
                let options = with(|options| options.ping_after = after);
                accept(there, &request, Some("tidegate.v1"), options).unwrap()
            });
            let client = Client::builder("ws://example.com/").mode(Mode::Tidegate).ping_after(None);
            let client = client.connect_over(here).await.unwrap();
            let server = server.await.unwrap();
            // Who answers stays.
            assert!(timeout(used * 20, server.closed()).await.is_err());
            drop(cut);
            let _streams = carries.await.unwrap();
            let start = Instant::now();
            let ends = [client.closed().await, server.closed().await];
            // What had come last came so long ago at most; up to twice as long with much under way; one for the close frame.
            let (least, most) = (used * 5 / 4, used * 9 / 2 + second * 2);
            assert!((least..=most).contains(&start.elapsed()), "{after:?}: {:?}", start.elapsed());
            for closed in ends {
                assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Silent));
            }
        });
    }
}
