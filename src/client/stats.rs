//! The numbers of a connection, now and as they change.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use crate::driver::Hub;
use crate::proto::Stats;

/// The [`Stats`] of a connection whenever they have changed since they were last taken: what
/// [`Sender::stats_changes`](super::Sender::stats_changes) gives.
///
/// The first item is there at once. However often they change, only the newest are given; the stream ends when the
/// connection has.
#[must_use = "streams do nothing unless polled"]
pub struct StatsChanges {
    hub: Arc<Hub>,
    seen: Option<u64>,
    key: Option<u64>,
}

impl StatsChanges {
    pub(super) fn new(hub: &Arc<Hub>) -> Self {
        Self { hub: hub.clone(), seen: None, key: None }
    }
}

impl futures_core::Stream for StatsChanges {
    type Item = Stats;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Stats>> {
        let this = &mut *self;
        if let Some(seen) = this.seen {
            match this.hub.poll_stats(seen, &mut this.key, cx.waker()) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(false) => return Poll::Ready(None),
                Poll::Ready(true) => {}
            }
        }
        let (stats, changes) = this.hub.stats();
        this.seen = Some(changes);
        Poll::Ready(Some(stats))
    }
}

impl Drop for StatsChanges {
    fn drop(&mut self) {
        self.hub.leave_stats(&mut self.key);
    }
}

impl core::fmt::Debug for StatsChanges {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StatsChanges").finish_non_exhaustive()
    }
}
