use std::collections::HashSet;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use bytes::Bytes;
use events::Stream;
use lake::EncodedFile;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;

use super::*;

const SOURCE: Source = Source::Events(Stream::VehicleData);
const TABLE: Table = Table::Stream(Stream::VehicleData);

fn limits() -> Limits {
    Limits {
        flush_bytes: 1 << 20,
        flush_age: Duration::from_secs(30),
        flush_idle: Duration::from_secs(2),
        total_bytes: 8 << 20,
        encoded_bytes: 1 << 20,
    }
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition::new("vehicle_data", number)
}

fn good(offset: Offset) -> Record {
    let value = format!(
        r#"{{"id":"{offset}","device_id":"car","timestamp":"2026-03-01T12:00:00Z","location":[57.7,11.97],"speed":1}}"#
    );
    Record {
        offset,
        appended_at_us: 0,
        key: None,
        value: Bytes::from(value),
        headers: Vec::new(),
    }
}

fn records(number: i32, from: Offset, to: Offset) -> Records {
    Records {
        partition: partition(number),
        from,
        next: to,
        records: (from..to).map(good_in_its_day).collect(),
    }
}

/// Appended when it happened.
fn good_in_its_day(offset: Offset) -> Record {
    Record {
        appended_at_us: 1_772_366_400_000_000,
        ..good(offset)
    }
}

/// One a day, from `first` on.
fn of_days(first: Offset, days: i64) -> Records {
    let mut late = records(0, first, first + days);
    for (day, record) in (0..).zip(&mut late.records) {
        let text = String::from_utf8_lossy(&record.value).into_owned();
        let date = events::time::format_rfc3339(1_772_366_400_000_000 - day * 86_400_000_000);
        record.value = Bytes::from(text.replace("2026-03-01T12:00:00Z", &date));
    }
    late
}

/// As the worker does it, in the background.
fn encoded(mut flush: Flush) -> Flush {
    let rows = std::mem::take(&mut flush.rows);
    flush.files.add(&rows).expect("rows of the table");
    flush
}

#[test]
fn rows_are_due_by_age_and_when_nothing_more_comes() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let mut buffer = Buffer::new(limits());
    buffer.assign(TABLE, partition(0), Some(0));
    assert_eq!(buffer.due(after(100)), None, "there is nothing to write");
    buffer.push(SOURCE, records(0, 0, 10), start);
    assert_eq!(buffer.due(after(1)), None);
    assert_eq!(buffer.due(after(2)), Some(Due::Commit(TABLE)), "idle");
    for second in 1..30 {
        buffer.push(
            SOURCE,
            records(0, 9 + second as i64, 10 + second as i64),
            after(second),
        );
        assert_eq!(buffer.due(after(second)), None);
    }
    assert_eq!(buffer.due(after(30)), Some(Due::Commit(TABLE)), "age");
}

#[test]
fn a_trickle_is_gathered_for_the_flush_age() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let mut buffer = Buffer::new(limits());
    buffer.assign(TABLE, partition(0), Some(0));
    buffer.push(SOURCE, records(0, 0, 1), start);
    assert_eq!(
        buffer.due(after(2)),
        Some(Due::Commit(TABLE)),
        "the first is written soon"
    );
    buffer.take(TABLE, after(2)).expect("a row");
    for (offset, second) in [(1, 7), (2, 14), (3, 21)] {
        buffer.push(SOURCE, records(0, offset, offset + 1), after(second));
        assert_eq!(buffer.due(after(second + 5)), None, "second {second}");
    }
    assert_eq!(buffer.due(after(32)), Some(Due::Commit(TABLE)));
    assert_eq!(buffer.take(TABLE, after(32)).expect("rows").row_count, 3);
}

#[test]
fn late_events_of_many_dates_are_gathered_longer() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    for (days, seconds) in [(1, 30), (2, 30), (4, 90), (60, 300)] {
        let mut buffer = Buffer::new(Limits {
            flush_idle: Duration::from_secs(10_000),
            ..limits()
        });
        buffer.assign(TABLE, partition(0), Some(0));
        buffer.push(SOURCE, of_days(0, days), start);
        assert_eq!(buffer.due(after(seconds - 1)), None, "{days} days");
        assert_eq!(
            buffer.due(after(seconds)),
            Some(Due::Commit(TABLE)),
            "{days} days"
        );
    }
}

#[test]
fn the_largest_table_is_due_when_memory_is_short() {
    let now = Instant::now();
    let mut buffer = Buffer::new(Limits {
        total_bytes: 10_000,
        ..limits()
    });
    buffer.assign(TABLE, partition(0), None);
    buffer.push(SOURCE, records(0, 0, 10), now);
    assert_eq!(buffer.due(now), None);
    buffer.push(SOURCE, records(0, 10, 200), now);
    assert_eq!(buffer.due(now), Some(Due::Commit(TABLE)));
}

