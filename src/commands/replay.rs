//! `citypulse replay`: recordings, one file after another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::error::ErrorKind;
use events::Stream;
use generators::replay::{
    Format, HttpSink, Input, LogSink, ReplayOptions, SendError, Sink, Status, Summary, Update,
    run_replay,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::{ReplayArgs, ReplayFormat};
use crate::config::Config;
use crate::instance::running_address;
use crate::platform::Platform;
use crate::progress::Display;
use crate::terminal::{self, one_sentence};

/// A log that cannot be reached for this long is given up before anything is
/// read, as an instance is.
const TOPICS_WAIT_MAX: Duration = Duration::from_secs(60);
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8000";

/// Replays each file. A file that fails does not keep the others from being
/// replayed.
pub async fn run(config: Config, args: ReplayArgs) -> Result<()> {
    let recordings = args
        .files
        .iter()
        .map(|file| options(&config, &args, file))
        .collect::<Result<Vec<_>>>()?;
    let shutdown = stop_on_signal()?;
    let mut target = open_sink(config, &args).await?;
    let (mut taken, mut failed) = (0, None);
    for options in recordings {
        if shutdown.is_cancelled() {
            break;
        }
        match one(&options, target.sink.as_mut(), &shutdown).await {
            Ok(summary) => taken += summary.accepted_now,
            Err(error) => {
                let name = name_of(&options.input);
                terminal::tell(&format!("error: {name}: {}", one_sentence(&error)));
                failed = Some(name_of(&options.input));
            }
        }
    }
    if let Some(platform) = &target.platform {
        platform.close().await?;
    }
    match failed {
        Some(file) => bail!("{file} was not replayed to its end"),
        None if taken == 0 => bail!("no row was taken"),
        None => Ok(()),
    }
}

async fn one(
    options: &ReplayOptions,
    sink: &mut dyn Sink,
    shutdown: &CancellationToken,
) -> Result<Summary> {
    let name = name_of(&options.input);
    let mut display = Display::new(&name);
    let began = Instant::now();
    let bar = display.handle();
    let mut show = |update| match update {
        Update::Progress(status) => {
            let share = status.total_bytes.map(|total| (status.read_bytes, total));
            display.show(share, &figures(&status));
        }
        Update::Notice(notice) => display.notice(&notice),
        Update::BadRow { line, cause } => display.bad_row(line, &cause),
    };
    let replayed = run_replay(options, sink, &mut show, shutdown).await;
    bar.clear();
    let summary = replayed?;
    // The other files are replayed although nobody reads about this one.
    let line = in_one_line(&name, &summary, began.elapsed());
    let _ = terminal::print(line + "\n");
    Ok(summary)
}

fn figures(status: &Status) -> String {
    let mut text = format!(
        "{} rows, {} events accepted, {:.0} events/s",
        status.rows, status.accepted, status.events_per_s
    );
    if status.rejected + status.bad > 0 {
        text.push_str(&format!(
            ", {} rejected, {} bad",
            status.rejected, status.bad
        ));
    }
    text
}

/// What a file came to.
fn in_one_line(name: &str, summary: &Summary, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = summary.accepted_now as f64 / seconds.max(1e-3);
    let mut line = format!(
        "{name}: {} rows, {} events accepted, {} rejected, {} bad rows, {seconds:.1} s, {rate:.0} events/s",
        summary.rows, summary.accepted, summary.rejected, summary.bad
    );
    for (what, count) in &summary.skipped {
        line.push_str(&format!("; skipped {count} {what}"));
    }
    if let Some(row) = summary.resumed_after {
        line.push_str(&format!(
            "; went on after row {row}, {} events by this run",
            summary.accepted_now
        ));
    }
    if summary.is_interrupted {
        line.push_str("; interrupted, run it again to go on");
    }
    line
}

/// Where rows go, and what must stay open for it.
struct Target {
    sink: Box<dyn Sink>,
    platform: Option<Platform>,
}

/// Kafka where it is configured, otherwise the ingest path of an instance.
async fn open_sink(config: Config, args: &ReplayArgs) -> Result<Target> {
    if args.to.is_none() && config.uses_kafka() {
        let servers = config.kafka.bootstrap_servers.clone();
        let mut platform = Platform::for_one_role(config, "replay", false)?;
        let log = platform.open_log()?;
        let creation = platform.topic_creation(Arc::clone(&log));
        let created = tokio::time::timeout(TOPICS_WAIT_MAX, creation).await;
        created.with_context(|| {
            format!("Kafka at {servers} did not answer within {TOPICS_WAIT_MAX:?}")
        })??;
        let sink = Box::new(LogSink::new(log, platform.topics.clone(), servers));
        return Ok(Target {
            sink,
            platform: Some(platform),
        });
    }
    let running = || running_address(&config.data_dir);
    let to = args
        .to
        .clone()
        .or_else(running)
        .unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
    match HttpSink::new(&to) {
        Ok(sink) => Ok(Target {
            sink: Box::new(sink),
            platform: None,
        }),
        Err(
            SendError::Refused(reason)
            | SendError::Unavailable(reason)
            | SendError::Busy { reason, .. },
        ) => {
            bail!("--to: {reason}")
        }
    }
}

fn options(config: &Config, args: &ReplayArgs, file: &std::path::Path) -> Result<ReplayOptions> {
    let topics = config.topic_names();
    let stream = args.stream.as_deref().map(|name| {
        let known = || Stream::ALL.map(Stream::name).join(", ");
        topics
            .stream(name)
            .unwrap_or_else(|| bad_usage(format!("--stream {name:?}: expected one of {}", known())))
    });
    refuse_unused(args);
    Ok(ReplayOptions {
        input: if file.as_os_str() == "-" {
            Input::Stdin
        } else {
            Input::File(file.to_owned())
        },
        format: format_of(args.format),
        stream,
        map: args.map.clone(),
        time_format: args.time_format.clone(),
        speed: args.speed,
        rebase_to_now: args.rebase.is_some(),
        state_dir: Some(config.data_dir.join("replay")),
        restart: args.restart,
        topics,
        ..ReplayOptions::file(file)
    })
}

/// A flag that would change nothing was meant otherwise.
fn refuse_unused(args: &ReplayArgs) {
    let (format, tells_fields) = (args.format, [ReplayFormat::Auto, ReplayFormat::Csv]);
    let names_stream = [ReplayFormat::Auto, ReplayFormat::Csv, ReplayFormat::Ndjson];
    for (flag, is_said) in [
        ("--map", !args.map.is_empty()),
        ("--time-format", args.time_format.is_some()),
    ] {
        if is_said && !tells_fields.contains(&format) {
            bad_usage::<()>(format!(
                "{flag} has no effect on this --format; expected it with csv"
            ));
        }
    }
    if args.stream.is_some() && !names_stream.contains(&format) {
        bad_usage::<()>(
            "--stream has no effect on this --format; expected it with ndjson or csv".to_owned(),
        );
    }
}

/// As clap answers a bad flag: exit code 2.
pub(super) fn bad_usage<T>(message: String) -> T {
    clap::Error::raw(ErrorKind::InvalidValue, message + "\n").exit()
}

pub(super) fn format_of(format: ReplayFormat) -> Format {
    match format {
        ReplayFormat::Auto => Format::Auto,
        ReplayFormat::Ndjson => Format::Ndjson,
        ReplayFormat::Csv => Format::Csv,
        ReplayFormat::Cabspotting => Format::Cabspotting,
        ReplayFormat::Capmetro => Format::Capmetro,
        ReplayFormat::GtfsRt => Format::GtfsRt,
        ReplayFormat::SfFire => Format::SfFire,
    }
}

fn name_of(input: &Input) -> String {
    match input {
        Input::Stdin => "standard input".to_owned(),
        Input::File(path) => path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned(),
    }
}

/// SIGINT and SIGTERM end the work after what is in flight.
pub(super) fn stop_on_signal() -> Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let on_signal = shutdown.clone();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        on_signal.cancel();
    });
    Ok(shutdown)
}
