//! The driver's half of the hub: what it takes, and what it tells the handles.

use core::task::Waker;

use super::{Attention, Command, Hub, Stage, State, wake};
use crate::driver::Awaited;
use crate::proto::{Closed, Done, Fit, Gauges, Slot};
use crate::time::Timestamp;
use crate::transport::{Incoming, Opened, TransportError};

/// What delivering a message has come to.
pub(crate) struct Delivered {
    /// [`Hub::reader_is_due`] is to be asked before the next.
    pub(crate) is_half_full: bool,
    /// Host values of what was dropped. Nobody else knows them any more.
    pub(crate) dropped: Vec<Slot>,
}

impl State {
    /// Whoever waits for anything.
    pub(super) fn everybody(&mut self) -> Vec<Waker> {
        let mut wakers = self.watchers.all();
        wakers.append(&mut self.readers.all());
        wakers.append(&mut self.outbox.all_in_line());
        wakers.append(&mut self.outbox.flushers.all());
        wakers.append(&mut self.outbox.drainers.all());
        wakers.append(&mut self.outbox.watchers.all());
        #[cfg(feature = "v1")]
        wakers.append(&mut self.acceptors());
        wakers
    }
}

impl Hub {
    /// Whether the queue is half full and its reader is to be waited for: because it has been woken and only
    /// waits for its turn, or because the peer can be made to wait with it. From now on the driver is woken
    /// when that changes.
    ///
    /// Not to be asked once nothing is delivered any more: then the peer's close is waited for, not a reader.
    pub(crate) fn reader_is_due(&self) -> bool {
        let mut state = self.lock();
        if state.attention != Attention::Gone {
            let paused = state.awaits_reader(state.received.is_filled_by(2));
            state.attention = if paused { Attention::Paused } else { Attention::Here };
        }
        state.attention == Attention::Paused
    }

