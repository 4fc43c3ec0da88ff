//! What is in arrays, objects and variants, as serde takes it.

use js_sys::{Array, Object};
use serde::de::{
    self, DeserializeSeed, Deserializer as _, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use wasm_bindgen::prelude::*;

use super::Record;
use super::decode::Decoder;
use super::error::Error;
use super::key::KeyDecoder;
use super::scan::Numbers;

/// The items of an array, in order.
pub(super) struct Items<'a> {
    array: &'a Array,
    next: u32,
    length: u32,
    numbers: Numbers,
}

impl<'a> Items<'a> {
    pub(super) fn new(array: &'a Array, numbers: Numbers) -> Self {
        Self { array, next: 0, length: array.length(), numbers }
    }

    /// Whether all were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.length
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let index = self.next;
        self.next += 1;
        let item = Decoder::new(self.array.get(index), self.numbers);
        seed.deserialize(item).map(Some).map_err(|error| error.at(index))
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.length - self.next).ok()
    }
}

/// The keys and values of an object, in its order.
pub(super) struct Entries<'a> {
    record: &'a Record,
    keys: Array,
    /// The key whose value comes next.
    key: JsValue,
    /// The index of the next key.
    next: u32,
    length: u32,
    numbers: Numbers,
}

impl<'a> Entries<'a> {
    pub(super) fn new(record: &'a Record, numbers: Numbers) -> Self {
        let keys = Object::keys(record);
        let length = keys.length();
        Self { record, keys, key: JsValue::NULL, next: 0, length, numbers }
    }

    /// Whether all were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.next == self.length
    }
}

impl<'de> MapAccess<'de> for &mut Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        self.key = self.keys.get(self.next);
        self.next += 1;
        seed.deserialize(KeyDecoder(text_of(&self.key))).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = Decoder::new(self.record.get(&self.key), self.numbers);
        seed.deserialize(value).map_err(|error| error.below(&text_of(&self.key)))
    }
}

/// The text of a key, which is always text.
fn text_of(key: &JsValue) -> String {
    key.as_string().unwrap_or_default()
}

/// A variant: its name, and what belongs to it unless the name was all.
pub(super) struct Tagged {
    tag: JsValue,
    content: Option<Decoder>,
}

impl<'de> EnumAccess<'de> for Tagged {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let tag = Decoder::new(self.tag.clone(), Numbers::Plain);
        Ok((seed.deserialize(tag)?, self))
    }
}

impl Tagged {
    pub(super) fn new(tag: JsValue, content: Option<Decoder>) -> Self {
        Self { tag, content }
    }

    /// Reads the content by `read`, if there is one.
    fn content<T>(self, expected: &str, read: impl FnOnce(Decoder) -> Result<T, Error>) -> Result<T, Error> {
        match self.content {
            Some(content) => read(content).map_err(|error| error.below(&text_of(&self.tag))),
            None => Err(Error::invalid_type(Unexpected::UnitVariant, &expected)),
        }
    }
}

impl<'de> VariantAccess<'de> for Tagged {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.content.is_none() {
            return Ok(());
        }
        self.content("a unit variant", de::Deserialize::deserialize)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.content("a newtype variant", |content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.content("a tuple variant", |content| content.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.content("a struct variant", |content| content.deserialize_struct("", fields, visitor))
    }
}
