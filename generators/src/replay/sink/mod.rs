//! Where replayed messages go.

mod http;
mod log;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use events::Stream;

pub use http::HttpSink;
pub use log::LogSink;

/// One message of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The key in the log.
    pub device_id: String,
    /// The wire form.
    pub value: Bytes,
    /// The line of the file it is from; 0 where the format has none.
    pub line: u64,
}

/// What became of a batch that was taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sent {
    /// Messages that are durable now.
    pub accepted: u64,
    /// Messages that were refused for good.
    pub rejected: u64,
    /// Index in the batch and cause, for some or all of the rejected.
    pub causes: Vec<(usize, String)>,
}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum SendError {
    /// Not now: send it again after this long.
    Busy {
        /// How long to wait.
        after: Duration,
        /// In one line.
        reason: String,
    },
    /// Cannot be reached: send it again later. In one line, with what to do.
    Unavailable(String),
    /// Never: in one line.
    Refused(String),
}

/// A receiver of messages.
#[async_trait]
pub trait Sink: Send {
    /// Names the receiver: a replay to another one begins anew.
    fn identity(&self) -> String;

    /// Sends one batch of one stream, in order; returns once what was accepted
    /// is durable. After an error part of it may have been taken.
    async fn send(&mut self, stream: Stream, messages: &[Outgoing]) -> Result<Sent, SendError>;
}
