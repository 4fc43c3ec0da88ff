//! Sessions of `tidegate.v1`: two that keep to it, over connections that are cut and made anew, or one whose peer says what
//! the input says.
//!
//! Whatever a session says and does is compared with what has to follow from all that it was told, by a second
//! reading of PROTOCOL.md that is as plain as can be ([`book`], [`judge`], [`says`]): each record that it says may be
//! said there and then, each item arrives once, whole and in order, each fault of the peer ends it with its code and no other,
//! and what may wait to be taken stays within what it has promised. Two that keep to it never find fault with each other,
//! and come to an end.
//!
//! The first byte says who there is, the next two how each side is made.

#![allow(
    clippy::struct_excessive_bools,
    reason = "what is known of a channel from outside are answers to questions"
)]

mod app;
mod book;
mod end;
mod hostile;
mod judge;
mod peers;
mod says;
mod wire;

use tidegate::proto::v1::{SessionConfig, Settings, Side};

use super::input::Input;

/// Most operations of one input.
const MOST_OPERATIONS: usize = 400;

/// By what sessions are resumed.
const TOKEN: [u8; 32] = *b"a token that nobody ever guesses";

/// How long a session waits for its client, in seconds.
const RESUME_WITHIN: u64 = 120;

/// Carries out the operations of `data`.
///
/// # Panics
///
/// If a promise of the module's page is broken.
pub fn v1(data: &[u8]) {
    let mut input = Input::new(data);
    let mode = input.byte();
    let configs = [input.byte(), input.byte()];
    if mode & 1 == 0 {
        peers::run(input, mode, configs);
    } else {
        hostile::run(input, mode, configs);
    }
}

/// How a side is made: whether it accepts, and whether it can be resumed. Also whether all that it may grant is granted, so
/// that what it allows is known to the byte.
fn config(choice: u8, is_server: bool, resumes: bool) -> (SessionConfig, bool) {
    let mut config = if is_server { SessionConfig::server() } else { SessionConfig::client() };
    if choice & 3 > 0 {
        config.settings = Settings::default();
    }
    let settings = &mut config.settings;
    match choice & 3 {
        1 => (config.channel_window, config.channel_max_item) = (0, 0),
        2 => (config.channel_window, config.channel_max_item) = (200_000, 150_000),
        3 if !is_server => {
            (settings.initial_window, settings.max_item_bytes, settings.max_channels) = (1_280, 1_024, 3);
            (settings.max_name_bytes, settings.max_meta_bytes) = (16, 64);
            (config.channel_window, config.channel_max_item) = (3_000, 4_000);
        }
        _ => {}
    }
    settings.max_message_bytes = match (choice >> 2 & 3, is_server) {
        (1, false) => 8_192,
        (2, false) => 10_001,
        (3, true) => 70_000,
        (3, false) => 1 << 20,
        _ => 65_535,
    };
    if choice & 0x10 != 0 && !is_server {
        settings.replay_limit_bytes = 131_072;
    }
    config.transport_takes_all = choice & 0x20 != 0;
    let is_exact = choice & 0x40 == 0;
    let least = u64::from(settings.max_channels).max(1) * u64::from(settings.initial_window);
    config.rx_budget = if is_exact { 1 << 40 } else { least };
    if choice & 0x80 != 0 {
        settings.max_ack_delay_ms = 0;
        (settings.ping_interval_ms, settings.idle_timeout_ms) = (1_000, 2_000);
    }
    if is_server {
        config.side = Side::Server { resume: resumes.then_some((RESUME_WITHIN, TOKEN)), hint: String::new() };
    }
    (config, is_exact)
}
