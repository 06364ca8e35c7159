//! The HTTP door.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// Longer than any answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A client of one running platform.
#[derive(Clone, Debug)]
pub struct Api {
    port: u16,
    client: Client,
}

/// An answer with its status.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The `Content-Type`, empty where there is none.
    pub content_type: String,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {} {}", self.status, self.text))
    }

    /// The member `detail` of an error.
    pub fn detail(&self) -> String {
        let body = self.json();
        let detail = body["detail"].as_str();
        detail
            .unwrap_or_else(|| panic!("no detail: {body}"))
            .to_owned()
    }
}

impl Api {
    /// The door on this port of this machine.
    pub fn new(port: u16) -> Api {
        let client = Client::builder()
            .no_proxy()
            .timeout(ANSWER_WITHIN)
            .build()
            .expect("an HTTP client");
        Api { port, client }
    }

    /// The address of a path, `http://127.0.0.1:PORT/...`.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Any request; an error only where no answer came.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, String> {
        let mut request = self.client.request(method, self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let content_type = answer
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let status = answer.status();
        let text = answer.text().await.map_err(|error| format!("{error:?}"))?;
        Ok(Answer {
            status,
            content_type,
            text,
        })
    }

    /// GET, whatever the status.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &[], "")
            .await
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// GET of JSON that must be there.
    pub async fn get_json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "GET {path}: {}", answer.text);
        answer.json()
    }

    /// POST of a body, whatever the status.
    pub async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        self.request(Method::POST, path, &[("content-type", content_type)], body)
            .await
            .unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Sends events to a topic; an error where no answer came, as when the platform is
    /// killed in the middle.
    pub async fn try_ingest(&self, topic: &str, events: &[Value]) -> Result<Answer, String> {
        let path = format!("/api/ingest/{topic}");
        let body = Value::from(events).to_string();
        self.request(
            Method::POST,
            &path,
            &[("content-type", "application/json")],
            body,
        )
        .await
    }

    /// Sends events to a topic; every one must be accepted.
    pub async fn ingest(&self, topic: &str, events: &[Value]) {
        let answer = self
            .try_ingest(topic, events)
            .await
            .unwrap_or_else(|error| panic!("ingest: {error}"));
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        assert_eq!(answer.json()["accepted"], events.len(), "{}", answer.text);
    }

    /// An SQL query, whatever the outcome.
    pub async fn try_sql(&self, sql: &str) -> Result<Answer, String> {
        let body = json!({"sql": sql, "format": "json"}).to_string();
        self.request(
            Method::POST,
            "/api/sql",
            &[("content-type", "application/json")],
            body,
        )
        .await
    }

    /// The rows of an SQL query that must succeed, each an object by column.
    pub async fn sql(&self, sql: &str) -> Vec<Value> {
        let answer = self
            .try_sql(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(answer.status, StatusCode::OK, "{sql}: {}", answer.text);
        match answer.json()["rows"].take() {
            Value::Array(rows) => rows,
            other => panic!("{sql}: rows is no array: {other}"),
        }
    }

    /// The single row of an SQL query.
    pub async fn sql_row(&self, sql: &str) -> Value {
        let mut rows = self.sql(sql).await;
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows.remove(0)
    }

    /// `SELECT count(*)`: the number of rows of a table.
    pub async fn count(&self, table: &str) -> u64 {
        let row = self
            .sql_row(&format!("SELECT count(*) AS n FROM {table}"))
            .await;
        row["n"]
            .as_u64()
            .unwrap_or_else(|| panic!("no count: {row}"))
    }

    /// Whether `/readyz` says yes; otherwise what it says.
    pub async fn readiness(&self) -> Result<(), String> {
        let answer = self.request(Method::GET, "/readyz", &[], "").await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(format!("{} {}", answer.status, answer.text))
    }
}
