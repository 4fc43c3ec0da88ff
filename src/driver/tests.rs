//! The driver over a transport in the test's hands.

use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use super::hub::{NoRoom, Now};
use super::{Command, Driver, DriverConfig, Hub, HubOutlet, SendOptions, Stage};
use crate::proto::{
    Amount, CloseCause, CloseRequest, Closed, Hosted, HostedKind, Outcome, Payload, RecvLimits, RecvPolicy,
    SendLimits, Slot, TicketId, Transmit,
};
use crate::slab::Slab;
use crate::time::{Clock, Timestamp};
use crate::transport::{FetchToken, Incoming, Opened, Transport, TransportEvent};

/// What the fake transport keeps and what was asked of it.
#[derive(Default)]
struct Wire {
    room: Cell<bool>,
    events: RefCell<VecDeque<TransportEvent>>,
    values: RefCell<Slab<Rc<str>>>,
    opened: RefCell<Opened>,
    sent: RefCell<Vec<String>>,
    closes: Cell<u32>,
    aborts: Cell<u32>,
    now: Cell<u64>,
    /// Called once when a value is released, as dropping one may run code of its host.
    on_release: Cell<Option<Box<dyn FnOnce()>>>,
}

impl Wire {
    fn push(&self, event: TransportEvent) {
        self.events.borrow_mut().push_back(event);
    }
}

/// A transport and a clock, both of one wire.
#[derive(Clone)]
struct Fake(Rc<Wire>);

impl Clock for Fake {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.now.get())
    }
}

/// Whether a waker was called.
#[derive(Default)]
struct Woken(std::sync::OnceLock<()>);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.get_or_init(|| ());
    }
}

/// The handles' clock, which no test of this file asks.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }
}

impl Transport for Fake {
    fn takes_values(&self) -> bool {
        true
    }
    fn has_room(&self) -> bool {
        self.0.room.get()
    }
    fn send(&self, part: Transmit) -> bool {
        let sent = match part.payload {
            Payload::Text(text) => text,
            Payload::Binary(bytes) => format!("{bytes:?}"),
            Payload::Hosted(hosted) => {
                format!("value {}", self.0.values.borrow().get(hosted.slot.0).unwrap())
            }
        };
        let taken = sent != "refuse";
        if taken {
            self.0.sent.borrow_mut().push(sent);
        }
        taken
    }
    fn close(&self, _: Option<u16>, _: String) {
        self.0.closes.set(self.0.closes.get() + 1);
    }
    fn abort(&self) {
        self.0.aborts.set(self.0.aborts.get() + 1);
    }
    fn fetch(&self, slot: Slot, range: Range<u64>, token: FetchToken) {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let value = self.0.values.borrow().get(slot.0).cloned();
        let content = value.and_then(|value| value.get(range).map(|part| Payload::Binary(part.into())));
        self.0.push(TransportEvent::Fetched { token, content });
    }
    fn release(&self, slot: Slot) {
        self.0.values.borrow_mut().remove(slot.0).unwrap();
        if let Some(call) = self.0.on_release.take() {
            call();
        }
    }
    fn take_bytes(&self, content: Payload) -> Option<Vec<u8>> {
        match content {
            Payload::Binary(bytes) => Some(bytes),
            Payload::Text(_) | Payload::Hosted(_) => None,
        }
    }
    fn opened(&self) -> Opened {
        self.0.opened.borrow().clone()
    }
    fn next_event(&self, reads: bool) -> Option<TransportEvent> {
        if reads { self.0.events.borrow_mut().pop_front() } else { None }
    }
}

type FakeDriver = Driver<Fake, Fake, HubOutlet>;

fn connecting() -> (FakeDriver, Arc<Hub>, Rc<Wire>) {
    connecting_with(RecvLimits::default())
}

fn connecting_with(receive: RecvLimits) -> (FakeDriver, Arc<Hub>, Rc<Wire>) {
    let wire = Rc::new(Wire::default());
    wire.room.set(true);
    let hub = Hub::new(SendLimits::default(), receive, Now::of(Still), None);
    hub.add_user();
    let fake = Fake(wire.clone());
    let config = DriverConfig {
        connect_within: Some(Duration::from_secs(1)),
        peer_close_within: Some(Duration::from_secs(2)),
        ..DriverConfig::default()
    };
    (Driver::new(HubOutlet::new(hub.clone()), fake.clone(), fake, config), hub, wire)
}

fn open() -> (FakeDriver, Arc<Hub>, Rc<Wire>) {
    open_with(RecvLimits::default())
}

