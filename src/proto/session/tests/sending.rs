//! Messages on their way: whole, read first, probed, in parts, vanished, cancelled, refused.

use super::host::{Host, Sent};
use crate::proto::outcome::Outcome;
use crate::proto::payload::{HostedKind, Payload};
use crate::proto::session::{PART_BYTES, READ_BLOB_UP_TO};

fn text(text: &str) -> Payload {
    Payload::Text(text.into())
}

fn whole(bytes: u64, text: bool) -> Sent {
    Sent { bytes, text, first: true, last: true, slot: None }
}

#[test]
fn owned_messages_go_out_whole_and_in_order_also_empty_ones() {
    for takes_values in [false, true] {
        let mut host = Host::open(takes_values);
        host.send(text("four"), 1);
        host.send(text(""), 2);
        host.send(Payload::Binary(vec![0; 100_000]), 3);
        host.send(Payload::Binary(Vec::new()), 4);
        assert_eq!(host.sent, [whole(4, true), whole(0, true), whole(100_000, false), whole(0, false)]);
        assert!((1..=4).all(|ticket| host.outcome(ticket) == Some(Outcome::HandedOver)));
        assert_eq!(host.session.queued_bytes(), 0);
    }
}

#[test]
fn messages_sent_while_connecting_wait_for_the_opening() {
    let mut host = Host::connecting(true);
    host.send(text("early"), 1);
    assert_eq!((host.sent.len(), host.session.queued_bytes()), (0, 5));
    host.session.handle_opened();
    host.drain();
    assert_eq!((host.opened, host.sent.len()), (1, 1));
    assert_eq!(host.outcome(1), Some(Outcome::HandedOver));
}

#[test]
fn without_room_a_message_waits_and_nothing_overtakes_it() {
    let mut host = Host::open(true);
    host.room = false;
    host.send(text("first"), 1);
    host.send(text("second!"), 2);
    assert!(host.blocked);
    assert_eq!((host.sent.len(), host.session.queued_bytes()), (0, 12));
    host.room = true;
    host.drain();
    assert!(!host.blocked);
    assert_eq!(host.sent, [whole(5, true), whole(7, true)]);
}

#[test]
fn strings_and_buffers_of_the_host_go_as_they_are_and_are_released_once() {
    let mut host = Host::open(true);
    for (ticket, kind) in [(1, HostedKind::Text), (2, HostedKind::Buffer)] {
        let value = host.keep(kind, 70_000);
        let slot = value.slot();
        host.send(value, ticket);
        let text = kind == HostedKind::Text;
        let sent = Sent { bytes: 70_000, text, first: true, last: true, slot };
        assert_eq!(host.sent.pop(), Some(sent));
        assert_eq!(host.outcome(ticket), Some(Outcome::HandedOver));
    }
    assert_eq!((host.asked.len(), host.held()), (0, vec![]));
}

#[test]
fn a_blob_up_to_the_bound_is_read_whole_and_what_was_read_is_sent() {
    for bytes in [1, READ_BLOB_UP_TO - 1, READ_BLOB_UP_TO] {
        let mut host = Host::open(true);
        let blob = host.blob(bytes);
        host.send(blob, 1);
        host.send(text("behind"), 2);
        assert_eq!(host.asked.first().map(|asked| asked.range.clone()), Some(0..bytes));
        assert_eq!(host.sent, [], "what stands behind waits");
        host.answer_value();
        assert_eq!(host.sent.iter().map(|sent| sent.bytes).collect::<Vec<_>>(), [bytes, 6]);
        assert_eq!((host.outcome(1), host.held()), (Some(Outcome::HandedOver), vec![]));
    }
}

#[test]
fn a_larger_blob_is_probed_by_one_byte_and_goes_as_it_is() {
    for probe_in_a_slot in [false, true] {
        let mut host = Host::open(true);
        let blob = host.blob(READ_BLOB_UP_TO + 1);
        let slot = blob.slot();
        host.send(blob, 1);
        assert_eq!(host.asked.first().map(|asked| asked.range.clone()), Some(0..1));
        if probe_in_a_slot {
            host.answer_value();
        } else {
            host.answer_bytes();
        }
        let sent = Sent { bytes: READ_BLOB_UP_TO + 1, text: false, first: true, last: true, slot };
        assert_eq!(host.sent, [sent]);
        assert_eq!((host.outcome(1), host.held()), (Some(Outcome::HandedOver), vec![]));
    }
}

