//! One item's way through the plan's policy.
//!
//! The policy decides each move from what is known of the item so far; this module makes the calls and
//! reports their outcome back to it. It ends with a candidate's answer, kept or audited, or with the
//! reference's.

use super::audit::{Auditor, Finding, Pending, Ruling};
use crate::answer::{Answer, Reason};
use crate::backend::{Confidence, ErrorKind, Scoring};
use crate::calls::{Asked, Calls, Errand};
use crate::error::RunError;
use crate::evidence::ModelSet;
use crate::ledger::Needs;
use crate::plan::{Heard, Known, Move, Plan, Policy, Scored};
use crate::pricing::Cost;
use crate::roster::ModelId;

/// A candidate's answer, held until the policy decides.
struct Slot<O> {
    id: ModelId,
    output: O,
}

/// What an item's calls came to so far.
#[derive(Default)]
struct Trip {
    asked: ModelSet,
    cost: Cost,
    failed: Option<ErrorKind>,
}

/// The calls an item takes at worst: every model the policy may ask, with a rating if it rates its own
/// answers; the reference; a comparison of two candidates; and an audit's, of the answer to be delivered.
pub(super) fn needs<I: ?Sized + Sync, O>(
    calls: &Calls<I, O>,
    plan: &Plan,
    index: u64,
    audited: bool,
) -> Needs {
    let chain = match &plan.policy {
        Policy::Last { .. } if !plan.is_last(index) => return reference_needs(),
        Policy::Chain { chain, .. } => Some(chain),
        _ => None,
    };
    let (roster, models) = (calls.roster.spec(), plan.models());
    let rated = models.iter().filter(|id| chain.is_some() && roster.rates(*id));
    let mut needs = Needs::new(models.iter().chain([ModelId::REFERENCE]), rated);
    if let Some(chain) = chain.filter(|chain| chain.compares())
        && let Some(second) = chain.second
    {
        // The lower id is in the reference's place.
        needs.compare(chain.first.min(second), ModelSet::of(chain.first.max(second)));
    }
    if audited {
        let first = chain.filter(|chain| chain.delivers_first()).map(|chain| chain.first);
        needs.compare(ModelId::REFERENCE, first.map_or(models, ModelSet::of));
    }
    needs
}

/// The needs of an item for which only the reference is asked.
pub(super) fn reference_needs() -> Needs {
    Needs::new([ModelId::REFERENCE], [])
}

/// Follows the plan's policy for one item.
pub(super) async fn follow<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    plan: &Plan,
    errand: &Errand<'_, I>,
    router: Option<f64>,
    auditor: Option<&Auditor>,
) -> Result<Answer<O>, RunError> {
    if auditor.is_some_and(|auditor| !auditor.asks_candidates()) {
        return reference(calls, errand, Reason::Reference).await;
    }
    let mut known: Known = plan.start(errand.index, router.filter(|score| score.is_finite()));
    let mut trip = Trip::default();
    // One of each model asked that answered: two at most.
    let mut held: Vec<Slot<O>> = Vec::new();
    loop {
        match plan.policy.next(&known) {
            Move::Ask(id) => {
                let (heard, slot) = ask(calls, errand, id, &mut trip).await?;
                plan.policy.hear(&mut known, id, heard);
                held.extend(slot);
            }
            Move::Rate(id) => {
                let Some(slot) = held.iter().find(|slot| slot.id == id) else { break };
                let rated = calls.rate(errand, id, &slot.output).await?;
                trip.cost += rated.cost;
                // Such an item was not ranked in the test, so no threshold applies to it.
                if rated.missed {
                    break;
                }
                let score = Scored::Known(rated.score.map(Confidence::as_f64));
                plan.policy.hear(&mut known, id, Heard::Answer { score });
            }
            Move::Compare(..) => {
                // The lower id is in the reference's place, as it was in profiling.
                held.sort_by_key(|slot| slot.id);
                let [a, b] = held.as_slice() else { break };
                let pair = ((a.id, &a.output), (b.id, &b.output));
                let compared = calls.compare(errand, pair.0, pair.1).await?;
                trip.cost += compared.cost;
                known.agree = Some(compared.equivalent);
            }
            Move::Accept(id) => {
                let Some(slot) = held.into_iter().find(|slot| slot.id == id) else { break };
                if let Some(auditor) = auditor {
                    // Others hold their money while they wait for an audit, so no audit may wait for money.
                    calls.set_aside(errand).await;
                    match auditor.rule(errand.index).await {
                        Ruling::Deliver => {}
                        Ruling::Reference => {
                            return escalate(calls, errand, Reason::Reference, trip).await;
                        }
                        Ruling::Audit(pending) => {
                            return audit(calls, errand, &slot, trip, pending).await;
                        }
                    }
                }
                let Trip { asked, cost, .. } = trip;
                let (output, by, reason) = (Some(slot.output), Some(id), Reason::Accepted);
                let index = errand.index;
                return Ok(Answer { index, output, by, reason, asked, cost });
            }
            Move::Escalate => break,
        }
    }
    let reason = match (&plan.policy, trip.failed) {
        (Policy::Reference, _) => Reason::Reference,
        (_, Some(kind)) => Reason::CandidateFailed(kind),
        _ if trip.asked.is_empty() => Reason::Routed,
        _ => Reason::Escalated,
    };
    escalate(calls, errand, reason, trip).await
}

