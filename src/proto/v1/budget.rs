//! How much may be under way to the peer, by what the peer says that it has.
//!
//! `bufferedAmount` does not show what browser and kernel hold, so what is counted is what was sent less what was
//! acknowledged.
//!
//! | | |
//! |---|---|
//! | R | the rate of delivery ([`rate`]) |
//! | `RTTmin` | the shortest round since the last probe, less what its record itself takes on the link |
//! | D | the delay that is wanted, and as much again as acknowledgements come in lumps ([`lumps`]) |
//! | c | the payload of a chunk ([`chunk`]) |
//! | slack | R · D or a chunk, whichever is more, and a chunk; twice, four times, … as much while it grows |
//!
//! | state | B, the budget | until |
//! |---|---|---|
//! | startup | 2 · R · `RTTmin`, at least 14,600 B; pace 3 R | three rounds in which R grew by less than a quarter, or four records in a row that met a queue |
//! | probing | half of what fills the path, for all but urgent ones | a record sent with no more than that under way is acknowledged: its round is `RTTmin`. Or four rounds |
//! | steady | R · `RTTmin` and the slack; pace R · (1 + min(D / `RTTmin`, 1/4)) | no round is near `RTTmin` for 5 s and 50 rounds; or all of one are further from it than two slacks |
//!
//! The startup ends in a probe, too, as its rounds had queues in them. In the steady state the slack is doubled for as
//! long as a full budget makes no queue and R grows: the link has become faster.
//!
//! Not here: who may send (`mux`), and what the peer's log and the buffers below allow (`session`).

#![allow(dead_code, reason = "the session that uses it is being written")]

mod chunk;
mod lumps;
mod rate;

pub(super) use rate::Stamp;

use self::chunk::Chunk;
use self::lumps::Lumps;
use self::rate::Rate;
use crate::proto::float::{float, larger, micros, smaller, whole};
use crate::time::{Duration, Timestamp};

/// For how long no round may have been near the shortest, at least, until the path is looked at without a queue. That
/// costs the time of about one round; hence so many at least.
const PROBE_EVERY: f64 = 5_000_000.0;
const PROBE_ROUNDS: f64 = 50.0;
/// How long after one probe a queue that nothing explains makes for another.
const PROBE_AGAIN: f64 = 500_000.0;
const PROBE_AGAIN_ROUNDS: f64 = 5.0;
/// How many rounds a probe may last: urgent records, which it does not hold back, can fill the path for ever.
const PROBE_LASTS: u8 = 4;
/// In how many rounds R may fail to grow.
const STALLED_ROUNDS: u8 = 3;
/// How many samples in a row have to show a queue for the startup to be over.
const QUEUED: u8 = 4;
/// What a record adds to its chunk at most, rounded up.
const HEADER: f64 = 32.0;

/// What applications may choose about the budget. Values out of range count as the nearest in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(unreachable_pub, reason = "an option of sessions, which `v1` exports with them")]
pub struct BudgetConfig {
    /// D: how long what is sent may wait in front of the link. From 5 to 500 ms, default 11 ms; a path whose
    /// acknowledgements vary raises it by itself, to 50 ms at most.
    pub delay: Duration,
    /// B before anything is known of the path, in bytes. From 4,096 to 65,536, default 14,600: ten segments of TCP
    /// (RFC 6928).
    pub first_bytes: u32,
    /// The largest B, in bytes. From 64 KiB to 64 MiB, default 8 MiB. 20 MB/s at 200 ms take 4.3 MB; it is also the
    /// most that a peer gains by acknowledging what it does not have.
    pub largest_bytes: u64,
    /// How long a chunk takes on the link, as far as sizes from 992 to 262,144 bytes allow. From 2 to 50 ms, default
    /// 4 ms.
    pub chunk_time: Duration,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(11),
            first_bytes: 14_600,
            largest_bytes: 8 << 20,
            chunk_time: Duration::from_millis(4),
        }
    }
}

/// What a record is to the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// C0.
    Control,
    /// C1.
    Urgent,
    /// C2 to C4: paced, and without overdraft.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// How many rounds R has not grown in, and what it was when it last had.
    Startup {
        stalled: u8,
        before: f64,
    },
    Steady,
    Probing(Probe),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Probe {
    /// How much may be under way.
    bytes: f64,
    /// When a record has begun a round with no more than that under way.
    began: Option<f64>,
    /// How many rounds it has lasted.
    rounds: u8,
    /// The rate to be believed if it is R that was wrong and not `RTTmin`; 0 if none was.
    rate: f64,
}

