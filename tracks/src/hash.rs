//! A hash that is the same on every machine and in every version: it is kept in
//! checkpoints.

use std::hash::{BuildHasherDefault, Hasher};

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xd6e8_feb8_6659_fd93;

/// 64 bits of `bytes`, starting from `seed`: folded multiplication over words of
/// eight bytes (the mixing step of wyhash, Wang Yi 2019).
pub fn hash64(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(SEED);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = mix(hash ^ u64::from_le_bytes(*word) ^ SEED, FACTOR);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = mix(hash ^ u64::from_le_bytes(word) ^ SEED, FACTOR);
    }
    mix(hash ^ FACTOR, SEED)
}

fn mix(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product as u64) ^ ((product >> 64) as u64)
}

/// For keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash64(self.0, bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Builds [`IdentityHasher`]s.
pub(crate) type Identity = BuildHasherDefault<IdentityHasher>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_stays_what_it_is() {
        // Kept in checkpoints: another value would forget what they know.
        assert_eq!(hash64(0, b""), hash64(0, b""));
        assert_ne!(hash64(0, b"a"), hash64(0, b"a\0"));
        assert_ne!(hash64(0, b"a"), hash64(1, b"a"));
        assert_eq!(hash64(0, b"device-0000000001"), 18_438_425_633_810_629_619);
    }
}
