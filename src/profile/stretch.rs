//! Profiling in parts: what some ranks showed ([`Stretch`]), and [`Profile::fold`], which makes one
//! profile of them.
//!
//! # Why the profile is the one a single worker would have made
//! What is asked about a rank depends on the evidence of the ranks before it, which a worker that begins
//! in the middle does not have. So it asks everything that could be wanted there: every candidate not
//! yet given up, with scores and comparisons. Folding then runs the same state machine over the
//! stretches in rank order, and hands it for each rank what it asks for and no more. Its evidence, its
//! decisions and the rank at which it stops are therefore those of a single worker who got the same
//! answers. If something it asks for is missing, profiling ends there, as if the caller had ended it,
//! and the promise still holds. The price of not communicating is calls that a single worker would not
//! have made; [`Smart::profile_ranks`](crate::Smart::profile_ranks) says how to keep it low.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize};

use super::decision::Demand;
use super::driver::Router;
use super::item::{Profiled, one};
use super::machine::{ProfileMachine, Request, Step};
use super::{Profile, ProfileSettings, StopReason};
use crate::answer::Answer;
use crate::backend::Confidence;
use crate::calls::{Calls, Kept};
use crate::error::RunError;
use crate::evidence::{Agreement, ItemEvidence};
use crate::items::Items;
use crate::observe::CallKind;
use crate::order::Order;
use crate::pool::{Ending, Pool};
use crate::pricing::{Cost, Pricing, Usage};
use crate::roster::{ModelId, RosterSpec};
use crate::target::Target;

/// The version of the stored form; stretches of other versions are refused.
pub const STRETCH_VERSION: u32 = 1;

fn this_version<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    crate::version::read(from, "the stretch", STRETCH_VERSION)
}

/// What the items of some ranks showed: one worker's part of a profile, to store or send.
///
/// Like a [`Profile`] it is bound to its run: [`Profile::fold`] refuses parts of different runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    label: Label,
    #[serde(deserialize_with = "this_version")]
    version: u32,
    roster: RosterSpec,
    equivalence: String,
    judge: Pricing,
    target: Target,
    order: Order,
    settings: ProfileSettings,
    /// The cap within which it was planned, if the stretch was a profile.
    #[serde(default)]
    budget: Option<Cost>,
    items: Vec<Shown>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Label {
    #[serde(rename = "smart-core stretch")]
    Stretch,
}

/// What one item showed, with all that is needed to remove what was not wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    evidence: ItemEvidence,
    /// What was asked; `None` if that was exactly what was wanted.
    #[serde(default)]
    asked: Option<Demand>,
    /// What each comparison used, if anything.
    #[serde(default)]
    judged: Vec<(ModelId, ModelId, Usage)>,
    /// The scores with which the rated answers came.
    #[serde(default)]
    given: Vec<(ModelId, Confidence)>,
    /// How the answers compared whose ratings failed. They count as unheard only if a rating is wanted.
    #[serde(default)]
    unrated: Vec<(ModelId, Agreement)>,
}

impl Stretch {
    pub(crate) fn new(machine: &ProfileMachine, equivalence: String, shown: Shows) -> Self {
        let brain = machine.brain();
        Self {
            label: Label::Stretch,
            version: STRETCH_VERSION,
            roster: brain.roster().clone(),
            equivalence,
            judge: *brain.judge(),
            target: brain.target(),
            order: brain.order(),
            settings: brain.settings().clone(),
            budget: None,
            items: shown.0,
        }
    }

    /// How many items were asked about.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no item was asked about.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Why two stretches cannot be folded together, in words.
    fn difference(&self, other: &Self) -> Option<String> {
        if let Some(difference) = self.roster.difference(&other.roster) {
            return Some(difference);
        }
        let same = [
            (self.roster == other.roster && self.judge == other.judge, "prices"),
            (self.equivalence == other.equivalence, "equivalence"),
            (self.target == other.target, "target"),
            (self.order == other.order, "seed or population"),
            (self.settings == other.settings, "settings"),
        ];
        let (_, what) = same.into_iter().find(|(same, _)| !same)?;
        Some(format!("the stretches are not of one {what}"))
    }
}

impl From<Profile> for Stretch {
    /// The evidence of a profile that ended early, to continue from.
    fn from(profile: Profile) -> Self {
        let whole = |evidence| {
            let (judged, given, unrated) = (Vec::new(), Vec::new(), Vec::new());
            Shown { evidence, asked: None, judged, given, unrated }
        };
        Self {
            label: Label::Stretch,
            version: STRETCH_VERSION,
            roster: profile.roster,
            equivalence: profile.equivalence,
            judge: profile.judge,
            target: profile.target,
            order: profile.order,
            settings: profile.settings,
            budget: profile.budget,
            items: profile.evidence.into_iter().map(whole).collect(),
        }
    }
}

