//! Why a connection, an attempt to resume or a channel ends, as numbers; and what becomes of a session by the code with
//! which its connection closes.
//!
//! | codes | type | in |
//! |---|---|---|
//! | 0–10 | [`FatalCode`] | ERROR (1–10), GOAWAY (0–15), close codes 4200–4210 |
//! | 10, 16–21 | [`RefusedCode`] | REFUSED (10, 16–31), close codes 4210, 4216–4221 |
//! | 32–41 | [`ChannelCode`] | RESET (32 and up) |
//!
//! A number of none of these, or of another row, reads as the row's most general one: 8, 16 or 32.
//!
//! Not here: when which code is due.

#![allow(dead_code, unreachable_pub, reason = "the session uses and re-exports it")]

/// The close code of code 0.
const CLOSE_BASE: u16 = 4200;

/// An enum of codes: its numbers, its names on the wire, and what an unknown number reads as.
macro_rules! codes {
    ($(#[$of:meta])* $name:ident, unknown reads as $general:ident; $($(#[$doc:meta])* $variant:ident = $code:literal $word:literal,)+) => {
        $(#[$of])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum $name {
            $($(#[$doc])* $variant = $code,)+
        }

        impl $name {
            /// The number on the wire.
            #[must_use]
            pub const fn to_wire(self) -> u64 {
                self as u64
            }

            /// The code with this number; the most general one for any number that is none.
            #[must_use]
            pub const fn from_wire(code: u64) -> Self {
                match code {
                    $($code => Self::$variant,)+
                    _ => Self::$general,
                }
            }

            /// Its name in the specification, in capitals.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

codes! {
    /// Why a session's connection is closed by one of its ends: in ERROR, in GOAWAY, and as close code.
    ///
    /// An unknown number reads as [`FatalCode::Internal`].
    FatalCode, unknown reads as Internal;
    /// In good order: nothing was wrong. Not in ERROR, where it reads as [`FatalCode::Internal`].
    None = 0 "NONE",
    /// The peer broke the protocol in a way that has no code of its own.
    ProtocolViolation = 1 "PROTOCOL_VIOLATION",
    /// No version that both sides speak.
    Version = 2 "VERSION",
    /// A message, name or meta above the limit.
    TooBig = 3 "TOO_BIG",
    /// More data than was granted, or more channels.
    FlowControl = 4 "FLOW_CONTROL",
    /// A record whose number is not the next one, or a resume whose numbers do not fit.
    SeqMismatch = 5 "SEQ_MISMATCH",
    /// Too many records that cost the receiver work and the sender nothing.
    CalmDown = 6 "CALM_DOWN",
    /// Silence for too long.
    Timeout = 7 "TIMEOUT",
    /// A fault of the side that closes.
    Internal = 8 "INTERNAL",
    /// The session goes on in another connection.
    Superseded = 9 "SUPERSEDED",
    /// Not allowed, or not any more.
    Auth = 10 "AUTH",
}

codes! {
    /// Why a server refuses HELLO or RESUME.
    ///
    /// An unknown number reads as [`RefusedCode::UnknownSession`].
    RefusedCode, unknown reads as UnknownSession;
    /// Not allowed, or not any more.
    Auth = 10 "AUTH",
    /// No session has this token here: never, or not in this process.
    UnknownSession = 16 "UNKNOWN_SESSION",
    /// It was without a connection for too long.
    Expired = 17 "EXPIRED",
    /// It had to make room for others.
    Evicted = 18 "EVICTED",
    /// Records between what one side has and what the other still keeps are lost.
    ReplayGap = 19 "REPLAY_GAP",
    /// It belongs to somebody else, or to another origin.
    IdentityMismatch = 20 "IDENTITY_MISMATCH",
    /// Not now.
    Busy = 21 "BUSY",
}

codes! {
    /// Why a channel was reset.
    ///
    /// An unknown number reads as [`ChannelCode::Cancelled`].
    ChannelCode, unknown reads as Cancelled;
    /// One side has no use for it any more.
    Cancelled = 32 "CANCELLED",
    /// The application did not take the channel.
    Refused = 33 "REFUSED",
    /// A kind of channel that the receiver does not know.
    UnsupportedKind = 34 "UNSUPPORTED_KIND",
    /// An item above the receiver's limit.
    ItemTooBig = 35 "ITEM_TOO_BIG",
    /// A text that is not UTF-8.
    BadUtf8 = 36 "BAD_UTF8",
    /// It took longer than its deadline allows.
    Deadline = 37 "DEADLINE",
    /// The application's own error, with its bytes as detail.
    Application = 38 "APPLICATION",
    /// The application's handler ended without an answer.
    HandlerFailed = 39 "HANDLER_FAILED",
    /// An item that is none of those that a channel of this kind carries.
    BadItem = 40 "BAD_ITEM",
    /// Another channel carries on with what this one did.
    TakenOver = 41 "TAKEN_OVER",
}

impl FatalCode {
    /// The close code that says the same: 4200–4210.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        CLOSE_BASE + self as u16
    }
}

impl RefusedCode {
    /// The close code that says the same: 4210, 4216–4221.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        CLOSE_BASE + self as u16
    }
}

/// What becomes of a session whose connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SessionFate {
    /// It is over, on both sides.
    Ended,
    /// It waits for another connection.
    Detached,
    /// It goes on, in another connection.
    Elsewhere,
    /// It is as it was: the server refused this attempt only.
    Untouched,
}

/// What a client does after its connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Nothing by itself.
    StaysClosed,
    /// It connects again and resumes the session, if there is one.
    Resumes,
    /// It connects again and begins a new session.
    NewSession,
    /// It makes the same attempt once more, after the backoff.
    SameAttempt,
}

/// What a close code means for the session and for the client, whichever side closed.
///
/// Not for a client that was told by GOAWAY when to return: then 4200 ends the session, and it returns.
///
/// # Specification
///
/// PROTOCOL.md §10.2.
#[must_use]
pub const fn fate_of_close(code: u16) -> (SessionFate, Retry) {
    match code {
        4207 => (SessionFate::Detached, Retry::Resumes),
        4208 | 4216..=4219 => (SessionFate::Ended, Retry::NewSession),
        4209 => (SessionFate::Elsewhere, Retry::StaysClosed),
        4220 => (SessionFate::Untouched, Retry::StaysClosed),
        4221 => (SessionFate::Untouched, Retry::SameAttempt),
        // In good order, by a fault that a replay would repeat, and any other code of this protocol.
        1000 | 1002 | 1003 | 1007..=1010 | 4200..=4299 => (SessionFate::Ended, Retry::StaysClosed),
        _ => (SessionFate::Detached, Retry::Resumes),
    }
}

#[cfg(test)]
mod tests;
