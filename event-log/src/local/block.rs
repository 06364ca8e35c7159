//! How records lie on disk: blocks of consecutive records of one partition.
//!
//! ```text
//! version u8 | compression u8 | count u32 | appended_at_us i64 | raw length u32 | crc32 u32 | payload
//! ```
//! Integers are little-endian. The checksum covers everything but itself. The
//! payload, LZ4-compressed where that pays, is `count` records of
//! `key length u32 (MAX: none) | key | value length u32 | value | header count u16 |
//! headers`, a header being `name length u16 | name | value length u32 | value`.
//! A block of version 2 is sparse: what compaction left of the `count` offsets
//! from its key on. Its payload is `kept u32`, then per record `offset - key u32 |
//! appended_at_us i64` and the record as above.
//!
//! The offset of a block's first record is the block's key, big-endian, so the
//! order of keys is the order of offsets.

use bytes::{Buf, Bytes};
use events::Offset;

use crate::{NewRecord, Record};

/// Bytes before the payload.
const HEADER_LEN: usize = 22;
const CRC_AT: usize = 18;
const VERSION: u8 = 1;
const SPARSE: u8 = 2;
const PLAIN: u8 = 0;
const LZ4: u8 = 1;
/// Smaller payloads are stored as they are: LZ4 gains little on them.
const COMPRESS_MIN_BYTES: usize = 512;
const NO_KEY: u32 = u32::MAX;

/// A block is closed when it has this many records...
pub(super) const BLOCK_RECORDS_MAX: usize = 1_000;
/// ...or this many bytes before compression.
pub(super) const BLOCK_BYTES_MAX: usize = 128 << 10;

/// Collects the records of one block.
#[derive(Debug, Default)]
pub(super) struct BlockBuilder {
    raw: Vec<u8>,
    count: usize,
}

