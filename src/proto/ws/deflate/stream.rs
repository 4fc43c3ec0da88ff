//! The two deflate streams of a connection.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Deflate;
use crate::proto::error::ProtocolError;
use crate::proto::ws::assembly::KEPT_BODY;
use crate::proto::ws::message::{MessageKind, Role};
use crate::proto::ws::utf8::Utf8Validator;

/// RFC 7692 §7.2.1: the end of every message, which is taken off before it is sent.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// How much is inflated before it is looked at, at the least.
const PIECE_BYTES: usize = 4 << 10;

/// What is expected of a first message, in eighths of its compressed bytes: JSON becomes four times as long.
const FIRST_EXPANSION: usize = 4 * 8;
/// Bytes that do not compress, and the next message a little longer than this one.
const LEAST_EXPANSION: usize = 8 + 2;
/// A message that does expand further grows twofold from here, and one after it that does not has not
/// reserved much.
const MOST_EXPANSION: usize = 16 * 8;

/// A buffer for compressed parts that one made larger than this is given back.
const KEPT_PART: usize = 1 << 20;

/// Inflates what the peer sends.
#[derive(Debug)]
pub(in super::super) struct Inflater {
    /// Made for the first message, and for each one if the peer starts every message with an empty window:
    /// its 47 KiB are there only while they are of use.
    stream: Option<Decompress>,
    /// It does.
    forgets: bool,
    /// Most bytes of a message.
    limit: u64,
    utf8: Utf8Validator,
    /// How many eighths of the compressed bytes the last message became, with a little to spare: for so
    /// much the next one finds room at once. Invariant: `LEAST_EXPANSION <= expansion <= MOST_EXPANSION`.
    expansion: usize,
    /// Compressed bytes of this message so far.
    received: usize,
    /// Bytes that the last message became, with a little to spare: what a buffer that was kept would have.
    /// Invariant: `last <= KEPT_BODY`.
    last: usize,
}

impl Inflater {
    /// What an endpoint in the role `receiver` needs for what was agreed on, where messages of at most
    /// `limit` bytes are taken.
    pub(in super::super) fn new(receiver: Role, agreed: &Deflate, limit: u64) -> Self {
        let forgets = agreed.no_context_takeover(receiver.peer());
        Self {
            stream: None,
            forgets,
            limit,
            utf8: Utf8Validator::new(),
            expansion: FIRST_EXPANSION,
            received: 0,
            last: 0,
        }
    }

