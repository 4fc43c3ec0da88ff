//! In which order records go, and what is acknowledged meanwhile: between two sessions whose messages the test hands over.

use super::*;
use crate::proto::v1::budget::Class;
use crate::proto::v1::code::FatalCode;
use crate::proto::v1::record::{Record, Records, kind};
use crate::proto::v1::session::send::{LOOSE_BYTES, MOST_ACK};
use crate::slab::steps;
use crate::time::Duration;
use alloc::format;

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// A client and a server that have greeted.
struct Two {
    ends: [Session; 2],
    now: Timestamp,
    /// Channels that the peer has opened.
    incoming: [Vec<ChannelKey>; 2],
    resume: Option<ResumeRequest>,
    has_closed: [bool; 2],
}

impl Two {
    fn new(change: impl FnOnce(&mut [SessionConfig; 2])) -> Self {
        let mut configs = [SessionConfig::client(), SessionConfig::server()];
        configs[SERVER].side = Side::Server { resume: Some((60, [7; TOKEN_BYTES])), hint: String::new() };
        change(&mut configs);
        // Late enough for a moment to take eight bytes on the wire.
        let now = Timestamp::from_micros(1 << 40);
        let mut ends = configs.map(|config| Session::new(now, config));
        for end in &mut ends {
            end.handle_attached(now, 0);
        }
        let mut two = Self { ends, now, incoming: Default::default(), resume: None, has_closed: [false; 2] };
        two.exchange();
        two
    }

    /// What one side has to say now.
    fn says(&mut self, which: usize) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while messages.len() < 1_000 {
            match self.ends[which].poll_output(true) {
                Output::Transmit(out) => messages.push(out.bytes),
                Output::Event(Event::Incoming { channel, .. }) => self.incoming[which].push(channel),
                Output::Event(Event::Resume(request)) => self.resume = Some(request),
                Output::Close(_) => self.has_closed[which] = true,
                Output::Timeout(_) | Output::Blocked(_) => return messages,
                _ => {}
            }
        }
        panic!("it goes on for ever: {:?}", words(&messages[messages.len() - 3..]));
    }

    fn hears(&mut self, which: usize, messages: &[Vec<u8>]) {
        for message in messages {
            self.ends[which].handle_message(self.now, message);
        }
    }

    /// Until neither has anything to say.
    fn exchange(&mut self) {
        loop {
            let [of_client, of_server] = [CLIENT, SERVER].map(|which| self.says(which));
            if of_client.is_empty() && of_server.is_empty() {
                return;
            }
            self.hears(SERVER, &of_client);
            self.hears(CLIENT, &of_server);
        }
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now.saturating_add(Duration::from_millis(millis));
        self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
    }

    /// Opens channels of the client's, of which the server knows then. Their keys on both sides.
    fn open(&mut self, count: usize) -> Vec<[ChannelKey; 2]> {
        let open = |_| self.ends[CLIENT].open(ChannelKind::Call, "f".into(), Vec::new(), Priority::Normal);
        let keys: Vec<_> = (0..count).map(open).map(Result::unwrap).collect();
        self.exchange();
        let there = core::mem::take(&mut self.incoming[SERVER]);
        keys.into_iter().zip(there).map(|(here, there)| [here, there]).collect()
    }

    /// What one side says when it has an item of so many bytes to send.
    fn sends(&mut self, which: usize, key: ChannelKey, bytes: usize) -> Vec<Vec<u8>> {
        let payload = Payload::Binary(vec![0; bytes]);
        let item = NewItem { payload, deadline: None, replaces: None, ticket: None };
        self.ends[which].handle_send(self.now, key, item).unwrap();
        self.says(which)
    }

    fn stop(&mut self, which: usize, key: ChannelKey) {
        self.ends[which].handle_reset(key, Directions::Receiving, ChannelCode::Cancelled, Vec::new());
    }

    /// The connection is lost, and the session goes on with another one, as far as RESUMED.
    fn resume(&mut self) -> Vec<Vec<u8>> {
        for end in &mut self.ends {
            end.handle_lost(self.now, 1006);
            end.handle_attached(self.now, 0);
        }
        let asks = self.says(CLIENT);
        self.hears(SERVER, &asks);
        self.says(SERVER);
        let request = self.resume.take().unwrap();
        self.ends[SERVER].handle_resume(self.now, &request);
        self.says(SERVER)
    }
}

