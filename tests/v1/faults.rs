//! Single moments that chance hardly meets: what the peer may do at any time, and what has to follow.

use tidegate::proto::v1::{
    Cause, ChannelCode, ChannelKey, ChannelKind, Directions, Event, FatalCode, NewItem, OpenError,
    RefusedCode, Session, SessionConfig, Settings,
};
use tidegate::proto::{MessageId, Outcome, Payload, Priority};
use tidegate::time::Timestamp;

use crate::peer::{Peer, varints};
use crate::records::records;

pub(crate) fn client() -> Session {
    let settings = Settings::default();
    Session::new(Timestamp::ZERO, SessionConfig { settings, ..SessionConfig::client() })
}

pub(crate) fn server() -> Session {
    let settings = Settings::default();
    Session::new(Timestamp::ZERO, SessionConfig { settings, ..SessionConfig::server() })
}

pub(crate) fn open(peer: &mut Peer, kind: ChannelKind) -> ChannelKey {
    peer.session.open(kind, "a".into(), Vec::new(), Priority::Normal).expect("the session is open")
}

pub(crate) fn item(bytes: usize) -> NewItem {
    NewItem { payload: Payload::Binary(vec![7; bytes]), deadline: None, replaces: None, ticket: None }
}

pub(crate) fn send(peer: &mut Peer, key: ChannelKey, item: NewItem) -> MessageId {
    let at = peer.at();
    peer.session.handle_send(at, key, item).expect("the channel is open")
}

pub(crate) fn outcomes(events: &[Event]) -> Vec<(MessageId, Outcome)> {
    let done = events.iter().filter_map(|event| match event {
        Event::Done(done) => Some((done.id, done.outcome)),
        _ => None,
    });
    done.collect()
}

/// RESUMED of a server that has everything up to `rx`.
fn resumed(rx: u64) -> Vec<u8> {
    varints(&[2, rx, 1, 1])
}

#[test]
fn behind_what_was_lost_the_limits_come_first_and_goaway_behind_them() {
    let mut peer = Peer::server_of(client(), &[]);
    open(&mut peer, ChannelKind::Items);
    assert_eq!(peer.poll().kinds(), [0x41]);
    let at = peer.at();
    peer.session.handle_close(at, 60_000);
    assert_eq!(peer.poll().kinds(), [0x09]);
    peer.session.handle_lost(at, 1006);
    // Everything that means nothing is asked for.
    peer.session.handle_attached(at, 1 << 8 | 1);
    assert_eq!(peer.poll().kinds(), [0x03]);
    let said = peer.give(0x04, &resumed(0));
    assert_eq!(said.kinds()[..4], [0x41, 0x11, 0x10, 0x09], "8.2, step 5: {said:?}");
}

#[test]
fn another_connection_may_supersede_an_attempt_to_resume_but_not_the_session() {
    let mut peer = Peer::server_of(client(), &[]);
    let at = peer.at();
    peer.session.handle_lost(at, 1006);
    peer.session.handle_attached(at, 0);
    peer.poll();
    peer.session.handle_lost(at, 4209);
    let said = peer.poll();
    assert!(!said.has(|event| matches!(event, Event::Over(_))), "6.2, any but Resuming: {said:?}");
    assert!(said.has(|event| matches!(event, Event::Detached { .. })), "{said:?}");
    // The same while it did not resume.
    peer.session.handle_attached(at, 0);
    peer.poll();
    peer.give(0x04, &resumed(0));
    peer.session.handle_lost(at, 4209);
    assert!(peer.poll().has(|event| matches!(event, Event::Over(_))));
}

#[test]
fn error_means_the_same_as_its_close_code() {
    for code in 1..=10 {
        let detaches = code == 7;
        let mut peer = Peer::server_of(client(), &[]);
        // What follows it is not looked at.
        let mut message = peer.record(0x0a, &[code, 0]);
        message.extend([0x02, 0]);
        let said = peer.send(&message);
        assert_eq!(said.close, Some(4200 + u16::from(code)));
        assert_eq!(said.has(|event| matches!(event, Event::Detached { .. })), detaches, "{code}: {said:?}");
        assert_eq!(said.has(|event| matches!(event, Event::Over(_))), !detaches, "{code}: {said:?}");
        assert_eq!(said.messages, Vec::<Vec<u8>>::new(), "{code}");
    }
}

