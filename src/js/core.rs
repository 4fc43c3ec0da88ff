//! The one exported class.

use core::cell::Cell;
use core::time::Duration;

use wasm_bindgen::prelude::*;

use super::convert::{CLOSED, EXPIRED, HANDED_OVER, REFUSED, bound, count, deadline, kind, number, priority};
use super::host::{Host, HostClock, HostTransport, set_timer};
use super::outlet::FacadeOutlet;
use crate::driver::{Driver, DriverConfig};
use crate::proto::{
    CloseRequest, FetchId, Flow, GateConfig, Hosted, HostedKind, MessageId, NewMessage, Outcome, Payload,
    QueueConfig, Reason, Slot,
};
use crate::time::{Clock, Timestamp};

/// A connection, for the TypeScript facade, whose `core.ts` says how it is used.
#[wasm_bindgen]
pub struct Core {
    driver: Driver<HostTransport, HostClock, FacadeOutlet>,
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
            // In 256ths.
            queue: QueueConfig { share: u8::try_from(count(guaranteed_share * 256.0)).unwrap_or(u8::MAX) },
            gate: GateConfig {
                budget_bytes: count(budget_bytes),
                max_bytes_per_second: bound(max_bytes_per_second),
            },
        };
        // No budget of an application comes as infinite.
        let transport = HostTransport { is_paced: budget_bytes.is_infinite(), host };
        let driver = Driver::new(FacadeOutlet::new(host), transport, HostClock, config);
        let core = Core { driver, due: Cell::new(None) };
        core.pump();
        core
    }

    // What the socket says.

    /// The socket is open.
    pub fn opened(&self) {
        self.driver.opened();
        self.pump();
    }

    /// A message has arrived, which the facade keeps. `overflow` is the code to close with if it has no room for it,
    /// else 0.
    pub fn received(&self, overflow: u16) {
        self.driver.task();
        if overflow > 0 {
            self.driver.overflow(overflow);
        }
        self.pump();
    }

    /// The socket is closed. The facade keeps the reason.
    pub fn closed(&self, code: u16, was_clean: bool) {
        self.driver.closed(code, Reason::default(), was_clean);
        self.pump();
    }

    /// What `read` was asked for stands in `slot`, or could not be read (`slot` below 0).
    pub fn fetched(&self, id: f64, slot: i32, bytes: f64) {
        let content = u32::try_from(slot).ok().map(|slot| {
            Payload::Hosted(Hosted { slot: Slot(slot), kind: HostedKind::Buffer, bytes: count(bytes) })
        });
        self.driver.fetched(FetchId(count(id)), content);
        self.pump();
    }

    /// The timer has fired.
    pub fn timer(&self) {
        self.due.set(None);
        let due = self.driver.pump_timer();
        self.after(due);
    }

    // What the application wants.

    /// Sends the value in `slot`, for which the facade has found room. 0: handed over; a positive ticket: queued; -2:
    /// closed (the slot stays the facade's); -3: the socket has refused it; -4: its deadline has passed.
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
            // The socket refused it: it is closing, and its close event is on the way.
            Some(_) => REFUSED,
        }
    }

    /// The server has the first `bytes` bytes of all that the socket was given.
    pub fn acknowledged(&self, bytes: f64) {
        self.driver.acknowledged(count(bytes));
        self.pump();
    }

    /// Takes a message out of the queue, if it is still there: then its outcome comes before this
    /// returns.
    pub fn cancel(&self, ticket: f64) {
        self.driver.cancel(MessageId(count(ticket)));
        self.pump();
    }

    /// Begins the close. Code 0: none given. The facade keeps the reason.
    pub fn close(&self, code: u16, within_ms: f64, flush: bool) {
        let code = (code != 0).then_some(code);
        self.driver.close(CloseRequest {
            code,
            reason: Reason::default(),
            within: deadline(within_ms),
            flush,
        });
        self.pump();
    }

    /// Stops sending, goes on receiving; `close_ms` is the deadline of the close that follows when
    /// the peer has not closed in time.
    pub fn end(&self, within_ms: f64, close_ms: f64) {
        self.driver.end(deadline(within_ms), deadline(close_ms));
        self.pump();
    }

    /// Gives up at once.
    pub fn abort(&self) {
        self.driver.abort();
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

    fn pump(&self) {
        let due = self.driver.pump();
        self.after(due);
    }

    fn after(&self, due: Option<Timestamp>) {
        // From inside, the outer call sets the timer.
        if self.driver.is_pumping() || self.due.replace(due) == due {
            return;
        }
        let wait = due.map(|due| due.micros_since(HostClock.now()).div_ceil(1000));
        // The facade's deadlines are below 2^31 milliseconds.
        let wait = wait.and_then(|wait| u32::try_from(wait).ok());
        set_timer(self.driver.transport().host, wait.map_or(-1.0, f64::from));
    }
}
