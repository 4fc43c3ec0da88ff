//! Hostile servers.

use core::time::Duration;
use std::net::{TcpListener, TcpStream};

use tidegate::{Client, ConnectError, Mode, TidegateOptions, TransportError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use tungstenite::WebSocket;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::hostile::{Hostile, PING, Said, WELCOME};
use super::{Heard, SUBPROTOCOL, Witness, assert_fault, list, say_and_hear, serve, small};
use crate::{block_on, in_virtual_time};

#[allow(clippy::result_large_err, reason = "tungstenite's signature")]
fn accept(listener: &TcpListener) -> WebSocket<TcpStream> {
    let choose = |_: &Request, mut response: Response| {
        response.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
        Ok(response)
    };
    tungstenite::accept_hdr(listener.accept().unwrap().0, choose).unwrap()
}

/// Has a client bear it, which is to end with this code, after the greeting or within.
fn tries_all(hostile: Hostile, code: u16, greets: bool) -> Heard {
    block_on(async {
        let (url, _ends) = serve().await;
        let mut witness = Witness::of(&url).await;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hostile_url = format!("ws://{}/", listener.local_addr().unwrap());
        let victim = tokio::spawn(async move {
            let builder = Client::builder(hostile_url).mode(Mode::Tidegate);
            let connecting = builder.tidegate(small(TidegateOptions::client())).connect().await;
            if !greets {
                let error = connecting.unwrap_err();
                let said = error.to_string();
                let ConnectError::Session { closed, source } = error else { panic!("{said}") };
                assert!(matches!(source, Some(TransportError::Records { .. })), "{source:?}");
                assert!(said.starts_with("the peer broke tidegate.v1: "), "{said}");
                assert!(said.ends_with(&format!(" (close code {})", closed.code)), "{said}");
                return closed;
            }
            let client = connecting.unwrap();
            let closed = client.closed().await;
            assert!(
                matches!(client.failure(), Some(TransportError::Records { .. })),
                "{:?}",
                client.failure()
            );
            closed
        });
        let heard = witness.beside(move || say_and_hear(&mut accept(&listener), hostile.messages)).await;
        assert_eq!((heard.error(), heard.close), (Some(code), Some(4_200 + code)), "{heard:?}");
        assert_fault(&victim.await.unwrap(), code);
        heard
    })
}

fn tries(attack: fn(&mut Hostile) -> u16) {
    let mut hostile = Hostile::new(true);
    let greeting = hostile.greeting();
    hostile.say(&greeting);
    let code = attack(&mut hostile);
    tries_all(hostile, code, true);
}

macro_rules! tests {
    ($($attack:ident,)*) => {$(
        #[test]
        fn $attack() {
            tries(list::$attack);
        }
    )*};
}

list::for_every_attack!(tests);

#[test]
fn b58_what_is_no_welcome_is_cut_off_at_once() {
    let token = [&[WELCOME, 37, 1, 0, 0, 32][..], &[9; 32], &[0]].concat();
    let cases: [(u16, Vec<u8>); 11] = [
        (1, Vec::new()),
        (1, vec![0x7e; 100]),
        // Something before WELCOME, also what means nothing.
        (1, vec![PING, 1, 1]),
        (1, vec![0x80, 0]),
        // RESUMED, where nothing was to be resumed.
        (1, vec![0x04, 4, 1, 0, 1, 1]),
        // A token without a time, and a time without a token.
        (1, token),
        (1, vec![WELCOME, 5, 1, 0, 9, 0, 0]),
        // A feature that was never offered; a limit below its constant; a hint that would go on in the URL.
        (1, vec![WELCOME, 5, 1, 1, 0, 0, 0]),
        (1, vec![WELCOME, 7, 1, 0, 0, 0, 0, 2, 15]),
        (1, vec![WELCOME, 8, 1, 0, 0, 0, 3, b'a', b'&', b'b']),
        (2, vec![WELCOME, 5, 2, 0, 0, 0, 0]),
    ];
    for (code, message) in cases {
        let messages = vec![Said::Bytes(message)];
        tries_all(Hostile { messages, ..Hostile::new(true) }, code, false);
    }
    tries_all(Hostile { messages: vec![Said::Text("welcome")], ..Hostile::new(true) }, 1, false);
}

#[test]
fn b58_garbage_behind_welcome_in_the_same_message_is_cut_off() {
    let mut hostile = Hostile::new(true);
    let message = [&hostile.greeting()[..], &[0x3c; 50]].concat();
    hostile.say(&message);
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let talk =
            tokio::task::spawn_blocking(move || say_and_hear(&mut accept(&listener), hostile.messages));
        // It has greeted, and is over all the same.
        let closed = match Client::builder(url).mode(Mode::Tidegate).connect().await {
            Ok(client) => client.closed().await,
            Err(ConnectError::Session { closed, .. }) => closed,
            Err(other) => panic!("{other:?}"),
        };
        assert_fault(&closed, 1);
        let heard = talk.await.unwrap();
        assert_eq!((heard.error(), heard.close), (Some(1), Some(4_201)));
    });
}

