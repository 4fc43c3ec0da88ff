//! What the engines of browsers differ in: what they hold themselves, and when `bufferedAmount` falls.

use core::time::Duration;

/// The engine of a simulated browser: what its `bufferedAmount` shows of what was sent.
///
/// The models stand for Chromium 156, Firefox 153 and WebKitGTK 2.50, as they were measured on Linux; see
/// `docs/BROWSERS.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// Falls within a message, by what leaves for a pipe of 131,000 bytes, below which the network process
    /// holds up to 65,536 more.
    Chromium,
    /// Falls by a whole message, once the kernel has all of it. Nothing is held in between.
    Firefox,
    /// Falls to 0 within 5 ms, whatever the peer does: everything is held out of sight.
    WebKit,
    /// As Chromium, but there is no `bufferedAmount`: a socket of somebody's own.
    Missing,
}

/// What a browser holds below the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnBuffers {
    /// How much the pipe takes out of the page's view; 0 if there is none and the page writes to the kernel.
    pub(super) pipe_bytes: u64,
    /// How much is taken out of the pipe at once, when what was taken before has gone to the kernel.
    pub(super) chunk_bytes: u64,
}

impl Engine {
    /// What lies between page and kernel.
    pub(super) fn own_buffers(self) -> OwnBuffers {
        match self {
            Self::Chromium | Self::Missing => OwnBuffers { pipe_bytes: 131_000, chunk_bytes: 65_536 },
            Self::Firefox => OwnBuffers { pipe_bytes: 0, chunk_bytes: 0 },
            Self::WebKit => OwnBuffers { pipe_bytes: u64::MAX, chunk_bytes: u64::MAX },
        }
    }

    /// Whether the amount falls by whole messages, once the kernel has them.
    pub(super) fn counts_messages(self) -> bool {
        self == Self::Firefox
    }

    /// How long the news of what has left takes to the page, at least and at most.
    pub(super) fn news_takes(self) -> [Duration; 2] {
        let micros: [u64; 2] = match self {
            Self::Chromium | Self::Missing | Self::Firefox => [100, 1_000],
            Self::WebKit => [1_000, 5_000],
        };
        micros.map(Duration::from_micros)
    }
}
