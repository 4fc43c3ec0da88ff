//! Where a connection stands. All transitions are in [`Phase::next`], one row each.

use super::CloseRequest;
use crate::proto::outcome::CloseCause;
use crate::proto::payload::Reason;
use crate::time::{Duration, Timestamp};

/// States of a connection, each with what only it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The opening handshake is under way.
    Connecting { deadline: Option<Timestamp> },
    /// Messages go both ways.
    Open,
    /// `end` was called: what is queued goes out, nothing new is taken, messages still come in.
    Ending { deadline: Option<Timestamp>, close_within: Option<Duration> },
    /// `close` was called and the queue is not empty yet.
    Flushing { deadline: Option<Timestamp>, code: Option<u16>, reason: Reason },
    /// The transport was told to close. `cause` is what a confirmation will mean.
    CloseSent { deadline: Option<Timestamp>, code: Option<u16>, cause: CloseCause },
    /// The peer has closed, or broke the protocol; the transport ends as soon as it can, or this is
    /// what is reported. A browser tells nothing of it, so that the npm build goes without (200 B).
    #[cfg(feature = "client")]
    PeerClosing { deadline: Option<Timestamp>, code: u16, reason: Reason },
    /// Over.
    Closed,
}

/// What moves a connection on. `busy`: something is still to be sent.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Opened,
    Close {
        request: CloseRequest,
        deadline: Option<Timestamp>,
        busy: bool,
    },
    End {
        deadline: Option<Timestamp>,
        close_within: Option<Duration>,
    },
    /// A close that is under way is to be over by then.
    #[cfg(any(feature = "client", feature = "v1"))]
    Hurry {
        deadline: Timestamp,
    },
    Flushed,
    Abort,
    /// A message that the peer has a part of cannot be finished: only where messages go in parts.
    #[cfg(not(feature = "js"))]
    Broken,
    Overflow {
        code: u16,
        deadline: Option<Timestamp>,
    },
    Deadline {
        now: Timestamp,
        busy: bool,
    },
    #[cfg(feature = "client")]
    PeerClosing {
        code: u16,
        reason: Reason,
        deadline: Option<Timestamp>,
    },
    TransportEnd {
        code: u16,
        reason: Reason,
        was_clean: bool,
    },
}

/// What a transition asks the session to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    ReportOpened,
    SendClose {
        code: Option<u16>,
        reason: Reason,
    },
    Abort {
        cause: CloseCause,
    },
    /// As `Abort`, but the peer's close frame has come.
    #[cfg(feature = "client")]
    GiveUp {
        code: u16,
        reason: Reason,
    },
    Report {
        code: u16,
        reason: Reason,
        was_clean: bool,
        cause: CloseCause,
    },
}

impl Phase {
    /// Whether `send` is taken. While connecting it is: what is queued goes out after opening.
    pub(super) fn takes_messages(&self) -> bool {
        matches!(self, Self::Connecting { .. } | Self::Open)
    }

    /// Whether queued messages go out.
    pub(super) fn sends(&self) -> bool {
        matches!(self, Self::Open | Self::Ending { .. } | Self::Flushing { .. })
    }

    /// Whether the queue is emptied in order to close.
    pub(super) fn flushes(&self) -> bool {
        matches!(self, Self::Flushing { .. })
    }

    /// Whether messages that arrive are for the application.
    pub(super) fn delivers(&self) -> bool {
        matches!(self, Self::Open | Self::Ending { .. } | Self::Flushing { .. })
    }

