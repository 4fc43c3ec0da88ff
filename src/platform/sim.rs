//! Virtual time, and the tasks that live in it. Everything is deterministic: tasks run in the
//! order in which they were woken, alarms in the order of their moments.

use core::cell::{Cell, RefCell};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use super::PollTimer;
use crate::time::{Alarm, Clock, Timestamp};

/// Virtual time. It stands still while any task can run, then jumps to the next alarm.
#[derive(Debug, Default)]
pub(crate) struct World {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    now: Timestamp,
    next: u64,
    alarms: BTreeMap<(Timestamp, u64), Waker>,
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jumps to the next alarm and calls it. False if there is none.
    fn advance(&self) -> bool {
        let waker = {
            let mut state = self.lock();
            let Some(((due, _), waker)) = state.alarms.pop_first() else { return false };
            state.now = state.now.max(due);
            waker
        };
        waker.wake();
        true
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.lock().now
    }
}

impl Clock for Arc<World> {
    fn now(&self) -> Timestamp {
        self.as_ref().now()
    }
}

impl Alarm for World {
    fn wake_at(&self, due: Timestamp, waker: &Waker) {
        let mut state = self.lock();
        state.next += 1;
        let key = (due, state.next);
        state.alarms.insert(key, waker.clone());
    }
}

/// A timer in virtual time.
pub(crate) struct WorldTimer {
    world: Arc<World>,
    set: Option<Timestamp>,
}

impl WorldTimer {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, set: None }
    }
}

impl PollTimer for WorldTimer {
    fn poll_due(&mut self, due: Option<Timestamp>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(moment) = due else { return Poll::Pending };
        if moment <= self.world.now() {
            self.set = None;
            return Poll::Ready(());
        }
        // One alarm for each moment: a task is polled much more often than its timer changes.
        if self.set != due {
            self.set = due;
            self.world.wake_at(moment, cx.waker());
        }
        Poll::Pending
    }

    /// Tasks here are run in the order in which they were woken.
    fn wake_behind_others(&mut self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

enum Place {
    Free,
    /// Taken out while it runs.
    Running,
    Waiting(Task),
}

/// Runs tasks on the calling thread, in virtual time.
#[derive(Clone, Default)]
pub(crate) struct Executor {
    world: Arc<World>,
    tasks: Rc<RefCell<Vec<Place>>>,
    ready: Arc<Mutex<VecDeque<usize>>>,
    running: Rc<Cell<bool>>,
}

struct TaskWaker {
    task: usize,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&self.task) {
            ready.push_back(self.task);
        }
    }
}

/// How often tasks may run while time stands still. A million messages at one moment take some 10 million turns.
const MOST_TURNS: u64 = 1 << 27;

/// The number of the future that `block_on` waits for; no task has it.
const MAIN: usize = usize::MAX;

impl Executor {
    pub(crate) fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Starts a task. It runs while [`block_on`](Self::block_on) does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let at = tasks.iter().position(|place| matches!(place, Place::Free)).unwrap_or(tasks.len());
        let task = Place::Waiting(Box::pin(task));
        match tasks.get_mut(at) {
            Some(place) => *place = task,
            None => tasks.push(task),
        }
        drop(tasks);
        self.waker(at).wake();
    }

    /// Whether tasks are run: inside [`block_on`](Self::block_on).
    pub(crate) fn is_running(&self) -> bool {
        self.running.get()
    }

    /// Runs until `future` is done.
    ///
    /// # Panics
    ///
    /// If nothing can ever happen any more, if tasks keep each other awake without end while time stands still, or
    /// if called from inside a task.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        assert!(!self.running.replace(true), "block_on was called inside a task of the same simulation");
        let mut future = pin!(future);
        self.waker(MAIN).wake();
        let mut turns = 0;
        let result = loop {
            turns += 1;
            assert!(
                turns < MOST_TURNS,
                "the simulation spins: time stands still, and tasks go on waking each other"
            );
            let next = self.ready.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match next {
                Some(MAIN) => {
                    let waker = self.waker(MAIN);
                    if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                        break result;
                    }
                }
                Some(task) => self.run(task),
                None => {
                    turns = 0;
                    assert!(
                        self.world.advance(),
                        "the simulation has come to a standstill: nothing can wake any task"
                    );
                }
            }
        };
        self.running.set(false);
        result
    }

    fn run(&self, at: usize) {
        // Taken out while it runs, since it may spawn; its place stays its own.
        let place =
            self.tasks.borrow_mut().get_mut(at).map(|place| core::mem::replace(place, Place::Running));
        let after = match place {
            Some(Place::Waiting(mut task)) => {
                let waker = self.waker(at);
                let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
                if polled.is_pending() { Place::Waiting(task) } else { Place::Free }
            }
            // Woken after it was done.
            Some(other) => other,
            None => return,
        };
        if let Some(place) = self.tasks.borrow_mut().get_mut(at) {
            *place = after;
        }
    }

    fn waker(&self, task: usize) -> Waker {
        Waker::from(Arc::new(TaskWaker { task, ready: self.ready.clone() }))
    }
}
