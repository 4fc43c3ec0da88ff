//! The budget over paths that are modelled in virtual time, and by itself.

mod model;

use self::model::{MILLIS, Model, Random, SECOND};
use super::*;

/// What an urgent item met on a path over which the rest of the time was spent on bulk.
struct Figures {
    /// How long the startup took, and an urgent item in it at most, in microseconds.
    start: f64,
    start_most: f64,
    /// What arrived, as a part of what the link takes.
    part: f64,
    exceptions: usize,
    items: usize,
    model: Model,
}

impl Figures {
    /// Of `seconds`, after the startup.
    fn new(mut model: Model, seconds: f64) -> Self {
        let start = model.start(60.0 * SECOND);
        let start_most = model.arrivals.iter().map(|arrival| arrival.took).fold(0.0, f64::max);
        // The queue of the startup is gone.
        model.run(SECOND + 3.0 * (model.up + model.back));
        let part = model.run(seconds * SECOND);
        let (exceptions, items) = (model.exceptions(0.0), model.arrivals.len());
        Self { start, start_most, part, exceptions, items, model }
    }

    fn line(&self) -> String {
        let Model { rate, up, back, granularity, .. } = self.model;
        let bound = self.model.arrivals.iter().map(|arrival| arrival.bound).fold(0.0, f64::max);
        format!(
            "| {:>5.2} | {:>5.0} | {:>2.0} | {:>4.0} | {:>4.0} | {:.3} | {:>5.1} | {:>5.1} | {:>5.1} | {:>5.1} |",
            rate / 1e6,
            (up + back) / MILLIS,
            granularity / MILLIS,
            self.start / MILLIS,
            self.start_most / MILLIS,
            self.part,
            self.model.took(50) / MILLIS,
            self.model.took(99) / MILLIS,
            self.model.took(100) / MILLIS,
            bound / MILLIS,
        )
    }

    /// In the startup, an urgent item waits for a round's worth of queue at most, and for what is sent before anything
    /// is known; and the startup is over in time.
    fn check_startup(&self) {
        let rtt = self.model.up + self.model.back;
        let most =
            self.model.up + rtt + (14_600.0 + 2.0 * 4_096.0) / self.model.rate * SECOND + 25.0 * MILLIS;
        assert!(self.start_most <= most, "{} of {most}: {}", self.start_most, self.line());
        let most = 15.5 * rtt + 2.0 * 14_600.0 / self.model.rate * SECOND + 200.0 * MILLIS;
        assert!(self.start <= most, "{}", self.line());
    }
}

const TITLE: &str = "|  MB/s | RTT | timer | start | its most | link | p50 | p99 | most | bound |  (ms)";

/// Section 6.6 for every urgent item, not 99 of a hundred; the table of `--nocapture`.
#[test]
fn an_urgent_item_arrives_in_time_while_the_link_is_full() {
    println!("{TITLE}");
    for granularity in [1.0, 4.0] {
        for rate in [0.2e6, 2e6, 20e6] {
            for rtt in [5.0, 50.0, 200.0] {
                let mut model = Model::new(rate, rtt / 2.0 * MILLIS, rtt / 2.0 * MILLIS);
                model.granularity = granularity * MILLIS;
                let figures = Figures::new(model, 40.0);
                println!("{}", figures.line());
                assert_eq!(figures.exceptions, 0, "{}", figures.line());
                assert!(figures.part >= 0.975, "{}", figures.line());
                figures.check_startup();
            }
        }
    }
}

/// The link of `bench hol`, with a free way back and with one as long.
#[test]
fn at_2_mb_a_second_and_20_ms_an_urgent_item_waits_15_ms() {
    for (back, granularity) in [(0.0, 1.0), (0.0, 4.0), (20.0, 1.0), (20.0, 4.0)] {
        let mut model = Model::new(2e6, 20.0 * MILLIS, back * MILLIS);
        model.granularity = granularity * MILLIS;
        let figures = Figures::new(model, 40.0);
        println!("{}", figures.line());
        assert!(figures.model.took(50) <= (20.0 + 15.0) * MILLIS, "{}", figures.line());
        assert!(figures.model.took(99) <= (20.0 + 50.0) * MILLIS, "{}", figures.line());
        assert!(figures.part >= 0.97, "{}", figures.line());
    }
}