#[test]
fn rows_of_many_dates_are_encoded_when_memory_is_short_and_committed_together() {
    let now = Instant::now();
    let mut buffer = Buffer::new(Limits {
        total_bytes: 10_000,
        encoded_bytes: 10_000,
        ..limits()
    });
    buffer.assign(TABLE, partition(0), Some(0));
    let mut next = 0;
    let mut times_encoded = 0;
    let flush = loop {
        buffer.push(SOURCE, of_days(next, 100), now);
        next += 100;
        match buffer.due(now) {
            None => panic!("there is enough each time"),
            Some(Due::Encode(TABLE)) => {
                times_encoded += 1;
                let flush = buffer.take(TABLE, now).expect("rows");
                buffer.put_back(encoded(flush));
                assert_eq!(buffer.due(now), None);
            }
            Some(due) => {
                assert_eq!(due, Due::Commit(TABLE));
                break buffer.take(TABLE, now).expect("rows");
            }
        }
    };
    assert!(times_encoded > 0);
    assert_eq!(flush.row_count as i64, next);
    assert_eq!(
        flush.advances,
        [Advance {
            partition: partition(0),
            from: 0,
            to: next
        }]
    );
    let files = encoded(flush).files.finish().expect("files");
    assert_eq!(files.len(), 100, "one a date");
    assert_eq!(places(&files).len() as i64, next);
    assert!(buffer.take(TABLE, now).is_none(), "it is taken once");
}

#[test]
fn encoded_rows_wait_no_longer_than_others() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let mut buffer = Buffer::new(limits());
    buffer.assign(TABLE, partition(0), Some(0));
    buffer.push(SOURCE, of_days(0, 4), start);
    let flush = buffer.take(TABLE, start).expect("rows");
    assert_eq!(buffer.due(after(400)), None, "they are in other hands");
    buffer.put_back(encoded(flush));
    buffer.push(SOURCE, of_days(4, 4), after(89));
    assert_eq!(buffer.due(after(89)), None);
    assert_eq!(buffer.due(after(90)), Some(Due::Commit(TABLE)));
}

#[test]
fn what_is_put_back_after_a_reset_is_forgotten() {
    let now = Instant::now();
    let mut buffer = Buffer::new(limits());
    buffer.assign(TABLE, partition(0), Some(0));
    buffer.push(SOURCE, of_days(0, 10), now);
    let flush = buffer.take(TABLE, now).expect("rows");
    buffer.reset(TABLE);
    buffer.assign(TABLE, partition(0), Some(0));
    buffer.push(SOURCE, of_days(0, 5), now);
    buffer.put_back(encoded(flush));
    assert_eq!(buffer.take(TABLE, now).expect("rows").row_count, 5);
}

#[test]
fn a_bad_record_is_given_back_and_its_offset_is_covered() {
    let mut buffer = Buffer::new(limits());
    buffer.assign(TABLE, partition(0), Some(5));
    let mut mixed = records(0, 5, 8);
    mixed.records[1].value = Bytes::from_static(b"{}");
    let Pushed::In(bad) = buffer.push(SOURCE, mixed, Instant::now()) else {
        panic!("there is no gap");
    };
    assert_eq!(
        bad.iter().map(|bad| bad.record.offset).collect::<Vec<_>>(),
        [6]
    );
    let flush = buffer
        .take(TABLE, Instant::now())
        .expect("something to write");
    assert_eq!(flush.row_count, 2);
    assert_eq!(
        flush.advances,
        [Advance {
            partition: partition(0),
            from: 5,
            to: 8
        }]
    );
    assert!(
        buffer.take(TABLE, Instant::now()).is_none(),
        "it is taken once"
    );
}

#[test]
fn a_log_that_begins_later_than_the_stored_position_is_taken_from_there() {
    let mut buffer = Buffer::new(limits());
    buffer.assign(TABLE, partition(0), Some(5));
    assert!(matches!(
        buffer.push(SOURCE, records(0, 50, 60), Instant::now()),
        Pushed::In(_)
    ));
    let flush = buffer
        .take(TABLE, Instant::now())
        .expect("something to write");
    assert_eq!(
        flush.advances,
        [Advance {
            partition: partition(0),
            from: 5,
            to: 60
        }]
    );
    assert!(matches!(
        buffer.push(SOURCE, records(0, 61, 70), Instant::now()),
        Pushed::Gap
    ));
}

#[test]
fn only_marks_that_changed_are_written() {
    let source = Source::DeadLetters(Stream::VehicleData);
    let dlq = TopicPartition::new("vehicle_data.dlq", 0);
    let letter = |offset: Offset, origin: Offset| {
        let letter = events::dead_letter::DeadLetter {
            topic: "vehicle_data".to_owned(),
            origin: Some((0, origin)),
            stage: "decode".to_owned(),
            message: String::new(),
            value: Bytes::new(),
            appended_at_us: 0,
        };
        Record {
            headers: letter.to_headers(),
            ..good(offset)
        }
    };
    let mut buffer = Buffer::new(limits());
    buffer.assign(Table::DeadLetters, dlq.clone(), Some(0));
    let stored = HashMap::from([
        ("dlq-origin/other/3".to_owned(), 9),
        ("dlq-origin/vehicle_data/0".to_owned(), 4),
    ]);
    buffer.set_marks(Table::DeadLetters, &stored);
    let records = vec![letter(0, 2), letter(1, 7), letter(2, 7), letter(3, 8)];
    buffer.push(
        source,
        Records {
            partition: dlq,
            from: 0,
            next: 4,
            records,
        },
        Instant::now(),
    );
    let flush = buffer
        .take(Table::DeadLetters, Instant::now())
        .expect("something to write");
    assert_eq!(
        flush.row_count, 2,
        "7 and 8; 2 was there before and 7 came twice"
    );
    assert_eq!(
        flush.marks,
        HashMap::from([("dlq-origin/vehicle_data/0".to_owned(), 9)])
    );
}

