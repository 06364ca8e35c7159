//! Quantiles of a stream of numbers in bounded memory, mergeable in any order.
//!
//! A DDSketch: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A fast and
//! fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019.
//! Numbers are counted in buckets whose edges grow by a constant factor. Where
//! the paper takes a logarithm, the bucket is found from the bits of the number:
//! its exponent, and a cubic of its significand that follows the binary logarithm
//! closely (the "cubically interpolated mapping" of the authors' own library).
//! That costs one percent more buckets and no call of `ln`.

use std::sync::LazyLock;

/// Counts of numbers by bucket, 1 % wide to either side.
///
/// [`Sketch::quantile`] is within [`Sketch::RELATIVE_ERROR`] of the number that
/// has that rank. Numbers closer to zero than [`Sketch::MAGNITUDE_MIN`] count as
/// zero; numbers of [`Sketch::MAGNITUDE_MAX`] and more count as that. So there are
/// never more than 3,501 buckets; speeds of 1 to 300 km/h touch at most 290.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    numbers: Numbers,
}

/// Numbers by bucket. `Few` as long as they fit there, so that equal numbers make
/// equal sketches.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Numbers {
    Few(Few),
    /// Buckets that hold something, ascending by key.
    Many(Vec<Bucket>),
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers::Few(Few::default())
    }
}

/// The key of each number, ascending, in no memory of their own: most windows of one
/// street or vehicle never have more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Few {
    len: u8,
    /// Zero from `len` on.
    keys: [i16; FEW_MAX],
}

/// Those two take no more room than [`Numbers::Many`].
const FEW_MAX: usize = 15;

impl Few {
    fn keys(&self) -> &[i16] {
        &self.keys[..usize::from(self.len)]
    }

    /// False where there is no room.
    #[inline]
    fn insert(&mut self, key: i16) -> bool {
        let len = usize::from(self.len);
        if len == FEW_MAX {
            return false;
        }
        let at = self.keys().partition_point(|known| *known <= key);
        self.keys.copy_within(at..len, at + 1);
        self.keys[at] = key;
        self.len += 1;
        true
    }

    fn buckets(&self) -> impl Iterator<Item = Bucket> {
        let runs = self.keys().chunk_by(|a, b| a == b);
        runs.map(|run| Bucket {
            key: run[0],
            count: run.len() as u32,
        })
    }
}

/// How many numbers lie in one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    /// 0 holds zeros, `k` the k-th bucket of positive numbers, `-k` its mirror
    /// image: keys are in the order of the numbers.
    key: i16,
    count: u32,
}

/// Integer coefficients make the cubic `((6 s - 21) s + 50) s`, which is 35 times
/// that of the authors' mapping, run from 0 to exactly 35 over an octave.
const BUCKETS_PER_OCTAVE: i32 = 35;
const EXPONENT_MIN: i32 = -20;
const EXPONENT_END: i32 = 30;
const KEY_MAX: i16 = ((EXPONENT_END - EXPONENT_MIN) * BUCKETS_PER_OCTAVE) as i16;

const SIGNIFICAND_BITS: u64 = (1 << 52) - 1;
const ENCODING: u8 = 1;

impl Sketch {
    /// How far a quantile may be from the number of that rank, as a share of it:
    /// `tanh(0.01)`, because the cubic's slope is at least `10/7` per factor of e.
    pub const RELATIVE_ERROR: f64 = 0.01;

    /// The smallest magnitude that is told apart from zero, `2^-20`.
    pub const MAGNITUDE_MIN: f64 = 1.0 / (1 << 20) as f64;

    /// Larger magnitudes are not told apart, `2^30`.
    pub const MAGNITUDE_MAX: f64 = (1 << 30) as f64;