#[test]
fn a_session_that_was_to_end_and_is_not_there_any_more_has_ended_as_was_announced() {
    let refused = |code| Cause::Refused { code, retry_after_ms: 0 };
    let internal = Cause::Told(FatalCode::Internal);
    for (announced, code, expected) in [
        (Some(0), 16, Cause::Closed),
        (Some(0), 17, Cause::Closed),
        (Some(8), 18, internal),
        // These are no end that was announced, and this one was not.
        (Some(0), 19, refused(RefusedCode::ReplayGap)),
        (Some(0), 20, refused(RefusedCode::IdentityMismatch)),
        (None, 16, refused(RefusedCode::UnknownSession)),
    ] {
        for by_record in [true, false] {
            let mut peer = Peer::server_of(client(), &[]);
            if let Some(why) = announced {
                peer.give(0x09, &varints(&[0, why, 1000, 0, 0]));
            }
            let at = peer.at();
            peer.session.handle_lost(at, 1006);
            peer.session.handle_attached(at, 0);
            peer.poll();
            let said = if by_record {
                peer.give(0x05, &varints(&[code, 0]))
            } else {
                peer.session.handle_lost(at, 4200 + code as u16);
                peer.poll()
            };
            let over = said.events.iter().find_map(|event| match event {
                Event::Over(over) => Some(over.cause),
                _ => None,
            });
            assert_eq!(over, Some(expected), "{announced:?} {code} {by_record}: {said:?}");
            // A new session may begin on a connection on which the old one was refused, and on no other.
            let stays = matches!(expected, Cause::Refused { .. });
            assert!(!by_record || said.close.is_none() == stays, "{announced:?} {code}: {said:?}");
        }
    }
}

#[test]
fn a_refused_connection_may_greet_anew_and_not_guess_again() {
    let mut peer = Peer::of(server());
    let mut body = vec![1, 32];
    body.extend([9; 32]);
    body.extend(varints(&[0, 1, 1]));
    let said = peer.give(0x03, &body);
    assert!(said.has(|event| matches!(event, Event::Resume(_))), "{said:?}");
    peer.session.refuse(RefusedCode::UnknownSession, 0);
    assert_eq!(peer.poll().kinds(), [0x05]);
    let said = peer.give(0x03, &body);
    assert_eq!(said.close, Some(4201), "6.3, Refused: {said:?}");

    let mut peer = Peer::of(server());
    peer.give(0x03, &body);
    peer.session.refuse(RefusedCode::UnknownSession, 0);
    assert_eq!(peer.give(0x01, &[1, 1, 0]).kinds(), [0x05, 0x02]);
}

/// PROTOCOL section 6.1, Decision 40: nobody is asked for the session then, which so stays as it is.
#[test]
fn what_stands_behind_resume_is_a_violation_and_resumes_nothing() {
    let mut body = vec![1, 32];
    body.extend([9; 32]);
    body.extend(varints(&[0, 1, 1]));
    let resume = [&[0x03, u8::try_from(body.len()).unwrap()][..], &body].concat();
    // PING, one that may be ignored, RESUME again, HELLO, and half a record.
    let behind: [&[u8]; 5] = [&[0x07, 1, 0], &[0x80, 0], &resume, &[0x01, 3, 1, 1, 0], &[0x07]];
    for behind in behind {
        let mut peer = Peer::of(server());
        peer.session.handle_message(peer.at(), &[&resume, behind].concat());
        let said = peer.poll();
        assert_eq!(said.close, Some(4201), "{behind:x?}: {said:?}");
        assert!(!said.has(|event| matches!(event, Event::Resume(_))), "{behind:x?}: {said:?}");
        let is_told =
            |event: &Event| matches!(event, Event::Over(over) if matches!(over.cause, Cause::Peer { .. }));
        assert!(said.has(is_told), "{behind:x?}: {said:?}");
    }
    // In a message of its own, while it is not decided yet what becomes of the session: as much of a violation.
    let mut peer = Peer::of(server());
    assert!(peer.give(0x03, &body).has(|event| matches!(event, Event::Resume(_))));
    assert_eq!(peer.give(0x80, &[]).close, Some(4201));
}

