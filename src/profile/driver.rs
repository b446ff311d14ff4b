//! The profiler's driver: makes the calls the state machine asks for.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::future::poll_fn;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all, try_join};

use super::machine::{ProfileMachine, Request, Step};
use super::{Decision, StopReason};
use crate::answer::{Answer, Reason};
use crate::backend::{Confidence, ErrorKind};
use crate::calls::{Asked, Calls};
use crate::error::RunError;
use crate::evidence::{Agreement, CandidateRecord, ItemEvidence, ModelSet};
use crate::items::Items;
use crate::observe::Event;
use crate::pool::Pool;
use crate::pricing::{Cost, Usage};
use crate::roster::ModelId;

/// Scores an item before any call is made.
pub(crate) type Router<I> = dyn Fn(&I) -> f64 + Send + Sync;

/// Profiles until the machine is done. Answers are kept for every item that was asked about.
pub(crate) async fn drive<I, O, S>(
    calls: &Calls<I, O>,
    items: &S,
    router: Option<&Router<I>>,
    machine: &mut ProfileMachine,
    concurrency: usize,
    answers: &mut BTreeMap<u64, Answer<O>>,
) -> Result<(), RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
    S: Items<I> + ?Sized,
    S::Item: Sync,
{
    let mut pool: Pool<BoxFuture<'_, Result<Profiled<O>, RunError>>> = Pool::new();
    loop {
        let next = poll_fn(|cx| {
            while pool.len() < concurrency {
                let Step::Profile(request) = machine.poll_step() else { break };
                pool.start(one(calls, items, router, request).boxed(), cx);
            }
            pool.poll_next(cx)
        });
        let Some(profiled) = next.await else { break };
        let profiled = profiled?;
        let unaffordable = profiled.unaffordable;
        answers.insert(profiled.answer.index, profiled.answer);
        if unaffordable {
            machine.stop(StopReason::Budget);
        }
        let before = machine.profiled();
        machine.handle_outcome(profiled.evidence)?;
        announce(calls, machine, before);
    }
    Ok(())
}

/// Tells observers what was folded since `before` items were, and what was decided.
fn announce<I: ?Sized + Sync, O>(calls: &Calls<I, O>, machine: &mut ProfileMachine, before: u64) {
    if calls.observers.is_empty() {
        while machine.poll_decision().is_some() {}
        return;
    }
    let known = usize::try_from(before).unwrap_or(usize::MAX);
    for (profiled, evidence) in (before + 1..).zip(machine.brain().evidence().iter().skip(known)) {
        let index = evidence.index;
        calls.observers.emit(&Event::Profiled { profiled, index, evidence });
    }
    while let Some(decision) = machine.poll_decision() {
        Decision::announce(&decision, &calls.observers);
    }
}

struct Profiled<O> {
    answer: Answer<O>,
    evidence: ItemEvidence,
    /// Whether the budget kept a call from being made.
    unaffordable: bool,
}

/// A candidate's answer while its item is being profiled.
struct Held<O> {
    id: ModelId,
    output: Option<O>,
    usage: Option<Usage>,
    rating: Option<Usage>,
    score: Option<Confidence>,
    cost: Cost,
    missing: Option<Missing>,
}

/// Why a candidate was not asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Unaffordable,
    CircuitOpen,
}

