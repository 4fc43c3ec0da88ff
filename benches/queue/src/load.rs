//! What is queued, and what is done to it under the clock.
//!
//! Messages carry 32 bytes that were allocated beforehand and are freed afterwards: what is measured is the queue.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tidegate::proto::{Flow, MessageId, NewMessage, Payload, Priority, QueueConfig, SendQueue};
use tidegate::time::Timestamp;

/// How many messages stand in the queue while it is measured.
pub(crate) const QUEUED: usize = 1_000_000;

/// What is measured, in the order of the table. The last two are push and pop once more, when places have been used
/// again in any order.
pub(crate) const OPERATIONS: [&str; 9] =
    ["fill", "push", "pop", "drain", "latest", "cancel", "expire", "push, shuffled", "pop, shuffled"];

/// Operations between two readings of the clock, which takes as long as some ten of them.
const BATCH: usize = 4_096;

/// How many batches of each operation a round has: together as many operations as there are messages, so that places
/// are used again in any order.
const BATCHES: usize = QUEUED / BATCH;

const PAYLOAD: usize = 32;

/// Deadlines are spread over so much time, in microseconds: a thousand of them pass in a second.
const DEADLINES_WITHIN: u64 = 1_000_000_000;

/// A kind of traffic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    classes: usize,
    flows: usize,
    deadlines: bool,
}

impl Load {
    pub(crate) const ALL: [Self; 5] = [
        Self { name: "one flow", classes: 1, flows: 1, deadlines: false },
        Self { name: "four classes", classes: 4, flows: 1, deadlines: false },
        Self { name: "four classes, ten flows", classes: 4, flows: 10, deadlines: false },
        Self { name: "the same, deadlines", classes: 4, flows: 10, deadlines: true },
        Self { name: "four classes, 1,000 flows", classes: 4, flows: 1_000, deadlines: false },
    ];
}

/// Nanoseconds by operation.
pub(crate) type Sample = BTreeMap<&'static str, f64>;

/// One round of everything that `load` has.
///
/// # Panics
///
/// If the queue does not do what it was told: figures of that would be of no use.
pub(crate) fn measure(load: Load, seed: u64) -> Sample {
    let mut sample = Sample::new();
    let mut bench = Bench::new(load, seed);
    sample.insert("fill", bench.fill());
    let (push, pop) = bench.push_and_pop();
    sample.extend([("push", push), ("pop", pop)]);
    sample.insert("drain", bench.pop(QUEUED) / per(QUEUED));
    assert!(bench.queue.is_empty(), "all that was queued has come out");

    let mut bench = Bench::new(load, seed);
    bench.fill();
    sample.insert("latest", bench.repeat(Bench::latest));
    sample.insert("cancel", bench.repeat(Bench::cancel));
    if load.deadlines {
        sample.insert("expire", bench.repeat(Bench::expire));
    }
    let (push, pop) = bench.push_and_pop();
    sample.extend([("push, shuffled", push), ("pop, shuffled", pop)]);
    sample
}

#[allow(clippy::cast_precision_loss, reason = "at most some millions")]
fn per(operations: usize) -> f64 {
    operations as f64
}

/// A queue under a load.
struct Bench {
    load: Load,
    queue: SendQueue,
    now: u64,
    random: u64,
    /// By which the messages are known and where they stand, as long as none was popped or has expired.
    known: Vec<(MessageId, Priority, Flow)>,
    /// Payloads for the next messages.
    spare: Vec<Payload>,
}

impl Bench {
    fn new(load: Load, seed: u64) -> Self {
        let spare = (0..QUEUED + BATCH).map(|_| Payload::Binary(vec![7; PAYLOAD])).collect();
        let queue = SendQueue::new(QueueConfig::default());
        Self { load, queue, now: 0, random: seed, known: Vec::new(), spare }
    }

