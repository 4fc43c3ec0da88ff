//! One direction of a simulated connection, and what crosses it.

use core::task::Waker;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::link::{Link, NEVER};
use super::random::Random;
use crate::time::{Alarm, Timestamp};

/// What crosses a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// The server has accepted.
    Accept { protocol: String },
    /// A message, or a part of one.
    Part { text: bool, first: bool, last: bool, bytes: Vec<u8> },
    /// A close frame.
    Close { code: Option<u16>, reason: String },
    /// The connection is gone without a word.
    Cut,
}

impl Item {
    fn bytes(&self) -> u64 {
        match self {
            Self::Part { bytes, .. } => bytes.len() as u64,
            _ => 0,
        }
    }
}

/// One direction: written at one end, read at the other.
#[derive(Debug)]
pub(crate) struct Pipe<W: ?Sized> {
    state: Mutex<PipeState>,
    world: Arc<W>,
}

#[derive(Debug)]
struct PipeState {
    link: Link,
    items: VecDeque<(Timestamp, Item)>,
    /// When the link has sent everything it was given.
    free_at: Timestamp,
    last_arrival: Timestamp,
    random: Random,
    unread_bytes: u64,
    reader: Option<Waker>,
    writer: Option<Waker>,
    cut: bool,
}

impl<W: Alarm + ?Sized> Pipe<W> {
    pub(crate) fn new(link: Link, world: Arc<W>) -> Arc<Self> {
        let free_at = world.now();
        let state = PipeState {
            link,
            items: VecDeque::new(),
            free_at,
            last_arrival: free_at,
            random: Random::new(0),
            unread_bytes: 0,
            reader: None,
            writer: None,
            cut: false,
        };
        Arc::new(Self { state: Mutex::new(state), world })
    }

    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item on the link, behind all that is there. After a cut nothing is taken.
    pub(crate) fn write(&self, item: Item) {
        let reader = {
            let mut state = self.lock();
            if state.cut {
                return;
            }
            state.cut = item == Item::Cut;
            let bytes = item.bytes();
            let PipeState { link, random, free_at, last_arrival, .. } = &mut *state;
            *free_at = link.sent_at(self.world.now().max(*free_at), bytes);
            // Never before what went ahead, however the jitter falls.
            *last_arrival = link.arrives_at(*free_at, random).max(*last_arrival);
            let arrival = *last_arrival;
            state.unread_bytes += bytes;
            state.items.push_back((arrival, item));
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether the writer may write. If not, `waker` is called when it may.
    pub(crate) fn has_room(&self, waker: Option<&Waker>) -> bool {
        let mut state = self.lock();
        let room = state.unread_bytes < state.link.buffer_bytes.max(1) || state.cut;
        if let (false, Some(waker)) = (room, waker) {
            state.writer = Some(waker.clone());
        }
        room
    }

    /// Takes the next item that has arrived. If none has, `waker` is called when one does.
    pub(crate) fn read(&self, waker: &Waker) -> Option<Item> {
        let (item, writer) = {
            let mut state = self.lock();
            match state.items.front() {
                Some((arrival, _)) if *arrival <= self.world.now() => {}
                // On a link that stands still for ever nothing more happens.
                Some((arrival, _)) if *arrival == NEVER => return None,
                Some((arrival, _)) => {
                    self.world.wake_at(*arrival, waker);
                    return None;
                }
                None => {
                    state.reader = Some(waker.clone());
                    return None;
                }
            }
            let (_, item) = state.items.pop_front()?;
            state.unread_bytes -= item.bytes();
            (item, state.writer.take())
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        Some(item)
    }
}