fn open_with(receive: RecvLimits) -> (FakeDriver, Arc<Hub>, Rc<Wire>) {
    let (driver, hub, wire) = connecting_with(receive);
    wire.push(TransportEvent::Opened);
    driver.pump();
    assert_eq!(hub.stage(), Stage::Open);
    (driver, hub, wire)
}

fn text(text: &str) -> Payload {
    Payload::Text(text.into())
}

fn message(content: &str) -> TransportEvent {
    TransportEvent::Message(Incoming::Message(text(content)))
}

/// Puts a value of this size into the transport's keeping.
fn keep(wire: &Wire, value: &Rc<str>, kind: HostedKind, bytes: u64) -> Payload {
    let slot = Slot(wire.values.borrow_mut().insert(value.clone()));
    Payload::Hosted(Hosted { slot, kind, bytes })
}

fn try_send(hub: &Hub, payload: Payload) -> Result<TicketId, (NoRoom, Payload)> {
    hub.try_send(hub.outgoing(payload, SendOptions::new()))
}

fn send(hub: &Hub, payload: Payload) -> TicketId {
    try_send(hub, payload).unwrap()
}

fn outcome(hub: &Hub, ticket: TicketId) -> Option<Outcome> {
    match hub.poll_outcome(ticket, None) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn closed(hub: &Hub) -> Option<Closed> {
    match hub.poll_closed(&mut None, Waker::noop()) {
        Poll::Ready(closed) => Some(closed),
        Poll::Pending => None,
    }
}

fn close(flush: bool) -> Command {
    Command::Close(CloseRequest { code: Some(4001), reason: String::new(), within: None, flush })
}

fn ended(code: u16) -> TransportEvent {
    TransportEvent::Closed { code, reason: String::new(), was_clean: true }
}

#[test]
fn b07_a_close_while_connecting_is_an_abort_by_the_caller() {
    let (driver, hub, wire) = connecting();
    let ticket = send(&hub, text("early"));
    hub.begin_close(close(true));
    driver.pump();
    let closed = closed(&hub).unwrap();
    assert_eq!((closed.cause, closed.code, closed.was_clean), (CloseCause::Aborted, 1006, false));
    assert_eq!((outcome(&hub, ticket), closed.unsent.messages), (Some(Outcome::Unsent), 1));
    assert!(wire.aborts.get() > 0 && wire.sent.borrow().is_empty());
    // It never becomes one that was open.
    wire.push(TransportEvent::Opened);
    driver.pump();
    assert!(matches!(hub.poll_opened(&mut None, Waker::noop()), Poll::Ready(Err(_))));
}

#[test]
fn b09_a_connection_that_opens_and_ends_at_once_was_open() {
    let (driver, hub, wire) = connecting();
    wire.opened.borrow_mut().protocol = "chat".into();
    wire.push(TransportEvent::Opened);
    wire.push(message("one"));
    wire.push(ended(4001));
    driver.pump();
    assert_eq!(hub.poll_opened(&mut None, Waker::noop()), Poll::Ready(Ok(())));
    assert_eq!((hub.stage(), hub.opened().protocol.as_str()), (Stage::Closed, "chat"));
    assert!(matches!(hub.try_recv(), Ok(Incoming::Message(payload)) if payload == text("one")));
    assert!(matches!(hub.poll_recv(&mut None, Waker::noop()), Poll::Ready(None)));
}

#[test]
fn b39_what_handles_have_left_before_the_end_is_counted() {
    let (driver, hub, wire) = open();
    let sent = send(&hub, text("sent"));
    driver.pump();
    wire.room.set(false);
    let queued = send(&hub, text("queued"));
    driver.pump();
    // In the hub only when the end comes.
    let late = send(&hub, text("late"));
    wire.push(ended(1001));
    driver.pump();
    let outcomes = [sent, queued, late].map(|ticket| outcome(&hub, ticket));
    assert_eq!(outcomes, [Some(Outcome::HandedOver), Some(Outcome::Unsent), Some(Outcome::Unsent)]);
    let closed = closed(&hub).unwrap();
    let amount = |messages, bytes| Amount { messages, bytes };
    assert_eq!((closed.unsent, closed.unknown), (amount(2, 10), amount(1, 4)));
    assert_eq!((hub.queued(), try_send(&hub, text("x")).is_err()), (Amount::default(), true));
}

/// The room that a dying queue makes must not draw in a message that nobody would ever tell of.
#[test]
fn b19_no_message_is_taken_once_the_transport_has_ended() {
    let (driver, hub, _) = open();
    driver.handle(ended(1001));
    assert_eq!(hub.stage(), Stage::Closing);
    assert!(matches!(try_send(&hub, text("late")), Err((NoRoom::Closed, _))));
}

#[test]
fn a_dropped_driver_leaves_nobody_waiting() {
    let (driver, hub, wire) = open();
    let sent = send(&hub, text("sent"));
    driver.pump();
    wire.room.set(false);
    let queued = send(&hub, text("queued"));
    driver.pump();
    let late = send(&hub, text("late"));
    drop(driver);
    let outcomes = [sent, queued, late].map(|ticket| outcome(&hub, ticket));
    assert_eq!(outcomes, [Some(Outcome::HandedOver), Some(Outcome::Unsent), Some(Outcome::Unsent)]);
    let closed = closed(&hub).unwrap();
    assert_eq!((closed.cause, closed.unsent.messages, closed.unknown.messages), (CloseCause::Aborted, 2, 1));
    assert!(matches!(try_send(&hub, text("x")), Err((NoRoom::Closed, _))));
    // A question that nobody will answer is dropped, so that its future ends.
    let (reply, mut answer) = futures_channel::oneshot::channel();
    hub.command(Command::Read { slot: crate::proto::Slot(0), range: 0..1, reply });
    assert_eq!(answer.try_recv(), Err(futures_channel::oneshot::Canceled));
}

#[test]
fn a_driver_that_a_waker_has_unwound_leaves_nobody_waiting() {
    struct PanicsOnce(std::sync::atomic::AtomicBool);
    impl std::task::Wake for PanicsOnce {
        fn wake(self: Arc<Self>) {
            assert!(self.0.swap(true, std::sync::atomic::Ordering::Relaxed), "a waker of somebody else's");
        }
    }
    let (driver, hub, wire) = open();
    let waker = Waker::from(Arc::new(PanicsOnce(false.into())));
    assert!(hub.poll_recv(&mut None, &waker).is_pending());
    wire.push(message("wakes"));
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| driver.pump()));
    assert!(unwound.is_err());
    drop(driver);
    assert_eq!(closed(&hub).unwrap().cause, CloseCause::Aborted);
}