impl BlockBuilder {
    /// Whether it should be finished before another record is pushed.
    pub(super) fn is_full(&self) -> bool {
        self.count >= BLOCK_RECORDS_MAX || self.raw.len() >= BLOCK_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends one record, whose parts were found small enough by [`check`].
    pub(super) fn push(&mut self, record: &NewRecord) {
        put_record(
            &mut self.raw,
            record.key.as_ref(),
            &record.value,
            &record.headers,
        );
        self.count += 1;
    }

    /// The stored form; the builder is empty afterwards.
    pub(super) fn finish(&mut self, appended_at_us: i64) -> Vec<u8> {
        let block = pack(VERSION, self.count as u32, appended_at_us, &self.raw);
        self.raw.clear();
        self.count = 0;
        block
    }
}

/// A sparse block of `kept`, all that is left of the `span` offsets from `first` on.
pub(super) fn encode_sparse(first: Offset, span: u32, kept: &[Record]) -> Vec<u8> {
    let mut raw = (kept.len() as u32).to_le_bytes().to_vec();
    let mut newest = 0;
    for record in kept {
        raw.extend_from_slice(&((record.offset - first) as u32).to_le_bytes());
        raw.extend_from_slice(&record.appended_at_us.to_le_bytes());
        put_record(
            &mut raw,
            record.key.as_ref(),
            &record.value,
            &record.headers,
        );
        newest = record.appended_at_us.max(newest);
    }
    pack(SPARSE, span, newest, &raw)
}

/// Header, checksum and the payload, compressed where that pays.
fn pack(version: u8, count: u32, appended_at_us: i64, raw: &[u8]) -> Vec<u8> {
    let mut block = Vec::with_capacity(HEADER_LEN + raw.len());
    block.push(version);
    block.push(PLAIN);
    block.extend_from_slice(&count.to_le_bytes());
    block.extend_from_slice(&appended_at_us.to_le_bytes());
    block.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    block.extend_from_slice(&[0; 4]);
    if raw.len() >= COMPRESS_MIN_BYTES {
        let output_max = lz4_flex::block::get_maximum_output_size(raw.len());
        block.resize(HEADER_LEN + output_max, 0);
        // Cannot fail: the output has the size that the worst case needs.
        let written =
            lz4_flex::block::compress_into(raw, &mut block[HEADER_LEN..]).unwrap_or(usize::MAX);
        if written < raw.len() {
            block.truncate(HEADER_LEN + written);
            block[1] = LZ4;
        }
    }
    if block[1] == PLAIN {
        block.truncate(HEADER_LEN);
        block.extend_from_slice(raw);
    }
    let crc = checksum(&block);
    block[CRC_AT..HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
    block
}

/// Whether a record's parts fit the format, and what does not.
pub(super) fn check(record: &NewRecord) -> Result<(), String> {
    let key_len = record.key.as_ref().map_or(0, Bytes::len);
    let headers_len: usize = record
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let bytes = key_len + record.value.len() + headers_len;
    if bytes > RECORD_BYTES_MAX {
        return Err(format!(
            "a record of {bytes} bytes is larger than {RECORD_BYTES_MAX}"
        ));
    }
    if record.headers.len() > usize::from(u16::MAX) {
        return Err(format!(
            "a record with {} headers has more than {}",
            record.headers.len(),
            u16::MAX
        ));
    }
    match record
        .headers
        .iter()
        .find(|(name, _)| name.len() > usize::from(u16::MAX))
    {
        Some((name, _)) => Err(format!(
            "a header name of {} bytes is longer than {}",
            name.len(),
            u16::MAX
        )),
        None => Ok(()),
    }
}

/// The largest record, key and headers included.
pub(super) const RECORD_BYTES_MAX: usize = 16 << 20;

/// What a block's header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockInfo {
    /// Offsets that it covers.
    pub(super) count: i64,
    pub(super) appended_at_us: i64,
}

/// Reads the header without touching the payload.
pub(super) fn info(block: &[u8]) -> Result<BlockInfo, String> {
    if block.len() < HEADER_LEN || !matches!(block[0], VERSION | SPARSE) {
        return Err(format!(
            "a block of {} bytes does not begin as blocks do",
            block.len()
        ));
    }
    let mut header = &block[2..];
    Ok(BlockInfo {
        count: i64::from(header.get_u32_le()),
        appended_at_us: header.get_i64_le(),
    })
}

/// Appends the records from offset `from` on to `records`. The block's first
/// record has offset `first`.
pub(super) fn decode(
    block: &[u8],
    first: Offset,
    from: Offset,
    records: &mut Vec<Record>,
) -> Result<(), String> {
    let BlockInfo {
        count,
        appended_at_us,
    } = info(block)?;
    let stored_crc = (&block[CRC_AT..]).get_u32_le();
    if checksum(block) != stored_crc {
        return Err(format!(
            "the checksum of the block at offset {first} does not match"
        ));
    }
    // One allocation for the block; every record's parts are slices of it.
    let mut raw = match block[1] {
        LZ4 => {
            let raw_len = (&block[14..]).get_u32_le() as usize;
            let raw = lz4_flex::block::decompress(&block[HEADER_LEN..], raw_len)
                .map_err(|error| error.to_string())?;
            Bytes::from(raw)
        }
        _ => Bytes::copy_from_slice(&block[HEADER_LEN..]),
    };
    let ends_early = || format!("the block at offset {first} ends early");
    if block[0] == SPARSE {
        for record in take_sparse(&mut raw, first, count).ok_or_else(ends_early)? {
            if record.offset >= from {
                records.push(record);
            }
        }
        return Ok(());
    }
    for offset in first..first + count {
        let record = take_record(&mut raw, offset, appended_at_us).ok_or_else(ends_early)?;
        if offset >= from {
            records.push(record);
        }
    }
    Ok(())
}

fn checksum(block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block[..CRC_AT]);
    hasher.update(&block[HEADER_LEN..]);
    hasher.finalize()
}

