//! The recorded outcomes that the algorithm runs on: who agreed with the reference, and at what cost.

use std::ops::Range;

use super::PublishedError;

/// One bit per item, packed: whether a model agreed with the reference.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Agreements {
    words: Vec<u64>,
    len: usize,
}

impl Agreements {
    /// `len` agreements, as in the reference's own column.
    #[must_use]
    pub fn all(len: usize) -> Self {
        std::iter::repeat_n(true, len).collect()
    }

    /// Reads `len` bits from bytes, the first item in the lowest bit of the first byte. Missing bytes are
    /// disagreements, surplus ones are ignored.
    #[must_use]
    pub fn from_le_bytes(bytes: &[u8], len: usize) -> Self {
        (0..len).map(|i| bytes.get(i / 8).is_some_and(|byte| byte >> (i % 8) & 1 == 1)).collect()
    }

    /// How many items there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no items.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the model agreed on this item; `false` beyond the last one.
    #[must_use]
    pub fn agrees(&self, item: usize) -> bool {
        self.words.get(item / 64).is_some_and(|word| word >> (item % 64) & 1 == 1)
    }

    /// How many of these items the model agreed on.
    #[must_use]
    pub fn count(&self, items: Range<usize>) -> usize {
        let end = items.end.min(self.len);
        if items.start >= end {
            return 0;
        }
        let (first, last) = (items.start / 64, (end - 1) / 64);
        let mut count = 0;
        for (at, &word) in self.words.iter().enumerate().take(last + 1).skip(first) {
            let mut word = word;
            if at == first {
                word &= u64::MAX << (items.start % 64);
            }
            if at == last {
                word &= u64::MAX >> (63 - (end - 1) % 64);
            }
            count += word.count_ones() as usize;
        }
        count
    }

    /// The same outcomes with the items in another order: item `order[i]` moves to place `i`.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        order.iter().map(|&item| self.agrees(item)).collect()
    }
}

impl FromIterator<bool> for Agreements {
    fn from_iter<T: IntoIterator<Item = bool>>(bits: T) -> Self {
        let (mut words, mut len) = (Vec::new(), 0);
        let mut word = 0_u64;
        for bit in bits {
            word |= u64::from(bit) << (len % 64);
            len += 1;
            if len % 64 == 0 {
                words.push(word);
                word = 0;
            }
        }
        if len % 64 != 0 {
            words.push(word);
        }
        Self { words, len }
    }
}

/// What a model's answers cost, in nano-units of the currency (1 USD = 1,000,000,000 nano-USD).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemCosts(Costs);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Costs {
    /// Every item costs the same, as in the paper's experiments.
    Same(u64),
    /// The cost of all items before this one; one entry more than there are items.
    Before(Vec<u64>),
}

impl ItemCosts {
    /// The same cost for every item, in nano-units.
    #[must_use]
    pub const fn same(nanos: u64) -> Self {
        Self(Costs::Same(nanos))
    }

    /// A cost for each item, in nano-units, in the items' order.
    #[must_use]
    pub fn each(nanos: impl IntoIterator<Item = u64>) -> Self {
        let mut before = vec![0];
        let mut sum = 0_u64;
        for cost in nanos {
            sum = sum.saturating_add(cost);
            before.push(sum);
        }
        Self(Costs::Before(before))
    }

    /// The cost of these items together, in nano-units; items beyond the last one cost nothing.
    #[must_use]
    pub fn of(&self, items: Range<usize>) -> u64 {
        match &self.0 {
            Costs::Same(nanos) => nanos.saturating_mul(items.len() as u64),
            Costs::Before(before) => {
                let upto = |item: usize| before.get(item).or(before.last()).copied().unwrap_or(0);
                upto(items.end.max(items.start)) - upto(items.start)
            }
        }
    }

    /// The same costs with the items in another order: item `order[i]` moves to place `i`.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        match self.0 {
            Costs::Same(nanos) => Self::same(nanos),
            Costs::Before(_) => Self::each(order.iter().map(|&item| self.of(item..item + 1))),
        }
    }

    /// For how many items a cost is known; `None` if all cost the same.
    fn known(&self) -> Option<usize> {
        match &self.0 {
            Costs::Same(_) => None,
            Costs::Before(before) => Some(before.len() - 1),
        }
    }
}

/// One model's recorded behaviour on all items.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    name: String,
    prompt_price: f64,
    costs: ItemCosts,
    agreements: Agreements,
}

impl Column {
    /// Makes a model's column: its name; the price of its prompt tokens, in any unit that the columns
    /// share (the released code orders models by this alone); what its answers cost; where they agree
    /// with the reference's.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        prompt_price: f64,
        costs: ItemCosts,
        agreements: Agreements,
    ) -> Self {
        Self { name: name.into(), prompt_price, costs, agreements }
    }

    /// The model's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The price of its prompt tokens, in the unit the columns share.
    #[must_use]
    pub const fn prompt_price(&self) -> f64 {
        self.prompt_price
    }

    /// What its answers cost.
    #[must_use]
    pub const fn costs(&self) -> &ItemCosts {
        &self.costs
    }

    /// Where its answers agree with the reference's.
    #[must_use]
    pub const fn agreements(&self) -> &Agreements {
        &self.agreements
    }
}