impl Profile {
    /// Folds what several workers found out about disjoint stretches of ranks, in any order, into one
    /// profile.
    ///
    /// It is the profile that a single worker would have made of the same answers. A profile that ended
    /// early is a stretch too, and brings the budget within which it was planned.
    ///
    /// Profiling ends where the machine ends it, or before the first rank that no stretch holds. In the
    /// second case [`stopped`](Self::stopped) is [`StopReason::Caller`], and more stretches help. Prices
    /// are those at which the stretches were made; [`replan`](Self::replan) takes others.
    ///
    /// # Errors
    /// [`RunError::Mismatch`] if there is no stretch, if the stretches are of different runs, or if two
    /// hold the same item; [`RunError::Settings`] if the settings make no sense.
    pub fn fold(stretches: impl IntoIterator<Item = Stretch>) -> Result<Self, RunError> {
        let mismatch = |difference| RunError::Mismatch { what: "a stretch", difference };
        let mut stretches = stretches.into_iter();
        let Some(first) = stretches.next() else {
            return Err(mismatch("there is none to fold".to_owned()));
        };
        let (order, mut budget) = (first.order, first.budget);
        let machine =
            ProfileMachine::new(&first.roster, first.judge, first.target, order, &first.settings)?;
        let mut shown = BTreeMap::new();
        let mut take = |items: Vec<Shown>| {
            for item in items {
                let index = item.evidence.index;
                if shown.insert(order.rank(index), item).is_some() {
                    return Err(mismatch(format!("item {index} was profiled twice")));
                }
            }
            Ok(())
        };
        let equivalence = first.equivalence.clone();
        for other in stretches {
            if let Some(difference) = first.difference(&other) {
                return Err(mismatch(difference));
            }
            if budget.is_some_and(|cap| other.budget.is_some_and(|own| own != cap)) {
                return Err(mismatch("the stretches are not of one budget".to_owned()));
            }
            budget = budget.or(other.budget);
            take(other.items)?;
        }
        take(first.items)?;
        let mut machine = machine.with_budget(budget);
        replay(&mut machine, shown)?;
        machine.stop(StopReason::Caller);
        Ok(Self::new(machine, equivalence))
    }

    /// A machine in the state in which this profile left it.
    fn resume(&self) -> Result<ProfileMachine, RunError> {
        let Self { roster, judge, target, order, settings, budget, .. } = self;
        let machine = ProfileMachine::new(roster, *judge, *target, *order, settings)?;
        let mut machine = machine.with_budget(*budget);
        let stretch = Stretch::from(self.clone());
        let ranked = stretch.items.into_iter().map(|item| (order.rank(item.evidence.index), item));
        replay(&mut machine, ranked.collect())?;
        Ok(machine)
    }
}

/// Hands the machine what it asks for, as far as it was found out.
fn replay(machine: &mut ProfileMachine, mut shown: BTreeMap<u64, Shown>) -> Result<(), RunError> {
    // One request is open at a time, so the machine never waits.
    while shown.contains_key(&machine.profiled())
        && let Step::Profile(request) = machine.poll_step()
    {
        let item = shown.remove(&request.rank).and_then(|item| item.only(request));
        let Some(item) = item else { break };
        machine.handle_outcome(item)?;
    }
    Ok(())
}

