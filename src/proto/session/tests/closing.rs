//! Ends of a connection: every way in every phase, with exact accounts.

use core::time::Duration;

use super::host::{Host, SECOND, at};
use crate::proto::outcome::{CloseCause, Outcome};
use crate::proto::payload::Payload;

fn text(text: &str) -> Payload {
    Payload::Text(text.into())
}

/// One message handed over (3 bytes), one being read (100), one queued (5).
fn busy() -> Host {
    let mut host = Host::open(true);
    host.send(text("one"), 1);
    let blob = host.blob(100);
    host.send(blob, 2);
    host.send(text("three"), 3);
    host
}

fn outcomes(host: &Host) -> [Option<Outcome>; 3] {
    [1, 2, 3].map(|ticket| host.outcome(ticket))
}

const LOST: [Option<Outcome>; 3] = [Some(Outcome::HandedOver), Some(Outcome::Unsent), Some(Outcome::Unsent)];

/// Unsent: the one being read and the one queued. Unknown: the one handed over.
const LOST_AMOUNTS: [(u64, u64); 2] = [(2, 105), (1, 3)];

#[test]
fn the_peers_end_is_final_in_every_phase_with_true_accounts() {
    let ways: [fn(&mut Host); 3] = [|_| {}, Host::end, |host| host.close(4001, true)];
    for way in ways {
        let mut host = busy();
        way(&mut host);
        host.transport_end(1001, true);
        assert_eq!((outcomes(&host), host.left()), (LOST, LOST_AMOUNTS));
        assert_eq!((host.cause(), host.aborts), (Some(CloseCause::Peer), 0));
        let closed = host.closed.clone().unwrap();
        assert_eq!((closed.code, closed.reason.as_str(), closed.was_clean), (1001, "peer", true));
        host.answer_value();
        assert_eq!((host.held(), host.session.is_over(), host.due), (vec![], true, None));
    }
}

#[test]
fn a_flushing_close_sends_everything_first_and_a_confirmation_covers_it() {
    let mut host = busy();
    host.close(4001, true);
    assert!(!host.try_send(text("late"), 4), "nothing is taken any more");
    assert!(host.session.delivers(), "messages still come in while flushing");
    assert_eq!((host.closes.len(), host.due), (0, Some(at(1))));
    host.answer_value();
    assert_eq!(host.closes, [(Some(4001), "bye".into())]);
    assert!(!host.session.delivers(), "a browser delivers nothing after a close");
    host.transport_end(4001, true);
    assert_eq!(outcomes(&host), [Some(Outcome::HandedOver); 3]);
    assert_eq!((host.cause(), host.left()), (Some(CloseCause::Local), [(0, 0), (0, 0)]));
}

#[test]
fn a_close_with_nothing_to_flush_is_sent_at_once() {
    let mut host = Host::open(true);
    host.close(4001, true);
    assert_eq!(host.closes.len(), 1);
}

#[test]
fn a_flush_goes_on_when_its_last_message_is_cancelled() {
    let mut host = Host::open(true);
    let blob = host.blob(100);
    host.send(blob, 1);
    host.close(4001, true);
    assert!(host.cancel(1));
    assert_eq!(host.closes.len(), 1);
}

#[test]
fn a_dropping_close_leaves_the_queue_unsent() {
    let mut host = busy();
    host.close(4001, false);
    assert_eq!(host.closes.len(), 1);
    host.transport_end(4001, true);
    assert_eq!(outcomes(&host), LOST);
    assert_eq!(host.left(), [(2, 105), (0, 0)], "the peer has confirmed what was handed over");
}

#[test]
fn the_deadline_of_a_close_covers_flushing_and_confirmation() {
    // While flushing.
    let mut host = busy();
    host.close(4001, true);
    host.pass(SECOND / 2);
    assert_eq!(host.closed, None);
    host.pass(SECOND / 2);
    assert_eq!((host.cause(), host.aborts), (Some(CloseCause::Unconfirmed), 1));
    assert_eq!((outcomes(&host), host.left()), (LOST, LOST_AMOUNTS));
    // While waiting for the peer.
    let mut host = busy();
    host.close(4001, true);
    host.pass(SECOND / 2);
    host.answer_value();
    host.pass(SECOND / 2);
    assert_eq!((host.cause(), host.aborts), (Some(CloseCause::Unconfirmed), 1));
    assert_eq!(outcomes(&host), [Some(Outcome::HandedOver); 3]);
    assert_eq!(host.left(), [(0, 0), (3, 108)]);
}

#[test]
fn only_the_first_close_counts() {
    let mut host = Host::open(true);
    host.close(4001, true);
    host.close(4002, true);
    host.end();
    assert_eq!(host.closes, [(Some(4001), "bye".into())]);
    host.transport_end(4001, true);
    host.close(4003, true);
    host.abort();
    host.transport_end(1006, false);
    assert_eq!(host.closed.map(|closed| closed.code), Some(4001));
}

#[test]
fn another_code_than_ours_means_that_the_peer_closed_as_well() {
    let mut host = busy();
    host.answer_value();
    host.close(4001, true);
    host.transport_end(1001, true);
    assert_eq!(host.cause(), Some(CloseCause::Peer));
    assert_eq!(host.left(), [(0, 0), (3, 108)], "it need not have read what went before");
}

