//! Whatever happens in whatever order, each row that is to be kept is there once.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::{NOON_US, Place, TABLE, advance, places, rows};
use events::Offset;
use lake::maintain::{CompactOptions, Retention, VacuumOptions};
use lake::{Commit, Error, Lake};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 3;
const DAY_US: i64 = 86_400_000_000;

/// One thing that happens; numbers are chosen modulo what there is.
#[derive(Clone, Debug)]
enum Happening {
    /// A writer writes `length` records of a partition from where it believes to be.
    Flush {
        writer: usize,
        partition: i32,
        length: i64,
    },
    /// A writer dies between its files and its commit.
    CrashInFlush {
        writer: usize,
        partition: i32,
        length: i64,
    },
    /// A writer forgets everything and reads the stored positions.
    Restart {
        writer: usize,
    },
    /// A writer that was away commits what others have written meanwhile.
    Replay {
        writer: usize,
        partition: i32,
        length: i64,
    },
    /// A plan is made now and carried out after the next happening.
    CompactAcross {
        writer: usize,
    },
    Compact {
        writer: usize,
    },
    StoppedCompact {
        writer: usize,
    },
    Vacuum {
        writer: usize,
    },
    /// Dates before the first day and this many are removed.
    Retention {
        writer: usize,
        days: i64,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    let writer = 0..3_usize;
    let of = || (0..3_usize, 0..PARTITIONS, 1..900_i64);
    prop_oneof![
        6 => of().prop_map(|(writer, partition, length)| Happening::Flush { writer, partition, length }),
        2 => of().prop_map(|(writer, partition, length)| Happening::CrashInFlush { writer, partition, length }),
        2 => writer.clone().prop_map(|writer| Happening::Restart { writer }),
        2 => of().prop_map(|(writer, partition, length)| Happening::Replay { writer, partition, length }),
        2 => writer.clone().prop_map(|writer| Happening::CompactAcross { writer }),
        2 => writer.clone().prop_map(|writer| Happening::Compact { writer }),
        1 => writer.clone().prop_map(|writer| Happening::StoppedCompact { writer }),
        2 => writer.clone().prop_map(|writer| Happening::Vacuum { writer }),
        1 => (writer, 0..2_i64).prop_map(|(writer, days)| Happening::Retention { writer, days }),
    ]
}

/// One process.
struct Writer {
    lake: Arc<Lake>,
    /// Where it believes each partition to be.
    next: BTreeMap<i32, Offset>,
    plans: Vec<lake::maintain::PartitionPlan>,
}

struct World {
    place: Place,
    writers: Vec<Writer>,
    /// Days since the first that are removed.
    removed_days: i64,
}

impl World {
    async fn new(place: Place) -> Self {
        let mut writers = Vec::new();
        for _ in 0..3 {
            writers.push(Writer {
                lake: place.open().await,
                next: BTreeMap::new(),
                plans: Vec::new(),
            });
        }
        Self {
            place,
            writers,
            removed_days: 0,
        }
    }

    async fn take(&mut self, happening: Happening) {
        match happening {
            Happening::Flush {
                writer,
                partition,
                length,
            } => {
                self.flush(writer, partition, length).await;
            }
            Happening::CrashInFlush {
                writer,
                partition,
                length,
            } => {
                let at = self.next(writer, partition);
                let lake = &self.writers[writer].lake;
                lake.write_files(TABLE, vec![rows(partition, at..at + length)])
                    .await
                    .expect("files");
                self.restart(writer).await;
            }
            Happening::Restart { writer } => self.restart(writer).await,
            Happening::Replay {
                writer,
                partition,
                length,
            } => {
                let at = self.next(writer, partition);
                self.writers[writer]
                    .next
                    .insert(partition, (at - length).max(0));
                self.flush(writer, partition, length).await;
            }
            Happening::CompactAcross { writer } => {
                let writer = &mut self.writers[writer];
                writer.plans = writer
                    .lake
                    .compaction_plan(TABLE, &options())
                    .await
                    .expect("a plan");
            }
            Happening::Compact { writer } => self.compact(writer, CancellationToken::new()).await,
            Happening::StoppedCompact { writer } => {
                let stop = CancellationToken::new();
                stop.cancel();
                self.compact(writer, stop).await;
            }
            Happening::Vacuum { writer } => {
                let at_once = VacuumOptions {
                    retain: Duration::ZERO,
                    retain_uncommitted: Duration::ZERO,
                };
                // Each process holds versions that the others cannot know of; here none
                // of them reads old ones.
                let now_ms = chrono::Utc::now().timestamp_millis() + 1;
                self.writers[writer]
                    .lake
                    .vacuum(TABLE, &at_once, now_ms, false)
                    .await
                    .expect("vacuumed");
            }
            Happening::Retention { writer, days } => {
                let retention = Retention {
                    days: BTreeMap::from([(TABLE, 0)]),
                    grace: Duration::ZERO,
                };
                let now_us = NOON_US + days * DAY_US;
                self.writers[writer]
                    .lake
                    .expire(TABLE, &retention, now_us, false)
                    .await
                    .expect("expired");
                self.removed_days = self.removed_days.max(days);
            }
        }
    }