#[test]
fn an_empty_blob_is_read_too_since_a_vanished_file_may_show_no_size() {
    for gone in [false, true] {
        let mut host = Host::open(true);
        let blob = host.blob(0);
        host.send(blob, 1);
        assert_eq!(host.asked.first().map(|asked| asked.range.clone()), Some(0..0));
        let outcome = if gone {
            host.answer(None);
            Outcome::Unreadable
        } else {
            host.answer_bytes();
            Outcome::HandedOver
        };
        assert_eq!(host.sent.len(), usize::from(!gone));
        assert_eq!((host.outcome(1), host.held()), (Some(outcome), vec![]));
    }
}

#[test]
fn an_empty_blob_needs_no_reading_where_only_bytes_go() {
    let mut host = Host::open(false);
    let blob = host.blob(0);
    host.send(blob, 1);
    assert_eq!((host.asked.len(), host.sent.len()), (0, 1));
    assert_eq!((host.outcome(1), host.held()), (Some(Outcome::HandedOver), vec![]));
}

#[test]
fn bytes_only_transports_get_a_value_in_parts() {
    let mut host = Host::open(false);
    let value = host.keep(HostedKind::Text, 2 * PART_BYTES + 1);
    host.send(value, 1);
    host.send(text("behind"), 2);
    for part in 0..3 {
        let start = part * PART_BYTES;
        let end = (start + PART_BYTES).min(2 * PART_BYTES + 1);
        assert_eq!(host.asked.first().map(|asked| asked.range.clone()), Some(start..end));
        // Whether the host gives bytes or another slot makes no difference.
        if part == 1 {
            host.answer_value();
        } else {
            host.answer_bytes();
        }
    }
    let parts: Vec<_> = host.sent.iter().map(|sent| (sent.bytes, sent.text, sent.first, sent.last)).collect();
    assert_eq!(
        parts,
        [
            (PART_BYTES, true, true, false),
            (PART_BYTES, true, false, false),
            (1, true, false, true),
            (6, true, true, true)
        ]
    );
    assert_eq!((host.outcome(1), host.held()), (Some(Outcome::HandedOver), vec![]));
}

#[test]
fn a_vanished_blob_is_one_failed_message_and_the_next_goes_on() {
    for (takes_values, bytes) in [(false, 40_000), (true, 40_000), (true, READ_BLOB_UP_TO + 1)] {
        let mut host = Host::open(takes_values);
        let blob = host.blob(bytes);
        host.send(blob, 1);
        host.send(text("behind"), 2);
        host.answer(None);
        assert_eq!(host.sent, [whole(6, true)]);
        assert_eq!(host.outcome(1), Some(Outcome::Unreadable));
        assert_eq!((host.outcome(2), host.held()), (Some(Outcome::HandedOver), vec![]));
        host.transport_end(1006, false);
        assert_eq!(host.left(), [(0, 0), (1, 6)], "unreadable is neither unsent nor unknown");
    }
}

#[test]
fn content_of_another_length_is_unreadable_and_its_slot_is_released() {
    for length in [0, 39_999, 40_001] {
        let mut host = Host::open(true);
        let blob = host.blob(40_000);
        host.send(blob, 1);
        let content = host.keep(HostedKind::Buffer, length);
        host.answer(Some(content));
        assert_eq!((host.outcome(1), host.held()), (Some(Outcome::Unreadable), vec![]));
    }
}

#[test]
fn a_blob_that_vanishes_at_a_later_part_ends_the_connection() {
    let mut host = Host::open(false);
    let blob = host.blob(40_000);
    host.send(blob, 1);
    host.send(text("behind"), 2);
    host.answer_bytes();
    host.answer(None);
    assert_eq!((host.outcome(1), host.outcome(2)), (Some(Outcome::Unknown), Some(Outcome::Unsent)));
    assert_eq!((host.aborts, host.left()), (1, [(1, 6), (1, 40_000)]));
    assert_eq!(host.held(), [0_u32; 0]);
}