/// Everything about one item: all answers, their ratings, and how they compare.
async fn one<I, O, S>(
    calls: &Calls<I, O>,
    items: &S,
    router: Option<&Router<I>>,
    request: Request,
) -> Result<Profiled<O>, RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
    S: Items<I> + ?Sized,
    S::Item: Sync,
{
    let index = request.index;
    let population = items.count();
    let outside = RunError::OutsidePopulation { index, population };
    let held = items.fetch(index).ok_or(outside)?;
    let item: &I = (*held).borrow();
    let candidates = request.ask.iter().map(|id| candidate(calls, item, request, id));
    let reference = calls.ask(index, item, ModelId::REFERENCE);
    let (reference, candidates) = try_join(reference, async {
        join_all(candidates).await.into_iter().collect::<Result<Vec<_>, _>>()
    })
    .await?;

    let mut cost: Cost = candidates.iter().map(|held| held.cost).sum();
    let mut asked = request.ask;
    asked.insert(ModelId::REFERENCE);
    let (output, usage, reason) = match reference {
        Asked::Answered { output, usage, cost: paid, .. } => {
            cost += paid;
            (Some(output), usage, Reason::Profiled)
        }
        Asked::Failed { kind, usage, cost: paid } => {
            cost += paid;
            (None, usage, Reason::ReferenceFailed(kind))
        }
        Asked::Unaffordable => (None, None, Reason::Unaffordable),
    };
    let unaffordable = reason == Reason::Unaffordable
        || candidates.iter().any(|held| held.missing == Some(Missing::Unaffordable));

    let mut evidence = ItemEvidence {
        index,
        answered: output.is_some(),
        usage,
        candidates: Vec::new(),
        pairs: Vec::new(),
        router: router.and_then(|score| Confidence::new(score(item))),
        judged: None,
    };
    let models = calls.roster.spec().candidate_count();
    evidence.candidates.resize(models, None);
    for held in &candidates {
        let agreement = match (&output, &held.output) {
            (_, None) if held.missing.is_some() => Agreement::Unheard,
            (_, None) => Agreement::NoAnswer,
            (None, Some(_)) => Agreement::Differs,
            (Some(reference), Some(own)) => {
                let left = (ModelId::REFERENCE, reference);
                let compared = calls.compare(index, item, left, (held.id, own)).await?;
                judged(&mut evidence, compared.usage);
                cost += compared.cost;
                if compared.equivalent { Agreement::Agrees } else { Agreement::Differs }
            }
        };
        let record = CandidateRecord {
            agreement,
            score: held.score,
            usage: held.usage,
            rating: held.rating,
        };
        if let Some(slot) = evidence.candidates.get_mut(held.id.position() - 1) {
            *slot = Some(record);
        }
    }
    if request.compare {
        cost += compare_pairs(calls, item, &candidates, &mut evidence).await?;
    }
    let by = output.is_some().then_some(ModelId::REFERENCE);
    let answer = Answer { index, output, by, reason, asked, cost };
    Ok(Profiled { answer, evidence, unaffordable })
}

/// Asks one candidate, and has it rate its answer if that is wanted.
async fn candidate<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    item: &I,
    request: Request,
    id: ModelId,
) -> Result<Held<O>, RunError> {
    let mut held = Held {
        id,
        output: None,
        usage: None,
        rating: None,
        score: None,
        cost: Cost::ZERO,
        missing: None,
    };
    match calls.ask(request.index, item, id).await? {
        Asked::Answered { output, usage, score, cost } => {
            (held.usage, held.score, held.cost) = (usage, score, cost);
            if request.rate.contains(id) {
                let rated = calls.rate(request.index, item, id, &output).await?;
                held.score = rated.score;
                held.rating = Some(rated.usage.unwrap_or_default());
                held.cost += rated.cost;
            }
            held.output = Some(output);
        }
        Asked::Failed { kind, usage, cost } => {
            (held.usage, held.cost) = (usage, cost);
            held.missing = (kind == ErrorKind::Unavailable).then_some(Missing::CircuitOpen);
        }
        Asked::Unaffordable => held.missing = Some(Missing::Unaffordable),
    }
    Ok(held)
}

/// Compares the candidates with each other wherever at least one of a pair differs from the
/// reference: exactly the comparisons on which a consensus could fail.
async fn compare_pairs<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    item: &I,
    candidates: &[Held<O>],
    evidence: &mut ItemEvidence,
) -> Result<Cost, RunError> {
    let mut cost = Cost::ZERO;
    let differs: ModelSet = candidates
        .iter()
        .map(|held| held.id)
        .filter(|id| evidence.candidate(*id).is_some_and(|c| c.agreement != Agreement::Agrees))
        .collect();
    for (position, left) in candidates.iter().enumerate() {
        for right in candidates.iter().skip(position + 1) {
            let (Some(a), Some(b)) = (&left.output, &right.output) else { continue };
            if !(differs.contains(left.id) || differs.contains(right.id)) {
                continue;
            }
            let pair = ((left.id, a), (right.id, b));
            let compared = calls.compare(evidence.index, item, pair.0, pair.1).await?;
            cost += compared.cost;
            judged(evidence, compared.usage);
            if compared.equivalent {
                evidence.pairs.push((left.id, right.id));
            }
        }
    }
    Ok(cost)
}

fn judged(evidence: &mut ItemEvidence, usage: Option<Usage>) {
    if let Some(usage) = usage {
        evidence.judged = Some(evidence.judged.unwrap_or_default().plus(usage));
    }
}