    fn next(&self, writer: usize, partition: i32) -> Offset {
        self.writers[writer]
            .next
            .get(&partition)
            .copied()
            .unwrap_or(0)
    }

    async fn flush(&mut self, writer: usize, partition: i32, length: i64) {
        let (from, to) = (
            self.next(writer, partition),
            self.next(writer, partition) + length,
        );
        let lake = self.writers[writer].lake.clone();
        let files = lake
            .write_files(TABLE, vec![rows(partition, from..to)])
            .await
            .expect("files");
        let commit = Commit {
            files,
            advances: vec![advance(partition, from, to)],
            ..Commit::default()
        };
        match lake.commit(TABLE, &commit).await {
            Ok(_) => {
                self.writers[writer].next.insert(partition, to);
            }
            Err(Error::PositionMoved { stored, .. }) => {
                self.writers[writer]
                    .next
                    .insert(partition, stored.unwrap_or(0));
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn restart(&mut self, writer: usize) {
        let lake = self.place.open().await;
        let positions = lake.positions(TABLE).await.expect("positions");
        self.writers[writer] = Writer {
            lake,
            next: positions
                .into_iter()
                .map(|(partition, next)| (partition.partition, next))
                .collect(),
            plans: Vec::new(),
        };
    }

    async fn compact(&mut self, writer: usize, stop: CancellationToken) {
        let writer = &mut self.writers[writer];
        let mut plans = std::mem::take(&mut writer.plans);
        if plans.is_empty() {
            plans = writer
                .lake
                .compaction_plan(TABLE, &options())
                .await
                .expect("a plan");
        }
        for plan in plans {
            match writer.lake.compact(&plan, &options(), |_| {}, &stop).await {
                Ok(_) => {}
                // Another process has vacuumed the files of an old plan.
                Err(error) if error.is_retryable() => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Every offset below the stored positions whose date is kept, once; of dates that
    /// are not kept, only what came after they were removed, and that once.
    async fn check(&self) {
        let lake = self.place.open().await;
        let found = places(&lake).await;
        assert!(
            found.windows(2).all(|pair| pair[0] != pair[1]),
            "a row is there twice"
        );
        let first_kept = events::columns::date_of(NOON_US + self.removed_days * DAY_US);
        let positions = lake.positions(TABLE).await.expect("positions");
        for (partition, next) in positions {
            for offset in 0..next {
                let is_kept = events::columns::date_of(NOON_US + offset * 60_000_000) >= first_kept;
                let is_there = found.binary_search(&(partition.partition, offset)).is_ok();
                assert!(is_there || !is_kept, "{partition}@{offset} is missing");
            }
            let beyond = found
                .iter()
                .filter(|(number, offset)| *number == partition.partition && *offset >= next);
            assert_eq!(beyond.count(), 0, "rows beyond the position of {partition}");
        }
    }
}

fn options() -> CompactOptions {
    CompactOptions {
        memory_bytes: 100_000,
        ..CompactOptions::default()
    }
}

/// Does all of it on the lake of `place`, and looks at what is there then.
fn run(place: Place, happenings: Vec<Happening>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut world = World::new(place).await;
        for happening in happenings {
            world.take(happening).await;
        }
        world.check().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_leaves_each_kept_event_once(
        happenings in proptest::collection::vec(happening(), 4..24)
    ) {
        run(Place::local(), happenings);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_leaves_each_kept_event_once_on_s3(
        happenings in proptest::collection::vec(happening(), 8..24)
    ) {
        if let Some(place) = Place::s3() {
            run(place, happenings);
        }
    }
}
