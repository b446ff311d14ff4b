//! What writing the journal costs: `cargo bench --bench journal`.
//!
//! Items go through the executor one after another, with no-op backends and a journal, one record per
//! item. This prints records per second for each flush policy without a sync per record, and for the
//! same loop without a journal. The figures are medians over slices of 256 records, which a scheduler
//! seldom interrupts; every round has a new file. Budget: 200,000 records per second under the default
//! policy, which hands each record to the system before its answer is used. At the end comes the memory
//! that a resumed run holds for each record until its call is asked for: the growth of resident memory
//! (`VmRSS`), if the system reports it.
//!
//! The files are in the directory for temporary files: this crate and the system's writes are measured,
//! not a disk.
#![allow(missing_docs, reason = "a benchmark has no callers")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use futures::{StreamExt, stream};
use smart_core::equivalence::Exact;
use smart_core::journal::{FileJournal, FlushPolicy};
use smart_core::{
    BackendError, Completion, Families, Generated, LlmBackend, Model, Plan, Pricing,
    ProfileSettings, Roster, Smart, Target, Usage, async_trait,
};

const ITEMS: u64 = 100_000;
const ROUNDS: usize = 7;
/// How many records are in a slice.
const SLICE: u64 = 256;

struct NoOp;

#[async_trait]
impl LlmBackend<u64> for NoOp {
    type Output = u32;
    async fn complete(&self, _: &u64) -> Result<Completion<u32>, BackendError> {
        Ok(Completion::new(0).with_usage(Usage::tokens(200, 1)))
    }
}

fn smart() -> Smart<u64, u32> {
    let pricing = |input: f64| Pricing::per_million(input, 2.0 * input).expect("a price");
    let model = |name: &str, price| Model::new(name, NoOp).with_pricing(pricing(price));
    let roster = Roster::new(model("large", 30.0), [model("small", 0.5)]).expect("two names");
    let target = Target::new(0.95, 0.95).expect("a target");
    let settings = ProfileSettings::default().with_families(Families::Mix);
    Smart::new(roster, Exact, target).with_concurrency(64).with_settings(settings)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let profiled = smart().profile(&Generated::new(ITEMS, |index| index)).await.expect("a profile");
    let plan = profiled.profile.plan().expect("a plan");
    // This comes first, while there is no freed memory to be reused.
    let held = resumed(&plan).await;
    println!("| journal | ns a record | records a second |");
    println!("|---|---|---|");
    let policies = [
        ("none", None),
        ("each write (default)", Some(FlushPolicy::EachWrite)),
        ("buffered, 64", Some(FlushPolicy::Buffered(64))),
    ];
    for (name, policy) in policies {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            through(&plan, policy, &mut times).await;
        }
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        println!("| {name} | {median:.0} | {:.0} |", 1e9 / median);
    }
    if let Some(bytes) = held {
        println!("\nresumed: {bytes:.0} bytes a record");
    }
}

/// The memory that a resumed run holds for each record, in bytes.
async fn resumed(plan: &Plan) -> Option<f64> {
    let path = std::env::temp_dir().join(format!("journal-resumed-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let open = || smart().with_journal(FileJournal::open(&path).expect("a file of its own"));
    let executor = open().executor(plan.clone(), BTreeMap::new()).expect("its own plan");
    assert_eq!(executor.execute(stream::iter(0..ITEMS)).count().await as u64, ITEMS);
    drop(executor);
    let before = resident()?;
    let executor = open().executor(plan.clone(), BTreeMap::new()).expect("its own plan");
    let held = resident()? - before;
    drop(executor);
    let _ = std::fs::remove_file(&path);
    Some(held / ITEMS as f64)
}

/// The resident memory in bytes.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// Records the nanoseconds per item of every slice.
async fn through(plan: &Plan, policy: Option<FlushPolicy>, times: &mut Vec<f64>) {
    let path = std::env::temp_dir().join(format!("journal-bench-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let smart = match policy {
        Some(policy) => {
            smart().with_journal(FileJournal::open(&path).expect("a new file").with_flush(policy))
        }
        None => smart(),
    };
    let executor = smart.executor(plan.clone(), BTreeMap::new()).expect("its own plan");
    let mut answers = executor.execute(stream::iter(0..ITEMS));
    let (mut begun, mut seen) = (Instant::now(), 0);
    while let Some(answer) = answers.next().await {
        black_box(answer.expect("an answer"));
        seen += 1;
        if seen % SLICE == 0 {
            times.push(begun.elapsed().as_secs_f64() * 1e9 / SLICE as f64);
            begun = Instant::now();
        }
    }
    drop((answers, executor, smart));
    if policy.is_some() {
        let text = std::fs::read_to_string(&path).expect("the journal");
        let lines = text.lines().count() as u64;
        assert_eq!(lines, ITEMS + 1, "a header, and a record for each item");
        let _ = std::fs::remove_file(&path);
    }
}
