//! gzip and zstd, within bounds: a small request must not become a large one
//! unnoticed.

use std::io::{self, Read};
use std::sync::Arc;

use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::{Problem, shorten};

/// How much is unpacked before asking for more room.
const STEP_BYTES: usize = 1024 * 1024;

/// zstd frames may ask for a window of at most 2^27 bytes; what compressors write
/// without being told otherwise stays below 2^24.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// How a body says it is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// It does not say.
    Unsaid,
    Gzip,
    Zstd,
}

impl Packing {
    /// # Errors
    /// 415 for any other coding.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(given) = headers.get(CONTENT_ENCODING) else {
            return Ok(Self::Unsaid);
        };
        match String::from_utf8_lossy(given.as_bytes())
            .trim()
            .to_ascii_lowercase()
            .as_str()
        {
            "" | "identity" => Ok(Self::Unsaid),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            other => {
                let detail = format!(
                    "content-encoding: got {}, expected gzip, zstd or none",
                    shorten(other)
                );
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
            }
        }
    }

    /// By the first bytes: files are often sent without saying that they are packed.
    fn seen_in(body: &[u8]) -> Self {
        match body {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Unsaid,
        }
    }
}

/// Unpacks one body.
pub(crate) struct Unpacker {
    pub packing: Packing,
    /// The most bytes that may come out.
    pub bytes_max: usize,
    /// Where room for them is taken, one permit per KiB.
    pub room: Arc<Semaphore>,
}

impl Unpacker {
    /// The plain body and the room it takes.
    ///
    /// # Errors
    /// 413 beyond `bytes_max`, 422 when it is not what it says, 429 when
    /// there is no room now.
    pub fn unpack(
        &self,
        body: Bytes,
        room: OwnedSemaphorePermit,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
        let seen = Packing::seen_in(&body);
        if self.packing != Packing::Unsaid && seen != self.packing {
            return Err(broken(
                self.packing,
                "its first bytes are not of that format",
            ));
        }
        match seen {
            Packing::Unsaid => Ok((body, room)),
            Packing::Gzip => self.read(MultiGzDecoder::new(body.as_ref()), seen, room),
            Packing::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(body.as_ref()).and_then(
                    |mut decoder| {
                        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                        Ok(decoder)
                    },
                );
                self.read(
                    decoder.map_err(|error| broken(seen, &error.to_string()))?,
                    seen,
                    room,
                )
            }
        }
    }

    fn read(
        &self,
        mut packed: impl Read,
        packing: Packing,
        mut room: OwnedSemaphorePermit,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Problem> {
        let mut plain = Vec::new();
        loop {
            let step = self
                .room
                .clone()
                .try_acquire_many_owned((STEP_BYTES / 1024) as u32);
            room.merge(step.map_err(|_| super::no_room())?);
            let wanted = STEP_BYTES.min(self.bytes_max + 1 - plain.len());
            let got = read_up_to(&mut packed, &mut plain, wanted)
                .map_err(|error| broken(packing, &error.to_string()))?;
            if plain.len() > self.bytes_max {
                let detail = format!(
                    "the body unpacks to more than {} bytes; split it",
                    self.bytes_max
                );
                return Err(Problem::too_large(detail));
            }
            if got < wanted {
                return Ok((plain.into(), room));
            }
        }
    }
}

/// Reads until `wanted` bytes have come or the end.
fn read_up_to(source: &mut impl Read, out: &mut Vec<u8>, wanted: usize) -> io::Result<usize> {
    source.take(wanted as u64).read_to_end(out)
}

fn broken(packing: Packing, reason: &str) -> Problem {
    let name = if packing == Packing::Gzip {
        "gzip"
    } else {
        "zstd"
    };
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!("body: not valid {name}: {reason}"),
    )
}
