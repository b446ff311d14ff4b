//! Profiling within a budget: as many items answered as the money allows, and decisions that the
//! money does not touch where it lasts.

use smart_core::evidence::{Agreement, CandidateRecord, ItemEvidence};
use smart_core::plan::{Heard, Move, Scored};
use smart_core::profile::{ProfileMachine, Request, Step};
use smart_core::{
    Cost, Families, ModelId, ModelSpec, Order, Plan, Pricing, Profile, ProfileSettings, RosterSpec,
    StopReason, Target, Usage,
};

const LARGE: u64 = 1_000_000;

/// A job: how many items, what each candidate costs beside the reference, and how often it agrees.
#[derive(Clone, Copy)]
struct Job {
    items: u64,
    target: f64,
    candidates: &'static [(u64, f64)],
    families: Families,
}

/// How a job went under a cap.
struct Went {
    answered: u64,
    spent: u64,
    plan: Plan,
    stopped: StopReason,
}

impl Job {
    fn agrees(&self, index: u64, id: ModelId, seed: u64) -> bool {
        let (_, agreement) = self.candidates[id.position() - 1];
        let key =
            (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (seed + 7 * id.position() as u64);
        let coin = key.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (key >> 29);
        (coin.wrapping_mul(0x94d0_49bb_1331_11eb) >> 11) as f64 / (1_u64 << 53) as f64 <= agreement
    }

    fn price(&self, id: ModelId) -> u64 {
        if id.is_reference() { LARGE } else { self.candidates[id.position() - 1].0 }
    }

    fn evidence(&self, request: Request, seed: u64) -> (ItemEvidence, u64) {
        let usage = |id| Some(Usage::billed(Cost::from_nanos(self.price(id))));
        let mut item = ItemEvidence::new(request.index, true, usage(ModelId::REFERENCE));
        let agreement = |id| {
            let agrees = self.agrees(request.index, id, seed);
            if agrees { Agreement::Agrees } else { Agreement::Differs }
        };
        let request = request.given(agreement);
        let mut cost = LARGE;
        for position in 1..=u8::try_from(self.candidates.len()).unwrap() {
            let id = ModelId::new(position);
            let agreement = agreement(id);
            let asked = request.ask.contains(id);
            cost += if asked { self.price(id) } else { 0 };
            item.candidates.push(asked.then(|| CandidateRecord::new(agreement, usage(id))));
        }
        (item, cost)
    }

    /// Runs the job with so much money, planning within it or minding only that it is not passed.
    fn run(&self, cap: u64, seed: u64, planned: bool) -> Went {
        let names = ["large", "small", "tiny", "other"];
        let spec = |name: &&str| {
            ModelSpec::new(*name).with_pricing(Pricing::per_million(1.0, 1.0).unwrap())
        };
        let models = names.iter().take(self.candidates.len() + 1).map(spec).collect();
        let (roster, order) = (RosterSpec::new(models).unwrap(), Order::new(self.items, seed));
        let settings = ProfileSettings::default().with_families(self.families);
        let target = Target::new(self.target, 0.95).unwrap();
        let machine =
            ProfileMachine::new(&roster, Pricing::default(), target, order, &settings).unwrap();
        let mut machine = machine.with_budget(planned.then(|| Cost::from_nanos(cap)));
        let mut spent = 0;
        while let Step::Profile(request) = machine.poll_step() {
            let (item, cost) = self.evidence(request, seed);
            if spent + cost > cap {
                machine.stop(StopReason::Budget);
                break;
            }
            spent += cost;
            machine.handle_outcome(item).unwrap();
        }
        let mut answered = machine.profiled();
        let stopped = machine.stopped().unwrap();
        let plan = Profile::new(machine, "same").plan().unwrap();
        for index in (0..self.items).filter(|index| !plan.is_profiled(*index)) {
            let worst: u64 = plan.models().iter().map(|id| self.price(id)).sum::<u64>() + LARGE;
            if spent + worst > cap {
                break;
            }
            spent += self.answer(&plan, index, seed);
            answered += 1;
        }
        Went { answered, spent, plan, stopped }
    }

    /// What one item costs under the plan.
    fn answer(&self, plan: &Plan, index: u64, seed: u64) -> u64 {
        let mut known = plan.start(index, None);
        let (mut cost, mut asked) = (0, Vec::new());
        loop {
            let answer = Heard::Answer { score: Scored::Known(None) };
            match plan.policy.next(&known) {
                Move::Ask(id) => {
                    cost += self.price(id);
                    if asked.is_empty() {
                        known.first = answer;
                    } else {
                        known.second = answer;
                    }
                    asked.push(id);
                }
                Move::Compare(a, b) => {
                    known.agree = Some(self.agrees(index, a, seed) && self.agrees(index, b, seed));
                }
                Move::Accept(_) => return cost,
                Move::Rate(_) | Move::Escalate => return cost + LARGE,
            }
        }
    }
}

const EASY: Job =
    Job { items: 4_000, target: 0.9, candidates: &[(30_000, 0.97)], families: Families::Auto };
const SMALL: Job = Job { items: 600, candidates: &[(100_000, 0.93)], ..EASY };
const TWO: Job = Job { candidates: &[(60_000, 0.94), (30_000, 0.9)], ..EASY };
const SINGLE: Job = Job { families: Families::Single, ..TWO };
const HARD: Job = Job { target: 0.95, candidates: &[(200_000, 0.96), (150_000, 0.6)], ..EASY };

#[test]
fn as_many_items_are_answered_as_the_money_allows() {
    // THRIFT_SEEDS=200 for the figures.
    let seeds = std::env::var("THRIFT_SEEDS").map_or(12, |seeds| seeds.parse().unwrap());
    let (mut gained, mut worst) = (0.0, 1.0_f64);
    for (name, job) in
        [("easy", EASY), ("small", SMALL), ("two", TWO), ("single", SINGLE), ("hard", HARD)]
    {
        for percent in [1, 2, 4, 6, 10, 15, 20, 30, 45, 60, 80, 100] {
            let cap = LARGE * job.items / 100 * percent;
            let (mut with, mut without, mut alone) = (0, 0, 0);
            for seed in 0..seeds {
                let (planned, blind) = (job.run(cap, seed, true), job.run(cap, seed, false));
                assert!(planned.spent <= cap);
                with += planned.answered;
                without += blind.answered;
                alone += (cap / LARGE).min(job.items);
            }
            println!(
                "{name} {percent} %: {with} with, {without} without, {alone} by the reference"
            );
            // Never much worse than not to profile at all (an item a run may be lost to rounding),
            // nor than to profile without a thought for the money.
            let (planned, blind) = (with as f64, without as f64);
            assert!(planned >= 0.93 * alone as f64 - seeds as f64, "{name} {percent} %");
            worst = worst.min(planned / blind);
            gained += with as f64 / without as f64 - 1.0;
        }
    }
    println!("gained {gained}, worst {worst}");
    // A dozen seeds are a noisy dozen: with sixty the worst of the sixty ratios is 0.93.
    assert!(worst > 0.85 && gained > 2.0, "gained {gained}, worst {worst}");
}

#[test]
fn a_cheap_plan_within_reach_answers_everything() {
    // A tenth of what the reference alone would cost: the candidate costs 3 % and is certified.
    for seed in 0..12 {
        let cap = LARGE * EASY.items / 10;
        let went = EASY.run(cap, seed, true);
        assert_eq!(went.answered, EASY.items, "{:?} {:?}", went.stopped, went.plan.policy);
        assert!(went.plan.forecast.cost <= Cost::from_nanos(cap));
    }
}

#[test]
fn where_no_certificate_is_in_reach_nothing_is_spent_on_one() {
    for seed in 0..12 {
        // Money for twenty items of four thousand.
        let went = TWO.run(20 * LARGE, seed, true);
        assert_eq!(went.stopped, StopReason::Budget);
        assert!(went.plan.asked <= 4, "{} profiled", went.plan.asked);
        assert!(went.answered >= 19, "{} answered", went.answered);
        assert_eq!(went.plan.policy.family(), "reference");
    }
}

#[test]
fn where_the_money_lasts_it_moves_no_decision() {
    for job in [EASY, SMALL, TWO, SINGLE, HARD] {
        for seed in 0..6 {
            let cap = 3 * LARGE * job.items;
            let (planned, blind) = (job.run(cap, seed, true), job.run(cap, seed, false));
            assert_eq!(planned.plan, blind.plan);
            assert_eq!((planned.stopped, planned.spent), (blind.stopped, blind.spent));
        }
    }
}