#[test]
fn the_size_of_an_item_is_judged_by_what_the_server_says_and_not_before() {
    let mut peer = Peer::of(client());
    let key = open(&mut peer, ChannelKind::Call);
    send(&mut peer, key, item(100_000));
    let said = peer.poll();
    assert_eq!((said.kinds(), outcomes(&said.events)), (vec![0x01, 0x41], Vec::new()), "before WELCOME");
    let said = peer.welcome(&[3, 1 << 20, 4, 200_000]);
    assert!(said.kinds().contains(&0x45), "{said:?}");
    assert_eq!(outcomes(&said.events), []);

    let mut peer = Peer::of(client());
    let key = open(&mut peer, ChannelKind::Call);
    let id = send(&mut peer, key, item(100_000));
    peer.poll();
    assert_eq!(outcomes(&peer.welcome(&[]).events), [(id, Outcome::TooBig)]);
}

#[test]
fn accept_of_an_opener_goes_before_its_first_data() {
    let mut peer = Peer::server_of(client(), &[]);
    let key = open(&mut peer, ChannelKind::Call);
    peer.session.handle_accept(key, 2 << 20, 1 << 20);
    send(&mut peer, key, item(10));
    assert_eq!(peer.poll().kinds(), [0x41, 0x42, 0x45]);
}

#[test]
fn accept_of_an_opener_is_not_said_where_it_makes_no_difference_or_is_late() {
    let mut peer = Peer::server_of(client(), &[]);
    let key = open(&mut peer, ChannelKind::Items);
    // No more than the settings have said.
    peer.session.handle_accept(key, 65_536, 57_344);
    assert_eq!(peer.poll().kinds(), [0x41]);
    send(&mut peer, key, item(10));
    assert_eq!(peer.poll().kinds(), [0x45]);
    peer.session.handle_accept(key, 2 << 20, 1 << 20);
    assert!(peer.poll().kinds().is_empty());
    // Between OPEN and the first DATA it is in time.
    let key = open(&mut peer, ChannelKind::Call);
    assert_eq!(peer.poll().kinds(), [0x41]);
    peer.session.handle_accept(key, 2 << 20, 1 << 20);
    send(&mut peer, key, item(10));
    assert_eq!(peer.poll().kinds(), [0x42, 0x45]);
}

#[test]
fn open_and_accept_of_an_opener_are_in_one_message() {
    let mut peer = Peer::server_of(client(), &[]);
    for _ in 0..16 {
        // Three OPENs fill a message, so that nothing would be left of it for three ACCEPTs.
        let (name, meta) = ("n".repeat(128), [&[0x40, 64, 0x44, 0xbf][..], &[7; 1_215]].concat());
        let key = peer.session.open(ChannelKind::Items, name, meta, Priority::Normal).expect("it is open");
        peer.session.handle_accept(key, 2 << 20, 1 << 20);
    }
    let said = peer.poll();
    assert!(said.messages.len() > 1, "{said:?}");
    for message in &said.messages {
        let kinds: Vec<_> = records(message).iter().map(|record| record.kind).collect();
        assert!(kinds.chunks(2).all(|pair| pair == [0x41, 0x42]), "{kinds:?}");
    }
}

