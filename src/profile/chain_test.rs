//! One chain under test: its evidence, its boundary, and the best policy certified so far.
//!
//! The brain opens a [`ChainTest`] for the chain that the pilot chose, or one for each single candidate
//! at the start. It adds every item to the test and has it judged at the looks of its boundary.

use super::running_mean::RunningMean;
use crate::evidence::ItemEvidence;
use crate::order::Order;
use crate::plan::{Certificate, Chain, Key, Mark, Policy, Till, Trial, Wanted};
use crate::roster::RosterSpec;
use crate::stats::{
    Boundary, BoundaryKind, Design, Probability, normal_quantile, single_look_limit, upper_rate,
};

/// The share of the level at which the most liberal threshold of a look is judged against the floor.
const LIBERAL: f64 = 0.9;

/// A chain, tested on the ranks from `start` on.
///
/// At a look after `k` tested items, the most liberal policy with at most `b` failures among them is
/// certified: items are taken in the chain's order until the next failure would be one too many. The
/// boundary's error covers every policy of the chain, so choosing the threshold costs nothing
/// ([`Boundary::chain`]).
#[derive(Debug, Clone)]
pub(super) struct ChainTest {
    pub(super) chain: Chain,
    pub(super) boundary: Boundary,
    pub(super) start: u64,
    pub(super) tested: u64,
    /// Marks of the failing items, highest first.
    failing: Vec<Mark>,
    /// Marks of the failing items whose comparison with the reference failed.
    unjudged: Vec<Mark>,
    /// Marks of all items that the chain could answer, each with the model that would answer.
    trials: Vec<Trial>,
    pub(super) certified: Option<Certified>,
    /// The most liberal policy that may be certified, if one was chosen before the test.
    chosen: Option<Mark>,
    /// What the whole chain costs.
    whole: RunningMean,
    /// What the certified policy costs.
    kept: RunningMean,
    /// Items whose answer agrees and whose place in the chain is not known.
    unplaced: u64,
    pub(super) live: bool,
    /// Why the chain is no longer live, in words.
    pub(super) ended: String,
    /// What was expected of the chain after the pilot, in words; empty without a pilot.
    pub(super) promise: String,
}

/// A policy that passed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Certified {
    pub(super) policy: Policy,
    pub(super) certificate: Certificate,
}

impl ChainTest {
    /// The looks still to come at which failures are tolerated: at how many items, and how many failures.
    pub(super) fn later_looks(&self) -> impl Iterator<Item = (u64, u64)> {
        let looks = self.boundary.looks().as_slice().iter().zip(self.boundary.limits());
        let later = looks.filter(|(look, _)| **look > self.tested);
        later.filter_map(|(look, limit)| Some((*look, limit.as_ref().copied()?)))
    }

    pub(super) fn new(chain: Chain, boundary: Boundary, start: u64) -> Self {
        Self {
            chain,
            boundary,
            start,
            tested: 0,
            failing: Vec::new(),
            unjudged: Vec::new(),
            trials: Vec::new(),
            certified: None,
            chosen: None,
            whole: RunningMean::default(),
            kept: RunningMean::default(),
            unplaced: 0,
            live: true,
            ended: String::new(),
            promise: String::new(),
        }
    }

    /// Records what was expected of the chain, in words.
    pub(super) fn promising(self, promise: String) -> Self {
        Self { promise, ..self }
    }

    /// What became of the chain, in words; `chosen` if it is the plan. If profiling was `cut` before its time,
    /// the words say how.
    pub(super) fn outcome(&self, chosen: bool, cut: Option<&str>) -> String {
        let Self { promise, ended, .. } = self;
        let comma = if promise.is_empty() { "" } else { ", " };
        let open = cut.filter(|_| self.live && self.certified.is_none());
        let outcome = match (open, &self.certified, chosen) {
            (Some(cut), ..) => format!("undecided{comma}{promise}: {cut}"),
            (_, Some(_), true) if promise.is_empty() => "chosen, the cheapest certified".to_owned(),
            (_, Some(_), true) => format!("chosen, {promise}"),
            (_, Some(_), false) => format!("certified{comma}{promise}, but not the cheapest"),
            (_, None, _) if ended.is_empty() => format!("not certified{comma}{promise}"),
            (_, None, _) => format!("not certified{comma}{promise}: {ended}"),
        };
        match self.unjudged.len() {
            0 => outcome,
            unjudged => {
                format!("{outcome}; {unjudged} of its failures are comparisons that failed")
            }
        }
    }

