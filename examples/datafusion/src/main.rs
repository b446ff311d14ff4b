//! Reviews, a plan, and a query over them: in one process, or as the parts of a cluster.
//!
//! ```text
//! datafusion-plan                          everything in one process, in a temporary directory
//! datafusion-plan reviews  --dir D --items N --files K
//! datafusion-plan models   --address A --latency MS
//! datafusion-plan plan     --dir D --models A --agreement 0.9 --seed 1 --plan F --report R
//! datafusion-plan query    --dir D --models A --plan F --journals J --answers C --report R
//! datafusion-plan submit   --dir D --scheduler A --plan F --journals J --answers C --report R
//! datafusion-plan scheduler --address A
//! datafusion-plan executor --scheduler A --ports P,Q --models A --journals J --work W
//! datafusion-plan ports    --count N       so many free ports on loopback
//! datafusion-plan calls    --models A      who was asked about what, and how often
//! datafusion-plan repaid   --models A --journals J   recorded calls that were made again
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{CsvReadOptions, SessionConfig, SessionContext};
use datafusion_plan::function::{SmartFunction, Unanswered, once};
use datafusion_plan::models::{Desk, Models, request, serve};
use datafusion_plan::profiling::{Shipment, columns, profile};
use datafusion_plan::worker::{Machine, merged};
use datafusion_plan::{Failure, reviews};
use serde_json::{Value, json};
use smart_core::journal::{FileJournal, Journal};
use smart_core::{Report, Target};
use tokio::net::TcpListener;

#[cfg(feature = "cluster")]
mod cluster;

/// Rows of a batch, and so of a journal.
pub(crate) const BATCH: usize = 64;
/// Partitions of a query.
pub(crate) const PARTITIONS: usize = 8;
/// Rows of the sample that profiling reads.
const SAMPLE: u64 = 1_000;
/// Calls under way at once in each batch.
const CONCURRENCY: usize = 8;
const QUERY: &str = "SELECT id, smart_answer(id, text) AS answer FROM reviews ORDER BY id";

/// `--name value` pairs.
pub(crate) struct Arguments(BTreeMap<String, String>);

impl Arguments {
    fn read(words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut words = words;
        let mut found = BTreeMap::new();
        while let Some(name) = words.next() {
            let name = name.strip_prefix("--").ok_or_else(|| format!("what is `{name}`?"))?;
            let value = words.next().ok_or_else(|| format!("--{name} lacks its value"))?;
            found.insert(name.to_owned(), value);
        }
        Ok(Self(found))
    }

