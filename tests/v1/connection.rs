//! One connection between both sides.

use tidegate::proto::v1::Session;

use crate::link::Pipe;
use crate::plan::Plan;
use crate::random::Random;

/// See the module's page.
pub(crate) struct Connection {
    pub(crate) number: u64,
    /// What the client sends, and what the server sends.
    pub(crate) pipes: [Pipe; 2],
    /// The server's session until it is known which one the client wants, and when its time is over.
    pub(crate) fresh: Option<Box<Session>>,
    pub(crate) fresh_timer: Option<u64>,
    /// Who has closed it, or was told that it is gone.
    pub(crate) closed: [bool; 2],
    /// When each side is told that it is gone, and the close code.
    pub(crate) news: [Option<(u64, u16)>; 2],
}

impl Connection {
    pub(crate) fn new(
        plan: &Plan,
        random: &mut Random,
        number: u64,
        is_first: bool,
        fresh: Box<Session>,
    ) -> Self {
        let pipes = [0, 1].map(|which| {
            let mut link = plan.links[which].clone();
            // Another path may have another rate.
            if !is_first && random.once_in(3) {
                let rate = random.of(&[50_000, 500_000, 5_000_000]);
                link.rates = vec![(0, rate)];
            }
            // Or takes so long that what is sent over the next one is there first.
            if !is_first && random.once_in(6) {
                link.delay += random.between(0, 2_000_000);
            }
            Pipe::new(link, Random::new(40 + which as u64, random.bits()))
        });
        Self { number, pipes, fresh: Some(fresh), fresh_timer: None, closed: [false; 2], news: [None; 2] }
    }

    /// What is under way is lost from some point on, or all of it, and both sides are told after a while.
    pub(crate) fn cut(&mut self, now: u64, told: [u64; 2], code: u16, all: bool) {
        for (which, told) in told.into_iter().enumerate() {
            self.pipes[which].cut(all);
            // What has arrived before is read before the end is.
            let last = self.pipes[1 - which].next_arrival().map_or(0, |_| 500_000);
            self.tell(which, now + told + last, code);
        }
    }

    /// A side is told, unless it knows.
    pub(crate) fn tell(&mut self, which: usize, at: u64, code: u16) {
        if !self.closed[which] && self.news[which].is_none_or(|news| news.0 > at) {
            self.news[which] = Some((at, code));
        }
    }

    /// One side closes: the other is told when everything before has arrived, or never.
    pub(crate) fn close(&mut self, now: u64, which: usize, code: u16) {
        if core::mem::replace(&mut self.closed[which], true) {
            return;
        }
        self.news[which] = None;
        if let Some(at) = self.pipes[which].arrives(now) {
            self.tell(1 - which, at, code);
        }
    }
}
