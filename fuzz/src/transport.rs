//! A handle of ours on one side of a byte stream, a client's or a server's, and on the other a `Connection` of
//! the opposite role that is driven by hand and judges what comes.
//!
//! The stream lies in memory: how much can be read or written, whether a flush gets through, and when
//! everything breaks, is said by the input. Futures of the handle run as tasks and are dropped after some of
//! their polls. There is one thread, and time moves only when the input says so. Nothing depends on the keys
//! and the nonce of a client, which are random as always.

mod greeting;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};

use tidegate::proto::ws::{CloseCode, CloseFrame, Connection, Event, Message as Sent, State};
use tidegate::{Client, CloseCause, CloseOptions, Message, Outcome, SendError, Sender, Ticket};
use tokio::task::JoinHandle;
use tokio::time::Duration;

use self::greeting::Open;
use self::wire::Wire;
use super::input::Input;

/// Most operations of one input.
const MOST_OPERATIONS: usize = 250;

/// So many turns are enough for everything that can happen without further bytes.
const TURNS: usize = 60;

/// What tasks have done, in the order in which they did it.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    /// What was queued, each with its ticket.
    queued: Vec<(Vec<u8>, Ticket)>,
    /// What was received.
    received: Vec<Vec<u8>>,
    /// How often a receiver was told that nothing more comes.
    ends: usize,
}

impl Book {
    fn with<T>(&self, look: impl FnOnce(&mut Pages) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a message that was received.
    fn note(&self, message: Option<Message>) {
        self.with(|pages| match message {
            Some(Message::Text(text)) => {
                assert_eq!(pages.ends, 0, "nothing comes after the end");
                pages.received.push(text.into_bytes());
            }
            Some(Message::Binary(bytes)) => {
                assert_eq!(pages.ends, 0, "nothing comes after the end");
                pages.received.push(bytes);
            }
            None => pages.ends += 1,
            Some(other) => panic!("{other:?}"),
        });
    }
}

/// The far end.
struct Peer {
    connection: Connection,
    sent: Vec<Vec<u8>>,
    received: Vec<Vec<u8>>,
    closed: bool,
    keys: u32,
}

impl Peer {
    fn new(connection: Connection, sent: Vec<Vec<u8>>) -> Self {
        Self { connection, sent, received: Vec::new(), closed: false, keys: 1 }
    }

    fn send(&mut self, bytes: Vec<u8>) {
        let keys = &mut self.keys;
        if self.connection.send_binary(&bytes, || key(keys)).is_ok() {
            self.sent.push(bytes);
        }
    }

    /// Puts up to `n` of the bytes that wait on the wire.
    fn write(&mut self, wire: &Wire, n: usize) -> bool {
        let n = n.min(self.connection.pending());
        wire.put(&self.connection.output()[..n]);
        self.connection.consume(n);
        n > 0
    }

    /// Takes up to `n` bytes off the wire and looks at what they say.
    fn read(&mut self, wire: &Wire, n: usize) -> bool {
        let bytes = wire.take(n);
        self.connection.receive(&bytes);
        let keys = &mut self.keys;
        while let Some(event) = self.connection.poll_event(|| key(keys)).expect("what we send is valid") {
            assert!(!self.closed, "nothing comes after a close");
            match event {
                Event::Message(Sent::Text(text)) => self.received.push(text.into_bytes()),
                Event::Message(Sent::Binary(bytes)) => self.received.push(bytes),
                Event::Close(_) => self.closed = true,
                _ => {}
            }
        }
        !bytes.is_empty()
    }
}

fn key(keys: &mut u32) -> [u8; 4] {
    *keys = keys.wrapping_mul(0x915f_77f5).wrapping_add(0x9e37_79b9);
    keys.to_be_bytes()
}

/// Carries out the operations of `data`.
///
/// # Panics
///
/// If a message is lost, doubled or out of order, if a future hangs, if an outcome or the final word is not
/// what the far end has seen.
pub fn transport(data: &[u8]) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        if let Some(play) = Play::open(data).await {
            play.run().await;
        }
    });
}

/// Lets every task run for a while.
async fn turns(n: usize) {
    for _ in 0..n {
        tokio::task::yield_now().await;
    }
}

/// One input as it is carried out.
struct Play<'a> {
    input: Input<'a>,
    wire: Wire,
    peer: Peer,
    book: Book,
    /// `None` once the handle was dropped.
    client: Option<Client>,
    /// A handle that lasts, for the final word.
    watcher: JoinHandle<tidegate::Closed>,
    tasks: Vec<JoinHandle<()>>,
    /// It was closed from here, ended, or dropped.
    closing: bool,
    /// It never closes of itself: neither when nobody takes what has come, nor when nothing comes.
    is_patient: bool,
    number: usize,
}

