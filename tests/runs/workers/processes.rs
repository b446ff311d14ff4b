//! What profiling hands over, written to a file and read by workers in other processes: nothing is paid
//! twice, and what was spent is counted once.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use serde_json::{Value, json};
use smart_core::{Answer, Budget, Cost, Event, Families, Handed, Part, Profiled, Report, Smart};

use super::Setting;
use crate::items::{Counted, counted};

const ITEMS: u64 = 900;
const WORKERS: u64 = 3;
/// The test that a worker's process runs.
const TEST: &str = "workers::processes::no_call_is_paid_twice_by_workers_in_other_processes";
/// Where the worker finds what it needs, and which worker it is.
const DIRECTORY: &str = "SMART_CORE_TEST_DIRECTORY";
const WORKER: &str = "SMART_CORE_TEST_WORKER";

fn items() -> Counted {
    counted(ITEMS)
}

/// Single candidates ask about a few items too many, and the judge costs money.
fn setting() -> Setting {
    Setting {
        families: Families::Single,
        judge: true,
        broken_every: 13,
        concurrency: 32,
        ..Setting::new(3)
    }
}

fn cap() -> Cost {
    Cost::from_usd(100.0).unwrap()
}

/// What is changed in a stored file.
type Change = Box<dyn Fn(&mut Value)>;

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down every call that is made.
fn logged(smart: Smart<u64, u32>, log: &Log) -> Smart<u64, u32> {
    let log = Arc::clone(log);
    smart.with_observer(move |event: &Event<'_>| {
        if let Event::CallFinished { model, index, kind, recalled: false, .. } = event {
            // A judge's calls bear the name of the first model only, so of them only the number counts.
            log.lock().unwrap().push(format!("{model:?} {kind:?} {index}"));
        }
    })
}

fn profile(setting: Setting, log: &Log) -> Profiled<u32> {
    let smart = logged(setting.smart().with_budget(Budget::new(cap())), log);
    block_on(smart.profile(&items())).unwrap()
}

/// What one worker does: it reads what was handed over, answers its part, and writes down what it did.
fn work(directory: &Path, worker: u64) {
    let part = Part::even(worker, WORKERS).unwrap();
    let stored = std::fs::read_to_string(directory.join("profiled.json")).unwrap();
    let profiled: Profiled<u32> = serde_json::from_str(&stored).unwrap();
    let plan = profiled.profile.plan().unwrap();
    let ours = worker * ITEMS / WORKERS..(worker + 1) * ITEMS / WORKERS;
    let mine = Handed::from(profiled).only(|index| ours.contains(&index));
    let log = Log::default();
    let budget = Budget::new(Cost::from_nanos(part.share(cap().as_nanos())));
    let executor =
        logged(setting().smart().with_budget(budget), &log).executor(plan, mine).unwrap();
    let mut answers = Vec::new();
    let each = |answer| {
        answers.push(answer);
        Ok::<_, std::io::Error>(())
    };
    block_on(executor.run_part(&items(), ours, each)).unwrap();
    let report = executor.finish().unwrap();
    let calls = log.lock().unwrap().clone();
    let done = serde_json::to_string(&(answers, report, calls)).unwrap();
    std::fs::write(directory.join(format!("{worker}.json")), done).unwrap();
}

/// The workers are processes of this test, told by their environment what to do.
#[test]
fn no_call_is_paid_twice_by_workers_in_other_processes() {
    if let (Ok(directory), Ok(worker)) = (std::env::var(DIRECTORY), std::env::var(WORKER)) {
        return work(&PathBuf::from(directory), worker.parse().unwrap());
    }
    let name = format!("smart-core-processes-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&directory).unwrap();
    let once_log = Log::default();
    let once = logged(setting().smart().with_budget(Budget::new(cap())), &once_log);
    let once = block_on(once.run(&items())).unwrap();

    let log = Log::default();
    let profiled = profile(setting(), &log);
    assert!(profiled.profile.late.len() > 1, "{:?}", profiled.profile.late.len());
    let mut whole = profiled.report().unwrap();
    std::fs::write(directory.join("profiled.json"), serde_json::to_string(&profiled).unwrap())
        .unwrap();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            Command::new(std::env::current_exe().unwrap())
                .args([TEST, "--exact"])
                .env(DIRECTORY, &directory)
                .env(WORKER, worker.to_string())
                .output()
                .unwrap()
        })
        .collect();
    let mut answers: Vec<Answer<u32>> = Vec::new();
    let mut calls = log.lock().unwrap().clone();
    for (worker, output) in workers.iter().enumerate() {
        assert!(output.status.success(), "{output:?}");
        let done = std::fs::read_to_string(directory.join(format!("{worker}.json"))).unwrap();
        let (some, report, made): (Vec<Answer<u32>>, Report, Vec<String>) =
            serde_json::from_str(&done).unwrap();
        answers.extend(some);
        whole = whole.merge(&report).unwrap();
        calls.extend(made);
    }
    std::fs::remove_dir_all(&directory).unwrap();
    answers.sort_by_key(|answer| answer.index);
    assert_eq!(answers, once.answers);
    let models = |calls: &[String]| {
        let calls = calls.iter().filter(|call| !call.contains("Comparison"));
        calls.cloned().collect::<Vec<_>>()
    };
    let (asked, distinct) = (models(&calls), models(&calls).into_iter().collect::<BTreeSet<_>>());
    assert_eq!(asked.len(), distinct.len(), "a call was paid twice");
    assert_eq!(calls.len(), once_log.lock().unwrap().len());
    assert!(whole.is_whole() && whole.cost() == once.report.cost(), "{whole}{}", once.report);
    assert_eq!(whole.delivered, once.report.delivered);
    let budget = whole.budget.unwrap();
    assert_eq!((budget.cap, budget.continued), (cap(), cap()), "one cap, and told once");
}

