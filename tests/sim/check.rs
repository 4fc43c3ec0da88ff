//! What holds when a run is over.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use tidegate::sim::Engine;
use tidegate::{Amount, CloseCause, Outcome, Priority};

use crate::peer::Arrival;
use crate::plan::{NAMED, Reader, Send};
use crate::run::{Record, Trace};
use crate::watch::LEAST_BUDGET;

/// What urgent messages of many runs have taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latencies {
    pub(crate) within: u64,
    /// Others of the class have overtaken it.
    pub(crate) overtaken: u64,
    /// Queued or under way while the rate changed or was 0.
    pub(crate) excepted: u64,
}

/// A message without a number of its own.
type Kind = (usize, bool);

/// All that is wrong with a trace, each with the number of what it breaks.
pub(crate) fn faults(trace: &Trace, latencies: &mut Latencies) -> Vec<String> {
    let mut faults = trace.faults.clone();
    if trace.closed.is_none() {
        faults.push("I8: the connection has not ended".into());
        return faults;
    }
    outcomes(trace, &mut faults);
    arrivals(trace, &mut faults);
    order(trace, &mut faults);
    deadlines(trace, &mut faults);
    amounts(trace, &mut faults);
    urgent(trace, &mut faults, latencies);
    faults
}

/// Of everything that can be seen of a run: I15.
pub(crate) fn digest(trace: &Trace) -> u64 {
    let mut hasher = DefaultHasher::new();
    for arrival in &trace.arrivals {
        (arrival.at, arrival.bytes, arrival.id).hash(&mut hasher);
    }
    for record in &trace.records {
        (record.queued, record.outcome).hash(&mut hasher);
    }
    (trace.ended, trace.closed.as_ref().map(|closed| (closed.code, closed.unsent, closed.unknown)))
        .hash(&mut hasher);
    hasher.finish()
}

/// Whether something of it may be lost though it was handed over.
fn may_lose(trace: &Trace) -> bool {
    !trace.has_read_all
}

fn arrived(trace: &Trace) -> HashMap<usize, Duration> {
    trace.arrivals.iter().filter_map(|arrival| Some((arrival.id?, arrival.at))).collect()
}

/// I8, I9: every ticket that is held says how its message ended, and nothing is remembered.
fn outcomes(trace: &Trace, faults: &mut Vec<String>) {
    for record in &trace.records {
        let is_held = record.send.after != crate::plan::After::Drop;
        if record.queued.is_some() && is_held && record.outcome.is_none() {
            faults.push(format!("I8: no outcome of {:?}", record.send));
        }
    }
    let nothing = "messages: 0, bytes: 0";
    if let Some(remains) = &trace.remains
        && !(remains.contains(nothing) && remains.contains("flows: 0, keys: 0, tickets: 0, lines: 0"))
    {
        faults.push(format!("I8: something remains: {remains}"));
    }
}

/// I9: what has arrived was handed over, and what was handed over has arrived, unless the connection was cut.
fn arrivals(trace: &Trace, faults: &mut Vec<String>) {
    let arrived = arrived(trace);
    if arrived.len() != trace.arrivals.iter().filter(|arrival| arrival.id.is_some()).count() {
        faults.push("I9: something has arrived twice".into());
    }
    let mut kinds: BTreeMap<Kind, [u64; 3]> = BTreeMap::new();
    for arrival in &trace.arrivals {
        let Some(id) = arrival.id else {
            kinds.entry((arrival.bytes, arrival.is_text)).or_default()[0] += 1;
            continue;
        };
        let Some(record) = trace.records.get(id) else {
            faults.push(format!("I9: nobody sent {id}"));
            continue;
        };
        if (arrival.bytes, arrival.is_text) != (record.send.bytes, record.send.is_text) {
            faults.push(format!("I16: {arrival:?} for {:?}", record.send));
        }
        if record.queued.is_none()
            || record.outcome.is_some_and(|(outcome, _)| outcome != Outcome::HandedOver)
        {
            faults.push(format!("I9: {:?} has arrived, whose outcome is {:?}", record.send, record.outcome));
        }
    }
    for record in &trace.records {
        let Record { send, queued: Some(_), outcome, .. } = record else { continue };
        let is_sent = outcome.map(|(outcome, _)| outcome == Outcome::HandedOver);
        if send.bytes < NAMED {
            // Those of whom it is certain, and those of whom nobody has asked.
            let counts = kinds.entry((send.bytes, send.is_text)).or_default();
            counts[1] += u64::from(is_sent == Some(true));
            counts[2] += u64::from(is_sent.is_none());
        } else if is_sent == Some(true) && !arrived.contains_key(&send.id) && !may_lose(trace) {
            faults.push(format!("I9: {send:?} was handed over and has not arrived"));
        }
    }
    for (kind, [arrived, certain, perhaps]) in kinds {
        if arrived > certain + perhaps || (arrived < certain && !may_lose(trace)) {
            faults.push(format!(
                "I9: of {kind:?} {arrived} have arrived, {certain} to {perhaps} more were sent"
            ));
        }
    }
}

