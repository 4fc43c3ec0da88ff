//! The queue of messages that the application has not taken yet, bounded.

use alloc::collections::VecDeque;

/// What becomes of a message for which the receive queue has no room.
///
/// Whatever the choice, a drop leaves at least one message in the queue, so that a reader that was woken finds
/// one, and the order of those that are left is the order of their arrival. Each drop is counted, in
/// `Client::dropped` and in the end in [`Closed::dropped`](super::Closed::dropped).
///
/// It is for browsers, whose `WebSocket` cannot be made to push back, and for the simulator, which behaves as
/// they do. On the host, and over a browser's `WebSocketStream`, there is no such message: see [`RecvLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecvPolicy {
    /// It ends the connection: nothing more is received, and what waits can still be taken. The default, with
    /// 4009, after 1009 (message too big), which a browser may not send.
    Close {
        /// Close code that tells the peer of the overflow: 1000 or 3000 to 4999.
        code: u16,
    },
    /// Those that have waited longest are dropped until it fits, all of them if it is larger than the queue:
    /// for readers that want what is newest, such as prices. With a bound of one message, the last one.
    DropOldest,
    /// It is dropped itself, and what waits stays: for readers that want what came first without a gap.
    DropNewest,
}

impl Default for RecvPolicy {
    /// Closes with 4009.
    fn default() -> Self {
        Self::Close { code: 4009 }
    }
}

/// How much may wait for the application, and what becomes of what does not fit.
///
/// On the host, and over a browser's `WebSocketStream`, the connection waits for its reader instead: nothing more is
/// read from the stream while half of a bound is taken, so that the peer has to wait as well, and no policy comes into
/// play. Its close waits with it, and on the host so do its pings.
///
/// # Examples
///
/// ```
/// # use tidegate::proto::{RecvLimits, RecvPolicy};
/// let limits = RecvLimits::default().max_queued_bytes(8 << 20).policy(RecvPolicy::DropOldest);
/// assert_eq!(limits.max_queued_messages, 65_536);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecvLimits {
    /// Largest sum of the sizes of waiting messages, in bytes (UTF-8 for text). Default 64 MiB.
    ///
    /// A single larger message is taken when the queue is empty, so that 0 keeps one message with content.
    pub max_queued_bytes: u64,
    /// Largest number of waiting messages, among which an error item is one of 0 bytes. Default 65,536. At least
    /// 1 is always allowed, so that 0 is as 1.
    pub max_queued_messages: u32,
    /// What becomes of a message for which there is no room. Default: the connection closes with 4009.
    pub policy: RecvPolicy,
}

impl Default for RecvLimits {
    /// 64 MiB, 65,536 messages, closing with 4009.
    fn default() -> Self {
        Self { max_queued_bytes: 64 << 20, max_queued_messages: 65_536, policy: RecvPolicy::default() }
    }
}

impl RecvLimits {
    /// These with another bound in bytes.
    #[must_use]
    pub fn max_queued_bytes(self, max_queued_bytes: u64) -> Self {
        Self { max_queued_bytes, ..self }
    }

    /// These with another bound in messages.
    #[must_use]
    pub fn max_queued_messages(self, max_queued_messages: u32) -> Self {
        Self { max_queued_messages, ..self }
    }

    /// These with another policy.
    #[must_use]
    pub fn policy(self, policy: RecvPolicy) -> Self {
        Self { policy, ..self }
    }
}

/// What a queue answers when it is asked for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit<M> {
    /// There is room.
    Free,
    /// This message, of so many bytes, has been dropped for it. To be asked again.
    Dropped(M, u64),
    /// There is none: the message that room was asked for is dropped.
    None,
    /// There is none, and the connection is to be closed with this code.
    Close(u16),
}

/// Messages waiting for the application, in the order of their arrival.
///
/// Invariant: `bytes` is the sum of the sizes in `items`, modulo 2^64: a size is a claim of the host, and without
/// a bound two that no memory holds may be among them.
#[derive(Debug)]
pub struct RecvQueue<M> {
    items: VecDeque<(M, u64)>,
    bytes: u64,
    limits: RecvLimits,
}

impl<M> RecvQueue<M> {
    /// An empty queue with the given bounds.
    #[must_use]
    pub fn new(limits: RecvLimits) -> Self {
        Self { items: VecDeque::new(), bytes: 0, limits }
    }

