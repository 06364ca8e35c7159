//! The snapshot file: one state, written whole, checked by a CRC-32.
//!
//! ```text
//! "CPHOT1\n"                                      magic and version
//! u64 values, then each: str prefix, str id, bytes value, i64 expires_us
//! u64 owners, then each: str name,
//!     u64 positions, each: str topic/partition, i64 offset
//!     u64 cells,     each: str topic/partition, str key, bytes value
//! u32 CRC-32 of everything before it
//! ```
//! Numbers are little-endian; str and bytes are a u32 length and that many bytes.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use bytes::Bytes;
use events::TopicPartition;

use super::state::{Image, ImageOwner, ImageValue};
use crate::Kind;

const MAGIC: &[u8] = b"CPHOT1\n";

/// Replaces the file at `path`; its size in bytes. A crash leaves the old file
/// or the new one, never a mixture.
pub(super) fn write(path: &Path, image: &Image) -> io::Result<u64> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    let mut out = Writer::new(BufWriter::with_capacity(1 << 18, File::create(unfinished)?));
    out.put(MAGIC)?;
    out.put(&(image.values.len() as u64).to_le_bytes())?;
    for value in &image.values {
        out.bytes(value.kind.prefix().as_bytes())?;
        out.bytes(value.id.as_bytes())?;
        out.bytes(&value.value)?;
        out.put(&value.expires_us.to_le_bytes())?;
    }
    out.put(&(image.owners.len() as u64).to_le_bytes())?;
    for owner in &image.owners {
        write_owner(&mut out, owner)?;
    }
    let (mut file, size) = out.finish()?;
    file.flush()?;
    // On disk before it takes the old one's name.
    file.get_ref().sync_data()?;
    fs::rename(unfinished, path)?;
    Ok(size)
}

fn write_owner(out: &mut Writer<impl Write>, owner: &ImageOwner) -> io::Result<()> {
    out.bytes(owner.name.as_bytes())?;
    out.put(&(owner.positions.len() as u64).to_le_bytes())?;
    for (partition, offset) in &owner.positions {
        out.bytes(partition.to_string().as_bytes())?;
        out.put(&offset.to_le_bytes())?;
    }
    out.put(&(owner.cells.len() as u64).to_le_bytes())?;
    for (partition, key, value) in &owner.cells {
        out.bytes(partition.to_string().as_bytes())?;
        out.bytes(key.as_bytes())?;
        out.bytes(value)?;
    }
    Ok(())
}

/// The state in a file's bytes, or what is wrong with them.
pub(super) fn read(file: &[u8]) -> Result<Image, &'static str> {
    let body = file
        .strip_prefix(MAGIC)
        .ok_or("it is not a snapshot of this version")?;
    let (_, checksum) = body.split_last_chunk::<4>().ok_or("it is cut off")?;
    let checked = &file[..file.len() - 4];
    if crc32fast::hash(checked) != u32::from_le_bytes(*checksum) {
        return Err("its checksum is wrong");
    }
    let mut body = Reader(&checked[MAGIC.len()..]);
    parse(&mut body).ok_or("its content is not as its checksum promises")
}

fn parse(body: &mut Reader<'_>) -> Option<Image> {
    let mut values = Vec::new();
    for _ in 0..body.number()? {
        let (kind, _) = Kind::of_key(body.text()?)?;
        let id = body.text()?.into();
        let value = Bytes::copy_from_slice(body.bytes()?);
        values.push(ImageValue {
            kind,
            id,
            value,
            expires_us: body.offset()?,
        });
    }
    let mut owners = Vec::new();
    for _ in 0..body.number()? {
        let name = body.text()?.to_owned();
        let mut positions = Vec::new();
        for _ in 0..body.number()? {
            positions.push((TopicPartition::parse(body.text()?)?, body.offset()?));
        }
        let mut cells = Vec::new();
        for _ in 0..body.number()? {
            let partition = TopicPartition::parse(body.text()?)?;
            let key = body.text()?.into();
            cells.push((partition, key, Bytes::copy_from_slice(body.bytes()?)));
        }
        owners.push(ImageOwner {
            name,
            positions,
            cells,
        });
    }
    body.0.is_empty().then_some(Image {
        changes: 0,
        values,
        owners,
    })
}

/// Writes and sums up.
struct Writer<W> {
    out: W,
    checksum: crc32fast::Hasher,
    size: u64,
}

impl<W: Write> Writer<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            checksum: crc32fast::Hasher::new(),
            size: 0,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.checksum.update(bytes);
        self.size += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len())
            .map_err(|_| io::Error::other("a value is larger than 4 GiB"))?;
        self.put(&length.to_le_bytes())?;
        self.put(bytes)
    }

    fn finish(mut self) -> io::Result<(W, u64)> {
        let checksum = self.checksum.clone().finalize();
        self.put(&checksum.to_le_bytes())?;
        Ok((self.out, self.size))
    }
}

/// Takes from the front; `None` where the bytes end too early.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn offset(&mut self) -> Option<i64> {
        self.number().map(u64::cast_signed)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (bytes, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}
