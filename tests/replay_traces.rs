//! Every recorded trace that lies in `../shared/traces`, through the replay command: what it prints adds up.
//!
//! The traces are not part of the crate; without them the test says so and passes. And what the command says
//! about traces and options that are not as they should be.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use smart_core::replay::{Replay, Trace};
use smart_core::{Outcome, Smart, Target, replay::RecordedAnswer};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The traces whose models' costs are recorded, or nothing.
fn traces() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/traces");
    let found = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut traces: Vec<PathBuf> = found
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".jsonl") || name.ends_with(".jsonl.gz")
        })
        .collect();
    traces.sort();
    if traces.is_empty() {
        println!("skipped: no traces in ../shared/traces");
    }
    traces
}

/// The trace as models, if the costs of its reference and of a candidate are recorded.
fn replay(path: &Path) -> Result<Option<Replay>> {
    let trace = Trace::read(path.to_string_lossy().as_ref())?;
    let replay = Replay::new(trace, None, None, std::collections::BTreeMap::new());
    Ok(replay.ok().filter(|replay| !replay.candidates().is_empty()))
}

fn run(replay: &Replay, agreement: f64, seed: u64) -> Result<Outcome<RecordedAnswer>> {
    let smart = Smart::new(replay.roster()?, replay.equivalence(), Target::new(agreement, 0.95)?);
    Ok(futures::executor::block_on(smart.with_seed(seed).run(&replay.items()))?)
}

#[test]
fn the_report_and_the_answers_agree() -> Result {
    for path in traces() {
        let Some(replay) = replay(&path)? else {
            println!("skipped, costs unknown: {}", path.display());
            continue;
        };
        for agreement in [0.80, 0.90, 0.95] {
            for seed in [1, 2] {
                let outcome = run(&replay, agreement, seed)?;
                let (report, answers) = (&outcome.report, &outcome.answers);
                let place = format!("{} {agreement} {seed}", path.display());
                assert_eq!(answers.len(), replay.len(), "{place}");
                // What the run cost is the sum over the items' calls.
                let paid: smart_core::Cost = answers.iter().map(|answer| answer.cost).sum();
                assert_eq!(paid, report.cost(), "{place}");
                // Every item that was profiled delivers the reference's answer.
                let own = |by: smart_core::ModelId| by.is_reference();
                let profiled = answers.iter().filter(|a| report.plan.is_profiled(a.index));
                assert!(profiled.into_iter().all(|a| a.by.is_none_or(own)), "{place}");
                // A tally by model that adds up.
                for (id, count) in report.plan.roster.ids().zip(&report.delivered.by_model) {
                    let found = answers.iter().filter(|a| a.by == Some(id)).count();
                    assert_eq!(found as u64, *count, "{place}");
                }
                assert_eq!(report.allowance(), report.plan.target.allowance(replay.len() as u64));
            }
        }
    }
    Ok(())
}

/// The command, if cargo has built it (`cargo test` builds the examples).
fn command() -> Option<PathBuf> {
    let mut path = std::env::current_exe().ok()?;
    path.pop();
    path.pop();
    let path = path.join("examples").join("replay");
    path.exists().then_some(path)
}

#[test]
fn the_json_has_what_it_says() -> Result {
    let Some(command) = command() else {
        println!("skipped: the replay example is not built");
        return Ok(());
    };
    for path in traces().into_iter().take(3) {
        let Some(replay) = replay(&path)? else { continue };
        let output = Command::new(&command)
            .arg(&path)
            .args(["--agreement", "0.9", "--seed", "3", "--json", "--baseline"])
            .output()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout)?;
        for field in [
            "trace",
            "n",
            "reference",
            "agreement_target",
            "confidence",
            "seed",
            "profiled",
            "policy",
            "certified",
            "cost",
            "reference_cost",
            "saving",
            "delivered_failures",
            "allowed_failures",
            "agreement",
            "calls",
            "ratings",
            "baseline",
        ] {
            assert!(said.get(field).is_some(), "{field} is missing: {said}");
        }
        let outcome = run(&replay, 0.9, 3)?;
        let roster = &outcome.report.plan.roster;
        let failures = outcome.answers.iter().filter(|answer| {
            answer.by.is_some_and(|by| !replay.agrees(answer.index, roster.name(by)))
        });
        assert_eq!(said["delivered_failures"], failures.count() as u64);
        assert_eq!(said["cost"], outcome.report.cost().as_usd());
        for field in ["cost", "saving", "profiled", "delivered_failures"] {
            assert!(said["baseline"].get(field).is_some(), "{field} is missing: {said}");
        }
    }
    Ok(())
}

