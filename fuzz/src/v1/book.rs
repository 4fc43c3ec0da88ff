//! What is known of a session from outside: what it was told, what it has said, and what follows from both by
//! PROTOCOL.md, with lists that only grow, and every item kept whole. [`super::judge`] notes what it hears and says what has to become
//! of it, [`super::says`] what it says, and whether it may.
//!
//! The number of a channel in these lists is half of its id.

use std::collections::VecDeque;

use tidegate::proto::v1::{SessionConfig, Settings};

use super::wire::Record;

/// What the peer's first record has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Awaits {
    Hello,
    /// RESUME was refused.
    NewHello,
    Welcome,
    Resumed,
    /// RESUME has come, and it is for the harness to say what becomes of it.
    Decision,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Detached,
    Greeting(Awaits),
    Open,
    Over,
}

/// An item of which a part has come.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    pub(crate) is_text: bool,
    pub(crate) known: Option<u64>,
    pub(crate) content: Vec<u8>,
    pub(crate) cost: u64,
}

/// One channel, as the session that is watched has it.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) is_own: bool,
    pub(crate) kind: u8,
    /// The peer's direction: it has ended; the session wants no more of it.
    pub(crate) has_ended: bool,
    pub(crate) is_stopped: bool,
    pub(crate) partial: Option<Partial>,
    /// What has arrived and was taken, aborted or thrown away, by cost.
    pub(crate) arrived: u64,
    pub(crate) consumed: u64,
    /// What the peer may send, and the largest item.
    pub(crate) allows: u64,
    pub(crate) max_item: u64,
    /// What has come whole and was not delivered yet: whether it is text, and its content.
    pub(crate) items: VecDeque<(bool, Vec<u8>)>,
    /// The peer has sent ACCEPT.
    pub(crate) was_accepted: bool,
    /// The session's direction: it has said so; it is going to, or may be.
    pub(crate) ended: bool,
    pub(crate) is_ending: bool,
    /// The peer wants no more of it.
    pub(crate) was_stopped: bool,
    /// The item in the midst of which it is.
    pub(crate) sending: Option<Partial>,
    pub(crate) spent: u64,
    pub(crate) limit: u64,
    pub(crate) takes: u64,
    /// The session has sent ACCEPT.
    pub(crate) has_accepted: bool,
    /// Its handler has stopped, or it never had one.
    pub(crate) is_released: bool,
}

impl Channel {
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended && self.ended
    }

    /// Whether whoever accepts it has to say so.
    pub(crate) fn wants_accept(&self) -> bool {
        matches!(self.kind, 0 | 2)
    }

    /// What may still come and wait to be taken.
    pub(crate) fn promised(&self) -> u64 {
        let most = if self.has_ended { self.arrived } else { self.allows.max(self.arrived) };
        most - self.consumed
    }

    /// The session wants nothing more of the peer.
    pub(crate) fn stop(&mut self) {
        self.is_stopped = true;
        self.give_up_partial();
    }

    pub(crate) fn give_up_partial(&mut self) {
        self.consumed += self.partial.take().map_or(0, |partial| partial.cost);
    }
}

/// What pays for records without effect: at least, and at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pots {
    at: u64,
    /// In microseconds, of which a record takes 10,000.
    standing: [u64; 2],
    earned: [u64; 2],
}

impl Pots {
    const FULL: u64 = 2_000_000;
    const ONE: u64 = 10_000;

    pub(crate) fn earn(&mut self, least: u64, most: u64) {
        self.earned[0] += least;
        self.earned[1] += most;
    }

    /// Whether the least and the most can pay for one more at `now`. If that is not `is_sure` it is taken out of the least only.
    pub(crate) fn pay(&mut self, now: u64, is_sure: bool) -> [bool; 2] {
        let passed = now - core::mem::replace(&mut self.at, now);
        let pots = self.standing.iter_mut().zip(&mut self.earned);
        let mut paid = [true; 2];
        for ((paid, (standing, earned)), takes) in paid.iter_mut().zip(pots).zip([true, is_sure]) {
            *standing = (*standing + passed).min(Self::FULL);
            if !takes {
                continue;
            }
            if *standing >= Self::ONE {
                *standing -= Self::ONE;
            } else {
                *paid = *earned > 0;
                *earned = earned.saturating_sub(1);
            }
        }
        paid
    }
}

/// See the module's page.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    pub(crate) is_server: bool,
    pub(crate) config: SessionConfig,
    /// All that may be granted is granted: what the session allows follows from what it has heard and said.
    pub(crate) is_exact: bool,
    pub(crate) peer: Settings,
    pub(crate) phase: Phase,
    pub(crate) epoch: u64,
    /// A session that can be resumed.
    pub(crate) has_token: bool,
    /// The highest number that it has accepted, and that it has acknowledged on this connection.
    pub(crate) rx: u64,
    pub(crate) told: u64,
    /// Every sequenced record that it has ever said.
    pub(crate) log: Vec<u64>,
    /// The number of the next one on this connection.
    pub(crate) next: u64,
    /// The highest that the peer has acknowledged.
    pub(crate) acked: u64,
    pub(crate) own: Vec<Channel>,
    pub(crate) of_peer: Vec<Channel>,
    /// How many channels it may open, and the peer.
    pub(crate) may_open: u64,
    pub(crate) allows: u64,
    pub(crate) pots: Pots,
    /// How many channels of the other side each handles, where that was said.
    pub(crate) handles: Option<u64>,
    pub(crate) peer_handles: Option<u64>,
    /// The newest PING that is not answered.
    pub(crate) ping: Option<u64>,
    /// Channels of the peer that are to be shown to the application: id, name and meta.
    pub(crate) incoming: VecDeque<(u64, String, Vec<u8>)>,
    /// It has said something on this connection.
    pub(crate) has_greeted: bool,
    /// It has said ERROR.
    pub(crate) has_failed: bool,
    /// Limits are still to be told once more after a resume.
    pub(crate) restates: bool,
    /// It has said all that it has to say, as far as the connection goes: what it allows is what it has told.
    pub(crate) is_settled: bool,
    /// What may have gone wrong with the message that is being heard.
    pub(crate) may_fail: Option<u64>,
}

