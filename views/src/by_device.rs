//! Puts the fixes of a date together device by device, within a memory limit.
//!
//! Enters: rows in any order. Leaves: buckets, each with all rows of its devices, which
//! are read and put in order one at a time. What is too much for memory goes to disk, once, and
//! comes back once: no row is compared with those of other devices.

use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use bytes::{Buf, BufMut};
use events::Location;
use foldhash::HashMap;
use foldhash::fast::FixedState;
use tracks::Fix;

use crate::Result;
use crate::source::{FixRow, FixRows};

/// About what a row takes in its bucket, bytes.
const ROW_BYTES: u64 = 128;
/// Each bucket may be a file.
const BUCKETS_MAX: u64 = 256;

const HAS_OFFSET: u8 = 1;
const HAS_HEADING: u8 = 2;
const HAS_ACCURACY: u8 = 4;
const HAS_TYPE: u8 = 8;

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
    rows: Vec<u8>,
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
        // A bucket that is read is there with its order, which takes half as much again.
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
        // Files have the rows of a device together: mostly it is the one before.
        let (mut before, mut place) = ("", None);
        for row in 0..rows.len() {
            let row = rows.row(row);
            let device_id = row.fix.device_id;
            let (bucket, device) = match place {
                Some(place) if before == device_id => place,
                _ => self.place_of(device_id),
            };
            (before, place) = (device_id, Some((bucket, device)));
            let bytes = &mut self.buckets[bucket].rows;
            let length = bytes.len();
            put(bytes, device, &row);
            self.held_bytes += bytes.len() - length;
        }
        Ok(())
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
        file.write_all(&self.rows)?;
        self.rows.clear();
        Ok(())
    }

    /// Reads what is on disk back.
    pub(crate) fn load(mut self) -> io::Result<LoadedBucket> {
        let mut rows = Vec::new();
        if let Some(file) = &mut self.on_disk {
            let length = file.stream_position()?;
            rows.reserve_exact(length as usize + self.rows.len());
            file.rewind()?;
            file.read_to_end(&mut rows)?;
        }
        match rows.is_empty() {
            true => rows = self.rows,
            false => rows.extend_from_slice(&self.rows),
        }
        Ok(LoadedBucket {
            devices: self.devices,
            rows,
        })
    }
}

/// All rows of some devices.
pub(crate) struct LoadedBucket {
    devices: Vec<String>,
    rows: Vec<u8>,
}

/// Where a row comes: as [`crate::source::FIX_ORDER`] says, the devices in any order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Order<'b> {
    device: u32,
    stream: i64,
    /// Rows that never were in the log come last.
    partition: u32,
    offset: i64,
    /// They have no place there: by time and id.
    outside: (i64, &'b str),
    at: usize,
}

impl LoadedBucket {
    /// The rows, device by device, each in log order.
    pub(crate) fn for_each<'b>(&'b self, mut visit: impl FnMut(&FixRow<'b>)) {
        let mut orders = Vec::new();
        let mut rest = self.rows.as_slice();
        while !rest.is_empty() {
            let at = self.rows.len() - rest.len();
            let (device, row) = get(&mut rest, &self.devices);
            let (stream, partition) = row.partition;
            orders.push(Order {
                device,
                stream,
                partition: u32::try_from(partition).unwrap_or(u32::MAX),
                offset: row.offset.unwrap_or(i64::MAX),
                outside: match row.offset {
                    Some(_) => (0, ""),
                    None => (row.fix.timestamp_us, row.fix.id),
                },
                at,
            });
        }
        // A file has rows of a device in order: stable sorts make use of that.
        orders.sort();
        for order in orders {
            visit(&get(&mut &self.rows[order.at..], &self.devices).1);
        }
    }
}

