//! The handles' half of sending: room, tickets, marks, numbers.

use core::task::{Poll, Waker};

use super::{Hub, NoRoom, Stage, wake};
use crate::driver::marks::Passed;
use crate::driver::outbox::{Kept, Outgoing, Reserved};
use crate::driver::send_options::SendOptions;
use crate::proto::{Amount, Outcome, Payload, Stats, TicketId};

impl Hub {
    /// What was taken and is not handed over yet.
    pub(crate) fn queued(&self) -> Amount {
        self.lock().outbox.queued()
    }

    /// How much is remembered of what was queued.
    pub(crate) fn kept(&self) -> Kept {
        self.lock().outbox.kept()
    }

    /// A message to send, whose deadline begins now.
    pub(crate) fn outgoing(&self, payload: Payload, options: SendOptions) -> Outgoing {
        let due = options.deadline.map(|within| (self.now.0)().saturating_add(within));
        Outgoing { payload, options, due }
    }

    /// Takes room for a message and queues it, if there is room now.
    pub(crate) fn try_send(&self, outgoing: Outgoing) -> Result<TicketId, (NoRoom, Payload)> {
        let (ticket, driver) = {
            let mut state = self.lock();
            // Whoever waits for the same room goes before.
            let admitted = if state.stage >= Stage::Closing || state.outbox.is_first(&outgoing.options, None)
            {
                state.admit(&outgoing.options, outgoing.payload.bytes())
            } else {
                Err(NoRoom::Full)
            };
            match admitted {
                Ok(()) => (state.queue(outgoing), state.driver_to_wake()),
                Err(why) => return Err((why, outgoing.payload)),
            }
        };
        self.kick(driver);
        Ok(ticket)
    }

    /// Queues a message whatever the bounds say: its sender has found room before.
    pub(crate) fn send_now(&self, outgoing: Outgoing) -> Result<TicketId, (NoRoom, Payload)> {
        let (ticket, driver) = {
            let mut state = self.lock();
            if state.stage >= Stage::Closing {
                return Err((NoRoom::Closed, outgoing.payload));
            }
            (state.queue(outgoing), state.driver_to_wake())
        };
        self.kick(driver);
        Ok(ticket)
    }

    /// As [`try_send`](Self::try_send), in turn with everybody who waits for the same room. `key` is the
    /// caller's place in the line, which it gives back by [`leave_line`](Self::leave_line). Ready with `None` for a
    /// message whose deadline has passed meanwhile; it is left to the caller.
    pub(crate) fn poll_send(
        &self,
        outgoing: &mut Option<Outgoing>,
        key: &mut Option<u64>,
        waker: &Waker,
    ) -> Poll<Result<Option<TicketId>, NoRoom>> {
        // Dropped after the lock, as everywhere: see `waiters`.
        let _displaced;
        let (ticket, next, watchers, driver) = {
            let mut state = self.lock();
            let Some(message) = outgoing.as_ref() else { return Poll::Ready(Err(NoRoom::Closed)) };
            let admitted = if state.stage >= Stage::Closing || state.outbox.is_first(&message.options, *key) {
                state.admit(&message.options, message.payload.bytes())
            } else {
                Err(NoRoom::Full)
            };
            let is_late = admitted == Err(NoRoom::Full)
                && (state.outbox.has_passed(*key) || message.due.is_some_and(|due| due <= (self.now.0)()));
            if admitted == Err(NoRoom::Full) && !is_late {
                let (displaced, is_next) = state.outbox.wait(&message.options, message.due, key, waker);
                _displaced = displaced;
                // The driver's timer is to be set for it.
                let driver = is_next.then(|| state.driver_to_wake());
                drop(state);
                if let Some(driver) = driver {
                    self.kick(driver);
                }
                return Poll::Pending;
            }
            let (left, next) = state.outbox.leave(&message.options, key);
            _displaced = left;
            if admitted == Err(NoRoom::Closed) {
                return Poll::Ready(Err(NoRoom::Closed));
            }
            // The next in line may fit too.
            if is_late {
                let watchers = state.outbox.expire(message.options.priority, message.payload.bytes());
                (None, next, watchers, None)
            } else {
                let Some(outgoing) = outgoing.take() else { return Poll::Ready(Err(NoRoom::Closed)) };
                (Some(state.queue(outgoing)), next, Vec::new(), Some(state.driver_to_wake()))
            }
        };
        wake(next);
        wake(watchers);
        if let Some(driver) = driver {
            self.kick(driver);
        }
        Poll::Ready(Ok(ticket))
    }

