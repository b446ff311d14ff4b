//! Simulated outcomes: the paper's three settings as numbers, and seeded draws from any such setting.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

use super::PublishedError;
use super::matrix::{Agreements, Column, ItemCosts, OutcomeMatrix};

/// A model of a simulated setting.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedModel {
    /// Its name.
    pub name: String,
    /// The price of a prompt token, in nano-units; models are ordered by it.
    pub prompt_price: f64,
    /// What one answer costs, in nano-units.
    pub cost: u64,
    /// The probability that it agrees with the reference on an item, in `[0, 1]`.
    pub agreement: f64,
}

/// A number of items, a reference, and models that agree with it at given rates.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// How many items there are.
    pub items: usize,
    /// The models, the reference among them, in any order.
    pub models: Vec<SimulatedModel>,
    /// The name of the reference.
    pub reference: String,
}

/// How strongly the candidates' disagreements on an item are linked, from 0 to 1.
///
/// With this probability an item is drawn with *one* uniform variable for all candidates, so that the
/// worse of two candidates disagrees wherever the better one does (as correlated as their rates allow);
/// otherwise each candidate has its own. So the correlation of two candidates' disagreements is this
/// number times the greatest correlation that their rates allow, and every candidate keeps its own rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dependence(f64);

impl Dependence {
    /// Disagreements are independent of each other, as in the paper's simulation.
    pub const INDEPENDENT: Self = Self(0.0);

    /// Disagreements are as correlated as the rates allow.
    pub const COMONOTONE: Self = Self(1.0);

    /// Makes a dependence of the given share.
    ///
    /// # Errors
    ///
    /// Unless `share` lies in `[0, 1]`.
    pub fn new(share: f64) -> Result<Self, PublishedError> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(PublishedError::Dependence(share))
        }
    }

    /// The share of items drawn with one variable for all candidates.
    #[must_use]
    pub const fn share(self) -> f64 {
        self.0
    }
}

impl Setting {
    /// IMDB: is a film review favourable? 50,000 items.
    #[must_use]
    pub fn imdb() -> Self {
        recorded(
            "IMDB",
            50_000,
            [
                (30_900, 1600, 0.0),
                (31_600, 100, 0.94),
                (30_900, 103, 0.96),
                (30_900, 1599, 0.0),
                (31_600, 100, 1.0),
            ],
        )
    }

    /// SMS-Spam: is a text message unwanted? 5,574 items.
    #[must_use]
    pub fn sms_spam() -> Self {
        recorded(
            "SMS-Spam",
            5574,
            [
                (4338, 1600, 0.0),
                (5038, 200, 0.94),
                (4338, 213, 0.88),
                (4338, 1600, 0.0),
                (5038, 200, 1.0),
            ],
        )
    }

    /// AG News: which of four topics is an article about? 127,600 items.
    #[must_use]
    pub fn ag_news() -> Self {
        recorded(
            "AG News",
            127_600,
            [
                (7854, 1600, 0.0),
                (8554, 134, 0.9),
                (7854, 138, 0.94),
                (7854, 1586, 0.01),
                (8554, 136, 1.0),
            ],
        )
    }

    /// The paper's three settings.
    #[must_use]
    pub fn published() -> [Self; 3] {
        [Self::imdb(), Self::sms_spam(), Self::ag_news()]
    }

    /// Draws outcomes. The same seed gives the same outcomes on every machine and in every later version,
    /// and the draws for different dependences share their random numbers.
    ///
    /// # Errors
    ///
    /// If an agreement is not in `[0, 1]`, or for anything that [`OutcomeMatrix::new`] refuses.
    pub fn draw(&self, seed: u64, dependence: Dependence) -> Result<OutcomeMatrix, PublishedError> {
        let limits = self
            .models
            .iter()
            .map(|model| limit(model.agreement))
            .collect::<Result<Vec<_>, _>>()?;
        let mut together = limit(dependence.0)?;
        if self.models.len() == 1 {
            together = 0;
        }
        let mut bits = vec![Vec::with_capacity(self.items); limits.len()];
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        for _ in 0..self.items {
            let (coin, common) = (uniform(&mut rng), uniform(&mut rng));
            for (bits, &limit) in bits.iter_mut().zip(&limits) {
                let own = uniform(&mut rng);
                bits.push(if coin < together { common } else { own } < limit);
            }
        }
        let columns = self.models.iter().zip(bits).map(|(model, bits)| {
            let agreements = bits.into_iter().collect::<Agreements>();
            Column::new(
                model.name.clone(),
                model.prompt_price,
                ItemCosts::same(model.cost),
                agreements,
            )
        });
        OutcomeMatrix::new(columns.collect(), &self.reference)
    }
}

/// How many bits the uniform numbers have.
const BITS: u32 = 53;

fn uniform(rng: &mut Xoshiro256PlusPlus) -> u64 {
    rng.next_u64() >> (u64::BITS - BITS)
}

