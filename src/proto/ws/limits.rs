//! How much a peer may ask of this endpoint.

/// Bounds that keep a hostile peer from exhausting memory; safety, not taste.
///
/// Lengths are compared as `u64` when a frame header has been read, before anything is allocated
/// and before any cast, so the same limits hold where `usize` has 32 bits. A limit is inclusive:
/// exactly that much passes, one more fails the connection with close code 1009.
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::Limits;
/// let mut limits = Limits::default();
/// limits.max_message_bytes = 1 << 20;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most payload bytes of one message, all its fragments together; of a compressed one those that
    /// it inflates to, counted while it is inflated. On the wire it may have a seventh more, which is
    /// what deflate can make of bytes that do not compress, and 64 bytes.
    ///
    /// Default 64 MiB: what the common Rust and Node servers accept, and a small multiple of it
    /// still fits beside an application into the 4 GiB of a wasm32 or the 2 GiB of a small host.
    pub max_message_bytes: u64,
    /// Most payload bytes of one frame, with as much more if it is compressed.
    ///
    /// Default 64 MiB, the same as for a message, because Firefox and most servers send a message
    /// of any size as one frame.
    pub max_frame_bytes: u64,
    /// Most frames of one message.
    ///
    /// Default 131,072: empty fragments cost the sender 2 to 6 bytes and count towards no size.
    /// Twice what a message of 4 MiB in pieces of 64 bytes needs, the finest cut that the Autobahn
    /// suite sends.
    pub max_fragments: u64,
    /// Most control frames between two calls of
    /// [`Connection::renew_control_allowance`](super::Connection::renew_control_allowance).
    ///
    /// Default `None`, no bound: the core has no clock, so a bound makes sense only where the
    /// transport has one and renews the allowance. On the host (`Client`, `server::accept`) that is once
    /// a second: a bound of frames per second, counted as they are read. Memory is safe without it, as at most 17
    /// pongs are ever held.
    pub max_control_frames: Option<u64>,
    /// Bytes that may wait to be written before further messages are refused.
    ///
    /// Default 1 MiB. The check is made before a part is added, so what waits is at most this plus
    /// one part; close frames and pongs are always taken, being bounded by themselves. A pong
    /// waits behind what is queued, so a smaller value answers pings sooner on a slow link.
    pub max_output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 64 << 20,
            max_frame_bytes: 64 << 20,
            max_fragments: 1 << 17,
            max_control_frames: None,
            max_output_bytes: 1 << 20,
        }
    }
}
