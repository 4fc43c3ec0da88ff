//! The suite against tungstenite as server, on blocking threads.

use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use tungstenite::handshake::server::{Request, Response};
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::{WebSocket, WebSocketConfig};
use tungstenite::{Bytes, Message};

use crate::TcpNet;
use crate::raw::{self, parameter};
use crate::suite::hex;

/// The one server of all tests.
pub(crate) fn net() -> TcpNet {
    static PORT: OnceLock<u16> = OnceLock::new();
    let port = *PORT.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || serve(stream.expect("a connection")));
            }
        });
        port
    });
    TcpNet { port }
}

fn serve(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Some(target) = peek_target(&stream) else { return };
    match target.split('?').next().expect("it has a first part") {
        // Never answered: kept open until the process ends.
        "/never" => core::mem::forget(stream),
        "/burst" => {
            let head = raw::read_head(&mut stream);
            raw::say_and_listen(stream, &[raw::accept(&head), raw::BURST.to_vec()].concat());
        }
        "/raw" => {
            let head = raw::read_head(&mut stream);
            let bytes = raw::from_hex(&parameter(&target, "hex"));
            raw::say_and_listen(stream, &[raw::accept(&head), bytes].concat());
        }
        "/wrong-accept" => {
            raw::read_head(&mut stream);
            raw::say_and_listen(stream, &raw::switching_protocols("d3Jvbmc="));
        }
        "/status" => {
            raw::read_head(&mut stream);
            let code = parameter(&target, "code");
            let response = format!("HTTP/1.1 {code} No\r\nContent-Length: 4\r\n\r\nno.\n");
            raw::say_and_listen(stream, response.as_bytes());
        }
        path => {
            let (path, target) = (path.to_owned(), target.clone());
            // A client that gave up has no handshake.
            if let Some(socket) = accept(stream, path == "/subprotocol") {
                talk(socket, &path, &target);
            }
        }
    }
}

/// The request target, left in the stream. `None` if the client went before it had said it.
fn peek_target(stream: &TcpStream) -> Option<String> {
    let mut head = [0; 2048];
    loop {
        let n = stream.peek(&mut head).ok().filter(|n| *n > 0)?;
        let text = core::str::from_utf8(&head[..n]).expect("a head is text");
        if let Some((line, _)) = text.split_once("\r\n") {
            return line.split(' ').nth(1).map(str::to_owned);
        }
        std::thread::yield_now();
    }
}

#[allow(clippy::result_large_err, reason = "tungstenite's signature")]
fn accept(stream: TcpStream, choose: bool) -> Option<WebSocket<TcpStream>> {
    let callback = |request: &Request, mut response: Response| {
        let offered = request.headers().get("Sec-WebSocket-Protocol").and_then(|names| names.to_str().ok());
        if let (true, Some(first)) = (choose, offered.and_then(|names| names.split(',').next())) {
            let first = first.trim().parse().expect("a token");
            response.headers_mut().insert("Sec-WebSocket-Protocol", first);
        }
        Ok(response)
    };
    let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
    tungstenite::accept_hdr_with_config(stream, callback, Some(config)).ok()
}

fn talk(mut socket: WebSocket<TcpStream>, path: &str, target: &str) {
    match path {
        "/echo" => {
            while let Ok(message) = socket.read() {
                if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
                    return;
                }
            }
        }
        "/sink" => sink(&mut socket),
        "/close" => {
            let code = parameter(target, "code").parse::<u16>().expect("a code").into();
            let reason = parameter(target, "reason").into();
            let _ = socket.close(Some(CloseFrame { code, reason }));
            drain(&mut socket);
        }
        "/flood" => {
            let number = |name| parameter(target, name).parse::<usize>().expect("a number");
            let payload = Bytes::from(vec![0; number("bytes")]);
            for _ in 0..number("messages") {
                if socket.send(Message::Binary(payload.clone())).is_err() {
                    return;
                }
            }
            drain(&mut socket);
        }
        // Kept open, and never read.
        "/stall" => core::mem::forget(socket),
        "/subprotocol" | "/no-subprotocol" => drain(&mut socket),
        other => panic!("there is no route {other}"),
    }
}

fn drain(socket: &mut WebSocket<TcpStream>) {
    while socket.read().is_ok() {}
}

fn sink(socket: &mut WebSocket<TcpStream>) {
    let (mut messages, mut bytes, mut digest) = (0_u64, 0_u64, Sha256::new());
    while let Ok(message) = socket.read() {
        if message == Message::text("report") {
            let sha256 = hex(&digest.clone().finalize());
            let report = format!(r#"{{"messages":{messages},"bytes":{bytes},"sha256":"{sha256}"}}"#);
            if socket.send(Message::text(report)).is_err() {
                return;
            }
        } else if message.is_text() || message.is_binary() {
            messages += 1;
            bytes += message.len() as u64;
            digest.update(message.into_data());
        }
    }
}

/// The suite, which waits for its network.
mod whole_suite {
    use crate::TcpNet;

    fn net() -> impl Future<Output = TcpNet> {
        core::future::ready(super::net())
    }

    crate::suite::for_every_transport!(run);
    crate::suite::for_transports_with_a_task!(run);
}
