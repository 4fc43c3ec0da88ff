//! The one exported class.

use core::cell::Cell;

use wasm_bindgen::prelude::*;

use super::convert::{
    CLOSED, FULL, HANDED_OVER, REFUSED, bound, bound_u32, count, deadline, kind, number, policy,
};
use super::host::{Host, HostTransport};
use super::outlet::{FacadeOutlet, Sent};
use crate::driver::Driver;
use crate::platform::web::WebClock;
use crate::proto::{
    Class, CloseRequest, FetchId, Flow, Hosted, HostedKind, Outcome, Payload, RecvLimits, SendLimits, Slot,
    TicketId,
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
    pub fn new(
        host: Host,
        connect_ms: f64,
        max_send_bytes: f64,
        max_send_messages: f64,
        max_receive_bytes: f64,
        max_receive_messages: f64,
        overflow: u16,
    ) -> Core {
        let send = SendLimits {
            max_queued_bytes: bound(max_send_bytes),
            max_queued_messages: bound_u32(max_send_messages),
        };
        let receive = RecvLimits {
            max_queued_bytes: bound(max_receive_bytes),
            max_queued_messages: bound_u32(max_receive_messages),
            policy: policy(overflow),
        };
        let outlet = FacadeOutlet::new(host.clone(), send, receive);
        let driver = Driver::new(outlet, HostTransport { host }, WebClock, [deadline(connect_ms), None]);
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

    /// Sends the value in `slot`. 0: handed over; a positive ticket: queued; -1: full; -2: closed
    /// (with both the slot stays the facade's); -3: the socket has refused it.
    pub fn send(&self, slot: u32, data_kind: u8, bytes: f64) -> f64 {
        let outlet = self.driver.outlet();
        let bytes = count(bytes);
        if outlet.is_stopped() {
            return CLOSED;
        }
        if !outlet.admit(bytes) {
            return FULL;
        }
        let payload = Payload::Hosted(Hosted { slot: Slot(slot), kind: kind(data_kind), bytes });
        let sent = outlet.sending(|ticket| {
            // The session takes messages as long as the outlet is not stopped.
            let _ = self.driver.send(Class::default(), Flow::default(), payload, Some(ticket));
            self.pump();
        });
        match sent {
            Sent::Queued(ticket) => number(ticket.0),
            Sent::Ended(Outcome::HandedOver) => HANDED_OVER,
            // The socket refused it: it is closing, and its close event is on the way.
            Sent::Ended(_) => REFUSED,
        }
    }

    /// Takes a message out of the queue, if it is still there: then its outcome comes before this
    /// returns.
    pub fn cancel(&self, ticket: f64) {
        self.driver.cancel(TicketId(count(ticket)));
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

    /// Bytes queued here.
    #[wasm_bindgen(getter, js_name = queuedBytes)]
    pub fn queued_bytes(&self) -> f64 {
        number(self.driver.outlet().queued_bytes())
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
