//! The pages and figures that `picture` draws: well-formed, self-contained, the same every time.

use smart_core::backend::Simulated;
use smart_core::equivalence::Exact;
use smart_core::picture::Recorder;
use smart_core::{
    Completion, Families, Model, Outcome, Pricing, ProfileSettings, Report, Roster, Smart, Target,
    Usage, from_fn,
};

use crate::items::counted;

/// A name that would be markup, a script and an address, were it not escaped.
const NASTY: &str = "<script src=\"//evil.example/x.js\">alert('1')</script> & \u{202e}co";

fn run(recorder: &Recorder, target: f64, names: [&str; 3], families: Families) -> Outcome<u32> {
    let price = |usd| Pricing::per_request(usd).unwrap();
    let [reference, good, poor] = names;
    let candidate = |name, agreement| Simulated::candidate(name, agreement, 3).with_confidence(0.8);
    let roster = Roster::new(
        Model::new(reference, Simulated::reference(3)).with_pricing(price(0.01)),
        [
            Model::new(good, candidate("good", 0.93)).with_pricing(price(0.001)).with_version("v1"),
            Model::new(poor, candidate("poor", 0.4)).with_pricing(price(0.000_2)),
        ],
    )
    .unwrap();
    let smart = Smart::new(roster, Exact, Target::new(target, 0.95).unwrap())
        .with_seed(11)
        .with_settings(ProfileSettings::default().with_families(families))
        .with_observer(recorder.clone());
    futures::executor::block_on(smart.run(&counted(4_000))).unwrap()
}

fn plain(target: f64, families: Families) -> (Recorder, Report) {
    let recorder = Recorder::new();
    let report = run(&recorder, target, ["large", "medium", "small"], families).report;
    (recorder, report)
}

/// Every file there is to draw of a run.
fn files(recorder: &Recorder, report: &Report) -> [String; 5] {
    [
        recorder.html(report),
        report.to_html(),
        recorder.cost_agreement_svg(report),
        recorder.certificate_svg(report),
        recorder.money_svg(report),
    ]
}

/// Checks that tags are balanced, attributes quoted, and `&` and `<` escaped in text: enough to
/// know that no name broke out of its place.
fn check_markup(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (before, after) = rest.split_at(start);
        if open.last() != Some(&"style") {
            assert!(!before.contains('>'), "a bare > in {before:?}");
            check_entities(before);
        }
        let end = tag_end(after);
        let tag = &after[1..end];
        rest = &after[end + 1..];
        if tag.starts_with('!') {
            assert_eq!(tag, "!DOCTYPE html");
        } else if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed out of turn");
        } else {
            let name = tag.split([' ', '/']).next().unwrap();
            assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "{tag}");
            check_entities(tag);
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if !tag.ends_with('/') {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

/// Where a tag that starts the text ends, `>` in quotes passed over.
fn tag_end(text: &str) -> usize {
    let mut quoted = false;
    for (position, letter) in text.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '>' if !quoted => return position,
            '<' if position > 0 => panic!("a bare < in {:?}", &text[..position]),
            _ => {}
        }
    }
    panic!("a tag without end");
}

fn check_entities(text: &str) {
    for part in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;", "#39;"];
        assert!(known.iter().any(|entity| part.starts_with(entity)), "a bare & before {part:?}");
    }
}

#[test]
fn pages_and_figures_are_well_formed_and_load_nothing() {
    for (target, families) in
        [(0.9, Families::Auto), (0.85, Families::Single), (0.999, Families::Auto)]
    {
        let (recorder, report) = plain(target, families);
        for file in files(&recorder, &report) {
            check_markup(&file);
            let own = file.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            for forbidden in
                ["http:", "https:", "//", "url(", "@import", "<script", "src=", "href="]
            {
                assert!(!own.contains(forbidden), "{forbidden} at target {target}");
            }
            assert!(!own.contains("NaN") && !own.contains("inf"), "a number that is none");
        }
    }
}

