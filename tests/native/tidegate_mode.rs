//! Tidegate mode between this crate's client and its server, over streams in memory and over TCP.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use futures_util::StreamExt;
use tidegate::proto::v1::{ChannelCode, FatalCode, RefusedCode};
use tidegate::proto::ws::HeadLimits;
use tidegate::server::{AcceptError, AcceptOptions, accept, read_request};
use tidegate::{
    Channel, ChannelEnd, ChannelError, ChannelOptions, Client, ClientBuilder, CloseCause, CloseOptions,
    ConnectError, Json, Message, Mode, Outcome, SendError, SendLimits, SendOptions, TidegateOptions,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::{block_on, in_virtual_time};

const SUBPROTOCOL: &str = "tidegate.v1";

/// A client and a server in tidegate mode.
async fn pair() -> (Client, Client) {
    pair_with(|builder| builder, AcceptOptions::default()).await
}

async fn pair_with(
    build: impl FnOnce(ClientBuilder) -> ClientBuilder,
    options: AcceptOptions,
) -> (Client, Client) {
    let (here, mut there) = tokio::io::duplex(64 << 10);
    let server = tokio::spawn(async move {
        let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
        assert_eq!(request.subprotocols, [SUBPROTOCOL]);
        let server = accept(there, &request, Some(SUBPROTOCOL), options).unwrap();
        assert_eq!(server.mode(), Mode::Tidegate, "before the client has greeted");
        server
    });
    let builder = build(Client::builder("ws://example.com/").mode(Mode::Tidegate));
    let client = builder.connect_over(here).await.unwrap();
    (client, server.await.unwrap())
}

/// More may be queued than the peer's window takes.
fn large() -> ChannelOptions {
    ChannelOptions::bulk().send_limits(SendLimits { max_queued_bytes: 64 << 20, ..SendLimits::default() })
}

#[test]
fn messages_of_the_connection_go_both_ways() {
    block_on(async {
        let (client, server) = pair().await;
        assert_eq!((client.mode(), server.mode()), (Mode::Tidegate, Mode::Tidegate));
        assert_eq!(client.protocol(), SUBPROTOCOL);
        let ticket = client.send("hello").await.unwrap();
        assert_eq!(server.recv().await, Some("hello".into()));
        assert_eq!(ticket.await, Outcome::Delivered);
        let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        server.send(large.clone()).await.unwrap();
        server.send("").await.unwrap();
        server.send(Vec::new()).await.unwrap();
        assert_eq!(client.recv().await, Some(large.into()));
        assert_eq!(client.recv().await, Some("".into()));
        assert_eq!(client.recv().await, Some(Message::Binary(Vec::new())));
        client.flushed().await.unwrap();
        let closed = client.close(1000, "bye").await.unwrap();
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1000, true, CloseCause::Local));
        let closed = server.closed().await;
        assert_eq!((closed.code, closed.reason.as_str(), closed.cause), (1000, "bye", CloseCause::Peer));
        assert_eq!((closed.unsent.messages, closed.unknown.messages), (0, 0));
    });
}

