//! Computes dates of views and puts them into the lake.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use events::time::DAY_US;
use futures::StreamExt;
use lake::query::{LakeReader, QueryConfig, QueryError};
use lake::{Lake, NewFile, Replacement, Snapshot, Table, View};
use streets::StreetNetwork;
use tokio_util::sync::CancellationToken;
use tracks::{Limits, Streets};

use crate::air::AirFold;
use crate::by_device::{Bucket, ByDevice};
use crate::draft::WRITTEN;
use crate::fixes::FixFold;
use crate::incidents::IncidentFold;
use crate::source::{Source, date_text};
use crate::{Error, Result};

/// How views are computed. The first two must be the speed layer's own.
#[derive(Clone, Debug)]
pub struct ViewsConfig {
    /// When a fix is not believed.
    pub limits: Limits,
    /// A fix farther than this from every street is on no street, metres.
    pub match_distance_m: f64,
    /// Memory of the rows that are put together by device, bytes; more goes to disk.
    pub memory_bytes: usize,
    /// Where; `None` takes the system's folder.
    pub spill_dir: Option<PathBuf>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Raw rows read.
    pub rows: u64,
    /// Raw rows to read, about.
    pub total_rows: u64,
}

/// What a view was computed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recomputed {
    /// The view.
    pub view: View,
    /// Dates that were replaced.
    pub dates: usize,
    /// Rows of the view on these dates.
    pub rows: u64,
}

/// Versions of raw tables that belong together.
pub(crate) type Versions = Vec<(Table, Arc<Snapshot>)>;

/// Makes the rows of a date's views, which takes a while.
pub(crate) type Computed = Box<dyn FnOnce() -> Result<Vec<(View, RecordBatch)>> + Send>;

/// Computes views.
pub struct Views {
    pub(crate) lake: Arc<Lake>,
    pub(crate) reader: LakeReader,
    streets: Streets,
    limits: Limits,
    memory_bytes: usize,
    spill_dir: Option<PathBuf>,
}

impl std::fmt::Debug for Views {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Views")
            .field("lake", &self.lake.url())
            .finish()
    }
}

impl Views {
    /// On the streets that the speed layer matches to.
    pub fn new(lake: Arc<Lake>, streets: Arc<StreetNetwork>, config: &ViewsConfig) -> Result<Self> {
        let limits = QueryConfig {
            memory_bytes: config.memory_bytes,
            spill_dir: config.spill_dir.clone(),
            spill_bytes: u64::MAX,
            ..QueryConfig::default()
        };
        Ok(Self {
            reader: LakeReader::new(&lake, &limits)?,
            lake,
            streets: Streets::new(streets, config.match_distance_m),
            // One device at a time: its ids are never too many.
            limits: Limits {
                ids: usize::MAX,
                ..config.limits.clone()
            },
            memory_bytes: config.memory_bytes,
            spill_dir: config.spill_dir.clone(),
        })
    }