/// The records of messages: type, and channel or number, as far as these tests look at them.
fn words(messages: &[Vec<u8>]) -> Vec<String> {
    let mut words = Vec::new();
    for message in messages {
        let mut records = Records::new(message);
        while let Some(raw) = records.next() {
            let raw = raw.unwrap();
            words.push(match raw.decode(&SessionConfig::client().settings).unwrap() {
                Record::Ack { rx, .. } => format!("ACK {rx}"),
                Record::Pong { rx, .. } => format!("PONG {rx}"),
                Record::Open(open) => format!("OPEN {}", open.channel),
                Record::Accept { channel, .. } => format!("ACCEPT {channel}"),
                Record::Reset { channel, dir, .. } => format!("RESET {channel} of {dir}"),
                Record::Close { channel } => format!("CLOSE {channel}"),
                Record::Data(data) => format!("DATA {}", data.channel),
                other => format!("{:#x}", other.kind()),
            });
        }
    }
    words
}

#[test]
fn reset_by_which_the_peer_is_to_stop_goes_before_what_was_to_be_said_before_it() {
    let mut two = Two::new(|_| {});
    let keys = two.open(3);
    two.ends[CLIENT].handle_close_channel(keys[0][CLIENT]);
    two.ends[CLIENT].handle_reset(keys[1][CLIENT], Directions::Sending, ChannelCode::Cancelled, Vec::new());
    two.stop(CLIENT, keys[2][CLIENT]);
    assert_eq!(words(&two.says(CLIENT)), ["RESET 4 of 2", "CLOSE 0", "RESET 2 of 1"]);
}

#[test]
fn such_a_reset_goes_behind_accept_of_its_channel_and_both_before_all_else() {
    let mut two = Two::new(|_| {});
    for _ in 0..2 {
        two.ends[CLIENT].open(ChannelKind::Items, "n".into(), Vec::new(), Priority::Normal).unwrap();
    }
    let opens = two.says(CLIENT);
    two.hears(SERVER, &opens);
    // Not polled for messages yet.
    let mut incoming = Vec::new();
    while let Some(Output::Event(_)) = two.ends[SERVER].pending.front() {
        if let Output::Event(Event::Incoming { channel, .. }) = two.ends[SERVER].poll_output(true) {
            incoming.push(channel);
        }
    }
    two.ends[SERVER].handle_close_channel(incoming[0]);
    two.stop(SERVER, incoming[1]);
    let said = two.says(SERVER);
    assert_eq!(words(&said), ["ACK 2", "ACCEPT 2", "RESET 2 of 2", "ACCEPT 0", "CLOSE 0"]);
    // And the peer takes it so.
    two.hears(CLIENT, &said);
    two.exchange();
    assert!(!two.ends[CLIENT].is_over() && two.ends[CLIENT].stops == 0 && two.ends[SERVER].stops == 0);
}

/// A client that has taken two of a server's records of a channel, then stops it, and gets a third one before RESET
/// goes. Its key on both sides.
fn stopped() -> (Two, [ChannelKey; 2]) {
    let mut two = Two::new(|_| {});
    let keys = two.open(1)[0];
    for _ in 0..2 {
        let data = two.sends(SERVER, keys[SERVER], 1);
        two.hears(CLIENT, &data);
    }
    two.stop(CLIENT, keys[CLIENT]);
    let data = two.sends(SERVER, keys[SERVER], 1);
    two.hears(CLIENT, &data);
    (two, keys)
}

