//! Peers that do not read, or send without end: whatever waits ends by its deadline, and others have
//! their turn.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;

use futures_util::SinkExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tidegate::proto::ws::{HeadLimits, ServerHandshake};
use tidegate::server::{AcceptOptions, accept as accept_stream};
use tidegate::{
    Amount, Client, ClientBuilder, CloseCause, CloseOptions, Closed, Message, RecvLimits, RecvPolicy,
    SendLimits, TransportError,
};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::block_on;
use crate::hostile::serve_once;
use crate::own::read_request;
use crate::peer::with;
use crate::raw::{accept, read_head};
use crate::suite::{SHORT, pattern};

/// A request that asks for a WebSocket.
pub(crate) const REQUEST: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn client(port: u16) -> ClientBuilder {
    Client::builder(format!("ws://127.0.0.1:{port}/")).close_within(SHORT)
}

/// Fills every buffer on the way to a server that does not read, has it send `frames`, and gives how
/// the connection then ends.
fn end_of_blocked(frames: &'static [u8]) -> Closed {
    let (blocked, go) = mpsc::channel::<()>();
    let (release, until) = mpsc::channel::<()>();
    let port = serve_once(move |mut stream| {
        let head = read_head(&mut stream);
        stream.write_all(&accept(&head)).unwrap();
        go.recv().unwrap();
        stream.write_all(frames).unwrap();
        // Until the test is done.
        let _ = until.recv();
    });
    let closed = block_on(async {
        let client = client(port).connect().await.unwrap();
        let (mut sink, _receiver) = client.split();
        for number in 0..300 {
            sink.feed(pattern(number, 50_000).into()).await.expect("there is room for 16 MiB");
        }
        timeout(SHORT, sink.flush()).await.expect_err("the peer does not read");
        assert_eq!(client.failure(), None);
        blocked.send(()).unwrap();
        let closed = client.closed().await;
        let has_failed = matches!(client.failure(), Some(TransportError::Protocol { .. }));
        assert_eq!(has_failed, closed.code == 1006, "{:?}", client.failure());
        closed
    });
    drop(release);
    closed
}

#[test]
fn b31_the_peers_close_ends_by_the_deadline_when_the_answer_cannot_be_written() {
    let closed = end_of_blocked(b"\x88\x05\x03\xe8bye");
    assert_eq!((closed.code, closed.reason.as_str(), closed.was_clean), (1000, "bye", false));
    assert_eq!(closed.cause, CloseCause::Peer);
    assert!(closed.unsent.messages > 0 && closed.unknown.messages > 0, "{closed:?}");
}

#[test]
fn b31_a_fault_of_the_peer_ends_by_the_deadline_when_it_cannot_be_told() {
    // A reserved bit, in a frame whose rest is of no interest any more.
    let closed = end_of_blocked(b"\xc1\x00");
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
    assert!(closed.unsent.messages > 0 && closed.unknown.messages > 0, "{closed:?}");
}

#[test]
fn b58_a_server_whose_peer_breaks_the_protocol_and_does_not_read_goes_on_with_others() {
    let (address, connect_to) = mpsc::channel();
    let (done, until) = mpsc::channel::<()>();
    let peer = std::thread::spawn(move || {
        let mut stream = TcpStream::connect::<std::net::SocketAddr>(connect_to.recv().unwrap()).unwrap();
        stream.write_all(REQUEST).unwrap();
        // The start of the server's answer, and nothing more is ever read.
        stream.read_exact(&mut [0; 16]).unwrap();
        stream.write_all(b"\x81\x80\0\0\0\0").unwrap();
        until.recv().unwrap();
        stream.write_all(b"\xc1\x80\0\0\0\0").unwrap();
        let _ = until.recv();
    });
    block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        address.send(listener.local_addr().unwrap()).unwrap();
        let mut stream = listener.accept().await.unwrap().0;
        let request = read_request(&mut stream).await.unwrap();
        let options = with(|options| options.close_within = Some(SHORT));
        let server = accept_stream(stream, &request, None, options).unwrap();
        assert_eq!(server.recv().await, Some(Message::from("")));
        let (mut sink, _receiver) = server.split();
        for number in 0..300 {
            sink.feed(pattern(number, 50_000).into()).await.expect("there is room for 16 MiB");
        }
        timeout(SHORT, sink.flush()).await.expect_err("the peer does not read");
        done.send(()).unwrap();
        // On this runtime's only thread: the timer of `block_on` counts as one of the others.
        assert_eq!(server.closed().await.code, 1006);
    });
    drop(done);
    peer.join().unwrap();
}

#[test]
fn b31_a_flood_does_not_keep_the_close_deadline_from_its_turn() {
    let port = serve_once(move |mut stream| {
        let head = read_head(&mut stream);
        stream.write_all(&accept(&head)).unwrap();
        let mut frame = vec![0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0];
        frame.resize(10 + 65_536, 7);
        while stream.write_all(&frame).is_ok() {}
    });
    block_on(async {
        let client = client(port).connect().await.unwrap();
        let closing = client.close_with(CloseOptions::default().within(SHORT));
        // Twenty times the deadline: a loaded machine has its turn, too.
        let closed = timeout(20 * SHORT, closing).await.expect("it ends").expect("it may be sent");
        assert_eq!(closed.cause, CloseCause::Unconfirmed);
    });
}

