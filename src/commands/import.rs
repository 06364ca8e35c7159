//! `citypulse import`: files of history straight into the lake.

mod parquet;

use std::convert::Infallible;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use batch_layer::import::{
    BadRow, FileSummary, ImportError, ImportFile, ImportRow, Importer, KEPT_MAX, ParquetTable,
    is_parquet,
};
use events::{Event, Stream};
use generators::replay::{
    Input, RecordedRow, Recording, ReplayError, ReplayOptions, parse_mapping, rows_of,
};
use parquet::FromParquet;
use tokio_util::sync::CancellationToken;

use super::replay::{bad_usage, format_of, stop_on_signal};
use crate::cli::ImportArgs;
use crate::config::Config;
use crate::platform::open_lake;
use crate::progress::Display;
use crate::terminal::{one_sentence, tell};

const DRAW_EVERY: Duration = Duration::from_millis(200);
/// How often another import may be first with a file.
const OVERTAKEN_MAX: u32 = 5;

/// What every file of one call shares.
struct Options {
    stream: Option<Stream>,
    map: Vec<(String, String)>,
    set: Vec<(String, String)>,
    replay: ReplayOptions,
}

impl Options {
    /// What a file is known by beside its bytes: `map` as it is said, or in order.
    fn reading(&self, map: &[(String, String)]) -> String {
        let mut reading = format!("{map:?}");
        if !self.set.is_empty() {
            reading.push_str(&format!(" set {:?}", sorted(&self.set)));
        }
        if let Some(format) = &self.replay.time_format {
            reading.push_str(&format!(" times {format}"));
        }
        reading
    }

    /// The topic whose events rows are of that stream.
    fn topic(&self, stream: Option<Stream>) -> String {
        stream.map_or_else(String::new, |stream| {
            self.replay.topics.topic(stream).to_string()
        })
    }
}

fn sorted(pairs: &[(String, String)]) -> Vec<(String, String)> {
    let mut sorted = pairs.to_vec();
    sorted.sort();
    sorted
}

struct Recorded(RecordedRow);

impl ImportRow for Recorded {
    fn line(&self) -> u64 {
        self.0.line()
    }

    fn into_event(self, now_us: i64) -> Result<Option<Event>, BadRow> {
        self.0.into_event(now_us).map_err(|refused| BadRow {
            cause: refused.cause,
            text: refused.text,
        })
    }
}

type RecordedRows = Box<dyn Iterator<Item = Result<Recorded, String>> + Send>;

fn recorded(
    rows: impl Iterator<Item = Result<RecordedRow, ReplayError>> + Send + 'static,
) -> RecordedRows {
    let said = |error: ReplayError| one_sentence(&error.into());
    Box::new(rows.map(move |row| row.map(Recorded).map_err(said)))
}

/// Imports each file. One that cannot be read to its end adds nothing, and is named when
/// the others are in.
pub async fn run(config: Config, args: ImportArgs) -> Result<()> {
    let options = options(&config, &args);
    let stop = stop_on_signal()?;
    for path in &args.files {
        std::fs::File::open(path)
            .with_context(|| format!("cannot read {}; nothing was imported", path.display()))?;
    }
    let lake = open_lake(&config).await?;
    let began = Instant::now();
    let mut import = Import {
        importer: Importer::new(Arc::clone(&lake), now_us()),
        waiting: Vec::new(),
        done: 0,
        total: FileSummary::default(),
        failed: Vec::new(),
    };
    let ended = import.all_files(&args.files, &options, &stop).await;
    for failure in &import.failed {
        tell(&format!("error: {failure}"));
    }
    ended?;
    let total = import.total;
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} rows added in {seconds:.1} s ({:.0} rows/s) to {}",
        total.added,
        total.added as f64 / seconds.max(1e-3),
        lake.url()
    );
    match (import.failed.len(), total.added + total.known) {
        (failed @ 1.., _) => bail!("{failed} of {} files were not imported", args.files.len()),
        (0, 0) => bail!("no row was taken"),
        _ => Ok(()),
    }
}

/// A call under way.
struct Import {
    importer: Importer,
    /// Files that are not committed yet: what is to be said of each, or why it failed.
    waiting: Vec<Result<(String, FileSummary), String>>,
    /// Files that are done: in, or failed.
    done: usize,
    total: FileSummary,
    /// Why files are not in.
    failed: Vec<String>,
}

impl Import {
    /// Takes in every file, also where another import is first with one.
    async fn all_files(
        &mut self,
        files: &[PathBuf],
        options: &Options,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut tries = 0;
        while let Err(error) = self.files(files, options, stop).await {
            let is_overtaken = matches!(error.downcast_ref(), Some(ImportError::Overtaken));
            tries += 1;
            if !is_overtaken || tries == OVERTAKEN_MAX {
                return Err(error);
            }
            // Again from the first that is not in: what the other brought in is left out.
            self.waiting.clear();
        }
        Ok(())
    }

