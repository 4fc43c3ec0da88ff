use super::*;

const NO_SLACK: Duration = Duration::from_micros(0);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

fn attached(is_server: bool) -> Liveness {
    let mut this = Liveness::new(is_server);
    this.handle_attached(at(0));
    this
}

/// What is said at these moments, in milliseconds, if nothing else happens.
fn said(liveness: &mut Liveness, moments: &[u64]) -> Vec<Verdict> {
    moments.iter().map(|&millis| liveness.handle_timeout(at(millis), NO_SLACK, None)).collect()
}

/// All that is said by timers that are on time, with the moments in milliseconds.
fn on_time(liveness: &mut Liveness, slack: Duration) -> Vec<(u64, Verdict)> {
    let mut said = Vec::new();
    while let Some(due) = liveness.due(slack, None) {
        assert!(said.len() < 100);
        said.push((due.as_micros() / 1000, liveness.handle_timeout(due, slack, None)));
    }
    said
}

use Verdict::{Dead, Nothing, Ping};

#[test]
fn silence_is_answered_by_pings_and_ends_the_connection() {
    assert_eq!(on_time(&mut attached(true), NO_SLACK), [(20_000, Ping), (40_000, Ping), (45_000, Dead)]);
    assert_eq!(on_time(&mut attached(false), NO_SLACK), [(30_000, Ping), (45_000, Dead)]);
    // What is under way takes its time.
    let slack = Duration::from_secs(5);
    assert_eq!(on_time(&mut attached(false), slack), [(30_000, Ping), (50_000, Dead)]);
}

#[test]
fn a_rate_that_was_measured_in_sleep_does_not_keep_a_connection_alive() {
    // 14,600 B at a byte a second.
    let slack = Duration::from_secs(29_200);
    assert_eq!(
        on_time(&mut attached(true), slack),
        [(20_000, Ping), (40_000, Ping), (60_000, Ping), (80_000, Ping), (90_000, Dead)]
    );
    assert_eq!(on_time(&mut attached(false), slack), [(30_000, Ping), (60_000, Ping), (90_000, Dead)]);
}

#[test]
fn the_agreed_times_are_kept_to() {
    // Interval and timeout in ms; what a server and a client say.
    type Said = &'static [(u64, Verdict)];
    let table: [(u64, u64, Said, Said); 4] = [
        (1000, 2000, &[(1000, Ping), (2000, Dead)], &[(1500, Ping), (2000, Dead)]),
        (2000, 3000, &[(2000, Ping), (3000, Dead)], &[(3000, Ping), (3750, Dead)]),
        // Nobody is dead who was not asked, and had a quarter of the timeout for the answer.
        (300_000, 2000, &[(300_000, Ping), (300_500, Dead)], &[(450_000, Ping), (450_500, Dead)]),
        // Times that no setting may have do not make it spin.
        (0, 0, &[(1000, Ping), (1250, Dead)], &[(1500, Ping), (1750, Dead)]),
    ];
    for (interval, timeout, server, client) in table {
        for (is_server, expected) in [(true, server), (false, client)] {
            let mut liveness = attached(is_server);
            liveness.set_times(Duration::from_millis(interval), Duration::from_millis(timeout));
            assert_eq!(on_time(&mut liveness, NO_SLACK), expected, "{interval} {timeout} {is_server}");
        }
    }
}

#[test]
fn any_message_is_life() {
    for is_server in [true, false] {
        let mut liveness = attached(is_server);
        for second in (10..1000).step_by(10) {
            assert_eq!(liveness.handle_timeout(at(second * 1000), NO_SLACK, None), Nothing);
            liveness.handle_received(at(second * 1000));
        }
        // In the last moment, with a PING that nobody answers; then all begins anew.
        let start = 990_000;
        let due = on_time(&mut Liveness { ..attached(is_server) }, NO_SLACK);
        assert_eq!(said(&mut liveness, &[start + 30_000, start + 44_999]), [Ping, Nothing]);
        liveness.handle_received(at(start + 44_999));
        let again = on_time(&mut liveness, NO_SLACK);
        let shifted: Vec<_> = due.iter().map(|&(millis, what)| (millis + start + 44_999, what)).collect();
        assert_eq!(again, shifted);
    }
}

#[test]
fn without_a_connection_nothing_is_due() {
    let mut liveness = Liveness::new(false);
    let check = |liveness: &mut Liveness, millis: u64| {
        liveness.handle_received(at(millis));
        liveness.probe(at(millis));
        assert!(!liveness.handle_pong(0));
        assert_eq!((liveness.due(NO_SLACK, Some(at(0))), liveness.pinged()), (None, None));
        assert_eq!(liveness.handle_timeout(at(millis), NO_SLACK, Some(at(0))), Nothing);
    };
    check(&mut liveness, 100_000);
    liveness.handle_attached(at(200_000));
    assert_eq!(
        said(&mut liveness, &[200_000, 230_000, 245_000, 245_001, 999_999]),
        [Nothing, Ping, Dead, Nothing, Nothing]
    );
    check(&mut liveness, 999_999);
    // A new connection knows nothing of the PING and the silence of the one before.
    liveness.handle_attached(at(1_000_000));
    assert_eq!(said(&mut liveness, &[1_029_999, 1_030_000]), [Nothing, Ping]);
    liveness.handle_detached();
    check(&mut liveness, 1_045_000);
}

