//! What sessions say, and what must hold whenever they do.

use std::hash::Hash as _;

use tidegate::proto::v1::{Event, Gauges, Outgoing, Output};
use tidegate::time::Timestamp;

use super::World;
use crate::end::config;
use crate::records::{RESUMED, records};
use crate::wire::News;

impl World {
    /// Notes what was seen of items on the wire: handed over by, or given to `which`.
    pub(super) fn hear(&mut self, which: usize) {
        for news in core::mem::take(&mut self.wire.news) {
            match news {
                News::Began(id) => self.ends[which].begins(self.now, id),
                News::Arrived(id) => {
                    if let Some(sent) = self.ends[1 - which].sent.get_mut(id) {
                        sent.has_arrived = true;
                    }
                }
                News::MayOpen(count) => {
                    let most = self.ends[which].may_be_opened(self.wire.ended_of_peer(which));
                    if count > most {
                        self.findings
                            .push(("I12", format!("{which} allows {count} channels instead of {most}")));
                    }
                }
            }
        }
    }

    /// Carries out what a session says.
    pub(super) fn poll(&mut self, which: usize, message: &[u8]) {
        if which == 1 && self.is_forgotten {
            return;
        }
        let at = self.clock(which);
        self.is_dirty[which] = false;
        self.ends[which].session.handle_time(at);
        self.ends[which].session.handle_task();
        loop {
            let place = self.place(which);
            let room = which == 0
                || place.is_none_or(|place| self.connections[place].pipes[1].standing(self.now) < 65_536);
            let end = &mut self.ends[which];
            let before = end.session.gauges();
            match end.session.poll_output(room) {
                Output::Transmit(out) => self.transmit(which, out, &before),
                Output::Look => {
                    let amount =
                        place.map_or(0, |place| self.connections[place].pipes[which].amount(self.now));
                    end.session.handle_amount(at, amount);
                }
                Output::Event(event) => {
                    if self.prints && !matches!(event, Event::Chunk(_)) {
                        println!("{:>10} {which} {event:?}", self.now);
                    }
                    end.handle(self.now, event, message);
                    self.begin_anew(which);
                }
                Output::Close(code) => {
                    let place = place.expect("a session without a connection closes one");
                    self.close(place, which, code);
                }
                ref output @ (Output::Blocked(due) | Output::Timeout(due)) => {
                    self.is_blocked[which] = matches!(output, Output::Blocked(_));
                    self.set_timer(which, due);
                    self.settle(which, room);
                    return;
                }
                other => panic!("{other:?} in a world without host values"),
            }
        }
    }

    fn set_timer(&mut self, which: usize, due: Option<Timestamp>) {
        let late = self.plan.late[which];
        self.timers[which] = due.map(|due| {
            let due = due.as_micros().saturating_sub(self.ends[which].ahead).max(self.now);
            match self.timers[which] {
                // A timer that is set for no later stays as late as it is.
                Some(set) if set >= due && set <= due + late => set,
                _ => due + if late == 0 { 0 } else { self.random.between(0, late) },
            }
        });
    }

    /// A session has said all that it has to say.
    fn settle(&mut self, which: usize, room: bool) {
        self.polls += 1;
        let is_open = self.place(which).is_some_and(|place| !self.connections[place].closed[which]);
        if !room || !is_open || self.plan.flips > 0 || self.ends[which].over.is_some() {
            return;
        }
        if !self.polls.is_multiple_of(16) {
            return;
        }
        let gauges = self.ends[which].session.gauges();
        let log = u64::from(config(&self.plan, which).settings.replay_limit_bytes);
        let is_free = gauges.in_flight + 64 <= gauges.budget && gauges.log + 64 <= log;
        self.wire.settle(which, &self.ends[which].waiting(), is_free);
        let end = &mut self.ends[which];
        // What was handed over on another connection says nothing of this one.
        let attached = end.at(self.now).as_micros() - end.attached_at;
        if gauges.round_trip_micros.is_some_and(|round_trip| round_trip > attached) {
            self.findings.push(("I7", format!("{which}: {gauges:?} after {attached} us")));
        }
        for (key, known) in end.channels.iter().filter(|(_, known)| !known.is_dropped) {
            if let (Some(is), Some(should)) = (end.session.credit(*key), self.wire.credit(which, &known.name))
                && is != should
            {
                self.findings.push(("I3", format!("credit of {}: {is:?} instead of {should:?}", known.name)));
            }
        }
    }

    fn transmit(&mut self, which: usize, out: Outgoing, before: &Gauges) {
        assert!(out.inserts.is_empty() && !out.bytes.is_empty());
        self.messages += 1;
        self.now.hash(&mut self.hash);
        out.bytes.hash(&mut self.hash);
        let gauges = self.ends[which].session.gauges();
        assert!(gauges.budget >= 2 * u64::from(gauges.chunk), "I5: {gauges:?}");
        let limit = u64::from(config(&self.plan, which).settings.replay_limit_bytes);
        assert!(gauges.log <= limit, "I4: {gauges:?}");
        // Channels that this side opens have their first window in any case.
        let own = self.ends[which].own_count() * u64::from(self.plan.initial_window);
        assert!(gauges.windows <= self.plan.rx_budget + own, "I4: {gauges:?}, {own} of its own");
        self.note(|| {
            let kinds: Vec<_> = records(&out.bytes)
                .iter()
                .map(|record| format!("{:02x}:{}", record.kind, record.whole.len()))
                .collect();
            format!("{which} sends {} in flight {} of {}", kinds.join(" "), gauges.in_flight, gauges.budget)
        });
        if gauges.in_flight > before.in_flight {
            let chunk = u64::from(gauges.chunk.max(before.chunk));
            let most = gauges.budget.max(before.budget).max(before.in_flight) + chunk + 32;
            // A message has several records, of which the first may be larger than the budget.
            let is_within = gauges.in_flight <= most || before.in_flight == 0;
            assert!(is_within, "I5: {gauges:?}, before {before:?}");
        }
        let Some(place) = self.place(which) else { panic!("a session without a connection sends") };
        let mut bytes = out.bytes;
        if self.plan.flips == 0 {
            self.wire.sent(which, &bytes);
            self.hear(which);
        } else if self.random.once_in(self.plan.flips) {
            let at = self.random.between(0, bytes.len() as u64 - 1) as usize;
            bytes[at] ^= 1 << self.random.between(0, 7);
            self.happened.push("flipped");
        }
        if which == 1 && bytes[0] == RESUMED && self.loses_resumed > 0 {
            self.loses_resumed -= 1;
            self.happened.push("RESUMED lost");
            self.connections[place].cut(self.now, [self.plan.backoff / 2; 2], 1006, true);
            return;
        }
        self.connections[place].pipes[which].give(self.now, bytes);
    }
}
