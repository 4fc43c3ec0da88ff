//! How a connection comes to be open: accepted from a request that was read, or opened over the wire by a
//! client whose server is driven by hand.

use tidegate::proto::ws::{
    ClientHandshake, ClientRequest, Connection, HeadLimits, Limits, Request, Role, ServerHandshake,
};
use tidegate::server::{AcceptOptions, accept};
use tidegate::{Client, ConnectError};
use tokio::task::JoinHandle;
use tokio::time::Duration;

use super::super::input::Input;
use super::wire::Wire;
use super::{TURNS, turns};

/// Most steps of an opening handshake.
const MOST_STEPS: usize = 40;

/// An open connection.
pub(super) struct Open {
    pub(super) client: Client,
    /// The far end, in the other role.
    pub(super) peer: Connection,
    /// What the far end has sent already, with its half of the handshake.
    pub(super) early: Vec<Vec<u8>>,
    /// It never closes of itself: neither when nobody takes what has come, nor when nothing comes.
    pub(super) is_patient: bool,
}

/// What the input says about a connection.
struct Settings {
    options: AcceptOptions,
    compresses: bool,
    role: Role,
    /// The far end sends a message in the same breath as its half of the handshake.
    is_early: bool,
    is_patient: bool,
}

const EARLY: &[u8] = b"early";

impl Settings {
    fn new(input: &mut Input<'_>) -> Self {
        let (choice, more) = (input.byte(), input.byte());
        let mut options = AcceptOptions::default();
        options.limits.max_output_bytes = [0, 1, 100, 1 << 20][usize::from(choice & 3)];
        options.send_limits.max_queued_messages = [1, 3, 65_536][usize::from(choice >> 2 & 3) % 3];
        if choice & 0x10 != 0 {
            options.recv_limits.max_queued_messages = 2;
        }
        if choice & 0x20 != 0 {
            options.close_within = None;
        }
        if choice & 0x40 != 0 {
            options.ping_after = None;
        }
        options.fragment_bytes = [options.fragment_bytes, Some(7), Some(1_000), None][usize::from(more & 3)];
        Self {
            options,
            compresses: more & 4 != 0,
            role: if more & 8 == 0 { Role::Server } else { Role::Client },
            is_early: more & 16 != 0,
            is_patient: choice & 0x50 == 0x40,
        }
    }
}

/// Opens a connection as `input` has it. `None` if it was never open, as it should be then.
pub(super) async fn open(input: &mut Input<'_>, wire: &Wire) -> Option<Open> {
    let settings = Settings::new(input);
    let (client, peer) = match settings.role {
        Role::Client => connected(input, wire, &settings).await?,
        Role::Server => accepted(wire, &settings),
    };
    let early = if settings.is_early { vec![EARLY.to_vec()] } else { Vec::new() };
    Some(Open { client, peer, early, is_patient: settings.is_patient })
}

/// A server's handle; its client has sent a request and waits for the answer.
fn accepted(wire: &Wire, settings: &Settings) -> (Client, Connection) {
    #[allow(unused_mut, reason = "nothing is agreed on without the feature")]
    let mut request = ClientRequest::new("example.com", "/").expect("a request");
    #[allow(unused_mut, reason = "likewise")]
    let mut options = settings.options;
    #[cfg(feature = "deflate")]
    if settings.compresses {
        options.deflate = Some(wanted());
        request.deflate(wanted());
    }
    let sent = ClientHandshake::new(request, [7; 16], HeadLimits::default());
    let read = |bytes: &[u8]| {
        let request = ServerHandshake::new(HeadLimits::default()).receive(bytes);
        request.expect("it is valid").expect("it is complete")
    };
    let (_, mut peer) = answer(&read(sent.request()), Role::Client);
    // A client should wait for the answer, but need not.
    let request = read(&[sent.request(), &early(&mut peer, settings)].concat());
    (accept(wire.stream(), &request, None, options).expect("it can be accepted"), peer)
}

