//! What is left of many measurements of one thing.
//!
//! Percentiles lie between two measurements where their rank does, in proportion: of two, the median is the mean.

use serde::Serialize;

/// The middle, and the bounds of the middle half.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quartiles {
    pub(crate) q1: f64,
    pub(crate) median: f64,
    pub(crate) q3: f64,
}

impl Quartiles {
    /// Of at least one value; `None` of none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sorted = sorted(values);
        let at = |share| percentile(&sorted, share);
        Some(Self { q1: at(0.25)?, median: at(0.5)?, q3: at(0.75)? })
    }

    /// `median (q1–q3)`, with so many digits behind the point.
    pub(crate) fn show(self, digits: usize) -> String {
        let Self { q1, median, q3 } = self;
        format!("{median:.digits$} ({q1:.digits$}–{q3:.digits$})")
    }
}

/// The middle, and how bad it gets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Tail {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Tail {
    /// Of at least one value; `None` of none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sorted = sorted(values);
        let at = |share| percentile(&sorted, share);
        Some(Self { p50: at(0.5)?, p95: at(0.95)?, p99: at(0.99)?, max: at(1.0)? })
    }
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The value below which `share` of the `sorted` ones lie, from 0 to 1.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[allow(clippy::cast_precision_loss, reason = "nobody measures 2^52 times")]
    let rank = last as f64 * share.clamp(0.0, 1.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and last")]
    let below = rank.floor() as usize;
    let (low, high) = (sorted.get(below)?, sorted.get((below + 1).min(last))?);
    Some(low + (high - low) * rank.fract())
}

#[cfg(test)]
mod tests {
    use super::{Quartiles, Tail};

    #[test]
    fn of_nothing_there_is_nothing() {
        assert_eq!(Quartiles::of([]), None);
        assert_eq!(Tail::of([]), None);
    }

    #[test]
    fn of_one_value_all_are_that_value() {
        assert_eq!(Quartiles::of([7.0]), Some(Quartiles { q1: 7.0, median: 7.0, q3: 7.0 }));
        assert_eq!(Tail::of([7.0]), Some(Tail { p50: 7.0, p95: 7.0, p99: 7.0, max: 7.0 }));
    }

    #[test]
    fn between_two_ranks_the_value_is_between_them() {
        assert_eq!(Quartiles::of([4.0, 2.0]), Some(Quartiles { q1: 2.5, median: 3.0, q3: 3.5 }));
        assert_eq!(
            Quartiles::of([50.0, 10.0, 40.0, 20.0, 30.0]),
            Some(Quartiles { q1: 20.0, median: 30.0, q3: 40.0 })
        );
    }

    #[test]
    fn the_tail_of_a_hundred_and_one_are_their_ranks() {
        let values = (0..=100).rev().map(f64::from);
        assert_eq!(Tail::of(values), Some(Tail { p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 }));
    }

    #[test]
    fn one_slow_message_shows_in_the_maximum_and_hardly_in_the_median() {
        let tail = Tail::of((0..199).map(|_| 20.0).chain([10_000.0])).unwrap();
        assert_eq!((tail.p50, tail.p95, tail.p99, tail.max), (20.0, 20.0, 20.0, 10_000.0));
    }

    #[test]
    fn quartiles_are_shown_around_their_median() {
        let quartiles = Quartiles { q1: 0.994, median: 1.0, q3: 12.349 };
        assert_eq!(quartiles.show(2), "1.00 (0.99–12.35)");
    }
}
