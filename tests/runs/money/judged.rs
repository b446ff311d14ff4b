//! A judge that costs money: its price is weighed like that of every other call.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::executor::block_on;
use smart_core::backend::Simulated;
use smart_core::journal::FileJournal;
use smart_core::{
    BackendError, Budget, Cost, Equivalence, ExpectedUsage, Families, Model, Pricing,
    ProfileSettings, Report, Roster, SettingsError, Smart, Stop, Target, Usage, Verdict,
    async_trait,
};

use crate::items::counted;

const ITEMS: u64 = 5_000;
/// What the reference costs an item, in dollars; the candidates cost a twentieth of it.
const LARGE: f64 = 0.01;

/// Compares labels, at a price for each comparison.
struct Judge(Pricing);

#[async_trait]
impl Equivalence<u64, u32> for Judge {
    async fn compare(&self, _: &u64, a: &u32, b: &u32) -> Result<Verdict, BackendError> {
        Ok(Verdict::new(a == b).with_usage(Usage::default()))
    }
    fn pricing(&self) -> Pricing {
        self.0
    }
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("judge, prompt 1")
    }
}

fn price(dollars: f64) -> Pricing {
    Pricing::per_request(dollars).unwrap()
}

fn smart(agreements: &[f64], judge: Pricing) -> Smart<u64, u32> {
    let small = agreements.iter().enumerate().map(|(at, agreement)| {
        let name = format!("small {at}");
        let backend = Simulated::candidate(&name, *agreement, 7);
        Model::new(name, backend).with_pricing(price(LARGE / 20.0))
    });
    let large = Model::new("large", Simulated::reference(7)).with_pricing(price(LARGE));
    let roster = Roster::new(large, small.collect::<Vec<_>>()).unwrap();
    Smart::new(roster, Judge(judge), Target::new(0.95, 0.95).unwrap())
}

fn report(agreements: &[f64], judge: f64, seed: u64) -> Report {
    let items = counted(ITEMS);
    block_on(smart(agreements, price(judge)).with_seed(seed).run(&items)).unwrap().report
}

#[test]
fn no_run_pays_more_for_judging_than_the_reference_would_cost() {
    // One that fails too often to be tested whole, and six of which pairs might check each other.
    for agreements in [&[0.75][..], &[0.88, 0.86, 0.84, 0.82, 0.8, 0.78]] {
        for judge in [0.5 * LARGE, LARGE] {
            for seed in 1..4 {
                let report = report(agreements, judge, seed);
                let (cost, alone) = (report.cost().as_usd(), ITEMS as f64 * LARGE);
                assert!(cost < 1.05 * alone, "{cost} instead of {alone}:\n{report}");
            }
        }
    }
}

/// Judging one answer costs a third of what the reference costs for all items.
#[test]
fn the_first_comparison_shows_that_a_judge_is_too_dear() {
    let items = counted(300);
    for families in [Families::Auto, Families::Single, Families::Mix, Families::Consensus] {
        let settings = ProfileSettings::default().with_families(families);
        let smart = smart(&[0.98, 0.97, 0.96, 0.95], price(100.0 * LARGE)).with_settings(settings);
        let report = block_on(smart.run(&items)).unwrap().report;
        assert_eq!(report.profiled, 1, "{families:?}");
        assert!(report.judging.comparisons <= 10, "{families:?}: {report}");
        let why = "judging costs more than could be saved";
        assert!(families != Families::Single || report.to_string().contains(why), "{report}");
    }
}

#[test]
fn a_dear_judge_is_asked_less_often_than_a_free_one() {
    let mut spent = 0.0;
    for seed in 1..5 {
        let (free, dear) = (report(&[0.94], 0.0, seed), report(&[0.94], LARGE, seed));
        assert!(2 * dear.judging.comparisons < free.judging.comparisons, "{free}\n{dear}");
        // One candidate is compared in profiling alone, where the report counts it.
        let calls = dear.profiling.iter().map(|spent| spent.cost).sum::<Cost>();
        assert_eq!(dear.profiling_cost(), calls + dear.judging.cost);
        spent += dear.cost().as_usd();
    }
    assert!(spent < 0.8 * 4.0 * ITEMS as f64 * LARGE, "{spent} for four runs");
}