#[test]
fn channels_go_beside_each_other() {
    block_on(async {
        let (client, server) = pair().await;
        let mut channels = server.channels();
        let chat = client.channel("chat", ChannelOptions::new()).await.unwrap();
        chat.send("one").await.unwrap();
        let there = channels.accept().await.unwrap();
        assert_eq!(there.name(), "chat");
        chat.sender().accepted().await.unwrap();
        assert_eq!(there.recv().await, Some("one".into()));
        there.send("two").await.unwrap();
        assert_eq!(chat.recv().await, Some("two".into()));
        // The server opens one, too.
        let news = server.channel("news", ChannelOptions::bulk()).await.unwrap();
        let mut offered = client.channels();
        let here = offered.next().await.unwrap();
        assert_eq!(here.name(), "news");
        let ticket = here.send("three").await.unwrap();
        assert_eq!(news.recv().await, Some("three".into()));
        assert_eq!(ticket.await, Outcome::Delivered);
        // Closed in one direction, used in the other.
        chat.send("last").await.unwrap();
        chat.close();
        assert!(matches!(chat.try_send("more"), Err(SendError::ChannelClosed(_))));
        assert_eq!(there.recv().await, Some("last".into()));
        assert_eq!(there.recv().await, None);
        assert_eq!(there.receiver().ended(), Some(ChannelEnd::Closed));
        there.send("still").await.unwrap();
        assert_eq!(chat.recv().await, Some("still".into()));
        drop(there);
        assert_eq!(chat.recv().await, None);
        // A reset says why.
        news.sender().reset(ChannelCode::Application, *b"no more");
        assert_eq!(here.recv().await, None);
        let end = ChannelEnd::Reset { code: ChannelCode::Application, detail: b"no more".to_vec() };
        assert_eq!(here.receiver().ended(), Some(end));
        news.receiver().stop(ChannelCode::BadItem, *b"what?");
        let end = ChannelEnd::Reset { code: ChannelCode::BadItem, detail: b"what?".to_vec() };
        assert_eq!(here.sender().stopped().await, end);
        assert!(matches!(here.send("x").await, Err(SendError::ChannelClosed(_))));
    });
}

#[test]
fn b55_a_channel_whose_reader_stops_takes_its_window_and_no_more() {
    block_on(async {
        let (client, server) = pair().await;
        let mut channels = server.channels();
        let stalled = client.channel("stalled", large()).await.unwrap();
        for _ in 0..40 {
            stalled.send(vec![0; 1 << 20]).await.unwrap();
        }
        let _unread = channels.accept().await.unwrap();
        for n in 0..200_u32 {
            client.send(n.to_string()).await.unwrap();
        }
        for n in 0..200_u32 {
            assert_eq!(server.recv().await, Some(n.to_string().into()));
        }
        // The server holds a window of it, 16 MiB, and has not asked for more.
        let queued = stalled.sender().queued();
        assert!(queued.messages >= 24, "{queued:?}");
    });
}

/// The largest message that is taken by default, and what a channel takes that finds no more room among the windows.
const LARGEST: usize = 14_913_024;
const SMALLER: usize = 932_008;

/// Whether a message of `bytes` arrives, and one that is larger ends as too big.
async fn takes(from: &Channel, to: &Channel, bytes: usize) {
    let ticket = from.send(vec![5; bytes]).await.unwrap();
    assert!(soon(to.recv()).await == Some(vec![5; bytes].into()), "{}", from.name());
    assert_eq!(soon(ticket).await, Outcome::Delivered);
    assert_eq!(soon(from.send(vec![5; bytes + 1]).await.unwrap()).await, Outcome::TooBig);
}

#[test]
fn messages_of_a_channel_are_as_large_in_both_directions_whoever_has_opened_it() {
    block_on(async {
        let (client, server) = pair().await;
        let (mut to_server, mut to_client) = (server.channels(), client.channels());
        let asks = client.channel("asks", large()).await.unwrap();
        let answers = to_server.accept().await.unwrap();
        let tells = server.channel("tells", large()).await.unwrap();
        let hears = to_client.accept().await.unwrap();
        for (from, to) in [(&asks, &answers), (&answers, &asks), (&tells, &hears), (&hears, &tells)] {
            takes(from, to, LARGEST).await;
        }
        // What the client says without a channel is large as well: half of the room is kept for what the peer opens.
        for (from, to) in [(&client, &server), (&server, &client)] {
            let ticket = from.send(vec![5; LARGEST]).await.unwrap();
            assert!(soon(to.recv()).await == Some(vec![5; LARGEST].into()));
            assert_eq!(soon(ticket).await, Outcome::Delivered);
        }
    });
}

#[test]
fn a_channel_for_which_there_is_no_more_room_takes_what_fits_its_first_window() {
    block_on(async {
        // For 16 windows of 1 MiB that are promised, and next to nothing besides.
        let limits = TidegateOptions::client().max_channels(16).max_queued_bytes(16 << 20);
        let (client, server) =
            pair_with(|builder| builder.tidegate(limits), serving(TidegateOptions::server())).await;
        let here = client.channel("here", large()).await.unwrap();
        let there = server.channels().accept().await.unwrap();
        takes(&there, &here, SMALLER).await;
        takes(&here, &there, LARGEST).await;
    });
}

