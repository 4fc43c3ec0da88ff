//! Every state of a connection with every input, against a table that is checked in.

use core::fmt::Write;
use core::time::Duration;

use super::host::{SECOND, at};
use crate::proto::outcome::CloseCause;
use crate::proto::session::CloseRequest;
use crate::proto::session::phase::{Action, Phase, Step};
use crate::time::Timestamp;

fn phases() -> Vec<(&'static str, Phase)> {
    let deadline = Some(at(5));
    let sent = |cause| Phase::CloseSent { deadline, code: Some(4001), cause };
    vec![
        ("connecting", Phase::Connecting { deadline }),
        ("open", Phase::Open),
        ("ending", Phase::Ending { deadline, close_within: Some(SECOND) }),
        ("flushing", Phase::Flushing { deadline, code: Some(4001), reason: "first".into() }),
        ("sent", sent(CloseCause::Local)),
        ("sent-overflow", sent(CloseCause::ReceiveOverflow)),
        ("peer-closing", Phase::PeerClosing { deadline, code: 4003, reason: "theirs".into() }),
        ("closed", Phase::Closed),
    ]
}

fn steps() -> Vec<(&'static str, Step)> {
    let request = CloseRequest { code: Some(4002), reason: "second".into(), within: None, flush: true };
    let close = |busy| Step::Close { request: request.clone(), deadline: Some(at(7)), busy };
    let end = |code, was_clean| Step::TransportEnd { code, reason: "peer".into(), was_clean };
    vec![
        ("opened", Step::Opened),
        ("close, idle", close(false)),
        ("close, busy", close(true)),
        ("end", Step::End { deadline: Some(at(8)), close_within: Some(2 * SECOND) }),
        ("hurry, less", Step::Hurry { deadline: at(3) }),
        ("hurry, more", Step::Hurry { deadline: at(6) }),
        ("flushed", Step::Flushed),
        ("abort", Step::Abort),
        ("broken", Step::Broken),
        ("overflow", Step::Overflow { code: 4009, deadline: Some(at(9)) }),
        ("deadline, idle", Step::Deadline { now: at(6), busy: false }),
        ("deadline, busy", Step::Deadline { now: at(6), busy: true }),
        ("peer closing", Step::PeerClosing { code: 4004, reason: "new".into(), deadline: Some(at(4)) }),
        ("end 4001 clean", end(4001, true)),
        ("end 1000 clean", end(1000, true)),
        ("end 1006", end(1006, false)),
    ]
}

