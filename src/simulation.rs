//! The whole procedure over known outcomes: profile, plan, answer every item, count money and failures.
//!
//! No model is asked and nothing waits, so a population of a hundred thousand items takes milliseconds.
//! It serves simulations, Monte-Carlo tests of the promise, and as an example of driving the state
//! machines by hand. Items are asked about one at a time. The decisions are those of a live run over the
//! same answers at any concurrency, but fewer items are under way when profiling ends.
//!
//! ```
//! use smart_core::published::{Dependence, Setting};
//! use smart_core::simulation::{MatrixOutcomes, simulate};
//! use smart_core::{ProfileSettings, Target};
//!
//! let matrix = Setting::sms_spam().draw(1, Dependence::INDEPENDENT)?;
//! let outcomes = MatrixOutcomes::new(&matrix)?;
//! let target = Target::new(0.90, 0.95)?;
//! let run = simulate(&outcomes, outcomes.roster(), target, 1, &ProfileSettings::default())?;
//! assert!(run.failures <= target.allowance(5_574));
//! assert!(run.cost.as_nanos() < matrix.reference_cost() / 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod matrix;

pub use matrix::{MatrixOutcomes, NotARoster};

use crate::backend::{Confidence, Scoring};
use crate::error::SettingsError;
use crate::evidence::{Agreement, CandidateRecord, ItemEvidence, ModelSet};
use crate::order::Order;
use crate::plan::{Heard, Known, Move, Plan, Scored};
use crate::pricing::{Cost, Pricing, Usage};
use crate::profile::{ProfileMachine, ProfileSettings, Request, Step, StopReason};
use crate::roster::{ModelId, RosterSpec};
use crate::target::Target;

/// What every model would do on every item; ids are those of the roster that is simulated.
pub trait Outcomes {
    /// How many items there are.
    fn items(&self) -> u64;

    /// What a model's answer to an item costs.
    fn cost(&self, id: ModelId, index: u64) -> Cost;

    /// How a candidate's answer to an item compares with the reference's.
    fn agreement(&self, id: ModelId, index: u64) -> Agreement;

    /// Whether two candidates' answers to an item, at most one of them equivalent to the reference's,
    /// are equivalent to each other. It must be symmetric.
    fn alike(&self, a: ModelId, b: ModelId, index: u64) -> bool;

    /// A candidate's confidence in its answer; by default there is none.
    fn score(&self, _id: ModelId, _index: u64) -> Option<Confidence> {
        None
    }

    /// What a candidate's second call costs, if its scores come from one; by default nothing.
    fn rating_cost(&self, _id: ModelId, _index: u64) -> Cost {
        Cost::ZERO
    }

    /// The router's score of an item; by default there is none.
    fn router(&self, _index: u64) -> Option<Confidence> {
        None
    }
}

/// The result of a simulated run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// The plan that profiling ended with.
    pub plan: Plan,
    /// Why profiling ended.
    pub stopped: StopReason,
    /// What profiling cost.
    pub profiling: Cost,
    /// What everything cost.
    pub cost: Cost,
    /// Delivered answers that are not equivalent to the reference's.
    pub failures: u64,
    /// Calls for answers and ratings, by model.
    pub calls: Vec<u64>,
}

impl Run {
    /// Whether more answers failed than the target allows: the event that the promise is about.
    pub fn missed(&self) -> bool {
        self.failures > self.plan.target.allowance(self.plan.order.population())
    }

    /// How many items were profiled.
    pub const fn profiled(&self) -> u64 {
        self.plan.asked
    }
}

/// Profiles, plans and answers every item over these outcomes.
///
/// # Errors
/// [`SettingsError`] when there are no items or a setting makes no sense.
pub fn simulate<S: Outcomes + ?Sized>(
    outcomes: &S,
    roster: &RosterSpec,
    target: Target,
    seed: u64,
    settings: &ProfileSettings,
) -> Result<Run, SettingsError> {
    let order = Order::of(roster, outcomes.items(), seed);
    let machine = ProfileMachine::new(roster, Pricing::default(), target, order, settings)?;
    Ok(simulate_from(machine, outcomes))
}

/// Continues a profiler over these outcomes and answers every item. The profiler may be a fresh one, or
/// one that was stored under way ([`reopen`](ProfileMachine::reopen) it first). Only what is spent from
/// here on is counted.
pub fn simulate_from<S: Outcomes + ?Sized>(mut machine: ProfileMachine, outcomes: &S) -> Run {
    let mut bill = Bill::new(machine.roster());
    profile(&mut machine, outcomes, &mut bill);
    let profiling = bill.cost;
    let plan = machine.plan("simulated");
    let mut failures = 0;
    for rank in plan.asked..outcomes.items() {
        let index = plan.order.index(rank);
        let by = answer(&plan, outcomes, index, &mut bill);
        failures += u64::from(fails(outcomes, by, index));
    }
    let stopped = machine.stopped().unwrap_or(StopReason::Caller);
    Run { plan, stopped, profiling, cost: bill.cost, failures, calls: bill.calls }
}

/// Profiles to the end, one item at a time, without answering anything: the first half of
/// [`simulate_from`], for callers who need only the plan.
pub fn profile_from<S: Outcomes + ?Sized>(mut machine: ProfileMachine, outcomes: &S) -> Plan {
    let mut bill = Bill::new(machine.roster());
    profile(&mut machine, outcomes, &mut bill);
    machine.plan("simulated")
}

