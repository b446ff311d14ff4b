//! Answering the items that are left: [`Executor`].
//!
//! A stream of items goes in, a stream of answers comes out, each with its provenance. Calls are
//! bounded, nothing is buffered beyond the calls under way, and dropping the stream cancels them.

mod audit;
mod flow;
mod route;
mod straight;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::{Stream, TryStreamExt};

use self::flow::Flow;
use crate::answer::{Answer, Reason};
use crate::calls::Calls;
use crate::error::{RunError, SettingsError};
use crate::items::Items;
use crate::observe::Event;
use crate::order::First;
use crate::plan::Plan;
use crate::pricing::Cost;
use crate::profile::Router;
use crate::tally::Tally;

use self::straight::Straight;
use audit::Auditor;
pub use audit::{Audit, Audited};

/// Follows a [`Plan`] over streams of items. Made by [`Smart`](crate::Smart).
///
/// ```text
/// items ──► rank below plan.asked? ──► the reference's answer, from profiling
///                 │ no
///                 └─► the policy, call by call ──► a candidate's answer, or the reference's
/// ```
pub struct Executor<I: ?Sized + Sync, O> {
    shared: Arc<Shared<I, O>>,
    concurrency: usize,
}

/// What the calls of all items share.
struct Shared<I: ?Sized + Sync, O> {
    calls: Arc<Calls<I, O>>,
    plan: Arc<Plan>,
    /// The items that were asked about in profiling.
    asked: First,
    router: Option<Arc<Router<I>>>,
    /// What profiling answered, until it is delivered.
    profiled: Mutex<BTreeMap<u64, Answer<O>>>,
    tally: Tally,
    auditor: Option<Auditor>,
    /// How items go where neither an answer nor anyone beside can change their way.
    straight: Option<Straight>,
}

impl<I: ?Sized + Sync, O: Send + Sync> Shared<I, O> {
    /// Whether nobody but the plan and the models has a say.
    fn is_plain(&self) -> bool {
        self.auditor.is_none() && self.calls.is_plain()
    }
}

impl<I: ?Sized + Sync, O> Shared<I, O> {
    fn take_profiled(&self, index: u64) -> Option<Answer<O>> {
        self.profiled.lock().unwrap_or_else(PoisonError::into_inner).remove(&index)
    }
}

impl<I: ?Sized + Sync, O> fmt::Debug for Executor<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Executor<I, O> {
    pub(crate) fn new(
        calls: Arc<Calls<I, O>>,
        plan: Arc<Plan>,
        router: Option<Arc<Router<I>>>,
        profiled: BTreeMap<u64, Answer<O>>,
        concurrency: usize,
    ) -> Self {
        let profiled = Mutex::new(profiled);
        let (tally, auditor) = (Tally::default(), None);
        let asked = plan.order.first(plan.asked);
        let straight = Straight::of(&plan);
        let shared = Shared { calls, plan, asked, router, profiled, tally, auditor, straight };
        Self { shared: Arc::new(shared), concurrency: concurrency.max(1) }
    }