#[test]
fn a_forecast_counts_what_judging_costs() {
    let forecast =
        |judge: f64| smart(&[0.97], price(judge)).forecast(ITEMS, Usage::default()).unwrap();
    let (free, dear) = (forecast(0.0), forecast(LARGE));
    assert!(free.cost < dear.cost && free.high < dear.high);
    assert_eq!(free.reference_cost, dear.reference_cost);

    let by_tokens = smart(&[0.97], Pricing::per_million(1.0, 1.0).unwrap());
    let error = by_tokens.forecast(ITEMS, Usage::default()).unwrap_err();
    let unknown = SettingsError::UnknownUsage { model: "judge, prompt 1".to_owned() };
    assert_eq!(error, unknown);
}

/// What the judge uses is told; without that it is taken to use as much as a model.
#[test]
fn a_forecast_knows_what_the_judge_and_each_model_use() {
    let tokens = Pricing::per_million(1.0, 1.0).unwrap();
    let (item, comparison) = (Usage::tokens(9_000, 1_000), Usage::tokens(90, 10));
    let told = ExpectedUsage::new(item).with_judge(comparison);
    let forecast =
        |judge: Pricing, usage: ExpectedUsage| smart(&[0.97], judge).forecast(ITEMS, usage);
    let dear = forecast(tokens, item.into()).unwrap();
    let cheap = forecast(tokens, told.clone()).unwrap();
    assert!(cheap.cost < dear.cost && cheap.high < dear.high, "{cheap}, {dear}");
    // 100 tokens at a millionth each.
    assert_eq!(cheap, forecast(price(0.0001), item.into()).unwrap());
    // As close as a forecast is: the run's own judge says what it used.
    let billed = |usd: f64| Usage::billed(Cost::from_usd(usd).unwrap());
    let by_bill = ExpectedUsage::new(Usage::default()).with_judge(billed(0.0001));
    assert_eq!(forecast(Pricing::default(), by_bill).unwrap(), cheap);
    // A relation without prices calls nobody, whatever the models use.
    let free = forecast(Pricing::default(), billed(0.02).into()).unwrap();
    let relation = ExpectedUsage::new(billed(0.02)).with_judge(Usage::default());
    assert_eq!(free, forecast(Pricing::default(), relation).unwrap());

    // The reference writes more than the others, or the candidate does.
    let model = |name: &str| told.clone().with_model(name, billed(0.05));
    let (long, small) = (forecast(tokens, model("large")), forecast(tokens, model("small 0")));
    assert_eq!(long.unwrap().reference_cost, Cost::from_usd(0.05).unwrap().times(ITEMS));
    let small = small.unwrap();
    assert_eq!((small.cost, small.reference_cost), (cheap.reference_cost, cheap.reference_cost));
    let error = forecast(tokens, model("smal")).unwrap_err();
    assert_eq!(error, SettingsError::UsageModel { model: "smal".to_owned() });
    assert!(error.to_string().contains("`smal`, which is not in the roster"), "{error}");
    // What is told for the judge lacks its tokens.
    let silent = ExpectedUsage::new(item).with_judge(Usage::default());
    let unknown = SettingsError::UnknownUsage { model: "judge, prompt 1".to_owned() };
    assert_eq!(forecast(tokens, silent).unwrap_err(), unknown);
}

/// A judge without prices that bills a dollar for each comparison. After some comparisons it hangs.
#[derive(Clone, Default)]
struct Billing {
    calls: Arc<AtomicU64>,
    answers: Arc<AtomicU64>,
}

