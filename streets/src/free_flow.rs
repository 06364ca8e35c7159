//! How fast traffic is on a segment when nothing is in its way.
//!
//! The 85th percentile of the segment's own speeds over one to two weeks, which
//! is how reference speeds are commonly defined (FHWA, "Travel Time
//! Reliability", and INRIX, "Global Traffic Scorecard": free flow is what is
//! reached in the least congested hours). What is observed are means of whole
//! minutes, as the speed that is held against free flow is one: both contain
//! the stops at signals.

use std::sync::Arc;

use events::sketch::Sketch;
use foldhash::{HashMap, HashSet, HashSetExt};

use crate::{SegmentIndex, StreetNetwork};

const QUANTILE: f64 = 0.85;
/// History is kept for the current period and the one before it.
const PERIOD_US: i64 = 7 * 24 * HOUR_US;
const HOUR_US: i64 = 3_600_000_000;
/// A segment is learned from so many minutes on,
const MINUTES_MIN: u64 = 60;
/// in so many different hours of the day: not all of them are rush hours.
const HOURS_MIN: u32 = 6;
/// What is learned stays between these shares of the limit: a street that is
/// never free is not free, and nobody is late for not speeding.
const LIMIT_SHARES: (f64, f64) = (0.5, 1.2);

/// The free-flow speed of every segment: its speed limit until it is learned.
///
/// Mergeable: observing some minutes here and others there and merging gives
/// the same as observing all in one place, in any order.
#[derive(Clone, Debug)]
pub struct FreeFlow {
    streets: Arc<StreetNetwork>,
    learned: HashMap<SegmentIndex, History>,
    dirty: HashSet<SegmentIndex>,
}

#[derive(Clone, Debug, PartialEq)]
struct History {
    newest: Period,
    before: Option<Period>,
    /// Of both together, once they are enough: asked for more often than learned.
    speed_kmh: Option<f64>,
}

#[derive(Clone, Debug, PartialEq)]
struct Period {
    number: i64,
    /// Bit n: hour n of the day, UTC.
    hours: u32,
    speeds_kmh: Sketch,
}

impl FreeFlow {
    /// Nothing learned yet.
    pub fn new(streets: Arc<StreetNetwork>) -> Self {
        Self {
            streets,
            learned: HashMap::default(),
            dirty: HashSet::new(),
        }
    }

    /// Learns from one closed minute of a segment: its mean speed, and when it
    /// began (microseconds since the epoch). Minutes more than two weeks behind
    /// the newest are too old to count, and speeds that are no speeds.
    pub fn observe(&mut self, segment: SegmentIndex, speed_kmh: f64, timestamp_us: i64) {
        if !(speed_kmh.is_finite() && speed_kmh >= 0.0) {
            return;
        }
        let mut period = Period {
            number: timestamp_us.div_euclid(PERIOD_US),
            hours: 1 << (timestamp_us.div_euclid(HOUR_US).rem_euclid(24)),
            speeds_kmh: Sketch::default(),
        };
        period.speeds_kmh.add(speed_kmh);
        self.take(segment, period);
    }

    /// Takes in what another learned on the same streets.
    pub fn merge(&mut self, other: &Self) {
        for (segment, history) in &other.learned {
            self.take_history(*segment, history);
        }
    }

    /// The segment's free-flow speed, km/h.
    pub fn get(&self, segment: SegmentIndex) -> f64 {
        let limit_kmh = self.streets.segment(segment).free_flow_kmh;
        self.measured_kmh(segment).map_or(limit_kmh, |kmh| {
            kmh.clamp(limit_kmh * LIMIT_SHARES.0, limit_kmh * LIMIT_SHARES.1)
        })
    }

    /// Whether the speed is the segment's own and not the limit.
    pub fn is_learned(&self, segment: SegmentIndex) -> bool {
        self.measured_kmh(segment).is_some()
    }

