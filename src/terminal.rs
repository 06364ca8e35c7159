//! Words for people: errors as one sentence, logs on stderr.

use std::io::{ErrorKind, Write};

use anyhow::Context;
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
const OURS: [&str; 12] = [
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
    "views",
    "distributed",
];

/// Reads what `--log` says. A bare level is meant for CityPulse itself: its
/// libraries then only warn.
pub fn log_filter(text: &str) -> Result<String, String> {
    let directives = match text.contains(['=', ',']) {
        true => text.to_string(),
        false => OURS.iter().fold("warn".to_string(), |all, name| {
            format!("{all},{name}={text}")
        }),
    };
    match EnvFilter::try_new(&directives) {
        Ok(_) => Ok(directives),
        Err(_) => Err("expected error, warn, info, debug, trace, or target=level".to_string()),
    }
}

/// Sends logs to stderr, so that stdout holds only what was asked for. `filter` is
/// one that [`log_filter`] has read.
pub fn start_logging(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        // A line that nobody takes is no reason to end.
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

/// Who reads the output has seen enough, as `head` does: no failure.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the answer")]
pub struct ReaderGone;

/// Prints what was asked for.
///
/// # Errors
/// [`ReaderGone`], or that it cannot be written.
pub fn print(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_ref()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => written.context("cannot write the answer"),
    }
}

/// Tells people something beside what was asked for; whether they still listen
/// does not matter.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
