//! A message that passes by the queue leaves everything as if it had been queued.

use core::time::Duration;

use super::host::{Host, Sent, ticket};
use super::random::Random;
use crate::proto::outcome::Outcome;
use crate::proto::payload::HostedKind;
use crate::proto::send::{Flow, GateConfig, NewMessage, Priority};

/// What is compared of a host: what it has sent, how messages have ended, and when it wants to be called again.
type Seen<'a> = (&'a [Sent], &'a [(u64, Outcome)], Option<crate::time::Timestamp>);

/// Two sessions with the same inputs: in the second, messages pass when they may.
struct Pair {
    queued: Host,
    passing: Host,
    /// Ends, those of messages that have passed among them.
    ends: [Vec<(u64, Outcome)>; 2],
    random: Random,
    tickets: u64,
    passed: u64,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let budget_bytes = 1 << (6 + random.below(11));
        let max_bytes_per_second = (random.below(4) == 0).then_some(100_000);
        let gate = Some(GateConfig { budget_bytes, max_bytes_per_second });
        let hosts = [Host::behind_gate(true, gate), Host::behind_gate(true, gate)];
        let [queued, passing] = hosts;
        Self { queued, passing, ends: [Vec::new(), Vec::new()], random, tickets: 0, passed: 0 }
    }

    fn both(&mut self, input: impl Fn(&mut Host)) {
        input(&mut self.queued);
        input(&mut self.passing);
    }

    fn send(&mut self) {
        self.tickets += 1;
        let number = self.tickets;
        let kind = match self.random.below(12) {
            0 => HostedKind::Blob,
            1..5 => HostedKind::Text,
            _ => HostedKind::Buffer,
        };
        let most = 1 << self.random.below(17);
        let bytes = self.random.below(most);
        let priority = Priority::ALL[usize::try_from(self.random.below(9)).unwrap().saturating_sub(5)];
        let flow = Flow(u32::try_from(self.random.below(4)).unwrap());
        let within = (self.random.below(8) == 0).then(|| Duration::from_millis(self.random.below(40)));
        let replaced = (self.random.below(6) == 0).then(|| self.random.below(number));
        for (which, host) in [&mut self.queued, &mut self.passing].into_iter().enumerate() {
            let new = NewMessage {
                priority,
                flow,
                payload: host.keep(kind, bytes),
                deadline: within.map(|within| host.now.saturating_add(within)),
                replaces: replaced.and_then(|old| host.ids.get(&old).copied()),
                ticket: Some(ticket(number)),
            };
            if which == 1 && host.session.handle_passing(&new) {
                self.passed += 1;
                self.ends[1].push((number, host.pass_by(&new)));
                // Nothing is left to do.
                let (due, looks) = (host.due, host.looks);
                host.drain();
                assert_eq!((host.due, host.looks), (due, looks));
            } else {
                host.only_send_new(new);
                host.drain();
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..20 => self.send(),
            20..32 => {
                let (gone, time) =
                    (self.random.below(1 << 18), Duration::from_micros(self.random.below(30_000)));
                self.both(|host| {
                    host.standing = host.standing.saturating_sub(gone);
                    host.pass(time);
                });
            }
            32 => self.both(|host| host.pass(Duration::from_secs(2))),
            33 => self.both(|host| {
                host.session.handle_task();
                host.drain();
            }),
            34 => {
                let number = self.random.below(self.tickets + 1);
                self.both(|host| _ = host.cancel(number));
            }
            35 if !self.queued.asked.is_empty() => self.both(Host::answer_value),
            36 => {
                let takes = self.random.below(4) > 0;
                self.both(|host| host.takes = takes);
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        let how = self.random.below(5);
        self.both(|host| match how {
            0 => host.close(4001, true),
            1 => host.close(4001, false),
            2 => host.end(),
            3 => host.overflow(),
            _ => host.abort(),
        });
    }

    /// Fails if one differs from the other.
    fn compare(&mut self) {
        for (ends, host) in self.ends.iter_mut().zip([&mut self.queued, &mut self.passing]) {
            ends.extend(host.done.drain(..).map(|done| (done.ticket.unwrap().0.get(), done.outcome)));
        }
        let [queued, passing] = [(&self.queued, &self.ends[0]), (&self.passing, &self.ends[1])];
        let seen = |(host, ends)| -> Seen<'_> {
            let host: &Host = host;
            let ends: &Vec<_> = ends;
            (&host.sent, ends, host.due)
        };
        assert_eq!(seen(queued), seen(passing));
        let counts =
            |host: &Host| (host.looks, host.standing, host.held(), host.asked.len(), host.closes.clone());
        assert_eq!(counts(&self.queued), counts(&self.passing));
        assert_eq!(self.queued.session.gauges(), self.passing.session.gauges());
        assert_eq!(self.queued.closed, self.passing.closed);
    }
}

#[test]
fn b26_what_passes_by_the_queue_changes_nothing_that_can_be_seen() {
    let (mut passed, mut sent, mut tickets) = (0, 0, 0);
    for seed in 0..1_000_u64 {
        let result = std::panic::catch_unwind(|| {
            let mut pair = Pair::new(seed);
            let before = pair.random.below(4);
            for _ in 0..before {
                pair.send();
                pair.compare();
            }
            pair.both(|host| {
                host.session.handle_opened();
                host.drain();
            });
            pair.compare();
            let steps = pair.random.below(400);
            for _ in 0..steps {
                pair.step();
                pair.compare();
            }
            pair.end();
            pair.compare();
            pair.send();
            pair.both(|host| host.transport_end(4001, true));
            pair.compare();
            (pair.passed, pair.queued.sent.len(), pair.tickets)
        });
        let counted = result.unwrap_or_else(|panic| {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic)
        });
        (passed, sent, tickets) = (passed + counted.0, sent + counted.1, tickets + counted.2);
    }
    // Many of each: those that passed, those that were queued and sent, and those that were not sent at all.
    let sent = sent as u64;
    assert!(passed > 3_000 && sent - passed > 30_000 && tickets - sent > 10_000, "{passed} {sent} {tickets}");
}