    /// Polls for room for one more message of no size, as a `Sink` wants it; not in turn with
    /// those who wait in [`poll_send`](Self::poll_send).
    pub(crate) fn poll_room(
        &self,
        options: &SendOptions,
        key: &mut Option<u64>,
        waker: &Waker,
    ) -> Poll<Result<(), NoRoom>> {
        let _displaced;
        let mut state = self.lock();
        let admitted = state.admit(options, 0);
        if admitted == Err(NoRoom::Full) {
            _displaced = state.outbox.sinks.register(key, waker);
            return Poll::Pending;
        }
        _displaced = state.outbox.sinks.remove(key);
        Poll::Ready(admitted)
    }

    /// Polls until nothing is queued any more, or the connection is over.
    /// Ready with whether all of it was handed over; that it was not is told once, but for the end.
    pub(crate) fn poll_flushed(&self, key: &mut Option<u64>, waker: &Waker) -> Poll<bool> {
        let _displaced;
        let mut state = self.lock();
        if state.outbox.queued().messages == 0 || state.stage == Stage::Closed {
            _displaced = state.outbox.flushers.remove(key);
            let lost = state.outbox.lost;
            state.outbox.lost &= state.stage >= Stage::Closing;
            return Poll::Ready(!lost);
        }
        _displaced = state.outbox.flushers.register(key, waker);
        Poll::Pending
    }

    /// A mark behind all that was queued so far.
    pub(crate) fn mark(&self) -> u64 {
        self.lock().outbox.mark()
    }

    /// Polls until all that was queued before `mark` has ended. Ready with false if the connection ended first;
    /// otherwise with what the transport had been given by then.
    pub(crate) fn poll_passed(&self, mark: u64, key: &mut Option<u64>, waker: &Waker) -> Poll<Option<u64>> {
        let _displaced;
        let mut state = self.lock();
        let passed = state.outbox.passed(mark);
        if passed == Passed::NotYet && state.stage < Stage::Closed {
            _displaced = state.outbox.flushers.register(key, waker);
            return Poll::Pending;
        }
        _displaced = state.outbox.flushers.remove(key);
        Poll::Ready((passed == Passed::Yes).then(|| state.outbox.given()))
    }

    /// Polls until the transport has sent the first `given` bytes that it was given. Ready with false if the
    /// connection ended first.
    pub(crate) fn poll_left(&self, given: u64, key: &mut Option<u64>, waker: &Waker) -> Poll<bool> {
        let _displaced;
        let (polled, driver) = {
            let mut state = self.lock();
            if state.outbox.has_left(given) || state.stage == Stage::Closed {
                _displaced = state.outbox.drainers.remove(key);
                (Poll::Ready(state.outbox.has_left(given)), None)
            } else {
                let is_new = key.is_none();
                _displaced = state.outbox.drainers.register(key, waker);
                // It looks at the transport for somebody who waits only.
                (Poll::Pending, is_new.then(|| state.driver_to_wake()))
            }
        };
        if let Some(driver) = driver {
            self.kick(driver);
        }
        polled
    }

    /// Gives up waiting for the transport to send.
    pub(crate) fn leave_drainers(&self, key: &mut Option<u64>) {
        if key.is_some() {
            let displaced = self.lock().outbox.drainers.remove(key);
            drop(displaced);
        }
    }

