//! The clock, the rounds, and what is made of their figures.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::layout;
use crate::subject::Subject;

/// What a sample takes at least, in nanoseconds of CPU time: some 10,000 times what the clock costs.
const SAMPLE: f64 = 6e6;

/// CPU time that this thread has used, in nanoseconds.
pub(crate) fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let time = Duration::try_from(time).expect("the clock of a thread starts at 0");
    time.as_secs_f64() * 1e9
}

/// The middle of several measurements, and the bounds of their middle half.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quartiles {
    /// The lower bound.
    pub(crate) q1: f64,
    /// The middle.
    pub(crate) median: f64,
    /// The upper bound.
    pub(crate) q3: f64,
}

impl Quartiles {
    /// Of at least one figure.
    pub(crate) fn of(figures: &[f64]) -> Self {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            // The two neighbours of the place, weighted by their distances to it.
            let place = (sorted.len() - 1) * quarter;
            let (index, rest) = (place / 4, place % 4);
            let low = sorted.get(index).copied().unwrap_or(f64::NAN);
            let high = sorted.get(index + 1).copied().unwrap_or(low);
            let weight = f64::from(u8::try_from(rest).unwrap_or_default()) / 4.0;
            low + (high - low) * weight
        };
        Self { q1: at(1), median: at(2), q3: at(3) }
    }
}

/// Nanoseconds per frame of each of `fresh`'s subjects, round by round.
///
/// All take their turn in every round, each round beginning with the next one. Every round has subjects
/// of its own, which have done one pass when they are measured. The round before the first is not
/// counted; in it each subject finds how many passes its samples need.
pub(crate) fn rounds(mut fresh: impl FnMut() -> Vec<Box<dyn Subject>>, rounds: usize) -> Vec<Vec<f64>> {
    let clock = clock_cost();
    let mut fresh = |round| {
        layout::set(round);
        let mut subjects = fresh();
        for subject in &mut subjects {
            sample(&mut **subject, 1, clock);
        }
        subjects
    };
    let passes: Vec<usize> = fresh(0)
        .iter_mut()
        .map(|subject| {
            let (mut passes, mut spent) = (0, 0.0);
            while spent < SAMPLE {
                spent += sample(&mut **subject, 1, clock).nanoseconds;
                passes += 1;
            }
            passes
        })
        .collect();
    let mut figures = vec![Vec::with_capacity(rounds); passes.len()];
    for round in 0..rounds {
        let mut subjects = fresh(1 + round);
        for turn in 0..subjects.len() {
            let index = (round + turn) % subjects.len();
            let turn = subjects.get_mut(index).zip(figures.get_mut(index)).zip(passes.get(index));
            if let Some(((subject, figures), &passes)) = turn {
                let Sample { nanoseconds, frames } = sample(&mut **subject, passes, clock);
                figures.push(nanoseconds / frames);
            }
        }
    }
    figures
}

struct Sample {
    nanoseconds: f64,
    frames: f64,
}

/// Several passes. If each is refreshed, the clock stands still meanwhile, and what it costs to
/// read it, `clock` nanoseconds, is taken off.
fn sample(subject: &mut dyn Subject, passes: usize, clock: f64) -> Sample {
    let mut frames = 0;
    let mut nanoseconds = 0.0;
    if subject.is_refreshed() {
        for _ in 0..passes {
            subject.refresh();
            let begin = thread_time();
            frames += subject.run();
            nanoseconds += thread_time() - begin - clock;
        }
    } else {
        let begin = thread_time();
        for _ in 0..passes {
            frames += subject.run();
        }
        nanoseconds = thread_time() - begin;
    }
    #[allow(clippy::cast_precision_loss, reason = "a sample has far fewer than 2^53 frames")]
    let frames = frames as f64;
    Sample { nanoseconds, frames }
}

/// What lies between two readings of the clock with nothing in between, in nanoseconds.
fn clock_cost() -> f64 {
    let costs: Vec<f64> = (0..1001)
        .map(|_| {
            let begin = thread_time();
            thread_time() - begin
        })
        .collect();
    Quartiles::of(&costs).median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_where_they_should() {
        let Quartiles { q1, median, q3 } = Quartiles::of(&[5.0, 1.0, 4.0, 2.0, 3.0]);
        assert!([q1 - 2.0, median - 3.0, q3 - 4.0].iter().all(|off| off.abs() < 1e-9));
        let Quartiles { q1, median, q3 } = Quartiles::of(&[1.0, 2.0]);
        assert!([q1 - 1.25, median - 1.5, q3 - 1.75].iter().all(|off| off.abs() < 1e-9));
    }
}
