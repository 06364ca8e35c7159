//! Mergeable aggregates: partials combine in any order to the same result, so
//! that speed layer, batch layer and readers agree to the last bit.

use crate::sketch::Sketch;

/// What a window keeps of the values in it: exact moments and a sketch of their
/// quantiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aggregate {
    /// Count, sum, minimum, maximum: exact.
    pub moments: Moments,
    /// Quantiles, within 1 %.
    pub sketch: Sketch,
}

impl Aggregate {
    /// Takes one more value in. NaN is no value and is left out.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.moments.add(value);
        self.sketch.add(value);
    }

    /// Takes all of another's values in.
    pub fn merge(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
        self.sketch.merge(&other.sketch);
    }

    /// About the value of that rank ([`Sketch::quantile`]), and never outside the
    /// smallest and largest one: exact where all values are the same.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let about = self.sketch.quantile(q)?;
        Some(about.clamp(self.moments.min, self.moments.max))
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.moments.is_empty()
    }

    /// The moments' bytes, then the sketch's.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.moments.to_bytes().to_vec();
        bytes.extend(self.sketch.to_bytes());
        bytes
    }

    /// Reads what [`Aggregate::to_bytes`] wrote; `None` where it is anything else,
    /// also where moments and sketch do not count the same number of values.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (moments, sketch) = bytes.split_at_checked(Moments::ENCODED_LEN)?;
        let moments = Moments::from_bytes(moments)?;
        let sketch = Sketch::from_bytes(sketch)?;
        // Clamping quantiles relies on it.
        let is_sound = moments.is_empty() || moments.min <= moments.max;
        (is_sound && moments.count == sketch.count()).then_some(Self { moments, sketch })
    }
}

impl FromIterator<f64> for Aggregate {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut aggregate = Self::default();
        values.into_iter().for_each(|value| aggregate.add(value));
        aggregate
    }
}

/// Count, sum, minimum and maximum of some measured values.
///
/// The sum is kept in whole billionths, because adding floats depends on their
/// order and two layers that read the same events in different orders must not
/// differ. It is exact for values with up to nine decimals and up to 10^18.
#[derive(Clone, Copy, Debug, PartialEq)]
// The alignment of the sum would take a fifth more memory.
#[repr(Rust, packed(8))]
pub struct Moments {
    /// How many values.
    pub count: u64,
    /// Sum of the values in billionths.
    pub sum_nano: i128,
    /// Smallest value; infinity while there is none.
    pub min: f64,
    /// Largest value; minus infinity while there is none.
    pub max: f64,
}

impl Moments {
    /// Bytes that [`Moments::to_bytes`] writes.
    pub const ENCODED_LEN: usize = 40;

    const NANO: f64 = 1e9;
    /// Larger values count as this one in the sum: 10^11 of them cannot overflow it.
    const SUMMAND_MAX: f64 = 1e18;

    /// The moments of one value.
    pub fn of(value: f64) -> Self {
        let mut moments = Self::default();
        moments.add(value);
        moments
    }

    /// The moments of `count` values of which only the figures are kept. The sum is
    /// as exact as a mean that is a double can be.
    pub fn from_mean(count: u64, mean: f64, min: f64, max: f64) -> Self {
        if count == 0 {
            return Self::default();
        }
        Self {
            count,
            sum_nano: (mean * count as f64 * Self::NANO).round() as i128,
            min,
            max,
        }
    }

