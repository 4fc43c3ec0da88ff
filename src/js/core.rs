//! The one exported class.

use core::cell::Cell;

use wasm_bindgen::prelude::*;

use super::convert::{
    CLOSED, EXPIRED, HANDED_OVER, REFUSED, bound, code, count, deadline, kind, number, priority, share, slot,
};
use super::host::{Host, HostClock, HostTransport, set_timer};
use super::outlet::FacadeOutlet;
use crate::driver::{Driver, DriverConfig};
use crate::proto::{
    CloseRequest, FetchId, Flow, GateConfig, Hosted, HostedKind, MessageId, NewMessage, Outcome, Payload,
    QueueConfig, Reason, Slot,
};
use crate::time::{Clock, Duration, Timestamp};

/// What the driver is told by [`Core::tell`], in the order that `host.ts` has.
mod told {
    /// The socket is open; with the feature `v1` whether `tidegate.v1` is its subprotocol.
    pub(super) const OPENED: u8 = 0;
    /// A message has arrived, which the facade keeps: the code to close with if it has no room for it, else 0.
    pub(super) const RECEIVED: u8 = 1;
    /// The socket is closed: its code, whether that was clean. The facade keeps the reason.
    pub(super) const CLOSED: u8 = 2;
    /// What `read` was asked for: its id, the slot in which it stands, or below 0 if it could not be read, its bytes.
    pub(super) const FETCHED: u8 = 3;
    /// The timer has fired.
    pub(super) const TIMER: u8 = 4;
    /// The server has the first so many bytes of all that the socket was given.
    pub(super) const ACKNOWLEDGED: u8 = 5;
    /// Take the message of this ticket out of the queue, if it is still there: then its outcome comes before the call
    /// returns.
    pub(super) const CANCEL: u8 = 6;
    /// Close: the code, 0 for none, milliseconds for it, 0 for any, and whether to send first what is queued. The
    /// facade keeps the reason.
    pub(super) const CLOSE: u8 = 7;
    /// Stop sending, go on receiving: milliseconds for that, and those for the close that follows when the peer has
    /// not closed in time.
    pub(super) const END: u8 = 8;
    /// Give up at once.
    pub(super) const ABORT: u8 = 9;
    /// Go away, in tidegate mode: milliseconds for what has begun, 0 for any, those after which the peer may come back, and
    /// those up to which it may do so later. In plain mode a close that is under way takes so long at most.
    #[cfg(feature = "v1")]
    pub(super) const SHUT_DOWN: u8 = 10;
}

/// A connection, for the TypeScript facade, whose `core.ts` says how it is used.
#[wasm_bindgen]
pub struct Core {
    pub(super) driver: Driver<HostTransport, HostClock, FacadeOutlet>,
    due: Cell<Option<Timestamp>>,
}

#[wasm_bindgen]
impl Core {
    /// A connection whose socket is connecting. `connect_ms` is what is left of the deadline, 0 for none; a rate of 0
    /// is no bound.
    #[wasm_bindgen(constructor)]
    pub fn new(
        host: Host,
        connect_ms: f64,
        guaranteed_share: f64,
        budget_bytes: f64,
        max_bytes_per_second: f64,
    ) -> Core {
        let config = DriverConfig {
            connect_within: deadline(connect_ms),
            queue: QueueConfig { share: share(guaranteed_share) },
            gate: GateConfig {
                budget_bytes: count(budget_bytes),
                max_bytes_per_second: bound(max_bytes_per_second),
            },
            #[cfg(feature = "v1")]
            tidegate: None,
        };
        // No budget of an application comes as infinite.
        let transport = HostTransport {
            is_paced: budget_bytes.is_infinite(),
            host,
            #[cfg(feature = "v1")]
            is_tidegate: Cell::new(false),
            #[cfg(feature = "v1")]
            accepts: Cell::new(false),
        };
        let driver = Driver::new(FacadeOutlet::new(host), transport, HostClock, config);
        let core = Core { driver, due: Cell::new(None) };
        core.pump();
        core
    }