impl Book {
    pub(crate) fn new(config: &SessionConfig, is_server: bool, is_exact: bool, has_token: bool) -> Self {
        Self {
            is_server,
            config: config.clone(),
            is_exact,
            peer: Settings::default(),
            phase: Phase::Detached,
            epoch: 0,
            has_token,
            rx: 0,
            told: 0,
            log: Vec::new(),
            next: 1,
            acked: 0,
            own: Vec::new(),
            of_peer: Vec::new(),
            may_open: u64::from(Settings::default().max_channels),
            allows: u64::from(config.settings.max_channels),
            pots: Pots { at: 0, standing: [Pots::FULL; 2], earned: [0; 2] },
            handles: None,
            peer_handles: None,
            ping: None,
            incoming: VecDeque::new(),
            has_greeted: false,
            has_failed: false,
            restates: false,
            is_settled: false,
            may_fail: None,
        }
    }

    /// It has got a connection.
    pub(crate) fn attach(&mut self) {
        self.phase = Phase::Greeting(match (self.is_server, self.epoch) {
            (true, _) => Awaits::Hello,
            (false, 0) => Awaits::Welcome,
            (false, _) => Awaits::Resumed,
        });
        let open = self.own.iter().chain(&self.of_peer).filter(|channel| !channel.is_over()).count() as u64;
        self.pots.earn(open + 1, open + 1);
        (self.has_greeted, self.ping, self.restates, self.is_settled) = (false, None, false, false);
    }

    /// It has lost it.
    pub(crate) fn detach(&mut self) {
        if self.phase != Phase::Over {
            self.phase = Phase::Detached;
        }
        self.is_settled = false;
    }

    /// The peer has everything up to `rx`, as its greeting says, and gets what follows.
    pub(crate) fn resume(&mut self, rx: u64) {
        self.acked = rx;
        self.next = rx + 1;
        self.told = self.rx;
        self.epoch += 1;
        self.phase = Phase::Open;
        self.restates = true;
        self.is_settled = false;
    }

    /// Section 8.2. `rx`, `tx_oldest` and `tx_next` are the peer's.
    pub(crate) fn may_resume(&self, [rx, tx_oldest, tx_next]: [u64; 3]) -> bool {
        let (own_oldest, own_next) = (self.acked + 1, self.log.len() as u64 + 1);
        own_oldest <= rx + 1 && rx < own_next && tx_oldest <= self.rx + 1 && self.rx < tx_next
    }

    /// A claim that a later one has overtaken: *Decision 37*.
    pub(crate) fn is_stale(&self, [rx, _, tx_next]: [u64; 3]) -> bool {
        rx < self.acked || tx_next <= self.rx
    }

    pub(crate) fn channel(&mut self, id: u64) -> Option<&mut Channel> {
        let is_own = id % 2 == u64::from(self.is_server);
        let list = if is_own { &mut self.own } else { &mut self.of_peer };
        list.get_mut(usize::try_from(id / 2).ok()?)
    }

    /// A channel that was opened just now.
    pub(crate) fn add(&mut self, is_own: bool, kind: u8) -> &mut Channel {
        let own = &self.config.settings;
        let list = if is_own { &mut self.own } else { &mut self.of_peer };
        list.push(Channel {
            is_own,
            kind,
            has_ended: false,
            is_stopped: false,
            partial: None,
            arrived: 0,
            consumed: 0,
            allows: own.initial_window.into(),
            max_item: own.max_item_bytes.into(),
            items: VecDeque::new(),
            was_accepted: false,
            ended: false,
            is_ending: false,
            was_stopped: false,
            sending: None,
            spent: 0,
            limit: self.peer.initial_window.into(),
            takes: self.peer.max_item_bytes.into(),
            has_accepted: false,
            is_released: false,
        });
        list.last_mut().expect("it was pushed just now")
    }

    /// The session decides on what it takes on a channel: what ACCEPT is going to say.
    pub(crate) fn accept(&mut self, id: u64, window: u64, max_item: u64) {
        if !self.is_exact {
            return;
        }
        let initial = u64::from(self.config.settings.initial_window);
        let Some(channel) = self.channel(id) else { return };
        // The largest item that the window admits in chunks of 512 bytes.
        let fits = window.saturating_sub(64) / 9 * 8;
        channel.max_item = channel.max_item.max(max_item.min(fits));
        let needs = channel.max_item + channel.max_item / 8 + 64;
        channel.allows = channel.allows.max(channel.consumed + window.max(initial).max(needs));
    }

    /// What may come and wait to be taken in all channels.
    pub(crate) fn promised(&self) -> u64 {
        let in_use = |channel: &&Channel| !(channel.is_over() && channel.is_released);
        self.own.iter().chain(&self.of_peer).filter(in_use).map(Channel::promised).sum()
    }

    /// How many channels of the peer are over, and used by nobody.
    pub(crate) fn released(&self) -> u64 {
        self.of_peer.iter().filter(|channel| channel.is_over() && channel.is_released).count() as u64
    }
}

/// By what a record is known again.
pub(crate) fn hash(record: &Record<'_>) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    record.whole.hash(&mut hasher);
    hasher.finish()
}