impl<'a> Play<'a> {
    /// Opens the connection; `None` if it never was.
    async fn open(data: &'a [u8]) -> Option<Self> {
        let mut input = Input::new(data);
        let wire = Wire::default();
        let Open { client, peer, early, is_patient } = greeting::open(&mut input, &wire).await?;
        let watcher = tokio::spawn(client.closed());
        Some(Self {
            input,
            wire,
            peer: Peer::new(peer, early),
            book: Book::default(),
            client: Some(client),
            watcher,
            tasks: Vec::new(),
            closing: false,
            is_patient,
            number: 0,
        })
    }

    async fn run(mut self) {
        for _ in 0..MOST_OPERATIONS {
            if self.input.is_empty() {
                break;
            }
            self.number += 1;
            self.operate().await;
        }
        self.finish().await;
    }

    async fn operate(&mut self) {
        let operation = self.input.byte();
        match operation & 15 {
            0 => {
                let message = self.message();
                if let Some(client) = &self.client {
                    let bytes = content(&message);
                    match client.try_send(message) {
                        Ok(ticket) => self.book.with(|pages| pages.queued.push((bytes, ticket))),
                        Err(SendError::Full(_)) => {}
                        Err(SendError::Closed(_)) => {
                            assert!(
                                self.closing
                                    || !self.is_patient
                                    || self.peer.connection.state() != State::Open
                                    || self.wire.is_broken()
                            );
                        }
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
            1 => {
                let message = self.message();
                if let Some(sender) = self.sender() {
                    let book = self.book.clone();
                    self.tasks.push(tokio::spawn(async move {
                        let bytes = content(&message);
                        if let Ok(ticket) = sender.send(message).await {
                            book.with(|pages| pages.queued.push((bytes, ticket)));
                        }
                    }));
                }
            }
            2 => {
                let many = self.input.byte();
                if let Some(client) = &self.client {
                    let (receiver, book) = (client.split().1, self.book.clone());
                    self.tasks.push(tokio::spawn(async move {
                        for _ in 0..=many & 7 {
                            book.note(receiver.recv().await);
                        }
                    }));
                }
            }
            3 => {
                if let Some(message) = self.client.as_ref().and_then(|client| client.try_recv().ok()) {
                    self.book.note(Some(message));
                }
            }
            4 => {
                let at = self.input.small();
                self.book.with(|pages| pages.queued.get(at).inspect(|(_, ticket)| ticket.cancel()).is_some());
            }
            // A future is dropped at whatever point it has come to.
            5 => {
                let at = self.input.small();
                if let Some(task) = self.tasks.get(at) {
                    task.abort();
                }
            }
            6 | 7 => turns(self.number % 4 + usize::from(operation >> 4)).await,
            8 => self.wire.let_read(self.input.length()),
            9 => self.wire.let_write(self.input.length()),
            10 => {
                let len = self.input.length();
                let bytes = pattern(self.number, len);
                if operation & 0x10 == 0 {
                    self.peer.send(bytes);
                } else {
                    let keys = &mut self.peer.keys;
                    let _ = self.peer.connection.send_ping(&bytes[..len.min(125)], || key(keys));
                }
            }
            11 => drop(self.peer.write(&self.wire, self.input.length())),
            12 => drop(self.peer.read(&self.wire, self.input.length())),
            13 => {
                let close = CloseFrame::new(CloseCode::new(3_000), "enough").ok();
                let keys = &mut self.peer.keys;
                let _ = self.peer.connection.send_close(close.as_ref(), || key(keys));
            }
            14 => self.close(operation >> 4),
            _ => match operation >> 4 {
                0 => self.wire.end_reading(),
                1 => self.wire.break_reading(),
                2 => self.wire.break_writing(),
                3 | 4 => self.wire.stall_flush(true),
                5 | 6 => self.wire.stall_flush(false),
                7 | 8 => tokio::time::advance(Duration::from_millis(self.input.byte().into())).await,
                9 => tokio::time::advance(Duration::from_secs(11)).await,
                10 => {
                    self.closing = true;
                    self.client = None;
                }
                _ => {}
            },
        }
    }

    fn close(&mut self, how: u8) {
        let Some(client) = &self.client else { return };
        self.closing = true;
        match how & 3 {
            0 => drop(client.close(4_000, "over")),
            1 => drop(client.close_with(CloseOptions::default().code(4_001).drop_queued())),
            2 => drop(client.close_with(CloseOptions::default().code(4_002).within(None))),
            _ => drop(client.end(Some(Duration::from_millis(100)))),
        }
    }

    fn sender(&self) -> Option<Sender> {
        self.client.as_ref().map(|client| client.split().0)
    }

    fn message(&mut self) -> Message {
        let bytes = pattern(self.number, self.input.length());
        if self.number.is_multiple_of(2) {
            return bytes.into();
        }
        // Characters of one and of two bytes.
        bytes.into_iter().map(char::from).collect::<String>().into()
    }

    /// Lets everything through, closes if nobody has, and compares the books.
    async fn finish(mut self) {
        let was_broken = self.wire.is_broken();
        self.wire.let_read(usize::MAX);
        self.wire.let_write(usize::MAX);
        self.wire.stall_flush(false);
        self.settle().await;
        let was_closed = self.watcher.is_finished();
        if !(self.closing || was_closed || self.client.is_none()) {
            // Nobody has closed: all that was sent has arrived, in both directions.
            let mut left = 0;
            loop {
                let before = left;
                while let Some(Ok(message)) = self.client.as_ref().map(Client::try_recv) {
                    self.book.note(Some(message));
                    left += 1;
                }
                if left == before {
                    break;
                }
                // While the queue was full nothing was read.
                self.settle().await;
            }
            let readers = self.tasks.iter().any(|task| !task.is_finished());
            assert!(left == 0 || !readers || self.is_any_sending(), "a reader was not woken");
            if self.peer.connection.state() == State::Open && !was_broken {
                let received = self.book.with(|pages| pages.received.clone());
                assert!(received == self.peer.sent, "all that the peer has sent was received");
                let state = self.client.as_ref().map(Client::ready_state);
                assert_eq!(state, Some(tidegate::ReadyState::Open));
            }
            self.close(0);
            self.settle().await;
        }
        drop(self.client.take());
        for task in &self.tasks {
            // Whoever still sends or receives holds a handle.
            if !task.is_finished() {
                task.abort();
            }
        }
        self.settle().await;
        if !self.watcher.is_finished() {
            // Whoever ended only waits for the peer; and a deadline is only kept when its time comes.
            tokio::time::advance(Duration::from_secs(11)).await;
            self.settle().await;
        }
        assert!(self.watcher.is_finished(), "the final word does not come");
        let closed = self.watcher.await.expect("it does not panic");
        let (queued, received) = self.book.with(|pages| {
            let queued = core::mem::take(&mut pages.queued);
            (queued, core::mem::take(&mut pages.received))
        });
        assert!(self.peer.sent.starts_with(&received), "what is received was sent, in order");

        let outcomes: Vec<_> =
            queued.iter().map(|(_, ticket)| ticket.outcome().expect("it is known")).collect();
        let given = queued.iter().zip(&outcomes).filter(|(_, outcome)| match outcome {
            Outcome::HandedOver | Outcome::Unknown => true,
            Outcome::Cancelled | Outcome::Unsent => false,
            other => panic!("{other:?}"),
        });
        let given: Vec<&[u8]> = given.map(|((bytes, _), _)| bytes.as_slice()).collect();
        let arrived = &self.peer.received;
        assert!(arrived.len() <= given.len(), "{} of {}", arrived.len(), given.len());
        assert!(arrived.iter().zip(&given).all(|(arrived, given)| arrived == given), "in order");
        let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count() as u64;
        assert_eq!(closed.unsent.messages, count(Outcome::Unsent));
        if closed.cause == CloseCause::Local {
            // Confirmed by a peer that had read everything before.
            assert_eq!((closed.was_clean, arrived.len()), (true, given.len()), "{closed:?}");
            assert_eq!(closed.unknown.messages, 0);
        }
        if !was_broken {
            assert_ne!(closed.cause, CloseCause::ConnectTimeout);
        }
    }

    /// Whether some task may be waiting for room and not for a message.
    fn is_any_sending(&self) -> bool {
        self.tasks.len() > 1
    }

    /// Moves bytes and lets tasks run until nothing happens any more.
    async fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 2 {
            turns(TURNS).await;
            let mut moved = self.peer.write(&self.wire, usize::MAX);
            moved |= self.peer.read(&self.wire, usize::MAX);
            if self.wire.is_shut() || self.peer.connection.should_end_transport() {
                // The transport has ended its direction, or it is for a server to do so.
                self.wire.end_reading();
            }
            quiet = if moved { 0 } else { quiet + 1 };
        }
    }
}

fn content(message: &Message) -> Vec<u8> {
    match message {
        Message::Text(text) => text.clone().into_bytes(),
        Message::Binary(bytes) => bytes.clone(),
        other => panic!("{other:?}"),
    }
}

/// Bytes that tell one message of an input from all others, but for the shortest.
fn pattern(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(number % 256).unwrap_or_default(); len];
    for (at, byte) in bytes.iter_mut().enumerate().skip(1).step_by(97) {
        *byte = u8::try_from(at / 97 % 256).unwrap_or_default();
    }
    bytes
}
