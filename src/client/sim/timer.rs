//! The timer of a driver in a simulated page: `setTimeout`, with all that a page does to it.

use core::cell::RefCell;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::platform::PollTimer;
use crate::platform::sim::World;
use crate::time::{Alarm as _, Clock as _, Timestamp};
use crate::transport::sim::page::{Page, PageConfig, Timeout};

/// A task of a page that its driver has asked for.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageTask {
    /// A timer has fired.
    Timer,
    /// A timer has fired, and what it was for has been done by the time at which this is told.
    Overtaken,
    /// A message to itself has come.
    Hop,
}

type Watch = Rc<dyn Fn(PageTask)>;

/// The pages of a network, for what befalls all of them.
#[derive(Default)]
pub(super) struct Pages {
    hidden: bool,
    tabs: Vec<Weak<RefCell<Tab>>>,
    watch: Option<Watch>,
}

/// A page, and who waits for its timer.
struct Tab {
    page: Page,
    waiting: Option<Waker>,
}

impl Pages {
    /// The timer of a new page, which is as visible as the others.
    pub(super) fn timer(&mut self, world: Arc<World>, config: PageConfig) -> PageTimer {
        let mut page = Page::new(config);
        page.set_hidden(world.now(), self.hidden);
        let tab = Rc::new(RefCell::new(Tab { page, waiting: None }));
        self.tabs.retain(|tab| tab.strong_count() > 0);
        self.tabs.push(Rc::downgrade(&tab));
        PageTimer { world, tab, watch: self.watch.clone(), set: None, hop: None, fired: None, alarm: None }
    }

    /// Has `watch` called at the beginning of each task that a driver of a new page has asked for.
    pub(super) fn watch(&mut self, watch: impl Fn(PageTask) + 'static) {
        self.watch = Some(Rc::new(watch));
    }

    /// Hides or shows all pages. Returns whom to wake: timers of a page that is seen again are due earlier.
    pub(super) fn set_hidden(&mut self, now: Timestamp, hidden: bool) -> Vec<Waker> {
        self.hidden = hidden;
        let tabs = self.tabs.iter().filter_map(Weak::upgrade);
        let wakers = tabs.filter_map(|tab| {
            let mut tab = tab.borrow_mut();
            tab.page.set_hidden(now, hidden);
            tab.waiting.take()
        });
        wakers.collect()
    }
}

/// What a message to oneself takes until the next task (5 to 20 µs were measured).
const HOP: Duration = Duration::from_micros(20);

/// See the module's page.
pub(super) struct PageTimer {
    world: Arc<World>,
    tab: Rc<RefCell<Tab>>,
    watch: Option<Watch>,
    /// What it waits for, and the timer that was set for it.
    set: Option<(Timestamp, Timeout)>,
    /// When the next task begins into which it hops, and for the sake of which moment.
    hop: Option<(Timestamp, Timestamp)>,
    /// The timer that fired last, and when: what is set at the same moment is set by its callback.
    fired: Option<(Timestamp, Timeout)>,
    /// When it has itself polled.
    alarm: Option<Timestamp>,
}

impl PageTimer {
    fn tell(&self, task: PageTask) {
        if let Some(watch) = &self.watch {
            watch(task);
        }
    }
}

impl PollTimer for PageTimer {
    const IS_EXACT: bool = false;

    fn poll_due(&mut self, due: Option<Timestamp>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due else {
            self.set = None;
            return Poll::Pending;
        };
        let now = self.world.now();
        let has_fired =
            |set: &mut (Timestamp, Timeout)| set.0 != due && self.tab.borrow().page.fires_at(&set.1) <= now;
        if self.set.take_if(has_fired).is_some() {
            self.tell(PageTask::Overtaken);
        }
        if let Some((_, at)) = self.hop.filter(|hop| hop.0 == due) {
            if at <= now {
                self.hop = None;
                self.tell(PageTask::Hop);
                return Poll::Ready(());
            }
            return Poll::Pending;
        }
        if due <= now && self.set.is_none_or(|set| set.0 != due) {
            // No timer, as in a browser: a message to itself.
            let at = now.saturating_add(HOP);
            self.hop = Some((due, at));
            self.world.wake_at(at, cx.waker());
            return Poll::Pending;
        }
        let mut tab = self.tab.borrow_mut();
        let timeout = match self.set {
            Some((moment, timeout)) if moment == due => timeout,
            _ => {
                // `setTimeout` takes whole milliseconds, and a timer is never early.
                let after = Duration::from_millis(due.micros_since(now).div_ceil(1_000));
                let from = self.fired.filter(|(at, _)| *at == now).map(|(_, fired)| fired);
                let timeout = tab.page.set_timeout(now, after, from.as_ref());
                self.set = Some((due, timeout));
                timeout
            }
        };
        let fires = tab.page.fires_at(&timeout);
        if fires <= now {
            self.set = None;
            self.fired = Some((now, timeout));
            drop(tab);
            self.tell(PageTask::Timer);
            return Poll::Ready(());
        }
        tab.waiting = Some(cx.waker().clone());
        // One alarm for each moment: a task is polled much more often than its timer changes.
        if self.alarm != Some(fires) {
            self.alarm = Some(fires);
            self.world.wake_at(fires, cx.waker());
        }
        Poll::Pending
    }

    /// Tasks of the simulation are run in the order in which they were woken.
    fn wake_behind_others(&mut self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use core::future::poll_fn;

    use super::*;
    use crate::platform::sim::Executor;
    use crate::transport::sim::Engine;

    /// When a timer fires that is set `count` times for `after` from now, in milliseconds.
    async fn fire(timer: &mut PageTimer, after: u64, count: usize) -> Vec<u64> {
        let mut fired = Vec::new();
        for _ in 0..count {
            let due = timer.world.now().saturating_add(Duration::from_micros(after));
            poll_fn(|cx| timer.poll_due(Some(due), cx)).await;
            fired.push(timer.world.now().as_micros() / 1_000);
        }
        fired
    }

    fn exact(engine: Engine) -> PageConfig {
        PageConfig { engine, late: Duration::ZERO, hiccup: Duration::ZERO, ..PageConfig::default() }
    }

    #[test]
    fn a_chain_of_timers_is_clamped_and_takes_whole_milliseconds() {
        let executor = Executor::default();
        let mut timer = Pages::default().timer(executor.world().clone(), exact(Engine::Firefox));
        executor.block_on(async {
            assert_eq!(fire(&mut timer, 1, 5).await, [1, 2, 3, 4, 8]);
            assert_eq!(fire(&mut timer, 4_001, 2).await, [13, 18]);
        });
    }

    #[test]
    fn a_page_that_is_seen_again_has_its_timers_at_once() {
        let executor = Executor::default();
        let world = executor.world().clone();
        let mut pages = Pages::default();
        let mut timer = pages.timer(world.clone(), exact(Engine::Chromium));
        assert!(pages.set_hidden(world.now(), true).is_empty());
        let mut other = pages.timer(world.clone(), exact(Engine::Chromium));
        let shows = async {
            // The other page is hidden as well, from its beginning.
            assert_eq!(fire(&mut other, 10_000, 1).await, [2_000]);
            pages.set_hidden(world.now(), false).into_iter().for_each(Waker::wake);
        };
        executor.block_on(async {
            assert_eq!(fire(&mut timer, 10_000, 1).await, [1_000]);
            let (fired, ()) = futures_util::future::join(fire(&mut timer, 1_200_000, 1), shows).await;
            // Hidden it would have fired at 3,000 only.
            assert_eq!(fired, [2_200]);
        });
    }
}