#[test]
fn everything_ends_with_the_connection() {
    block_on(async {
        let (client, server) = pair().await;
        let chat = client.channel("chat", ChannelOptions::new()).await.unwrap();
        let there = server.channels().accept().await.unwrap();
        drop(server.close(1000, ""));
        let _ = client.closed().await;
        assert_eq!(chat.recv().await, None);
        assert_eq!(chat.receiver().ended(), Some(ChannelEnd::ConnectionOver));
        assert_eq!(there.sender().stopped().await, ChannelEnd::ConnectionOver);
        let error = client.channel("other", ChannelOptions::new()).await.unwrap_err();
        assert_eq!(error, ChannelError::Closed);
    });
}

#[test]
fn channels_need_a_name_and_a_peer_that_speaks_it() {
    block_on(async {
        let (client, _server) = pair().await;
        for (name, expected) in
            [(String::new(), ChannelError::NoName), ("x".repeat(129), ChannelError::NameTooLong(128))]
        {
            assert_eq!(client.channel(&name, ChannelOptions::new()).await.unwrap_err(), expected);
        }
    });
}

/// A server that speaks it if it `does`, and otherwise refuses or accepts without; and how many have asked.
async fn server(does: &'static [&'static str]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(stream, does));
        }
    });
    (url, count)
}

async fn serve(mut stream: TcpStream, does: &'static [&'static str]) {
    let Ok(request) = read_request(&mut stream, HeadLimits::default()).await else { return };
    let chosen = does.iter().copied().find(|name| request.subprotocols.iter().any(|offered| offered == name));
    if chosen.is_none() && does.contains(&"refuses") && !request.subprotocols.is_empty() {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        return;
    }
    let Ok(client) = accept(stream, &request, chosen, AcceptOptions::default()) else { return };
    while let Some(message) = client.recv().await {
        let _ = client.send(message).await;
    }
}

#[test]
fn v1_a_server_that_refuses_and_never_closes_is_left() {
    in_virtual_time(async {
        let (here, mut there) = tokio::io::duplex(64 << 10);
        let server = tokio::spawn(async move {
            let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
            there.write_all(&request.accept(Some(SUBPROTOCOL)).unwrap().to_bytes()).await.unwrap();
            // One frame: REFUSED(AUTH), to come back as usual, without a reason.
            there.write_all(&[0x82, 4, 0x05, 2, 10, 0]).await.unwrap();
            let mut said = Vec::new();
            // The client ends the stream in the end, since nobody answers its close.
            there.read_to_end(&mut said).await.unwrap();
            said
        });
        let builder = Client::builder("ws://example.com/")
            .mode(Mode::Tidegate)
            .connect_within(Duration::from_secs(86_400));
        let error = builder.connect_over(here).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the server refused the session of tidegate.v1: AUTH (close code 1006)"
        );
        let ConnectError::Session { closed, source: None } = error else { panic!("{error:?}") };
        assert_eq!(closed.cause, CloseCause::Refused(RefusedCode::Auth));
        // The last frame is a close frame, masked, with the same code.
        let said = server.await.unwrap();
        let [.., 0x88, 0x82, a, b, _, _, x, y] = said[..] else { panic!("{said:?}") };
        assert_eq!(u16::from_be_bytes([x ^ a, y ^ b]), 4210);
    });
}