    /// Takes one more number in. NaN is no number and is left out.
    #[inline]
    pub fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.add_key(key_of(value));
    }

    #[inline]
    fn add_key(&mut self, key: i16) {
        let is_in = match &mut self.numbers {
            Numbers::Few(few) => few.insert(key),
            Numbers::Many(_) => false,
        };
        if !is_in {
            add_to(self.many(), key, 1);
        }
    }

    /// The buckets, for more than a few numbers.
    #[inline]
    fn many(&mut self) -> &mut Vec<Bucket> {
        if let Numbers::Few(few) = &self.numbers {
            self.numbers = Numbers::Many(few.buckets().collect());
        }
        match &mut self.numbers {
            Numbers::Many(many) => many,
            Numbers::Few(_) => unreachable!("they were made many"),
        }
    }

    fn buckets(&self) -> impl Iterator<Item = Bucket> {
        let (few, many) = match &self.numbers {
            Numbers::Few(few) => (Some(few), &[][..]),
            Numbers::Many(many) => (None, &many[..]),
        };
        let few = few.into_iter().flat_map(Few::buckets);
        few.chain(many.iter().copied())
    }

    /// Takes all of another's numbers in. A bucket holds at most 2^32 - 1.
    pub fn merge(&mut self, other: &Self) {
        let theirs = match &other.numbers {
            Numbers::Few(few) => {
                few.keys().iter().for_each(|key| self.add_key(*key));
                return;
            }
            Numbers::Many(many) => many,
        };
        let mine = self.many();
        if mine.is_empty() {
            mine.clone_from(theirs);
            return;
        }
        // Few into many is the common case: partials of a pane that is there.
        if theirs.len() * 8 <= mine.len() {
            for bucket in theirs {
                add_to(mine, bucket.key, bucket.count);
            }
            return;
        }
        let mut merged = Vec::with_capacity(mine.len() + theirs.len());
        let mut before = mine.iter().copied().peekable();
        for bucket in theirs {
            while let Some(before) = before.next_if(|before| before.key < bucket.key) {
                merged.push(before);
            }
            let same = before.next_if(|before| before.key == bucket.key);
            merged.push(Bucket {
                key: bucket.key,
                count: bucket
                    .count
                    .saturating_add(same.map_or(0, |bucket| bucket.count)),
            });
        }
        merged.extend(before);
        *mine = merged;
    }

    /// How many numbers were taken in.
    pub fn count(&self) -> u64 {
        match &self.numbers {
            Numbers::Few(few) => u64::from(few.len),
            Numbers::Many(many) => many.iter().map(|bucket| u64::from(bucket.count)).sum(),
        }
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        matches!(&self.numbers, Numbers::Few(few) if few.len == 0)
    }

    /// How many buckets hold something.
    pub fn bucket_count(&self) -> usize {
        self.buckets().count()
    }

    /// About the smallest number that at least the share `q` of all numbers do not
    /// exceed, as `percentile_disc` of SQL; `None` without numbers or where `q` is
    /// not in `0..=1`.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.is_empty() || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let count = self.count() as f64;
        // From above: what 0.07 * 100 is too large by is lost in the difference.
        let rank = (count - (count - q * count).floor()).max(1.0) as u64;
        let (mut seen, mut key) = (0, 0);
        for bucket in self.buckets() {
            // Rounding of `rank` may lead past the last one only beyond 2^53 numbers.
            key = bucket.key;
            seen += u64::from(bucket.count);
            if seen >= rank {
                break;
            }
        }
        Some(value_of(key))
    }

    /// A format byte, then per bucket the distance of its key from the one before
    /// and its count, both as LEB128. About 2 bytes a bucket.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + 3 * self.bucket_count());
        bytes.push(ENCODING);
        let mut before = -i32::from(KEY_MAX) - 1;
        for bucket in self.buckets() {
            let key = i32::from(bucket.key);
            write_varint(&mut bytes, (key - before) as u32);
            write_varint(&mut bytes, bucket.count);
            before = key;
        }
        bytes
    }

    /// Reads what [`Sketch::to_bytes`] wrote; `None` where it is anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&ENCODING, mut rest) = bytes.split_first()? else {
            return None;
        };
        let mut buckets = Vec::with_capacity(rest.len() / 2);
        let mut all = 0_u64;
        let mut before = -i32::from(KEY_MAX) - 1;
        while !rest.is_empty() {
            let distance = i32::try_from(read_varint(&mut rest)?).ok()?;
            let key = before.checked_add(distance)?;
            let count = read_varint(&mut rest)?;
            if distance == 0 || key > i32::from(KEY_MAX) || count == 0 {
                return None;
            }
            // Between -KEY_MAX and KEY_MAX, which fit.
            buckets.push(Bucket {
                key: key as i16,
                count,
            });
            all += u64::from(count);
            before = key;
        }
        let mut sketch = Self::default();
        if all <= FEW_MAX as u64 {
            for Bucket { key, count } in buckets {
                (0..count).for_each(|_| sketch.add_key(key));
            }
        } else {
            sketch.numbers = Numbers::Many(buckets);
        }
        Some(sketch)
    }
}

#[inline]
fn add_to(buckets: &mut Vec<Bucket>, key: i16, count: u32) {
    match buckets.binary_search_by_key(&key, |bucket| bucket.key) {
        Ok(at) => {
            let bucket = &mut buckets[at];
            bucket.count = bucket.count.saturating_add(count);
        }
        Err(at) => buckets.insert(at, Bucket { key, count }),
    }
}

