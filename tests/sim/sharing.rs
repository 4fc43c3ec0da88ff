//! I6: what each class and each flow gets of a link while all of them have something to send.

use std::cell::RefCell;
use std::rc::Rc;

use core::time::Duration;

use tidegate::sim::{Engine, Link, Sim};
use tidegate::{Client, Outcome, Priority, SendLimits, SendOptions};

use crate::amount;
use crate::random::Random;

/// What each message costs beside its payload, in bytes, and what a flow sends before the next has its turn.
const COST: u64 = 64;
const QUANTUM: u64 = 16 << 10;

const NO_LIMITS: SendLimits = SendLimits {
    max_queued_bytes: u64::MAX,
    max_queued_messages: u32::MAX,
    max_flow_bytes: u64::MAX,
    max_flow_messages: u32::MAX,
};

/// A message by its class, its flow and what it costs.
#[derive(Clone, Copy, Debug)]
struct Item {
    class: usize,
    flow: u64,
    cost: u64,
}

/// A network with a server that notes the number with which each message begins.
fn network() -> (Sim, Rc<RefCell<Vec<usize>>>) {
    let sim = Sim::new();
    sim.set_engine(Some(Engine::Chromium));
    sim.set_link(Link {
        bytes_per_second: Some(8_000_000),
        delay: Duration::from_millis(5),
        ..Link::default()
    });
    let seen = Rc::new(RefCell::new(Vec::new()));
    let noted = seen.clone();
    sim.serve("/", move |handshake| {
        let noted = noted.clone();
        async move {
            let mut peer = handshake.accept(None);
            while let Some(message) = peer.recv().await {
                let header = message.as_binary().and_then(|bytes| bytes.first_chunk()).expect("a number");
                noted.borrow_mut().push(usize::from_le_bytes(*header));
            }
        }
    });
    (sim, seen)
}

fn content(number: usize, cost: u64) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(cost - COST).expect("it fits into memory")];
    content[..size_of::<usize>()].copy_from_slice(&number.to_le_bytes());
    content
}

/// Queues all of it at once; gives the order in which it arrived.
fn send_all(items: &[Item], share: u8) -> Vec<Item> {
    let (sim, seen) = network();
    sim.block_on(async {
        let builder = Client::builder("ws://sim/").send_limits(NO_LIMITS).guaranteed_share(share);
        let client = builder.connect_in(&sim).await.unwrap();
        for (number, item) in items.iter().enumerate() {
            let options = SendOptions::new().priority(Priority::ALL[item.class]).flow(item.flow.to_string());
            client.try_send_with(content(number, item.cost), options).unwrap();
        }
        client.close(4000, "").await.unwrap();
    });
    let seen = seen.take();
    assert_eq!(seen.len(), items.len());
    seen.into_iter().map(|number| items[number]).collect()
}

/// Flows of one to four classes, each with messages of sizes of its own, in a random order.
fn items(random: &mut Random) -> Vec<Item> {
    let mut items = Vec::new();
    for class in 0..4 {
        if random.once_in(5) {
            continue;
        }
        for flow in 0..random.between(1, 4) {
            let largest = random.of(&[8, 100, 3_000, 16_384, 70_000, 400_000, 1_500_000]);
            let least = if random.once_in(2) { largest } else { 8 };
            let mut rest = random.between(30_000, 600_000).max(2 * largest);
            for _ in 0..400 {
                let bytes = random.between(least, largest);
                items.push(Item { class, flow, cost: bytes + COST });
                rest = rest.saturating_sub(bytes);
                if rest == 0 {
                    break;
                }
            }
        }
    }
    for at in (1..items.len()).rev() {
        items.swap(at, usize::try_from(random.between(0, at as u64)).expect("a place"));
    }
    items
}

/// The most by which `values` rise from any of them to a later one.
fn rise(values: impl Iterator<Item = i128>) -> i128 {
    let (mut least, mut most) = (0, 0);
    for value in values {
        least = value.min(least);
        most = most.max(value - least);
    }
    most
}

fn largest(items: &[Item], counts: impl Fn(&Item) -> bool) -> u64 {
    items.iter().filter(|item| counts(item)).map(|item| item.cost).max().unwrap_or(0)
}

