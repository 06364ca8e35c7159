//! Rows into files: one at a time, a new one when the folder changes or it is large.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::partition;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::ExportError;
use super::names::{attempt, file, folder};
use super::target::{Manifest, ManifestFile, Ready, StagedFile, Staging, Target};
use crate::query::output::{csv, ndjson, unique_names};

/// A file is ended when it is this large: well read in parallel, and few requests.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// A row group is ended when it takes this much memory, or has this many rows.
const ROW_GROUP_BYTES_MAX: usize = 32 << 20;
const ROW_GROUP_ROWS_MAX: usize = 524_288;

/// What the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Parquet with zstd.
    Parquet,
    /// CSV with a header line.
    Csv,
    /// One JSON object a line.
    Json,
}

impl ExportFormat {
    /// Every format, in the order in which they are listed to people.
    pub const ALL: [ExportFormat; 3] =
        [ExportFormat::Parquet, ExportFormat::Csv, ExportFormat::Json];

    /// As people write it, and the files' extension.
    pub const fn name(self) -> &'static str {
        match self {
            ExportFormat::Parquet => "parquet",
            ExportFormat::Csv => "csv",
            ExportFormat::Json => "json",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }
}

/// What a result came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Rows of all files.
    pub rows: u64,
    /// Size of all files.
    pub bytes: u64,
    /// All of them.
    pub files: Vec<ManifestFile>,
}

/// A result of more files is refused: every one is kept open or listed until the end.
const FILES_MAX: usize = 10_000;
/// Most file systems take 255 bytes.
const FOLDER_BYTES_MAX: usize = 200;

/// Writes a result.
pub struct Exporter {
    staging: Staging,
    format: ExportFormat,
    run_id: String,
    attempt: String,
    /// Of the whole rows.
    schema: SchemaRef,
    /// Columns that make folders,
    folders: Vec<usize>,
    /// and those that stay.
    kept: Vec<usize>,
    current: Option<InWork>,
    done: Exported,
}

struct InWork {
    folder: String,
    path: String,
    /// Away while it encodes.
    encoder: Option<Encoder>,
    file: StagedFile,
    rows: u64,
    bytes: u64,
}

enum Encoder {
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Csv { header_due: bool },
    Json,
}

impl Exporter {
    /// Begins a result of rows of `schema` in `target`. Rows must come in order of the
    /// columns `partition_by`.
    ///
    /// # Errors
    /// Where a column cannot make a folder, or the target cannot be written.
    pub fn begin(
        target: &Target,
        format: ExportFormat,
        schema: &Schema,
        partition_by: &[String],
        run_id: &str,
    ) -> Result<Self, ExportError> {
        let schema = unique_names(schema);
        let mut folders = Vec::new();
        for name in partition_by {
            let index = schema
                .index_of(name)
                .map_err(|_| refused_column(target, name, "is not a column of the result"))?;
            let data_type = schema.field(index).data_type();
            if data_type.is_nested() || data_type.is_binary() {
                let what = format!("is of type {data_type}, which makes no folder's name");
                return Err(refused_column(target, name, &what));
            }
            if folders.contains(&index) {
                return Err(refused_column(target, name, "is named twice"));
            }
            folders.push(index);
        }
        let kept: Vec<usize> = (0..schema.fields().len())
            .filter(|index| !folders.contains(index))
            .collect();
        if kept.is_empty() {
            return Err(ExportError::refused(
                target.url(),
                "partition_by has every column of the result; leave at least one for the files",
            ));
        }
        let attempt = attempt();
        Ok(Self {
            staging: target.begin(&format!("{run_id}-{attempt}"))?,
            format,
            run_id: run_id.to_owned(),
            attempt,
            schema,
            folders,
            kept,
            current: None,
            done: Exported::default(),
        })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// Call [`Exporter::discard`] after one.
    pub async fn write(&mut self, rows: &RecordBatch) -> Result<(), ExportError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        if self.folders.is_empty() {
            return self.write_to(String::new(), rows.clone()).await;
        }
        let columns: Vec<ArrayRef> = self
            .folders
            .iter()
            .map(|index| Arc::clone(rows.column(*index)))
            .collect();
        let ranges = partition(&columns).map_err(internal)?.ranges();
        for range in ranges {
            let mut path = String::new();
            for (index, column) in self.folders.iter().zip(&columns) {
                let name = self.schema.field(*index).name();
                path.push_str(&folder(name, value(column, range.start)?.as_deref()));
                path.push('/');
            }
            let part = rows.slice(range.start, range.end - range.start);
            let part = part.project(&self.kept).map_err(internal)?;
            self.write_to(path, part).await?;
        }
        Ok(())
    }

