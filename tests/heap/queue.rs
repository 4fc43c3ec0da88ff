//! What queued messages cost beside their bytes.

use core::mem::size_of;

use tidegate::proto::{Flow, NewMessage, Payload, Priority, QueueConfig, SendQueue};
use tidegate::sim::Sim;
use tidegate::time::Timestamp;
use tidegate::{Client, SendLimits, SendOptions};

use crate::HEAP;

const MILLION: usize = 1_000_000;

fn payload() -> Payload {
    Payload::Binary(vec![7; 8])
}

/// Fills a queue and gives what it takes for each message with its [`Payload`], but not what that owns.
fn bytes_each(message: impl Fn(usize, Payload) -> NewMessage) -> usize {
    let mut payloads: Vec<_> = (0..MILLION).map(|_| payload()).collect();
    let before = HEAP.current_usage();
    let mut queue = SendQueue::new(QueueConfig::default());
    for (number, payload) in payloads.drain(..).enumerate() {
        queue.push(Timestamp::ZERO, message(number, payload));
    }
    assert_eq!(queue.messages(), MILLION as u64);
    let bytes = HEAP.current_usage() - before;
    while queue.pop(Timestamp::ZERO).is_some() {}
    let left = HEAP.current_usage() + MILLION * 8 - before;
    assert!(left < 16 << 10, "{left} bytes stay when all have gone");
    bytes.div_ceil(MILLION)
}

/// A message of one of four classes and ten flows.
fn any(number: usize, payload: Payload) -> NewMessage {
    let priority = Priority::ALL[number % 4];
    let flow = Flow(u32::try_from(number / 4 % 10).unwrap());
    NewMessage { priority, flow, ..NewMessage::normal(payload, None) }
}

pub(crate) fn a_message_costs_64_bytes_beyond_its_payload() {
    let each = bytes_each(|_, payload| NewMessage::normal(payload, None));
    assert!(each <= 65, "{each} bytes for each, with the payload's {}", size_of::<Payload>());
    let each = bytes_each(any);
    assert!(each <= 65, "{each} bytes for each of four classes and ten flows");
    let each = bytes_each(|number, payload| {
        let deadline = Some(Timestamp::from_micros(number as u64 * 1_000));
        NewMessage { deadline, ..any(number, payload) }
    });
    assert!(each <= 64 + size_of::<Payload>(), "{each} bytes for each with a deadline");
}

/// Lanes that are filled and emptied one after the other use the same memory, though something is always queued.
pub(crate) fn what_was_queued_in_one_lane_leaves_its_room_to_the_others() {
    let before = HEAP.current_usage();
    let mut queue = SendQueue::new(QueueConfig::default());
    let background = NewMessage { priority: Priority::Background, ..NewMessage::normal(payload(), None) };
    queue.push(Timestamp::ZERO, background);
    for flow in 0..100 {
        for _ in 0..10_000 {
            let message = NewMessage { flow: Flow(flow), priority: Priority::Urgent, ..any(0, payload()) };
            queue.push(Timestamp::ZERO, message);
        }
        while queue.messages() > 1 {
            queue.pop(Timestamp::ZERO);
        }
    }
    let bytes = HEAP.current_usage() - before;
    // 10,000 places and as many as may be spare, and the lanes.
    assert!(bytes < (10_000 + 17_000) * 64, "{bytes} bytes stay");
}

/// The same from the handles down, while the peer takes nothing: who holds no ticket pays for none.
pub(crate) fn a_message_of_a_client_costs_no_more() {
    const MESSAGES: usize = 200_000;
    let sim = Sim::new();
    sim.serve("/stall", |handshake| handshake.accept(None).stall());
    sim.block_on(async {
        let limits = SendLimits { max_queued_messages: 1 << 24, ..SendLimits::default() };
        let builder = Client::builder("ws://sim/stall").send_limits(limits);
        let client = builder.connect_in(&sim).await.unwrap();
        // So much that no message after it goes on its way.
        client.try_send(vec![7; 1 << 20]).unwrap();
        client.try_send(vec![7; 1 << 20]).unwrap();
        let before = HEAP.current_usage();
        for _ in 0..MESSAGES / 1_000 {
            for _ in 0..1_000 {
                client.try_send_with(vec![7; 8], SendOptions::bulk()).unwrap();
            }
            sim.sleep(core::time::Duration::from_millis(1)).await;
        }
        let bytes = HEAP.current_usage() - before - MESSAGES * 8;
        assert_eq!(client.stats().class(tidegate::Priority::Bulk).queued.messages, MESSAGES as u64);
        let each = bytes.div_ceil(MESSAGES);
        assert!(each <= 64 + size_of::<Payload>(), "{each} bytes for each");
    });
}
