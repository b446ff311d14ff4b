//! From a table to a plan: what `smart_profile('reviews', 'id', 'text', …)` would be in SQL.
//!
//! Profiling looks at the first few hundred ranks of a random order, and which rows these are is
//! known before any is read. So one query fetches a sample of them, however large the table is.

use std::collections::{BTreeMap, HashMap};

use datafusion::arrow::array::{Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::prelude::{Expr, SessionContext, cast, col, lit};
use serde::{Deserialize, Serialize};
use smart_core::{Answer, Items, Plan, Report, RunError, Smart};

use crate::Failure;

/// What workers need: the plan, and what profiling paid for already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shipment {
    /// The plan.
    pub plan: Plan,
    /// The reference's answers on the profiled items, by index.
    pub answers: BTreeMap<u64, Answer<String>>,
}

/// Some items of a larger population.
struct Sample {
    population: u64,
    texts: HashMap<u64, String>,
}

impl Items<str> for Sample {
    type Item = String;
    type Held<'a> = &'a String;

    fn count(&self) -> u64 {
        self.population
    }

    fn fetch(&self, index: u64) -> Option<&String> {
        self.texts.get(&index)
    }
}

/// Profiles a table whose rows are numbered from 0 in a column `id`, on the models and for the
/// target of `smart`, reading the first `sample` rows of the random order.
///
/// Returns what to ship to the workers, and the profiler's report, to merge with theirs.
///
/// # Errors
/// When the query or the run fails, when ids are not `0..rows`, or when the sample is too small
/// for the profiler: it says how large it was.
pub async fn profile(
    context: &SessionContext,
    (table, id, text): (&str, &str, &str),
    sample: u64,
    smart: &Smart<str, String>,
) -> Result<(Shipment, Report), Failure> {
    let key = || cast(col(id), DataType::Int64);
    let ends = vec![count(key()), min(key()), max(key())];
    let ends = context.table(table).await?.aggregate(vec![], ends)?.collect().await?;
    let end = |column: usize| {
        let array = ends.first()?.column(column).as_any().downcast_ref::<Int64Array>()?.clone();
        (!array.is_empty()).then(|| array.value(0))
    };
    let rows = match (end(0), end(1), end(2)) {
        (Some(rows), Some(0), Some(last)) if last + 1 == rows => u64::try_from(rows)?,
        (rows, first, last) => {
            return Err(format!("ids must run from 0: {rows:?} rows, {first:?} to {last:?}").into());
        }
    };
    let order = smart.order(rows);
    let wanted: Vec<Expr> = (0..sample.min(rows))
        .map(|rank| i64::try_from(order.index(rank)).map(lit))
        .collect::<Result<_, _>>()?;
    let batches = context
        .table(table)
        .await?
        .filter(key().in_list(wanted, false))?
        .select(vec![key(), cast(col(text), DataType::Utf8)])?
        .collect()
        .await?;
    let mut texts = HashMap::new();
    for batch in batches {
        let (ids, strings) = columns(batch.column(0), batch.column(1))?;
        for (id, text) in ids.iter().zip(strings.iter()) {
            texts.insert(
                u64::try_from(id.unwrap_or_default())?,
                text.unwrap_or_default().to_owned(),
            );
        }
    }
    let items = Sample { population: rows, texts };
    let profiled = smart.profile(&items).await.map_err(|error| match error {
        RunError::OutsidePopulation { .. } => {
            format!("a sample of {sample} rows is too small to profile on: take more").into()
        }
        other => Failure::from(other),
    })?;
    let report = profiled.report()?;
    let mut answers = profiled.answers;
    let first = order.first(report.plan.asked);
    answers.retain(|index, _| first.contains(*index));
    Ok((Shipment { plan: report.plan.clone(), answers }, report))
}

/// Ids and texts of a batch, as a query cast them.
///
/// # Errors
/// When they are anything but BIGINT and VARCHAR.
pub fn columns<'a>(
    ids: &'a dyn Array,
    texts: &'a dyn Array,
) -> Result<(&'a Int64Array, &'a StringArray), Failure> {
    let ids = ids.as_any().downcast_ref().ok_or("the id is no BIGINT")?;
    let texts = texts.as_any().downcast_ref().ok_or("the text is no VARCHAR")?;
    Ok((ids, texts))
}
