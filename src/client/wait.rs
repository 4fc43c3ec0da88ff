//! A future over the hub that leaves no waker behind when it is dropped.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use crate::driver::Hub;

/// What a wait asks of the hub: ready, or its waker registered under the key.
type Ask<T> = fn(&Hub, &mut Option<u64>, &Waker) -> Poll<T>;

/// Waits until `ask` is ready; `leave` gives up the place in the line on drop.
pub(crate) struct Wait<T> {
    hub: Arc<Hub>,
    key: Option<u64>,
    ask: Ask<T>,
    leave: fn(&Hub, &mut Option<u64>),
}

impl<T> Wait<T> {
    pub(crate) fn new(hub: Arc<Hub>, ask: Ask<T>, leave: fn(&Hub, &mut Option<u64>)) -> Self {
        Self { hub, key: None, ask, leave }
    }

    /// Polls without a pinned self; nothing here is ever pinned.
    pub(crate) fn poll_ask(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        (self.ask)(&self.hub, &mut self.key, cx.waker())
    }
}

impl<T> Future for Wait<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.poll_ask(cx)
    }
}

impl<T> Drop for Wait<T> {
    fn drop(&mut self) {
        (self.leave)(&self.hub, &mut self.key);
    }
}
