//! The life of an open connection up to its end, as one table.
//!
//! Not here: what is sent or received in each state (`connection.rs`).

/// Where an open connection stands in its closing handshake.
///
/// # Specification
///
/// [RFC 6455 §7.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Messages flow both ways.
    Open,
    /// Our close frame waits to be written; the peer's has not come.
    CloseQueued,
    /// Our close frame is written; the peer's has not come. Messages still arrive.
    CloseSent,
    /// The peer's close frame came; ours waits to be written.
    CloseReceived,
    /// Both close frames have passed; only the end of the transport is missing.
    Draining,
    /// The peer broke the protocol: what is queued is written, nothing more is read.
    Failed,
    /// The transport has ended.
    Closed {
        /// Whether the closing handshake was complete before.
        was_clean: bool,
    },
}

/// What can happen to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The caller sends a part of a message, a ping or a pong.
    Send,
    /// The caller closes.
    SendClose,
    /// The last byte of our close frame was written.
    CloseWritten,
    /// A message, ping or pong came.
    Receive,
    /// A close frame came.
    ReceiveClose,
    /// The peer broke the protocol.
    Fault,
    /// The transport ended, in whatever way.
    TransportEnd,
}

/// An input that has no place in a state; the state is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidTransition;

impl State {
    /// RFC 6455 §7.1.2 to §7.1.4.
    #[allow(clippy::match_same_arms, reason = "one row for each transition")]
    pub(super) const fn next(self, input: Input) -> Result<Self, InvalidTransition> {
        use Input as I;
        use State as S;
        Ok(match (self, input) {
            (S::Open, I::Send | I::Receive) => S::Open,
            (S::Open, I::SendClose) => S::CloseQueued,
            (S::Open, I::ReceiveClose) => S::CloseReceived,
            // RFC 6455 §5.5.1: no data after a close frame; what the peer sent before its own is
            // still received.
            (S::CloseQueued, I::Receive) => S::CloseQueued,
            (S::CloseQueued, I::CloseWritten) => S::CloseSent,
            (S::CloseQueued, I::ReceiveClose) => S::CloseReceived,
            (S::CloseSent, I::Receive) => S::CloseSent,
            (S::CloseSent, I::ReceiveClose) => S::Draining,
            (S::CloseReceived, I::CloseWritten) => S::Draining,
            (S::Open | S::CloseQueued | S::CloseSent, I::Fault) => S::Failed,
            // The close frame that tells the peer of its fault.
            (S::Failed, I::CloseWritten) => S::Failed,
            (S::Draining, I::TransportEnd) => S::Closed { was_clean: true },
            // Terminal before the catch-all, or a second end would overwrite `was_clean`.
            (S::Closed { .. }, _) => return Err(InvalidTransition),
            (_, I::TransportEnd) => S::Closed { was_clean: false },
            _ => return Err(InvalidTransition),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_matrix() {
        use State as S;
        let states = [
            S::Open,
            S::CloseQueued,
            S::CloseSent,
            S::CloseReceived,
            S::Draining,
            S::Failed,
            S::Closed { was_clean: true },
            S::Closed { was_clean: false },
        ];
        let clean = Some(S::Closed { was_clean: true });
        let broken = Some(S::Closed { was_clean: false });
        let failed = Some(S::Failed);
        let (open, queued, sent) = (Some(S::Open), Some(S::CloseQueued), Some(S::CloseSent));
        let (received, draining) = (Some(S::CloseReceived), Some(S::Draining));
        // A column for each state, in the order above.
        #[rustfmt::skip]
        let table = [
            (Input::Send,         [open,     None,     None,     None,     None,  None,   None, None]),
            (Input::SendClose,    [queued,   None,     None,     None,     None,  None,   None, None]),
            (Input::CloseWritten, [None,     sent,     None,     draining, None,  failed, None, None]),
            (Input::Receive,      [open,     queued,   sent,     None,     None,  None,   None, None]),
            (Input::ReceiveClose, [received, received, draining, None,     None,  None,   None, None]),
            (Input::Fault,        [failed,   failed,   failed,   None,     None,  None,   None, None]),
            (Input::TransportEnd, [broken,   broken,   broken,   broken,   clean, broken, None, None]),
        ];
        for (input, row) in table {
            for (state, expected) in states.into_iter().zip(row) {
                assert_eq!(state.next(input).ok(), expected, "{state:?} {input:?}");
            }
        }
    }
}
