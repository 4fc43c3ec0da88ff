//! tidegate's server against tungstenite as client, and handles that outlive their runtime.

use std::net::TcpStream;

use tidegate::server::{AcceptError, AcceptOptions, accept};
use tidegate::{Client, CloseCause, Message, Outcome};
use tokio::net::TcpListener;
use tungstenite::handshake::client::Response;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Bytes, WebSocket};

use crate::own::read_request;
use crate::suite::pattern;
use crate::{block_on, own};

type Socket = WebSocket<MaybeTlsStream<TcpStream>>;

/// A foreign client, connected to `route` of the own server, on a thread.
fn with_client<T: Send + 'static>(
    route: &str,
    talk: impl FnOnce(Socket, Response) -> T + Send + 'static,
) -> T {
    block_on(async {
        let net = own::net().await;
        let url = net.url(route);
        let thread = tokio::task::spawn_blocking(move || {
            let (socket, response) = tungstenite::connect(url).expect("it opens");
            talk(socket, response)
        });
        thread.await.expect("the client is content")
    })
}

#[test]
fn b29_a_foreign_client_gets_every_message_back() {
    with_client("/echo", |mut socket, _| {
        let messages = [
            tungstenite::Message::text("\u{1f30a} text"),
            tungstenite::Message::text(""),
            tungstenite::Message::binary(Bytes::new()),
            tungstenite::Message::binary(pattern(29, 10 << 20)),
        ];
        for message in messages {
            socket.send(message.clone()).unwrap();
            assert!(socket.read().unwrap() == message);
        }
        // A ping is answered while nothing else happens.
        socket.send(tungstenite::Message::Ping(Bytes::from_static(b"are you there"))).unwrap();
        assert_eq!(socket.read().unwrap(), tungstenite::Message::Pong(Bytes::from_static(b"are you there")));
    });
}

#[test]
fn b35_a_foreign_clients_close_is_answered() {
    with_client("/echo", |mut socket, _| {
        let frame =
            tungstenite::protocol::CloseFrame { code: CloseCode::Library(4001), reason: "bye".into() };
        socket.close(Some(frame)).unwrap();
        let tungstenite::Message::Close(Some(answer)) = socket.read().unwrap() else { panic!("no close") };
        assert_eq!(u16::from(answer.code), 4001);
        assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    });
}

#[test]
fn b09_what_a_server_says_at_once_reaches_a_foreign_client() {
    with_client("/burst", |mut socket, _| {
        assert_eq!(socket.read().unwrap(), tungstenite::Message::text("one"));
        assert_eq!(socket.read().unwrap(), tungstenite::Message::binary(vec![1, 2, 3]));
        assert_eq!(socket.read().unwrap(), tungstenite::Message::text("three"));
        let tungstenite::Message::Close(Some(frame)) = socket.read().unwrap() else { panic!("no close") };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (4001, "done"));
        assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    });
}

#[test]
fn b58_a_foreign_client_that_breaks_the_protocol_is_cut_off_with_the_right_code() {
    use tungstenite::protocol::frame::Frame;
    use tungstenite::protocol::frame::coding::{Data, OpCode};
    with_client("/echo", |mut socket, _| {
        let frame = Frame::message(Bytes::from_static(b"\xff"), OpCode::Data(Data::Text), true);
        socket.send(tungstenite::Message::Frame(frame)).unwrap();
        let tungstenite::Message::Close(Some(frame)) = socket.read().unwrap() else { panic!("no close") };
        assert_eq!(u16::from(frame.code), 1007);
    });
}

/// Both ends of one connection: what [`accept`] gives, and a client of our own.
async fn pair() -> (Client, Client) {
    pair_with(AcceptOptions::default()).await
}

async fn pair_with(options: AcceptOptions) -> (Client, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let client = tokio::spawn(Client::builder(url).connect());
    let mut stream = listener.accept().await.unwrap().0;
    let request = read_request(&mut stream).await.unwrap();
    let server = accept(stream, &request, None, options).unwrap();
    (server, client.await.unwrap().unwrap())
}

