//! From Rust's values to the text that `serde_json` would write, but for some floats in other digits.
//!
//! The text is put together here. Objects for `JSON.stringify` would be 1.7 kB less of brotli, but took six times as
//! long for a small message, each of their members being a call out of the wasm, and could not hold all that JSON
//! can: integers beyond 2^53, a key twice, the order of keys.

use core::fmt::{Display, Write as _};

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::error::Error;
use super::key::KeyEncoder;
use super::{MAX_SAFE_INTEGER, digits_of};

/// Writes values, one behind the other.
#[derive(Default)]
pub(super) struct Encoder {
    text: String,
}

impl Encoder {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn displayed(&mut self, value: impl Display) {
        // Writing to a `String` does not fail.
        let _ = write!(self.text, "{value}");
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        let mut written = 0;
        for (at, byte) in text.bytes().enumerate() {
            let escape = match byte {
                b'"' => "\\\"",
                b'\\' => "\\\\",
                b'\n' => "\\n",
                b'\r' => "\\r",
                b'\t' => "\\t",
                0x08 => "\\b",
                0x0c => "\\f",
                0..=0x1f => "",
                _ => continue,
            };
            self.text.push_str(text.get(written..at).unwrap_or_default());
            self.text.push_str(escape);
            if escape.is_empty() {
                let _ = write!(self.text, "\\u{byte:04x}");
            }
            written = at + 1;
        }
        self.text.push_str(text.get(written..).unwrap_or_default());
        self.text.push('"');
    }

    /// A finite float. It has a point or an exponent always, so that it cannot be taken for an integer.
    pub(super) fn float(&mut self, value: f64) {
        #[allow(clippy::cast_precision_loss, reason = "exact")]
        if value.fract() == 0.0 && value.abs() <= MAX_SAFE_INTEGER as f64 {
            if value.is_sign_negative() {
                self.text.push('-');
            }
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an integer in their range"
            )]
            self.displayed(value.abs() as u64);
            self.text.push_str(".0");
            return;
        }
        // By the platform: Rust's own way to the shortest digits is 9 kB of brotli.
        let digits = digits_of(value);
        self.text.push_str(&digits);
        if !digits.contains(['.', 'e']) {
            self.text.push_str(".0");
        }
    }

    fn parts(&mut self, start: char, end: &'static str) -> Parts<'_> {
        self.text.push(start);
        Parts { encoder: self, count: 0, key: String::new(), end }
    }

    /// The parts of a variant, in an object under its name.
    fn variant_parts(&mut self, variant: &str, start: char, end: &'static str) -> Parts<'_> {
        self.text.push('{');
        self.string(variant);
        self.text.push(':');
        self.parts(start, end)
    }
}

macro_rules! displayed {
    ($($name:ident: $type:ty,)*) => {
        $(
            fn $name(self, value: $type) -> Result<(), Error> {
                self.displayed(value);
                Ok(())
            }
        )*
    };
}

impl<'a> Serializer for &'a mut Encoder {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    displayed! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        // As `JSON.stringify` and `serde_json` have it.
        if !value.is_finite() {
            return self.serialize_unit();
        }
        self.float(value);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.string(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.text.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let mut parts = self.parts('{', "}");
        parts.field(variant, value)?;
        parts.finish();
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Error> {
        Ok(self.parts('[', "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts('[', "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts('[', "]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Error> {
        Ok(self.variant_parts(variant, '[', "]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Error> {
        Ok(self.parts('{', "}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts('{', "}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'a>, Error> {
        Ok(self.variant_parts(variant, '{', "}}"))
    }
}

/// An array or an object that is being written.
pub(super) struct Parts<'a> {
    encoder: &'a mut Encoder,
    /// How many parts were begun.
    count: u32,
    /// The key of the value that comes next, in a map.
    key: String,
    /// What closes it.
    end: &'static str,
}

impl Parts<'_> {
    fn next(&mut self) {
        if self.count > 0 {
            self.encoder.text.push(',');
        }
        self.count += 1;
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let index = self.count;
        self.next();
        value.serialize(&mut *self.encoder).map_err(|error| error.at(index))
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Error> {
        self.next();
        self.encoder.string(key);
        self.encoder.text.push(':');
        value.serialize(&mut *self.encoder).map_err(|error| error.below(key))
    }

    fn finish(self) {
        self.encoder.text.push_str(self.end);
    }
}

macro_rules! items {
    ($($name:ident $method:ident,)*) => {
        $(
            impl $name for Parts<'_> {
                type Ok = ();
                type Error = Error;

                fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                    self.item(value)
                }

                fn end(self) -> Result<(), Error> {
                    self.finish();
                    Ok(())
                }
            }
        )*
    };
}

macro_rules! fields {
    ($($name:ident,)*) => {
        $(
            impl $name for Parts<'_> {
                type Ok = ();
                type Error = Error;

                fn serialize_field<T: Serialize + ?Sized>(
                    &mut self,
                    key: &'static str,
                    value: &T,
                ) -> Result<(), Error> {
                    self.field(key, value)
                }

                fn end(self) -> Result<(), Error> {
                    self.finish();
                    Ok(())
                }
            }
        )*
    };
}

items! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

fields! {
    SerializeStruct,
    SerializeStructVariant,
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = key.serialize(KeyEncoder)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = core::mem::take(&mut self.key);
        self.field(&key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}