#[test]
fn what_is_thrown_away_is_acknowledged_behind_reset_only() {
    let (mut two, _) = stopped();
    assert_eq!(words(&two.says(CLIENT)), ["ACK 2", "RESET 0 of 2", "ACK 3"]);
}

#[test]
fn a_reset_that_the_log_has_no_room_for_does_not_keep_back_acknowledgements() {
    let (mut two, _) = stopped();
    two.ends[CLIENT].config.settings.replay_limit_bytes = 0;
    // The peer may have to hear of them before it acknowledges what makes room.
    assert_eq!(words(&two.says(CLIENT)), ["ACK 2", "ACK 3"]);
    two.ends[CLIENT].config.settings.replay_limit_bytes = 1 << 20;
    assert_eq!(words(&two.says(CLIENT)), ["RESET 0 of 2"]);
}

#[test]
fn an_end_at_once_acknowledges_nothing_that_a_reset_which_goes_no_more_has_voided() {
    let (mut two, _) = stopped();
    two.ends[CLIENT].handle_end(two.now);
    assert_eq!(words(&two.says(CLIENT)), ["ACK 2"]);
    let (mut two, keys) = stopped();
    two.ends[CLIENT].config.settings.replay_limit_bytes = 0;
    assert_eq!(words(&two.says(CLIENT)), ["ACK 2", "ACK 3"]);
    let data = two.sends(SERVER, keys[SERVER], 1);
    two.hears(CLIENT, &data);
    two.ends[CLIENT].handle_end(two.now);
    assert_eq!(words(&two.says(CLIENT)), [""; 0]);
    assert!(two.has_closed[CLIENT]);
}

#[test]
fn a_reset_behind_a_replay_that_has_to_wait_does_not_keep_back_acknowledgements() {
    let mut two = Two::new(|_| {});
    let keys = two.open(2);
    two.sends(CLIENT, keys[0][CLIENT], 1_000);
    let resumed = two.resume();
    two.hears(CLIENT, &resumed);
    // As if more than the path holds had been replayed before.
    let now = two.now;
    two.ends[CLIENT].budget.handle_sent(now, 1 << 20, Class::Other);
    let data = two.sends(SERVER, keys[1][SERVER], 1);
    two.hears(CLIENT, &data);
    two.stop(CLIENT, keys[1][CLIENT]);
    let data = two.sends(SERVER, keys[1][SERVER], 1);
    two.hears(CLIENT, &data);
    let rx = two.ends[CLIENT].acks.rx;
    let said = words(&two.says(CLIENT));
    assert!(two.ends[CLIENT].is_blocked && two.ends[CLIENT].log.unsent().is_some(), "{said:?}");
    assert!(said.contains(&format!("ACK {rx}")) && !said.contains(&"RESET 2 of 2".to_string()), "{said:?}");
}

#[test]
fn a_session_that_has_drained_acknowledges_all_though_a_reset_was_to_go_before() {
    let mut two = Two::new(|_| {});
    let keys = two.open(1)[0];
    two.ends[CLIENT].handle_close_channel(keys[CLIENT]);
    two.ends[CLIENT].handle_close(two.now, 60_000);
    let said = two.says(CLIENT);
    two.hears(SERVER, &said);
    two.wait(30);
    let data = two.sends(SERVER, keys[SERVER], 1);
    two.hears(CLIENT, &data);
    two.stop(CLIENT, keys[CLIENT]);
    two.ends[SERVER].handle_close_channel(keys[SERVER]);
    // With CLOSE the channel is over, and RESET means nothing any more.
    let close = two.says(SERVER);
    two.hears(CLIENT, &close);
    assert_eq!(words(&two.says(CLIENT)), ["ACK 2"]);
    assert!(two.has_closed[CLIENT] && two.ends[CLIENT].stops == 0);
}