    /// Makes room for a message of `bytes` bytes, as the policy has it. To be asked before each
    /// [`push`](Self::push) until the answer is another than [`Fit::Dropped`], unless the peer can be made to
    /// wait.
    ///
    /// Whoever is told of a drop counts it, and releases what the message stands for.
    pub fn poll_fit(&mut self, bytes: u64) -> Fit<M> {
        let RecvLimits { max_queued_bytes, max_queued_messages, policy } = self.limits;
        let fits = self.items.len() < max_queued_messages as usize
            && self.bytes.saturating_add(bytes) <= max_queued_bytes;
        if fits || self.items.is_empty() {
            return Fit::Free;
        }
        match policy {
            RecvPolicy::Close { code } => Fit::Close(code),
            RecvPolicy::DropNewest => Fit::None,
            RecvPolicy::DropOldest => match self.take() {
                Some((oldest, bytes)) => Fit::Dropped(oldest, bytes),
                None => Fit::Free,
            },
        }
    }

    /// Appends a message of `bytes` bytes, whatever the bounds say.
    pub fn push(&mut self, message: M, bytes: u64) {
        self.bytes = self.bytes.wrapping_add(bytes);
        self.items.push_back((message, bytes));
    }

    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<M> {
        self.take().map(|(message, _)| message)
    }

    fn take(&mut self) -> Option<(M, u64)> {
        let oldest = self.items.pop_front()?;
        self.bytes = self.bytes.wrapping_sub(oldest.1);
        Some(oldest)
    }

    /// How many messages wait, and the sum of their sizes in bytes.
    #[must_use]
    pub fn queued(&self) -> (u64, u64) {
        (self.items.len() as u64, self.bytes)
    }

