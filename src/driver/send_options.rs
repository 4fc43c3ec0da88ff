//! How one message is sent.

use core::time::Duration;

use crate::proto::Priority;

/// How one message is sent: before which others, in which order, and how long it is worth anything.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate::SendOptions;
///
/// // A photo that lets everything else go first.
/// let photo = SendOptions::bulk();
/// // The latest position of a cursor, which is worth nothing after 200 ms.
/// let cursor = SendOptions::urgent().latest("cursor").deadline(Duration::from_millis(200));
/// # let _ = (photo, cursor);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    pub(super) priority: Priority,
    pub(super) flow: Option<Box<str>>,
    pub(super) latest: Option<Box<str>>,
    pub(super) deadline: Option<Duration>,
}

impl SendOptions {
    /// What a plain `send` uses: normal priority, the default flow, no deadline.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Before everything else.
    #[must_use]
    pub fn urgent() -> Self {
        Self::new().priority(Priority::Urgent)
    }

    /// Large and patient: uploads.
    #[must_use]
    pub fn bulk() -> Self {
        Self::new().priority(Priority::Bulk)
    }

    /// When nothing else wants to go, or a sixteenth of what goes out: see [`priority`](Self::priority).
    #[must_use]
    pub fn background() -> Self {
        Self::new().priority(Priority::Background)
    }

    /// The class of the message. Default [`Priority::Normal`].
    ///
    /// A higher class goes first; each lower one that has something to send gets a sixteenth of what goes
    /// out none the less. What the browser has been given already nothing overtakes.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The flow of the message, by name. Default the one without a name.
    ///
    /// Messages of one flow and priority keep their order; the flows of a class share it evenly, by bytes.
    /// The server does not see them. The name counts in no bound, as long as something of the flow is queued.
    #[must_use]
    pub fn flow(mut self, name: impl Into<Box<str>>) -> Self {
        self.flow = Some(name.into());
        self
    }

    /// This is the newest value of `key`: a queued message of the same key is dropped
    /// ([`Outcome::Superseded`](crate::Outcome::Superseded)), and this one takes its place in the queue. With
    /// another priority or flow than that one it goes to the end of its own. A value is the newest from the moment on at
    /// which there is room for it: one that waits for room in another line may replace a newer one, so that a key
    /// is best kept to one priority and flow.
    ///
    /// There is room for it as soon as the queue has room for what it is larger by. The key itself counts in no
    /// bound, though it is kept as long as its value is queued: keys are for names, not for data.
    #[must_use]
    pub fn latest(mut self, key: impl Into<Box<str>>) -> Self {
        self.latest = Some(key.into());
        self
    }

    /// How long the message is worth sending, from the call of `send` on: if it has not left the queue by
    /// then, it never does ([`Outcome::Expired`](crate::Outcome::Expired)). Zero has passed at once.
    ///
    /// That holds for the wait for room, too: a `send` that has found none by then gives up its place in line, drops
    /// the message and is ready with a ticket that says so. `try_send`, which does not wait, fails if there is no
    /// room; for a [`Permit`](crate::Permit) the time begins when it is used.
    #[must_use]
    pub fn deadline(mut self, within: Duration) -> Self {
        self.deadline = Some(within);
        self
    }

    /// For a channel, which has a class and an order of its own.
    #[cfg(feature = "v1")]
    pub(crate) fn on_channel(self, priority: Priority) -> Self {
        Self { priority, flow: None, ..self }
    }
}
