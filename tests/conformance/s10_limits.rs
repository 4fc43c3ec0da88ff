//! Section 10.4: what a peer declares costs nothing, and what it may send is limited.

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{Connection, Event, Limits, MessageDecoder, Role};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{frame, header, key, poll_all, run};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

fn limits(message: u64, frame: u64) -> Limits {
    let mut limits = Limits::default();
    limits.max_message_bytes = message;
    limits.max_frame_bytes = frame;
    limits
}

#[test]
fn b61_declared_lengths_allocate_nothing() {
    for role in ROLES {
        let mut decoder = MessageDecoder::new(role, limits(u64::MAX, u64::MAX));
        let input = header(role, 0x82, 1 << 30);
        decoder.spare()[..input.len()].copy_from_slice(&input);
        decoder.filled(input.len());
        let mut received = 0;
        for _ in 0..300 {
            assert_eq!(decoder.poll(), Ok(None));
            let spare = decoder.spare();
            let n = spare.len().min(1_000);
            spare[..n].fill(7);
            decoder.filled(n);
            received += n;
            let bound = (2 * received).max(64 << 10);
            assert!(decoder.capacity() <= bound, "{} for {received}", decoder.capacity());
        }
    }
}

#[test]
fn b61_the_frame_limit_is_exact() {
    for role in ROLES {
        let fits = frame(role, 0x82, &[1; 1_000]);
        let outcome = run(role, limits(2_000, 1_000), [&fits[..]]);
        assert_eq!((outcome.error, outcome.events.len()), (None, 1));
        // The header alone is enough.
        let outcome = run(role, limits(2_000, 1_000), [&header(role, 0x82, 1_001)[..]]);
        let error = ProtocolError::FrameTooBig { len: 1_001, limit: 1_000 };
        assert_eq!((outcome.error, outcome.sent_code), (Some(error), Some(1009)));
    }
}

#[test]
fn b61_the_message_limit_is_exact_across_fragments() {
    for role in ROLES {
        let start = [frame(role, 0x02, &[1; 600]), frame(role, 0x00, &[1; 399])].concat();
        let fits = [start.clone(), frame(role, 0x80, &[1])].concat();
        for piece in [1, 100, fits.len()] {
            let outcome = run(role, limits(1_000, 600), fits.chunks(piece));
            assert_eq!(outcome.error, None);
            assert_eq!(outcome.events, [Event::Message([1; 1_000][..].into())]);
        }
        let over = [start, header(role, 0x80, 2)].concat();
        let outcome = run(role, limits(1_000, 600), [&over[..]]);
        let error = ProtocolError::MessageTooBig { limit: 1_000 };
        assert_eq!((outcome.error, outcome.sent_code), (Some(error), Some(1009)));
    }
}

#[test]
fn b61_a_limit_of_no_fragments_or_no_bytes_is_kept_to_the_letter() {
    for role in ROLES {
        let mut none = Limits::default();
        none.max_fragments = 0;
        for payload in [&b""[..], b"x"] {
            let outcome = run(role, none, [&frame(role, 0x82, payload)[..]]);
            assert_eq!(outcome.error, Some(ProtocolError::TooManyFragments { limit: 0 }));
        }
        let outcome = run(role, limits(0, 0), [&frame(role, 0x82, b"")[..]]);
        assert_eq!((outcome.error, outcome.events.len()), (None, 1), "nothing is not above 0");
        let outcome = run(role, limits(0, 0), [&frame(role, 0x82, b"x")[..]]);
        assert_eq!(outcome.error, Some(ProtocolError::FrameTooBig { len: 1, limit: 0 }));
    }
}

#[test]
fn b61_a_million_empty_fragments_are_refused() {
    for role in ROLES {
        let mut connection = Connection::new(role, Limits::default());
        connection.receive(&frame(role, 0x02, b""));
        let flood = frame(role, 0x00, b"").repeat(1_000);
        let mut sent = 1;
        let error = loop {
            connection.receive(&flood);
            sent += 1_000;
            let (events, error) = poll_all(&mut connection);
            assert_eq!(events, []);
            if let Some(error) = error {
                break error;
            }
            assert!(sent < 1_000_000);
        };
        let limit = Limits::default().max_fragments;
        assert_eq!(error, ProtocolError::TooManyFragments { limit });
        assert_eq!(error.close_code().get(), 1009);
        assert!(connection.input_capacity() <= 64 << 10);
    }
}

#[test]
fn b61_a_flood_of_control_frames_keeps_memory_flat() {
    for role in ROLES {
        let mut connection = Connection::new(role, Limits::default());
        let flood = [frame(role, 0x89, &[1; 125]), frame(role, 0x8a, &[2; 125])].concat();
        let flood = flood.repeat(100);
        for _ in 0..100 {
            connection.receive(&flood);
            let (events, error) = poll_all(&mut connection);
            assert_eq!((events.len(), error), (200, None));
        }
        assert!(connection.pending() <= 16 * 139, "{}", connection.pending());
        assert!(connection.input_capacity() <= 128 << 10);
    }
}

#[test]
fn b62_lengths_are_compared_before_any_cast() {
    // Cast to 32 bits, each of these would be small or zero.
    for len in [1 << 32, (1 << 32) + 5, (7 << 32) + 1, (1 << 63) - 1] {
        for role in ROLES {
            let input = [header(role, 0x82, len), vec![0; 5]].concat();
            let limit = Limits::default().max_frame_bytes;
            for piece in [1, input.len()] {
                let outcome = run(role, Limits::default(), input.chunks(piece));
                assert_eq!(outcome.error, Some(ProtocolError::FrameTooBig { len, limit }));
                assert_eq!((outcome.events.len(), outcome.sent_code), (0, Some(1009)));
            }
            // As a later fragment, where the sum could wrap as well.
            let input = [frame(role, 0x02, b"start"), header(role, 0x80, len)].concat();
            let outcome = run(role, limits(1_000, u64::MAX), [&input[..]]);
            assert_eq!(outcome.error, Some(ProtocolError::MessageTooBig { limit: 1_000 }));
        }
    }
}

#[test]
fn b62_without_a_limit_the_address_space_is_one() {
    let len = u64::from(u32::MAX) + 1;
    for role in ROLES {
        let mut connection = Connection::new(role, limits(u64::MAX, u64::MAX));
        connection.receive(&header(role, 0x82, len));
        let polled = connection.poll_event(key);
        if usize::try_from(len).is_ok() {
            assert_eq!(polled, Ok(None), "64 bits hold it, though it need never arrive");
        } else {
            assert!(matches!(polled, Err(ProtocolError::FrameTooBig { .. })), "{polled:?}");
        }
    }
}
