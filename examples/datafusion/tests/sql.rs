//! The functions in SQL, in one process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::{Array, RecordBatch, StringArray};
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::prelude::{CsvReadOptions, ParquetReadOptions, SessionConfig, SessionContext};
use datafusion_plan::function::{SmartFunction, Unanswered, once};
use datafusion_plan::models::{Desk, Models, serve};
use datafusion_plan::profiling::{Shipment, columns, profile};
use datafusion_plan::reviews;
use datafusion_plan::worker::{Machine, Worker, merged};
use smart_core::{Report, Target};
use tokio::net::TcpListener;

const ITEMS: u64 = 3_000;

struct Place(std::path::PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        Self(place)
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

async fn context(directory: &Path, partitions: usize, batch: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch);
    let context = SessionContext::new_with_config(once(config));
    let path = format!("{}/", directory.display());
    context.register_csv("reviews", path, CsvReadOptions::new()).await.unwrap();
    context
}

fn here(desk: &Arc<Desk>, journals: Option<std::path::PathBuf>) -> Machine {
    Machine { models: Models::Here(Arc::clone(desk)), journals, concurrency: 4 }
}

async fn plan(context: &SessionContext, desk: &Arc<Desk>) -> (Shipment, Report) {
    let smart = here(desk, None).models.smart(Target::new(0.9, 0.95).unwrap(), 1).unwrap();
    let (shipment, report) =
        profile(context, ("reviews", "id", "text"), 1_000, &smart).await.unwrap();
    assert_ne!(shipment.plan.policy.family(), "reference", "{report}");
    (shipment, report)
}

fn register(
    context: &SessionContext,
    unanswered: Unanswered,
    shipment: &Shipment,
    machine: Machine,
) -> Arc<SmartFunction> {
    let function = SmartFunction::new(unanswered, shipment.clone(), Some(machine)).unwrap();
    let function = Arc::new(function);
    context.register_udf(Arc::clone(&function).into_udf());
    function
}

async fn rows(context: &SessionContext, sql: &str) -> datafusion::error::Result<Vec<RecordBatch>> {
    context.sql(sql).await?.collect().await
}