    /// Sends the value in `slot`, for which the facade has found room. 0: handed over; a positive ticket: queued; -2:
    /// closed (the slot stays the facade's); -3: the socket has refused it; -4: its deadline has passed; -6, in tidegate
    /// mode: it is larger than the peer takes.
    ///
    /// `flow` is a small number; `deadline_ms` below 0 is none; `replaces` is the ticket of the message whose
    /// newer value it is, or 0.
    #[allow(clippy::too_many_arguments, reason = "numbers cross for less than an object")]
    pub fn send(
        &self,
        slot: u32,
        data_kind: u8,
        bytes: f64,
        class: u8,
        flow: u32,
        deadline_ms: f64,
        replaces: f64,
    ) -> f64 {
        let (bytes, priority, flow) = (count(bytes), priority(class), Flow(flow));
        let replaces = (replaces > 0.0).then(|| MessageId(count(replaces)));
        let payload = Payload::Hosted(Hosted { slot: Slot(slot), kind: kind(data_kind), bytes });
        let deadline = (deadline_ms >= 0.0)
            .then(|| HostClock.now().saturating_add(Duration::from_micros(count(deadline_ms * 1000.0))));
        let new = NewMessage { priority, flow, payload, deadline, replaces, ticket: None };
        if let Some(taken) = self.driver.pass(&new) {
            if self.driver.was_called() {
                self.pump();
            }
            return if taken { HANDED_OVER } else { REFUSED };
        }
        let Ok(id) = self.driver.send(new) else { return CLOSED };
        match self.driver.outlet().sending(id, || self.after(self.driver.pump_now())) {
            None => number(id.0),
            Some(Outcome::HandedOver) => HANDED_OVER,
            Some(Outcome::Expired) => EXPIRED,
            #[cfg(feature = "v1")]
            Some(Outcome::TooBig) => super::convert::TOO_BIG,
            // The socket refused it: it is closing, and its close event is on the way.
            Some(_) => REFUSED,
        }
    }

    /// Something has happened, or is wanted: `what` is one of [`told`], and the others are what it says there.
    ///
    /// One export for all, since each that is handed a class weighs 60 B of brotli before it does anything.
    pub fn tell(&self, what: u8, a: f64, b: f64, c: f64) {
        let driver = &self.driver;
        match what {
            #[cfg(feature = "v1")]
            told::OPENED => {
                driver.transport().is_tidegate.set(a > 0.0);
                driver.opened();
            }
            #[cfg(not(feature = "v1"))]
            told::OPENED => driver.opened(),
            told::RECEIVED => {
                driver.task();
                if a > 0.0 {
                    driver.overflow(code(a));
                }
            }
            told::CLOSED => driver.closed(code(a), Reason::default(), b > 0.0),
            told::FETCHED => {
                let bytes = count(c);
                let content = (b >= 0.0)
                    .then(|| Payload::Hosted(Hosted { slot: slot(b), kind: HostedKind::Buffer, bytes }));
                driver.fetched(FetchId(count(a)), content);
            }
            told::TIMER => {
                self.due.set(None);
                driver.timer();
            }
            told::ACKNOWLEDGED => driver.acknowledged(count(a)),
            told::CANCEL => driver.cancel(MessageId(count(a))),
            told::CLOSE => driver.close(CloseRequest {
                code: Some(code(a)).filter(|code| *code > 0),
                reason: Reason::default(),
                within: deadline(b),
                flush: c > 0.0,
            }),
            told::END => driver.end(deadline(a), deadline(b)),
            told::ABORT => driver.abort(),
            #[cfg(feature = "v1")]
            told::SHUT_DOWN => {
                let back = [b, c].map(|milliseconds| Duration::from_millis(count(milliseconds)));
                if !driver.shut_down(deadline(a), Some(back)) {
                    driver.hurry(deadline(a));
                }
            }
            _ => {}
        }
        self.pump();
    }

    /// A number of the connection, in the order that `core.ts` has.
    pub fn stat(&self, index: u8) -> f64 {
        let gauges = self.driver.gauges();
        number(match index {
            0 => gauges.buffered_amount,
            1 => gauges.budget_bytes,
            _ => gauges.bytes_per_second,
        })
    }

    pub(super) fn pump(&self) {
        let due = self.driver.pump();
        self.after(due);
    }

    pub(super) fn after(&self, due: Option<Timestamp>) {
        // From inside, the outer call sets the timer.
        if self.driver.is_pumping() {
            return;
        }
        // A session's moments move with each message. One that is set and comes too early sets the next.
        #[cfg(feature = "v1")]
        if self.driver.transport().is_tidegate.get() && self.due.get().is_some_and(|set| due >= Some(set)) {
            return;
        }
        if self.due.replace(due) == due {
            return;
        }
        let wait = due.map(|due| due.micros_since(HostClock.now()).div_ceil(1000));
        // That of a message may be beyond what timers of hosts can wait, and they would not wait at all. One that comes too
        // early sets the next.
        let wait = wait.map_or(-1, |wait| i32::try_from(wait).unwrap_or(i32::MAX));
        set_timer(self.driver.transport().host, wait);
    }
}
