//! `tidegate.v1`: many prioritised channels with flow control over one WebSocket, resumed without loss.
//!
//! Sans-I/O as all of the core: whole messages and moments come in, messages and events are pulled out.
//!
//! Not here: connections, clocks, randomness, the content of what the host keeps.

mod abuse;
mod budget;
mod channel;
mod code;
mod flow;
mod liveness;
mod mux;
mod record;
mod replay;
mod resume;
mod session;
mod settings;
mod varint;

pub use budget::BudgetConfig;
pub use channel::{ChannelKey, ChannelKind, Directions};
pub use code::{ChannelCode, FatalCode, RefusedCode, Retry, SessionFate, fate_of_close};
pub use session::{
    Cause, Chunk, Event, Gauges, GoingAway, Insert, NewItem, OpenError, Outgoing, Output, Over,
    ResumeRequest, Session, SessionConfig, Side, TOKEN_BYTES, Token,
};
pub use settings::{Settings, SettingsError};
