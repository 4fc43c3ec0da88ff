//! What each side tells the other in its greeting: what it accepts, and what it does when.
//!
//! | id | setting | constant | range | |
//! |---|---|---|---|---|
//! | 1 | [`max_message_bytes`](Settings::max_message_bytes) | 65,535 | 8,192–1,048,576 | ≥ |
//! | 2 | [`max_channels`](Settings::max_channels) | 16 | 0–65,535 | ≥ |
//! | 3 | [`initial_window`](Settings::initial_window) | 65,536 | 1,280–16,777,216 | ≥ |
//! | 4 | [`max_item_bytes`](Settings::max_item_bytes) | 57,344 | 1,024–14,913,024 | ≥ |
//! | 5 | [`max_ack_delay_ms`](Settings::max_ack_delay_ms) | 25 | 0–1,000 | |
//! | 6 | [`ping_interval_ms`](Settings::ping_interval_ms) | 20,000 | 1,000–300,000 | |
//! | 7 | [`idle_timeout_ms`](Settings::idle_timeout_ms) | 45,000 | 2,000–900,000 | |
//! | 8 | [`replay_limit_bytes`](Settings::replay_limit_bytes) | 1,048,576 | 131,072–1,073,741,824 | ≥ |
//! | 9 | [`max_name_bytes`](Settings::max_name_bytes) | 128 | 16–1,024 | ≥ |
//! | 10 | [`max_meta_bytes`](Settings::max_meta_bytes) | 4,096 | 64–4,096 | ≥ |
//!
//! What is not told is the constant. WELCOME does not go below those marked ≥, since records under the constants may
//! be on their way. And a window has to admit the largest item in the smallest chunks: setting 3 is at least
//! M + ⌊M/8⌋ + 64 for a setting 4 of M.
//!
//! Not here: what follows from a setting.

#![allow(dead_code, unreachable_pub, reason = "the session uses and re-exports it")]

use alloc::vec::Vec;
use core::fmt;

use super::varint::{self, Reader};

/// The most pairs in one greeting, and keys in the meta of one OPEN: how long it takes to see that each is there once
/// grows with the square of their number.
pub(super) const MAX_PAIRS: usize = 64;

/// Ids of settings for greasing are 31n + 27.
const GREASE_STEP: u64 = 31;
const GREASE_FIRST: u64 = 27;

/// What one side of a session accepts and does, as it tells the other.
///
/// The default is the constants of `tidegate.v1`, which hold where nothing is told, and before the peer has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Largest WebSocket message that it accepts, in bytes. 8,192 to 1,048,576; default 65,535, the most with a
    /// frame's length in 16 bits, and less than the 131,000 that Chromium sends in one frame.
    pub max_message_bytes: u32,
    /// How many channels of the peer may be open at first: 0 to 65,535; default 16, so that with the default window
    /// 1 MiB is promised to somebody yet unknown.
    pub max_channels: u32,
    /// Window of each channel at first, in cost (payload and 64 for each chunk). 1,280 to 16,777,216; default 65,536,
    /// which admits an item of the default size.
    pub initial_window: u32,
    /// Largest item that it accepts on a channel whose ACCEPT names no other size, in bytes. 1,024 to 14,913,024;
    /// default 57,344, the largest multiple of 8 KiB that the default window admits.
    pub max_item_bytes: u32,
    /// How long it keeps an acknowledgement back that nothing asks for at once, in milliseconds. 0 to 1,000; default
    /// 25: little against a round trip, and few acknowledgements.
    pub max_ack_delay_ms: u32,
    /// After how much silence it asks whether the peer is there, in milliseconds; the server's value holds, the
    /// client's is a wish. 1,000 to 300,000; default 20,000, below the 30 s and 60 s after which proxies give up.
    pub ping_interval_ms: u32,
    /// After how much silence the connection is dead, in milliseconds; the server's value holds, the client's is a
    /// wish. 2,000 to 900,000, and better at least twice the interval; default 45,000: two pings missed.
    pub idle_timeout_ms: u32,
    /// The most that it keeps of what it has sent and the peer has not acknowledged, in bytes of records. 131,072 to
    /// 1,073,741,824; default 1,048,576. It bounds the rate by itself divided by the round trip: 84 Mbit/s at 100 ms.
    pub replay_limit_bytes: u32,
    /// Longest name of a channel that it accepts, in bytes of UTF-8. 16 to 1,024; default 128: a method or a topic.
    pub max_name_bytes: u32,
    /// The most that it accepts with the opening of a channel besides the name, in bytes. 64 to 4,096; default 4,096,
    /// so that an opening fits into the smallest message limit.
    pub max_meta_bytes: u32,
}

