//! One item while it is profiled: all that is asked about it.
//!
//! The answers are asked for side by side, then rated and compared. What comes of it is evidence for the
//! machine, an answer to deliver, and the other calls that are paid for. If the budget or a stop prevented
//! any of the calls, the item is cut short: it is no evidence, and what is paid for is kept.

use std::borrow::Borrow;

use futures::future::{join_all, try_join};

use super::StopReason;
use super::driver::{Router, score};
use super::machine::Request;
use crate::answer::{Answer, Reason};
use crate::backend::{Confidence, ErrorKind};
use crate::calls::{Asked, CallKey, Calls, Compared, Errand, Kept, Place, Rated};
use crate::error::RunError;
use crate::evidence::{Agreement, CandidateRecord, ItemEvidence, ModelSet};
use crate::items::{self, Items};
use crate::ledger::Needs;
use crate::pricing::{Cost, Usage};
use crate::roster::ModelId;

/// What came of asking about one item.
pub(super) struct Profiled<O> {
    pub(super) rank: u64,
    pub(super) answer: Answer<O>,
    pub(super) evidence: ItemEvidence,
    pub(super) paid: Paid<O>,
    /// What prevented a call, the budget or a stop, if one was not made.
    pub(super) short: Option<StopReason>,
}

/// What an item's calls brought besides the reference's answer.
pub(super) struct Paid<O> {
    /// What the reference's answer used.
    reference: Option<Usage>,
    pub(super) rest: Vec<(CallKey, Kept<O>)>,
    /// How the answers compared whose ratings failed: what their evidence would say without the ratings.
    pub(super) unrated: Vec<(ModelId, Agreement)>,
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

/// What is found out about an item, call by call.
struct Findings<O> {
    evidence: ItemEvidence,
    paid: Paid<O>,
    cost: Cost,
    /// Whether the budget or a stop prevented a call.
    short: bool,
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
    /// How the rating went, if there was one.
    rated: Option<Rated>,
    cost: Cost,
    missing: Option<Missing>,
    /// Why it gave no answer.
    failed: Option<ErrorKind>,
}

/// Why it is unknown what a candidate would say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    NotMade,
    /// It could not be reached, either to answer or to rate its answer.
    NotReached,
}

