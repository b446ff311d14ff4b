//! Equivalence of JSON values: [`JsonEqual`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::decimal::Decimal;
use super::{Equivalence, Verdict};
use crate::backend::BackendError;

/// The same JSON value: white space and the order of keys do not matter, and `1` equals `1.0`.
///
/// Numbers are compared as they are written, digit by digit, so that no two different ones are the same,
/// however long they are.
///
/// A code fence around the value is ignored if it names no language or a kind of JSON (`json`, `JSON`, `json5`),
/// and so is a byte order mark before it. Text that is not JSON is equivalent only to the same text,
/// up to outer white space. As such counts an object that has a key twice, since readers differ about which
/// of the values is meant, and JSON nested more than 128 deep.
///
/// It compares text. For a backend whose output is a `serde_json::Value` there is
/// [`Exact`](super::Exact), which ignores the order of keys too but takes `1` and `1.0` for different values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JsonEqual;

impl JsonEqual {
    /// Whether two texts hold the same JSON value.
    pub fn same(a: &str, b: &str) -> bool {
        match (read(a), read(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a.trim() == b.trim(),
        }
    }
}

/// A JSON value with its numbers as they are written.
#[derive(Debug, PartialEq)]
enum Json {
    /// `null`, `true` or `false`.
    Word(String),
    Number(Decimal),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// How deep values may be nested: as deep as `serde_json` reads them.
const DEPTH: u8 = 128;

fn read(text: &str) -> Option<Json> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let text = text.strip_prefix("```").map_or(text, past_language);
    let text = text.strip_suffix("```").unwrap_or(text).trim();
    value(serde_json::from_str(text).ok()?, DEPTH)
}

/// What follows the kind of JSON that a code fence names, if it names one.
fn past_language(fenced: &str) -> &str {
    let from = fenced.trim_start_matches(' ');
    let rest = from.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    let named = from.strip_suffix(rest).unwrap_or_default();
    let is_language = named.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("json"));
    if is_language { rest } else { fenced }
}

/// Reads a value down to `depth`. Each level is read from its text, where numbers are still whole.
fn value(raw: &RawValue, depth: u8) -> Option<Json> {
    let text = raw.get();
    let depth = depth.checked_sub(1)?;
    Some(match text.bytes().next()? {
        b'{' => {
            let Members(members) = serde_json::from_str(text).ok()?;
            let read = members.into_iter().map(|(key, raw)| Some((key, value(raw, depth)?)));
            Json::Object(read.collect::<Option<_>>()?)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            Json::Array(items.into_iter().map(|raw| value(raw, depth)).collect::<Option<_>>()?)
        }
        b'"' => Json::Text(serde_json::from_str(text).ok()?),
        b'-' | b'0'..=b'9' => Json::Number(Decimal::read(text)?),
        _ => Json::Word(text.to_owned()),
    })
}

/// The members of an object, none of them twice.
struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, raw)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.insert(key, raw).is_some() {
                        return Err(A::Error::custom("a key occurs twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[async_trait]
impl<I: ?Sized + Sync, O: ?Sized + Sync + AsRef<str>> Equivalence<I, O> for JsonEqual {
    async fn compare(&self, _item: &I, a: &O, b: &O) -> Result<Verdict, BackendError> {
        Ok(Verdict::new(Self::same(a.as_ref(), b.as_ref())))
    }
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("json value")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_count_not_their_spelling() {
        assert!(JsonEqual::same(r#"{"a":1,"b":[2]}"#, "{ \"b\": [2.0], \"a\": 1 }"));
        for fence in
            ["```", "```json", "```JSON", "``` json", "```jsonc", "```json5", "\u{feff}```json\r"]
        {
            assert!(JsonEqual::same(&format!("{fence}\n[1]\n```"), "[1]"), "{fence}");
        }
        assert!(JsonEqual::same("\u{feff}[1]", "[1]"));
        assert!(!JsonEqual::same("```python\n[1]\n```", "[1]"));
        assert!(JsonEqual::same("```true```", "true") && !JsonEqual::same("```null```", "true"));
        assert!(JsonEqual::same(r#"["\u0061", true, null, -0.0]"#, r#"[ "a",true ,null,0 ]"#));
        assert!(!JsonEqual::same(r#"{"a":1}"#, r#"{"a":1,"b":null}"#));
        assert!(!JsonEqual::same("null", "false") && !JsonEqual::same("[1,2]", "[2,1]"));
        assert!(!JsonEqual::same("1", "\"1\"") && !JsonEqual::same("[]", "{}"));
        assert!(JsonEqual::same("not json", "not json ") && !JsonEqual::same("x", "{}"));
    }

    #[test]
    fn numbers_are_exact() {
        for (a, b) in [
            ("9007199254740993", "9007199254740992"),
            ("9007199254740993", "9007199254740992.0"),
            ("123456789012345678901", "123456789012345678902"),
            ("0.1234567890123456789", "0.1234567890123456788"),
            ("1e400", "1e401"),
        ] {
            assert!(!JsonEqual::same(a, b), "{a} / {b}");
            let nested = |number: &str| format!(r#"[{{"id": {number}}}]"#);
            assert!(!JsonEqual::same(&nested(a), &nested(b)), "{a} / {b}");
            assert!(JsonEqual::same(&nested(a), &format!(" {}", nested(a))), "{a}");
        }
        for (a, b) in [("1", "1.0"), ("100", "1e2"), ("0.10", "1E-1"), ("1e400", "10.0e+399")] {
            assert!(JsonEqual::same(a, b), "{a} / {b}");
        }
    }

    #[test]
    fn what_readers_differ_about_is_compared_as_text() {
        for twice in [r#"{"a":1,"a":2}"#, r#"[{"a":1,"\u0061":2}]"#] {
            assert!(JsonEqual::same(twice, &format!("{twice}\n")), "{twice}");
            assert!(!JsonEqual::same(twice, &twice.replace(':', ": ")), "{twice}");
        }
        assert!(!JsonEqual::same(r#"{"a":1,"a":2}"#, r#"{"a":2}"#));
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(JsonEqual::same(&nested(100), &nested(100).replace("[]", "[ ]")));
        assert!(!JsonEqual::same(&nested(200_000), &nested(200_000).replace("[]", "[ ]")));
    }
}