#[test]
fn a_blob_that_vanishes_after_the_close_frame_leaves_the_closing_handshake_alone() {
    let mut host = Host::open(false);
    let blob = host.blob(40_000);
    host.send(blob, 1);
    host.answer_bytes();
    host.close(4001, false);
    host.answer(None);
    assert_eq!((host.closes.len(), host.aborts, host.closed.is_none()), (1, 0, true));
    host.transport_end(4001, true);
    assert_eq!(host.outcome(1), Some(Outcome::Unknown));
    assert_eq!((host.left(), host.held()), ([(0, 0), (1, 40_000)], vec![]));
}

#[test]
fn cancel_takes_out_what_the_transport_has_had_nothing_of() {
    // Queued, being read, read and waiting for room: each can still be cancelled.
    let mut host = Host::open(true);
    let (first, second, third) = (host.blob(100), host.blob(200), host.blob(300));
    for (ticket, blob) in [(1, first), (2, second), (3, third)] {
        host.send(blob, ticket);
    }
    assert!(host.cancel(2), "queued");
    assert_eq!(host.held(), [0, 2]);
    host.room = false;
    assert!(host.cancel(1), "being read");
    host.answer_value(); // Of the first: too late.
    assert_eq!(host.held(), [2]);
    host.answer_value();
    assert!(host.blocked);
    assert!(host.cancel(3), "read, and waiting for room");
    assert_eq!((host.held(), host.sent.len()), (vec![], 0));
    assert!((1..=3).all(|ticket| host.outcome(ticket) == Some(Outcome::Cancelled)));
    assert!(!host.cancel(1) && !host.cancel(9), "nothing is left to cancel");
    host.transport_end(1006, false);
    assert_eq!(host.left(), [(0, 0), (0, 0)]);
}

#[test]
fn what_was_begun_or_is_gone_cannot_be_cancelled() {
    let mut host = Host::open(false);
    let blob = host.blob(40_000);
    host.send(blob, 1);
    host.answer_bytes();
    assert!(!host.cancel(1), "a part is gone");
    host.answer_bytes();
    host.answer_bytes();
    assert!(!host.cancel(1), "all of it is gone");
    assert_eq!(host.outcome(1), Some(Outcome::HandedOver));
}

#[test]
fn what_is_being_given_cannot_be_cancelled() {
    use crate::proto::session::Output;

    let mut host = Host::open(true);
    assert!(host.only_send(text("now"), 1));
    assert!(matches!(host.session.poll_output(true), Output::Transmit(_)));
    assert!(!host.only_cancel(1));
    let (done, slot) = host.session.handle_transmitted(true);
    assert_eq!((done.map(|done| done.outcome), slot), (Some(Outcome::HandedOver), None));
}

#[test]
fn a_refused_message_is_unsent_and_one_refused_in_the_middle_unknown() {
    let mut host = Host::open(false);
    host.takes = false;
    host.send(text("never"), 1);
    assert_eq!(host.outcome(1), Some(Outcome::Unsent));
    host.takes = true;
    let blob = host.blob(40_000);
    host.send(blob, 2);
    host.answer_bytes();
    host.takes = false;
    host.answer_value();
    assert_eq!((host.outcome(2), host.held()), (Some(Outcome::Unknown), vec![]));
    host.close(4001, true);
    host.transport_end(4001, true);
    assert_eq!(host.left(), [(1, 5), (1, 40_000)], "a confirmation does not cover what was cut off");
}

#[test]
fn an_answer_that_nobody_waits_for_is_released() {
    let mut host = Host::open(true);
    let blob = host.blob(100);
    host.send(blob, 1);
    host.transport_end(1006, false);
    assert_eq!((host.outcome(1), host.left()), (Some(Outcome::Unsent), [(1, 100), (0, 0)]));
    host.answer_value();
    assert_eq!(host.held(), [0_u32; 0]);
    assert!(host.session.is_over());
}
