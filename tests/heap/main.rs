//! What hostile input costs in memory, all of it, and what queued messages do: every allocation is counted.
//!
//! One test at a time, so that nothing else allocates meanwhile.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]

#[cfg(feature = "v1")]
mod attacks;
mod queue;

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use peak_alloc::PeakAlloc;
use tidegate::ReadyState;
use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{
    ClientHandshake, ClientRequest, Connection, Deflate, DeflateOptions, Encoder, HeadLimits, Limits,
    MessageKind, Request, Role, ServerHandshake,
};
use tidegate::server::{AcceptOptions, accept};
use tokio::io::AsyncWriteExt as _;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Held by the test that counts.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that `work` takes at most beyond what there is already.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let result = work();
    (result, HEAP.peak_usage() - before)
}

fn key() -> [u8; 4] {
    [1, 2, 3, 4]
}

/// A client's that offers to compress.
fn request() -> Request {
    let mut request = ClientRequest::new("localhost", "/").unwrap();
    request.deflate(DeflateOptions::default());
    let handshake = ClientHandshake::new(request, [7; 16], HeadLimits::default());
    let mut server = ServerHandshake::new(HeadLimits::default());
    server.receive(handshake.request()).unwrap().unwrap()
}

fn agreed() -> Deflate {
    request().accept_with_deflate(None, &DeflateOptions::default()).unwrap().1.unwrap()
}

/// Whether a server's connection is open, to which `input` comes at once while nobody receives.
fn unread(input: &[u8], options: AcceptOptions) -> bool {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(16 << 10);
        let server = accept(ours, &request(), None, options).unwrap();
        let written = tokio::time::timeout(Duration::from_secs(1), theirs.write_all(input)).await;
        assert!(written.is_err(), "the peer has to wait");
        server.ready_state() == ReadyState::Open
    })
}

/// The first fault that `connection` finds in `input`, which arrives in pieces.
fn fault(connection: &mut Connection, input: &[u8], piece: usize) -> Option<ProtocolError> {
    for piece in input.chunks(piece) {
        connection.receive(piece);
        loop {
            match connection.poll_event_ref(key) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Some(error),
            }
        }
        connection.consume(usize::MAX);
    }
    None
}

#[test]
fn b61_hostile_input_costs_no_more_than_the_limits_allow() {
    let _turn = turn();
    let agreed = agreed();
    let mut limits = Limits::default();
    limits.max_message_bytes = 1 << 20;

    let mut encoder = Encoder::with_deflate(Role::Client, &agreed);
    let mut bomb = Vec::new();
    let zeros = vec![0; 1 << 20];
    for n in 1..=128 {
        encoder.message(MessageKind::Binary, &zeros, n == 128, key, &mut bomb).unwrap();
    }
    assert!(bomb.len() < 200 << 10, "{}", bomb.len());
    // In one frame, in a read of the largest size, and in small ones.
    for piece in [bomb.len(), 64 << 10, 1_000] {
        let (error, bytes) = peak(|| {
            let mut server = Connection::with_deflate(Role::Server, limits, Some(&agreed));
            fault(&mut server, &bomb, piece)
        });
        assert_eq!(error, Some(ProtocolError::MessageTooBig { limit: 1 << 20 }));
        assert!(bytes < 4 << 20, "a bomb of 128 MiB in pieces of {piece} took {bytes} bytes");
    }

    // Empty fragments without end: no more than their count.
    let fragments = [&[0x02, 0x80, 1, 2, 3, 4][..], &[0x00, 0x80, 1, 2, 3, 4].repeat(1_000_000)].concat();
    let (error, bytes) = peak(|| {
        let mut server = Connection::new(Role::Server, Limits::default());
        fault(&mut server, &fragments, 64 << 10)
    });
    assert_eq!(error, Some(ProtocolError::TooManyFragments { limit: 1 << 17 }));
    assert!(bytes < 512 << 10, "a million empty fragments took {bytes} bytes");

    // A header that declares 64 MiB, and then nothing.
    let declared = [0x82, 0xff, 0, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4];
    let (error, bytes) = peak(|| {
        let mut server = Connection::new(Role::Server, Limits::default());
        let error = fault(&mut server, &declared, declared.len());
        assert!(!server.spare().is_empty());
        error
    });
    assert_eq!(error, None);
    assert!(bytes < 128 << 10, "a header took {bytes} bytes");

    // Pings without end to one that does not write: no more than 17 pongs.
    let pings = [0x89, 0x84, 1, 2, 3, 4, 9, 9, 9, 9].repeat(100_000);
    let ((), bytes) = peak(|| {
        let mut server = Connection::new(Role::Server, Limits::default());
        for piece in pings.chunks(64 << 10) {
            server.receive(piece);
            while server.poll_event_ref(key).unwrap().is_some() {}
        }
    });
    assert!(bytes < 200 << 10, "a flood of pings took {bytes} bytes");

    // Messages of 1 MiB in 1 kB each, more than a hundred of them in the reads of one turn: what is on its
    // way to the receive queue counts, too.
    let mut encoder = Encoder::with_deflate(Role::Client, &agreed);
    let mut bombs = Vec::new();
    for _ in 0..200 {
        encoder.message(MessageKind::Binary, &zeros, true, key, &mut bombs).unwrap();
    }
    assert!(bombs.len() < 512 << 10, "{}", bombs.len());
    let mut options = AcceptOptions::default();
    options.limits.max_message_bytes = 1 << 20;
    options.recv_limits.max_queued_bytes = 8 << 20;
    options.deflate = Some(DeflateOptions::default());
    let (is_open, bytes) = peak(|| unread(&bombs, options));
    assert!(is_open);
    // Half of the queue, what comes next, and the one that is being inflated.
    assert!(bytes < (4 + 6) << 20, "200 messages of 1 MiB took {bytes} bytes");
}

#[test]
fn b28_a_queued_message_costs_64_bytes_beyond_its_payload() {
    let _turn = turn();
    queue::a_message_costs_64_bytes_beyond_its_payload();
    queue::what_was_queued_in_one_lane_leaves_its_room_to_the_others();
    queue::a_message_of_a_client_costs_no_more();
}
