//! Numbers of the facade and what they mean.

use crate::proto::{CloseCause, HostedKind, Outcome, Priority, Slot};
use crate::time::Duration;

/// What `Core.send` returns beside a ticket.
pub(super) const HANDED_OVER: f64 = 0.0;
pub(super) const CLOSED: f64 = -2.0;
pub(super) const REFUSED: f64 = -3.0;
pub(super) const EXPIRED: f64 = -4.0;
/// In tidegate mode only; -5 is one of `Core.open`.
#[cfg(feature = "v1")]
pub(super) const TOO_BIG: f64 = -6.0;

pub(super) fn kind(kind: u8) -> HostedKind {
    match kind {
        0 => HostedKind::Text,
        1 => HostedKind::Buffer,
        _ => HostedKind::Blob,
    }
}

pub(super) fn priority(priority: u8) -> Priority {
    Priority::ALL.into_iter().nth(priority.into()).unwrap_or_default()
}

/// A size or count; what is not a number between 0 and 2^53 becomes the nearer end.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and NaN becomes 0"
)]
pub(super) fn count(number: f64) -> u64 {
    number as u64
}

/// A close code.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as above; the facade has checked it"
)]
pub(super) fn code(number: f64) -> u16 {
    number as u16
}

/// A share, in 256ths.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as above; the facade has checked it"
)]
pub(super) fn share(number: f64) -> u8 {
    (number * 256.0) as u8
}

/// The slot of that number.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above; there are never 2^31")]
pub(super) fn slot(number: f64) -> Slot {
    Slot(number as u32)
}

/// A bound; 0 is none.
pub(super) fn bound(number: f64) -> Option<u64> {
    Some(count(number)).filter(|bound| *bound > 0)
}

/// A deadline in milliseconds; 0 is off.
pub(super) fn deadline(milliseconds: f64) -> Option<Duration> {
    (milliseconds > 0.0).then(|| Duration::from_millis(count(milliseconds)))
}

/// An amount as a JavaScript number.
#[allow(clippy::cast_precision_loss, reason = "amounts stay below 2^53")]
pub(super) fn number(amount: u64) -> f64 {
    amount as f64
}

/// A slot as the facade knows it. There are never 2^31.
pub(super) fn place(slot: Slot) -> i32 {
    slot.0.cast_signed()
}

pub(super) fn outcome(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::HandedOver => 0,
        Outcome::Cancelled => 1,
        Outcome::Unsent => 2,
        Outcome::Unknown => 3,
        Outcome::Unreadable => 4,
        Outcome::Expired => 5,
        Outcome::Superseded => 6,
        #[cfg(feature = "v1")]
        Outcome::Delivered => 7,
        #[cfg(feature = "v1")]
        Outcome::TooBig => 8,
    }
}

pub(super) fn cause(cause: CloseCause) -> i32 {
    match cause {
        CloseCause::Peer => 0,
        CloseCause::Aborted => 1,
        CloseCause::ConnectTimeout => 2,
        CloseCause::Local => 3,
        CloseCause::Unconfirmed => 4,
        CloseCause::ReceiveOverflow => 5,
        CloseCause::Silent => 10,
        #[cfg(feature = "v1")]
        CloseCause::PeerFault(_) => 6,
        #[cfg(feature = "v1")]
        CloseCause::ToldFault(_) => 7,
        #[cfg(feature = "v1")]
        CloseCause::Refused(_) => 8,
        #[cfg(feature = "v1")]
        CloseCause::Superseded => 9,
    }
}
