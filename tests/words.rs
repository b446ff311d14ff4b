//! A report says in words what stopped a run from saving, so that a reader knows what to mend.

use smart_core::equivalence::{Exact, Normalized};
use smart_core::{
    BackendError, Completion, Generated, LlmBackend, Model, Pricing, Report, Roster, RunError,
    Smart, Target, Usage, from_fn,
};

#[derive(Clone, Copy, PartialEq)]
enum Service {
    Up,
    Down,
    Silent,
}

fn client(service: Service) -> impl LlmBackend<str, Output = String> {
    from_fn(move |_: &str| async move {
        let answer = Completion::new("yes".to_owned());
        match service {
            Service::Up => Ok(answer.with_usage(Usage::tokens(100, 2))),
            Service::Silent => Ok(answer),
            Service::Down => Err(BackendError::transient("no reply")),
        }
    })
}

fn report(reference: Service, candidate: Service, prices: Option<(f64, f64)>) -> String {
    run(reference, candidate, prices).to_string()
}

fn run(reference: Service, candidate: Service, prices: Option<(f64, f64)>) -> Report {
    let price = |model: Model<str, String>, price: Option<f64>| match price {
        Some(price) => model.with_pricing(Pricing::per_million(price, price).unwrap()),
        None => model,
    };
    let roster = Roster::new(
        price(Model::new("large", client(reference)), prices.map(|(large, _)| large)),
        [price(Model::new("small", client(candidate)), prices.map(|(_, small)| small))],
    )
    .unwrap();
    let items: Vec<String> = (0..300).map(|i| format!("text {i}")).collect();
    let target = Target::new(0.9, 0.95).unwrap();
    let run = Smart::new(roster, Normalized::default(), target);
    let report = futures::executor::block_on(run.run(&items)).unwrap().report;
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    report
}

#[track_caller]
fn says(report: &str, line: &str) {
    assert!(report.lines().any(|have| have == line), "no line `{line}` in\n{report}");
}

#[test]
fn a_service_that_is_down_is_named_with_what_it_said() {
    let down = report(Service::Down, Service::Down, Some((10.0, 1.0)));
    says(&down, "Verdict    does not pay: the reference answered none of the profiled items");
    says(&down, "Failed     large, 300 calls, transient failure: no reply");
    assert!(down.contains("Failed     small"), "{down}");
}

#[test]
fn a_candidate_that_is_down_is_named_with_what_it_said() {
    let down = run(Service::Up, Service::Down, Some((10.0, 1.0)));
    let page = down.to_html();
    assert!(page.contains("calls failed for good, transient failure."), "{page}");
    assert!(!page.contains("no reply"), "what a backend said stays in the stored report");
    let down = down.to_string();
    assert!(down.contains("\nFailed     small, "), "{down}");
    assert!(!down.contains("Failed     large"), "{down}");
}

#[test]
fn missing_prices_and_missing_usage_are_not_the_candidates_fault() {
    let unpriced = report(Service::Up, Service::Up, None);
    says(&unpriced, "Verdict    does not pay: the reference costs nothing: give the models prices");
    let silent = report(Service::Silent, Service::Silent, Some((10.0, 1.0)));
    says(
        &silent,
        "Verdict    does not pay: the reference reports no usage, so its prices say nothing",
    );
}

#[test]
fn a_dear_candidate_is_still_called_dear() {
    let dear = report(Service::Up, Service::Up, Some((1.0, 10.0)));
    says(&dear, "Verdict    does not pay: no candidate is cheaper than the reference");
}

#[test]
fn a_setting_that_makes_no_sense_says_which() {
    let model = || from_fn(|_: &u64| async { Ok(Completion::new(1)) });
    let roster = Roster::new(Model::new("large", model()), []).unwrap();
    let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let nothing = Generated::new(0, |index| index);
    let error = futures::executor::block_on(run.run(&nothing)).unwrap_err();
    assert!(matches!(error, RunError::Settings(_)));
    assert_eq!(error.to_string(), "there are no items");
}

#[test]
fn another_unit_than_dollars_is_left_to_the_reader() {
    let roster = Roster::new(
        Model::new("large", client(Service::Up)).with_pricing(Pricing::per_request(2.0).unwrap()),
        [Model::new("small", client(Service::Up)).with_pricing(Pricing::per_request(0.1).unwrap())],
    )
    .unwrap();
    let run = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
    let items: Vec<String> = (0..300).map(|i| format!("text {i}")).collect();
    let report = futures::executor::block_on(run.run(&items)).unwrap().report;
    assert!(report.to_string().contains('$'));
    let bare = format!("{report:#}");
    assert!(bare.contains("against about 600.00 for the reference alone"), "{bare}");
    assert!(!bare.contains('$'), "{bare}");
}