/// I16 and I13: each lane keeps its order, in which a newer value has the place of the one before it.
fn order(trace: &Trace, faults: &mut Vec<String>) {
    let arrived = arrived(trace);
    let mut queued: Vec<&Record> = trace.records.iter().filter(|record| record.queued.is_some()).collect();
    queued.sort_by_key(|record| record.queued);
    // Where each lane has what, and the newest value of each key.
    let mut lanes: BTreeMap<(usize, u64), Vec<&Record>> = BTreeMap::new();
    let mut newest: HashMap<u64, &Record> = HashMap::new();
    let mut vague = Vec::new();
    for record in queued {
        let send = &record.send;
        let old = send.latest.and_then(|key| newest.insert(key, record));
        let is_replaced = old.filter(|old| match old.outcome {
            Some((outcome, _)) => outcome == Outcome::Superseded,
            // Nobody has asked.
            None => !arrived.contains_key(&old.send.id),
        });
        if may_lose(trace) && is_replaced.is_some_and(|old| old.outcome.is_none()) {
            // It may have been lost as well.
            vague.push(send.lane());
        }
        let place = is_replaced.filter(|old| old.send.lane() == send.lane()).and_then(|old| {
            let lane = lanes.get(&send.lane())?;
            lane.iter().position(|other| other.send.id == old.send.id)
        });
        let lane = lanes.entry(send.lane()).or_default();
        match place {
            Some(place) => lane[place] = record,
            None => lane.push(record),
        }
    }
    let lane_of = |arrival: &Arrival| {
        let kind = |send: &Send| (send.bytes, send.is_text) == (arrival.bytes, arrival.is_text);
        let record = if let Some(id) = arrival.id {
            trace.records.get(id)
        } else {
            trace.records.iter().find(|record| kind(&record.send))
        };
        record.map(|record| record.send.lane())
    };
    for (lane, expected) in lanes.into_iter().filter(|(lane, _)| !vague.contains(lane)) {
        let seen: Vec<&Arrival> =
            trace.arrivals.iter().filter(|arrival| lane_of(arrival) == Some(lane)).collect();
        let mut expected = expected.into_iter().peekable();
        for arrival in seen {
            // Those in between have ended otherwise, or nobody knows.
            let is_it = |record: &&Record| {
                if let Some(id) = arrival.id {
                    return record.send.id == id;
                }
                let is_sent = record.outcome.is_none_or(|(outcome, _)| outcome == Outcome::HandedOver);
                is_sent && (record.send.bytes, record.send.is_text) == (arrival.bytes, arrival.is_text)
            };
            let skipped = expected.by_ref().take_while(|record| !is_it(record));
            let lost = skipped
                .filter(|record| record.outcome.is_some_and(|(outcome, _)| outcome == Outcome::HandedOver));
            if let Some(lost) = lost.last() {
                faults.push(format!("I16: {:?} was overtaken by {arrival:?}", lost.send));
            }
        }
    }
}

/// The first moment of a whole millisecond that is not before this one.
fn round_up(moment: Duration) -> Duration {
    Duration::from_millis(u64::try_from(moment.as_micros().div_ceil(1_000)).expect("not that long"))
}

