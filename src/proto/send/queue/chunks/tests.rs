//! The queue in chunks by examples; `shares` has what holds over any time.

mod shares;

use super::super::{NewMessage, QUANTUM, QueueConfig};
use super::*;
use crate::proto::payload::{Hosted, HostedKind, Payload, Slot};
use Priority::{Background, Bulk, Normal, Urgent};

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn queue(unit: u32) -> SendQueue {
    let mut queue = SendQueue::new(QueueConfig::default());
    queue.set_unit(unit);
    queue
}

fn item(priority: Priority, flow: u32, bytes: usize) -> NewMessage {
    NewMessage { priority, flow: Flow(flow), ..NewMessage::normal(Payload::Binary(vec![0; bytes]), None) }
}

fn push(queue: &mut SendQueue, priority: Priority, flow: u32, bytes: usize) -> MessageId {
    queue.push(at(0), item(priority, flow, bytes)).0
}

/// Class and flow of whose turn it is.
fn turn(queue: &mut SendQueue) -> Option<(Priority, u32)> {
    queue.peek().map(|next| (next.priority, next.flow.0))
}

/// Sends a chunk of whatever has its turn. Gives its class and flow.
fn chunk(queue: &mut SendQueue, bytes: u64) -> Option<(Priority, u32)> {
    let next = queue.peek()?;
    queue.begin(at(0), next.id);
    queue.charge(next.id, bytes);
    Some((next.priority, next.flow.0))
}

/// The flows of so many chunks of `bytes`.
fn flows(queue: &mut SendQueue, count: usize, bytes: u64) -> Vec<u32> {
    core::iter::from_fn(|| chunk(queue, bytes)).take(count).map(|sent| sent.1).collect()
}

/// Everything that the queue counts agrees with what is in it.
pub(super) fn check(queue: &mut SendQueue) {
    let mut in_line = vec![0; queue.lanes.len()];
    for class in 0..CLASSES {
        let mut ready = 0;
        for place in [Place::Fresh, Place::Round] {
            let ring = *queue.classes[class].ring(place);
            let (mut lane, mut last) = (ring.first, NONE);
            while lane != NONE {
                let state = queue.lanes[lane as usize];
                assert_eq!((state.place, lane as usize % CLASSES), (place, class));
                ready += state.messages;
                in_line[lane as usize] += 1;
                (last, lane) = (lane, state.link);
            }
            assert_eq!(ring.last, last);
        }
        assert_eq!(queue.classes[class].ready, ready, "class {class}");
    }
    let mut messages = 0;
    for (lane, state) in queue.lanes.iter().enumerate() {
        assert_eq!(in_line[lane], u32::from(state.place.is_in_line()), "lane {lane}");
        let (mut at, mut last, mut count) = (state.first, NONE, 0);
        while at != NONE {
            let node = queue.store.node(at);
            assert_eq!((node.lane as usize, node.prev), (lane, last));
            count += 1;
            (last, at) = (at, node.next);
        }
        assert_eq!((state.last, state.messages), (last, count), "lane {lane}");
        messages += u64::from(count);
    }
    assert_eq!(queue.messages, messages);
}

#[test]
fn an_item_stays_the_first_of_its_lane_while_its_chunks_go() {
    let mut queue = queue(1_000);
    let large = push(&mut queue, Normal, 1, 1 << 20);
    let behind = push(&mut queue, Normal, 1, 10);
    push(&mut queue, Normal, 2, 1 << 20);
    assert_eq!(flows(&mut queue, 6, 1_000), [1, 2, 1, 2, 1, 2], "a quantum each");
    assert_eq!(queue.bytes(), (2 << 20) + 10, "the whole of them until they end");
    // It ends when the other has its turn, which does not change that.
    assert_eq!(flows(&mut queue, 1, 1_000), [1]);
    assert_eq!(turn(&mut queue), Some((Normal, 2)));
    assert!(queue.remove(large).is_some());
    check(&mut queue);
    assert_eq!(turn(&mut queue), Some((Normal, 2)));
    assert_eq!(flows(&mut queue, 2, 1_000), [2, 1]);
    assert!(queue.remove(behind).is_some());
    check(&mut queue);
    assert_eq!(flows(&mut queue, 3, 1_000), [2; 3]);
    // What is not queued is not charged.
    queue.charge(behind, 1 << 40);
    assert_eq!((queue.begin(at(0), behind), flows(&mut queue, 1, 1_000)), (0, vec![2]));
}

