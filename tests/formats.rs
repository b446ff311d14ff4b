//! Every format that is read, damaged in a thousand ways from a seed: a short version of the fuzz
//! targets in `fuzz/`, which go on for as long as they are let.
#![cfg(all(feature = "json", feature = "replay", feature = "conformance"))]

#[path = "formats/elsewhere.rs"]
mod elsewhere;
#[path = "formats/reading.rs"]
mod reading;

use futures::executor::block_on;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::journal::FileJournal;
use smart_core::profile::{ProfileMachine, Step};
use smart_core::{
    Audit, Cost, Families, Model, Order, Pricing, ProfileSettings, Report, Roster, Smart, Target,
    Usage,
};

/// What stands in a damaged place: what numbers, words and brackets are most often wrong about.
const STRANGE: [&str; 16] = [
    "0",
    "-1",
    "1",
    "64",
    "255",
    "18446744073709551615",
    "9007199254740993",
    "1e308",
    "0.9999999999",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "\"reference\"",
    "[[1,2]]",
];

fn roster() -> Roster<u64, u32> {
    let model = |simulated: Simulated, price: f64| {
        let name = simulated.name().to_owned();
        let backend = simulated.with_usage(Usage::tokens(1_000, 10));
        Model::new(name, backend).with_pricing(Pricing::per_million(price, price).unwrap())
    };
    let small = Simulated::candidate("small", 0.93, 5).with_confidence(0.8);
    let tiny = Simulated::candidate("tiny", 0.8, 5);
    Roster::new(model(Simulated::reference(5), 10.0), [model(small, 0.2), model(tiny, 0.1)])
        .unwrap()
}

fn smart(families: Families) -> Smart<u64, u32> {
    Smart::new(roster(), Exact, Target::new(0.9, 0.9).unwrap())
        .with_seed(3)
        .with_settings(ProfileSettings::default().with_families(families))
}

fn items() -> Vec<u64> {
    (0..300).collect()
}

/// The ways a file goes wrong: cut off, a byte changed, a number or word replaced, a part left out,
/// a part twice, two parts swapped.
fn damaged(bytes: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = |random: &mut ChaCha8Rng| random.random_range(0..bytes.len());
    let (a, b) = (at(random), at(random));
    let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 400));
    match random.random_range(0..8_u8) {
        0 => bytes.truncate(from),
        1 => bytes[from] = random.random(),
        2 => drop(bytes.drain(from..to)),
        3 => {
            let part = bytes[from..to].to_vec();
            bytes.splice(to..to, part);
        }
        4 => bytes[from..to].reverse(),
        _ => {
            // The next value after a colon, a comma or a bracket, up to where it ends.
            let starts = |byte: &u8| b":[,".contains(byte);
            let ends = |byte: &u8| b",]}".contains(byte);
            let start =
                bytes[from..].iter().position(starts).map_or(from, |place| from + place + 1);
            let end = bytes[start..].iter().position(ends).map_or(start, |place| start + place);
            let strange = STRANGE[random.random_range(0..STRANGE.len())];
            bytes.splice(start..end, strange.bytes());
        }
    }
    bytes
}

/// Reads `whole`, which is sound, and so many damaged copies of it. Returns how many were read all
/// the same.
///
/// With `FORMATS_SEEDS=fuzz/corpus` the sound ones are put there, for the fuzz targets to begin with.
fn read_damaged(target: &str, whole: &[u8], times: u64, read: impl Fn(&[u8]) -> bool) -> u64 {
    if let Ok(folder) = std::env::var("FORMATS_SEEDS") {
        let folder = std::path::Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(whole.len().to_string()), whole).unwrap();
    }
    assert!(read(whole), "{}", String::from_utf8_lossy(&whole[..whole.len().min(500)]));
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut good = 0;
    for _ in 0..times {
        let mut bytes = damaged(whole, &mut random);
        if random.random_range(0..3_u8) == 0 && !bytes.is_empty() {
            bytes = damaged(&bytes, &mut random);
        }
        good += u64::from(read(&bytes));
    }
    // Damage that is never noticed, or always, would mean that nothing was read.
    assert!(good > times / 50 && good < times, "{good} of {times} were read");
    good
}

