//! Reads files step by step and writes their rows, in order, into as few new ones.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use uuid::Uuid;

use crate::lake::refused;
use crate::layout::{Order, time_column};
use crate::maintain::blocks::{Extent, Step, steps};
use crate::maintain::plan::PartitionPlan;
use crate::maintain::reader::FileReader;
use crate::parquet_file::FileEncoder;
use crate::query::conform;
use crate::snapshot::DATE;
use crate::statistics::format_date;
use crate::{Lake, NewFile, Result, Table};

/// Rows decoded at once.
const BATCH_ROWS: usize = 16_384;
/// Uploaded in parts of this many bytes, at most so many at once.
const PART_BYTES: usize = 8 << 20;
const PARTS_IN_FLIGHT: usize = 2;
/// Memory of a row in Arrow's form, about, before any was seen.
const ROW_BYTES: u64 = 256;

/// One file to read.
struct Input {
    path: Path,
    size_bytes: u64,
    rows: u64,
    /// When its rows are from; `None` where it does not say.
    times_us: Option<(i64, i64)>,
    metadata: ArrowReaderMetadata,
}

/// How far it is.
pub(crate) struct Done {
    /// Rows written since the last report.
    pub(crate) rows: u64,
}

/// What bounds a rewrite.
pub(crate) struct Limits {
    /// A new file ends when it has about this many bytes.
    pub(crate) file_bytes: u64,
    /// Rows in memory, with what is made of them, bytes.
    pub(crate) memory_bytes: usize,
}

/// Writes the rows of the plan's files into new files, without making them visible.
/// `step_done` may ask to wait, or to stop by an error.
pub(crate) async fn rewrite<F>(
    lake: &Lake,
    plan: &PartitionPlan,
    limits: &Limits,
    mut step_done: impl FnMut(Done) -> F,
) -> Result<Vec<NewFile>>
where
    F: Future<Output = Result<()>>,
{
    let mut inputs = Vec::with_capacity(plan.files.len());
    for file in &plan.files {
        inputs.push(open(lake, plan.table, &file.path, file.size_bytes).await?);
    }
    let rows: u64 = inputs.iter().map(|input| input.rows).sum();
    let mut output = Output::new(lake, plan, limits.file_bytes);
    let result = async {
        for step in steps_of(&inputs, limits) {
            copy_step(
                lake,
                plan,
                &inputs,
                step,
                limits,
                &mut output,
                &mut step_done,
            )
            .await?;
        }
        output.end_file().await?;
        let written: u64 = output.files.iter().map(|file| file.rows).sum();
        if written != rows {
            // Statistics that do not hold: better no change than a loss.
            return Err(refused(
                plan.table,
                format!(
                    "the files have {rows} rows, {written} were found by their statistics; nothing is changed"
                ),
            ));
        }
        Ok(())
    };
    let result = result.await;
    if let Err(error) = result {
        output.discard().await;
        return Err(error);
    }
    Ok(output.files)
}

fn steps_of(inputs: &[Input], limits: &Limits) -> Vec<Step> {
    let extents: Vec<Extent> = inputs
        .iter()
        .filter_map(|input| {
            Some(Extent {
                times_us: input.times_us?,
                rows: input.rows,
            })
        })
        .collect();
    // Twice: the rows, and what is made of them.
    steps(
        &extents,
        (limits.memory_bytes as u64 / (2 * ROW_BYTES)).max(1),
    )
}

async fn copy_step<F>(
    lake: &Lake,
    plan: &PartitionPlan,
    inputs: &[Input],
    step: Step,
    limits: &Limits,
    output: &mut Output<'_>,
    step_done: &mut impl FnMut(Done) -> F,
) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let mut batches = Vec::new();
    let mut bytes = 0;
    for input in inputs {
        // A file that does not say when its rows are from is read once, with the first.
        let is_here = match input.times_us {
            Some(times_us) => step.meets(times_us),
            None => step.from_us == i64::MIN,
        };
        if !is_here {
            continue;
        }
        let mut rows = read(lake, plan.table, input, step)?;
        while let Some(batch) = rows
            .try_next()
            .await
            .map_err(|error| parquet_error(lake, plan.table, error))?
        {
            let batch = wanted(batch, input, step, output.schema())
                .map_err(|error| refused(plan.table, error.to_string()))?;
            bytes += batch.get_array_memory_size();
            batches.push(batch);
            if bytes * 2 > limits.memory_bytes.max(1) {
                // More than was expected: written as it is, in an order of its own.
                let rows = output.write(std::mem::take(&mut batches)).await?;
                bytes = 0;
                step_done(Done { rows }).await?;
            }
        }
    }
    let rows = output.write(batches).await?;
    step_done(Done { rows }).await
}