#[test]
fn i13_what_is_begun_does_not_expire_and_what_is_not_never_begins_late() {
    let mut queue = queue(1_000);
    let new = |due| NewMessage { deadline: Some(at(due)), ..item(Normal, 0, 5_000) };
    let (first, _) = queue.push(at(160), new(10_000));
    let (second, _) = queue.push(at(160), new(10_000));
    assert_eq!(queue.begin(at(9_760), first), 9_600);
    queue.charge(first, 1_000);
    assert_eq!(queue.expire(at(10_000)).map(|item| item.id), Some(second));
    assert_eq!((queue.expire(at(1 << 40)), queue.next_deadline()), (None, None));
    assert_eq!(queue.peek().map(|next| next.id), Some(first));
}

#[test]
fn nothing_but_being_set_ready_again_wakes_a_held_lane() {
    let mut queue = queue(1_000);
    let deadline = |due| NewMessage { deadline: Some(at(due)), ..item(Normal, 1, 10) };
    let (first, _) = queue.push(at(0), deadline(5_000));
    queue.hold(Flow(1), Normal);
    let held = |queue: &mut SendQueue| {
        check(queue);
        assert_eq!(turn(queue), None);
    };
    held(&mut queue);
    // A newer value, one more, the end of the first, the end of all, and another one.
    let (newer, old) = queue.push(at(0), NewMessage { replaces: Some(first), ..deadline(7_000) });
    assert_eq!(old.map(|old| old.id), Some(first));
    held(&mut queue);
    let (last, _) = queue.push(at(0), deadline(6_000));
    held(&mut queue);
    assert_eq!(queue.expire(at(6_000)).map(|item| item.id), Some(last));
    held(&mut queue);
    assert_eq!(queue.remove(newer).map(|item| item.id), Some(newer));
    held(&mut queue);
    let blob = Payload::Hosted(Hosted { slot: Slot(0), kind: HostedKind::Blob, bytes: 10 });
    let (id, _) = queue.push(at(0), NewMessage { payload: blob, ..item(Normal, 1, 0) });
    held(&mut queue);
    queue.set_content(id, Payload::Binary(vec![1]));
    held(&mut queue);
    queue.hold(Flow(1), Normal);
    queue.set_ready_again(Flow(1), Bulk);
    queue.set_ready_again(Flow(9), Normal);
    held(&mut queue);
    queue.set_ready_again(Flow(1), Normal);
    check(&mut queue);
    assert_eq!(queue.peek().map(|next| next.id), Some(id));
    queue.set_ready_again(Flow(1), Normal);
    check(&mut queue);
}

#[test]
fn a_lane_is_held_before_its_first_item_and_from_any_place() {
    let mut queue = queue(1_000);
    queue.hold(Flow(3), Bulk);
    push(&mut queue, Bulk, 3, 10);
    check(&mut queue);
    assert_eq!(turn(&mut queue), None);
    queue.set_ready_again(Flow(3), Bulk);
    // It is as new as any other.
    assert_eq!(turn(&mut queue), Some((Bulk, 3)));
    for flow in 0..3 {
        push(&mut queue, Bulk, flow, 5_000);
    }
    assert_eq!(flows(&mut queue, 4, 1_000), [3, 0, 1, 2]);
    // In the middle, at the end, at the beginning.
    for flow in [1, 2, 3, 0] {
        queue.hold(Flow(flow), Bulk);
        check(&mut queue);
    }
    assert_eq!((turn(&mut queue), queue.messages()), (None, 4));
    for flow in [2, 1, 0, 3] {
        queue.set_ready_again(Flow(flow), Bulk);
        check(&mut queue);
    }
    // Those that were the next two when they were held are so again, in the order in which they come back.
    assert_eq!(flows(&mut queue, 4, 1_000), [0, 3, 2, 1]);
}