    /// The transport can make the peer wait: the queue never overflows.
    #[cfg(any(
        all(feature = "native", not(target_family = "wasm")),
        all(target_family = "wasm", target_os = "unknown")
    ))]
    pub(crate) fn wait_for_readers(&self) {
        self.lock().waits_for_readers = true;
    }

    #[cfg(any(
        all(feature = "native", not(target_family = "wasm")),
        feature = "sim",
        target_feature = "atomics"
    ))]
    pub(crate) fn register_driver(&self, waker: &Waker) {
        let _displaced;
        let mut state = self.lock();
        if !state.driver.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            // Whoever was woken before, this one was not.
            _displaced = state.driver.waker.replace(waker.clone());
            state.driver.is_woken = false;
        }
    }

    /// Swaps all commands out in one go. Wakes those in line who have waited long enough.
    pub(crate) fn swap_commands(&self, commands: &mut Vec<Command>, now: impl FnOnce() -> Timestamp) {
        let late = {
            let mut state = self.lock();
            state.driver.is_woken = false;
            core::mem::swap(&mut state.commands, commands);
            if state.outbox.next_due().is_some() { state.outbox.pass(now()) } else { Vec::new() }
        };
        wake(late);
    }

    pub(crate) fn set_failure(&self, failure: TransportError) {
        self.lock().failure = Some(failure);
    }

    pub(crate) fn open(&self, opened: Opened) {
        let wakers = {
            let mut state = self.lock();
            state.opened = opened;
            state.was_open = true;
            if state.stage == Stage::Connecting {
                state.stage = Stage::Open;
            }
            state.watchers.all()
        };
        wake(wakers);
    }

    /// No message is taken any more; those who wait for room get theirs back.
    pub(crate) fn stop_sending(&self) {
        let wakers = {
            let mut state = self.lock();
            if state.stage < Stage::Closing {
                state.stage = Stage::Closing;
            }
            state.outbox.all_in_line()
        };
        wake(wakers);
    }

    /// The final word, for everybody.
    pub(crate) fn close(&self, closed: Closed) {
        #[cfg(all(feature = "native", not(target_family = "wasm")))]
        let told = closed.clone();
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        state.stage = Stage::Closed;
        state.closed = Some(closed);
        let wakers = state.everybody();
        #[cfg(all(feature = "native", not(target_family = "wasm")))]
        let observers = core::mem::take(&mut state.observers.0);
        drop(state);
        // First: whoever wakes may ask what they count.
        #[cfg(all(feature = "native", not(target_family = "wasm")))]
        for observer in observers {
            observer(&told);
        }
        wake(wakers);
    }

    /// Queues a received message; what there is no room for is dropped and counted. Gives the message back
    /// with the code to close with, if that is what happens to one that does not fit.
    pub(crate) fn deliver(&self, incoming: Incoming) -> Result<Delivered, (Incoming, u16)> {
        let (first, others, delivered) = {
            let mut state = self.lock();
            let (bytes, mut dropped) = (incoming.bytes(), Vec::new());
            // Where the peer waits with its reader, a message that goes above the bound is as good as read:
            // it is in memory already, and before the next there is room.
            let fits = state.waits_for_readers
                || loop {
                    match state.received.poll_fit(bytes) {
                        Fit::Free => break true,
                        Fit::None => break false,
                        Fit::Close(code) => return Err((incoming, code)),
                        Fit::Dropped(oldest, bytes) => {
                            state.dropped.add(bytes);
                            dropped.extend(oldest.incoming.slot());
                        }
                    }
                };
            if fits {
                state.received.push(incoming.into(), bytes);
            } else {
                state.dropped.add(bytes);
                dropped.extend(incoming.slot());
            }
            let is_half_full = state.received.is_filled_by(2);
            let (first, others) = state.readers.first_and_others();
            (first, others, Delivered { is_half_full, dropped })
        };
        // All of them: the first may be a stream that nobody polls any more.
        wake(first);
        wake(others);
        Ok(delivered)
    }

    /// Messages have left the queue; the transport's buffer stands as `gauges` say.
    pub(crate) fn finish(&self, done: &mut Vec<Done>, gauges: Gauges) {
        let mut tickets = Vec::new();
        let (next, others) = {
            let mut state = self.lock();
            let mut priorities = [false; 4];
            let mut passed = false;
            for done in done.drain(..) {
                if let Some(ended) = priorities.get_mut(done.priority.index()) {
                    *ended = true;
                }
                let (ticket, mark) = state.outbox.finish(&done);
                tickets.extend(ticket);
                passed |= mark;
            }
            let outbox = &mut state.outbox;
            outbox.stats.set_gauges(gauges);
            let mut others = outbox.sinks.all();
            if passed || outbox.queued().messages == 0 {
                others.append(&mut outbox.flushers.all());
            }
            others.append(&mut outbox.watchers.all());
            (outbox.next_in_line(priorities), others)
        };
        wake(tickets);
        wake(next);
        wake(others);
    }

    /// What those wait for who cannot be told by the session.
    pub(crate) fn awaited(&self) -> Awaited {
        let state = self.lock();
        Awaited { standing: state.outbox.wants_standing(), due: state.outbox.next_due() }
    }

    /// The transport's buffer holds `amount` bytes.
    pub(crate) fn set_standing(&self, amount: u64) {
        let wakers = self.lock().outbox.set_standing(amount);
        wake(wakers);
    }

    /// Whether no handle and no received value is left.
    pub(crate) fn is_deserted(&self) -> bool {
        let state = self.lock();
        state.users == 0 && state.values == 0 && state.commands.is_empty()
    }

    /// The driver is gone; what it has left unsaid nobody will say.
    pub(crate) fn abandon(&self) {
        let commands = {
            let mut state = self.lock();
            state.attention = Attention::Gone;
            core::mem::take(&mut state.commands)
        };
        // Dropped after the lock: a reply wakes whoever waits for it.
        drop(commands);
    }
}