/// A round is over when a record that was sent in it is acknowledged. What it counts is acknowledged in it, so it was
/// sent in the round before.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    began: f64,
    samples: f64,
    /// Of these, how many left no room in the budget when they were sent.
    full: f64,
    shortest: f64,
    sum: f64,
    /// The last rate of which the application did not decide; 0 if there was none.
    rate: f64,
}

/// See the module's page. All amounts are bytes of records, all moments microseconds of one clock, rates bytes in a
/// microsecond: in floating point, which never overflows, and is exact up to 8 PB.
#[derive(Debug)]
pub(super) struct Budget {
    config: BudgetConfig,
    max_chunk: u32,
    replay_limit: u64,
    now: f64,
    in_flight: f64,
    /// Sent, in all; up to where an acknowledgement was asked for at once, and how much since.
    sent: f64,
    asked_upto: f64,
    unasked: f64,
    rate: Rate,
    state: State,
    round: Round,
    /// RTTmin; 0 before there is one.
    shortest: f64,
    /// When a round was last about as short.
    fast_at: f64,
    probed_at: f64,
    /// What is measured from here on was sent in the present state.
    settled_at: f64,
    lumps: Lumps,
    /// How many samples in a row have shown a queue in the startup.
    queued: u8,
    /// How many times the slack is allowed: a power of two.
    growth: f64,
    /// R when the slack was last judged.
    rate_before: f64,
    /// The slack was changed in this round, so the next one does not show it yet.
    is_changed: bool,
    /// What others than urgent ones may send now; below 0 if they have sent more.
    bucket: f64,
    chunk: Chunk,
    /// What the budget is like without looking.
    #[cfg(test)]
    never_probes: bool,
}

impl Budget {
    pub(super) fn new(config: BudgetConfig) -> Self {
        Self {
            config,
            max_chunk: 65_504,
            replay_limit: u64::MAX,
            now: 0.0,
            in_flight: 0.0,
            sent: 0.0,
            asked_upto: 0.0,
            unasked: 0.0,
            rate: Rate::default(),
            state: State::Startup { stalled: 0, before: 0.0 },
            round: Round::default(),
            shortest: 0.0,
            fast_at: 0.0,
            probed_at: 0.0,
            settled_at: 0.0,
            lumps: Lumps::default(),
            queued: 0,
            growth: 1.0,
            rate_before: 0.0,
            is_changed: false,
            bucket: 0.0,
            chunk: Chunk::default(),
            #[cfg(test)]
            never_probes: false,
        }
    }

    /// What the peer takes: in one chunk (`max_message_bytes - 31`), and in all before it has acknowledged
    /// (`replay_limit_bytes`).
    pub(super) fn set_limits(&mut self, max_chunk: u32, replay_limit: u64) {
        (self.max_chunk, self.replay_limit) = (max_chunk, replay_limit);
        // At least three have room in B.
        let most = whole(self.largest_bytes()).min(replay_limit) / 4;
        self.chunk.set_most(most.min(u64::from(max_chunk) + 32));
    }

    /// A connection begins, of which nothing is known.
    pub(super) fn restart(&mut self, now: Timestamp) {
        let (max_chunk, replay_limit) = (self.max_chunk, self.replay_limit);
        *self = Self::new(self.config);
        self.set_limits(max_chunk, replay_limit);
        self.now = micros(now);
    }

    /// Whether a record of `bytes`, header and body, may go.
    ///
    /// An urgent one may exceed the budget by a chunk. Where it may not, since another class is owed, ask for
    /// `bytes + chunk_bytes() + 32`.
    pub(super) fn admits(&self, bytes: u64, class: Class) -> bool {
        let all = self.in_flight + float(bytes);
        self.in_flight == 0.0
            || match (class, self.state) {
                (Class::Other, _) if self.rate.get() > 0.0 && self.bucket <= 0.0 => false,
                (Class::Other, _) => all <= self.limit(),
                (Class::Control | Class::Urgent, _) => all <= self.budget() + self.record(),
            }
    }