    /// Takes one more value in. NaN is no value and is left out.
    pub fn add(&mut self, value: f64) {
        if value.is_nan() {
            return;
        }
        // Minus zero becomes zero: which of the two is smaller depends on the order.
        let value = value + 0.0;
        let summand = value.clamp(-Self::SUMMAND_MAX, Self::SUMMAND_MAX);
        let nano = (summand * Self::NANO).round();
        // The conversion to 64 bits is one instruction, that to 128 a call.
        let nano = match nano.abs() < i64::MAX as f64 {
            true => i128::from(nano as i64),
            false => nano as i128,
        };
        self.count += 1;
        self.sum_nano = self.sum_nano.saturating_add(nano);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Takes all of another's values in.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum_nano = self.sum_nano.saturating_add(other.sum_nano);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The sum; 0 without values.
    pub fn sum(&self) -> f64 {
        self.sum_nano as f64 / Self::NANO
    }

    /// The arithmetic mean, if there are values.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum() / self.count as f64)
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Little-endian: count (8), sum in billionths (16), min (8), max (8).
    pub fn to_bytes(&self) -> [u8; Self::ENCODED_LEN] {
        let mut bytes = [0; Self::ENCODED_LEN];
        bytes[..8].copy_from_slice(&self.count.to_le_bytes());
        bytes[8..24].copy_from_slice(&self.sum_nano.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.min.to_le_bytes());
        bytes[32..].copy_from_slice(&self.max.to_le_bytes());
        bytes
    }

    /// Reads what [`Moments::to_bytes`] wrote; `None` where the length differs.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::ENCODED_LEN {
            return None;
        }
        let (count, rest) = bytes.split_first_chunk()?;
        let (sum_nano, rest) = rest.split_first_chunk()?;
        let (min, rest) = rest.split_first_chunk()?;
        let (max, _) = rest.split_first_chunk()?;
        Some(Self {
            count: u64::from_le_bytes(*count),
            sum_nano: i128::from_le_bytes(*sum_nano),
            min: f64::from_le_bytes(*min),
            max: f64::from_le_bytes(*max),
        })
    }
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            count: 0,
            sum_nano: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut moments = Self::default();
        values.into_iter().for_each(|value| moments.add(value));
        moments
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimal_values_add_exactly() {
        let moments: Moments = [0.1, 0.2, 0.3, -0.6].into_iter().collect();
        assert_eq!((moments.count, moments.sum()), (4, 0.0));
        assert_eq!((moments.min, moments.max), (-0.6, 0.3));
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(Moments::default().mean(), None);
        assert!(Moments::of(f64::NAN).is_empty());
        assert_eq!(Moments::of(3.0).mean(), Some(3.0));
    }

    #[test]
    fn quantiles_stay_between_the_extremes() {
        let aggregate: Aggregate = [7.3; 5].into_iter().collect();
        assert_eq!(aggregate.quantile(0.5), Some(7.3));
        let aggregate: Aggregate = [-4.0, 21.5].into_iter().collect();
        assert_eq!(aggregate.quantile(0.0), Some(-4.0));
        assert_eq!(Aggregate::default().quantile(0.5), None);
    }

    #[test]
    fn parts_that_do_not_belong_together_are_no_aggregate() {
        let mut bytes = Moments::of(1.0).to_bytes().to_vec();
        bytes.extend(Sketch::default().to_bytes());
        assert_eq!(Aggregate::from_bytes(&bytes), None);
        assert_eq!(Aggregate::from_bytes(&bytes[..39]), None);
    }

    #[test]
    fn figures_lead_back_to_moments() {
        let moments: Moments = [0.1, 0.2, 31.7].into_iter().collect();
        let mean = moments.mean().expect("values");
        assert_eq!(
            Moments::from_mean(3, mean, moments.min, moments.max),
            moments
        );
        assert_eq!(Moments::from_mean(0, 0.0, 0.0, 0.0), Moments::default());
    }

    #[test]
    fn other_lengths_are_no_moments() {
        assert_eq!(Moments::from_bytes(&[0; 39]), None);
        assert_eq!(Moments::from_bytes(&[0; 41]), None);
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(prop_oneof![-500.0..500.0_f64, any::<f64>()], 0..60)
    }

    proptest! {
        #[test]
        fn partials_merge_to_the_whole_in_any_order(
            values in values(),
            cuts in prop::collection::vec(0..60_usize, 0..6),
            reversed: bool,
        ) {
            let whole: Moments = values.iter().copied().collect();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(values.len())).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let mut partials: Vec<Moments> = cuts
                .windows(2)
                .map(|pair| values[pair[0]..pair[1]].iter().copied().collect())
                .collect();
            if reversed {
                partials.reverse();
            }
            let mut merged = Moments::default();
            partials.iter().for_each(|partial| merged.merge(partial));
            prop_assert_eq!(merged, whole);
        }

        #[test]
        fn merging_is_associative_and_commutative(a in values(), b in values(), c in values()) {
            let [a, b, c] = [a, b, c].map(|values| values.into_iter().collect::<Moments>());
            let merge = |mut one: Moments, other: &Moments| { one.merge(other); one };
            prop_assert_eq!(merge(merge(a, &b), &c), merge(a, &merge(b, &c)));
            prop_assert_eq!(merge(a, &b), merge(b, &a));
        }

        #[test]
        fn whole_aggregates_merge_and_read_back(a in values(), b in values()) {
            let whole: Aggregate = a.iter().chain(&b).copied().collect();
            let [one, other] = [a, b].map(|values| values.into_iter().collect::<Aggregate>());
            let mut merged = other;
            merged.merge(&one);
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(Aggregate::from_bytes(&whole.to_bytes()), Some(whole));
        }

        #[test]
        fn bytes_read_back(values in values()) {
            let moments: Moments = values.into_iter().collect();
            prop_assert_eq!(Moments::from_bytes(&moments.to_bytes()), Some(moments));
        }

        #[test]
        fn the_mean_lies_between_the_extremes(values in prop::collection::vec(-500.0..500.0_f64, 1..60)) {
            let moments: Moments = values.into_iter().collect();
            let mean = moments.mean().expect("there are values");
            prop_assert!(moments.min - 1e-9 <= mean && mean <= moments.max + 1e-9);
        }
    }
}