    /// Appends what `input`, the next bytes of a compressed message, stands for to `body`: never more
    /// than the limit, and of a text nothing that is not UTF-8 up to there. `fin`: the message ends here.
    pub(in super::super) fn inflate(
        &mut self,
        kind: MessageKind,
        input: &[u8],
        fin: bool,
        body: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        self.received = self.received.saturating_add(input.len());
        self.take(kind, input, body)?;
        if fin {
            self.take(kind, &TAIL, body)?;
            let eighths = body.len().saturating_mul(8) / self.received.max(1);
            self.expansion = eighths.saturating_add(2).clamp(LEAST_EXPANSION, MOST_EXPANSION);
            self.received = 0;
            self.last = (body.len() + body.len() / 16).min(KEPT_BODY);
            if self.forgets {
                self.stream = None;
            }
            if kind == MessageKind::Text {
                self.utf8.finish().map_err(|_| ProtocolError::InvalidUtf8)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, kind: MessageKind, mut input: &[u8], body: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let too_big = ProtocolError::MessageTooBig { limit: self.limit };
        // Room for the byte that shows that the limit is passed, and for no other.
        let most = usize::try_from(self.limit).unwrap_or(usize::MAX).saturating_add(1);
        // Always the largest window, which serves every smaller one.
        let stream = self.stream.get_or_insert_with(|| Decompress::new(false));
        loop {
            let known = body.len();
            // Before it is full: each call of zlib begins slowly, because it looks into its own copy of the
            // window for what an earlier one has written.
            let expected = input.len().saturating_mul(self.expansion) / 8;
            if body.capacity() - known < expected.max(1) {
                // Once all input was taken, only what a few bits stand for can come; else twice as much as
                // there is keeps the copies of growing few.
                let more = if input.is_empty() { 0 } else { known.max(self.last) };
                let room = expected.max(more).max(PIECE_BYTES).min(most.saturating_sub(known));
                body.try_reserve_exact(room).map_err(|_| too_big)?;
            }
            let before = stream.total_in();
            let status = stream.decompress_vec(input, body, FlushDecompress::None);
            let status = status.map_err(|_| ProtocolError::InvalidCompression)?;
            let taken = usize::try_from(stream.total_in() - before).unwrap_or(usize::MAX);
            input = input.get(taken..).unwrap_or_default();
            if body.len() >= most {
                return Err(too_big);
            }
            if kind == MessageKind::Text {
                let fresh = body.get(known..).unwrap_or_default();
                self.utf8.push(fresh).map_err(|_| ProtocolError::InvalidUtf8)?;
            }
            // Room that is left says that nothing more comes of what was taken.
            let is_drained = body.len() < body.capacity();
            if status == Status::StreamEnd {
                // RFC 7692 §7.2.3.4: a peer may end a block for good; what follows is a new stream.
                stream.reset(false);
            } else if is_drained && !input.is_empty() && taken == 0 && body.len() == known {
                // It neither takes nor gives.
                return Err(ProtocolError::InvalidCompression);
            }
            if is_drained && input.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Deflates what this endpoint sends.
#[derive(Debug)]
pub(in super::super) struct Deflater {
    /// As [`Inflater::stream`]; 370 KiB.
    stream: Option<Compress>,
    /// Every message starts with an empty window.
    forgets: bool,
    level: Compression,
    /// The window, as a power of two.
    bits: u8,
    min_bytes: usize,
    enabled: bool,
    /// The compressed form of the part that was given last.
    part: Vec<u8>,
}

impl Deflater {
    /// What an endpoint in the role `sender` needs for what was agreed on; `None` if it sends all
    /// its messages as they are.
    pub(in super::super) fn new(sender: Role, agreed: &Deflate) -> Option<Self> {
        let bits = agreed.bits_to_deflate(sender)?;
        Some(Self {
            stream: None,
            forgets: agreed.no_context_takeover(sender),
            level: Compression::new(u32::from(agreed.level)),
            bits,
            min_bytes: agreed.min_bytes,
            enabled: true,
            part: Vec::new(),
        })
    }

    pub(in super::super) const fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Whether to compress a message that begins with a part of `bytes`, `fin` if that is all.
    pub(in super::super) const fn wants(&self, bytes: usize, fin: bool) -> bool {
        // An empty message has one byte when compressed, and zlib has no word for it.
        self.enabled && (!fin || (bytes > 0 && bytes >= self.min_bytes))
    }

    /// The compressed form of `part`, which may be empty unless `fin` ends the message.
    pub(in super::super) fn deflate(&mut self, mut part: &[u8], fin: bool) -> &[u8] {
        let out = &mut self.part;
        out.clear();
        if out.capacity() > KEPT_PART {
            *out = Vec::new();
        }
        let (level, bits) = (self.level, self.bits);
        let stream = self.stream.get_or_insert_with(|| Compress::new_with_window_bits(level, false, bits));
        let flush = if fin { FlushCompress::Sync } else { FlushCompress::None };
        loop {
            // Room for the end of the block too, so that most messages take one round.
            out.reserve((part.len() / 2).max(64));
            let (before, known) = (stream.total_in(), out.len());
            // It fails only if a stream that has ended is given more, and this one never ends.
            let _ = stream.compress_vec(part, out, flush);
            let taken = usize::try_from(stream.total_in() - before).unwrap_or(usize::MAX);
            part = part.get(taken..).unwrap_or_default();
            let is_drained = part.is_empty() && out.len() < out.capacity();
            if is_drained || (taken == 0 && out.len() == known) {
                break;
            }
        }
        if fin {
            if out.ends_with(&TAIL) {
                out.truncate(out.len() - TAIL.len());
            }
            if self.forgets {
                self.stream = None;
            }
        }
        out
    }
}
