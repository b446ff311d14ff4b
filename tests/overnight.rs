//! The overnight job is killed at random instants and resumed until it is done.
//!
//! `OVERNIGHT_KILLS=300 cargo test --release --test overnight` for hundreds of kills; a dozen in
//! the suite.
#![cfg(all(feature = "json", feature = "conformance", feature = "tokio"))]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

/// Calls that profiling may have under way when it ends: items at once, times the models.
const LATE: usize = 32 * 3;

/// The example's binary: built with the tests, or now if only this test was asked for.
fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let target = own.parent().and_then(Path::parent).unwrap();
    let path = target.join("examples").join("overnight");
    if !path.exists() {
        let profile = if target.ends_with("release") { "release" } else { "test" };
        let built = Command::new(env!("CARGO"))
            .args(["build", "--profile", profile, "--example", "overnight"])
            .status()
            .unwrap();
        assert!(built.success());
    }
    path
}

struct Job {
    folder: PathBuf,
    seed: u64,
    budget: Option<&'static str>,
}

impl Job {
    fn new(name: &str, seed: u64, budget: Option<&'static str>) -> Self {
        let name = format!("overnight-{}-{name}-{}", std::process::id(), budget.unwrap_or("free"));
        let folder = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, seed, budget }
    }

    fn journal(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    fn spawn(&self, binary: &Path) -> Child {
        Command::new(binary)
            .arg("--journal")
            .arg(self.journal())
            .arg("--calls")
            .arg(self.folder.join("calls"))
            .args(["--items", "3000", "--latency-ms", "2", "--faults", "0.2", "--json"])
            .args(["--seed", &self.seed.to_string()])
            .args(self.budget.into_iter().flat_map(|budget| ["--budget", budget]))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Every call a model received so far.
    fn received(&self) -> Vec<(u64, String)> {
        let text = std::fs::read_to_string(self.folder.join("calls")).unwrap_or_default();
        let call = |line: &str| {
            let (item, model) = line.split_once(' ')?;
            Some((item.parse().ok()?, model.to_owned()))
        };
        text.lines().filter_map(call).collect()
    }

    /// Every answer that reached the journal so far.
    fn recorded(&self) -> Vec<(u64, String)> {
        let text = std::fs::read_to_string(self.journal()).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let answer = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            record.get("output")?;
            Some((record["index"].as_u64()?, record["model"].as_str()?.to_owned()))
        };
        whole.lines().skip(1).filter_map(answer).collect()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn result(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn killed_at_any_time_it_ends_as_if_it_had_not_been() {
    let kills: u64 = std::env::var("OVERNIGHT_KILLS").map_or(12, |n| n.parse().unwrap());
    kill(kills, None);
}

/// The same where the money ends before the items do: the cap holds over all the runs together.
#[test]
fn killed_under_a_budget_it_spends_no_more() {
    let kills: u64 = std::env::var("OVERNIGHT_KILLS").map_or(6, |n| n.parse().unwrap());
    kill(kills, Some("2.0"));
}

/// Two processes on one journal: the second says so and touches nothing.
#[test]
fn one_process_at_a_time() {
    let (binary, job) = (binary(), Job::new("twice", 1, None));
    let first = job.spawn(&binary);
    while job.recorded().is_empty() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let second = job.spawn(&binary).wait_with_output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && said.contains("open elsewhere"), "{said}");
    let outcome = result(first);
    assert_eq!(outcome["items"], 3_000);
    let distinct: BTreeSet<_> = job.recorded().into_iter().collect();
    assert_eq!(distinct.len(), job.recorded().len());
}

/// Items without an answer.
fn unanswered(outcome: &Value) -> usize {
    let count = |what: &str| usize::try_from(outcome[what].as_u64().unwrap()).unwrap();
    count("items") - count("answered")
}

fn kill(kills: u64, budget: Option<&'static str>) {
    let binary = binary();
    let mut state = 0x9e37_79b9_u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    let mut killed = 0;
    for seed in 1.. {
        if killed >= kills {
            break;
        }
        let calm = Job::new(&format!("calm-{seed}"), seed, budget);
        let start = std::time::Instant::now();
        let expected = result(calm.spawn(&binary));
        let span = u64::try_from(start.elapsed().as_millis()).unwrap().max(50);
        assert_eq!(calm.received().len(), calm.recorded().len());

        let job = Job::new(&format!("killed-{seed}"), seed, budget);
        // For each recorded call, how many calls had been received when it was seen.
        let mut seen: BTreeMap<(u64, String), usize> = BTreeMap::new();
        let (mut lost, mut got) = (0, 0);
        let outcome = loop {
            let mut child = job.spawn(&binary);
            // About eight kills in the time one run takes; none once there were enough.
            let quota = killed < kills;
            if quota {
                std::thread::sleep(Duration::from_millis(1 + random(span / 4)));
            }
            if !quota || child.try_wait().unwrap().is_some() {
                break result(child);
            }
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            let (received, recorded) = (job.received(), job.recorded());
            lost += (received.len() - got) - (recorded.len() - seen.len());
            got = received.len();
            for call in recorded {
                seen.entry(call).or_insert(received.len());
            }
        };
        // Where the money ends, how many of the last items it reaches depends on what was under way.
        let exact = ["policy", "profiled", "digest", "answered", "delivered_failures"];
        for what in exact.iter().take(if budget.is_some() { 2 } else { 5 }) {
            assert_eq!(outcome[what], expected[what], "seed {seed}: {what}");
        }
        if let Some(budget) = budget {
            assert!(unanswered(&expected) > 100, "seed {seed}: the money ends first");
            let cap: f64 = budget.parse().unwrap();
            assert!(outcome["cost"].as_f64().unwrap() <= cap, "seed {seed}: {outcome}");
            assert!(
                unanswered(&outcome).abs_diff(unanswered(&expected)) <= 32 * 20,
                "{outcome} {expected}"
            );
        }
        let (received, recorded) = (job.received(), job.recorded());
        for (position, call) in received.iter().enumerate() {
            let again = seen.get(call).is_some_and(|before| position >= *before);
            assert!(!again, "seed {seed}: {call:?} was recorded and asked again");
        }
        let distinct: BTreeSet<_> = recorded.iter().collect();
        assert_eq!(distinct.len(), recorded.len(), "nothing is recorded twice");
        // One run, what was under way at each kill, and what profiling had under way at its end.
        assert_eq!(received.len(), recorded.len() + lost);
        let alone = calm.recorded().len();
        let apart = LATE + 2 * unanswered(&outcome).abs_diff(unanswered(&expected));
        assert!(recorded.len().abs_diff(alone) <= apart, "{} {alone}", recorded.len());
        assert!(lost as u64 <= killed * 3 * 32);
        let cost = |value: &Value| value["cost"].as_f64().unwrap();
        assert!((cost(&outcome) - cost(&expected)).abs() <= 0.006 * 32.0);
    }
    assert!(killed >= kills);
}