    pub(crate) fn text(&self, name: &str) -> Result<&str, Failure> {
        Ok(self.0.get(name).ok_or_else(|| format!("--{name} is missing"))?)
    }

    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        Ok(PathBuf::from(self.text(name)?))
    }

    pub(crate) fn parse<T: std::str::FromStr>(&self, name: &str) -> Result<T, Failure> {
        let text = self.text(name)?;
        text.parse().map_err(|_| format!("--{name} cannot be `{text}`").into())
    }

    /// This machine: models at an address, journals in a directory.
    pub(crate) fn machine(&self) -> Result<Machine, Failure> {
        Ok(Machine {
            models: Models::At(self.parse("models")?),
            journals: Some(self.path("journals")?),
            concurrency: CONCURRENCY,
        })
    }

    pub(crate) fn shipment(&self) -> Result<Shipment, Failure> {
        Ok(serde_json::from_slice(&std::fs::read(self.path("plan")?)?)?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let command = words.next();
    let arguments = Arguments::read(words)?;
    match command.as_deref() {
        None => demo().await,
        Some("reviews") => Ok(reviews::write(
            &arguments.path("dir")?,
            arguments.parse("items")?,
            arguments.parse("files")?,
        )?),
        Some("models") => models(&arguments).await,
        Some("plan") => plan(&arguments).await,
        Some("query") => query(&arguments).await,
        Some("ports") => ports(arguments.parse("count")?).await,
        Some("calls") => calls(arguments.parse("models")?).await,
        Some("repaid") => repaid(&arguments).await,
        #[cfg(feature = "cluster")]
        Some("scheduler") => cluster::scheduler(&arguments).await,
        #[cfg(feature = "cluster")]
        Some("executor") => cluster::executor(&arguments).await,
        #[cfg(feature = "cluster")]
        Some("submit") => cluster::submit(&arguments).await,
        Some(other) => Err(format!("there is no command `{other}`").into()),
    }
}

pub(crate) fn session(config: SessionConfig) -> SessionConfig {
    once(config).with_batch_size(BATCH).with_target_partitions(PARTITIONS)
}

pub(crate) async fn register(context: &SessionContext, directory: &Path) -> Result<(), Failure> {
    let directory = std::path::absolute(directory)?;
    let path = format!("{}/", directory.display());
    context.register_csv("reviews", path, CsvReadOptions::new()).await?;
    Ok(())
}

/// Everything in one process: profile, plan, query, report.
async fn demo() -> Result<(), Failure> {
    let directory = std::env::temp_dir().join(format!("reviews-{}", std::process::id()));
    let done = demo_in(&directory).await;
    std::fs::remove_dir_all(&directory)?;
    done
}

async fn demo_in(directory: &Path) -> Result<(), Failure> {
    reviews::write(directory, 20_000, 8)?;
    let context = SessionContext::new_with_config(session(SessionConfig::new()));
    register(&context, directory).await?;

    let desk = Arc::new(Desk::new(Duration::ZERO));
    let machine = Machine { models: Models::Here(desk), journals: None, concurrency: CONCURRENCY };
    let smart = machine.models.smart(Target::new(0.9, 0.95)?, 1)?;
    let columns = ("reviews", "id", "text");
    let (shipment, profiled) = profile(&context, columns, SAMPLE, &smart).await?;
    let answer = SmartFunction::new(Unanswered::IsAnError, shipment, Some(machine))?;
    let answer = Arc::new(answer);
    context.register_udf(Arc::clone(&answer).into_udf());

    let by_answer = "SELECT answer, count(*) AS reviews FROM (SELECT smart_answer(id, text) AS answer FROM \
         reviews) GROUP BY answer ORDER BY answer";
    println!("{by_answer}");
    println!("{}\n", pretty_format_batches(&context.sql(by_answer).await?.collect().await?)?);
    let worked = answer.report()?.ok_or("nothing was done")?;
    print!("{}", profiled.merge(&worked)?);
    Ok(())
}

async fn models(arguments: &Arguments) -> Result<(), Failure> {
    let listener = TcpListener::bind(arguments.parse::<SocketAddr>("address")?).await?;
    let latency = Duration::from_millis(arguments.parse("latency")?);
    println!("ready");
    Ok(serve(listener, Arc::new(Desk::new(latency))).await?)
}

async fn plan(arguments: &Arguments) -> Result<(), Failure> {
    let context = SessionContext::new_with_config(session(SessionConfig::new()));
    register(&context, &arguments.path("dir")?).await?;
    let seed = arguments.parse("seed")?;
    let models = Models::At(arguments.parse("models")?);
    let smart = models.smart(Target::new(arguments.parse("agreement")?, 0.95)?, seed)?;
    let columns = ("reviews", "id", "text");
    let (shipment, report) = profile(&context, columns, SAMPLE, &smart).await?;
    std::fs::write(arguments.path("plan")?, serde_json::to_vec(&shipment)?)?;
    std::fs::write(arguments.path("report")?, serde_json::to_vec(&report)?)?;
    Ok(())
}

async fn query(arguments: &Arguments) -> Result<(), Failure> {
    let context = SessionContext::new_with_config(session(SessionConfig::new()));
    register(&context, &arguments.path("dir")?).await?;
    let (shipment, machine) = (arguments.shipment()?, arguments.machine()?);
    let answer = SmartFunction::new(Unanswered::IsAnError, shipment, Some(machine))?;
    context.register_udf(Arc::new(answer).into_udf());
    run(&context, arguments).await
}

/// Runs the query; writes the answers, and the merged report of profiling and of all batches.
pub(crate) async fn run(context: &SessionContext, arguments: &Arguments) -> Result<(), Failure> {
    let mut rows = String::new();
    for batch in context.sql(QUERY).await?.collect().await? {
        let (ids, answers) = columns(batch.column(0), batch.column(1))?;
        for (id, answer) in ids.iter().zip(answers.iter()) {
            let (id, answer) = (id.unwrap_or_default(), answer.unwrap_or("NULL"));
            writeln!(rows, "{id},{answer}")?;
        }
    }
    std::fs::write(arguments.path("answers")?, rows)?;
    let profiled: Report = serde_json::from_slice(&std::fs::read(arguments.path("profiled")?)?)?;
    let worked = merged(&arguments.path("journals")?)?.ok_or("no batch left a report")?;
    let report = profiled.merge(&worked)?;
    std::fs::write(arguments.path("report")?, serde_json::to_vec_pretty(&report)?)?;
    print!("{report}");
    Ok(())
}

async fn ports(count: usize) -> Result<(), Failure> {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(TcpListener::bind("127.0.0.1:0").await?);
    }
    for listener in held {
        println!("{}", listener.local_addr()?.port());
    }
    Ok(())
}

/// Model, text, and how often.
async fn made(models: SocketAddr) -> Result<Vec<(String, String, u64)>, Failure> {
    Ok(serde_json::from_value(request(models, &json!({ "calls": true })).await?)?)
}

async fn calls(models: SocketAddr) -> Result<(), Failure> {
    for (model, text, calls) in made(models).await? {
        println!("{calls}\t{model}\t{text}");
    }
    Ok(())
}

/// Looks for calls that a journal held and that were made again. Prints what it found; an error if
/// there is one.
async fn repaid(arguments: &Arguments) -> Result<(), Failure> {
    let made: BTreeMap<(String, String), u64> = made(arguments.parse("models")?)
        .await?
        .into_iter()
        .map(|(model, text, calls)| ((model, text), calls))
        .collect();
    let (mut recorded, mut again) = (0_u64, 0_u64);
    for entry in std::fs::read_dir(arguments.path("journals")?)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        FileJournal::open(&path)?.read(&mut |record| {
            recorded += 1;
            let calls = made.get(&(record.model, reviews::text(record.index)));
            again += u64::from(calls.is_none_or(|calls| *calls != 1));
            Ok(())
        })?;
    }
    let found = json!({ "recorded": recorded, "made again": again });
    println!("{found}");
    if recorded == 0 || again > 0 {
        return Err(Value::to_string(&found).into());
    }
    Ok(())
}
