//! What must hold of a run when it is over.

use std::collections::BTreeSet;

use tidegate::proto::Outcome;
use tidegate::proto::v1::{Cause, RefusedCode};

use crate::content::is_content;
use crate::end::End;
use crate::plan::{Fault, Plan};
use crate::world::Trace;

/// Something that does not hold: of which invariant, and what.
pub(crate) type Finding = (&'static str, String);

/// Everything that is wrong with a run.
pub(crate) fn check(plan: &Plan, trace: &mut Trace) -> Vec<Finding> {
    let mut findings = core::mem::take(&mut trace.findings);
    if plan.flips > 0 {
        return findings;
    }
    for pair in &trace.pairs {
        for which in 0..2 {
            let (from, to) = (&pair[which], &pair[1 - which]);
            outcomes(from, to, &mut findings);
            streams(from, to, &mut findings);
            ending(plan, trace, [from, to], &mut findings);
        }
    }
    findings
}

/// How a session has ended, and how often it was resumed.
fn ending(plan: &Plan, trace: &Trace, [end, other]: [&End; 2], findings: &mut Vec<Finding>) {
    let cause = |end: &End| end.over.map(|over| over.cause);
    // Who has taken a session over says nothing more.
    let is_alone = cause(other) == Some(Cause::Superseded);
    let is_closed = end.which == plan.closer && cause(end) == Some(Cause::Closed) && !has_end(plan);
    if is_closed && !end.closed_in_time && !is_alone {
        findings.push(("I8", format!("{} did not close in its time", end.which)));
    }
    let is_counted = match end.which {
        // A client does not hear of those whose answer was lost.
        0 => {
            end.epochs.first().is_none_or(|epoch| *epoch == 1)
                && end.epochs.is_sorted_by(|one, other| one < other)
        }
        _ => end.epochs.iter().copied().eq(1..=end.epochs.len() as u64),
    };
    if !is_counted {
        findings.push(("I1", format!("epochs of {}: {:?}", end.which, end.epochs)));
    }
    let Some(over) = &end.over else { return };
    // Both could go on, and had all the time that they needed.
    let had_begun = !end.epochs.is_empty() && !other.epochs.is_empty();
    let is_cut_short = has_end(plan)
        || plan.late[0] > 1_000_000
        || has(plan, |fault| matches!(fault, Fault::Jumps { .. } | Fault::Forgets));
    // 6.6: the end in good order may be lost with its connection.
    let is_unaware = other.closed_in_time && !end.was_told;
    let has_its_time =
        plan.ttl >= 120 && had_begun && !trace.may_be_superseded && !is_cut_short && !is_unaware;
    let is_right = match over.cause {
        Cause::Closed => true,
        Cause::Superseded => trace.may_be_superseded && end.which == 0,
        // Neither side ever loses a part of its memory.
        Cause::Refused { code: RefusedCode::ReplayGap, .. } => false,
        Cause::Refused { .. } => end.which == 0 && !has_its_time,
        Cause::Expired | Cause::Lost { .. } | Cause::NoGreeting | Cause::Silent => !has_its_time,
        _ => false,
    };
    if !is_right {
        findings.push(("I1", format!("{} has ended by what has not happened: {over:?}", end.which)));
    }
}

fn has(plan: &Plan, is: impl Fn(&Fault) -> bool) -> bool {
    plan.faults.iter().any(|(_, fault)| is(fault))
}

/// Whether one side has ended the session before everything was done.
fn has_end(plan: &Plan) -> bool {
    has(plan, |fault| matches!(fault, Fault::ShutsDown { .. } | Fault::Closes { .. }))
}

fn outcomes(end: &End, other: &End, findings: &mut Vec<Finding>) {
    let (mut unsent, mut unknown, mut stopped_late) = (0, 0, 0);
    // What the other side may have thrown away.
    let stopped = end.order.iter().filter(|(stream, _)| other.unwanted.contains(stream));
    let stopped: BTreeSet<usize> = stopped.flat_map(|(_, items)| items).copied().collect();
    for (id, sent) in end.sent.iter().enumerate() {
        match sent.outcome {
            None if end.over.is_some() => {
                findings.push(("I8", format!("item {id} of {} has no end: {sent:?}", end.which)));
            }
            Some(Outcome::Unsent) => {
                unsent += 1;
                if sent.began.is_some() && !end.going_away {
                    findings
                        .push(("I9", format!("item {id} of {} began and is unsent: {sent:?}", end.which)));
                }
            }
            Some(Outcome::Unknown) => {
                unknown += 1;
                stopped_late += u64::from(stopped.contains(&id));
            }
            _ => {}
        }
    }
    // Who has closed before its time was over has waited for everything, but for what the peer does not handle, and for
    // channels that it did not open any more.
    if end.closed_in_time && !end.going_away && unsent + unknown > end.given_up + stopped_late {
        findings.push(("I8", format!("closed in good order, but {unsent} unsent and {unknown} unknown")));
    }
    if let Some(over) = end.over
        && (over.unsent.messages, over.unknown.messages) != (unsent, unknown)
    {
        findings.push(("I9", format!("{unsent} unsent and {unknown} unknown, but {over:?}")));
    }
}

/// What has arrived of each stream, against what was sent.
fn streams(from: &End, to: &End, findings: &mut Vec<Finding>) {
    let none = Vec::new();
    for (stream, order) in &from.order {
        let received = to.received.get(stream).unwrap_or(&none);
        let mut sent = order.iter().copied();
        let mut arrived = Vec::new();
        for (at, item) in received.iter().enumerate() {
            let found = sent.find(|id| {
                let sent = &from.sent[*id];
                let may = matches!(sent.outcome, None | Some(Outcome::Delivered | Outcome::Unknown));
                may && sent.bytes == item.content.len() as u64
                    && sent.is_text == item.is_text
                    && is_content(from.which, *id, sent.is_text, &item.content)
            });
            let Some(id) = found else {
                let (bytes, start) = (item.content.len(), &item.content[..item.content.len().min(12)]);
                findings.push((
                    "I2",
                    format!("{stream:?}: item {at} of {bytes} B ({start:?}) was not sent there"),
                ));
                return;
            };
            arrived.push(id);
        }
        // Who goes away and loses the connection acknowledges by the greeting of the next one what came before GOAWAY
        // was heard, on channels that it does not handle.
        // So does who has stopped a channel, of what came on it before the other side could hear of that.
        let is_late = to.unwanted.contains(stream) && from.epochs.len() > 1;
        let is_beyond = to.is_closing && from.epochs.len() > 1 && !to.was_told_of(&stream.0);
        for (id, sent) in order.iter().map(|id| (*id, &from.sent[*id])) {
            if sent.outcome == Some(Outcome::Delivered) && !arrived.contains(&id) && !is_late && !is_beyond {
                findings.push((
                    "I9",
                    format!("{stream:?}: item {id} was delivered and has not arrived: {sent:?}"),
                ));
            }
        }
    }
    for stream in to.received.keys().filter(|stream| stream.1 == from.which) {
        if !from.order.contains_key(stream) {
            findings.push(("I2", format!("{stream:?} was never sent to")));
        }
    }
}
