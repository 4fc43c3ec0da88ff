//! Clock and timer of the host, by tokio.

use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use tokio::task::yield_now;
use tokio::time::{Instant, Sleep};

use super::PollTimer;
use crate::time::{Clock, Timestamp};

/// The host's monotonic clock, from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostClock {
    zero: Instant,
}

impl HostClock {
    pub(crate) fn new() -> Self {
        Self { zero: Instant::now() }
    }
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.zero.elapsed())
    }
}

/// One tokio timer that can be set again and again.
pub(crate) struct HostTimer {
    clock: HostClock,
    due: Option<Timestamp>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl HostTimer {
    pub(crate) fn new(clock: HostClock) -> Self {
        Self { clock, due: None, sleep: None }
    }
}

impl PollTimer for HostTimer {
    fn poll_due(&mut self, due: Option<Timestamp>, cx: &mut Context<'_>) -> Poll<()> {
        if self.due != due {
            self.due = due;
            self.sleep = due.map(|due| Box::pin(tokio::time::sleep(due.saturating_since(self.clock.now()))));
        }
        let Some(sleep) = &mut self.sleep else { return Poll::Pending };
        let polled = sleep.as_mut().poll(cx);
        if polled.is_ready() {
            (self.due, self.sleep) = (None, None);
        }
        polled
    }

    /// A waker that is used at once would do for other tasks, but not for the future in `block_on`: a
    /// runtime of one thread polls that one only after dozens of tasks, or when none is left. What
    /// tokio's own yield leaves is woken then too.
    fn wake_behind_others(&mut self, cx: &mut Context<'_>) {
        let waits = pin!(yield_now()).poll(cx).is_pending();
        if !waits {
            cx.waker().wake_by_ref();
        }
    }
}

/// A random number, for what has to differ and not to be secret.
pub(crate) fn random() -> u64 {
    // Without the system's randomness no connection comes so far.
    getrandom::u64().unwrap_or_default()
}
