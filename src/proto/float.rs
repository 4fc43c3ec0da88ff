//! Amounts and moments in floating point, as budgets reckon: it never overflows, and is exact up to 2^53.

use crate::time::Timestamp;

/// Without the care for what is no number that `f64::max` takes.
pub(super) fn larger(one: f64, other: f64) -> f64 {
    if one > other { one } else { other }
}

/// Likewise.
pub(super) fn smaller(one: f64, other: f64) -> f64 {
    if one < other { one } else { other }
}

/// Microseconds since the clock's zero.
pub(super) fn micros(at: Timestamp) -> f64 {
    float(at.as_micros())
}

#[allow(clippy::cast_precision_loss, reason = "see the module's page")]
pub(super) fn float(amount: u64) -> f64 {
    amount as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
pub(super) fn whole(amount: f64) -> u64 {
    amount as u64
}
