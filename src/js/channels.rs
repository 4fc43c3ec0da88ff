//! Tidegate mode at the border: records in and out, parts of items, channels by the facade's numbers.
//!
//! Bytes cross it in two places: of a message that has arrived the facade writes in front of the core what is to be read, and
//! what the core has written is read from its memory. The content of items does neither, unless it is short: the facade takes
//! it from the message, and puts it in.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use wasm_bindgen::prelude::*;

use super::convert::{
    CLOSED, EXPIRED, REFUSED, TOO_BIG, code, count, deadline, kind, number, place, priority,
};
use super::core::Core;
use super::host::{Host, HostClock};
use crate::driver::ChannelEnd;
use crate::driver::tidegate::{ChannelId, Origin, TidegateConfig};
use crate::proto::payload::Outgoing;
use crate::proto::v1::{ChannelCode, ChannelKey, Chunk, Directions, GoingAway, OpenError, Side};
use crate::proto::{Flow, Hosted, MessageId, NewMessage, Outcome, Payload, Priority, Slot};
use crate::time::{Clock as _, Duration};

// As in `host.rs`: numbers only, and truths are 0 or 1. What begins with `at` is a place in this memory.
#[wasm_bindgen(raw_module = "host")]
extern "C" {
    /// Sends a binary message of the `length` bytes at `at`, with `count` values in between, each as four numbers at
    /// `inserts`: before which byte, its slot, from and to where of it. False if that throws.
    fn records(host: Host, at: i32, length: i32, inserts: i32, count: i32) -> bool;
    /// A part of an item: on which channel of the facade's (0: of the connection) and of the core's, where it stands in the
    /// message and its length; -1, or for the first 0 of bytes and 1 of text, and besides twice one more than the item's size
    /// if that is known; its cost if it is the last, else -1.
    #[allow(clippy::too_many_arguments, reason = "numbers cross for less than an object")]
    #[wasm_bindgen(js_name = chunk)]
    fn part(host: Host, channel: f64, key: i32, serial: i32, start: i32, length: i32, first: i32, cost: f64);
    #[wasm_bindgen(js_name = voided)]
    fn void_item(host: Host, key: i32);
    #[wasm_bindgen(js_name = channelOutcome)]
    fn channel_outcome(host: Host, channel: f64, ticket: f64, outcome: i32);
    /// The peer has opened a channel of this name (`length` bytes of UTF-8) and class: its number, 0 to refuse it.
    fn offered(host: Host, at: i32, length: i32, class: i32) -> f64;
    #[wasm_bindgen(js_name = accepted)]
    fn was_accepted(host: Host, channel: f64);
    /// A direction has ended: ours or the peer's, with a code, 0 for a close, and `length` bytes of detail.
    #[wasm_bindgen(js_name = halfEnded)]
    fn half_ended(host: Host, channel: f64, ours: i32, code: i32, at: i32, length: i32);
    #[wasm_bindgen(js_name = channelsOver)]
    fn channels_over(host: Host);
    /// The peer goes away: its code, milliseconds to drain, until a return, and of jitter, and `length` bytes of a reason.
    #[wasm_bindgen(js_name = goingAway)]
    fn is_going(host: Host, code: i32, drain: f64, back: f64, jitter: f64, at: i32, length: i32);
}

/// What [`Core::open`] returns beside 0.
const PLAIN: f64 = -1.0;
const NAME_TOO_LONG: f64 = -5.0;

/// A deadline that nobody lives to see: 285 years.
const NEVER: Duration = Duration::from_micros(1 << 53);

/// What [`Core::steer`] is told, in the order that `channels-host.ts` has.
mod steer {
    /// Send nothing more on this channel, after what is queued.
    pub(super) const CLOSE: u8 = 0;
    /// Reset what is sent: the code. The detail stands on the desk.
    pub(super) const RESET: u8 = 1;
    /// Reset what is received, likewise.
    pub(super) const STOP: u8 = 2;
    /// Nobody uses it any more.
    pub(super) const DROP: u8 = 3;
    /// Its class.
    pub(super) const PREFER: u8 = 4;
}

/// A place in this memory, as the same bits with a sign, which the facade takes off.
fn at<T>(place: *const T) -> i32 {
    u32::try_from(place.addr()).map_or(0, bits)
}

/// A length in this memory.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

fn id_of(channel: f64) -> ChannelId {
    ChannelId(count(channel))
}

fn number_of(channel: Option<ChannelId>) -> f64 {
    channel.map_or(0.0, |id| number(id.0))
}

#[allow(clippy::cast_possible_wrap, reason = "only the same bits come back")]
fn bits(value: u32) -> i32 {
    value as i32
}