#[test]
fn a_lane_that_was_set_aside_can_be_held_and_set_ready_again() {
    let mut queue = queue(1_000);
    let first = push(&mut queue, Normal, 1, 10);
    let second = push(&mut queue, Normal, 1, 10);
    queue.set_aside(first);
    assert_eq!(turn(&mut queue), None);
    queue.set_ready_again(Flow(1), Normal);
    assert_eq!(queue.peek().map(|next| next.id), Some(first));
    queue.set_aside(first);
    queue.hold(Flow(1), Normal);
    check(&mut queue);
    // The end of what it waited for no longer wakes it.
    queue.remove(first);
    assert_eq!(turn(&mut queue), None);
    queue.set_ready_again(Flow(1), Normal);
    assert_eq!(queue.peek().map(|next| next.id), Some(second));
    check(&mut queue);
}

#[test]
fn what_is_known_of_an_item() {
    let mut queue = queue(1_000);
    let ticket = TicketId(core::num::NonZeroU64::MIN);
    let (binary, _) = queue.push(at(0), NewMessage { ticket: Some(ticket), ..item(Bulk, 3, 10) });
    let text = NewMessage { payload: Payload::Text("a".into()), ..item(Normal, 2, 0) };
    let (text, _) = queue.push(at(0), text);
    assert_eq!((queue.flow_of(binary), queue.flow_of(text)), (Some(Flow(3)), Some(Flow(2))));
    assert_eq!((queue.ticket_of(binary), queue.ticket_of(text)), (Some(ticket), None));
    assert_eq!([1, 2, 3, 4].map(|flow| queue.is_flow_empty(Flow(flow))), [true, false, false, true]);
    assert_eq!(queue.peek().map(|next| (next.id, next.is_text)), Some((text, true)));
    queue.remove(text);
    assert_eq!(queue.peek().map(|next| (next.id, next.is_text)), Some((binary, false)));
    assert_eq!((queue.flow_of(text), queue.ticket_of(text)), (None, None));
    assert!(queue.is_flow_empty(Flow(2)));
}

#[test]
fn i6_credit_that_comes_and_goes_gives_no_turns() {
    // A channel whose window is one item, beside one with all the window that it wants: after each item it is held,
    // and at once has credit again, and either the next item or none before that.
    for is_empty in [false, true] {
        for size in [500, 1_000] {
            let mut queue = queue(1_000);
            push(&mut queue, Normal, 2, 1 << 20);
            let mut id = push(&mut queue, Normal, 1, size);
            let mut sent = [0, 0];
            for _ in 0..1_000 {
                let (_, flow) = chunk(&mut queue, size as u64).unwrap();
                sent[flow as usize - 1] += size;
                if flow == 1 {
                    queue.hold(Flow(1), Normal);
                    if is_empty {
                        queue.remove(id);
                    } else {
                        let next = push(&mut queue, Normal, 1, size);
                        queue.remove(core::mem::replace(&mut id, next));
                    }
                    queue.set_ready_again(Flow(1), Normal);
                    if is_empty {
                        id = push(&mut queue, Normal, 1, size);
                    }
                    check(&mut queue);
                }
            }
            assert!(sent[0].abs_diff(sent[1]) <= 2_000, "{is_empty} {size}: {sent:?}");
        }
    }
}

#[test]
fn i6_a_channel_that_sends_one_item_after_the_other_is_not_new_with_each() {
    for chunks in 1..4 {
        let mut queue = queue(1_000);
        push(&mut queue, Normal, 2, 1 << 20);
        push(&mut queue, Normal, 1, chunks * 1_000);
        let (mut sent, mut left) = ([0, 0], chunks);
        for _ in 0..1_200 {
            let id = queue.peek().unwrap().id;
            let (_, flow) = chunk(&mut queue, 1_000).unwrap();
            sent[flow as usize - 1] += 1;
            left -= usize::from(flow == 1);
            if left == 0 {
                queue.remove(id);
                // The session looks for the next one before the application has it.
                assert_eq!(turn(&mut queue), Some((Normal, 2)));
                push(&mut queue, Normal, 1, chunks * 1_000);
                left = chunks;
            }
        }
        assert_eq!(sent, [600, 600], "items of {chunks} chunks");
    }
}

