//! The outcomes that somebody may still ask for.

use core::num::NonZeroU64;
use core::task::{Poll, Waker};

use crate::proto::{MessageId, Outcome, TicketId};
use crate::slab::Slab;

/// A `TicketId` is 26 bits of serial number above 26 bits of key: an exact JavaScript number, and a
/// key that is used again belongs to another ticket.
const BITS: u32 = 26;
const MASK: u64 = (1 << BITS) - 1;

/// One entry for each ticket that is held, none for those that were dropped, unless their message is the
/// newest of a key.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    entries: Slab<Entry>,
    /// How many there were.
    last: u64,
}

#[derive(Debug)]
struct Entry {
    serial: u64,
    state: State,
    /// Nobody holds the ticket.
    is_detached: bool,
    /// Whose newest value the message is, while it is queued.
    latest: Option<Box<str>>,
}

#[derive(Debug)]
enum State {
    Pending(Option<Waker>),
    Done(Outcome),
}

impl Tickets {
    /// A ticket for a message that has just been queued, as the newest value of `latest` if that is given.
    pub(super) fn open(&mut self, latest: Option<Box<str>>) -> TicketId {
        self.last += 1;
        // 0 is left out, so that no ticket is.
        let serial = (self.last - 1) % MASK + 1;
        let entry = Entry { serial, state: State::Pending(None), is_detached: false, latest };
        let key = self.entries.insert(entry);
        TicketId(NonZeroU64::MIN.saturating_add((serial << BITS | u64::from(key) & MASK) - 1))
    }

    /// How many tickets there were, the last of which has this number.
    pub(super) fn count(&self) -> u64 {
        self.last
    }

    /// How many are kept.
    pub(super) fn held(&self) -> usize {
        self.entries.count()
    }

    /// The number of a ticket whose message has only just ended, from 1 on in the order of queueing.
    pub(super) fn number(&self, ticket: TicketId) -> u64 {
        let last = (self.last.max(1) - 1) % MASK + 1;
        let ago = (last + MASK - (ticket.0.get() >> BITS)) % MASK;
        self.last.saturating_sub(ago)
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

    /// A message has ended. Gives who waits for it, and whose newest value it was.
    pub(super) fn finish(&mut self, ticket: TicketId, outcome: Outcome) -> (Option<Waker>, Option<Box<str>>) {
        let Some(entry) = self.entry(ticket) else { return (None, None) };
        let latest = entry.latest.take();
        let old = core::mem::replace(&mut entry.state, State::Done(outcome));
        if entry.is_detached {
            self.entries.remove(key_of(ticket));
        }
        let waker = if let State::Pending(waker) = old { waker } else { None };
        (waker, latest)
    }

    /// Nobody holds the ticket any more. Gives the waker that waited with it.
    #[must_use]
    pub(super) fn close(&mut self, ticket: TicketId) -> Option<Waker> {
        let entry = self.entry(ticket)?;
        if entry.latest.is_some() {
            entry.is_detached = true;
            return match &mut entry.state {
                State::Pending(waker) => waker.take(),
                State::Done(_) => None,
            };
        }
        match self.entries.remove(key_of(ticket))?.state {
            State::Pending(waker) => waker,
            State::Done(_) => None,
        }
    }

    fn entry(&mut self, ticket: TicketId) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(key_of(ticket))?;
        (entry.serial == ticket.0.get() >> BITS).then_some(entry)
    }

    fn state(&mut self, ticket: TicketId) -> Option<&mut State> {
        self.entry(ticket).map(|entry| &mut entry.state)
    }
}

/// By what the session knows the messages of tickets. On the driver's side, while tickets are given
/// on any thread.
#[derive(Debug, Default)]
pub(super) struct MessageIds {
    /// By the key of the ticket. One that was used again belongs to the later ticket.
    ids: Vec<Option<(TicketId, MessageId)>>,
}

impl MessageIds {
    pub(super) fn insert(&mut self, ticket: TicketId, id: MessageId) {
        let key = key_of(ticket) as usize;
        if self.ids.len() <= key {
            self.ids.resize(key + 1, None);
        }
        if let Some(place) = self.ids.get_mut(key) {
            *place = Some((ticket, id));
        }
    }

    pub(super) fn get(&self, ticket: TicketId) -> Option<MessageId> {
        let (known, id) = (*self.ids.get(key_of(ticket) as usize)?)?;
        (known == ticket).then_some(id)
    }
}

fn key_of(ticket: TicketId) -> u32 {
    u32::try_from(ticket.0.get() & MASK).expect("masked to 26 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_have_numbers_in_their_order_also_across_the_wrap_of_their_serials() {
        let mut tickets = Tickets { last: MASK - 2, ..Tickets::default() };
        let ids: Vec<_> = (0..5).map(|_| tickets.open(None)).collect();
        let numbers: Vec<_> = ids.iter().map(|id| tickets.number(*id)).collect();
        assert_eq!(numbers, (MASK - 1..MASK + 4).collect::<Vec<_>>());
        assert!(ids.is_sorted_by_key(|id| tickets.number(*id)) && tickets.count() == MASK + 3);
    }

    #[test]
    fn a_key_that_is_used_again_belongs_to_another_ticket() {
        let mut tickets = Tickets::default();
        let first = tickets.open(None);
        assert!(tickets.close(first).is_none());
        let second = tickets.open(None);
        assert_eq!(key_of(first), key_of(second));
        assert!(tickets.finish(first, Outcome::HandedOver).0.is_none());
        assert_eq!(tickets.poll(second, None).0, Poll::Pending);
        assert!(tickets.finish(second, Outcome::Unsent).0.is_none());
        assert_eq!(tickets.poll(second, None).0, Poll::Ready(Outcome::Unsent));
        assert_eq!(tickets.poll(first, None).0, Poll::Ready(Outcome::Unknown));
        assert!(second.0.get() < 1 << 53);
    }
}
