//! The figures of a report that readers would otherwise have to compute: [`Summary`].

use serde::{Deserialize, Serialize};

use super::Report;
use crate::order::Order;
use crate::pricing::Cost;

/// The main figures of a report, for dashboards and scripts that read its JSON.
///
/// Money is a decimal number of the [`unit`](Self::unit); the rest of the report has whole
/// [nano-units](crate::Cost).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// The unit of the amounts of money: `USD, or the unit of the prices`. The crate is told prices, but
    /// not their currency.
    pub unit: String,
    /// What the run cost: [`Report::cost`].
    pub cost: f64,
    /// What the reference alone would have cost for the items that were answered
    /// ([`Report::reference_cost_of_answered`]); none if that is not known.
    pub reference_cost: Option<f64>,
    /// How many times cheaper the run was, below 1 if it was dearer ([`Report::saving`]); none if the
    /// reference's cost is not known, or nothing was answered.
    pub saving: Option<f64>,
    /// Whether these figures include what profiling cost: [`Report::is_profiling_included`].
    #[serde(default = "yes")]
    pub profiling_included: bool,
    /// How many items the plan is for; none for a stream of unknown length.
    pub items: Option<u64>,
    /// How many items have an answer.
    pub answered: u64,
    /// How many items were dealt with and have no answer.
    pub unanswered: u64,
    /// Whether the run was stopped before all its items were begun: [`Report::cut_short`].
    #[serde(default)]
    pub cut_short: bool,
    /// How many items were profiled.
    pub profiled: u64,
    /// The agreement promised, between 0 and 1.
    pub agreement: f64,
    /// The confidence it is promised with, between 0 and 1.
    pub confidence: f64,
    /// The plan's policy in words.
    pub policy: String,
    /// The models, the reference first.
    pub models: Vec<ModelSummary>,
    /// The judge, by the equivalence's name, if comparing answers took calls: with it the costs add up to
    /// [`cost`](Self::cost).
    #[serde(default)]
    pub judge: Option<ModelSummary>,
}

/// Summaries from before this was told were not told apart.
const fn yes() -> bool {
    true
}

/// The calls and money of one model, or of the judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelSummary {
    /// The model's name.
    pub name: String,
    /// How many items it answered.
    pub answers: u64,
    /// Calls of any kind.
    pub calls: u64,
    /// How many of the calls failed for good.
    pub failed: u64,
    /// Calls whose cost is not fully known ([`Spending::unmetered`](crate::Spending::unmetered)): if there are
    /// many, [`cost`](Self::cost) and the summary's saving are too good to be true.
    #[serde(default)]
    pub unmetered: u64,
    /// What the calls cost, in the summary's unit.
    pub cost: f64,
}

impl Report {
    /// Computes the summary, which is also part of the report's JSON.
    ///
    /// ```
    /// # use smart_core::backend::Simulated;
    /// # use smart_core::equivalence::Exact;
    /// # use smart_core::{Generated, Model, Pricing, Roster, Smart, Target};
    /// # futures::executor::block_on(async {
    /// # let roster = Roster::new(
    /// #     Model::new("large", Simulated::reference(7)).with_pricing(Pricing::per_request(0.01)?),
    /// #     [Model::new("small", Simulated::candidate("small", 0.97, 7))
    /// #         .with_pricing(Pricing::per_request(0.0005)?)],
    /// # )?;
    /// # let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?);
    /// let report = smart.run(&Generated::new(2_000, |index| index)).await?.report;
    /// let json: serde_json::Value = serde_json::to_value(&report)?;
    /// assert_eq!(json["summary"]["cost"], report.cost().as_usd());
    /// assert_eq!(json["summary"]["reference_cost"], 20.0);
    /// assert!(json["summary"]["saving"].as_f64() > Some(5.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn summary(&self) -> Summary {
        let (plan, answered, judging) = (&self.plan, self.delivered.answered(), self.judging);
        let known = self.is_reference_cost_known().then(|| self.reference_cost_of_answered());
        let model = |id| {
            let spent = self.spending(id);
            ModelSummary {
                name: self.name(id).to_owned(),
                answers: self.delivered.by_model.get(id.position()).copied().unwrap_or(0),
                calls: spent.calls(),
                failed: spent.failures,
                unmetered: spent.unmetered,
                cost: spent.cost.as_usd(),
            }
        };
        Summary {
            unit: "USD, or the unit of the prices".to_owned(),
            cost: self.cost().as_usd(),
            reference_cost: known.map(Cost::as_usd),
            saving: known.filter(|_| answered > 0).map(|_| self.saving()),
            profiling_included: self.is_profiling_included(),
            items: Some(plan.order.population()).filter(|items| *items < Order::ENDLESS),
            answered,
            unanswered: self.delivered.unanswered(),
            cut_short: self.cut_short,
            profiled: self.profiled,
            agreement: plan.target.agreement().as_f64(),
            confidence: plan.target.confidence().as_f64(),
            policy: plan.policy.describe(&plan.roster),
            models: plan.roster.ids().map(model).collect(),
            judge: (judging.calls() > 0).then(|| ModelSummary {
                name: plan.equivalence.clone(),
                answers: 0,
                calls: judging.calls(),
                failed: judging.failures,
                unmetered: judging.unmetered,
                cost: judging.cost.as_usd(),
            }),
        }
    }
}
