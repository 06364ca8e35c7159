//! What the text of a failed job means: kinds do not travel, only words.

use lake::query::QueryError;

/// Longest text that is passed on, characters.
const CHARS_MAX: usize = 600;

/// Faults of the statement or of the values that it meets.
const OF_THE_STATEMENT: [(&str, &str); 4] = [
    ("DivideByZero", "division by zero"),
    ("Divide by zero", "division by zero"),
    ("CastError(", ""),
    ("ParseError(", ""),
];

/// Servers and machines that may come back.
const PASSING: [&str; 8] = [
    "all executors were lost",
    "Shuffle fetch partition error",
    "FetchFailed",
    "ObjectStore(",
    "Object Store error",
    "GrpcConnectionError",
    "IO error",
    "Task cancelled",
];

/// The error of a job that failed with these words.
pub(crate) fn job_failed(text: &str) -> QueryError {
    let words = shortened(text);
    if text.contains("ResourcesExhausted") || text.contains("Resources exhausted") {
        return QueryError::Resources(format!("on an executor: {words}"));
    }
    if let Some((_, meaning)) = OF_THE_STATEMENT
        .iter()
        .find(|(part, _)| text.contains(part))
    {
        return QueryError::User(match meaning.is_empty() {
            true => words,
            false => (*meaning).to_owned(),
        });
    }
    if PASSING.iter().any(|part| text.contains(part)) {
        return QueryError::Unavailable(format!("the cluster gave the job up: {words}"));
    }
    QueryError::Internal(format!("the cluster gave the job up: {words}"))
}

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distributed_job_that_failed_is_tried_again_only_where_that_may_help() {
        let in_task = |cause: &str| {
            format!(
                "Job failed due to stage 1 failed: Task failed due to runtime execution error: {cause}"
            )
        };
        let passing = [
            "all executors were lost and no executor re-registered within 30s; no executors remain"
                .to_owned(),
            in_task("DataFusionError(ObjectStore(Generic { store: \"S3\" }))"),
        ];
        for text in passing {
            assert!(job_failed(&text).is_retryable(), "{text}");
        }
        let divided = job_failed(&in_task("DataFusionError(ArrowError(DivideByZero, None))"));
        assert_eq!(divided, QueryError::User("division by zero".to_owned()));
        let memory = job_failed(&in_task(
            "DataFusionError(ResourcesExhausted(\"Failed to allocate\"))",
        ));
        assert!(matches!(memory, QueryError::Resources(_)), "{memory}");
        let other = job_failed(&in_task("DataFusionError(Internal(\"x\"))"));
        assert!(!other.is_retryable() && !other.is_user(), "{other}");
        assert!(job_failed(&"x".repeat(5_000)).to_string().len() < 1_000);
    }
}
