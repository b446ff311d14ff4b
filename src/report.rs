//! What happened in a run: [`Report`], for people (`Display`) and for machines (serde).
//!
//! A report is the end of the way from items to answers. It sets what was promised and planned against
//! what was delivered and spent, and says why. Workers' reports [merge](Report::merge) into one.

mod basis;
mod merge;
mod stored;
mod summary;
mod unknown;
mod words;

use serde::{Deserialize, Serialize};

use crate::execute::Audited;
use crate::ledger::{Budgeted, Fault, Spending};
use crate::order::Order;
use crate::plan::{Key, Plan, Policy, ratio};
use crate::pricing::Cost;
use crate::profile::{SelfAgreement, StopReason};
use crate::roster::ModelId;
use crate::tally::Delivered;

pub(crate) use basis::Basis;
pub use summary::{ModelSummary, Summary};
pub(crate) use words::compared;

/// The version of the stored form; a report of another version is refused.
pub const REPORT_VERSION: u32 = 1;

/// What one run promised, did, and cost.
///
/// Its JSON holds all of these fields and, under `summary`, a [`Summary`] of computed figures
/// ([`summary`](Self::summary)), and the [`allowance`](Self::allowance), which follows from the plan. Neither
/// is stored in the report: reading one back ignores them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// `smart-core report`.
    pub(crate) label: ReportLabel,
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The plan that was followed, with its certificate and what else was considered.
    pub plan: Plan,
    /// Items folded into the evidence.
    pub profiled: u64,
    /// Further items that were under way when profiling ended. They are no evidence, and the plan
    /// answers them from the calls already paid for. However many are under way at once, none of them lies
    /// past the next look, or for single candidates past eight items plus an eighth of the profiled ones.
    /// So there are none if a chain is certified at its look. If a chain is given up before, there may be as
    /// many as were left to its look: they go to the reference, and what their candidates cost is lost.
    /// Those of an earlier run over the same journal are not counted.
    pub overshoot: u64,
    /// Why profiling ended.
    pub stopped: StopReason,
    /// Whether the run, or one of the workers, was stopped before all its items were begun
    /// ([`Smart::with_stop`](crate::Smart::with_stop)).
    pub cut_short: bool,
    /// Whether it was stopped after profiling because no plan that pays was found, and not by the caller
    /// ([`Smart::with_stop_unless_it_pays`](crate::Smart::with_stop_unless_it_pays)).
    pub found_nothing: bool,
    /// What each model cost in profiling, by position.
    pub profiling: Vec<Spending>,
    /// What each model cost in execution, by position.
    pub execution: Vec<Spending>,
    /// What judging cost.
    pub judging: Spending,
    /// How much of that was spent in profiling.
    pub profiling_judged: Cost,
    /// How many items were answered by whom, and why.
    pub delivered: Delivered,
    /// How calls failed for good, by model and kind.
    pub faults: Vec<Fault>,
    /// What the reference alone would have cost for every item: its mean cost over the profiled items,
    /// times the number of items. This is an estimate, because the other items may be longer or shorter.
    ///
    /// The mean is taken over all that the reference answered instead if it answered every item. It is taken over
    /// what it answered in execution if a plan is followed at other prices than it was made at, or on other items
    /// ([`Smart::apply`](crate::Smart::apply)): ten of them at least, and unless the plan chooses by the answers
    /// which items these are. The estimate is zero if nothing is known
    /// ([`is_reference_cost_known`](Self::is_reference_cost_known)). Compare what was spent with
    /// [`reference_cost_of_answered`](Self::reference_cost_of_answered).
    pub reference_cost: Cost,
    /// The budget, if there was one.
    pub budget: Option<Budgeted>,
    /// What the audits found, if execution was audited.
    pub audit: Option<Audited>,
    /// How far the reference agrees with itself, if it was asked twice.
    pub self_agreement: Option<SelfAgreement>,
}

/// The label of a stored report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReportLabel {
    #[serde(rename = "smart-core report")]
    Report,
}

impl Report {
    /// The report of profiling alone, or of a part of it.
    pub(crate) fn of_profiling(plan: Plan, profiling: Vec<Spending>, judging: Spending) -> Self {
        let models = plan.roster.models().len();
        Self {
            label: ReportLabel::Report,
            version: REPORT_VERSION,
            profiled: plan.asked,
            overshoot: 0,
            stopped: StopReason::Elsewhere,
            cut_short: false,
            found_nothing: false,
            profiling,
            execution: vec![Spending::default(); models],
            judging,
            profiling_judged: judging.cost,
            faults: Vec::new(),
            delivered: Delivered { by_model: vec![0; models], ..Delivered::default() },
            reference_cost: plan.forecast.reference_cost,
            budget: None,
            audit: None,
            self_agreement: None,
            plan,
        }
    }

    /// How many delivered answers may differ from the reference's: what the plan's target allows for all
    /// items. It means nothing for a stream of unknown length.
    pub fn allowance(&self) -> u64 {
        self.plan.target.allowance(self.plan.order.population())
    }

    /// What the run cost, including what earlier runs of the same journal paid.
    pub fn cost(&self) -> Cost {
        let models = self.profiling.iter().chain(&self.execution);
        models.map(|spent| spent.cost).sum::<Cost>() + self.judging.cost
    }

    /// What profiling cost, its comparisons included.
    pub fn profiling_cost(&self) -> Cost {
        self.profiling.iter().map(|spent| spent.cost).sum::<Cost>() + self.profiling_judged
    }