#[test]
fn a_dropped_driver_that_was_over_changes_nothing() {
    let (driver, hub, wire) = open();
    wire.push(ended(4001));
    driver.pump();
    let before = closed(&hub);
    drop(driver);
    assert_eq!(closed(&hub), before);
}

#[test]
fn b38_a_call_from_inside_the_pump_leaves_its_work_to_the_outer_one() {
    use std::sync::Mutex;
    use std::task::Wake;

    /// Sends when it is woken, as a callback of the application would.
    struct Sender(Mutex<Option<Arc<Hub>>>);
    impl Wake for Sender {
        fn wake(self: Arc<Self>) {
            if let Some(hub) = self.0.lock().unwrap().take() {
                try_send(&hub, text("from the callback")).unwrap();
            }
        }
    }
    let (driver, hub, wire) = open();
    let waker = Waker::from(Arc::new(Sender(Mutex::new(Some(hub.clone())))));
    assert!(hub.poll_recv(&mut None, &waker).is_pending());
    wire.push(message("wake"));
    driver.pump();
    assert_eq!(*wire.sent.borrow(), ["from the callback"]);
}

#[test]
fn host_values_are_released_exactly_once() {
    let (driver, hub, wire) = open();
    let content: Rc<str> = "0123456789".into();
    let whole = send(&hub, keep(&wire, &content, HostedKind::Text, 10));
    let read_first = send(&hub, keep(&wire, &content, HostedKind::Blob, 10));
    let refused = send(&hub, text("refuse"));
    driver.pump();
    assert_eq!(outcome(&hub, whole), Some(Outcome::HandedOver));
    assert_eq!(outcome(&hub, read_first), Some(Outcome::HandedOver));
    assert_eq!(outcome(&hub, refused), Some(Outcome::Unsent));
    let read = format!("{:?}", content.as_bytes());
    assert_eq!(*wire.sent.borrow(), ["value 0123456789", read.as_str()]);
    assert_eq!(Rc::strong_count(&content), 1, "the slab holds nothing any more");
    // Received, and released by whoever had it.
    let value = keep(&wire, &content, HostedKind::Blob, 10);
    wire.push(TransportEvent::Message(Incoming::Message(value)));
    driver.pump();
    let slot = hub.try_recv().ok().and_then(|incoming| incoming.slot()).unwrap();
    assert_eq!(Rc::strong_count(&content), 2);
    hub.remove_value(slot);
    driver.pump();
    assert_eq!(Rc::strong_count(&content), 1);
}

