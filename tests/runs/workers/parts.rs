//! Any partition of the items, in any order: the same answers, the same merged report.

use std::collections::BTreeMap;

use futures::executor::block_on;
use futures::{StreamExt, stream};
use proptest::prelude::*;
use smart_core::{
    Answer, Model, ModelSpec, Pricing, Profiled, Report, Roster, RosterSpec, Smart, Spending,
    StopReason,
};

use super::Setting;
use crate::items::{Counted, counted};

const ITEMS: u64 = 900;

fn items() -> Counted {
    counted(ITEMS)
}

/// Answers these items on a machine that has nothing but the stored plan, and maybe what profiling
/// answered.
fn work(
    setting: Setting,
    stored: &str,
    part: &[u64],
    profiled: BTreeMap<u64, Answer<u32>>,
) -> (Vec<Answer<u32>>, Report) {
    let plan = serde_json::from_str(stored).unwrap();
    let executor = setting.smart().executor(plan, profiled).unwrap();
    let part = part.to_vec();
    let stream = executor.execute_indexed(stream::iter(part.into_iter().map(|i| (i, i))));
    let answers = block_on(stream.map(Result::unwrap).collect());
    (answers, executor.finish().unwrap())
}

/// Everything at once, on one worker that begins with nothing but the plan.
fn alone(setting: Setting, stored: &str) -> (Vec<Answer<u32>>, Report) {
    let all: Vec<u64> = (0..ITEMS).collect();
    let (mut answers, report) = work(setting, stored, &all, BTreeMap::new());
    answers.sort_by_key(|answer| answer.index);
    (answers, report)
}

fn deal(order: &[u64], worker_of: &[usize], workers: usize) -> Vec<Vec<u64>> {
    let mut parts = vec![Vec::new(); workers];
    for (index, worker) in order.iter().zip(worker_of) {
        parts[worker % workers].push(*index);
    }
    parts
}

fn settings() -> impl Strategy<Value = Setting> {
    (0..40_u64, any::<bool>(), prop_oneof![Just(0_u64), Just(13)], 1..9_usize).prop_map(
        |(seed, judge, broken_every, concurrency)| Setting {
            judge,
            broken_every,
            concurrency,
            ..Setting::new(seed)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_partition_in_any_order_answers_alike(
        setting in settings(),
        order in Just((0..ITEMS).collect::<Vec<u64>>()).prop_shuffle(),
        worker_of in proptest::collection::vec(0..6_usize, usize::try_from(ITEMS).unwrap()),
        workers in 1..7_usize,
        tree in any::<bool>(),
        other_concurrency in 1..9_usize,
    ) {
        let whole = block_on(setting.smart().run(&items())).unwrap();
        let stored = serde_json::to_string(&whole.report.plan).unwrap();
        let (one, report) = alone(setting, &stored);

        let there = Setting { concurrency: other_concurrency, ..setting };
        let mut answers = Vec::new();
        let mut reports = Vec::new();
        for part in deal(&order, &worker_of, workers) {
            let (some, report) = work(there, &stored, &part, BTreeMap::new());
            answers.extend(some);
            reports.push(report);
        }
        answers.sort_by_key(|answer| answer.index);
        prop_assert_eq!(&answers, &one, "one worker or many");

        // And the run that profiled: whatever it profiled it asked more models about.
        for (answer, run) in answers.iter().zip(&whole.answers) {
            prop_assert_eq!((answer.index, &answer.output), (run.index, &run.output));
            prop_assert_eq!((answer.by, answer.reason), (run.by, run.reason));
            if !whole.report.plan.is_profiled(answer.index) {
                prop_assert_eq!(answer, run);
            }
        }

        // The merged report: in any order and grouping the same as the one worker's.
        let first = reports.remove(0);
        let merged = if tree && reports.len() > 1 {
            let rest = reports[1..].iter().fold(reports[0].clone(), |a, b| a.merge(b).unwrap());
            rest.merge(&first).unwrap()
        } else {
            reports.iter().rev().fold(first, |a, b| a.merge(b).unwrap())
        };
        prop_assert_eq!(&merged, &report);
        prop_assert!(merged.is_whole());
        prop_assert_eq!(&merged.plan, &whole.report.plan);
        prop_assert_eq!(merged.allowance(), whole.report.allowance());
        prop_assert_eq!(&merged.delivered, &whole.report.delivered);
        prop_assert_eq!(merged.stopped, StopReason::Elsewhere);
    }
}

#[test]
fn workers_handed_what_profiling_answered_cost_no_more_than_the_run() {
    let setting = Setting { judge: true, ..Setting::new(3) };
    let whole = block_on(setting.smart().run(&items())).unwrap();
    let profiled = block_on(setting.smart().profile(&items())).unwrap();
    let by_profiler = profiled.report().unwrap();
    let Profiled { profile, answers, .. } = profiled;
    let plan = profile.plan().unwrap();
    assert_eq!(plan, whole.report.plan);
    let stored = serde_json::to_string(&plan).unwrap();
    let mut merged = by_profiler;
    for part in [0..300_u64, 300..ITEMS] {
        let mine = answers.iter().filter(|(index, _)| part.contains(index));
        let mine = mine.map(|(index, answer)| (*index, answer.clone())).collect();
        let (_, report) = work(setting, &stored, &part.collect::<Vec<_>>(), mine);
        merged = merged.merge(&report).unwrap();
    }
    assert_eq!(merged.delivered, whole.report.delivered);
    assert_eq!((merged.stopped, merged.profiled), (whole.report.stopped, whole.report.profiled));
    assert_eq!(merged.overshoot, profile.late.len() as u64);
    assert_eq!(merged.profiling, whole.report.profiling);
    // What was under way when profiling ended is used by the run, and asked anew by the workers.
    if profile.late.is_empty() {
        assert_eq!(merged, whole.report);
    }
    assert!(merged.cost() >= whole.report.cost());
    let calls = |report: &Report| -> u64 { report.execution.iter().map(Spending::calls).sum() };
    assert!(calls(&merged) <= calls(&whole.report) + profile.late.len() as u64 * 4);
}

#[test]
fn a_part_says_how_much_of_the_whole_it_is() {
    let setting = Setting::new(5);
    let whole = block_on(setting.smart().run(&items())).unwrap();
    let stored = serde_json::to_string(&whole.report.plan).unwrap();
    let (_, half) = work(setting, &stored, &(0..450).collect::<Vec<_>>(), BTreeMap::new());
    assert!(!half.is_whole());
    assert!(half.to_string().contains("on 450 items so far"), "{half}");
    assert!(!half.to_string().contains("times cheaper"), "{half}");
    let twice = half.clone().merge(&half).unwrap().merge(&half).unwrap();
    assert!(!twice.is_whole(), "a part counted twice shows");
    let text = serde_json::to_string(&half).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), half);
    // The run's own report takes the others' on: profiling is told once.
    let both = whole.report.clone().merge(&half).unwrap();
    assert_eq!(both.stopped, whole.report.stopped);
    assert_eq!(both.profiling, whole.report.profiling);
    assert_eq!(both, half.merge(&whole.report).unwrap());
}