    /// How many segments have their own speed.
    pub fn learned_count(&self) -> usize {
        let segments = self.learned.keys();
        segments
            .filter(|segment| self.is_learned(**segment))
            .count()
    }

    /// What changed since the last call, to be stored; [`FreeFlow::restore`]
    /// reads it.
    pub fn drain_changed(&mut self) -> Vec<(SegmentIndex, Vec<u8>)> {
        let mut changed: Vec<_> = self.dirty.drain().collect();
        changed.sort_unstable();
        let encode = |segment: SegmentIndex| Some((segment, self.learned.get(&segment)?.encode()));
        changed.into_iter().filter_map(encode).collect()
    }

    /// Takes up what was stored of a segment, beside what is known already.
    /// False where the bytes are not from [`FreeFlow::drain_changed`].
    pub fn restore(&mut self, segment: SegmentIndex, bytes: &[u8]) -> bool {
        let Some(history) = History::decode(bytes) else {
            return false;
        };
        let was_dirty = self.dirty.contains(&segment);
        self.take_history(segment, &history);
        if !was_dirty {
            self.dirty.remove(&segment);
        }
        true
    }

    fn measured_kmh(&self, segment: SegmentIndex) -> Option<f64> {
        self.learned.get(&segment)?.speed_kmh
    }

    fn take_history(&mut self, segment: SegmentIndex, history: &History) {
        for period in history.before.iter().chain([&history.newest]) {
            self.take(segment, period.clone());
        }
    }

    fn take(&mut self, segment: SegmentIndex, period: Period) {
        self.dirty.insert(segment);
        match self.learned.entry(segment) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut().take(period),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(History::of(period, None));
            }
        }
    }
}

impl History {
    fn of(newest: Period, before: Option<Period>) -> Self {
        let mut history = Self {
            newest,
            before,
            speed_kmh: None,
        };
        history.learn();
        history
    }

    fn learn(&mut self) {
        self.speed_kmh = match &self.before {
            None => self.newest.speed_kmh(),
            Some(before) => {
                let mut all = self.newest.clone();
                all.add(before);
                all.speed_kmh()
            }
        };
    }

    fn take(&mut self, period: Period) {
        let behind = self.newest.number - period.number;
        match behind {
            0 => self.newest.add(&period),
            1 => match &mut self.before {
                Some(before) => before.add(&period),
                None => self.before = Some(period),
            },
            2.. => {}
            _ => {
                let newest = std::mem::replace(&mut self.newest, period);
                self.before = (behind == -1).then_some(newest);
            }
        }
        self.learn();
    }

    /// For each period, newest first: number, hours, length, sketch.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for period in [&self.newest].into_iter().chain(&self.before) {
            let speeds = period.speeds_kmh.to_bytes();
            bytes.extend_from_slice(&period.number.to_le_bytes());
            bytes.extend_from_slice(&period.hours.to_le_bytes());
            bytes.extend_from_slice(&(speeds.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&speeds);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (newest, rest) = Period::decode(bytes)?;
        if rest.is_empty() {
            return Some(Self::of(newest, None));
        }
        let (before, rest) = Period::decode(rest)?;
        let follows = before.number.checked_add(1) == Some(newest.number);
        (rest.is_empty() && follows).then(|| Self::of(newest, Some(before)))
    }
}

impl Period {
    fn add(&mut self, other: &Self) {
        self.hours |= other.hours;
        self.speeds_kmh.merge(&other.speeds_kmh);
    }

    fn speed_kmh(&self) -> Option<f64> {
        let is_enough =
            self.speeds_kmh.count() >= MINUTES_MIN && self.hours.count_ones() >= HOURS_MIN;
        is_enough
            .then(|| self.speeds_kmh.quantile(QUANTILE))
            .flatten()
    }

    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let (hours, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (speeds, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let period = Self {
            number: i64::from_le_bytes(*number),
            hours: u32::from_le_bytes(*hours),
            speeds_kmh: Sketch::from_bytes(speeds)?,
        };
        Some((period, rest))
    }
}
