//! One plan, many workers: whatever way the items are dealt out, the answers, the evidence, the
//! totals and the promise are those of one worker.

mod audits;
mod parts;
mod processes;
mod stretches;

use smart_core::backend::{Scoring, Simulated};
use smart_core::equivalence::Exact;
use smart_core::{
    BackendError, Completion, Equivalence, ErrorKind, Families, LlmBackend, Model, Pricing,
    ProfileSettings, Rating, Roster, Smart, Target, Usage, Verdict, async_trait,
};

/// A simulated model that lets others go first, differently for each call, and fails on some items.
struct Unsteady {
    model: Simulated,
    salt: u64,
    broken_every: u64,
    unrated_every: u64,
}

async fn dawdle(key: u64) {
    crate::turns::wait((key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61) % 5).await;
}

#[async_trait]
impl LlmBackend<u64> for Unsteady {
    type Output = u32;

    async fn complete(&self, item: &u64) -> Result<Completion<u32>, BackendError> {
        dawdle(item.wrapping_add(self.salt)).await;
        if self.broken_every > 0 && (item + self.salt).is_multiple_of(self.broken_every) {
            let error = BackendError::new(ErrorKind::InvalidRequest, "not this one");
            return Err(error.with_usage(Usage::tokens(50, 0)));
        }
        self.model.complete(item).await
    }

    fn scoring(&self) -> Scoring {
        LlmBackend::<u64>::scoring(&self.model)
    }

    async fn rate(&self, item: &u64, output: &u32) -> Result<Rating, BackendError> {
        dawdle(item ^ self.salt).await;
        if self.unrated_every > 0 && item.is_multiple_of(self.unrated_every) {
            return Err(BackendError::transient("ratings are down"));
        }
        self.model.rate(item, output).await
    }
}

/// A judge that costs something, not the same for every pair, and fails on some items.
struct Judge {
    broken_every: u64,
}

#[async_trait]
impl Equivalence<u64, u32> for Judge {
    async fn compare(&self, item: &u64, a: &u32, b: &u32) -> Result<Verdict, BackendError> {
        let usage = Usage::tokens(10 + item % 7 + u64::from(*b), 1);
        if self.broken_every > 0 && (item + u64::from(*b)).is_multiple_of(self.broken_every) {
            return Err(BackendError::refused("no verdict").with_usage(usage));
        }
        Ok(Verdict::new(a == b).with_usage(usage))
    }

    fn pricing(&self) -> Pricing {
        Pricing::per_million(0.2, 0.2).unwrap()
    }
}

/// What varies between runs.
#[derive(Debug, Clone, Copy)]
struct Setting {
    seed: u64,
    families: Families,
    judge: bool,
    broken_every: u64,
    unrated_every: u64,
    concurrency: usize,
}

impl Setting {
    fn new(seed: u64) -> Self {
        let (families, judge) = (Families::Auto, false);
        Self { seed, families, judge, broken_every: 0, unrated_every: 0, concurrency: 4 }
    }

    /// The machine of one worker: its own backends, the same models.
    fn smart(self) -> Smart<u64, u32> {
        let Self { seed, families, judge, broken_every, unrated_every, concurrency } = self;
        let usage = Usage::tokens(100, 2);
        let model = |salt: u64, model: Simulated| Unsteady {
            model: model.with_usage(usage),
            salt,
            broken_every: if salt == 0 { 0 } else { broken_every },
            unrated_every,
        };
        let price = |p: f64| Pricing::per_million(p, p).unwrap();
        let sure = Simulated::candidate("sure", 0.9, seed).with_confidence(0.9);
        let rated = Simulated::candidate("rated", 0.88, seed)
            .with_confidence(0.8)
            .with_second_call(Usage::tokens(20, 1));
        let candidates = [
            Model::new("small", model(1, Simulated::candidate("small", 0.97, seed)))
                .with_pricing(price(0.4)),
            Model::new("sure", model(2, sure)).with_pricing(price(0.2)),
            Model::new("rated", model(3, rated)).with_pricing(price(0.1)),
        ];
        let large =
            Model::new("large", model(0, Simulated::reference(seed))).with_pricing(price(10.0));
        let roster = Roster::new(large, candidates).unwrap();
        let target = Target::new(0.9, 0.9).unwrap();
        let smart = if judge {
            Smart::new(roster, Judge { broken_every }, target)
        } else {
            Smart::new(roster, Exact, target)
        };
        smart
            .with_seed(seed)
            .with_concurrency(concurrency)
            .with_settings(ProfileSettings::default().with_families(families))
    }
}