#[test]
fn reports_of_different_plans_are_kept_apart() {
    let report = |seed| block_on(Setting::new(seed).smart().run(&items())).unwrap().report;
    let said = report(1).merge(&report(2)).unwrap_err().to_string();
    assert!(said.contains("they follow different plans"), "{said}");
}

#[test]
fn a_stored_plan_names_what_a_machine_lacks() {
    let setting = Setting::new(1);
    let profile = block_on(setting.smart().profile(&items())).unwrap().profile;
    let plan = profile.plan().unwrap();
    let name = profile.equivalence.clone();
    let models: Vec<ModelSpec> = plan.roster.clone().into();
    let say = |models: Vec<ModelSpec>| {
        let here = RosterSpec::new(models).unwrap();
        plan.check(&here, &name).unwrap_err().to_string()
    };
    let said = say(models[..2].to_vec());
    assert!(said.contains("`sure` is missing; `rated` is missing"), "{said}");
    let mut other = models.clone();
    other[1] = other[1].clone().with_version("prompt 2");
    other[3] = ModelSpec::new("tiny");
    let said = say(other);
    assert!(said.contains("the version of `small` was `none` and is now `prompt 2`"), "{said}");
    assert!(said.contains("a candidate was `rated` and is now `tiny`"), "{said}");
    let mut turned = models.clone();
    turned.swap(1, 2);
    let said = say(turned);
    assert!(
        said.contains("the position of `small` in the roster has changed")
            && said.contains("the position of `sure` in"),
        "{said}"
    );
    let mut more = models.clone();
    more.push(ModelSpec::new("extra"));
    assert!(say(more).contains("`extra` is new"));
    // Prices may be others.
    let dearer: Vec<ModelSpec> = models
        .into_iter()
        .map(|model| model.with_pricing(Pricing::per_request(1.0).unwrap()))
        .collect();
    plan.check(&RosterSpec::new(dearer).unwrap(), &name).unwrap();
    // A worker finds out when it binds the plan, before any call.
    let large = smart_core::backend::Simulated::reference(1);
    let roster = Roster::new(Model::new("large", large), []).unwrap();
    let bare = Smart::new(roster, smart_core::equivalence::Exact, plan.target);
    let said = bare.executor(plan, BTreeMap::new()).unwrap_err().to_string();
    assert!(said.contains("`small` is missing"), "{said}");
}
