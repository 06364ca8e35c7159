//! Copies small byte strings into shared pieces of memory.

use bytes::{Bytes, BytesMut};

/// Small enough that one record which is kept does not keep much else.
const CHUNK_BYTES: usize = 64 << 10;

/// Spares an allocation per record: what is copied shares one until it is full.
#[derive(Debug, Default)]
pub(super) struct Chunk(BytesMut);

impl Chunk {
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        if bytes.len() > CHUNK_BYTES / 4 {
            return Bytes::copy_from_slice(bytes);
        }
        if self.0.capacity() < bytes.len() {
            self.0 = BytesMut::with_capacity(CHUNK_BYTES);
        }
        self.0.extend_from_slice(bytes);
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_equal_and_share_memory() {
        let mut chunk = Chunk::default();
        let copies: Vec<_> = (0..10_000u32)
            .map(|number| chunk.copy(number.to_string().as_bytes()))
            .collect();
        for (number, copy) in copies.iter().enumerate() {
            assert_eq!(copy, number.to_string().as_bytes());
        }
        assert_eq!(copies[1].as_ptr() as usize, copies[0].as_ptr() as usize + 1);
        assert_eq!(chunk.copy(&[7; CHUNK_BYTES]).len(), CHUNK_BYTES);
    }
}
