//! The outcomes that somebody may still ask for.

use core::task::{Poll, Waker};

use crate::proto::{Outcome, TicketId};
use crate::slab::Slab;

/// A `TicketId` is 26 bits of serial number above 26 bits of key: an exact JavaScript number, and a
/// key that is used again belongs to another ticket.
const BITS: u32 = 26;
const MASK: u64 = (1 << BITS) - 1;

/// One entry for each ticket that is held, none for those that were dropped.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    entries: Slab<Entry>,
    last_serial: u64,
}

#[derive(Debug)]
struct Entry {
    serial: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Pending(Option<Waker>),
    Done(Outcome),
}

impl Tickets {
    /// A ticket for a message that has just been queued.
    pub(super) fn open(&mut self) -> TicketId {
        self.last_serial = (self.last_serial + 1) & MASK;
        let serial = self.last_serial;
        let key = self.entries.insert(Entry { serial, state: State::Pending(None) });
        TicketId(serial << BITS | u64::from(key) & MASK)
    }

    /// The outcome of a message, or its waker kept. Nobody will ever tell of a ticket that is not
    /// here (abandoned by a driver that is gone).
    ///
    /// Gives a waker that was displaced as well, to be dropped after the lock.
    pub(super) fn poll(&mut self, ticket: TicketId, waker: Option<&Waker>) -> (Poll<Outcome>, Option<Waker>) {
        match self.state(ticket) {
            Some(State::Done(outcome)) => (Poll::Ready(*outcome), None),
            Some(State::Pending(registered)) => {
                let displaced = waker.and_then(|waker| registered.replace(waker.clone()));
                (Poll::Pending, displaced)
            }
            None => (Poll::Ready(Outcome::Unknown), None),
        }
    }

    /// A message has ended. Gives who waits for it.
    pub(super) fn finish(&mut self, ticket: TicketId, outcome: Outcome) -> Option<Waker> {
        match core::mem::replace(self.state(ticket)?, State::Done(outcome)) {
            State::Pending(waker) => waker,
            State::Done(_) => None,
        }
    }

    /// Nobody holds the ticket any more. Gives the waker that waited with it.
    #[must_use]
    pub(super) fn close(&mut self, ticket: TicketId) -> Option<Waker> {
        self.state(ticket)?;
        match self.entries.remove(key_of(ticket))?.state {
            State::Pending(waker) => waker,
            State::Done(_) => None,
        }
    }

    fn state(&mut self, ticket: TicketId) -> Option<&mut State> {
        let entry = self.entries.get_mut(key_of(ticket))?;
        (entry.serial == ticket.0 >> BITS).then_some(&mut entry.state)
    }
}

fn key_of(ticket: TicketId) -> u32 {
    u32::try_from(ticket.0 & MASK).expect("masked to 26 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_used_again_belongs_to_another_ticket() {
        let mut tickets = Tickets::default();
        let first = tickets.open();
        assert!(tickets.close(first).is_none());
        let second = tickets.open();
        assert_eq!(key_of(first), key_of(second));
        assert!(tickets.finish(first, Outcome::HandedOver).is_none());
        assert_eq!(tickets.poll(second, None).0, Poll::Pending);
        assert!(tickets.finish(second, Outcome::Unsent).is_none());
        assert_eq!(tickets.poll(second, None).0, Poll::Ready(Outcome::Unsent));
        assert_eq!(tickets.poll(first, None).0, Poll::Ready(Outcome::Unknown));
        assert!(second.0 < 1 << 53);
    }
}
