//! The whole job in one call: [`Smart`].
//!
//! A [`Smart`] holds everything a run needs: roster, equivalence, target, seed and settings.
//! [`run`](Smart::run) takes items to a report in the usual order: profile, plan, execute. The halves
//! are also there on their own: [`profile`](Smart::profile) profiles, [`executor`](Smart::executor)
//! follows a plan on the profiled items, and [`apply`](Smart::apply) follows it on others.

mod each;
mod forecast;
mod handed;
mod kept;
mod plans;
mod profiled;
mod ranks;
mod repeats;
mod stopped;
mod stored;

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::answer::Answer;
use crate::calls::{Calls, Fingerprint, told_apart};
use crate::equivalence::Equivalence;
use crate::error::{RunError, SettingsError};
use crate::execute::{Audit, Executor, Outcome, throughout};
use crate::fingerprint::fingerprint;
use crate::items::{Items, held};
use crate::journal::{Binding, FingerprintNow, Header, Recorder, fold};
use crate::ledger::{Before, Bill, Budget, Ledger, Spending};
use crate::observe::{CallKind, Event, Observer, Observers};
use crate::order::Order;
use crate::plan::Plan;
use crate::pricing::{Cost, Pricing};
use crate::profile::{Profile, ProfileMachine, ProfileSettings, Router, drive, recall_late};
use crate::report::Report;
use crate::roster::{Roster, RosterSpec};
use crate::stop::Stop;
use crate::target::Target;

pub use handed::Handed;
pub use profiled::Profiled;
pub use ranks::Stretched;
pub use stored::PROFILED_VERSION;

/// How many items are under way at once, unless the caller says otherwise.
const CONCURRENCY: usize = 16;

/// Runs items through the cheapest certified combination of models.
///
/// ```
/// use smart_core::{Completion, Model, Pricing, Roster, Smart, Target, Usage, from_fn};
/// use smart_core::equivalence::Exact;
///
/// # futures::executor::block_on(async {
/// let client = |_name: &'static str| {
///     from_fn(|review: &str| {
///         let label = if review.contains("not") { "negative" } else { "positive" };
///         async move { Ok(Completion::new(label).with_usage(Usage::tokens(200, 1))) }
///     })
/// };
/// let roster = Roster::new(
///     Model::new("large", client("large")).with_pricing(Pricing::per_million(30.0, 60.0)?),
///     [Model::new("small", client("small")).with_pricing(Pricing::per_million(0.5, 1.5)?)],
/// )?;
/// let reviews: Vec<String> = (0..2_000).map(|i| format!("review {i} is not bad")).collect();
/// let outcome = Smart::new(roster, Exact, Target::new(0.95, 0.95)?).run(&reviews).await?;
/// assert_eq!(outcome.answers.len(), 2_000);
/// assert!(outcome.report.saving() > 5.0);
/// println!("{}", outcome.report);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Smart<I: ?Sized + Sync, O> {
    roster: Roster<I, O>,
    equivalence: Arc<dyn Equivalence<I, O>>,
    target: Target,
    seed: u64,
    concurrency: usize,
    settings: ProfileSettings,
    observers: Observers,
    router: Option<Arc<Router<I>>>,
    journal: Option<Arc<Binding<I, O>>>,
    /// What tells one item from another, if the caller said so.
    key: Option<Arc<Fingerprint<I>>>,
    budget: Option<Budget>,
    audit: Option<Audit>,
    in_order: Option<usize>,
    stop: Option<Stop>,
    /// Whether a run ends after profiling if no plan that pays was found.
    unless_it_pays: bool,
    repeats: u64,
    /// Whether calls whose recorded failures may have passed are made again.
    again: bool,
}