    /// A test, at one look, of a policy chosen beforehand.
    ///
    /// It certifies no policy more liberal than that one, and finds the smallest allowance that it
    /// passes at (see the brain's module `aim`).
    pub(super) fn of_policy(chain: Chain, boundary: Boundary, start: u64, chosen: Mark) -> Self {
        Self { chosen: Some(chosen), ..Self::new(chain, boundary, start) }
    }

    /// Adds the next item.
    ///
    /// The place of an agreeing item in the chain moves no threshold, so it need not be known.
    pub(super) fn fold(&mut self, item: &ItemEvidence, coin: u64, roster: &RosterSpec) {
        self.tested += 1;
        let wanted = Wanted::new(&self.chain, roster);
        if wanted.agrees(item) == Some(true) && !wanted.is_known(item) {
            self.unplaced += 1;
            return;
        }
        let Some(trial) = self.chain.trial(item, coin) else { return };
        self.trials.push(trial);
        if trial.fails {
            // A test of all answers may see very many failures, and needs only their number: equal marks
            // keep their order without a search for each one's place.
            let whole = self.boundary.kind() == BoundaryKind::SinglePolicy;
            let mark = if whole { Mark::HIGHEST } else { trial.mark };
            let place = self.failing.partition_point(|other| *other >= mark);
            self.failing.insert(place, mark);
            if item.unjudged.contains(trial.model) {
                self.unjudged.push(trial.mark);
            }
        }
    }

    /// Failures if every item were given to the chain.
    pub(super) fn failures(&self) -> u64 {
        self.failing.len() as u64
    }

    /// The marks of the failing items, highest first.
    pub(super) fn failing(&self) -> &[Mark] {
        &self.failing
    }

    /// The most liberal policy that may be certified, if that was chosen before the test.
    pub(super) const fn chosen(&self) -> Option<Mark> {
        self.chosen
    }

    /// How many failing items at or above a threshold are comparisons that failed.
    fn unjudged_above(&self, threshold: &Mark) -> u64 {
        self.unjudged.iter().filter(|mark| *mark >= threshold).count() as u64
    }

    /// How many failing items lie at or above a threshold.
    fn failures_above(&self, threshold: &Mark) -> u64 {
        self.failing.partition_point(|mark| mark >= threshold) as u64
    }

    /// The limit here, if this is a look.
    pub(super) fn limit(&self) -> Option<u64> {
        if !self.boundary.is_look(self.tested) {
            return None;
        }
        self.boundary.carried(self.tested)
    }

    /// The lowest threshold with at most `limit` failures among the tested items.
    pub(super) fn threshold(&self, limit: u64) -> Mark {
        usize::try_from(limit)
            .ok()
            .and_then(|limit| self.failing.get(limit))
            .map_or(Mark::LOWEST, Mark::just_above)
    }

    /// Judges the evidence if this is a look; true if a policy was certified.
    ///
    /// A later look may certify a more liberal policy or a stricter one. Both stay valid, and the more
    /// liberal one is kept.
    pub(super) fn look(&mut self, floor: f64) -> bool {
        let Some(limit) = self.limit() else { return false };
        // A boundary for one policy covers the whole chain, and no threshold within it.
        if self.boundary.kind() == BoundaryKind::SinglePolicy && self.failures() > limit {
            return false;
        }
        let lowest = match self.boundary.kind() {
            BoundaryKind::SinglePolicy => limit,
            _ => 0,
        };
        let liberal = self.chosen.unwrap_or(Mark::LOWEST);
        // If a model falls below the floor, a stricter threshold may still keep it above.
        let found = (lowest..=limit)
            .rev()
            .map(|limit| self.threshold(limit).max(liberal))
            .find(|threshold| *threshold < Mark::HIGHEST && self.above_floor(threshold, floor));
        let Some(threshold) = found else { return false };
        let better = match &self.certified {
            Some(Certified { policy: Policy::Chain { threshold: old, .. }, .. }) => {
                threshold < *old
            }
            _ => true,
        };
        if better {
            let limit = self.sharpen().unwrap_or(limit);
            let policy = Policy::Chain { chain: self.chain.clone(), threshold };
            let certificate = self.certificate(&threshold, limit);
            self.certified = Some(Certified { policy, certificate });
        }
        better
    }

