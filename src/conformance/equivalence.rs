//! The suite for equivalences: [`check_equivalence`].

use futures::future::join_all;

use super::{Asked, Conformance, Outcome, Suite, implausible};
use crate::equivalence::{Equivalence, UNNAMED, Verdict};
use crate::pricing::Pricing;

/// Runs an equivalence over sample items, each with a few answers, and says whether it keeps the
/// contract of [`Equivalence`].
///
/// Give it answers that should be equivalent, some that should not, and odd ones: empty, very long,
/// unparsable. Every ordered pair of an item's answers is compared three times.
///
/// ```
/// use smart_core::conformance::{Suite, check_equivalence};
/// use smart_core::equivalence::Normalized;
///
/// # futures::executor::block_on(async {
/// let samples: [(&str, &[&str]); 1] = [("a review", &["Yes", "yes.", "no", ""])];
/// let report = check_equivalence(&Normalized::default(), &samples, &Suite::default()).await;
/// assert!(report.is_conformant(), "{report}");
/// # });
/// ```
pub async fn check_equivalence<I, O, E>(
    equivalence: &E,
    samples: &[(&I, &[&O])],
    suite: &Suite,
) -> Conformance
where
    I: ?Sized + Sync,
    O: ?Sized + Sync,
    E: Equivalence<I, O> + ?Sized,
{
    let pairs: Vec<Pair<'_, I, O>> = samples.iter().enumerate().flat_map(pairs).collect();
    let mut alone = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        alone.push(pair.ask(equivalence, suite).await);
    }
    let mut again = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        again.push(pair.ask(equivalence, suite).await);
    }
    let at_once = join_all(pairs.iter().map(|pair| pair.ask(equivalence, suite))).await;

    let mut report = Conformance::new();
    if pairs.is_empty() {
        report.note("samples are compared", Outcome::Skipped("no samples".into()));
        return report;
    }
    let verdict = |asked: &Asked<Verdict>| asked.answer().map(|verdict| verdict.equivalent);
    report.judge(
        "every comparison ends in a verdict",
        pairs
            .iter()
            .zip(&alone)
            .filter_map(|(pair, asked)| Some(format!("{}: {}", pair.place(), asked.complaint()?))),
    );
    let itself = pairs.iter().zip(&alone).filter(|(pair, _)| pair.first == pair.second);
    report.judge(
        "an answer is equivalent to itself",
        itself
            .filter(|(_, asked)| verdict(asked) == Some(false))
            .map(|(pair, _)| format!("{} is not", pair.place())),
    );
    let changed = |other: &[Asked<Verdict>]| {
        let both = pairs.iter().zip(alone.iter().zip(other));
        both.filter(|(_, (a, b))| verdict(a) != verdict(b))
            .map(|(pair, _)| pair.place())
            .collect::<Vec<_>>()
    };
    let say = |places: Vec<String>| places.into_iter().map(|place| format!("{place} changed"));
    report.judge("the same pair gets the same verdict", say(changed(&again)));
    report.judge("concurrent comparisons judge as those alone", say(changed(&at_once)));
    report.note("the order of the two answers does not matter", symmetry(&pairs, &alone));
    bills(&mut report, equivalence.pricing(), &pairs, &alone);
    let outcome = match equivalence.name().trim() {
        "" => Outcome::Failed("it has no name, and stored evidence is bound to one".into()),
        name if name.starts_with(UNNAMED) || name == std::any::type_name::<E>() => {
            let advice = "name it, for stored evidence is bound to the name, and this one says nothing \
                          of its version";
            Outcome::Advice(format!("it is called `{name}`, after its place in the code; {advice}"))
        }
        _ => Outcome::Passed,
    };
    report.note("the relation has a name of its own", outcome);
    report
}

/// Two answers to one sample item, in the order in which they are compared.
struct Pair<'a, I: ?Sized, O: ?Sized> {
    sample: usize,
    item: &'a I,
    first: usize,
    second: usize,
    a: &'a O,
    b: &'a O,
}

impl<I: ?Sized + Sync, O: ?Sized + Sync> Pair<'_, I, O> {
    async fn ask<E>(&self, equivalence: &E, suite: &Suite) -> Asked<Verdict>
    where
        E: Equivalence<I, O> + ?Sized,
    {
        suite.ask(|| equivalence.compare(self.item, self.a, self.b)).await
    }

    fn place(&self) -> String {
        format!("sample {}, answers {} and {}", self.sample, self.first, self.second)
    }
}

fn pairs<'a, I: ?Sized, O: ?Sized>(
    (sample, &(item, answers)): (usize, &(&'a I, &'a [&'a O])),
) -> Vec<Pair<'a, I, O>> {
    let numbered = || answers.iter().copied().enumerate();
    let pair = |(first, a), (second, b)| Pair { sample, item, first, second, a, b };
    numbered().flat_map(|one| numbered().map(move |other| pair(one, other))).collect()
}

/// Checks that the order of two answers does not matter. The contract does not ask for it, but a
/// relation without symmetry is seldom intended.
fn symmetry<I: ?Sized + Sync, O: ?Sized + Sync>(
    pairs: &[Pair<'_, I, O>],
    alone: &[Asked<Verdict>],
) -> Outcome {
    let verdict = |asked: &Asked<Verdict>| asked.answer().map(|verdict| verdict.equivalent);
    let known =
        || pairs.iter().zip(alone).filter_map(|(pair, asked)| Some((pair, verdict(asked)?)));
    for (pair, one) in known() {
        let mirrored = known().find(|(other, _)| {
            (other.sample, other.first, other.second) == (pair.sample, pair.second, pair.first)
        });
        if mirrored.is_some_and(|(_, other)| one != other) {
            return Outcome::Advice(format!("it does for {}", pair.place()));
        }
    }
    Outcome::Passed
}

fn bills<I: ?Sized + Sync, O: ?Sized + Sync>(
    report: &mut Conformance,
    pricing: Pricing,
    pairs: &[Pair<'_, I, O>],
    alone: &[Asked<Verdict>],
) {
    let verdicts =
        || pairs.iter().zip(alone).filter_map(|(pair, asked)| Some((pair, asked.answer()?)));
    report.judge(
        "verdicts report what they used",
        verdicts()
            .filter(|(_, verdict)| !pricing.is_metered(verdict.usage.as_ref()))
            .map(|(pair, _)| format!("{} lacks counts that the prices need", pair.place())),
    );
    report.judge(
        "reported usage is plausible",
        verdicts().filter_map(|(pair, verdict)| {
            Some(format!("{}: {}", pair.place(), implausible(&verdict.usage?)?))
        }),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equivalence::{Exact, equivalent};

    #[test]
    fn a_relation_without_a_name_is_advised_to_have_one() {
        let advised = |name_of: &dyn Equivalence<u64, u32>| {
            let (samples, suite) = ([(&1, [&7, &8].as_slice())], Suite::default());
            let found = futures::executor::block_on(check_equivalence(name_of, &samples, &suite));
            found.to_string().contains("after its place in the code")
        };
        let closure = || equivalent(|_: &u64, a: &u32, b: &u32| a == b);
        assert!(advised(&closure()));
        assert!(!advised(&closure().named("the same v1")) && !advised(&Exact));
    }
}
