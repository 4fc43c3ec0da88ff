//! The other end of a connection in memory, in the test's hands: it reads and writes only when it is asked
//! to, and counts every byte.

use tidegate::Client;
#[cfg(feature = "deflate")]
use tidegate::proto::ws::{ClientHandshake, ClientRequest, DeflateOptions};
use tidegate::proto::ws::{Connection, Event, HeadLimits, Limits, Request, Role, ServerHandshake, no_key};
use tidegate::server::{AcceptOptions, accept};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use crate::blocked::REQUEST;

/// How much a stream holds: what the peer has not read and yet was written.
pub(crate) const STREAM_BYTES: usize = 16 << 10;

/// What a client asks for.
pub(crate) fn request() -> Request {
    ServerHandshake::new(HeadLimits::default()).receive(REQUEST).unwrap().expect("it is complete")
}

/// The other end of a connection, in the test's hands: reads only when it is asked to.
pub(crate) struct Peer {
    pub(crate) stream: DuplexStream,
    pub(crate) codec: Connection,
    /// Bytes read so far.
    pub(crate) read: usize,
}

impl Peer {
    /// Reads until something has come.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.codec.poll_event(no_key).expect("the protocol is kept") {
                return event;
            }
            let n = self.stream.read(self.codec.spare()).await.unwrap();
            assert!(n > 0, "the stream ends early");
            self.codec.filled(n);
            self.read += n;
        }
    }

    /// Writes the frames that `frame` queues, and what was queued before.
    pub(crate) async fn say(&mut self, frame: impl FnOnce(&mut Connection)) {
        frame(&mut self.codec);
        self.stream.write_all(self.codec.output()).await.unwrap();
        self.codec.consume(self.codec.pending());
    }
}

/// The default options but for what `change` does to them.
pub(crate) fn with(change: impl FnOnce(&mut AcceptOptions)) -> AcceptOptions {
    let mut options = AcceptOptions::default();
    change(&mut options);
    options
}

/// A server of tidegate's, and its peer once the opening handshake is done.
pub(crate) async fn pair(options: AcceptOptions) -> (Client, Peer) {
    over(&request(), options, |limits| Connection::new(Role::Client, limits)).await
}

/// As [`pair`]; both compress all that is not empty.
#[cfg(feature = "deflate")]
pub(crate) async fn compressed_pair() -> (Client, Peer) {
    let mut deflate = DeflateOptions::default();
    deflate.min_bytes = 0;
    let mut request = ClientRequest::new("example.com", "/chat").unwrap();
    request.deflate(deflate);
    let handshake = ClientHandshake::new(request, [7; 16], HeadLimits::default());
    let request = ServerHandshake::new(HeadLimits::default()).receive(handshake.request()).unwrap().unwrap();
    let agreed = request.accept_with_deflate(None, &deflate).unwrap().1;
    let options = with(|options| options.deflate = Some(deflate));
    over(&request, options, |limits| Connection::with_deflate(Role::Client, limits, agreed.as_ref())).await
}

async fn over(
    request: &Request,
    options: AcceptOptions,
    codec: impl FnOnce(Limits) -> Connection,
) -> (Client, Peer) {
    let (ours, mut theirs) = tokio::io::duplex(STREAM_BYTES);
    let server = accept(ours, request, None, options).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(theirs.read_u8().await.unwrap());
    }
    let mut limits = Limits::default();
    limits.max_message_bytes = 1 << 30;
    (server, Peer { stream: theirs, codec: codec(limits), read: 0 })
}