    async fn write_to(&mut self, folder: String, rows: RecordBatch) -> Result<(), ExportError> {
        let is_other =
            |current: &InWork| current.folder != folder || current.bytes >= FILE_BYTES_MAX;
        if self.current.as_ref().is_some_and(is_other) {
            self.end_file().await?;
        }
        if self.current.is_none() {
            self.current = Some(self.open_file(folder).await?);
        }
        let columns = rows.columns().to_vec();
        let rows = RecordBatch::try_new(self.file_schema(), columns).map_err(internal)?;
        let count = rows.num_rows() as u64;
        let Some(current) = &mut self.current else {
            return Err(away());
        };
        let encoder = current.encoder.take().ok_or_else(away)?;
        let encoded = tokio::task::spawn_blocking(move || encode(encoder, &rows)).await;
        let (encoder, bytes) =
            encoded.map_err(|error| ExportError::Internal(error.to_string()))??;
        current.encoder = Some(encoder);
        current.rows += count;
        current.bytes += bytes.len() as u64;
        self.done.rows += count;
        self.done.bytes += bytes.len() as u64;
        self.staging.write(&mut current.file, &bytes).await
    }

    fn file_schema(&self) -> SchemaRef {
        let fields: Vec<_> = self
            .kept
            .iter()
            .map(|index| Arc::clone(&self.schema.fields()[*index]))
            .collect();
        Arc::new(Schema::new(fields))
    }

    async fn open_file(&mut self, folder: String) -> Result<InWork, ExportError> {
        let encoder = match self.format {
            ExportFormat::Parquet => {
                let writer =
                    ArrowWriter::try_new(Vec::new(), self.file_schema(), Some(properties()));
                Encoder::Parquet(Box::new(writer.map_err(parquet)?))
            }
            ExportFormat::Csv => Encoder::Csv { header_due: true },
            ExportFormat::Json => Encoder::Json,
        };
        let number = self.done.files.len();
        if number >= FILES_MAX {
            return Err(ExportError::refused(
                self.staging.url(),
                format!(
                    "would get more than {FILES_MAX} files; partition_by columns of fewer values"
                ),
            ));
        }
        if let Some(long) = folder.split('/').find(|name| name.len() > FOLDER_BYTES_MAX) {
            let (column, value) = long.split_once('=').unwrap_or((long, ""));
            let begin: String = value.chars().take(40).collect();
            return Err(ExportError::refused(
                self.staging.url(),
                format!(
                    "column {column} has the value {begin:?}..., which is too long for a folder's name; expected at \
                     most {FOLDER_BYTES_MAX} bytes with the column's name"
                ),
            ));
        }
        let name = file(number, &self.run_id, &self.attempt, self.format.name());
        let path = format!("{folder}{name}");
        Ok(InWork {
            file: self.staging.create(&path).await?,
            folder,
            path,
            encoder: Some(encoder),
            rows: 0,
            bytes: 0,
        })
    }

    async fn end_file(&mut self) -> Result<(), ExportError> {
        let schema = self.file_schema();
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        let encoder = current.encoder.take().ok_or_else(away)?;
        let rest = tokio::task::spawn_blocking(move || end(encoder, schema)).await;
        let rest = rest.map_err(|error| ExportError::Internal(error.to_string()))??;
        current.bytes += rest.len() as u64;
        self.done.bytes += rest.len() as u64;
        self.staging.write(&mut current.file, &rest).await?;
        self.staging.flush(&mut current.file).await?;
        let Some(current) = self.current.take() else {
            return Err(away());
        };
        self.staging.close(current.file);
        self.done.files.push(ManifestFile {
            path: current.path,
            rows: current.rows,
            bytes: current.bytes,
        });
        Ok(())
    }

    /// Rows and bytes so far.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.rows, self.done.bytes)
    }

    /// Ends the result, which nobody sees yet, and looks at its place. `manifest` is
    /// completed with what was written. A result without rows has one file of its columns
    /// alone, except as JSON, where there would be nothing in it.
    ///
    /// # Errors
    /// Where it cannot be written, or its place is taken; nothing of it remains.
    pub async fn finish(
        mut self,
        mut manifest: Manifest,
        overwrite: bool,
    ) -> Result<Finished, ExportError> {
        let ended = async {
            if self.done.rows == 0 && self.folders.is_empty() && self.format != ExportFormat::Json {
                self.current = Some(self.open_file(String::new()).await?);
            }
            self.end_file().await
        };
        if let Err(error) = ended.await {
            self.discard().await;
            return Err(error);
        }
        manifest.format = self.format.name().to_owned();
        manifest.rows = self.done.rows;
        manifest.bytes = self.done.bytes;
        manifest.files.clone_from(&self.done.files);
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| ExportError::Internal(error.to_string()))?;
        let ready = self.staging.ready(text.into(), overwrite, &self.run_id);
        Ok(Finished {
            ready: ready.await?,
            done: self.done,
        })
    }

    /// Gives up; nothing remains.
    pub async fn discard(self) {
        let in_work = self.current.map(|current| current.file);
        self.staging.discard(in_work).await;
    }
}

/// A result that is whole and that nobody sees.
pub struct Finished {
    ready: Ready,
    done: Exported,
}

impl Finished {
    /// Makes it visible, unless another run has published in its place since it was
    /// finished.
    ///
    /// # Errors
    /// [`ExportError::Overtaken`], or where the place cannot be written. Then nothing of
    /// it is visible, unless only the answer of the storage was lost.
    pub async fn publish(self) -> Result<Exported, ExportError> {
        self.ready.publish().await?;
        Ok(self.done)
    }

