//! A slow link of a page's own.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tungstenite::{Message, WebSocket, client};

use super::{PATIENCE, assert_idle, connect, server};

type Socket = WebSocket<TcpStream>;

fn open(address: SocketAddr, target: &str) -> Socket {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    client(format!("ws://{address}{target}"), stream).unwrap().0
}

fn ask(socket: &mut Socket, text: &str) -> String {
    socket.send(Message::text(text)).unwrap();
    socket.read().unwrap().to_text().unwrap().to_owned()
}

/// How long a message of so many bytes takes to come back.
fn echo(socket: &mut Socket, bytes: usize) -> Duration {
    let message = Message::binary(vec![7; bytes]);
    let start = Instant::now();
    socket.send(message.clone()).unwrap();
    assert!(socket.read().unwrap() == message);
    start.elapsed()
}

#[test]
fn a_link_leads_to_the_server_changes_when_asked_and_ends_with_who_asked_for_it() {
    let server = server();
    let mut owner = open(server.address(), "/link?rate=50000000&delay=0");
    let told: serde_json::Value = serde_json::from_str(owner.read().unwrap().to_text().unwrap()).unwrap();
    let port = u16::try_from(told["port"].as_u64().unwrap()).unwrap();
    let link = SocketAddr::from((server.address().ip(), port));
    let mut over = open(link, "/echo");
    echo(&mut over, 40_000);
    for nonsense in ["", "1", "0 1", "1 10001", "1 1 1", "a b"] {
        assert_eq!(ask(&mut owner, nonsense), "what is that?", "{nonsense:?}");
    }
    assert_eq!(ask(&mut owner, "100000 5"), "100000 5");
    // The piece for which the link has been waiting goes as it would have.
    echo(&mut over, 1);
    // 400 ms by the rate, of which the link may catch up with 50.
    let took = echo(&mut over, 40_000);
    assert!(took > Duration::from_millis(300), "{took:?}");

    owner.close(None).unwrap();
    while owner.read().is_ok() {}
    // Both ends of what went over it are told.
    assert!(matches!(over.get_mut().read(&mut [0]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(link).is_err());
    assert_idle(&server);
}

#[test]
fn a_link_ends_with_a_server_that_stops() {
    let server = server();
    let mut owner = open(server.address(), "/link?rate=1&delay=0");
    let told: serde_json::Value = serde_json::from_str(owner.read().unwrap().to_text().unwrap()).unwrap();
    let port = u16::try_from(told["port"].as_u64().unwrap()).unwrap();
    let link = SocketAddr::from((server.address().ip(), port));
    let _idle = connect(&server);
    drop(server);
    assert!(TcpStream::connect(link).is_err());
}
