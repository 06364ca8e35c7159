//! `citypulse sql`

use std::future::poll_fn;
use std::pin::Pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use http_body::Body as _;
use lake::query::{Freshness, SqlEngine, output};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::cli::{RowFormat, SqlArgs};
use crate::config::Config;
use crate::instance::running_address;
use crate::platform::Platform;
use crate::terminal::print;

/// Longer than any statement may run.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Answers from a running instance where there is one, otherwise from the back
/// ends directly.
pub async fn run(config: Config, args: SqlArgs) -> Result<()> {
    let running = running_address(&config.data_dir);
    match args.to.clone().or(running) {
        Some(address) => ask(&address, &args).await,
        None => compute(config, &args).await,
    }
}

fn format_of(args: &SqlArgs) -> output::Format {
    match args.format {
        RowFormat::Table => output::Format::Table,
        RowFormat::Csv => output::Format::Csv,
        RowFormat::Json => output::Format::Json,
        RowFormat::Parquet => output::Format::Parquet,
    }
}

/// Over HTTP. A table is drawn here, from the rows in Arrow's format.
async fn ask(address: &str, args: &SqlArgs) -> Result<()> {
    let (wire, table) = match args.format {
        RowFormat::Table => ("arrow", true),
        RowFormat::Csv => ("csv", false),
        RowFormat::Json => ("json", false),
        RowFormat::Parquet => ("parquet", false),
    };
    let freshness = if args.relaxed { "relaxed" } else { "exact" };
    let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
    let response = client
        .post(format!("{address}/api/sql"))
        // Why an answer ends early is told behind it.
        .header("te", "trailers")
        .json(&json!({"sql": args.query, "format": wire, "freshness": freshness}))
        .send()
        .await
        .with_context(|| format!("no answer from the instance at {address}"))?;
    let status = response.status();
    let body = whole(response).await?;
    if !status.is_success() {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("no detail was given");
        bail!("{detail} ({status})");
    }
    if !table {
        return print(body);
    }
    let reader = arrow::ipc::reader::StreamReader::try_new(body.as_slice(), None)
        .context("the instance's answer is not an Arrow stream")?;
    let batches = reader
        .collect::<Result<Vec<_>, _>>()
        .context("the instance's answer is damaged")?;
    let table = arrow::util::pretty::pretty_format_batches(&batches)?;
    print(format!("{table}\n"))
}

/// The body, or why the server could not finish it.
async fn whole(response: reqwest::Response) -> Result<Vec<u8>> {
    let mut body = reqwest::Body::from(response);
    let mut bytes = Vec::new();
    loop {
        let next = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = next else { return Ok(bytes) };
        let frame = frame.context("the answer broke off")?;
        match frame.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => {
                let trailers = frame.trailers_ref();
                let problem = trailers.and_then(|trailers| trailers.get("citypulse-problem"));
                if let Some(problem) = problem {
                    bail!("{}", String::from_utf8_lossy(problem.as_bytes()));
                }
            }
        }
    }
}

/// In this process, over the same lake and log that a server would use.
async fn compute(config: Config, args: &SqlArgs) -> Result<()> {
    let folder = &config.data_dir;
    // Asking changes nothing: an empty platform is not made for it.
    if !config.uses_kafka() && !folder.is_dir() {
        bail!(
            "data folder {} does not exist, so there is nothing to ask; `citypulse up` fills one, \
             --data-dir names another, --to asks a running instance",
            folder.display()
        );
    }
    let mut platform = Platform::new(config)?;
    let log = platform.open_log()?;
    log.create_topics(&platform.topic_specs()).await?;
    let lake = platform.open_lake().await?;
    let engine = platform.open_engine(lake, log)?;
    let stop = CancellationToken::new();
    let tail = tokio::spawn(engine.clone().run(stop.clone()));
    let outcome = stream_answer(&engine, args).await;
    stop.cancel();
    tail.await.context("the log's tail broke")?;
    platform.close().await?;
    outcome
}

async fn stream_answer(engine: &SqlEngine, args: &SqlArgs) -> Result<()> {
    let started = Instant::now();
    let freshness = if args.relaxed {
        Freshness::Relaxed
    } else {
        Freshness::Exact
    };
    let (schema, rows) = engine.query(&args.query, freshness).await?;
    let mut pieces = output::encode(format_of(args), schema, rows, started);
    while let Some(piece) = pieces.try_next().await? {
        print(&piece)?;
    }
    Ok(())
}
