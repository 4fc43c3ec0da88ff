//! What goes with the opening of a channel besides its name.
//!
//! | key | value |
//! |---|---|
//! | 1 | deadline in milliseconds, from the handing over of OPEN |
//! | 2 | idempotency key: bytes |
//! | 3 | content type: UTF-8 |
//! | 4–63 | reserved |
//! | from 64 | the application's |

use alloc::vec::Vec;
use core::str::from_utf8;

use crate::proto::v1::settings::Seen;
use crate::proto::v1::varint::{self, Reader};

const DEADLINE_MS: u64 = 1;
const IDEMPOTENCY_KEY: u64 = 2;
const CONTENT_TYPE: u64 = 3;

/// Keys with their values, as an OPEN carries them; each key is there at most once, and there are at most 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta<'a>(&'a [u8]);

impl<'a> Meta<'a> {
    /// What `bytes` hold, unchecked: of what is not as it should be, nothing is found.
    pub(in super::super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// As on the wire.
    pub(in super::super) const fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Keys and values, in the order of the sender.
    pub const fn iter(&self) -> MetaPairs<'a> {
        MetaPairs(Reader::new(self.0))
    }

    /// The value of `key`.
    pub fn get(&self, key: u64) -> Option<&'a [u8]> {
        self.iter().find(|pair| pair.0 == key).map(|pair| pair.1)
    }

    /// How long the sender waits for an answer, in milliseconds from the moment at which it handed the OPEN over.
    pub fn deadline_ms(&self) -> Option<u64> {
        Reader::new(self.get(DEADLINE_MS)?).varint().ok()
    }

    /// By which the receiver knows a call that it has had before.
    pub fn idempotency_key(&self) -> Option<&'a [u8]> {
        self.get(IDEMPOTENCY_KEY)
    }

    /// What the items are.
    pub fn content_type(&self) -> Option<&'a str> {
        from_utf8(self.get(CONTENT_TYPE)?).ok()
    }

    /// All of it, as a receiver has to.
    ///
    /// # Errors
    ///
    /// The reason: "truncated" and the like, "meta key twice", "too many pairs"; a deadline that is not one number, or a
    /// content type that is not UTF-8.
    pub(in crate::proto::v1) fn check(self) -> Result<(), &'static str> {
        let mut pairs = self.iter();
        let mut seen = Seen::default();
        while let Some(pair) = pairs.read() {
            let (key, value) = pair?;
            seen.add(key, "meta key twice")?;
            match key {
                DEADLINE_MS => {
                    let mut value = Reader::new(value);
                    value.varint()?;
                    if !value.is_empty() {
                        return Err("trailing bytes");
                    }
                }
                CONTENT_TYPE => {
                    from_utf8(value).map_err(|_| "content type not UTF-8")?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Appends a key with its value.
    pub(in super::super) fn put(out: &mut Vec<u8>, key: u64, value: &[u8]) {
        varint::put(out, key);
        varint::put(out, value.len() as u64);
        out.extend_from_slice(value);
    }

    /// Appends the deadline, at most 2^53 - 1 ms.
    pub(in super::super) fn put_deadline_ms(out: &mut Vec<u8>, deadline_ms: u64) {
        varint::put(out, DEADLINE_MS);
        varint::put(out, varint::len(deadline_ms) as u64);
        varint::put(out, deadline_ms);
    }
}

impl<'a> IntoIterator for &Meta<'a> {
    type Item = (u64, &'a [u8]);
    type IntoIter = MetaPairs<'a>;

    fn into_iter(self) -> MetaPairs<'a> {
        self.iter()
    }
}

/// Keys and values of a [`Meta`], in the order of the sender.
#[derive(Clone, Debug)]
pub struct MetaPairs<'a>(Reader<'a>);

impl<'a> MetaPairs<'a> {
    fn read(&mut self) -> Option<Result<(u64, &'a [u8]), &'static str>> {
        (!self.0.is_empty()).then(|| {
            let key = self.0.varint()?;
            let len = self.0.varint()?;
            Ok((key, self.0.take(len)?))
        })
    }
}

impl<'a> Iterator for MetaPairs<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.read()?.ok()
    }
}
