//! Traces with missing answers and costs.

mod odd;

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Replay, ReplayError, Trace};
use crate::{Cost, Smart, Target};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const META: &str = r#"{"reference": "big", "equivalence": "exact",
    "pricing": {"small": {"prompt_per_mtok": 1.0, "completion_per_mtok": 2.0}}}"#;

/// A trace from its lines, with the reference `big`.
fn trace(lines: &[&str]) -> Result<std::result::Result<Trace, ReplayError>> {
    of(META, lines)
}

fn of(meta: &str, lines: &[&str]) -> Result<std::result::Result<Trace, ReplayError>> {
    Ok(Trace::parse(lines.join("\n").as_bytes(), super::trace::meta(meta)?, "log.jsonl"))
}

fn replay(lines: &[&str]) -> Result<Replay> {
    Ok(Replay::new(trace(lines)??, None, None, BTreeMap::new())?)
}

#[test]
fn an_answer_without_a_cost_costs_what_the_others_do() -> Result {
    let replay = replay(&[
        r#"{"models": {"big": {"output": "A", "cost_usd": 0.5}, "small": {"output": "A", "prompt_tokens": 10, "completion_tokens": 5}}}"#,
        r#"{"models": {"big": {"output": "A", "cost_usd": null}, "small": {"output": "B", "prompt_tokens": 30}}}"#,
        r#"{"models": {"big": {"output": "A", "cost_usd": 0.1}, "small": null}}"#,
    ])?;
    assert_eq!(replay.estimated(), 2);
    assert_eq!(replay.candidates(), ["small"]);
    assert_eq!(replay.answer_cost(1, "big"), Some(Cost::from_usd(0.3)?));
    assert_eq!(replay.answer_cost(1, "small"), Some(Cost::from_nanos(20_000)));
    assert_eq!(replay.answer_cost(2, "small"), None, "nothing was recorded");
    assert_eq!(replay.reference_cost(), Cost::from_usd(0.9)?);
    Ok(())
}

#[test]
fn a_model_of_unknown_cost_is_left_out_or_named() -> Result {
    let lines = [
        r#"{"models": {"big": {"output": "A", "cost_usd": 0.5}, "dark": {"output": "A"}, "small": {"output": "A", "cost_usd": 0}}}"#,
    ];
    let left_out = replay(&lines)?;
    assert_eq!(left_out.candidates(), ["small"]);
    assert_eq!(left_out.uncosted(), ["dark"]);
    let asked = ["dark".to_owned()];
    let refused = Replay::new(trace(&lines)??, None, Some(&asked), BTreeMap::new());
    assert!(matches!(refused, Err(ReplayError::NoCost(name)) if name == "dark"));
    let priced = BTreeMap::from([("dark".to_owned(), Cost::from_usd(0.1)?)]);
    assert_eq!(Replay::new(trace(&lines)??, None, Some(&asked), priced)?.estimated(), 0);
    Ok(())
}

#[test]
fn a_cost_that_is_none_is_refused_with_its_line() -> Result {
    let good = r#"{"models": {"big": {"output": "A", "cost_usd": 0.5}}}"#;
    for bad in ["-1", "1e300"] {
        let line = good.replace("0.5", bad);
        let error = trace(&[good, &line])?.expect_err("a bad cost");
        assert!(matches!(error, ReplayError::Line { line: 2, .. }), "{error}");
    }
    Ok(())
}

#[test]
fn verdicts_about_one_reference_say_nothing_about_another() -> Result {
    let meta = META.replace("exact", "judge");
    let lines = [
        r#"{"models": {"big": {"output": "A", "cost_usd": 0.5}, "small": {"output": "B", "cost_usd": 0.1, "judge_vs_reference": 0}}}"#,
    ];
    let replay = |reference: Option<&str>| -> Result<_> {
        Ok(Replay::new(of(&meta, &lines)??, reference, Some(&[]), BTreeMap::new()))
    };
    assert_eq!(replay(None)??.reference(), "big");
    assert_eq!(replay(Some("big"))??.reference(), "big");
    let error = replay(Some("small"))?.expect_err("another reference").to_string();
    assert!(error.contains("`small`") && error.contains("those of `big`"), "{error}");
    let other = Replay::new(trace(&lines)??, Some("small"), None, BTreeMap::new())?;
    assert_eq!(other.reference(), "small", "answers can be compared anew");
    Ok(())
}

#[test]
fn all_members_of_a_gzip_file_are_read() -> Result {
    let name = format!("replay-{}.jsonl.gz", std::process::id());
    let path = std::env::temp_dir().join(name);
    let meta = super::trace::meta_beside(&path);
    let mut bytes = Vec::new();
    for members in 1..=3 {
        let mut member = GzEncoder::new(Vec::new(), Compression::fast());
        member.write_all(b"{\"models\": {\"big\": {\"output\": \"A\", \"cost_usd\": 0.5}}}\n")?;
        bytes.extend(member.finish()?);
        std::fs::write(&path, &bytes)?;
        std::fs::write(&meta, META)?;
        let read = Trace::read(&path);
        std::fs::remove_file(&path)?;
        std::fs::remove_file(&meta)?;
        assert_eq!(Replay::new(read?, None, None, BTreeMap::new())?.len(), members);
    }
    Ok(())
}

#[test]
fn an_answer_that_is_missing_is_no_missing_bill() -> Result {
    let both = r#"{"models": {"big": {"output": "A", "cost_usd": 0.5}, "small": {"output": "A", "cost_usd": 0.01}}}"#;
    let missing = r#"{"models": {"big": {"output": "A", "cost_usd": 0.5}, "small": null}}"#;
    let lines: Vec<_> = (0..600).map(|i| if i % 20 == 7 { missing } else { both }).collect();
    let replay = replay(&lines)?;
    let smart = Smart::new(replay.roster()?, replay.equivalence(), Target::new(0.8, 0.9)?);
    let report = futures::executor::block_on(smart.run(&replay.items()))?.report;
    assert!(report.saving() > 1.5 && !report.faults.is_empty(), "{report}");
    assert!(!report.to_string().contains("without a bill"), "{report}");
    Ok(())
}
