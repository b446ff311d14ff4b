//! Executors that follow a plan: on the items it was profiled on, or on others under audit.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Handed, Smart};
use crate::answer::Answer;
use crate::calls::{CallKey, Calls};
use crate::error::{RunError, SettingsError};
use crate::execute::{Executor, Part};
use crate::order::Order;
use crate::plan::Plan;

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Smart<I, O> {
    /// Makes an executor that follows a plan, with what profiling already answered and paid for: a
    /// [`Profiled`](crate::Profiled), or a map of answers by index. The map may be empty: the reference
    /// is then asked about those items again.
    ///
    /// # The items must be the profiled ones
    /// A plan's promise is about the items it was profiled on, in their order, and about no others; for
    /// others use [`apply`](Self::apply). If other items are behind the same indices, the answers handed
    /// over are **those of other items**, and the promise is void. If items have a key
    /// ([`with_item_key`](Self::with_item_key), or a journal) here and in profiling, this is noticed at
    /// the first profiled item and ends the run with [`RunError::Mismatch`]. If they have none, **nobody
    /// can tell**: it is up to the caller.
    ///
    /// # Target and seed
    /// Both are the plan's: what is promised is [its target](Plan::target), and the items are in its random
    /// order, whatever seed this run has. A run that asks for less than the plan promises may follow it; one
    /// that asks for more, in agreement or confidence, is refused.
    ///
    /// # Prices
    /// The prices are those of this roster, not those the plan was made at. The plan is followed [at
    /// these prices](Plan::at_prices), with a forecast if a [`Profiled`](crate::Profiled) is handed
    /// over, and the report compares what was spent with what the reference costs at them.
    ///
    /// # Errors
    /// [`RunError::Mismatch`] if the plan was made for other models or another equivalence, if it promises less
    /// than this run asks for, if it goes by the scores of a router and this run has none, or if another run
    /// profiled what is handed over (a map of answers does not say which run it is of);
    /// [`SettingsError::Unaudited`] for a plan without a certificate, such as that of [`apply`](Self::apply),
    /// without audits.
    pub fn executor(
        &self,
        plan: Plan,
        profiled: impl Into<Handed<O>>,
    ) -> Result<Executor<I, O>, RunError> {
        plan.check(self.roster.spec(), &self.equivalence.name())?;
        plan.check_target(self.target)?;
        if plan.certificate.is_none() && !plan.needs_no_certificate() && self.audit.is_none() {
            return Err(SettingsError::Unaudited.into());
        }
        let profiled = profiled.into();
        profiled.check(&plan)?;
        let plan = profiled.price(plan, self.roster.spec())?;
        // The journal belongs to the run, which asked for this target; the plan may aim higher.
        let before = profiled.before();
        let before =
            before.as_ref().map(|(spent, among)| (*spent, among as &dyn Fn(&CallKey) -> bool));
        let calls = self.calls(plan.order, self.target, None, plan.reference_call(), before)?;
        let known = profiled.items();
        let Handed { answers, late, .. } = profiled;
        calls.hand_over(late)?;
        let population = Some(plan.order.population());
        let executor = self.executor_with(&calls, Arc::new(plan), answers, population)?;
        let executor = executor.knowing(known);
        executor.announce();
        Ok(executor)
    }

    /// Makes an executor that follows a stored plan on *new* items, under audit: `items` of them, or a
    /// stream of unknown length.
    ///
    /// The plan's certificate says nothing about new items, and the executor's plan and report leave it out.
    /// The promise, for the plan's target, rests on the audits alone ([`with_audit`](Self::with_audit)).
    /// Their coins are drawn from this run's seed, so take a new one. The forecast is what the policy costs on
    /// so many items, and the audits, without profiling. If the length is not known, the share of wrong
    /// answers among those delivered exceeds the tolerated share *at any time* with probability at most
    /// `alpha`. The first items then go to the reference, until enough is delivered for a candidate's answer
    /// to be allowed to fail: [`Audit::warm_up`](crate::Audit::warm_up) says how many.
    ///
    /// # Errors
    /// [`RunError::Mismatch`] if the plan was made for other models or another equivalence, or promises less than
    /// this run asks for; [`SettingsError::Unaudited`] without audits.
    pub fn apply(&self, plan: &Plan, items: Option<u64>) -> Result<Executor<I, O>, RunError> {
        plan.check(self.roster.spec(), &self.equivalence.name())?;
        plan.check_target(self.target)?;
        let audit = self.audit.ok_or(SettingsError::Unaudited)?;
        let plan = plan.at_prices(self.roster.spec())?;
        let order = self.order(items.unwrap_or(Order::ENDLESS));
        // Where no catch is allowed, the reference answers everything from the start. The plan is the same for all
        // workers, so this is about all parts together.
        let (target, audit) = (plan.target, audit.with_part(Part::WHOLE));
        let barred = items.is_some_and(|items| audit.limit(target, items).is_none());
        let plan = plan.on_other_items(order, items, audit.share(), barred);
        let calls = self.calls(plan.order, plan.target, None, plan.reference_call(), None)?;
        let executor = self.executor_with(&calls, Arc::new(plan), BTreeMap::new(), items)?;
        executor.announce();
        Ok(executor)
    }

    pub(super) fn executor_with(
        &self,
        calls: &Arc<Calls<I, O>>,
        plan: Arc<Plan>,
        answers: BTreeMap<u64, Answer<O>>,
        population: Option<u64>,
    ) -> Result<Executor<I, O>, RunError> {
        if plan.policy.reads_router() && self.router.is_none() {
            let difference = "it goes by a router's scores, and this run has no router; set the one it was \
                              made with (`Smart::with_router`)";
            return Err(RunError::Mismatch { what: "the plan", difference: difference.to_owned() });
        }
        let (calls, router) = (Arc::clone(calls), self.router.clone());
        let executor = Executor::new(calls, plan, router, answers, self.concurrency);
        let executor = executor.in_order(self.in_order);
        Ok(match self.audit {
            Some(audit) => executor.audited(audit, population)?,
            None => executor,
        })
    }
}