pub(super) fn transmit(host: Host, out: &Outgoing) -> bool {
    let numbers: Vec<f64> = out
        .inserts
        .iter()
        .flat_map(|insert| {
            let slot = f64::from(place(insert.slot));
            [number(insert.at as u64), slot, number(insert.range.start), number(insert.range.end)]
        })
        .collect();
    let count = length(out.inserts.len());
    records(host, at(out.bytes.as_ptr()), length(out.bytes.len()), at(numbers.as_ptr()), count)
}

pub(super) fn chunk(host: Host, channel: Option<ChannelId>, chunk: &Chunk, origin: Origin) {
    let size_of = |total: Option<u64>| total.and_then(|total| i32::try_from(2 * (total + 1)).ok());
    let first = chunk.first.map_or(-1, |(is_text, total)| size_of(total).unwrap_or(0) + i32::from(is_text));
    let cost = chunk.last.map_or(-1.0, number);
    let (start, size) = (length(chunk.range.start), length(chunk.range.len()));
    let (key, serial) = (bits(origin.key.0), bits(origin.serial));
    part(host, number_of(channel), key, serial, start, size, first, cost);
}

pub(super) fn void(host: Host, key: ChannelKey) {
    void_item(host, bits(key.0));
}

pub(super) fn done(host: Host, id: ChannelId, ticket: f64, outcome: i32) {
    channel_outcome(host, number(id.0), ticket, outcome);
}

pub(super) fn offer(host: Host, name: &str, class: Priority) -> Option<ChannelId> {
    let channel = offered(host, at(name.as_ptr()), length(name.len()), length(class.index()));
    (channel > 0.0).then(|| id_of(channel))
}

pub(super) fn accepted(host: Host, id: ChannelId) {
    was_accepted(host, number(id.0));
}

pub(super) fn ended(host: Host, id: ChannelId, end: &ChannelEnd, is_ours: bool) {
    let (code, detail): (i32, &[u8]) = match end {
        ChannelEnd::Closed => (0, &[]),
        ChannelEnd::Reset { code, detail } => (i32::try_from(code.to_wire()).unwrap_or(0), detail),
        ChannelEnd::ConnectionOver => (-1, &[]),
    };
    half_ended(host, number(id.0), i32::from(is_ours), code, at(detail.as_ptr()), length(detail.len()));
}

pub(super) fn over(host: Host) {
    channels_over(host);
}

pub(super) fn going_away(host: Host, going: &GoingAway) {
    let code = i32::try_from(going.code.to_wire()).unwrap_or(0);
    let [drain, back, jitter] = [going.drain_ms, going.reconnect_after_ms, going.jitter_ms].map(number);
    let reason = going.reason.as_bytes();
    is_going(host, code, drain, back, jitter, at(reason.as_ptr()), length(reason.len()));
}

/// Where the facade puts messages and names: one for all connections, which otherwise would keep the largest message of
/// each, in a memory that never shrinks.
#[wasm_bindgen(js_name = core_desk)]
pub struct Desk {
    buffer: RefCell<Vec<u8>>,
    /// How much of it was asked for and is not taken yet.
    reserved: Cell<usize>,
}

// Begins with what xtask keeps of the exports.
#[wasm_bindgen(js_class = core_desk)]
impl Desk {
    /// To be made once.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::new_without_default, reason = "the facade's alone")]
    pub fn new() -> Desk {
        Desk { buffer: RefCell::default(), reserved: Cell::new(0) }
    }

    /// Makes room for so many bytes, and tells where. It is gone with the next call that takes them.
    ///
    /// Where the facade writes nothing stands what it has written before: content, of which only the length counts.
    pub fn reserve(&self, bytes: u32) -> *mut u8 {
        let bytes = bytes as usize;
        let mut buffer = self.buffer.borrow_mut();
        if buffer.len() < bytes {
            buffer.resize(bytes, 0);
        }
        self.reserved.set(bytes);
        buffer.as_mut_ptr()
    }

    /// Takes what the facade has written since it asked for room; nothing if it has not.
    fn written(&self) -> Vec<u8> {
        self.buffer.borrow().get(..self.reserved.take()).unwrap_or_default().to_vec()
    }
}

#[wasm_bindgen]
impl Core {
    /// Speaks `tidegate.v1` if that is the subprotocol when the socket opens, with these limits; as server if it
    /// `accepts`. The peer's first record may take `hello_ms`, 0 for any time; after a silence of `ping_ms`, 0 for as long as
    /// there may be, it is asked whether it is there; and the socket takes messages of up to `message_bytes`. To be called
    /// before that.
    #[allow(clippy::too_many_arguments, reason = "numbers cross for less than an object")]
    pub fn speak(
        &self,
        accepts: bool,
        random: f64,
        max_channels: u32,
        max_message_bytes: u32,
        max_queued_bytes: f64,
        delay_ms: f64,
        hello_ms: f64,
        ping_ms: f64,
        message_bytes: f64,
    ) {
        self.driver.transport().accepts.set(accepts);
        let side = if accepts { Side::Server { resume: None, hint: String::new() } } else { Side::Client };
        let delay = Duration::from_micros(count(delay_ms * 1000.0));
        let counts = [max_channels, max_message_bytes];
        let mut config = TidegateConfig::new(side, count(random), counts, count(max_queued_bytes), delay);
        config.bound_messages(count(message_bytes));
        config.ping_after(deadline(ping_ms));
        config.session.hello_timeout = deadline(hello_ms).unwrap_or(NEVER);
        self.driver.offer_tidegate(config);
    }