fn text(read: impl Fn(&str) -> bool) -> impl Fn(&[u8]) -> bool {
    move |bytes| std::str::from_utf8(bytes).is_ok_and(&read)
}

#[test]
fn journals() {
    let path = std::env::temp_dir().join(format!("formats-{}.journal", std::process::id()));
    let journal = FileJournal::open(&path).unwrap();
    block_on(smart(Families::Auto).with_journal(journal).run(&items())).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let end = whole[..6_000].iter().rposition(|byte| *byte == b'\n').unwrap();
    read_damaged("journal", &whole[..=end], 3_000, reading::journal);
}

#[test]
fn profiles_plans_and_reports() {
    for families in [Families::Auto, Families::Single, Families::Cascade] {
        let profiled = block_on(smart(families).profile(&items())).unwrap();
        let profile = serde_json::to_vec(&profiled.profile).unwrap();
        read_damaged("profile", &profile, 400, text(reading::profile));
        let handed = serde_json::to_vec(&profiled).unwrap();
        read_damaged("profiled", &handed, 400, text(reading::profiled));
        let plan = serde_json::to_vec(&profiled.profile.plan().unwrap()).unwrap();
        read_damaged("plan", &plan, 1_500, text(reading::plan));
        let capped = smart(families).with_budget(Cost::from_usd(2.0).unwrap());
        let watched = capped.with_reference_check(3).with_audit(Audit::new(0.2).unwrap());
        let report = block_on(watched.run(&items())).unwrap().report;
        read_damaged("report", &serde_json::to_vec(&report).unwrap(), 1_500, text(reading::report));
    }
}

#[test]
fn a_report_says_what_it_is_and_of_which_version() {
    let report = block_on(smart(Families::Single).run(&items())).unwrap().report;
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.starts_with(r#"{"label":"smart-core report","version":1,"#), "{}", &text[..80]);
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    let read = |text: &str| serde_json::from_str::<Report>(text).unwrap_err().to_string();
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    assert!(read(&newer).starts_with("the report cannot be read: it is of version 2, not 1"));
    let plan = text.replacen("smart-core report", "smart-core plan", 1);
    assert!(read(&plan).contains("`smart-core plan`"), "{}", read(&plan));
    let unlabelled = text.replacen("\"label\":\"smart-core report\",", "", 1);
    assert!(read(&unlabelled).contains("missing field `label`"), "{}", read(&unlabelled));
    let mut other = report.clone();
    other.version = 2;
    let refused = report.merge(&other).unwrap_err().to_string();
    assert!(refused.contains("it is of version 2, not 1"), "{refused}");
}

#[test]
fn figures_of_stored_reports_that_cannot_be_are_added_up_all_the_same() {
    let audited = smart(Families::Single).with_audit(Audit::new(0.2).unwrap());
    let capped = audited.with_budget(Cost::from_usd(2.0).unwrap());
    let report = block_on(capped.run(&items())).unwrap().report;
    let mut stored = serde_json::to_value(&report).unwrap();
    for part in ["delivered", "budget", "audit", "judging"] {
        for (name, value) in stored[part].as_object_mut().unwrap() {
            if value.is_u64() && !["share", "limit"].contains(&name.as_str()) {
                *value = u64::MAX.into();
            }
        }
    }
    stored["delivered"]["by_model"][0] = u64::MAX.into();
    let absurd: Report = serde_json::from_value(stored).unwrap();
    let twice = absurd.clone().merge(&absurd).unwrap();
    assert_eq!(twice.delivered.items(), u64::MAX);
    assert!(!twice.is_whole() && !twice.to_string().is_empty());
}

#[test]
fn traces() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/replay");
    let mut whole = std::fs::read(folder.join("reviews.meta.json")).unwrap();
    whole.retain(|byte| *byte != b'\n');
    whole.push(b'\n');
    let lines = std::fs::read_to_string(folder.join("reviews.jsonl")).unwrap();
    whole.extend(lines.lines().take(20).collect::<Vec<_>>().join("\n").bytes());
    read_damaged("trace", &whole, 2_000, reading::trace);
}