#[test]
fn names_cannot_break_out() {
    let recorder = Recorder::new();
    let names = [NASTY, "a\" onload=\"x", "]]>--><style>*{display:none}</style>"];
    let report = run(&recorder, 0.9, names, Families::Auto).report;
    for file in files(&recorder, &report) {
        check_markup(&file);
        assert!(!file.contains("<script") && !file.contains("<style>*"));
        assert!(!file.contains('\u{202e}'), "a mark that turns the text");
    }
    let page = recorder.html(&report);
    assert!(page.contains("&lt;script src=&quot;"));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let (first, report) = plain(0.9, Families::Auto);
    let (second, again) = plain(0.9, Families::Auto);
    assert_eq!(files(&first, &report), files(&second, &again));
}

#[test]
fn the_page_says_what_the_report_says() {
    let (recorder, report) = plain(0.9, Families::Auto);
    let page = recorder.html(&report);
    let certificate = report.plan.certificate.as_ref().unwrap();
    for said in [
        "at least 90\u{a0}% of the answers".to_owned(),
        format!("Spent</dt><dd>{}<", report.cost()),
        format!("alone</dt><dd>{}<", report.reference_cost),
        format!("<dt>failures</dt><dd>{}</dd>", certificate.failures),
        format!("<dt>at most</dt><dd>{}</dd>", certificate.limit),
        "<dt>seed</dt><dd>11</dd>".to_owned(),
        "version <bdi>v1</bdi>".to_owned(),
        format!("{} calls", report.spending(smart_core::ModelId::REFERENCE).calls()),
    ] {
        assert!(page.contains(&said), "{said}");
    }
    for considered in &report.plan.considered {
        assert!(page.contains(&considered.name), "{}", considered.name);
    }
    // The path ends where the certificate says.
    let figure = recorder.certificate_svg(&report);
    assert!(figure.contains(&format!("at most {}", certificate.limit)));
}

#[test]
fn a_run_that_does_not_pay_says_why() {
    let (recorder, report) = plain(0.999, Families::Auto);
    let page = recorder.html(&report);
    assert!(page.contains("<title>Does not pay: large answers every item</title>"));
    assert!(page.contains("Why it does not pay: "));
}

#[test]
fn without_prices_or_candidates_there_is_a_page_all_the_same() {
    let model = |name: &str| {
        let echo = from_fn(|item: &u64| {
            let answer = Completion::new(u32::try_from(*item % 3).unwrap());
            async move { Ok(answer.with_usage(Usage::tokens(10, 1))) }
        });
        Model::new(name, echo)
    };
    for candidates in [vec![], vec![model("free")]] {
        let recorder = Recorder::new();
        let roster = Roster::new(model("large"), candidates).unwrap();
        let smart = Smart::new(roster, Exact, Target::new(0.9, 0.95).unwrap());
        let smart = smart.with_observer(recorder.clone());
        let items = counted(300);
        let outcome = futures::executor::block_on(smart.run(&items)).unwrap();
        for file in files(&recorder, &outcome.report) {
            check_markup(&file);
            assert!(!file.contains("NaN") && !file.contains("inf"));
        }
    }
}

#[test]
fn a_stored_profile_draws_what_the_run_drew() {
    let price = |usd| Pricing::per_request(usd).unwrap();
    let roster = || {
        Roster::new(
            Model::new("large", Simulated::reference(3)).with_pricing(price(0.01)),
            [Model::new("small", Simulated::candidate("small", 0.97, 3))
                .with_pricing(price(0.001))],
        )
        .unwrap()
    };
    let smart = || Smart::new(roster(), Exact, Target::new(0.9, 0.95).unwrap()).with_seed(2);
    let items = counted(3_000);
    let watched = Recorder::new();
    let run = smart().with_observer(watched.clone());
    let report = futures::executor::block_on(run.run(&items)).unwrap().report;
    let profile = futures::executor::block_on(smart().profile(&items)).unwrap().profile;
    let later = Recorder::of_profile(&profile);
    assert_eq!(later.cost_agreement_svg(&report), watched.cost_agreement_svg(&report));
}
