//! Evidence to keep: [`Profile`], and planning from it again.

use serde::{Deserialize, Deserializer, Serialize};

use super::brain::Brain;
use super::settings::ProfileSettings;
use super::{ProfileMachine, StopReason};
use crate::error::RunError;
use crate::evidence::ItemEvidence;
use crate::order::Order;
use crate::plan::Plan;
use crate::pricing::{Cost, Pricing};
use crate::roster::RosterSpec;
use crate::target::Target;

/// The version of the stored form; profiles of other versions are refused.
pub const PROFILE_VERSION: u32 = 1;

/// What profiling found out, item by item in rank order, with all that planning needs.
///
/// Store it with serde, and plan again later without a call, at new prices or for another target. It is
/// bound to the roster, its version tags and the equivalence it was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Profile {
    label: Label,
    #[serde(deserialize_with = "this_version")]
    version: u32,
    /// The models, at the prices of the time.
    pub roster: RosterSpec,
    /// The equivalence's name.
    pub equivalence: String,
    /// The price of judging.
    pub judge: Pricing,
    /// The target asked for.
    pub target: Target,
    /// The random order.
    pub order: Order,
    /// The settings of the profiler.
    pub settings: ProfileSettings,
    /// What the items showed, in rank order.
    pub evidence: Vec<ItemEvidence>,
    /// What items showed that were under way when profiling ended: answered, but not evidence.
    pub late: Vec<ItemEvidence>,
    /// Ranks below this are evidence. How far the calls ran ahead of it is not kept; [`late`](Self::late) has
    /// what they brought.
    pub asked: u64,
    /// Why profiling ended.
    pub stopped: StopReason,
    /// The cap on the run's money within which profiling was planned, if there was one.
    #[serde(default)]
    pub budget: Option<Cost>,
}

fn this_version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    crate::version::read(from, "the profile", PROFILE_VERSION)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Label {
    #[serde(rename = "smart-core profile")]
    Profile,
}

impl Profile {
    /// What a machine found out, to plan from.
    ///
    /// A driver of your own names the equivalence that compared the answers; [`Smart`](crate::Smart)
    /// does so by itself. A machine that has not ended counts as ended by the caller.
    pub fn new(machine: ProfileMachine, equivalence: impl Into<String>) -> Self {
        // Not `machine.asked()`: how far calls ran ahead of the evidence depends on their timing.
        let asked = machine.profiled();
        let stopped = machine.stopped().unwrap_or(StopReason::Caller);
        let brain = machine.brain();
        let (roster, judge, target) = (brain.roster().clone(), *brain.judge(), brain.target());
        let (order, settings) = (brain.order(), brain.settings().clone());
        let budget = brain.budget();
        let (evidence, late) = machine.into_evidence();
        Self {
            label: Label::Profile,
            version: PROFILE_VERSION,
            roster,
            equivalence: equivalence.into(),
            judge,
            target,
            order,
            settings,
            evidence,
            late,
            asked,
            stopped,
            budget,
        }
    }

    /// Checks that the profile was made with these models (prices may differ), and that its
    /// evidence is whole: about the items of the first ranks, in their order.
    ///
    /// # Errors
    /// [`RunError::Mismatch`], which says what differs.
    pub fn check(&self, roster: &RosterSpec, equivalence: &str) -> Result<(), RunError> {
        let equivalence = (self.equivalence.as_str(), equivalence);
        let what = "the stored profile";
        RunError::unless_fits(what, (&self.roster, roster), equivalence)?;
        let missing = self.incomplete();
        missing.map_or(Ok(()), |difference| Err(RunError::Mismatch { what, difference }))
    }

    /// Refuses a plan of another run: evidence and answers say nothing about its items.
    pub(crate) fn check_plan(&self, plan: &Plan) -> Result<(), RunError> {
        let what = "the stored profile";
        let equivalence = (self.equivalence.as_str(), plan.equivalence.as_str());
        RunError::unless_fits(what, (&self.roster, &plan.roster), equivalence)?;
        let items = plan.items.iter().zip(&self.evidence);
        let difference = if self.order != plan.order {
            "its seed or population is not the plan's"
        } else if self.asked != plan.asked {
            "it holds another number of profiled items than the plan"
        } else if items.into_iter().any(|(known, item)| item.item.is_some_and(|own| own != *known))
        {
            "its items are not those that the plan was made for"
        } else {
            return Ok(());
        };
        Err(RunError::Mismatch { what, difference: difference.to_owned() })
    }

    /// What is missing from the evidence, in words. A certificate counts failures in a random sample, and
    /// rows that were left out or moved, perhaps by a query that kept those that agree, leave no such sample.
    fn incomplete(&self) -> Option<String> {
        let rows = self.evidence.len() as u64;
        let ranks = (0..).zip(&self.evidence).map(|(rank, item)| (rank, item.index));
        let moved = ranks.into_iter().find(|(rank, index)| *index != self.order.index(*rank));
        if let Some((rank, index)) = moved {
            let due = self.order.index(rank);
            return Some(format!(
                "row {rank} of its evidence is about item {index} and should be about item {due}: rows are \
                 missing or were moved"
            ));
        }
        if let Some(rank) = self.evidence.iter().position(|item| item.contradicted().is_some()) {
            return Some(format!(
                "row {rank} of its evidence has a candidate agree with the reference, which did not answer"
            ));
        }
        let asked = self.asked;
        (rows != asked).then(|| format!("its evidence has {rows} rows and should have {asked}"))
    }

    /// The plan that profiling ended with.
    ///
    /// # Errors
    /// [`RunError::Settings`] if the stored settings make no sense; [`RunError::Mismatch`] if rows of the
    /// evidence are missing or were moved.
    pub fn plan(&self) -> Result<Plan, RunError> {
        self.replan(&self.roster, self.target, &self.settings)
    }