#[test]
fn a_class_whose_lanes_are_all_held_is_owed_nothing() {
    let mut queue = queue(1_000);
    push(&mut queue, Normal, 1, 1 << 20);
    push(&mut queue, Background, 2, 1 << 20);
    for _ in 0..15 {
        assert_eq!(chunk(&mut queue, 1_000), Some((Normal, 1)));
    }
    assert!(!queue.is_due());
    queue.hold(Flow(2), Background);
    chunk(&mut queue, 1_000);
    queue.set_ready_again(Flow(2), Background);
    assert_eq!(flows(&mut queue, 16, 1_000), [1; 16]);
    assert!(queue.is_due());
    assert_eq!(turn(&mut queue), Some((Background, 2)));
    queue.hold(Flow(2), Background);
    assert!(!queue.is_due());
    assert_eq!(turn(&mut queue), Some((Normal, 1)));
}

#[test]
fn a_lone_urgent_item_waits_for_no_guard() {
    let mut queue = queue(1_000);
    for (flow, priority) in [Normal, Bulk, Background].into_iter().enumerate() {
        push(&mut queue, priority, flow as u32, 1 << 20);
    }
    for _ in 0..16 {
        chunk(&mut queue, 1_000);
    }
    assert!(queue.is_due());
    let id = push(&mut queue, Urgent, 7, 500);
    assert_eq!(chunk(&mut queue, 530), Some((Urgent, 7)));
    queue.remove(id);
    // The next one waits until none is due.
    push(&mut queue, Urgent, 7, 500);
    while queue.is_due() {
        assert_ne!(chunk(&mut queue, 1_000), Some((Urgent, 7)));
    }
    assert_eq!(turn(&mut queue), Some((Urgent, 7)));
}

#[test]
fn i6_urgent_items_that_come_when_none_is_queued_leave_small_records_their_share() {
    // Each urgent item comes just after a small record of the class that is due.
    let mut queue = queue(16_384);
    let mut sent = [0_u64; 4];
    push(&mut queue, Background, 1, 1 << 30);
    let mut urgent = None;
    for _ in 0..20_000 {
        let next = queue.peek().unwrap();
        let bytes = if next.priority == Urgent { 16_000 } else { 100 };
        queue.charge(next.id, bytes);
        sent[next.priority.index()] += bytes;
        if let Some(id) = urgent.take() {
            queue.remove(id);
        } else {
            urgent = Some(push(&mut queue, Urgent, 0, 16_000));
        }
    }
    let total = sent[0] + sent[3];
    assert!(sent[3] + 2 * 16_384 + 100 >= total / 16, "{sent:?}");
}

#[test]
fn the_unit_is_the_quantum_and_what_makes_a_class_due() {
    let mut queue = queue(4_000);
    for flow in 0..2 {
        push(&mut queue, Normal, flow, 1 << 20);
    }
    assert_eq!(flows(&mut queue, 12, 1_000), [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]);
    queue.set_unit(2_000);
    // A turn that a flow was granted is as long as it was.
    assert_eq!(flows(&mut queue, 12, 1_000), [1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0]);
    push(&mut queue, Bulk, 2, 1 << 20);
    assert_eq!(flows(&mut queue, 32, 1_000).iter().filter(|flow| **flow == 2).count(), 0);
    assert_eq!(turn(&mut queue), Some((Bulk, 2)));
    queue.set_unit(4_000);
    assert_ne!(turn(&mut queue), Some((Bulk, 2)));
    // None is smaller than what orders messages without content.
    queue.set_unit(0);
    assert_eq!(turn(&mut queue), Some((Bulk, 2)));
    assert_eq!(QUANTUM, 16_384);
}

