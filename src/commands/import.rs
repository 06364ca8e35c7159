//! `citypulse import`: files of history straight into the lake.

use std::convert::Infallible;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use batch_layer::import::{
    FileSummary, ImportError, ImportFile, ImportRow, Importer, ParquetRows, is_parquet,
};
use events::{Event, Stream};
use generators::replay::{Extent, Input, RecordedRow, Recording, ReplayOptions, parse_mapping};
use tokio_util::sync::CancellationToken;

use super::replay::{bad_usage, format_of, stop_on_signal};
use crate::cli::ImportArgs;
use crate::config::Config;
use crate::platform::open_lake;
use crate::progress::Display;
use crate::terminal::one_sentence;

const DRAW_EVERY: Duration = Duration::from_millis(200);

/// What every file of one call shares.
struct Options {
    stream: Option<Stream>,
    map: Vec<(String, String)>,
    replay: ReplayOptions,
}

struct Recorded(RecordedRow);

impl ImportRow for Recorded {
    fn line(&self) -> u64 {
        self.0.line()
    }

    fn into_event(self, now_us: i64) -> Result<Option<Event>, String> {
        self.0.into_event(now_us)
    }
}

/// Imports each file; one that cannot be read ends the command, and what was not
/// committed by then is not in.
pub async fn run(config: Config, args: ImportArgs) -> Result<()> {
    let options = options(&config, &args);
    let stop = stop_on_signal()?;
    let lake = open_lake(&config).await?;
    let mut importer = Importer::new(Arc::clone(&lake), now_us());
    let began = Instant::now();
    let mut total = FileSummary::default();
    for path in &args.files {
        let summary = one(&mut importer, path, &options, &stop)
            .await
            .with_context(|| format!("{} was not imported", path.display()))?;
        total.added += summary.added;
        total.known += summary.known;
    }
    importer
        .finish()
        .await
        .context("the last files were not committed")?;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} rows added in {seconds:.1} s ({:.0} rows/s) to {}",
        total.added,
        total.added as f64 / seconds.max(1e-3),
        lake.url()
    );
    match total.added + total.known {
        0 => bail!("no row was taken"),
        _ => Ok(()),
    }
}

async fn one(
    importer: &mut Importer,
    path: &Path,
    options: &Options,
    stop: &CancellationToken,
) -> Result<FileSummary> {
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned();
    let mark = mark(path, options).await?;
    let known = importer.tables_with(&mark).await?;
    if options
        .stream
        .is_some_and(|stream| known.contains(&lake::Table::Stream(stream)))
    {
        println!("{name}: already in; nothing added");
        return Ok(FileSummary {
            known: 1,
            ..FileSummary::default()
        });
    }
    let display = Mutex::new(Display::new(&name));
    let bar = lock(&display).handle();
    let mut on_bad = |line: u64, cause: String| lock(&display).bad_row(line, &cause);
    let summary = if is_parquet(path).with_context(|| format!("cannot read {}", path.display()))? {
        let stream = options.stream.unwrap_or_else(|| {
            bad_usage(
                "parquet: say with --stream what the rows are, such as --stream gps_data"
                    .to_owned(),
            )
        });
        let rows = ParquetRows::open(path, stream, &options.map).map_err(anyhow::Error::msg)?;
        let file = ImportFile {
            mark,
            rows: Box::new(rows),
        };
        importer.add(file, &mut on_bad, stop).await?
    } else {
        let recording = Recording::open(&ReplayOptions {
            input: Input::File(path.to_owned()),
            ..options.replay.clone()
        })?;
        let extent = recording.extent();
        let rows = recording.map(|row| {
            row.map(Recorded)
                .map_err(|error| one_sentence(&error.into()))
        });
        let file = ImportFile {
            mark,
            rows: Box::new(rows),
        };
        let adding = importer.add(file, &mut on_bad, stop);
        let added = tokio::select! {
            added = adding => added,
            never = draw(&display, &extent) => match never {},
        };
        bar.clear();
        added?
    };
    println!("{}", in_one_line(&name, &summary));
    Ok(summary)
}

fn in_one_line(name: &str, summary: &FileSummary) -> String {
    let mut line = format!("{name}: {} rows added", summary.added);
    for (count, what) in [
        (summary.known, "already in"),
        (summary.bad, "not readable"),
        (summary.skipped, "skipped"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    line
}

/// Shows how far the file has been read.
async fn draw(display: &Mutex<Display>, extent: &Extent) -> Infallible {
    loop {
        let share = extent.total_bytes.map(|total| (extent.read_bytes(), total));
        lock(display).show(share, "");
        tokio::time::sleep(DRAW_EVERY).await;
    }
}

fn lock(display: &Mutex<Display>) -> MutexGuard<'_, Display> {
    display.lock().unwrap_or_else(PoisonError::into_inner)
}

fn options(config: &Config, args: &ImportArgs) -> Options {
    let topics = config.topic_names();
    let stream = args.stream.as_deref().map(|name| {
        let known = || Stream::ALL.map(Stream::name).join(", ");
        topics
            .stream(name)
            .unwrap_or_else(|| bad_usage(format!("--stream {name:?}: expected one of {}", known())))
    });
    let map: Vec<_> = args
        .map
        .iter()
        .map(|pair| parse_mapping(pair))
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| bad_usage(format!("--map: {error}")));
    let replay = ReplayOptions {
        format: format_of(args.format),
        stream,
        map: map.clone(),
        topics,
        ..ReplayOptions::file("")
    };
    Options {
        stream,
        map,
        replay,
    }
}

/// The same content read the same way has the same mark, whatever its name.
async fn mark(path: &Path, options: &Options) -> Result<String> {
    let path: PathBuf = path.to_owned();
    let reading = format!(
        "{:?} {:?} {:?}",
        options.stream, options.replay.format, options.map
    );
    let hash = tokio::task::spawn_blocking(move || -> Result<blake3::Hash> {
        let mut file = std::fs::File::open(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(reading.as_bytes());
        let mut buffer = vec![0; 1 << 20];
        loop {
            match file
                .read(&mut buffer)
                .with_context(|| format!("cannot read {}", path.display()))?
            {
                0 => return Ok(hasher.finalize()),
                length => hasher.update(&buffer[..length]),
            };
        }
    });
    let hash = hash
        .await
        .map_err(|error| ImportError::Internal(error.to_string()))??;
    Ok(format!("import/{hash}"))
}

fn now_us() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    since.as_micros() as i64
}
