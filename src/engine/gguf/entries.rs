//! Metadata that the header only measures, vocabularies and templates, read where they stand.

use std::collections::BTreeMap;
use std::ops::Range;

use super::header::Header;
use super::reader::{Reader, Refusal, Value};

/// Type ids of texts and of arrays.
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// The values of a validated file by key.
#[derive(Clone, Copy)]
pub(super) struct Entries<'a> {
    file: &'a [u8],
    places: &'a BTreeMap<String, Range<usize>>,
}

impl<'a> Entries<'a> {
    /// The values of a file with this header.
    pub(super) const fn new(file: &'a [u8], header: &'a Header) -> Self {
        Self {
            file,
            places: &header.values,
        }
    }

    /// Keys with this beginning and the bytes of their values, in the order of the keys.
    pub(super) fn under(
        self,
        prefix: &'static str,
    ) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.places
            .iter()
            .filter(move |(key, _)| key.starts_with(prefix))
            .map(move |(key, range)| (key.as_str(), &self.file[range.clone()]))
    }

    /// A text.
    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Refusal> {
        match self.open(key)? {
            None => Ok(None),
            Some((TEXT, mut reader)) => read_text(key, &mut reader).map(Some),
            Some(_) => Err(refuse(key, "not a text")),
        }
    }

    /// Yes or no.
    pub(super) fn truth(&self, key: &str) -> Result<Option<bool>, Refusal> {
        match self.number(key, "not yes or no")? {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(_) => Err(refuse(key, "not yes or no")),
        }
    }

    /// A whole number, which may be one that stands for none.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i128>, Refusal> {
        match self.number(key, "not an integer")? {
            None => Ok(None),
            Some(Value::Integer(value)) => Ok(Some(value)),
            Some(_) => Err(refuse(key, "not an integer")),
        }
    }

    /// Texts.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<&'a str>>, Refusal> {
        let Some((kind, count, mut reader)) = self.array(key)? else {
            return Ok(None);
        };
        if kind != TEXT {
            return Err(refuse(key, "not texts"));
        }
        let texts = (0..count).map(|_| read_text(key, &mut reader));
        texts.collect::<Result<Vec<&str>, Refusal>>().map(Some)
    }

    /// Numbers.
    pub(super) fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>, Refusal> {
        let Some((kind, count, mut reader)) = self.array(key)? else {
            return Ok(None);
        };
        let numbers = (0..count).map(|_| {
            let value = reader.number(kind).ok().and_then(|value| value.number());
            value.ok_or_else(|| refuse(key, "not numbers"))
        });
        numbers.collect::<Result<Vec<f64>, Refusal>>().map(Some)
    }

    fn number(&self, key: &str, otherwise: &str) -> Result<Option<Value>, Refusal> {
        let Some((kind, mut reader)) = self.open(key)? else {
            return Ok(None);
        };
        reader
            .number(kind)
            .map(Some)
            .map_err(|_| refuse(key, otherwise))
    }

    /// The type id of the elements of an array, their number, and the reader before the first.
    fn array(&self, key: &str) -> Result<Option<(u32, u64, Reader<'a>)>, Refusal> {
        match self.open(key)? {
            None => Ok(None),
            Some((ARRAY, mut reader)) => Ok(Some((reader.u32()?, reader.u64()?, reader))),
            Some(_) => Err(refuse(key, "not an array")),
        }
    }

    /// The type id of a value and the reader behind it.
    fn open(&self, key: &str) -> Result<Option<(u32, Reader<'a>)>, Refusal> {
        let Some(place) = self.places.get(key) else {
            return Ok(None);
        };
        let mut reader = Reader::new(&self.file[place.clone()]);
        Ok(Some((reader.u32()?, reader)))
    }
}

/// A refusal of the value of a key.
pub(super) fn refuse(key: &str, reason: impl Into<String>) -> Refusal {
    Refusal::new(format!("key {key}"), reason)
}

fn read_text<'a>(key: &str, reader: &mut Reader<'a>) -> Result<&'a str, Refusal> {
    let bytes = reader.text(u64::MAX, "text")?;
    std::str::from_utf8(bytes).map_err(|_| refuse(key, "a text is not UTF-8"))
}