/// State, input, the state after it (`=`: unchanged) and what the session then does (`-`: nothing).
/// `@` is a deadline in seconds.
const TABLE: &str = "\
connecting | opened | open | say opened
connecting | close, idle | closed | abort Aborted
connecting | close, busy | closed | abort Aborted
connecting | end | closed | abort Aborted
connecting | hurry, less | = | -
connecting | hurry, more | = | -
connecting | flushed | = | -
connecting | abort | closed | abort Aborted
connecting | broken | closed | abort Peer
connecting | overflow | = | -
connecting | deadline, idle | closed | abort ConnectTimeout
connecting | deadline, busy | closed | abort ConnectTimeout
connecting | peer closing | = | -
connecting | end 4001 clean | closed | say closed 4001 'peer' clean Peer
connecting | end 1000 clean | closed | say closed 1000 'peer' clean Peer
connecting | end 1006 | closed | say closed 1006 'peer' not clean Peer
open | opened | = | -
open | close, idle | sent @7 4002 Local | send close 4002 'second'
open | close, busy | flushing @7 4002 'second' | -
open | end | ending @8 then 2 | -
open | hurry, less | = | -
open | hurry, more | = | -
open | flushed | = | -
open | abort | closed | abort Aborted
open | broken | closed | abort Peer
open | overflow | sent @9 4009 ReceiveOverflow | send close 4009 'receive queue overflow'
open | deadline, idle | = | -
open | deadline, busy | = | -
open | peer closing | peer-closing @4 4004 'new' | -
open | end 4001 clean | closed | say closed 4001 'peer' clean Peer
open | end 1000 clean | closed | say closed 1000 'peer' clean Peer
open | end 1006 | closed | say closed 1006 'peer' not clean Peer
ending | opened | = | -
ending | close, idle | sent @7 4002 Local | send close 4002 'second'
ending | close, busy | flushing @7 4002 'second' | -
ending | end | = | -
ending | hurry, less | = | -
ending | hurry, more | = | -
ending | flushed | = | -
ending | abort | closed | abort Aborted
ending | broken | closed | abort Peer
ending | overflow | sent @9 4009 ReceiveOverflow | send close 4009 'receive queue overflow'
ending | deadline, idle | sent @7 1000 Local | send close 1000 ''
ending | deadline, busy | flushing @7 1000 '' | -
ending | peer closing | peer-closing @4 4004 'new' | -
ending | end 4001 clean | closed | say closed 4001 'peer' clean Peer
ending | end 1000 clean | closed | say closed 1000 'peer' clean Peer
ending | end 1006 | closed | say closed 1006 'peer' not clean Peer
flushing | opened | = | -
flushing | close, idle | = | -
flushing | close, busy | = | -
flushing | end | = | -
flushing | hurry, less | flushing @3 4001 'first' | -
flushing | hurry, more | = | -
flushing | flushed | sent @5 4001 Local | send close 4001 'first'
flushing | abort | closed | abort Aborted
flushing | broken | closed | abort Peer
flushing | overflow | sent @9 4009 ReceiveOverflow | send close 4009 'receive queue overflow'
flushing | deadline, idle | closed | abort Unconfirmed
flushing | deadline, busy | closed | abort Unconfirmed
flushing | peer closing | peer-closing @5 4004 'new' | -
flushing | end 4001 clean | closed | say closed 4001 'peer' clean Peer
flushing | end 1000 clean | closed | say closed 1000 'peer' clean Peer
flushing | end 1006 | closed | say closed 1006 'peer' not clean Peer
sent | opened | = | -
sent | close, idle | = | -
sent | close, busy | = | -
sent | end | = | -
sent | hurry, less | sent @3 4001 Local | -
sent | hurry, more | = | -
sent | flushed | = | -
sent | abort | closed | abort Aborted
sent | broken | = | -
sent | overflow | = | -
sent | deadline, idle | closed | abort Unconfirmed
sent | deadline, busy | closed | abort Unconfirmed
sent | peer closing | = | -
sent | end 4001 clean | closed | say closed 4001 'peer' clean Local
sent | end 1000 clean | closed | say closed 1000 'peer' clean Peer
sent | end 1006 | closed | say closed 1006 'peer' not clean Unconfirmed
sent-overflow | opened | = | -
sent-overflow | close, idle | = | -
sent-overflow | close, busy | = | -
sent-overflow | end | = | -
sent-overflow | hurry, less | sent @3 4001 ReceiveOverflow | -
sent-overflow | hurry, more | = | -
sent-overflow | flushed | = | -
sent-overflow | abort | closed | abort Aborted
sent-overflow | broken | = | -
sent-overflow | overflow | = | -
sent-overflow | deadline, idle | closed | abort ReceiveOverflow
sent-overflow | deadline, busy | closed | abort ReceiveOverflow
sent-overflow | peer closing | = | -
sent-overflow | end 4001 clean | closed | say closed 4001 'peer' clean ReceiveOverflow
sent-overflow | end 1000 clean | closed | say closed 1000 'peer' clean ReceiveOverflow
sent-overflow | end 1006 | closed | say closed 1006 'peer' not clean ReceiveOverflow
peer-closing | opened | = | -
peer-closing | close, idle | = | -
peer-closing | close, busy | = | -
peer-closing | end | = | -
peer-closing | hurry, less | peer-closing @3 4003 'theirs' | -
peer-closing | hurry, more | = | -
peer-closing | flushed | = | -
peer-closing | abort | closed | abort Aborted
peer-closing | broken | = | -
peer-closing | overflow | = | -
peer-closing | deadline, idle | closed | give up 4003 'theirs'
peer-closing | deadline, busy | closed | give up 4003 'theirs'
peer-closing | peer closing | = | -
peer-closing | end 4001 clean | closed | say closed 4001 'peer' clean Peer
peer-closing | end 1000 clean | closed | say closed 1000 'peer' clean Peer
peer-closing | end 1006 | closed | say closed 1006 'peer' not clean Peer
closed | opened | = | -
closed | close, idle | = | -
closed | close, busy | = | -
closed | end | = | -
closed | hurry, less | = | -
closed | hurry, more | = | -
closed | flushed | = | -
closed | abort | = | -
closed | broken | = | -
closed | overflow | = | -
closed | deadline, idle | = | -
closed | deadline, busy | = | -
closed | peer closing | = | -
closed | end 4001 clean | = | -
closed | end 1000 clean | = | -
closed | end 1006 | = | -
";

