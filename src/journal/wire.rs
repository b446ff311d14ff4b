//! The stored form of headers and records: JSON, one to a line.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{Header, JOURNAL_VERSION, Record, Recorded};
use crate::backend::{Confidence, ErrorKind};
use crate::fingerprint::fingerprint;
use crate::observe::CallKind;
use crate::pricing::{Cost, Usage};

/// The text with which every journal begins.
pub(super) const BEGINNING: &str = r#"{"label":"smart-core journal","version":"#;

/// A record's line, as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "the fields of a record")]
struct Line {
    index: u64,
    #[serde(default)]
    item: Option<u64>,
    model: String,
    kind: CallKind,
    #[serde(default)]
    other: Option<String>,
    #[serde(default, deserialize_with = "raw")]
    output: Option<Box<RawValue>>,
    #[serde(default)]
    score: Option<f64>,
    #[serde(default)]
    equivalent: Option<bool>,
    #[serde(default)]
    error: Option<ErrorKind>,
    #[serde(default)]
    unaffordable: Option<Cost>,
    #[serde(default)]
    usage: Option<Usage>,
}

/// Reads an output so that `null` is an output and not a missing one.
fn raw<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

/// A [`Line`] to be written. It borrows everything, because a record is written for every call.
#[derive(Serialize)]
struct Written<'a> {
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<u64>,
    model: &'a str,
    kind: CallKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    equivalent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unaffordable: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// Ends a JSON object with a checksum of all that stands before it, for a letter may change on a disk or in an editor
/// and leave a line that reads.
fn sealed(mut text: String) -> String {
    text.pop();
    let sum = fingerprint(text.as_str());
    text + &seal(sum)
}

fn seal(sum: u64) -> String {
    format!(r#","sum":"{sum:016x}"}}"#)
}

/// A line without its checksum, if it has one; an error in words if that does not fit.
fn unsealed(text: &str) -> Result<Cow<'_, str>, String> {
    let text = text.trim_end();
    let seal_at = text.len().saturating_sub(seal(0).len());
    let (before, end) = text.split_at_checked(seal_at).unwrap_or_default();
    if !end.starts_with(r#","sum":""#) {
        return Ok(Cow::Borrowed(text));
    }
    if end != seal(fingerprint(before)) {
        return Err("it is not as it was written: its checksum does not fit".to_owned());
    }
    Ok(Cow::Owned(format!("{before}}}")))
}

/// Writes a record as one line, without the line's end.
pub(super) fn write(record: &Record) -> Result<String, String> {
    let mut line = Written {
        index: record.index,
        item: record.item,
        model: &record.model,
        kind: record.kind,
        other: record.other.as_deref(),
        output: None,
        score: None,
        equivalent: None,
        error: None,
        unaffordable: None,
        usage: record.usage,
    };
    match &record.outcome {
        Recorded::Answer { output, score } => {
            let raw = serde_json::from_str(output).map_err(|error| error.to_string())?;
            (line.output, line.score) = (Some(raw), score.map(Confidence::as_f64));
        }
        Recorded::Rating { score } => line.score = score.map(Confidence::as_f64),
        Recorded::Verdict { equivalent } => line.equivalent = Some(*equivalent),
        Recorded::Failure(kind) => line.error = Some(*kind),
        Recorded::Unaffordable { cap } => line.unaffordable = Some(*cap),
    }
    serde_json::to_string(&line).map(one_line).map(sealed).map_err(|error| error.to_string())
}

/// Puts JSON text on one line. A line break in JSON text can only be white space between its parts,
/// because inside a string it is escaped; so a space means the same.
pub(super) fn one_line(text: String) -> String {
    if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], " ") } else { text }
}