#[test]
fn a_reset_that_means_nothing_any_more_keeps_back_nothing_later() {
    let mut two = Two::new(|_| {});
    let keys = two.open(3);
    two.ends[CLIENT].handle_close_channel(keys[0][CLIENT]);
    let said = two.says(CLIENT);
    two.hears(SERVER, &said);
    two.stop(CLIENT, keys[0][CLIENT]);
    two.ends[SERVER].handle_close_channel(keys[0][SERVER]);
    let close = two.says(SERVER);
    two.hears(CLIENT, &close);
    assert!(!words(&two.says(CLIENT)).iter().any(|word| word.starts_with("RESET")));
    // The next one is waited for, and then no longer.
    two.stop(CLIENT, keys[1][CLIENT]);
    let data = two.sends(SERVER, keys[1][SERVER], 1);
    two.hears(CLIENT, &data);
    assert_eq!(words(&two.says(CLIENT)), ["ACK 1", "RESET 2 of 2", "ACK 2"]);
    let data = two.sends(SERVER, keys[2][SERVER], 1);
    two.hears(CLIENT, &data);
    two.wait(100);
    let said = words(&two.says(CLIENT));
    assert!(said.iter().any(|word| word.starts_with("ACK")), "{said:?}");
    assert_eq!(two.ends[CLIENT].stops, 0);
}

#[test]
fn what_resume_has_acknowledged_is_not_acknowledged_again_though_a_reset_is_to_follow() {
    let (mut two, _) = stopped();
    let resumed = two.resume();
    two.hears(CLIENT, &resumed);
    let said = words(&two.says(CLIENT));
    assert!(said.contains(&"RESET 0 of 2".to_string()), "{said:?}");
    assert!(!said.iter().any(|word| word.starts_with("ACK")), "{said:?}");
}

#[test]
fn a_channel_that_waits_for_the_peers_limit_keeps_back_no_acknowledgement() {
    let mut two = Two::new(|configs| configs[SERVER].settings.max_channels = 16);
    let keys = two.open(16);
    let waiting = two.open(1);
    assert!(waiting.is_empty());
    let mut more = || two.ends[CLIENT].open(ChannelKind::Call, "f".into(), Vec::new(), Priority::Normal);
    let (half, none) = (more().unwrap(), more().unwrap());
    for key in [half, none] {
        two.stop(CLIENT, key);
    }
    two.ends[CLIENT].handle_close_channel(none);
    let data = two.sends(SERVER, keys[0][SERVER], 1);
    two.hears(CLIENT, &data);
    two.wait(100);
    assert_eq!(words(&two.says(CLIENT)), ["ACK 1"]);
    // When they open, the peer hears what has become of them.
    let mut limit = Vec::new();
    Record::ChanLimit { count: 19 }.put(None, &mut limit);
    two.hears(CLIENT, &[limit]);
    let said = words(&two.says(CLIENT));
    assert_eq!(said, ["OPEN 32", "OPEN 34", "OPEN 36", "RESET 36 of 2", "RESET 34 of 2", "CLOSE 36"]);
    assert_eq!(two.ends[CLIENT].stops, 0);
}

#[test]
fn a_reset_that_waited_for_its_open_goes_before_what_it_voids_is_acknowledged() {
    const MANY: usize = 300;
    let mut two = Two::new(|configs| configs[SERVER].settings.max_channels = 2_000);
    two.open(16);
    two.ends[CLIENT].mux.set_own_limit(16);
    let name = "n".repeat(120);
    let mut more = || two.ends[CLIENT].open(ChannelKind::Items, name.clone(), Vec::new(), Priority::Normal);
    let keys: Vec<_> = (0..MANY).map(|_| more().unwrap()).collect();
    for key in &keys {
        two.stop(CLIENT, *key);
    }
    let mut limit = Vec::new();
    Record::ChanLimit { count: 16 + MANY as u64 }.put(None, &mut limit);
    two.hears(CLIENT, &[limit]);
    // The connection takes one message, with some of OPEN and without RESET of them.
    let first = loop {
        if let Output::Transmit(out) = two.ends[CLIENT].poll_output(true) {
            break out.bytes;
        }
    };
    let said = words(core::slice::from_ref(&first));
    assert!(
        said.len() > 10 && said.len() < MANY && said.iter().all(|word| word.starts_with("OPEN")),
        "{said:?}"
    );
    two.hears(SERVER, &[first]);
    let accepts = two.says(SERVER);
    two.hears(CLIENT, &accepts);
    let there = two.incoming[SERVER][0];
    let data = two.sends(SERVER, there, 1);
    two.hears(CLIENT, &data);
    two.wait(100);
    let said = words(&two.says(CLIENT));
    let [reset, ack] =
        ["RESET 32 of 2", "ACK"].map(|word| said.iter().position(|said| said.starts_with(word)));
    assert!(reset.is_some() && ack.is_none_or(|ack| reset < Some(ack)), "{said:?}");
}

