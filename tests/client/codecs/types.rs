//! The types of the table.

use std::collections::BTreeMap;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Unit;

#[derive(Debug, PartialEq, PartialOrd, Eq, Ord, Serialize, Deserialize)]
pub(super) struct New<T>(pub(super) T);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pair(pub(super) u8, pub(super) String);

#[derive(Debug, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Strict {
    pub(super) a: u8,
}

/// Names that every object has from its prototype, and the one that changes it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Inherited {
    pub(super) constructor: Option<u8>,
    #[serde(rename = "toString", default)]
    pub(super) to_string: u8,
    #[serde(rename = "__proto__")]
    pub(super) proto: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Flat {
    pub(super) id: u64,
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, u8>,
}

/// The four shapes that content can have, and serde's four ways to write which it is.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum External {
    Unit,
    New(u8),
    Tuple(u8, String),
    Struct { a: u8, b: Option<bool> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub(super) enum Internal {
    Unit,
    New(Strict),
    Struct { a: f64 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
pub(super) enum Adjacent {
    Unit,
    New(u64),
    Tuple(u8, u8),
    Struct { a: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Untagged {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    Pair(u8, String),
    Struct { a: u8 },
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Colour {
    Red,
    Green,
}

/// Whatever there may be.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Any {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Any>),
    Map(BTreeMap<String, Any>),
    Null,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Nest(pub(super) Vec<Nest>);

/// A map as it is written, with its order, keys that are no `Ord`, and keys that stand twice.
#[derive(Debug, PartialEq)]
pub(super) struct Pairs<K, V>(pub(super) Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Pairs<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Pairs<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<K, V>(core::marker::PhantomData<(K, V)>);

        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Reader<K, V> {
            type Value = Pairs<K, V>;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Reader(core::marker::PhantomData))
    }
}

/// A type that refuses to be written.
pub(super) struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}