    /// SplitMix64.
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }

    fn messages(&mut self, count: usize) -> Vec<NewMessage> {
        (0..count).map(|_| self.message()).collect()
    }

    fn message(&mut self) -> NewMessage {
        let Load { classes, flows, deadlines, .. } = self.load;
        let class = self.index(classes);
        // The one that messages have by themselves is the second.
        let priority = Priority::ALL.get((class + 1) % Priority::ALL.len()).copied().unwrap_or_default();
        let flow = Flow(u32::try_from(self.index(flows)).unwrap_or_default());
        let due = self.now + 1_000 + self.random(DEADLINES_WITHIN);
        let payload = self.spare.pop().expect("as many payloads as messages");
        NewMessage {
            priority,
            flow,
            deadline: deadlines.then(|| moment(due)),
            ..NewMessage::normal(payload, None)
        }
    }

    /// Nanoseconds per message from an empty queue to a full one, memory included.
    fn fill(&mut self) -> f64 {
        let messages = self.messages(QUEUED);
        self.known = Vec::with_capacity(QUEUED);
        let begin = thread_time();
        for message in messages {
            let (priority, flow) = (message.priority, message.flow);
            let (id, _) = self.queue.push(moment(self.now), message);
            self.known.push((id, priority, flow));
        }
        let took = thread_time() - begin;
        assert_eq!(self.queue.messages(), QUEUED as u64);
        took / per(QUEUED)
    }

    /// Nanoseconds per operation of many batches, each of which gives its time and its operations.
    fn repeat(&mut self, mut batch: impl FnMut(&mut Self) -> (f64, usize)) -> f64 {
        let (mut took, mut operations) = (0.0, 0);
        while operations < BATCHES * BATCH {
            let (nanoseconds, more) = batch(self);
            took += nanoseconds;
            operations += more;
        }
        took / per(operations)
    }

    /// Nanoseconds of a push and of a pop, as many of each as are queued.
    fn push_and_pop(&mut self) -> (f64, f64) {
        let (mut push, mut pop) = (0.0, 0.0);
        for _ in 0..BATCHES {
            pop += self.pop(BATCH);
            push += self.push(BATCH);
        }
        (push / per(BATCHES * BATCH), pop / per(BATCHES * BATCH))
    }

    /// Newer values for messages anywhere in the queue, which take their places.
    fn latest(&mut self) -> (f64, usize) {
        let places = self.places();
        let mut news = Vec::with_capacity(BATCH);
        for place in &places {
            let (id, priority, flow) = *self.known.get(*place).expect("a place in it");
            news.push(NewMessage { replaces: Some(id), priority, flow, ..self.message() });
        }
        let mut ids = Vec::with_capacity(BATCH);
        let mut old = Vec::with_capacity(BATCH);
        let begin = thread_time();
        for message in news {
            let (id, replaced) = self.queue.push(moment(self.now), message);
            ids.push(id);
            old.extend(replaced);
        }
        let took = thread_time() - begin;
        assert_eq!(old.len(), BATCH, "each has taken the place of another");
        self.spare.extend(old.into_iter().map(|old| old.payload));
        for (place, new) in places.into_iter().zip(ids) {
            self.known.get_mut(place).expect("a place in it").0 = new;
        }
        (took, BATCH)
    }

    /// Takes back messages from anywhere in the queue.
    fn cancel(&mut self) -> (f64, usize) {
        let places = self.places();
        let ids: Vec<_> = places.iter().filter_map(|place| Some(self.known.get(*place)?.0)).collect();
        let mut old = Vec::with_capacity(BATCH);
        let begin = thread_time();
        for id in ids {
            old.extend(self.queue.remove(id));
        }
        let took = thread_time() - begin;
        assert_eq!(old.len(), BATCH, "each was queued");
        self.spare.extend(old.into_iter().map(|old| old.payload));
        for place in places {
            let message = self.message();
            let (priority, flow) = (message.priority, message.flow);
            let (id, _) = self.queue.push(moment(self.now), message);
            *self.known.get_mut(place).expect("a place in it") = (id, priority, flow);
        }
        (took, BATCH)
    }

    /// Lets so much time pass that about a batch of deadlines has passed, and takes what they belong to.
    fn expire(&mut self) -> (f64, usize) {
        self.now += BATCH as u64 * (DEADLINES_WITHIN / QUEUED as u64);
        let now = moment(self.now);
        let mut old = Vec::with_capacity(2 * BATCH);
        let begin = thread_time();
        while let Some(message) = self.queue.expire(now) {
            old.push(message);
        }
        let took = thread_time() - begin;
        let expired = old.len();
        assert!(expired > 0, "some deadline has passed");
        self.spare.extend(old.into_iter().map(|old| old.payload));
        self.push(expired);
        (took, expired)
    }

    /// Nanoseconds in which so many messages are queued.
    fn push(&mut self, count: usize) -> f64 {
        let messages = self.messages(count);
        let now = moment(self.now);
        let begin = thread_time();
        for message in messages {
            black_box(self.queue.push(now, message));
        }
        thread_time() - begin
    }

    /// Nanoseconds in which so many messages have their turn, each looked at before, as the session does it.
    fn pop(&mut self, count: usize) -> f64 {
        let mut old = Vec::with_capacity(count);
        let now = moment(self.now);
        let begin = thread_time();
        for _ in 0..count {
            black_box(self.queue.peek());
            old.extend(self.queue.pop(now));
        }
        let took = thread_time() - begin;
        assert_eq!(old.len(), count, "so many were queued");
        self.spare.extend(old.into_iter().map(|(old, _)| old.payload));
        took
    }

    /// Places in `known` from all over it, none of them twice, in any order.
    fn places(&mut self) -> Vec<usize> {
        let stride = QUEUED / BATCH;
        let mut places: Vec<usize> = (0..BATCH).map(|part| part * stride + self.index(stride)).collect();
        for last in (1..places.len()).rev() {
            let other = self.index(last + 1);
            places.swap(last, other);
        }
        places
    }

    fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.random(below as u64)).expect("it is below a number of that type")
    }
}

fn moment(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// CPU time that this thread has used, in nanoseconds.
fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let time = Duration::try_from(time).expect("the clock of a thread starts at 0");
    time.as_secs_f64() * 1e9
}
