//! The shape of a link in tokio's paused time, over streams in memory; and its listener over real TCP.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::{Instant, advance, timeout};

use super::{AHEAD, Link, Shape, carry};

/// What the clocks of tokio may be late by.
const LATE: Duration = Duration::from_millis(2);

fn shape(bytes_per_second: u32, delay: u64) -> Shape {
    Shape { bytes_per_second: NonZeroU32::new(bytes_per_second), delay: Duration::from_millis(delay) }
}

/// A direction: where to write, where to read, and its shape.
fn direction(shape: Shape, buffers: usize) -> (DuplexStream, DuplexStream, watch::Sender<Shape>) {
    let (near, reader) = duplex(buffers);
    let (writer, far) = duplex(buffers);
    let (reshape, shape) = watch::channel(shape);
    tokio::spawn(carry(reader, writer, shape));
    (near, far, reshape)
}

fn assert_about(taken: Duration, expected: u64) {
    let expected = Duration::from_millis(expected);
    assert!(taken >= expected && taken <= expected + LATE, "{taken:?}, and not {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_takes_its_length_by_the_rate_and_then_the_delay() {
    let (mut near, mut far, _shape) = direction(shape(2_000_000, 20), 1 << 20);
    for (bytes, milliseconds) in [(32, 20), (4_000, 22), (64_000, 52), (2_000_000, 1_020)] {
        let start = Instant::now();
        let mut received = vec![0; bytes];
        let sent = vec![7; bytes];
        let (written, read) = tokio::join!(near.write_all(&sent), far.read_exact(&mut received));
        written.unwrap();
        read.unwrap();
        assert_about(start.elapsed(), milliseconds);
        assert_eq!(sent, received);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_there_is_only_the_delay() {
    for delay in [0, 35] {
        let (mut near, mut far, _shape) =
            direction(Shape { bytes_per_second: None, ..shape(1, delay) }, 1 << 20);
        let start = Instant::now();
        near.write_all(&vec![1; 1 << 20]).await.unwrap();
        drop(near);
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), 1 << 20);
        assert_about(start.elapsed(), delay);
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_holds_for_the_sum_of_small_messages_and_order_is_kept() {
    let (mut near, mut far, _shape) = direction(shape(100_000, 5), 64);
    let start = Instant::now();
    let writing = async {
        for n in 0..10_000_u32 {
            near.write_all(&n.to_le_bytes()).await.unwrap();
        }
        drop(near);
    };
    let mut received = Vec::new();
    let (read, ()) = tokio::join!(far.read_to_end(&mut received), writing);
    assert_eq!(read.unwrap(), 40_000);
    assert_about(start.elapsed(), 405);
    let numbers = received.chunks(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
    assert!(numbers.eq(0..10_000));
}

#[tokio::test(start_paused = true)]
async fn the_rate_may_change_while_something_is_under_way() {
    let (mut near, mut far, reshape) = direction(shape(1_000_000, 10), 1 << 20);
    let start = Instant::now();
    near.write_all(&vec![1; 600_000]).await.unwrap();
    let mut received = vec![0; 200_000];
    far.read_exact(&mut received).await.unwrap();
    assert_about(start.elapsed(), 210);
    reshape.send_replace(shape(100_000, 10));
    far.read_exact(&mut received[..100_000]).await.unwrap();
    // What had been taken ahead and was under way still came at the old rate.
    let slow = start.elapsed();
    assert!(slow > Duration::from_millis(1_050) && slow < Duration::from_millis(1_210), "{slow:?}");
    reshape.send_replace(shape(1_000_000, 10));
    far.read_exact(&mut vec![0; 300_000]).await.unwrap();
    let rest = start.elapsed().saturating_sub(slow);
    assert!(rest > Duration::from_millis(290) && rest < Duration::from_millis(330), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_overtakes_when_the_delay_becomes_shorter() {
    let (mut near, mut far, reshape) = direction(shape(1_000_000, 500), 1 << 10);
    near.write_all(b"first").await.unwrap();
    // It is on its way once the link has taken it, which needs a turn, but no time.
    while timeout(Duration::from_millis(1), far.read_u8()).await.is_ok() {}
    reshape.send_replace(shape(1_000_000, 1));
    let start = Instant::now();
    near.write_all(b"second").await.unwrap();
    let mut received = [0; 11];
    far.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"firstsecond");
    assert!(start.elapsed() > Duration::from_millis(490), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_read_stops_the_sender() {
    let (mut near, mut far, _shape) = direction(shape(1_000_000, 10), 1 << 10);
    let mut sent = 0;
    // The time is virtual: it passes only when nothing else can be done.
    while let Ok(written) = timeout(Duration::from_secs(10), near.write(&[1; 100])).await {
        sent += written.unwrap();
    }
    // Both buffers, what fits into the delay, what was taken ahead, and two pieces.
    let ahead = usize::try_from(AHEAD.as_micros()).unwrap();
    assert!(sent > 2 << 10 && sent < (2 << 10) + 10_000 + ahead + 2 * 2_000, "{sent}");
    drop(near);
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received.len(), sent);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_gets_no_turn_for_a_while_loses_nothing_of_its_rate() {
    let (mut near, mut far, _shape) = direction(shape(1_000_000, 30), 1 << 20);
    let start = Instant::now();
    near.write_all(&vec![1; 500_000]).await.unwrap();
    for _ in 0..50 {
        far.read_exact(&mut vec![0; 5_000]).await.unwrap();
        // Nobody else runs meanwhile, as on a machine that is busy with something else.
        advance(Duration::from_millis(17)).await;
    }
    far.read_exact(&mut vec![0; 250_000]).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_had_nothing_to_do_does_not_catch_up() {
    let (mut near, mut far, _shape) = direction(shape(1_000_000, 0), 1 << 20);
    for _ in 0..3 {
        advance(Duration::from_secs(1)).await;
        let start = Instant::now();
        near.write_all(&vec![1; 100_000]).await.unwrap();
        far.read_exact(&mut vec![0; 100_000]).await.unwrap();
        assert_about(start.elapsed(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_behind_the_last_byte() {
    let (mut near, mut far, _shape) = direction(shape(1_000, 100), 1 << 10);
    let start = Instant::now();
    near.write_all(b"0123456789").await.unwrap();
    drop(near);
    let mut received = Vec::new();
    far.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"0123456789");
    assert_about(start.elapsed(), 110);
}

#[test]
fn a_connection_through_a_link_has_small_segments_and_ends_with_it() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let link = Link::start(server.local_addr().unwrap(), shape(1_000_000, 1), Shape::default()).unwrap();
    let mut client = std::net::TcpStream::connect(link.address()).unwrap();
    let (mut peer, _) = server.accept().unwrap();
    client.write_all(b"there").unwrap();
    let mut received = [0; 5];
    peer.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"there");
    peer.write_all(b"back!").unwrap();
    client.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"back!");
    #[cfg(unix)]
    assert!(socket2::SockRef::from(&client).tcp_mss().unwrap() <= super::SEGMENT_BYTES);
    link.reshape(Shape::default());
    drop(link);
    assert!(matches!(client.read(&mut received), Ok(0) | Err(_)));
    assert!(matches!(peer.read(&mut received), Ok(0) | Err(_)));
}
