//! What a way of testing a chain is expected to cost, over the possible truths about the chain.

use super::belief::RATES;

/// A way of testing a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Not at all, because it is not expected to pay.
    Never,
    /// At one look, after this many items.
    One(u64),
    /// At one look, after this many items, and beside it all of the first candidate's answers, at every look.
    Beside(u64),
    /// At the looks of [`chain_looks`](super::scheme::chain_looks) around this many items.
    Several(u64),
    /// At every look of the dense schedule, for the whole chain only.
    Dense,
}

/// What the best way of testing a chain is expected to cost.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Priced {
    pub(super) scheme: Scheme,
    /// Expected cost of everything from here on, in nano-units.
    pub(super) total: f64,
    /// Expected cost per item under the certified policy, in nano-units.
    pub(super) per_item: f64,
    /// The total for each equally likely truth; a single one if nothing is uncertain.
    ///
    /// They are ordered by the nodes of the failure rate of the chain's first candidate, with equally
    /// many for each.
    pub(super) truths: Vec<f64>,
    /// What it costs not to know the truth, when one look is chosen for all truths.
    pub(super) regret: f64,
}

impl Priced {
    /// No test at all.
    pub(super) fn never() -> Self {
        Self { total: f64::INFINITY, ..Self::untested(0.0, 0.0, Vec::new()) }
    }

    /// All items left to the reference.
    pub(super) fn reference(total: f64, per_item: f64) -> Self {
        Self::untested(total, per_item, vec![total])
    }

    fn untested(total: f64, per_item: f64, truths: Vec<f64>) -> Self {
        Self { scheme: Scheme::Never, total, per_item, truths, regret: 0.0 }
    }

    /// The variance of the total over the truths.
    pub(super) fn variance(&self) -> f64 {
        let middle = mean(&self.truths);
        self.truths.iter().map(|truth| (truth - middle).powi(2)).sum::<f64>() / count(&self.truths)
    }

    /// The covariance of two chains' totals that comes from the failure rate of a candidate they share.
    pub(super) fn common(&self, other: &Self) -> f64 {
        let (own, their) = (mean(&self.truths), mean(&other.truths));
        let moved = self.by_rate().zip(other.by_rate());
        moved.map(|(a, b)| (mean(a) - own) * (mean(b) - their)).sum::<f64>() / f64::from(RATES)
    }

    fn by_rate(&self) -> impl Iterator<Item = &[f64]> {
        self.truths.chunks(self.truths.len().div_ceil(usize::from(RATES)).max(1))
    }
}

fn count(truths: &[f64]) -> f64 {
    truths.len().max(1) as f64
}

fn mean(truths: &[f64]) -> f64 {
    truths.iter().sum::<f64>() / count(truths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(truths: &[f64]) -> Priced {
        Priced { truths: truths.to_vec(), ..Priced::reference(mean(truths), 1.0) }
    }

    #[test]
    fn what_moves_two_totals_alike_is_common_to_them() {
        let rates = [1.0, 2.0, 4.0, 7.0, 11.0];
        let alone = priced(&rates);
        assert!((alone.variance() - 13.2).abs() < 1e-9, "{}", alone.variance());
        assert!((alone.common(&alone) - alone.variance()).abs() < 1e-9);
        // A second unknown beside the rate averages out.
        let both: Vec<f64> = rates
            .iter()
            .flat_map(|rate| [-3.0, 0.0, 3.0].map(|other| 2.0 * rate + other))
            .collect();
        let both = priced(&both);
        assert!((both.variance() - (4.0 * 13.2 + 6.0)).abs() < 1e-9, "{}", both.variance());
        assert!((both.common(&alone) - 2.0 * 13.2).abs() < 1e-9);
        assert!((alone.common(&both) - 2.0 * 13.2).abs() < 1e-9);
        // A certain total varies with nothing.
        let sure = Priced::reference(5.0, 1.0);
        assert!(sure.variance().abs() < 1e-12 && sure.common(&alone).abs() < 1e-12);
        assert!(Priced::never().variance().abs() < 1e-12);
    }
}