#[test]
fn what_a_channel_costs_is_the_same_beside_a_thousand_others() {
    let cost = |others: usize| {
        let mut two = Two::new(|configs| configs[SERVER].settings.max_channels = 2_000);
        let keys = two.open(others + 3);
        // All of it is acknowledged.
        two.wait(100);
        two.exchange();
        steps::of(|| {
            for ([here, there], n) in keys.into_iter().skip(others / 2).take(3).zip(0..) {
                let data = two.sends(CLIENT, here, 1);
                two.hears(SERVER, &data);
                match n {
                    0 => {
                        two.ends[CLIENT].handle_close_channel(here);
                        two.ends[SERVER].handle_close_channel(there);
                    }
                    1 => two.ends[CLIENT].handle_reset(
                        here,
                        Directions::Both,
                        ChannelCode::Refused,
                        Vec::new(),
                    ),
                    _ => two.stop(SERVER, there),
                }
                two.exchange();
                two.ends[CLIENT].handle_dropped(here);
                two.ends[SERVER].handle_dropped(there);
                two.exchange();
            }
        })
    };
    let (few, many) = (cost(3), cost(1_000));
    assert!(few > 30 && many < few + few / 4, "{few} {many}");
}

#[test]
fn a_goaway_that_handles_one_channel_less_looks_at_that_one() {
    const MANY: usize = 1_000;
    let mut two = Two::new(|configs| configs[SERVER].settings.max_channels = 2_000);
    let keys = two.open(MANY);
    // Ends of all of them stand in the log.
    for [here, _] in &keys {
        two.sends(CLIENT, *here, 1);
    }
    let mut cost = |channels: usize| {
        let channels = channels as u64;
        let (code, drain_ms, reconnect_after_ms, jitter_ms, reason) = (FatalCode::None, 60_000, 0, 0, "");
        let mut goaway = Vec::new();
        Record::GoAway { channels, code, drain_ms, reconnect_after_ms, jitter_ms, reason }
            .put(None, &mut goaway);
        let steps = steps::of(|| two.hears(CLIENT, &[goaway]));
        two.says(CLIENT);
        steps
    };
    assert!(cost(MANY / 2) > MANY / 2);
    for less in 1..50 {
        let steps = cost(MANY / 2 - less);
        assert!(steps > 0 && steps < 100, "{less}: {steps}");
    }
}

#[test]
fn events_of_a_channel_are_counted_until_they_are_told() {
    let mut two = Two::new(|_| {});
    let keys = two.open(2);
    // Both end, and both ends wait to be told.
    for [_, there] in &keys {
        two.ends[SERVER].handle_reset(*there, Directions::Both, ChannelCode::Refused, Vec::new());
    }
    let resets = two.says(SERVER);
    two.hears(CLIENT, &resets);
    two.ends[CLIENT].handle_dropped(keys[0][CLIENT]);
    two.ends[CLIENT].handle_reset(keys[0][CLIENT], Directions::Both, ChannelCode::Cancelled, Vec::new());
    let mut told = Vec::new();
    loop {
        match two.ends[CLIENT].poll_output(true) {
            Output::Event(Event::PeerEnded { channel, .. } | Event::PeerStopped { channel, .. }) => {
                told.push(channel);
            }
            Output::Timeout(_) => break,
            _ => {}
        }
    }
    // RESET in answer goes behind what was told, so that the first one has been as well; then it is forgotten.
    assert_eq!(told.iter().filter(|key| **key == keys[1][CLIENT]).count(), 2);
    assert!(two.ends[CLIENT].mux.get(keys[0][CLIENT]).is_none());
    assert_eq!(two.ends[CLIENT].mux.get(keys[1][CLIENT]).unwrap().events, 0);
}

