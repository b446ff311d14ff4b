//! The processes of a Ballista cluster. They listen on loopback and nowhere else.

use std::net::SocketAddr;
use std::sync::Arc;

use ballista::prelude::SessionContextExt;
use ballista_core::extension::SessionConfigExt;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_plan::Failure;
use datafusion_plan::codec::{Functions, codecs};

use crate::{Arguments, register, run, session};

/// The scheduler: it plans with the function and hands it on, and has no models.
pub(crate) async fn scheduler(arguments: &Arguments) -> Result<(), Failure> {
    let address: SocketAddr = arguments.parse("address")?;
    let (logical, physical) = codecs(&Functions::new(None));
    let config = SchedulerConfig {
        bind_host: address.ip().to_string(),
        external_host: address.ip().to_string(),
        bind_port: address.port(),
        override_logical_codec: Some(logical),
        override_physical_codec: Some(physical),
        // An executor that is silent for this long is dead.
        executor_timeout_seconds: 8,
        expire_dead_executor_interval_seconds: 1,
        no_executors_grace_period_seconds: 10,
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    Ok(start_server(cluster, address, Arc::new(config)).await?)
}

/// An executor: it binds what comes over the wire to its own models and journals.
pub(crate) async fn executor(arguments: &Arguments) -> Result<(), Failure> {
    let scheduler: SocketAddr = arguments.parse("scheduler")?;
    let ports = arguments.text("ports")?;
    let (port, grpc_port) = ports.split_once(',').ok_or("--ports takes two")?;
    let (logical, physical) = codecs(&Functions::new(Some(arguments.machine()?)));
    let config = ExecutorProcessConfig {
        bind_host: "127.0.0.1".into(),
        external_host: Some("127.0.0.1".into()),
        port: port.parse()?,
        grpc_port: grpc_port.parse()?,
        scheduler_host: scheduler.ip().to_string(),
        scheduler_port: scheduler.port(),
        scheduler_connect_timeout_seconds: 20,
        vcores: 2,
        work_dir: Some(arguments.text("work")?.to_owned()),
        executor_heartbeat_interval_seconds: 2,
        override_logical_codec: Some(logical),
        override_physical_codec: Some(physical),
        ..ExecutorProcessConfig::default()
    };
    Ok(start_executor_process(Arc::new(config)).await?)
}

/// The client: it ships the function with the query and collects the answers.
pub(crate) async fn submit(arguments: &Arguments) -> Result<(), Failure> {
    let scheduler: SocketAddr = arguments.parse("scheduler")?;
    let functions = Functions::new(None);
    let (logical, physical) = codecs(&functions);
    let config = session(SessionConfig::new_with_ballista())
        .with_ballista_logical_extension_codec(logical)
        .with_ballista_physical_extension_codec(physical);
    let state = SessionStateBuilder::new().with_config(config).with_default_features().build();
    let context = SessionContext::remote_with_state(&format!("df://{scheduler}"), state).await?;
    for function in functions.add(&arguments.shipment()?)? {
        context.register_udf(function);
    }
    register(&context, &arguments.path("dir")?).await?;
    run(&context, arguments).await
}
