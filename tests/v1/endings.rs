//! Single moments around the end of a channel: what has been told of its items, and what is left of it.

use tidegate::proto::Outcome;
use tidegate::proto::v1::{ChannelCode, ChannelKey, ChannelKind, Directions, Event};

use crate::faults::{client, item, open, outcomes, send, server};
use crate::peer::{Peer, Said, varints};

/// The most channels at once that both sides begin with.
const MOST: u64 = 16;

/// The peer opens its channel `n`.
fn opened(peer: &mut Peer, n: u64) -> (ChannelKey, Said) {
    let said = peer.give(0x41, &[&varints(&[2 * n])[..], &[0, 2, 1, b'a', 0]].concat());
    let key = said.events.iter().find_map(|event| match event {
        Event::Incoming { channel, .. } => Some(*channel),
        _ => None,
    });
    (key.expect("it is taken"), said)
}

#[test]
fn what_a_peer_may_have_thrown_away_is_unknown_and_what_it_acknowledged_before_is_delivered() {
    let mut peer = Peer::server_of(client(), &[]);
    let key = open(&mut peer, ChannelKind::Items);
    let (first, second) = (send(&mut peer, key, item(10)), send(&mut peer, key, item(10)));
    peer.poll();
    let ack = peer.record(0x06, &varints(&[2, 0]));
    let reset = peer.record(0x43, &varints(&[0, 2, 33]));
    let third = send(&mut peer, key, item(1 << 20));
    let said = peer.send(&[ack, reset].concat());
    let expected = [(first, Outcome::Delivered), (second, Outcome::Unknown), (third, Outcome::Cancelled)];
    assert_eq!(outcomes(&said.events), expected);
    let said = peer.give(0x06, &varints(&[4, 0]));
    assert_eq!(outcomes(&said.events), [], "each once");
}

#[test]
fn what_came_before_a_reset_is_acknowledged_before_it_and_what_is_thrown_away_behind_it() {
    for directions in [Directions::Receiving, Directions::Both] {
        let mut peer = Peer::of(server());
        peer.give(0x01, &[1, 1, 0]);
        let (key, _) = opened(&mut peer, 0);
        let data = |peer: &mut Peer| peer.record(0x45, &[0, 0x13, 7]);
        let (before, behind) = (data(&mut peer), data(&mut peer));
        let at = peer.at();
        peer.session.handle_message(at, &before);
        peer.session.handle_reset(key, directions, ChannelCode::Cancelled, Vec::new());
        let said = peer.send(&behind);
        let records = said.records();
        let acks = |records: &[crate::records::Seen<'_>]| {
            let acks = records.iter().filter(|record| record.kind == 0x06);
            acks.map(|record| record.numbers::<1>()[0]).collect::<Vec<_>>()
        };
        let reset = records.iter().position(|record| record.kind == 0x43).expect("it is reset");
        assert_eq!((acks(&records[..reset]), acks(&records[reset..])), (vec![2], vec![3]), "{said:?}");
    }
}

#[test]
fn places_that_channels_have_left_are_granted_when_the_peer_needs_them() {
    for left in 0..4 {
        let mut peer = Peer::of(server());
        peer.give(0x01, &[1, 1, 0]);
        let mut limits = Vec::new();
        let mut note = |said: &Said| {
            let records = said.records();
            let told = records.iter().filter(|record| record.kind == 0x11);
            limits.extend(told.map(|record| record.numbers::<1>()[0]));
        };
        for n in 0..left {
            let (key, said) = opened(&mut peer, n);
            note(&said);
            peer.session.handle_close_channel(key);
            note(&peer.poll());
            note(&peer.give(0x44, &varints(&[2 * n])));
            peer.session.handle_dropped(key);
            note(&peer.poll());
        }
        for n in left..MOST {
            note(&opened(&mut peer, n).1);
        }
        let expected = if left == 0 { Vec::new() } else { vec![MOST + left] };
        assert_eq!(limits, expected, "{left} of {MOST} are over");
    }
}