/// Asks only the reference.
pub(super) async fn reference<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    reason: Reason,
) -> Result<Answer<O>, RunError> {
    escalate(calls, errand, reason, Trip::default()).await
}

/// Asks the reference about an item whose candidate answer would be delivered, compares, and delivers
/// the reference's answer.
async fn audit<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    slot: &Slot<O>,
    trip: Trip,
    pending: Pending<'_>,
) -> Result<Answer<O>, RunError> {
    let mut answer = escalate(calls, errand, Reason::Audited, trip).await?;
    let finding = match &answer.output {
        Some(reference) => {
            let pair = ((ModelId::REFERENCE, reference), (slot.id, &slot.output));
            let compared = calls.compare(errand, pair.0, pair.1).await?;
            answer.cost += compared.cost;
            match compared.equivalent {
                true => Finding::Agrees,
                false if compared.not_made => Finding::Unfinished,
                false => Finding::Fails,
            }
        }
        None if matches!(answer.reason, Reason::Stopped | Reason::Unaffordable) => {
            Finding::Unfinished
        }
        // The reference failed, so nobody can tell.
        None => Finding::Fails,
    };
    pending.found(finding, errand.index, &calls.observers);
    Ok(answer)
}

async fn ask<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    id: ModelId,
    trip: &mut Trip,
) -> Result<(Heard, Option<Slot<O>>), RunError> {
    trip.asked.insert(id);
    match calls.ask(errand, id).await? {
        Asked::Answered { output, score, cost, .. } => {
            trip.cost += cost;
            let scoring = calls.roster.spec().model(id).map(|model| model.scoring);
            let score = match scoring {
                Some(Scoring::SecondCall) => Scored::Unrated,
                _ => Scored::Known(score.map(Confidence::as_f64)),
            };
            Ok((Heard::Answer { score }, Some(Slot { id, output })))
        }
        Asked::Failed { kind, cost, .. } => {
            trip.cost += cost;
            trip.failed = trip.failed.or(Some(kind));
            Ok((Heard::NoAnswer, None))
        }
        Asked::NotMade => {
            trip.asked.remove(id);
            Ok((Heard::NoAnswer, None))
        }
    }
}

async fn escalate<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    reason: Reason,
    trip: Trip,
) -> Result<Answer<O>, RunError> {
    let Trip { mut asked, mut cost, .. } = trip;
    let (output, by, reason) = match calls.ask(errand, ModelId::REFERENCE).await? {
        Asked::Answered { output, cost: paid, .. } => {
            asked.insert(ModelId::REFERENCE);
            cost += paid;
            (Some(output), Some(ModelId::REFERENCE), reason)
        }
        Asked::Failed { kind, cost: paid, .. } => {
            asked.insert(ModelId::REFERENCE);
            cost += paid;
            (None, None, Reason::ReferenceFailed(kind))
        }
        Asked::NotMade => (None, None, errand.refusal()),
    };
    Ok(Answer { index: errand.index, output, by, reason, asked, cost })
}
