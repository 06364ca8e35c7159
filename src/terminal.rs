//! Words for people: errors as one sentence, logs on stderr.

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// An error with its causes as one line; a cause that its outer error already
/// says is not repeated.
pub fn one_sentence(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |mut sentence, cause| {
        let cause = cause.to_string();
        if sentence.is_empty() {
            return cause;
        }
        if !sentence.contains(&cause) {
            sentence.push_str(": ");
            sentence.push_str(&cause);
        }
        sentence
    })
}

/// The crates whose log lines are for operators.
const OURS: [&str; 10] = [
    "citypulse",
    "events",
    "event_log",
    "hot_store",
    "lake",
    "streets",
    "generators",
    "speed_layer",
    "batch_layer",
    "serving_api",
];

/// Sends logs to stderr, so that stdout holds only what was asked for. A bare
/// level is meant for CityPulse itself: its libraries then only warn.
pub fn start_logging(filter: &str) -> Result<()> {
    let directives = match filter.contains(['=', ',']) {
        true => filter.to_string(),
        false => OURS.iter().fold("warn".to_string(), |all, name| {
            format!("{all},{name}={filter}")
        }),
    };
    let filter = EnvFilter::try_new(directives).with_context(|| {
        format!("--log is {filter:?}; expected error, warn, info, debug, trace, or target=level")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    Ok(())
}
