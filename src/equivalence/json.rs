//! Equivalence of JSON values: [`JsonEqual`].

use std::borrow::Cow;

use async_trait::async_trait;
use serde_json::Value;

use super::{Equivalence, Verdict};
use crate::backend::BackendError;

/// The same JSON value: white space and the order of keys do not matter, and `1` equals `1.0`.
///
/// A code fence around the value is ignored. Text that is not JSON is equivalent only to the same text,
/// up to outer white space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JsonEqual;

impl JsonEqual {
    /// Whether two texts hold the same JSON value.
    pub fn same(a: &str, b: &str) -> bool {
        match (read(a), read(b)) {
            (Some(a), Some(b)) => equal(&a, &b),
            _ => a.trim() == b.trim(),
        }
    }
}

fn read(text: &str) -> Option<Value> {
    let text = text.trim();
    let text = text.strip_prefix("```json").or_else(|| text.strip_prefix("```")).unwrap_or(text);
    serde_json::from_str(text.strip_suffix("```").unwrap_or(text).trim()).ok()
}

#[allow(clippy::float_cmp, reason = "equal values are meant")]
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| equal(a, b));
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
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
        assert!(JsonEqual::same("```json\n[1]\n```", "[1]"));
        assert!(!JsonEqual::same(r#"{"a":1}"#, r#"{"a":1,"b":null}"#));
        assert!(!JsonEqual::same("9007199254740993", "9007199254740992"));
        assert!(JsonEqual::same("not json", "not json ") && !JsonEqual::same("x", "{}"));
    }
}