    /// Audits what candidates answer, over a population or a stream of unknown length.
    pub(crate) fn audited(
        mut self,
        audit: Audit,
        population: Option<u64>,
    ) -> Result<Self, SettingsError> {
        // Nothing else holds it yet.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            let Plan { target, order, .. } = *shared.plan;
            shared.auditor = Some(Auditor::new(audit, target, order, population)?);
        }
        Ok(self)
    }

    /// What the audits found so far, if there are any.
    pub fn audit(&self) -> Option<Audited> {
        self.shared.auditor.as_ref().map(Auditor::read)
    }

    /// The plan that is followed.
    pub fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    /// What was delivered so far.
    pub(crate) fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// Answers the whole population: the first item of the stream has index 0.
    ///
    /// Answers come as they are ready; [`Answer::index`] tells them apart. An error ends the run:
    /// the journal failed, or the stream holds more items than the plan is for.
    pub fn execute<T, S>(&self, items: S) -> Answers<O>
    where
        T: Borrow<I> + Send + 'static,
        S: Stream<Item = T> + Send + 'static,
    {
        let mut next = 0;
        self.execute_indexed(futures::StreamExt::map(items, move |item| {
            next += 1;
            (next - 1, item)
        }))
    }

    /// Answers any part of the population, in any order: pairs of index and item.
    ///
    /// An index answers alike whatever part it comes in, so that parts may be spread over workers.
    pub fn execute_indexed<T, S>(&self, items: S) -> Answers<O>
    where
        T: Borrow<I> + Send + 'static,
        S: Stream<Item = (u64, T)> + Send + 'static,
    {
        let one = |shared: Arc<Shared<I, O>>, index, item: T| async move {
            let answer = answer(&shared, index, item.borrow()).await;
            (shared, answer)
        };
        Answers { flow: Box::pin(self.flow(items, Arc::clone(&self.shared), one)) }
    }

    /// Answers a whole collection, borrowing its items.
    pub(crate) async fn execute_items<S>(&self, items: &S) -> Result<Vec<Answer<O>>, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let indices = futures::stream::iter((0..items.count()).map(|index| (index, ())));
        let one = |(), index, ()| async move { ((), self.answer_held(items, index).await) };
        self.flow(indices, (), one).try_collect().await
    }

    async fn answer_held<S>(&self, items: &S, index: u64) -> Result<Answer<O>, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let population = items.count();
        let held = items.fetch(index).ok_or(RunError::OutsidePopulation { index, population })?;
        answer(&self.shared, index, (*held).borrow()).await
    }

    fn flow<T, S, M, F, C>(&self, items: S, shared: C, one: M) -> Flow<S, M, F, C>
    where
        S: Stream<Item = (u64, T)>,
        M: FnMut(C, u64, T) -> F,
        F: Future<Output = (C, Result<Answer<O>, RunError>)>,
        C: Clone,
    {
        Flow::new(items, self.shared.plan.order.population(), self.concurrency, shared, one)
    }
}

/// The stream of answers: see [`Executor::execute`].
pub struct Answers<O> {
    flow: Pin<Box<dyn Stream<Item = Result<Answer<O>, RunError>> + Send>>,
}

impl<O> fmt::Debug for Answers<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

impl<O> Stream for Answers<O> {
    type Item = Result<Answer<O>, RunError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.flow.as_mut().poll_next(cx)
    }
}

/// Answers one item, from profiling or by the plan.
async fn answer<I, O>(shared: &Shared<I, O>, index: u64, item: &I) -> Result<Answer<O>, RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
{
    let answer = if shared.asked.contains(index) {
        if let Some(answer) = shared.take_profiled(index) {
            answer
        } else {
            // Profiled elsewhere, or asked for twice: ask the reference again.
            let errand = shared.calls.errand(index, item, route::reference_needs);
            route::reference(&shared.calls, &errand, Reason::Profiled).await?
        }
    } else if let Some(straight) = shared.straight.filter(|_| shared.is_plain()) {
        straight.answer(&shared.calls, &shared.plan, index, item).await
    } else {
        let router = shared.router.as_deref().map(|score| score(item));
        let needs = || route::needs(&shared.calls, &shared.plan);
        let errand = shared.calls.errand(index, item, needs);
        let auditor = shared.auditor.as_ref();
        route::follow(&shared.calls, &shared.plan, &errand, router, auditor).await?
    };
    shared.tally.add(&answer);
    if let Some(auditor) = &shared.auditor {
        auditor.delivered();
    }
    if !shared.calls.observers.is_empty() {
        let Answer { index, by, cost, .. } = answer;
        shared.calls.observers.emit(&Event::Answered { index, by, cost });
    }
    Ok(answer)
}

/// The total cost of the answers given.
impl<I: ?Sized + Sync, O> Executor<I, O> {
    /// What the calls of this run cost so far, profiling included.
    pub fn spent(&self) -> Cost {
        let ledger = &self.shared.calls.ledger;
        ledger.models().iter().map(|s| s.cost).sum::<Cost>() + ledger.judge().cost
    }
}