#[test]
fn i06_b25_a_class_that_waits_gets_its_share_over_any_time() {
    for seed in 0..amount(80, 5_000) {
        let random = &mut Random::new(2, seed);
        let items = items(random);
        let share = if random.once_in(2) { 16 } else { u8::try_from(random.between(0, 64)).expect("few") };
        let seen = send_all(&items, share);
        for class in 1..4 {
            let Some(last) = seen.iter().rposition(|item| item.class == class) else { continue };
            let mut behind = 0;
            let behind = seen[..=last].iter().map(|item| {
                let own = if item.class == class { 256 * i128::from(item.cost) } else { 0 };
                behind += i128::from(item.cost) * i128::from(share) - own;
                behind
            });
            // Two quanta and its largest message, and its share of one that goes before it from each higher class.
            let others = largest(&items, |item| item.class != class);
            let most = 256 * (2 * QUANTUM + largest(&items, |item| item.class == class))
                + class as u64 * others * u64::from(share);
            let behind = rise(behind);
            assert!(
                behind <= i128::from(most),
                "seed {seed}: class {class} is {} bytes behind its share of {share}/256, {} are allowed",
                behind / 256,
                most / 256
            );
        }
    }
}

#[test]
fn i06_b25_flows_of_a_class_get_the_same_over_any_time() {
    for seed in 0..amount(80, 5_000) {
        let random = &mut Random::new(3, seed);
        let items = items(random);
        let seen = send_all(&items, 16);
        for (class, one, other) in (0..4).flat_map(|class| [(class, 0, 1), (class, 1, 2), (class, 0, 3)]) {
            let last = |flow| seen.iter().rposition(|item| item.class == class && item.flow == flow);
            let (Some(last), Some(also)) = (last(one), last(other)) else { continue };
            let mut ahead = 0;
            let ahead = seen[..last.min(also)].iter().filter(|item| item.class == class).map(|item| {
                ahead += match item.flow {
                    flow if flow == one => i128::from(item.cost),
                    flow if flow == other => -i128::from(item.cost),
                    _ => 0,
                };
                ahead
            });
            let ahead: Vec<i128> = ahead.collect();
            let size =
                largest(&items, |item| item.class == class && (item.flow == one || item.flow == other));
            // Each of them by a quantum and a message, at either end.
            let most = i128::from(2 * (QUANTUM + size));
            let (rise, fall) = (rise(ahead.iter().copied()), rise(ahead.iter().map(|ahead| -ahead)));
            assert!(
                rise.max(fall) <= most,
                "seed {seed}, class {class}: {} bytes ahead of {most}",
                rise.max(fall)
            );
        }
    }
}

/// Each is alone in the queue, so that none of them waits for others.
#[test]
fn i06_b25_urgent_messages_that_come_one_by_one_leave_the_others_their_share() {
    for size in [1_000, 20_000, 65_536, 300_000] {
        let (sim, seen) = network();
        let bulk = 600;
        sim.block_on(async {
            let builder = Client::builder("ws://sim/").send_limits(NO_LIMITS);
            let client = builder.connect_in(&sim).await.unwrap();
            let options = SendOptions::urgent();
            for number in 0..bulk {
                client.try_send_with(content(number, 16 << 10), SendOptions::bulk()).unwrap();
            }
            for number in 0..40_000_000 / size {
                let urgent = content(bulk + number, size as u64 + COST);
                let ticket = client.send_with(urgent, options.clone()).await.unwrap();
                assert_eq!(ticket.await, Outcome::HandedOver);
                if client.stats().class(Priority::Bulk).queued.messages == 0 {
                    break;
                }
            }
            client.close(4000, "").await.unwrap();
        });
        let seen = seen.take();
        let last = seen.iter().rposition(|number| *number >= bulk).unwrap();
        assert!(seen[last..].len() > 1, "all of them had gone before");
        let mut behind = 0;
        let behind = seen[..last].iter().map(|number| {
            let is_bulk = *number < bulk;
            behind += if is_bulk { -15 * (16 << 10) } else { (size as i128) + 64 };
            behind
        });
        let behind = rise(behind) / 16;
        let most = i128::from(2 * QUANTUM + (16 << 10)) + size as i128 / 16 + 64;
        assert!(
            behind <= most,
            "{behind} bytes behind its share with urgent messages of {size}, {most} are allowed"
        );
    }
}