#[test]
fn the_end_of_a_channel_takes_all_of_its_items_and_leaves_its_number_as_new() {
    let mut queue = queue(1_000);
    let ids = [Bulk, Normal, Bulk, Normal].map(|priority| push(&mut queue, priority, 1, 2_000));
    let other = push(&mut queue, Normal, 0, 10);
    chunk(&mut queue, 1_000);
    queue.hold(Flow(1), Normal);
    let taken: Vec<_> = core::iter::from_fn(|| queue.pop_flow(Flow(1))).map(|item| item.id).collect();
    assert_eq!(taken, [ids[1], ids[3], ids[0], ids[2]]);
    check(&mut queue);
    assert_eq!((queue.messages(), queue.peek().map(|next| next.id)), (1, Some(other)));
    assert_eq!(queue.pop_flow(Flow(77)), None);
    let next = push(&mut queue, Urgent, 1, 10);
    assert_eq!(queue.peek().map(|next| next.id), Some(next));
    push(&mut queue, Normal, 1, 10);
    queue.remove(next);
    queue.remove(other);
    assert_eq!(turn(&mut queue), Some((Normal, 1)));
}

#[test]
fn a_channel_that_changes_its_class_takes_its_items_along_in_order() {
    let order = |queue: &mut SendQueue| -> Vec<MessageId> {
        core::iter::from_fn(|| queue.pop(at(0))).map(|(item, _)| item.id).collect()
    };
    let mut queue = queue(1_000);
    let ids = [(); 3].map(|()| push(&mut queue, Bulk, 1, 2_000));
    let other = push(&mut queue, Normal, 0, 10);
    queue.remove(other);
    chunk(&mut queue, 1_000);
    queue.set_priority(Flow(1), Bulk, Urgent);
    check(&mut queue);
    assert_eq!(turn(&mut queue), Some((Urgent, 1)));
    // To and fro, while the lanes are in line empty.
    queue.set_priority(Flow(1), Urgent, Bulk);
    queue.set_priority(Flow(1), Bulk, Bulk);
    queue.set_priority(Flow(1), Normal, Urgent);
    queue.set_priority(Flow(8), Normal, Urgent);
    check(&mut queue);
    assert_eq!(turn(&mut queue), Some((Bulk, 1)));
    // Behind what is there.
    let there = push(&mut queue, Background, 1, 10);
    queue.set_priority(Flow(1), Bulk, Background);
    check(&mut queue);
    assert_eq!(order(&mut queue), [there, ids[0], ids[1], ids[2]]);
}

#[test]
fn a_channel_that_waits_waits_in_its_new_class() {
    let mut queue = queue(1_000);
    // Held, to a lane that is in line empty; and back, to one that was held.
    let id = push(&mut queue, Bulk, 1, 10);
    queue.remove(id);
    push(&mut queue, Normal, 1, 10);
    queue.hold(Flow(1), Normal);
    for (from, to) in [(Normal, Bulk), (Bulk, Normal)] {
        queue.set_priority(Flow(1), from, to);
        push(&mut queue, to, 1, 10);
        check(&mut queue);
        assert_eq!(turn(&mut queue), None);
        assert!(!queue.lanes[lane_of(Flow(1), from) as usize].waits());
    }
    queue.set_ready_again(Flow(1), Normal);
    assert_eq!(turn(&mut queue), Some((Normal, 1)));
    // Held and empty.
    while queue.pop_flow(Flow(1)).is_some() {}
    queue.hold(Flow(1), Normal);
    queue.set_priority(Flow(1), Normal, Bulk);
    push(&mut queue, Bulk, 1, 10);
    assert_eq!(turn(&mut queue), None);
    while queue.pop_flow(Flow(1)).is_some() {}
    // Waiting for content.
    let blob = push(&mut queue, Normal, 1, 10);
    queue.set_aside(blob);
    queue.set_priority(Flow(1), Normal, Background);
    check(&mut queue);
    assert_eq!(turn(&mut queue), None);
    queue.set_content(blob, Payload::Binary(vec![1]));
    assert_eq!(turn(&mut queue), Some((Background, 1)));
    check(&mut queue);
}

#[test]
fn the_end_of_all_takes_what_is_held() {
    let mut queue = queue(1_000);
    for flow in 0..3 {
        push(&mut queue, Normal, flow, 10);
        queue.hold(Flow(flow), Normal);
    }
    queue.hold(Flow(7), Normal);
    assert_eq!(core::iter::from_fn(|| queue.remove_any()).count(), 3);
    check(&mut queue);
    assert!(queue.is_empty());
}
