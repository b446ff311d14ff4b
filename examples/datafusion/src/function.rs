//! `smart_answer(id, text)` and `smart_try(id, text)`: a plan as asynchronous scalar functions.
//!
//! The engine hands over batches and waits; within a batch as many calls are under way as the
//! machine allows, and the engine's partitions run side by side. Both functions are declared
//! volatile: not that their answers change, but the optimiser then neither evaluates them while
//! planning nor copies them about, with an exception that [`once`] is for.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::exec_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionConfig;
use serde_json::Value;
use smart_core::{Answer, Reason, Report};

use crate::profiling::{Shipment, columns};
use crate::worker::{Machine, Worker};

/// Keeps the engine from calling a function once for each field taken from its result.
///
/// `DataFusion` 55.2 pushes `a['answer']` down to where `a` is made and copies the call that makes it,
/// volatile or not: a query that reads three fields pays three times (apache/datafusion#24678, mended
/// by #24720 but not in 55.2; #25329 is open). With a journal the copies are recalled and cost nothing;
/// this keeps them from being made.
pub fn once(config: SessionConfig) -> SessionConfig {
    config.set_bool("datafusion.optimizer.enable_leaf_expression_pushdown", false)
}

/// What becomes of an item that stays unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unanswered {
    /// The query fails: `smart_answer(id, text)`, a VARCHAR.
    IsAnError,
    /// Its answer is NULL, with the reason beside it: `smart_try(id, text)`, a struct of `answer`,
    /// `reason` and `model`.
    IsNull,
}

impl Unanswered {
    /// The function's name in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IsAnError => "smart_answer",
            Self::IsNull => "smart_try",
        }
    }
}

/// A function that follows a plan. It can be planned with anywhere; it is bound to a machine's
/// models when it is first called there.
#[derive(Debug)]
pub struct SmartFunction {
    unanswered: Unanswered,
    shipment: Arc<Shipment>,
    /// The shipment as text: what equality means.
    text: Arc<str>,
    machine: Option<Machine>,
    worker: OnceLock<Arc<Worker>>,
    signature: Signature,
}

impl SmartFunction {
    /// A function of this shipment; without a machine it can be planned with and shipped, and not
    /// called.
    ///
    /// # Errors
    /// When the shipment cannot be written as JSON.
    pub fn new(
        unanswered: Unanswered,
        shipment: Shipment,
        machine: Option<Machine>,
    ) -> Result<Self> {
        let text = serde_json::to_string(&shipment).map_err(external)?;
        let arguments = vec![DataType::Int64, DataType::Utf8];
        Ok(Self {
            unanswered,
            shipment: Arc::new(shipment),
            text: text.into(),
            machine,
            worker: OnceLock::new(),
            signature: Signature::exact(arguments, Volatility::Volatile),
        })
    }

    /// The shipment as text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// For the engine's registry.
    pub fn into_udf(self: Arc<Self>) -> ScalarUDF {
        AsyncScalarUDF::new(self).into_scalar_udf()
    }

    /// What it did so far.
    ///
    /// # Errors
    /// When a report cannot be read.
    pub fn report(&self) -> Result<Option<Report>> {
        match self.worker.get() {
            Some(worker) => worker.report().map_err(DataFusionError::External),
            None => Ok(None),
        }
    }

    fn worker(&self) -> Result<Arc<Worker>> {
        if let Some(worker) = self.worker.get() {
            return Ok(Arc::clone(worker));
        }
        let Some(machine) = self.machine.clone() else {
            return exec_err!("{} has no models here", self.unanswered.name());
        };
        let worker = Worker::bind(Shipment::clone(&self.shipment), machine);
        let worker = Arc::new(worker.map_err(DataFusionError::External)?);
        Ok(Arc::clone(self.worker.get_or_init(|| worker)))
    }

    fn fields() -> Fields {
        let field = |name| Field::new(name, DataType::Utf8, true);
        Fields::from(vec![field("answer"), field("reason"), field("model")])
    }
}

fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl PartialEq for SmartFunction {
    fn eq(&self, other: &Self) -> bool {
        self.unanswered == other.unanswered && self.text == other.text
    }
}

impl Eq for SmartFunction {}

impl Hash for SmartFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.unanswered.hash(state);
        self.text.hash(state);
    }
}

impl ScalarUDFImpl for SmartFunction {
    fn name(&self) -> &str {
        self.unanswered.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.unanswered {
            Unanswered::IsAnError => DataType::Utf8,
            Unanswered::IsNull => DataType::Struct(Self::fields()),
        })
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("{} is asynchronous", self.unanswered.name())
    }
}

#[async_trait::async_trait]
impl AsyncScalarUDFImpl for SmartFunction {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [ids, texts] = arrays.as_slice() else {
            return exec_err!("{} takes an id and a text", self.unanswered.name());
        };
        let (ids, texts) = columns(ids, texts).map_err(DataFusionError::External)?;
        let answers = self.worker()?.answer(items(ids, texts)?).await;
        let answers = answers.map_err(DataFusionError::External)?;
        let models = &self.shipment.plan.roster;
        let mut rows: Vec<(Option<&str>, String, Option<&str>)> = Vec::with_capacity(ids.len());
        for id in ids.values() {
            let answer = u64::try_from(*id).ok().and_then(|index| answers.get(&index));
            let Some(Answer { output, reason, by, .. }) = answer else {
                return exec_err!("item {id} was not answered");
            };
            if output.is_none() && self.unanswered == Unanswered::IsAnError {
                return exec_err!("item {id} has no answer: {}", words(*reason));
            }
            rows.push((output.as_deref(), words(*reason), by.map(|model| models.name(model))));
        }
        let answer: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>());
        Ok(ColumnarValue::Array(match self.unanswered {
            Unanswered::IsAnError => answer,
            Unanswered::IsNull => {
                let reason = rows.iter().map(|row| Some(&row.1)).collect::<StringArray>();
                let model = rows.iter().map(|row| row.2).collect::<StringArray>();
                let columns: Vec<ArrayRef> = vec![answer, Arc::new(reason), Arc::new(model)];
                Arc::new(StructArray::try_new(Self::fields(), columns, None)?)
            }
        }))
    }
}

/// The items of a batch.
fn items(ids: &Int64Array, texts: &StringArray) -> Result<Vec<(u64, String)>> {
    let item = |(id, text): (Option<i64>, Option<&str>)| {
        let Some(id) = id else {
            return exec_err!("an id is NULL: it says which item of the plan a row is");
        };
        // No text is an item like any other: the models say what they make of it.
        let text = text.unwrap_or_default().to_owned();
        Ok((u64::try_from(id).map_err(external)?, text))
    };
    ids.iter().zip(texts.iter()).map(item).collect()
}

/// A reason on one line, as the library writes it.
fn words(reason: Reason) -> String {
    match serde_json::to_value(reason) {
        Ok(Value::String(reason)) => reason,
        Ok(Value::Object(map)) => match map.iter().next() {
            Some((reason, Value::String(why))) => format!("{reason}: {why}"),
            _ => format!("{reason:?}"),
        },
        _ => format!("{reason:?}"),
    }
}