    /// Computes the dates (days since the epoch) of `views` from the raw rows and puts
    /// them in the place of what is there, each view in one commit. With `as_draft`
    /// they are all that the table beside has afterwards. Dates without raw rows are
    /// left as they are: the view may be all that is left of them.
    ///
    /// # Errors
    /// [`Error::Stopped`] after `stop`; no view has changed that is not done then.
    pub async fn recompute(
        &self,
        views: &[View],
        dates: RangeInclusive<i32>,
        as_draft: bool,
        mut progress: impl FnMut(Progress),
        stop: &CancellationToken,
    ) -> Result<Vec<Recomputed>> {
        let mut all = Vec::new();
        let mut work = Vec::new();
        let mut done = Progress::default();
        for source in Source::ALL {
            let of_it = |view: &View| Source::of(*view) == source;
            let wanted: Vec<View> = views.iter().copied().filter(of_it).collect();
            if wanted.is_empty() {
                continue;
            }
            let versions = self.versions(source).await?;
            let dates: Vec<i32> = dates_of(&versions)
                .into_iter()
                .filter(|date| dates.contains(date))
                .collect();
            done.total_rows += dates
                .iter()
                .map(|date| rows_on(&versions, *date))
                .sum::<u64>();
            work.push((source, wanted, versions, dates));
        }
        for (source, wanted, versions, dates) in work {
            let mut parts: HashMap<View, Vec<NewFile>> = HashMap::new();
            let mut marks = HashMap::new();
            // One date's rows are written while those of the next are read.
            let mut before = None;
            for date in &dates {
                let read = |rows| {
                    done.rows += rows;
                    progress(done);
                };
                let compute = self.compute(source, &wanted, &versions, *date, read, stop);
                let write = self.write(before.take(), as_draft, &mut parts);
                let (computed, ()) = futures::try_join!(compute, write)?;
                before = Some(computed);
                marks.extend(mark(source, &versions, *date));
            }
            self.write(before, as_draft, &mut parts).await?;
            for view in wanted {
                let table = table(view, as_draft);
                let mut replacement = Replacement {
                    dates: dates.clone(),
                    files: parts.remove(&view).unwrap_or_default(),
                    marks: marks.clone(),
                    ..Replacement::default()
                };
                if as_draft {
                    // Nothing is left of an earlier draft.
                    let earlier = self.lake.refresh(table).await?.dates();
                    replacement.dates.extend(earlier);
                    replacement.marks.insert(WRITTEN.to_owned(), now_us());
                }
                let rows = replacement.files.iter().map(|file| file.rows).sum();
                self.lake.replace_dates(table, &replacement).await?;
                all.push(Recomputed {
                    view,
                    dates: dates.len(),
                    rows,
                });
            }
        }
        Ok(all)
    }

    /// Writes what is given, and adds the files to those of their views.
    async fn write(
        &self,
        computed: Option<Computed>,
        as_draft: bool,
        parts: &mut HashMap<View, Vec<NewFile>>,
    ) -> Result<()> {
        let Some(computed) = computed else {
            return Ok(());
        };
        for (view, rows) in in_background(computed).await? {
            let table = table(view, as_draft);
            let files = self.lake.write_files(table, vec![rows]).await?;
            parts.entry(view).or_default().extend(files);
        }
        Ok(())
    }

    /// One date of views of one source.
    pub(crate) async fn compute(
        &self,
        source: Source,
        views: &[View],
        versions: &Versions,
        date: i32,
        mut read: impl FnMut(u64),
        stop: &CancellationToken,
    ) -> Result<Computed> {
        let sql = source.sql(date, versions);
        let mut rows = self.reader.read(&sql, versions).await?;
        let readers = std::thread::available_parallelism().map_or(1, usize::from);
        let mut fold = match source {
            Source::Fixes => Fold::Fixes(Box::new(ByDevice::new(
                rows_on(versions, date),
                readers,
                self.memory_bytes,
                self.spill_dir.as_deref(),
            ))),
            Source::Weather => Fold::Air(Box::new(AirFold::new(date, self.limits.clone()))),
            Source::Incidents => Fold::Incidents(IncidentFold::new(date)),
        };
        while let Some(batch) = rows.next().await {
            if stop.is_cancelled() {
                return Err(Error::Stopped);
            }
            let batch = batch.map_err(QueryError::from)?;
            let count = batch.num_rows() as u64;
            // A batch is taken in within milliseconds.
            fold.take(&batch)?;
            if let Fold::Fixes(by_device) = fold {
                fold = Fold::Fixes(spill_if_full(by_device).await?);
            }
            read(count);
            tokio::task::yield_now().await;
        }
        match fold {
            Fold::Fixes(by_device) => {
                let (limits, streets) = (self.limits.clone(), self.streets.clone());
                let new = || FixFold::new(date, views, limits.clone(), streets.clone());
                let fold = fold_buckets(*by_device, readers, new, stop).await?;
                Ok(Box::new(move || fold.finish()))
            }
            Fold::Air(fold) => Ok(Box::new(move || fold.finish())),
            Fold::Incidents(fold) => Ok(Box::new(move || fold.finish())),
        }
    }

