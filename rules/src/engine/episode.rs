//! One condition of one subject, from when it began until it is over.

use bytes::{BufMut, Bytes, BytesMut};
use events::{Location, Severity};

/// An alert is updated at most this often, microseconds of event time.
const UPDATE_EVERY_US: i64 = 60_000_000;

/// A measurement of one subject by one rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample<'a> {
    pub subject: &'a str,
    /// So many bytes of the subject, its first ones, are a fence's id: it and the
    /// device's may have colons. 0 where it is about no fence.
    pub fence_len: u16,
    /// When it was measured, event time.
    pub at_us: i64,
    /// When an episode that this sample begins has begun.
    pub begins_us: i64,
    pub value: f64,
    /// What is shown as threshold.
    pub threshold: Option<f64>,
    /// The larger the worse.
    pub badness: f64,
    /// An alert is to be raised.
    pub is_met: bool,
    /// A raised alert is over.
    pub is_over: bool,
    pub location: Option<Location>,
    pub severity: Severity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The condition holds, not yet for long enough.
    Pending,
    /// People were told.
    Raised,
}

/// What a sample did to an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Older than what is known.
    None,
    /// Only noted.
    Noted,
    Raised,
    Updated,
    /// The alert is over: the episode ends.
    Cleared,
    /// It ends before anybody was told.
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Episode {
    pub phase: Phase,
    /// As of [`Sample`].
    pub fence_len: u16,
    /// When the condition began.
    pub since_us: i64,
    /// The newest sample.
    pub last_us: i64,
    /// When people were told last.
    pub told_us: i64,
    /// The worst that people were told.
    pub told_badness: f64,
    pub value: f64,
    pub threshold: Option<f64>,
    pub location: Option<Location>,
    pub severity: Severity,
    /// Of the rule that it follows from.
    pub fingerprint: u64,
}

impl Episode {
    /// Begins with `sample`, which meets the condition.
    pub fn begin(sample: &Sample<'_>, hold_us: i64, fingerprint: u64) -> (Self, Change) {
        let mut episode = Self {
            phase: Phase::Pending,
            fence_len: sample.fence_len,
            since_us: sample.begins_us,
            last_us: sample.at_us,
            told_us: sample.at_us,
            told_badness: sample.badness,
            value: sample.value,
            threshold: sample.threshold,
            location: sample.location,
            severity: sample.severity,
            fingerprint,
        };
        let change = match sample.at_us - episode.since_us >= hold_us {
            true => {
                episode.phase = Phase::Raised;
                Change::Raised
            }
            false => Change::Noted,
        };
        (episode, change)
    }

    /// Takes one more sample. After `Cleared` and `Dropped` the episode is over.
    pub fn observe(&mut self, sample: &Sample<'_>, hold_us: i64) -> Change {
        if sample.at_us < self.last_us {
            return Change::None;
        }
        self.last_us = sample.at_us;
        self.value = sample.value;
        self.threshold = sample.threshold.or(self.threshold);
        self.location = sample.location.or(self.location);
        self.severity = sample.severity;
        let change = match self.phase {
            Phase::Pending if !sample.is_met => Change::Dropped,
            Phase::Pending if sample.at_us - self.since_us >= hold_us => Change::Raised,
            Phase::Raised if sample.is_over => Change::Cleared,
            Phase::Raised if self.is_news(sample) => Change::Updated,
            _ => Change::Noted,
        };
        if matches!(change, Change::Raised | Change::Updated) {
            self.phase = Phase::Raised;
            self.told_us = sample.at_us;
            self.told_badness = sample.badness;
        }
        change
    }

    fn is_news(&self, sample: &Sample<'_>) -> bool {
        sample.badness > self.told_badness && sample.at_us - self.told_us >= UPDATE_EVERY_US
    }