#[test]
fn what_the_page_says_is_asked_about_at_once_and_once() {
    let mut liveness = attached(false);
    // `online`, `resume`, visible: within one event loop.
    for millis in [5000, 5000, 5001] {
        liveness.probe(at(millis));
    }
    assert_eq!(liveness.due(NO_SLACK, None), Some(at(5000)));
    assert_eq!(said(&mut liveness, &[5001, 5001]), [Ping, Nothing]);
    // One more within a second says nothing new; after that it does.
    liveness.probe(at(6000));
    assert_eq!(liveness.due(NO_SLACK, None), Some(at(35_001)));
    liveness.probe(at(6001));
    assert_eq!(said(&mut liveness, &[6001, 6002]), [Ping, Nothing]);
    // It makes nobody dead before the silence does.
    assert_eq!(on_time(&mut liveness, NO_SLACK), [(36_001, Ping), (45_000, Dead)]);
    // A message that waited in the page does not answer for the network.
    let mut liveness = attached(false);
    liveness.probe(at(5000));
    liveness.handle_received(at(5000));
    assert_eq!(said(&mut liveness, &[5000]), [Ping]);
}

#[test]
fn a_late_acknowledgement_is_asked_about_once_and_at_most_once_a_second() {
    let ask = |liveness: &mut Liveness, now: u64, due: u64| {
        assert_eq!(
            liveness.due(NO_SLACK, Some(at(due))).map(|due| due <= at(now)),
            Some(true),
            "{now} {due}"
        );
        liveness.handle_timeout(at(now), NO_SLACK, Some(at(due)))
    };
    let mut liveness = attached(false);
    assert_eq!(liveness.handle_timeout(at(1499), NO_SLACK, Some(at(1500))), Nothing);
    assert_eq!(liveness.due(NO_SLACK, Some(at(1500))), Some(at(1500)));
    assert_eq!(ask(&mut liveness, 1600, 1500), Ping);
    assert_eq!(liveness.due(NO_SLACK, Some(at(1500))), Some(at(31_600)), "that is answered for");
    // The next one is late as soon.
    assert_eq!(liveness.due(NO_SLACK, Some(at(1700))), Some(at(2600)));
    assert_eq!(liveness.handle_timeout(at(2599), NO_SLACK, Some(at(1700))), Nothing);
    assert_eq!(ask(&mut liveness, 2600, 1700), Ping);
    assert_eq!(liveness.due(NO_SLACK, Some(at(1700))), Some(at(32_600)));
}

#[test]
fn a_pong_answers_the_newest_ping_once() {
    let mut liveness = attached(true);
    assert!(!liveness.handle_pong(0), "nobody asked");
    assert_eq!(said(&mut liveness, &[20_000, 40_000]), [Ping, Ping]);
    assert_eq!(liveness.pinged(), Some(at(40_000)));
    assert!(!liveness.handle_pong(20_000_000), "only the newest is answered");
    liveness.handle_received(at(40_100));
    assert!(liveness.handle_pong(40_000_000));
    assert!(!liveness.handle_pong(40_000_000));
}

#[test]
fn a_timer_that_is_late_waits_once_more_before_it_judges() {
    // How late it finds the connection dead at 45 s, in ms; what it and what follows says.
    let quarter = 11_250;
    for late in [0, 1, 1000, 2000] {
        assert_eq!(said(&mut attached(false), &[30_000, 45_000 + late]), [Ping, Dead], "{late}");
    }
    let mut liveness = attached(false);
    assert_eq!(said(&mut liveness, &[30_000]), [Ping]);
    assert_eq!(liveness.handle_timeout(Timestamp::from_micros(47_000_001), NO_SLACK, None), Ping);
    for late in [2001, 60_000, 3_600_000, 40_000_000] {
        let now = 45_000 + late;
        let mut liveness = attached(false);
        assert_eq!(said(&mut liveness, &[30_000, now, now]), [Ping, Ping, Nothing], "{late}");
        assert_eq!(liveness.due(NO_SLACK, None), Some(at(now + quarter)));
        // Once: a page whose timers all come a minute late does not wait for ever.
        assert_eq!(said(&mut Liveness { ..liveness }, &[now + quarter + 60_000]), [Dead], "{late}");
        // What had waited to be read, or the answer, is life.
        liveness.handle_received(at(now + 1));
        let rest = on_time(&mut Liveness { ..liveness }, NO_SLACK);
        assert_eq!(rest.last(), Some(&(now + 45_001, Dead)), "{late}");
        // And in the silence after it a late timer waits again.
        assert_eq!(said(&mut liveness, &[now + 30_001, now + 45_001 + late]), [Ping, Ping], "{late}");
    }
}

