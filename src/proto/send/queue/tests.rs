//! The queue by examples, and against a model that has all of it in plain lists.

use std::collections::BTreeMap;

use super::*;

fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn new(priority: Priority, flow: u32, bytes: usize) -> NewMessage {
    NewMessage { priority, flow: Flow(flow), ..NewMessage::normal(Payload::Binary(vec![0; bytes]), None) }
}

fn queue() -> SendQueue {
    SendQueue::new(QueueConfig::default())
}

fn push(queue: &mut SendQueue, priority: Priority, flow: u32, bytes: usize) -> MessageId {
    queue.push(at(0), new(priority, flow, bytes)).0
}

/// Priority and flow of what leaves, in order.
fn leave(queue: &mut SendQueue, count: usize) -> Vec<(Priority, u32)> {
    core::iter::from_fn(|| queue.pop(at(0)))
        .take(count)
        .map(|(item, _)| (item.priority, item.flow.0))
        .collect()
}

#[test]
fn b25_the_messages_of_a_lane_keep_their_order() {
    let mut queue = queue();
    let ids: Vec<_> = (0..200).map(|size| push(&mut queue, Priority::Normal, 0, size)).collect();
    assert_eq!((queue.messages(), queue.bytes()), (200, 199 * 100));
    for id in ids {
        assert_eq!(queue.peek().map(|next| next.id), Some(id));
        assert_eq!(queue.pop(at(0)).map(|(item, _)| item.id), Some(id));
    }
    assert_eq!((queue.is_empty(), queue.bytes()), (true, 0));
}

#[test]
fn b24_a_lone_urgent_message_goes_before_everything() {
    use Priority::{Background, Bulk, Normal, Urgent};
    let mut queue = queue();
    for priority in [Background, Bulk, Normal] {
        for _ in 0..10 {
            push(&mut queue, priority, 0, 100_000);
        }
    }
    // Whatever is due of the guaranteed shares.
    for _ in 0..20 {
        queue.pop(at(0));
        push(&mut queue, Urgent, 7, 32);
        assert_eq!(leave(&mut queue, 1), [(Urgent, 7)]);
    }
}

#[test]
fn higher_classes_go_first() {
    use Priority::{Background, Bulk, Normal, Urgent};
    let mut queue = queue();
    for priority in [Background, Normal, Urgent, Bulk, Normal] {
        push(&mut queue, priority, 0, 10);
    }
    let order: Vec<_> = leave(&mut queue, 9).into_iter().map(|left| left.0).collect();
    assert_eq!(order, [Urgent, Normal, Normal, Bulk, Background]);
}

/// Bytes and messages that left of each priority, while every class is kept full with messages of `sizes`.
fn shares(share: u8, sizes: [usize; 4], messages: usize) -> [u64; 4] {
    let mut queue = SendQueue::new(QueueConfig { share });
    let mut sent = [0; 4];
    for (priority, size) in Priority::ALL.into_iter().zip(sizes) {
        for _ in 0..4 {
            push(&mut queue, priority, 0, size);
        }
    }
    for _ in 0..messages {
        let (item, _) = queue.pop(at(0)).unwrap();
        let index = item.priority.index();
        sent[index] += item.payload.bytes() + u64::from(MESSAGE_COST);
        push(&mut queue, item.priority, 0, sizes[index]);
    }
    sent
}

#[test]
fn b25_no_class_starves() {
    for sizes in [[16_384; 4], [32, 65_536, 1_000, 0], [0; 4], [1 << 20, 1000, 10, 10], [10, 10, 10, 1 << 20]]
    {
        let sent = shares(16, sizes, 20_000);
        let total: u64 = sent.iter().sum();
        let largest = *sizes.iter().max().unwrap() as u64;
        for (index, sent) in sent.iter().enumerate() {
            // Invariant I6 of the protocol, and of each higher class a message that goes before this one's turn.
            let allowed = 2 * u64::from(QUANTUM) + sizes[index] as u64 + index as u64 * largest / 16;
            let least = (total / 16).saturating_sub(allowed + u64::from(MESSAGE_COST));
            assert!(*sent >= least, "class {index} sent {sent} of {total} with sizes {sizes:?}");
        }
        assert!(sent[0] + 4 * (u64::from(QUANTUM) + largest) >= total * 13 / 16, "{sent:?}");
    }
}

