//! What happened: [`Report`], for people (`Display`) and for machines (serde).

mod merge;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::execute::Audited;
use crate::ledger::{Fault, Spending};
use crate::order::ENDLESS;
use crate::plan::{Plan, Verdict, ratio};
use crate::pricing::Cost;
use crate::profile::{SelfAgreement, StopReason};
use crate::roster::ModelId;
use crate::tally::Delivered;

/// How many of the chains considered are printed.
const SHOWN: usize = 12;
/// The version of the stored form.
pub const REPORT_VERSION: u32 = 1;

/// What one run promised, did, and cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The plan that was followed, with its certificate and what else was considered.
    pub plan: Plan,
    /// How many delivered answers may differ from the reference's; of no meaning for a stream.
    pub allowance: u64,
    /// Items folded into the evidence.
    pub profiled: u64,
    /// Items asked about beyond those, because they were under way when profiling ended: they are
    /// no evidence, and the plan answers them from the calls already paid for. Bounded by the look
    /// schedule, not by the concurrency: none for chains, at most an eighth of the profiled items
    /// and eight for single candidates.
    #[serde(default)]
    pub overshoot: u64,
    /// Why profiling ended.
    pub stopped: StopReason,
    /// What each model cost in profiling, by position.
    pub profiling: Vec<Spending>,
    /// What each model cost in execution, by position.
    pub execution: Vec<Spending>,
    /// What judging cost.
    pub judging: Spending,
    /// What was delivered.
    pub delivered: Delivered,
    /// How calls failed for good, by model and kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What the reference alone would have cost: its mean cost over the profiled items, times the
    /// number of items. An estimate, for it never saw the others: they may be longer or shorter.
    pub reference_cost: Cost,
    /// The budget, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budgeted>,
    /// What audits found, if execution was audited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audited>,
    /// How far the reference agrees with itself, if it was asked twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_agreement: Option<SelfAgreement>,
}

/// How a budget was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Budgeted {
    /// The cap.
    pub cap: Cost,
    /// Calls that cost more than the bound the caller gave for them: with any, the cap may have
    /// been passed.
    pub over_bound: u64,
    /// Calls that did not say what they used, of models without a bound: from the first of them on
    /// nobody could tell what was left, and nothing more was spent.
    #[serde(default)]
    pub unbounded: u64,
}

impl Report {
    /// What the run cost, what earlier runs of the same journal paid included.
    pub fn cost(&self) -> Cost {
        let models = self.profiling.iter().chain(&self.execution);
        models.map(|spent| spent.cost).sum::<Cost>() + self.judging.cost
    }

    /// What profiling cost.
    pub fn profiling_cost(&self) -> Cost {
        self.profiling.iter().map(|spent| spent.cost).sum()
    }

    /// How many times cheaper than the reference alone is estimated to be
    /// ([`reference_cost`](Self::reference_cost)); 1 if nothing cost anything.
    pub fn saving(&self) -> f64 {
        ratio(self.reference_cost, self.cost())
    }

    /// The name of a model, such as [`Answer::by`](crate::Answer::by) names.
    pub fn name(&self, id: ModelId) -> &str {
        self.plan.roster.name(id)
    }

    /// What one model did in the whole run.
    pub fn spending(&self, id: ModelId) -> Spending {
        let at = |list: &[Spending]| list.get(id.position()).copied().unwrap_or_default();
        at(&self.profiling).plus(at(&self.execution))
    }
}

impl Report {
    /// The table of models: answers, calls, failures, money.
    fn write_models(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (plan, bare) = (&self.plan, f.alternate());
        writeln!(f)?;
        let width = plan.roster.models().iter().map(|m| m.name.len()).max().unwrap_or(0).max(5);
        writeln!(
            f,
            "{:width$}  {:>9}  {:>9}  {:>7}  {:>12}",
            "model", "answers", "calls", "failed", "cost"
        )?;
        for (id, model) in plan.roster.ids().zip(plan.roster.models()) {
            let spent = self.spending(id);
            let answers = self.delivered.by_model.get(id.position()).copied().unwrap_or(0);
            let (calls, failed, cost) = (spent.calls(), spent.failures, spent.cost.said(bare));
            writeln!(
                f,
                "{:width$}  {answers:>9}  {calls:>9}  {failed:>7}  {cost:>12}",
                model.name
            )?;
        }
        if self.judging.calls() > 0 {
            let (calls, failed) = (self.judging.calls(), self.judging.failures);
            let cost = self.judging.cost.said(bare);
            writeln!(f, "{:width$}  {:>9}  {calls:>9}  {failed:>7}  {cost:>12}", "judge", "")?;
        }
        Ok(())
    }

