//! Puts the fixes of a date together device by device, within a memory limit.
//!
//! Enters: rows in any order. Leaves: buckets, each with all rows of its devices, which
//! are read and put in order one at a time. What is too much for memory goes to disk, once, and
//! comes back once: no row is compared with those of other devices.
//!
//! Rows lie in *runs*: rows of one device that came one after the other and are alike in
//! all but numbers. The lake's files have a device's rows of three hours together and
//! mostly in log order, so a run is long and whole runs follow each other: rows are only
//! sorted where they do not.

mod run;

use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use foldhash::HashMap;
use foldhash::fast::FixedState;
use tracks::hash64;

use self::run::{OpenRun, Run};
use crate::Result;
use crate::source::{FixRow, FixRows};

/// About what a row takes in its bucket, bytes.
const ROW_BYTES: u64 = 72;
/// Each bucket may be a file.
const BUCKETS_MAX: u64 = 256;

/// Rows on their way into buckets.
pub(crate) struct ByDevice {
    buckets: Vec<Bucket>,
    hasher: FixedState,
    /// In memory, of all buckets.
    held_bytes: usize,
    held_bytes_max: usize,
    spill_dir: PathBuf,
}

/// Rows of some devices, all that there are of each.
#[derive(Default)]
pub(crate) struct Bucket {
    devices: Vec<String>,
    numbers: HashMap<String, u32>,
    runs: Vec<u8>,
    on_disk: Option<File>,
}

impl ByDevice {
    /// For about `rows` rows, of which `readers` buckets are read at a time, within
    /// `memory_bytes`.
    pub(crate) fn new(
        rows: u64,
        readers: usize,
        memory_bytes: usize,
        spill_dir: Option<&Path>,
    ) -> Self {
        // A bucket that is read is there with its order, which may take half as much again.
        let bucket_bytes = (memory_bytes / 2 / readers.max(1)).max(1) as u64;
        let buckets = (rows * ROW_BYTES / bucket_bytes + 1).clamp(readers as u64, BUCKETS_MAX);
        Self {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            hasher: FixedState::default(),
            held_bytes: 0,
            held_bytes_max: memory_bytes / 2,
            spill_dir: spill_dir.map_or_else(std::env::temp_dir, Path::to_owned),
        }
    }

    /// Takes rows in that have the columns of [`crate::source::fixes_sql`].
    pub(crate) fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        let rows = FixRows::of(rows)?;
        let mut run: Option<OpenRun<'_>> = None;
        for index in 0..rows.len() {
            let device_id = rows.device_id(index);
            let device_hash = match &run {
                Some(run) if run.device_id == device_id => run.device_hash,
                _ => hash64(0, device_id.as_bytes()),
            };
            self.put(&rows.row(index, device_hash), rows.id(index), &mut run);
        }
        if let Some(run) = run {
            self.end(run);
        }
        Ok(())
    }

    /// Puts a row into its bucket: to the run before it, or to a new one.
    #[inline]
    fn put<'b>(&mut self, row: &FixRow<'b>, id: &str, open: &mut Option<OpenRun<'b>>) {
        let run = match open {
            Some(run) if run.fits(row) => run,
            _ => {
                if let Some(run) = open.take() {
                    self.end(run);
                }
                open.insert(self.begin(row))
            }
        };
        run.put(row, id, &mut self.buckets[run.bucket].runs);
    }

    fn begin<'b>(&mut self, row: &FixRow<'b>) -> OpenRun<'b> {
        let (bucket, device) = self.place_of(row.fix.device_id);
        OpenRun::begin(row, bucket, device, &mut self.buckets[bucket].runs)
    }

    fn end(&mut self, run: OpenRun<'_>) {
        self.held_bytes += run.end(&mut self.buckets[run.bucket].runs);
    }

    /// Bucket and number within it.
    fn place_of(&mut self, device_id: &str) -> (usize, u32) {
        let number = self.hasher.hash_one(device_id) % self.buckets.len() as u64;
        let bucket = &mut self.buckets[number as usize];
        let device = match bucket.numbers.get(device_id) {
            Some(device) => *device,
            None => {
                let device = bucket.devices.len() as u32;
                bucket.devices.push(device_id.to_owned());
                bucket.numbers.insert(device_id.to_owned(), device);
                device
            }
        };
        (number as usize, device)
    }

    /// Whether memory is used up: [`ByDevice::spill`] comes next.
    pub(crate) fn is_full(&self) -> bool {
        self.held_bytes >= self.held_bytes_max
    }

    /// Writes what is in memory to files that nobody else sees, and that are gone with
    /// this process.
    pub(crate) fn spill(&mut self) -> io::Result<()> {
        std::fs::create_dir_all(&self.spill_dir)?;
        for bucket in &mut self.buckets {
            bucket.spill(&self.spill_dir)?;
        }
        self.held_bytes = 0;
        Ok(())
    }

    pub(crate) fn into_buckets(self) -> Vec<Bucket> {
        self.buckets
    }
}

