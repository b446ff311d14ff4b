//! What profiling hands to the executor that answers the rest: [`Handed`].

use std::collections::{BTreeMap, BTreeSet};

use super::{Profiled, stored};
use crate::answer::Answer;
use crate::calls::{CallKey, Kept};
use crate::error::RunError;
use crate::execute::Part;
use crate::plan::Plan;
use crate::pricing::Cost;
use crate::profile::Profile;
use crate::roster::RosterSpec;

/// What profiling answered and paid for, to be passed to [`Smart::executor`](crate::Smart::executor). It
/// is made from a [`Profiled`], or from a map of answers by index.
///
/// Profiling may end while items are under way. Their calls are paid for but are no evidence. Handed on
/// with the [`Profiled`], they are not paid for again; they are in its report and not in the executor's. To
/// hand it to another process, store the [`Profiled`].
#[derive(Debug, Clone)]
pub struct Handed<O> {
    pub(super) answers: BTreeMap<u64, Answer<O>>,
    pub(super) late: Vec<(CallKey, Kept<O>)>,
    /// The evidence, for a forecast at other prices.
    pub(super) profile: Option<Profile>,
    /// What profiling spent on all this, if it is known.
    spent: Option<Cost>,
}

impl<O> Handed<O> {
    /// Keeps only what belongs to one worker's items, of which it has this part. Of what profiling spent, the
    /// worker's [budget](crate::Budget) counts the same part.
    ///
    /// Let the worker's cap be the part's [share](Part::share) of the sum that profiling was begun with. Then
    /// no worker counts more than its cap, and all of them together keep to that sum.
    ///
    /// ```
    /// use smart_core::{Answer, Handed, Part};
    /// # fn profiled() -> Handed<u32> { std::collections::BTreeMap::<u64, Answer<u32>>::new().into() }
    /// // The second quarter of 2,000 items.
    /// let mine = profiled().only_part(Part::even(1, 4)?, |index| (500..1_000).contains(&index));
    /// # let _ = mine;
    /// # Ok::<(), smart_core::SettingsError>(())
    /// ```
    #[must_use]
    pub fn only_part(mut self, part: Part, ours: impl Fn(u64) -> bool) -> Self {
        self.retain(ours);
        self.spent = self.spent.map(|spent| Cost::from_nanos(part.share(spent.as_nanos())));
        self
    }

    /// Keeps only what belongs to one worker's items. Of what profiling spent, the worker's
    /// [budget](crate::Budget) counts the part that its share of the items handed over comes to.
    ///
    /// That share depends on which items were profiled, so it may be more than the worker's cap. If workers
    /// share out one sum, use [`only_part`](Self::only_part).
    #[must_use]
    pub fn only(mut self, ours: impl Fn(u64) -> bool) -> Self {
        let had = self.count();
        self.retain(ours);
        let kept = self.count();
        self.spent = self.spent.map(|spent| {
            // Rounded up, so that the parts come to no less than the whole.
            let part =
                (u128::from(spent.as_nanos()) * u128::from(kept)).div_ceil(u128::from(had.max(1)));
            Cost::from_nanos(u64::try_from(part).unwrap_or(u64::MAX))
        });
        self
    }

    fn retain(&mut self, ours: impl Fn(u64) -> bool) {
        self.answers.retain(|index, _| ours(*index));
        self.late.retain(|(key, _)| ours(key.index));
    }

    /// How many items it is about.
    fn count(&self) -> u64 {
        let late = self.late.iter().map(|(key, _)| key.index);
        let late =
            late.filter(|index| !self.answers.contains_key(index)).collect::<BTreeSet<u64>>();
        (self.answers.len() + late.len()) as u64
    }

    /// What profiling spent on all this, if it is known, and whether a call is among that.
    pub(super) fn before(&self) -> Option<(Cost, impl Fn(&CallKey) -> bool + use<O>)> {
        let answered: BTreeSet<u64> = self.answers.keys().copied().collect();
        let late: BTreeSet<CallKey> = self.late.iter().map(|(key, _)| *key).collect();
        let among = move |key: &CallKey| answered.contains(&key.index) || late.contains(key);
        Some((self.spent?, among))
    }
}

impl<O> Handed<O> {
    /// Fingerprints of the profiled items, by index, if they have one.
    pub(super) fn items(&self) -> BTreeMap<u64, u64> {
        let evidence = self.profile.iter().flat_map(|p| p.evidence.iter().chain(&p.late));
        evidence.filter_map(|item| Some((item.index, item.item?))).collect()
    }

    /// Refuses what another run profiled: the answers would be delivered without having been tested.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), RunError> {
        let Some(profile) = &self.profile else { return Ok(()) };
        let of = (&plan.roster, plan.equivalence.as_str());
        stored::check(profile, &self.answers, &self.late, of)?;
        profile.check_plan(plan)
    }

    /// The plan at these prices, with a forecast if its evidence was handed over.
    pub(super) fn price(&self, plan: Plan, roster: &RosterSpec) -> Result<Plan, RunError> {
        if plan.roster == *roster {
            return Ok(plan);
        }
        self.profile
            .as_ref()
            .map_or_else(|| plan.at_prices(roster), |profile| profile.at_prices(&plan, roster))
    }
}

impl<O> From<BTreeMap<u64, Answer<O>>> for Handed<O> {
    fn from(answers: BTreeMap<u64, Answer<O>>) -> Self {
        Self { answers, late: Vec::new(), profile: None, spent: None }
    }
}

impl<O> From<Profiled<O>> for Handed<O> {
    fn from(profiled: Profiled<O>) -> Self {
        let Profiled { answers, late, profile, taken, .. } = profiled;
        Self { answers, late, profile: Some(profile), spent: Some(taken) }
    }
}