/// What serde says is wrong with a line, without the position at its end: that counts lines within the
/// text serde was given, which is a single line of the journal.
pub(super) fn complaint(mut why: String) -> String {
    if let Some((_, at)) = why.rsplit_once(" at line ")
        && let Some((line, column)) = at.split_once(" column ")
        && [line, column].iter().all(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    {
        why.truncate(why.len() - " at line ".len() - at.len());
    }
    why
}

/// Reads a record; an error says in words what is wrong with it.
pub(super) fn read(text: &str) -> Result<Record, String> {
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    let text = unsealed(text)?;
    let line: Line = serde_json::from_str(&text).map_err(|error| complaint(error.to_string()))?;
    let Line { index, item, model, kind, other, usage, .. } = line;
    let Line { output, score, equivalent, error, unaffordable, .. } = line;
    let confidence = match score.map(Confidence::new) {
        Some(None) => return Err("the score is not a finite number".to_owned()),
        Some(score) => score,
        None => None,
    };
    let outcome = match (output, score, equivalent, error, unaffordable) {
        (Some(output), _, None, None, None) => {
            Recorded::Answer { output: output.get().to_owned(), score: confidence }
        }
        (None, _, None, None, None) if kind == CallKind::Rating => {
            Recorded::Rating { score: confidence }
        }
        (None, None, Some(equivalent), None, None) => Recorded::Verdict { equivalent },
        (None, None, None, Some(error), None) => Recorded::Failure(error),
        (None, None, None, None, Some(cap)) => Recorded::Unaffordable { cap },
        (None, None, None, None, None) => return Err("it has no outcome".to_owned()),
        _ => return Err("it has more than one outcome".to_owned()),
    };
    let record = Record { index, item, model, kind, other, outcome, usage };
    record.complaint().map_or(Ok(record), |complaint| Err(complaint.to_owned()))
}

pub(super) fn write_header(header: &Header) -> Result<String, String> {
    serde_json::to_string(header).map(sealed).map_err(|error| error.to_string())
}

/// What can be wrong with a header.
pub(super) enum BadHeader {
    Version(u32),
    Other(String),
}

pub(super) fn read_header(text: &str) -> Result<Header, BadHeader> {
    #[derive(Deserialize)]
    struct Versioned {
        label: String,
        version: u32,
    }
    let other = |error: serde_json::Error| BadHeader::Other(complaint(error.to_string()));
    // Of another version, it is that, whatever its end.
    let first: Versioned = serde_json::from_str(text).map_err(other)?;
    if first.label != "smart-core journal" {
        return Err(BadHeader::Other(format!("it is labelled `{}`", first.label)));
    }
    if first.version != JOURNAL_VERSION {
        return Err(BadHeader::Version(first.version));
    }
    serde_json::from_str(&unsealed(text).map_err(BadHeader::Other)?).map_err(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_bit_for_bit() {
        let answer = |output: &str, score| Recorded::Answer {
            output: output.to_owned(),
            score: Confidence::new(score),
        };
        let usage = Some(Usage::tokens(u64::MAX, 0));
        for record in [
            Record::new(3, "a", CallKind::Answer, answer("null", 0.1)).with_usage(usage),
            Record::new(u64::MAX, "a\n\"", CallKind::Answer, answer(r#"{"a":1e300}"#, f64::NAN))
                .with_item(Some(u64::MAX)),
            Record::new(0, "a", CallKind::Repeat, answer("[0.1,\"x\\ny\"]", -0.0)),
            Record::new(0, "a", CallKind::Rating, Recorded::Rating { score: None }),
            Record::new(0, "a", CallKind::Comparison, Recorded::Verdict { equivalent: false })
                .with_other("b"),
            Record::new(0, "a", CallKind::Comparison, Recorded::Failure(ErrorKind::Timeout))
                .with_other("b"),
            Record::new(7, "a", CallKind::Answer, Recorded::Unaffordable { cap: Cost::MAX }),
        ] {
            let text = write(&record).unwrap();
            assert!(!text.contains('\n'));
            assert_eq!(read(&text).unwrap(), record, "{text}");
        }
    }

    #[test]
    fn a_changed_letter_is_noticed_and_lines_without_a_checksum_are_read() {
        let answer = Recorded::Answer { output: r#"{"s":"abc,\"sum\":\"}"}"#.into(), score: None };
        let record =
            Record::new(12, "a", CallKind::Answer, answer).with_usage(Some(Usage::tokens(3, 4)));
        let text = write(&record).unwrap();
        for (place, letter) in text.char_indices() {
            for other in ['0', '1', 'b', 'B', ' ', '"', '}', '\u{1}'] {
                if other == letter {
                    continue;
                }
                let end = place + letter.len_utf8();
                let changed = format!("{}{other}{}", &text[..place], &text[end..]);
                assert!(read(&changed).is_err(), "{changed}");
            }
            assert!(read(&text[..place]).is_err() && read(&text[place + 1..]).is_err());
        }
        let (before, _) = text.rsplit_once(",\"sum\"").unwrap();
        assert_eq!(read(&format!("{before}}}")).unwrap(), record);
        assert!(read(&format!("{before},\"sum\":\"\"}}")).is_err());
    }

    #[test]
    fn what_is_not_one_call_is_refused() {
        for bad in [
            "",
            "{}",
            "null",
            r#"{"index":1,"model":"a","kind":"answer"}"#,
            r#"{"index":1,"model":"a","kind":"answer","output":1,"error":"timeout"}"#,
            r#"{"index":1,"model":"a","kind":"rating","output":1}"#,
            r#"{"index":1,"model":"a","kind":"rating","unaffordable":1}"#,
            r#"{"index":1,"model":"a","kind":"answer","output":1,"unaffordable":1}"#,
            r#"{"index":1,"model":"a","kind":"comparison","equivalent":true}"#,
            r#"{"index":1,"model":"a","kind":"answer","output":1,"other":"b"}"#,
            r#"{"index":-1,"model":"a","kind":"answer","output":1}"#,
            r#"{"index":1,"model":"a","kind":"answer","output":1,"more":2}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read(" ").unwrap_err(), "it is empty");
        assert!(read("[7]").unwrap_err().contains("the fields of a record"));
        let nonsense = Recorded::Answer { output: "nonsense".into(), score: None };
        assert!(write(&Record::new(0, "a", CallKind::Answer, nonsense)).is_err());
        let broken = Recorded::Answer { output: "\"a\nb\"".into(), score: None };
        assert!(write(&Record::new(0, "a", CallKind::Answer, broken)).is_err());
    }

    #[test]
    fn line_breaks_between_parts_are_spaces() {
        let answer = |output: &str| Recorded::Answer { output: output.to_owned(), score: None };
        let lines = answer("{\n  \"a\": [1,\r\n2],\n\"b\": \"c\\nd\"\n}");
        let text = write(&Record::new(0, "a", CallKind::Answer, lines)).unwrap();
        assert!(!text.contains(['\n', '\r']));
        let read = read(&text).unwrap();
        assert_eq!(read.outcome, answer("{   \"a\": [1,  2], \"b\": \"c\\nd\" }"));
    }
}