    /// How many times cheaper the run was than the reference alone is estimated to be, on the items that
    /// were answered ([`reference_cost_of_answered`](Self::reference_cost_of_answered)).
    ///
    /// In the report of one worker this compares execution alone
    /// ([`is_profiling_included`](Self::is_profiling_included)).
    ///
    /// It is 1 if nothing cost anything or the reference's cost is not known
    /// ([`is_reference_cost_known`](Self::is_reference_cost_known)), and 0 if money was spent and
    /// nothing was answered.
    pub fn saving(&self) -> f64 {
        if self.delivered.answered() > 0 && !self.is_reference_cost_known() {
            return 1.0;
        }
        ratio(self.reference_cost_of_answered(), self.cost())
    }

    /// Whether what profiling cost is in the report. It is not in the report of an executor, which knows
    /// what it spent itself, until that is [merged](Self::merge) with the report of the run that profiled.
    pub fn is_profiling_included(&self) -> bool {
        self.profiled == 0 || self.profiling.iter().any(|spent| spent.calls() > 0)
    }

    /// Whether anything is known of the reference's cost: it answered items in this run and reported its
    /// usage, or the plan's profile saw it do so, at the same prices.
    pub fn is_reference_cost_known(&self) -> bool {
        let answered = |part: &[Spending]| part.first().copied().map_or(0, metered);
        self.reference_cost > Cost::ZERO
            || answered(&self.profiling) + answered(&self.execution) > 0
    }

    /// What the reference alone would have cost for the items that were answered, to be compared with
    /// what was spent. It is [`reference_cost`](Self::reference_cost) times the share of items with an
    /// answer, because nothing is known of how the others differ.
    #[allow(clippy::cast_possible_truncation, reason = "at most the whole")]
    pub fn reference_cost_of_answered(&self) -> Cost {
        let items = self.plan.order.population().max(1);
        let answered = self.delivered.answered().min(items);
        if self.reference_cost == Cost::ZERO {
            return self.reference_seen(answered);
        }
        let part = u128::from(self.reference_cost.as_nanos()) * u128::from(answered);
        Cost::from_nanos((part / u128::from(items)) as u64)
    }

    /// What the reference would cost for this many items, at the mean of those it answered in execution.
    pub(crate) fn reference_seen(&self, items: u64) -> Cost {
        times(self.execution.first().copied().unwrap_or_default(), items)
    }

    /// The same report with the reference's cost set: as the plan has it, or as seen, where that says more.
    pub(crate) fn estimated(mut self) -> Self {
        self.reference_cost = self.plan.forecast.reference_cost;
        let (items, answered) = (self.plan.order.population(), self.delivered.answered());
        let policy = &self.plan.policy;
        if items == Order::ENDLESS {
            return self;
        }
        let all = self.spending(ModelId::REFERENCE);
        let executed = self.execution.first().copied().map_or(0, metered);
        let by_it = self.delivered.by_model.first().copied().unwrap_or(0);
        let whole = *policy == Policy::Reference || answered == items;
        // Whether it says nothing about an item that it goes to the reference.
        let blind = match policy {
            Policy::Chain { chain, .. } => matches!(chain.key, Key::Coin | Key::Split { .. }),
            Policy::Reference | Policy::Last { .. } => true,
        };
        // What profiling paid may be in another report.
        if whole && by_it == answered && all.answers.saturating_sub(all.failures) >= answered.max(1)
        {
            self.reference_cost = times(all, items);
        } else if self.reference_cost == Cost::ZERO
            || (blind && self.profiled == 0 && executed >= FEW)
        {
            self.reference_cost = self.reference_seen(items);
        }
        self
    }

    /// What the reference costs per item, if it is known.
    pub(crate) fn reference_cost_each(&self) -> Option<Cost> {
        let (whole, items) = match self.reference_cost {
            Cost::ZERO => (self.reference_cost_of_answered(), self.delivered.answered()),
            whole => (whole, self.plan.order.population()),
        };
        let each = Cost::from_nanos(whole.as_nanos() / items.max(1));
        self.is_reference_cost_known().then_some(each)
    }

    /// The name of a model, such as the one in [`Answer::by`](crate::Answer::by).
    pub fn name(&self, id: ModelId) -> &str {
        self.plan.roster.name(id)
    }

    /// The calls and money of one model in the whole run.
    pub fn spending(&self, id: ModelId) -> Spending {
        let at = |list: &[Spending]| list.get(id.position()).copied().unwrap_or_default();
        at(&self.profiling).plus(at(&self.execution))
    }
}

/// So many answers of the reference say more about the items than those of a plan's own items do.
const FEW: u64 = 10;

/// What so many items cost, at the mean of a model's answers; zero if it gave none.
fn times(seen: Spending, items: u64) -> Cost {
    // The cost of failed calls says nothing about that of an answer.
    let answers = metered(seen);
    if answers == 0 {
        return Cost::ZERO;
    }
    let total = u128::from(seen.cost.as_nanos()) * u128::from(items) / u128::from(answers);
    Cost::from_nanos(u64::try_from(total).unwrap_or(u64::MAX))
}

/// How many calls brought an answer whose cost is known.
fn metered(spent: Spending) -> u64 {
    spent.answers.saturating_sub(spent.failures).saturating_sub(spent.unmetered)
}
