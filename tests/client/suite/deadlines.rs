//! How long a message waits for room.

use core::pin::pin;
use core::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use tidegate::{Outcome, Priority, SendLimits, SendOptions};

use super::{LONG, Net, Report, SHORT, amount_of, bounded, poll_once, report};

pub(crate) async fn b26_a_deadline_ends_the_wait_for_room(net: &impl Net) {
    let limits = SendLimits { max_queued_bytes: 10, ..SendLimits::default() };
    let client = bounded(net, "/sink", limits).await;
    let (sender, _receiver) = client.split();
    let permit = sender.reserve(9, SendOptions::new()).await.expect("open");
    let within = |within| SendOptions::new().deadline(within);
    // There is room for the last, but not before those in front of it have given up.
    let waiting = join_all([
        sender.send_with("in good time", within(LONG)),
        sender.send_with("late", within(SHORT)),
        sender.send_with("late as well", within(SHORT / 2)),
        sender.send("."),
    ]);
    let mut waiting = pin!(waiting);
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    let at_once = sender.send_with("at once", within(Duration::ZERO)).await.expect("open");
    assert_eq!(at_once.outcome(), Some(Outcome::Expired));
    let mut changes = sender.stats_changes();
    let all_late = async {
        while changes.next().await.expect("open").class(Priority::Normal).expired != amount_of(3, 23) {}
        assert_eq!(sender.queued(), amount_of(0, 0));
        drop(permit);
    };
    let tickets = join(waiting, all_late).await.0.into_iter().map(|ticket| ticket.expect("open"));
    let (gone, sent) = (Outcome::Expired, Outcome::HandedOver);
    assert_eq!(join_all(tickets).await, [sent, gone, gone, sent]);
    assert_eq!(sender.stats().class(Priority::Normal).expired, amount_of(3, 23));
    assert_eq!(report(&client).await, Report::of(["in good time", "."]));
}

pub(crate) async fn b26_who_gives_up_at_the_deadline_lets_the_next_go(net: &impl Net) {
    let limits = SendLimits { max_queued_bytes: 10, ..SendLimits::default() };
    let client = bounded(net, "/sink", limits).await;
    let (sender, _receiver) = client.split();
    let permit = sender.reserve(9, SendOptions::new()).await.expect("open");
    let sending = sender.send_with("late", SendOptions::new().deadline(SHORT));
    // There is room for the next one, but it is not its turn.
    let (late, behind) = join(sending, sender.send(".")).await;
    assert_eq!(late.expect("open").await, Outcome::Expired);
    assert_eq!(behind.expect("open").await, Outcome::HandedOver);
    drop(permit);
    assert_eq!(report(&client).await, Report::of(["."]));
}