/// What every model would do on every item, in the order in which the items are processed.
///
/// Models are ordered by their prompt price, cheapest first (ties in the order given). Profiling, the
/// choice of the cheapest satisfied model and the slices of the mix all follow this order. The reference
/// may be anywhere in it; models dearer than it are never asked.
#[derive(Debug, Clone, PartialEq)]
pub struct OutcomeMatrix {
    columns: Vec<Column>,
    reference: usize,
    items: usize,
}

impl OutcomeMatrix {
    /// Puts the columns in price order. The column named `reference` is taken to agree with itself.
    ///
    /// # Errors
    ///
    /// If no column or more than one is named `reference`, a name occurs twice, a price is not finite and
    /// non-negative, or the columns differ in their number of items.
    pub fn new(mut columns: Vec<Column>, reference: &str) -> Result<Self, PublishedError> {
        columns.sort_by(|a, b| a.prompt_price.total_cmp(&b.prompt_price));
        let place = columns.iter().position(|column| column.name == reference);
        let Some((place, items)) =
            place.and_then(|at| Some((at, columns.get(at)?.agreements.len())))
        else {
            return Err(PublishedError::NoReference(reference.to_owned()));
        };
        for (at, column) in columns.iter().enumerate() {
            if columns.iter().take(at).any(|other| other.name == column.name) {
                return Err(PublishedError::Repeated(column.name.clone()));
            }
            if !(column.prompt_price >= 0.0 && column.prompt_price.is_finite()) {
                return Err(PublishedError::Price {
                    model: column.name.clone(),
                    price: column.prompt_price,
                });
            }
            for found in [column.costs.known(), Some(column.agreements.len())].into_iter().flatten()
            {
                if found != items {
                    return Err(PublishedError::Length {
                        model: column.name.clone(),
                        expected: items,
                        found,
                    });
                }
            }
        }
        if let Some(column) = columns.get_mut(place) {
            column.agreements = Agreements::all(items);
        }
        Ok(Self { columns, reference: place, items })
    }

    /// The same outcomes in another order: item `order[i]` moves to place `i`, and items missing from `order`
    /// are left out. The algorithm's promise presumes a random order, so shuffle a recorded trace first.
    #[must_use]
    pub fn reordered(&self, order: &[usize]) -> Self {
        let columns = self.columns.iter().map(|column| Column {
            name: column.name.clone(),
            prompt_price: column.prompt_price,
            costs: column.costs.reordered(order),
            agreements: column.agreements.reordered(order),
        });
        Self { columns: columns.collect(), reference: self.reference, items: order.len() }
    }

    /// How many items there are.
    #[must_use]
    pub const fn items(&self) -> usize {
        self.items
    }

    /// The models, cheapest prompt first.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The reference's position among [`columns`](Self::columns).
    #[must_use]
    pub const fn reference(&self) -> usize {
        self.reference
    }

    /// What asking the reference for every item costs, in nano-units.
    #[must_use]
    pub fn reference_cost(&self) -> u64 {
        self.columns.get(self.reference).map_or(0, |column| column.costs.of(0..self.items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(n: usize, len: usize) -> Agreements {
        (0..len).map(|i| i % n == 0).collect()
    }

    #[test]
    fn counts_cross_word_boundaries() {
        let bits = every(3, 200);
        for start in 0..200 {
            for end in start..=200 {
                let naive = (start..end).filter(|&i| bits.agrees(i)).count();
                assert_eq!(bits.count(start..end), naive, "{start}..{end}");
            }
        }
        assert_eq!(bits.count(190..900), bits.count(190..200));
    }

    #[test]
    fn costs_of_ranges() {
        let each = ItemCosts::each([5, 7, 11]);
        assert_eq!((each.of(0..3), each.of(1..2), each.of(2..2), each.of(1..9)), (23, 7, 0, 18));
        assert_eq!(ItemCosts::same(4).of(3..10), 28);
    }

    #[test]
    fn columns_are_sorted_and_checked() {
        let column = |name: &str, price| Column::new(name, price, ItemCosts::same(1), every(2, 10));
        let matrix = OutcomeMatrix::new(
            vec![column("dear", 3.0), column("b", 1.0), column("a", 1.0)],
            "dear",
        );
        let names: Vec<_> = matrix.unwrap().columns().iter().map(|c| c.name().to_owned()).collect();
        assert_eq!(names, ["b", "a", "dear"]);
        assert!(OutcomeMatrix::new(vec![column("a", 1.0)], "b").is_err());
        assert!(OutcomeMatrix::new(vec![column("a", 1.0), column("a", 2.0)], "a").is_err());
        assert!(OutcomeMatrix::new(vec![column("a", f64::NAN)], "a").is_err());
        let short = Column::new("s", 0.5, ItemCosts::each([1; 9]), every(2, 10));
        assert!(OutcomeMatrix::new(vec![column("a", 1.0), short], "a").is_err());
    }

    #[test]
    fn another_order() {
        let costs = ItemCosts::each(1..=6);
        let column = Column::new("a", 1.0, costs, every(2, 6));
        let matrix = OutcomeMatrix::new(
            vec![column, Column::new("r", 2.0, ItemCosts::same(9), every(1, 6))],
            "r",
        );
        let turned = matrix.unwrap().reordered(&[5, 4, 0, 2]);
        let a = &turned.columns()[0];
        assert_eq!((turned.items(), turned.reference_cost()), (4, 36));
        assert_eq!((a.costs().of(0..1), a.costs().of(1..4)), (6, 5 + 1 + 3));
        assert_eq!((a.agreements().agrees(0), a.agreements().count(0..4)), (false, 3));
    }
}
