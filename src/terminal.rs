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

/// Sends logs to stderr, so that stdout holds only what was asked for.
pub fn start_logging(filter: &str) -> Result<()> {
    let expectation = || format!("--log is {filter:?}; expected error, warn, info, debug, or target=level");
    // The libraries' own chatter is for those who ask for it.
    let quiet = "rdkafka=warn,deltalake=warn,datafusion=warn,delta_kernel=warn,librdkafka=error";
    let filter = EnvFilter::try_new(format!("{quiet},{filter}")).with_context(expectation)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    Ok(())
}