/// How many messages of the class leave, of `count` in all, while there is always an urgent one.
fn beside_urgent(queue: &mut SendQueue, priority: Priority, count: usize) -> usize {
    let mut seen = 0;
    for _ in 0..count {
        if queue.peek().map(|next| next.priority) != Some(Priority::Urgent) {
            push(queue, Priority::Urgent, 0, 16_384);
        }
        seen += usize::from(leave(queue, 1)[0].0 == priority);
    }
    seen
}

#[test]
fn b25_urgent_messages_that_come_one_by_one_leave_the_others_their_share() {
    let mut queue = queue();
    for _ in 0..20 {
        push(&mut queue, Priority::Bulk, 0, 16_384);
    }
    let seen = beside_urgent(&mut queue, Priority::Bulk, 160);
    assert!((9..=10).contains(&seen), "{seen}");
}

#[test]
fn b25_what_a_class_got_while_nobody_else_was_there_is_not_held_against_it() {
    let mut queue = queue();
    for _ in 0..1_020 {
        push(&mut queue, Priority::Normal, 0, 16_384);
    }
    leave(&mut queue, 1_000);
    let seen = beside_urgent(&mut queue, Priority::Normal, 160);
    assert!((8..=10).contains(&seen), "{seen}");
}

#[test]
fn the_guaranteed_share_can_be_set_and_switched_off() {
    let [_, a, b, c] = shares(0, [100; 4], 1000);
    assert_eq!((a, b, c), (0, 0, 0));
    let sent = shares(64, [1000; 4], 20_000);
    let total: u64 = sent.iter().sum();
    assert!(sent[1..].iter().all(|sent| sent.abs_diff(total / 4) < 100_000), "{sent:?}");
    // A class that has nothing to send saves nothing up.
    let mut queue = queue();
    for _ in 0..100 {
        push(&mut queue, Priority::Normal, 0, 100_000);
    }
    leave(&mut queue, 90);
    push(&mut queue, Priority::Bulk, 0, 10);
    assert_eq!(leave(&mut queue, 1), [(Priority::Normal, 0)]);
}

#[test]
fn b25_flows_of_a_class_share_it_by_bytes() {
    let sizes = [100, 1_000, 16_384, 65_536, 3];
    let mut queue = queue();
    let mut sent = [0_u64; 5];
    for _ in 0..3 {
        for (flow, size) in sizes.into_iter().enumerate() {
            push(&mut queue, Priority::Bulk, flow as u32, size);
        }
    }
    for step in 0..300_000 {
        let (item, _) = queue.pop(at(0)).unwrap();
        let flow = item.flow.0 as usize;
        sent[flow] += item.payload.bytes() + u64::from(MESSAGE_COST);
        push(&mut queue, Priority::Bulk, item.flow.0, sizes[flow]);
        if step % 1000 == 999 {
            let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
            // One quantum and one message, at either end.
            assert!(most - least <= 2 * u64::from(QUANTUM) + 65_536 + 64, "{sent:?}");
        }
    }
}

#[test]
fn a_flow_that_becomes_active_goes_first_for_one_quantum() {
    let mut queue = queue();
    for _ in 0..10 {
        push(&mut queue, Priority::Normal, 1, 10_000);
        push(&mut queue, Priority::Normal, 2, 10_000);
    }
    leave(&mut queue, 6);
    for _ in 0..4 {
        push(&mut queue, Priority::Normal, 3, 10_000);
    }
    let flows: Vec<_> = leave(&mut queue, 6).into_iter().map(|left| left.1).collect();
    assert_eq!(flows[..2], [3, 3]);
    assert!(flows[2..4].iter().all(|flow| *flow != 3), "{flows:?}");
}

