//! What can go wrong with the server as a whole.

/// Result of running the server.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the server ended. What goes wrong within one request is answered there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener failed.
    #[error("the HTTP listener failed")]
    Listener(#[source] std::io::Error),
    /// One of the tasks beside the listener panicked.
    #[error("task {task} of the serving layer ended unexpectedly")]
    Task {
        /// Which one.
        task: &'static str,
        /// How it ended.
        #[source]
        source: tokio::task::JoinError,
    },
}