#[test]
fn whoever_has_slept_asks_before_it_judges() {
    for slept in [60_000, 3_600_000, 86_400_000] {
        // Nobody had asked before, and the timer is a minute late, or hours.
        let mut liveness = attached(false);
        assert_eq!(said(&mut liveness, &[10_000, 10_000 + slept]), [Nothing, Ping]);
        let due = liveness.due(NO_SLACK, None).unwrap();
        assert_eq!(due, at(10_000 + slept + 11_250));
        assert_eq!(liveness.handle_timeout(due, NO_SLACK, None), Dead);
        // The page says so before the timer does.
        let mut liveness = attached(false);
        liveness.probe(at(10_000 + slept));
        assert_eq!(said(&mut liveness, &[10_000 + slept, 10_000 + slept]), [Ping, Nothing]);
        assert_eq!(liveness.due(NO_SLACK, None), Some(due));
    }
    // All timers a minute late: two waits, and an end.
    let mut liveness = attached(false);
    let mut verdicts = Vec::new();
    while let Some(due) = liveness.due(NO_SLACK, None) {
        let now = due.saturating_add(Duration::from_secs(60));
        verdicts.push((now.as_micros() / 1000, liveness.handle_timeout(now, NO_SLACK, None)));
    }
    assert_eq!(verdicts, [(90_000, Ping), (161_250, Ping), (232_500, Dead)]);
}

/// Whatever has happened before: what is due is said when it is due and moves what is due to a later moment, so that no timer
/// fires for nothing, let alone again and again; and nobody is dead who was not silent and asked.
#[test]
fn what_is_due_is_said_and_then_due_later() {
    let mut counts = [0_u32; 3];
    for seed in 0..3_000_u64 {
        let mut random = seed;
        let mut below = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % bound
        };
        let mut liveness = attached(below(2) == 0);
        let mut now = Timestamp::ZERO;
        let (mut slack, mut ack_due) = (NO_SLACK, None);
        let (mut idle, mut heard, mut asked) = (45_000_000, Timestamp::ZERO, None);
        for step in 0..200 {
            let context = || std::format!("seed {seed}, step {step}");
            match below(12) {
                0 => {
                    idle = 2_000_000 + below(900_000) * 1000;
                    liveness
                        .set_times(Duration::from_millis(1000 + below(300_000)), Duration::from_micros(idle));
                }
                1 => slack = Duration::from_millis(below(3) * below(20_000)),
                2 => {
                    ack_due =
                        (below(3) > 0).then(|| Timestamp::from_micros(now.as_micros() + below(9_000_000)));
                }
                3 => ack_due = ack_due.map(|_| Timestamp::from_micros(now.as_micros() / 2)),
                4 => liveness.probe(now),
                5 | 6 => {
                    liveness.handle_received(now);
                    (heard, asked) = (now, None);
                }
                7 => drop(liveness.handle_pong(below(2) * now.as_micros())),
                // In the middle of the wait.
                8 => now = Timestamp::from_micros(now.as_micros() + below(20_000_000)),
                _ => {
                    // At the moment, or late: by no more than 2 s, a minute, a day.
                    let due = liveness.due(slack, ack_due).expect("there is a connection");
                    let late = match below(5) {
                        0 => below(2_000_000),
                        1 => 60_000_000,
                        2 => below(86_400_000_000),
                        _ => 0,
                    };
                    now = now.max(due.saturating_add(Duration::from_micros(late)));
                }
            }
            let Some(due) = liveness.due(slack, ack_due) else { unreachable!("{}", context()) };
            let verdict = liveness.handle_timeout(now, slack, ack_due);
            assert_eq!(verdict == Nothing, now < due, "{}", context());
            match verdict {
                Nothing => {
                    counts[0] += 1;
                    assert_eq!(liveness.due(slack, ack_due), Some(due), "{}", context());
                }
                Ping => {
                    counts[1] += 1;
                    asked = asked.or(Some(now));
                    assert!(liveness.due(slack, ack_due) > Some(now), "{}", context());
                    assert_eq!(liveness.pinged(), Some(now));
                }
                Dead => {
                    counts[2] += 1;
                    let idle = Duration::from_micros(idle);
                    let silence = heard.saturating_add(idle).saturating_add(slack.min(idle));
                    assert!(silence <= now && asked.is_some_and(|asked| asked < now), "{}", context());
                    assert_eq!(liveness.due(slack, ack_due), None, "{}", context());
                    liveness.handle_attached(now);
                    (heard, asked, ack_due) = (now, None, None);
                }
            }
            assert_eq!(liveness.handle_timeout(now, slack, ack_due), Nothing, "{}: twice", context());
        }
    }
    assert!(counts.iter().all(|&count| count > 2_000), "{counts:?}");
}