/// 0.5 to 200 Mbit/s, 5 to 300 ms.
#[test]
fn on_200_paths_at_random_urgent_items_arrive_in_time() {
    let mut random = Random(7);
    let (mut exceptions, mut items, mut least) = (0, 0, 1.0);
    for _ in 0..200 {
        let rate = random.log_between(62_500.0, 25e6);
        let rtt = random.log_between(5.0, 300.0) * MILLIS;
        let figures = Figures::new(Model::new(rate, rtt / 2.0, rtt / 2.0), 15.0);
        figures.check_startup();
        assert!(figures.part >= 0.95, "{}", figures.line());
        if figures.exceptions > 0 {
            println!("{}: {} exceptions", figures.line(), figures.exceptions);
        }
        (exceptions, items) = (exceptions + figures.exceptions, items + figures.items);
        least = smaller(least, figures.part);
    }
    println!("{exceptions} exceptions of {items}; the link at {least:.3} or more");
    // None on the machine where it was written; the random rates are not the same on every platform.
    assert!(exceptions * 10_000 <= items, "{exceptions} of {items}");
}

/// After 10 s of a full link.
fn settled(rate: f64, up: f64, back: f64) -> Model {
    let mut model = Model::new(rate, up * MILLIS, back * MILLIS);
    model.run(10.0 * SECOND);
    model
}

#[test]
fn a_rate_that_falls_to_a_tenth_costs_one_queue() {
    for half in [10.0, 50.0] {
        let mut model = settled(2e6, half, half);
        let before = float(model.budget.bytes());
        model.set_rate(0.2e6);
        model.run(3.0 * SECOND);
        // What is in 6.6, and a chunk of the old size beyond the budget.
        let most = (before + 4_096.0 + 32.0) / 0.2e6 * SECOND + half * MILLIS;
        assert!(model.took(100) <= most, "{} of {most}", model.took(100));
        let part = model.run(20.0 * SECOND);
        assert!(part >= 0.97 && model.exceptions(0.0) == 0, "{part}, {} ms", model.took(100) / MILLIS);
    }
}

#[test]
fn a_rate_that_grows_tenfold_is_found() {
    for half in [10.0, 50.0, 100.0] {
        let mut model = settled(2e6, half, half);
        model.set_rate(20e6);
        model.run(30.0 * half * 2.0 * MILLIS);
        let part = model.run(3.0 * SECOND);
        assert!(part >= 0.95, "{part} at {half}");
        model.run(5.0 * SECOND);
        let part = model.run(20.0 * SECOND);
        assert!(part >= 0.97 && model.exceptions(0.0) == 0, "{part}, {} ms", model.took(100) / MILLIS);
    }
}

#[test]
fn a_path_that_becomes_longer_or_shorter_is_measured_anew() {
    for (before, after) in [(10.0, 40.0), (10.0, 15.0), (50.0, 80.0), (60.0, 10.0), (100.0, 50.0)] {
        let mut model = settled(2e6, before, 10.0);
        model.up = after * MILLIS;
        // Two probes.
        model.run(12.0 * SECOND);
        let round = float(model.budget.round_trip_micros().unwrap());
        assert!((round - model.up - model.back).abs() <= MILLIS, "{round}: {before} to {after}");
        let part = model.run(20.0 * SECOND);
        assert!(part >= 0.97 && model.exceptions(0.0) == 0, "{part}: {before} to {after}");
    }
}