/// A queue of two messages, and what becomes of the others.
fn two(policy: RecvPolicy) -> RecvLimits {
    RecvLimits::default().max_queued_messages(2).policy(policy)
}

#[test]
fn b16_host_values_that_do_not_fit_are_released_exactly_once() {
    let close = RecvPolicy::Close { code: 4123 };
    for (policy, kept) in
        [(close, [0, 1]), (RecvPolicy::DropNewest, [0, 1]), (RecvPolicy::DropOldest, [3, 4])]
    {
        let (driver, hub, wire) = open_with(two(policy));
        let contents: [Rc<str>; 5] = ["0", "1", "2", "3", "4"].map(Into::into);
        for content in &contents {
            let value = keep(&wire, content, HostedKind::Blob, 10);
            wire.push(TransportEvent::Message(Incoming::Message(value)));
        }
        driver.pump();
        let held: Vec<_> = (0..5).filter(|n| Rc::strong_count(&contents[*n]) == 2).collect();
        assert_eq!(held, kept, "{policy:?}");
        let dropped = if policy == close { Amount::default() } else { Amount { messages: 3, bytes: 30 } };
        assert_eq!((hub.dropped(), wire.closes.get()), (dropped, u32::from(policy == close)));
        // Those that were kept are released by whoever takes them, and the driver counts no others as held.
        for _ in kept {
            let slot = hub.try_recv().ok().and_then(|incoming| incoming.slot()).unwrap();
            hub.remove_value(slot);
        }
        driver.pump();
        assert!(contents.iter().all(|content| Rc::strong_count(content) == 1));
        wire.push(ended(4123));
        driver.pump();
        hub.remove_user(None);
        driver.pump();
        assert!(hub.is_deserted());
        assert_eq!(closed(&hub).unwrap().dropped, dropped);
    }
}

#[test]
fn b16_a_callback_may_take_messages_or_let_go_while_others_are_dropped() {
    let (driver, hub, wire) = open_with(two(RecvPolicy::DropOldest));
    let contents: [Rc<str>; 7] = ["0", "1", "2", "3", "4", "5", "6"].map(Into::into);
    let arrive = |numbers: Range<usize>| {
        for content in &contents[numbers] {
            let value = keep(&wire, content, HostedKind::Blob, 10);
            wire.push(TransportEvent::Message(Incoming::Message(value)));
        }
        driver.pump();
    };
    let held = || (0..7).filter(|n| Rc::strong_count(&contents[*n]) == 2).collect::<Vec<_>>();
    arrive(0..2);
    // While 0 is dropped for 2, the others are taken, and the handle that takes them is still told.
    let (theirs, taken) = (hub.clone(), Rc::new(RefCell::new(Vec::new())));
    let into = taken.clone();
    wire.on_release.set(Some(Box::new(move || {
        into.borrow_mut().extend(core::iter::from_fn(|| theirs.try_recv().ok()));
    })));
    arrive(2..3);
    assert_eq!((taken.borrow().len(), held()), (2, vec![1, 2]));
    assert_eq!(hub.dropped(), Amount { messages: 1, bytes: 10 });
    // While 3 is dropped for 5, the last handle goes. The events that are there have their turn first.
    let theirs = hub.clone();
    wire.on_release.set(Some(Box::new(move || theirs.remove_user(None))));
    arrive(3..7);
    assert_eq!(wire.closes.get(), 1);
    for incoming in taken.borrow_mut().drain(..) {
        hub.remove_value(incoming.slot().unwrap());
    }
    wire.push(ended(1000));
    driver.pump();
    assert!(hub.is_deserted());
    assert_eq!(closed(&hub).unwrap().dropped, Amount { messages: 3, bytes: 30 });
    // What nobody has taken goes with the driver.
    assert_eq!(held(), [5, 6]);
    drop((driver, wire));
    assert!(contents.iter().all(|content| Rc::strong_count(content) == 1));
}

#[test]
fn b16_a_reader_that_was_woken_finds_a_message_whatever_was_dropped() {
    for (policy, found) in [(RecvPolicy::DropOldest, "3"), (RecvPolicy::DropNewest, "0")] {
        let limits = RecvLimits::default().max_queued_messages(1).policy(policy);
        let (driver, hub, wire) = open_with(limits);
        let mut key = None;
        assert!(hub.poll_recv(&mut key, Waker::noop()).is_pending());
        for number in 0..4 {
            wire.push(message(&number.to_string()));
        }
        // All of it in one turn: the reader has been woken and has not run.
        driver.pump();
        let polled = hub.poll_recv(&mut key, Waker::noop());
        assert!(matches!(polled, Poll::Ready(Some(Incoming::Message(payload))) if payload == text(found)));
        assert_eq!(hub.dropped(), Amount { messages: 3, bytes: 3 });
    }
}