    /// The present moment. One that is earlier than the last counts as the last.
    pub(super) fn handle_time(&mut self, now: Timestamp) {
        let passed = larger(micros(now) - self.now, 0.0);
        self.now += passed;
        let most = larger(2.0 * self.record(), self.rate.get() * self.delay() / 2.0);
        self.bucket = smaller(self.bucket + passed * self.pace(), most);
    }

    /// A record of `bytes` was handed over. What is returned belongs to it until it is acknowledged.
    pub(super) fn handle_sent(&mut self, now: Timestamp, bytes: u64, class: Class) -> Stamp {
        self.handle_time(now);
        let bytes = float(bytes);
        let was_empty = self.in_flight == 0.0;
        if was_empty {
            self.rate.handle_quiet(self.now);
        }
        self.in_flight += bytes;
        self.sent += bytes;
        if class == Class::Other {
            self.bucket -= bytes;
        }
        let is_full = self.in_flight + 2.0 * self.record() >= self.budget();
        if let State::Probing(probe) = &mut self.state
            && probe.began.is_none()
            && (was_empty || self.in_flight <= probe.bytes)
        {
            probe.began = Some(self.now);
        }
        self.rate.stamp(self.now, bytes, is_full)
    }

    /// Whether the next record of DATA, of `bytes`, asks for an acknowledgement at once. To be asked once for each in
    /// sending order, before [`handle_sent`](Self::handle_sent).
    pub(super) fn wants_ack(&mut self, bytes: u64) -> bool {
        let bytes = float(bytes);
        self.unasked += bytes;
        let step = larger(self.record() - HEADER, self.rate.get() * self.delay() / 4.0);
        let step = smaller(step, self.budget() / 4.0);
        let all = self.in_flight + bytes;
        let is_asked = self.is_asked();
        let room = self.room();
        let is_probe = matches!(self.state, State::Probing(probe) if probe.began.is_none())
            && (all <= room || self.in_flight == 0.0);
        // With nothing asked for, who waits for room would wait for the peer's timer.
        let wants = self.unasked >= step || is_probe || !is_asked && all + self.record() > room;
        if wants {
            self.unasked = 0.0;
            self.asked_upto = self.sent + bytes;
        }
        wants
    }

    /// The peer has records of `bytes` more in all, of which the last has the stamp `newest`, and has had that for
    /// `delay_micros`: `None` if it did not say.
    pub(super) fn handle_acknowledged(
        &mut self,
        now: Timestamp,
        bytes: u64,
        newest: Stamp,
        delay_micros: Option<u64>,
    ) {
        self.handle_time(now);
        let bytes = smaller(float(bytes), self.in_flight);
        if bytes == 0.0 {
            return;
        }
        self.in_flight -= bytes;
        let Some(delay) = delay_micros else {
            self.rate.handle_delivered(bytes);
            return;
        };
        let took = larger(self.now - newest.sent_at() - float(delay), 1.0);
        let sample = self.rate.handle_acknowledged(self.now, bytes, newest, took, self.shortest);
        if self.state == State::Steady && self.growth < 2.0 {
            self.lumps.handle_acknowledged(self.now, bytes / self.rate.get(), self.shortest);
        } else {
            self.lumps.pause(self.now);
        }
        self.measure(newest, took, sample);
        let time = smaller(larger(span(self.config.chunk_time), 2_000.0), 50_000.0);
        self.chunk.fit(self.rate.get() * time, bytes);
    }

    /// Whether something is under way that is acknowledged at once.
    fn is_asked(&self) -> bool {
        self.asked_upto + self.in_flight > self.sent
    }

    /// Nothing waits that could go, so it is not the path that decides how much is sent.
    pub(super) fn handle_idle(&mut self) {
        self.rate.handle_idle(self.in_flight);
    }

