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

/// Locks what is held for a few instructions only, whoever has panicked meanwhile.
#[cfg(all(feature = "client", not(all(target_family = "wasm", target_feature = "atomics"))))]
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The same by trying again and again: the thread of a page must not wait for another one, and would trap.
#[cfg(all(feature = "client", target_family = "wasm", target_feature = "atomics"))]
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    use std::sync::TryLockError;

    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => core::hint::spin_loop(),
        }
    }
}

/// The present moment by the same clock wherever in the process it is asked for.
#[cfg(all(feature = "v1", not(all(target_family = "wasm", target_os = "unknown"))))]
pub(crate) fn now() -> crate::time::Timestamp {
    use std::sync::LazyLock;
    use std::time::Instant;

    static ZERO: LazyLock<Instant> = LazyLock::new(Instant::now);
    crate::time::Timestamp::ZERO.saturating_add(ZERO.elapsed())
}

/// The present moment.
#[cfg(all(feature = "v1", target_family = "wasm", target_os = "unknown"))]
pub(crate) fn now() -> crate::time::Timestamp {
    use crate::time::Clock as _;

    web::WebClock.now()
}

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
