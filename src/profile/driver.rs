//! The profiler's driver: makes the calls that the state machine asks for.
//!
//! It asks about many items at once and hands the outcomes to the machine, which folds them in rank
//! order. The machine sees verdicts, scores and usage; the answers stay here, and those of the profiled
//! items are delivered.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::future::{join_all, try_join};

use super::machine::{ProfileMachine, Request, Step};
use super::{Decision, StopReason};
use crate::answer::{Answer, Reason};
use crate::backend::{Confidence, ErrorKind};
use crate::calls::{Asked, CallKey, Calls, Compared, Errand, Kept};
use crate::error::RunError;
use crate::evidence::{Agreement, CandidateRecord, ItemEvidence, ModelSet};
use crate::items::{self, Items};
use crate::ledger::Needs;
use crate::observe::Event;
use crate::pool::{Ending, Pool};
use crate::pricing::{Cost, Usage};
use crate::roster::ModelId;

/// Scores an item before any call is made.
pub(crate) type Router<I> = dyn Fn(&I) -> f64 + Send + Sync;

/// The router's score of an item; `None` if the router panics or returns no number.
pub(crate) fn score<I: ?Sized>(router: Option<&Router<I>>, item: &I) -> Option<Confidence> {
    let score = catch_unwind(AssertUnwindSafe(|| router.map(|score| score(item))));
    Confidence::new(score.ok().flatten()?)
}

/// Profiles until the machine is done.
///
/// `answers` receives those of the items that became evidence. Calls for items that came too late are
/// remembered for whoever answers these items by the plan.
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
    let mut pool = Pool::new();
    // Items asked about but not folded yet, by rank.
    let mut early: BTreeMap<u64, Early<O>> = BTreeMap::new();
    // The first rank that the budget did not cover or a stop left, and which of the two it was.
    let mut refused: Option<(u64, StopReason)> = None;
    let mut ending = Ending::default();
    loop {
        let next = poll_fn(|cx| {
            pool.poll_next(cx, concurrency, |_| {
                if refused.is_some() || ending.is_near() || is_left(calls, machine) {
                    return None;
                }
                match machine.poll_step() {
                    Step::Profile(request) => Some(one(calls, items, router, request)),
                    Step::Wait | Step::Done => None,
                }
            })
        });
        let Some(profiled) = next.await else { break };
        let Profiled { rank, answer, evidence, paid, short } = match profiled {
            Ok(profiled) => profiled,
            Err(error) => {
                ending.note(error)?;
                continue;
            }
        };
        early.insert(rank, Early { answer, paid });
        let before = machine.profiled();
        if let Some(why) = short {
            refused = refused.filter(|(first, _)| *first < rank).or(Some((rank, why)));
        } else {
            machine.handle_outcome(evidence)?;
        }
        // Budget and stop end profiling at a rank and not at a time: everything below that rank counts.
        if let Some((_, why)) = refused.filter(|(rank, _)| *rank <= machine.profiled()) {
            machine.stop(why);
        }
        let later = early.split_off(&machine.profiled());
        for folded in std::mem::replace(&mut early, later).into_values() {
            answers.insert(folded.answer.index, folded.answer);
        }
        announce(calls, machine, before);
    }
    if let Some(error) = ending.take() {
        return Err(error);
    }
    // Everything asked about is folded, so a stop has ended profiling at a rank, too.
    if calls.is_stopped() {
        machine.stop(StopReason::Caller);
        announce(calls, machine, machine.profiled());
    }
    // What is still early came too late to be evidence. The plan decides about these items, and finds
    // their calls paid for.
    for Early { answer, paid } in early.into_values() {
        remember(calls, answer, paid);
    }
    Ok(())
}

/// Remembers what is paid for about an item that came too late.
pub(super) fn remember<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    answer: Answer<O>,
    paid: Paid<O>,
) {
    let Answer { index, output, .. } = answer;
    if let Some(output) = output {
        let usage = paid.reference;
        let key = CallKey::answer(index, ModelId::REFERENCE);
        calls.remember(key, Kept::Answer { output, usage, score: None });
    }
    paid.rest.into_iter().for_each(|(key, kept)| calls.remember(key, kept));
}