    /// Plans anew from the same evidence: at the prices of `roster`, for another target, or with other
    /// families.
    ///
    /// Choose the target and the prices before looking at the evidence. If one is chosen *because* a
    /// plan for it came out well, the promise does not cover that plan.
    ///
    /// **For another target or at other prices** the recorded test is read again: the same pilot, chain
    /// and looks, with the limits for this target. Of what that certifies, the policy that is cheapest
    /// at these prices is taken, if it is cheaper than the reference. So what was certified for one
    /// target passes the test for every target that is no stricter (no higher agreement, no higher
    /// confidence), unless the agreement floor stops it, whose level more thresholds then share. At any
    /// prices its policy is among those compared. For a stricter target the recorded looks may come too
    /// early; then the plan is the reference, and its [verdict](crate::plan::Verdict) says so.
    ///
    /// ```text
    /// recorded   pilot E ──► chain C, looks k_1 < k_2 < …     (prices and target of the time)
    /// now        C at k_1, k_2, …: at most b_j failures among k_j, by the allowance and level asked for now
    /// ```
    ///
    /// Why this holds: the pilot alone chose the chain and its looks. So whatever target and prices are
    /// named beforehand, the items after the pilot are in random order, and the test is one test at the
    /// level asked for. (At a lax target several candidates were tested at once: each is read again at its
    /// share of the level.) The recorded certificate is also valid for every larger allowance `G >= F` and
    /// level `a >= alpha`, since leaving more than `G` failures means leaving more than `F`. But it is
    /// not delivered *beside* a test of something else on the same items: whichever came out well would
    /// be delivered, and the chances to err would add up. For the same reason no other chain is searched
    /// for, even if the prices would now favour one: that takes fresh items.
    ///
    /// **With other families**, with [`Families::Single`](crate::Families), or for the best agreement
    /// within a sum of money, the profiler is run again over the stored evidence. The plan is the one it
    /// would have come to if it had been asked for this and had ended its pilot no later than the
    /// recorded one (after which less was found out about each item). It stops where the evidence ends,
    /// or before an item of which it wants something that was not asked, rated or compared. What was
    /// certified before may then not be. For the best agreement this is the usual outcome where the profile
    /// was made for the least cost, since that asks for less: the plan is then the reference, and its verdict
    /// [undecided](crate::plan::Verdict::Undecided). Profile for that objective instead.
    ///
    /// To keep a plan as it is, at whatever prices, no planning is needed: [`Plan::at_prices`].
    ///
    /// # Errors
    /// [`RunError::Mismatch`] if the roster differs in more than prices, or rows of the evidence are missing
    /// or were moved; [`RunError::Settings`] if the settings make no sense.
    pub fn replan(
        &self,
        roster: &RosterSpec,
        target: Target,
        settings: &ProfileSettings,
    ) -> Result<Plan, RunError> {
        self.check(roster, &self.equivalence)?;
        let begun = |roster, target, settings| {
            let brain = Brain::new(roster, self.judge, target, self.order, settings)?;
            Ok::<_, RunError>(brain.with_budget(self.budget))
        };
        let brain = begun(roster, target, settings)?;
        let mut brain = if (roster, target, settings) == (&self.roster, self.target, &self.settings)
        {
            self.refold(brain)
        } else {
            let recorded = self.refold(begun(&self.roster, self.target, &self.settings)?);
            // Which way is taken depends on what is asked for, and on no answer.
            let families = self.settings.families == settings.families;
            if families && recorded.tests_what_it_chose() && brain.tests_what_it_chose() {
                brain.retold(recorded)
            } else {
                // After the recorded pilot less was found out about each item. Where it ended depends on
                // the items before it alone, so ending there is as free as any other end.
                let mut brain = self.refold(brain.with_pilot_at_most(recorded.pilot_end()));
                if brain.stop().is_none() {
                    brain.lacks_evidence();
                }
                brain
            }
        };
        brain.conclude(self.stopped);
        Ok(brain.plan(self.asked, self.equivalence.clone()))
    }

    /// A plan of this run at other prices, with the forecast that the evidence gives at these prices.
    ///
    /// See [`Plan::at_prices`], which has no evidence to forecast from.
    ///
    /// # Errors
    /// [`RunError::Mismatch`] if the plan is of another run, or the roster differs in more than prices.
    pub fn at_prices(&self, plan: &Plan, roster: &RosterSpec) -> Result<Plan, RunError> {
        self.check(roster, &plan.equivalence)?;
        if plan.order != self.order {
            let difference = "its seed or population is another".to_owned();
            return Err(RunError::Mismatch { what: "the stored plan", difference });
        }
        let priced = plan.at_prices(roster)?;
        if priced.forecast.is_known() {
            return Ok(priced);
        }
        let brain = Brain::new(roster, self.judge, plan.target, self.order, &self.settings)?;
        let brain = self.evidence.iter().cloned().fold(brain.with_budget(self.budget), Brain::told);
        let forecast = brain.forecast_of(plan.asked, &plan.policy);
        Ok(Plan { forecast, per_item: brain.per_item(plan.asked, &plan.policy), ..priced })
    }

    /// A brain told of the evidence, up to the first item that lacks something it asks for.
    fn refold(&self, mut brain: Brain) -> Brain {
        for item in &self.evidence {
            let wanted = brain.request(brain.profiled(), brain.demand()).given_by(item);
            let missing = !wanted.is_met_by(item);
            if brain.stop().is_some() {
                break;
            }
            if missing {
                brain.lacks_evidence();
                break;
            }
            brain.fold(item.clone());
        }
        brain
    }
}
