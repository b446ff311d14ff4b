//! Every format that is read, given anything: an error, or something that can be used. Never a
//! panic, and never something that does not read back as it was written.
//!
//! The fuzz targets in `fuzz/` and the short seeded version in `tests/formats.rs` call these.
#![allow(dead_code, reason = "each fuzz target uses one")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use smart_core::evidence::{Agreement, CandidateRecord, ItemEvidence};
use smart_core::journal::{FileJournal, Journal};
use smart_core::plan::{Heard, Move, Scored};
use smart_core::profile::{ProfileMachine, Step};
use smart_core::replay::{Replay, Trace};
use smart_core::{Handed, Plan, Profile, Profiled, Report, Usage};

/// The population up to which a stored profile is planned from: calibrating for billions of items
/// takes a second, and there is nothing more to be found.
const PLANNED: u64 = 20_000;

/// A file of its own for each process and thread, gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(ending: &str) -> Self {
        let thread = format!("{:?}", std::thread::current().id());
        let thread: String = thread.chars().filter(char::is_ascii_digit).collect();
        let name = format!("formats-{}-{thread}.{ending}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What is read is written and read again the same.
fn read<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) -> Option<T> {
    let value: T = serde_json::from_str(text).ok()?;
    let again: T = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
    assert_eq!(value, again);
    Some(value)
}

/// A journal: refused as it is, or mended at its end and read whole.
pub(crate) fn journal(bytes: &[u8]) -> bool {
    let file = Scratch::new("jsonl");
    std::fs::write(&file.0, bytes).unwrap();
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let Ok(journal) = FileJournal::open(&file.0) else {
        assert_eq!(std::fs::read(&file.0).unwrap(), bytes, "a file that is refused is left alone");
        return false;
    };
    assert_eq!(std::fs::read(&file.0).unwrap(), &bytes[..whole], "only a torn line is cut off");
    assert_eq!(journal.torn().is_some(), whole < bytes.len());
    let mut count = 0;
    let header = journal.header();
    let records = journal.read(&mut |_| {
        count += 1;
        Ok(())
    });
    let lines = bytes[..whole].split(|byte| *byte == b'\n').count() - 1;
    if records.is_ok() {
        assert_eq!(count, lines.saturating_sub(1), "no line is skipped");
    }
    matches!((header, records), (Ok(Some(_)), Ok(_)))
}

/// A profile: what is read can be planned from.
pub(crate) fn profile(text: &str) -> bool {
    let Some(profile) = read::<Profile>(text) else { return false };
    if profile.order.population() > PLANNED {
        return true;
    }
    if let Ok(plan) = profile.plan() {
        follow(&plan);
    }
    true
}

/// What profiling hands over: what is read can be checked, reported and dealt out.
pub(crate) fn profiled(text: &str) -> bool {
    let Some(profiled) = read::<Profiled<u32>>(text) else { return false };
    let profile = &profiled.profile;
    if profile.order.population() > PLANNED {
        return true;
    }
    let sound = profiled.check(&profile.roster, &profile.equivalence).is_ok();
    if let Ok(report) = profiled.report().and_then(|report| report.clone().merge(&report)) {
        assert!(!report.to_string().is_empty());
    }
    let _ = Handed::from(profiled).only(|index| index.is_multiple_of(2));
    sound
}

/// A plan: what is read can be followed, for any item.
pub(crate) fn plan(text: &str) -> bool {
    let Some(plan) = read::<Plan>(text) else { return false };
    follow(&plan);
    true
}

/// A report: what is read can be printed, and merged.
pub(crate) fn report(text: &str) -> bool {
    let Some(report) = read::<Report>(text) else { return false };
    assert!(!report.to_string().is_empty());
    let _ = (report.saving(), report.profiling_cost());
    if let Ok(twice) = report.clone().merge(&report) {
        assert!(
            !twice.to_string().is_empty() && twice.delivered.items() >= report.delivered.items()
        );
    }
    follow(&report.plan);
    true
}

/// A trace, its meta file in the first line: what is read can be replayed, or says why not.
pub(crate) fn trace(bytes: &[u8]) -> bool {
    let file = Scratch::new("jsonl");
    let meta = Scratch(file.0.with_extension("meta.json"));
    let split = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at(split);
    std::fs::write(&meta.0, first).unwrap();
    std::fs::write(&file.0, rest.strip_prefix(b"\n").unwrap_or_default()).unwrap();
    let Ok(trace) = Trace::read(&file.0) else { return false };
    let Ok(replay) = Replay::new(trace, None, None, BTreeMap::new()) else { return false };
    let _ = (replay.roster(), replay.outcomes(), replay.reference_cost(), replay.uncosted());
    for index in replay.items() {
        for name in replay.candidates() {
            let _ = (replay.agrees(index, name), replay.answer_cost(index, name));
        }
    }
    true
}

/// A profiler at rest: what is read goes on.
pub(crate) fn machine(text: &str) -> bool {
    let Ok(mut machine) = serde_json::from_str::<ProfileMachine>(text) else { return false };
    let written = serde_json::to_string(&machine).unwrap();
    let again: ProfileMachine = serde_json::from_str(&written).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), written);
    machine.reopen();
    for _ in 0..200 {
        let Step::Profile(request) = machine.poll_step() else { break };
        machine.handle_outcome(evidence(&machine, request)).unwrap();
    }
    follow(&machine.plan("any"));
    true
}

/// Something that answers a request.
pub(crate) fn evidence(
    machine: &ProfileMachine,
    request: smart_core::profile::Request,
) -> ItemEvidence {
    let usage = Some(Usage::tokens(100 + request.index % 7, 3));
    let mut item = ItemEvidence::new(request.index, request.index % 97 != 5, usage);
    let candidate = |id: smart_core::ModelId| {
        let agreement = match (request.index + id.position() as u64) % 13 {
            0 => Agreement::Differs,
            1 if request.index.is_multiple_of(3) => Agreement::NoAnswer,
            _ if !item.answered => Agreement::Differs,
            _ => Agreement::Agrees,
        };
        request.ask.contains(id).then(|| CandidateRecord::new(agreement, usage))
    };
    item.candidates = machine.roster().candidates().map(candidate).collect();
    item
}

/// Follows a plan for a few items, whatever is answered.
fn follow(plan: &Plan) {
    let _ = (plan.policy.describe(&plan.roster), plan.forecast.saving(), plan.models().len());
    let _ = plan.certificate.as_ref().map(ToString::to_string);
    for index in [0, 1, plan.order.population() / 2, plan.order.population().saturating_sub(1)] {
        if index >= plan.order.population() {
            continue;
        }
        let _ = plan.is_profiled(index);
        let mut known = plan.start(index, Some(0.5));
        let mut moves = 0;
        loop {
            moves += 1;
            assert!(moves < 10, "a policy comes to an end");
            let answer = Heard::Answer { score: Scored::Unrated };
            match plan.policy.next(&known) {
                Move::Ask(_) if known.first == Heard::Nothing => known.first = answer,
                Move::Ask(_) => known.second = answer,
                Move::Rate(_) => {
                    let rated = Heard::Answer { score: Scored::Known(Some(0.5)) };
                    let unrated = |heard: &Heard| *heard == answer;
                    if unrated(&known.first) { known.first = rated } else { known.second = rated }
                }
                Move::Compare(..) => known.agree = Some(index.is_multiple_of(2)),
                Move::Accept(_) | Move::Escalate => break,
            }
        }
    }
}
