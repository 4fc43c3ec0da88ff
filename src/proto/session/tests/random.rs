//! Random operations against a session. A failure prints the seed, from which it runs again.

use super::host::{Host, SECOND};
use crate::proto::outcome::{CloseCause, Outcome};
use crate::proto::payload::{HostedKind, Payload};
use crate::proto::session::{PART_BYTES, READ_BLOB_UP_TO};

/// SplitMix64: small, and every seed is as good as another.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What the test knows about a message.
struct Message {
    ticket: u64,
    bytes: u64,
}

struct Run {
    random: Random,
    host: Host,
    messages: Vec<Message>,
    next_ticket: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let host = Host::connecting(random.below(2) == 0);
        Self { random, host, messages: Vec::new(), next_ticket: 1 }
    }

    fn payload(&mut self) -> Payload {
        let size = match self.random.below(6) {
            0 => 0,
            1 => 1 + self.random.below(100),
            2 => PART_BYTES,
            3 => PART_BYTES * 2 + self.random.below(3),
            4 => READ_BLOB_UP_TO - 1 + self.random.below(3),
            _ => 1 << 33,
        };
        let small = usize::try_from(size % 1000).unwrap();
        match self.random.below(5) {
            0 => Payload::Text("x".repeat(small)),
            1 => Payload::Binary(vec![0; small]),
            2 => self.host.keep(HostedKind::Text, size),
            3 => self.host.keep(HostedKind::Buffer, size),
            _ => self.host.blob(size),
        }
    }

    fn send(&mut self) {
        let payload = self.payload();
        let message = Message { ticket: self.next_ticket, bytes: payload.bytes() };
        self.next_ticket += 1;
        if self.host.only_send(payload, message.ticket) {
            self.messages.push(message);
        }
    }

    fn answer(&mut self) {
        if self.host.asked.is_empty() {
            return;
        }
        let count = self.host.asked.len() as u64;
        let which = usize::try_from(self.random.below(count)).unwrap();
        let bytes = self.host.asked[which].range.end - self.host.asked[which].range.start;
        let content = match self.random.below(12) {
            0 => None,
            1 => Some(self.host.keep(HostedKind::Buffer, bytes + 1)),
            2..7 => Some(self.host.keep(HostedKind::Buffer, bytes)),
            _ => Some(Payload::Binary(vec![0; usize::try_from(bytes).unwrap()])),
        };
        self.host.only_answer(which, content);
    }

    /// One random input, without looking at the outputs. Rare ones end the connection.
    fn step(&mut self) {
        match self.random.below(100) {
            0..30 => self.send(),
            30..60 => self.answer(),
            60..70 => {
                let ticket = self.random.below(self.next_ticket);
                self.host.only_cancel(ticket);
            }
            70..78 => self.host.session.handle_opened(),
            78..84 => self.host.room = !self.host.room,
            84..88 => self.host.takes = self.random.below(4) > 0,
            88..92 => {
                let time = SECOND * u32::try_from(self.random.below(3)).unwrap() / 2;
                self.host.now = self.host.now.saturating_add(time);
                self.host.session.handle_timeout(self.host.now);
            }
            _ => self.ending_step(),
        }
    }

    fn ending_step(&mut self) {
        let (now, code) = (self.host.now, 4001);
        match self.random.below(40) {
            0..4 => {
                let (flush, within) = (self.random.below(2) == 0, Some(SECOND));
                let request = crate::proto::session::CloseRequest {
                    code: Some(code),
                    reason: String::new(),
                    within,
                    flush,
                };
                self.host.session.handle_close(now, request);
            }
            4..7 => self.host.session.handle_end(now, Some(SECOND), Some(SECOND)),
            7 => self.host.session.handle_abort(),
            8 => self.host.session.handle_receive_overflow(now, 4009, Some(SECOND)),
            9 => self.host.session.handle_transport_end(code, String::new(), true),
            10 => self.host.session.handle_transport_end(1006, String::new(), false),
            _ => {}
        }
    }

    /// Ends what has not ended yet, answers what is still asked, and looks at the books.
    fn finish(mut self) {
        self.host.drain();
        self.host.session.handle_transport_end(1006, String::new(), false);
        self.host.drain();
        while !self.host.asked.is_empty() {
            self.answer();
            self.host.drain();
        }
        let closed = self.host.closed.clone().expect("there is a final word");
        assert!(self.host.session.is_over());
        assert_eq!(self.host.held(), [0_u32; 0], "slots were not released");
        assert!(self.host.opened <= 1);

        let (mut unsent, mut unknown) = ((0, 0), (0, 0));
        for message in &self.messages {
            let outcome = self.host.outcome(message.ticket).expect("every message ends");
            let amount = match outcome {
                Outcome::Unsent => &mut unsent,
                Outcome::Unknown => &mut unknown,
                Outcome::HandedOver if closed.cause != CloseCause::Local => &mut unknown,
                _ => continue,
            };
            amount.0 += 1;
            amount.1 += message.bytes;
        }
        assert_eq!(self.host.done.len(), self.messages.len(), "a message ended that was never taken");
        assert_eq!(self.host.left(), [unsent, unknown]);
        self.check_parts();
    }

    /// Parts come first to last, and nothing stands between them. A message that was cut off has
    /// no last part.
    fn check_parts(&self) {
        let mut open = false;
        for (at, sent) in self.host.sent.iter().enumerate() {
            assert!(sent.first || open, "part {at} belongs to no message");
            open = !sent.last;
        }
    }
}

#[test]
fn random_operations_keep_the_books_exact() {
    for seed in 0..2_000_u64 {
        let result = std::panic::catch_unwind(|| {
            let mut run = Run::new(seed);
            let steps = run.random.below(120);
            for _ in 0..steps {
                run.step();
                // Some inputs come before anybody has looked at the outputs of the last.
                if run.random.below(4) > 0 {
                    run.host.drain();
                }
            }
            run.finish();
        });
        if let Err(panic) = result {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