#[test]
fn a_close_without_a_code_is_confirmed_by_1005() {
    use crate::proto::session::CloseRequest;
    let mut host = Host::open(true);
    let request = CloseRequest { code: None, reason: String::new(), within: None, flush: true };
    host.session.handle_close(at(0), request);
    host.drain();
    assert_eq!((host.due, host.closes.clone()), (None, vec![(None, String::new())]));
    host.transport_end(1005, true);
    assert_eq!(host.cause(), Some(CloseCause::Local));
}

#[test]
fn end_goes_on_receiving_until_the_peer_closes() {
    let mut host = busy();
    host.end();
    assert!(!host.try_send(text("late"), 4));
    host.answer_value();
    assert_eq!(outcomes(&host), [Some(Outcome::HandedOver); 3]);
    assert!(host.session.delivers());
    assert_eq!((host.closes.len(), host.due), (0, Some(at(1))));
    host.transport_end(1000, true);
    assert_eq!(host.cause(), Some(CloseCause::Peer));
}

#[test]
fn end_closes_with_1000_when_its_deadline_passes_and_flushes_before() {
    for read in [true, false] {
        let mut host = busy();
        host.end();
        if read {
            host.answer_value();
        }
        host.pass(SECOND);
        if !read {
            assert_eq!((host.closes.len(), host.due), (0, Some(at(2))), "still flushing");
            host.answer_value();
        }
        assert_eq!(host.closes, [(Some(1000), String::new())]);
        host.transport_end(1000, true);
        assert_eq!((host.cause(), host.left()), (Some(CloseCause::Local), [(0, 0), (0, 0)]));
    }
}

#[test]
fn a_close_after_end_counts() {
    let mut host = busy();
    host.end();
    host.close(4001, false);
    assert_eq!(host.closes, [(Some(4001), "bye".into())]);
}

#[test]
fn an_overflow_closes_at_once_and_says_so() {
    let ways: [fn(&mut Host); 3] = [|_| {}, Host::end, |host| host.close(4001, true)];
    for way in ways {
        let mut host = busy();
        way(&mut host);
        host.overflow();
        assert_eq!(host.closes, [(Some(4009), "receive queue overflow".into())]);
        host.overflow();
        host.transport_end(4009, true);
        assert_eq!((host.cause(), host.left()), (Some(CloseCause::ReceiveOverflow), LOST_AMOUNTS));
        assert_eq!(outcomes(&host), LOST);
    }
    let mut host = busy();
    host.overflow();
    host.pass(SECOND);
    assert_eq!((host.cause(), host.aborts), (Some(CloseCause::ReceiveOverflow), 1));
}

#[test]
fn giving_up_ends_every_phase_at_once() {
    let ways: [fn(&mut Host); 5] =
        [|_| {}, Host::end, |host| host.close(4001, true), |host| host.close(4001, false), Host::overflow];
    for way in ways {
        let mut host = busy();
        way(&mut host);
        host.abort();
        assert_eq!((host.cause(), host.aborts), (Some(CloseCause::Aborted), 1));
        assert_eq!((outcomes(&host), host.left()), (LOST, LOST_AMOUNTS));
    }
}

#[test]
fn a_close_an_end_or_giving_up_while_connecting_is_an_abort() {
    let ways: [fn(&mut Host); 3] = [|host| host.close(4001, true), Host::end, Host::abort];
    for way in ways {
        let mut host = Host::connecting(true);
        host.send(text("early"), 1);
        way(&mut host);
        assert_eq!((host.cause(), host.aborts, host.opened), (Some(CloseCause::Aborted), 1, 0));
        assert_eq!((host.outcome(1), host.left()), (Some(Outcome::Unsent), [(1, 5), (0, 0)]));
        host.session.handle_opened();
        host.drain();
        assert_eq!(host.opened, 0, "an opening that comes too late");
    }
}

#[test]
fn the_connect_deadline_ends_the_attempt_and_not_a_moment_before() {
    let mut host = Host::connecting(true);
    assert_eq!(host.due, Some(at(1)));
    host.pass(Duration::from_micros(999_999));
    assert_eq!(host.closed, None);
    host.pass(Duration::from_micros(1));
    assert_eq!((host.cause(), host.aborts), (Some(CloseCause::ConnectTimeout), 1));
}

#[test]
fn an_open_connection_has_no_deadline() {
    let mut host = Host::open(true);
    host.pass(1_000_000 * SECOND);
    assert_eq!((host.due, host.closed), (None, None));
}

#[test]
fn a_message_cancelled_after_the_end_but_before_its_word_counts_as_cancelled() {
    // A driver may have several inputs before it looks at the outputs.
    let mut host = busy();
    host.session.handle_abort();
    assert!(host.only_cancel(3));
    host.only_answer(0, None);
    host.drain();
    let expected = [Some(Outcome::HandedOver), Some(Outcome::Unreadable), Some(Outcome::Cancelled)];
    assert_eq!((outcomes(&host), host.left()), (expected, [(0, 0), (1, 3)]));
}