/// Makes all calls wanted about one item: answers, their ratings, and comparisons. It has a `place` where
/// items pay in turn.
pub(super) async fn one<I, O, S>(
    calls: &Calls<I, O>,
    items: &S,
    router: Option<&Router<I>>,
    mut request: Request,
    place: Option<Place<'_>>,
) -> Result<Profiled<O>, RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
    S: Items<I> + ?Sized,
    S::Item: Sync,
{
    let Request { rank, index, unless, .. } = request;
    let held = items::held(items, index)?;
    let item: &I = (*held).borrow();
    let errand = &calls.errand(index, item, || needs(request))?.at(place);
    let (ask, rate) = match unless {
        Some(first) => (ModelSet::of(first), ModelSet::EMPTY),
        None => (request.ask, request.rate),
    };
    let reference = calls.ask(errand, ModelId::REFERENCE);
    let (reference, mut candidates) =
        try_join(reference, ask_all(calls, errand, ask, rate)).await?;

    let mut found = Findings::new(index, calls.roster.spec().candidate_count());
    (found.evidence.router, found.evidence.item) = (score(router, item), errand.fingerprint());
    let (output, reason) = found.reference(reference, || errand.refusal());
    for held in &candidates {
        record(calls, errand, output.as_ref(), held, &mut found).await?;
    }
    if unless.is_some() {
        request = request.given_by(&found.evidence);
        let others = ask_closely(calls, errand, request, &mut candidates, &mut found).await?;
        for held in &others {
            record(calls, errand, output.as_ref(), held, &mut found).await?;
        }
        candidates.extend(others);
        candidates.sort_by_key(|held| held.id);
    }
    if request.compare {
        compare_pairs(calls, errand, &candidates, &mut found).await?;
    }
    let mut asked = ModelSet::of(ModelId::REFERENCE);
    for held in candidates {
        asked.insert(held.id);
        found.candidate(held);
    }
    let Findings { evidence, paid, cost, short } = found;
    let by = output.is_some().then_some(ModelId::REFERENCE);
    let answer = Answer { index, output, by, reason, asked, cost };
    let why = if errand.is_left() { StopReason::Caller } else { StopReason::Budget };
    Ok(Profiled { rank, answer, evidence, paid, short: short.then_some(why) })
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

impl<O> Findings<O> {
    fn new(index: u64, candidates: usize) -> Self {
        let mut evidence = ItemEvidence::new(index, false, None);
        evidence.candidates.resize(candidates, None);
        let paid = Paid { reference: None, rest: Vec::new(), unrated: Vec::new() };
        Self { evidence, paid, cost: Cost::ZERO, short: false }
    }

    /// Takes the reference's answer, and says how it came about that there is one or none.
    fn reference(
        &mut self,
        asked: Asked<O>,
        refusal: impl FnOnce() -> Reason,
    ) -> (Option<O>, Reason) {
        match asked {
            Asked::Answered { output, usage, cost, .. } => {
                self.cost += cost;
                (self.evidence.answered, self.evidence.usage) = (true, usage);
                self.paid.reference = usage;
                (Some(output), Reason::Profiled)
            }
            Asked::Failed { kind, usage, cost } => {
                self.cost += cost;
                self.evidence.usage = usage;
                let key = CallKey::answer(self.evidence.index, ModelId::REFERENCE);
                self.paid.rest.push((key, Kept::Failure { kind, usage }));
                (None, Reason::ReferenceFailed(kind))
            }
            Asked::NotMade => {
                self.short = true;
                (None, refusal())
            }
        }
    }

    /// Notes what is known of a candidate's answer.
    fn note(&mut self, held: &Held<O>, agreement: Agreement) {
        self.short |= held.missing == Some(Missing::NotMade);
        let record = CandidateRecord {
            agreement,
            score: held.score,
            usage: held.usage,
            rating: held.rating,
        };
        if let Some(slot) = self.evidence.candidates.get_mut(held.id.position() - 1) {
            *slot = Some(record);
        }
    }

    /// Takes a comparison, except for what it showed.
    fn comparison(&mut self, left: ModelId, right: ModelId, compared: &Compared) {
        self.cost += compared.cost;
        self.short |= compared.not_made;
        let Compared { equivalent, failed, usage, .. } = *compared;
        if let Some(usage) = usage {
            let judged = &mut self.evidence.judged;
            *judged = Some(judged.map_or(usage, |before| before.plus(usage)));
        }
        let kept = match failed {
            // Nobody was asked, or a comparison without a call is free the second time too.
            None | Some(ErrorKind::Unavailable) if usage.is_none() => return,
            Some(kind) => Kept::Failure { kind, usage },
            None => Kept::Verdict { usage, equivalent },
        };
        let key = CallKey::comparison(self.evidence.index, left, right);
        self.paid.rest.push((key, kept));
    }

    /// Takes a candidate's answer once all is known of it.
    fn candidate(&mut self, held: Held<O>) {
        let Held { id, output, usage, rating, rated, given, failed, cost, .. } = held;
        self.cost += cost;
        let (index, rest) = (self.evidence.index, &mut self.paid.rest);
        let key = CallKey::answer(index, id);
        if let Some(kind) = failed {
            rest.push((key, Kept::Failure { kind, usage }));
        }
        if let Some(output) = output {
            rest.push((key, Kept::Answer { output, usage, score: given }));
        }
        if let Some(Rated { score, failed, usage, .. }) = rated {
            // A rating that failed is no rating without a score: such an item was not ranked.
            let kept = match failed {
                Some(kind) => Kept::Failure { kind, usage },
                None => Kept::Rating { usage: rating, score },
            };
            rest.push((CallKey::rating(index, id), kept));
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
        Asked::NotMade => held.missing = Some(Missing::NotMade),
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
        if rated.not_made {
            held.missing = Some(Missing::NotMade);
            return Ok(());
        }
        (held.score, held.rated) = (rated.score, Some(rated));
        held.rating = Some(rated.usage.unwrap_or_default());
        held.cost += rated.cost;
        if rated.missed {
            held.missing = Some(Missing::NotReached);
        }
    }
    Ok(())
}

/// Has the candidates asked so far rate their answers, and asks the others: if the first one's answer fails,
/// everything that might have predicted that is wanted too.
async fn ask_closely<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    request: Request,
    candidates: &mut [Held<O>],
    found: &mut Findings<O>,
) -> Result<Vec<Held<O>>, RunError> {
    let mut others = request.ask;
    for held in candidates {
        others.remove(held.id);
        if request.rate.contains(held.id) {
            rated(calls, errand, held).await?;
            let unheard = held.missing.is_some();
            let agreement = if unheard { Agreement::Unheard } else { Agreement::Differs };
            found.note(held, agreement);
        }
    }
    ask_all(calls, errand, others, request.rate).await
}

/// Compares a candidate's answer with the reference's and notes it in the evidence.
async fn record<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    reference: Option<&O>,
    held: &Held<O>,
    found: &mut Findings<O>,
) -> Result<(), RunError> {
    let agreement = match (reference, &held.output) {
        (_, None) if held.missing.is_some() => Agreement::Unheard,
        (_, None) => Agreement::NoAnswer,
        (None, Some(_)) => Agreement::Differs,
        (Some(reference), Some(own)) => {
            let left = (ModelId::REFERENCE, reference);
            let compared = calls.compare(errand, left, (held.id, own)).await?;
            found.comparison(ModelId::REFERENCE, held.id, &compared);
            if compared.failed.is_some() {
                found.evidence.unjudged.insert(held.id);
            }
            let agreement =
                if compared.equivalent { Agreement::Agrees } else { Agreement::Differs };
            if held.missing.is_some() {
                // Without its rating the item's place is unknown.
                found.paid.unrated.push((held.id, agreement));
                Agreement::Unheard
            } else {
                agreement
            }
        }
    };
    found.note(held, agreement);
    Ok(())
}

