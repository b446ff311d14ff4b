//! The whole job over HTTP with one of the clients: a service on loopback, its faults included.
//!
//! ```text
//! cargo run --manifest-path examples/adapters/Cargo.toml -- [reqwest|async-openai|rig-core|genai]
//! ```

use std::error::Error;
use std::time::Duration;

use adapters::server::{KEY, Server};
use smart_core::backend::{Latency, Limits, RetryPolicy, Simulated, Wrap};
use smart_core::equivalence::Normalized;
use smart_core::{Event, Model, Pricing, Roster, Smart, Target};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = std::env::args().nth(1).unwrap_or_else(|| "reqwest".into());
    let latency = |milliseconds| {
        let median = Duration::from_millis(milliseconds);
        Latency::LogNormal { median, sigma: 0.7 }
    };
    let large = Simulated::reference(7).with_labels(4).with_latency(latency(60));
    let small = Simulated::candidate("small", 0.93, 7).with_labels(4).with_latency(latency(20));
    let models = [("large", large), ("small", small.with_confidence(0.85))];
    // One request in 50 fails, with 429 or 500.
    let server = Server::start(models, 50).await?;

    let backend = |model| -> Result<_, Box<dyn Error>> {
        let adapters = adapters::all(&server.url(), KEY, model)?;
        let found = adapters.into_iter().find(|(name, _)| *name == client);
        let (_, adapter) =
            found.ok_or("name a client: reqwest, async-openai, rig-core or genai")?;
        let limits = Limits::default().with_concurrency(16);
        let timely = adapter.with_timeout(Duration::from_secs(10)).with_limits(limits);
        Ok(timely.with_retry(RetryPolicy::default()))
    };
    let roster = Roster::new(
        Model::new("large", backend("large")?)
            .with_pricing(Pricing::per_million(10.0, 30.0)?.with_cached_input(2.5)?),
        [Model::new("small", backend("small")?)
            .with_pricing(Pricing::per_million(0.15, 0.6)?.with_cached_input(0.075)?)],
    )?;
    let reviews: Vec<String> = (0..3_000).map(|n| format!("review {n}: how was it?")).collect();
    let smart = Smart::new(roster, Normalized::default(), Target::new(0.95, 0.95)?)
        .with_seed(1)
        .with_observer(|event: &Event<'_>| {
            if let Event::Certified { policy, profiled } = event {
                println!("after {profiled} reviews: certified {policy}\n");
            }
        });
    let outcome = smart.run(&reviews).await?;
    println!("{}", outcome.report);
    println!("{client} made {} requests, those that failed included", server.requests());
    Ok(())
}
