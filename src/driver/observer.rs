//! Who hears of changes on the driver's own thread, beside the wakers in the hub: the npm build,
//! which has no futures. Elsewhere there is nobody, and a driver can move between threads.

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use core::cell::RefCell;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use std::rc::Rc;

use crate::proto::{Closed, Outcome, TicketId};

/// Hears of changes. May call back into the driver.
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) trait Observer {
    /// The connection is open.
    fn opened(&self);
    /// A message can be taken.
    fn readable(&self);
    /// There is room in the send queue again.
    fn room(&self);
    /// The message of this ticket has ended. Returns whether that was taken note of; if not, the
    /// hub keeps the outcome for whoever asks.
    fn outcome(&self, ticket: TicketId, outcome: Outcome) -> bool;
    /// The connection is over; nothing else is called after this.
    fn closed(&self, closed: &Closed);
}

/// The place of one observer.
#[derive(Default)]
pub(crate) struct ObserverSlot {
    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    observer: RefCell<Option<Rc<dyn Observer>>>,
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl ObserverSlot {
    #[cfg_attr(not(feature = "js"), allow(dead_code, reason = "Rust applications use wakers"))]
    pub(crate) fn set(&self, observer: Rc<dyn Observer>) {
        self.observer.replace(Some(observer));
    }

    fn tell<R>(&self, what: impl FnOnce(&dyn Observer) -> R) -> Option<R> {
        // Cloned, so that no borrow is held while it is called.
        let observer = self.observer.borrow().clone();
        observer.map(|observer| what(&*observer))
    }

    pub(crate) fn opened(&self) {
        self.tell(|observer| observer.opened());
    }

    pub(crate) fn readable(&self) {
        self.tell(|observer| observer.readable());
    }

    pub(crate) fn room(&self) {
        self.tell(|observer| observer.room());
    }

    pub(crate) fn outcome(&self, ticket: TicketId, outcome: Outcome) -> bool {
        self.tell(|observer| observer.outcome(ticket, outcome)).unwrap_or(false)
    }

    pub(crate) fn closed(&self, closed: &Closed) {
        // Taken out, so that whatever it keeps alive can go.
        let observer = self.observer.take();
        if let Some(observer) = observer {
            observer.closed(closed);
        }
    }
}

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
#[allow(clippy::unused_self, reason = "nobody is there to be told")]
impl ObserverSlot {
    pub(crate) fn opened(&self) {}
    pub(crate) fn readable(&self) {}
    pub(crate) fn room(&self) {}
    pub(crate) fn outcome(&self, _: TicketId, _: Outcome) -> bool {
        false
    }
    pub(crate) fn closed(&self, _: &Closed) {}
}
