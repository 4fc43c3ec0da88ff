//! What the driver reports, passed on to the facade.

use alloc::vec::Vec;
use core::cell::Cell;

#[cfg(feature = "v1")]
use super::channels;
use super::convert::{cause, number, outcome};
use super::host::{self, Host, HostTransport};
#[cfg(feature = "v1")]
use crate::driver::ChannelEnd;
#[cfg(feature = "v1")]
use crate::driver::tidegate::{ChannelId, Offered, Origin};
use crate::driver::{Driver, Outlet};
#[cfg(feature = "v1")]
use crate::proto::v1::ChannelKey;
use crate::proto::{Closed, Done, MessageId, Outcome};
use crate::time::Clock;
use crate::transport::Incoming;

/// What the facade waits for.
pub(super) struct FacadeOutlet {
    host: Host,
    /// The message of the innermost `send` that is under way, and its end: a `send` returns the end
    /// of its own message instead of reporting it.
    current: Cell<Option<(MessageId, Option<Outcome>)>>,
    /// The keys of channels by the numbers that the facade has given them.
    #[cfg(feature = "v1")]
    pub(super) channels: core::cell::RefCell<crate::slab::Ascending<ChannelKey>>,
}

impl FacadeOutlet {
    pub(super) fn new(host: Host) -> Self {
        Self {
            host,
            current: Cell::new(None),
            #[cfg(feature = "v1")]
            channels: core::cell::RefCell::default(),
        }
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

    #[cfg(feature = "v1")]
    fn going_away(&self, going: crate::proto::v1::GoingAway) {
        channels::going_away(self.host, &going);
    }

    #[cfg(feature = "v1")]
    fn attached(&self, _: &HostTransport) {
        host::opened(self.host);
    }

    #[cfg(feature = "v1")]
    fn chunk(&self, channel: Option<ChannelId>, chunk: &crate::proto::v1::Chunk, origin: Origin) {
        channels::chunk(self.host, channel, chunk, origin);
    }

    #[cfg(feature = "v1")]
    fn void(&self, key: ChannelKey) {
        channels::void(self.host, key);
    }

    #[cfg(feature = "v1")]
    fn channel_done(&self, id: ChannelId, done: Done) {
        match self.current.get() {
            Some((current, _)) if current == done.id => {
                self.current.set(Some((current, Some(done.outcome))));
            }
            _ => channels::done(self.host, id, number(done.id.0), outcome(done.outcome)),
        }
    }

    #[cfg(feature = "v1")]
    fn channel_offered(&self, offered: Offered) -> Option<ChannelId> {
        let id = channels::offer(self.host, &offered.name, offered.priority)?;
        self.channels.borrow_mut().insert(id.0, offered.key);
        Some(id)
    }

    #[cfg(feature = "v1")]
    fn channel_accepted(&self, id: ChannelId) {
        channels::accepted(self.host, id);
    }

    #[cfg(feature = "v1")]
    fn channel_ended(&self, id: ChannelId, end: ChannelEnd) {
        channels::ended(self.host, id, &end, false);
    }

    #[cfg(feature = "v1")]
    fn channel_stopped(&self, id: ChannelId, end: ChannelEnd) {
        channels::ended(self.host, id, &end, true);
    }

    #[cfg(feature = "v1")]
    fn channels_over<C: Clock>(&self, _: &Driver<HostTransport, C, Self>) {
        self.channels.take();
        channels::over(self.host);
    }
}