    /// When something that waits may go though nothing is acknowledged. `None`: not before it is.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let (has_room, pace) = (self.in_flight + self.record() <= self.limit(), self.pace());
        (has_room && pace > 0.0 && self.bucket <= 0.0)
            .then(|| Timestamp::from_micros(whole(self.now - self.bucket / pace).saturating_add(1)))
    }

    /// c: the largest payload of a chunk.
    pub(super) fn chunk_bytes(&self) -> u32 {
        self.chunk.bytes()
    }

    pub(super) fn in_flight(&self) -> u64 {
        whole(self.in_flight)
    }

    /// B. A probe lowers it for others than urgent ones.
    pub(super) fn bytes(&self) -> u64 {
        whole(self.budget())
    }

    /// R; 0 before it is known.
    pub(super) fn bytes_per_second(&self) -> u64 {
        whole(self.rate.get() * 1e6)
    }

    /// `RTTmin`.
    pub(super) fn round_trip_micros(&self) -> Option<u64> {
        (self.shortest > 0.0).then(|| whole(self.shortest))
    }

    /// B / R: how long what is under way takes to be acknowledged; 0 before R is known.
    pub(super) fn slack_micros(&self) -> u64 {
        let rate = self.rate.get();
        if rate > 0.0 { whole(self.budget() / rate) } else { 0 }
    }

    /// Up to which `bufferedAmount` more may be handed over.
    pub(super) fn buffered_limit(&self) -> u64 {
        match self.rate.get() {
            0.0 => u64::from(self.config.first_bytes.clamp(4_096, 65_536)),
            rate => whole(larger(2.0 * (self.record() - HEADER), rate * self.delay())),
        }
    }

    /// What others than urgent records may fill. The budget may have fallen since the probe began.
    fn room(&self) -> f64 {
        match self.state {
            State::Probing(probe) => smaller(probe.bytes, self.budget()),
            _ => self.budget(),
        }
    }

    /// Up to where others than urgent records may go. That is beyond a probe's room with one that asks for an
    /// acknowledgement, if none is under way: what was sent before would be acknowledged by the peer's timer, and the link
    /// stand still as long.
    fn limit(&self) -> f64 {
        match self.state {
            State::Probing(_) if !self.is_asked() => self.budget(),
            _ => self.room(),
        }
    }

    /// A chunk with its header, at most.
    fn record(&self) -> f64 {
        f64::from(self.chunk_bytes()) + HEADER
    }

    fn budget(&self) -> f64 {
        let path = self.rate.get() * self.shortest;
        let wanted = match self.state {
            State::Startup { .. } => {
                larger(f64::from(self.config.first_bytes.clamp(4_096, 65_536)), 2.0 * path)
            }
            State::Steady | State::Probing(_) => path + self.slack() * self.growth,
        };
        let most = smaller(self.largest_bytes(), float(self.replay_limit) - self.record());
        larger(smaller(wanted, most), 2.0 * self.record())
    }

    fn largest_bytes(&self) -> f64 {
        float(self.config.largest_bytes.clamp(64 << 10, 64 << 20))
    }

    /// What may wait in front of the link. With less than two chunks it would run dry between one and the next: R · D alone
    /// left 0.49 of 62.5 kB/s at 50 ms. A chunk beside R · D costs 2 to 5 ms, and is what lets 30 ms of jitter pass.
    fn slack(&self) -> f64 {
        larger(self.rate.get() * self.delay(), self.record()) + self.record()
    }

    /// D.
    fn delay(&self) -> f64 {
        let wanted = smaller(larger(span(self.config.delay), 5_000.0), 500_000.0);
        wanted + self.lumps.longest()
    }

    /// The rate at which others than urgent ones may go.
    fn pace(&self) -> f64 {
        match self.state {
            // Three times R; but what says little of R, as the few bytes of an OPEN, does not hold up the first budget.
            State::Startup { .. } if self.shortest > 0.0 => 1.5 * self.budget() / self.shortest,
            State::Startup { .. } => 0.0,
            // No more than the slack in a round: behind a probe it is this alone that bounds the queue.
            _ => self.rate.get() * (1.0 + smaller(self.delay() / self.shortest, 0.25) * self.growth),
        }
    }

    /// What the acknowledgement of a record tells of the path. `sample` is 0 where it tells no rate.
    fn measure(&mut self, newest: Stamp, took: f64, sample: f64) {
        let rate = self.rate.get();
        let is_startup = matches!(self.state, State::Startup { .. });
        // What the record itself takes on the link is no part of the path. At first nobody knows how much that is.
        let took = if is_startup { took } else { larger(took - newest.bytes() / rate, 1.0) };
        if let State::Probing(Probe { began: Some(began), rate, .. }) = self.state
            && newest.sent_at() >= began
        {
            if rate > 0.0 && took <= 1.25 * self.shortest + 1_000.0 {
                // The path is as short as it was: the queue was there because the link has become slower.
                self.rate.lower(self.now, rate);
            }
            self.shortest = took;
            self.settle(State::Steady);
        }
        if self.shortest == 0.0 || took < self.shortest {
            self.shortest = took;
        }
        if took <= 1.02 * self.shortest + 1_000.0 {
            self.fast_at = self.now;
        }
        let round = &mut self.round;
        round.shortest = if round.samples == 0.0 { took } else { smaller(round.shortest, took) };
        round.sum += took;
        round.samples += 1.0;
        round.full += if newest.is_full() { 1.0 } else { 0.0 };
        round.rate = if sample > 0.0 { sample } else { round.rate };
        let round = *round;
        if matches!(self.state, State::Startup { .. }) {
            let has_queue =
                took > 1.125 * self.shortest + self.slack() / larger(self.rate.get(), f64::MIN_POSITIVE);
            self.queued = if has_queue { self.queued + 1 } else { 0 };
            if self.queued >= QUEUED {
                return self.probe(self.rate.get(), 0.0);
            }
        }
        if newest.sent_at() >= round.began {
            self.round = Round { began: self.now, ..Round::default() };
            self.judge(round);
        }
    }

    /// A round is over.
    fn judge(&mut self, round: Round) {
        let rate = self.rate.get();
        if rate == 0.0 {
            return;
        }
        let slack = self.slack() / rate;
        match &mut self.state {
            State::Startup { stalled, before } => {
                if rate >= 1.25 * *before {
                    (*stalled, *before) = (0, rate);
                } else if round.rate > 0.0 {
                    *stalled += 1;
                }
                if *stalled >= STALLED_ROUNDS {
                    self.probe(rate, 0.0);
                }
            }
            State::Steady => {
                let missed_for = larger(PROBE_EVERY, PROBE_ROUNDS * self.shortest);
                let again_after = larger(PROBE_AGAIN, PROBE_AGAIN_ROUNDS * self.shortest);
                // If both R and RTTmin were right, no queue could be longer than the slack.
                let is_wrong = round.shortest > 1.02 * self.shortest + 2.0 * slack * self.growth
                    && self.now - self.probed_at >= again_after;
                if is_wrong && round.rate > 0.0 {
                    self.probe(smaller(round.rate, rate), round.rate);
                } else if self.now - self.fast_at >= missed_for {
                    self.probe(rate, 0.0);
                } else if self.is_changed {
                    self.is_changed = false;
                } else {
                    self.grow(round);
                }
            }
            State::Probing(probe) => {
                probe.rounds += 1;
                if probe.rounds >= PROBE_LASTS {
                    self.settle(State::Steady);
                }
            }
        }
    }

    /// A budget that was full, made no queue and still a larger rate is too small, and more so the longer that lasts.
    fn grow(&mut self, round: Round) {
        let rate = self.rate.get();
        let has_queue = round.sum >= round.samples * (self.shortest + self.delay() / 4.0);
        let is_faster = rate > 1.005 * self.rate_before;
        self.is_changed = false;
        if has_queue || !is_faster {
            self.growth = 1.0;
        } else if 2.0 * round.full >= round.samples && self.slack() * self.growth < rate * self.shortest {
            (self.growth, self.is_changed) = (2.0 * self.growth, true);
        }
        self.rate_before = rate;
    }

    fn probe(&mut self, rate: f64, otherwise: f64) {
        #[cfg(test)]
        if self.never_probes {
            return self.settle(State::Steady);
        }
        let bytes = rate * self.shortest / 2.0;
        self.settle(State::Probing(Probe { bytes, began: None, rounds: 0, rate: otherwise }));
    }

    fn settle(&mut self, state: State) {
        self.state = state;
        (self.fast_at, self.probed_at, self.settled_at) = (self.now, self.now, self.now);
        (self.growth, self.is_changed, self.rate_before) = (1.0, true, self.rate.get());
        self.bucket = smaller(self.bucket, 0.0);
    }
}

fn span(duration: Duration) -> f64 {
    micros(Timestamp::ZERO.saturating_add(duration))
}

#[cfg(test)]
mod tests;