#[test]
fn a_large_message_is_paid_for_by_its_flow() {
    let mut queue = queue();
    push(&mut queue, Priority::Normal, 1, 1 << 20);
    push(&mut queue, Priority::Normal, 1, 1 << 20);
    for _ in 0..200 {
        push(&mut queue, Priority::Normal, 2, 10_000);
    }
    let flows: Vec<_> = leave(&mut queue, 120).into_iter().map(|left| left.1).collect();
    assert_eq!(flows[0], 1);
    let again = flows.iter().skip(1).position(|flow| *flow == 1).unwrap();
    assert!((100..=108).contains(&again), "{again} messages of the other flow in between");
}

#[test]
fn b26_what_has_expired_never_goes() {
    let mut queue = queue();
    let deadline = |due| NewMessage { deadline: Some(at(due)), ..new(Priority::Normal, 0, 10) };
    let ids: Vec<_> = [5_000, 3_000, 9_000].map(|due| queue.push(at(0), deadline(due)).0).to_vec();
    assert!(queue.next_deadline() <= Some(at(3_000)));
    assert_eq!(queue.expire(at(2_999)), None);
    assert_eq!(queue.expire(at(3_000)).map(|item| item.id), Some(ids[1]));
    assert_eq!(queue.expire(at(3_000)), None);
    assert_eq!(queue.pop(at(3_000)).map(|(item, _)| item.id), Some(ids[0]));
    assert_eq!((queue.messages(), queue.bytes()), (1, 10));
    // A clock that jumps.
    assert_eq!(queue.expire(at(1 << 50)).map(|item| item.id), Some(ids[2]));
    assert_eq!((queue.next_deadline(), queue.is_empty()), (None, true));
    // One that has passed before it came.
    queue.push(at(1 << 50), deadline(7));
    assert!(queue.next_deadline() <= Some(at(1 << 50)));
    assert!(queue.expire(at(1 << 50)).is_some());
}

#[test]
fn b26_a_newer_value_takes_the_place_of_the_queued_one() {
    let mut queue = queue();
    let first = push(&mut queue, Priority::Normal, 0, 10);
    let behind = push(&mut queue, Priority::Normal, 0, 11);
    let newer = NewMessage { replaces: Some(first), ..new(Priority::Normal, 0, 12) };
    let (id, old) = queue.push(at(0), newer);
    assert_eq!(old.map(|old| (old.id, old.payload.bytes())), Some((first, 10)));
    assert_eq!((queue.messages(), queue.bytes()), (2, 23));
    assert_eq!((queue.remove(first), queue.peek().map(|next| next.id)), (None, Some(id)));
    // Of another class it goes to the end of its own lane.
    let urgent = NewMessage { replaces: Some(id), ..new(Priority::Urgent, 0, 13) };
    let (id, old) = queue.push(at(0), urgent);
    assert_eq!(old.map(|old| old.payload.bytes()), Some(12));
    assert_eq!([queue.pop(at(0)), queue.pop(at(0))].map(|left| left.unwrap().0.id), [id, behind]);
    // What has left is not replaced.
    let late = NewMessage { replaces: Some(behind), ..new(Priority::Normal, 0, 14) };
    assert_eq!(queue.push(at(0), late).1, None);
}

#[test]
fn a_lane_that_is_set_aside_waits_and_nobody_else_does() {
    let mut queue = queue();
    let blob = push(&mut queue, Priority::Normal, 1, 10);
    push(&mut queue, Priority::Normal, 1, 11);
    queue.set_aside(blob);
    assert_eq!((queue.peek(), queue.messages()), (None, 2));
    push(&mut queue, Priority::Normal, 1, 12);
    push(&mut queue, Priority::Normal, 2, 13);
    push(&mut queue, Priority::Bulk, 1, 14);
    let sizes = |queue: &mut SendQueue| -> Vec<u64> {
        core::iter::from_fn(|| queue.pop(at(0))).map(|(item, _)| item.payload.bytes()).collect()
    };
    assert_eq!(sizes(&mut queue), [13, 14]);
    assert_eq!(queue.set_content(blob, Payload::Text("content".into())), Payload::Binary(vec![0; 10]));
    assert_eq!(queue.bytes(), 7 + 11 + 12);
    assert_eq!(sizes(&mut queue), [7, 11, 12]);
    assert_eq!(queue.set_content(blob, Payload::Text("late".into())), Payload::Text("late".into()));
}