    /// Replaces the allowance tested for by the smallest one that the chosen policy passes at; returns
    /// its limit.
    fn sharpen(&mut self) -> Option<u64> {
        let failures = self.failures_above(&self.chosen?);
        let (population, mut most) = self.boundary.finite()?;
        let alpha = self.boundary.alpha();
        let passes = |allowance: &u64| {
            let design = Design::finite(population, *allowance).ok()?;
            single_look_limit(design, self.tested, alpha).filter(|limit| failures <= *limit)
        };
        let mut least = 1;
        passes(&most)?;
        while least < most {
            let middle = u64::midpoint(least, most);
            if passes(&middle).is_some() {
                most = middle;
            } else {
                least = middle + 1;
            }
        }
        let design = Design::finite(population, most).ok()?;
        self.boundary = Boundary::single_look(design, alpha, self.tested).ok()?;
        self.boundary.limit_at_look(0)
    }

    /// Whether every model that would answer agrees, with confidence, on more than `floor` of its items.
    pub(super) fn above_floor(&self, threshold: &Mark, floor: f64) -> bool {
        // By coin a chain gives away a random part, so all its trials speak for that part.
        let whole = matches!(self.chain.key, Key::Coin | Key::Split { .. });
        let given = || self.trials.iter().filter(|trial| whole || trial.mark >= *threshold);
        let (alpha, share) = (self.floor_level(threshold), self.share_placed());
        self.chain.models().iter().all(|id| {
            let own = given().filter(|trial| trial.model == id);
            let (count, failures) =
                own.fold((0, 0), |(n, f), trial| (n + 1, f + u64::from(trial.fails)));
            if count == 0 {
                // The model has nothing to answer, unless it is the first and all its items were spared
                // a closer look.
                return id != self.chain.first || self.unplaced == 0;
            }
            // If some agreeing items were not placed, all agreeing answers are the first model's. Those
            // placed were chosen by rank, and so at random.
            let upper = upper_rate(count, failures, alpha);
            upper.is_ok_and(|rate| rate * share / (1.0 - rate + rate * share) < 1.0 - floor)
        })
    }

    /// The level at which a threshold is judged against the floor.
    ///
    /// A look tries the failing items that it tolerates as thresholds, one after another, so they share the
    /// level: most of it goes to the most liberal threshold, which nearly always passes, and the stricter
    /// ones share the rest equally. By coin there is one rate to judge, wherever the threshold lies.
    fn floor_level(&self, threshold: &Mark) -> Probability {
        let alpha = self.boundary.alpha();
        if matches!(self.chain.key, Key::Coin | Key::Split { .. }) {
            return alpha;
        }
        let limit = self.boundary.carried(self.tested).unwrap_or(0);
        let share = if *threshold <= self.threshold(limit) {
            LIBERAL
        } else {
            (1.0 - LIBERAL) / limit.max(1) as f64
        };
        Probability::new(alpha.get() * share).unwrap_or(Probability::SMALLEST)
    }

    /// The share of the agreeing items whose place in the chain is known.
    fn share_placed(&self) -> f64 {
        let placed = self.trials.iter().filter(|trial| !trial.fails).count() as f64;
        if self.unplaced == 0 { 1.0 } else { placed / (placed + self.unplaced as f64) }
    }

    /// The threshold of the certified policy.
    pub(super) fn certified_threshold(&self) -> Option<Mark> {
        match &self.certified.as_ref()?.policy {
            Policy::Chain { threshold, .. } => Some(*threshold),
            Policy::Reference | Policy::Last { .. } => None,
        }
    }

    /// Up to `most` thresholds above a certified one, spread evenly over the failing items there.
    ///
    /// There are none if only the whole chain was tested.
    pub(super) fn stricter(&self, lowest: &Mark, most: usize) -> Vec<Mark> {
        if self.boundary.kind() == BoundaryKind::SinglePolicy {
            return Vec::new();
        }
        let above = self.failures_above(lowest);
        let above = usize::try_from(above).unwrap_or(usize::MAX);
        let stride = above.div_ceil(most).max(1);
        self.failing.iter().take(above).step_by(stride).map(Mark::just_above).collect()
    }