/// Of six seeds each: 30 ms at 100 ms left it at 0.947 once when this was written, all else at 0.957 or more.
#[test]
fn jitter_up_to_30_ms_leaves_the_link_full() {
    for (half, jitter) in [(10.0, 3.0), (10.0, 10.0), (10.0, 30.0), (50.0, 30.0)] {
        let mut sum = 0.0;
        for seed in 1..=6 {
            let mut model = Model::new(2e6, half * MILLIS, half * MILLIS);
            model.random = Random(seed);
            model.run(10.0 * SECOND);
            model.jitter = jitter * MILLIS;
            model.run(5.0 * SECOND);
            let part = model.run(30.0 * SECOND);
            let (p50, p99) = (model.took(50) / MILLIS, model.took(99) / MILLIS);
            println!("jitter {jitter}, RTT {}: {part:.3}, p50 {p50:.1}, p99 {p99:.1}", 2.0 * half);
            assert!(part >= 0.94, "{part}: {half}, {jitter}");
            sum += part;
            // J of 6.6 is what the path adds, and the lumps that it makes of acknowledgements.
            let lumps = smaller(2.0 * jitter * MILLIS, 50.0 * MILLIS);
            assert!(model.exceptions(jitter * MILLIS + lumps) == 0, "{} ms", model.took(100) / MILLIS);
            model.jitter = 0.0;
            model.run(12.0 * SECOND);
            model.run(10.0 * SECOND);
            assert_eq!(model.exceptions(0.0), 0, "it is forgotten: {:?}", model.budget);
        }
        assert!(sum / 6.0 >= 0.95, "{}: {half}, {jitter}", sum / 6.0);
    }
}

#[test]
fn acknowledgements_in_lumps_of_40_ms_leave_the_link_full() {
    for half in [10.0, 50.0] {
        let mut model = settled(2e6, half, half);
        model.lump = 40.0 * MILLIS;
        model.run(3.0 * SECOND);
        let part = model.run(30.0 * SECOND);
        println!("lumps: {part:.3}, p50 {:.1}, p99 {:.1}", model.took(50) / MILLIS, model.took(99) / MILLIS);
        assert!(part >= 0.95, "{part}");
        assert_eq!(model.exceptions(50.0 * MILLIS), 0, "{} ms", model.took(100) / MILLIS);
        let rate = model.budget.bytes_per_second();
        assert!(rate <= 2_800_000, "what comes in a lump is hardly a rate: {rate}");
    }
}

#[test]
fn after_a_silence_the_link_is_full_at_once_and_no_queue_before_it() {
    for half in [10.0, 50.0] {
        let mut model = settled(2e6, half, half);
        let rate = model.budget.bytes_per_second();
        model.has_backlog = false;
        model.run(3.0 * SECOND);
        assert_eq!(model.budget.bytes_per_second(), rate, "little to send says nothing of the link");
        model.has_backlog = true;
        let part = model.run(2.0 * SECOND);
        assert!(part >= 0.93 && model.exceptions(0.0) == 0, "{part}, {} ms", model.took(100) / MILLIS);
    }
}

/// Of 100 kB, in front of 2 MB/s: 50 ms that nobody can look behind.
#[test]
fn a_queue_of_others_does_not_make_the_budget_grow_and_is_found_gone() {
    for half in [10.0, 50.0] {
        let mut model = settled(2e6, half, half);
        model.add_foreign(100_000);
        let most = 2_000_000.0 / SECOND * ((2.0 * half + 50.0 + 12.0) * MILLIS) + 4_096.0;
        for second in 0..60 {
            model.run(SECOND);
            assert!(second < 3 || float(model.budget.bytes()) <= most, "{:?}", model.budget);
        }
        model.remove_foreign();
        model.run(8.0 * SECOND);
        let part = model.run(10.0 * SECOND);
        assert!(part >= 0.97 && model.exceptions(0.0) == 0, "{part}, {} ms", model.took(100) / MILLIS);
    }
}

/// With probing switched off, a path that has become longer is never filled again, and chunks that were too large for
/// the link at first are part of `RTTmin` for ever: the bound of 6.6 breaks.
#[test]
fn it_takes_probes_to_be_right() {
    let longer = |never_probes| {
        let mut model = settled(2e6, 10.0, 10.0);
        model.budget.never_probes = never_probes;
        model.up = 40.0 * MILLIS;
        model.run(10.0 * SECOND);
        model.run(20.0 * SECOND)
    };
    let (with, without) = (longer(false), longer(true));
    assert!(with >= 0.97 && without < 0.8, "{with}, {without}");
    let slow = |never_probes| {
        let mut model = Model::new(0.0625e6, 5.0 * MILLIS, 5.0 * MILLIS);
        model.budget.never_probes = never_probes;
        Figures::new(model, 20.0).exceptions
    };
    let (with, without) = (slow(false), slow(true));
    assert!(with == 0 && without > 100, "{with}, {without}");
}