#[test]
fn what_a_lane_waits_for_may_be_taken_out() {
    let mut queue = queue();
    let blob = push(&mut queue, Priority::Normal, 1, 10);
    let behind = push(&mut queue, Priority::Normal, 1, 11);
    queue.set_aside(blob);
    assert!(queue.remove(blob).is_some());
    assert_eq!(queue.peek().map(|next| next.id), Some(behind));
    // Or what stands behind it, or all of it.
    queue.set_aside(behind);
    let last = push(&mut queue, Priority::Normal, 1, 12);
    assert!(queue.remove(last).is_some());
    assert_eq!(queue.peek(), None);
    assert_eq!(queue.remove_any().map(|item| item.id), Some(behind));
    assert_eq!(queue.remove_any(), None);
    // Another one may be set aside, and is not the one whose turn it is.
    let first = push(&mut queue, Priority::Normal, 1, 10);
    let second = push(&mut queue, Priority::Normal, 1, 10);
    queue.set_aside(second);
    assert_eq!(queue.peek().map(|next| next.id), Some(first));
}

#[test]
fn b41_sizes_beyond_4_gib_are_exact() {
    let mut queue = queue();
    let blob = |bytes| {
        let hosted = Hosted { slot: crate::proto::payload::Slot(0), kind: HostedKind::Blob, bytes };
        NewMessage::normal(Payload::Hosted(hosted), None)
    };
    for _ in 0..3 {
        queue.push(at(0), blob(5 << 30));
    }
    assert_eq!(queue.bytes(), 15 << 30);
    queue.push(at(0), blob(1 << 53));
    assert_eq!(queue.bytes(), (15 << 30) + (1 << 53));
    assert_eq!(core::iter::from_fn(|| queue.pop(at(0))).count(), 4);
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn b41_sizes_that_no_memory_holds_do_no_harm() {
    let mut queue = queue();
    let hosted = |bytes| Hosted { slot: crate::proto::payload::Slot(0), kind: HostedKind::Blob, bytes };
    let blob = |bytes| NewMessage::normal(Payload::Hosted(hosted(bytes)), None);
    let (first, _) = queue.push(at(0), blob(u64::MAX));
    queue.push(at(0), blob(u64::MAX));
    queue.push(at(0), new(Priority::Bulk, 0, 5));
    assert_eq!(queue.bytes(), 3, "modulo 2^64");
    // What is read in its place may be as large as it says.
    assert_eq!(queue.set_content(first, Payload::Binary(vec![0; 10])), Payload::Hosted(hosted(u64::MAX)));
    assert_eq!(queue.bytes(), 14);
    let sizes: Vec<_> =
        core::iter::from_fn(|| queue.pop(at(0))).map(|(item, _)| item.payload.bytes()).collect();
    assert_eq!((&sizes[..], queue.bytes()), (&[10, u64::MAX, 5][..], 0));
}

#[test]
fn waiting_is_measured_across_the_wrap_of_its_clock() {
    let mut queue = queue();
    for (from, until) in [(0, 160), (1 << 36, (1 << 36) + 1600), ((1 << 36) - 16, (1 << 36) + 16)] {
        queue.push(at(from), new(Priority::Normal, 0, 1));
        assert_eq!(queue.pop(at(until)).map(|left| left.1), Some(until - from));
    }
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_queued_message_takes_64_bytes_with_its_payload_s_handle() {
    assert_eq!(size_of::<store::Node>(), 64);
    assert_eq!(size_of::<Payload>(), 32);
}

/// What the model knows of a message.
#[derive(Clone, Debug)]
struct Known {
    id: MessageId,
    lane: (Priority, u32),
    bytes: u64,
    due: Option<u64>,
}

#[test]
#[allow(clippy::too_many_lines, reason = "one operation after the other")]
fn i13_random_operations_agree_with_plain_lists() {
    for seed in 0..300_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        let mut queue = queue();
        // In the order of their places; per lane.
        let mut lanes: BTreeMap<(Priority, u32), Vec<Known>> = BTreeMap::new();
        let mut aside: Vec<MessageId> = Vec::new();
        let mut now = 0;
        for step in 0..400 {
            let all: Vec<Known> = lanes.values().flatten().cloned().collect();
            let any =
                if all.is_empty() { None } else { Some(all[random(all.len() as u64) as usize].clone()) };
            match random(12) {
                0..5 => {
                    let lane = (Priority::ALL[random(4) as usize], random(3) as u32);
                    let bytes = [0, 1, 64, 5_000, 70_000][random(5) as usize];
                    let due = (random(3) == 0).then(|| now + random(20_000));
                    let replaces = any.filter(|_| random(3) == 0);
                    let message = NewMessage {
                        deadline: due.map(at),
                        replaces: replaces.as_ref().map(|old| old.id),
                        ..new(lane.0, lane.1, bytes as usize)
                    };
                    let (id, old) = queue.push(at(now), message);
                    assert_eq!(old.map(|old| old.id), replaces.as_ref().map(|old| old.id), "seed {seed}");
                    let known = Known { id, lane, bytes, due };
                    match replaces {
                        Some(old) if old.lane == lane => {
                            let list = lanes.get_mut(&lane).unwrap();
                            let place = list.iter().position(|known| known.id == old.id).unwrap();
                            list[place] = known;
                        }
                        old => {
                            if let Some(old) = old {
                                lanes.get_mut(&old.lane).unwrap().retain(|known| known.id != old.id);
                            }
                            lanes.entry(lane).or_default().push(known);
                        }
                    }
                }
                5..8 => {
                    let next = queue.peek();
                    let popped = queue.pop(at(now)).map(|(item, _)| item);
                    assert_eq!(next.map(|next| next.id), popped.as_ref().map(|item| item.id), "seed {seed}");
                    if let Some(item) = popped {
                        let list = lanes.get_mut(&(item.priority, item.flow.0)).unwrap();
                        assert_eq!(list.remove(0).id, item.id, "seed {seed}: out of order");
                        assert!(!aside.contains(&item.id), "seed {seed}: went while it was set aside");
                    } else {
                        let waits = lanes.values().filter_map(|list| list.first());
                        assert!(
                            waits.into_iter().all(|first| aside.contains(&first.id)),
                            "seed {seed}: held back"
                        );
                    }
                }
                8 => {
                    if let Some(known) = any {
                        assert_eq!(queue.remove(known.id).map(|item| item.id), Some(known.id));
                        assert_eq!(queue.remove(known.id), None);
                        lanes.get_mut(&known.lane).unwrap().retain(|other| other.id != known.id);
                    }
                }
                9 => {
                    now += random(8_000);
                    while let Some(item) = queue.expire(at(now)) {
                        let list = lanes.get_mut(&(item.priority, item.flow.0)).unwrap();
                        let place = list.iter().position(|known| known.id == item.id).unwrap();
                        assert!(list.remove(place).due.unwrap() <= now, "seed {seed}: early");
                    }
                    let now = now / 1000 * 1000;
                    assert!(
                        lanes.values().flatten().all(|known| known.due.is_none_or(|due| due > now)),
                        "seed {seed}"
                    );
                }
                10 => {
                    if let Some(next) = queue.peek() {
                        queue.set_aside(next.id);
                        aside.push(next.id);
                    }
                }
                _ => {
                    if let Some(id) = aside.pop() {
                        let known = lanes.values_mut().flatten().find(|known| known.id == id);
                        let content = || Payload::Text(format!("{step:09}"));
                        assert_eq!(
                            queue.set_content(id, content()) != content(),
                            known.is_some(),
                            "seed {seed}"
                        );
                        if let Some(known) = known {
                            known.bytes = 9;
                        }
                    }
                }
            }
            aside.retain(|id| lanes.values().flatten().any(|known| known.id == *id));
            let all = lanes.values().flatten();
            let (messages, bytes) = all.fold((0, 0), |sum, known| (sum.0 + 1, sum.1 + known.bytes));
            assert_eq!((queue.messages(), queue.bytes()), (messages, bytes), "seed {seed}");
        }
        let left = lanes.values().map(Vec::len).sum::<usize>();
        assert_eq!(core::iter::from_fn(|| queue.remove_any()).count(), left, "seed {seed}");
        assert!(queue.is_empty() && queue.next_deadline().is_none());
    }
}
