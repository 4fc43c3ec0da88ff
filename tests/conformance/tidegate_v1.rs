//! The vectors of `docs/PROTOCOL.md`, against a session as a peer would meet it.
//!
//! What the codec alone decides is tested beside it; here each message goes to a whole session.

use serde_json::Value;
use tidegate::proto::Priority;
use tidegate::proto::v1::{Cause, ChannelKind, Event, Output, Session, SessionConfig, Settings};
use tidegate::time::Timestamp;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::records::{Seen, records, varint};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/tidegate-v1.json")).expect("the vectors are JSON")
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hex");
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// What a session has said.
#[derive(Debug, Default)]
struct Said {
    messages: Vec<Vec<u8>>,
    close: Option<u16>,
    over: Option<Cause>,
}

impl Said {
    fn records(&self) -> Vec<Seen<'_>> {
        self.messages.iter().flat_map(|message| records(message)).collect()
    }

    /// What is acknowledged; 0 if nothing is.
    fn highest_ack(&self) -> u64 {
        let acks = self.records().into_iter().filter(|record| record.kind == 0x06);
        acks.map(|record| varint(record.body, &mut 0)).max().unwrap_or(0)
    }
}

fn poll(session: &mut Session) -> Said {
    let mut said = Said::default();
    loop {
        match session.poll_output(true) {
            Output::Transmit(out) => said.messages.push(out.bytes),
            Output::Close(code) => said.close = Some(code),
            Output::Event(Event::Over(over)) => said.over = Some(over.cause),
            Output::Event(_) => {}
            Output::Timeout(_) | Output::Blocked(_) => return said,
            other => panic!("{other:?} without host values"),
        }
    }
}

/// The receiver of a vector, with everything that came before it.
fn receiver(vector: &Value) -> (Session, u64) {
    let is_client = vector["receiver"] == "client";
    let mut config = if is_client { SessionConfig::client() } else { SessionConfig::server() };
    config.settings = Settings::default();
    for setting in vector["receiver_settings"].as_array().into_iter().flatten() {
        let value = u32::try_from(setting["value"].as_u64().unwrap()).unwrap();
        match setting["id"].as_u64().unwrap() {
            1 => config.settings.max_message_bytes = value,
            3 => config.settings.initial_window = value,
            4 => config.settings.max_item_bytes = value,
            other => panic!("setting {other}"),
        }
    }
    config.channel_window = 0;
    config.channel_max_item = 0;
    let mut session = Session::new(Timestamp::ZERO, config);
    session.handle_attached(Timestamp::ZERO, 0);
    poll(&mut session);
    let mut told = 0;
    for message in vector["before"].as_array().unwrap() {
        session.handle_message(Timestamp::ZERO, &bytes(message));
        let said = poll(&mut session);
        told = said.highest_ack().max(told);
        assert_eq!(said.close, None, "{}: what comes before it is legal: {said:?}", vector["name"]);
    }
    for _ in 0..vector["receiver_sent_s"].as_u64().unwrap_or(0) {
        session.open(ChannelKind::Call, "f".into(), Vec::new(), Priority::Normal).unwrap();
    }
    poll(&mut session);
    (session, told)
}

fn give(session: &mut Session, vector: &Value) -> Said {
    if vector["message_kind"] == "text" {
        session.handle_text(Timestamp::ZERO);
    } else {
        session.handle_message(Timestamp::ZERO, &bytes(&vector["hex"]));
    }
    poll(session)
}

#[test]
fn b58_what_is_malformed_ends_the_session_with_its_code() {
    let vectors = vectors();
    let malformed = vectors["malformed"].as_array().unwrap();
    assert!(malformed.len() >= 75);
    for vector in malformed {
        let name = &vector["name"];
        let (mut session, _) = receiver(vector);
        let said = give(&mut session, vector);
        let code = vector["error"]["code"].as_u64().unwrap();
        assert_eq!(said.close.map(u64::from), vector["error"]["close_code"].as_u64(), "{name}: {said:?}");
        let Some(Cause::Peer { code: found, .. }) = said.over else { panic!("{name}: {said:?}") };
        assert_eq!(u64::from(found.close_code()) - 4200, code, "{name}");
        let records = said.records();
        let error = records.last().unwrap_or_else(|| panic!("{name}: no ERROR"));
        assert_eq!((error.kind, u64::from(error.body[0])), (0x0a, code), "{name}");
        // Nothing that comes later counts.
        session.handle_message(Timestamp::ZERO, &[0x80, 0]);
        assert_eq!(poll(&mut session).messages, Vec::<Vec<u8>>::new(), "{name}");
    }
}

/// What is acknowledged in the end.
fn acknowledged(session: &mut Session, said: &Said, told: u64) -> u64 {
    session.handle_timeout(Timestamp::from_micros(30_000));
    said.highest_ack().max(poll(session).highest_ack()).max(told)
}

#[test]
fn b58_what_is_wrong_in_a_channel_is_answered_there() {
    let vectors = vectors();
    for vector in vectors["channel_errors"].as_array().unwrap() {
        let name = &vector["name"];
        let (mut session, told) = receiver(vector);
        let said = give(&mut session, vector);
        assert_eq!((said.close, said.over), (None, None), "{name}");
        let reply = &vector["reply"];
        let of = |key: &str| reply[key].as_u64().unwrap();
        let reset = said.records().into_iter().find(|record| record.kind == 0x43);
        let reset = reset.unwrap_or_else(|| panic!("{name}: no RESET in {said:?}"));
        let mut at = 0;
        let channel = varint(reset.body, &mut at);
        let dir = u64::from(reset.body[at]);
        at += 1;
        let code = varint(reset.body, &mut at);
        assert_eq!((channel, dir, code), (of("channel"), of("dir"), of("code")), "{name}");
        assert_eq!(Some(acknowledged(&mut session, &said, told)), vector["rx_after"].as_u64(), "{name}");
    }
}

#[test]
fn what_looks_odd_but_is_legal_is_accepted() {
    let vectors = vectors();
    for vector in vectors["accepted"].as_array().unwrap() {
        let name = &vector["name"];
        let (mut session, told) = receiver(vector);
        let said = give(&mut session, vector);
        assert_eq!((said.close, said.over), (None, None), "{name}: {said:?}");
        // A RESET may be answered by one, but nothing is found fault with.
        let mut resets = said.records().into_iter().filter(|record| record.kind == 0x43);
        assert!(resets.all(|record| record.body[1] == 1), "{name}: {said:?}");
        assert_eq!(Some(acknowledged(&mut session, &said, told)), vector["rx_after"].as_u64(), "{name}");
    }
}
