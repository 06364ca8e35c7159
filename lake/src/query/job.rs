//! Queries of jobs: one SELECT with parameters, over pinned tables, for a result that
//! goes to files.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Column;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Sort, SortExpr};
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as Ast;

use crate::query::catalog::catalog_of;
use crate::query::cluster::{Cluster, RowsRead, portable};
use crate::query::engine::{Freshness, Shared, SqlEngine, hold};
use crate::query::params::{ParameterValue, Parameters, bind, names_of};
use crate::query::plan_check::check_constants;
use crate::query::session::{call_bytes_max, read_only_options};
use crate::query::statement::{parse, read_only, tables_of};
use crate::query::{QueryError, QueryResult};
use crate::{Snapshot, Table};

/// What one run of a job reads of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedVersion {
    /// The table.
    pub table: Table,
    /// Its Delta version; `None` for a table that does not exist yet.
    pub version: Option<u64>,
    /// Whether records of the log are read that this version does not have yet.
    pub with_tail: bool,
}

/// A query that is planned over pinned tables and can be run once.
pub struct Prepared {
    plan: Arc<dyn ExecutionPlan>,
    state: SessionState,
    held: Vec<Arc<Snapshot>>,
    tables: Vec<PinnedVersion>,
    parameters: BTreeMap<String, ParameterValue>,
    cluster: Option<Arc<dyn Cluster>>,
    read_over_there: RowsRead,
}

/// Reads how far a query has come.
#[derive(Clone)]
pub struct ReadCounter {
    here: Arc<dyn ExecutionPlan>,
    over_there: Option<RowsRead>,
}

impl ReadCounter {
    /// Rows that came from tables so far.
    pub fn rows(&self) -> u64 {
        match &self.over_there {
            Some(rows) => rows.get(),
            None => rows_read(self.here.as_ref()),
        }
    }
}

impl Prepared {
    /// The columns of the result.
    pub fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    /// What is read.
    pub fn tables(&self) -> &[PinnedVersion] {
        &self.tables
    }

    /// The values that the parameters have.
    pub fn parameters(&self) -> &BTreeMap<String, ParameterValue> {
        &self.parameters
    }

    /// The plan, for people.
    pub fn explain(&self) -> String {
        displayable(self.plan.as_ref()).indent(false).to_string()
    }

    /// Whether a join keeps one of its sides in memory that could be sorted as well.
    pub fn joins_by_hash(&self) -> bool {
        has_hash_join(self.plan.as_ref())
    }

    /// For watching it.
    pub fn counter(&self) -> ReadCounter {
        ReadCounter {
            here: Arc::clone(&self.plan),
            over_there: self.cluster.is_some().then(|| self.read_over_there.clone()),
        }
    }
}

fn has_hash_join(plan: &dyn ExecutionPlan) -> bool {
    let mut children = plan.children().into_iter();
    plan.is::<HashJoinExec>() || children.any(|child| has_hash_join(child.as_ref()))
}

fn rows_read(plan: &dyn ExecutionPlan) -> u64 {
    let children = plan.children();
    match children.is_empty() {
        true => plan
            .metrics()
            .and_then(|metrics| metrics.output_rows())
            .unwrap_or(0) as u64,
        false => children
            .into_iter()
            .map(|child| rows_read(child.as_ref()))
            .sum(),
    }
}

/// Reads `sql` as one SELECT and looks at its parameters' names and, where they are
/// declared, their types; no table is looked at.
///
/// # Errors
/// [`QueryError::User`] that says what is wrong.
pub fn check_job(sql: &str, parameters: &Parameters) -> QueryResult<()> {
    let state = SessionStateBuilder::new().build();
    let statement = select(&state, sql)?;
    parameters.check(&names_of(&statement))
}

/// One SELECT or WITH and nothing else.
fn select(state: &SessionState, sql: &str) -> QueryResult<Statement> {
    let statement = parse(state, sql)?;
    match &statement {
        Statement::Statement(query) if matches!(query.as_ref(), Ast::Query(_)) => Ok(statement),
        _ => Err(QueryError::User(
            "a job is one SELECT or WITH; EXPLAIN, SHOW and DESCRIBE have no result to be kept"
                .to_owned(),
        )),
    }
}