#[test]
fn modes_are_what_was_asked_for_or_say_why_not() {
    block_on(async {
        let connect = |url: &str, mode| Client::builder(url).mode(mode).subprotocol("own.v1").connect();
        let echo = |client: Client| async move {
            client.send_with("x", SendOptions::urgent()).await.unwrap();
            assert_eq!(client.recv().await, Some("x".into()));
        };
        let (speaks, _) = server(&["tidegate.v1", "own.v1"]).await;
        for mode in [Mode::Tidegate, Mode::Auto] {
            let client = connect(&speaks, mode).await.unwrap();
            assert_eq!(client.mode(), Mode::Tidegate);
            echo(client).await;
        }
        let (own, _) = server(&["own.v1"]).await;
        let client = connect(&own, Mode::Auto).await.unwrap();
        assert_eq!((client.mode(), client.protocol().as_str()), (Mode::Plain, "own.v1"));
        let error = client.channel("x", ChannelOptions::new()).await.unwrap_err();
        assert_eq!(error, ChannelError::Plain);
        echo(client).await;
        let error = connect(&own, Mode::Tidegate).await.unwrap_err();
        assert_eq!(error, ConnectError::NotTidegate { protocol: "own.v1".into() });
        // Whoever offers nothing is served, who offers something is not: a second attempt is needed, once.
        let (refuses, asked) = server(&["refuses"]).await;
        let connect = |query: &str, mode| Client::builder(format!("{refuses}{query}")).mode(mode).connect();
        for (query, attempts) in [("", 2), ("", 3), ("?token=1", 4), ("other", 6)] {
            let client = connect(query, Mode::Auto).await.unwrap();
            assert_eq!(client.mode(), Mode::Plain);
            echo(client).await;
            assert_eq!(asked.load(Ordering::Relaxed), attempts, "{query}");
        }
        let connect = |mode| connect("", mode);
        assert!(matches!(connect(Mode::Tidegate).await, Err(ConnectError::Failed { .. })));
    });
}

#[test]
fn a_delay_out_of_its_range_is_a_typed_error_on_both_sides_and_its_bounds_are_not() {
    block_on(async {
        let micros = Duration::from_micros;
        for delay in [micros(4_999), micros(500_001), Duration::ZERO, Duration::MAX] {
            let (here, mut there) = tokio::io::duplex(64 << 10);
            let builder = Client::builder("ws://example.com/").mode(Mode::Tidegate);
            let error = builder.tidegate(TidegateOptions::client().delay(delay)).connect_over(here).await;
            let Err(ConnectError::Delay(error)) = error else { panic!("{delay:?}: {error:?}") };
            assert_eq!(error.delay, delay);
            assert_eq!(there.read(&mut [0; 1]).await.unwrap(), 0, "nothing was tried");

            let (mut here, mut there) = tokio::io::duplex(64 << 10);
            here.write_all(REQUEST).await.unwrap();
            let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
            let mut options = AcceptOptions::default();
            options.tidegate = Some(TidegateOptions::server().delay(delay));
            let Err(refused) = accept(there, &request, None, options) else {
                panic!("{delay:?} is accepted")
            };
            assert_eq!(refused, AcceptError::Delay(error));
            assert_eq!(here.read(&mut [0; 1]).await.unwrap(), 0, "nothing was written");
        }
        for delay in [micros(5_000), micros(500_000)] {
            let mut options = AcceptOptions::default();
            options.tidegate = Some(TidegateOptions::server().delay(delay));
            let build = |builder: ClientBuilder| builder.tidegate(TidegateOptions::client().delay(delay));
            let (client, server) = pair_with(build, options).await;
            client.send("x").await.unwrap();
            assert_eq!(server.recv().await, Some("x".into()));
        }
    });
}

/// One that offers no subprotocol.
const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

#[test]
fn a_close_waits_for_what_is_queued_and_only_so_long() {
    block_on(async {
        let (client, server) = pair().await;
        let tickets: Vec<_> = {
            let mut tickets = Vec::new();
            for _ in 0..20 {
                tickets.push(client.send(vec![1; 100_000]).await.unwrap());
            }
            tickets
        };
        let reader = tokio::spawn(async move {
            let mut count = 0;
            while server.recv().await.is_some() {
                count += 1;
            }
            count
        });
        let closed = client.close(1000, "").await.unwrap();
        assert_eq!((closed.unsent.messages, closed.unknown.messages), (0, 0));
        for ticket in tickets {
            assert_eq!(ticket.await, Outcome::Delivered);
        }
        assert_eq!(reader.await.unwrap(), 20);
    });
}