async fn answers(context: &SessionContext) -> BTreeMap<i64, String> {
    let batches = rows(context, "SELECT id, smart_answer(id, text) FROM reviews").await.unwrap();
    let mut found = BTreeMap::new();
    for batch in batches {
        let (ids, texts) = columns(batch.column(0), batch.column(1)).unwrap();
        for (id, text) in ids.iter().zip(texts) {
            assert!(found.insert(id.unwrap(), text.unwrap().to_owned()).is_none());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_answers_as_the_plan_does_however_it_is_cut() {
    let place = Place::new("sql-answers");
    reviews::write(&place.at("in"), ITEMS, 6).unwrap();
    let profiling = Arc::new(Desk::new(Duration::ZERO));
    let whole = context(&place.at("in"), 1, 8_192).await;
    let (shipment, profiled) = plan(&whole, &profiling).await;

    let one = Arc::new(Desk::new(Duration::ZERO));
    let function = register(&whole, Unanswered::IsAnError, &shipment, here(&one, None));
    let expected = answers(&whole).await;
    assert_eq!(expected.len() as u64, ITEMS);
    let report = profiled.clone().merge(&function.report().unwrap().unwrap()).unwrap();
    assert!(report.is_whole(), "{report}");
    assert_eq!(report.stopped, profiled.stopped);

    // The calls are those of the report, and nobody was asked twice: profiled items not at all.
    let calls = one.calls();
    assert!(calls.values().all(|times| *times == 1));
    let booked: u64 = report.execution.iter().map(|spent| spent.answers).sum();
    assert_eq!(calls.len() as u64, booked);

    // The promise, for once looked at: answers that differ from the reference's.
    let reference = here(&one, None).models.roster().unwrap();
    let reference = reference.backend(smart_core::ModelId::REFERENCE).unwrap().clone();
    let mut wrong = 0;
    for (id, answer) in &expected {
        let text = reviews::text(u64::try_from(*id).unwrap());
        wrong += u64::from(reference.complete(&text).await.unwrap().output != *answer);
    }
    assert!(wrong <= report.allowance(), "{wrong}");

    // Other partitions, other batches, with a journal and a report for each of them.
    for (partitions, batch) in [(6, 100), (3, 512)] {
        let cut = context(&place.at("in"), partitions, batch).await;
        let desk = Arc::new(Desk::new(Duration::from_millis(1)));
        let journals = place.at(&format!("journals-{partitions}"));
        let machine = here(&desk, Some(journals.clone()));
        register(&cut, Unanswered::IsAnError, &shipment, machine.clone());
        assert_eq!(answers(&cut).await, expected);
        assert_eq!(desk.calls(), calls);
        assert!(desk.most_at_once() > 4, "batches of several partitions are under way at once");
        let worked = merged(&journals).unwrap().unwrap();
        assert_eq!(profiled.clone().merge(&worked).unwrap(), report);
        // Again: everything is recalled, nothing is asked, nothing is counted twice.
        let again = context(&place.at("in"), partitions, batch).await;
        register(&again, Unanswered::IsAnError, &shipment, machine);
        assert_eq!(answers(&again).await, expected);
        assert_eq!(desk.calls(), calls);
        let worked = merged(&journals).unwrap().unwrap();
        assert_eq!(worked.delivered, report.delivered);
        assert_eq!(profiled.clone().merge(&worked).unwrap().cost(), report.cost());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet_is_a_table_like_any_other() {
    let place = Place::new("sql-parquet");
    reviews::write(&place.at("in"), ITEMS, 2).unwrap();
    let desk = Arc::new(Desk::new(Duration::ZERO));
    let csv = context(&place.at("in"), 2, 256).await;
    let (shipment, report) = plan(&csv, &desk).await;
    register(&csv, Unanswered::IsAnError, &shipment, here(&desk, None));
    let expected = answers(&csv).await;

    let path = format!("{}/", place.at("parquet").display());
    let options = DataFrameWriteOptions::new();
    csv.table("reviews").await.unwrap().write_parquet(&path, options, None).await.unwrap();
    let parquet = SessionContext::new_with_config(once(SessionConfig::new()));
    parquet.register_parquet("reviews", path, ParquetReadOptions::default()).await.unwrap();
    let (again, same) = plan(&parquet, &desk).await;
    assert_eq!((again, same), (shipment.clone(), report));
    register(&parquet, Unanswered::IsAnError, &shipment, here(&desk, None));
    assert_eq!(answers(&parquet).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_without_an_answer_is_an_error_or_null_with_a_reason() {
    let place = Place::new("sql-unanswered");
    reviews::write(&place.at("in"), ITEMS, 2).unwrap();
    let desk = Arc::new(Desk::new(Duration::ZERO));
    let (shipment, _) = plan(&context(&place.at("in"), 2, 256).await, &desk).await;
    // Two reviews are lost after profiling; neither was profiled.
    let lost: Vec<u64> = (0..ITEMS).filter(|id| !shipment.plan.is_profiled(*id)).take(2).collect();
    let file = place.at("in").join("reviews-000.csv");
    let mut text = std::fs::read_to_string(&file).unwrap();
    for id in &lost {
        text = text.replace(&format!("{id},{}\n", reviews::text(*id)), &format!("{id},\n"));
    }
    std::fs::write(&file, text).unwrap();

    let context = context(&place.at("in"), 2, 256).await;
    register(&context, Unanswered::IsAnError, &shipment, here(&desk, None));
    let tried = register(&context, Unanswered::IsNull, &shipment, here(&desk, None));
    let failed = rows(&context, "SELECT id, smart_answer(id, text) FROM reviews").await;
    let said = failed.unwrap_err().to_string();
    assert!(said.contains("has no answer: reference_failed: invalid_request"), "{said}");

    let sql = "SELECT id, a['answer'] AS answer, a['reason'] AS reason, a['model'] AS model FROM \
               (SELECT id, smart_try(id, text) AS a FROM reviews) WHERE a['answer'] IS NULL ORDER BY id";
    let batches = rows(&context, sql).await.unwrap();
    let mut found = Vec::new();
    for batch in &batches {
        let (ids, reasons) = columns(batch.column(0), batch.column(2)).unwrap();
        let models = batch.column(3).as_any().downcast_ref::<StringArray>().unwrap();
        for row in 0..batch.num_rows() {
            assert!(models.is_null(row));
            found.push((ids.value(row).cast_unsigned(), reasons.value(row).to_owned()));
        }
    }
    let reason = "reference_failed: invalid_request".to_owned();
    assert_eq!(found, lost.iter().map(|id| (*id, reason.clone())).collect::<Vec<_>>());
    // The struct is taken apart four times and made once.
    let report = tried.report().unwrap().unwrap();
    assert!(report.is_whole(), "{report}");
    assert_eq!(report.delivered.reference_failures, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_behind_a_server_answer_like_models_at_hand() {
    let place = Place::new("sql-remote");
    reviews::write(&place.at("in"), ITEMS, 4).unwrap();
    let desk = Arc::new(Desk::new(Duration::ZERO));
    let near = context(&place.at("in"), 4, 128).await;
    let (shipment, _) = plan(&near, &desk).await;
    register(&near, Unanswered::IsAnError, &shipment, here(&desk, None));
    let expected = answers(&near).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = Models::At(listener.local_addr().unwrap());
    let server = tokio::spawn(serve(listener, Arc::new(Desk::new(Duration::ZERO))));
    let far = context(&place.at("in"), 4, 128).await;
    let machine = Machine { models: at, journals: None, concurrency: 4 };
    register(&far, Unanswered::IsAnError, &shipment, machine);
    assert_eq!(answers(&far).await, expected);
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_two_workers_are_given_is_paid_once() {
    let place = Place::new("sql-twice");
    reviews::write(&place.at("in"), ITEMS, 1).unwrap();
    let desk = Arc::new(Desk::new(Duration::ZERO));
    let (shipment, _) = plan(&context(&place.at("in"), 1, 256).await, &desk).await;
    let desk = Arc::new(Desk::new(Duration::from_millis(2)));
    let worker = || {
        let machine = here(&desk, Some(place.at("journals")));
        Worker::bind(shipment.clone(), machine).unwrap()
    };
    let batch: Vec<(u64, String)> = (0..200).map(|id| (id, reviews::text(id))).collect();
    let (slow, quick) = (worker(), worker());
    let both = futures::join!(slow.answer(batch.clone()), quick.answer(batch.clone()));
    let (one, two) = (both.0.unwrap(), both.1.unwrap());
    assert_eq!(one.len(), 200);
    assert!(one.iter().all(|(id, answer)| two[id].output == answer.output));
    assert!(desk.calls().values().all(|times| *times == 1));
    let report = merged(&place.at("journals")).unwrap().unwrap();
    assert_eq!(report.delivered.items(), 200, "counted once");
}

#[tokio::test]
async fn what_does_not_fit_is_said_in_words() {
    let place = Place::new("sql-misfit");
    reviews::write(&place.at("in"), ITEMS, 1).unwrap();
    let desk = Arc::new(Desk::new(Duration::ZERO));
    let context = context(&place.at("in"), 1, 256).await;
    let smart = here(&desk, None).models.smart(Target::new(0.9, 0.95).unwrap(), 1).unwrap();
    let small = profile(&context, ("reviews", "id", "text"), 5, &smart).await;
    assert!(small.unwrap_err().to_string().contains("5 rows is too small"));
    let sql = "CREATE VIEW half AS SELECT id, text FROM reviews WHERE id > 7";
    rows(&context, sql).await.unwrap();
    let half = profile(&context, ("half", "id", "text"), 1_000, &smart).await;
    assert!(half.unwrap_err().to_string().contains("ids must run from 0"));

    // A plan of other models is refused by name before anybody is asked.
    let (mut shipment, _) = plan(&context, &desk).await;
    let text = serde_json::to_string(&shipment.plan).unwrap().replace("\"tiny\"", "\"mini\"");
    shipment.plan = serde_json::from_str(&text).unwrap();
    let before = desk.calls();
    let refused = Worker::bind(shipment.clone(), here(&desk, None)).unwrap_err().to_string();
    assert!(refused.contains("was `mini` and is now `tiny`"), "{refused}");
    register(&context, Unanswered::IsAnError, &shipment, here(&desk, None));
    let failed = rows(&context, "SELECT smart_answer(id, text) FROM reviews").await;
    assert!(failed.unwrap_err().to_string().contains("`mini`"));
    assert_eq!(desk.calls(), before);
}
