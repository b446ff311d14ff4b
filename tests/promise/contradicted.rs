//! Evidence that contradicts itself is refused: a certificate would count it.

use smart_core::evidence::{Agreement, CandidateRecord, ItemEvidence};
use smart_core::profile::{Profile, ProfileMachine, Request, Step};
use smart_core::{
    Confidence, ModelSpec, Order, Pricing, ProfileSettings, RosterSpec, Target, Usage,
};

fn machine() -> ProfileMachine {
    let model = |name: &str, usd: f64| {
        ModelSpec::new(name).with_pricing(Pricing::per_request(usd).unwrap())
    };
    let roster = RosterSpec::new(vec![model("large", 0.01), model("small", 0.0005)]).unwrap();
    let (order, target) = (Order::of(&roster, 2_000, 1), Target::new(0.9, 0.95).unwrap());
    let settings = ProfileSettings::default();
    ProfileMachine::new(&roster, Pricing::default(), target, order, &settings).unwrap()
}

fn next(machine: &mut ProfileMachine) -> Request {
    match machine.poll_step() {
        Step::Profile(request) => request,
        step => panic!("{step:?}"),
    }
}

fn told(request: Request, answered: bool, agreement: Agreement) -> ItemEvidence {
    let paid = Some(Usage::default());
    let score = Confidence::new(0.9);
    let mut item = ItemEvidence::new(request.index, answered, paid);
    item.candidates = vec![Some(CandidateRecord::new(agreement, paid).with_score(score))];
    item
}

#[test]
fn nobody_agrees_with_a_reference_that_did_not_answer() {
    let mut machine = machine();
    let request = next(&mut machine);
    let error = machine.handle_outcome(told(request, false, Agreement::Agrees)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the outcome of item {} has `small` agree with the reference, which did not answer",
            request.index
        )
    );
    // It is still awaited.
    machine.handle_outcome(told(request, false, Agreement::Differs)).unwrap();
    assert_eq!(machine.profiled(), 1);
}

#[test]
fn an_answer_that_was_not_given_has_no_score() {
    for agreement in [Agreement::NoAnswer, Agreement::Unheard] {
        let mut machine = machine();
        let request = next(&mut machine);
        machine.handle_outcome(told(request, true, agreement)).unwrap();
        let (evidence, _) = machine.into_evidence();
        assert_eq!(evidence[0].candidates[0].map(|record| record.score), Some(None));
    }
}

#[test]
fn a_stored_profile_with_such_a_row_certifies_nothing() {
    let mut machine = machine();
    while let Step::Profile(request) = machine.poll_step() {
        machine.handle_outcome(told(request, true, Agreement::Agrees)).unwrap();
    }
    let mut profile = Profile::new(machine, "exact");
    assert!(profile.plan().unwrap().certificate.is_some());
    profile.evidence[3].answered = false;
    let error = profile.plan().unwrap_err().to_string();
    assert!(error.contains("row 3 of its evidence"), "{error}");
}
