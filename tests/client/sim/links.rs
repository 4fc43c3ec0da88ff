//! Links with a rate and a delay, and deadlines, all in virtual time.

use core::time::Duration;

use futures_util::future::join;
use tidegate::sim::Link;
use tidegate::{BinaryType, CloseCause, CloseOptions, ConnectError, Message, Outcome, SendLimits};

use super::net::SimNet;
use crate::suite::{Net, Report, open, pattern, report};

const MILLISECOND: Duration = Duration::from_millis(1);

/// A network whose links have this rate and delay.
fn network(bytes_per_second: Option<u64>, delay: Duration) -> SimNet {
    let net = SimNet::new();
    net.sim.set_link(Link { bytes_per_second, delay, ..Link::default() });
    net
}

#[test]
fn b10_connecting_takes_one_round_trip_and_an_echo_another() {
    let net = network(None, 20 * MILLISECOND);
    net.sim.block_on(async {
        let client = open(&net, "/echo").await;
        assert_eq!(net.sim.elapsed(), 40 * MILLISECOND);
        client.send("x").await.unwrap();
        client.recv().await.unwrap();
        assert_eq!(net.sim.elapsed(), 80 * MILLISECOND);
        client.close(1000, "").await.unwrap();
        assert_eq!(net.sim.elapsed(), 120 * MILLISECOND);
    });
}

#[test]
fn b28_the_throughput_of_a_link_is_its_rate() {
    let net = network(Some(2_000_000), 20 * MILLISECOND);
    net.sim.block_on(async {
        let client = open(&net, "/sink").await;
        let before = net.sim.elapsed();
        let payload = pattern(0, 50_000);
        for _ in 0..200 {
            client.send(payload.as_slice()).await.unwrap();
        }
        let reported = report(&client).await;
        assert_eq!(reported, Report::of(vec![payload; 200]));
        // 10 MB at 2 MB/s, six bytes of question, the answer, and both delays.
        let answer = 41 + 11 + 64 + 6; // Its exact length does not matter: 0.1 ms at this rate.
        let least = Duration::from_micros(5_000_000 + 3 + answer / 2) + 40 * MILLISECOND;
        let took = net.sim.elapsed().checked_sub(before).unwrap();
        assert!(took >= Duration::from_secs(5) + 40 * MILLISECOND, "{took:?}");
        assert!(took <= least + MILLISECOND, "{took:?}");
    });
}

#[test]
fn b28_both_directions_run_at_their_rate_at_once() {
    let net = network(Some(1_000_000), 50 * MILLISECOND);
    net.sim.block_on(async {
        let client = open(&net, "/echo").await;
        let before = net.sim.elapsed();
        let sending = async {
            for number in 0..100 {
                client.send(pattern(number, 10_000)).await.unwrap();
            }
        };
        let receiving = async {
            for number in 0..100 {
                assert!(client.recv().await == Some(Message::from(pattern(number, 10_000))));
            }
        };
        join(sending, receiving).await;
        // 1 MB takes a second; the echo of the last message is a message and two delays behind.
        let took = net.sim.elapsed().checked_sub(before).unwrap();
        assert_eq!(took, Duration::from_millis(1000 + 10 + 100));
    });
}

#[test]
fn b29_a_blob_crosses_a_link_as_fast_as_bytes() {
    let net = network(Some(1_000_000), 10 * MILLISECOND);
    net.sim.block_on(async {
        let client = net.connect("/echo", |builder| builder.binary_type(BinaryType::Blob)).await.unwrap();
        client.send(vec![0; 1_000_000]).await.unwrap();
        let Some(Message::Blob(blob)) = client.recv().await else { panic!("not a blob") };
        let before = net.sim.elapsed();
        client.send(blob).await.unwrap();
        client.recv().await.unwrap();
        let took = net.sim.elapsed().checked_sub(before).unwrap();
        assert_eq!(took, Duration::from_millis(1000 + 10 + 1000 + 10));
    });
}

#[test]
fn b08_the_connect_deadline_passes_exactly_when_it_is_due() {
    let net = SimNet::new();
    net.sim.block_on(async {
        let connecting = net.connect("/never", |builder| builder.connect_within(700 * MILLISECOND));
        assert!(matches!(connecting.await, Err(ConnectError::TimedOut { .. })));
        assert_eq!(net.sim.elapsed(), 700 * MILLISECOND);
        // The default of the host.
        let connecting = net.connect("/never", |builder| builder);
        assert!(matches!(connecting.await, Err(ConnectError::TimedOut { .. })));
        assert_eq!(net.sim.elapsed(), Duration::from_millis(15_700));
    });
}

#[test]
fn b31_the_close_deadline_passes_exactly_when_it_is_due() {
    let net = SimNet::new();
    net.sim.block_on(async {
        let client = open(&net, "/stall").await;
        let closed = client.close(1000, "").await.unwrap();
        assert_eq!(closed.cause, CloseCause::Unconfirmed);
        assert_eq!(net.sim.elapsed(), Duration::from_secs(10), "the default");
        // Flushing and confirmation share one deadline.
        let client = open(&net, "/stall").await;
        let ticket = client.try_send(vec![0; 1_000_000]).unwrap();
        let behind = client.try_send("behind").unwrap();
        let closed = client.close_with(CloseOptions::default().within(MILLISECOND)).await.unwrap();
        assert_eq!((ticket.await, behind.await), (Outcome::HandedOver, Outcome::Unsent));
        assert_eq!((closed.unsent.messages, closed.unknown.messages), (1, 1));
        assert_eq!(net.sim.elapsed(), Duration::from_secs(10) + MILLISECOND);
    });
}

#[test]
fn b15_end_has_two_deadlines_one_for_the_peer_and_one_for_the_close() {
    let net = SimNet::new();
    net.sim.block_on(async {
        let client = net.connect("/stall", |builder| builder.close_within(3 * MILLISECOND)).await.unwrap();
        let closed = client.end(Some(5 * MILLISECOND)).await;
        assert_eq!((closed.cause, closed.code), (CloseCause::Unconfirmed, 1006));
        assert_eq!(net.sim.elapsed(), 8 * MILLISECOND);
    });
}

#[test]
fn b32_a_close_flushes_over_a_slow_link_and_then_confirms() {
    let net = network(Some(1_000_000), 10 * MILLISECOND);
    net.sim.block_on(async {
        let client = open(&net, "/sink").await;
        let before = net.sim.elapsed();
        let limits = SendLimits::default();
        assert!(limits.max_queued_bytes > 3_000_000);
        for _ in 0..300 {
            client.try_send(vec![0; 10_000]).unwrap();
        }
        let closed = client.close(4001, "").await.unwrap();
        assert_eq!((closed.cause, closed.unsent.messages), (CloseCause::Local, 0));
        let took = net.sim.elapsed().checked_sub(before).unwrap();
        assert_eq!(took, Duration::from_millis(3000 + 20));
    });
}

#[test]
fn b10_connecting_outside_the_network_is_a_typed_error() {
    use futures_util::FutureExt;

    let net = network(None, MILLISECOND);
    let connecting = tidegate::Client::builder("ws://sim/echo").connect_in(&net.sim);
    assert_eq!(connecting.now_or_never().expect("at once").err(), Some(ConnectError::NoRuntime));
}
