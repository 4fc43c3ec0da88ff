//! What a peer announces before it ends a session of `tidegate.v1`.

use core::time::Duration;

use super::Client;
use super::wait::Wait;
use crate::driver::Hub;
use crate::proto::v1::{FatalCode, GoingAway};

/// What the peer has announced of its end, in tidegate mode: GOAWAY.
///
/// A server that shuts down says in it when to come back: after [`reconnect_after`](Self::reconnect_after), and a random
/// part of [`jitter`](Self::jitter) later, so that not all of its clients come at once. Both are zero where it has not
/// said so, as in the `close` of a peer, which is announced in the same way.
///
/// # Specification
///
/// PROTOCOL.md §6.6.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GoAway {
    /// Why; [`FatalCode::None`] if in good order.
    pub code: FatalCode,
    /// Why, in words for people: up to 256 bytes of the peer's choice. tidegate says the name of the code: `NONE`.
    pub reason: String,
    /// For how long channels that are open may go on, counted from the announcement. Where the peer sets no end to that it
    /// is 285,000 years.
    pub drain: Duration,
    /// How long to wait, when the connection has ended, before another is opened.
    pub reconnect_after: Duration,
    /// Up to how much longer, at random.
    pub jitter: Duration,
}

impl From<GoingAway> for GoAway {
    fn from(going: GoingAway) -> Self {
        let GoingAway { code, reason, drain_ms, reconnect_after_ms, jitter_ms, .. } = going;
        let [drain, reconnect_after, jitter] =
            [drain_ms, reconnect_after_ms, jitter_ms].map(Duration::from_millis);
        Self { code, reason, drain, reconnect_after, jitter }
    }
}

/// The end as the peer announces it, feature `v1`.
impl Client {
    /// What the peer has announced of its end, the newest if it has done so more than once. It can be read as long as
    /// there is a handle, also when the connection has ended. `None` in plain mode, and of a peer that has said nothing.
    ///
    /// From the announcement on no channel can be opened, and no message of the connection be sent; channels that are
    /// open go on for [`GoAway::drain`].
    #[must_use]
    pub fn go_away(&self) -> Option<GoAway> {
        self.hub().going().map(GoAway::from)
    }

    /// As [`go_away`](Self::go_away), once the peer has announced it; `None` when the connection ends without.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub fn going_away(&self) -> impl Future<Output = Option<GoAway>> + Send + 'static {
        let going = Wait::new(self.hub().clone(), Hub::poll_going, Hub::leave_watchers);
        async move { going.await.map(GoAway::from) }
    }
}