/// The largest that each of them can be.
#[test]
fn what_goes_behind_credit_takes_the_room_that_is_kept_for_it_and_no_more() {
    const MOST: u64 = (1 << 53) - 1;
    let size = |record: Record<'_>| {
        let mut bytes = Vec::new();
        record.put(None, &mut bytes);
        bytes.len() as u64
    };
    let codes = (0..64).map(FatalCode::from_wire).map(FatalCode::name);
    let reason = codes.max_by_key(|name| name.len()).unwrap();
    let goaway = size(Record::GoAway {
        channels: MOST,
        code: FatalCode::None,
        drain_ms: MOST,
        reconnect_after_ms: MOST,
        jitter_ms: MOST,
        reason,
    });
    let pong = size(Record::Pong { t_us: MOST, hold_us: MOST, peer_t_us: MOST, rx: MOST });
    let ack = size(Record::Ack { rx: MOST, delay_us: MOST });
    let small = [
        size(Record::Ping { t_us: MOST }),
        size(Record::Pad { body: &[] }),
        size(Record::Unknown { kind: kind::GREASE[0], body: &[] }),
    ];
    let credit = size(Record::Credit { channel: MOST, limit: MOST });
    assert_eq!(ack, MOST_ACK);
    // CREDIT goes as long as no more than the room is left; the last one may take some of it.
    let all = credit + goaway + pong + ack + small.iter().sum::<u64>();
    assert!(all <= LOOSE_BYTES && all * 10 > LOOSE_BYTES * 7, "{all}");
}

#[test]
fn no_message_is_larger_than_the_peer_takes_however_much_credit_is_due() {
    const LEAST: u32 = 8_192;
    let mut largest = 0;
    // About as many as fill a message: in one of these cases it is full to the last byte that is left to CREDIT.
    for count in [980, 1_000, 1_005, 1_010, 1_015, 1_020, 1_040] {
        let mut two = Two::new(|configs| {
            configs[CLIENT].settings.max_message_bytes = LEAST;
            configs[SERVER].settings.max_channels = 2_000;
        });
        let keys = two.open(count);
        assert_eq!(keys.len(), count);
        // After a resume the limits of all channels are told again. What else may be due is.
        for end in &mut two.ends {
            end.handle_lost(two.now, 1006);
            end.handle_attached(two.now, 0);
        }
        let asks = two.says(CLIENT);
        two.hears(SERVER, &asks);
        two.says(SERVER);
        let request = two.resume.take().unwrap();
        two.ends[SERVER].handle_resume(two.now, &request);
        two.ends[SERVER].handle_shutdown(two.now, 1 << 50, 1 << 50, 1 << 50);
        two.wait(25_000);
        let mut ping = Vec::new();
        Record::Ping { t_us: 1 << 50 }.put(None, &mut ping);
        two.hears(SERVER, &[ping]);
        let said = two.says(SERVER);
        let kinds = words(&said);
        let credits = kinds.iter().filter(|word| **word == format!("{:#x}", kind::CREDIT)).count();
        assert!(credits == count && kinds.iter().any(|word| word.starts_with("PONG")), "{count}");
        assert!(kinds.contains(&format!("{:#x}", kind::GOAWAY)), "{count}");
        largest = said.iter().map(Vec::len).max().unwrap_or(0).max(largest);
        assert!(largest <= LEAST as usize, "{largest} with {count}");
    }
    // Near to it, or else nothing was tried.
    assert!(largest > LEAST as usize - 128, "{largest}");
}