impl FromIterator<f64> for Sketch {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sketch = Self::default();
        values.into_iter().for_each(|value| sketch.add(value));
        sketch
    }
}

/// The bucket of a number that is not NaN.
#[inline]
fn key_of(value: f64) -> i16 {
    let bits = value.to_bits();
    // Eleven bits of exponent, so this fits.
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    if exponent < EXPONENT_MIN {
        return 0;
    }
    let key = if exponent < EXPONENT_END {
        let s = f64::from_bits((bits & SIGNIFICAND_BITS) | 1.0_f64.to_bits()) - 1.0;
        // The last significand's cubic rounds to 35.
        let within = ((((6.0 * s - 21.0) * s + 50.0) * s) as i32).min(BUCKETS_PER_OCTAVE - 1);
        ((exponent - EXPONENT_MIN) * BUCKETS_PER_OCTAVE + within + 1) as i16
    } else {
        KEY_MAX
    };
    if value.is_sign_negative() { -key } else { key }
}

/// The number that is equally far, as a share, from both edges of a bucket.
fn value_of(key: i16) -> f64 {
    if key == 0 {
        return 0.0;
    }
    let index = i32::from(key.unsigned_abs()) - 1;
    let exponent = EXPONENT_MIN + index / BUCKETS_PER_OCTAVE;
    let within = (index % BUCKETS_PER_OCTAVE) as usize;
    let (lower, upper) = (EDGES[within], EDGES[within + 1]);
    let magnitude = 2.0 * lower * upper / (lower + upper) * f64::from(exponent).exp2();
    magnitude.copysign(f64::from(key))
}

/// The edges of the buckets from 1 to 2.
static EDGES: LazyLock<[f64; BUCKETS_PER_OCTAVE as usize + 1]> =
    LazyLock::new(|| std::array::from_fn(|within| 1.0 + significand_at(within as f64)));

/// The root of `((6 s - 21) s + 50) s = target` between 0 and 1, by Newton's
/// method: the slope is never less than 25.
fn significand_at(target: f64) -> f64 {
    let mut s = target / f64::from(BUCKETS_PER_OCTAVE);
    for _ in 0..8 {
        let excess = ((6.0 * s - 21.0) * s + 50.0) * s - target;
        s -= excess / ((18.0 * s - 42.0) * s + 50.0);
    }
    s
}

