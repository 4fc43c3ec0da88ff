//! What must hold of a run when it is over.

use tidegate::proto::Outcome;
use tidegate::proto::v1::Cause;

use crate::content::is_content;
use crate::end::End;
use crate::world::Trace;

/// Something that does not hold: of which invariant, and what.
pub(crate) type Finding = (&'static str, String);

/// Everything that is wrong with a run.
pub(crate) fn check(trace: &Trace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for which in 0..2 {
        let (from, to) = (&trace.ends[which], &trace.ends[1 - which]);
        outcomes(from, &mut findings);
        streams(from, to, &mut findings);
    }
    for end in &trace.ends {
        let Some(over) = &end.over else { continue };
        if matches!(over.cause, Cause::Peer { .. } | Cause::Told(_)) {
            findings.push(("I1", format!("{} has ended by a fault: {over:?}", end.which)));
        }
        let resumed: Vec<u64> = (1..=end.epochs.len() as u64).collect();
        if end.epochs != resumed && end.epochs.len() < 2 {
            findings.push(("I1", format!("epochs {:?}", end.epochs)));
        }
    }
    findings
}

fn outcomes(end: &End, findings: &mut Vec<Finding>) {
    let is_closed = end.over.is_some_and(|over| over.cause == Cause::Closed);
    let (mut unsent, mut unknown) = (0, 0);
    for (id, sent) in end.sent.iter().enumerate() {
        match sent.outcome {
            None if end.over.is_some() => {
                findings.push(("I8", format!("item {id} of {} has no end: {sent:?}", end.which)));
            }
            Some(Outcome::Unsent) => unsent += 1,
            Some(Outcome::Unknown) => unknown += 1,
            Some(Outcome::Expired) if sent.due.is_none() => {
                findings.push(("I13", format!("item {id} had no deadline: {sent:?}")));
            }
            _ => {}
        }
    }
    // Who has closed has waited for everything; the other side may not have heard of all that it has sent.
    if is_closed && end.which == 0 && unsent + unknown > 0 {
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
        for (id, sent) in order.iter().map(|id| (*id, &from.sent[*id])) {
            if sent.outcome == Some(Outcome::Delivered)
                && !arrived.contains(&id)
                && !to.unwanted.contains(stream)
            {
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
