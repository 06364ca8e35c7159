//! An executor: works on the parts of plans that the scheduler gives it, and keeps what it
//! computed until the job is over.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use datafusion::execution::session_state::SessionState;
use lake::Lake;
use lake::export::scratch::Scratch;
use lake::query::{QueryConfig, worker_state};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::client::probe;
use crate::limits::{CONNECT_TIMEOUT, DRAIN_LIMIT, HEARTBEAT_S, LEFT_BEHIND_S, MESSAGE_BYTES_MAX};
use crate::scheduler::listen;
use crate::{Address, Error, ExecutorOptions, Result};

const FOLDER_PREFIX: &str = "executor-";
/// How often it looks for what jobs left behind.
const SWEEP_EVERY_S: u64 = 3_600;

/// Runs until `stop`, on `lake`.
///
/// # Errors
/// Where it cannot listen, reach the scheduler or make its folder, and where the
/// scheduler ends it.
pub async fn run_executor(
    options: ExecutorOptions,
    lake: Arc<Lake>,
    stop: CancellationToken,
) -> Result<()> {
    let id = uuid::Uuid::now_v7().to_string();
    let scratch = scratch(&options.work_dir, &id)?;
    let doors = doors(&options.listen).await?;
    let config = config(&options, &lake, &scratch, id, &doors)?;
    probe(&options.scheduler).await?;
    info!(
        address = %options.listen.with_port(doors.rows),
        scheduler = %options.scheduler,
        slots = options.slots,
        "the executor takes work"
    );
    let work = start_executor_process(Arc::new(config));
    let told = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_LIMIT).await;
    };
    tokio::select! {
        ended = work => match ended {
            _ if stop.is_cancelled() => Ok(()),
            Ok(()) => Err(Error::Ended(format!(
                "the scheduler at {} ended this executor, or one of its ports failed; start it again",
                options.scheduler
            ))),
            Err(error) => Err(Error::Ended(format!("the executor ended: {error}"))),
        },
        // Somebody else does over again what is still at work here.
        () = told => Ok(()),
    }
}

fn scratch(work_dir: &Path, id: &str) -> Result<Scratch> {
    let failed = |cause| Error::WorkDir {
        path: work_dir.display().to_string(),
        cause,
    };
    let scratch = Scratch::create(work_dir, FOLDER_PREFIX, id).map_err(failed)?;
    std::fs::create_dir(results(&scratch)).map_err(failed)?;
    Ok(scratch)
}

/// Where computed rows lie, apart from the folder's lock and spilled rows.
fn results(scratch: &Scratch) -> PathBuf {
    scratch.path().join("results")
}

/// Where it listens.
struct Doors {
    ip: IpAddr,
    /// Others fetch what it computed here.
    rows: u16,
    /// The scheduler gives orders here.
    orders: u16,
}

/// Chooses ports. They are let go again at once: the library takes them itself, and says
/// less where it cannot.
async fn doors(address: &Address) -> Result<Doors> {
    let bound = |listener: &TcpListener| {
        listener.local_addr().map_err(|cause| Error::Listen {
            address: address.clone(),
            cause,
        })
    };
    let rows = listen(address).await?;
    let next = match address.port {
        0 => 0,
        port => port.saturating_add(1),
    };
    let orders = listen(&address.with_port(next)).await?;
    Ok(Doors {
        ip: bound(&rows)?.ip(),
        rows: bound(&rows)?.port(),
        orders: bound(&orders)?.port(),
    })
}

fn config(
    options: &ExecutorOptions,
    lake: &Arc<Lake>,
    scratch: &Scratch,
    executor_id: String,
    doors: &Doors,
) -> Result<ExecutorProcessConfig> {
    let worker = worker(options, lake, scratch)?;
    let runtime = Arc::clone(worker.runtime_env());
    let bytes_max = MESSAGE_BYTES_MAX as u32;
    // Where it listens everywhere, the scheduler takes the address that it sees.
    let external_host = (!options.listen.is_everywhere()).then(|| options.listen.url_host());
    let bind_host = match doors.ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Ok(ExecutorProcessConfig {
        executor_id,
        bind_host,
        external_host,
        port: doors.rows,
        grpc_port: doors.orders,
        scheduler_host: options.scheduler.url_host(),
        scheduler_port: options.scheduler.port,
        scheduler_connect_timeout_seconds: CONNECT_TIMEOUT.as_secs() as u16,
        vcores: options.slots,
        task_scheduling_policy: TaskSchedulingPolicy::PushStaged,
        work_dir: Some(results(scratch).display().to_string()),
        job_data_ttl_seconds: LEFT_BEHIND_S,
        job_data_clean_up_interval_seconds: SWEEP_EVERY_S,
        grpc_max_decoding_message_size: bytes_max,
        grpc_max_encoding_message_size: bytes_max,
        executor_heartbeat_interval_seconds: HEARTBEAT_S,
        memory_pool_size: Some(options.memory_bytes as u64),
        override_function_registry: Some(Arc::new(functions(&worker))),
        override_runtime_producer: Some(Arc::new(move |_| Ok(Arc::clone(&runtime)))),
        ..ExecutorProcessConfig::default()
    })
}

/// The lake under its name in plans, and our own functions.
fn worker(options: &ExecutorOptions, lake: &Arc<Lake>, scratch: &Scratch) -> Result<SessionState> {
    let config = QueryConfig {
        memory_bytes: options.memory_bytes,
        spill_dir: Some(scratch.path().join("spilled")),
        spill_bytes: options.spill_bytes,
        ..QueryConfig::default()
    };
    worker_state(lake.store(), &config).map_err(|error| Error::Ended(error.to_string()))
}

/// Plans name functions; the library's own list lacks some that it has.
fn functions(worker: &SessionState) -> BallistaFunctionRegistry {
    BallistaFunctionRegistry {
        scalar_functions: worker.scalar_functions().clone(),
        aggregate_functions: worker.aggregate_functions().clone(),
        window_functions: worker.window_functions().clone(),
        ..BallistaFunctionRegistry::default()
    }
}
