//! Who gets how much of a full link: I6 for the classes, B55 for channels that nobody reads, and what the protocol
//! itself takes.

use tidegate::proto::Priority;
use tidegate::proto::v1::SessionConfig;

use crate::path::{FRAME, Flow, Got, MILLI, Path, Run, SECOND};

/// How far a class has been behind `share` sixteenths of all bytes at most, over any time.
fn behind(got: &[Got], class: usize, share: i64) -> i64 {
    let (mut owed, mut least, mut most) = (0, 0, 0);
    for record in got {
        let bytes = record.bytes.cast_signed();
        owed += share * bytes - if record.flow == class { 16 * bytes } else { 0 };
        least = owed.min(least);
        most = (owed - least).max(most);
    }
    most / 16
}

fn of_all_classes(path: Path, sizes: [usize; 4]) -> (Vec<Got>, u64) {
    let flows: Vec<Flow> =
        Priority::ALL.iter().zip(sizes).map(|(class, bytes)| Flow::bulk(*class, bytes)).collect();
    let mut run = Run::new(path, &flows, 1);
    run.until(8 * SECOND);
    run.got = Some(Vec::new());
    run.until(28 * SECOND);
    (run.got.take().unwrap(), u64::from(run.gauges().chunk))
}

/// Each class below urgent gets a sixteenth less two chunks, and urgent the rest less three: by what arrives.
#[test]
fn i06_each_class_gets_its_share_over_any_time() {
    for (rate, round_trip) in
        [(200_000, 50), (2_000_000, 5), (2_000_000, 50), (2_000_000, 200), (20_000_000, 50)]
    {
        for sizes in [[400_000; 4], [3_000, 400_000, 65_536, 900], [65_536, 100, 100, 100]] {
            let (got, chunk) = of_all_classes(Path::even(rate, round_trip * MILLI), sizes);
            let all: u64 = got.iter().map(|record| record.bytes).sum();
            let part = |class| {
                got.iter().filter(|record| record.flow == class).map(|record| record.bytes).sum::<u64>()
            };
            let parts = [0, 1, 2, 3].map(|class| (part(class) as f64 / all as f64 * 1e3).round() / 1e3);
            let lags = [13, 1, 1, 1].iter().enumerate().map(|(class, share)| behind(&got, class, *share));
            let lags: Vec<i64> = lags.collect();
            let last = got.last().map_or(0, |record| record.at) - got.first().map_or(0, |record| record.at);
            println!("{rate} B/s, {round_trip} ms, c = {chunk}: {parts:?}, behind by {lags:?} at most");
            assert!(last > 19 * SECOND, "nothing has arrived for some time");
            let chunk = chunk.cast_signed();
            assert!(lags[1..].iter().all(|lag| *lag <= 2 * chunk), "{lags:?} of {}", 2 * chunk);
            // What each of the three others may be ahead of its share at once.
            assert!(lags[0] <= 3 * (chunk + 32), "{lags:?}");
        }
    }
}

/// The window of each channel.
const WINDOW: u64 = 1 << 20;

/// What the second and the third flow get in 20 s, if the reader of the first stops before, or there is no first.
fn beside(stops: Option<(Priority, u64)>, from: usize) -> (u64, Run) {
    let mut path = Path::even(2_000_000, 50 * MILLI);
    path.from = from;
    let (mut client, mut server) = (SessionConfig::client(), SessionConfig::server());
    client.transport_takes_all = true;
    (client.channel_window, server.channel_window) = (WINDOW, WINDOW);
    let mut flows =
        vec![Flow::bulk(Priority::Normal, 65_536), Flow::bulk(Priority::Bulk, 400_000), Flow::urgent()];
    if let Some((class, at)) = stops {
        flows.push(Flow { stops: at, ..Flow::bulk(class, 65_536) });
    }
    let mut run = Run::with(path, &flows, 1, [client, server]);
    run.until(12 * SECOND);
    let before: u64 = (0..3).map(|flow| run.arrived(flow).0).sum();
    run.until(32 * SECOND);
    let after: u64 = (0..3).map(|flow| run.arrived(flow).0).sum();
    (after - before, run)
}

#[test]
fn b55_a_channel_whose_reader_stops_takes_its_window_and_no_more() {
    for from in [0, 1] {
        let (alone, _) = beside(None, from);
        for class in Priority::ALL {
            let (payload, mut run) = beside(Some((class, 5 * SECOND)), from);
            let (_, untaken) = run.arrived(3);
            let slowest = run.arrivals.iter().rev().take(200).map(|arrival| arrival.took).max().unwrap();
            println!(
                "{class:?}: {untaken} B lie untaken, the others at {:.4}, urgent ones within {:.1} ms",
                payload as f64 / alone as f64,
                slowest as f64 / 1e3
            );
            assert!(untaken <= WINDOW && untaken > WINDOW / 2, "{untaken}");
            assert!(payload as f64 >= 0.97 * alone as f64, "{payload} of {alone}");
            assert!(slowest <= 45 * MILLI, "{slowest}");
            run.until(42 * SECOND);
            assert_eq!(run.arrived(3).1, untaken, "it has got more than its window");
        }
    }
}

#[test]
fn little_of_the_link_is_not_payload() {
    for rate in [62_500, 200_000, 2_000_000, 20_000_000] {
        let mut run = Run::new(Path::even(rate, 50 * MILLI), &[Flow::bulk(Priority::Normal, 400_000)], 1);
        run.until(5 * SECOND);
        let before = run.wire;
        let payload = run.until(35 * SECOND);
        let [there, back] = [run.wire[0] - before[0], run.wire[1] - before[1]];
        let part = payload as f64 / there as f64;
        println!(
            "{rate} B/s, c = {}: payload {part:.4} of what goes there, {:.4} of all",
            run.gauges().chunk,
            payload as f64 / (there + back) as f64
        );
        assert!(part >= 0.98, "{part}");
    }
}

/// Items of 32 B share messages, whose frames and events would cost more than they do.
#[test]
fn small_items_share_messages() {
    for rate in [200_000, 2_000_000] {
        let mut run = Run::new(Path::even(rate, 50 * MILLI), &[Flow::bulk(Priority::Normal, 32)], 1);
        run.until(3 * SECOND);
        let (messages, records, wire) = (run.messages[0], run.records, run.wire[0]);
        let payload = run.until(6 * SECOND);
        let (messages, records, wire) =
            (run.messages[0] - messages, run.records - records, run.wire[0] - wire);
        let (shared, chunk) = (records as f64 / messages as f64, u64::from(run.gauges().chunk));
        println!(
            "{rate} B/s, c = {chunk}: {shared:.1} records in a message, payload {:.3} of the bytes, link at {:.3}",
            payload as f64 / wire as f64,
            wire as f64 / (3 * rate) as f64
        );
        assert!(shared >= chunk as f64 / (32.0 + FRAME as f64) / 2.0, "{shared}");
        assert!(wire as f64 >= 0.95 * 3.0 * rate as f64, "{wire}");
    }
}
