//! Evidence to keep: [`Profile`].

use serde::{Deserialize, Serialize};

use super::brain::Brain;
use super::settings::ProfileSettings;
use super::{ProfileMachine, Request, StopReason};
use crate::error::RunError;
use crate::evidence::ItemEvidence;
use crate::order::Order;
use crate::plan::Plan;
use crate::pricing::{Cost, Pricing};
use crate::roster::RosterSpec;
use crate::target::Target;

/// The version of the stored form; a profile of another version is refused.
pub const PROFILE_VERSION: u32 = 1;

/// What profiling found out, item by item in rank order, and all that is needed to plan from it.
///
/// Store it (it is serde), and plan again later, at new prices or for another target, without a
/// call. It is bound to the roster, its version tags and the equivalence it was made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Profile {
    label: Label,
    version: u32,
    /// The models, at the prices of the time.
    pub roster: RosterSpec,
    /// The equivalence's name.
    pub equivalence: String,
    /// What judging cost.
    pub judge: Pricing,
    /// What was asked for.
    pub target: Target,
    /// The random order.
    pub order: Order,
    /// The settings of the profiler.
    pub settings: ProfileSettings,
    /// What the items showed, in rank order.
    pub evidence: Vec<ItemEvidence>,
    /// What items showed that were under way when profiling ended: answered, but no evidence.
    pub late: Vec<ItemEvidence>,
    /// Ranks below this were asked about.
    pub asked: u64,
    /// Why profiling ended.
    pub stopped: StopReason,
    /// The cap on the run's money that profiling was planned within, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Cost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Label {
    #[serde(rename = "smart-core profile")]
    Profile,
}

impl Profile {
    /// What a machine found out, to plan from. Drivers of their own name the equivalence that
    /// compared the answers; [`Smart`](crate::Smart) does this for itself.
    ///
    /// A machine that has not ended is taken to have been ended by the caller.
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

    /// Checks that the profile is of this version and was made with these models.
    ///
    /// # Errors
    /// [`RunError::Mismatch`] with what differs; prices may.
    pub fn check(&self, roster: &RosterSpec, equivalence: &str) -> Result<(), RunError> {
        let version = (self.version, PROFILE_VERSION);
        let equivalence = (self.equivalence.as_str(), equivalence);
        RunError::unless_fits("the stored profile", version, (&self.roster, roster), equivalence)
    }

    /// The plan that profiling ended with.
    ///
    /// # Errors
    /// [`RunError::Settings`] if the stored settings make no sense.
    pub fn plan(&self) -> Result<Plan, RunError> {
        self.replan(&self.roster, self.target, &self.settings)
    }

    /// Plans anew from the same evidence: at the prices of `roster`, for another target, or with
    /// other families of policies.
    ///
    /// The profiler is run again over the stored evidence, so the plan is the one it would have
    /// come to, had it been asked for this, ended its pilot no later than the recorded one (after it less
    /// was found out about each item), and stopped where the evidence ends: at the latest before an item
    /// of which something is wanted that was not asked, rated or compared. Choose the target and the
    /// prices before looking at the evidence: where one is chosen *because* a plan for it came out well,
    /// the plan is not covered by the promise.
    ///
    /// # Errors
    /// [`RunError::Mismatch`] if the roster differs in more than prices; [`RunError::Settings`] if
    /// the settings make no sense.
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
        let mut brain = begun(roster, target, settings)?;
        if (roster, target, settings) != (&self.roster, self.target, &self.settings) {
            // After the recorded pilot less was found out about each item. Where it ended depends on the
            // items before alone, so to end there is as free as any choice of its end.
            let recorded = self.refold(begun(&self.roster, self.target, &self.settings)?);
            brain = brain.with_pilot_at_most(recorded.pilot_end());
        }
        let mut brain = self.refold(brain);
        brain.conclude(self.stopped);
        Ok(brain.plan(self.asked, self.equivalence.clone()))
    }

    /// A plan of this run at other prices, with the forecast that the evidence gives there, as if it had been
    /// profiled at them: see [`Plan::at_prices`].
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
        Ok(Plan { forecast, ..priced })
    }

    /// A brain told of the evidence, as far as all is there that it asks for.
    fn refold(&self, mut brain: Brain) -> Brain {
        for item in &self.evidence {
            let rank = brain.profiled();
            let closely = brain.looks_closely(rank);
            let wanted = Request::new(rank, item.index, brain.demand(), closely).given_by(item);
            let missing = !wanted.is_met_by(item);
            if brain.stop().is_some() || missing {
                break;
            }
            brain.fold(item.clone());
        }
        brain
    }
}
