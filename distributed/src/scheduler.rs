//! The scheduler: cuts plans into pieces, gives them to executors, and gives them again
//! where one dies. It reads no file of the lake, so it needs no access to it.

use std::sync::Arc;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::{SchedulerConfig, TaskDistributionPolicy};
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use lake::query::{QueryConfig, worker_state};
use object_store::memory::InMemory;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::limits::{
    EXECUTOR_TIMEOUT_S, EXPIRY_CHECK_S, LEFT_BEHIND_S, MAX_FAILURES, MESSAGE_BYTES_MAX,
    NO_EXECUTORS_S,
};
use crate::{Address, Error, Result, SchedulerOptions};

/// Runs until `stop`. What it knows of jobs is in memory: their clients begin anew where
/// it is started again.
///
/// # Errors
/// Where it cannot listen.
pub async fn run_scheduler(options: SchedulerOptions, stop: CancellationToken) -> Result<()> {
    let host = match (&options.advertise, options.listen.is_everywhere()) {
        (Some(host), _) => host.clone(),
        (None, false) => options.listen.url_host(),
        (None, true) => return Err(Error::Advertise(options.listen)),
    };
    let listener = listen(&options.listen).await?;
    let bound = listener.local_addr().map_err(|cause| Error::Listen {
        address: options.listen.clone(),
        cause,
    })?;
    let config = Arc::new(config(host, bound.port()));
    let ended = |error: ballista_core::error::BallistaError| Error::Ended(error.to_string());
    let cluster = BallistaCluster::new_from_config(&config)
        .await
        .map_err(ended)?;
    let scheduler = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, config)
        .await
        .map_err(ended)?;
    info!(address = %options.listen.with_port(bound.port()), "the scheduler takes jobs and executors");
    tokio::select! {
        served = start_grpc_service_with_listener(listener, scheduler) => served.map_err(ended),
        () = stop.cancelled() => Ok(()),
    }
}

/// Takes a port.
pub(crate) async fn listen(address: &Address) -> Result<TcpListener> {
    let bound = TcpListener::bind((address.host.as_str(), address.port)).await;
    bound.map_err(|cause| Error::Listen {
        address: address.clone(),
        cause,
    })
}

fn config(external_host: String, port: u16) -> SchedulerConfig {
    let bytes_max = MESSAGE_BYTES_MAX as u32;
    SchedulerConfig {
        external_host,
        bind_port: port,
        // Work that is pushed can be called back, which cancelling needs.
        scheduling_policy: TaskSchedulingPolicy::PushStaged,
        task_distribution: TaskDistributionPolicy::RoundRobin,
        executor_timeout_seconds: EXECUTOR_TIMEOUT_S,
        expire_dead_executor_interval_seconds: EXPIRY_CHECK_S,
        no_executors_grace_period_seconds: NO_EXECUTORS_S,
        finished_job_data_clean_up_interval_seconds: LEFT_BEHIND_S,
        grpc_server_max_decoding_message_size: bytes_max,
        grpc_server_max_encoding_message_size: bytes_max,
        grpc_client_max_message_size: bytes_max,
        task_max_failures: MAX_FAILURES,
        stage_max_failures: MAX_FAILURES,
        override_session_builder: Some(Arc::new(session)),
        ..SchedulerConfig::default()
    }
}

/// Plans name the lake's store, which reading one looks up although no file is opened.
fn session(config: SessionConfig) -> datafusion::common::Result<SessionState> {
    let state = worker_state(Arc::new(InMemory::new()), &QueryConfig::default())
        .map_err(|error| datafusion::common::DataFusionError::External(Box::new(error)))?;
    Ok(SessionStateBuilder::new_from_existing(state)
        .with_config(config)
        .build())
}