impl Bucket {
    fn spill(&mut self, folder: &Path) -> io::Result<()> {
        let file = match &mut self.on_disk {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(folder)?),
        };
        file.write_all(&self.runs)?;
        self.runs.clear();
        Ok(())
    }

    /// Reads what is on disk back, into `room`: what the bucket before took is at hand.
    pub(crate) fn load(mut self, mut room: Vec<u8>) -> io::Result<LoadedBucket> {
        let runs = match &mut self.on_disk {
            None => self.runs,
            Some(file) => {
                let length = file.stream_position()?;
                room.clear();
                room.reserve_exact(length as usize + self.runs.len());
                file.rewind()?;
                file.read_to_end(&mut room)?;
                room.extend_from_slice(&self.runs);
                room
            }
        };
        Ok(LoadedBucket {
            devices: self.devices,
            runs,
        })
    }
}

/// All rows of some devices.
pub(crate) struct LoadedBucket {
    devices: Vec<String>,
    runs: Vec<u8>,
}

impl LoadedBucket {
    /// Its memory, for the next.
    pub(crate) fn into_room(self) -> Vec<u8> {
        self.runs
    }

    /// The rows as [`crate::source::FIX_ORDER`] says, but for the devices, which come in
    /// any order.
    pub(crate) fn for_each<'b>(&'b self, mut visit: impl FnMut(&FixRow<'b>)) {
        let mut runs = Vec::new();
        let mut rest = self.runs.as_slice();
        while !rest.is_empty() {
            runs.push(Run::read(&mut rest, &self.devices));
        }
        // Those that begin alike stay in the order in which they came.
        runs.sort_by_key(|run| (run.device, run.place(), run.offset(0)));
        for runs in runs.chunk_by(|a, b| (a.device, a.place()) == (b.device, b.place())) {
            let follow = |pair: &[Run<'_>]| pair[0].offset(pair[0].count() - 1) < pair[1].offset(0);
            if runs.iter().all(Run::is_in_order) && runs.windows(2).all(follow) {
                for run in runs {
                    (0..run.count()).for_each(|row| visit(&run.row(row)));
                }
                continue;
            }
            for (_, run, row) in in_order(runs) {
                visit(&runs[run as usize].row(row as usize));
            }
        }
    }
}

/// Offset, run and row of all rows of one device on one partition, in their order.
fn in_order(runs: &[Run<'_>]) -> Vec<(i64, u32, u32)> {
    let mut order = Vec::with_capacity(runs.iter().map(Run::count).sum());
    for (number, run) in runs.iter().enumerate() {
        order.extend((0..run.count()).map(|row| (run.offset(row), number as u32, row as u32)));
    }
    let outside = |run: u32, row: u32| runs[run as usize].outside(row as usize);
    // Much of it is in order already: a stable sort makes use of that.
    order.sort_by(|(a, a_run, a_row), (b, b_run, b_row)| {
        a.cmp(b)
            .then_with(|| outside(*a_run, *a_row).cmp(&outside(*b_run, *b_row)))
    });
    order
}

#[cfg(test)]
mod tests {
    use events::Location;
    use proptest::prelude::*;
    use tracks::Fix;

    use super::*;

    /// A row and its id.
    fn row<'a>(
        device_id: &'a str,
        id: &'a str,
        partition: i32,
        offset: Option<i64>,
    ) -> (FixRow<'a>, &'a str) {
        let device_hash = hash64(0, device_id.as_bytes());
        let row = FixRow {
            partition: (0, partition),
            offset,
            appended_at_us: 7,
            fix: Fix {
                device_id,
                device_hash,
                id: hash64(device_hash, id.as_bytes()),
                timestamp_us: 5,
                location: Location {
                    latitude: 57.7,
                    longitude: 11.9,
                },
                speed_kmh: 30.5,
                heading_deg: offset.map(|offset| offset as f64),
                accuracy_m: Some(4.5),
                vehicle_type: Some("taxi"),
            },
        };
        (row, id)
    }

    /// As a batch of rows.
    fn take<'a>(into: &mut ByDevice, rows: impl IntoIterator<Item = (FixRow<'a>, &'a str)>) {
        let mut run = None;
        for (row, id) in rows {
            into.put(&row, id, &mut run);
        }
        if let Some(run) = run {
            into.end(run);
        }
    }

