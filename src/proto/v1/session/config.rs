//! How one side of a session is made.

use alloc::string::String;

use super::Token;
use crate::proto::send::QueueConfig;
use crate::proto::v1::budget::BudgetConfig;
use crate::proto::v1::settings::Settings;
use crate::time::Duration;

/// How one side of a session is made.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// What this side accepts and does; see [`Settings::check`], which it has passed.
    pub settings: Settings,
    /// What this side does for channels beyond the settings: window and largest item that its ACCEPT announces, in
    /// bytes. Default 16,777,216 and 14,913,024.
    pub channel_window: u64,
    /// See above.
    pub channel_max_item: u64,
    /// Largest sum of all windows, in bytes. Default 96 MiB, of a server 256. At least `max_channels * initial_window`.
    pub rx_budget: u64,
    /// How much may be under way.
    pub budget: BudgetConfig,
    /// How the classes share it out.
    pub queue: QueueConfig,
    /// How long the peer's first record may take. Default 10 s.
    pub hello_timeout: Duration,
    /// Whether the transport says afterwards only how much stands with it.
    pub transport_takes_all: bool,
    /// Which side this is.
    pub side: Side,
}

/// Which side of a session this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// It opens connections.
    Client,
    /// It accepts them.
    Server {
        /// For how many seconds a session whose connection is lost can be resumed (1 to 3,600), and by which token;
        /// `None` if it cannot.
        resume: Option<(u64, Token)>,
        /// Where the next connection is to go: at most 255 characters `A-Z a-z 0-9 - . _ ~`.
        hint: String,
    },
}

impl SessionConfig {
    /// The usual client.
    #[must_use]
    pub fn client() -> Self {
        let settings = Settings {
            // A chunk of the largest size, and what goes with it.
            max_message_bytes: (256 << 10) + (1 << 10),
            max_channels: 32,
            initial_window: 1 << 20,
            replay_limit_bytes: 8 << 20,
            ..Settings::default()
        };
        Self {
            settings,
            channel_window: 16 << 20,
            channel_max_item: 14_913_024,
            rx_budget: 96 << 20,
            budget: BudgetConfig::default(),
            queue: QueueConfig::default(),
            hello_timeout: Duration::from_secs(10),
            transport_takes_all: false,
            side: Side::Client,
        }
    }

    /// The usual server, whose sessions end with their connection.
    #[must_use]
    pub fn server() -> Self {
        let mut config = Self::client();
        config.settings.max_channels = 128;
        config.rx_budget = 256 << 20;
        config.side = Side::Server { resume: None, hint: String::new() };
        config
    }

    pub(super) fn is_server(&self) -> bool {
        matches!(self.side, Side::Server { .. })
    }
}