/// With the calls that came too late, and what was spent on them.
#[test]
fn it_reads_back_bit_for_bit() {
    let (mut failures, mut verdicts) = (0, 0);
    for seed in 0..12 {
        for families in [Families::Single, Families::Auto, Families::Cascade] {
            let setting = Setting { seed, families, ..setting() };
            let profiled = profile(setting, &Log::default());
            let stored = serde_json::to_string(&profiled).unwrap();
            let read: Profiled<u32> = serde_json::from_str(&stored).unwrap();
            assert_eq!(read, profiled);
            assert_eq!(serde_json::to_string(&read).unwrap(), stored);
            read.check(&read.profile.roster, &read.profile.equivalence).unwrap();
            failures += usize::from(stored.contains("\"failure\""));
            verdicts += usize::from(stored.contains("\"equivalent\":"));
        }
    }
    assert!(failures > 0 && verdicts > 0, "{failures} {verdicts}");
}

/// The workers' budgets count what profiling spent as those that were handed it in the same process.
#[test]
fn the_purse_counts_profiling_once() {
    let cap = Cost::from_usd(0.2).unwrap();
    let smart = |cap| setting().smart().with_budget(Budget::new(cap));
    let profiled = block_on(smart(cap).profile(&items())).unwrap();
    let plan = profiled.profile.plan().unwrap();
    let stored = serde_json::to_string(&profiled).unwrap();
    let read: Profiled<u32> = serde_json::from_str(&stored).unwrap();
    let merged = |profiled: &Profiled<u32>| {
        let mut whole = profiled.report().unwrap();
        for worker in 0..WORKERS {
            let share = Part::even(worker, WORKERS).unwrap().share(cap.as_nanos());
            let ours = worker * ITEMS / WORKERS..(worker + 1) * ITEMS / WORKERS;
            let mine = Handed::from(profiled.clone()).only(|index| ours.contains(&index));
            let executor = smart(Cost::from_nanos(share)).executor(plan.clone(), mine).unwrap();
            let each = |_| Ok::<_, std::io::Error>(());
            block_on(executor.run_part(&items(), ours, each)).unwrap();
            whole = whole.merge(&executor.finish().unwrap()).unwrap();
        }
        whole
    };
    let whole = merged(&read);
    assert_eq!(whole, merged(&profiled));
    assert!(whole.delivered.unanswered() > 0, "the money ends: {whole}");
    assert!(whole.cost() <= cap && whole.budget.unwrap().cap == cap, "{whole}");
}

#[test]
fn what_does_not_belong_is_refused_and_says_why() {
    let profiled = profile(setting(), &Log::default());
    let plan = profiled.profile.plan().unwrap();
    let stored = serde_json::to_value(&profiled).unwrap();
    let reference = |value: &Value| value["model"] == 0;
    let late = stored["late"].as_array().unwrap();
    let answered = late.iter().position(|call| call["result"].get("answer").is_some()).unwrap();
    let judged = late.iter().position(|call| call["kind"] == "comparison").unwrap();
    assert!(late.iter().any(reference));
    let first = stored["answers"][0]["index"].clone();
    let elsewhere = stored["late"][answered]["index"].clone();
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut other = stored.clone();
        change(&mut other);
        let read: Profiled<u32> = serde_json::from_value(other).map_err(|e| e.to_string())?;
        let executor = setting().smart().executor(plan.clone(), read);
        executor.map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(changed(&|_| {}), Ok(()));
    let (twice, call) = (stored["answers"][0].clone(), late[answered].clone());
    let cases: Vec<(&str, Change)> = vec![
        ("of version 2, not 1", Box::new(|v| v["version"] = json!(2))),
        ("unknown variant", Box::new(|v| v["label"] = json!("smart-core plan"))),
        ("unknown field `more`", Box::new(|v| v["more"] = json!(1))),
        ("missing field `taken`", Box::new(|v| drop(v.as_object_mut().unwrap().remove("taken")))),
        (
            "is answered twice",
            Box::new(move |v| v["answers"].as_array_mut().unwrap().push(twice.clone())),
        ),
        ("which was not profiled", Box::new(move |v| v["answers"][0]["index"] = elsewhere.clone())),
        ("is not the reference's", Box::new(|v| v["answers"][0]["by"] = json!(1))),
        (
            "it is there twice",
            Box::new(move |v| v["late"].as_array_mut().unwrap().push(call.clone())),
        ),
        ("has two models", Box::new(move |v| v["late"][answered]["other"] = json!(1))),
        (
            "is not of the call's kind",
            Box::new(move |v| v["late"][answered]["kind"] = json!("rating")),
        ),
        ("did not come too late", Box::new(move |v| v["late"][answered]["index"] = first.clone())),
        ("to a model that is not there", Box::new(move |v| v["late"][judged]["other"] = json!(9))),
        (
            "rows are missing",
            Box::new(|v| drop(v["profile"]["evidence"].as_array_mut().unwrap().remove(0))),
        ),
    ];
    for (words, change) in cases {
        let error = changed(&*change).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
    }
    // Another run's.
    let other = profile(Setting { seed: 4, ..setting() }, &Log::default());
    let other: Profiled<u32> =
        serde_json::from_str(&serde_json::to_string(&other).unwrap()).unwrap();
    let error = setting().smart().executor(plan, other).unwrap_err().to_string();
    assert!(error.contains("its seed or population is not the plan's"), "{error}");
}