/// A step of a life of the batch layer.
#[derive(Clone, Debug)]
enum Step {
    /// Read on, this many records.
    Read { partition: i32, count: i64 },
    /// The log brings again what it brought before, and a little more.
    Overlap {
        partition: i32,
        back: i64,
        count: i64,
    },
    /// Make what is held smaller.
    Encode,
    /// Write what is held, and the commit gets through.
    Write,
    /// The process dies: what is held is gone, reading begins at the stored positions.
    Crash,
    /// Rows are taken, and the process dies before the commit.
    CrashWhileWriting,
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0..3_i32;
    prop_oneof![
        4 => (partition.clone(), 1..20_i64).prop_map(|(partition, count)| Step::Read { partition, count }),
        1 => (partition, 0..10_i64, 1..20_i64)
            .prop_map(|(partition, back, count)| Step::Overlap { partition, back, count }),
        1 => Just(Step::Encode),
        2 => Just(Step::Write),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashWhileWriting),
    ]
}

/// Log partition and offset of each row.
fn places_in(rows: &RecordBatch) -> Vec<(i32, i64)> {
    let partitions = rows.column_by_name("log_partition").expect("a column");
    let offsets = rows.column_by_name("log_offset").expect("a column");
    let partitions = partitions.as_primitive::<Int32Type>().values().iter();
    let offsets = offsets.as_primitive::<Int64Type>().values().iter();
    partitions.copied().zip(offsets.copied()).collect()
}

fn places(files: &[EncodedFile]) -> Vec<(i32, i64)> {
    let rows_of = |encoded: &EncodedFile| {
        let content = Bytes::from(encoded.content.concat());
        let reader = ParquetRecordBatchReaderBuilder::try_new(content).expect("a Parquet file");
        let rows = reader.build().expect("a reader");
        rows.map(|rows| rows.expect("its rows")).collect::<Vec<_>>()
    };
    let rows = files.iter().flat_map(rows_of);
    rows.flat_map(|rows| places_in(&rows)).collect()
}

/// The table as a commit leaves it.
#[derive(Default)]
struct Stored {
    rows: Vec<(i32, i64)>,
    positions: HashMap<TopicPartition, Offset>,
}

impl Stored {
    fn commit(&mut self, flush: Flush) {
        for advance in &flush.advances {
            let stored = self.positions.insert(advance.partition.clone(), advance.to);
            assert_eq!(
                stored.unwrap_or(0),
                advance.from,
                "a commit begins at the stored position"
            );
        }
        self.rows.extend(flush.rows.iter().flat_map(places_in));
        self.rows
            .extend(places(&flush.files.finish().expect("files")));
    }

    fn start(&self) -> (Buffer, HashMap<i32, i64>) {
        let mut buffer = Buffer::new(limits());
        let mut next = HashMap::new();
        for number in 0..3 {
            let stored = self.positions.get(&partition(number)).copied();
            buffer.assign(TABLE, partition(number), stored);
            next.insert(number, stored.unwrap_or(0));
        }
        (buffer, next)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_life_leaves_each_record_once(steps in proptest::collection::vec(step(), 1..60)) {
        let mut stored = Stored::default();
        let (mut buffer, mut next) = stored.start();
        for step in steps {
            match step {
                Step::Read { partition, count } => {
                    let from = next[&partition];
                    buffer.push(SOURCE, records(partition, from, from + count), Instant::now());
                    next.insert(partition, from + count);
                }
                Step::Overlap { partition, back, count } => {
                    let from = (next[&partition] - back).max(0);
                    buffer.push(SOURCE, records(partition, from, from + count), Instant::now());
                    next.insert(partition, next[&partition].max(from + count));
                }
                Step::Encode => {
                    if let Some(flush) = buffer.take(TABLE, Instant::now()) {
                        buffer.put_back(encoded(flush));
                    }
                }
                Step::Write => {
                    if let Some(flush) = buffer.take(TABLE, Instant::now()) {
                        stored.commit(flush);
                    }
                }
                Step::Crash => (buffer, next) = stored.start(),
                Step::CrashWhileWriting => {
                    buffer.take(TABLE, Instant::now());
                    (buffer, next) = stored.start();
                }
            }
        }
        let distinct: HashSet<_> = stored.rows.iter().collect();
        prop_assert_eq!(distinct.len(), stored.rows.len(), "a record is there twice");
        let covered: i64 = stored.positions.values().sum();
        prop_assert_eq!(covered, stored.rows.len() as i64, "a record below the positions is missing");
    }
}