#[test]
fn a_channel_that_ends_before_it_was_opened_accepts_nothing_and_gives_its_window_back() {
    let mut peer = Peer::server_of(client(), &[]);
    for _ in 0..16 {
        open(&mut peer, ChannelKind::Items);
    }
    peer.poll();
    let before = peer.session.gauges().windows;
    // More than there may be: it waits.
    let key = open(&mut peer, ChannelKind::Items);
    peer.session.handle_accept(key, 2 << 20, 1 << 20);
    assert_eq!(peer.session.gauges().windows, before + (2 << 20));
    peer.session.handle_reset(key, Directions::Sending, ChannelCode::Cancelled, Vec::new());
    peer.session.handle_dropped(key);
    assert_eq!(peer.session.gauges().windows, before);
    assert!(peer.give(0x11, &[20]).kinds().is_empty());
}

#[test]
fn the_accepts_of_an_opener_leave_half_of_what_windows_may_grow_by_to_the_peers_channels() {
    const MOST: u64 = 16 << 20;
    let mut peer = Peer::server_of(client(), &[]);
    for _ in 0..8 {
        let key = open(&mut peer, ChannelKind::Items);
        peer.session.handle_accept(key, MOST, MOST);
    }
    peer.poll();
    // 96 MiB less 16 windows that are promised; those five for which nothing was left have theirs in any case.
    let half = ((96 << 20) - 16 * 65_536) / 2;
    assert_eq!(peer.session.gauges().windows, half + 5 * 65_536);
    let said = peer.give(0x41, &[1, 0, 2, 1, b'a', 0]);
    let accept = said.records().into_iter().find(|record| record.kind == 0x42).expect("it is accepted");
    assert_eq!(accept.numbers(), [1, MOST, 14_913_024]);
}

#[test]
fn a_key_that_is_used_again_brings_nothing_with_it() {
    let mut peer = Peer::server_of(client(), &[]);
    let old = open(&mut peer, ChannelKind::Items);
    // It waits for an ACCEPT that raises the limit.
    let id = send(&mut peer, old, item(100_000));
    peer.poll();
    assert!(peer.session.handle_cancel(id));
    peer.session.handle_close_channel(old);
    assert_eq!(peer.poll().kinds(), [0x44]);
    peer.give(0x43, &varints(&[0, 1, 33]));
    peer.session.handle_dropped(old);
    let new = open(&mut peer, ChannelKind::Items);
    assert_eq!(old, new);
    send(&mut peer, new, item(10));
    assert_eq!(peer.poll().kinds()[..2], [0x41, 0x45]);
}

#[test]
fn a_channel_that_ends_before_it_was_opened_has_an_end_both_ways() {
    let mut peer = Peer::server_of(client(), &[]);
    let key = open(&mut peer, ChannelKind::Items);
    peer.session.handle_reset(key, Directions::Sending, ChannelCode::Cancelled, Vec::new());
    let said = peer.poll();
    assert!(said.messages.is_empty(), "{said:?}");
    assert!(
        said.has(|event| matches!(event, Event::PeerEnded { .. })),
        "nothing can come any more: {said:?}"
    );
}

#[test]
fn an_item_replaces_only_what_is_queued_on_its_own_channel() {
    let mut peer = Peer::server_of(client(), &[]);
    let (one, other) = (open(&mut peer, ChannelKind::Call), open(&mut peer, ChannelKind::Call));
    let begun = send(&mut peer, one, item(50_000));
    peer.poll();
    send(&mut peer, other, NewItem { replaces: Some(begun), ..item(10) });
    let said = peer.poll();
    assert_eq!((outcomes(&said.events), said.others), (Vec::new(), Vec::new()));
}

#[test]
fn what_goes_on_a_channel_that_nobody_handles_is_not_sent() {
    let mut peer = Peer::server_of(client(), &[]);
    let key = open(&mut peer, ChannelKind::Call);
    let first = send(&mut peer, key, item(10));
    let begun = send(&mut peer, key, item(50_000));
    peer.poll();
    let said = peer.give(0x09, &varints(&[0, 0, 1000, 0, 0]));
    assert_eq!(outcomes(&said.events), [(first, Outcome::Unsent), (begun, Outcome::Unsent)]);
    assert!(said.has(|event| matches!(event, Event::PeerStopped { .. })), "{said:?}");
    assert!(said.has(|event| matches!(event, Event::PeerEnded { .. })), "{said:?}");
    assert!(said.kinds().contains(&0x43), "the peer, too, is to be rid of it: {said:?}");
    let at = peer.at();
    assert!(peer.session.handle_send(at, key, item(10)).is_err(), "it would count as delivered");
    // What the peer says on its own adds nothing.
    let said = peer.give(0x43, &varints(&[0, 3, 33]));
    assert_eq!(said.events, []);
}