impl SqlEngine {
    /// Plans one SELECT over tables as they are now. The result comes in order of the
    /// columns `grouped_by`, and within equal ones in the order that the statement asks
    /// for.
    ///
    /// # Errors
    /// [`QueryError::User`] where statement or parameters are wrong.
    pub async fn prepare(
        &self,
        sql: &str,
        parameters: &Parameters,
        grouped_by: &[String],
        freshness: Freshness,
    ) -> QueryResult<Prepared> {
        let mut statement = select(self.state(), sql)?;
        let names = names_of(&statement);
        parameters.check(&names)?;
        let cluster = self.shared().config.cluster.clone();
        let base = match &cluster {
            Some(cluster) => &cluster.planning_state(self.state().clone()),
            None => self.state(),
        };
        let (held, tables, state) = pinned(self.shared(), base, &statement, freshness).await?;
        let values = parameters.values(&state, &statement, &names).await?;
        bind(&mut statement, &values);
        let plan = state.statement_to_plan(statement).await?;
        read_only_options()
            .verify_plan(&plan)
            .map_err(|_| read_only())?;
        let plan = state.optimize(&in_groups(plan, grouped_by)?)?;
        let config = &self.shared().config;
        check_constants(&plan, state.config().batch_size(), call_bytes_max(config))?;
        let plan = state
            .query_planner()
            .create_physical_plan(&plan, &state)
            .await?;
        Ok(Prepared {
            plan,
            state,
            held,
            tables,
            parameters: values,
            cluster,
            read_over_there: RowsRead::default(),
        })
    }

    /// Runs it on the threads of queries, or on the cluster. Dropping the stream stops it.
    ///
    /// # Errors
    /// Where it cannot begin.
    pub async fn run_prepared(&self, prepared: Prepared) -> QueryResult<SendableRecordBatchStream> {
        self.threads()
            .run(async move {
                let (plan, state) = (prepared.plan, prepared.state);
                let rows = match prepared.cluster {
                    Some(cluster) => {
                        let plan = portable(plan, &state.task_ctx()).await?;
                        cluster.run(plan, &state, prepared.read_over_there)?
                    }
                    None => execute_stream(plan, state.task_ctx())?,
                };
                Ok(hold(rows, prepared.held))
            })
            .await
    }
}

/// The statement's tables as they are now, and a session in which they are named.
async fn pinned(
    shared: &Shared,
    base: &SessionState,
    statement: &Statement,
    freshness: Freshness,
) -> QueryResult<(Vec<Arc<Snapshot>>, Vec<PinnedVersion>, SessionState)> {
    let mut pinned = Vec::new();
    for table in tables_of(base, statement)? {
        pinned.push(shared.pin(table, freshness).await?);
    }
    let tables = pinned.iter().map(|pinned| PinnedVersion {
        table: pinned.table,
        version: pinned.snapshot.version,
        with_tail: pinned.has_tail(),
    });
    let tables = tables.collect();
    let held = pinned
        .iter()
        .map(|pinned| Arc::clone(&pinned.snapshot))
        .collect();
    let mut state = SessionStateBuilder::new_from_existing(base.clone())
        .with_catalog_list(catalog_of(pinned)?)
        .build();
    // What now() says, once for the whole query.
    state.mark_start_execution();
    Ok((held, tables, state))
}

/// The plan with its rows in order of `columns`.
fn in_groups(plan: LogicalPlan, columns: &[String]) -> QueryResult<LogicalPlan> {
    if columns.is_empty() {
        return Ok(plan);
    }
    let mut order = Vec::new();
    for name in columns {
        let found = plan.schema().iter().find(|(_, field)| field.name() == name);
        let Some((qualifier, field)) = found else {
            let names: Vec<&str> = plan
                .schema()
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            return Err(QueryError::User(format!(
                "partition_by is \"{name}\"; expected a column of the result: {}",
                names.join(", ")
            )));
        };
        let column = Column::from((qualifier, field));
        order.push(SortExpr::new(Expr::Column(column), true, true));
    }
    let (input, asked) = match plan {
        LogicalPlan::Sort(Sort {
            expr,
            input,
            fetch: None,
        }) => (Arc::unwrap_or_clone(input), expr),
        plan => (plan, Vec::new()),
    };
    order.extend(asked);
    Ok(LogicalPlanBuilder::from(input).sort(order)?.build()?)
}