/// A folder with a trace of three items in it, as long as it lives.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("replay-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        let line = r#"{"models": {"big": {"output": 1, "cost_usd": 1}, "small": {"output": 1, "cost_usd": 0.1},
            "dear": {"output": 1, "cost_usd": 2}, "dark": {"output": 1}}}"#;
        fs::write(path.join("lone.jsonl"), format!("{}\n", line.replace('\n', " ")).repeat(3))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the command prints in this folder: its output, or what it says of the error. And its notes.
fn said(
    folder: &Folder,
    args: &str,
) -> Result<Option<(std::result::Result<String, String>, String)>> {
    let Some(command) = command() else {
        println!("skipped: the replay example is not built");
        return Ok(None);
    };
    let run = Command::new(command).current_dir(&folder.0).args(args.split(' ')).output()?;
    let (out, notes) = (String::from_utf8(run.stdout)?, String::from_utf8(run.stderr)?);
    Ok(Some((if run.status.success() { Ok(out) } else { Err(notes.clone()) }, notes)))
}

#[test]
fn what_is_wrong_with_an_option_is_said() -> Result {
    let folder = Folder::new("options")?;
    let whole = "lone.jsonl --reference big --equivalence exact";
    for (args, parts) in [
        ("lone.jsonl", &["lone.meta.json", "--equivalence", "--reference"][..]),
        ("lone.jsonl --reference big", &["the equivalence must be named", "--equivalence"]),
        ("lone.jsonl --reference big --equivalence odd", &["`odd`", "`numeric`", "--equivalence"]),
        ("gone.jsonl", &["the trace gone.jsonl cannot be read"]),
        ("--seeds 0", &["trace"]),
        (&format!("{whole} --seeds 0"), &["--seeds must be at least 1"]),
        (&format!("{whole} --seed 18446744073709551615 --seeds 2"), &["--seed and --seeds"]),
        (&format!("{whole} --seed -1"), &["--seed -1: "]),
        (&format!("{whole} --agreement high"), &["--agreement high: "]),
        (&format!("{whole} --cost big=x"), &["--cost x: "]),
        (&format!("{whole} --cost big=-1"), &["--cost big=-1: "]),
        (&format!("{whole} --policy odd"), &["--policy odd"]),
        (&format!("{whole} --what"), &["--what", "--help"]),
        (&format!("{whole} --candidates dark"), &["`dark`", "`cost_usd`", "--cost 'dark="]),
        (&format!("{whole} --candidates gone"), &["`gone`", "--candidates"]),
    ] {
        let Some((out, _)) = said(&folder, args)? else { return Ok(()) };
        let error = out.expect_err(args);
        assert!(parts.iter().all(|part| error.contains(part)), "{args}: {error}");
    }
    Ok(())
}

#[test]
fn a_trace_without_a_meta_file_is_run_and_what_is_left_out_is_said() -> Result {
    let folder = Folder::new("lone")?;
    let args = "lone.jsonl --reference big --equivalence Exact --json --seeds 2";
    let Some((out, notes)) = said(&folder, args)? else { return Ok(()) };
    let out = out?;
    assert_eq!(out.lines().count(), 2, "{out}");
    let first: Value = serde_json::from_str(out.lines().next().unwrap_or_default())?;
    assert_eq!(first["candidates"], serde_json::json!(["small"]));
    assert_eq!(first["ratings"], serde_json::json!({"big": 0, "small": 0}));
    let lines: Vec<&str> = notes.lines().collect();
    assert!(
        lines.iter().any(|l| l.contains("cost is not known") && l.ends_with(": dark")),
        "{notes}"
    );
    assert!(lines.iter().any(|l| l.contains("no less") && l.ends_with(": dear")), "{notes}");
    let judge = args.replace("Exact", "judge");
    let Some((_, notes)) = said(&folder, &judge)? else { return Ok(()) };
    assert!(notes.contains("`judge_vs_reference`"), "{notes}");
    Ok(())
}

#[test]
fn help_names_every_option() -> Result {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/replay.rs");
    let folder = Folder::new("help")?;
    let Some((out, _)) = said(&folder, "--help")? else { return Ok(()) };
    let (help, source) = (out?, fs::read_to_string(source)?);
    let options = source.lines().filter_map(|line| line.trim().strip_prefix("\"--"));
    let options: Vec<&str> =
        options.filter_map(|rest| rest.split_once("\" =>")).map(|o| o.0).collect();
    assert!(options.len() > 10, "{options:?}");
    for option in options {
        assert!(help.contains(&format!("\n  --{option} ")), "{option}: {help}");
    }
    Ok(())
}
