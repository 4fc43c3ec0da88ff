//! From what `JSON.parse` has made to Rust's values, as strict as `serde_json` is.

use js_sys::{Array, JSON, JsString, Object};
use serde::de::{self, Deserializer, Error as _, Unexpected, Visitor};
use wasm_bindgen::prelude::*;

use super::access::{Entries, Items, Tagged};
use super::error::Error;
use super::scan::{MARK, Numbers};
use super::{MAX_SAFE_INTEGER, Record};

/// Reads a JavaScript value that came out of JSON: it has no `undefined`, no prototype of its own, and no cycle.
pub(super) struct Decoder {
    value: JsValue,
    numbers: Numbers,
}

/// What a number is.
enum Number {
    Unsigned(u64),
    Signed(i64),
    /// With a fraction, an exponent, or `-0`.
    Float(f64),
    /// An integer beyond 64 bits, by its digits.
    Long(String),
}

impl Decoder {
    pub(super) fn new(value: JsValue, numbers: Numbers) -> Self {
        Self { value, numbers }
    }

    fn array(&self) -> Option<&Array> {
        Array::is_array(&self.value).then(|| self.value.unchecked_ref())
    }

    fn record(&self) -> Option<&Record> {
        (self.value.is_object() && !Array::is_array(&self.value)).then(|| self.value.unchecked_ref())
    }

    /// The string of an integer that was marked.
    fn marked(&self) -> Option<&JsString> {
        if self.numbers == Numbers::Plain {
            return None;
        }
        let text = self.value.dyn_ref::<JsString>()?;
        // There is no such code in an empty string, but a NaN.
        (text.char_code_at(0).to_bits() == f64::from(MARK).to_bits()).then_some(text)
    }

    fn is_text(&self) -> bool {
        self.value.is_string() && self.marked().is_none()
    }

    fn text(&self) -> Option<String> {
        self.is_text().then(|| self.value.as_string()).flatten()
    }

    /// The number that it is, if it is one.
    fn number(&self) -> Result<Option<Number>, Error> {
        let Some(value) = self.value.as_f64() else {
            return Ok(self.marked().map(|text| {
                let digits = String::from(text.slice(1, text.length()));
                match (digits.parse(), digits.parse()) {
                    (Ok(value), _) => Number::Unsigned(value),
                    (_, Ok(value)) => Number::Signed(value),
                    _ => Number::Long(digits),
                }
            }));
        };
        if !value.is_finite() {
            return Err(out_of_range());
        }
        let is_negative_zero = value == 0.0 && value.is_sign_negative();
        #[allow(clippy::cast_precision_loss, reason = "exact")]
        let is_safe = value.abs() <= MAX_SAFE_INTEGER as f64;
        if value.fract() != 0.0 || is_negative_zero || !is_safe {
            return Ok(Some(Number::Float(value)));
        }
        #[allow(clippy::cast_possible_truncation, reason = "an integer of 54 bits")]
        let value = value as i64;
        Ok(Some(u64::try_from(value).map_or(Number::Signed(value), Number::Unsigned)))
    }

    /// A number where the type wants an integer.
    fn integer<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Error> {
        match self.number()? {
            Some(Number::Unsigned(value)) => visitor.visit_u64(value),
            Some(Number::Signed(value)) => visitor.visit_i64(value),
            Some(Number::Float(_) | Number::Long(_)) | None => Err(self.unsuited(&visitor)),
        }
    }

    fn unsuited(&self, expected: &dyn de::Expected) -> Error {
        let found = if self.value.is_null() {
            Unexpected::Unit
        } else if let Some(value) = self.value.as_bool() {
            Unexpected::Bool(value)
        } else if self.is_text() {
            Unexpected::Str("")
        } else if self.array().is_some() {
            Unexpected::Seq
        } else if self.record().is_some() {
            Unexpected::Map
        } else {
            Unexpected::Float(0.0)
        };
        Error::invalid_type(found, expected)
    }