    /// Little-endian, of fixed length; what is not there is NaN.
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(Self::ENCODED_LEN);
        bytes.put_u8(match self.phase {
            Phase::Pending => 0,
            Phase::Raised => 1,
        });
        bytes.put_u8(self.severity as u8);
        for number in [self.since_us, self.last_us, self.told_us] {
            bytes.put_i64_le(number);
        }
        let (latitude, longitude) = self
            .location
            .map_or((f64::NAN, f64::NAN), |at| (at.latitude, at.longitude));
        for number in [
            self.told_badness,
            self.value,
            self.threshold.unwrap_or(f64::NAN),
            latitude,
            longitude,
        ] {
            bytes.put_f64_le(number);
        }
        bytes.put_u64_le(self.fingerprint);
        bytes.put_u16_le(self.fence_len);
        bytes.freeze()
    }

    const ENCODED_LEN: usize = Self::WITHOUT_FENCE + 2;
    /// As it was written before the fence's id was kept.
    const WITHOUT_FENCE: usize = 2 + 9 * 8;

    /// Reads what [`Episode::encode`] wrote; `None` where it is anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (fixed, fence_len) = bytes.split_at_checked(Self::WITHOUT_FENCE)?;
        let fence_len = match fence_len {
            [] => 0,
            bytes => u16::from_le_bytes(bytes.try_into().ok()?),
        };
        let (flags, words) = fixed.split_at_checked(2)?;
        let (words, _) = words.as_chunks::<8>();
        let whole = |index: usize| i64::from_le_bytes(words[index]);
        let float = |index: usize| f64::from_le_bytes(words[index]);
        let there = |value: f64| (!value.is_nan()).then_some(value);
        Some(Self {
            phase: match flags[0] {
                0 => Phase::Pending,
                1 => Phase::Raised,
                _ => return None,
            },
            fence_len,
            severity: [
                Severity::Low,
                Severity::Medium,
                Severity::High,
                Severity::Critical,
            ]
            .get(usize::from(flags[1]))
            .copied()?,
            since_us: whole(0),
            last_us: whole(1),
            told_us: whole(2),
            told_badness: float(3),
            value: float(4),
            threshold: there(float(5)),
            location: there(float(6)).map(|latitude| Location {
                latitude,
                longitude: float(7),
            }),
            fingerprint: u64::from_le_bytes(words[8]),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(at_s: i64, value: f64) -> Sample<'static> {
        Sample {
            subject: "s",
            fence_len: 0,
            at_us: at_s * 1_000_000,
            begins_us: at_s * 1_000_000,
            value,
            threshold: Some(10.0),
            badness: value,
            is_met: value > 10.0,
            is_over: value <= 8.0,
            location: None,
            severity: Severity::High,
        }
    }

    #[test]
    fn a_condition_must_hold_before_it_is_told() {
        let hold_us = 30_000_000;
        let (mut episode, change) = Episode::begin(&sample(0, 11.0), hold_us, 1);
        assert_eq!(change, Change::Noted);
        assert_eq!(episode.observe(&sample(10, 12.0), hold_us), Change::Noted);
        assert_eq!(episode.observe(&sample(30, 12.0), hold_us), Change::Raised);
        let (mut brief, _) = Episode::begin(&sample(0, 11.0), hold_us, 1);
        // Between the thresholds: not met, so it did not hold.
        assert_eq!(brief.observe(&sample(20, 9.0), hold_us), Change::Dropped);
    }

    #[test]
    fn hysteresis_keeps_it_and_updates_come_at_most_once_a_minute() {
        let (mut episode, change) = Episode::begin(&sample(0, 11.0), 0, 1);
        assert_eq!(change, Change::Raised);
        assert_eq!(episode.observe(&sample(10, 9.0), 0), Change::Noted);
        assert_eq!(episode.observe(&sample(30, 20.0), 0), Change::Noted);
        assert_eq!(episode.observe(&sample(60, 20.0), 0), Change::Updated);
        assert_eq!(episode.observe(&sample(130, 19.0), 0), Change::Noted);
        assert_eq!(episode.observe(&sample(120, 0.0), 0), Change::None);
        assert_eq!(episode.observe(&sample(140, 8.0), 0), Change::Cleared);
    }

    proptest! {
        #[test]
        fn bytes_read_back(at in 0..1_000_i64, value in -1e6..1e6_f64, has_place: bool, raised: bool, fence_len: u16) {
            let place = Location { latitude: 57.7, longitude: 11.9 };
            let sample = Sample { location: has_place.then_some(place), fence_len, ..sample(at, value) };
            let hold_us = if raised { 0 } else { 1 };
            let (episode, _) = Episode::begin(&sample, hold_us, 99);
            let bytes = episode.encode();
            prop_assert_eq!(Episode::decode(&bytes), Some(episode));
            prop_assert_eq!(Episode::decode(&bytes[1..]), None);
            let before = Episode { fence_len: 0, ..episode };
            prop_assert_eq!(Episode::decode(&bytes[..bytes.len() - 2]), Some(before));
            prop_assert_eq!(Episode::decode(&bytes[..bytes.len() - 3]), None);
        }
    }
}