async fn open(lake: &Lake, table: Table, path: &str, size_bytes: u64) -> Result<Input> {
    let path = Path::from(path);
    let mut reader = reader(lake, table, &path, size_bytes);
    let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new())
        .await
        .map_err(|error| parquet_error(lake, table, error))?;
    let rows = metadata.metadata().file_metadata().num_rows();
    let mut input = Input {
        path,
        size_bytes,
        rows: u64::try_from(rows).unwrap_or(0),
        times_us: None,
        metadata,
    };
    let groups = group_times_us(&input);
    let all: Option<Vec<(i64, i64)>> = groups.into_iter().collect();
    input.times_us = all.and_then(|groups| {
        let low = groups.iter().map(|group| group.0).min()?;
        Some((low, groups.iter().map(|group| group.1).max()?))
    });
    Ok(input)
}

fn reader(lake: &Lake, table: Table, path: &Path, size_bytes: u64) -> FileReader {
    FileReader {
        store: lake.storage().table_store(table),
        path: path.clone(),
        size_bytes,
    }
}

/// When the rows of each row group are from; `None` where the group does not say, or
/// has rows that do not say.
fn group_times_us(input: &Input) -> Vec<Option<(i64, i64)>> {
    let metadata = input.metadata.metadata();
    let unknown = || vec![None; metadata.num_row_groups()];
    let Some(name) = time_column(input.metadata.schema()) else {
        return unknown();
    };
    let parquet_schema = metadata.file_metadata().schema_descr();
    let Ok(converter) = StatisticsConverter::try_new(name, input.metadata.schema(), parquet_schema)
    else {
        return unknown();
    };
    let (lows, highs, nulls) = (
        converter.row_group_mins(metadata.row_groups()),
        converter.row_group_maxes(metadata.row_groups()),
        converter.row_group_null_counts(metadata.row_groups()),
    );
    let (Ok(lows), Ok(highs), Ok(nulls)) = (lows, highs, nulls) else {
        return unknown();
    };
    let (Some(lows), Some(highs)) = (
        lows.as_primitive_opt::<TimestampMicrosecondType>(),
        highs.as_primitive_opt::<TimestampMicrosecondType>(),
    ) else {
        return unknown();
    };
    let of_group = |group: usize| {
        let known = lows.is_valid(group) && highs.is_valid(group) && nulls.is_valid(group);
        (known && nulls.value(group) == 0).then(|| (lows.value(group), highs.value(group)))
    };
    (0..metadata.num_row_groups()).map(of_group).collect()
}

type Rows = ParquetRecordBatchStream<FileReader>;

/// The row groups of `input` that may hold rows of the step.
fn read(lake: &Lake, table: Table, input: &Input, step: Step) -> Result<Rows> {
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(
        reader(lake, table, &input.path, input.size_bytes),
        input.metadata.clone(),
    );
    let groups = match input.times_us {
        Some(_) => group_times_us(input)
            .into_iter()
            .enumerate()
            .filter(|(_, times_us)| times_us.is_none_or(|times_us| step.meets(times_us)))
            .map(|(group, _)| group)
            .collect(),
        None => (0..input.metadata.metadata().num_row_groups()).collect(),
    };
    builder
        .with_row_groups(groups)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|error| parquet_error(lake, table, error))
}

/// The rows of the step, in the table's columns.
fn wanted(
    batch: RecordBatch,
    input: &Input,
    step: Step,
    schema: &SchemaRef,
) -> datafusion::common::Result<RecordBatch> {
    let Some(times_us) = input.times_us.filter(|times_us| !step.covers(*times_us)) else {
        return conform(&batch, schema);
    };
    debug_assert!(step.meets(times_us));
    let times = time_column(batch.schema_ref())
        .and_then(|name| batch.column_by_name(name))
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let Some(times) = times else {
        return conform(&batch, schema);
    };
    let mask: BooleanArray = times
        .iter()
        .map(|time_us| Some(time_us.is_some_and(|time_us| step.holds(time_us))))
        .collect();
    conform(&filter_record_batch(&batch, &mask)?, schema)
}

