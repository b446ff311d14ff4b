//! What to do with the items that are not answered yet: the [`Plan`].
//!
//! Profiling ends with a plan, and [`execute`](crate::execute) follows it. Its [`Policy`] says how one
//! item is answered: by the reference, or by candidates with the reference as fallback. Policies come in
//! [`Chain`]s, families ordered from the safest policy to the most liberal, because a whole chain can be
//! tested for the price of one policy ([`Boundary::chain`](crate::stats::Boundary::chain)). The
//! [`Certificate`] holds the numbers of the test that the policy passed, the [`Forecast`] what the run
//! is expected to cost, and [`Considered`] what became of every other chain.

mod certificate;
mod chain;
mod fit;
mod forecast;
mod policy;
mod sample;
mod walk;
mod words;

use serde::{Deserialize, Deserializer, Serialize};

use crate::backend::Confidence;
use crate::error::RunError;
use crate::evidence::ModelSet;
use crate::order::Order;
use crate::pricing::Cost;
use crate::roster::{ModelId, RosterSpec};
use crate::target::{Share, Target};

pub use certificate::{Certificate, Considered, Verdict};
pub(crate) use chain::recorded;
pub use chain::{Chain, Heard, Key, Known, Mark, Move, Scored, Trial};
pub use fit::Fit;
pub(crate) use fit::{Example, logistic};
pub(crate) use forecast::ratio;
pub use forecast::{Forecast, PerItem, Reach};
pub use policy::Policy;
pub(crate) use sample::{Sampled, Strata, Wanted, failing, stand_for};
pub(crate) use walk::Till;

/// Why a plan that gives the last items to a candidate gives it none of others.
const LAST_OF_ITS_OWN: &str = "what needed no test were the last of the items profiled";

/// The version of the stored form; plans of other versions are refused.
pub const PLAN_VERSION: u32 = 1;

/// A policy for the items that were not profiled, with the evidence it rests on.
///
/// What a plan does with an item depends on seed, population and index alone. So any number of workers
/// that hold the plan can answer disjoint parts of the items without talking to each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Plan {
    /// `smart-core plan`.
    pub(crate) label: PlanLabel,
    /// [`PLAN_VERSION`]; another is refused on reading.
    #[serde(deserialize_with = "this_version")]
    pub(crate) version: u32,
    /// The models, with the prices the plan was made at.
    pub roster: RosterSpec,
    /// The equivalence's name.
    pub equivalence: String,
    /// The target promised: the one asked for, or under
    /// [`Objective::BestAgreement`](crate::Objective::BestAgreement) the one that was reached.
    pub target: Target,
    /// The sum of money within which the best agreement was asked for
    /// ([`Objective::BestAgreement`](crate::Objective::BestAgreement)).
    #[serde(default)]
    pub within: Option<Cost>,
    /// The random order.
    pub order: Order,
    /// Ranks below this were profiled and deliver the reference's answer.
    pub asked: u64,
    /// How the other items are answered.
    pub policy: Policy,
    /// What the policy's promise rests on; `None` for the reference and for [`Policy::Last`], which need none,
    /// and for a plan that is followed on other items under audit ([`Smart::apply`](crate::Smart::apply)).
    pub certificate: Option<Certificate>,
    /// What the whole run is expected to cost.
    pub forecast: Forecast,
    /// What an item that was not profiled costs, as far as it is known: the forecast for other items
    /// ([`Smart::apply`](crate::Smart::apply)) is made of it.
    #[serde(default)]
    pub per_item: Option<PerItem>,
    /// Every chain that was considered, and what became of it.
    pub considered: Vec<Considered>,
    /// Whether the plan pays, and if not, why.
    pub verdict: Verdict,
    /// Fingerprints of the items of the first ranks, if items have a key
    /// ([`Smart::with_item_key`](crate::Smart::with_item_key)).
    ///
    /// They tell whoever follows the plan if the items have changed.
    #[serde(default)]
    pub items: Vec<u64>,
    /// What the router said of the items of the first ranks, if the policy goes by its scores
    /// ([`Smart::with_router`](crate::Smart::with_router)).
    ///
    /// Whoever follows the plan with another router is told so at the first item that it scores otherwise.
    #[serde(default)]
    pub routed: Vec<Option<Confidence>>,
}