#[test]
fn no_message_is_larger_than_the_peer_takes() {
    let mut peer = Peer::of(server());
    let mut hello = vec![1, 1, 0];
    hello.extend(varints(&[1, 8192, 3, 1 << 24, 4, 1 << 20]));
    peer.give(0x01, &hello);
    let key = open(&mut peer, ChannelKind::Call);
    for _ in 0..2_000 {
        // Eight make a message of 8,192 bytes.
        send(&mut peer, key, item(1_017));
    }
    let (mut sent, mut largest) = (0, 0);
    for _ in 0..300 {
        peer.now += 1_000;
        // A record that is to be acknowledged some time.
        let mut message = peer.record(0xdf, &[]);
        message.extend(peer.record(0x06, &varints(&[sent, 0])));
        let said = peer.send(&message);
        assert_eq!(said.close, None, "{said:?}");
        sent += said.kinds().iter().filter(|kind| **kind & 0x40 != 0).count() as u64;
        largest = said.messages.iter().map(Vec::len).max().unwrap_or(0).max(largest);
    }
    assert!(
        sent == 2_001 && largest > 8_000,
        "the largest messages were not reached: {largest} B, {sent} sent"
    );
    assert!(largest <= 8_192, "{largest} B");
}

/// CREDIT is a message, and an event for the peer: it waits as long as an item can come to its end without.
#[test]
fn an_item_whose_rest_has_credit_earns_none_and_one_whose_rest_may_not_does() {
    const CREDIT: u8 = 0x10;
    let mut peer = Peer::of(server());
    peer.give(0x01, &[1, 1, 0]);
    let said = peer.give(0x41, &[0, 1, 2, 1, b'a', 0]);
    let key = said.events.iter().find_map(|event| match event {
        Event::Incoming { channel, .. } => Some(*channel),
        _ => None,
    });
    let key = key.expect("a channel has come in");
    let data = |flags: u8, total: Option<u64>, bytes: usize| {
        let mut body = vec![0, flags];
        body.extend(varints(&total.map(|total| total + 1).into_iter().collect::<Vec<_>>()));
        body.extend(vec![7; bytes]);
        body
    };
    peer.give(0x45, &data(3, None, 1_000));
    let at = peer.at();
    peer.session.handle_taken(at, key, 1_064);
    assert!(!peer.poll().kinds().contains(&CREDIT), "less than a quarter");
    assert!(!peer.give(0x45, &data(1, Some(20_000), 512)).kinds().contains(&CREDIT));
    assert!(!peer.give(0x45, &data(2, None, 19_488)).kinds().contains(&CREDIT));
    // 65,536 less 1,064, 20,128 and 576 are left, and in the smallest chunks 50,113 may be needed.
    let said = peer.give(0x45, &data(1, Some(45_000), 512));
    let records = said.records();
    let credit = records.iter().find(|record| record.kind == CREDIT).expect("what was taken is granted");
    assert_eq!(credit.numbers(), [0, 65_536 + 1_064]);
}

#[test]
fn what_was_queued_before_hello_is_not_opened_if_its_name_is_too_long_for_the_client() {
    let mut peer = Peer::of(server());
    let name = "n".repeat(100);
    let long =
        peer.session.open(ChannelKind::Items, name, Vec::new(), Priority::Normal).expect("it is not known");
    open(&mut peer, ChannelKind::Items);
    let said = peer.give(0x01, &[&[1, 1, 0][..], &varints(&[9, 16])].concat());
    assert!(
        said.has(|event| matches!(event, Event::PeerStopped { channel, .. } if *channel == long)),
        "{said:?}"
    );
    let opens: Vec<_> = said.records().into_iter().filter(|record| record.kind == 0x41).collect();
    assert_eq!(opens.len(), 1, "{opens:?}");
    assert_eq!(opens[0].body[4], b'a');
}

