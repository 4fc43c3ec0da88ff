//! Waiting until what was queued has gone.

use core::fmt;
use core::future::poll_fn;
use std::sync::Arc;

use crate::driver::Hub;

/// The connection, or the channel, ended before everything that was queued was known to be sent;
/// [`closed`](super::Sender::closed), on whatever handle of the connection, says how much was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotSent;

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it ended before everything that was queued was known to be sent")
    }
}

impl core::error::Error for NotSent {}

/// A place among those who wait, given up when it is dropped.
struct Place {
    hub: Arc<Hub>,
    key: Option<u64>,
    leave: fn(&Hub, &mut Option<u64>),
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.leave)(&self.hub, &mut self.key);
    }
}

/// Waits until everything has left the queue that is in it now; gives what the transport was given by then.
pub(super) fn flushed(hub: &Arc<Hub>) -> impl Future<Output = Result<u64, NotSent>> + Send + 'static {
    let mark = hub.mark();
    let mut place = Place { hub: hub.clone(), key: None, leave: Hub::leave_flushers };
    async move {
        let polled = poll_fn(|cx| {
            let Place { hub, key, .. } = &mut place;
            hub.poll_passed(mark, key, cx.waker())
        });
        polled.await.ok_or(NotSent)
    }
}

/// As [`flushed`], and then until the transport has sent it.
pub(super) fn drained(hub: &Arc<Hub>) -> impl Future<Output = Result<(), NotSent>> + Send + 'static {
    let flushed = flushed(hub);
    let mut place = Place { hub: hub.clone(), key: None, leave: Hub::leave_drainers };
    async move {
        let given = flushed.await?;
        let polled = poll_fn(|cx| {
            let Place { hub, key, .. } = &mut place;
            hub.poll_left(given, key, cx.waker())
        });
        if polled.await { Ok(()) } else { Err(NotSent) }
    }
}
