//! The suite for backends: [`check_backend`].

use std::pin::pin;

use futures::future::join_all;

use super::{Asked, Conformance, Outcome, Suite, implausible};
use crate::backend::{Completion, ErrorKind, LlmBackend, Scoring};

/// Runs a backend over sample items and says whether it keeps the contract of [`LlmBackend`].
///
/// Give it items the model can answer and, if there are any, one or two it cannot: they show whether
/// failures are of the right kind. Some checks need an answer and are skipped without one.
pub async fn check_backend<I, B>(backend: &B, items: &[&I], suite: &Suite) -> Conformance
where
    I: ?Sized + Sync,
    B: LlmBackend<I> + ?Sized,
    B::Output: PartialEq,
{
    let mut report = Conformance::new();
    let mut alone = Vec::with_capacity(items.len());
    for item in items {
        alone.push(suite.ask(|| backend.complete(item)).await);
    }
    endings(&mut report, &alone);
    repeats(&mut report, backend, items, suite, &alone).await;
    together(&mut report, backend, items, suite, &alone).await;
    cancelled(&mut report, backend, items, suite, &alone).await;
    usage(&mut report, suite, &alone);
    paid_in_vain(&mut report, &alone);
    ratings(&mut report, backend, items, suite, &alone).await;
    report
}

type Answers<O> = [Asked<Completion<O>>];

/// The outcome of a check that needed an answer and had none.
fn unanswered() -> Outcome {
    Outcome::Skipped("no sample item was answered".into())
}

fn endings<O>(report: &mut Conformance, alone: &Answers<O>) {
    let numbered = || alone.iter().enumerate();
    let lost = numbered().filter(|(_, asked)| matches!(asked, Asked::Lost(_)));
    report.judge(
        "every call ends",
        lost.filter_map(|(n, asked)| Some(format!("sample {n}: {}", asked.complaint()?))),
    );
    let errors = || numbered().filter_map(|(n, asked)| Some((n, asked.error()?)));
    report.judge(
        "no call panics",
        errors()
            .filter(|(_, error)| error.kind() == ErrorKind::Panicked)
            .map(|(n, error)| format!("sample {n}: {error}")),
    );
    report.judge(
        "errors say what happened",
        errors()
            .filter(|(_, error)| error.message().is_empty())
            .map(|(n, _)| format!("sample {n}: an error without a message")),
    );
    report.judge(
        "only errors that may pass name a time to retry after",
        errors()
            .filter(|(_, error)| error.retry_after().is_some() && !error.kind().is_retryable())
            .map(|(n, error)| format!("sample {n}: {error}, with a time to retry after")),
    );
    let answered = alone.iter().filter(|asked| asked.answer().is_some()).count();
    let outcome = match answered {
        0 if alone.is_empty() => Outcome::Skipped("no sample items".into()),
        0 => {
            let first = alone.iter().find_map(Asked::complaint).unwrap_or_default();
            Outcome::Failed(format!("none of {} was; the first: {first}", alone.len()))
        }
        _ => Outcome::Passed,
    };
    report.note("sample items are answered", outcome);
}

/// Asks again, one by one: answers must stay the same, and failures that claim to be lasting must last.
async fn repeats<I, B>(
    report: &mut Conformance,
    backend: &B,
    items: &[&I],
    suite: &Suite,
    alone: &Answers<B::Output>,
) where
    I: ?Sized + Sync,
    B: LlmBackend<I> + ?Sized,
    B::Output: PartialEq,
{
    let mut again = Vec::with_capacity(items.len());
    for item in items {
        again.push(suite.ask(|| backend.complete(item)).await);
    }
    compare(report, "the same item gets the same answer", alone, &again);
    let pairs = alone.iter().zip(&again).enumerate();
    report.judge(
        "failures that are not worth repeating do not pass by themselves",
        pairs.filter_map(|(n, (first, second))| {
            let lasting = first.error().filter(|error| !error.kind().is_retryable())?;
            second.answer()?;
            Some(format!("sample {n}: {lasting}, and was answered when asked again"))
        }),
    );
}

async fn together<I, B>(
    report: &mut Conformance,
    backend: &B,
    items: &[&I],
    suite: &Suite,
    alone: &Answers<B::Output>,
) where
    I: ?Sized + Sync,
    B: LlmBackend<I> + ?Sized,
    B::Output: PartialEq,
{
    let twice = items.iter().chain(items);
    let at_once = join_all(twice.map(|item| suite.ask(|| backend.complete(item)))).await;
    let (first, second) = at_once.split_at(items.len().min(at_once.len()));
    let worse = if differ(alone, first).is_some() { first } else { second };
    compare(report, "concurrent calls are answered as calls alone", alone, worse);
}

