//! What one run is like, drawn from its seed.

use crate::link::Link;
use crate::random::Random;

/// How an application takes what has arrived. Times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    AtOnce,
    /// Each item after a while.
    After(u64),
    /// Nothing from one moment to another.
    Stops(u64, u64),
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Both sides are told, each after a while.
    Cut { told: [u64; 2], code: u16 },
    /// Nothing arrives any more in one direction (0 is what the client sends), and nobody is told.
    Dies { direction: usize },
    /// The client leaves its connection, and the server hears everything that is under way before it is told; and
    /// `again` soon after the next one is there.
    GivesUp { again: bool },
    /// The connection is cut, and so is the next one as the server answers.
    LosesResumed,
    /// The server has lost its memory.
    Forgets,
    /// A clock is further by so much all at once.
    Jumps { which: usize, by: u64 },
    /// Nothing happens on one side for a while.
    Stalls { which: usize, lasts: u64 },
    /// Somebody else has the token, and uses it.
    TakesOver,
    /// The server goes away.
    ShutsDown { drain_ms: u64 },
    /// One side closes in the midst of everything.
    Closes { which: usize, within_ms: u64 },
}

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// What the client sends, and what the server sends.
    pub(crate) links: [Link; 2],
    pub(crate) readers: [Reader; 2],
    /// How late timers are at most.
    pub(crate) late: [u64; 2],
    /// How much each application does, and for how long.
    pub(crate) actions: [u64; 2],
    pub(crate) lasts: u64,
    pub(crate) largest: u64,
    /// All that is sent, at most.
    pub(crate) bytes: u64,
    pub(crate) faults: Vec<(u64, Fault)>,
    /// By how much each clock is ahead of the world's at first.
    pub(crate) ahead: [u64; 2],
    /// Who closes when all is done.
    pub(crate) closer: usize,
    /// A bit of one in so many messages is flipped; 0 for none.
    pub(crate) flips: u64,
    /// How long the client waits until it connects again.
    pub(crate) backoff: u64,
    /// For how many seconds sessions can be resumed; 0 for not at all.
    pub(crate) ttl: u64,
    pub(crate) replay_limit: u32,
    pub(crate) max_channels: u32,
    pub(crate) initial_window: u32,
    /// What all windows may promise.
    pub(crate) rx_budget: u64,
    pub(crate) max_item: u32,
    /// Whether the side that opens a channel says that it takes more there than its settings have.
    pub(crate) accepts: bool,
    pub(crate) grease: bool,
    pub(crate) deadlines: bool,
    pub(crate) latest: bool,
    pub(crate) resets: bool,
    /// The applications open, send and take only, so that nothing that they do depends on when something arrives.
    pub(crate) is_plain: bool,
}

