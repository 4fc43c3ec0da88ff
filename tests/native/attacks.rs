//! What PROTOCOL.md, section 11, has a peer of `tidegate.v1` bear from a hostile one, over TCP: against the server, and against the client.
//! Each attack is cut off with its code, while another session of the same process goes on.
//!
//! The hostile peer is tungstenite with records by hand ([`hostile`]). [`list`] has what is the same for both sides.

mod client;
pub(crate) mod hostile;
pub(crate) mod list;
mod server;

use std::net::TcpStream;

use tidegate::proto::v1::FatalCode;
use tidegate::proto::ws::HeadLimits;
use tidegate::server::{AcceptOptions, accept, read_request};
use tidegate::{Channel, ChannelOptions, Client, CloseCause, Closed, Mode, TidegateOptions};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tungstenite::{Message, WebSocket};

use self::hostile::{ERROR, Said};

const SUBPROTOCOL: &str = "tidegate.v1";

/// What a hostile peer has heard.
#[derive(Debug, Default)]
struct Heard {
    messages: Vec<Vec<u8>>,
    /// The close code.
    close: Option<u16>,
}

impl Heard {
    /// The code of ERROR, if that was the last word.
    fn error(&self) -> Option<u16> {
        let last = self.messages.last()?;
        (last[0] == ERROR).then(|| last[2].into())
    }
}

/// Says everything, then listens until the other side has closed.
fn say_and_hear(socket: &mut WebSocket<TcpStream>, messages: Vec<Said>) -> Heard {
    for said in messages {
        if socket.send(message(said)).is_err() {
            break;
        }
    }
    let mut heard = Heard::default();
    loop {
        match socket.read() {
            Ok(Message::Binary(message)) => heard.messages.push(message.to_vec()),
            Ok(Message::Close(frame)) => heard.close = frame.map(|frame| frame.code.into()),
            Ok(_) => {}
            Err(_) => return heard,
        }
    }
}

fn message(said: Said) -> Message {
    match said {
        Said::Text(text) => Message::text(text),
        Said::Bytes(bytes) => Message::binary(bytes),
    }
}

/// What is said of an end that is the peer's fault.
fn assert_fault(closed: &Closed, code: u16) {
    assert_eq!(closed.cause, CloseCause::PeerFault(FatalCode::from_wire(code.into())), "{closed:?}");
    assert_eq!((closed.code, closed.was_clean), (4_200 + code, true), "{closed:?}");
}

/// Little may wait to be taken: 64 KiB in each channel.
fn small(options: TidegateOptions) -> TidegateOptions {
    options.max_queued_bytes(1 << 20)
}

/// A server in the runtime of the test, which sends back what it gets, but on channels that nobody is to read. Tells how
/// each of its connections has ended.
async fn serve() -> (String, mpsc::UnboundedReceiver<Closed>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, ends) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let request = read_request(&mut stream, HeadLimits::default()).await.unwrap();
                let mut options = AcceptOptions::default();
                options.tidegate = Some(small(TidegateOptions::server()));
                let client = accept(stream, &request, Some(SUBPROTOCOL), options).unwrap();
                let mut channels = client.channels();
                tokio::spawn(async move {
                    let mut unread = Vec::new();
                    while let Some(channel) = channels.accept().await {
                        if channel.name() == list::UNREAD {
                            unread.push(channel);
                        } else {
                            tokio::spawn(send_back(channel));
                        }
                    }
                });
                while let Some(message) = client.recv().await {
                    if client.send(message).await.is_err() {
                        break;
                    }
                }
                let _ = tell.send(client.closed().await);
            });
        }
    });
    (format!("ws://{address}/"), ends)
}

async fn send_back(channel: Channel) {
    while let Some(message) = channel.recv().await {
        if channel.send(message).await.is_err() {
            return;
        }
    }
}

/// A session that does as it should, beside one that does not.
struct Witness {
    client: Client,
    channel: Channel,
    count: u32,
}

impl Witness {
    async fn of(url: &str) -> Self {
        let client = Client::builder(url).mode(Mode::Tidegate).connect().await.unwrap();
        let channel = client.channel("beside", ChannelOptions::new()).await.unwrap();
        Self { client, channel, count: 0 }
    }

    /// Notices nothing.
    async fn goes_on(&mut self) {
        self.count += 1;
        let message = self.count.to_string();
        self.client.send(message.as_str()).await.unwrap();
        self.channel.send(message.as_str()).await.unwrap();
        assert_eq!(self.client.recv().await, Some(message.as_str().into()));
        assert_eq!(self.channel.recv().await, Some(message.as_str().into()));
    }

    /// Waits for what a thread does, and notices nothing meanwhile.
    async fn beside<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let work = tokio::task::spawn_blocking(work);
        while !work.is_finished() {
            self.goes_on().await;
        }
        self.goes_on().await;
        work.await.expect("the hostile peer is content")
    }
}
