//! The paper's AG News setting as models that do nothing, shared by the benchmarks.
#![allow(dead_code, reason = "every benchmark uses its own part")]

use smart_core::backend::{Latency, Simulated};
use smart_core::evidence::{Agreement, CandidateRecord, ItemEvidence};
use smart_core::profile::{ProfileMachine, Request, Step};
use smart_core::published::Setting;
use smart_core::sleep::TokioSleeper;
use smart_core::{
    Confidence, Cost, Model, ModelId, Order, Pricing, Profile, ProfileSettings, Roster, Target,
    Usage,
};

/// The number of items of the setting.
pub(crate) const ITEMS: u64 = 127_600;

/// Simulated models, the reference first.
pub(crate) struct Models {
    pub(crate) all: Vec<Simulated>,
    bills: Vec<Usage>,
}

impl Models {
    /// The setting's reference and its four candidates, at the paper's costs and agreement.
    pub(crate) fn ag_news(seed: u64) -> Self {
        let setting = Setting::ag_news();
        let of_reference = |name: &String| *name == setting.reference;
        let (references, candidates): (Vec<_>, Vec<_>) =
            setting.models.iter().partition(|model| of_reference(&model.name));
        let mut models = Self { all: Vec::new(), bills: Vec::new() };
        for model in references.into_iter().chain(candidates) {
            models.add(&model.name, model.agreement, model.cost, seed);
        }
        models
    }

    /// A reference, and `candidates` candidates that agree on 80 % to 97 % of the items, with scores.
    pub(crate) fn many(candidates: u32, seed: u64) -> Self {
        let mut models = Self { all: Vec::new(), bills: Vec::new() };
        models.add("reference", 1.0, 1_000_000, seed);
        for number in 0..candidates {
            let part = f64::from(number) / f64::from(candidates.max(2) - 1);
            let cost = 20_000 + u64::from(number) * 5_000;
            models.add(&format!("candidate {number}"), 0.8 + 0.17 * part, cost, seed);
        }
        models.all = models.all.into_iter().map(|model| model.with_confidence(0.8)).collect();
        models
    }

    fn add(&mut self, name: &str, agreement: f64, nanos: u64, seed: u64) {
        let bill = Usage::billed(Cost::from_nanos(nanos));
        let model = Simulated::candidate(name, agreement, seed).with_labels(4).with_usage(bill);
        self.all.push(model);
        self.bills.push(bill);
    }

    /// The same models with calls that take time, on tokio's timer.
    #[must_use]
    pub(crate) fn with_latency(mut self, latency: Latency) -> Self {
        let slow = |model: Simulated| {
            model.with_latency(latency).with_slow_errors(2).with_sleeper(TokioSleeper::new())
        };
        self.all = self.all.into_iter().map(slow).collect();
        self
    }

    /// A roster of these models.
    pub(crate) fn roster(&self) -> Roster<u64, u32> {
        let mut models =
            self.all.iter().map(|model| Model::new(model.name().to_owned(), model.clone()));
        let reference = models.next().expect("a reference");
        Roster::new(reference, models).expect("distinct names")
    }

    /// What an item shows when it is profiled, without a call.
    pub(crate) fn outcome(&self, request: &Request) -> ItemEvidence {
        let index = request.index;
        let agreement = |id: ModelId| {
            let agrees = self.all.get(id.position()).is_some_and(|model| model.agrees(index));
            if agrees { Agreement::Agrees } else { Agreement::Differs }
        };
        let request = request.given(agreement);
        let candidates = || self.all.iter().zip(&self.bills).enumerate().skip(1);
        let id = |position: usize| ModelId::new(u8::try_from(position).expect("few models"));
        let record = |(position, (model, bill)): (usize, (&Simulated, &Usage))| {
            if !request.ask.contains(id(position)) {
                return None;
            }
            let agrees = model.agrees(index);
            let agreement = agreement(id(position));
            // An invented score, mostly higher where the answer is right.
            let noise = (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / 16_777_216.0;
            let score = Confidence::new(noise + if agrees { 0.6 } else { 0.0 });
            Some(CandidateRecord { agreement, score, usage: Some(*bill), rating: None })
        };
        let mut pairs = Vec::new();
        if request.compare {
            for (a, (left, _)) in candidates() {
                for (b, (right, _)) in candidates().skip(a) {
                    let same = left.answer(index) == right.answer(index);
                    if same && !left.agrees(index) {
                        pairs.push((id(a), id(b)));
                    }
                }
            }
        }
        let usage = self.bills.first().copied();
        let candidates = candidates().map(record).collect();
        ItemEvidence { candidates, pairs, ..ItemEvidence::new(index, true, usage) }
    }

    /// A profiler of these models.
    pub(crate) fn machine(
        &self,
        items: u64,
        seed: u64,
        target: Target,
        settings: &ProfileSettings,
    ) -> ProfileMachine {
        let (roster, order) = (self.roster(), Order::new(items, seed));
        ProfileMachine::new(roster.spec(), Pricing::default(), target, order, settings)
            .expect("settings that make sense")
    }

    /// Drives a machine to its end, one item at a time.
    pub(crate) fn drive(&self, machine: &mut ProfileMachine) {
        while let Step::Profile(request) = machine.poll_step() {
            let taken = machine.handle_outcome(self.outcome(&request));
            taken.expect("what was asked for");
            while machine.poll_decision().is_some() {}
        }
    }
}

/// The profile of a machine that has ended.
pub(crate) fn profile(machine: ProfileMachine) -> Profile {
    Profile::new(machine, "exact".to_owned())
}

/// The target of at least `agreement`, with 95 % confidence.
pub(crate) fn target(agreement: f64) -> Target {
    Target::new(agreement, 0.95).expect("a constant target")
}

/// The median of some times.
pub(crate) fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
