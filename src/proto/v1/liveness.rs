//! Heartbeat: when to send PING, and when silence means that the connection is dead.
//!
//! | a PING is sent | by |
//! |---|---|
//! | after `ping_interval` without a received message, and again after as much | the server |
//! | after 1.5 times as much, likewise | the client |
//! | when the page says that the network or its own time may have changed (`probe`) | whoever has a page |
//! | when an acknowledgement is late (`ack_due`) | whoever waits for one |
//!
//! A page that wakes says so several times over, and one silence makes many acknowledgements late: for these two a PING
//! of the last second does.
//!
//! Dead is a connection that was silent for `idle_timeout` and the slack, which counts up to as much again, and for a quarter
//! of `idle_timeout` since the first PING of this silence, so that whoever has slept for longer asks before it judges. With an `idle_timeout`
//! of at least twice the `ping_interval`, and timers on time, the quarter is over before the rest. A timer that comes more
//! than 2 s late to find it dead may have come before the messages that waited with it: then there is another PING, and a
//! quarter more to answer it, once in each silence.
//!
//! Not here: the greeting's own timeout, what PONG tells of the path, how a dead connection is closed.

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests;

use crate::time::{Duration, Timestamp};

/// How late a timer may be until it waits once more, in microseconds.
const LATE: u64 = 2_000_000;
/// For how long one PING answers further questions.
const ENOUGH: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing, until [`Liveness::due`].
    Nothing,
    /// A PING is to be sent, whose `t_us` is [`Liveness::pinged`] in microseconds.
    Ping,
    /// The connection is dead: close code 4207, and detach. Said once.
    Dead,
}

/// The heartbeat of one session, through its connections.
#[derive(Debug)]
pub(super) struct Liveness {
    is_server: bool,
    /// How long silence lasts until this side asks.
    ping_after: Duration,
    idle_timeout: Duration,
    /// A quarter of that.
    answer_within: Duration,
    silence: Option<Silence>,
}

/// How it stands with a connection.
#[derive(Clone, Copy, Debug)]
struct Silence {
    /// The last message, or the beginning of the connection.
    since: Timestamp,
    /// The newest PING, also if there was a message since.
    pinged: Option<Timestamp>,
    /// Whether that was answered by a PONG.
    is_answered: bool,
    /// From when on the peer has its time to answer: the first PING since the last message.
    asked: Option<Timestamp>,
    /// Since when somebody wants a PING at once.
    probe: Option<Timestamp>,
    /// Whether a late timer has waited once more.
    has_waited: bool,
}

impl Silence {
    const fn new(now: Timestamp) -> Self {
        Self { since: now, pinged: None, is_answered: false, asked: None, probe: None, has_waited: false }
    }

    /// When the next PING is allowed that is not for the silence.
    fn allowed(&self) -> Timestamp {
        self.pinged.map_or(Timestamp::ZERO, |pinged| pinged.saturating_add(ENOUGH))
    }
}

impl Liveness {
    /// Without a connection, and with the times that hold before any are agreed on: 20 s and 45 s.
    pub(super) fn new(is_server: bool) -> Self {
        let zero = Duration::from_micros(0);
        let mut this =
            Self { is_server, ping_after: zero, idle_timeout: zero, answer_within: zero, silence: None };
        this.set_times(Duration::from_secs(20), Duration::from_secs(45));
        this
    }

    /// The times in force, the server's. At least a second each is assumed of both, which the settings demand.
    pub(super) fn set_times(&mut self, ping_interval: Duration, idle_timeout: Duration) {
        let micros = |span| Timestamp::ZERO.saturating_add(span).as_micros().max(1_000_000);
        let (interval, idle) = (micros(ping_interval), micros(idle_timeout));
        let more = if self.is_server { 0 } else { interval / 2 };
        self.ping_after = Duration::from_micros(interval.saturating_add(more));
        self.idle_timeout = Duration::from_micros(idle);
        self.answer_within = Duration::from_micros(idle / 4);
    }

    /// There is a connection, whose silence begins.
    pub(super) fn handle_attached(&mut self, now: Timestamp) {
        self.silence = Some(Silence::new(now));
    }