#[test]
fn b11_a_reader_on_the_same_thread_keeps_up_with_any_burst() {
    for size in [0, 8, 100] {
        let messages = 200_000;
        let port = serve_once(move |mut stream| {
            let head = read_head(&mut stream);
            stream.write_all(&accept(&head)).unwrap();
            let mut frame = vec![0x82, u8::try_from(size).unwrap()];
            frame.resize(2 + size, 7);
            let block = frame.repeat(10_000);
            for _ in 0..messages / 10_000 {
                if stream.write_all(&block).is_err() {
                    return;
                }
            }
            let _ = stream.write_all(b"\x88\x02\x03\xe8");
            let _ = stream.read_to_end(&mut Vec::new());
        });
        block_on(async {
            let client = client(port).connect().await.unwrap();
            let mut received = 0;
            while client.recv().await.is_some() {
                received += 1;
            }
            let closed = client.closed().await;
            assert_eq!((received, closed.code, closed.cause), (messages, 1000, CloseCause::Peer), "{size} B");
        });
    }
}

#[test]
fn b11_a_close_that_comes_with_the_end_of_the_stream_is_answered() {
    let (tell, told) = mpsc::channel();
    let port = serve_once(move |mut stream| {
        let head = read_head(&mut stream);
        let mut all = accept(&head);
        all.extend(b"\x88\x02\x03\xe8");
        stream.write_all(&all).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        tell.send(answer).unwrap();
    });
    let closed = block_on(async { client(port).connect().await.unwrap().closed().await });
    assert_eq!((closed.code, closed.was_clean), (1000, true));
    assert_eq!(told.recv().unwrap().first(), Some(&0x88), "a close frame");
}

#[test]
fn b28_a_stream_with_a_buffer_of_its_own_is_flushed_to_the_end() {
    block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut handshake = ServerHandshake::new(HeadLimits::default());
        let request = handshake.receive(REQUEST).unwrap().expect("it is complete");
        let stream = tokio::io::BufStream::new(ours);
        let server = accept_stream(stream, &request, None, AcceptOptions::default()).unwrap();
        server.send(vec![7; 1000]).await.unwrap();
        let closing = server.close(4001, "");
        let reading = async {
            let mut heard = Vec::new();
            let close = [0x88, 0x02, 0x0f, 0xa1];
            while !heard.ends_with(&close) {
                let mut piece = [0; 32];
                let n = theirs.read(&mut piece).await.unwrap();
                assert!(n > 0, "it ended early, after {} bytes", heard.len());
                heard.extend(&piece[..n]);
            }
            drop(theirs);
        };
        let (closed, ()) = futures_util::future::join(closing, reading).await;
        assert_eq!(closed.unwrap().cause, CloseCause::Unconfirmed);
    });
}

#[test]
fn b28_many_that_wait_for_room_take_their_turns() {
    let port = serve_once(move |mut stream| {
        let head = read_head(&mut stream);
        let _ = stream.write_all(&accept(&head));
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    block_on(async {
        let limits = SendLimits { max_queued_messages: 16, ..SendLimits::default() };
        let client = client(port).send_limits(limits).connect().await.unwrap();
        // In time that grows with their number: with its square, so many would take minutes.
        let mut sends: FuturesUnordered<_> = (0..100_000).map(|_| client.send("x")).collect();
        while let Some(sent) = sends.next().await {
            sent.expect("it is open");
        }
    });
}

#[test]
fn b16_a_reader_that_is_slower_than_its_peer_makes_it_wait() {
    let messages = 20_000;
    let default = RecvPolicy::default();
    // Also while this side only waits for the peer's end; and no policy comes into play.
    for (queued, ends, policy) in [
        (1, false, default),
        (64, false, RecvPolicy::DropOldest),
        (64, false, RecvPolicy::DropNewest),
        (64, true, default),
    ] {
        block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}/", listener.local_addr().unwrap());
            let server = tokio::spawn(async move {
                let mut stream = listener.accept().await.unwrap().0;
                let request = read_request(&mut stream).await.unwrap();
                let server = accept_stream(stream, &request, None, AcceptOptions::default()).unwrap();
                for n in 0..messages {
                    server.send(n.to_string()).await.unwrap();
                }
                server.close(1000, "").await.unwrap()
            });
            let limits = RecvLimits::default().max_queued_messages(queued).policy(policy);
            let client = Client::builder(url).recv_limits(limits).connect().await.unwrap();
            let _ending = ends.then(|| client.end(None));
            for n in 0..messages {
                // Not one that waits: others have their turns between what it takes.
                tokio::task::yield_now().await;
                assert_eq!(client.recv().await, Some(Message::from(n.to_string())), "{:?}", client.failure());
            }
            assert_eq!(client.recv().await, None);
            let closed = client.closed().await;
            assert_eq!((closed.code, closed.dropped), (1000, Amount::default()));
            assert_eq!(server.await.unwrap().cause, CloseCause::Local);
        });
    }
}

#[test]
fn b16_a_message_that_does_not_fit_is_taken_where_the_peer_can_be_made_to_wait() {
    block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let mut stream = listener.accept().await.unwrap().0;
            let request = read_request(&mut stream).await.unwrap();
            let server = accept_stream(stream, &request, None, AcceptOptions::default()).unwrap();
            for size in [400, 900, 5, 5000, 5] {
                server.send("x".repeat(size)).await.unwrap();
            }
            server.closed().await
        });
        let limits = RecvLimits::default().max_queued_bytes(1000);
        let client = Client::builder(url).recv_limits(limits).connect().await.unwrap();
        // Less than half of the queue is taken when the second comes, which goes above the bound.
        assert_eq!(timeout(SHORT, client.closed()).await.ok(), None);
        for size in [400, 900, 5, 5000, 5] {
            assert_eq!(client.recv().await.map(|message| message.size()), Some(size));
        }
        client.close(4001, "").await.unwrap();
        assert_eq!(server.await.unwrap().code, 4001);
    });
}