/// Whether the run was stopped, and nothing about the next item is paid for.
fn is_left<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    machine: &ProfileMachine,
) -> bool {
    let (order, next) = (machine.brain().order(), machine.asked());
    calls.is_stopped() && (next >= order.population() || !calls.is_recorded(order.index(next)))
}

/// An item that was asked about but is not evidence yet.
struct Early<O> {
    answer: Answer<O>,
    paid: Paid<O>,
}

/// What an item's calls brought besides the reference's answer.
pub(super) struct Paid<O> {
    /// What the reference's answer used.
    reference: Option<Usage>,
    pub(super) rest: Vec<(CallKey, Kept<O>)>,
    /// How the answers compared whose ratings failed: what their evidence would say without the ratings.
    pub(super) unrated: Vec<(ModelId, Agreement)>,
    /// Whether the budget or a stop prevented a comparison.
    short: bool,
}

/// Tells observers what was folded after the first `before` items, and what was decided.
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

/// What came of asking about one item.
pub(super) struct Profiled<O> {
    pub(super) rank: u64,
    pub(super) answer: Answer<O>,
    pub(super) evidence: ItemEvidence,
    pub(super) paid: Paid<O>,
    /// What prevented a call, the budget or a stop, if one was not made.
    pub(super) short: Option<StopReason>,
}

/// A candidate's answer while its item is being profiled.
struct Held<O> {
    id: ModelId,
    output: Option<O>,
    usage: Option<Usage>,
    rating: Option<Usage>,
    /// The score that counts: the rating's if there was one.
    score: Option<Confidence>,
    /// The score that came with the answer.
    given: Option<Confidence>,
    /// The score that the rating gave.
    rated: Option<Confidence>,
    cost: Cost,
    missing: Option<Missing>,
    /// Why it gave no answer.
    failed: Option<ErrorKind>,
}

/// Why it is unknown what a candidate would say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Unaffordable,
    /// It could not be reached, either to answer or to rate its answer.
    NotReached,
}

