//! Randomness that depends on nothing but the seed.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use uuid::Uuid;

/// A source of its own for each part, so that more cameras do not move the cars.
pub(crate) fn source(seed: u64, part: u64) -> ChaCha8Rng {
    let mut source = ChaCha8Rng::seed_from_u64(seed);
    source.set_stream(part);
    source
}

/// Time-ordered id (UUID version 7) of an event, as a device makes it that numbers its
/// own messages: milliseconds, the fraction of the millisecond (RFC 9562, section 6.2,
/// method 3), the device's node id (section 6.4) and random bits. The ids of one
/// device differ in few places, so a table of them stays small.
pub(crate) fn event_id(random: &mut ChaCha8Rng, device_id: &str, timestamp_us: i64) -> Uuid {
    const RANDOM_BITS: u32 = 24;
    let timestamp_us = timestamp_us.max(0) as u64;
    let fraction = (timestamp_us % 1_000 * 4_096 / 1_000) as u16;
    let node = node_id(random, device_id) << RANDOM_BITS;
    let tail = node | (u64::from(random.next_u32()) >> (32 - RANDOM_BITS));
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&fraction.to_be_bytes());
    bytes[2..].copy_from_slice(&tail.to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(timestamp_us / 1_000, &bytes).into_uuid()
}

/// 38 bits of a device, another set for each seed of the city (FNV-1a over both).
fn node_id(random: &ChaCha8Rng, device_id: &str) -> u64 {
    let bytes = random.get_seed().into_iter().chain(device_id.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash >> 26
}

/// Waiting time of a Poisson process, never more than eight times the mean.
pub(crate) fn exponential(random: &mut ChaCha8Rng, mean: f64) -> f64 {
    let uniform: f64 = random.random_range(f64::EPSILON..1.0);
    (-uniform.ln()).min(8.0) * mean
}

/// How many of many rare things happened.
pub(crate) fn poisson(random: &mut ChaCha8Rng, mean: f64) -> u32 {
    let limit = (-mean.min(500.0)).exp();
    let (mut count, mut product) = (0, 1.0);
    loop {
        product *= random.random_range(0.0..1.0);
        if product <= limit {
            return count;
        }
        count += 1;
    }
}

/// One of `choices`, by weight.
pub(crate) fn weighted<'a, T>(random: &mut ChaCha8Rng, choices: &'a [(T, f64)]) -> &'a T {
    let sum: f64 = choices.iter().map(|(_, weight)| weight).sum();
    let mut at = random.random_range(0.0..1.0) * sum;
    for (choice, weight) in choices {
        at -= weight;
        if at < 0.0 {
            return choice;
        }
    }
    &choices[choices.len() - 1].0
}

/// A well-mixed number for a place or step: SplitMix64's finisher.
pub(crate) fn hash(a: u64, b: u64) -> u64 {
    let mut x = a ^ b
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The same as a number from 0 up to 1.
pub(crate) fn hash_unit(a: u64, b: u64) -> f64 {
    (hash(a, b) >> 11) as f64 / (1u64 << 53) as f64
}
