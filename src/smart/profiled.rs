//! The result of profiling alone: [`Profiled`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::stored::{Label, PROFILED_VERSION, by_index, late, this_version};
use crate::answer::Answer;
use crate::calls::{CallKey, Calls, Kept};
use crate::error::RunError;
use crate::ledger::{Budgeted, Fault, Spending};
use crate::plan::Plan;
use crate::pricing::Cost;
use crate::profile::Profile;
use crate::report::Report;

/// The result of profiling: the evidence, and the reference's answers on the profiled items.
///
/// Store it with serde to execute elsewhere or later: whoever reads it pays for no call of profiling again,
/// and counts what profiling spent towards its [`Budget`](crate::Budget). The outputs must come back from
/// the format as they went in; JSON, for one, makes `null` of a NaN. What another version wrote is refused on
/// reading, and what belongs to another run by [`Smart::executor`](crate::Smart::executor).
///
/// ```
/// use smart_core::backend::Simulated;
/// use smart_core::equivalence::Exact;
/// use smart_core::{Generated, Model, Pricing, Profiled, Roster, Smart, Target};
///
/// # futures::executor::block_on(async {
/// # let roster = Roster::new(
/// #     Model::new("large", Simulated::reference(7)).with_pricing(Pricing::per_request(0.01)?),
/// #     [Model::new("small", Simulated::candidate("small", 0.97, 7))
/// #         .with_pricing(Pricing::per_request(0.0005)?)],
/// # )?;
/// # let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?);
/// # let items = Generated::new(2_000, |index| index);
/// let stored = serde_json::to_string(&smart.profile(&items).await?)?;
///
/// let profiled: Profiled<u32> = serde_json::from_str(&stored)?;
/// let plan = profiled.profile.plan()?;
/// let outcome = smart.executor(plan, profiled)?.run(&items).await?;
/// # assert_eq!(outcome.report.delivered.answered(), 2_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    bound(serialize = "O: Serialize", deserialize = "O: Deserialize<'de>")
)]
#[non_exhaustive]
pub struct Profiled<O> {
    label: Label,
    #[serde(deserialize_with = "this_version")]
    version: u32,
    /// The evidence, to plan from.
    pub profile: Profile,
    /// The reference's answers to the items that are evidence, by index. For items that came too late to
    /// be evidence, the calls are handed on as well ([`Handed`](crate::Handed)), and the plan decides
    /// which answer they get.
    #[serde(with = "by_index")]
    pub answers: BTreeMap<u64, Answer<O>>,
    /// What each model cost in profiling, by position.
    pub spent: Vec<Spending>,
    /// What judging cost in profiling.
    pub judging: Spending,
    /// How calls failed in profiling, and how often.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// How profiling kept to the budget, if there is one.
    #[serde(default)]
    pub budget: Option<Budgeted>,
    /// Paid calls about items that came too late to be evidence.
    #[serde(with = "late")]
    pub(super) late: Vec<(CallKey, Kept<O>)>,
    /// What is spent of the budget, calls that did not say what they cost included.
    pub(super) taken: Cost,
}

impl<O> Profiled<O> {
    pub(super) fn new(profile: Profile, answers: BTreeMap<u64, Answer<O>>) -> Self {
        let (spent, judging) = (Vec::new(), Spending::default());
        let (faults, budget, late) = (Vec::new(), None, Vec::new());
        let (label, version, taken) = (Label::Profiled, PROFILED_VERSION, Cost::ZERO);
        Self { label, version, profile, answers, spent, judging, faults, budget, late, taken }
    }

    /// Adds what the calls cost, and the calls that nobody has used yet.
    pub(super) fn with_bill<I: ?Sized + Sync>(mut self, calls: &Calls<I, O>) -> Self
    where
        O: Send + Sync,
    {
        (self.spent, self.judging) = (calls.ledger.models(), calls.ledger.judge());
        self.faults = calls.ledger.faults.read();
        self.budget = calls.budgeted();
        self.late = calls.take_remembered();
        let late: BTreeSet<u64> = self.late.iter().map(|(key, _)| key.index).collect();
        let ours = |index| self.answers.contains_key(&index) || late.contains(&index);
        self.taken = calls.taken(ours);
        self
    }

    /// The report of a run that only profiled and delivers nothing; [merge](Report::merge) it with those
    /// of the workers that follow the plan. The reference's answers on the profiled items count as
    /// delivered by the workers that they are handed to.
    ///
    /// It is a report on [`Profile::plan`]. Whoever follows another plan, from
    /// [`Profile::replan`] or at other prices, takes [`report_under`](Self::report_under).
    ///
    /// # Errors
    /// [`RunError::Settings`] as [`Profile::plan`].
    pub fn report(&self) -> Result<Report, RunError> {
        Ok(self.reported(self.profile.plan()?))
    }

    /// As [`report`](Self::report), under the plan that is followed: pass
    /// [`Executor::plan`](crate::Executor::plan), or the plan of the report to be merged with.
    ///
    /// What profiling spent stays as it was billed; the promise and the reference's cost are the plan's.
    ///
    /// # Errors
    /// [`RunError::Mismatch`] if the plan is that of another run.
    ///
    /// # Example
    /// ```
    /// # use smart_core::backend::Simulated;
    /// # use smart_core::equivalence::Exact;
    /// # use smart_core::{Generated, Model, Pricing, Roster, Smart, Target};
    /// # futures::executor::block_on(async {
    /// # let roster = || Roster::new(
    /// #     Model::new("large", Simulated::reference(7)).with_pricing(Pricing::per_request(0.01).unwrap()),
    /// #     [Model::new("small", Simulated::candidate("small", 0.97, 7))
    /// #         .with_pricing(Pricing::per_request(0.0005).unwrap())],
    /// # );
    /// # let items = Generated::new(2_000, |index| index);
    /// let profiled = Smart::new(roster()?, Exact, Target::new(0.95, 0.95)?).profile(&items).await?;
    /// // Planned again for a laxer target, named before the evidence was looked at.
    /// let (target, profile) = (Target::new(0.9, 0.95)?, &profiled.profile);
    /// let plan = profile.replan(&profile.roster, target, &profile.settings)?;
    /// let executor = Smart::new(roster()?, Exact, target).executor(plan, profiled.clone())?;
    /// let outcome = executor.run(&items).await?;
    /// let whole = profiled.report_under(executor.plan())?.merge(&outcome.report)?;
    /// assert!(whole.is_whole() && whole.is_profiling_included());
    /// assert_eq!(whole.allowance(), 200);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn report_under(&self, plan: &Plan) -> Result<Report, RunError> {
        self.profile.check_plan(plan)?;
        Ok(self.reported(plan.clone()))
    }

    fn reported(&self, plan: Plan) -> Report {
        let (spent, judging) = (self.spent.clone(), self.judging);
        let report = Report::of_profiling(plan, spent, judging);
        let budget = self.budget.map(|budget| Budgeted { profiling: budget.cap, ..budget });
        Report {
            profiled: self.profile.evidence.len() as u64,
            overshoot: self.profile.late.len() as u64,
            stopped: self.profile.stopped,
            faults: self.faults.clone(),
            budget,
            ..report
        }
    }
}