/// Makes all calls wanted about one item: answers, their ratings, and comparisons.
pub(super) async fn one<I, O, S>(
    calls: &Calls<I, O>,
    items: &S,
    router: Option<&Router<I>>,
    mut request: Request,
) -> Result<Profiled<O>, RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
    S: Items<I> + ?Sized,
    S::Item: Sync,
{
    let index = request.index;
    let held = items::held(items, index)?;
    let item: &I = (*held).borrow();
    let errand = calls.errand(index, item, || needs(request))?;
    let errand = &errand;
    let at_once = request.unless.map_or(request.ask, |first| std::iter::once(first).collect());
    let rate = if request.unless.is_some() { ModelSet::EMPTY } else { request.rate };
    let reference = calls.ask(errand, ModelId::REFERENCE);
    let (reference, mut candidates) =
        try_join(reference, ask_all(calls, errand, at_once, rate)).await?;

    let mut cost = Cost::ZERO;
    let mut paid = Paid { reference: None, rest: Vec::new(), unrated: Vec::new(), short: false };
    let (output, usage, reason) = match reference {
        Asked::Answered { output, usage, cost: bill, .. } => {
            cost += bill;
            paid.reference = usage;
            (Some(output), usage, Reason::Profiled)
        }
        Asked::Failed { kind, usage, cost: bill } => {
            cost += bill;
            let key = CallKey::answer(index, ModelId::REFERENCE);
            paid.rest.push((key, Kept::Failure { kind, usage }));
            (None, usage, Reason::ReferenceFailed(kind))
        }
        Asked::Unaffordable => (None, None, errand.refusal()),
    };

    let mut evidence = ItemEvidence {
        index,
        answered: output.is_some(),
        usage,
        candidates: Vec::new(),
        pairs: Vec::new(),
        router: score(router, item),
        judged: None,
        compared: false,
        unless: None,
        item: errand.fingerprint(),
        unjudged: ModelSet::EMPTY,
    };
    let models = calls.roster.spec().candidate_count();
    evidence.candidates.resize(models, None);
    for held in &candidates {
        cost += record(calls, errand, output.as_ref(), held, &mut evidence, &mut paid).await?;
    }
    if request.unless.is_some() {
        // If its answer fails, everything that might have predicted that is wanted too.
        request = request.given_by(&evidence);
        let mut others = request.ask;
        for held in &mut candidates {
            others.remove(held.id);
            if request.rate.contains(held.id) {
                rated(calls, errand, held).await?;
                let unheard = held.missing.is_some();
                let agreement = if unheard { Agreement::Unheard } else { Agreement::Differs };
                note(&mut evidence, held, agreement);
            }
        }
        let others = ask_all(calls, errand, others, request.rate).await?;
        for held in &others {
            cost += record(calls, errand, output.as_ref(), held, &mut evidence, &mut paid).await?;
        }
        candidates.extend(others);
        candidates.sort_by_key(|held| held.id);
    }
    let unaffordable = matches!(reason, Reason::Unaffordable | Reason::Stopped)
        || paid.short
        || candidates.iter().any(|held| held.missing == Some(Missing::Unaffordable));
    cost += candidates.iter().map(|held| held.cost).sum();
    let mut asked: ModelSet = candidates.iter().map(|held| held.id).collect();
    asked.insert(ModelId::REFERENCE);
    if request.compare {
        cost += compare_pairs(calls, errand, &candidates, &mut evidence, &mut paid).await?;
    }
    for held in candidates {
        paid.candidate(index, held);
    }
    let by = output.is_some().then_some(ModelId::REFERENCE);
    let answer = Answer { index, output, by, reason, asked, cost };
    let why = if errand.is_left() { StopReason::Caller } else { StopReason::Budget };
    let short = unaffordable.then_some(why);
    Ok(Profiled { rank: request.rank, answer, evidence, paid, short })
}

/// The most calls that an item may take in profiling.
fn needs(request: Request) -> Needs {
    let asked = [ModelId::REFERENCE].into_iter().chain(request.ask.iter());
    let mut needs = Needs::new(asked, request.rate.iter());
    let mut each = |left: ModelId, others: ModelSet| {
        others.iter().for_each(|right| needs.compare(left, ModelSet::of(right)));
    };
    each(ModelId::REFERENCE, request.ask);
    if request.compare {
        let mut others = request.ask;
        for left in request.ask.iter() {
            others.remove(left);
            each(left, others);
        }
    }
    needs
}

impl<O> Paid<O> {
    fn verdict(&mut self, key: CallKey, compared: Compared) {
        let Compared { equivalent, usage, unaffordable, .. } = compared;
        self.short |= unaffordable;
        // A comparison without a call is free the second time too.
        if usage.is_some() {
            self.rest.push((key, Kept::Verdict { usage, equivalent }));
        }
    }

    fn candidate(&mut self, index: u64, held: Held<O>) {
        let Held { id, output, usage, rating, rated, given, failed, .. } = held;
        let key = CallKey::answer(index, id);
        if let Some(kind) = failed {
            self.rest.push((key, Kept::Failure { kind, usage }));
        }
        if let Some(output) = output {
            self.rest.push((key, Kept::Answer { output, usage, score: given }));
        }
        if rating.is_some() {
            let key = CallKey::rating(index, id);
            self.rest.push((key, Kept::Rating { usage: rating, score: rated }));
        }
    }
}

/// Asks some candidates side by side, and has those in `rate` rate their answers.
async fn ask_all<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    ask: ModelSet,
    rate: ModelSet,
) -> Result<Vec<Held<O>>, RunError> {
    let asked = ask.iter().map(|id| candidate(calls, errand, rate.contains(id), id));
    join_all(asked).await.into_iter().collect()
}