    /// Gives up; nothing remains.
    pub async fn discard(self) {
        self.ready.discard().await;
    }
}

/// After an error the result can only be given up.
fn away() -> ExportError {
    ExportError::Internal("it failed before".to_owned())
}

fn refused_column(target: &Target, name: &str, what: &str) -> ExportError {
    ExportError::refused(target.url(), format!("partition_by \"{name}\" {what}"))
}

/// A value as a folder's name has it.
fn value(column: &ArrayRef, row: usize) -> Result<Option<String>, ExportError> {
    if column.is_null(row) || column.data_type() == &DataType::Null {
        return Ok(None);
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(internal)?;
    Ok(Some(formatter.value(row).to_string()))
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(concat!("citypulse version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .build()
}

fn encode(mut encoder: Encoder, rows: &RecordBatch) -> Result<(Encoder, Bytes), ExportError> {
    let bytes = match &mut encoder {
        Encoder::Parquet(writer) => {
            writer.write(rows).map_err(parquet)?;
            if writer.in_progress_size() >= ROW_GROUP_BYTES_MAX {
                writer.flush().map_err(parquet)?;
            }
            // Finished row groups leave; the writer counts what it wrote itself.
            writer.sync().map_err(|error| parquet(error.into()))?;
            std::mem::take(writer.inner_mut()).into()
        }
        Encoder::Csv { header_due } => {
            let bytes = csv(rows, *header_due).map_err(internal)?;
            *header_due = false;
            bytes
        }
        Encoder::Json => ndjson(rows).map_err(internal)?,
    };
    Ok((encoder, bytes))
}

fn end(encoder: Encoder, schema: SchemaRef) -> Result<Bytes, ExportError> {
    match encoder {
        Encoder::Parquet(writer) => Ok(writer.into_inner().map_err(parquet)?.into()),
        Encoder::Csv { header_due: true } => {
            csv(&RecordBatch::new_empty(schema), true).map_err(internal)
        }
        Encoder::Csv { .. } | Encoder::Json => Ok(Bytes::new()),
    }
}

fn internal(error: arrow::error::ArrowError) -> ExportError {
    ExportError::Internal(error.to_string())
}

fn parquet(error: parquet::errors::ParquetError) -> ExportError {
    ExportError::Internal(error.to_string())
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::Field;

    use super::*;
    use crate::S3Options;

    const RUNS: [&str; 4] = [
        "0190163d-8694-739b-aea5-966c26f8ad90",
        "0190163d-8694-739b-aea5-966c26f8ad91",
        "0190163d-8694-739b-aea5-966c26f8ad92",
        "0190163d-8694-739b-aea5-966c26f8ad93",
    ];

    /// A result of one row that is whole, by that run.
    async fn finished(target: &Target, run: usize, overwrite: bool) -> Finished {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let rows = vec![Arc::new(Int64Array::from(vec![run as i64])) as ArrayRef];
        let rows = RecordBatch::try_new(Arc::clone(&schema), rows).expect("a row");
        let mut exporter = Exporter::begin(target, ExportFormat::Csv, &schema, &[], RUNS[run])
            .expect("a result begins");
        exporter.write(&rows).await.expect("written");
        let manifest = Manifest {
            run_id: RUNS[run].to_owned(),
            ..Manifest::default()
        };
        let finished = exporter.finish(manifest, overwrite).await;
        finished.expect("whole, and its place may be taken")
    }

    /// The run whose result is there; nothing else is.
    async fn there(target: &Target) -> String {
        let manifest = target.manifest().await.expect("read").expect("a result");
        let besides = target.besides(&manifest).await.expect("listed");
        assert_eq!(besides, [""; 0], "files that no result lists");
        manifest.run_id
    }

    #[tokio::test]
    async fn of_two_whole_results_for_one_place_the_first_published_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("out").display().to_string();
        let in_folder = Target::open(&path, &S3Options::default(), "lake").expect("a target");
        for target in [in_folder, Target::in_memory()] {
            let early = finished(&target, 0, false).await;
            let late = finished(&target, 1, false).await;
            early.publish().await.expect("the place is free");
            let refused = late.publish().await;
            assert!(
                matches!(refused, Err(ExportError::Overtaken { .. })),
                "{refused:?}"
            );
            assert_eq!(there(&target).await, RUNS[0]);

            // Both may replace what they saw, and it is no longer there for the second.
            let asleep = finished(&target, 2, true).await;
            let awake = finished(&target, 3, true).await;
            awake.publish().await.expect("it is as it was seen");
            let refused = asleep.publish().await;
            assert!(
                matches!(refused, Err(ExportError::Overtaken { .. })),
                "{refused:?}"
            );
            assert_eq!(there(&target).await, RUNS[3]);
        }
        let names = std::fs::read_dir(folder.path()).expect("a folder");
        assert_eq!(names.count(), 1, "nothing is left beside the result");
    }
}