#[test]
fn what_a_server_says_before_the_greeting_arrives_though_it_closes_at_once() {
    block_on(async {
        let (here, mut there) = tokio::io::duplex(64 << 10);
        let server = tokio::spawn(async move {
            let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
            let client = accept(there, &request, Some(SUBPROTOCOL), AcceptOptions::default()).unwrap();
            for n in 0..1_000_u32 {
                client.send(n.to_string()).await.unwrap();
            }
            client.close(1000, "that is all").await.unwrap()
        });
        let client =
            Client::builder("ws://example.com/").mode(Mode::Tidegate).connect_over(here).await.unwrap();
        for n in 0..1_000_u32 {
            assert_eq!(client.recv().await, Some(n.to_string().into()));
        }
        assert_eq!(client.recv().await, None);
        assert_eq!(client.closed().await.reason, "that is all");
        let closed = server.await.unwrap();
        assert_eq!(
            (closed.unsent.messages, closed.unknown.messages, closed.cause),
            (0, 0, CloseCause::Local)
        );
    });
}

#[test]
fn b32_what_does_not_go_within_the_deadline_is_reported() {
    block_on(async {
        let (client, server) = pair().await;
        let chat = client.channel("chat", large()).await.unwrap();
        let mut tickets = Vec::new();
        for _ in 0..40 {
            tickets.push(chat.send(vec![1; 1 << 20]).await.unwrap());
        }

        // Nobody reads, so that no credit comes.
        let closed = client.close_with(tidegate::CloseOptions::default().within(Duration::from_millis(200)));
        let closed = closed.await.unwrap();
        assert!(closed.unsent.messages > 0, "{closed:?}");
        let mut ends = [0_u32; 2];
        for ticket in tickets {
            match ticket.await {
                Outcome::Delivered => ends[0] += 1,
                Outcome::Unsent | Outcome::Unknown => ends[1] += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(u64::from(ends[1]), closed.unsent.messages + closed.unknown.messages);
        assert!(ends[0] > 0);
        drop(server);
    });
}

/// What comes to be within 20 s, though nothing else happens.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("nobody has been woken")
}

fn serving(limits: TidegateOptions) -> AcceptOptions {
    let mut options = AcceptOptions::default();
    options.tidegate = Some(limits);
    options
}

#[test]
fn b55_flows_that_come_and_go_fill_no_more_than_what_may_be_queued() {
    block_on(async {
        let options = serving(TidegateOptions::server().max_queued_bytes(4 << 20));
        let (client, server) = pair_with(|builder| builder, options).await;
        // Nobody reads there. Each flow goes on a channel of its own, which ends with its only message.
        let mut delivered = 0;
        for n in 0..400 {
            let sent =
                client.send_with(vec![0; 50_000], SendOptions::new().flow(format!("{n}"))).await.unwrap();
            match tokio::time::timeout(Duration::from_millis(500), sent).await {
                Ok(outcome) => assert_eq!(outcome, Outcome::Delivered),
                Err(_) => break,
            }
            delivered += 1;
        }
        assert!(delivered * 50_000 <= 9 << 20, "{delivered}");
        for _ in 0..delivered {
            assert!(soon(server.recv()).await.is_some());
        }
        // Now there is room again.
        let ticket = client.send("more").await.unwrap();
        let reader = tokio::spawn(async move { while server.recv().await.is_some() {} });
        assert_eq!(soon(ticket).await, Outcome::Delivered);
        drop(client);
        reader.await.unwrap();
    });
}

#[test]
fn many_small_messages_of_many_flows_arrive_one_after_the_other() {
    block_on(async {
        let options = serving(TidegateOptions::server().max_channels(2).max_message_bytes(1_024));
        let (client, server) = pair_with(|builder| builder, options).await;
        for n in 0..100 {
            let options = SendOptions::new().flow(format!("{n}"));
            client.send_with(n.to_string(), options).await.unwrap();
            assert_eq!(soon(server.recv()).await, Some(n.to_string().into()));
        }
    });
}

#[test]
fn an_item_that_needs_the_whole_window_arrives_behind_a_small_one() {
    block_on(async {
        let options = serving(TidegateOptions::server().max_queued_bytes(8 << 20));
        let (client, server) = pair_with(|builder| builder, options).await;
        let chat = client.channel("chat", ChannelOptions::new()).await.unwrap();
        let there = server.channels().accept().await.unwrap();
        for bytes in [7_400, 58_192] {
            let ticket = chat.send(vec![1; bytes]).await.unwrap();
            assert!(soon(there.recv()).await == Some(vec![1; bytes].into()));
            assert_eq!(soon(ticket).await, Outcome::Delivered);
        }
    });
}

#[test]
fn who_waits_for_a_channel_hears_that_none_comes() {
    block_on(async {
        let (plain, _) = server(&[]).await;
        for (client, peer) in [(Client::builder(&plain).connect().await.unwrap(), None), {
            let (client, server) = pair().await;
            (client, Some(server))
        }] {
            let mut channels = client.channels();
            let waits = tokio::spawn(async move { channels.accept().await.is_none() });
            tokio::task::yield_now().await;
            client.close(1000, "").await.unwrap();
            assert!(soon(waits).await.unwrap());
            drop(peer);
        }
    });
}

#[test]
fn channels_carry_values_of_the_applications_own_types() {
    block_on(async {
        let (client, server) = pair().await;
        let here = client.channel("sums", ChannelOptions::new()).await.unwrap();
        let here = here.typed::<Vec<u64>, u64, Json>();
        here.send(&vec![1, 2, u64::MAX - 3]).await.unwrap();
        here.sender().send("no numbers").await.unwrap();
        here.try_send(&Vec::new()).unwrap();
        here.close();
        let there = server.channels().accept().await.unwrap().typed::<u64, Vec<u64>, Json>();
        assert_eq!((here.name(), there.name()), ("sums", "sums"));
        let (answers, mut questions) = there.split();
        let numbers = questions.next().await.unwrap().unwrap();
        answers.send(&numbers.iter().sum()).await.unwrap();
        let not_one = questions.recv().await.unwrap().unwrap_err();
        assert_eq!(not_one.into_message(), "no numbers".into());
        assert_eq!(questions.recv().await.unwrap().unwrap(), Vec::<u64>::new());
        assert!(questions.recv().await.is_none());
        assert_eq!(here.recv().await.unwrap().unwrap(), u64::MAX);
    });
}

#[test]
fn a_channel_that_came_before_the_end_can_be_taken_behind_it() {
    block_on(async {
        let (client, server) = pair().await;
        let mut channels = server.channels();
        let chat = client.channel("chat", ChannelOptions::new()).await.unwrap();
        assert_eq!(soon(chat.send("last words").await.unwrap()).await, Outcome::Delivered);
        client.close(1000, "").await.unwrap();
        soon(server.closed()).await;
        let there = soon(channels.accept()).await.expect("it was opened");
        assert_eq!(there.recv().await, Some("last words".into()));
        assert_eq!(there.recv().await, None);
        assert!(matches!(there.try_send("too late"), Err(SendError::Closed(_))));
        drop(there);
        assert!(soon(channels.accept()).await.is_none());
    });
}

#[test]
fn channels_that_nobody_takes_go_with_the_connections_last_handle() {
    block_on(async {
        let (client, server) = pair().await;
        let mut channels = server.channels();
        let chat = client.channel("chat", ChannelOptions::new()).await.unwrap();
        assert_eq!(soon(chat.send("hello").await.unwrap()).await, Outcome::Delivered);
        drop(server);
        assert!(soon(channels.accept()).await.is_none());
        soon(client.closed()).await;
    });
}

#[test]
fn who_waits_for_a_channel_that_nobody_has_any_more_hears_its_end() {
    block_on(async {
        let (client, _server) = pair().await;
        let chat = client.channel("chat", ChannelOptions::new()).await.unwrap();
        let (accepted, stopped) = (chat.sender().accepted(), chat.sender().stopped());
        drop(chat);
        let _ = soon(accepted).await;
        assert_eq!(soon(stopped).await, ChannelEnd::Closed);
    });
}

#[test]
fn a_message_that_comes_behind_a_close_has_an_outcome_also_if_its_channel_is_dropped() {
    block_on(async {
        let (client, server) = pair().await;
        let chat = client.channel("chat", ChannelOptions::new()).await.unwrap();
        let closing = client.close(1000, "");
        let ticket = chat.try_send("late").unwrap();
        drop(chat);
        let closed = soon(closing).await.unwrap();
        assert_eq!(soon(ticket).await, Outcome::Unsent);
        assert_eq!(closed.unsent.messages, 1);
        drop(server);
    });
}

/// Many more than have a channel of their own, each of which is used again when its lane has ended.
const FLOWS: usize = 40;

#[test]
fn b28_flows_keep_their_order_whether_they_have_a_lane_of_their_own_or_not() {
    block_on(async {
        let (client, server) = pair().await;
        for round in 0..3 {
            for number in 0..5 {
                for flow in 0..FLOWS {
                    let options = SendOptions::bulk().flow(flow.to_string());
                    client.send_with(format!("{flow} {}", round * 5 + number), options).await.unwrap();
                }
            }
            client.flushed().await.unwrap();
        }
        let mut next = [0; FLOWS];
        for _ in 0..15 * FLOWS {
            let message = server.recv().await.unwrap().into_text().unwrap();
            let (flow, number) = message.split_once(' ').unwrap();
            let next = &mut next[flow.parse::<usize>().unwrap()];
            assert_eq!(number.parse::<u32>().unwrap(), *next, "flow {flow}");
            *next += 1;
        }
        assert!(next.iter().all(|count| *count == 15));
    });
}

/// A client, and the stream of its server, which has greeted and whose word the test has from here on.
async fn greeted() -> (Client, tokio::io::DuplexStream) {
    let (here, mut there) = tokio::io::duplex(64 << 10);
    let server = tokio::spawn(async move {
        let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
        there.write_all(&request.accept(Some(SUBPROTOCOL)).unwrap().to_bytes()).await.unwrap();
        // WELCOME without settings.
        there.write_all(&[0x82, 7, 0x02, 5, 1, 0, 0, 0, 0]).await.unwrap();
        there
    });
    let builder = Client::builder("ws://example.com/").mode(Mode::Tidegate);
    (builder.connect_over(here).await.unwrap(), server.await.unwrap())
}

#[test]
fn b31_a_close_is_over_by_its_deadline_also_if_the_session_ends_otherwise() {
    in_virtual_time(async {
        for (within, expected) in [(Some(1_000), 1_000), (Some(60_000), 10_500), (None, 10_500)] {
            let (client, mut there) = greeted().await;
            // Not to be delivered, so that the session waits.
            client.send("x").await.unwrap();
            let start = Instant::now();
            let within = within.map(Duration::from_millis);
            let closing = client.close_with(CloseOptions::default().within(within));
            assert!(tokio::time::timeout(Duration::from_millis(500), client.closed()).await.is_err());
            // A message without a record: 4201, and then nothing more.
            there.write_all(&[0x82, 0]).await.unwrap();
            let closed = closing.await.unwrap();
            assert_eq!(closed.cause, CloseCause::PeerFault(FatalCode::ProtocolViolation));
            let took = start.elapsed();
            assert!(
                took.abs_diff(Duration::from_millis(expected)) < Duration::from_millis(5),
                "{within:?}: {took:?}"
            );
        }
    });
}

#[test]
fn a_server_that_finds_its_client_silent_is_not_silent_itself() {
    in_virtual_time(async {
        let (client, mut there) = greeted().await;
        // ERROR(TIMEOUT), about no record, without words.
        there.write_all(&[0x82, 4, 0x0a, 2, 7, 0]).await.unwrap();
        assert_eq!(client.closed().await.cause, CloseCause::ToldFault(FatalCode::Timeout));
    });
}