/// One row of the table above.
struct Rule {
    field: &'static str,
    constant: u32,
    least: u32,
    most: u32,
    /// Whether WELCOME may not go below the constant.
    is_limit: bool,
}

const fn limit(field: &'static str, constant: u32, least: u32, most: u32) -> Rule {
    Rule { field, constant, least, most, is_limit: true }
}

const fn timing(field: &'static str, constant: u32, least: u32, most: u32) -> Rule {
    Rule { is_limit: false, ..limit(field, constant, least, most) }
}

/// In the order of their ids, from 1.
static RULES: [Rule; 10] = [
    limit("max_message_bytes", 65_535, 8_192, 1_048_576),
    limit("max_channels", 16, 0, 65_535),
    limit("initial_window", 65_536, 1_280, 16_777_216),
    limit("max_item_bytes", 57_344, 1_024, 14_913_024),
    timing("max_ack_delay_ms", 25, 0, 1_000),
    timing("ping_interval_ms", 20_000, 1_000, 300_000),
    timing("idle_timeout_ms", 45_000, 2_000, 900_000),
    limit("replay_limit_bytes", 1_048_576, 131_072, 1 << 30),
    limit("max_name_bytes", 128, 16, 1_024),
    limit("max_meta_bytes", 4_096, 64, 4_096),
];

impl Default for Settings {
    fn default() -> Self {
        Self::from_values(RULES.each_ref().map(|rule| rule.constant))
    }
}

/// Settings that may not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// A value outside its range.
    OutOfRange {
        /// The name of the field.
        field: &'static str,
        /// What it was.
        value: u32,
        /// The least that it may be.
        least: u32,
        /// The most that it may be.
        most: u32,
    },
    /// [`Settings::initial_window`] would never admit the rest of an item of [`Settings::max_item_bytes`].
    WindowTooSmall {
        /// What it was.
        initial_window: u32,
        /// The least that it may be with this item size.
        least: u32,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { field, value, least, most } => {
                write!(f, "{field} is {value}, and may be {least} to {most}")
            }
            Self::WindowTooSmall { initial_window, least } => {
                write!(
                    f,
                    "initial_window is {initial_window}, and for this max_item_bytes has to be at least {least}"
                )
            }
        }
    }
}

impl core::error::Error for SettingsError {}

/// Which record settings stand in: what they may say differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// Anything within the ranges.
    Hello,
    /// No limit below its constant.
    Welcome,
    /// The three of timing; others are ignored.
    Resumed,
}

impl Settings {
    /// Whether they may be told.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] for the first that is out of its range, or if the window is too small for the items.
    pub fn check(&self) -> Result<(), SettingsError> {
        for (rule, value) in RULES.iter().zip(self.values()) {
            let &Rule { field, least, most, .. } = rule;
            if value < least || value > most {
                return Err(SettingsError::OutOfRange { field, value, least, most });
            }
        }
        let least = self.least_window();
        if self.initial_window < least {
            return Err(SettingsError::WindowTooSmall { initial_window: self.initial_window, least });
        }
        Ok(())
    }

    /// Appends those that differ from the constants, and with `grease` one that nobody knows, whose id and value
    /// follow from the number in it.
    pub(super) fn put(&self, out: &mut Vec<u8>, grease: Option<u64>) {
        for ((id, rule), value) in (1..).zip(&RULES).zip(self.values()) {
            if value != rule.constant {
                varint::put(out, id);
                varint::put(out, value.into());
            }
        }
        if let Some(random) = grease {
            let n = random % ((varint::MAX - GREASE_FIRST) / GREASE_STEP + 1);
            varint::put(out, GREASE_STEP * n + GREASE_FIRST);
            varint::put(out, n);
        }
    }

