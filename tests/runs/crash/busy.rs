//! A journal that cannot be used says what to do about it.

use futures::executor::block_on;
use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::journal::FileJournal;
use smart_core::{Audit, Model, Pricing, Roster, RunError, Smart, Target};

use crate::items::{Counted, counted};

fn smart(name: &str) -> (Smart<u64, u32>, std::path::PathBuf) {
    let path = std::env::temp_dir().join(format!("smart-core-{name}-{}.jsonl", std::process::id()));
    let price = |usd| Pricing::per_request(usd).unwrap();
    let roster = Roster::new(
        Model::new("large", Simulated::reference(7)).with_pricing(price(0.01)),
        [Model::new("small", Simulated::candidate("small", 0.97, 7)).with_pricing(price(0.0005))],
    );
    let smart = Smart::new(roster.unwrap(), Exact, Target::new(0.9, 0.95).unwrap());
    (smart.with_journal(FileJournal::open(&path).unwrap()), path)
}

fn items() -> Counted {
    counted(1_000)
}

#[test]
fn an_executor_that_has_ended_holds_its_journal_until_it_is_dropped() {
    let (smart, path) = smart("held");
    let profiled = block_on(smart.profile(&items())).unwrap();
    let plan = profiled.profile.plan().unwrap();
    let executor = smart.executor(plan, profiled).unwrap();
    block_on(executor.run(&items())).unwrap();
    let error = block_on(smart.run(&items())).unwrap_err();
    assert!(error.to_string().contains("drop the executor"), "{error}");
    drop(executor);
    block_on(smart.run(&items())).unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_stream_has_no_number_of_items() {
    let (smart, path) = smart("endless");
    let profiled = block_on(smart.profile(&items())).unwrap();
    let plan = profiled.profile.plan().unwrap();
    let smart = smart.with_audit(Audit::new(0.1).unwrap());
    let error: RunError = smart.apply(&plan, None).unwrap_err();
    let said = "the number of items was 1000 and is now unknown";
    assert!(error.to_string().contains(said), "{error}");
    std::fs::remove_file(path).unwrap();
}
