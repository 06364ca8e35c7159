//! Results on real object stores: of two that are whole one is published.

mod common;

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use common::Place;
use lake::export::{ExportError, ExportFormat, Exporter, Finished, Manifest, Target};

async fn finished(target: &Target, overwrite: bool) -> (String, Finished) {
    let run_id = uuid::Uuid::new_v4().to_string();
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let numbers = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![numbers]).expect("rows");
    let begun = Exporter::begin(target, ExportFormat::Parquet, &schema, &[], &run_id);
    let mut exporter = begun.expect("a result begins");
    exporter.write(&rows).await.expect("written");
    let manifest = Manifest {
        run_id: run_id.clone(),
        ..Manifest::default()
    };
    let finished = exporter.finish(manifest, overwrite).await;
    (run_id, finished.expect("its place may be taken"))
}

async fn assert_only_result(target: &Target, run_id: &str) {
    let manifest = target.manifest().await.expect("read").expect("a result");
    assert_eq!(manifest.run_id, run_id);
    assert_eq!(target.besides(&manifest).await.expect("listed"), [""; 0]);
}

async fn one_of_two_is_published(place: Place) {
    let url = format!("{}/out", place.config.url);
    let target = Target::open(&url, &place.config.s3, "elsewhere").expect("a target");
    let mut there = None;
    for overwrite in [false, true] {
        let (_, asleep) = finished(&target, overwrite).await;
        let (run_id, awake) = finished(&target, overwrite).await;
        let done = awake.publish().await.expect("it is as it was seen");
        assert_eq!(done.rows, 3);
        let refused = asleep.publish().await;
        assert!(
            matches!(refused, Err(ExportError::Overtaken { .. })),
            "{refused:?}"
        );
        assert_only_result(&target, &run_id).await;
        assert_ne!(there.replace(run_id.clone()), Some(run_id));
    }
}

#[tokio::test]
async fn one_of_two_is_published_in_a_folder() {
    one_of_two_is_published(Place::local()).await;
}

#[tokio::test]
async fn one_of_two_is_published_on_s3() {
    if let Some(place) = Place::s3() {
        one_of_two_is_published(place).await;
    }
}

#[tokio::test]
async fn one_of_two_is_published_on_s3_of_other_make() {
    if let Some(place) = Place::other_s3() {
        one_of_two_is_published(place).await;
    }
}
