//! What the lake's tests share: lakes to test on, and rows to put into them.
#![allow(dead_code)]

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use bytes::Bytes;
use event_log::Record;
use events::{Advance, Offset, Stream, TopicPartition};
use lake::rows::{RowBuilder, SeenOrigins};
use lake::{Commit, Lake, LakeConfig, S3Options, Table};
use object_store::ObjectStoreExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

/// The table that most tests use.
pub const TABLE: Table = Table::Stream(Stream::VehicleData);

/// 2026-03-01T12:00:00Z.
pub const NOON_US: i64 = 1_772_366_400_000_000;
/// 30 days later: after all events of the tests.
pub const APPENDED_AT_US: i64 = NOON_US + 30 * 86_400_000_000;

/// A place for a lake, empty and to be thrown away.
pub struct Place {
    pub config: LakeConfig,
    _folder: TempDir,
}

impl Place {
    pub fn local() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = folder.path().join("lake").display().to_string();
        Self {
            config: LakeConfig {
                url,
                s3: S3Options::default(),
            },
            _folder: folder,
        }
    }

    /// A prefix of its own in the test bucket, where a server is given.
    pub fn s3() -> Option<Self> {
        Self::on_server("CITYPULSE_TEST_S3")
    }

    /// The same on an S3 server of other make.
    pub fn other_s3() -> Option<Self> {
        Self::on_server("CITYPULSE_TEST_OTHER_S3")
    }

    /// The same on one with a certificate of an authority of its own.
    pub fn tls_s3() -> Option<Self> {
        Self::on_server("CITYPULSE_TEST_TLS_S3")
    }

    fn on_server(prefix: &str) -> Option<Self> {
        let variable = |name: &str| std::env::var(format!("{prefix}_{name}")).ok();
        let Some(endpoint) = variable("ENDPOINT") else {
            println!("skipped: no S3 server ({prefix}_ENDPOINT is not set)");
            return None;
        };
        let bucket = variable("BUCKET").unwrap_or_else(|| "citypulse-test".to_owned());
        let url = format!("s3://{bucket}/{}", uuid::Uuid::new_v4());
        let s3 = S3Options {
            allow_http: endpoint.starts_with("http://"),
            endpoint: Some(endpoint),
            access_key_id: variable("KEY"),
            secret_access_key: variable("SECRET"),
            ca_file: variable("CA").map(Into::into),
            ..S3Options::default()
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        Some(Self {
            config: LakeConfig { url, s3 },
            _folder: folder,
        })
    }

    pub async fn open(&self) -> Arc<Lake> {
        Lake::open(self.config.clone())
            .await
            .expect("the lake opens")
    }
}

pub fn partition(number: i32) -> TopicPartition {
    TopicPartition::new(TABLE.name(), number)
}

pub fn event_json(id: &str, device: &str, timestamp_us: i64) -> String {
    let timestamp = events::time::format_rfc3339(timestamp_us);
    format!(
        r#"{{"id":"{id}","device_id":"{device}","timestamp":"{timestamp}","location":[57.7,11.97],"speed":42.5,"make":"Volvo"}}"#
    )
}

pub fn record(offset: Offset, value: String) -> Record {
    Record {
        offset,
        appended_at_us: APPENDED_AT_US,
        key: None,
        value: Bytes::from(value),
        headers: Vec::new(),
    }
}

/// One event per offset, a minute apart, of ten devices.
pub fn rows(number: i32, offsets: std::ops::Range<Offset>) -> RecordBatch {
    let mut rows = RowBuilder::new(TABLE);
    for offset in offsets {
        let device = format!("car-{:04}", offset % 10);
        let value = event_json(
            &format!("{number}-{offset}"),
            &device,
            NOON_US + offset * 60_000_000,
        );
        rows.push(
            &partition(number),
            &record(offset, value),
            &mut SeenOrigins::default(),
        )
        .expect("a valid event");
    }
    rows.finish()
}

pub fn advance(number: i32, from: Offset, to: Offset) -> Advance {
    Advance {
        partition: partition(number),
        from,
        to,
    }
}

/// Writes the rows of `from..to` and commits them.
pub async fn append(
    lake: &Lake,
    number: i32,
    from: Offset,
    to: Offset,
) -> Result<u64, lake::Error> {
    let files = lake
        .write_files(TABLE, vec![rows(number, from..to)])
        .await?;
    let commit = Commit {
        files,
        advances: vec![advance(number, from, to)],
        ..Commit::default()
    };
    lake.commit(TABLE, &commit).await
}

/// Log partition and offset of every row of the newest version, sorted, read file by
/// file without the lake's help.
pub async fn places(lake: &Lake) -> Vec<(i32, Offset)> {
    let snapshot = lake.refresh(TABLE).await.expect("a snapshot");
    places_in(lake, &snapshot).await
}

/// The same of some version.
pub async fn places_in(lake: &Lake, snapshot: &lake::Snapshot) -> Vec<(i32, Offset)> {
    let mut places = Vec::new();
    for path in snapshot.files.keys() {
        for batch in file_rows(lake, path).await {
            let partitions = batch["log_partition"].as_primitive::<Int32Type>();
            let offsets = batch["log_offset"].as_primitive::<Int64Type>();
            places.extend(
                partitions
                    .values()
                    .iter()
                    .copied()
                    .zip(offsets.values().iter().copied()),
            );
        }
    }
    places.sort_unstable();
    places
}

/// The rows of one file.
pub async fn file_rows(lake: &Lake, path: &str) -> Vec<RecordBatch> {
    let location = object_store::path::Path::from(format!("{TABLE}/{path}"));
    let object = lake.store().get(&location).await;
    let object = object.unwrap_or_else(|error| panic!("{path} cannot be read: {error}"));
    let bytes = object.bytes().await.expect("its bytes");
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("a Parquet file");
    let rows: Result<Vec<_>, _> = reader.build().expect("a reader").collect();
    rows.expect("its rows")
}