    /// The message that stands there has arrived; without one, of another kind.
    pub fn receive(&self, desk: &Desk, is_binary: bool) {
        self.driver.task();
        if is_binary {
            // Out of it: who is told of an item may write there, also a message for another connection.
            let bytes = desk.buffer.take();
            self.driver.receive_bytes(bytes.get(..desk.reserved.take()).unwrap_or_default());
            // To be used again, and not to be filled again.
            desk.buffer.replace(bytes);
        } else {
            self.driver.receive_text();
        }
        self.pump();
    }

    /// Opens a channel, by a number that the facade has not used, whose name stands there. 0, or why not.
    pub fn open(&self, desk: &Desk, channel: f64, class: u8) -> f64 {
        let Ok(name) = String::from_utf8(desk.written()) else { return NAME_TOO_LONG };
        let id = id_of(channel);
        let opened = match self.driver.open_channel(id, name, priority(class)) {
            None => return PLAIN,
            Some(Err(OpenError::NameTooLong(_))) => return NAME_TOO_LONG,
            Some(Err(_)) => return CLOSED,
            Some(Ok(key)) => key,
        };
        self.driver.outlet().channels.borrow_mut().insert(id.0, opened);
        self.pump();
        0.0
    }

    /// As `send`, on a channel.
    #[allow(clippy::too_many_arguments, reason = "numbers cross for less than an object")]
    #[wasm_bindgen(js_name = sendOn)]
    pub fn send_on(
        &self,
        channel: f64,
        slot: u32,
        data_kind: u8,
        bytes: f64,
        deadline_ms: f64,
        replaces: f64,
    ) -> f64 {
        let Some(channel) = self.find(channel) else { return CLOSED };
        let payload =
            Payload::Hosted(Hosted { slot: Slot(slot), kind: kind(data_kind), bytes: count(bytes) });
        let deadline = (deadline_ms >= 0.0)
            .then(|| HostClock.now().saturating_add(Duration::from_micros(count(deadline_ms * 1000.0))));
        let replaces = (replaces > 0.0).then(|| MessageId(count(replaces)));
        let (priority, flow) = (Priority::default(), Flow::default());
        let new = NewMessage { priority, flow, payload, deadline, replaces, ticket: None };
        let Ok(id) = self.driver.send_on(channel, new) else { return CLOSED };
        match self.driver.outlet().sending(id, || self.after(self.driver.pump())) {
            None => number(id.0),
            Some(Outcome::Expired) => EXPIRED,
            Some(Outcome::TooBig) => TOO_BIG,
            Some(_) => REFUSED,
        }
    }

    /// See [`steer`].
    pub fn steer(&self, desk: &Desk, channel: f64, what: u8, value: f64) {
        // First: what is left there would be the detail of another.
        let detail = desk.written();
        let Some((id, key)) = self.find(channel) else { return };
        let reset = |directions| {
            let code = ChannelCode::from_wire(u64::from(code(value)));
            self.driver.reset_channel(key, directions, code, detail);
        };
        match what {
            steer::CLOSE => _ = self.driver.close_channel(id, key),
            steer::RESET => reset(Directions::Sending),
            steer::STOP => reset(Directions::Receiving),
            steer::DROP => {
                self.driver.outlet().channels.borrow_mut().remove(id.0);
                self.driver.drop_channel(key);
            }
            steer::PREFER => {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 3")]
                self.driver.prefer_channel(key, priority(value as u8));
            }
            _ => {}
        }
        self.pump();
    }

    /// Items were taken that have come on this channel of the core's; or (`bad`) one was text, and is not.
    pub fn took(&self, key: u32, serial: u32, cost: f64, bad: bool) {
        let origin = Origin { key: ChannelKey(key), serial, cost: count(cost) };
        if bad {
            self.driver.refuse_text(origin);
        } else {
            self.driver.taken(origin);
        }
        self.pump();
    }

    fn find(&self, channel: f64) -> Option<(ChannelId, ChannelKey)> {
        let id = id_of(channel);
        let key = self.driver.outlet().channels.borrow().get(id.0).copied()?;
        Some((id, key))
    }
}