#[test]
fn a_channel_is_not_opened_with_what_the_peer_would_end_the_session_for() {
    let mut peer = Peer::server_of(client(), &[]);
    let mut open = |name: &str, meta: &[u8]| {
        peer.session.open(ChannelKind::Items, name.into(), meta.into(), Priority::Normal)
    };
    // A key without its value; one twice; a deadline of two numbers; a pair of the application's own.
    assert!(matches!(open("a", &[1]), Err(OpenError::BadMeta(_))));
    assert!(matches!(open("a", &[2, 0, 2, 0]), Err(OpenError::BadMeta(_))));
    assert!(matches!(open("a", &[1, 2, 5, 5]), Err(OpenError::BadMeta(_))));
    assert_eq!(open(&"a".repeat(129), &[]), Err(OpenError::NameTooLong(128)));
    assert_eq!(open("a", &[0x40, 64, 16, 0]), Err(OpenError::BadMeta("truncated")));
    assert!(open("a", &[0x40, 64, 1, 7]).is_ok());
    assert_eq!(peer.poll().kinds(), [0x41]);
}

#[test]
fn a_second_close_can_only_be_more_impatient() {
    let mut peer = Peer::server_of(client(), &[]);
    let key = open(&mut peer, ChannelKind::Items);
    send(&mut peer, key, item(100));
    peer.poll();
    peer.session.handle_close(Timestamp::ZERO, 60_000);
    peer.poll();
    for (within, over_at) in [(90_000, 60_000_000), (2_000, 2_000_000)] {
        peer.session.handle_close(Timestamp::ZERO, within);
        peer.session.handle_timeout(Timestamp::from_micros(over_at - 1));
        assert!(!peer.session.is_over() && peer.session.is_attached(), "{within}");
        if within == 2_000 {
            peer.session.handle_timeout(Timestamp::from_micros(over_at));
            assert!(!peer.session.is_attached());
        }
    }
}

#[test]
fn wishes_for_another_class_are_granted_now_and_then_and_the_newest_counts() {
    let mut peer = Peer::of(server());
    let said = peer.give(0x01, &[1, 1, 0]);
    assert!(said.has(|event| matches!(event, Event::Attached { .. })));
    let mut keys = Vec::new();
    for id in [0, 2] {
        let said = peer.give(0x41, &[id, 1, 2, 1, b'f', 0]);
        let incoming = said.events.iter().find_map(|event| match event {
            Event::Incoming { channel, .. } => Some(*channel),
            _ => None,
        });
        keys.push(incoming.expect("it was opened"));
    }
    // The first wish is granted at once, of those that follow the last of each channel, 20 ms apart.
    for (id, prio) in [(0, 4), (0, 3), (2, 4), (0, 1), (2, 1), (0, 4), (2, 3)] {
        peer.give(0xc6, &[id, prio]);
    }
    let mut classes = Vec::new();
    for millis in 0..60 {
        peer.now = millis * 1_000;
        peer.poll();
        let now = [0, 1].map(|at| peer.session.priority(keys[at]).expect("it is there"));
        if classes.last().is_none_or(|(_, last)| *last != now) {
            classes.push((millis, now));
        }
    }
    let (normal, bulk, background) = (Priority::Normal, Priority::Bulk, Priority::Background);
    // Channel 0 had become background with its first wish, and wants that in the end as well.
    assert_eq!(classes, [(0, [background, normal]), (40, [background, bulk])]);
}