/// A client's handle, opened over the wire: the input says what gets through, and when it all ends.
async fn connected(input: &mut Input<'_>, wire: &Wire, settings: &Settings) -> Option<(Client, Connection)> {
    let Settings { options, .. } = settings;
    let builder = Client::builder("ws://example.com/")
        .limits(options.limits)
        .send_limits(options.send_limits)
        .recv_limits(options.recv_limits)
        .close_within(options.close_within)
        .fragment_bytes(options.fragment_bytes)
        .ping_after(options.ping_after);
    #[cfg(feature = "deflate")]
    let builder = builder.deflate(settings.compresses.then(wanted));
    let connecting = tokio::spawn(builder.connect_over(wire.stream()));
    let handshake = Some(ServerHandshake::new(HeadLimits::default()));
    let mut server = Server { handshake, open: None, settings };
    // Something was said that may keep it from opening.
    let mut is_disturbed = false;
    for _ in 0..MOST_STEPS {
        let step = input.byte();
        match step & 15 {
            0 | 1 => wire.let_read(input.small()),
            2 | 3 => wire.let_write(input.small()),
            4 | 5 => turns(1 + usize::from(step >> 4)).await,
            6 => server.read(wire),
            7 => wire.stall_flush(step & 0x10 != 0),
            8 => {
                wire.put(input.run());
                is_disturbed = true;
            }
            9 => {
                match step >> 4 {
                    0..4 => wire.end_reading(),
                    4..8 => wire.break_reading(),
                    8..12 => wire.break_writing(),
                    // Whoever connects has given up, or waited too long.
                    12 | 13 => connecting.abort(),
                    _ => tokio::time::advance(Duration::from_secs(16)).await,
                }
                is_disturbed = true;
            }
            _ => break,
        }
    }
    if !is_disturbed {
        wire.stall_flush(false);
    }
    finish(wire, server, connecting, is_disturbed).await
}

/// Lets the rest of the handshake through.
async fn finish(
    wire: &Wire,
    mut server: Server<'_>,
    connecting: JoinHandle<Result<Client, ConnectError>>,
    is_disturbed: bool,
) -> Option<(Client, Connection)> {
    for _ in 0..4 {
        wire.let_read(10_000);
        wire.let_write(10_000);
        turns(TURNS).await;
        server.read(wire);
    }
    if !connecting.is_finished() {
        assert!(is_disturbed, "it does not open");
        // The server's answer may have been taken for the rest of something else: only the deadline ends that.
        tokio::time::advance(Duration::from_secs(16)).await;
        turns(TURNS).await;
    }
    assert!(connecting.is_finished(), "the deadline is not kept");
    match connecting.await {
        Ok(Ok(client)) => {
            let peer = server.open.expect("no server has accepted this");
            // What was put in front of the frames is not the peer's: such a connection is worth nothing.
            if is_disturbed { None } else { Some((client, peer)) }
        }
        Ok(Err(error)) => {
            assert!(is_disturbed, "{error:?}");
            assert!(wire.is_shut(), "the stream is let go of");
            None
        }
        Err(error) => {
            assert!(error.is_cancelled() && is_disturbed, "{error:?}");
            turns(TURNS).await;
            assert!(wire.is_shut(), "the stream is let go of");
            None
        }
    }
}

/// The far end of a client that connects.
struct Server<'a> {
    handshake: Option<ServerHandshake>,
    open: Option<Connection>,
    settings: &'a Settings,
}

impl Server<'_> {
    /// Takes what the client has written so far, and answers a request once it is complete.
    fn read(&mut self, wire: &Wire) {
        let Some(handshake) = &mut self.handshake else { return };
        let request = handshake.receive(&wire.take_head()).expect("a client of ours sends a valid request");
        let Some(request) = request else { return };
        assert!(request.rest.is_empty(), "nothing is sent before the answer");
        let (response, mut connection) = answer(&request, Role::Server);
        wire.put(&[response, early(&mut connection, self.settings)].concat());
        (self.handshake, self.open) = (None, Some(connection));
    }
}

/// The first frame of a side that says something at once.
fn early(connection: &mut Connection, settings: &Settings) -> Vec<u8> {
    if settings.is_early {
        connection.send_binary(EARLY, || [1, 2, 3, 4]).expect("it is open");
    }
    let bytes = connection.output().to_vec();
    connection.consume(bytes.len());
    bytes
}

/// How a request is accepted, and the connection that the side in `role` has then.
#[cfg(feature = "deflate")]
fn answer(request: &Request, role: Role) -> (Vec<u8>, Connection) {
    let (response, agreed) = request.accept_with_deflate(None, &wanted()).expect("nothing is chosen");
    (response.to_bytes(), Connection::with_deflate(role, limits(), agreed.as_ref()))
}

#[cfg(not(feature = "deflate"))]
fn answer(request: &Request, role: Role) -> (Vec<u8>, Connection) {
    let response = request.accept(None).expect("nothing is chosen");
    (response.to_bytes(), Connection::new(role, limits()))
}

#[cfg(feature = "deflate")]
fn wanted() -> tidegate::proto::ws::DeflateOptions {
    let mut wanted = tidegate::proto::ws::DeflateOptions::default();
    wanted.min_bytes = 0;
    wanted
}

/// Those of the far end, which takes and queues whatever it is given.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_output_bytes = usize::MAX;
    limits
}
