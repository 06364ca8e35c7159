//! One job over there, from its submission until its rows are fetched.

use std::time::Duration;

use ballista_core::BALLISTA_VERSION;
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::operator_metric::Metric;
use ballista_core::serde::protobuf::{
    CancelJobParams, CleanJobDataParams, ExecuteQueryParams, GetJobMetricsParams,
    GetJobMetricsResult, GetJobStatusParams, KeyValuePair, PartitionLocation, RemoveSessionParams,
    execute_query_result, job_status,
};
use ballista_core::version::{check_compatibility, insert_version_header, version_from_metadata};
use lake::query::{QueryError, QueryResult, RowsRead};
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tonic::{Request, Status};

use crate::client::{Ballista, Scheduler};
use crate::failure::job_failed;

/// How often it is asked whether it is done,
const POLL_EVERY: Duration = Duration::from_millis(200);
/// and how far it is.
const METRICS_EVERY: Duration = Duration::from_secs(2);

/// A job on the cluster. Dropping it ends the work, or removes its rows.
pub(crate) struct Job {
    cluster: Ballista,
    scheduler: Scheduler,
    id: String,
    session: String,
    /// Until its end is told.
    known: TaskTrackerToken,
    /// Where its rows are, once it is done.
    locations: Option<Vec<PartitionLocation>>,
}

impl Job {
    pub(crate) async fn submit(
        cluster: Ballista,
        known: TaskTrackerToken,
        mut scheduler: Scheduler,
        plan: Vec<u8>,
        settings: Vec<KeyValuePair>,
    ) -> QueryResult<Self> {
        let session = uuid::Uuid::now_v7().to_string();
        let mut request = Request::new(ExecuteQueryParams {
            session_id: session.clone(),
            operation_id: uuid::Uuid::now_v7().to_string(),
            settings,
            query: Some(Query::PhysicalPlan(plan)),
        });
        insert_version_header(request.metadata_mut());
        let answer = scheduler.execute_query(request).await;
        let answer = answer.map_err(|status| request_failed(&cluster, &status))?;
        let version = version_from_metadata(answer.metadata()).map(str::to_owned);
        match answer.into_inner().result {
            Some(execute_query_result::Result::Success(done)) => {
                let job = Self {
                    cluster,
                    scheduler,
                    id: done.job_id,
                    session,
                    known,
                    locations: None,
                };
                check_compatibility(Some(BALLISTA_VERSION), version.as_deref())
                    .map_err(QueryError::Internal)?;
                tracing::info!(job = job.id, "the cluster has taken the job");
                Ok(job)
            }
            Some(execute_query_result::Result::Failure(failure)) => Err(QueryError::Internal(
                format!("the scheduler cannot read the plan: {failure:?}"),
            )),
            None => Err(cluster.away("its answer is empty")),
        }
    }

    /// Waits until its rows are there.
    pub(crate) async fn wait(&mut self, rows_read: &RowsRead) -> QueryResult<()> {
        let mut next_metrics = Instant::now() + METRICS_EVERY;
        loop {
            let answer = self.scheduler.get_job_status(GetJobStatusParams {
                job_id: self.id.clone(),
            });
            let answer = answer
                .await
                .map_err(|status| request_failed(&self.cluster, &status))?;
            let Some(known) = answer.into_inner().status else {
                return Err(self.cluster.away("it does not know the job any more"));
            };
            match known.status {
                Some(job_status::Status::Successful(done)) => {
                    self.look_how_far(rows_read).await;
                    self.locations = Some(done.partition_location);
                    return Ok(());
                }
                Some(job_status::Status::Failed(failed)) => return Err(job_failed(&failed.error)),
                _ => {}
            }
            if Instant::now() >= next_metrics {
                self.look_how_far(rows_read).await;
                next_metrics = Instant::now() + METRICS_EVERY;
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Where its rows are.
    pub(crate) fn locations(&self) -> &[PartitionLocation] {
        self.locations.as_deref().unwrap_or_default()
    }

    /// Steps that are done tell what they read. A scheduler that does not say hinders
    /// nothing.
    async fn look_how_far(&mut self, rows_read: &RowsRead) {
        let answer = self.scheduler.get_job_metrics(GetJobMetricsParams {
            job_id: self.id.clone(),
        });
        if let Ok(metrics) = answer.await {
            rows_read.set(rows_of_scans(&metrics.into_inner()));
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let mut scheduler = self.scheduler.clone();
        let (job_id, session_id) = (self.id.clone(), self.session.clone());
        let (is_done, known) = (self.locations.is_some(), self.known.clone());
        let ending = async move {
            // Whoever does not hear this forgets by themselves, later.
            if is_done {
                let _ = scheduler
                    .clean_job_data(CleanJobDataParams {
                        job_id,
                        remove_stage_ids: Vec::new(),
                    })
                    .await;
            } else {
                let _ = scheduler.cancel_job(CancelJobParams { job_id }).await;
            }
            let _ = scheduler
                .remove_session(RemoveSessionParams { session_id })
                .await;
            drop(known);
        };
        self.cluster.runtime.spawn(ending);
    }
}

/// Rows that came from files, and from the log's rows in the plan.
fn rows_of_scans(metrics: &GetJobMetricsResult) -> u64 {
    let operators = metrics.stages.iter().flat_map(|stage| &stage.operators);
    let scans = operators.filter(|operator| operator.operator_desc.starts_with("DataSourceExec"));
    let rows = scans
        .flat_map(|scan| &scan.metrics)
        .map(|metric| match metric.metric {
            Some(Metric::OutputRows(rows)) => rows,
            _ => 0,
        });
    rows.sum()
}

fn request_failed(cluster: &Ballista, status: &Status) -> QueryError {
    match status.code() {
        tonic::Code::FailedPrecondition | tonic::Code::InvalidArgument => {
            QueryError::Internal(format!(
                "the scheduler at {} refuses: {}",
                cluster.scheduler,
                status.message()
            ))
        }
        _ => cluster.away(status.message()),
    }
}