#[async_trait]
impl Equivalence<u64, u32> for Billing {
    async fn compare(&self, _: &u64, a: &u32, b: &u32) -> Result<Verdict, BackendError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) >= self.answers.load(Ordering::SeqCst) {
            futures::future::pending::<()>().await;
        }
        Ok(Verdict::new(a == b).with_usage(Usage::billed(Cost::from_usd(1.0).unwrap())))
    }
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("judge that bills itself")
    }
}

impl Billing {
    /// A run of which the first attempt dies once the judge has given `verdicts`; then the judge answers.
    fn killed_after(&self, verdicts: u64, name: &str, budget: Option<Budget>) -> (Killed, u64) {
        let file = format!("smart-core-judged-{name}-{}.jsonl", std::process::id());
        let path = std::env::temp_dir().join(file);
        let _ = std::fs::remove_file(&path);
        let killed = Killed { judge: self.clone(), path };
        self.answers.store(verdicts, Ordering::SeqCst);
        let items = counted(1_000);
        assert!(killed.smart(budget).run(&items).now_or_never().is_none());
        self.answers.store(u64::MAX, Ordering::SeqCst);
        let hung = self.calls.swap(0, Ordering::SeqCst) - verdicts;
        (killed, hung)
    }
}

struct Killed {
    judge: Billing,
    path: std::path::PathBuf,
}

impl Killed {
    fn smart(&self, budget: Option<Budget>) -> Smart<u64, u32> {
        let large = Model::new("large", Simulated::reference(7)).with_pricing(price(1.0));
        let small = Simulated::candidate("small", 0.97, 7);
        let small = Model::new("small", small).with_pricing(price(0.01));
        let target = Target::new(0.9, 0.9).unwrap();
        let smart = Smart::new(Roster::new(large, [small]).unwrap(), self.judge.clone(), target)
            .with_concurrency(100)
            .with_settings(ProfileSettings::default().with_families(Families::Single))
            .with_journal(FileJournal::open(&self.path).unwrap());
        match budget {
            Some(budget) => smart.with_budget(budget),
            None => smart,
        }
    }

    /// Takes the run up again; returns its report and how often it called the judge.
    fn again(&self, smart: &Smart<u64, u32>) -> (Report, u64) {
        let items = counted(1_000);
        let report = block_on(smart.run(&items)).unwrap().report;
        (report, self.judge.calls.swap(0, Ordering::SeqCst))
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn bounded(cap: Cost) -> Budget {
    let usd = |amount| Cost::from_usd(amount).unwrap();
    let budget = Budget::new(cap).with_judge_bound(usd(1.0));
    budget.with_call_bound("large", usd(1.0)).with_call_bound("small", usd(0.01))
}

#[test]
fn a_judge_that_bills_itself_is_held_to_the_budget() {
    let usd = |amount| Cost::from_usd(amount).unwrap();
    let (killed, hung) = Billing::default().killed_after(0, "budget", Some(bounded(usd(2_000.0))));
    assert!(hung > 10, "{hung}");
    // Every answer is recorded, and there is a dollar left for the verdicts.
    let cap = usd(1.01 * hung as f64 + 1.0);
    let (report, calls) = killed.again(&killed.smart(Some(bounded(cap))));
    assert!(report.cost() <= cap, "{} of {cap}", report.cost());
    assert_eq!(calls, 1, "{report}");
}

#[test]
fn a_judge_that_bills_itself_is_not_called_after_a_stop() {
    let stop = Stop::new();
    stop.stop();
    // It is known to bill by its bound, or by a verdict in the journal.
    let bound = bounded(Cost::from_usd(2_000.0).unwrap());
    for (verdicts, name, budget) in [(0, "bound", Some(bound)), (1, "verdict", None)] {
        let (killed, hung) = Billing::default().killed_after(verdicts, name, budget.clone());
        assert!(hung > 10, "{hung}");
        let (report, calls) = killed.again(&killed.smart(budget).with_stop(stop.clone()));
        assert_eq!(calls, 0, "{name}: {report}");
    }
}