    fn items<'de, V: Visitor<'de>>(&self, array: &Array, visitor: V) -> Result<V::Value, Error> {
        let mut items = Items::new(array, self.numbers);
        let value = visitor.visit_seq(&mut items)?;
        if items.is_empty() { Ok(value) } else { Err(Error::of("an array with more items than are wanted")) }
    }

    fn entries<'de, V: Visitor<'de>>(&self, record: &Record, visitor: V) -> Result<V::Value, Error> {
        let mut entries = Entries::new(record, self.numbers);
        let value = visitor.visit_map(&mut entries)?;
        if entries.is_empty() {
            Ok(value)
        } else {
            Err(Error::of("an object with more keys than are wanted"))
        }
    }
}

/// The float nearest to an integer of many digits.
fn float_of(digits: &str) -> Result<f64, Error> {
    let value = JSON::parse(digits).ok().and_then(|value| value.as_f64());
    value.filter(|value| value.is_finite()).ok_or_else(out_of_range)
}

fn out_of_range() -> Error {
    Error::of("a number beyond the range of floats")
}

macro_rules! integers {
    ($($name:ident)*) => {
        $(
            fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
                self.integer(visitor)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Decoder {
    type Error = Error;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.number()? {
            Some(Number::Long(digits)) => match digits.parse() {
                Ok(value) => visitor.visit_i128(value),
                Err(_) => Err(self.unsuited(&visitor)),
            },
            _ => self.integer(visitor),
        }
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.number()? {
            Some(Number::Long(digits)) => match digits.parse() {
                Ok(value) => visitor.visit_u128(value),
                Err(_) => Err(self.unsuited(&visitor)),
            },
            _ => self.integer(visitor),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() {
            return visitor.visit_unit();
        }
        if let Some(value) = self.value.as_bool() {
            return visitor.visit_bool(value);
        }
        match self.number()? {
            None => {}
            Some(Number::Unsigned(value)) => return visitor.visit_u64(value),
            Some(Number::Signed(value)) => return visitor.visit_i64(value),
            Some(Number::Float(value)) => return visitor.visit_f64(value),
            // As `serde_json` has it.
            Some(Number::Long(digits)) => return visitor.visit_f64(float_of(&digits)?),
        }
        if let Some(text) = self.value.as_string() {
            visitor.visit_string(text)
        } else if let Some(array) = self.array() {
            self.items(array, visitor)
        } else {
            self.entries(self.value.unchecked_ref(), visitor)
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value.as_bool() {
            Some(value) => visitor.visit_bool(value),
            None => Err(self.unsuited(&visitor)),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.number()? {
            Some(Number::Unsigned(value)) => visitor.visit_u64(value),
            Some(Number::Signed(value)) => visitor.visit_i64(value),
            Some(Number::Float(value)) => visitor.visit_f64(value),
            Some(Number::Long(digits)) => visitor.visit_f64(float_of(&digits)?),
            None => Err(self.unsuited(&visitor)),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.text() {
            Some(text) => visitor.visit_string(text),
            None => Err(self.unsuited(&visitor)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_byte_buf(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match (self.text(), self.array()) {
            (Some(text), _) => visitor.visit_byte_buf(text.into_bytes()),
            (None, Some(array)) => self.items(array, visitor),
            (None, None) => Err(self.unsuited(&visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.value.is_null() { visitor.visit_unit() } else { Err(self.unsuited(&visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.array() {
            Some(array) => self.items(array, visitor),
            None => Err(self.unsuited(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.record() {
            Some(record) => self.entries(record, visitor),
            None => Err(self.unsuited(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.array() {
            Some(array) => self.items(array, visitor),
            None => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.is_text() {
            return visitor.visit_enum(Tagged::new(self.value, None));
        }
        let Some(record) = self.record() else { return Err(self.unsuited(&visitor)) };
        let keys = Object::keys(record);
        if keys.length() != 1 {
            return Err(Error::of("an object that has not one key, the name of a variant"));
        }
        let tag = keys.get(0);
        let content = Self::new(record.get(&tag), self.numbers);
        visitor.visit_enum(Tagged::new(tag, Some(content)))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}
