//! Opens a recording, whatever it is compressed with.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::read::MultiGzDecoder;

use super::{Input, ReplayError};

/// Decompressed content, from its beginning.
pub(crate) type Content = Box<dyn BufRead + Send>;

/// What some programs write before text in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// No line of a text format is longer.
pub(crate) const LINE_BYTES_MAX: u64 = 1 << 20;
/// Formats that must be sorted first are read whole up to here.
pub(crate) const WHOLE_BYTES_MAX: u64 = 256 << 20;
const BUFFER_BYTES: usize = 256 << 10;
/// Decompressed blocks of that size that wait to be read.
const BLOCKS_AHEAD: usize = 4;
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
    pub hash: ContentHash,
}

/// The hash of a recording's content, decompressed, as far as it has been read; a clone
/// follows it from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct ContentHash(Arc<Mutex<blake3::Hasher>>);

impl ContentHash {
    /// Of all that was read until now.
    pub fn so_far(&self) -> blake3::Hash {
        self.hasher().finalize()
    }

    /// Whoever holds it only adds bytes: it is whole after any panic.
    fn hasher(&self) -> MutexGuard<'_, blake3::Hasher> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Hashing<R> {
    inner: R,
    hash: ContentHash,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.hasher().update(&buffer[..count]);
        Ok(count)
    }
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
    let hash = ContentHash::default();
    let mut plain: Content = match magic.as_slice() {
        [0x1f, 0x8b, ..] => {
            let stored = BufReader::with_capacity(BUFFER_BYTES, stored);
            let inner = MultiGzDecoder::new(stored);
            let hash = hash.clone();
            Box::new(ReadAhead::start(Hashing { inner, hash }).map_err(failed)?)
        }
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let inner = zstd::stream::read::Decoder::new(stored).map_err(failed)?;
            let hash = hash.clone();
            Box::new(ReadAhead::start(Hashing { inner, hash }).map_err(failed)?)
        }
        _ => {
            let (inner, hash) = (stored, hash.clone());
            Box::new(BufReader::with_capacity(
                BUFFER_BYTES,
                Hashing { inner, hash },
            ))
        }
    };
    let mut head = Vec::new();
    plain
        .by_ref()
        .take(HEAD_BYTES)
        .read_to_end(&mut head)
        .map_err(failed)?;
    Ok(Opened {
        content: Box::new(Cursor::new(head.clone()).chain(plain)),
        head,
        path,
        total_bytes,
        read_bytes,
        hash,
    })
}

/// Reads on a thread of its own, some blocks ahead: what comes next is decompressed
/// while the lines before it are read.
struct ReadAhead {
    /// An empty one is the last.
    blocks: Receiver<std::io::Result<Vec<u8>>>,
    current: Cursor<Vec<u8>>,
    is_ended: bool,
}

impl ReadAhead {
    fn start(inner: impl Read + Send + 'static) -> std::io::Result<Self> {
        let (sender, blocks) = sync_channel(BLOCKS_AHEAD);
        // It ends with its content, or when nobody takes it any more.
        std::thread::Builder::new().spawn(move || send_blocks(inner, &sender))?;
        Ok(Self {
            blocks,
            current: Cursor::default(),
            is_ended: false,
        })
    }
}

fn send_blocks(
    mut inner: impl Read,
    blocks: &SyncSender<std::io::Result<Vec<u8>>>,
) -> Result<(), SendError<std::io::Result<Vec<u8>>>> {
    loop {
        let mut block = Vec::with_capacity(BUFFER_BYTES);
        let end = (&mut inner)
            .take(BUFFER_BYTES as u64)
            .read_to_end(&mut block);
        let is_last = block.is_empty();
        // What came before an error is of use.
        if !is_last || end.is_ok() {
            blocks.send(Ok(block))?;
        }
        match end {
            Err(error) => return blocks.send(Err(error)),
            Ok(_) if is_last => return Ok(()),
            Ok(_) => {}
        }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.current.fill_buf()?.is_empty() && !self.is_ended {
            let block = self.blocks.recv().map_err(std::io::Error::other)??;
            self.is_ended = block.is_empty();
            self.current = Cursor::new(block);
        }
        self.current.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.current.consume(count);
    }
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
        let line = match self.number {
            1 => self.buffer.strip_prefix(BYTE_ORDER_MARK),
            _ => None,
        };
        let line = line.unwrap_or(&self.buffer);
        Ok(Some((self.number, Ok(line.trim_ascii()))))
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Gives so many bytes, then an error.
    struct Broken {
        left: usize,
        _alive: Option<Sender<()>>,
    }

    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.left.min(buffer.len()).min(1_000);
            if count == 0 {
                return Err(std::io::Error::other("cut off"));
            }
            buffer[..count].fill(b'x');
            self.left -= count;
            Ok(count)
        }
    }

    #[test]
    fn blocks_come_whole_and_in_order() {
        let content: Vec<u8> = (0..3 * BUFFER_BYTES + 7)
            .map(|at| (at % 251) as u8)
            .collect();
        let mut ahead = ReadAhead::start(Cursor::new(content.clone())).expect("a thread");
        let mut read = Vec::new();
        ahead.read_to_end(&mut read).expect("all of it");
        assert!(read == content);
        assert_eq!(ahead.read(&mut [0; 8]).expect("still at the end"), 0);
    }

    #[test]
    fn what_comes_before_an_error_is_read() {
        let length = BUFFER_BYTES + 12_345;
        let broken = Broken {
            left: length,
            _alive: None,
        };
        let mut ahead = ReadAhead::start(broken).expect("a thread");
        let mut read = Vec::new();
        let error = ahead.read_to_end(&mut read).expect_err("it is broken");
        assert_eq!(error.to_string(), "cut off");
        assert_eq!(read.len(), length);
    }

    #[test]
    fn reading_ends_with_the_one_who_reads() {
        let (alive, ended) = channel();
        let endless = Broken {
            left: usize::MAX,
            _alive: Some(alive),
        };
        let ahead = ReadAhead::start(endless).expect("a thread");
        drop(ahead);
        ended.recv().expect_err("dropped with the thread");
    }
}