    /// The least window that admits the largest item: in chunks of 512 bytes each eighth of it costs as much again,
    /// and one chunk more.
    const fn least_window(&self) -> u32 {
        let item = self.max_item_bytes;
        item.saturating_add(item / 8).saturating_add(64)
    }

    const fn values(&self) -> [u32; 10] {
        [
            self.max_message_bytes,
            self.max_channels,
            self.initial_window,
            self.max_item_bytes,
            self.max_ack_delay_ms,
            self.ping_interval_ms,
            self.idle_timeout_ms,
            self.replay_limit_bytes,
            self.max_name_bytes,
            self.max_meta_bytes,
        ]
    }

    const fn from_values(values: [u32; 10]) -> Self {
        let [
            max_message_bytes,
            max_channels,
            initial_window,
            max_item_bytes,
            max_ack_delay_ms,
            ping_interval_ms,
            idle_timeout_ms,
            replay_limit_bytes,
            max_name_bytes,
            max_meta_bytes,
        ] = values;
        Self {
            max_message_bytes,
            max_channels,
            initial_window,
            max_item_bytes,
            max_ack_delay_ms,
            ping_interval_ms,
            idle_timeout_ms,
            replay_limit_bytes,
            max_name_bytes,
            max_meta_bytes,
        }
    }
}

/// What the peer has told by `pairs` of id and value: `base` (the constants, for RESUMED what held before) with those of
/// them that are known.
///
/// # Errors
///
/// The reason, in the words of the test vectors: a number that is none, an id twice, more than [`MAX_PAIRS`] pairs, a value
/// out of its range, in WELCOME a limit below its constant, a window too small for the items.
pub(super) fn read(pairs: &[u8], base: Settings, place: Where) -> Result<Settings, &'static str> {
    let mut values = base.values();
    each_pair(pairs, |id, value| {
        let index = usize::try_from(id).unwrap_or(usize::MAX).wrapping_sub(1);
        let (Some(rule), Some(known)) = (RULES.get(index), values.get_mut(index)) else { return Ok(()) };
        if place == Where::Resumed && !(5..=7).contains(&id) {
            return Ok(());
        }
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        if value < rule.least || value > rule.most {
            return Err("setting out of range");
        }
        if place == Where::Welcome && rule.is_limit && value < rule.constant {
            return Err("WELCOME lowers a limit");
        }
        *known = value;
        Ok(())
    })?;
    let settings = Settings::from_values(values);
    if settings.initial_window < settings.least_window() {
        return Err("window too small for max_item_bytes");
    }
    Ok(settings)
}

/// Whether `pairs` are such whatever their ids mean: for a HELLO of other versions only, whose layout is the same, and
/// whose settings are not known.
///
/// # Errors
///
/// As [`read`], without what depends on an id's meaning.
pub(super) fn check_form(pairs: &[u8]) -> Result<(), &'static str> {
    each_pair(pairs, |_, _| Ok(()))
}

fn each_pair(
    pairs: &[u8],
    mut take: impl FnMut(u64, u64) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    let mut pairs = Reader::new(pairs);
    let mut seen = Seen::default();
    while !pairs.is_empty() {
        let (id, value) = (pairs.varint()?, pairs.varint()?);
        seen.add(id, "setting twice")?;
        take(id, value)?;
    }
    Ok(())
}

/// The ids of a list so far, of which each may be there once.
pub(super) struct Seen {
    ids: [u64; MAX_PAIRS],
    count: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self { ids: [0; MAX_PAIRS], count: 0 }
    }
}

impl Seen {
    /// One more.
    ///
    /// # Errors
    ///
    /// `twice` if it was there before, "too many pairs" if it is one above [`MAX_PAIRS`].
    pub(super) fn add(&mut self, id: u64, twice: &'static str) -> Result<(), &'static str> {
        if self.ids.iter().take(self.count).any(|&before| before == id) {
            return Err(twice);
        }
        *self.ids.get_mut(self.count).ok_or("too many pairs")? = id;
        self.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