    /// There is none any more, and nothing is due.
    pub(super) fn handle_detached(&mut self) {
        self.silence = None;
    }

    /// A message was received in whole, whatever is in it.
    pub(super) fn handle_received(&mut self, now: Timestamp) {
        if let Some(silence) = &mut self.silence {
            // A probe stays: the message may have waited here for longer than the network is away.
            *silence = Silence { since: now, asked: None, has_waited: false, ..*silence };
        }
    }

    /// PONG, after [`handle_received`](Self::handle_received) for its message. Whether it answers the newest PING, for the
    /// first time: only then is it a measure of anything.
    pub(super) fn handle_pong(&mut self, t_us: u64) -> bool {
        let Some(silence) = &mut self.silence else { return false };
        let is_first =
            !silence.is_answered && silence.pinged.is_some_and(|pinged| pinged.as_micros() == t_us);
        silence.is_answered |= is_first;
        is_first
    }

    /// The moment of the newest PING of this connection.
    pub(super) fn pinged(&self) -> Option<Timestamp> {
        self.silence.and_then(|silence| silence.pinged)
    }

    /// The page was told `online`, became visible, or came back (`resume`, `pageshow`): a PING is due, unless there was
    /// one in the last second.
    pub(super) fn probe(&mut self, now: Timestamp) {
        if let Some(silence) = &mut self.silence
            && silence.allowed() <= now
        {
            silence.probe = silence.probe.or(Some(now));
        }
    }

    /// What is to be done at this moment. `slack`, up to `idle_timeout`, is added to that: what lies before the link takes
    /// so long to pass. `ack_due` is when the acknowledgement that is awaited is late, if one is.
    pub(super) fn handle_timeout(
        &mut self,
        now: Timestamp,
        slack: Duration,
        ack_due: Option<Timestamp>,
    ) -> Verdict {
        let Some(silence) = &self.silence else { return Verdict::Nothing };
        let dead_at = self.dead_at(silence, slack);
        let is_ping_due = self.ping_at(silence, ack_due) <= now;
        let is_dead = dead_at.is_some_and(|at| at <= now);
        let is_late = dead_at.is_some_and(|at| now.micros_since(at) > LATE) && !silence.has_waited;
        if is_dead && !is_late {
            self.silence = None;
            return Verdict::Dead;
        }
        if !is_dead && !is_ping_due {
            return Verdict::Nothing;
        }
        let asked = if is_dead { None } else { silence.asked };
        self.silence = Some(Silence {
            since: silence.since,
            pinged: Some(now),
            is_answered: false,
            asked: asked.or(Some(now)),
            probe: None,
            has_waited: silence.has_waited || is_dead,
        });
        Verdict::Ping
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to say, if nothing happens before. `None` without a
    /// connection. May be in the past; then there is something to say now.
    pub(super) fn due(&self, slack: Duration, ack_due: Option<Timestamp>) -> Option<Timestamp> {
        let silence = self.silence.as_ref()?;
        let ping_at = self.ping_at(silence, ack_due);
        Some(self.dead_at(silence, slack).map_or(ping_at, |at| at.min(ping_at)))
    }

    fn ping_at(&self, silence: &Silence, ack_due: Option<Timestamp>) -> Timestamp {
        let quiet_since = silence.pinged.map_or(silence.since, |pinged| pinged.max(silence.since));
        let by_silence = quiet_since.saturating_add(self.ping_after);
        // One that was already late at the last PING is what that was for.
        let by_ack = ack_due
            .filter(|&due| silence.pinged.is_none_or(|pinged| pinged < due))
            .map_or(by_silence, |due| due.max(silence.allowed()));
        by_silence.min(by_ack).min(silence.probe.unwrap_or(by_silence))
    }

    /// When this silence is over for the worse; `None` as long as nobody asked.
    fn dead_at(&self, silence: &Silence, slack: Duration) -> Option<Timestamp> {
        let asked = silence.asked?;
        // Who has measured a rate while it slept, or had a few bytes to say, would wait for days.
        let slack = slack.min(self.idle_timeout);
        let by_silence = silence.since.saturating_add(self.idle_timeout).saturating_add(slack);
        Some(by_silence.max(asked.saturating_add(self.answer_within)))
    }
}