fn parquet_error(lake: &Lake, table: Table, error: parquet::errors::ParquetError) -> crate::Error {
    use parquet::errors::ParquetError;
    match &error {
        ParquetError::External(source) => match source.downcast_ref::<object_store::Error>() {
            Some(error) => lake.storage().error(error),
            None => lake.storage().unavailable(error.to_string()),
        },
        _ => refused(table, error.to_string()),
    }
}

/// The new files.
struct Output<'l> {
    lake: &'l Lake,
    table: Table,
    date: String,
    schema: SchemaRef,
    file_bytes: u64,
    current: Option<OpenFile>,
    files: Vec<NewFile>,
}

struct OpenFile {
    encoder: FileEncoder,
    upload: WriteMultipart,
    name: String,
}

impl<'l> Output<'l> {
    fn new(lake: &'l Lake, plan: &PartitionPlan, file_bytes: u64) -> Self {
        Self {
            lake,
            table: plan.table,
            date: format_date(plan.date).unwrap_or_default(),
            schema: plan.snapshot.file_schema.clone(),
            file_bytes,
            current: None,
            files: Vec::new(),
        }
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Writes rows in the layout's order and returns how many they were.
    async fn write(&mut self, batches: Vec<RecordBatch>) -> Result<u64> {
        let order = Order::of(&batches);
        // Block by block, so that a file can end between two of them.
        for block in &order.blocks {
            let part = Order {
                rows: order.rows[block.clone()].to_vec(),
                blocks: std::iter::once(0..block.len()).collect(),
            };
            let mut file = match self.current.take() {
                Some(file) => file,
                None => self.begin_file().await?,
            };
            let encoded = file
                .encoder
                .write(&batches, &part)
                .and_then(|()| file.encoder.take_bytes());
            let bytes = encoded.map_err(|error| refused(self.table, error.to_string()))?;
            file.upload.put(bytes);
            let ready = file.upload.wait_for_capacity(PARTS_IN_FLIGHT).await;
            let is_full = file.encoder.size_bytes() >= self.file_bytes;
            self.current = Some(file);
            ready.map_err(|error| self.lake.storage().error(&error))?;
            if is_full {
                self.end_file().await?;
            }
        }
        Ok(order.rows.len() as u64)
    }

    async fn begin_file(&self) -> Result<OpenFile> {
        let name = format!("{}-c-{}.parquet", self.table, Uuid::new_v4());
        let encoder = FileEncoder::new(self.table, self.date.clone(), self.schema.clone())
            .map_err(|error| refused(self.table, error.to_string()))?;
        let store: Arc<dyn ObjectStore> = self.lake.storage().table_store(self.table);
        let upload = store
            .put_multipart(&Path::from(format!("{DATE}={}/{name}", self.date)))
            .await
            .map_err(|error| self.lake.storage().error(&error))?;
        Ok(OpenFile {
            encoder,
            upload: WriteMultipart::new_with_chunk_size(upload, PART_BYTES),
            name,
        })
    }

    async fn end_file(&mut self) -> Result<()> {
        let Some(OpenFile {
            encoder,
            mut upload,
            name,
        }) = self.current.take()
        else {
            return Ok(());
        };
        let (bytes, file) = encoder
            .finish(Some(name))
            .map_err(|error| refused(self.table, error.to_string()))?;
        upload.put(bytes);
        upload
            .finish()
            .await
            .map_err(|error| self.lake.storage().error(&error))?;
        let path = format!("{}/{}", self.table, file.path);
        self.files.push(file);
        self.lake.storage().sync(&path).await
    }

    /// Takes back what was written. What stays is invisible, and vacuum's.
    async fn discard(self) {
        if let Some(file) = self.current
            && let Err(error) = file.upload.abort().await
        {
            tracing::debug!(table = %self.table, %error, "could not end an upload that is not needed");
        }
        self.lake.discard_files(self.table, &self.files).await;
    }
}
