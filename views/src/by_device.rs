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

use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use bytes::{Buf, BufMut};
use events::Location;
use foldhash::HashMap;
use foldhash::fast::FixedState;
use tracks::{Fix, hash64};

use crate::Result;
use crate::source::{FixRow, FixRows};

/// About what a row takes in its bucket, bytes.
const ROW_BYTES: u64 = 72;
/// Each bucket may be a file.
const BUCKETS_MAX: u64 = 256;

const HAS_OFFSET: u8 = 1;
const HAS_HEADING: u8 = 2;
const HAS_ACCURACY: u8 = 4;
const HAS_TYPE: u8 = 8;
/// Offsets ascend.
const IN_ORDER: u8 = 16;

/// Numbers of a row that has all of them, eight bytes each.
const WORDS_MAX: usize = 9;
type Word = [u8; 8];

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
        let bytes = &mut self.buckets[bucket].runs;
        let run = OpenRun {
            bucket,
            device,
            device_id: row.fix.device_id,
            device_hash: row.fix.device_hash,
            partition: row.partition,
            vehicle_type: row.fix.vehicle_type,
            has: has(row),
            begins_at: bytes.len(),
            count: 0,
            newest_offset: None,
            is_in_order: row.offset.is_some(),
            ids: Vec::new(),
        };
        run.put_header(bytes);
        run
    }

    /// Says at its beginning what the run has become.
    fn end(&mut self, run: OpenRun<'_>) {
        let bytes = &mut self.buckets[run.bucket].runs;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        run.put_header(&mut header);
        let (header, _) = header.split_at(HEADER_BYTES);
        bytes[run.begins_at..][..HEADER_BYTES].copy_from_slice(header);
        bytes.put_slice(&run.ids);
        self.held_bytes += bytes.len() - run.begins_at;
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

/// Device, stream, partition, flags, rows, lengths of the vehicle type and of all ids.
const HEADER_BYTES: usize = 29;

/// A run in the making: header, vehicle type, rows, then the ids of those that have no
/// offset, which are put in order by them.
struct OpenRun<'b> {
    bucket: usize,
    device: u32,
    device_id: &'b str,
    device_hash: u64,
    partition: (i64, i32),
    vehicle_type: Option<&'b str>,
    has: u8,
    begins_at: usize,
    count: u32,
    newest_offset: Option<i64>,
    is_in_order: bool,
    ids: Vec<u8>,
}

/// Which of the numbers that may be missing are there.
#[inline]
fn has(row: &FixRow<'_>) -> u8 {
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    flag(row.offset.is_some(), HAS_OFFSET)
        | flag(row.fix.heading_deg.is_some(), HAS_HEADING)
        | flag(row.fix.accuracy_m.is_some(), HAS_ACCURACY)
        | flag(row.fix.vehicle_type.is_some(), HAS_TYPE)
}

/// How many numbers a row has.
fn words(has: u8) -> usize {
    7 + usize::from(has & HAS_HEADING != 0) + usize::from(has & HAS_ACCURACY != 0)
}