/// Compares the candidates with each other wherever at least one of a pair differs from the reference.
///
/// Only on these pairs could a consensus fail.
async fn compare_pairs<I: ?Sized + Sync, O: Send + Sync>(
    calls: &Calls<I, O>,
    errand: &Errand<'_, I>,
    candidates: &[Held<O>],
    found: &mut Findings<O>,
) -> Result<(), RunError> {
    let differs: ModelSet = candidates
        .iter()
        .map(|held| held.id)
        .filter(|id| {
            found.evidence.candidate(*id).is_some_and(|c| c.agreement != Agreement::Agrees)
        })
        .collect();
    for (position, left) in candidates.iter().enumerate() {
        for right in candidates.iter().skip(position + 1) {
            let (Some(a), Some(b)) = (&left.output, &right.output) else { continue };
            if !(differs.contains(left.id) || differs.contains(right.id)) {
                continue;
            }
            let compared = calls.compare(errand, (left.id, a), (right.id, b)).await?;
            found.comparison(left.id, right.id, &compared);
            // If a judge was not reached, assume the worse: that both agree in an error.
            if compared.equivalent || compared.missed {
                found.evidence.pairs.push((left.id, right.id));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::executor::block_on;

    use super::*;
    use crate::backend::{BackendError, Completion, LlmBackend, Rating, Scoring};
    use crate::equivalence::{Equivalence, Verdict};
    use crate::items::Generated;
    use crate::ledger::Ledger;
    use crate::observe::Observers;
    use crate::roster::{Model, Roster};

    /// Always gives the same answer. Rating it, and comparing it with its like, fails at first and goes well
    /// the second time.
    #[derive(Default)]
    struct Flaky {
        answer: u64,
        tried: AtomicBool,
    }

    impl Flaky {
        fn saying(answer: u64) -> Self {
            Self { answer, tried: AtomicBool::new(false) }
        }

        fn retried<T>(&self, value: T) -> Result<T, BackendError> {
            let tried = self.tried.swap(true, Ordering::Relaxed);
            if tried { Ok(value) } else { Err(BackendError::new(ErrorKind::Transient, "503")) }
        }
    }

    #[async_trait::async_trait]
    impl LlmBackend<u64> for Flaky {
        type Output = u64;
        async fn complete(&self, _: &u64) -> Result<Completion<u64>, BackendError> {
            Ok(Completion::new(self.answer))
        }
        fn scoring(&self) -> Scoring {
            Scoring::SecondCall
        }
        async fn rate(&self, _: &u64, _: &u64) -> Result<Rating, BackendError> {
            self.retried(Rating::new(0.9))
        }
    }

    #[async_trait::async_trait]
    impl Equivalence<u64, u64> for Flaky {
        async fn compare(&self, _: &u64, a: &u64, b: &u64) -> Result<Verdict, BackendError> {
            if a == b { self.retried(Verdict::new(true)) } else { Ok(Verdict::new(false)) }
        }
    }

    /// A run that is taken up again recalls these failures from its journal, and must answer no otherwise.
    #[test]
    fn what_failed_about_a_late_item_has_failed_for_whoever_answers_it() {
        let model = |name: &str, answer| Model::new(name, Flaky::saying(answer));
        let roster =
            Roster::new(model("large", 0), [model("small", 1), model("other", 1)]).unwrap();
        let (judge, ledger) = (Arc::new(Flaky::default()), Ledger::new(3, None));
        let calls = Calls::new(roster, judge, Observers::default(), ledger);
        let (small, other) = (ModelId::new(1), ModelId::new(2));
        let (ask, rate) = ([small, other].into_iter().collect(), ModelSet::of(small));
        let request = Request { rank: 0, index: 0, ask, rate, compare: true, unless: None };
        let items = Generated::new(1, |index| index);
        let profiled = block_on(one(&calls, &items, None, request, None)).unwrap();
        assert_eq!(profiled.evidence.candidate(small).unwrap().agreement, Agreement::Unheard);
        remember(&calls, profiled.answer, profiled.paid);
        let errand = calls.errand(0, &0, || needs(request)).unwrap();
        let rated = block_on(calls.rate(&errand, small, &1)).unwrap();
        assert!(rated.missed && rated.failed == Some(ErrorKind::Transient), "{rated:?}");
        let compared = block_on(calls.compare(&errand, (small, &1), (other, &1))).unwrap();
        assert!(!compared.equivalent && compared.failed == rated.failed, "{compared:?}");
    }
}
