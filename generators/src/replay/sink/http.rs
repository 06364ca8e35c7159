//! The ingest path of a running instance.

use std::time::Duration;

use async_trait::async_trait;
use events::Stream;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;

use super::{Outgoing, SendError, Sent, Sink};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);
/// Where a 429 does not say how long.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Posts NDJSON to `{to}/api/ingest/{topic}`, one request at a time, so that the
/// order of the file is that of the log.
pub struct HttpSink {
    client: Client,
    to: String,
}

#[derive(Deserialize)]
struct Answer {
    accepted: u64,
    rejected: u64,
    #[serde(default)]
    errors: Vec<LineError>,
}

#[derive(Deserialize)]
struct LineError {
    /// Line of the body, from 1.
    line: usize,
    detail: String,
}

#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    detail: serde_json::Value,
}

impl HttpSink {
    /// `to` is the instance's address, such as `http://127.0.0.1:8000`.
    pub fn new(to: &str) -> Result<Self, SendError> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .no_proxy()
            .build()
            .map_err(|error| SendError::Refused(format!("cannot make an HTTP client: {error}")))?;
        Ok(Self {
            client,
            to: to.trim_end_matches('/').to_owned(),
        })
    }

    async fn refusal(&self, stream: Stream, response: Response) -> SendError {
        let status = response.status();
        let wait_s = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse::<f64>().ok());
        let problem: Problem = response.json().await.unwrap_or_default();
        let detail = match problem.detail {
            serde_json::Value::String(detail) => detail,
            serde_json::Value::Null => "no detail given".to_owned(),
            other => other.to_string(),
        };
        let reason = format!("{} answered {status} for {stream}: {detail}", self.to);
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let after = wait_s
                    .and_then(|wait_s| Duration::try_from_secs_f64(wait_s).ok())
                    .unwrap_or(RETRY_AFTER);
                SendError::Busy {
                    after: after.min(RETRY_AFTER_MAX),
                    reason,
                }
            }
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                SendError::Unavailable(reason)
            }
            _ => SendError::Refused(reason),
        }
    }
}

#[async_trait]
impl Sink for HttpSink {
    fn identity(&self) -> String {
        self.to.clone()
    }

    async fn send(&mut self, stream: Stream, messages: &[Outgoing]) -> Result<Sent, SendError> {
        let mut body =
            Vec::with_capacity(messages.iter().map(|message| message.value.len() + 1).sum());
        for message in messages {
            body.extend_from_slice(&message.value);
            body.push(b'\n');
        }
        let request = self
            .client
            .post(format!("{}/api/ingest/{}", self.to, stream.name()))
            .header("content-type", "application/x-ndjson")
            .body(body);
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        if response.status() != StatusCode::ACCEPTED && response.status() != StatusCode::OK {
            return Err(self.refusal(stream, response).await);
        }
        let answer: Answer = response.json().await.map_err(|error| {
            SendError::Unavailable(format!(
                "{} gave an answer that is not the ingest path's: {error}",
                self.to
            ))
        })?;
        let causes = answer
            .errors
            .into_iter()
            .map(|error| (error.line.saturating_sub(1), error.detail))
            .collect();
        Ok(Sent {
            accepted: answer.accepted,
            rejected: answer.rejected,
            causes,
        })
    }
}

impl HttpSink {
    fn unreachable(&self, error: &reqwest::Error) -> SendError {
        if error.is_builder() {
            return SendError::Refused(format!(
                "{:?} is not an address such as http://127.0.0.1:8000",
                self.to
            ));
        }
        let reason = if error.is_connect() {
            format!("no instance at {}; start one with `citypulse up`", self.to)
        } else if error.is_timeout() {
            format!("{} did not answer in time", self.to)
        } else {
            format!("{} broke the connection", self.to)
        };
        SendError::Unavailable(reason)
    }
}