/// How many items a plan can recognise.
pub(crate) const KNOWN_ITEMS: usize = 16;

/// The label of a stored plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) enum PlanLabel {
    #[default]
    #[serde(rename = "smart-core plan")]
    Plan,
}

fn this_version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    crate::version::read(from, "the plan", PLAN_VERSION)
}

impl Plan {
    /// The mean cost of a call of the reference, as far as the forecast knows it.
    pub(crate) fn reference_call(&self) -> Option<Cost> {
        let each = self.forecast.reference_cost.as_nanos() / self.order.population().max(1);
        (each > 0).then(|| Cost::from_nanos(each))
    }

    /// The same plan at other prices; order, policy and certificate stay as they are.
    ///
    /// The promise is kept, because no price is part of it: the certificate bounds the failures of *this
    /// policy* on *these items*, whatever its answers cost and for whatever reason it was chosen. Other
    /// prices may make another policy the cheapest; [`Profile::replan`](crate::Profile::replan) looks
    /// into that. [`Smart::executor`](crate::Smart::executor) and [`Smart::apply`](crate::Smart::apply)
    /// reprice a plan by themselves, at the prices of their roster.
    ///
    /// A plan knows what calls cost, not what they used. So at other prices its forecast is
    /// [unknown](Forecast::is_known), and the chains considered are listed without costs.
    /// [`Profile::at_prices`](crate::Profile::at_prices) has the evidence, and forecasts.
    ///
    /// # Errors
    /// [`RunError::Mismatch`] if the roster differs in more than prices.
    pub fn at_prices(&self, roster: &RosterSpec) -> Result<Self, RunError> {
        self.check(roster, &self.equivalence)?;
        if self.roster == *roster {
            return Ok(self.clone());
        }
        let considered = self.considered.iter().cloned().map(Considered::into_profiled).collect();
        let (roster, forecast) = (roster.clone(), Forecast::UNKNOWN);
        Ok(Self { roster, forecast, per_item: None, considered, ..self.clone() })
    }

    /// The same plan for other items under audit, `items` of them or a stream of unknown length.
    ///
    /// The certificate and the sum of money were about the items profiled, so they are left out. A policy that
    /// was never tested becomes the reference. If candidates are `barred`, the audits let none of them answer.
    pub(crate) fn on_other_items(
        self,
        order: Order,
        items: Option<u64>,
        audited: Share,
        barred: bool,
    ) -> Self {
        let tested = self.considered.iter().find(|chain| chain.chosen).map(|chain| chain.tested);
        // Nobody knows what an endless stream will cost.
        let alone = |each: PerItem| PerItem::of_reference(each.reference);
        let untested = matches!(self.policy, Policy::Last { .. });
        let each = if barred || untested { self.per_item.map(alone) } else { self.per_item };
        let policy = if untested { Policy::Reference } else { self.policy };
        let known = each.zip(items);
        let forecast = known.map_or(Forecast::UNKNOWN, |(each, items)| {
            each.forecast(items, audited, tested.unwrap_or(self.asked))
        });
        let considered = self.considered.into_iter().map(|chain| {
            // At the same prices an item is expected to cost the same.
            let cost_per_item = chain.cost_per_item;
            let chosen = chain.chosen && !untested;
            Considered { cost_per_item, chosen, ..chain.into_profiled() }
        });
        let considered = considered.collect();
        let verdict = match self.verdict {
            Verdict::Pays if untested => Verdict::DoesNotPay(LAST_OF_ITS_OWN.to_owned()),
            verdict => verdict,
        };
        let (certificate, within, asked) = (None, None, 0);
        Self { within, order, asked, policy, certificate, forecast, considered, verdict, ..self }
    }

