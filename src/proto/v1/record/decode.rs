//! Bodies, read and checked by themselves.
//!
//! The form comes first, field by field, then the limits that the receiver has told: what is malformed and too long is
//! malformed.

use core::str::from_utf8;

use super::{
    Data, DataFlags, Fault, MAX_DETAIL_BYTES, MAX_REASON_BYTES, MIN_CHUNK_BYTES, Meta, Open, Raw, Record,
    greeting, kind,
};
use crate::proto::v1::code::{ChannelCode, FatalCode, RefusedCode};
use crate::proto::v1::settings::Settings;
use crate::proto::v1::varint::Reader;

/// Code and reason of a [`Fault`].
pub(super) struct Flaw(pub FatalCode, pub &'static str);

impl From<&'static str> for Flaw {
    fn from(why: &'static str) -> Self {
        Self(FatalCode::ProtocolViolation, why)
    }
}

impl<'a> Raw<'a> {
    /// What the body says. `own` is what the receiver itself has told; before that the constants.
    ///
    /// The type has been found to be allowed here, and the number to be the next one.
    ///
    /// # Errors
    ///
    /// [`Fault`]: a violation, for a name or meta above the own limits TOO_BIG, for a RESUME or WELCOME of another
    /// version VERSION.
    /// The peer is at fault.
    pub(in super::super) fn decode(&self, own: &Settings) -> Result<Record<'a>, Fault> {
        let mut body = Reader::new(self.body);
        let read = self
            .read(&mut body)
            .and_then(|record| if body.is_empty() { Ok(record) } else { Err("trailing bytes".into()) });
        let record = read.and_then(|record| within_limits(record, own));
        record.map_err(|Flaw(code, why)| Fault { code, record_type: self.kind, why })
    }

    fn read(&self, body: &mut Reader<'a>) -> Result<Record<'a>, Flaw> {
        Ok(match self.kind {
            kind::HELLO => Record::Hello(greeting::hello(body)?),
            kind::WELCOME => Record::Welcome(greeting::welcome(body)?),
            kind::RESUME => Record::Resume(greeting::resume(body)?),
            kind::RESUMED => Record::Resumed(greeting::resumed(body)?),
            kind::REFUSED => {
                let code = RefusedCode::from_wire(body.varint()?);
                Record::Refused { code, retry_after_ms: body.varint()?, reason: reason(body)? }
            }
            kind::ACK => Record::Ack { rx: body.varint()?, delay_us: body.varint()? },
            kind::PING => Record::Ping { t_us: body.varint()? },
            kind::PONG => Record::Pong {
                t_us: body.varint()?,
                hold_us: body.varint()?,
                peer_t_us: body.varint()?,
                rx: body.varint()?,
            },
            kind::GOAWAY => Record::GoAway {
                channels: body.varint()?,
                code: FatalCode::from_wire(body.varint()?),
                drain_ms: body.varint()?,
                reconnect_after_ms: body.varint()?,
                jitter_ms: body.varint()?,
                reason: reason(body)?,
            },
            kind::ERROR => {
                let code = match FatalCode::from_wire(body.varint()?) {
                    // Of another range than ERROR calls for.
                    FatalCode::None => FatalCode::Internal,
                    code => code,
                };
                Record::Error { code, record_type: body.u8()?, reason: reason(body)? }
            }
            kind::CREDIT => Record::Credit { channel: body.varint()?, limit: body.varint()? },
            kind::CHAN_LIMIT => Record::ChanLimit { count: body.varint()? },
            kind::OPEN => Record::Open(open(body)?),
            kind::ACCEPT => Record::Accept {
                channel: body.varint()?,
                limit: body.varint()?,
                max_item_bytes: body.varint()?,
            },
            kind::RESET => reset(body)?,
            kind::CLOSE => Record::Close { channel: body.varint()? },
            kind::DATA => Record::Data(self.data(body)?),
            kind::PAD => Record::Pad { body: body.rest()? },
            kind::BLOCKED => Record::Blocked { channel: body.varint()?, limit: body.varint()? },
            kind::PRIORITY => Record::Priority { channel: body.varint()?, prio: prio(body)? },
            kind if self.is_ignorable() => Record::Unknown { kind, body: body.rest()? },
            _ => return Err("unknown mandatory type".into()),
        })
    }

    fn data(&self, body: &mut Reader<'a>) -> Result<Data<'a>, &'static str> {
        let channel = body.varint()?;
        let flags = DataFlags(body.u8()?);
        if flags.0 & DataFlags::RESERVED != 0 {
            return Err("reserved flag");
        }
        if flags.is_text() && !flags.is_first() {
            return Err("TEXT without FIRST");
        }
        if flags.is_abort() && (flags.is_first() || !flags.is_last()) {
            return Err("ABORT wants LAST and not FIRST");
        }
        // 0 for unknown, else one more than the size.
        let total = if flags.has_total() { body.varint()?.checked_sub(1) } else { None };
        let payload_at = self.body_at + self.body.len() - body.remaining();
        let payload = body.rest()?;
        if flags.is_abort() && !payload.is_empty() {
            return Err("ABORT with payload");
        }
        if !flags.is_last() && payload.len() < MIN_CHUNK_BYTES {
            return Err("non-final chunk under 512 bytes");
        }
        Ok(Data { channel, flags, total, payload, payload_at })
    }
}

fn open<'a>(body: &mut Reader<'a>) -> Result<Open<'a>, &'static str> {
    let (channel, kind, prio) = (body.varint()?, body.u8()?, prio(body)?);
    let name_len = body.varint()?;
    let name = text(body.take(name_len)?, "name not UTF-8")?;
    let meta_len = body.varint()?;
    let meta = Meta::new(body.take(meta_len)?);
    meta.check()?;
    Ok(Open { channel, kind, prio, name, meta })
}

fn reset<'a>(body: &mut Reader<'a>) -> Result<Record<'a>, &'static str> {
    let (channel, dir) = (body.varint()?, body.u8()?);
    if !(1..=3).contains(&dir) {
        return Err("dir");
    }
    let code = ChannelCode::from_wire(body.varint()?);
    let detail = body.rest()?;
    if detail.len() > MAX_DETAIL_BYTES {
        return Err("detail");
    }
    Ok(Record::Reset { channel, dir, code, detail })
}

/// What only the receiver's own word makes wrong.
fn within_limits<'a>(record: Record<'a>, own: &Settings) -> Result<Record<'a>, Flaw> {
    if let Record::Open(Open { name, meta, .. }) = record
        && (name.len() > bytes(own.max_name_bytes) || meta.bytes().len() > bytes(own.max_meta_bytes))
    {
        return Err(Flaw(FatalCode::TooBig, "name or meta too long"));
    }
    Ok(record)
}

fn bytes(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// A class of its own in bits 0–2, the other bits 0.
fn prio(body: &mut Reader<'_>) -> Result<u8, &'static str> {
    match body.u8()? {
        prio @ 1..=4 => Ok(prio),
        _ => Err("prio"),
    }
}

fn reason<'a>(body: &mut Reader<'a>) -> Result<&'a str, &'static str> {
    let reason = body.rest()?;
    if reason.len() > MAX_REASON_BYTES {
        return Err("reason");
    }
    text(reason, "reason")
}

pub(super) fn text<'a>(bytes: &'a [u8], why: &'static str) -> Result<&'a str, &'static str> {
    from_utf8(bytes).map_err(|_| why)
}