fn put(bytes: &mut Vec<u8>, device: u32, row: &FixRow<'_>) {
    let fix = &row.fix;
    let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
    bytes.put_u32_le(device);
    bytes.put_u8(
        flag(row.offset.is_some(), HAS_OFFSET)
            | flag(fix.heading_deg.is_some(), HAS_HEADING)
            | flag(fix.accuracy_m.is_some(), HAS_ACCURACY)
            | flag(fix.vehicle_type.is_some(), HAS_TYPE),
    );
    bytes.put_i64_le(row.partition.0);
    bytes.put_i32_le(row.partition.1);
    bytes.put_i64_le(row.offset.unwrap_or_default());
    bytes.put_i64_le(row.appended_at_us);
    bytes.put_i64_le(fix.timestamp_us);
    bytes.put_f64_le(fix.location.latitude);
    bytes.put_f64_le(fix.location.longitude);
    bytes.put_f64_le(fix.speed_kmh);
    bytes.put_f64_le(fix.heading_deg.unwrap_or_default());
    bytes.put_f64_le(fix.accuracy_m.unwrap_or_default());
    put_text(bytes, fix.id);
    put_text(bytes, fix.vehicle_type.unwrap_or_default());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    // An Arrow column of texts has at most 2 GiB.
    bytes.put_u32_le(text.len() as u32);
    bytes.put_slice(text.as_bytes());
}

/// What [`put`] wrote, with the device's number.
fn get<'b>(bytes: &mut &'b [u8], devices: &'b [String]) -> (u32, FixRow<'b>) {
    let device = bytes.get_u32_le();
    let flags = bytes.get_u8();
    let has = |flag: u8| flags & flag != 0;
    let partition = (bytes.get_i64_le(), bytes.get_i32_le());
    let offset = Some(bytes.get_i64_le()).filter(|_| has(HAS_OFFSET));
    let appended_at_us = bytes.get_i64_le();
    let timestamp_us = bytes.get_i64_le();
    let location = Location {
        latitude: bytes.get_f64_le(),
        longitude: bytes.get_f64_le(),
    };
    let speed_kmh = bytes.get_f64_le();
    let heading_deg = Some(bytes.get_f64_le()).filter(|_| has(HAS_HEADING));
    let accuracy_m = Some(bytes.get_f64_le()).filter(|_| has(HAS_ACCURACY));
    let id = get_text(bytes);
    let vehicle_type = Some(get_text(bytes)).filter(|_| has(HAS_TYPE));
    let fix = Fix {
        device_id: &devices[device as usize],
        id,
        timestamp_us,
        location,
        speed_kmh,
        heading_deg,
        accuracy_m,
        vehicle_type,
    };
    let row = FixRow {
        partition,
        offset,
        appended_at_us,
        fix,
    };
    (device, row)
}

fn get_text<'b>(bytes: &mut &'b [u8]) -> &'b str {
    let length = bytes.get_u32_le() as usize;
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    std::str::from_utf8(text).expect("it was written as text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(device_id: &'a str, id: &'a str, partition: i32, offset: Option<i64>) -> FixRow<'a> {
        FixRow {
            partition: (0, partition),
            offset,
            appended_at_us: 7,
            fix: Fix {
                device_id,
                id,
                timestamp_us: 5,
                location: Location {
                    latitude: 57.7,
                    longitude: 11.9,
                },
                speed_kmh: 30.5,
                heading_deg: offset.map(|offset| offset as f64),
                accuracy_m: None,
                vehicle_type: Some("taxi"),
            },
        }
    }

    fn take(into: &mut ByDevice, row: &FixRow<'_>) {
        let (bucket, device) = into.place_of(row.fix.device_id);
        put(&mut into.buckets[bucket].rows, device, row);
    }

    /// Device and row, as they come.
    fn all(from: ByDevice) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        for bucket in from.into_buckets() {
            let loaded = bucket.load().expect("readable");
            loaded.for_each(|row| seen.push((row.fix.device_id.to_owned(), format!("{row:?}"))));
        }
        seen
    }

    fn named(row: FixRow<'_>) -> (String, String) {
        (row.fix.device_id.to_owned(), format!("{row:?}"))
    }

    #[test]
    fn a_row_comes_back_as_it_was_from_memory_and_from_disk() {
        for is_spilled in [false, true] {
            let mut by_device = ByDevice::new(10, 1, 1 << 20, None);
            let given = [row("a", "1", 2, Some(3)), row("a", "2", -1, None)];
            for row in &given {
                take(&mut by_device, row);
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
            for device in &devices {
                take(&mut by_device, &row(device, "b", partition, offset));
            }
        }
        for device in &devices {
            take(&mut by_device, &row(device, "a", -1, None));
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
}
