//! The client's side of a cluster.

use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::config::BallistaConfig;
use ballista_core::extension::{SessionConfigExt, SessionConfigHelperExt};
use ballista_core::optimizer::with_ballista_optimizer_rules;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use ballista_core::serde::protobuf::KeyValuePair;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::TryStreamExt;
use lake::query::{Cluster, QueryError, QueryResult, RowsRead};
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;

use crate::job::Job;
use crate::limits::{CONNECT_TIMEOUT, EXECUTOR_WAIT, MESSAGE_BYTES_MAX, PIECES, REQUEST_TIMEOUT};
use crate::results::rows;
use crate::{Address, Error, Result};

pub(crate) type Scheduler = SchedulerGrpcClient<Channel>;

/// A cluster as one who gives it work sees it.
#[derive(Clone, Debug)]
pub(crate) struct Ballista {
    pub(crate) scheduler: Address,
    /// Runs what has to be said after a job was dropped, on whatever thread that was.
    pub(crate) runtime: Handle,
    /// Jobs whose end the scheduler has not heard of yet.
    pub(crate) endings: TaskTracker,
}

/// Makes sure that a scheduler answers at `scheduler`.
///
/// # Errors
/// [`Error::Scheduler`].
pub async fn connect(scheduler: &Address) -> Result<Arc<dyn Cluster>> {
    probe(scheduler).await?;
    Ok(Arc::new(Ballista {
        scheduler: scheduler.clone(),
        runtime: Handle::current(),
        endings: TaskTracker::new(),
    }))
}

/// Asks whether it lives.
pub(crate) async fn probe(scheduler: &Address) -> Result<()> {
    let failed = |reason| Error::Scheduler {
        address: scheduler.clone(),
        reason,
    };
    let answer = get(scheduler, "healthz").await.map_err(failed)?;
    match answer.status().is_success() {
        true => Ok(()),
        false => Err(failed(format!(
            "what listens there is no scheduler (HTTP {})",
            answer.status()
        ))),
    }
}

async fn get(scheduler: &Address, path: &str) -> std::result::Result<reqwest::Response, String> {
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .no_proxy()
        .build()
        .map_err(|error| error.to_string())?;
    let answer = client
        .get(format!("http://{scheduler}/{path}"))
        .send()
        .await;
    answer.map_err(|error| match (error.is_connect(), error.is_timeout()) {
        (_, true) => "no answer in time".to_owned(),
        (true, _) => "nobody listens there".to_owned(),
        _ => "what listens there is no scheduler".to_owned(),
    })
}

#[async_trait]
impl Cluster for Ballista {
    fn planning_state(&self, state: SessionState) -> SessionState {
        let config = state
            .config()
            .clone()
            .upgrade_for_ballista()
            .with_target_partitions(PIECES)
            // Sorts in each branch of a union: a part of the work may have none of a
            // branch's rows, which a sort does not expect.
            .with_repartition_sorts(false);
        let rules = with_ballista_optimizer_rules(state.optimizers());
        SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .with_optimizer_rules(rules)
            .build()
    }

    fn run(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        state: &SessionState,
        rows_read: RowsRead,
    ) -> QueryResult<SendableRecordBatchStream> {
        let schema = plan.schema();
        let message = encode(plan)?;
        let settings = state.config().to_key_value_pairs();
        let cluster = self.clone();
        let work = async move {
            let job = cluster.run_to_the_end(message, settings, &rows_read).await;
            job.map(rows).map_err(error_of_stream)
        };
        let rows = futures::stream::once(work).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    async fn settle(&self) {
        self.endings.close();
        // A scheduler that is away hears nothing; it forgets by itself.
        let _ = tokio::time::timeout(CONNECT_TIMEOUT, self.endings.wait()).await;
    }
}

impl Ballista {
    /// A job whose rows are ready to be fetched.
    async fn run_to_the_end(
        self,
        plan: Vec<u8>,
        settings: Vec<KeyValuePair>,
        rows_read: &RowsRead,
    ) -> QueryResult<Job> {
        self.wait_for_an_executor().await?;
        let scheduler = self.connection().await?;
        let known = self.endings.token();
        let submitting = Job::submit(self.clone(), known, scheduler, plan, settings);
        // Whoever is dropped while it is under way must be able to end it all the same.
        let submitted = self.runtime.spawn(submitting).await;
        let mut job = submitted.map_err(|error| self.away(&error.to_string()))??;
        job.wait(rows_read).await?;
        Ok(job)
    }

    async fn connection(&self) -> QueryResult<Scheduler> {
        let limits = GrpcClientConfig {
            connect_timeout_seconds: CONNECT_TIMEOUT.as_secs(),
            timeout_seconds: REQUEST_TIMEOUT.as_secs(),
            max_message_size: MESSAGE_BYTES_MAX,
            ..GrpcClientConfig::from(&BallistaConfig::default())
        };
        let endpoint =
            create_grpc_client_endpoint(format!("http://{}", self.scheduler), Some(&limits));
        let endpoint = endpoint.map_err(|error| self.away(&error.to_string()))?;
        // It works on the runtime that made it, and is needed when that of queries is gone.
        let connecting = self.runtime.spawn(async move { endpoint.connect().await });
        let channel = connecting
            .await
            .map_err(|error| self.away(&error.to_string()))?
            .map_err(|error| self.away(&error.to_string()))?;
        Ok(SchedulerGrpcClient::new(channel)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
            .max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// A scheduler without executors would let the job wait for ever.
    async fn wait_for_an_executor(&self) -> QueryResult<()> {
        let deadline = Instant::now() + EXECUTOR_WAIT;
        let mut told = false;
        loop {
            let answer = get(&self.scheduler, "readyz").await;
            let answer = answer.map_err(|reason| self.away(&reason))?;
            if answer.status().is_success() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(QueryError::Internal(format!(
                    "the scheduler at {} has no executor, and none came within {} s; start one with \
                     `citypulse job executor --scheduler {}`",
                    self.scheduler,
                    EXECUTOR_WAIT.as_secs(),
                    self.scheduler
                )));
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!(scheduler = %self.scheduler, "waiting for an executor");
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    }

    pub(crate) fn away(&self, reason: &str) -> QueryError {
        QueryError::Unavailable(format!(
            "the scheduler at {} does not answer: {reason}",
            self.scheduler
        ))
    }
}

/// An error that a stream of rows carries.
pub(crate) fn error_of_stream(error: QueryError) -> datafusion::error::DataFusionError {
    datafusion::error::DataFusionError::External(Box::new(error))
}

fn encode(plan: Arc<dyn ExecutionPlan>) -> QueryResult<Vec<u8>> {
    let no_way = |error: datafusion::error::DataFusionError| {
        QueryError::User(format!(
            "this statement cannot run on several machines: {error}"
        ))
    };
    let codec = BallistaPhysicalExtensionCodec::default();
    let node = PhysicalPlanNode::try_from_physical_plan(plan, &codec).map_err(no_way)?;
    let mut message = Vec::new();
    node.try_encode(&mut message).map_err(no_way)?;
    // Settings travel with it.
    match message.len() < MESSAGE_BYTES_MAX - (1 << 20) {
        true => Ok(message),
        false => Err(QueryError::User(format!(
            "the plan takes {} MiB, more than the {} MiB that fit into a message; narrow the statement (fewer \
             dates), or compact the tables (`citypulse compact`)",
            message.len() >> 20,
            MESSAGE_BYTES_MAX >> 20
        ))),
    }
}
