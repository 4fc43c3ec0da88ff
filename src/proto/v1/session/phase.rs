//! Which phase follows which: the one table.

use crate::time::Timestamp;

/// See [`Session`](super::Session).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No connection. `until`: when the session cannot be resumed any more; `None` before its first connection.
    Detached { until: Option<Timestamp> },
    /// A connection, whose first record from the peer is awaited until `due`. `until`: as above.
    Greeting { awaits: Awaits, due: Timestamp, until: Option<Timestamp> },
    /// Both sides have greeted.
    Open,
    /// The session has ended.
    Over,
}

/// What the peer's first record has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// WELCOME, or a refusal.
    Welcome,
    /// RESUMED, or a refusal. Nothing is sent before.
    Resumed,
    /// HELLO or RESUME.
    Hello,
    /// HELLO: RESUME was refused.
    NewHello,
    /// Nothing: RESUME has come, and it is not decided yet what becomes of it.
    Decision,
}

/// What happens to a session.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A connection was attached.
    Attached { awaits: Awaits, due: Timestamp },
    /// RESUME has come.
    Asked,
    /// It was refused, and the peer may greet again.
    MayGreetAgain,
    /// The greeting is done.
    Agreed,
    /// The connection is gone, and the session lives on until then.
    Lost { until: Timestamp },
    /// It ends.
    Ended,
}

impl Phase {
    /// The phase after `step`. What does not fit came too late, and changes nothing.
    pub(super) fn next(self, step: Step) -> Self {
        match (self, step) {
            (Self::Detached { until }, Step::Attached { awaits, due }) => {
                Self::Greeting { awaits, due, until }
            }
            (Self::Greeting { awaits: Awaits::Hello, due, until }, Step::Asked) => {
                Self::Greeting { awaits: Awaits::Decision, due, until }
            }
            (Self::Greeting { awaits: Awaits::Decision, due, until }, Step::MayGreetAgain) => {
                Self::Greeting { awaits: Awaits::NewHello, due, until }
            }
            (Self::Greeting { .. }, Step::Agreed) => Self::Open,
            // A connection that did not get as far as that does not renew the time.
            (Self::Greeting { until: Some(until), .. }, Step::Lost { .. })
            | (Self::Greeting { until: None, .. } | Self::Open, Step::Lost { until }) => {
                Self::Detached { until: Some(until) }
            }
            (_, Step::Ended) => Self::Over,
            (phase, _) => phase,
        }
    }

    /// When something has to happen at the latest.
    pub(super) fn due(self) -> Option<Timestamp> {
        match self {
            Self::Detached { until } => until,
            Self::Greeting { due, until, .. } => Some(until.map_or(due, |until| until.min(due))),
            Self::Open | Self::Over => None,
        }
    }
}
