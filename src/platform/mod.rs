//! What differs between targets: clock, timers, tasks, whom to trust. The only place that asks for the target,
//! beside the lines that leave whole files out.
//!
//! Not here: sockets (transports), the protocol.

#[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
pub(crate) mod native;
#[cfg(feature = "sim")]
pub(crate) mod sim;
#[cfg(all(feature = "tls", not(all(target_family = "wasm", target_os = "unknown"))))]
pub(crate) mod tls;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) mod web;

#[cfg(any(all(feature = "native", not(target_family = "wasm")), feature = "sim"))]
use core::task::{Context, Poll};

#[cfg(any(all(feature = "native", not(target_family = "wasm")), feature = "sim"))]
use crate::time::Timestamp;

/// A timer that a task waits on.
#[cfg(any(all(feature = "native", not(target_family = "wasm")), feature = "sim"))]
pub(crate) trait PollTimer {
    /// Whether it fires at the very moment, so that a pump may do its work.
    const IS_EXACT: bool = true;
    /// Ready once `due` has come; never for `None`.
    fn poll_due(&mut self, due: Option<Timestamp>, cx: &mut Context<'_>) -> Poll<()>;

    /// Has the task polled again once whatever else can run has had its turn.
    fn wake_behind_others(&mut self, cx: &mut Context<'_>);
}