/// I13: what has expired was not started, and what was started had not expired.
fn deadlines(trace: &Trace, faults: &mut Vec<String>) {
    for record in &trace.records {
        let (Some(within), Some((outcome, ended))) = (record.send.deadline, record.outcome) else { continue };
        let due = record.called + within;
        if outcome == Outcome::HandedOver && ended >= round_up(due) && ended > record.called {
            faults.push(format!("I13 B26: {record:?} was sent after {due:?}"));
        }
        if outcome == Outcome::Expired && ended < due {
            faults.push(format!("I13 B26: {record:?} has expired before {due:?}"));
        }
        let is_late = outcome == Outcome::Expired && ended > due + Duration::from_millis(50);
        let queued = record.queued.map_or(due, |(_, queued)| queued);
        if is_late && ended > queued + Duration::from_millis(50) && trace.plan.hidden.is_none() {
            faults.push(format!("I8 B26: {record:?} has expired long after {due:?}"));
        }
    }
}

/// I9: what stats and the final word count is what has happened to each message.
fn amounts(trace: &Trace, faults: &mut Vec<String>) {
    let Some(closed) = &trace.closed else { return };
    let mut counted = Amount::default();
    let mut gone = Amount::default();
    let count = |sum: &mut Amount, amount: Amount| {
        sum.messages += amount.messages;
        sum.bytes += amount.bytes;
    };
    for priority in Priority::ALL {
        let class = trace.stats.class(priority);
        let of = |outcome| told(trace, |record, told| record.send.priority == priority && told == outcome);
        for (counts, outcome) in [
            (class.handed_over, Outcome::HandedOver),
            (class.expired, Outcome::Expired),
            (class.superseded, Outcome::Superseded),
            (class.cancelled, Outcome::Cancelled),
        ] {
            let (told, unasked) = (of(outcome), unasked(trace, priority));
            if counts.messages < told.messages || counts.messages > told.messages + unasked {
                faults.push(format!("I9: {counts:?} {outcome:?} of {priority:?}, but {told:?} were told"));
            }
            count(&mut counted, counts);
        }
        count(&mut gone, class.handed_over);
        if class.waits.counts().iter().map(|count| u64::from(*count)).sum::<u64>()
            != class.handed_over.messages
        {
            faults.push(format!("I9: waits of {priority:?}"));
        }
        if class.queued != Amount::default() {
            faults.push(format!("I8: {:?} are queued in the end", class.queued));
        }
    }
    count(&mut counted, closed.unsent);
    // What was handed over is counted already, and is unknown unless the peer has confirmed.
    let unknown = if closed.cause == CloseCause::Local {
        closed.unknown
    } else {
        Amount {
            messages: closed.unknown.messages.wrapping_sub(gone.messages),
            bytes: closed.unknown.bytes.wrapping_sub(gone.bytes),
        }
    };
    count(&mut counted, unknown);
    count(&mut counted, told(trace, |_, outcome| outcome == Outcome::Unreadable));
    let mut all = Amount::default();
    for record in trace.records.iter().filter(|record| record.queued.is_some()) {
        count(&mut all, size(record));
    }
    if counted != all {
        faults.push(format!("I9 B39: {all:?} were queued, {counted:?} are accounted for: {closed:?}"));
    }
    let told = told(trace, |_, outcome| outcome == Outcome::Unsent);
    if told.messages > closed.unsent.messages {
        faults.push(format!("I9 B39: {told:?} were told to be unsent: {closed:?}"));
    }
    let (arrived, gone) = (trace.arrivals.len() as u64, gone.messages);
    if arrived > gone || (arrived < gone && !may_lose(trace)) {
        faults.push(format!("I9: {arrived} have arrived of {gone}"));
    }
}

fn size(record: &Record) -> Amount {
    Amount { messages: 1, bytes: record.send.bytes as u64 }
}

/// The sum of those whose outcome was told and that `counts`.
fn told(trace: &Trace, counts: impl Fn(&Record, Outcome) -> bool) -> Amount {
    let mut sum = Amount::default();
    for record in &trace.records {
        if record.outcome.is_some_and(|(outcome, _)| counts(record, outcome)) {
            sum.messages += 1;
            sum.bytes += record.send.bytes as u64;
        }
    }
    sum
}