    /// Device and row, as they come.
    fn all(from: ByDevice) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        for bucket in from.into_buckets() {
            let loaded = bucket.load(Vec::new()).expect("readable");
            loaded.for_each(|row| seen.push((row.fix.device_id.to_owned(), format!("{row:?}"))));
        }
        seen
    }

    fn named((row, _): (FixRow<'_>, &str)) -> (String, String) {
        (row.fix.device_id.to_owned(), format!("{row:?}"))
    }

    #[test]
    fn a_row_comes_back_as_it_was_from_memory_and_from_disk() {
        for is_spilled in [false, true] {
            let mut by_device = ByDevice::new(10, 1, 1 << 20, None);
            let mut given = [
                row("a", "1", 2, Some(3)),
                row("a", "2", 2, Some(4)),
                row("a", "3", 2, Some(5)),
                row("a", "4", -1, None),
            ];
            given[1].0.fix.vehicle_type = None;
            given[2].0.fix.accuracy_m = None;
            for row in &given {
                take(&mut by_device, [*row]);
                if is_spilled {
                    by_device.spill().expect("a temporary folder");
                }
            }
            assert_eq!(all(by_device), given.map(named));
        }
    }

    #[test]
    fn each_device_is_whole_and_in_log_order() {
        let mut by_device = ByDevice::new(1_000_000, 2, 1 << 20, None);
        assert!(by_device.buckets.len() > 2, "devices are apart");
        let devices: Vec<String> = (0..50).map(|number| format!("car-{number}")).collect();
        let places = [(1, Some(9)), (1, Some(4)), (0, Some(8)), (-1, None)];
        for (partition, offset) in places {
            let rows = devices
                .iter()
                .map(|device| row(device, "b", partition, offset));
            take(&mut by_device, rows);
        }
        for device in &devices {
            take(&mut by_device, [row(device, "a", -1, None)]);
        }
        let seen = all(by_device);
        assert_eq!(seen.len(), 5 * devices.len());
        for rows in seen.chunks(5) {
            let device = &rows[0].0;
            let expected = [
                row(device, "b", 0, Some(8)),
                row(device, "b", 1, Some(4)),
                row(device, "b", 1, Some(9)),
                row(device, "a", -1, None),
                row(device, "b", -1, None),
            ];
            assert_eq!(rows, expected.map(named));
        }
    }

    proptest! {
        /// However rows of two devices come, in runs that overlap or in none.
        #[test]
        fn rows_are_in_the_order_of_the_log(
            rows in prop::collection::vec((0..2_usize, -1..2_i32, 0..40_i64, 0..4_u8), 0..60),
            batch_rows in 1..20_usize,
        ) {
            let ids: Vec<String> = rows.iter().map(|(.., id)| id.to_string()).collect();
            let rows: Vec<_> = rows.iter().zip(&ids).enumerate().map(|(at, (of, id))| {
                let (device, partition, offset, _) = *of;
                let offset = (partition >= 0).then_some(offset * 100 + at as i64);
                row(["a", "b"][device], id, partition, offset)
            }).collect();
            let mut by_device = ByDevice::new(10, 1, 1 << 20, None);
            for rows in rows.chunks(batch_rows) {
                take(&mut by_device, rows.iter().copied());
            }
            let mut expected = rows;
            expected.sort_by_key(|(row, id)| {
                let is_outside = row.offset.is_none();
                (row.fix.device_id, is_outside, row.partition, row.offset, *id)
            });
            let mut seen = all(by_device);
            // Devices come in any order.
            seen.sort_by(|(a, _), (b, _)| a.cmp(b));
            prop_assert_eq!(seen, expected.into_iter().map(named).collect::<Vec<_>>());
        }
    }
}
