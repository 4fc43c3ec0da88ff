//! A pipe with a browser at its writing end.

use core::task::Waker;
use core::time::Duration;
use std::sync::{Arc, Mutex};

use super::super::browser::BrowserConfig;
use super::super::engine::Engine;
use super::super::link::Link;
use super::super::pipe::{Item, Pipe};
use super::{micros, proxy};
use crate::time::{Alarm, Clock, Timestamp};

/// Time in the test's hands, and the alarms that were set.
#[derive(Debug, Default)]
struct Hand {
    now: Mutex<Timestamp>,
    alarms: Mutex<Vec<(Timestamp, Waker)>>,
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }
}

impl Alarm for Hand {
    fn wake_at(&self, due: Timestamp, waker: &Waker) {
        self.alarms.lock().unwrap().push((due, waker.clone()));
    }
}

impl Hand {
    fn turn_to(&self, now: Timestamp) {
        *self.now.lock().unwrap() = now;
    }

    /// Turns to the earliest alarm and calls it. False if there is none.
    fn ring(&self) -> bool {
        let mut alarms = self.alarms.lock().unwrap();
        let Some(earliest) = (0..alarms.len()).min_by_key(|at| alarms[*at].0) else { return false };
        let (due, waker) = alarms.remove(earliest);
        drop(alarms);
        self.turn_to(due);
        waker.wake();
        true
    }
}

fn part(bytes: usize) -> Item {
    Item::Part { text: false, first: true, last: true, bytes: vec![0; bytes] }
}

#[test]
fn a_task_sees_one_amount_however_often_it_looks() {
    let world = Arc::new(Hand::default());
    let pipe = Pipe::from_browser(proxy(Engine::Chromium), world.clone());
    for _ in 0..8 {
        pipe.write(part(65_536));
    }
    assert_eq!(pipe.buffered_amount(), Some(8 * 65_536));
    world.turn_to(micros(50_000));
    let later = pipe.buffered_amount();
    assert!(later < Some(8 * 65_536));
    pipe.write(part(1_000));
    assert_eq!(pipe.buffered_amount(), later.map(|amount| amount + 1_000));
    assert!(pipe.has_room(None));
}

#[test]
fn a_missing_amount_is_none_and_so_is_one_without_a_browser() {
    let world = Arc::new(Hand::default());
    let missing = Pipe::from_browser(proxy(Engine::Missing), world.clone());
    missing.write(part(10));
    assert_eq!(missing.buffered_amount(), None);
    assert_eq!(missing.amounts().map(|amounts| amounts.sent), Some(10));
    let line = Pipe::new(Link::default(), 0, world);
    assert_eq!((line.buffered_amount(), line.amounts()), (None, None));
}

#[test]
fn however_often_a_reader_looks_there_is_one_alarm() {
    let world = Arc::new(Hand::default());
    let pipe = Pipe::from_browser(proxy(Engine::Firefox), world.clone());
    pipe.write(part(1_000_000));
    let (mut rings, mut most) = (0, 0);
    // A million bytes are more than the peer's window: it has to read what has come of the message.
    while pipe.read(Waker::noop()).is_none() {
        assert!(pipe.read(Waker::noop()).is_none());
        most = most.max(world.alarms.lock().unwrap().len());
        assert!(world.ring());
        rings += 1;
    }
    assert_eq!(world.now().as_micros() / 1_000, 520);
    assert!(rings < 2_000 && most <= 2, "{rings} alarms, {most} at once");
}

#[test]
fn a_close_frame_travels_behind_everything_and_nothing_follows_it() {
    let world = Arc::new(Hand::default());
    let link = Link { delay: Duration::from_millis(30), ..Link::default() };
    let pipe = Pipe::from_browser(BrowserConfig { link, ..BrowserConfig::default() }, world.clone());
    pipe.write(part(10));
    let close = Item::Close { code: Some(1000), reason: String::new() };
    pipe.write(close.clone());
    pipe.write(Item::Cut);
    assert_eq!(pipe.buffered_amount(), Some(10));
    assert_eq!(pipe.read(Waker::noop()), None);
    while pipe.read(Waker::noop()).is_none() {
        assert!(world.ring());
    }
    assert_eq!(world.now(), micros(30_000));
    assert_eq!(pipe.read(Waker::noop()), Some(close));
    assert_eq!(pipe.buffered_amount(), Some(0));
    pipe.write(part(10));
    assert_eq!(pipe.read(Waker::noop()), Some(Item::Cut));
    assert_eq!(pipe.amounts().map(|amounts| amounts.arrived), Some(10));
}