    /// Whether something waits, and the `part`th part of either bound is taken.
    #[must_use]
    pub fn is_filled_by(&self, part: u32) -> bool {
        let part = part.max(1);
        !self.items.is_empty()
            && (self.bytes >= self.limits.max_queued_bytes / u64::from(part)
                || self.items.len() >= (self.limits.max_queued_messages / part) as usize)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSE: RecvPolicy = RecvPolicy::Close { code: 4123 };
    const POLICIES: [RecvPolicy; 3] = [CLOSE, RecvPolicy::DropOldest, RecvPolicy::DropNewest];

    fn queue<M>(bytes: u64, messages: u32, policy: RecvPolicy) -> RecvQueue<M> {
        let limits = RecvLimits::default().max_queued_bytes(bytes).max_queued_messages(messages);
        RecvQueue::new(limits.policy(policy))
    }

    /// Asks for room for a message and pushes it if there is; gives the other answers.
    fn offer<M>(queue: &mut RecvQueue<M>, message: M, bytes: u64) -> Vec<Fit<M>> {
        let mut answers = Vec::new();
        loop {
            match queue.poll_fit(bytes) {
                Fit::Free => {
                    queue.push(message, bytes);
                    return answers;
                }
                answer @ Fit::Dropped(..) => answers.push(answer),
                answer => {
                    answers.push(answer);
                    return answers;
                }
            }
        }
    }

    fn rest<M>(mut queue: RecvQueue<M>) -> Vec<M> {
        let rest = core::iter::from_fn(|| queue.pop()).collect();
        assert_eq!((queue.bytes, queue.is_empty()), (0, true));
        rest
    }

    /// What a queue of 10 bytes and 2 messages answers for messages of these sizes, and what is left at the end.
    fn run(policy: RecvPolicy, sizes: &[u64]) -> (Vec<Vec<Fit<usize>>>, Vec<usize>) {
        let mut queue = queue(10, 2, policy);
        let answers = sizes.iter().enumerate().map(|(n, bytes)| offer(&mut queue, n, *bytes)).collect();
        (answers, rest(queue))
    }

    #[test]
    fn b16_a_message_that_does_not_fit_closes_with_the_code() {
        let close = || vec![Fit::Close(4123)];
        // By bytes, by messages, behind a large one.
        assert_eq!(run(CLOSE, &[5, 6, 5]), (vec![vec![], close(), vec![]], vec![0, 2]));
        assert_eq!(run(CLOSE, &[5, 5, 0]), (vec![vec![], vec![], close()], vec![0, 1]));
        assert_eq!(run(CLOSE, &[100, 0]), (vec![vec![], close()], vec![0]));
    }

    #[test]
    fn b16_the_oldest_make_room_until_the_newest_fits() {
        let dropped = |n, bytes| Fit::Dropped(n, bytes);
        let oldest = |sizes: &[u64]| run(RecvPolicy::DropOldest, sizes);
        assert_eq!(oldest(&[5, 6, 4]), (vec![vec![], vec![dropped(0, 5)], vec![]], vec![1, 2]));
        assert_eq!(oldest(&[5, 5, 0]), (vec![vec![], vec![], vec![dropped(0, 5)]], vec![1, 2]));
        // Those without content go with the others, in their turn.
        assert_eq!(oldest(&[0, 9, 1]).0[2], [dropped(0, 0)]);
        assert_eq!(oldest(&[0, 9, 11]).0[2], [dropped(0, 0), dropped(1, 9)]);
        // One larger than the queue displaces everything, and is displaced by whatever comes.
        let (answers, left) = oldest(&[1, 1, 100, 1]);
        assert_eq!(answers[2..], [vec![dropped(0, 1), dropped(1, 1)], vec![dropped(2, 100)]]);
        assert_eq!(left, [3]);
    }

    #[test]
    fn b16_the_newest_is_dropped_and_what_waits_stays() {
        let none = || vec![Fit::None];
        let newest = |sizes: &[u64]| run(RecvPolicy::DropNewest, sizes);
        assert_eq!(newest(&[5, 6, 5, 0]), (vec![vec![], none(), vec![], none()], vec![0, 2]));
        assert_eq!(newest(&[100, 0]), (vec![vec![], none()], vec![0]));
        assert_eq!(newest(&[1, 100, 1]), (vec![vec![], none(), vec![]], vec![0, 2]));
    }

    #[test]
    fn b16_bounds_of_zero_keep_one_message() {
        for (bytes, messages) in [(0, 0), (0, 9), (9, 0), (9, 1)] {
            for policy in POLICIES {
                let mut queue = queue(bytes, messages, policy);
                assert_eq!(offer(&mut queue, 0, 5), []);
                assert_eq!(offer(&mut queue, 1, 5).len(), 1);
                assert_eq!(rest(queue), [u8::from(policy == RecvPolicy::DropOldest)]);
            }
        }
        // Without content any number of them takes no bytes.
        let mut queue = queue(0, 9, CLOSE);
        assert!((0..9).all(|n| offer(&mut queue, n, 0).is_empty()));
        assert_eq!(offer(&mut queue, 9, 0), [Fit::Close(4123)]);
    }

    #[test]
    fn b41_sizes_that_no_memory_holds_do_not_wrap() {
        let mut bounded = queue(1 << 20, 9, CLOSE);
        assert_eq!(offer(&mut bounded, "huge", u64::MAX), []);
        assert_eq!(offer(&mut bounded, "small", 1), [Fit::Close(4123)]);
        // Without a bound nothing is too much.
        let mut unbounded = queue(u64::MAX, u32::MAX, RecvPolicy::DropOldest);
        assert_eq!([offer(&mut unbounded, 0, u64::MAX), offer(&mut unbounded, 1, u64::MAX)], [[], []]);
        assert_eq!(rest(unbounded), [0, 1]);
    }

    /// For many sequences: nothing goes but what is told, nothing goes without need, and the order stays.
    #[test]
    fn b16_what_is_left_and_what_is_told_are_all_there_was() {
        let mut state = 16_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..600 {
            let policy = POLICIES[round % 3];
            let (bytes, messages) = (random(30), random(6));
            let mut queue = queue(bytes, u32::try_from(messages).unwrap(), policy);
            let mut waiting: VecDeque<(u64, u64)> = VecDeque::new();
            for n in 0..50 {
                if random(3) == 0 {
                    assert_eq!(queue.pop(), waiting.pop_front().map(|item| item.0));
                    continue;
                }
                let (size, mut expected) = (random(12), Vec::new());
                loop {
                    let taken: u64 = waiting.iter().map(|item| item.1).sum();
                    let fits = (waiting.len() as u64) < messages && taken + size <= bytes;
                    let Some(oldest) = waiting.front().filter(|_| !fits) else {
                        waiting.push_back((n, size));
                        break;
                    };
                    match policy {
                        RecvPolicy::DropOldest => expected.push(Fit::Dropped(oldest.0, oldest.1)),
                        RecvPolicy::DropNewest => expected.push(Fit::None),
                        RecvPolicy::Close { code } => expected.push(Fit::Close(code)),
                    }
                    if policy != RecvPolicy::DropOldest {
                        break;
                    }
                    waiting.pop_front();
                }
                assert_eq!(offer(&mut queue, n, size), expected);
                // A reader that was woken finds something.
                assert!(!queue.is_empty());
            }
            assert_eq!(rest(queue), waiting.into_iter().map(|item| item.0).collect::<Vec<_>>());
        }
    }
}