    /// The numbers, and how often they have changed.
    pub(crate) fn stats(&self) -> (Stats, u64) {
        let state = self.lock();
        let (messages, bytes) = state.received.queued();
        let mut numbers = state.outbox.stats.clone();
        numbers.received = Amount { messages, bytes };
        (numbers, state.outbox.changes)
    }

    /// Polls until the numbers have changed since there were `seen` changes; `None` at the end.
    pub(crate) fn poll_stats(&self, seen: u64, key: &mut Option<u64>, waker: &Waker) -> Poll<bool> {
        let _displaced;
        let mut state = self.lock();
        if state.outbox.changes != seen || state.stage == Stage::Closed {
            _displaced = state.outbox.watchers.remove(key);
            return Poll::Ready(state.outbox.changes != seen);
        }
        _displaced = state.outbox.watchers.register(key, waker);
        Poll::Pending
    }

    /// Gives up watching the numbers.
    pub(crate) fn leave_stats(&self, key: &mut Option<u64>) {
        if key.is_some() {
            let displaced = self.lock().outbox.watchers.remove(key);
            drop(displaced);
        }
    }

    /// Polls for room for a message of `bytes`, which is kept for the caller.
    pub(crate) fn poll_reserve(
        &self,
        options: &SendOptions,
        bytes: u64,
        key: &mut Option<u64>,
        waker: &Waker,
    ) -> Poll<Result<Reserved, NoRoom>> {
        let _displaced;
        let (reserved, next) = {
            let mut state = self.lock();
            let admitted = if state.stage >= Stage::Closing || state.outbox.is_first(options, *key) {
                state.admit(options, bytes)
            } else {
                Err(NoRoom::Full)
            };
            if admitted == Err(NoRoom::Full) {
                _displaced = state.outbox.wait(options, None, key, waker).0;
                return Poll::Pending;
            }
            let (left, next) = state.outbox.leave(options, key);
            _displaced = left;
            (admitted.map(|()| state.outbox.reserve(options, bytes)), next)
        };
        wake(next);
        Poll::Ready(reserved)
    }

    /// Gives room back that was kept, whether a message came of it or not; whoever is next may go.
    pub(crate) fn release_room(&self, reserved: Reserved) {
        let (next, sinks) = {
            let mut state = self.lock();
            state.outbox.release(reserved);
            (state.outbox.next_in_line(reserved.priorities()), state.outbox.sinks.all())
        };
        wake(next);
        wake(sinks);
    }

    /// Queues a message for which room was kept.
    pub(crate) fn send_reserved(
        &self,
        reserved: Reserved,
        outgoing: Outgoing,
    ) -> Result<TicketId, (NoRoom, Payload)> {
        let sent = self.send_now(outgoing);
        self.release_room(reserved);
        sent
    }

    /// Whether a message was not handed over.
    pub(crate) fn has_lost(&self) -> bool {
        self.lock().outbox.lost
    }

    /// Gives up a place among those who wait for room; whoever is next may go.
    pub(crate) fn leave_line(&self, options: &SendOptions, key: &mut Option<u64>) {
        if key.is_some() {
            let (left, next) = self.lock().outbox.leave(options, key);
            drop(left);
            wake(next);
        }
    }

    /// A sink waits for room no more.
    pub(crate) fn leave_sinks(&self, key: &mut Option<u64>) {
        if key.is_some() {
            let displaced = self.lock().outbox.sinks.remove(key);
            drop(displaced);
        }
    }

    /// The outcome of a message, or a promise to wake.
    pub(crate) fn poll_outcome(&self, ticket: TicketId, waker: Option<&Waker>) -> Poll<Outcome> {
        let (polled, displaced) = self.lock().outbox.tickets.poll(ticket, waker);
        drop(displaced);
        polled
    }

    /// Nobody waits for the outcome any more.
    pub(crate) fn detach(&self, ticket: TicketId) {
        let waiting = self.lock().outbox.tickets.close(ticket);
        drop(waiting);
    }
}