impl Shown {
    /// The item as it would look if only this had been asked; `None` if less was asked.
    fn only(self, request: Request) -> Option<ItemEvidence> {
        let Self { mut evidence, asked, judged, given, unrated } = self;
        let compared = |id| unrated.iter().find(|(of, _)| *of == id).map(|(_, how)| *how);
        // The candidate asked first is rated only afterwards, so a failed rating cannot spare the others.
        let first = request.unless.and_then(compared);
        let request = match first {
            Some(agreement) => request.given(|_| agreement),
            None => request.given_by(&evidence),
        };
        if request.ask.iter().any(|id| evidence.candidate(id).is_none())
            || (asked.is_none() && !request.is_met_by(&evidence))
        {
            return None;
        }
        let Request { ask, rate, compare, .. } = request;
        let wanted = Demand { ask, rate, compare, unless: None };
        let Some(asked) = asked.filter(|asked| *asked != wanted) else { return Some(evidence) };
        if request.rate.intersection(asked.rate) != request.rate
            || (request.compare && !asked.compare)
        {
            return None;
        }
        for (position, slot) in (1_u8..).zip(&mut evidence.candidates) {
            let id = ModelId::new(position);
            if !request.ask.contains(id) {
                *slot = None;
            } else if let Some(record) = slot.as_mut().filter(|record| record.rating.is_some())
                && !request.rate.contains(id)
            {
                record.rating = None;
                record.agreement = compared(id).unwrap_or(record.agreement);
                record.score = given.iter().find(|(of, _)| *of == id).map(|(_, score)| *score);
            }
        }
        let heard = |id: ModelId| id.is_reference() || request.ask.contains(id);
        let agrees = |id: ModelId| {
            evidence.candidate(id).is_some_and(|record| record.agreement == Agreement::Agrees)
        };
        // Two answers that both agree with the reference are not compared with each other.
        let paired = |a, b| request.compare && heard(a) && heard(b) && !(agrees(a) && agrees(b));
        let pairs = evidence.pairs.iter().copied().filter(|(a, b)| paired(*a, *b)).collect();
        let kept = judged.iter().filter(
            |(a, b, _)| {
                if a.is_reference() { heard(*b) } else { paired(*a, *b) }
            },
        );
        evidence.judged = kept.map(|(_, _, usage)| *usage).reduce(Usage::plus);
        evidence.pairs = pairs;
        evidence.unjudged = evidence.unjudged.intersection(request.ask);
        Some(evidence)
    }
}

/// What a worker found out, before it is stored as a stretch.
pub(crate) struct Shows(Vec<Shown>);

/// Where a worker begins: the state it knows, and what could be wanted of the ranks after it.
pub(crate) struct Start {
    pub(crate) machine: ProfileMachine,
    demand: Option<Demand>,
}

impl Start {
    /// Begins at the first rank, or after a profile that ended early.
    pub(crate) fn new(machine: ProfileMachine, after: Option<&Profile>) -> Result<Self, RunError> {
        let mut machine = match after {
            Some(profile) => profile.resume()?,
            None => machine,
        };
        // What was granted before the last decisions may be wider than what is wanted now.
        let demand = match machine.poll_step() {
            Step::Profile(granted) => {
                let now = machine.brain().widest_demand();
                Some(Demand {
                    ask: granted.ask.union(now.ask),
                    rate: granted.rate.union(now.rate),
                    compare: granted.compare || now.compare,
                    unless: None,
                })
            }
            Step::Wait | Step::Done => None,
        };
        Ok(Self { machine, demand })
    }
}