fn machine(families: Families, target: f64, budget: Option<Cost>) -> ProfileMachine {
    let order = Order::new(700, 3);
    let settings = ProfileSettings::default().with_families(families);
    let target = Target::new(target, 0.9).unwrap();
    ProfileMachine::new(roster().spec(), Pricing::default(), target, order, &settings)
        .unwrap()
        .with_budget(budget)
}

#[test]
fn machines() {
    for families in [Families::Auto, Families::Single] {
        let mut machine = machine(families, 0.9, None);
        for _ in 0..25 {
            let Step::Profile(request) = machine.poll_step() else { break };
            machine.handle_outcome(reading::evidence(&machine, request)).unwrap();
        }
        let whole = serde_json::to_vec(&machine).unwrap();
        read_damaged("machine", &whole, 400, text(reading::machine));
    }
}

/// What decides is the same after it was stored, whatever stores it.
#[test]
fn what_is_stored_survives_other_formats() {
    for families in [Families::Auto, Families::Cascade, Families::Consensus, Families::Single] {
        let smart = smart(families).with_router(|item: &u64| 1.0 / (*item + 3) as f64);
        let profiled = block_on(smart.profile(&items())).unwrap();
        let plan = profiled.profile.plan().unwrap();
        assert_eq!(elsewhere::inexactly(&plan).policy, plan.policy);
        assert_eq!(elsewhere::by_order(&plan), plan);
        assert_eq!(elsewhere::inexactly(&profiled.profile), profiled.profile);
        assert_eq!(elsewhere::by_order(&profiled.profile), profiled.profile);
        let handed = elsewhere::by_order(&profiled);
        assert_eq!((&handed.profile, &handed.answers), (&profiled.profile, &profiled.answers));
        let report = block_on(smart.run(&items())).unwrap().report;
        assert_eq!(elsewhere::by_order(&report), report);
    }
}

/// Stored and read back at any moment, a profiler goes on as if nothing had happened.
#[test]
fn a_machine_at_rest_loses_nothing() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for case in 0..60 {
        let families = [Families::Auto, Families::Single, Families::Mix][case % 3];
        let budget = (case % 4 == 3).then(|| Cost::from_usd(0.01 * case as f64).unwrap());
        let target = [0.7, 0.9, 0.95][case % 5 % 3];
        let mut moved = machine(families, target, budget);
        let mut steady = moved.clone();
        let mut open = Vec::new();
        let mut told = Vec::new();
        for turn in 0.. {
            let step = steady.poll_step();
            assert_eq!(moved.poll_step(), step, "case {case}, turn {turn}");
            match step {
                Step::Profile(request) => open.push(request),
                Step::Done if open.is_empty() => break,
                _ => {}
            }
            let busy = matches!(step, Step::Profile(_)) && random.random_range(0..4_u8) > 0;
            if !busy && !open.is_empty() {
                let request = open.swap_remove(random.random_range(0..open.len()));
                let item = reading::evidence(&steady, request);
                steady.handle_outcome(item.clone()).unwrap();
                moved.handle_outcome(item).unwrap();
            }
            if random.random_range(0..3_u8) == 0 {
                while let Some(decision) = steady.poll_decision() {
                    told.push(decision);
                    assert_eq!(moved.poll_decision().as_ref(), told.last());
                }
            }
            if turn == 40 + case && case % 10 == 0 {
                steady.stop(smart_core::StopReason::Caller);
                moved.stop(smart_core::StopReason::Caller);
            }
            if random.random_range(0..12_u8) == 0 {
                moved = elsewhere::inexactly(&moved);
                moved = elsewhere::by_order(&moved);
                assert_eq!(moved.in_flight(), open.len());
            }
        }
        assert_eq!(moved.stopped(), steady.stopped());
        assert_eq!(moved.plan("any"), steady.plan("any"));
        assert_eq!(moved.into_evidence(), steady.into_evidence());
    }
}
