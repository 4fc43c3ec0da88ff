//! Sections 5.1, 5.2 and 5.4: what a frame must look like, and which may follow which.

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{Event, Limits, Role};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{assert_fails, frame, header, raw_header, run};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

#[test]
fn b59_wrong_mask_direction_fails_before_the_length_is_believed() {
    // The extended length is not there at all, or absurd: the second byte is enough.
    for rest in [&[][..], &[0xff; 8], &[0; 8]] {
        for short in [5, 126, 127] {
            let unmasked = [&[0x82, short][..], rest].concat();
            assert_fails(Role::Server, &unmasked, ProtocolError::UnmaskedFrame, 1002);
            let masked = [&[0x82, 0x80 | short][..], rest].concat();
            assert_fails(Role::Client, &masked, ProtocolError::MaskedFrame, 1002);
        }
    }
}

#[test]
fn b59_reserved_bits_fail() {
    for role in ROLES {
        for bits in 1..=7 {
            for opcode in [0x0, 0x1, 0x2, 0x8, 0x9, 0xa] {
                let input = frame(role, 0x80 | bits << 4 | opcode, b"payload");
                assert_fails(role, &input, ProtocolError::ReservedBits { bits }, 1002);
            }
        }
    }
}

#[test]
fn b59_reserved_opcodes_fail() {
    for role in ROLES {
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            let input = frame(role, 0x80 | opcode, b"payload");
            assert_fails(role, &input, ProtocolError::ReservedOpcode { opcode }, 1002);
        }
    }
}

#[test]
fn b59_control_frames_above_125_bytes_or_fragmented_fail() {
    for role in ROLES {
        for opcode in [0x8, 0x9, 0xa] {
            let long = frame(role, 0x80 | opcode, &[0; 126]);
            assert_fails(role, &long, ProtocolError::ControlTooLong, 1002);
            let longer = header(role, 0x80 | opcode, 1 << 20);
            assert_fails(role, &longer, ProtocolError::ControlTooLong, 1002);
            let fragmented = frame(role, opcode, b"");
            assert_fails(role, &fragmented, ProtocolError::FragmentedControl, 1002);
        }
    }
}

#[test]
fn b59_non_minimal_lengths_fail() {
    for role in ROLES {
        for len in [0, 1, 125_u16] {
            let input = raw_header(role, 0x82, 126, &len.to_be_bytes());
            let len = u64::from(len);
            assert_fails(role, &input, ProtocolError::NonMinimalLength { len }, 1002);
        }
        for len in [0, 125, 126, 65_535_u64] {
            let input = raw_header(role, 0x82, 127, &len.to_be_bytes());
            assert_fails(role, &input, ProtocolError::NonMinimalLength { len }, 1002);
        }
    }
}

#[test]
fn b59_lengths_above_63_bits_fail() {
    for role in ROLES {
        for len in [1 << 63, u64::MAX] {
            let input = raw_header(role, 0x82, 127, &len.to_be_bytes());
            assert_fails(role, &input, ProtocolError::LengthOverflow, 1002);
        }
    }
}

#[test]
fn b59_a_continuation_without_a_start_fails() {
    for role in ROLES {
        for first in [0x00, 0x80] {
            let input = frame(role, first, b"payload");
            assert_fails(role, &input, ProtocolError::UnexpectedContinuation, 1002);
        }
        // Also after a message that was complete.
        let input = [frame(role, 0x89, b"ping"), frame(role, 0x80, b"payload")];
        assert_fails(role, &input.concat(), ProtocolError::UnexpectedContinuation, 1002);
    }
}

#[test]
fn b59_a_new_data_frame_inside_a_message_fails() {
    for role in ROLES {
        for first in [0x01, 0x02, 0x81, 0x82] {
            let input =
                [frame(role, 0x01, b"start"), frame(role, 0x89, b"ping"), frame(role, first, b"payload")];
            assert_fails(role, &input.concat(), ProtocolError::UnfinishedMessage, 1002);
        }
    }
}

#[test]
fn b59_of_two_faults_in_a_header_the_first_is_told_however_much_has_come() {
    // The order of frames shows in the first byte, the mask in the second, a long control frame there too.
    for role in ROLES {
        let wrong_mask = if role == Role::Server { 0x01 } else { 0x81 };
        for first in [0x00, 0x80] {
            assert_fails(role, &[first, wrong_mask], ProtocolError::UnexpectedContinuation, 1002);
        }
        for first in [0x01, 0x82] {
            let input = [&frame(role, 0x02, b"start")[..], &[first, wrong_mask]].concat();
            assert_fails(role, &input, ProtocolError::UnfinishedMessage, 1002);
        }
    }
}

#[test]
fn messages_of_every_form_of_length_arrive() {
    for role in ROLES {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 131_000, 300_000] {
            let payload: Vec<u8> = (0..len).map(|i: u32| i.to_le_bytes()[1]).collect();
            let input = frame(role, 0x82, &payload);
            for piece in [1_000, 65_536, input.len()] {
                let outcome = run(role, Limits::default(), input.chunks(piece));
                assert_eq!(outcome.error, None);
                assert_eq!(outcome.events, [Event::Message(payload.as_slice().into())]);
            }
        }
    }
}

#[test]
fn fragments_are_joined_around_control_frames() {
    for role in ROLES {
        let input = [
            frame(role, 0x01, b"fragment1"),
            frame(role, 0x89, b"ping"),
            frame(role, 0x00, b""),
            frame(role, 0x8a, b"pong"),
            frame(role, 0x80, b"fragment2"),
        ]
        .concat();
        for cut in 0..=input.len() {
            let (head, tail) = input.split_at(cut);
            let outcome = run(role, Limits::default(), [head, tail]);
            let expected = [
                Event::Ping(b"ping".to_vec()),
                Event::Pong(b"pong".to_vec()),
                Event::Message("fragment1fragment2".into()),
            ];
            assert_eq!(outcome.events, expected, "cut at {cut}");
        }
    }
}
