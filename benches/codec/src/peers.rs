//! tidegate and its peers, each by the fastest public way that its users have.
//!
//! Not here: which of them are in which cell (`cells.rs`), the echo servers (`echo`).

pub(crate) mod fastwebsockets;
pub(crate) mod sockudo;
pub(crate) mod tidegate;
pub(crate) mod tokio_websockets;
pub(crate) mod tungstenite;
pub(crate) mod yawc;

/// Output is handed on, and its buffer emptied, at this size: what one write to a socket takes.
pub(crate) const OUTPUT: usize = 64 << 10;

/// More than any frame of a cell; some peers refuse a frame that is as large as their limit.
pub(crate) const LIMIT: usize = 64 << 20;

/// Payloads that an application has just made, for the cells that encode.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// Of one size. As many as fit into half of the first cache, at least one, so that not every
    /// frame waits for the stores of the one before.
    pub(crate) payloads: Vec<Vec<u8>>,
    /// How often a pass goes through them.
    pub(crate) times: usize,
}

impl Made {
    pub(crate) fn new(wire: &crate::wire::Wire) -> Self {
        let size = wire.payloads.first().map_or(1, Vec::len);
        let payloads: Vec<_> = wire.payloads.iter().take((16 << 10) / size.max(1)).cloned().collect();
        let payloads =
            if payloads.is_empty() { wire.payloads.iter().take(1).cloned().collect() } else { payloads };
        // About as many frames as a wire has.
        let times = (wire.payloads.len() / payloads.len()).max(1);
        Self { payloads, times }
    }

    /// All payloads of a wire, once, for what remembers those before: the same again would be found in
    /// the window of deflate.
    pub(crate) fn all(wire: &crate::wire::Wire) -> Self {
        Self { payloads: wire.payloads.clone(), times: 1 }
    }

    /// How often a pass goes through them; once if its output is to be compared.
    pub(crate) fn times<L: crate::subject::Look>(&self) -> usize {
        if L::KEEPS { 1 } else { self.times }
    }
}
