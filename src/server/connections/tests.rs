use super::*;

fn limits(max_connections: usize, max_per_address: usize) -> Connections {
    Connections::new(ConnectionLimits { max_connections, max_per_address })
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn places_are_given_up_to_the_limit_and_again_once_they_are_free() {
    let connections = limits(2, usize::MAX);
    let first = connections.admit(None).unwrap();
    let _second = connections.admit(None).unwrap();
    assert_eq!(connections.admit(None).unwrap_err(), AdmitError::Full);
    drop(first);
    let _third = connections.clone().admit(None).unwrap();
    assert_eq!(connections.admit(None).unwrap_err(), AdmitError::Full);
    let expected = ConnectionCounts { open: 0, pending: 2, accepted: 0, refused: 2 };
    assert_eq!(connections.counts(), expected);
}

#[test]
fn one_address_takes_no_more_than_its_share() {
    let connections = limits(100, 1);
    let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8:0:1::1", "2001:db8:0:2::1"];
    let places: Vec<_> = addresses.map(address).map(|from| connections.admit(Some(from)).unwrap()).into();
    let _unknown = connections.admit(None).unwrap();
    // The same host by IPv6's way to write an address of IPv4, and another of the same customer's network.
    for again in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8:0:1:ffff::2"] {
        assert_eq!(connections.admit(Some(address(again))).unwrap_err(), AdmitError::AddressFull, "{again}");
    }
    assert_eq!(connections.admit(None).unwrap_err(), AdmitError::AddressFull);
    drop(places);
    for again in ["::ffff:192.0.2.1", "2001:db8:0:1:ffff::2"] {
        drop(connections.admit(Some(address(again))).unwrap());
    }
    // Nothing is remembered of those who have gone.
    assert_eq!(connections.shared.lock().addresses.len(), 1);
}

#[test]
fn a_shutdown_waits_for_places_and_gives_none() {
    let connections = limits(2, 2);
    let mut begun = core::pin::pin!(connections.shutting_down());
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(begun.as_mut().poll(cx).is_pending());
    let place = connections.admit(None).unwrap();
    let mut over = core::pin::pin!(connections.shutdown(Duration::ZERO, Duration::ZERO, Duration::ZERO));
    assert!(begun.as_mut().poll(cx).is_ready());
    assert!(over.as_mut().poll(cx).is_pending());
    assert_eq!(connections.admit(None).unwrap_err(), AdmitError::ShuttingDown);
    drop(place);
    assert!(over.as_mut().poll(cx).is_ready());
    // Waiting leaves nothing behind.
    drop(connections.shutdown(Duration::ZERO, Duration::ZERO, Duration::ZERO));
    assert!(connections.shared.lock().waiters.all().is_empty());
}