fn put_record(raw: &mut Vec<u8>, key: Option<&Bytes>, value: &[u8], headers: &[(String, Bytes)]) {
    match key {
        Some(key) => put_bytes(raw, key),
        None => raw.extend_from_slice(&NO_KEY.to_le_bytes()),
    }
    put_bytes(raw, value);
    raw.extend_from_slice(&(headers.len() as u16).to_le_bytes());
    for (name, value) in headers {
        raw.extend_from_slice(&(name.len() as u16).to_le_bytes());
        raw.extend_from_slice(name.as_bytes());
        put_bytes(raw, value);
    }
}

fn put_bytes(raw: &mut Vec<u8>, bytes: &[u8]) {
    raw.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    raw.extend_from_slice(bytes);
}

fn take_sparse(raw: &mut Bytes, first: Offset, span: i64) -> Option<Vec<Record>> {
    let kept = raw.try_get_u32_le().ok()?;
    let mut records = Vec::with_capacity((kept as usize).min(BLOCK_RECORDS_MAX));
    for _ in 0..kept {
        let ahead = i64::from(raw.try_get_u32_le().ok()?);
        let appended_at_us = raw.try_get_i64_le().ok()?;
        records.push(take_record(raw, first + ahead, appended_at_us)?);
        if ahead >= span {
            return None;
        }
    }
    Some(records)
}

fn take_record(raw: &mut Bytes, offset: Offset, appended_at_us: i64) -> Option<Record> {
    let key = match raw.try_get_u32_le().ok()? {
        NO_KEY => None,
        len => Some(take(raw, len as usize)?),
    };
    let value_len = raw.try_get_u32_le().ok()? as usize;
    let value = take(raw, value_len)?;
    let header_count = usize::from(raw.try_get_u16_le().ok()?);
    let mut headers = Vec::with_capacity(header_count);
    for _ in 0..header_count {
        let name_len = usize::from(raw.try_get_u16_le().ok()?);
        let name = String::from_utf8(take(raw, name_len)?.to_vec()).ok()?;
        let len = raw.try_get_u32_le().ok()? as usize;
        headers.push((name, take(raw, len)?));
    }
    Some(Record {
        offset,
        appended_at_us,
        key,
        value,
        headers,
    })
}

fn take(raw: &mut Bytes, len: usize) -> Option<Bytes> {
    (raw.len() >= len).then(|| raw.split_to(len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from)
    }

    fn record() -> impl Strategy<Value = NewRecord> {
        let headers = proptest::collection::vec(("[a-z._]{0,12}", bytes(20)), 0..4);
        (proptest::option::of(bytes(20)), bytes(400), headers).prop_map(|(key, value, headers)| {
            NewRecord {
                key,
                value,
                headers,
                partition: None,
            }
        })
    }

    proptest! {
        #[test]
        fn a_block_gives_back_what_was_put_in(
            records in proptest::collection::vec(record(), 0..50),
            first in 0i64..1_000_000,
            skip in 0usize..50,
        ) {
            let mut builder = BlockBuilder::default();
            for record in &records {
                builder.push(record);
            }
            let block = builder.finish(77);
            let mut read = Vec::new();
            let skip = skip.min(records.len());
            decode(&block, first, first + skip as i64, &mut read).unwrap();
            prop_assert_eq!(read.len(), records.len() - skip);
            for (index, (new, old)) in read.iter().zip(&records[skip..]).enumerate() {
                prop_assert_eq!(new.offset, first + (skip + index) as i64);
                prop_assert_eq!(new.appended_at_us, 77);
                prop_assert_eq!(&new.key, &old.key);
                prop_assert_eq!(&new.value, &old.value);
                prop_assert_eq!(&new.headers, &old.headers);
            }
        }

        #[test]
        fn a_flipped_bit_is_found(
            records in proptest::collection::vec(record(), 1..20),
            position in any::<proptest::sample::Index>(),
            bit in 0u8..8,
        ) {
            let mut builder = BlockBuilder::default();
            for record in &records {
                builder.push(record);
            }
            let mut block = builder.finish(1);
            let position = position.index(block.len());
            block[position] ^= 1 << bit;
            prop_assert!(decode(&block, 0, 0, &mut Vec::new()).is_err());
        }
    }
}