#[test]
fn every_state_with_every_input_is_as_the_table_says() {
    let mut walked = String::new();
    for (state, phase) in phases() {
        for (input, step) in steps() {
            let (next, action) = phase.clone().next(step);
            let after = if next == phase { "=".into() } else { show_phase(&next) };
            writeln!(walked, "{state} | {input} | {after} | {}", show_action(&action)).unwrap();
        }
    }
    for (walked, expected) in walked.lines().zip(TABLE.lines()) {
        assert_eq!(walked, expected);
    }
    assert_eq!(walked.lines().count(), TABLE.lines().count(), "rows:\n{walked}");
}

#[test]
fn what_a_state_allows_is_as_the_table_says() {
    // State: takes messages, sends them, flushes, delivers; its deadline.
    let table = "\
connecting: true false false false @5
open: true true false true @-
ending: false true false true @5
flushing: false true true true @5
sent: false false false false @5
sent-overflow: false false false false @5
peer-closing: false false false false @5
closed: false false false false @-
";
    let mut walked = String::new();
    for (state, phase) in phases() {
        let (takes, sends, flushes) = (phase.takes_messages(), phase.sends(), phase.flushes());
        let (delivers, deadline) = (phase.delivers(), show_time(phase.deadline()));
        writeln!(walked, "{state}: {takes} {sends} {flushes} {delivers} {deadline}").unwrap();
    }
    assert_eq!(walked, table);
}

fn show_time(time: Option<Timestamp>) -> String {
    time.map_or("@-".into(), |time| format!("@{}", time.as_micros() / 1_000_000))
}

fn show_code(code: Option<u16>) -> String {
    code.map_or("none".into(), |code| code.to_string())
}

fn show_phase(phase: &Phase) -> String {
    match phase {
        Phase::Connecting { deadline } => format!("connecting {}", show_time(*deadline)),
        Phase::Open => "open".into(),
        Phase::Ending { deadline, close_within } => {
            let within = close_within.unwrap_or(Duration::ZERO).as_secs();
            format!("ending {} then {within}", show_time(*deadline))
        }
        Phase::Flushing { deadline, code, reason } => {
            format!("flushing {} {} '{reason}'", show_time(*deadline), show_code(*code))
        }
        Phase::CloseSent { deadline, code, cause } => {
            format!("sent {} {} {cause:?}", show_time(*deadline), show_code(*code))
        }
        Phase::PeerClosing { deadline, code, reason } => {
            format!("peer-closing {} {code} '{reason}'", show_time(*deadline))
        }
        Phase::Closed => "closed".into(),
    }
}

fn show_action(action: &Action) -> String {
    match action {
        Action::Nothing => "-".into(),
        Action::ReportOpened => "say opened".into(),
        Action::SendClose { code, reason } => format!("send close {} '{reason}'", show_code(*code)),
        Action::Abort { cause } => format!("abort {cause:?}"),
        Action::GiveUp { code, reason } => format!("give up {code} '{reason}'"),
        Action::Report { code, reason, was_clean, cause } => {
            let clean = if *was_clean { "clean" } else { "not clean" };
            format!("say closed {code} '{reason}' {clean} {cause:?}")
        }
    }
}
