//! The profiler's driver: has the calls made that the state machine asks for.
//!
//! It asks about many items at once ([`item`](super::item) makes the calls about one) and hands the outcomes
//! to the machine, which folds them in rank order. The machine sees verdicts, scores and usage; the answers
//! stay here, and those of the profiled items are delivered.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::item::{Paid, Profiled, one, remember};
use super::machine::{ProfileMachine, Step};
use super::{Decision, Standing, StopReason};
use crate::answer::Answer;
use crate::backend::Confidence;
use crate::calls::{Calls, Line};
use crate::error::RunError;
use crate::items::Items;
use crate::observe::{ChainStanding, Event, Observers};
use crate::pool::{Ending, Pool};
use crate::stats::agreement_interval;

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
    // Recorded items come first: nothing is paid for those ahead of them.
    let line = Line::default();
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
                    Step::Profile(request) => {
                        let place = line.place(request.rank);
                        Some(one(calls, items, router, request, Some(place)))
                    }
                    Step::Wait | Step::Done => None,
                }
            })
        });
        let Some(profiled) = next.await else { break };
        let Profiled { rank, answer, evidence, paid, short } = match profiled {
            Ok(profiled) => profiled,
            Err(error) => {
                ending.note(error)?;
                line.end();
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
        // (Where an error ends it, what was refused was refused for that.)
        let short = refused.filter(|(rank, _)| *rank <= machine.profiled() && !ending.is_near());
        if let Some((_, why)) = short {
            machine.stop(why);
        }
        line.folded(machine.profiled());
        if machine.stopped().is_some() {
            line.end();
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

/// Tells observers what was folded after the first `before` items, and what was decided.
fn announce<I: ?Sized + Sync, O>(calls: &Calls<I, O>, machine: &mut ProfileMachine, before: u64) {
    if calls.observers.is_empty() {
        while machine.poll_decision().is_some() {}
        return;
    }
    let known = usize::try_from(before).unwrap_or(usize::MAX);
    for (profiled, evidence) in (before + 1..).zip(machine.evidence().iter().skip(known)) {
        let index = evidence.index;
        calls.observers.emit(&Event::Profiled { profiled, index, evidence });
    }
    while let Some(decision) = machine.poll_decision() {
        tell(&decision, &calls.observers);
    }
}

fn tell(decision: &Decision, observers: &Observers) {
    match decision {
        Decision::Look { profiled, chains } => {
            let standings: Vec<ChainStanding<'_>> = chains.iter().map(seen).collect();
            observers.emit(&Event::Look { profiled: *profiled, chains: &standings });
        }
        Decision::Dropped { model, name, profiled, reason } => {
            let (model, profiled) = (*model, *profiled);
            observers.emit(&Event::CandidateDropped { model, name, profiled, reason });
        }
        Decision::Forecast { profiled, forecast } => {
            observers.emit(&Event::Forecast { profiled: *profiled, forecast });
        }
        Decision::Certified { policy, profiled } => {
            observers.emit(&Event::Certified { policy, profiled: *profiled });
        }
        Decision::Stopped { profiled, reason } => {
            let (profiled, reason) = (*profiled, *reason);
            observers.emit(&Event::ProfilingStopped { profiled, reason });
        }
    }
}

fn seen(standing: &Standing) -> ChainStanding<'_> {
    let Standing { name, tested, failures, limit } = standing;
    let agreement = agreement_interval(*tested, *failures);
    ChainStanding { name, tested: *tested, failures: *failures, limit: *limit, agreement }
}
