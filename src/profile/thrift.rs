//! What ways of going on cost if the money may run out: [`Thrift`].

/// What is left of the budget, and what it costs to leave items unanswered.
///
/// Profiling compares ways of going on by their cost. Under a cap that is not enough: if the cheapest
/// way costs more than what is left, items stay unanswered. So an unanswered item is charged at the
/// price of the reference's answer, which the caller was ready to pay:
///
/// ```text
/// loss = money spent + c_R * items that the money does not reach
/// ```
///
/// If the money lasts, this is the plain cost, and every decision is the same as without a cap. If it
/// does not, the reference alone loses `c_R` an item as always. Profiling that uses up the money loses
/// as much and its own calls on top, and a plan that answers more items for the same money loses less.
/// The loss decides what more profiling is worth, and affects no validity.
///
/// The chain to test after the pilot is chosen by the plain cost, among tests that take at most half of
/// the money. Choosing it by the loss answered fewer items: if a candidate costs a thirtieth of the
/// reference, the loss magnifies thirtyfold what a few dozen items say about the cheapest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Thrift {
    left: f64,
    missed: f64,
}

impl Thrift {
    /// The money left, and the price of an unanswered item, both in nano-units.
    pub(super) const fn new(left: f64, missed: f64) -> Self {
        Self { left, missed }
    }

    /// The loss over these legs, one after the other, each with its items and its cost per item.
    pub(super) fn loss<const LEGS: usize>(&self, legs: [(f64, f64); LEGS]) -> f64 {
        let (mut left, mut loss) = (self.left, 0.0);
        for (items, each) in legs {
            let whole = items * each;
            if whole <= left {
                left -= whole;
                loss += whole;
            } else {
                // This leg costs more than what is left, so `each` is not zero.
                let answered = left.max(0.0) / each;
                loss += left.max(0.0) + (items - answered) * self.missed;
                left = 0.0;
            }
        }
        loss
    }

    /// Whether the money covers this cost.
    pub(super) fn bears(&self, cost: f64) -> bool {
        cost <= self.left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is<const LEGS: usize>(thrift: Thrift, legs: [(f64, f64); LEGS], loss: f64) -> bool {
        (thrift.loss(legs) - loss).abs() < 1e-9
    }

    #[test]
    fn with_money_enough_it_is_the_cost() {
        let endless = Thrift::new(f64::INFINITY, 10.0);
        assert!(is(endless, [(3.0, 12.0), (7.0, 1.0)], 43.0));
        assert!(is(Thrift::new(43.0, 10.0), [(3.0, 12.0), (7.0, 1.0)], 43.0));
        assert!(endless.bears(1e300));
    }

    #[test]
    fn what_the_money_does_not_reach_is_charged() {
        let poor = Thrift::new(40.0, 10.0);
        // The reference alone loses its price for every item, answered or not.
        assert!(is(poor, [(100.0, 10.0)], 1_000.0));
        // Endless profiling loses its calls on top; a cheap plan answers more items.
        assert!(poor.loss([(100.0, 12.0)]) > 1_000.0);
        assert!(is(poor, [(2.0, 12.0), (98.0, 1.0)], 40.0 + 82.0 * 10.0));
        // What costs nothing is answered without money too.
        assert!(is(poor, [(4.0, 12.0), (96.0, 0.0)], 40.0 + (4.0 - 40.0 / 12.0) * 10.0));
        // Nothing left, or less than nothing.
        assert!(is(Thrift::new(-5.0, 10.0), [(3.0, 12.0), (7.0, 0.0)], 30.0));
    }
}