#[test]
fn b16_an_error_item_takes_a_place_in_the_queue() {
    let (driver, hub, wire) = open_with(two(RecvPolicy::DropOldest));
    wire.push(TransportEvent::Message(Incoming::Unsupported("number".into())));
    for content in ["one", "two"] {
        wire.push(message(content));
    }
    driver.pump();
    assert_eq!(hub.dropped(), Amount { messages: 1, bytes: 0 });
    assert!(matches!(hub.try_recv(), Ok(Incoming::Message(payload)) if payload == text("one")));
}

#[test]
fn b08_the_deadline_is_looked_at_when_time_has_passed() {
    let (driver, hub, wire) = connecting();
    assert_eq!(driver.pump(), Some(Timestamp::from_micros(1_000_000)));
    wire.now.set(999_999);
    assert_eq!(driver.pump_timer(), Some(Timestamp::from_micros(1_000_000)));
    wire.now.set(1_000_000);
    assert_eq!(driver.pump_timer(), None);
    assert_eq!(closed(&hub).unwrap().cause, CloseCause::ConnectTimeout);
}

#[test]
fn b14_an_unknown_type_is_an_item_and_the_connection_goes_on() {
    let (driver, hub, wire) = open();
    wire.push(TransportEvent::Message(Incoming::Unsupported("number".into())));
    wire.push(message("next"));
    driver.pump();
    assert!(matches!(hub.try_recv(), Ok(Incoming::Unsupported(name)) if name == "number"));
    assert!(matches!(hub.try_recv(), Ok(Incoming::Message(Payload::Text(_)))));
    assert_eq!(hub.stage(), Stage::Open);
}

#[test]
fn b26_the_driver_wakes_who_waits_for_room_at_the_deadline_and_keeps_no_timer_for_who_left() {
    let (driver, hub, wire) = open();
    let _room = hub.poll_reserve(&SendOptions::new(), 16 << 20, &mut None, Waker::noop());
    let wait = |millis, key: &mut Option<u64>, waker: &Waker| {
        let options = SendOptions::new().deadline(Duration::from_millis(millis));
        let mut outgoing = Some(hub.outgoing(text("late"), options));
        hub.poll_send(&mut outgoing, key, waker)
    };
    let at = |millis: u64| Some(Timestamp::from_micros(1000 * millis));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let (mut first, mut second) = (None, None);
    assert_eq!(wait(100, &mut first, &waker), Poll::Pending);
    assert_eq!(driver.pump(), at(100));
    assert_eq!(wait(50, &mut second, Waker::noop()), Poll::Pending);
    assert_eq!(driver.pump(), at(50));
    wire.now.set(99_999);
    // The other one was told, and is not told again.
    assert_eq!((driver.pump(), woken.0.get()), (at(100), None));
    wire.now.set(100_000);
    assert_eq!((driver.pump(), woken.0.get()), (None, Some(&())));
    // The clock of a handle may be behind the driver's.
    assert_eq!(wait(100, &mut first, &waker), Poll::Ready(Ok(None)));
    assert_eq!(wait(50, &mut second, Waker::noop()), Poll::Ready(Ok(None)));
    assert_eq!((first, second, hub.queued()), (None, None, Amount::default()));
    let mut third = None;
    assert_eq!(wait(500, &mut third, Waker::noop()), Poll::Pending);
    assert_eq!(driver.pump(), at(500));
    hub.leave_line(&SendOptions::new(), &mut third);
    assert_eq!(driver.pump(), None);
}

#[test]
fn b41_amounts_above_4_gib_do_not_wrap() {
    let (driver, hub, wire) = connecting();
    let blob = keep(&wire, &"".into(), HostedKind::Blob, 5 << 30);
    send(&hub, blob);
    assert_eq!(hub.queued(), Amount { messages: 1, bytes: 5 << 30 });
    assert!(matches!(try_send(&hub, text("x")), Err((NoRoom::Full, _))));
    driver.pump();
    wire.push(TransportEvent::Closed { code: 1006, reason: String::new(), was_clean: false });
    driver.pump();
    assert_eq!(closed(&hub).unwrap().unsent, Amount { messages: 1, bytes: 5 << 30 });
}