    /// When [`Step::Deadline`] is due.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Connecting { deadline }
            | Self::Ending { deadline, .. }
            | Self::Flushing { deadline, .. }
            | Self::CloseSent { deadline, .. } => *deadline,
            #[cfg(feature = "client")]
            Self::PeerClosing { deadline, .. } => *deadline,
            Self::Open | Self::Closed => None,
        }
    }

    /// The one table of the connection's life. A pair that has no row of its own changes nothing:
    /// it is an input that comes too late, such as a second `close` or a `close` after the end.
    pub(super) fn next(self, step: Step) -> (Self, Action) {
        use {Action as A, CloseCause as C, Phase as P, Step as S};
        let report = |code, reason, was_clean, cause| A::Report { code, reason, was_clean, cause };
        match (self, step) {
            // Terminal before everything else, or a late event would report a second end.
            (P::Closed, _) => (P::Closed, A::Nothing),

            (P::Connecting { .. }, S::Opened) => (P::Open, A::ReportOpened),
            (P::Connecting { .. }, S::Deadline { .. }) => (P::Closed, A::Abort { cause: C::ConnectTimeout }),

            (P::Open, S::End { deadline, close_within }) => {
                (P::Ending { deadline, close_within }, A::Nothing)
            }

            (P::Open | P::Ending { .. }, S::Close { request, deadline, busy: true }) => {
                (P::Flushing { deadline, code: request.code, reason: request.reason }, A::Nothing)
            }
            (P::Open | P::Ending { .. }, S::Close { request, deadline, busy: false }) => (
                P::CloseSent { deadline, code: request.code, cause: C::Local },
                A::SendClose { code: request.code, reason: request.reason },
            ),
            (P::Ending { close_within, .. }, S::Deadline { now, busy }) => {
                let deadline = close_within.map(|limit| now.saturating_add(limit));
                let code = Some(1000);
                if busy {
                    (P::Flushing { deadline, code, reason: Reason::default() }, A::Nothing)
                } else {
                    let close = A::SendClose { code, reason: Reason::default() };
                    (P::CloseSent { deadline, code, cause: C::Local }, close)
                }
            }
            (P::Flushing { deadline, code, reason }, S::Flushed) => {
                (P::CloseSent { deadline, code, cause: C::Local }, A::SendClose { code, reason })
            }

            #[cfg(any(feature = "client", feature = "v1"))]
            (P::Flushing { deadline, code, reason }, S::Hurry { deadline: by }) => {
                (P::Flushing { deadline: Some(earlier(deadline, by)), code, reason }, A::Nothing)
            }
            #[cfg(any(feature = "client", feature = "v1"))]
            (P::CloseSent { deadline, code, cause }, S::Hurry { deadline: by }) => {
                (P::CloseSent { deadline: Some(earlier(deadline, by)), code, cause }, A::Nothing)
            }
            #[cfg(feature = "client")]
            (P::PeerClosing { deadline, code, reason }, S::Hurry { deadline: by }) => {
                (P::PeerClosing { deadline: Some(earlier(deadline, by)), code, reason }, A::Nothing)
            }

            (P::Open | P::Ending { .. } | P::Flushing { .. }, S::Overflow { code, deadline }) => (
                P::CloseSent { deadline, code: Some(code), cause: C::ReceiveOverflow },
                A::SendClose { code: Some(code), reason: "receive queue overflow".into() },
            ),
            (P::CloseSent { cause: C::ReceiveOverflow, .. }, S::Deadline { .. }) => {
                (P::Closed, A::Abort { cause: C::ReceiveOverflow })
            }
            (P::Flushing { .. } | P::CloseSent { .. }, S::Deadline { .. }) => {
                (P::Closed, A::Abort { cause: C::Unconfirmed })
            }

            // A close that was asked for here already has a deadline.
            #[cfg(feature = "client")]
            (P::Open | P::Ending { .. }, S::PeerClosing { code, reason, deadline })
            | (P::Flushing { deadline, .. }, S::PeerClosing { code, reason, .. }) => {
                (P::PeerClosing { deadline, code, reason }, A::Nothing)
            }
            #[cfg(feature = "client")]
            (P::PeerClosing { code, reason, .. }, S::Deadline { .. }) => {
                (P::Closed, A::GiveUp { code, reason })
            }

            // Nobody has a handle before the connection is open: a close then is a caller who gives up.
            (P::Connecting { .. }, S::Close { .. } | S::End { .. }) | (_, S::Abort) => {
                (P::Closed, A::Abort { cause: C::Aborted })
            }
            // The message that cannot be finished does not keep the closing handshake from finishing.
            #[cfg(not(feature = "js"))]
            (phase @ P::CloseSent { .. }, S::Broken) => (phase, A::Nothing),
            #[cfg(feature = "client")]
            (phase @ P::PeerClosing { .. }, S::Broken) => (phase, A::Nothing),
            #[cfg(not(feature = "js"))]
            (_, S::Broken) => (P::Closed, A::Abort { cause: C::Peer }),

            (P::CloseSent { cause: C::ReceiveOverflow, .. }, S::TransportEnd { code, reason, was_clean }) => {
                (P::Closed, report(code, reason, was_clean, C::ReceiveOverflow))
            }
            // The peer answers a close frame with the same code (RFC 6455 section 5.5.1). Another
            // code means that both closed at once, and then it need not have read what went before.
            (P::CloseSent { code: sent, .. }, S::TransportEnd { code, reason, was_clean: true }) => {
                let cause = if sent.unwrap_or(1005) == code { C::Local } else { C::Peer };
                (P::Closed, report(code, reason, true, cause))
            }
            (P::CloseSent { .. }, S::TransportEnd { code, reason, was_clean: false }) => {
                (P::Closed, report(code, reason, false, C::Unconfirmed))
            }
            (_, S::TransportEnd { code, reason, was_clean }) => {
                (P::Closed, report(code, reason, was_clean, C::Peer))
            }

            (phase, _) => (phase, A::Nothing),
        }
    }
}

/// The deadline of a close that is to be over by then as well.
#[cfg(any(feature = "client", feature = "v1"))]
fn earlier(deadline: Option<Timestamp>, by: Timestamp) -> Timestamp {
    deadline.map_or(by, |deadline| deadline.min(by))
}
