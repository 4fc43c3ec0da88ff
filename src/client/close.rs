//! Closing.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use super::error::CloseError;
use super::wait::Wait;
use crate::driver::{Command, Hub};
use crate::proto::{CloseRequest, Closed};

/// Longest reason in bytes: a control frame carries 125, two of which are the code.
const LONGEST_REASON: usize = 123;

/// How to close.
///
/// Default: no code, no reason, 10 s, and what is queued is sent first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseOptions {
    code: Option<u16>,
    reason: String,
    within: Option<Duration>,
    flush: bool,
}

impl Default for CloseOptions {
    fn default() -> Self {
        Self { code: None, reason: String::new(), within: Some(Duration::from_secs(10)), flush: true }
    }
}

impl CloseOptions {
    /// The close code: 1000 or 3000 to 4999. Without one the close frame has no body, unless there
    /// is a reason: then it is 1000.
    ///
    /// In tidegate mode the peer is told 1000 or 4200, which it is for any other code: there the code says whether a session may
    /// go on. The reason arrives.
    #[must_use]
    pub fn code(mut self, code: u16) -> Self {
        self.code = Some(code);
        self
    }

    /// The reason, at most 123 bytes of UTF-8.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// How long sending what is queued and the peer's confirmation may take together; `None` waits
    /// for ever. Default 10 s: a peer that does not read never confirms, and a browser then gives
    /// no close event for a long time.
    #[must_use]
    pub fn within(mut self, within: impl Into<Option<Duration>>) -> Self {
        self.within = within.into();
        self
    }

    /// Drops what is queued instead of sending it first; it is then counted as unsent.
    #[must_use]
    pub fn drop_queued(mut self) -> Self {
        self.flush = false;
        self
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.within
    }

    pub(crate) fn into_request(self) -> Result<CloseRequest, CloseError> {
        self.code.map_or(Ok(()), check_code)?;
        if self.reason.len() > LONGEST_REASON {
            return Err(CloseError::Reason { bytes: self.reason.len() });
        }
        let code = if self.reason.is_empty() { self.code } else { Some(self.code.unwrap_or(1000)) };
        Ok(CloseRequest { code, reason: self.reason, within: self.within, flush: self.flush })
    }
}

/// WHATWG WebSockets, `close(code, reason)`: any other code throws InvalidAccessError.
pub(crate) fn check_code(code: u16) -> Result<(), CloseError> {
    if code == 1000 || (3000..=4999).contains(&code) { Ok(()) } else { Err(CloseError::Code { code }) }
}

/// A close that has begun; awaiting it gives the final word, the same for every closer.
///
/// Dropping it only stops waiting.
#[must_use = "that code or reason may not be sent is told here only; the close itself has begun"]
pub struct Closing {
    state: Result<Wait<Closed>, CloseError>,
}

impl Closing {
    pub(crate) fn begin(hub: &Arc<Hub>, options: CloseOptions) -> Self {
        let state = options.into_request().map(|request| {
            hub.begin_close(Command::Close(request));
            Wait::new(hub.clone(), Hub::poll_closed, Hub::leave_watchers)
        });
        Self { state }
    }
}

impl Future for Closing {
    type Output = Result<Closed, CloseError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            Ok(wait) => wait.poll_ask(cx).map(Ok),
            Err(error) => Poll::Ready(Err(*error)),
        }
    }
}
