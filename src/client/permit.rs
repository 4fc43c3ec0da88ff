//! Room in the queue, taken before there is a message for it.

use core::fmt;
use std::sync::Arc;

use super::error::SendError;
use super::message::Message;
use super::sender::{Ticket, refused};
use crate::driver::outbox::Reserved;
use crate::driver::{Hub, SendOptions};

/// Room for one message, which [`Sender::reserve`](super::Sender::reserve) gives. Dropping it gives the room back.
#[must_use = "dropping a permit gives its room back"]
pub struct Permit {
    hub: Arc<Hub>,
    options: SendOptions,
    reserved: Option<Reserved>,
}

impl Permit {
    pub(super) fn new(hub: &Arc<Hub>, options: SendOptions, reserved: Reserved) -> Self {
        Self { hub: hub.clone(), options, reserved: Some(reserved) }
    }

    /// How large the message may be, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.reserved.map_or(0, |reserved| reserved.bytes)
    }

    /// Queues a message in the room that was kept, with the options that it was kept for. A deadline begins now.
    ///
    /// # Errors
    ///
    /// [`SendError::AbovePermit`] if the message is larger than the room; [`SendError::Closed`] if the connection is
    /// closing by now; [`SendError::ForeignBlob`] and [`SendError::Unsupported`] as everywhere. Each gives the
    /// message back; the room is given up.
    pub fn send(mut self, message: impl Into<Message>) -> Result<Ticket, SendError> {
        let payload = message.into().into_payload(&self.hub)?;
        let Some(reserved) = self.reserved.filter(|reserved| payload.bytes() <= reserved.bytes) else {
            return Err(SendError::AbovePermit(Message::from_payload(payload, &self.hub)));
        };
        self.reserved = None;
        let outgoing = self.hub.outgoing(payload, core::mem::take(&mut self.options));
        match self.hub.send_reserved(reserved, outgoing) {
            Ok(id) => Ok(Ticket::new(&self.hub, id)),
            Err((why, payload)) => Err(refused(why, payload, &self.hub)),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(reserved) = self.reserved {
            self.hub.release_room(reserved);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
