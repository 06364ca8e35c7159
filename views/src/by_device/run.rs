//! Rows of one device that came one after the other and are alike in all but numbers, as
//! bytes: a header, the vehicle type, the numbers of each row, then the ids of rows that
//! have no offset, which are put in order by them.

use bytes::{Buf, BufMut};
use events::Location;
use tracks::{Fix, hash64};

use crate::source::FixRow;

const HAS_OFFSET: u8 = 1;
const HAS_HEADING: u8 = 2;
const HAS_ACCURACY: u8 = 4;
const HAS_TYPE: u8 = 8;
/// Offsets ascend.
const IN_ORDER: u8 = 16;

/// Numbers of a row that has all of them, eight bytes each.
const WORDS_MAX: usize = 9;
type Word = [u8; 8];

/// Device, stream, partition, flags, rows, lengths of the vehicle type and of all ids.
const HEADER_BYTES: usize = 29;

/// A run in the making.
pub(super) struct OpenRun<'b> {
    /// Where its rows go.
    pub(super) bucket: usize,
    device: u32,
    pub(super) device_id: &'b str,
    pub(super) device_hash: u64,
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

impl<'b> OpenRun<'b> {
    /// Begins at the end of `bytes`, with the device's number in its bucket.
    pub(super) fn begin(row: &FixRow<'b>, bucket: usize, device: u32, bytes: &mut Vec<u8>) -> Self {
        let run = Self {
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

    /// Says at its beginning what the run has become. Returns how many bytes it has.
    pub(super) fn end(&self, bytes: &mut Vec<u8>) -> usize {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        self.put_header(&mut header);
        let (header, _) = header.split_at(HEADER_BYTES);
        bytes[self.begins_at..][..HEADER_BYTES].copy_from_slice(header);
        bytes.put_slice(&self.ids);
        bytes.len() - self.begins_at
    }

    #[inline]
    pub(super) fn fits(&self, row: &FixRow<'_>) -> bool {
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
    pub(super) fn put(&mut self, row: &FixRow<'_>, id: &str, bytes: &mut Vec<u8>) {
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

/// A run as it was written.
pub(super) struct Run<'b> {
    /// Its number in the bucket.
    pub(super) device: u32,
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
    pub(super) fn read(bytes: &mut &'b [u8], devices: &'b [String]) -> Self {
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

    pub(super) fn count(&self) -> usize {
        self.numbers.len() / words(self.has)
    }

    /// Stream and partition; rows that never were in the log come last.
    pub(super) fn place(&self) -> (i64, u32) {
        let (stream, partition) = self.partition;
        (stream, u32::try_from(partition).unwrap_or(u32::MAX))
    }

    pub(super) fn is_in_order(&self) -> bool {
        self.has & IN_ORDER != 0
    }

    fn number(&self, row: usize, number: usize) -> u64 {
        u64::from_le_bytes(self.numbers[row * words(self.has) + number])
    }

    /// Rows without one come last.
    pub(super) fn offset(&self, row: usize) -> i64 {
        match self.has & HAS_OFFSET != 0 {
            true => self.number(row, 1) as i64,
            false => i64::MAX,
        }
    }

    /// What rows without an offset are put in order by: time and id.
    pub(super) fn outside(&self, row: usize) -> (i64, &'b str) {
        if self.has & HAS_OFFSET != 0 {
            return (0, "");
        }
        let place = self.number(row, 1);
        let (begins_at, length) = ((place >> 32) as usize, place as u32 as usize);
        let id = text(&self.ids[begins_at..begins_at + length]);
        (self.number(row, 0) as i64, id)
    }

    #[inline]
    pub(super) fn row(&self, row: usize) -> FixRow<'b> {
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