/// Compares a candidate's answer with the reference's and notes it in the evidence; returns the cost.
async fn record<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    reference: Option<&O>,
    held: &Held<O>,
    evidence: &mut ItemEvidence,
    paid: &mut Paid<O>,
) -> Result<Cost, RunError> {
    let mut cost = Cost::ZERO;
    let agreement = match (reference, &held.output) {
        (_, None) if held.missing.is_some() => Agreement::Unheard,
        (_, None) => Agreement::NoAnswer,
        (None, Some(_)) => Agreement::Differs,
        (Some(reference), Some(own)) => {
            let left = (ModelId::REFERENCE, reference);
            let compared = calls.compare(errand, left, (held.id, own)).await?;
            judged(evidence, compared.usage);
            cost = compared.cost;
            let key = CallKey::comparison(errand.index, ModelId::REFERENCE, held.id);
            paid.verdict(key, compared);
            if compared.failed.is_some() {
                evidence.unjudged.insert(held.id);
            }
            let agreement =
                if compared.equivalent { Agreement::Agrees } else { Agreement::Differs };
            if held.missing.is_some() {
                // Without its rating the item's place is unknown.
                paid.unrated.push((held.id, agreement));
                Agreement::Unheard
            } else {
                agreement
            }
        }
    };
    note(evidence, held, agreement);
    Ok(cost)
}

/// Notes what is known of a candidate's answer.
fn note<O>(evidence: &mut ItemEvidence, held: &Held<O>, agreement: Agreement) {
    let record =
        CandidateRecord { agreement, score: held.score, usage: held.usage, rating: held.rating };
    if let Some(slot) = evidence.candidates.get_mut(held.id.position() - 1) {
        *slot = Some(record);
    }
}

/// Asks one candidate, and has it rate its answer if wanted.
async fn candidate<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    rate: bool,
    id: ModelId,
) -> Result<Held<O>, RunError> {
    let mut held = Held {
        id,
        output: None,
        usage: None,
        rating: None,
        score: None,
        given: None,
        rated: None,
        cost: Cost::ZERO,
        missing: None,
        failed: None,
    };
    match calls.ask(errand, id).await? {
        Asked::Answered { output, usage, score, cost } => {
            (held.usage, held.score, held.given, held.cost) = (usage, score, score, cost);
            held.output = Some(output);
            if rate {
                rated(calls, errand, &mut held).await?;
            }
        }
        Asked::Failed { kind, usage, cost } => {
            (held.usage, held.cost, held.failed) = (usage, cost, Some(kind));
            held.missing = (!kind.is_of_the_item()).then_some(Missing::NotReached);
        }
        Asked::Unaffordable => held.missing = Some(Missing::Unaffordable),
    }
    Ok(held)
}

/// Has a candidate rate the answer it gave.
async fn rated<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    held: &mut Held<O>,
) -> Result<(), RunError> {
    if let Some(output) = &held.output {
        let rated = calls.rate(errand, held.id, output).await?;
        (held.score, held.rated) = (rated.score, rated.score);
        held.rating = Some(rated.usage.unwrap_or_default());
        held.cost += rated.cost;
        if rated.unaffordable {
            held.missing = Some(Missing::Unaffordable);
        } else if rated.missed {
            held.missing = Some(Missing::NotReached);
        }
    }
    Ok(())
}

/// Compares the candidates with each other wherever at least one of a pair differs from the reference.
///
/// Only on these pairs could a consensus fail.
async fn compare_pairs<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    candidates: &[Held<O>],
    evidence: &mut ItemEvidence,
    paid: &mut Paid<O>,
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
            let compared = calls.compare(errand, pair.0, pair.1).await?;
            cost += compared.cost;
            paid.verdict(CallKey::comparison(errand.index, left.id, right.id), compared);
            judged(evidence, compared.usage);
            // If a judge was not reached, assume the worse: that both agree in an error.
            if compared.equivalent || compared.missed {
                evidence.pairs.push((left.id, right.id));
            }
        }
    }
    Ok(cost)
}

fn judged(evidence: &mut ItemEvidence, usage: Option<Usage>) {
    if let Some(usage) = usage {
        evidence.judged = Some(evidence.judged.map_or(usage, |before| before.plus(usage)));
    }
}
