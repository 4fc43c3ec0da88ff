//! One direction of a simulated connection, and what crosses it.

use core::task::Waker;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Wake;

use super::browser::{Browser, BrowserConfig};
use super::line::Line;
use super::link::{Link, NEVER};
use super::path::Reading;
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
    this: Weak<Self>,
}

#[derive(Debug)]
struct PipeState {
    way: Way,
    items: VecDeque<(Due, Item)>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    cut: bool,
    /// When the pipe is looked at for the reader's sake.
    alarm: Option<Timestamp>,
}

/// How items get across.
#[derive(Debug)]
enum Way {
    Line(Line),
    Browser(Box<Browser>),
}

/// When an item has arrived.
#[derive(Clone, Copy, Debug)]
enum Due {
    At(Timestamp),
    /// When the browser's peer has everything before this mark.
    Mark(u64),
}

/// What a simulated browser shows of what was sent, and what it does not show; see
/// [`Peer::client_amounts`](crate::sim::Peer::client_amounts). All in bytes of payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Amounts {
    /// What `bufferedAmount` shows to the page's present task, or would if the engine had one.
    pub buffered: u64,
    /// Sent, in all.
    pub sent: u64,
    /// Arrived, in all; it need not have been read.
    pub arrived: u64,
    /// Under way and out of the page's view: below the point to which `bufferedAmount` counts.
    pub hidden: u64,
    /// The most that was hidden at any moment.
    pub largest_hidden: u64,
    /// The largest `bufferedAmount` that the page could see.
    pub largest_buffered: u64,
}