/// The bound that a uniform number is below with this probability.
fn limit(probability: f64) -> Result<u64, PublishedError> {
    if !(0.0..=1.0).contains(&probability) {
        return Err(PublishedError::Agreement(probability));
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of at most 2^53"
    )]
    Ok((probability * (1_u64 << BITS) as f64).ceil() as u64)
}

/// The models' names and prices (nano-USD for a prompt and for a completion token, end of 2023), in
/// price order, the reference last.
const PRICED: [(&str, u32, u32); 5] = [
    ("babbage-002", 400, 400),
    ("gpt-3.5-turbo-1106", 1000, 2000),
    ("gpt-3.5-turbo-instruct", 1500, 2000),
    ("davinci-002", 2000, 2000),
    ("gpt-4", 30_000, 60_000),
];

/// The number of items that each model was recorded on.
const RECORDED: u64 = 100;

/// A setting from what was recorded for each model on 100 items: prompt tokens, completion tokens, and the
/// share of agreement with the reference.
fn recorded(name: &str, items: usize, models: [(u32, u32, f64); 5]) -> Setting {
    let models = PRICED.iter().zip(models).map(|(priced, (prompt, completion, agreement))| {
        let cost =
            u64::from(prompt) * u64::from(priced.1) + u64::from(completion) * u64::from(priced.2);
        SimulatedModel {
            name: priced.0.to_owned(),
            prompt_price: f64::from(priced.1),
            cost: cost / RECORDED,
            agreement,
        }
    });
    Setting {
        name: name.to_owned(),
        items,
        models: models.collect(),
        reference: PRICED[4].0.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(rates: (f64, f64), items: usize) -> Setting {
        let model = |name: &str, prompt_price, agreement| SimulatedModel {
            name: name.to_owned(),
            prompt_price,
            cost: 1,
            agreement,
        };
        Setting {
            name: "pair".to_owned(),
            items,
            models: vec![model("a", 1.0, rates.0), model("b", 2.0, rates.1), model("r", 9.0, 1.0)],
            reference: "r".to_owned(),
        }
    }

    #[test]
    fn published_unit_costs() {
        let costs =
            |setting: Setting| setting.models.iter().map(|model| model.cost).collect::<Vec<_>>();
        assert_eq!(costs(Setting::imdb()), [130_000, 318_000, 465_560, 649_980, 9_540_000]);
        assert_eq!(costs(Setting::sms_spam()), [23_752, 54_380, 69_330, 118_760, 1_631_400]);
        assert_eq!(costs(Setting::ag_news()), [37_816, 88_220, 120_570, 188_800, 2_647_800]);
    }

    #[test]
    fn draws_are_stable() {
        let matrix = Setting::sms_spam().draw(7, Dependence::INDEPENDENT).unwrap();
        let agreed: Vec<usize> =
            matrix.columns().iter().map(|column| column.agreements().count(0..5574)).collect();
        assert_eq!(agreed, [0, 5221, 4860, 0, 5574]);
        let first: String = (0..64)
            .map(|item| if matrix.columns()[1].agreements().agrees(item) { '1' } else { '0' })
            .collect();
        assert_eq!(first, "1111111111111111101111111111011111111111111110101111111111111111");
    }

    #[test]
    fn rates_and_correlations_are_as_set() {
        let (a, b) = (0.9, 0.8);
        let items = 200_000;
        let setting = pair((a, b), items);
        // The smaller of the two failure rates bounds how often both can fail.
        let greatest = (1.0 - a) * b / (a * (1.0 - a) * b * (1.0 - b)).sqrt();
        for share in [0.0, 0.3, 0.75, 1.0] {
            let matrix = setting.draw(1, Dependence::new(share).unwrap()).unwrap();
            let [first, second, _] = matrix.columns() else { panic!("three columns") };
            let fails = |column: &Column, item| f64::from(!column.agreements().agrees(item));
            let mean = |f: &dyn Fn(usize) -> f64| (0..items).map(f).sum::<f64>() / items as f64;
            let p = mean(&|item| fails(first, item));
            let q = mean(&|item| fails(second, item));
            let both = mean(&|item| fails(first, item) * fails(second, item));
            assert!((p - (1.0 - a)).abs() < 0.004 && (q - (1.0 - b)).abs() < 0.004, "{p} {q}");
            let correlation = (both - p * q) / (p * (1.0 - p) * q * (1.0 - q)).sqrt();
            assert!((correlation - share * greatest).abs() < 0.01, "{share}: {correlation}");
        }
    }

    #[test]
    fn refusals() {
        assert!(Dependence::new(f64::NAN).is_err());
        assert!(pair((1.2, 0.5), 10).draw(0, Dependence::INDEPENDENT).is_err());
        let mut unnamed = pair((0.2, 0.5), 10);
        unnamed.reference = "nobody".to_owned();
        assert!(unnamed.draw(0, Dependence::INDEPENDENT).is_err());
    }
}
