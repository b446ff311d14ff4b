//! Profiling that is spread over workers: [`Smart::profile_ranks`].

use std::collections::BTreeMap;
use std::ops::Range;

use super::Smart;
use crate::answer::Answer;
use crate::error::RunError;
use crate::items::Items;
use crate::ledger::{Budgeted, Fault, Spending};
use crate::plan::Plan;
use crate::profile::{Profile, ProfileMachine, Start, Stretch, ask_ranks};
use crate::report::Report;

/// What one worker finds out for a profile.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stretched<O> {
    /// The evidence, for [`Profile::fold`].
    pub stretch: Stretch,
    /// The reference's answers on the items asked about, by index.
    pub answers: BTreeMap<u64, Answer<O>>,
    /// What each model cost, by position.
    pub spent: Vec<Spending>,
    /// What judging cost.
    pub judging: Spending,
    /// How calls failed, and how often.
    pub faults: Vec<Fault>,
    /// How the worker kept to its budget, if there is one.
    pub budget: Option<Budgeted>,
}

impl<O> Stretched<O> {
    /// The report of this worker, under the plan that its stretch became part of; [merge](Report::merge)
    /// it with those of the others. The reference's answers on its items count as delivered by the
    /// workers that they are handed to.
    pub fn report(&self, plan: Plan) -> Report {
        let (faults, budget) = (self.faults.clone(), self.budget);
        Report { faults, budget, ..Report::of_profiling(plan, self.spent.clone(), self.judging) }
    }
}

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Smart<I, O> {
    /// Profiles these ranks of the random order and no others, as one of several workers;
    /// [`Profile::fold`] makes one profile of what they all find.
    ///
    /// A worker cannot know what the others see, so it asks every candidate that could still be needed.
    /// To limit what that costs, profile in two rounds: first a hundred or so ranks, at one place or
    /// many, then the others `after` the profile folded from these, when the candidates not worth asking
    /// are known. If one machine can make the profiling calls, [`profile`](Self::profile) is cheapest:
    /// it stops when enough is known, and profiles a few hundred items however many there are.
    ///
    /// Only the items of these ranks are fetched, so `items` need not hold others.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`RunError::Mismatch`] if `after` belongs to another run.
    ///
    /// # Example
    /// ```
    /// use smart_core::backend::Simulated;
    /// use smart_core::equivalence::Exact;
    /// use smart_core::{Generated, Model, Pricing, Profile, Roster, Smart, Target};
    ///
    /// # futures::executor::block_on(async {
    /// # let roster = Roster::new(
    /// #     Model::new("large", Simulated::reference(7)).with_pricing(Pricing::per_request(0.01)?),
    /// #     [Model::new("small", Simulated::candidate("small", 0.97, 7))
    /// #         .with_pricing(Pricing::per_request(0.0005)?)],
    /// # )?;
    /// let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?).with_seed(1);
    /// let items = Generated::new(20_000, |index| index);
    /// let first = smart.profile_ranks(&items, 0..200, None).await?;
    /// let second = smart.profile_ranks(&items, 200..400, None).await?;
    /// let profile = Profile::fold([second.stretch, first.stretch])?;
    /// assert_eq!(profile.plan()?, smart.profile(&items).await?.profile.plan()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn profile_ranks<S>(
        &self,
        items: &S,
        ranks: Range<u64>,
        after: Option<&Profile>,
    ) -> Result<Stretched<O>, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let (roster, judge) = (self.roster.spec(), self.equivalence.pricing());
        let order = self.order(items.count());
        if let Some(after) = after {
            after.check(roster, &self.equivalence.name())?;
            if (after.order, after.target) != (order, self.target) {
                let difference = "its seed, population or target is another".to_owned();
                return Err(RunError::Mismatch { what: "the stored profile", difference });
            }
        }
        let machine = ProfileMachine::new(roster, judge, self.target, order, &self.settings)?;
        let start = Start::new(machine, after)?;
        // No digest of the items, because a worker may hold only its own.
        let calls = self.calls(order, self.target, None, None, None)?;
        let router = self.router.as_deref();
        let asking = ask_ranks(&calls, items, router, &start, ranks.clone(), self.concurrency);
        let (shown, answers) = calls.attend(asking).await?;
        calls.close(|index| ranks.contains(&order.rank(index)))?;
        let equivalence = self.equivalence.name().into_owned();
        let ledger = &calls.ledger;
        Ok(Stretched {
            stretch: Stretch::new(&start.machine, equivalence, shown),
            answers,
            spent: ledger.models(),
            judging: ledger.judge(),
            faults: ledger.faults.read(),
            budget: calls.budgeted(),
        })
    }
}
