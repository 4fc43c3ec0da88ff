//! What the driver reports, passed on to the facade.

use alloc::vec::Vec;
use core::cell::Cell;

use super::convert::{cause, number, outcome};
use super::host::{self, Host, HostTransport};
use crate::driver::{Driver, Outlet};
use crate::proto::{Closed, Done, MessageId, Outcome};
use crate::time::Clock;
use crate::transport::Incoming;

/// What the facade waits for.
pub(super) struct FacadeOutlet {
    host: Host,
    /// The message of the innermost `send` that is under way, and its end: a `send` returns the end
    /// of its own message instead of reporting it.
    current: Cell<Option<(MessageId, Option<Outcome>)>>,
}

impl FacadeOutlet {
    pub(super) fn new(host: Host) -> Self {
        Self { host, current: Cell::new(None) }
    }

    /// Runs `pump` for a message that was just queued. Returns its end, if that has come.
    pub(super) fn sending(&self, id: MessageId, pump: impl FnOnce()) -> Option<Outcome> {
        let outer = self.current.replace(Some((id, None)));
        // Called from inside a `send`, this leaves the work to that one's.
        pump();
        self.current.replace(outer).and_then(|(_, ended)| ended)
    }
}

impl Outlet<HostTransport> for FacadeOutlet {
    fn take_commands<C: Clock>(&self, _: &Driver<HostTransport, C, Self>) -> bool {
        // The facade calls the driver itself.
        false
    }

    fn opened(&self, _: &HostTransport) {
        host::opened(self.host);
    }

    fn done(&self, done: Done) {
        match self.current.get() {
            Some((current, _)) if current == done.id => {
                self.current.set(Some((current, Some(done.outcome))));
            }
            _ => host::outcome(self.host, number(done.id.0), outcome(done.outcome)),
        }
    }

    fn deliver(&self, incoming: Incoming, _: &HostTransport) -> Result<(), (Incoming, u16)> {
        match incoming {}
    }

    fn read_done(&self, _: u32, _: Option<Vec<u8>>) {}

    fn failed(&self, _: crate::transport::TransportError) {}

    // The facade asks the session, by sending.
    fn stop_sending(&self) {}

    fn closed(&self, closed: Closed) {
        let (unsent, unknown) = (closed.unsent, closed.unknown);
        host::ended(
            self.host,
            closed.code.into(),
            closed.was_clean.into(),
            cause(closed.cause),
            number(unsent.messages),
            number(unsent.bytes),
            number(unknown.messages),
            number(unknown.bytes),
        );
    }
}