/// Polls a call once and drops it, then asks again.
async fn cancelled<I, B>(
    report: &mut Conformance,
    backend: &B,
    items: &[&I],
    suite: &Suite,
    alone: &Answers<B::Output>,
) where
    I: ?Sized + Sync,
    B: LlmBackend<I> + ?Sized,
    B::Output: PartialEq,
{
    let mut after = Vec::with_capacity(items.len());
    for item in items {
        {
            let mut dropped = pin!(suite.ask(|| backend.complete(item)));
            let _ = futures::poll!(dropped.as_mut());
        }
        after.push(suite.ask(|| backend.complete(item)).await);
    }
    compare(report, "a dropped call leaves the next ones unharmed", alone, &after);
}

/// Describes the first sample whose two answers differ, or that was answered only the first time.
fn differ<O: PartialEq>(a: &Answers<O>, b: &Answers<O>) -> Option<String> {
    a.iter().zip(b).enumerate().find_map(|(n, (a, b))| match (a.answer(), b.answer()) {
        (Some(a), Some(b)) if a.output != b.output => {
            Some(format!("sample {n} was answered differently"))
        }
        // A failure that may pass says nothing about whether the answer is stable.
        (Some(_), None) if !b.error().is_some_and(|error| error.kind().is_retryable()) => {
            Some(format!("sample {n}: {}", b.complaint().unwrap_or_default()))
        }
        _ => None,
    })
}

fn compare<O: PartialEq>(
    report: &mut Conformance,
    statement: &'static str,
    alone: &Answers<O>,
    other: &Answers<O>,
) {
    let comparable = alone.iter().zip(other).any(|(a, b)| a.answer().and(b.answer()).is_some());
    match differ(alone, other) {
        Some(complaint) => report.note(statement, Outcome::Failed(complaint)),
        None if comparable => report.note(statement, Outcome::Passed),
        None => report.note(statement, unanswered()),
    }
}

fn usage<O>(report: &mut Conformance, suite: &Suite, alone: &Answers<O>) {
    let answers = || alone.iter().enumerate().filter_map(|(n, asked)| Some((n, asked.answer()?)));
    if answers().next().is_none() {
        return report.note("answers report what they used", unanswered());
    }
    report.judge(
        "answers report what they used",
        answers()
            .filter(|(_, answer)| !suite.pricing.is_metered(answer.usage.as_ref()))
            .map(|(n, _)| format!("sample {n} lacks counts that the prices need")),
    );
    let reported = alone.iter().enumerate().filter_map(|(n, asked)| {
        let usage = match asked.answer() {
            Some(answer) => answer.usage,
            None => asked.error()?.usage(),
        };
        Some((n, usage?))
    });
    report.judge(
        "reported usage is plausible",
        reported.filter_map(|(n, usage)| Some(format!("sample {n}: {}", implausible(&usage)?))),
    );
}

/// Advises if failures for which a model may well have run do not say what it used.
fn paid_in_vain<O>(report: &mut Conformance, alone: &Answers<O>) {
    let silent = |asked: &Asked<Completion<O>>| {
        let error = asked.error()?;
        let paid = matches!(error.kind(), ErrorKind::Refused | ErrorKind::Permanent);
        (paid && error.usage().is_none()).then(|| error.kind())
    };
    if let Some((n, kind)) =
        alone.iter().enumerate().find_map(|(n, asked)| Some((n, silent(asked)?)))
    {
        let why =
            format!("sample {n} ({kind}) reports no usage, so it counts as a call without a bill");
        report.note("failures say what they used", Outcome::Advice(why));
    }
}

async fn ratings<I, B>(
    report: &mut Conformance,
    backend: &B,
    items: &[&I],
    suite: &Suite,
    alone: &Answers<B::Output>,
) where
    I: ?Sized + Sync,
    B: LlmBackend<I> + ?Sized,
{
    let statement = "answers can be rated";
    if backend.scoring() != Scoring::SecondCall {
        let scored = |asked: &Asked<Completion<B::Output>>| {
            asked.answer().is_some_and(|answer| answer.confidence.is_some())
        };
        let outcome = if alone.iter().any(scored) {
            Outcome::Passed
        } else {
            Outcome::Advice("no answer has a score, so no cascade can be built on it".into())
        };
        return report.note("answers come with a confidence score", outcome);
    }
    let sample = items.iter().zip(alone).find_map(|(item, asked)| Some((item, asked.answer()?)));
    let Some((item, answer)) = sample else { return report.note(statement, unanswered()) };
    let rated = suite.ask(|| backend.rate(item, &answer.output)).await;
    let outcome = match (rated.complaint(), rated.answer()) {
        (Some(complaint), _) => Outcome::Failed(complaint),
        (None, Some(rating)) if rating.confidence.is_none() => {
            Outcome::Failed("scores are said to come from a second call, which gave none".into())
        }
        (None, Some(rating)) if !suite.pricing.is_metered(rating.usage.as_ref()) => {
            Outcome::Failed("the rating lacks counts that the prices need".into())
        }
        _ => Outcome::Passed,
    };
    report.note(statement, outcome);
}
