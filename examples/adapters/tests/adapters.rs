//! Every adapter against the service on loopback, over real HTTP.

use std::error::Error;
use std::time::Duration;

use adapters::server::{CACHED, KEY, Server};
use adapters::{Adapter, all};
use smart_core::backend::{RetryPolicy, Simulated, Wrap};
use smart_core::conformance::{Suite, check_backend};
use smart_core::equivalence::Normalized;
use smart_core::{Cost, ErrorKind, LlmBackend, Model, Pricing, Roster, Smart, Target};

type Tested = Result<(), Box<dyn Error>>;

fn large() -> (&'static str, Simulated) {
    ("large", Simulated::reference(7).with_labels(4))
}

fn small() -> (&'static str, Simulated) {
    let model = Simulated::candidate("small", 0.93, 7).with_labels(4).with_same_errors();
    ("small", model.with_confidence(0.85))
}

async fn served(model: &str) -> Result<(Server, [Adapter; 4]), Box<dyn Error>> {
    let server = Server::start([large(), small()], 0).await?;
    let adapters = all(&server.url(), KEY, model)?;
    Ok((server, adapters))
}

#[tokio::test]
async fn every_adapter_keeps_the_contract() -> Tested {
    let (_server, adapters) = served("small").await?;
    let items = [
        "review 1: a delight",
        "review 2: not again",
        "review 3: it came on time",
        "review 4: [status 429] [retry-after 7]",
        "review 5: [status 400]",
        "review 6: [status 500]",
        "review 7: [silent]",
    ];
    let suite = Suite::default()
        .with_pricing(Pricing::per_million(0.15, 0.6)?)
        .with_patience(Duration::from_secs(20));
    for (name, backend) in adapters {
        let report = check_backend(&backend, &items, &suite).await;
        assert!(report.is_conformant(), "{name}\n{report}");
        let scored = report.checks().iter().any(|check| {
            check.statement == "answers come with a confidence score"
                && check.outcome == smart_core::conformance::Outcome::Passed
        });
        assert!(scored, "{name}\n{report}");
    }
    Ok(())
}

#[tokio::test]
async fn usage_and_confidence_come_through() -> Tested {
    let (_server, adapters) = served("small").await?;
    let prompt = "review 12: as expected, no more and no less";
    let simulated = small().1.complete(&12).await?;
    let score = simulated.confidence.ok_or("no score")?.as_f64();
    for (name, backend) in adapters {
        let answer = backend.complete(prompt).await?;
        let usage = answer.usage.ok_or(name)?;
        assert_eq!(usage.input_tokens, Some(CACHED + prompt.len() as u64 / 4), "{name}");
        assert_eq!(usage.cached_input_tokens, Some(CACHED), "{name}");
        assert_eq!(usage.output_tokens, Some(1), "{name}");
        let probability = answer.confidence.ok_or(name)?.as_f64();
        let expected = 1.0 / (1.0 + (-score).exp());
        // Some clients keep log-probabilities in single precision.
        assert!((probability - expected).abs() < 1e-6, "{name}: {probability}, not {expected}");
    }
    Ok(())
}