    /// Takes in the files from the first on that is not done.
    async fn files(
        &mut self,
        files: &[PathBuf],
        options: &Options,
        stop: &CancellationToken,
    ) -> Result<()> {
        for path in &files[self.done..] {
            match one(&mut self.importer, path, options, stop).await {
                Ok(summary) => self.waiting.push(Ok(summary)),
                Err(error) => {
                    let error = error.context(format!("{} was not imported", path.display()));
                    if is_of_one_file(&error) {
                        self.waiting.push(Err(one_sentence(&error)));
                        continue;
                    }
                    self.importer
                        .finish()
                        .await
                        .context("the files before it were not committed")
                        .with_context(|| format!("{error:#}"))?;
                    self.say_what_is_in();
                    return Err(error);
                }
            }
            if self.importer.is_committed() {
                self.say_what_is_in();
            }
        }
        self.importer
            .finish()
            .await
            .context("the last files were not committed")?;
        self.say_what_is_in();
        Ok(())
    }

    fn say_what_is_in(&mut self) {
        for file in self.waiting.drain(..) {
            self.done += 1;
            match file {
                Ok((name, summary)) => {
                    println!("{}", in_one_line(&name, &summary));
                    self.total.added += summary.added;
                    self.total.known += summary.known;
                }
                Err(failure) => self.failed.push(failure),
            }
        }
    }
}

/// Whether other files may be read where this one could not be.
fn is_of_one_file(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), None | Some(ImportError::Read(_)))
}

/// Its name, and what became of its rows.
async fn one(
    importer: &mut Importer,
    path: &Path,
    options: &Options,
    stop: &CancellationToken,
) -> Result<(String, FileSummary)> {
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
        return Ok((name, FileSummary::of_known_file()));
    }
    let display = Mutex::new(Display::new(&name));
    let bar = lock(&display).handle();
    let mut on_bad = |line: u64, cause: String| lock(&display).bad_row(line, &cause);
    let added = if is_parquet(path).with_context(|| format!("cannot read {}", path.display()))? {
        let table = ParquetTable::open(path).map_err(anyhow::Error::msg)?;
        let (read, total) = (table.rows_read(), table.total_rows());
        let table = Box::new(FromParquet(table));
        let rows = rows_of(table, path.to_owned(), &options.replay)?;
        let content_mark = mark.clone();
        let file = ImportFile {
            name: name.clone(),
            topic: options.topic(options.stream),
            mark,
            rows: recorded(rows),
            content_mark: Box::new(|| content_mark),
        };
        let adding = importer.add(file, &mut on_bad, stop);
        drawn(
            &display,
            || Some((read.load(Ordering::Relaxed), total)),
            adding,
        )
        .await
    } else {
        let recording = Recording::open(&ReplayOptions {
            input: Input::File(path.to_owned()),
            ..options.replay.clone()
        })?;
        let extent = recording.extent();
        let reading = reading(&recording, options);
        let hash = recording.hash();
        let topic = options.topic(recording.format().stream().or(options.stream));
        let file = ImportFile {
            name: name.clone(),
            topic,
            mark,
            rows: recorded(recording),
            content_mark: Box::new(move || format!("import/{reading}/{}", hash.so_far())),
        };
        let adding = importer.add(file, &mut on_bad, stop);
        let share = || extent.total_bytes.map(|total| (extent.read_bytes(), total));
        drawn(&display, share, adding).await
    };
    bar.clear();
    Ok((name, added?))
}

/// How rows are made of a recording: what decides is its format, not how it was told.
fn reading(recording: &Recording, options: &Options) -> String {
    let map = options.reading(&sorted(&options.map));
    let format = recording.format();
    let stream = format.stream().or(options.stream).map_or("", Stream::name);
    let told = format!("{format} {stream} {map}");
    blake3::hash(told.as_bytes()).to_hex()[..16].to_owned()
}

fn in_one_line(name: &str, summary: &FileSummary) -> String {
    if *summary == FileSummary::of_known_file() {
        return format!(
            "{name}: already in; nothing added (docs/lake.md says when it may come in again)"
        );
    }
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
    if summary.bad > 0 {
        let first = match summary.not_kept {
            0 => String::new(),
            _ => format!("the first {KEPT_MAX} of "),
        };
        line.push_str(&format!(" ({first}them in dead_letters)"));
    }
    line
}

/// Does `work` and shows meanwhile how much of how much of the file has been read.
async fn drawn<T>(
    display: &Mutex<Display>,
    share: impl Fn() -> Option<(u64, u64)>,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        done = work => done,
        never = draw(display, share) => match never {},
    }
}

async fn draw(display: &Mutex<Display>, share: impl Fn() -> Option<(u64, u64)>) -> Infallible {
    loop {
        lock(display).show(share(), "");
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
        set: args.set.clone(),
        time_format: args.time_format.clone(),
        topics,
        ..ReplayOptions::file("")
    };
    Options {
        stream,
        map,
        set: args.set.clone(),
        replay,
    }
}

/// The same bytes read with the same words have the same mark, whatever their name: that
/// is known before the first row is read.
async fn mark(path: &Path, options: &Options) -> Result<String> {
    let path: PathBuf = path.to_owned();
    let reading = format!(
        "{:?} {:?} {}",
        options.stream,
        options.replay.format,
        options.reading(&options.map)
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
