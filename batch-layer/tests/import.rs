//! Files of history as the lake has them afterwards.

use std::sync::Arc;
use std::time::Duration;

use batch_layer::import::{BadRow, FileSummary, ImportFile, ImportRow, Importer};
use bytes::Bytes;
use events::{Event, Stream, decode};
use lake::maintain::Retention;
use lake::{Lake, LakeConfig, Table};
use tokio_util::sync::CancellationToken;

const TABLE: Table = Table::Stream(Stream::GpsData);
/// 2026-03-01T12:00:00Z.
const NOON_US: i64 = 1_772_366_400_000_000;

struct Line(u64, String);

impl ImportRow for Line {
    fn line(&self) -> u64 {
        self.0
    }

    fn into_event(self, now_us: i64) -> Result<Option<Event>, BadRow> {
        let decoded = decode(Stream::GpsData, self.1.as_bytes(), now_us);
        decoded.map(Some).map_err(|error| BadRow {
            cause: error.to_string(),
            text: Bytes::from(self.1),
        })
    }
}

/// Fixes a minute apart; every `bad_every`th is none.
fn file(mark: &str, rows: u64, bad_every: u64) -> ImportFile<Line> {
    let line = move |number: u64| {
        let time = events::time::format_rfc3339(NOON_US + number as i64 * 60_000_000);
        let speed = match number % bad_every {
            0 => "\"fast\"",
            _ => "31.5",
        };
        let text = format!(
            r#"{{"id":"e-{number}","device_id":"a","timestamp":"{time}","location":[57.7,11.97],"speed":{speed}}}"#
        );
        Ok(Line(number, text))
    };
    ImportFile {
        name: "fixes.ndjson".to_owned(),
        topic: "gps_data".to_owned(),
        mark: mark.to_owned(),
        rows: Box::new((1..=rows).map(line)),
        content_mark: Box::new(|| "import/content".to_owned()),
    }
}

async fn lake(folder: &tempfile::TempDir) -> Arc<Lake> {
    let url = folder.path().display().to_string();
    let config = LakeConfig {
        url,
        ..LakeConfig::default()
    };
    Lake::open(config).await.expect("a lake")
}

async fn import(lake: &Arc<Lake>, file: ImportFile<Line>) -> FileSummary {
    let mut importer = Importer::new(Arc::clone(lake), NOON_US + 86_400_000_000);
    let stop = CancellationToken::new();
    let added = importer.add(file, &mut |_, _| {}, &stop).await;
    importer.finish().await.expect("committed");
    added.expect("it is read to its end")
}

async fn rows(lake: &Lake, table: Table) -> u64 {
    let snapshot = lake.refresh(table).await.expect("a snapshot");
    snapshot.rows().expect("counted")
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_no_events_are_dead_letters_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = lake(&folder).await;
    let summary = import(&lake, file("import/one", 50, 10)).await;
    assert_eq!((summary.added, summary.bad, summary.not_kept), (45, 5, 0));
    assert_eq!(rows(&lake, TABLE).await, 45);
    assert_eq!(rows(&lake, Table::DeadLetters).await, 5);
    // The same content, told in another way.
    let summary = import(&lake, file("import/other", 50, 10)).await;
    assert_eq!((summary.added, summary.known, summary.bad), (0, 45, 5));
    assert_eq!(rows(&lake, Table::DeadLetters).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_bad_rows_some_are_kept_and_the_others_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = lake(&folder).await;
    let summary = import(&lake, file("import/one", 10_020, 1)).await;
    assert_eq!(
        (summary.added, summary.bad, summary.not_kept),
        (0, 10_020, 20)
    );
    assert_eq!(rows(&lake, Table::DeadLetters).await, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_come_in_again_once_its_rows_are_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = lake(&folder).await;
    let mark = "import/one";
    for time in 1..=3 {
        assert_eq!(import(&lake, file(mark, 50, 100)).await.added, 50, "{time}");
        assert_eq!(import(&lake, file(mark, 50, 100)).await.added, 0, "{time}");
        assert_eq!(rows(&lake, TABLE).await, 50);
        let retention = Retention {
            days: [(TABLE, 1)].into(),
            grace: Duration::ZERO,
        };
        let later_us = NOON_US + 10 * 86_400_000_000;
        let gone = lake.expire(TABLE, &retention, later_us, false).await;
        assert_eq!(gone.expect("removed").rows, 50);
    }
}
