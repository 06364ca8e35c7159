//! What can be seen of a plan before it runs: that its answer is too long, or that
//! a constant would become too large.

use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use crate::query::{QueryError, QueryResult};

/// An answer that is longer than it may be.
pub(crate) fn too_many_rows(max_rows: usize) -> QueryError {
    let digits = max_rows.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    QueryError::User(format!(
        "the answer has more than {} rows; add a LIMIT, narrow it, or aggregate",
        groups.join(",")
    ))
}

/// Refuses a plan that is known to give too many rows, before any is read.
pub(crate) fn check_rows(plan: &dyn ExecutionPlan, max_rows: usize) -> QueryResult<()> {
    let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::new());
    match statistics.map(|known| known.num_rows) {
        Ok(Precision::Exact(rows)) if rows > max_rows => Err(too_many_rows(max_rows)),
        // Not known: the rows are counted as they come.
        _ => Ok(()),
    }
}

/// Refuses constants that would take more than `bytes_max` once they stand in every
/// row of a batch.
pub(crate) fn check_constants(
    plan: &LogicalPlan,
    batch_rows: usize,
    bytes_max: u64,
) -> QueryResult<()> {
    plan.apply_with_subqueries(|node| {
        let rows = node.inputs().into_iter().map(LogicalPlan::max_rows);
        let rows = rows.map(|rows| rows.unwrap_or(batch_rows)).max();
        let rows = rows.unwrap_or(1).min(batch_rows) as u64;
        node.apply_expressions(|expression| {
            check_expression(expression, bytes_max / rows.max(1))?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// A text anywhere, a list only where it is a column of its own: within an
/// expression a list is searched, not copied.
fn check_expression(expression: &Expr, bytes_max: u64) -> datafusion::common::Result<()> {
    let mut column = expression;
    while let Expr::Alias(alias) = column {
        column = &alias.expr;
    }
    if let Expr::Literal(value, _) = column {
        check(value, bytes_max)?;
    }
    expression.apply(|part| {
        if let Expr::Literal(
            value @ (ScalarValue::Utf8(_) | ScalarValue::LargeUtf8(_) | ScalarValue::Utf8View(_)),
            _,
        ) = part
        {
            check(value, bytes_max)?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn check(value: &ScalarValue, bytes_max: u64) -> datafusion::common::Result<()> {
    let bytes = value.size() as u64;
    match bytes > bytes_max {
        true => Err(DataFusionError::ResourcesExhausted(format!(
            "a constant of {bytes} bytes would stand in every row; make it shorter than {bytes_max}"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::too_many_rows;

    #[test]
    fn large_numbers_are_readable() {
        for (rows, shown) in [
            (100, "100 "),
            (1_000, "1,000 "),
            (12_345_678, "12,345,678 "),
        ] {
            assert!(too_many_rows(rows).to_string().contains(shown), "{rows}");
        }
    }
}