impl<I: ?Sized + Sync, O> fmt::Debug for Smart<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smart")
            .field("roster", &self.roster)
            .field("target", &self.target)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl<I: ?Sized + Sync + 'static, O: Send + Sync + 'static> Smart<I, O> {
    /// Sets up a run with these models, this equivalence and this target; seed 0, 16 items at once.
    pub fn new(
        roster: Roster<I, O>,
        equivalence: impl Equivalence<I, O> + 'static,
        target: Target,
    ) -> Self {
        Self {
            roster,
            equivalence: Arc::new(equivalence),
            target,
            seed: 0,
            concurrency: CONCURRENCY,
            settings: ProfileSettings::default(),
            observers: Observers::default(),
            router: None,
            journal: None,
            key: None,
            budget: None,
            audit: None,
            in_order: None,
            stop: None,
            unless_it_pays: false,
            repeats: 0,
            again: false,
        }
    }

    /// Sets the seed of the random order; 0 if none is set.
    ///
    /// The promise is over this order. So choose the seed before looking at the items, and do not try
    /// several. Choose another one if you changed a prompt, a model or an equivalence after seeing
    /// results of a run: the change was fitted to the items that the old order profiles. (A changed
    /// [version tag](crate::Model::with_version) changes the order by itself.)
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets how many items are under way at once.
    ///
    /// This changes how long a run takes, but no decision made on the same evidence. Items under way
    /// when profiling ends are paid for, though. Chains ask about nothing beyond their next look. Single
    /// candidates ask about up to eight items more, plus an eighth of those they profile: 0 to 2.4 % of
    /// the money of a run over 127,600 items at 256 at once (`docs/scale.md`), and more if there are few items.
    /// [`Report::overshoot`](crate::Report::overshoot) says how many there were; no forecast counts them.
    #[must_use]
    pub fn with_concurrency(mut self, items: usize) -> Self {
        self.concurrency = items;
        self
    }

    /// Sets which policies profiling considers, and how it decides.
    #[must_use]
    pub fn with_settings(mut self, settings: ProfileSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Adds an observer.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.add(Arc::new(observer));
        self
    }

    /// Adds a router: a score of an item, known before any call, that is higher where candidates are
    /// more likely to be right (a length, a classifier's output). It must depend on the item alone.
    ///
    /// A plan that goes by its scores is refused without a router, and under one that scores a profiled item
    /// otherwise than then ([`Plan::routed`](crate::Plan::routed)). On other items ([`apply`](Self::apply))
    /// nobody can tell: there the audits keep the promise. An item for which the router panics, or returns what
    /// is not finite, has no score: it comes last.
    #[must_use]
    pub fn with_router(mut self, router: impl Fn(&I) -> f64 + Send + Sync + 'static) -> Self {
        self.router = Some(Arc::new(router));
        self
    }

    /// Sets what tells one item from another: an identifier, a content hash, or the item itself.
    ///
    /// Profiles and plans then recognise the profiled items by a fingerprint of the key, and an
    /// [`executor`](Self::executor) with the same key refuses a plan, or answers, for other items. Without a
    /// key, or with one that is the same for all items, nothing can tell yesterday's items from today's. In a
    /// run with a journal, what tells items apart there is the key if none is set here: the item itself, or the
    /// key of [`with_keyed_journal`](Self::with_keyed_journal). This key never changes what the journal goes by.
    /// A panic in `key` ends the run as [`RunError::Item`], after the calls under way.
    ///
    /// ```
    /// use smart_core::backend::Simulated;
    /// use smart_core::equivalence::Exact;
    /// use smart_core::{Model, Roster, Smart, Target};
    ///
    /// let roster = Roster::new(Model::new("large", Simulated::reference(1)), [])?;
    /// let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95)?).with_item_key(|item: &u64| *item);
    /// # let _ = smart;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_item_key<K: Hash>(mut self, key: impl Fn(&I) -> K + Send + Sync + 'static) -> Self {
        self.key = Some(Arc::new(move |item: &I| fingerprint(&key(item))));
        self
    }

    /// Caps the money that a run may spend: see [`Budget`].
    #[must_use]
    pub fn with_budget(mut self, budget: impl Into<Budget>) -> Self {
        self.budget = Some(budget.into());
        self
    }

    /// Audits a share of what candidates answer, so that the promise needs no random order and survives
    /// models that change during the run. This is for streams, and for [stored plans on new
    /// items](Self::apply).
    ///
    /// An audited item is answered by the reference as well and delivers the reference's answer. Once
    /// audits have caught more failures than is safe, everything goes to the reference. Whoever orders
    /// the items must not know the seed.
    #[must_use]
    pub const fn with_audit(mut self, audit: Audit) -> Self {
        self.audit = Some(audit);
        self
    }

    /// The models, as they are named in answers and events by their ids.
    pub fn roster(&self) -> &RosterSpec {
        self.roster.spec()
    }

    /// Asks the reference a second time about `items` of the profiled items, to report how far it agrees
    /// with itself. This costs that many calls and changes no decision.
    ///
    /// With a [budget](Self::with_budget) the answers come first: only as many items are asked about again as
    /// the cap leaves money for beyond the [forecast](Plan::forecast)'s upper end, at the mean cost of a
    /// call.
    #[must_use]
    pub const fn with_reference_check(mut self, items: u64) -> Self {
        self.repeats = items;
        self
    }

    /// Profiles, plans, and answers every item. Who wants the evidence too takes the two halves: see
    /// [`Outcome`].
    ///
    /// # Errors
    /// [`RunError`] when a setting is not valid or the journal fails. A call that fails is not an error:
    /// its item escalates or stays unanswered, and the report says so.
    pub async fn run<S>(&self, items: &S) -> Result<Outcome<O>, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let mut answers = Vec::new();
        let each = throughout(|answer| answers.push(answer));
        let report = self.run_by(items, None, each).await?;
        answers.sort_unstable_by_key(|answer| answer.index);
        Ok(Outcome { answers, report })
    }

    /// Runs, and hands answers to `each` until it breaks off; then the run ends as if it was stopped.
    async fn run_by<S>(
        &self,
        items: &S,
        in_order: Option<usize>,
        each: impl FnMut(Answer<O>) -> ControlFlow<()>,
    ) -> Result<Report, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let calls = &self.calls_for(items)?;
        let run = async {
            let (machine, answers) = self.profile_with(calls, items).await?;
            let profile = Profile::new(machine, self.equivalence.name());
            let plan = Arc::new(profile.plan()?);
            self.look_before_paying(calls, &profile, &plan);
            let self_agreement = self.repeat(calls, items, &profile, &plan, &answers).await?;
            let spent = (calls.ledger.models(), calls.ledger.judge().cost);
            calls.observers.emit(&Event::Planned { plan: &plan });
            let population = Some(plan.order.population());
            let executor = self.executor_with(calls, Arc::clone(&plan), answers, population)?;
            executor.execute_items(items, 0..items.count(), in_order, each).await?;
            calls.close(|_| true)?;
            let mut report = self.report(calls, &profile, plan, &executor, spent);
            report.self_agreement = self_agreement;
            calls.observers.emit(&Event::Finished { report: &report });
            Ok(report)
        };
        calls.attend(run).await
    }

    /// Profiles only: the result can be stored, planned from, or handed to workers. An
    /// [`executor`](Self::executor) answers the rest ([`Executor::run`]).
    ///
    /// Over the journal of a [`run`](Self::run) that has ended, it returns that run's evidence without a call.
    /// Calls of the execution about items next in the random order may then be listed as late ones of profiling.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn profile<S>(&self, items: &S) -> Result<Profiled<O>, RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let calls = self.calls_for(items)?;
        let profile = async {
            let (mut machine, answers) = self.profile_with(&calls, items).await?;
            // Whoever answers the rest is handed all that is paid for about items that came too late.
            recall_late(&calls, items, self.router.as_deref(), &mut machine).await?;
            let profile = Profile::new(machine, self.equivalence.name());
            Ok::<_, RunError>(Profiled::new(profile, answers))
        };
        let profiled = calls.attend(profile).await?;
        // Records of other items are left for the run that answers those items.
        let asked = profiled.profile.order.first(profiled.profile.evidence.len() as u64);
        calls.close(|index| asked.contains(index))?;
        Ok(profiled.with_bill(&calls))
    }

    fn calls_for<S>(&self, items: &S) -> Result<Arc<Calls<I, O>>, RunError>
    where
        S: Items<I> + ?Sized,
    {
        let digest = self.journal.as_ref().map(|binding| {
            (0..items.count()).try_fold(0, |digest, index| {
                let item = held(items, index)?;
                let item = told_apart(&*binding.fingerprint, index, (*item).borrow())?;
                Ok::<_, RunError>(fold(digest, item))
            })
        });
        let digest = digest.transpose()?;
        let now = self.journal.as_ref().map(|binding| {
            |index| {
                let item = held(items, index).ok()?;
                told_apart(&*binding.fingerprint, index, (*item).borrow()).ok()
            }
        });
        let now = now.as_ref().map(|now| now as &FingerprintNow<'_>);
        self.calls(self.order(items.count()), self.target, digest.zip(now), None, None)
    }

    /// The random order of this many items, which says which of them are profiled, for callers that
    /// fetch only those.
    pub fn order(&self, population: u64) -> Order {
        Order::of(self.roster.spec(), population, self.seed)
    }

    /// The calls of one run, of whose `items` a digest is known, with what its journal holds and what is left of
    /// its budget. The cost of a call of the `reference` may be known from a plan, and what was spent `before`
    /// by the run that profiled.
    fn calls(
        &self,
        order: Order,
        target: Target,
        items: Option<(u64, &FingerprintNow<'_>)>,
        reference: Option<Cost>,
        before: Option<Before<'_>>,
    ) -> Result<Arc<Calls<I, O>>, RunError> {
        if self.concurrency == 0 {
            return Err(SettingsError::NoConcurrency.into());
        }
        let (roster, judge) = (self.roster.spec(), self.equivalence.pricing());
        let recorder = match &self.journal {
            None => None,
            Some(binding) => {
                let (name, settings) = (self.equivalence.name(), self.settings.clone());
                let header = Header::new(roster.clone(), name, judge, target, order, settings);
                let (items, now) = items.unzip();
                let header = header.with_items(items);
                let cap = self.budget.as_ref().map(Budget::cap);
                Some(Recorder::open(binding, &header.with_budget(cap), now, self.again)?)
            }
        };
        let purse = match &self.budget {
            None => None,
            Some(budget) => {
                let paid = recorder.as_ref().map(Recorder::paid).unwrap_or_default();
                let bills = paid.iter().map(|(key, usage, failed)| {
                    let comparison = key.kind == CallKind::Comparison;
                    let model = roster.model(key.model).map(|model| &model.pricing);
                    let pricing = if comparison { &judge } else { model.unwrap_or(&Pricing::NONE) };
                    (*key, Bill::new(pricing, usage.as_ref()).failed(*failed))
                });
                Some(budget.purse(roster, judge, bills, reference, before)?)
            }
        };
        let ledger = Ledger::new(roster.models().len(), purse);
        let observers = self.observers.fresh();
        let mut calls =
            Calls::new(self.roster.clone(), Arc::clone(&self.equivalence), observers, ledger)
                .with_item_key(self.key.clone())
                .with_stop(self.stop.clone());
        if let (Some(recorder), Some(binding)) = (recorder, &self.journal) {
            let (records, torn) = (recorder.records(), recorder.torn());
            calls.planned = recorder.budget();
            calls.ended = recorder.ended(self.budget.as_ref().map(Budget::cap));
            calls.observers.emit(&Event::JournalOpened { records, torn });
            calls = calls.with_judgements(recorder.judged());
            calls = calls.with_keeper(Arc::new(recorder), Some(Arc::clone(&binding.fingerprint)));
        }
        Ok(Arc::new(calls))
    }

    /// Profiles; returns the machine, and the answers of the profiled items.
    async fn profile_with<S>(
        &self,
        calls: &Calls<I, O>,
        items: &S,
    ) -> Result<(ProfileMachine, BTreeMap<u64, Answer<O>>), RunError>
    where
        S: Items<I> + ?Sized,
        S::Item: Sync,
    {
        let order = self.order(items.count());
        let (roster, judge) = (self.roster.spec(), self.equivalence.pricing());
        let machine = ProfileMachine::new(roster, judge, self.target, order, &self.settings)?;
        let mut machine = machine.with_budget(calls.planned);
        let (items_count, target) = (items.count(), self.target);
        calls.observers.emit(&Event::Started { items: items_count, roster, target });
        let mut answers = BTreeMap::new();
        let router = self.router.as_deref();
        drive(calls, items, router, &mut machine, self.concurrency, &mut answers).await?;
        Ok((machine, answers))
    }

    fn report(
        &self,
        calls: &Calls<I, O>,
        profile: &Profile,
        plan: Arc<Plan>,
        executor: &Executor<I, O>,
        (profiling, judged): (Vec<Spending>, Cost),
    ) -> Report {
        let total = calls.ledger.models();
        let execution = total.iter().zip(&profiling).map(|(all, before)| all.since(*before));
        Report {
            profiled: profile.evidence.len() as u64,
            overshoot: profile.late.len() as u64,
            stopped: profile.stopped,
            cut_short: executor.is_cut_short(),
            found_nothing: executor.is_cut_short() && calls.has_given_up(),
            execution: execution.collect(),
            profiling_judged: judged,
            faults: calls.ledger.faults.read(),
            delivered: executor.tally().read(self.roster.spec().models().len()),
            budget: calls.budgeted(),
            audit: executor.audit(),
            ..Report::of_profiling(Arc::unwrap_or_clone(plan), profiling, calls.ledger.judge())
        }
        .estimated()
    }
}