/// Asks everything that could be wanted about some ranks.
///
/// Items that the budget does not cover, or that a stop leaves, are left out.
pub(crate) async fn ask_ranks<I, O, S>(
    calls: &Calls<I, O>,
    items: &S,
    router: Option<&Router<I>>,
    start: &Start,
    ranks: Range<u64>,
    concurrency: usize,
) -> Result<(Shows, BTreeMap<u64, Answer<O>>), RunError>
where
    I: ?Sized + Sync,
    O: Send + Sync,
    S: Items<I> + ?Sized,
    S::Item: Sync,
{
    let order = start.machine.brain().order();
    let (mut shown, mut answers) = (BTreeMap::new(), BTreeMap::new());
    let Some(demand) = start.demand else {
        return Ok((Shows(Vec::new()), answers));
    };
    let mut pool = Pool::new();
    let mut left = ranks.start..ranks.end.min(order.population());
    let mut ending = Ending::default();
    loop {
        let next = poll_fn(|cx| {
            pool.poll_next(cx, concurrency, |_| {
                let next = order.index(left.clone().next()?);
                if ending.is_near() || (calls.is_stopped() && !calls.is_recorded(next)) {
                    return None;
                }
                let rank = left.next()?;
                let request = Request::new(rank, order.index(rank), demand).closely();
                Some(one(calls, items, router, request, None))
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
        if short.is_some() {
            continue;
        }
        let (judged, given, unrated) = (Vec::new(), Vec::new(), paid.unrated);
        let mut item = Shown { evidence, asked: Some(demand), judged, given, unrated };
        for (key, kept) in paid.rest {
            match kept {
                Kept::Verdict { usage: Some(usage), .. }
                | Kept::Failure { usage: Some(usage), .. }
                    if key.kind == CallKind::Comparison =>
                {
                    item.judged.push((key.model, key.other, usage));
                }
                Kept::Answer { score: Some(score), .. }
                    if key.kind == CallKind::Answer && demand.rate.contains(key.model) =>
                {
                    item.given.push((key.model, score));
                }
                _ => {}
            }
        }
        shown.insert(rank, item);
        answers.insert(answer.index, answer);
    }
    ending.take().map_or(Ok((Shows(shown.into_values().collect()), answers)), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{CandidateRecord, ModelSet};

    const A: ModelId = ModelId::new(1);
    const B: ModelId = ModelId::new(2);

    fn set(ids: &[ModelId]) -> ModelSet {
        ids.iter().copied().collect()
    }

    #[test]
    fn what_was_not_wanted_is_taken_back() {
        let (given, rated) = (Confidence::new(0.25).unwrap(), Confidence::new(0.75).unwrap());
        let mut record = CandidateRecord::new(Agreement::Differs, None).with_score(Some(rated));
        record.rating = Some(Usage::tokens(5, 1));
        let mut evidence = ItemEvidence::new(7, true, None);
        evidence.candidates = vec![Some(record), Some(record)];
        evidence.pairs = vec![(A, B)];
        let used = |tokens| Usage::tokens(tokens, 0);
        evidence.judged = Some(used(1).plus(used(10)).plus(used(100)));
        let everything =
            Demand { ask: set(&[A, B]), rate: set(&[A, B]), compare: true, unless: None };
        let shown = Shown {
            evidence: evidence.clone(),
            asked: Some(everything),
            judged: vec![
                (ModelId::REFERENCE, A, used(1)),
                (ModelId::REFERENCE, B, used(10)),
                (A, B, used(100)),
            ],
            given: vec![(A, given)],
            unrated: vec![],
        };
        let only = |ask: &[ModelId], rate: &[ModelId], compare| {
            let (ask, rate) = (set(ask), set(rate));
            shown.clone().only(Request { rank: 0, index: 7, ask, rate, compare, unless: None })
        };
        assert_eq!(only(&[A, B], &[A, B], true), Some(evidence));

        let plain = only(&[A, B], &[B], false).unwrap();
        let score = |id| plain.candidate(id).unwrap().score;
        assert_eq!((score(A), score(B)), (Some(given), Some(rated)));
        assert!(plain.candidate(A).unwrap().rating.is_none());
        assert_eq!((plain.pairs.len(), plain.judged), (0, Some(used(1).plus(used(10)))));

        let one = only(&[A], &[], true).unwrap();
        assert!(one.candidate(B).is_none() && one.pairs.is_empty());
        assert_eq!(one.judged, Some(used(1)));

        // An answer whose rating failed is heard where no rating is wanted, and agreeing answers are not
        // compared with each other.
        let mut failed = shown.clone();
        failed.evidence.unjudged = set(&[B]);
        for (slot, agreement) in failed.evidence.candidates.iter_mut().zip([
            Agreement::Unheard, // its rating failed
            Agreement::Agrees,
        ]) {
            let record = slot.as_mut().unwrap();
            (record.agreement, record.score) = (agreement, None);
        }
        failed.unrated = vec![(A, Agreement::Agrees)];
        let with = |ask: &[ModelId], rate: &[ModelId], unless| {
            let (ask, rate) = (set(ask), set(rate));
            let request = Request { rank: 0, index: 7, ask, rate, compare: true, unless };
            failed.clone().only(request).unwrap()
        };
        let agreement = |item: &ItemEvidence| item.candidate(A).unwrap().agreement;
        assert_eq!(agreement(&with(&[A, B], &[A], None)), Agreement::Unheard);
        let both = with(&[A, B], &[], None);
        assert_eq!((agreement(&both), both.pairs.len()), (Agreement::Agrees, 0));
        assert_eq!((both.judged, both.unjudged), (Some(used(1).plus(used(10))), set(&[B])));
        let first = with(&[A, B], &[A], Some(A));
        assert_eq!((agreement(&first), first.candidate(B)), (Agreement::Agrees, None));
        assert_eq!(first.unjudged, ModelSet::EMPTY);

        // If less was asked than is wanted, there is no item.
        let mut bare = shown.clone();
        bare.asked = Some(Demand { rate: ModelSet::EMPTY, compare: false, ..everything });
        let request = Request {
            rank: 0,
            index: 7,
            ask: set(&[A]),
            rate: set(&[A]),
            compare: false,
            unless: None,
        };
        assert_eq!(bare.clone().only(request), None);
        let request = Request { rate: ModelSet::EMPTY, compare: true, ..request };
        assert_eq!(bare.only(request), None);
        assert_eq!(only(&[ModelId::new(3)], &[], false), None);
    }
}