/// More than windows come to, and twice that where half of it is kept for the peer's.
pub(crate) const AMPLE: u64 = 256 << 20;

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000_000;

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let random = &mut Random::new(21, seed);
        let rate = random.of(&[30_000, 62_500, 200_000, 600_000, 2_000_000, 6_000_000, 25_000_000]);
        let delay = random.of(&[1, 2, 5, 10, 20, 40, 80, 150]) * MILLI;
        let mut up = link(random, rate, delay);
        let mut down = if random.once_in(2) { up.clone() } else { link(random, rate * 4, delay) };
        if random.once_in(4) {
            let to = if random.once_in(2) { rate / 10 } else { rate * 10 };
            let at = random.between(200 * MILLI, 2 * SECOND);
            up.rates.push((at, to));
            down.rates.push((at, to));
        }
        let lasts = random.between(SECOND, 5 * SECOND);
        let reader = |random: &mut Random| match random.between(0, 5) {
            0 => Reader::After(random.between(0, 200) * MILLI),
            1 => {
                let from = random.between(0, 2 * SECOND);
                Reader::Stops(from, from + random.between(100 * MILLI, 4 * SECOND))
            }
            _ => Reader::AtOnce,
        };
        let ttl = if random.once_in(5) { 0 } else { random.of(&[2, 30, 120, 120]) };
        let count = if random.once_in(3) { 0 } else { random.of(&[1, 1, 2, 3, 8, 20]) };
        let mut faults: Vec<_> = (0..count).map(|_| fault(random, lasts)).collect();
        if random.once_in(5) {
            faults.push(end(random, lasts));
        }
        faults.sort_by_key(|fault| fault.0);
        let max_channels = random.of(&[16, 16, 20, 64]);
        let initial_window = random.of(&[65_536, 65_536, 262_144, 1 << 20]);
        Self {
            seed,
            links: [up, down],
            readers: [reader(random), reader(random)],
            late: [random.of(&[0, MILLI, 4 * MILLI, SECOND, 60 * SECOND]), random.of(&[0, 0, MILLI, SECOND])],
            actions: [random.between(5, 120), random.between(0, 120)],
            lasts,
            largest: random.of(&[300, 4_000, 40_000, 300_000]),
            bytes: (rate * random.between(1, 3)).min(3_000_000),
            faults,
            ahead: [random.between(0, 100) * SECOND, random.between(0, 100) * SECOND],
            closer: usize::from(random.once_in(4)),
            flips: 0,
            backoff: random.between(50 * MILLI, 900 * MILLI),
            ttl,
            replay_limit: random.of(&[131_072, 1_048_576, 8_388_608]),
            max_channels,
            initial_window,
            // For a few windows more than are promised in any case, or for all.
            rx_budget: if random.once_in(4) {
                u64::from(max_channels) * u64::from(initial_window) + random.between(0, 1_000_000)
            } else {
                AMPLE
            },
            max_item: random.of(&[57_344, 57_344.max(initial_window / 2)]),
            grease: random.once_in(2),
            deadlines: random.once_in(2),
            latest: random.once_in(2),
            resets: random.once_in(2),
            is_plain: false,
            // The last that is drawn, so that what the seeds are like otherwise stays.
            accepts: random.once_in(2),
        }
    }

    /// The same without faults, over links that nothing waits for, and without anything for which time matters.
    pub(crate) fn plain(seed: u64, grease: bool) -> Self {
        let mut plan = Self::new(seed);
        for link in &mut plan.links {
            link.rates = vec![(0, 25_000_000)];
            (link.jitter, link.lump, link.hidden) = (0, 0, 0);
        }
        (plan.readers, plan.late) = ([Reader::AtOnce; 2], [0; 2]);
        plan.faults.clear();
        (plan.deadlines, plan.latest, plan.resets) = (false, false, false);
        (plan.is_plain, plan.grease) = (true, grease);
        plan
    }
}

fn link(random: &mut Random, rate: u64, delay: u64) -> Link {
    Link {
        rates: vec![(0, rate)],
        delay,
        jitter: if random.once_in(3) { random.between(0, 30) * MILLI } else { 0 },
        lump: if random.once_in(6) { random.between(1, 40) * MILLI } else { 0 },
        hidden: random.of(&[0, 0, 131_000, 1_000_000, u64::MAX]),
    }
}

fn fault(random: &mut Random, lasts: u64) -> (u64, Fault) {
    let at = random.between(0, lasts);
    let which = random.between(0, 1) as usize;
    let fault = match random.between(0, 23) {
        0..=1 => Fault::Dies { direction: which },
        2..=5 => Fault::GivesUp { again: random.once_in(2) },
        6 => Fault::LosesResumed,
        7 => Fault::Jumps { which, by: random.of(&[SECOND, 50 * SECOND, 3_600 * SECOND]) },
        8 => Fault::Stalls { which, lasts: 5 * SECOND },
        _ => {
            let mut told = || if random.once_in(3) { 0 } else { random.between(0, 400 * MILLI) };
            let told = [told(), told()];
            Fault::Cut { told, code: random.of(&[1006, 1006, 1001, 1011]) }
        }
    };
    (at, fault)
}

/// What ends a session one way or another, and therefore happens once at most.
fn end(random: &mut Random, lasts: u64) -> (u64, Fault) {
    let at = random.between(lasts / 3, lasts);
    let millis = random.of(&[0, 300, 5_000, 60_000]);
    let fault = match random.between(0, 6) {
        0..=1 => Fault::Forgets,
        2 => Fault::TakesOver,
        3..=4 => Fault::ShutsDown { drain_ms: millis },
        _ => Fault::Closes { which: random.between(0, 1) as usize, within_ms: millis },
    };
    (at, fault)
}