    /// The one plan that two workers followed; an error in words if there is none.
    ///
    /// Two copies of a plan that were [repriced](Self::at_prices) may differ in that one was made
    /// without the evidence and has no forecast. The other's forecast then holds for both.
    pub(crate) fn of_both(one: &Self, other: &Self) -> Result<Self, &'static str> {
        if one == other {
            return Ok(one.clone());
        }
        let priced = |plan: &Self, as_of: &Self| {
            let (roster, considered) = (as_of.roster.clone(), as_of.considered.clone());
            let (forecast, per_item) = (as_of.forecast, as_of.per_item);
            Self { roster, forecast, per_item, considered, ..plan.clone() }
        };
        if priced(one, other) != *other || one.roster.difference(&other.roster).is_some() {
            return Err("they follow different plans");
        }
        match (one.forecast.is_known(), other.forecast.is_known()) {
            _ if one.roster != other.roster => Err("they follow one plan at different prices"),
            (true, false) => Ok(one.clone()),
            (false, true) => Ok(other.clone()),
            _ => Err("they follow one plan with different forecasts"),
        }
    }

    /// Whether an item was profiled and therefore delivers the reference's answer, whatever the policy.
    ///
    /// To ask this for many items, keep `plan.order.first(plan.asked)`, which is several times faster.
    pub fn is_profiled(&self, index: u64) -> bool {
        self.order.rank(index) < self.asked
    }

    /// What is known of an item before any call, for [`Policy::next`].
    pub fn start(&self, index: u64, router: Option<f64>) -> Known {
        let last = self.is_last(index);
        Known { coin: self.order.coin(index), router, last, ..Known::default() }
    }

    /// Whether an item is among the last ones, which [`Policy::Last`] gives to a candidate.
    pub(crate) fn is_last(&self, index: u64) -> bool {
        let Policy::Last { items, .. } = self.policy else { return false };
        self.order.rank(index) >= self.order.population().saturating_sub(items)
    }

    /// Whether the promise is kept whatever candidates answer: they answer no more items than may fail.
    pub(crate) fn needs_no_certificate(&self) -> bool {
        match self.policy {
            Policy::Reference => true,
            Policy::Last { items, .. } => items <= self.target.allowance(self.order.population()),
            Policy::Chain { .. } => false,
        }
    }

    /// The models the plan may ask.
    pub fn models(&self) -> ModelSet {
        self.policy.models()
    }

    /// What a stored plan says that cannot be, in words.
    fn contradiction(&self) -> Option<&'static str> {
        let unknown = |id: ModelId| self.roster.model(id).is_none();
        if self.models().iter().any(unknown) {
            return Some("its policy asks a model that is not in its roster");
        }
        let certificate = self.certificate.as_ref()?;
        let most = self.target.allowance(self.order.population());
        if certificate.allowance > most {
            return Some("its certificate allows more failures than its target");
        }
        let counts = [certificate.failures, certificate.limit, certificate.tested];
        (!counts.is_sorted()).then_some("its certificate's test was not passed")
    }

    /// Refuses to follow the plan where more is asked for than it promises, or where it contradicts itself.
    pub(crate) fn check_target(&self, asked: Target) -> Result<(), RunError> {
        if let Some(what) = self.contradiction() {
            let difference = format!("{what}: it was changed after it was made");
            return Err(RunError::Mismatch { what: "the stored plan", difference });
        }
        let promised = self.target;
        if asked.agreement() <= promised.agreement() && asked.confidence() <= promised.confidence()
        {
            return Ok(());
        }
        let difference = format!(
            "the plan promises {promised}, this run asks for {asked}; profile for that, or ask for what the \
             plan promises"
        );
        Err(RunError::Mismatch { what: "the stored plan", difference })
    }

    /// Checks that the plan was made for these models; prices may differ.
    ///
    /// # Errors
    /// [`RunError::Mismatch`], which says what differs.
    pub fn check(&self, roster: &RosterSpec, equivalence: &str) -> Result<(), RunError> {
        let equivalence = (self.equivalence.as_str(), equivalence);
        RunError::unless_fits("the stored plan", (&self.roster, roster), equivalence)
    }
}
