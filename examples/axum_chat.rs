//! A chat and bulk telemetry over one connection, served by axum.
//!
//! ```sh
//! cargo run --release --features axum,v1,socket --example axum_chat -- 127.0.0.1:3000 http://localhost:5173
//! ```
//!
//! For pages of the origins that follow the address, and clients that are no browsers, if they speak `tidegate.v1`. Each opens
//! the channel `chat`, and may open `telemetry`, for as much as it likes: nothing of that holds the chat up. At ctrl-C all are
//! told to go.

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use tidegate::server::axum::{Endpoint, Origins, WithoutOrigin, upgrade};
use tidegate::server::{Connections, keep_unsent_short};
use tidegate::{Channel, ChannelSender, Client, Message, Mode, SendError};
use tokio::net::TcpListener;

/// Everybody who chats.
type Room = Arc<Mutex<Vec<Arc<ChannelSender>>>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum_chat: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Vec<String>) -> Result<(), Box<dyn Error>> {
    let (address, origins) = arguments.split_first().ok_or("usage: axum_chat HOST:PORT [ORIGIN]...")?;
    let connections = Connections::default();
    let app = app(Endpoint::new(Origins::new(origins, WithoutOrigin::Accept)?).connections(&connections));
    let listener = TcpListener::bind(address).await?;
    println!("listening on ws://{}/live", listener.local_addr()?);
    let listener = listener.tap_io(|stream| drop(keep_unsent_short(stream)));
    let serving = axum::serve(listener, app).with_graceful_shutdown(connections.shutting_down());
    let serving = tokio::spawn(serving.into_future());
    tokio::signal::ctrl_c().await?;
    connections.shutdown(Duration::from_secs(5), Duration::from_secs(1), Duration::from_secs(5)).await;
    Ok(serving.await??)
}

/// The routes.
pub fn app(endpoint: Endpoint) -> Router {
    let room = Room::default();
    Router::new().route("/live", get(upgrade(endpoint, move |client, ()| talk(client, room.clone()))))
}

async fn talk(client: Client, room: Room) {
    if client.mode() == Mode::Plain {
        return drop(client.close(1000, "speak tidegate.v1").await); // or it waits here, read by nobody
    }
    let mut channels = client.channels();
    while let Some(channel) = channels.accept().await {
        match channel.name() {
            "chat" => drop(tokio::spawn(chat(channel, room.clone()))),
            "telemetry" => drop(tokio::spawn(count(channel))),
            _ => channel.refuse(*b"chat or telemetry"),
        }
    }
}

/// What one says goes to all.
async fn chat(channel: Channel, room: Room) {
    let (sender, receiver) = channel.split();
    let sender = Arc::new(sender);
    room.lock().expect("nobody panics with it").push(sender.clone());
    while let Some(message) = receiver.recv().await {
        let Some(text) = message.as_text() else { continue };
        let stays = |result| matches!(result, Ok(_) | Err(SendError::Full(_))); // whoever does not read misses it
        room.lock().expect("nobody panics with it").retain(|other| stays(other.try_send(text)));
    }
    // Nobody else has it then, so that it closes.
    room.lock().expect("nobody panics with it").retain(|other| !Arc::ptr_eq(other, &sender));
}

/// Says at the end how many bytes have come. What is not taken makes the client wait.
async fn count(channel: Channel) {
    let mut bytes = 0;
    while let Some(Message::Binary(sample)) = channel.recv().await {
        bytes += sample.len();
    }
    let _ = channel.send(bytes.to_string()).await; // gone before the end
}