/// Whether the answer that a plan delivers for an item fails; never for a profiled item.
pub fn delivers_failure<S: Outcomes + ?Sized>(plan: &Plan, outcomes: &S, index: u64) -> bool {
    if plan.is_profiled(index) {
        return false;
    }
    let mut bill = Bill::default();
    fails(outcomes, answer(plan, outcomes, index, &mut bill), index)
}

/// What an item shows when it is profiled as requested.
pub fn evidence<S: Outcomes + ?Sized>(
    outcomes: &S,
    models: usize,
    request: &Request,
) -> ItemEvidence {
    let index = request.index;
    let request = request.given(|id| outcomes.agreement(id, index));
    let mut candidates = vec![None; models.saturating_sub(1)];
    for id in request.ask.iter() {
        let agreement = outcomes.agreement(id, index);
        let rated = request.rate.contains(id) && agreement.is_answer();
        let record = CandidateRecord {
            agreement,
            score: outcomes.score(id, index).filter(|_| agreement.is_answer()),
            usage: Some(Usage::billed(outcomes.cost(id, index))),
            rating: rated.then(|| Usage::billed(outcomes.rating_cost(id, index))),
        };
        if let Some(slot) = id.position().checked_sub(1).and_then(|at| candidates.get_mut(at)) {
            *slot = Some(record);
        }
    }
    let pairs = if request.compare { pairs(outcomes, request.ask, index) } else { Vec::new() };
    let usage = Usage::billed(outcomes.cost(ModelId::REFERENCE, index));
    let evidence = ItemEvidence::new(index, true, Some(usage));
    ItemEvidence { candidates, pairs, router: outcomes.router(index), ..evidence }
}

/// The pairs of candidates whose answers are alike although one of them differs from the reference's.
fn pairs<S: Outcomes + ?Sized>(
    outcomes: &S,
    asked: ModelSet,
    index: u64,
) -> Vec<(ModelId, ModelId)> {
    let mut pairs = Vec::new();
    let answered = |id: &ModelId| outcomes.agreement(*id, index).is_answer();
    for a in asked.iter().filter(answered) {
        for b in asked.iter().filter(answered).filter(|b| a < *b) {
            let agree = |id| outcomes.agreement(id, index) == Agreement::Agrees;
            if !(agree(a) && agree(b)) && outcomes.alike(a, b, index) {
                pairs.push((a, b));
            }
        }
    }
    pairs
}

/// What was spent so far.
#[derive(Default)]
struct Bill {
    cost: Cost,
    /// Calls by model; a model beyond the list is not counted.
    calls: Vec<u64>,
}

impl Bill {
    fn new(roster: &RosterSpec) -> Self {
        Self { cost: Cost::ZERO, calls: vec![0; roster.models().len()] }
    }

    fn add(&mut self, id: ModelId, cost: Cost) {
        self.cost += cost;
        if let Some(calls) = self.calls.get_mut(id.position()) {
            *calls += 1;
        }
    }
}

fn profile<S: Outcomes + ?Sized>(machine: &mut ProfileMachine, outcomes: &S, bill: &mut Bill) {
    let models = machine.roster().models().len();
    while let Step::Profile(request) = machine.poll_step() {
        bill.add(ModelId::REFERENCE, outcomes.cost(ModelId::REFERENCE, request.index));
        let item = evidence(outcomes, models, &request);
        for id in request.ask.iter() {
            let Some(record) = item.candidate(id) else { continue };
            bill.add(id, outcomes.cost(id, request.index));
            if record.rating.is_some() {
                bill.add(id, outcomes.rating_cost(id, request.index));
            }
        }
        // The machine asked for exactly this, so it cannot refuse it.
        if machine.handle_outcome(item).is_err() {
            break;
        }
        while machine.poll_decision().is_some() {}
    }
}

fn fails<S: Outcomes + ?Sized>(outcomes: &S, by: ModelId, index: u64) -> bool {
    !by.is_reference() && outcomes.agreement(by, index) != Agreement::Agrees
}

/// Follows the plan for one item and returns the model that answers it.
fn answer<S: Outcomes + ?Sized>(plan: &Plan, outcomes: &S, index: u64, bill: &mut Bill) -> ModelId {
    let mut known: Known = plan.start(index, outcomes.router(index).map(Confidence::as_f64));
    let score = |id| Scored::Known(outcomes.score(id, index).map(Confidence::as_f64));
    loop {
        match plan.policy.next(&known) {
            Move::Ask(id) => {
                bill.add(id, outcomes.cost(id, index));
                let second_call = plan.roster.model(id).map(|m| m.scoring);
                let heard = if !outcomes.agreement(id, index).is_answer() {
                    Heard::NoAnswer
                } else if second_call == Some(Scoring::SecondCall) {
                    Heard::Answer { score: Scored::Unrated }
                } else {
                    Heard::Answer { score: score(id) }
                };
                plan.policy.hear(&mut known, id, heard);
            }
            Move::Rate(id) => {
                bill.add(id, outcomes.rating_cost(id, index));
                plan.policy.hear(&mut known, id, Heard::Answer { score: score(id) });
            }
            Move::Compare(a, b) => {
                let agree = |id| outcomes.agreement(id, index) == Agreement::Agrees;
                known.agree = Some((agree(a) && agree(b)) || outcomes.alike(a, b, index));
            }
            Move::Accept(id) => return id,
            Move::Escalate => {
                let reference = ModelId::REFERENCE;
                bill.add(reference, outcomes.cost(reference, index));
                return reference;
            }
        }
    }
}