    /// How calls failed, a line for each model and kind.
    fn write_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.faults.is_empty() {
            writeln!(f)?;
        }
        for Fault { model, kind, calls, message } in &self.faults {
            let name = model.map_or("judge", |id| self.name(id));
            let colon = if message.is_empty() { "" } else { ": " };
            writeln!(f, "Failed     {name}, {calls} calls, {kind}{colon}{message}")?;
        }
        Ok(())
    }

    /// What audits found, if there were any.
    fn write_audits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(audited) = &self.audit else { return Ok(()) };
        let Audited { audits, caught, .. } = audited;
        write!(f, "\nAudited    {audits} answers, {caught} failures caught")?;
        if let Some(left) = audited.remaining() {
            write!(f, ", {left} more would have been borne")?;
        }
        if audited.switched {
            write!(f, "; then everything went to the reference")?;
        } else if audited.workers_switched > 0 {
            let Audited { workers, workers_switched, .. } = audited;
            write!(f, "; {workers_switched} of {workers} workers went over to the reference")?;
        }
        if audited.drifted {
            write!(f, "; candidates fail more often than tolerated: profile anew")?;
        }
        writeln!(f)
    }
}

/// For people; `{:#}` prints money without the dollar sign, for prices in another unit.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        let bare = f.alternate();
        let said = |cost: Cost| cost.said(bare);
        let items = plan.order.population();
        if items == ENDLESS {
            writeln!(f, "Promised   {} over a stream, at any time", plan.target)?;
        } else {
            writeln!(f, "Promised   {} over {items} items", plan.target)?;
            writeln!(
                f,
                "           (at most {} answers that differ from the reference's)",
                self.allowance
            )?;
        }
        write!(f, "Profiled   {} items", self.profiled)?;
        if self.overshoot > 0 {
            write!(f, " and {} more that were under way when it ended", self.overshoot)?;
        }
        writeln!(f, ", for {}; {}", said(self.profiling_cost()), self.stopped)?;
        writeln!(f, "Policy     {}", plan.policy.describe(&plan.roster))?;
        match &plan.certificate {
            Some(certificate) => writeln!(f, "Certified  {certificate}")?,
            None => writeln!(f, "Certified  needs no certificate: the reference cannot fail")?,
        }
        if let Verdict::DoesNotPay(reason) = &plan.verdict {
            writeln!(f, "Verdict    does not pay: {reason}")?;
        }
        f.write_str("Planned    ")?;
        plan.forecast.fmt(f)?;
        writeln!(f)?;
        let done = self.delivered.items();
        if done < items {
            writeln!(f, "Spent      {} on {done} items so far", said(self.cost()))?;
        } else {
            writeln!(
                f,
                "Spent      {} against about {} for the reference alone: {:.2} times cheaper",
                said(self.cost()),
                said(self.reference_cost),
                self.saving()
            )?;
        }
        self.write_models(f)?;
        let turned = |id: &ModelId| self.spending(*id).turned_away > 0;
        for id in plan.roster.ids().filter(turned) {
            let (name, times) = (plan.roster.name(id), self.spending(id).turned_away);
            writeln!(f, "\nBreaker    `{name}` kept failing and was not asked {times} times")?;
        }
        self.write_faults(f)?;
        if self.delivered.unanswered() > 0 {
            writeln!(
                f,
                "\nUnanswered {} items: the reference failed on {}, the budget ended before {}",
                self.delivered.unanswered(),
                self.delivered.reference_failures,
                self.delivered.unaffordable
            )?;
        }
        if let Some(Budgeted { cap, over_bound, unbounded }) = self.budget {
            write!(f, "\nBudget     {} of {} spent", said(self.cost()), said(cap))?;
            if over_bound > 0 {
                write!(f, "; {over_bound} calls cost more than the bound given for them")?;
            }
            if unbounded > 0 {
                write!(
                    f,
                    "; {unbounded} calls did not say what they used, so that nothing more was spent: \
                     return their usage, or name a bound"
                )?;
            }
            writeln!(f)?;
        }
        self.write_audits(f)?;
        if let Some(agreement) = &self.self_agreement {
            writeln!(f, "\nReference  {agreement}")?;
        }
        let unmetered = plan.roster.ids().map(|id| self.spending(id).unmetered);
        let unmetered = unmetered.fold(self.judging.unmetered, u64::saturating_add);
        if unmetered > 0 {
            let what =
                "reported no usage, or none to be believed: their cost is not in the figures";
            writeln!(f, "\n{unmetered} calls {what}")?;
        }
        if !plan.considered.is_empty() {
            writeln!(f, "\nConsidered")?;
            for chain in plan.considered.iter().take(SHOWN) {
                let mark = if chain.chosen { '*' } else { ' ' };
                writeln!(f, " {mark} {}: {}", chain.name, chain.outcome)?;
            }
            let more = plan.considered.len().saturating_sub(SHOWN);
            if more > 0 {
                writeln!(f, "   and {more} more")?;
            }
        }
        Ok(())
    }
}
