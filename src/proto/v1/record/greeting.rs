//! The first records of a connection: HELLO and WELCOME of a new session, RESUME and RESUMED of one that goes on.

use super::decode::{Flaw, text};
use super::{Fault, Raw, Record, TOKEN_BYTES, VERSION};
use crate::proto::v1::code::FatalCode;
use crate::proto::v1::settings::{self, Settings, Where};
use crate::proto::v1::varint::Reader;

/// A client begins a session. Invariant: `ver_min <= ver_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Hello<'a> {
    pub ver_min: u8,
    pub ver_max: u8,
    /// Bit set.
    pub features: u64,
    /// What `pairs` say; of a client that does not speak version 1 the constants.
    pub settings: Settings,
    /// Settings as on the wire.
    pub pairs: &'a [u8],
}

/// A server takes part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Welcome<'a> {
    pub ver: u8,
    /// Bit set.
    pub features: u64,
    /// 0 if and only if there is no token.
    pub resume_ttl_s: u64,
    /// Empty or of 32 bytes.
    pub token: &'a [u8],
    /// At most 255 of `A–Z a–z 0–9 - . _ ~`.
    pub hint: &'a str,
    /// What `pairs` say.
    pub settings: Settings,
    /// Settings as on the wire.
    pub pairs: &'a [u8],
}

/// A client goes on with a session. Invariant: `1 <= tx_oldest <= tx_next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Resume<'a> {
    pub ver: u8,
    /// Of 32 bytes.
    pub token: &'a [u8],
    pub rx: u64,
    pub tx_oldest: u64,
    pub tx_next: u64,
}

/// A server does as well. Invariant: `1 <= tx_oldest <= tx_next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Resumed<'a> {
    pub epoch: u64,
    pub rx: u64,
    pub tx_oldest: u64,
    pub tx_next: u64,
    /// Settings as on the wire: [`Resumed::settings`].
    pub pairs: &'a [u8],
}

impl Resumed<'_> {
    /// The server's settings from now on, which were `base`.
    ///
    /// # Errors
    ///
    /// [`Fault`] for pairs that [`Raw::decode`] would have refused.
    pub(in super::super) fn settings(&self, raw: &Raw<'_>, base: Settings) -> Result<Settings, Fault> {
        settings::read(self.pairs, base, Where::Resumed).map_err(|why| Fault {
            code: FatalCode::ProtocolViolation,
            record_type: raw.kind,
            why,
        })
    }
}

impl<'a> Record<'a> {
    /// A HELLO of one version. `pairs` as [`Settings::put`] has written them.
    pub(in super::super) fn hello(ver: u8, features: u64, pairs: &'a [u8]) -> Self {
        let settings = settings::read(pairs, Settings::default(), Where::Hello).unwrap_or_default();
        Self::Hello(Hello { ver_min: ver, ver_max: ver, features, settings, pairs })
    }

    /// A WELCOME. `pairs` as [`Settings::put`] has written them; `token` empty and `resume_ttl_s` 0, or neither.
    pub(in super::super) fn welcome(
        ver: u8,
        features: u64,
        resume_ttl_s: u64,
        token: &'a [u8],
        hint: &'a str,
        pairs: &'a [u8],
    ) -> Self {
        let settings = settings::read(pairs, Settings::default(), Where::Welcome).unwrap_or_default();
        Self::Welcome(Welcome { ver, features, resume_ttl_s, token, hint, settings, pairs })
    }

    /// A RESUME.
    pub(in super::super) const fn resume(
        ver: u8,
        token: &'a [u8],
        rx: u64,
        tx_oldest: u64,
        tx_next: u64,
    ) -> Self {
        Self::Resume(Resume { ver, token, rx, tx_oldest, tx_next })
    }

    /// A RESUMED. `pairs` of settings 5, 6 and 7.
    pub(in super::super) const fn resumed(
        epoch: u64,
        rx: u64,
        tx_oldest: u64,
        tx_next: u64,
        pairs: &'a [u8],
    ) -> Self {
        Self::Resumed(Resumed { epoch, rx, tx_oldest, tx_next, pairs })
    }
}

pub(super) fn hello<'a>(body: &mut Reader<'a>) -> Result<Hello<'a>, &'static str> {
    let (ver_min, ver_max) = (body.u8()?, body.u8()?);
    if ver_min > ver_max {
        return Err("version range");
    }
    let features = body.varint()?;
    let pairs = body.rest()?;
    let mut settings = Settings::default();
    if (ver_min..=ver_max).contains(&VERSION) {
        settings = settings::read(pairs, settings, Where::Hello)?;
    } else {
        // It is answered by VERSION, whatever its settings mean in that version.
        settings::check_form(pairs)?;
    }
    Ok(Hello { ver_min, ver_max, features, settings, pairs })
}

pub(super) fn welcome<'a>(body: &mut Reader<'a>) -> Result<Welcome<'a>, Flaw> {
    let ver = body.u8()?;
    if ver != VERSION {
        // So that what follows is not known either.
        return Err(Flaw(FatalCode::Version, "version never offered"));
    }
    let (features, resume_ttl_s) = (body.varint()?, body.varint()?);
    let token = token(body)?;
    if token.is_empty() != (resume_ttl_s == 0) {
        return Err("token without ttl or ttl without token".into());
    }
    let hint_len = body.u8()?;
    let hint = text(body.take(hint_len.into())?, "hint")?;
    if !hint.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
        return Err("hint".into());
    }
    let pairs = body.rest()?;
    let settings = settings::read(pairs, Settings::default(), Where::Welcome)?;
    Ok(Welcome { ver, features, resume_ttl_s, token, hint, settings, pairs })
}

pub(super) fn resume<'a>(body: &mut Reader<'a>) -> Result<Resume<'a>, Flaw> {
    let ver = body.u8()?;
    if ver != VERSION {
        return Err(Flaw(FatalCode::Version, "no common version"));
    }
    let token = token(body)?;
    if token.is_empty() {
        return Err("token length".into());
    }
    let (rx, tx_oldest, tx_next) = positions(body)?;
    Ok(Resume { ver, token, rx, tx_oldest, tx_next })
}

pub(super) fn resumed<'a>(body: &mut Reader<'a>) -> Result<Resumed<'a>, &'static str> {
    let epoch = body.varint()?;
    let (rx, tx_oldest, tx_next) = positions(body)?;
    let pairs = body.rest()?;
    // What held before makes no difference to those that it may carry.
    settings::read(pairs, Settings::default(), Where::Resumed)?;
    Ok(Resumed { epoch, rx, tx_oldest, tx_next, pairs })
}

/// Of 32 bytes, or none.
fn token<'a>(body: &mut Reader<'a>) -> Result<&'a [u8], &'static str> {
    let len = body.u8()?;
    if len != 0 && usize::from(len) != TOKEN_BYTES {
        return Err("token length");
    }
    body.take(len.into())
}

/// `rx`, `tx_oldest`, `tx_next`.
fn positions(body: &mut Reader<'_>) -> Result<(u64, u64, u64), &'static str> {
    let (rx, oldest, next) = (body.varint()?, body.varint()?, body.varint()?);
    if oldest == 0 || oldest > next {
        return Err("tx order");
    }
    Ok((rx, oldest, next))
}