fn write_varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn read_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return u32::try_from(value).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn city_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            0.0..300.0_f64,
            0.0..1000.0_f64,
            -60.0..60.0_f64,
            (-600..600_i32).prop_map(|tenths| f64::from(tenths) / 10.0),
            prop::sample::select(vec![
                0.0,
                -0.0,
                1.0,
                2.0,
                0.5,
                1.999_999_999_999_999_8,
                -1.0
            ]),
            (-19..29_i32, 1.0..2.0_f64).prop_map(|(e, s)| s * f64::from(e).exp2()),
        ]
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(city_value(), 0..200)
    }

    #[test]
    fn nothing_has_no_quantiles_and_ranks_have_bounds() {
        assert_eq!(Sketch::default().quantile(0.5), None);
        let sketch: Sketch = [1.0, 2.0, f64::NAN].into_iter().collect();
        assert_eq!(sketch.count(), 2);
        for q in [-0.1, 1.1, f64::NAN] {
            assert_eq!(sketch.quantile(q), None);
        }
    }

    #[test]
    fn of_few_numbers_a_high_quantile_is_the_largest() {
        let sketch: Sketch = [10.0, 60.0].into_iter().collect();
        let near = |q, number: f64| {
            let about = sketch.quantile(q).expect("there are numbers");
            assert!((about / number - 1.0).abs() <= Sketch::RELATIVE_ERROR);
        };
        near(0.0, 10.0);
        near(0.5, 10.0);
        near(0.51, 60.0);
        near(0.99, 60.0);
    }

    #[test]
    fn magnitudes_out_of_range_keep_their_order() {
        let sketch: Sketch = [f64::NEG_INFINITY, -1e300, -1e-300, 1e-9, 5.0, f64::INFINITY]
            .into_iter()
            .collect();
        let quantile = |q| sketch.quantile(q).expect("there are numbers");
        assert!(quantile(0.0) <= -0.98 * Sketch::MAGNITUDE_MAX);
        assert_eq!(quantile(0.5), 0.0);
        assert!(quantile(1.0) >= 0.98 * Sketch::MAGNITUDE_MAX);
    }

    #[test]
    fn buckets_are_bounded_whatever_comes() {
        let mut sketch = Sketch::default();
        for exponent in -1022..1024 {
            for step in 0..100 {
                let value = (1.0 + f64::from(step) / 100.0) * f64::from(exponent).exp2();
                sketch.add(value);
                sketch.add(-value);
            }
        }
        assert_eq!(sketch.bucket_count(), 2 * KEY_MAX as usize + 1);
    }

    #[test]
    fn speeds_touch_few_buckets() {
        let sketch: Sketch = (0..=300_000)
            .map(|metres| f64::from(metres) / 1000.0)
            .collect();
        let from_one: Sketch = (1_000..=300_000).map(|m| f64::from(m) / 1000.0).collect();
        assert!(sketch.bucket_count() < 650, "{}", sketch.bucket_count());
        assert!(
            from_one.bucket_count() <= 290,
            "{}",
            from_one.bucket_count()
        );
    }

    #[test]
    fn edges_are_where_the_key_changes() {
        for within in 1..BUCKETS_PER_OCTAVE as usize {
            let edge = EDGES[within];
            let below = key_of(edge * (1.0 - 1e-12));
            let above = key_of(edge * (1.0 + 1e-12));
            assert_eq!(above, below + 1, "edge {within}");
            assert!(edge / EDGES[within - 1] <= 1.01 / 0.99);
        }
        assert_eq!((EDGES[0], EDGES[35]), (1.0, 2.0));
    }

    #[test]
    fn damaged_bytes_are_no_sketch() {
        let bytes = [1.0, 50.0].into_iter().collect::<Sketch>().to_bytes();
        assert_eq!(Sketch::from_bytes(&[]), None);
        assert_eq!(Sketch::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Sketch::from_bytes(&[2]), None);
        assert_eq!(Sketch::from_bytes(&[ENCODING, 0, 1]), None);
        assert_eq!(Sketch::from_bytes(&[ENCODING, 1, 0]), None);
        assert_eq!(
            Sketch::from_bytes(&[ENCODING, 0xff, 0xff, 0xff, 0xff, 0x0f, 1]),
            None
        );
    }

    proptest! {
        #[test]
        fn quantiles_are_within_one_percent(values in values(), q in 0.0..=1.0_f64) {
            prop_assume!(!values.is_empty());
            let sketch: Sketch = values.iter().copied().collect();
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            for q in [q, 0.0, 0.5, 0.9, 0.99, 1.0] {
                let rank = (sorted.len() as f64 * q - 1e-9).ceil() as usize;
                let exact = sorted[rank.max(1) - 1];
                let about = sketch.quantile(q).expect("there are numbers");
                let slack = Sketch::RELATIVE_ERROR * exact.abs() + Sketch::MAGNITUDE_MIN;
                prop_assert!((about - exact).abs() <= slack, "q {}: {} for {}", q, about, exact);
            }
        }

        #[test]
        fn any_number_is_counted_or_is_none(values in prop::collection::vec(any::<f64>(), 0..50)) {
            let sketch: Sketch = values.iter().copied().collect();
            let numbers = values.iter().filter(|value| !value.is_nan()).count();
            prop_assert_eq!(sketch.count(), numbers as u64);
            prop_assert_eq!(sketch.quantile(0.5).is_some(), numbers > 0);
        }

        #[test]
        fn partials_merge_to_the_whole_in_any_order(
            values in values(),
            cuts in prop::collection::vec(0..200_usize, 0..6),
            order in any::<prop::sample::Index>(),
        ) {
            let whole: Sketch = values.iter().copied().collect();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(values.len())).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut partials: Vec<Sketch> = cuts
                .windows(2)
                .map(|pair| values[pair[0]..pair[1]].iter().copied().collect())
                .collect();
            let first = order.index(partials.len());
            partials.rotate_left(first);
            let mut merged = Sketch::default();
            partials.iter().for_each(|partial| merged.merge(partial));
            prop_assert_eq!(merged, whole);
        }

        #[test]
        fn merging_is_associative_and_commutative(a in values(), b in values(), c in values()) {
            let [a, b, c] = [a, b, c].map(|values| values.into_iter().collect::<Sketch>());
            let merge = |one: &Sketch, other: &Sketch| { let mut all = one.clone(); all.merge(other); all };
            prop_assert_eq!(merge(&merge(&a, &b), &c), merge(&a, &merge(&b, &c)));
            prop_assert_eq!(merge(&a, &b), merge(&b, &a));
        }

        #[test]
        fn bytes_read_back(values in prop::collection::vec(prop_oneof![city_value(), any::<f64>()], 0..200)) {
            let sketch: Sketch = values.into_iter().collect();
            prop_assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Some(sketch));
        }

        #[test]
        fn any_bytes_are_a_sketch_or_none(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(sketch) = Sketch::from_bytes(&bytes) {
                prop_assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Some(sketch));
            }
        }
    }
}
