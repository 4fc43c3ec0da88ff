//! The one exported class.

use core::cell::Cell;
use core::time::Duration;

use wasm_bindgen::prelude::*;

use super::convert::{
    CLOSED, EXPIRED, HANDED_OVER, REFUSED, bound, bound_u32, count, deadline, kind, number, policy, priority,
};
use super::host::{Host, HostTransport};
use super::outlet::{FacadeOutlet, Sent};
use crate::driver::{Driver, DriverConfig};
use crate::platform::web::WebClock;
use crate::proto::{
    CloseRequest, FetchId, Flow, GateConfig, Hosted, HostedKind, MessageId, NewMessage, Outcome, Payload,
    QueueConfig, RecvLimits, Slot,
};
use crate::time::{Clock, Timestamp};
use crate::transport::{FetchToken, Incoming, TransportEvent};

/// A connection, for the TypeScript facade, whose `core.ts` says how it is used.
#[wasm_bindgen]
pub struct Core {
    driver: Driver<HostTransport, WebClock, FacadeOutlet>,
    due: Cell<Option<Timestamp>>,
}

#[wasm_bindgen]
impl Core {
    /// A connection whose socket is connecting.
    #[wasm_bindgen(constructor)]
    pub fn new(host: Host) -> Core {
        let option = |index| host.option(index);
        let receive = RecvLimits {
            max_queued_bytes: bound(option(1)),
            max_queued_messages: bound_u32(option(2)),
            policy: policy(u16::try_from(count(option(3))).unwrap_or(u16::MAX)),
        };
        let config = DriverConfig {
            connect_within: deadline(option(0)),
            // In 256ths.
            queue: QueueConfig { share: u8::try_from(count(option(4) * 256.0)).unwrap_or(u8::MAX) },
            gate: GateConfig {
                budget_bytes: count(option(5)),
                max_bytes_per_second: Some(bound(option(6))).filter(|rate| *rate < u64::MAX),
            },
        };
        let outlet = FacadeOutlet::new(host.clone(), receive);
        // No option of an application comes as this.
        let transport = HostTransport { is_paced: host.option(5).is_infinite(), host };
        let driver = Driver::new(outlet, transport, WebClock, config);
        let core = Core { driver, due: Cell::new(None) };
        core.pump();
        core
    }

    // What the socket says.

    /// The socket is open.
    pub fn opened(&self) {
        self.handle(TransportEvent::Opened);
    }

    /// A message has arrived and stands in `slot`.
    pub fn received(&self, slot: u32, bytes: f64) {
        let hosted = Hosted { slot: Slot(slot), kind: HostedKind::Buffer, bytes: count(bytes) };
        self.handle(TransportEvent::Message(Incoming::Message(Payload::Hosted(hosted))));
    }

    /// The socket is closed. The facade keeps the reason.
    pub fn closed(&self, code: u16, was_clean: bool) {
        self.handle(TransportEvent::Closed { code, reason: String::new(), was_clean });
    }

    /// What `read` was asked for stands in `slot`, or could not be read (`slot` below 0).
    pub fn fetched(&self, id: f64, slot: i32, bytes: f64) {
        let content = u32::try_from(slot).ok().map(|slot| {
            Payload::Hosted(Hosted { slot: Slot(slot), kind: HostedKind::Buffer, bytes: count(bytes) })
        });
        let token = FetchToken::Send(FetchId(count(id)));
        self.handle(TransportEvent::Fetched { token, content });
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
        let outlet = self.driver.outlet();
        let (bytes, priority, flow) = (count(bytes), priority(class), Flow(flow));
        if outlet.is_stopped() {
            return CLOSED;
        }
        let replaces = (replaces > 0.0).then(|| MessageId(count(replaces)));
        let payload = Payload::Hosted(Hosted { slot: Slot(slot), kind: kind(data_kind), bytes });
        let deadline = (deadline_ms >= 0.0)
            .then(|| WebClock.now().saturating_add(Duration::from_micros(count(deadline_ms * 1000.0))));
        // The session takes messages as long as the outlet is not stopped.
        let new = NewMessage { priority, flow, payload, deadline, replaces, ticket: None };
        let Ok(id) = self.driver.send(new) else { return CLOSED };
        match outlet.sending(id, || self.pump()) {
            Sent::Queued => number(id.0),
            Sent::Ended(Outcome::HandedOver) => HANDED_OVER,
            Sent::Ended(Outcome::Expired) => EXPIRED,
            // The socket refused it: it is closing, and its close event is on the way.
            Sent::Ended(_) => REFUSED,
        }
    }

    /// Takes a message out of the queue, if it is still there: then its outcome comes before this
    /// returns.
    pub fn cancel(&self, ticket: f64) {
        self.driver.cancel(MessageId(count(ticket)));
        self.pump();
    }

    /// The slot of the next message, which is then the facade's; -1 if there is none.
    pub fn take(&self) -> i32 {
        self.driver.outlet().take().and_then(|slot| i32::try_from(slot.0).ok()).unwrap_or(-1)
    }

    /// Begins the close. Code 0: none given. The facade keeps the reason.
    pub fn close(&self, code: u16, within_ms: f64, flush: bool) {
        let code = (code != 0).then_some(code);
        self.driver.outlet().stop();
        self.driver.close(CloseRequest { code, reason: String::new(), within: deadline(within_ms), flush });
        self.pump();
    }

    /// Stops sending, goes on receiving; `close_ms` is the deadline of the close that follows when
    /// the peer has not closed in time.
    pub fn end(&self, within_ms: f64, close_ms: f64) {
        self.driver.outlet().stop();
        self.driver.end(deadline(within_ms), deadline(close_ms));
        self.pump();
    }

    /// Gives up at once.
    pub fn abort(&self) {
        self.driver.outlet().stop();
        self.driver.abort();
        self.pump();
    }

    /// A number of the connection, in the order that `core.ts` has.
    pub fn stat(&self, index: u8) -> f64 {
        let gauges = self.driver.gauges();
        let received = self.driver.outlet().received();
        number(match index {
            0 => gauges.buffered_amount,
            1 => gauges.budget_bytes,
            2 => gauges.bytes_per_second,
            3 => received.0,
            _ => received.1,
        })
    }

    fn handle(&self, event: TransportEvent) {
        self.driver.handle(event);
        self.pump();
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
        let wait = due.map(|due| due.micros_since(WebClock.now()).div_ceil(1000));
        // The facade's deadlines are below 2^31 milliseconds.
        let wait = wait.and_then(|wait| u32::try_from(wait).ok());
        self.driver.transport().host.set_timer(wait.map_or(-1.0, f64::from));
    }
}