fn unasked(trace: &Trace, priority: Priority) -> u64 {
    let is_one = |record: &&Record| {
        record.send.priority == priority && record.queued.is_some() && record.outcome.is_none()
    };
    trace.records.iter().filter(is_one).count() as u64
}

/// What a kernel's buffer has at least under way while more waits for it: two thirds of its first size.
const UNDER_WAY: u64 = 100_000;

/// How late a page's timer is at most when it is seen: the gate's own 12 ms, 20 ms of a busy page, the clamp, and
/// the news of what has gone, which takes up to 5 ms.
const LATE: Duration = Duration::from_millis(40);

/// I7: an urgent message that is alone arrives as soon as what lies before it has gone.
fn urgent(trace: &Trace, faults: &mut Vec<String>, latencies: &mut Latencies) {
    let plan = &trace.plan;
    // With answers that come now and then only, it is patience that bounds it.
    let is_told_at_once = plan.acknowledges.is_none_or(|told| told.every <= 1 && told.until == u64::MAX);
    if plan.reader != Reader::AtOnce || plan.engine == Engine::Missing || !is_told_at_once {
        return;
    }
    let times = arrived(trace);
    let named = trace.arrivals.iter().enumerate().filter_map(|(place, arrival)| Some((arrival.id?, place)));
    let places: HashMap<usize, usize> = named.collect();
    let urgents: Vec<&Record> = trace.records.iter().filter(|record| record.urgent.is_some()).collect();
    let largest = trace.records.iter().map(|record| record.send.bytes as u64).max().unwrap_or(0);
    let micros = |bytes: u64, rate: u64| Duration::from_micros(bytes * 1_000_000 / rate);
    let link = &plan.link;
    let round_trip = link.delay + link.acknowledged_after.unwrap_or(link.delay) + link.jitter;
    for record in &trace.records {
        let (Some(moment), Some((_, queued))) = (record.urgent, record.queued) else { continue };
        let Some(arrived) = times.get(&record.send.id).filter(|_| moment.is_alone) else { continue };
        // By those of another flow, and then there may be more between them: of the guaranteed share. Of some
        // it cannot be seen.
        let overtakes = |other: &&Record| {
            let (id, other_queued) = (other.send.id, other.queued);
            let came_before = match places.get(&id) {
                Some(place) => Some(place) < places.get(&record.send.id),
                None => other.send.bytes < NAMED && other_queued.is_some_and(|(_, queued)| queued < *arrived),
            };
            other_queued > record.queued && came_before
        };
        if urgents.iter().any(overtakes) {
            latencies.overtaken += 1;
            continue;
        }
        let changes = link.steps.iter().any(|step| (queued..*arrived).contains(&step.at));
        let rate = link
            .steps
            .iter()
            .rfind(|step| step.at <= queued)
            .map_or(link.bytes_per_second, |step| step.bytes_per_second);
        let rate = rate.expect("every rate is set");
        if changes || rate == 0 {
            latencies.excepted += 1;
            continue;
        }
        // Two milliseconds make a piece of the link's, and the peer's window bounds what is under way.
        let turn = round_trip + Duration::from_millis(4);
        let under_way = UNDER_WAY.min(link.buffer_bytes / 2);
        let rate = rate.min(under_way * 1_000_000 / u64::try_from(turn.as_micros()).expect("short"));
        // More than the budget stands where it was larger before.
        let budget = moment.budget.max(LEAST_BUDGET).max(moment.standing);
        let late = match plan.hidden {
            Some((from, lasts)) if queued < from + lasts => {
                let is_long = lasts > Duration::from_secs(290);
                Duration::from_secs(if is_long { 62 } else { 2 })
            }
            _ => LATE,
        };
        let ahead = budget + moment.hidden + largest + record.send.bytes as u64;
        // What is under way counts until the peer has said that it has it.
        let told =
            if plan.acknowledges.is_some() { round_trip + link.delay + link.jitter } else { Duration::ZERO };
        let most = micros(ahead, rate) + link.delay + link.jitter + late + told;
        latencies.within += 1;
        if *arrived - queued > most {
            let took = *arrived - queued;
            faults.push(format!("I7 B24: {took:?} instead of {most:?} of {record:?}"));
        }
    }
}