#[tokio::test]
async fn failures_are_of_their_kind() -> Tested {
    let (server, adapters) = served("small").await?;
    for (name, backend) in &adapters {
        for (prompt, kind, wait) in [
            ("1 [status 429] [retry-after 7]", ErrorKind::RateLimited, Some(7)),
            ("2 [status 429]", ErrorKind::RateLimited, None),
            ("3 [status 503] [retry-after 2]", ErrorKind::Transient, Some(2)),
            ("4 [status 500]", ErrorKind::Transient, None),
            ("5 [status 504]", ErrorKind::Timeout, None),
            ("6 [status 400] [retry-after 2]", ErrorKind::InvalidRequest, None),
            ("7 [status 403]", ErrorKind::Unauthorized, None),
            ("8 [silent]", ErrorKind::Refused, None),
        ] {
            let before = server.requests();
            let error = backend.complete(prompt).await.err().ok_or(prompt)?;
            assert_eq!(error.kind(), kind, "{name}: {prompt}: {error}");
            assert_eq!(error.retry_after(), wait.map(Duration::from_secs), "{name}: {prompt}");
            // A reply without text was read and written, and is paid for.
            let paid = Pricing::per_million(1.0, 1.0)?.cost(error.usage().as_ref());
            assert_eq!(paid > Cost::ZERO, kind == ErrorKind::Refused, "{name}: {prompt}: {paid}");
            // Retries are the crate's, and counted: a client that makes its own hides money.
            assert_eq!(server.requests() - before, 1, "{name}: {prompt}: retried by itself");
        }
    }
    for (name, backend) in all(&server.url(), "stolen", "small")? {
        let error = backend.complete("1").await.err().ok_or(name)?;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{name}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn slow_and_vanished_services_are_failures_that_may_pass() -> Tested {
    let (server, adapters) = served("small").await?;
    for (name, backend) in &adapters {
        let hurried = backend.clone().with_timeout(Duration::from_millis(200));
        let error = hurried.complete("1 [slow]").await.err().ok_or(*name)?;
        assert_eq!(error.kind(), ErrorKind::Timeout, "{name}: {error}");
    }
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    drop(server);
    for (name, backend) in all(&format!("http://{nobody}/v1"), KEY, "small")? {
        let error = backend.complete("1").await.err().ok_or(name)?;
        assert!(error.kind().is_retryable(), "{name}: {error}");
    }
    Ok(())
}

/// The whole job over HTTP, on a service that fails on one request in 29.
#[tokio::test]
async fn a_batch_is_answered_as_promised() -> Tested {
    let reviews: Vec<String> = (0..600).map(|n| format!("review {n}: how was it?")).collect();
    let server = Server::start([large(), small()], 29).await?;
    let references = all(&server.url(), KEY, "large")?;
    let candidates = all(&server.url(), KEY, "small")?;
    for ((name, reference), (_, candidate)) in references.into_iter().zip(candidates) {
        let retry = || RetryPolicy::default().with_max_attempts(4);
        let roster = Roster::new(
            Model::new("large", reference.with_retry(retry()))
                .with_pricing(Pricing::per_million(10.0, 30.0)?.with_cached_input(2.5)?),
            [Model::new("small", candidate.with_retry(retry()))
                .with_pricing(Pricing::per_million(0.15, 0.6)?.with_cached_input(0.075)?)],
        )?;
        let before = server.requests();
        let smart = Smart::new(roster, Normalized::default(), Target::new(0.9, 0.95)?);
        let outcome = smart.with_seed(3).run(&reviews).await?;
        let report = &outcome.report;
        let wrong = |index: u64| {
            let label = adapters::server::LABELS[large().1.truth(index) as usize];
            outcome.answers[usize::try_from(index).unwrap()].output.as_deref() != Some(label)
        };
        let failures = (0..600).filter(|index| wrong(*index)).count() as u64;
        assert!(failures <= report.allowance(), "{name}: {failures}\n{report}");
        assert_eq!(report.delivered.unanswered(), 0, "{name}\n{report}");
        assert!(report.saving() > 1.5, "{name}\n{report}");
        println!("{name}: {failures} differ, {} requests\n{report}", server.requests() - before);
    }
    Ok(())
}

/// What `docs/ecosystem.md` promises, and that it shows these very lines.
#[test]
fn adapters_are_fifteen_lines_and_documented_as_they_are() {
    let document = include_str!("../../../docs/ecosystem.md");
    let sources = [
        ("reqwest", include_str!("../src/plain.rs")),
        ("async-openai", include_str!("../src/openai.rs")),
        ("rig-core", include_str!("../src/rig.rs")),
        ("genai", include_str!("../src/genai.rs")),
    ];
    for (name, source) in sources {
        let (_, adapter) = source.split_once("// The adapter.\n").unwrap();
        assert!(adapter.lines().count() <= 15, "{name}: {} lines", adapter.lines().count());
        assert!(document.contains(adapter.trim()), "{name}: not as in docs/ecosystem.md");
    }
}
