//! Opens a recording, whatever it is compressed with.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::{Input, ReplayError};

/// Decompressed content, from its beginning.
pub(crate) type Content = Box<dyn BufRead + Send>;

/// No line of a text format is longer.
pub(crate) const LINE_BYTES_MAX: u64 = 1 << 20;
/// Formats that must be sorted first are read whole up to here.
pub(crate) const WHOLE_BYTES_MAX: u64 = 256 << 20;
const BUFFER_BYTES: usize = 256 << 10;
const HEAD_BYTES: u64 = 16 << 10;

pub(crate) struct Opened {
    pub content: Content,
    /// The first bytes of the content.
    pub head: Vec<u8>,
    /// The file, for messages.
    pub path: PathBuf,
    /// Size of the file as stored; `None` on standard input.
    pub total_bytes: Option<u64>,
    pub read_bytes: Arc<AtomicU64>,
}

struct Counting<R> {
    inner: R,
    read_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Opens and looks at the first bytes: gzip and zstd are told by their magic.
pub(crate) fn open(input: &Input) -> Result<Opened, ReplayError> {
    let (path, raw, total_bytes): (PathBuf, Box<dyn Read + Send>, Option<u64>) = match input {
        Input::Stdin => (PathBuf::from("-"), Box::new(std::io::stdin()), None),
        Input::File(path) => {
            let failed = |source| ReplayError::Read {
                path: path.clone(),
                source,
            };
            let file = File::open(path).map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            (path.clone(), Box::new(file), Some(size))
        }
    };
    let failed = |source| ReplayError::Read {
        path: path.clone(),
        source,
    };
    let read_bytes = Arc::new(AtomicU64::new(0));
    let counting = Counting {
        inner: raw,
        read_bytes: Arc::clone(&read_bytes),
    };
    let (magic, stored) = peek(counting, 4).map_err(failed)?;
    let mut plain: Box<dyn Read + Send> = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(BufReader::with_capacity(
            BUFFER_BYTES,
            stored,
        ))),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            Box::new(zstd::stream::read::Decoder::new(stored).map_err(failed)?)
        }
        _ => Box::new(stored),
    };
    let mut head = Vec::new();
    plain
        .by_ref()
        .take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(failed)?;
    let content = Cursor::new(head.clone()).chain(BufReader::with_capacity(BUFFER_BYTES, plain));
    Ok(Opened {
        content: Box::new(content),
        head,
        path,
        total_bytes,
        read_bytes,
    })
}

fn peek<R: Read>(mut reader: R, count: u64) -> std::io::Result<(Vec<u8>, impl Read)> {
    let mut head = Vec::new();
    reader.by_ref().take(count).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}

/// A line with its number, or why it is none.
type Line<'a> = (u64, Result<&'a [u8], String>);

/// Lines of bounded length, with their number from 1.
pub(crate) struct Lines {
    content: Content,
    number: u64,
    buffer: Vec<u8>,
}

impl Lines {
    pub fn new(content: Content) -> Self {
        Self {
            content,
            number: 0,
            buffer: Vec::new(),
        }
    }

    /// The next line without its end; `None` after the last one. A line that is
    /// too long comes as an error text and is passed over.
    pub fn next_line(&mut self) -> std::io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let limited = &mut (&mut self.content).take(LINE_BYTES_MAX);
        if limited.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let is_cut =
            self.buffer.len() as u64 == LINE_BYTES_MAX && self.buffer.last() != Some(&b'\n');
        if is_cut {
            self.skip_to_end_of_line()?;
            return Ok(Some((
                self.number,
                Err(format!("longer than {LINE_BYTES_MAX} bytes")),
            )));
        }
        Ok(Some((self.number, Ok(self.buffer.trim_ascii()))))
    }

    fn skip_to_end_of_line(&mut self) -> std::io::Result<()> {
        loop {
            let available = self.content.fill_buf()?;
            if available.is_empty() {
                return Ok(());
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(available.len(), |end| end + 1);
            self.content.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

/// All of the content, where a format needs it.
pub(crate) fn read_whole(mut content: Content, path: &Path) -> Result<Vec<u8>, ReplayError> {
    let mut whole = Vec::new();
    let failed = |source| ReplayError::Read {
        path: path.to_owned(),
        source,
    };
    content
        .by_ref()
        .take(WHOLE_BYTES_MAX + 1)
        .read_to_end(&mut whole)
        .map_err(failed)?;
    if whole.len() as u64 > WHOLE_BYTES_MAX {
        let detail = format!(
            "{} is larger than {WHOLE_BYTES_MAX} bytes, the most for this format",
            path.display()
        );
        return Err(ReplayError::Format(detail));
    }
    Ok(whole)
}