impl OpenRun<'_> {
    #[inline]
    fn fits(&self, row: &FixRow<'_>) -> bool {
        self.device_id == row.fix.device_id
            && self.has == has(row)
            && self.partition == row.partition
            && self.vehicle_type == row.fix.vehicle_type
    }

    fn put_header(&self, bytes: &mut Vec<u8>) {
        let in_order = if self.is_in_order { IN_ORDER } else { 0 };
        let vehicle_type = self.vehicle_type.unwrap_or_default();
        bytes.put_u32_le(self.device);
        bytes.put_i64_le(self.partition.0);
        bytes.put_i32_le(self.partition.1);
        bytes.put_u8(self.has | in_order);
        bytes.put_u32_le(self.count);
        // An Arrow column of texts has at most 2 GiB.
        bytes.put_u32_le(vehicle_type.len() as u32);
        bytes.put_u32_le(self.ids.len() as u32);
        bytes.put_slice(vehicle_type.as_bytes());
    }

    #[inline]
    fn put(&mut self, row: &FixRow<'_>, id: &str, bytes: &mut Vec<u8>) {
        let fix = &row.fix;
        let place = match row.offset {
            Some(offset) => {
                self.is_in_order &= self.newest_offset.is_none_or(|newest| newest < offset);
                self.newest_offset = Some(offset);
                offset as u64
            }
            None => {
                let begins_at = self.ids.len() as u64;
                self.ids.put_slice(id.as_bytes());
                (begins_at << 32) | id.len() as u64
            }
        };
        let mut numbers = [
            fix.timestamp_us as u64,
            place,
            row.appended_at_us as u64,
            fix.id,
            fix.location.latitude.to_bits(),
            fix.location.longitude.to_bits(),
            fix.speed_kmh.to_bits(),
            0,
            0,
        ];
        let mut count = 7;
        for number in [fix.heading_deg, fix.accuracy_m].into_iter().flatten() {
            numbers[count] = number.to_bits();
            count += 1;
        }
        let words: [Word; WORDS_MAX] = numbers.map(u64::to_le_bytes);
        bytes.extend_from_slice(words[..count].as_flattened());
        self.count += 1;
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
            if runs.iter().all(|run| run.has & IN_ORDER != 0) && runs.windows(2).all(follow) {
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

/// A run as it was written.
struct Run<'b> {
    device: u32,
    device_id: &'b str,
    device_hash: u64,
    partition: (i64, i32),
    vehicle_type: Option<&'b str>,
    has: u8,
    /// Of all rows.
    numbers: &'b [Word],
    ids: &'b [u8],
}

impl<'b> Run<'b> {
    fn read(bytes: &mut &'b [u8], devices: &'b [String]) -> Self {
        let device = bytes.get_u32_le();
        let partition = (bytes.get_i64_le(), bytes.get_i32_le());
        let has = bytes.get_u8();
        let count = bytes.get_u32_le() as usize;
        let (type_bytes, id_bytes) = (bytes.get_u32_le() as usize, bytes.get_u32_le() as usize);
        let mut take = |count: usize| {
            let (taken, rest) = bytes.split_at(count);
            *bytes = rest;
            taken
        };
        let vehicle_type = text(take(type_bytes));
        let (numbers, _) = take(count * words(has) * size_of::<Word>()).as_chunks();
        let device_id = &devices[device as usize];
        Self {
            device,
            device_id,
            device_hash: hash64(0, device_id.as_bytes()),
            partition,
            vehicle_type: (has & HAS_TYPE != 0).then_some(vehicle_type),
            has,
            numbers,
            ids: take(id_bytes),
        }
    }

    fn count(&self) -> usize {
        self.numbers.len() / words(self.has)
    }

    /// Stream and partition; rows that never were in the log come last.
    fn place(&self) -> (i64, u32) {
        let (stream, partition) = self.partition;
        (stream, u32::try_from(partition).unwrap_or(u32::MAX))
    }

    fn number(&self, row: usize, number: usize) -> u64 {
        u64::from_le_bytes(self.numbers[row * words(self.has) + number])
    }

    /// Rows without one come last.
    fn offset(&self, row: usize) -> i64 {
        match self.has & HAS_OFFSET != 0 {
            true => self.number(row, 1) as i64,
            false => i64::MAX,
        }
    }

    /// What rows without an offset are put in order by: time and id.
    fn outside(&self, row: usize) -> (i64, &'b str) {
        if self.has & HAS_OFFSET != 0 {
            return (0, "");
        }
        let place = self.number(row, 1);
        let (begins_at, length) = ((place >> 32) as usize, place as u32 as usize);
        let id = text(&self.ids[begins_at..begins_at + length]);
        (self.number(row, 0) as i64, id)
    }

    #[inline]
    fn row(&self, row: usize) -> FixRow<'b> {
        let words = words(self.has);
        let numbers = &self.numbers[row * words..][..words];
        let whole = |number: usize| u64::from_le_bytes(numbers[number]);
        let float = |number: usize| f64::from_bits(whole(number));
        let has = |flag: u8| self.has & flag != 0;
        FixRow {
            partition: self.partition,
            offset: has(HAS_OFFSET).then(|| whole(1) as i64),
            appended_at_us: whole(2) as i64,
            fix: Fix {
                device_id: self.device_id,
                device_hash: self.device_hash,
                id: whole(3),
                timestamp_us: whole(0) as i64,
                location: Location {
                    latitude: float(4),
                    longitude: float(5),
                },
                speed_kmh: float(6),
                heading_deg: has(HAS_HEADING).then(|| float(7)),
                accuracy_m: has(HAS_ACCURACY).then(|| float(words - 1)),
                vehicle_type: self.vehicle_type,
            },
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it was written as text")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