impl<W: Alarm + Send + Sync + ?Sized + 'static> Pipe<W> {
    /// A link whose writer waits while there is no room.
    pub(crate) fn new(link: Link, seed: u64, world: Arc<W>) -> Arc<Self> {
        let way = Way::Line(Line::new(world.now(), link, Random::new(seed)));
        Self::over(way, world)
    }

    /// A browser at the writing end, which takes everything; the reader's end is read as it is asked.
    pub(crate) fn from_browser(config: BrowserConfig, world: Arc<W>) -> Arc<Self> {
        let config = BrowserConfig { reading: Reading::WhenAsked, ..config };
        let browser = Browser::new(world.now(), config);
        Self::over(Way::Browser(Box::new(browser)), world)
    }

    fn over(way: Way, world: Arc<W>) -> Arc<Self> {
        let items = VecDeque::new();
        let state = PipeState { way, items, reader: None, writer: None, cut: false, alarm: None };
        Arc::new_cyclic(|this| Self { state: Mutex::new(state), world, this: this.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item on its way, behind all that is there. After a cut nothing is taken.
    pub(crate) fn write(&self, item: Item) {
        let reader = {
            let mut state = self.lock();
            if state.cut {
                return;
            }
            state.cut = item == Item::Cut;
            let now = self.world.now();
            let due = match &mut state.way {
                Way::Line(line) => Due::At(line.send(now, item.bytes())),
                Way::Browser(browser) => {
                    browser.new_task(now);
                    Due::Mark(match item {
                        Item::Part { .. } | Item::Accept { .. } => browser.send(now, item.bytes()),
                        Item::Close { .. } | Item::Cut => browser.close(now),
                    })
                }
            };
            state.items.push_back((due, item));
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Whether the writer may write. If not, `waker` is called when it may.
    pub(crate) fn has_room(&self, waker: Option<&Waker>) -> bool {
        let mut state = self.lock();
        let room = match &state.way {
            Way::Line(line) => line.has_room() || state.cut,
            Way::Browser(_) => true,
        };
        if let (false, Some(waker)) = (room, waker) {
            state.writer = Some(waker.clone());
        }
        room
    }

    /// Whether a browser writes, which takes everything at once.
    pub(crate) fn is_browser(&self) -> bool {
        matches!(self.lock().way, Way::Browser(_))
    }

    /// `bufferedAmount` of the browser that writes; `None` if there is no browser, or it has none.
    pub(crate) fn buffered_amount(&self) -> Option<u64> {
        let now = self.world.now();
        let mut state = self.lock();
        let Way::Browser(browser) = &mut state.way else { return None };
        // A task takes no virtual time, and news takes some: what a task sees is what was known when it
        // began, however often it asks.
        browser.new_task(now);
        browser.buffered_amount()
    }

    /// What the browser that writes holds; `None` if there is no browser.
    pub(crate) fn amounts(&self) -> Option<Amounts> {
        let now = self.world.now();
        let mut state = self.lock();
        let Way::Browser(browser) = &mut state.way else { return None };
        browser.advance(now);
        Some(Amounts {
            buffered: browser.visible_bytes(),
            sent: browser.sent_bytes(),
            arrived: browser.arrived_bytes(),
            hidden: browser.hidden_bytes(),
            largest_hidden: browser.largest_hidden_bytes(),
            largest_buffered: browser.largest_amount(),
        })
    }

    /// Takes the next item that has arrived. If none has, `waker` is called when one does, or perhaps
    /// before.
    pub(crate) fn read(&self, waker: &Waker) -> Option<Item> {
        let (item, writer) = {
            let mut state = self.lock();
            let now = self.world.now();
            let PipeState { way, items, reader, .. } = &mut *state;
            match (way, items.front()) {
                (Way::Browser(browser), Some((Due::Mark(mark), _))) => {
                    browser.read(now, *mark);
                    // Nobody asks here what became of each message.
                    while browser.poll_passage().is_some() {}
                    if browser.arrived_mark() < *mark {
                        *reader = Some(waker.clone());
                        self.set_alarm(&mut state);
                        return None;
                    }
                }
                (Way::Line(line), Some((Due::At(arrival), item))) => {
                    if *arrival > now {
                        *reader = Some(waker.clone());
                        self.set_alarm(&mut state);
                        return None;
                    }
                    line.read(item.bytes());
                }
                // An item of the other way is none that this pipe has made.
                (_, Some(_) | None) => {
                    *reader = Some(waker.clone());
                    return None;
                }
            }
            let (_, item) = state.items.pop_front()?;
            (item, state.writer.take())
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        Some(item)
    }

    /// Has the pipe looked at when something happens in it. One alarm is kept, the earliest: tasks are woken much
    /// more often than anything arrives.
    fn set_alarm(&self, state: &mut PipeState) {
        let next = match (&state.way, state.items.front()) {
            (Way::Browser(browser), _) => browser.next_event(),
            // On a link that stands still for ever nothing more happens.
            (Way::Line(_), Some((Due::At(arrival), _))) => Some(*arrival).filter(|arrival| *arrival < NEVER),
            (Way::Line(_), _) => None,
        };
        if let Some(next) = next
            && state.alarm.is_none_or(|alarm| next < alarm)
        {
            state.alarm = Some(next);
            self.world.wake_at(next, &Waker::from(Arc::new(Look(self.this.clone()))));
        }
    }

    fn look(&self) {
        let reader = {
            let mut state = self.lock();
            let now = self.world.now();
            // An alarm that an earlier one has replaced.
            if state.alarm.take_if(|alarm| *alarm <= now).is_none() {
                return;
            }
            if let Way::Browser(browser) = &mut state.way {
                let before = browser.arrived_mark();
                browser.advance(now);
                if browser.arrived_mark() == before {
                    self.set_alarm(&mut state);
                    return;
                }
            }
            // The reader decides whether it reads on.
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Looks at a pipe when its alarm comes.
struct Look<W: ?Sized>(Weak<Pipe<W>>);

impl<W: Alarm + Send + Sync + ?Sized + 'static> Wake for Look<W> {
    fn wake(self: Arc<Self>) {
        if let Some(pipe) = self.0.upgrade() {
            pipe.look();
        }
    }
}
