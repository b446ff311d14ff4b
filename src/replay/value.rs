//! Single values of a trace, in the many ways in which logs write them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::pricing::{Cost, PriceError};

/// How deep an output may be nested to be put in canonical form; a deeper one is taken as it is written.
const DEPTH: u8 = 64;

/// An answer: a text as it is, any other value as its canonical JSON, so that equal values are equal answers.
pub(super) fn output(raw: &RawValue) -> Result<String, serde_json::Error> {
    let text = raw.get();
    if text.starts_with('"') {
        return serde_json::from_str(text);
    }
    let mut canonical = String::new();
    write(text, DEPTH, &mut canonical)?;
    Ok(canonical)
}

/// Writes a value with its keys in order and a space between its parts, which keeps them apart where
/// punctuation does not count.
fn write(text: &str, depth: u8, out: &mut String) -> Result<(), serde_json::Error> {
    match text.bytes().next() {
        Some(b'{' | b'[') if depth == 0 => out.push_str(text),
        Some(b'{') => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            out.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                let _ = write!(out, "{}: ", serde_json::to_string(key)?);
                write(value.get(), depth - 1, out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let values: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                write(value.get(), depth - 1, out)?;
            }
            out.push(']');
        }
        Some(b'"') => {
            let own: String = serde_json::from_str(text)?;
            out.push_str(&serde_json::to_string(&own)?);
        }
        _ => out.push_str(&digits(text)),
    }
    Ok(())
}

/// A number in one spelling, so that `1.0` is `1`; integers keep all their digits. Words stay as they are.
fn digits(text: &str) -> String {
    if !text.contains(['.', 'e', 'E']) && text != "-0" {
        return text.to_owned();
    }
    match text.parse::<f64>() {
        Ok(0.0) => "0".to_owned(),
        Ok(value) if value.is_finite() => value.to_string(),
        _ => text.to_owned(),
    }
}

/// The text of a value, without the quotes if it has any.
fn bare(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    if !text.starts_with('"') {
        return Some(text.to_owned());
    }
    let own: String = serde_json::from_str(text).ok()?;
    Some(own.trim().to_owned())
}

/// A finite number, or a text that holds one. Anything else is unknown.
pub(super) fn number(raw: &RawValue) -> Option<f64> {
    bare(raw)?.parse().ok().filter(|value: &f64| value.is_finite())
}

/// An amount of money; one that is no number is unknown.
pub(super) fn money(raw: &RawValue) -> Result<Option<Cost>, PriceError> {
    number(raw).map(Cost::from_usd).transpose()
}

/// A count of tokens, also if it was written as `100.0`. One that is no count is unknown.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "range checked")]
pub(super) fn tokens(raw: &RawValue) -> Option<u64> {
    let whole = bare(raw)?.parse().ok();
    let near = |value: f64| (0.0..1e15).contains(&value).then(|| value.round() as u64);
    whole.or_else(|| near(number(raw)?))
}

/// A judge's verdict: a bool, a number of which more than a half is yes, or a text that holds one of these.
pub(super) fn verdict(raw: &RawValue) -> Option<bool> {
    match bare(raw)?.to_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => number(raw).map(|share| share > 0.5),
    }
}

/// The same JSON with what Python writes and JSON does not have put right, or `None` if there was nothing:
/// `NaN` and infinities become `null`, half a surrogate pair becomes U+FFFD.
pub(super) fn mended(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted, mut changed) = (text, false, false);
    while !rest.is_empty() {
        let (length, instead) = if quoted { in_text(rest) } else { outside(rest) };
        let Some((own, after)) = rest.split_at_checked(length) else { break };
        quoted ^= own == "\"";
        changed |= instead.is_some();
        out.push_str(instead.unwrap_or(own));
        rest = after;
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// How long the next piece outside strings is, and what to write instead of it.
fn outside(rest: &str) -> (usize, Option<&'static str>) {
    for word in ["NaN", "Infinity", "-Infinity"] {
        if rest.starts_with(word) {
            return (word.len(), Some("null"));
        }
    }
    (rest.chars().next().map_or(1, char::len_utf8), None)
}

/// How long the next piece of a string is, and what to write instead of it.
fn in_text(rest: &str) -> (usize, Option<&'static str>) {
    let mut chars = rest.chars();
    let first = chars.next().map_or(1, char::len_utf8);
    if !rest.starts_with('\\') {
        return (first, None);
    }
    match unit(rest) {
        Some(0xd800..=0xdbff) => match rest.get(6..).and_then(unit) {
            Some(0xdc00..=0xdfff) => (12, None),
            _ => (6, Some("\\ufffd")),
        },
        Some(0xdc00..=0xdfff) => (6, Some("\\ufffd")),
        Some(_) => (6, None),
        None => (first + chars.next().map_or(0, char::len_utf8), None),
    }
}

/// The unit that an escape such as `\ud83d` names.
fn unit(rest: &str) -> Option<u16> {
    u16::from_str_radix(rest.strip_prefix("\\u")?.get(..4)?, 16).ok()
}
