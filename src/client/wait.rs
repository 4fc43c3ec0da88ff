//! A future over the hub that leaves no waker behind when it is dropped.

use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use crate::driver::Hub;

/// What a wait asks of the hub: ready, or its waker registered under the key.
type Ask<T> = fn(&Hub, &mut Option<u64>, &Waker) -> Poll<T>;

/// Waits until `ask` is ready; `leave` gives up the place in the line on drop.
pub(crate) struct Wait<T, H: Deref<Target = Hub> = Arc<Hub>> {
    hub: H,
    key: Option<u64>,
    ask: Ask<T>,
    leave: fn(&Hub, &mut Option<u64>),
}

impl<T, H: Deref<Target = Hub>> Wait<T, H> {
    pub(crate) fn new(hub: H, ask: Ask<T>, leave: fn(&Hub, &mut Option<u64>)) -> Self {
        Self { hub, key: None, ask, leave }
    }

    /// Polls without a pinned self; nothing here is ever pinned.
    pub(crate) fn poll_ask(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        (self.ask)(&self.hub, &mut self.key, cx.waker())
    }
}

impl<T, H: Deref<Target = Hub> + Unpin> Future for Wait<T, H> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        self.poll_ask(cx)
    }
}

impl<T, H: Deref<Target = Hub>> Drop for Wait<T, H> {
    fn drop(&mut self) {
        (self.leave)(&self.hub, &mut self.key);
    }
}