#[test]
fn b58_a_message_without_an_end_is_cut_off_by_a_client_before_it_is_long() {
    for mode in [Mode::Tidegate, Mode::Auto] {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("ws://{}/", listener.local_addr().unwrap());
            let talk = tokio::task::spawn_blocking(move || {
                let mut socket = accept(&listener);
                socket.send(tungstenite::Message::binary(Hostile::new(true).greeting())).unwrap();
                let (binary, more) = (OpCode::Data(Data::Binary), OpCode::Data(Data::Continue));
                for opcode in core::iter::once(binary).chain([more; 100]) {
                    let frame = Frame::message(vec![0; 10_000], opcode, false);
                    if socket.send(tungstenite::Message::Frame(frame)).is_err() {
                        break;
                    }
                }
                say_and_hear(&mut socket, Vec::new()).close
            });
            let client = Client::builder(url).mode(mode).connect().await.unwrap();
            let closed = client.closed().await;
            assert_eq!((closed.code, closed.was_clean), (1_006, false), "{closed:?}");
            assert_eq!(talk.await.unwrap(), Some(1_009));
        });
    }
}

#[test]
fn b58_silence_instead_of_welcome_is_given_up_after_ten_seconds_and_no_later_than_connecting_may_take() {
    for (mode, within, took) in [(Mode::Tidegate, 60, 10), (Mode::Tidegate, 3, 3), (Mode::Auto, 60, 10)] {
        in_virtual_time(async {
            let (here, mut there) = tokio::io::duplex(64 << 10);
            let server = tokio::spawn(async move {
                let limits = tidegate::proto::ws::HeadLimits::default();
                let request = tidegate::server::read_request(&mut there, limits).await.unwrap();
                there.write_all(&request.accept(Some(SUBPROTOCOL)).unwrap().to_bytes()).await.unwrap();
                let mut said = Vec::new();
                there.read_to_end(&mut said).await.unwrap();
                said
            });
            let start = Instant::now();
            let builder = Client::builder("ws://example.com/").mode(mode);
            let connecting = builder.connect_within(Duration::from_secs(within)).connect_over(here);
            let error = connecting.await.unwrap_err();
            // The server answers no close either, for which nobody waits.
            assert_eq!(start.elapsed(), Duration::from_secs(took), "{mode:?}");
            let ConnectError::TimedOut { closed } = error else { panic!("{error:?}") };
            assert_eq!((closed.code, closed.was_clean), (1_006, false), "{closed:?}");
            let said = server.await.unwrap();
            let [.., 0x88, 0x82, a, b, _, _, x, y] = said[..] else { panic!("{said:?}") };
            assert_eq!(u16::from_be_bytes([x ^ a, y ^ b]), 4_207);
        });
    }
}
