//! Asks the reference twice about some items: [`Smart::with_reference_check`].
//!
//! The check informs, and decides nothing. So it comes after profiling, and with a budget it takes only what
//! the answers leave.

use std::collections::BTreeMap;

use super::Smart;
use crate::answer::Answer;
use crate::calls::Calls;
use crate::error::RunError;
use crate::items::Items;
use crate::observe::Event;
use crate::plan::Plan;
use crate::pricing::Cost;
use crate::profile::{Profile, SelfAgreement, repeat};

/// How many times the expected cost of audits is kept for them: how many there are is luck.
const LIKELY: f64 = 1.25;

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Smart<I, O> {
    pub(super) async fn repeat<S>(
        &self,
        calls: &Calls<I, O>,
        items: &S,
        profile: &Profile,
        plan: &Plan,
        answers: &BTreeMap<u64, Answer<O>>,
    ) -> Result<Option<SelfAgreement>, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let audits = self.audit.map_or(Cost::ZERO, |audit| audits_of(plan, audit.share().as_f64()));
        let wanted = self.repeats.min(affordable_repeats(calls, plan, audits));
        if wanted == 0 {
            return Ok(None);
        }
        let about = (profile.order, profile.asked, self.target);
        let how = (wanted, self.concurrency);
        let agreement = repeat(calls, items, answers, about, how).await?;
        // After a stop nothing is asked, and nothing was found out.
        if agreement.asked == 0 && calls.is_stopped() {
            return Ok(None);
        }
        calls.observers.emit(&Event::ReferenceRepeated { agreement });
        Ok(Some(agreement))
    }
}

/// What auditing this share of the candidates' answers is likely to cost at most, as long as they are kept.
fn audits_of(plan: &Plan, share: f64) -> Cost {
    let rest = plan.order.population().saturating_sub(plan.asked) as f64;
    let each = plan.per_item.map_or(0.0, |each| each.audit.as_nanos() as f64);
    Cost::estimated(LIKELY * share * rest * each)
}

/// About how many items the reference can be asked twice, so that no item goes without an answer for it. A
/// resumed run comes to the same number: it depends on the plan and on what profiling cost, not on what is
/// left.
fn affordable_repeats<I: ?Sized + Sync, O>(calls: &Calls<I, O>, plan: &Plan, audits: Cost) -> u64 {
    let Some(purse) = calls.ledger.purse() else { return u64::MAX };
    let judging = calls.ledger.judge();
    let judged = judging.cost.as_nanos() / judging.comparisons.max(1);
    let each = plan.reference_call().unwrap_or_default().as_nanos().saturating_add(judged);
    let spare = purse.cap().saturating_sub(plan.forecast.high).saturating_sub(audits).as_nanos();
    spare.checked_div(each).unwrap_or(u64::MAX)
}
