//! Traces that are written in other ways than the format says.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{META, Result, of, replay, trace};
use crate::Cost;
use crate::replay::{Replay, ReplayError, Trace};

/// An item with the reference's output and the candidate's.
fn outputs(big: &str, small: &str) -> String {
    format!(
        r#"{{"models": {{"big": {{"output": {big}, "cost_usd": 1}}, "small": {{"output": {small}, "cost_usd": 0}}}}}}"#
    )
}

/// An item whose candidate has these fields beside its output.
fn fields(small: &str) -> String {
    outputs(r#""A""#, r#""A""#).replace(r#""cost_usd": 0"#, small)
}

fn chosen(meta: &str, line: &str) -> Result<Replay> {
    Ok(Replay::new(of(meta, &[line])??, None, None, BTreeMap::new())?)
}

fn agree(equivalence: &str, big: &str, small: &str) -> Result<bool> {
    let meta = META.replace("exact", equivalence);
    Ok(chosen(&meta, &outputs(big, small))?.agrees(0, "small"))
}

/// What an item is refused for.
fn refused(line: &str) -> Result<String> {
    let good = outputs("1", "1");
    Ok(trace(&[&good, line])?.expect_err(line).to_string())
}

/// The candidate's cost in nano-units, if it is known.
fn nanos(meta: &str, line: &str) -> Result<Option<u64>> {
    let replay = Replay::new(of(meta, &[line])??, None, Some(&[]), BTreeMap::new())?;
    Ok(replay.answer_cost(0, "small").map(Cost::as_nanos))
}

#[test]
fn an_output_of_any_type_is_an_answer() -> Result {
    for equivalence in ["exact", "normalized", "numeric"] {
        for (big, small) in [
            ("7", "7"),
            ("7", "7.0"),
            ("7", r#""7""#),
            ("-0", "0.0"),
            ("1e2", "100"),
            ("0.5", "5e-1"),
            ("123456789012345678901", "123456789012345678901"),
            ("true", "true"),
            ("true", r#""true""#),
            (r#"["a", 1]"#, r#"["\u0061",1.0]"#),
            (r#"{"a": {"x": [], "y": null}, "b": 1}"#, r#"{"b":1,"a":{"y":null,"x":[]}}"#),
            (r#"[{"a": NaN}]"#, r#"[{"a": null}]"#),
        ] {
            assert!(agree(equivalence, big, small)?, "{equivalence}: {big} / {small}");
        }
        for (big, small) in [
            ("7", "8"),
            ("1", "-1"),
            ("1.5", "15"),
            ("123456789012345678901", "123456789012345678902"),
            ("true", "false"),
            ("true", "1"),
            (r#"["a", "b"]"#, r#"["ab"]"#),
            ("[1, 234]", "[1234]"),
            ("[1, 2]", "[2, 1]"),
            (r#"{"a": 1}"#, r#"{"a": 2}"#),
            ("null", "null"),
            ("NaN", "NaN"),
        ] {
            assert!(!agree(equivalence, big, small)?, "{equivalence}: {big} / {small}");
        }
    }
    assert!(!agree("exact", "[[1], 2]", "[1, [2]]")?);
    let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(90_000), "]".repeat(90_000));
    assert!(agree("exact", &deep("1"), &deep("1"))? && !agree("exact", &deep("1"), &deep("2"))?);
    Ok(())
}

#[test]
fn a_confidence_is_a_number_or_unknown() -> Result {
    for (written, score) in [
        ("0.75", Some(0.75)),
        (r#""0.75""#, Some(0.75)),
        (r#"" -3 ""#, Some(-3.0)),
        ("NaN", None),
        ("-Infinity", None),
        ("Infinity", None),
        ("1e999", None),
        (r#""NaN""#, None),
        (r#""inf""#, None),
        (r#""high""#, None),
        ("true", None),
        ("[0.5]", None),
    ] {
        let line = fields(&format!(r#""confidence": {written}"#));
        assert_eq!(trace(&[&line])??.lines[0].models["small"].confidence, score, "{written}");
    }
    Ok(())
}

#[test]
fn a_cost_is_a_number_a_text_or_unknown() -> Result {
    for (written, cost) in [
        (r#""0.25""#, Some(250_000_000)),
        (r#""1e-6""#, Some(1_000)),
        ("NaN", None),
        (r#""n/a""#, None),
        ("false", None),
    ] {
        let line = fields(&format!(r#""cost_usd": {written}"#));
        assert_eq!(nanos(META, &line)?, cost, "{written}");
    }
    let reason = refused(&fields(r#""cost_usd": "-1""#))?;
    assert!(reason.contains("line 2") && reason.contains("model `small`: `cost_usd`"), "{reason}");
    Ok(())
}

#[test]
fn a_verdict_is_a_bool_a_number_or_unknown() -> Result {
    let meta = META.replace("exact", "judge");
    for (written, verdict) in [
        ("true", Some(true)),
        ("false", Some(false)),
        ("1.0", Some(true)),
        ("0", Some(false)),
        (r#""1""#, Some(true)),
        (r#""0.0""#, Some(false)),
        (r#""True""#, Some(true)),
        (r#""maybe""#, None),
        ("null", None),
        ("NaN", None),
    ] {
        let line = fields(&format!(r#""cost_usd": 0, "judge_vs_reference": {written}"#));
        let replay = chosen(&meta, &line)?;
        assert_eq!(replay.agrees(0, "small"), verdict == Some(true), "{written}");
        let known = usize::from(verdict.is_some());
        assert_eq!(replay.verdicts(), Some((known, 1 - known)), "{written}");
        let exact = chosen(META, &line)?;
        assert!(exact.agrees(0, "small") && exact.verdicts().is_none(), "{written}");
    }
    Ok(())
}

#[test]
fn a_byte_order_mark_is_no_content() -> Result {
    let line = format!("\u{feff}{}", outputs("1", "1"));
    assert_eq!(chosen(&format!("\u{feff}{META}"), &line)?.candidates(), ["small"]);
    Ok(())
}

#[test]
fn a_price_is_needed_only_where_it_is_used() -> Result {
    let tokens = |prompt: u32, completion: u32| {
        fields(&format!(r#""prompt_tokens": {prompt}, "completion_tokens": {completion}"#))
    };
    let meta = |pricing: &str| {
        format!(r#"{{"reference": "big", "equivalence": "exact", "pricing": {pricing}}}"#)
    };
    for none in ["null", "{}", r#"{"small": null}"#, r#"{"small": {}}"#] {
        assert_eq!(nanos(&meta(none), &tokens(10, 5))?, None, "{none}");
        assert_eq!(nanos(&meta(none), &fields(r#""cost_usd": 1"#))?, Some(1_000_000_000));
    }
    let one = meta(r#"{"small": {"prompt_per_mtok": "2", "completion_per_mtok": null}}"#);
    assert_eq!(nanos(&one, &tokens(10, 0))?, Some(20_000));
    assert_eq!(nanos(&one, &tokens(10, 1))?, None);
    let both = meta(r#"{"small": {"prompt_per_mtok": "2", "completion_per_mtok": "0.1"}}"#);
    assert_eq!(nanos(&both, &tokens(10, 10))?, Some(21_000));
    Ok(())
}

#[test]
fn tokens_are_counts_or_unknown() -> Result {
    for (written, cost) in [("100.0", Some(100_000)), (r#""100""#, Some(100_000)), ("-1", None)] {
        let line = fields(&format!(r#""prompt_tokens": {written}, "completion_tokens": 0"#));
        assert_eq!(nanos(META, &line)?, cost, "{written}");
    }
    Ok(())
}

#[test]
fn equivalences_have_their_names_in_any_case() -> Result {
    assert!(agree("Exact", "1", "1")? && !agree("EXACT", r#""A""#, r#""a""#)?);
    assert!(agree("normalised", r#""The B!""#, r#""b""#)?);
    assert!(agree(" Numeric ", r#""1.0""#, r#""1""#)?);
    let error = agree("fuzzy", "1", "1").expect_err("no such equivalence").to_string();
    assert!(error.contains("`fuzzy`") && error.contains("`judge`"), "{error}");
    Ok(())
}

#[test]
fn an_item_without_models_has_no_answers() -> Result {
    let replay = replay(&[r#"{"models": null}"#, &outputs("1", "1"), r#"{"models": {}}"#])?;
    assert_eq!((replay.len(), replay.answer_cost(0, "big")), (3, None));
    Ok(())
}

#[test]
fn half_a_surrogate_pair_is_the_replacement_character() -> Result {
    for (half, whole) in [
        (r#""a\ud83d""#, "\"a\u{fffd}\""),
        (r#""\ude00\ud83db""#, "\"\u{fffd}\u{fffd}b\""),
        (r#""\ud83d\ud83d\ude00""#, "\"\u{fffd}\u{1f600}\""),
        (r#""\\ud83d \"\ud83d\"""#, "\"\\\\ud83d \\\"\u{fffd}\\\"\""),
        (r#"["\ud83d", NaN, "NaN"]"#, "[\"\u{fffd}\", null, \"NaN\"]"),
    ] {
        assert!(agree("exact", half, whole)?, "{half}");
    }
    let line = outputs("1", "1").replace("small", r"\udc00");
    assert_eq!(replay(&[&line])?.candidates(), ["\u{fffd}"]);
    Ok(())
}

#[test]
fn bytes_that_are_not_utf_8_refuse_no_trace() -> Result {
    let mut bytes = outputs(r#""A?""#, r#""A?""#).into_bytes();
    bytes.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
    let trace = Trace::parse(bytes.as_slice(), crate::replay::trace::meta(META)?, "log.jsonl")?;
    assert!(Replay::new(trace, None, None, BTreeMap::new())?.agrees(0, "small"));
    Ok(())
}

#[test]
fn what_is_wrong_is_named_once_and_where() -> Result {
    for (line, said) in [
        (r#"{"id": 3, "models": {"#, "line 2: not a trace item: EOF while parsing"),
        (r#"{"id": 3}"#, "missing field `models`"),
        (r#"{"models": 3}"#, "`models`: invalid type: integer `3`, expected a map"),
        (r#"{"models": {"m": "B"}}"#, "model `m`: it is not an object"),
        (r#"{"models": {"m": ["B"]}}"#, "model `m`: it is not an object"),
        (r#"[{"m": {}}]"#, "it is not an object"),
        (r#"{"models": {}},"#, "trailing characters at column 15"),
    ] {
        let reason = refused(line)?;
        assert!(reason.contains(said) && !reason.contains("line 1"), "{reason}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_one_array_is_read() -> Result {
    let item = outputs("NaN", r#""A""#);
    let lines = ["[", &item, ",", &item, "]"];
    assert_eq!(replay(&lines)?.len(), 2);
    assert_eq!(replay(&[&format!("\u{feff} [{item}, {item},"), &format!("{item}]")])?.len(), 3);
    let bad = trace(&["[", &item, ",", r#"{"models": 3}]"#])?.expect_err("no models").to_string();
    assert!(bad.contains("line 4") && bad.contains("`models`"), "{bad}");
    let open = trace(&["[", &item, ","])?.expect_err("no end").to_string();
    assert!(open.contains("JSON Lines"), "{open}");
    let rows = trace(&["[1]", "[2]"])?.expect_err("rows").to_string();
    assert!(rows.contains("line 2") && rows.contains("JSON Lines"), "{rows}");
    assert!(matches!(trace(&["[]"])?, Err(ReplayError::Empty(_))));
    Ok(())
}

#[test]
fn dearer_models_are_named() -> Result {
    let line = r#"{"models": {"big": {"output": "A", "cost_usd": 1}, "small": {"output": "A", "cost_usd": 0},
        "same": {"output": "A", "cost_usd": 1}, "dear": {"output": "A", "cost_usd": 2}, "dark": {}}}"#;
    let replay = replay(&[&line.replace('\n', " ")])?;
    assert_eq!(replay.candidates(), ["small"]);
    assert_eq!(
        (replay.dearer(), replay.uncosted()),
        (vec!["dear".to_owned(), "same".to_owned()], vec!["dark".to_owned()])
    );
    Ok(())
}

/// A trace without a meta file, as long as it lives.
struct Lone(PathBuf);

impl Drop for Lone {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn without_a_meta_file_the_caller_names_both() -> Result {
    let path = std::env::temp_dir().join(format!("replay-lone-{}.jsonl", std::process::id()));
    let missing = Trace::read(&path).expect_err("no trace").to_string();
    assert!(missing.starts_with("the trace ") && !missing.contains("meta"), "{missing}");
    std::fs::write(&path, outputs(r#""A""#, r#""a.""#))?;
    let path = Lone(path);
    let read = |reference: Option<&str>, equivalence: Option<&str>| {
        let trace = Trace::read(&path.0)?;
        let trace = match equivalence {
            Some(name) => trace.with_equivalence(name)?,
            None => trace,
        };
        Replay::new(trace, reference, None, BTreeMap::new())
    };
    assert!(read(Some("big"), Some("normalized"))?.agrees(0, "small"));
    for (reference, equivalence, said) in [
        (None, None, "the equivalence and the reference must be named: there is no meta file"),
        (Some("big"), None, "the equivalence must be named"),
        (None, Some("exact"), "the reference must be named"),
    ] {
        let error = read(reference, equivalence).expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
    let unknown = read(None, Some("fuzzy")).expect_err("no such equivalence");
    assert!(matches!(unknown, ReplayError::NoSuchEquivalence(name) if name == "fuzzy"));
    let judged = of(&META.replace("exact", "judge"), &[&outputs("1", "1")])??;
    let compared = judged.with_equivalence("Exact")?;
    assert!(Replay::new(compared, None, None, BTreeMap::new())?.agrees(0, "small"));
    Ok(())
}

#[test]
fn a_gzip_file_is_known_by_its_content() -> Result {
    let line = outputs("1", "1");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(line.as_bytes())?;
    for (name, bytes) in [("zip.jsonl", gzip.finish()?), ("plain.jsonl.gz", line.into_bytes())] {
        let path = Lone(std::env::temp_dir().join(format!("{}-{name}", std::process::id())));
        std::fs::write(&path.0, bytes)?;
        assert_eq!(Trace::read(&path.0)?.models().len(), 2, "{name}");
    }
    Ok(())
}
