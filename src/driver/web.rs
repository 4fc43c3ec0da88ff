//! The driver's shell on a page, in a worker and in Node: a table of drivers per thread.
//!
//! A handle on the driver's own thread pumps it at once; one on another thread (wasm with
//! threads) wakes a small task. The npm build has no table, no task and no future.

use core::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::{Driver, DriverConfig, Hub, HubOutlet};
use crate::platform::web::waiter::Waiter;
use crate::platform::web::{Timer, WebClock};
use crate::transport::web::WebTransport;

/// A driver with its timer.
pub(crate) struct WebDriver {
    pub(crate) core: Driver<Box<dyn WebTransport>, WebClock, HubOutlet>,
    timer: Timer,
}

thread_local! {
    /// The drivers of this thread, in the order of their hubs' ids.
    static DRIVERS: RefCell<Vec<(u64, Rc<WebDriver>)>> = const { RefCell::new(Vec::new()) };
}

/// The driver of this hub, if it lives on this thread.
pub(crate) fn find(id: u64) -> Option<Rc<WebDriver>> {
    // `try_with`: a handle may be dropped while the thread's locals are.
    DRIVERS
        .try_with(|drivers| {
            let drivers = drivers.borrow();
            let at = drivers.binary_search_by_key(&id, |entry| entry.0).ok()?;
            drivers.get(at).map(|entry| entry.1.clone())
        })
        .ok()
        .flatten()
}

/// What a hub calls when a handle has left a command.
pub(crate) fn kick(hub: &Hub) {
    match find(hub.id) {
        Some(driver) => driver.pump(),
        None => hub.wake_driver(),
    }
}

/// Calls the driver of this hub, if it is still there.
pub(crate) fn notifier(id: u64) -> Rc<dyn Fn()> {
    Rc::new(move || {
        if let Some(driver) = find(id) {
            driver.pump();
        }
    })
}

/// Puts a driver over `transport` into this thread's table. `waiter` waits for its timer where it can.
pub(crate) fn start(
    hub: Arc<Hub>,
    transport: Box<dyn WebTransport>,
    config: DriverConfig,
    waiter: Option<&'static Waiter>,
) -> Rc<WebDriver> {
    let id = hub.id;
    let fire: Rc<dyn Fn()> = Rc::new(move || {
        if let Some(driver) = find(id) {
            driver.fire();
        }
    });
    let outlet = if transport.makes_peer_wait() {
        hub.wait_for_readers();
        HubOutlet::pausing(hub)
    } else {
        HubOutlet::new(hub)
    };
    let core = Driver::new(outlet, transport, WebClock, config);
    let driver = Rc::new(WebDriver { core, timer: Timer::new(fire, waiter) });
    DRIVERS.with(|drivers| {
        let mut drivers = drivers.borrow_mut();
        let at = drivers.partition_point(|entry| entry.0 < id);
        drivers.insert(at, (id, driver.clone()));
    });
    if let Some(waiter) = waiter {
        (waiter.watch)(set_timers_anew);
    }
    driver
}

/// Sets the timers of all drivers of this thread anew, since the page was hidden or is seen again.
fn set_timers_anew() {
    let drivers = DRIVERS.with_borrow(Clone::clone);
    for (_, driver) in drivers {
        driver.timer.set_anew();
    }
}

impl WebDriver {
    /// Runs until nothing is left to do, then sets the timer; leaves the table when all is over.
    pub(crate) fn pump(&self) {
        let deadline = self.core.pump();
        self.after(deadline);
    }

    fn fire(&self) {
        let deadline = self.core.pump_timer();
        self.after(deadline);
    }

    fn after(&self, deadline: Option<crate::time::Timestamp>) {
        if self.core.is_pumping() {
            return;
        }
        self.timer.set(deadline);
        let hub = self.core.outlet().hub();
        if self.core.is_over() && hub.is_deserted() {
            let id = hub.id;
            let gone = DRIVERS.try_with(|drivers| {
                let mut drivers = drivers.borrow_mut();
                let at = drivers.binary_search_by_key(&id, |entry| entry.0).ok()?;
                Some(drivers.remove(at))
            });
            // Dropped after the borrow: the driver's end may call back.
            drop(gone);
        }
    }
}

/// With wasm threads, a task on the driver's thread that other threads can wake.
#[cfg(target_feature = "atomics")]
pub(crate) fn spawn_waker_task(hub: &Arc<Hub>) {
    let hub = Arc::downgrade(hub);
    wasm_bindgen_futures::spawn_local(core::future::poll_fn(move |cx| {
        let Some(hub) = hub.upgrade() else { return core::task::Poll::Ready(()) };
        hub.register_driver(cx.waker());
        match find(hub.id) {
            Some(driver) => {
                driver.pump();
                core::task::Poll::Pending
            }
            None => core::task::Poll::Ready(()),
        }
    }));
}

/// The words of something that was thrown.
pub(crate) fn message_of(thrown: &wasm_bindgen::JsValue) -> String {
    let message = js_sys::Reflect::get(thrown, &"message".into()).ok();
    message.and_then(|message| message.as_string()).unwrap_or_default()
}
