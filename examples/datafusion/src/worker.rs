//! A plan bound to the models of this machine, and what it has done: [`Worker`].

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use smart_core::journal::{FileJournal, JournalError};
use smart_core::{Answer, Executor, Report, Smart};

use crate::Failure;
use crate::models::Models;
use crate::profiling::Shipment;

/// How long a batch that is in work elsewhere is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What is particular to one machine, and never shipped.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where its models are.
    pub models: Models,
    /// Where it keeps a journal and a report of each batch: storage that outlives the machine and
    /// that whoever takes over can read. Without it nothing is kept.
    pub journals: Option<PathBuf>,
    /// Calls under way at once in each batch.
    pub concurrency: usize,
}

/// Answers any part of the items, on one machine.
pub struct Worker {
    shipment: Shipment,
    machine: Machine,
    /// Of a machine without journals: all batches go through it.
    shared: Option<Executor<str, String>>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl Worker {
    /// Binds a plan to a machine.
    ///
    /// # Errors
    /// When the machine's models are not the plan's: every missing or changed one is named.
    pub fn bind(shipment: Shipment, machine: Machine) -> Result<Self, Failure> {
        let mut worker = Self { shipment, machine, shared: None };
        // Made in any case: it is what refuses a plan of other models.
        let answers = worker.shipment.answers.clone();
        let shared = worker.smart()?.executor(worker.shipment.plan.clone(), answers)?;
        worker.shared = worker.machine.journals.is_none().then_some(shared);
        Ok(worker)
    }

    fn smart(&self) -> Result<Smart<str, String>, Failure> {
        let plan = &self.shipment.plan;
        let smart = self.machine.models.smart(plan.target, plan.order.seed())?;
        Ok(smart.with_concurrency(self.machine.concurrency))
    }

    /// Answers one batch of items, in whatever order; answers come by index.
    ///
    /// A batch has a journal and a report of its own, under a name made of its items. So whoever
    /// is given the batch after its worker died finds what was paid for, and its report takes the
    /// place of the one that may have been written before: nothing is counted twice. A batch that is
    /// cut otherwise has another name, though it may begin with the same item.
    ///
    /// # Errors
    /// When the journal fails, or the batch stays in work elsewhere, or an index is none of the plan.
    pub async fn answer(
        &self,
        batch: Vec<(u64, String)>,
    ) -> Result<BTreeMap<u64, Answer<String>>, Failure> {
        let Some(stem) = stem(batch.iter().map(|(index, _)| *index)) else {
            return Ok(BTreeMap::new());
        };
        if let Some(shared) = &self.shared {
            return run(shared, batch).await;
        }
        let Some(directory) = &self.machine.journals else { return Ok(BTreeMap::new()) };
        let journal = open(&directory.join(format!("{stem}.jsonl"))).await?;
        let known = &self.shipment.answers;
        let known = batch.iter().filter_map(|(i, _)| Some((*i, known.get(i)?.clone())));
        let known: BTreeMap<u64, Answer<String>> = known.collect();
        let executor =
            self.smart()?.with_journal(journal).executor(self.shipment.plan.clone(), known)?;
        let answers = run(&executor, batch).await?;
        let report = serde_json::to_vec(&executor.finish()?)?;
        // Whole or not at all.
        let draft = directory.join(format!("{stem}.draft"));
        fs::write(&draft, report)?;
        fs::rename(draft, directory.join(format!("{stem}.report.json")))?;
        Ok(answers)
    }

    /// What was done so far: by this worker, or, where journals are shared, by all that share them.
    ///
    /// # Errors
    /// When a report cannot be read, or is of another plan.
    pub fn report(&self) -> Result<Option<Report>, Failure> {
        match (&self.shared, &self.machine.journals) {
            (Some(shared), _) => Ok(Some(shared.report())),
            (None, Some(directory)) => merged(directory),
            (None, None) => Ok(None),
        }
    }
}

/// The name of a batch of these items, in whatever order: the first of them, and a digest of all (FNV-1a).
fn stem(indices: impl Iterator<Item = u64>) -> Option<String> {
    let mut all: Vec<u64> = indices.collect();
    all.sort_unstable();
    let fold = |digest: u64, byte: u8| (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let digest = all.iter().flat_map(|index| index.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, fold);
    Some(format!("batch-{:012}-{digest:016x}", all.first()?))
}

/// Opens a batch's journal. Whoever else has the batch in work (an executor that was taken for dead,
/// say) is waited for: what it pays for meanwhile need not be paid again.
async fn open(path: &Path) -> Result<FileJournal, Failure> {
    let mut waited = Duration::ZERO;
    loop {
        match FileJournal::open(path) {
            Err(JournalError::Locked { .. }) if waited < PATIENCE => {
                tokio::time::sleep(LOOK_AGAIN).await;
                waited += LOOK_AGAIN;
            }
            opened => return Ok(opened?),
        }
    }
}

async fn run(
    executor: &Executor<str, String>,
    batch: Vec<(u64, String)>,
) -> Result<BTreeMap<u64, Answer<String>>, Failure> {
    let answers = executor.execute_indexed(stream::iter(batch));
    Ok(answers.map(|answer| answer.map(|a| (a.index, a))).try_collect().await?)
}

/// All reports of a directory as one.
///
/// # Errors
/// When a report cannot be read, or they are of different plans.
pub fn merged(directory: &Path) -> Result<Option<Report>, Failure> {
    let mut names: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_, Failure>>()?;
    names.retain(|name| name.to_string_lossy().ends_with(".report.json"));
    names.sort_unstable();
    let mut whole: Option<Report> = None;
    for name in names {
        let report: Report = serde_json::from_slice(&fs::read(name)?)?;
        whole = Some(match whole {
            Some(whole) => whole.merge(&report)?,
            None => report,
        });
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::stem;

    #[test]
    fn a_batch_is_named_after_all_its_items() {
        let name = |items: &[u64]| stem(items.iter().copied()).unwrap();
        assert_eq!(name(&[7, 3, 5]), name(&[3, 5, 7]));
        assert!(name(&[3, 5]).starts_with("batch-000000000003-"));
        assert_ne!(name(&[3, 5, 7]), name(&[3, 5]));
        assert!(stem(std::iter::empty()).is_none());
    }
}
