//! Queries beside upkeep.

use std::time::Duration;

use futures::StreamExt;
use lake::maintain::{CompactOptions, VacuumOptions};
use lake::query::{Freshness, QueryConfig};
use tokio_util::sync::CancellationToken;

use crate::city::City;
use crate::common::TABLE;

#[tokio::test(flavor = "multi_thread")]
async fn a_query_reads_on_although_its_files_were_merged_and_vacuumed() {
    const FILES: i64 = 60;
    let city = City::new().await;
    city.append(0..FILES).await;
    for offset in 0..FILES {
        city.write(offset, offset + 1).await;
    }
    let engine = city.engine(QueryConfig::default());
    let (_, mut rows) = engine
        .query("SELECT id FROM vehicle_data", Freshness::Relaxed)
        .await
        .expect("a query");
    let first = rows.next().await.expect("rows").expect("a batch");

    let options = CompactOptions::default();
    for plan in city
        .lake
        .compaction_plan(TABLE, &options)
        .await
        .expect("a plan")
    {
        let done = city
            .lake
            .compact(&plan, &options, |_| {}, &CancellationToken::new())
            .await;
        assert!(done.expect("compacted").is_some());
    }
    let at_once = VacuumOptions {
        retain: Duration::ZERO,
        retain_uncommitted: Duration::ZERO,
    };
    let vacuum = || city.lake.vacuum(TABLE, &at_once, i64::MAX, false);
    let vacuumed = vacuum().await.expect("vacuumed");
    assert_eq!((vacuumed.in_use as i64, vacuumed.removed.len()), (FILES, 0));
    let mut read = first.num_rows();
    while let Some(batch) = rows.next().await {
        read += batch.expect("the files are still there").num_rows();
    }
    assert_eq!(read as i64, FILES);
    drop(rows);
    assert_eq!(
        vacuum().await.expect("vacuumed").removed.len() as i64,
        FILES
    );
}