#[test]
fn b58_who_acknowledges_nothing_is_sent_a_budget_and_no_more() {
    let mut peer = Peer::of(server());
    peer.give(0x01, &[1, 1, 0]);
    let key = open(&mut peer, ChannelKind::Call);
    peer.poll();
    // All the credit that there can be.
    peer.give(0x10, &varints(&[1, (1 << 53) - 1]));
    for _ in 0..200 {
        send(&mut peer, key, item(50_000));
    }
    let mut handed = 0;
    // It is there, and says so for an hour.
    for _ in 0..3_600 {
        peer.now += 1_000_000;
        let at = peer.at();
        peer.session.handle_timeout(at);
        let said = peer.give(0x07, &[1]);
        assert_eq!(said.close, None);
        handed += said
            .records()
            .iter()
            .filter(|record| record.kind == 0x45)
            .map(|record| record.whole.len())
            .sum::<usize>();
    }
    let gauges = peer.session.gauges();
    assert!((4_000..=32_768).contains(&handed), "{handed} B of which nothing was acknowledged");
    assert!(gauges.log <= 32_768 && gauges.queued >= 199, "{gauges:?}");
}

#[test]
fn b58_who_says_nothing_any_more_is_given_up() {
    let mut peer = Peer::of(server());
    peer.give(0x01, &[1, 1, 0]);
    let key = open(&mut peer, ChannelKind::Call);
    send(&mut peer, key, item(50_000));
    peer.poll();
    let mut close = None;
    while close.is_none() && peer.now < 200_000_000 {
        peer.now += 1_000_000;
        let at = peer.at();
        peer.session.handle_timeout(at);
        close = peer.poll().close;
    }
    // 6.5: after 45 s, and as much again at most for what is on its way.
    assert_eq!(close, Some(4207));
    assert!((45_000_000..=91_000_000).contains(&peer.now), "{} us", peer.now);
}

#[test]
fn text_that_is_given_up_in_the_midst_of_a_character_is_no_fault() {
    let mut peer = Peer::of(server());
    peer.give(0x01, &[1, 1, 0]);
    peer.give(0x41, &[0, 1, 2, 1, b'f', 0]);
    // FIRST and TEXT, of unknown size; it ends within a character.
    let said = peer.give(0x45, &[&[0, 0x05, 0][..], &[b'a'; 600], &[0xe2, 0x82]].concat());
    assert!(said.has(|event| matches!(event, Event::Chunk(_))), "{said:?}");
    let said = peer.give(0x45, &[0, 0x0a]);
    assert!(said.has(|event| matches!(event, Event::Void(_))), "{said:?}");
    assert!(!said.has(|event| matches!(event, Event::PeerEnded { .. })), "7.6: it is not complete: {said:?}");
    assert!(!said.kinds().contains(&0x43), "{said:?}");
    let said = peer.give(0x45, &[0, 0x07, b'x']);
    assert!(said.has(|event| matches!(event, Event::Chunk(_))), "the next one arrives: {said:?}");
}

#[test]
fn behind_the_last_event_there_is_none_whatever_is_done() {
    let mut peer = Peer::of(server());
    peer.give(0x01, &[1, 1, 0]);
    let mut keys = Vec::new();
    for id in [0, 2, 4] {
        let said = peer.give(0x41, &[id, 1, 2, 1, b'f', 0]);
        keys.extend(said.events.into_iter().find_map(|event| match event {
            Event::Incoming { channel, .. } => Some(channel),
            _ => None,
        }));
        peer.give(0x45, &[&[id, 0x01, 0][..], &[7; 600]].concat());
    }
    keys.push(open(&mut peer, ChannelKind::Items));
    let at = peer.at();
    peer.session.handle_end(at);
    let said = peer.poll();
    assert!(matches!(said.events.last(), Some(Event::Over(_))), "{said:?}");
    for (key, directions) in keys.iter().zip([Directions::Sending, Directions::Receiving, Directions::Both]) {
        peer.session.handle_reset(*key, directions, ChannelCode::Cancelled, Vec::new());
    }
    for key in keys {
        peer.session.handle_dropped(key);
    }
    assert!(peer.session.is_over());
    assert_eq!(peer.poll().events, []);
}
