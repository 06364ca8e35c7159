//! What the tests share: a lake with rows of given events, and views on it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use event_log::Record;
use events::{Stream, TopicPartition};
use futures::TryStreamExt;
use lake::query::{LakeReader, QueryConfig};
use lake::rows::{RowBuilder, SeenOrigins};
use lake::{Commit, Lake, LakeConfig, Table, View};
use serde_json::Value;
use streets::StreetNetwork;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use views::{Views, ViewsConfig};

/// An event and where it lies in the log.
#[derive(Clone, Debug)]
pub struct Placed {
    pub stream: Stream,
    pub partition: i32,
    pub offset: i64,
    pub appended_at_us: i64,
    pub event: Value,
}

/// A lake of its own, and views on it.
pub struct City {
    pub lake: Arc<Lake>,
    pub views: Views,
    pub stop: CancellationToken,
    reader: LakeReader,
    _folder: TempDir,
}

/// One road from west to east, of two segments that meet at 11.97 degrees.
pub fn streets() -> Arc<StreetNetwork> {
    StreetNetwork::load("tests/streets").expect("streets")
}

pub fn config() -> ViewsConfig {
    ViewsConfig {
        limits: tracks::Limits::default(),
        match_distance_m: 30.0,
        memory_bytes: 64 << 20,
        spill_dir: None,
    }
}

impl City {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = LakeConfig {
            url: folder.path().join("lake").display().to_string(),
            ..LakeConfig::default()
        };
        let lake = Lake::open(config).await.expect("a lake");
        let views = Views::new(lake.clone(), streets(), &self::config()).expect("views");
        Self {
            reader: LakeReader::new(&lake, &QueryConfig::default()).expect("a reader"),
            lake,
            views,
            stop: CancellationToken::new(),
            _folder: folder,
        }
    }

    /// Commits events, one commit a table.
    pub async fn commit(&self, events: &[Placed]) {
        let mut builders: BTreeMap<Table, RowBuilder> = BTreeMap::new();
        for placed in events {
            let table = Table::Stream(placed.stream);
            let rows = builders
                .entry(table)
                .or_insert_with(|| RowBuilder::new(table));
            let record = Record {
                offset: placed.offset,
                appended_at_us: placed.appended_at_us,
                key: None,
                value: Bytes::from(placed.event.to_string()),
                headers: Vec::new(),
            };
            let from = TopicPartition::new(table.name(), placed.partition);
            rows.push(&from, &record, &mut SeenOrigins::default())
                .unwrap_or_else(|error| panic!("{}: {error}", placed.event));
        }
        for (table, mut rows) in builders {
            let files = self.lake.write_files(table, vec![rows.finish()]).await;
            let commit = Commit {
                files: files.expect("files"),
                ..Commit::default()
            };
            self.lake.commit(table, &commit).await.expect("a commit");
        }
    }

    pub async fn refresh(&self) -> Vec<views::Recomputed> {
        self.views.refresh(&self.stop).await.expect("views")
    }

    /// An answer over all tables as CSV.
    pub async fn csv(&self, sql: &str) -> String {
        let mut versions = Vec::new();
        for table in Table::all().chain(View::ALL.map(Table::Draft)) {
            versions.push((table, self.lake.refresh(table).await.expect("a version")));
        }
        let rows = self.reader.read(sql, &versions).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let batches: Vec<_> = rows.try_collect().await.expect("rows");
        let mut csv = Vec::new();
        let mut writer = arrow::csv::WriterBuilder::new()
            .with_header(true)
            .build(&mut csv);
        for batch in &batches {
            writer.write(batch).expect("CSV");
        }
        drop(writer);
        String::from_utf8(csv).expect("text")
    }

    /// All that a view says, the bytes of its aggregates included.
    pub async fn whole(&self, view: View) -> String {
        let key = view.key().join(", ");
        self.csv(&format!("SELECT * FROM {view} ORDER BY date, {key}"))
            .await
    }
}

/// Reads an event of a case: `_partition`, `_offset` and `_appended` say where it lies
/// in the log; without them partition 0, the line's number, the event's time.
pub fn placed(stream: Stream, number: usize, line: &str) -> Placed {
    let mut event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    let fields = event.as_object_mut().expect("an object");
    let mut take = |name: &str| fields.remove(name);
    let partition = take("_partition")
        .and_then(|value| value.as_i64())
        .unwrap_or(0);
    let offset = take("_offset").and_then(|value| value.as_i64());
    let appended = take("_appended").and_then(|value| value.as_str().map(str::to_owned));
    let time = appended.unwrap_or_else(|| event["timestamp"].as_str().expect("a time").to_owned());
    Placed {
        stream,
        partition: partition as i32,
        offset: offset.unwrap_or(number as i64),
        appended_at_us: events::time::parse_rfc3339_us(&time).expect("an instant"),
        event,
    }
}