    pub(crate) async fn versions(&self, source: Source) -> Result<Versions> {
        let mut versions = Versions::new();
        for table in source.tables() {
            versions.push((*table, self.lake.refresh(*table).await?));
        }
        Ok(versions)
    }
}

/// Where rows go.
enum Fold {
    /// Put together before they are folded.
    Fixes(Box<ByDevice>),
    Air(Box<AirFold>),
    Incidents(IncidentFold),
}

impl Fold {
    fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        match self {
            Fold::Fixes(by_device) => by_device.take(rows),
            Fold::Air(fold) => fold.take(rows),
            Fold::Incidents(fold) => fold.take(rows),
        }
    }
}

async fn spill_if_full(mut by_device: Box<ByDevice>) -> Result<Box<ByDevice>> {
    if !by_device.is_full() {
        return Ok(by_device);
    }
    in_background(move || {
        by_device.spill()?;
        Ok(by_device)
    })
    .await
}

/// Folds buckets side by side: what is decided about one device depends on no other.
async fn fold_buckets(
    by_device: ByDevice,
    readers: usize,
    new: impl Fn() -> FixFold,
    stop: &CancellationToken,
) -> Result<FixFold> {
    let buckets = by_device.into_buckets();
    let readers = readers.min(buckets.len());
    let buckets = Arc::new(Mutex::new(buckets));
    let mut folds = Vec::with_capacity(readers);
    for _ in 0..readers {
        let (buckets, stop, mut fold) = (buckets.clone(), stop.clone(), new());
        folds.push(in_background(move || {
            let mut room = Vec::new();
            while let Some(bucket) = next(&buckets) {
                if stop.is_cancelled() {
                    return Err(Error::Stopped);
                }
                let bucket = bucket.load(room)?;
                fold.take(&bucket);
                room = bucket.into_room();
            }
            Ok(fold)
        }));
    }
    let mut whole = new();
    for fold in futures::future::try_join_all(folds).await? {
        whole.merge(fold);
    }
    Ok(whole)
}

/// Whoever holds it only takes one out: it is whole after any panic.
fn next(buckets: &Mutex<Vec<Bucket>>) -> Option<Bucket> {
    let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
    buckets.pop()
}

/// On a thread that may compute and wait for the disk.
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Internal(error.to_string()))?
}

pub(crate) const fn table(view: View, is_draft: bool) -> Table {
    match is_draft {
        true => Table::Draft(view),
        false => Table::View(view),
    }
}

fn now_us() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The dates that there are raw rows of.
pub(crate) fn dates_of(versions: &Versions) -> std::collections::BTreeSet<i32> {
    versions
        .iter()
        .flat_map(|(_, snapshot)| snapshot.dates())
        .collect()
}

fn rows_on(versions: &Versions, date: i32) -> u64 {
    let files = versions
        .iter()
        .flat_map(|(_, snapshot)| snapshot.files.values());
    let of_date = files.filter(|file| file.date == Some(date));
    of_date.filter_map(|file| file.rows).sum()
}

/// The counter that says of which raw rows a date was computed.
pub(crate) fn mark_name(date: i32) -> String {
    format!("raw-of/{}", date_text(i64::from(date) * DAY_US))
}

/// What that counter is for these versions.
pub(crate) fn mark(source: Source, versions: &Versions, date: i32) -> Option<(String, i64)> {
    use std::hash::{Hash, Hasher};
    let span_us = source.span_us(date);
    let (first, last) = (
        events::columns::date_of(span_us.start),
        events::columns::date_of(span_us.end - 1),
    );
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    for (table, snapshot) in versions {
        for day in first..=last {
            let found = snapshot.fingerprint(day, span_us.clone());
            (table.name(), day, found).hash(&mut hasher);
        }
    }
    // A counter is not negative.
    Some((mark_name(date), (hasher.finish() >> 1) as i64))
}
