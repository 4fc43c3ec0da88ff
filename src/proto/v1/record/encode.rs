//! Records to bytes.

use alloc::vec::Vec;

use super::{Data, DataFlags, Hello, Open, Record, Resume, Resumed, Welcome, kind};
use crate::proto::v1::varint::{len, put};

/// The most bytes in front of the payload of a DATA record, as long as the body has less than 1 GiB: type 1, length 4,
/// number 2, channel 8, flags 1, total 8.
pub(in super::super) const MAX_DATA_HEAD: usize = 24;

/// How many bytes [`put_data_head`] writes.
pub(in super::super) fn data_head_len(
    channel: u64,
    flags: DataFlags,
    total: Option<u64>,
    payload_len: usize,
) -> usize {
    let front = data_front_len(channel, flags, total);
    1 + len((front + payload_len) as u64) + 2 + front
}

/// Appends a DATA record up to its payload, of which `payload_len` bytes are to follow.
///
/// `number` is the record's own, of which the low 16 bits go on the wire; `total` the item's size in bytes, `None` if it
/// is not known, and of no account but in a first chunk that is not the last.
pub(in super::super) fn put_data_head(
    out: &mut Vec<u8>,
    number: u64,
    channel: u64,
    flags: DataFlags,
    total: Option<u64>,
    payload_len: usize,
) {
    out.push(kind::DATA);
    put(out, (data_front_len(channel, flags, total) + payload_len) as u64);
    put_seq16(out, number);
    put(out, channel);
    out.push(flags.0);
    if flags.has_total() {
        put(out, total_on_wire(total));
    }
}

/// Bytes of the body in front of the payload.
fn data_front_len(channel: u64, flags: DataFlags, total: Option<u64>) -> usize {
    len(channel) + 1 + if flags.has_total() { len(total_on_wire(total)) } else { 0 }
}

/// 0 for unknown, else one more than the size.
const fn total_on_wire(total: Option<u64>) -> u64 {
    match total {
        Some(size) => size.saturating_add(1),
        None => 0,
    }
}

#[allow(clippy::cast_possible_truncation, reason = "numbers travel modulo 65,536")]
fn put_seq16(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&(number as u16).to_be_bytes());
}

impl Record<'_> {
    /// Appends the record, with the low 16 bits of its number `seq` if it is sequenced. It has one then, and 0 without;
    /// of another record `seq` is of no account.
    ///
    /// What is longer, larger or otherwise than [`Raw::decode`](super::Raw::decode) takes is written nevertheless, save
    /// numbers above 2^53 - 1, a token or hint of more than 255 bytes (cut there), and the size of an item above
    /// 2^53 - 2.
    pub(in super::super) fn put(&self, seq: Option<u64>, out: &mut Vec<u8>) {
        let kind = self.kind();
        if let Self::Data(Data { channel, flags, total, payload, .. }) = *self {
            put_data_head(out, seq.unwrap_or(0), channel, flags, total, payload.len());
            out.extend_from_slice(payload);
            return;
        }
        out.push(kind);
        let len_at = out.len();
        if kind & kind::SEQUENCED != 0 {
            put_seq16(out, seq.unwrap_or(0));
        }
        let body_at = out.len();
        self.put_body(out);
        insert_len(out, len_at, out.len() - body_at);
    }

    /// Appends a record of a type that nobody knows, without a body. `kind` is ignorable: one of [`kind::GREASE`] or
    /// [`kind::GREASE_SEQUENCED`].
    pub(in super::super) fn put_unknown(kind: u8, seq: Option<u64>, out: &mut Vec<u8>) {
        Record::Unknown { kind, body: &[] }.put(seq, out);
    }

    fn put_body(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Hello(Hello { ver_min, ver_max, features, pairs, .. }) => {
                out.extend_from_slice(&[ver_min, ver_max]);
                put(out, features);
                out.extend_from_slice(pairs);
            }
            Self::Welcome(Welcome { ver, features, resume_ttl_s, token, hint, pairs, .. }) => {
                out.push(ver);
                put_all(out, &[features, resume_ttl_s]);
                put_short(out, token);
                put_short(out, hint.as_bytes());
                out.extend_from_slice(pairs);
            }
            Self::Resume(Resume { ver, token, rx, tx_oldest, tx_next }) => {
                out.push(ver);
                put_short(out, token);
                put_all(out, &[rx, tx_oldest, tx_next]);
            }
            Self::Resumed(Resumed { epoch, rx, tx_oldest, tx_next, pairs }) => {
                put_all(out, &[epoch, rx, tx_oldest, tx_next]);
                out.extend_from_slice(pairs);
            }
            Self::Refused { code, retry_after_ms, reason } => {
                put_all(out, &[code.to_wire(), retry_after_ms]);
                out.extend_from_slice(reason.as_bytes());
            }
            Self::Ack { rx, delay_us } => put_all(out, &[rx, delay_us]),
            Self::Ping { t_us } => put(out, t_us),
            Self::Pong { t_us, hold_us, peer_t_us, rx } => put_all(out, &[t_us, hold_us, peer_t_us, rx]),
            Self::GoAway { channels, code, drain_ms, reconnect_after_ms, jitter_ms, reason } => {
                put_all(out, &[channels, code.to_wire(), drain_ms, reconnect_after_ms, jitter_ms]);
                out.extend_from_slice(reason.as_bytes());
            }
            Self::Error { code, record_type, reason } => {
                put(out, code.to_wire());
                out.push(record_type);
                out.extend_from_slice(reason.as_bytes());
            }
            Self::Credit { channel, limit } | Self::Blocked { channel, limit } => {
                put_all(out, &[channel, limit]);
            }
            Self::ChanLimit { count } => put(out, count),
            Self::Open(Open { channel, kind, prio, name, meta }) => {
                put(out, channel);
                out.extend_from_slice(&[kind, prio]);
                put_long(out, name.as_bytes());
                put_long(out, meta.bytes());
            }
            Self::Accept { channel, limit, max_item_bytes } => {
                put_all(out, &[channel, limit, max_item_bytes]);
            }
            Self::Reset { channel, dir, code, detail } => {
                put(out, channel);
                out.push(dir);
                put(out, code.to_wire());
                out.extend_from_slice(detail);
            }
            Self::Close { channel } => put(out, channel),
            // With its head, in `put`.
            Self::Data(_) => {}
            Self::Pad { body } | Self::Unknown { body, .. } => out.extend_from_slice(body),
            Self::Priority { channel, prio } => {
                put(out, channel);
                out.push(prio);
            }
        }
    }
}

fn put_all(out: &mut Vec<u8>, values: &[u64]) {
    for &value in values {
        put(out, value);
    }
}

/// Bytes after their number in one byte.
fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    out.push(len);
    out.extend(bytes.iter().take(len.into()));
}

/// Bytes after their number as a varint.
fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Puts the length in front of what it is the length of: bodies other than those of DATA are short, and to move one costs
/// less than to write it twice.
fn insert_len(out: &mut Vec<u8>, at: usize, body: usize) {
    let end = out.len();
    put(out, body as u64);
    let width = out.len() - end;
    if let Some(moved) = out.get_mut(at..) {
        moved.rotate_right(width);
    }
}