/// What the link does not carry in 40 s, all else being steady.
#[test]
fn probes_cost_less_than_3_percent() {
    for rtt in [5.0, 20.0, 50.0, 100.0, 200.0, 300.0] {
        let run = |never_probes| {
            let mut model = settled(2e6, rtt / 2.0, rtt / 2.0);
            model.budget.never_probes = never_probes;
            model.run(40.0 * SECOND)
        };
        let (with, without) = (run(false), run(true));
        println!("RTT {rtt} ms: {with:.4} with probes, {without:.4} without");
        assert!(without - with < 0.03, "{with}, {without}: {rtt}");
        assert!(with < without, "there are none: {rtt}");
    }
}

/// A probe holds others back until little is under way, which urgent records need not let happen.
#[test]
fn a_flood_of_urgent_records_does_not_hold_back_others_for_long() {
    let mut model = settled(2e6, 25.0, 25.0);
    model.is_flooded = true;
    let mut probing = 0;
    for _ in 0..1_000 {
        model.run(30.0 * MILLIS);
        probing += usize::from(matches!(model.budget.state, State::Probing(_)));
    }
    assert!((1..300).contains(&probing), "{probing} of 1,000");
}

const fn at(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

#[test]
fn an_urgent_record_may_exceed_the_budget_by_a_chunk_and_any_may_go_alone() {
    let mut budget = Budget::new(BudgetConfig::default());
    assert!(budget.admits(u64::MAX, Class::Other));
    budget.handle_sent(at(0), 10_000, Class::Other);
    assert!(budget.admits(4_600, Class::Other) && !budget.admits(4_601, Class::Other));
    for class in [Class::Urgent, Class::Control] {
        assert!(budget.admits(4_600 + 4_096, class) && !budget.admits(4_601 + 4_096, class));
    }
    assert_eq!((budget.in_flight(), budget.bytes(), budget.buffered_limit()), (10_000, 14_600, 14_600));
    assert_eq!((budget.bytes_per_second(), budget.slack_micros(), budget.round_trip_micros()), (0, 0, None));
    assert_eq!(budget.due(), None, "only an acknowledgement helps");
}

#[test]
fn a_probe_admits_no_more_than_a_budget_that_has_fallen_since() {
    let mut budget = Budget::new(BudgetConfig::default());
    budget.asked_upto = 1_000.0;
    budget.handle_sent(at(0), 1_000, Class::Other);
    for bytes in [20_000.0, 4_000.0] {
        budget.state = State::Probing(Probe { bytes, began: None, rounds: 0, rate: 0.0 });
        let room = budget.bytes().min(whole(bytes)) - 1_000;
        assert!(budget.admits(room, Class::Other) && !budget.admits(room + 1, Class::Other), "{room}");
    }
}

/// Otherwise the peer's timer would end the probe, and 25 ms stand still where a round takes one.
#[test]
fn what_nobody_has_asked_for_does_not_hold_up_a_probe() {
    let mut budget = Budget::new(BudgetConfig::default());
    for _ in 0..2 {
        assert!(!budget.wants_ack(1_000));
        budget.handle_sent(at(0), 1_000, Class::Other);
    }
    budget.state = State::Probing(Probe { bytes: 1_500.0, began: None, rounds: 0, rate: 0.0 });
    // B is two chunks with their headers as long as nothing is known of the path.
    assert!(budget.admits(6_192, Class::Other) && !budget.admits(6_193, Class::Other), "as far as B goes");
    assert!(budget.wants_ack(1_000));
    budget.handle_sent(at(0), 1_000, Class::Other);
    assert!(!budget.admits(1, Class::Other), "now an acknowledgement is on its way");
}

/// The OPEN that goes alone says that the path takes 10 bytes in a round.
#[test]
fn a_first_sample_of_a_few_bytes_does_not_pace_the_first_budget() {
    let mut budget = Budget::new(BudgetConfig::default());
    let open = budget.handle_sent(at(0), 10, Class::Control);
    budget.handle_idle();
    budget.handle_acknowledged(at(50_000), 10, open, Some(0));
    assert_eq!(budget.bytes_per_second(), 200);
    for millis in 50..100 {
        budget.handle_time(at(millis * 1_000));
        while budget.admits(2_000, Class::Other) {
            budget.handle_sent(at(millis * 1_000), 2_000, Class::Other);
        }
    }
    assert_eq!(budget.in_flight(), 14_000, "all that B takes, within a round");
}

#[test]
fn one_record_in_several_asks_for_an_acknowledgement_and_one_always_does() {
    let mut budget = Budget::new(BudgetConfig::default());
    let asks: Vec<bool> = [1_000, 1_000, 2_000, 4_000, 4_000]
        .map(|bytes| {
            let asks = budget.wants_ack(bytes);
            budget.handle_sent(at(0), bytes, Class::Other);
            asks
        })
        .into();
    assert_eq!(asks, [false, false, true, true, true]);
    // All but a little is taken by what asks for nothing.
    let mut budget = Budget::new(BudgetConfig::default());
    budget.handle_sent(at(0), 12_000, Class::Control);
    assert!(budget.wants_ack(100), "nobody would say that there is room");
}

#[test]
fn a_record_of_which_the_peer_did_not_say_how_long_it_had_it_tells_no_round() {
    let mut budget = Budget::new(BudgetConfig::default());
    let stamp = budget.handle_sent(at(0), 1_000, Class::Other);
    budget.handle_acknowledged(at(900_000), 1_000, stamp, None);
    assert_eq!((budget.in_flight(), budget.round_trip_micros(), budget.bytes_per_second()), (0, None, 0));
    let stamp = budget.handle_sent(at(1_000_000), 1_000, Class::Other);
    budget.handle_acknowledged(at(1_035_000), 1_000, stamp, Some(15_000));
    assert_eq!((budget.round_trip_micros(), budget.bytes_per_second()), (Some(20_000), 50_000));
}

#[test]
fn the_chunk_follows_the_rate_within_what_the_peer_takes() {
    for (rate, most, bytes) in [
        (0.05e6, 65_504, 992),
        (0.125e6, 65_504, 992),
        (1.25e6, 65_504, 4_064),
        (16.4e6, 65_504, 65_504),
        (100e6, 65_504, 65_504),
        (33e6, 262_176, 131_072),
        (66e6, 262_176, 262_144),
        (100e6, 1_048_545, 262_144),
        (100e6, 8_161, 8_160),
        (100e6, 8_159, 4_064),
    ] {
        let mut model = Model::new(rate, 10.0 * MILLIS, 10.0 * MILLIS);
        model.budget.set_limits(most, 1 << 30);
        model.run(3.0 * SECOND);
        assert_eq!(model.budget.chunk_bytes(), bytes, "{rate}");
    }
    let mut chunk = Chunk::default();
    let sizes: Vec<u32> = (0..9)
        .map(|_| {
            chunk.fit(1e6, 4_064.0);
            chunk.bytes()
        })
        .collect();
    assert_eq!(
        sizes,
        [4_064, 4_064, 4_064, 4_064, 4_064, 4_064, 4_064, 8_160, 8_160],
        "up after eight in a row"
    );
    chunk.fit(1_000.0, 8_160.0);
    assert_eq!(chunk.bytes(), 4_064, "and down at once, by one");
    chunk.fit(16_320.0, 32_512.0);
    assert_eq!(
        chunk.bytes(),
        8_160,
        "up after eight that one acknowledgement is of, if it is to be much larger"
    );
    chunk.fit(1_000.0, 8_160.0);
    for _ in 0..7 {
        chunk.fit(16_319.0, 32_512.0);
    }
    assert_eq!(chunk.bytes(), 4_064, "else one is one");
    chunk.fit(16_319.0, 1.0);
    assert_eq!(chunk.bytes(), 4_064, "and one of less is less");
    chunk.fit(16_319.0, 4_063.0);
    assert_eq!(chunk.bytes(), 8_160);
}

#[test]
fn what_is_under_way_stays_below_the_peers_log_and_the_largest_budget() {
    for (replay_limit, largest_bytes, most) in
        [(131_072, 8 << 20, 131_072), (1 << 30, 1, 65_536), (1 << 30, 8 << 20, 8 << 20)]
    {
        let config = BudgetConfig { largest_bytes, ..BudgetConfig::default() };
        let mut model = Model::new(100e6, 100.0 * MILLIS, 100.0 * MILLIS);
        model.budget = Budget::new(config);
        model.budget.set_limits(65_504, replay_limit);
        model.run(10.0 * SECOND);
        assert!(model.budget.bytes() <= most, "{:?}", model.budget);
        assert!(model.budget.bytes() >= most / 2, "{:?}", model.budget);
    }
}

#[test]
fn a_throughput_minded_application_has_a_longer_queue() {
    let mut model = Model::new(2e6, 10.0 * MILLIS, 10.0 * MILLIS);
    model.budget = Budget::new(BudgetConfig { delay: Duration::from_millis(200), ..BudgetConfig::default() });
    model.run(10.0 * SECOND);
    let part = model.run(20.0 * SECOND);
    assert!(part >= 0.97 && model.took(50) >= 150.0 * MILLIS && model.exceptions(0.0) == 0, "{part}");
}

#[test]
fn a_new_connection_knows_nothing_of_the_old_one_but_the_limits() {
    let mut model = settled(20e6, 10.0, 10.0);
    model.budget.set_limits(8_160, 1 << 20);
    model.budget.restart(at(20_000_000));
    let budget = &model.budget;
    assert_eq!((budget.in_flight(), budget.bytes(), budget.chunk_bytes()), (0, 14_600, 4_064));
    assert_eq!((budget.bytes_per_second(), budget.round_trip_micros(), budget.max_chunk), (0, None, 8_160));
}

#[test]
fn moments_and_amounts_that_make_no_sense_do_no_harm() {
    let mut random = Random(3);
    let mut budget = Budget::new(BudgetConfig {
        delay: Duration::from_millis(0),
        first_bytes: u32::MAX,
        largest_bytes: 0,
        chunk_time: Duration::from_secs(100),
    });
    budget.set_limits(0, 0);
    let mut stamps = vec![budget.handle_sent(at(0), 0, Class::Other)];
    let mut any = |most: u64| {
        let unit = random.unit();
        if unit < 0.05 {
            u64::MAX
        } else if unit < 0.1 {
            0
        } else {
            whole(float(most) * random.unit())
        }
    };
    for _ in 0..100_000 {
        let (moment, bytes) = (any(1 << 40), any(1 << 17));
        let moment = if moment == u64::MAX && any(100) > 0 { 5 } else { moment };
        let newest = stamps[usize::try_from(any(1 << 20)).unwrap() % stamps.len()];
        match any(6) {
            0 => budget.handle_idle(),
            1 => budget.handle_time(at(moment)),
            2 => drop(budget.wants_ack(bytes)),
            3 => stamps.push(budget.handle_sent(at(moment), bytes, Class::Other)),
            4 => budget.handle_acknowledged(at(moment), bytes, newest, None),
            _ => budget.handle_acknowledged(at(moment), bytes, newest, Some(any(1 << 30))),
        }
        assert!(budget.budget() >= 2.0 * f64::from(budget.chunk_bytes()), "{budget:?}");
        assert!(
            budget.budget().is_finite() && budget.pace().is_finite() && budget.bucket.is_finite(),
            "{budget:?}"
        );
        assert!(budget.due().is_none_or(|due| due > at(0)));
        assert!((992..=262_144).contains(&budget.chunk_bytes()));
    }
}

#[test]
fn what_is_remembered_of_a_record_is_small() {
    assert!(size_of::<Stamp>() <= 32);
}