#[test]
fn b09_what_is_sent_and_closed_before_the_server_has_run_once_arrives() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let client = tokio::spawn(Client::builder(url).connect());
        let mut stream = listener.accept().await.unwrap().0;
        let request = read_request(&mut stream).await.unwrap();
        {
            let server = accept(stream, &request, None, AcceptOptions::default()).unwrap();
            assert_eq!(server.ready_state(), tidegate::ReadyState::Open);
            server.try_send("first and last").unwrap();
            // Dropped: sends what is queued and closes with 1000.
        }
        let client = client.await.unwrap().unwrap();
        assert_eq!(client.recv().await, Some(Message::from("first and last")));
        assert_eq!((client.recv().await, client.closed().await.code), (None, 1000));
    });
}

#[test]
fn b28_a_small_output_bound_makes_messages_wait_and_drops_none() {
    block_on(async {
        let mut options = AcceptOptions::default();
        options.limits.max_output_bytes = 0;
        let (server, client) = pair_with(options).await;
        let tickets = ["one", "two", "three"].map(|text| (text, server.try_send(text).unwrap()));
        for (text, ticket) in tickets {
            assert_eq!(client.recv().await, Some(Message::from(text)));
            assert_eq!(ticket.await, Outcome::HandedOver);
        }
    });
}

#[test]
fn b35_dropping_the_last_handle_closes_with_1000() {
    block_on(async {
        let (server, client) = pair().await;
        let (sender, receiver) = client.split();
        drop(client);
        sender.try_send("queued").unwrap();
        drop((sender, receiver));
        assert_eq!(server.recv().await, Some(Message::from("queued")));
        assert_eq!(server.recv().await, None);
        let closed = server.closed().await;
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1000, true, CloseCause::Peer));
    });
}

#[test]
fn b40_handles_may_be_used_and_dropped_on_any_thread() {
    block_on(async {
        let (server, client) = pair().await;
        let (sender, receiver) = client.split();
        let thread = std::thread::spawn(move || {
            let ticket = sender.try_send("from afar").unwrap();
            drop((sender, receiver, client));
            ticket
        });
        let ticket = thread.join().unwrap();
        assert_eq!(server.recv().await, Some(Message::from("from afar")));
        assert_eq!((ticket.await, server.closed().await.code), (Outcome::HandedOver, 1000));
    });
}

#[test]
fn b40_handles_that_outlive_their_runtime_do_not_wait_for_ever() {
    use futures_util::FutureExt as _;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, client) = runtime.block_on(pair());
    let ticket = client.try_send("never sent").unwrap();
    drop(runtime);
    assert_eq!(ticket.now_or_never(), Some(Outcome::Unsent));
    assert_eq!(client.recv().now_or_never(), Some(None));
    let closed = client.closed().now_or_never().expect("at once");
    assert_eq!((closed.cause, closed.code, closed.unsent.messages), (CloseCause::Aborted, 1006, 1));
    assert!(client.try_send("late").is_err());
    drop(server);
}

#[test]
fn b40_a_runtime_that_goes_with_its_server_ends_nothing_cleanly() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let client = std::thread::spawn(move || {
        block_on(async {
            let client = Client::builder(url).connect().await.unwrap();
            client.send("here").await.unwrap();
            (client.recv().await, client.closed().await)
        })
    });
    runtime.block_on(async {
        let mut stream = TcpListener::from_std(listener).unwrap().accept().await.unwrap().0;
        let request = read_request(&mut stream).await.unwrap();
        let server = accept(stream, &request, None, AcceptOptions::default()).unwrap();
        assert_eq!(server.recv().await, Some(Message::from("here")));
        // Dropped as by a task that is cut off halfway: 1000 would tell the peer that all has been said.
    });
    drop(runtime);
    let (message, closed) = client.join().unwrap();
    assert_eq!((message, closed.code, closed.was_clean), (None, 1006, false));
}

#[test]
fn b05_a_subprotocol_that_was_not_offered_cannot_be_accepted() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let client = tokio::spawn(Client::builder(url).subprotocol("chat.v2").connect());
        let mut stream = listener.accept().await.unwrap().0;
        let request = read_request(&mut stream).await.unwrap();
        let result = accept(stream, &request, Some("chat.v1"), AcceptOptions::default());
        assert!(matches!(result, Err(AcceptError::Response(_))));
        assert!(client.await.unwrap().is_err());
    });
}
