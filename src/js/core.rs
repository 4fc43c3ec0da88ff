//! The one exported class.

use std::rc::Rc;

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::prelude::*;

use super::convert::{CLOSED, FULL, HANDED_OVER, bound, bound_u32, count, deadline, kind, number};
use super::sink::{Sent, Sink, SinkObserver};
use crate::client::{CloseOptions, LocalClient};
use crate::driver::Command;
use crate::driver::hub::NoRoom;
use crate::proto::{CloseRequest, Outcome, RecvLimits, SendLimits, TicketId};
use crate::transport::web_socket::Socket;

/// A connection, for the TypeScript facade. Its rules are in the facade's `core.ts`.
#[wasm_bindgen]
pub struct Core {
    client: LocalClient,
    observer: Rc<SinkObserver>,
}

#[wasm_bindgen]
impl Core {
    /// Takes over a socket with the events that it has dispatched already.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::too_many_arguments, reason = "numbers cross for less than an object")]
    pub fn new(
        socket: JsValue,
        early: &Array,
        sink: Sink,
        connect_ms: f64,
        max_send_bytes: f64,
        max_send_messages: f64,
        max_receive_bytes: f64,
        max_receive_messages: f64,
        overflow_code: u16,
    ) -> Core {
        let observer = Rc::new(SinkObserver::new(sink));
        let send = SendLimits {
            max_queued_bytes: bound(max_send_bytes),
            max_queued_messages: bound_u32(max_send_messages),
        };
        let receive = RecvLimits {
            max_queued_bytes: bound(max_receive_bytes),
            max_queued_messages: bound_u32(max_receive_messages),
            overflow_code,
        };
        let socket = socket.unchecked_into::<Socket>();
        let client =
            LocalClient::adopt(socket, early, observer.clone(), deadline(connect_ms), (send, receive));
        Core { client, observer }
    }

    /// 0: handed over; a positive ticket: queued; -1: full; -2: closed.
    pub fn send(&self, data: &JsValue, data_kind: u8, bytes: f64, owned: bool) -> f64 {
        let sent = self.observer.send(|| self.client.send_value(data, kind(data_kind), count(bytes), owned));
        match sent {
            Err(NoRoom::Full) => FULL,
            Ok(Sent::Ended(Outcome::HandedOver)) => HANDED_OVER,
            // The socket refused it: it is closing, and its close event is on the way.
            Err(NoRoom::Closed) | Ok(Sent::Ended(_)) => CLOSED,
            Ok(Sent::Queued(ticket)) => number(ticket.0),
        }
    }

    /// Takes a message out of the queue. Returns whether it was still there; its outcome follows
    /// through the sink before this returns.
    pub fn cancel(&self, ticket: f64) -> bool {
        let ticket = TicketId(count(ticket));
        self.observer.cancelled.set(None);
        self.client.cancel(ticket);
        self.observer.cancelled.take() == Some(ticket)
    }

    /// The next message, or `undefined`.
    pub fn take(&self) -> JsValue {
        match self.client.take() {
            Some(Ok(value)) => value,
            Some(Err(name)) => {
                let object = Object::new();
                // Setting a field of a plain object does not fail.
                let _ = Reflect::set(&object, &"unsupported".into(), &name.into());
                object.into()
            }
            None => {
                self.observer.wants_message.set(true);
                JsValue::UNDEFINED
            }
        }
    }

    /// Begins the close. Code 0: none given.
    pub fn close(&self, code: u16, reason: String, within_ms: f64, flush: bool) {
        let code = (code != 0).then_some(code);
        let within = deadline(within_ms);
        self.client.begin_close(Command::Close(CloseRequest { code, reason, within, flush }));
    }

    /// Stops sending, goes on receiving.
    pub fn end(&self, within_ms: f64) {
        let close_within = CloseOptions::default().deadline();
        self.client.begin_close(Command::End { within: deadline(within_ms), close_within });
    }

    /// Gives up at once.
    pub fn abort(&self) {
        self.client.begin_close(Command::Abort);
    }

    /// Bytes queued here plus the socket's own.
    #[wasm_bindgen(getter, js_name = bufferedAmount)]
    pub fn buffered_amount(&self) -> f64 {
        number(self.client.buffered_amount())
    }

    /// Messages queued here.
    #[wasm_bindgen(getter, js_name = queuedMessages)]
    pub fn queued_messages(&self) -> u32 {
        self.client.queued_messages()
    }
}