#[test]
fn a_channel_that_takes_the_key_of_another_hears_nothing_of_its_end() {
    let mut peer = Peer::server_of(client(), &[]);
    let old = open(&mut peer, ChannelKind::Items);
    peer.session.handle_reset(old, Directions::Sending, ChannelCode::Cancelled, Vec::new());
    peer.session.handle_dropped(old);
    let new = open(&mut peer, ChannelKind::Items);
    assert_eq!(old, new);
    assert_eq!(peer.poll().events, []);
}

#[test]
fn a_channel_that_nobody_needs_any_more_is_not_opened() {
    let mut peer = Peer::server_of(client(), &[]);
    for _ in 0..MOST {
        open(&mut peer, ChannelKind::Items);
    }
    peer.poll();
    let (empty, full) = (open(&mut peer, ChannelKind::Items), open(&mut peer, ChannelKind::Items));
    send(&mut peer, full, item(10));
    for key in [empty, full] {
        peer.session.handle_dropped(key);
    }
    let said = peer.give(0x11, &varints(&[MOST + 2]));
    // What was sent before still goes.
    assert_eq!(said.kinds(), [0x41, 0x43, 0x45, 0x44], "{said:?}");
}

#[test]
fn a_close_does_not_wait_for_a_place_for_a_channel_on_which_nothing_was_sent() {
    let mut peer = Peer::server_of(client(), &[]);
    for _ in 0..MOST {
        open(&mut peer, ChannelKind::Items);
    }
    peer.poll();
    let late = open(&mut peer, ChannelKind::Items);
    let at = peer.at();
    peer.session.handle_close(at, 60_000);
    let said = peer.poll();
    let is_told = |event: &Event| matches!(event, Event::PeerStopped { channel, .. } if *channel == late);
    assert!(said.has(is_told), "{said:?}");
    let said = peer.give(0x06, &varints(&[MOST, 0]));
    assert_eq!(said.close, Some(4_200), "{said:?}");
}

#[test]
fn a_session_that_ends_in_order_acknowledges_what_it_has_also_where_its_time_is_over() {
    type End = fn(&mut Peer);
    let ends: [(&str, End); 3] = [
        ("shutdown", |peer| peer.session.handle_shutdown(peer.at(), 1_000, 0, 0)),
        ("close", |peer| {
            // Something that the peer never acknowledges.
            open(peer, ChannelKind::Call);
            peer.poll();
            peer.session.handle_close(peer.at(), 1_000);
        }),
        ("at once", |_| {}),
    ];
    for (name, end) in ends {
        let mut peer = Peer::of(server());
        peer.give(0x01, &[1, 1, 0]);
        opened(&mut peer, 0);
        end(&mut peer);
        assert_eq!(peer.poll().close, None, "{name}");
        peer.now = 999_000;
        // By itself their acknowledgement would be due after the end.
        for item in 0..2 {
            peer.give(0x45, &[0, 3, item]);
        }
        peer.now = 1_000_000;
        if name == "at once" {
            peer.session.handle_end(peer.at());
        } else {
            peer.session.handle_timeout(peer.at());
        }
        let said = peer.poll();
        let acks =
            said.records().iter().filter(|record| record.kind == 0x06).map(|ack| ack.numbers::<1>()[0]).max();
        assert_eq!((acks, said.close), (Some(3), Some(4_200)), "{name}: {said:?}");
    }
}

#[test]
fn a_server_that_has_not_said_welcome_ends_without_an_acknowledgement() {
    let mut peer = Peer::of(server());
    let hello = peer.record(0x01, &[1, 1, 0]);
    let open = peer.record(0x41, &[0, 0, 2, 1, b'a', 0]);
    let at = peer.at();
    peer.session.handle_message(at, &[hello, open].concat());
    peer.session.handle_end(at);
    let said = peer.poll();
    assert_eq!(
        (said.kinds(), said.close),
        (vec![], Some(4_200)),
        "WELCOME would have to stand before: {said:?}"
    );
}
