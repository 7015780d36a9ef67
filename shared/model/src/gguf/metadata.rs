//! Metadata: values with their types, and getters that say what they found instead.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use super::GgufError;

/// One metadata value, with the type it has in the file.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each variant is named after what it holds")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    /// Items of one type; they may be arrays again.
    Array(Vec<Value>),
}

impl Value {
    /// Any integer that is not negative: writers differ in the width they choose.
    fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(v) => Some(v.into()),
            Self::U16(v) => Some(v.into()),
            Self::U32(v) => Some(v.into()),
            Self::U64(v) => Some(v),
            Self::I8(v) => v.try_into().ok(),
            Self::I16(v) => v.try_into().ok(),
            Self::I32(v) => v.try_into().ok(),
            Self::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }

    fn as_f32(&self) -> Option<f32> {
        match *self {
            Self::F32(v) => Some(v),
            _ => None,
        }
    }

    fn as_bool(&self) -> Option<bool> {
        match *self {
            Self::Bool(v) => Some(v),
            _ => None,
        }
    }

    fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(v) => Some(v),
            _ => None,
        }
    }

    fn as_items<'a, T>(&'a self, item: impl Fn(&'a Value) -> Option<T>) -> Option<Vec<T>> {
        match self {
            Self::Array(items) => items.iter().map(item).collect(),
            _ => None,
        }
    }

    /// Type and value for an error; of strings and arrays, which can be long, the length.
    fn describe(&self) -> String {
        let (name, value): (_, &dyn fmt::Display) = match self {
            Self::U8(v) => ("u8", v),
            Self::I8(v) => ("i8", v),
            Self::U16(v) => ("u16", v),
            Self::I16(v) => ("i16", v),
            Self::U32(v) => ("u32", v),
            Self::I32(v) => ("i32", v),
            Self::U64(v) => ("u64", v),
            Self::I64(v) => ("i64", v),
            Self::F32(v) => ("f32", v),
            Self::F64(v) => ("f64", v),
            Self::Bool(v) => ("bool", v),
            Self::String(v) => return format!("string of {} bytes", v.len()),
            Self::Array(items) => {
                let first = items.first().map(Value::describe);
                let first = first.map_or_else(String::new, |first| format!(", the first: {first}"));
                return format!("array of {} items{first}", items.len());
            }
        };
        format!("{name} {value}")
    }
}

/// A file's metadata: keys like `llama.block_count` and their values.
///
/// The getters fail with [`GgufError::KeyMissing`] when the key is not there and with
/// [`GgufError::KeyType`], which names what was found, when the value has another type.
/// [`Metadata::optional`] turns the first of these into `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, Value>);

impl Metadata {
    /// The value of `key` in whatever type it has.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// All keys and values, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// An integer of any width that is not negative.
    ///
    /// # Errors
    /// [`GgufError::KeyMissing`], [`GgufError::KeyType`].
    pub fn u64(&self, key: &str) -> Result<u64, GgufError> {
        self.typed(key, "an integer of at least 0", Value::as_u64)
    }

    /// An f32.
    ///
    /// # Errors
    /// [`GgufError::KeyMissing`], [`GgufError::KeyType`].
    pub fn f32(&self, key: &str) -> Result<f32, GgufError> {
        self.typed(key, "an f32", Value::as_f32)
    }

    /// A bool.
    ///
    /// # Errors
    /// [`GgufError::KeyMissing`], [`GgufError::KeyType`].
    pub fn bool(&self, key: &str) -> Result<bool, GgufError> {
        self.typed(key, "a bool", Value::as_bool)
    }

    /// A string.
    ///
    /// # Errors
    /// [`GgufError::KeyMissing`], [`GgufError::KeyType`].
    pub fn str<'a>(&'a self, key: &str) -> Result<&'a str, GgufError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// An array of integers that are not negative.
    ///
    /// # Errors
    /// [`GgufError::KeyMissing`], [`GgufError::KeyType`].
    pub fn u64s(&self, key: &str) -> Result<Vec<u64>, GgufError> {
        let expected = "an array of integers of at least 0";
        self.typed(key, expected, |v| v.as_items(Value::as_u64))
    }

    /// An array of f32.
    ///
    /// # Errors
    /// [`GgufError::KeyMissing`], [`GgufError::KeyType`].
    pub fn f32s(&self, key: &str) -> Result<Vec<f32>, GgufError> {
        self.typed(key, "an array of f32", |v| v.as_items(Value::as_f32))
    }

    /// An array of bools.
    ///
    /// # Errors
    /// [`GgufError::KeyMissing`], [`GgufError::KeyType`].
    pub fn bools(&self, key: &str) -> Result<Vec<bool>, GgufError> {
        self.typed(key, "an array of bools", |v| v.as_items(Value::as_bool))
    }

    /// An array of strings.
    ///
    /// # Errors
    /// [`GgufError::KeyMissing`], [`GgufError::KeyType`].
    pub fn strings<'a>(&'a self, key: &str) -> Result<Vec<&'a str>, GgufError> {
        self.typed(key, "an array of strings", |v| v.as_items(Value::as_str))
    }

    /// What `getter` gives, or `None` without the key:
    /// `metadata.optional("llama.attention.head_count_kv", Metadata::u64)?.unwrap_or(heads)`.
    ///
    /// # Errors
    /// [`GgufError::KeyType`].
    pub fn optional<'a, T>(
        &'a self,
        key: &str,
        getter: impl FnOnce(&'a Self, &str) -> Result<T, GgufError>,
    ) -> Result<Option<T>, GgufError> {
        self.get(key).map(|_| getter(self, key)).transpose()
    }

    pub(super) fn insert(&mut self, key: String, value: Value) -> Result<(), GgufError> {
        match self.0.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(value);
                Ok(())
            }
            Entry::Occupied(entry) => Err(GgufError::DuplicateKey {
                key: entry.key().clone(),
            }),
        }
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T, GgufError> {
        let value = self.get(key).ok_or_else(|| GgufError::KeyMissing {
            key: key.to_owned(),
        })?;
        convert(value).ok_or_else(|| GgufError::KeyType {
            key: key.to_owned(),
            expected,
            found: value.describe(),
        })
    }
}
