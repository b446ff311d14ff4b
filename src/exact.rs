//! Numbers that are read back bit for bit, whatever reads them.
//!
//! A threshold or a score decides which answers are delivered. Some readers of JSON, `serde_json` without its
//! feature `float_roundtrip` among them, round one number in ten to a neighbour. So in formats for people a
//! number that decides is stored as the text that it is parsed from. A plain number is read too.
//!
//! Use it as `#[serde(with = "crate::exact")]`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number, or numbers, stored as [`Number`]s.
pub(crate) trait Exact: Sized {
    type Stored: Serialize + for<'de> Deserialize<'de>;
    fn stored(&self) -> Self::Stored;
    /// `None` if it is not one that can have been stored.
    fn read(stored: Self::Stored) -> Option<Self>;
}

pub(crate) fn serialize<T: Exact, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    value.stored().serialize(to)
}

pub(crate) fn deserialize<'de, T: Exact, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let stored = T::Stored::deserialize(from)?;
    T::read(stored).ok_or_else(|| D::Error::custom("another count of numbers was stored"))
}

/// A stored number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            // The shortest text that parses to this very number.
            to.collect_str(&format_args!("{:?}", self.0))
        } else {
            to.serialize_f64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            from.deserialize_any(Text).map(Self)
        } else {
            f64::deserialize(from).map(Self)
        }
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self(number)
    }
}

impl From<Number> for f64 {
    fn from(Number(number): Number) -> Self {
        number
    }
}

struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or its text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<f64, E> {
        text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }

    fn visit_f64<E>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    /// What `serde_json` makes of a number with its feature `arbitrary_precision`: a map of one text.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<f64, A::Error> {
        let Some((_, text)) = map.next_entry::<String, String>()? else {
            return Err(A::Error::invalid_length(0, &self));
        };
        self.visit_str(&text)
    }

    fn visit_u64<E>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_i64<E>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }
}

impl Exact for f64 {
    type Stored = Number;
    fn stored(&self) -> Number {
        Number(*self)
    }
    fn read(Number(number): Number) -> Option<Self> {
        Some(number)
    }
}

impl<T: Exact> Exact for Option<T> {
    type Stored = Option<T::Stored>;
    fn stored(&self) -> Self::Stored {
        self.as_ref().map(T::stored)
    }
    fn read(stored: Self::Stored) -> Option<Self> {
        stored.map_or(Some(None), |stored| T::read(stored).map(Some))
    }
}

impl Exact for (f64, f64) {
    type Stored = (Number, Number);
    fn stored(&self) -> Self::Stored {
        (Number(self.0), Number(self.1))
    }
    fn read((Number(a), Number(b)): Self::Stored) -> Option<Self> {
        Some((a, b))
    }
}

impl<const N: usize> Exact for [f64; N] {
    type Stored = Vec<Number>;
    fn stored(&self) -> Self::Stored {
        self.iter().copied().map(Number).collect()
    }
    fn read(stored: Self::Stored) -> Option<Self> {
        let numbers: Vec<f64> = stored.into_iter().map(|Number(number)| number).collect();
        numbers.try_into().ok()
    }
}

impl Exact for BTreeMap<String, f64> {
    type Stored = BTreeMap<String, Number>;
    fn stored(&self) -> Self::Stored {
        self.iter().map(|(name, number)| (name.clone(), Number(*number))).collect()
    }
    fn read(stored: Self::Stored) -> Option<Self> {
        Some(stored.into_iter().map(|(name, Number(number))| (name, number)).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Stored {
        #[serde(with = "crate::exact")]
        one: f64,
        #[serde(default, with = "crate::exact")]
        two: Option<(f64, f64)>,
        #[serde(with = "crate::exact")]
        three: [f64; 3],
    }

    #[test]
    fn numbers_are_stored_as_their_text() {
        let stored = Stored { one: 14.0 / 15.0, two: None, three: [f64::MIN, 0.0, 1e-300] };
        let text = json!({
            "one": "0.9333333333333333",
            "two": null,
            "three": ["-1.7976931348623157e308", "0.0", "1e-300"],
        });
        assert_eq!(serde_json::to_value(&stored).unwrap(), text);
        assert_eq!(serde_json::from_value::<Stored>(text).unwrap(), stored);
    }

    #[test]
    fn plain_numbers_are_read_too() {
        let read =
            |one| serde_json::from_value::<Stored>(json!({"one": one, "three": [1, -2, 0.5]}));
        let want = |one| Stored { one, two: None, three: [1.0, -2.0, 0.5] };
        assert_eq!(read(json!(0.25)).unwrap(), want(0.25));
        assert_eq!(read(json!({"$serde_json::private::Number": "0.25"})).unwrap(), want(0.25));
        for wrong in [json!("a quarter"), json!(null), json!({}), json!([0.25])] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(serde_json::from_value::<Stored>(json!({"one": 1, "three": [1, 2]})).is_err());
    }
}
