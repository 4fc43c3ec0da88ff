//! The driver's shell where there are tasks: a future that polls the transport's input and output
//! and the timer, and pumps between.

use core::pin::Pin;
use core::task::{Context, Poll};

use super::{Driver, HubOutlet};
use crate::platform::PollTimer;
use crate::time::{Clock, Timestamp};
use crate::transport::{Moved, Transport};

/// A transport that has to be polled.
pub(crate) trait PollTransport: Transport {
    /// Moves what can be moved now, both ways, and registers the waker for the rest; unless `reads`,
    /// nothing is taken in.
    fn poll_io(&self, cx: &mut Context<'_>, reads: bool, now: Timestamp) -> Moved;

    /// When it wants to look at the time, if it does.
    fn due(&self) -> Option<Timestamp> {
        None
    }

    /// Looks at the time.
    fn handle_timeout(&self, _: Timestamp) {}
}

/// Runs one connection until it is over and nobody holds on to it.
pub(crate) struct DriverTask<T: Transport, C: Clock, S> {
    driver: Driver<T, C, HubOutlet>,
    timer: S,
}

impl<T: Transport, C: Clock, S> DriverTask<T, C, S> {
    pub(crate) fn new(driver: Driver<T, C, HubOutlet>, timer: S) -> Self {
        Self { driver, timer }
    }
}

/// Nothing in it is pinned: the driver owns its parts by value and never lends them to itself.
impl<T: Transport, C: Clock, S> Unpin for DriverTask<T, C, S> {}

impl<T: PollTransport, C: Clock, S: PollTimer> Future for DriverTask<T, C, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.driver.outlet().hub().register_driver(cx.waker());
        loop {
            // Pumped before and after the transport has moved: what a handle has left wants to go
            // out with it, and what has come in wants to be seen.
            let due = if S::IS_EXACT { this.driver.pump_on_time() } else { this.driver.pump() };
            let reads = !this.driver.awaits_reader();
            match this.driver.transport().poll_io(cx, reads, this.driver.now()) {
                Moved::Something => continue,
                Moved::Much => {
                    // Whoever reads what has come runs in between: a queue that only fills while its
                    // reader waits for a turn would overflow.
                    this.driver.pump_on_time();
                    this.timer.wake_behind_others(cx);
                    return Poll::Pending;
                }
                Moved::Nothing => {}
            }
            if this.driver.is_over() && this.driver.outlet().hub().is_deserted() {
                return Poll::Ready(());
            }
            let due = due.into_iter().chain(this.driver.transport().due()).min();
            if this.timer.poll_due(due, cx).is_pending() {
                return Poll::Pending;
            }
            this.driver.transport().handle_timeout(this.driver.now());
            this.driver.pump_timer();
        }
    }
}