    /// Up to `most` thresholds from a certified one upwards, spread evenly over the known items there.
    pub(super) fn dearer(&self, lowest: &Mark, most: usize) -> Vec<Mark> {
        let trials = self.trials.iter().map(|trial| trial.mark);
        let mut above: Vec<Mark> = trials.filter(|mark| mark > lowest).collect();
        above.sort_unstable();
        let stride = above.len().div_ceil(most).max(1);
        std::iter::once(*lowest).chain(above.into_iter().skip(stride - 1).step_by(stride)).collect()
    }

    /// Raises the certified threshold: a stricter policy fails on a subset of the items, and needs no test.
    pub(super) fn tighten(&mut self, threshold: Mark) {
        let failures = self.failures_above(&threshold);
        let unjudged = self.unjudged_above(&threshold);
        if let Some(Certified { policy: Policy::Chain { threshold: old, .. }, certificate }) =
            &mut self.certified
        {
            *old = threshold;
            (certificate.failures, certificate.unjudged) = (failures, unjudged);
        }
    }

    fn certificate(&self, threshold: &Mark, limit: u64) -> Certificate {
        // No stream is profiled.
        let (population, allowance) = self.boundary.finite().unwrap_or_default();
        Certificate {
            population,
            allowance,
            pilot: self.start,
            tested: self.tested,
            failures: self.failures_above(threshold),
            unjudged: self.unjudged_above(threshold),
            limit,
            level: self.boundary.alpha().get(),
            looks: match self.boundary.kind() {
                BoundaryKind::SingleLook => 1,
                _ => self.boundary.looks().len() as u64,
            },
            error: self.boundary.error(),
        }
    }

    /// For each of some rising failure rates, after how many further items the whole chain would be
    /// certified.
    ///
    /// That is the first `t` with `b(k + t) >= f + rate t` at which it is also shown to lie above the `floor`. A
    /// higher rate is never certified earlier, so one pass over the looks serves all rates.
    pub(super) fn times_to_certify(&self, rates: &[f64], floor: f64) -> Vec<Option<u64>> {
        let (k, f) = (self.tested, self.failures() as f64);
        let looks = self.boundary.looks().as_slice();
        let from = looks.partition_point(|look| *look <= k);
        let mut ahead = looks.iter().zip(self.boundary.limits()).skip(from).peekable();
        let time = |rate: &f64| {
            let least = self.time_to_floor(*rate, floor)?;
            while let Some((look, limit)) = ahead.peek() {
                let t = *look - k;
                if t as f64 >= least
                    && limit.is_some_and(|limit| limit as f64 >= f + rate * t as f64)
                {
                    return Some(t);
                }
                ahead.next();
            }
            None
        };
        rates.iter().map(time).collect()
    }

    /// After how many further items a candidate that fails on this share of them would be shown to agree on more
    /// than `floor` of its answers, by the normal approximation; `None` if it does not.
    pub(super) fn time_to_floor(&self, rate: f64, floor: f64) -> Option<f64> {
        let (answered, fails) = (self.trials.len() as f64, 1.0 - floor);
        let share = if answered > 0.0 { answered / self.tested.max(1) as f64 } else { 1.0 };
        let own = rate / share;
        let error = normal_quantile(self.boundary.alpha().get());
        let answers = error.powi(2) * own * (1.0 - own) / (fails - own).powi(2);
        (own < fails).then(|| ((answers - answered) / share).max(0.0))
    }

    /// The chain's cost per item at a threshold, in nano-units, if it is known without a pass over all
    /// `items`.
    pub(super) fn known_mean(&self, threshold: &Mark, items: usize) -> Option<f64> {
        [&self.whole, &self.kept].into_iter().find_map(|tab| tab.mean(threshold, items))
    }

    /// Brings the running costs of the whole chain and of the certified policy up to date.
    pub(super) fn update_means(
        &mut self,
        evidence: &[ItemEvidence],
        order: &Order,
        till: &Till<'_>,
    ) {
        self.whole.update(&self.chain, Mark::LOWEST, evidence, order, till);
        if let Some(threshold) = self.certified_threshold() {
            self.kept.update(&self.chain, threshold, evidence, order, till);
        }
    }
}
