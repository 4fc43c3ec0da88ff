//! What is measured by the message. The pages have the same in JavaScript (`throughput/cells.js`).

use wasm_bindgen::prelude::*;

use crate::socket::{Data, Socket};

/// Echoes under way at once.
const WINDOW: u32 = 16;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

/// Milliseconds that `what` takes.
pub(crate) async fn measure(
    socket: &mut impl Socket,
    what: &str,
    bytes: usize,
    messages: u32,
) -> Result<f64, JsError> {
    match what {
        "send" => send(socket, bytes, messages).await,
        "receive" => receive(socket, bytes, messages).await,
        "echo" => echo(socket, bytes, messages).await,
        _ => Err(JsError::new("that is not measured here")),
    }
}

/// Sends without waiting for anybody, until the server has counted it all.
async fn send(socket: &mut impl Socket, bytes: usize, messages: u32) -> Result<f64, JsError> {
    let data = vec![0; bytes];
    let start = now();
    for _ in 0..messages {
        // Both crates want a vector of their own for each message.
        socket.send(Data::Binary(data.clone())).await?;
    }
    socket.send(Data::Text("report".to_owned())).await?;
    let Data::Text(report) = socket.next().await? else { return Err(unexpected(0)) };
    let took = now() - start;
    let counted = report.split_once("\"messages\":").map(|(_, rest)| rest.split([',', '}']).next());
    if counted.flatten() != Some(&*messages.to_string()) {
        return Err(JsError::new(&format!("{messages} messages were sent, and the server says {report}")));
    }
    Ok(took)
}

/// Takes a flood, from the first message to the last.
async fn receive(socket: &mut impl Socket, bytes: usize, messages: u32) -> Result<f64, JsError> {
    take(socket, bytes, 0).await?;
    let start = now();
    for message in 1..messages {
        take(socket, bytes, message).await?;
    }
    Ok(now() - start)
}

/// Echoes, always with so many under way.
async fn echo(socket: &mut impl Socket, bytes: usize, messages: u32) -> Result<f64, JsError> {
    let data = vec![0; bytes];
    let start = now();
    for _ in 0..WINDOW.min(messages) {
        socket.send(Data::Binary(data.clone())).await?;
    }
    for message in 0..messages {
        take(socket, bytes, message).await?;
        if message + WINDOW < messages {
            socket.send(Data::Binary(data.clone())).await?;
        }
    }
    Ok(now() - start)
}

async fn take(socket: &mut impl Socket, bytes: usize, message: u32) -> Result<(), JsError> {
    match socket.next().await? {
        Data::Binary(data) if data.len() == bytes => Ok(()),
        _ => Err(unexpected(message)),
    }
}

fn unexpected(message: u32) -> JsError {
    JsError::new(&format!("message {message} is not what was sent"))
}
