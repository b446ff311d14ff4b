//! The functions on the wire of a cluster: a name and, in the extension bytes that the engine
//! carries beside it, the whole shipment. What is particular to a machine never travels: the
//! process that decodes a function adds its own [`Machine`].
//!
//! Everything else is left to Ballista's own codecs, which these two wrap.

use std::sync::{Arc, Mutex, PoisonError};

use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::function::{SmartFunction, Unanswered};
use crate::profiling::Shipment;
use crate::worker::Machine;

/// The functions a process knows of.
#[derive(Debug)]
pub struct Functions {
    machine: Option<Machine>,
    known: Mutex<Vec<(ScalarUDF, Arc<SmartFunction>)>>,
}

impl Functions {
    /// None so far. Those that come are bound to this machine, if it is one that calls them.
    pub fn new(machine: Option<Machine>) -> Arc<Self> {
        Arc::new(Self { machine, known: Mutex::default() })
    }

    /// The functions of a shipment, one that fails and one that does not.
    ///
    /// # Errors
    /// When the shipment cannot be written.
    pub fn add(&self, shipment: &Shipment) -> Result<Vec<ScalarUDF>> {
        [Unanswered::IsAnError, Unanswered::IsNull]
            .into_iter()
            .map(|unanswered| self.keep(unanswered, shipment.clone()))
            .collect()
    }

    fn keep(&self, unanswered: Unanswered, shipment: Shipment) -> Result<ScalarUDF> {
        let function = SmartFunction::new(unanswered, shipment, self.machine.clone())?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // One function, one worker: tasks of one plan share what is bound already.
        if let Some((udf, _)) = known.iter().find(|(_, other)| **other == function) {
            return Ok(udf.clone());
        }
        let function = Arc::new(function);
        let udf = Arc::clone(&function).into_udf();
        known.push((udf.clone(), function));
        Ok(udf)
    }

    fn encode(&self, node: &ScalarUDF, buffer: &mut Vec<u8>) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // The engine wraps the function and does not hand it back, but equality goes through.
        if let Some((_, function)) = known.iter().find(|(udf, _)| udf == node) {
            buffer.extend_from_slice(function.text().as_bytes());
        }
    }

    fn decode(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        let unanswered = [Unanswered::IsAnError, Unanswered::IsNull]
            .into_iter()
            .find(|unanswered| unanswered.name() == name);
        let Some(unanswered) = unanswered else {
            return Err(DataFusionError::Plan(format!("there is no function {name} here")));
        };
        let shipment = serde_json::from_slice(bytes)
            .map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Arc::new(self.keep(unanswered, shipment)?))
    }
}

/// For logical plans: from the client to the scheduler.
#[derive(Debug)]
pub struct Logical {
    functions: Arc<Functions>,
    inner: BallistaLogicalExtensionCodec,
}

/// For physical plans: from the scheduler to the executors.
#[derive(Debug)]
pub struct Physical {
    functions: Arc<Functions>,
    inner: BallistaPhysicalExtensionCodec,
}

/// Both codecs of a process.
pub fn codecs(functions: &Arc<Functions>) -> (Arc<Logical>, Arc<Physical>) {
    let (logical, physical) = (Arc::clone(functions), Arc::clone(functions));
    (
        Arc::new(Logical { functions: logical, inner: Default::default() }),
        Arc::new(Physical { functions: physical, inner: Default::default() }),
    )
}

impl LogicalExtensionCodec for Logical {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[LogicalPlan],
        ctx: &TaskContext,
    ) -> Result<Extension> {
        self.inner.try_decode(buf, inputs, ctx)
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        self.inner.try_encode(node, buf)
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        table_ref: &TableReference,
        schema: SchemaRef,
        ctx: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        self.inner.try_decode_table_provider(buf, table_ref, schema, ctx)
    }

    fn try_encode_table_provider(
        &self,
        table_ref: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        self.inner.try_encode_table_provider(table_ref, node, buf)
    }

    fn try_decode_file_format(
        &self,
        buf: &[u8],
        ctx: &TaskContext,
    ) -> Result<Arc<dyn FileFormatFactory>> {
        self.inner.try_decode_file_format(buf, ctx)
    }

    fn try_encode_file_format(
        &self,
        buf: &mut Vec<u8>,
        node: Arc<dyn FileFormatFactory>,
    ) -> Result<()> {
        self.inner.try_encode_file_format(buf, node)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.functions.decode(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.functions.encode(node, buf);
        Ok(())
    }
}

impl PhysicalExtensionCodec for Physical {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.inner.try_decode(buf, inputs, ctx, converter)
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        self.inner.try_encode(node, buf, converter)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.functions.decode(name, buf)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        self.functions.encode(node, buf);
        Ok(())
    }
}
