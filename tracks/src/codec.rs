//! A track as bytes: exact, and small where values have few decimals.
//!
//! Numbers are LEB128 with zigzag signs. Of a trail, the first point is written
//! against zero, each further one against the one before.

use std::collections::VecDeque;

use bytes::Bytes;
use events::Location;

use crate::track::{Doubted, NEVER_US, Suspect};
use crate::{BadFixes, Doubt, Ground, Track, TrailPoint, Trip, hash64};

const VERSION: u8 = 1;
const HAS_HEADING: u8 = 1;
const HAS_SEGMENT: u8 = 2;
const HAS_SUSPECT: u8 = 4;
const HAS_TRIP: u8 = 8;
const HAS_MOVED: u8 = 16;
const HAS_LAST_TRIP: u8 = 32;
const HAS_BAD_FIXES: u8 = 64;

/// Decimals of degrees and of speeds that are kept as whole numbers.
const DEGREE: f64 = 1e7;
const SPEED: f64 = 1e4;
const RAW_LATITUDE: u8 = 1;
const RAW_LONGITUDE: u8 = 2;
const RAW_SPEED: u8 = 4;
const WHOLE_MS: u8 = 8;

impl<X: Default> Track<X> {
    pub(crate) fn encode(&self, ground: &impl Ground) -> Bytes {
        let mut out = Writer(Vec::with_capacity(128 + self.trail_len() * 16));
        let mut flags = 0;
        for (set, flag) in [
            (self.heading_deg.is_some(), HAS_HEADING),
            (self.segment.is_some(), HAS_SEGMENT),
            (self.suspect().is_some(), HAS_SUSPECT),
            (self.trip_started_us != NEVER_US, HAS_TRIP),
            (self.last_moved_us != NEVER_US, HAS_MOVED),
            (self.last_trip.is_some(), HAS_LAST_TRIP),
            (self.doubted.is_some(), HAS_BAD_FIXES),
        ] {
            flags |= if set { flag } else { 0 };
        }
        out.0.extend([VERSION, flags]);
        out.int(self.trail_len() as i64);
        let mut before = origin();
        for point in self.trail() {
            out.point(&point, &before);
            before = point;
        }
        let newest_us = self.order.0;
        out.int(self.order.1);
        out.int(self.appended_at_us.wrapping_sub(newest_us));
        out.raw(self.last_id.to_le_bytes());
        out.raw(self.anchor.latitude.to_le_bytes());
        out.raw(self.anchor.longitude.to_le_bytes());
        out.raw(self.distance_today_m.to_le_bytes());
        if let Some(heading_deg) = self.heading_deg {
            out.raw(heading_deg.to_le_bytes());
        }
        if let Some(segment) = self.segment {
            let id = ground.segment_id(segment).as_bytes();
            out.int(id.len() as i64);
            out.0.extend_from_slice(id);
        }
        if let Some(Suspect { point, id }) = self.suspect() {
            out.raw(id.to_le_bytes());
            out.point(point, &origin());
        }
        if self.trip_started_us != NEVER_US {
            out.int(self.trip_started_us.wrapping_sub(newest_us));
        }
        if self.last_moved_us != NEVER_US {
            out.int(self.last_moved_us.wrapping_sub(newest_us));
        }
        if let Some(trip) = self.last_trip.as_deref() {
            out.int(trip.started_at_us.wrapping_sub(newest_us));
            out.int(trip.ended_at_us.wrapping_sub(newest_us));
        }
        if let Some(bad) = self.bad_fixes() {
            out.raw([bad.reason as u8]);
            out.int(i64::from(bad.count));
            out.int(bad.at_us.wrapping_sub(newest_us));
        }
        // A checkpoint holds very many: none with room for more.
        Bytes::copy_from_slice(&out.0)
    }

    pub(crate) fn decode(device_id: &str, bytes: &[u8], ground: &impl Ground) -> Option<Self> {
        let mut input = Reader(bytes);
        let [VERSION, flags] = input.raw()? else {
            return None;
        };
        let mut before = input.trail()?;
        let newest = before.pop()?;
        let newest_us = newest.timestamp_us;
        let order = (newest_us, input.int()?);
        let mut track = Self {
            device_id: device_id.into(),
            device_hash: hash64(0, device_id.as_bytes()),
            order,
            appended_at_us: input.int()?.wrapping_add(newest_us),
            last_id: u64::from_le_bytes(input.raw()?),
            anchor: Location {
                latitude: f64::from_le_bytes(input.raw()?),
                longitude: f64::from_le_bytes(input.raw()?),
            },
            distance_today_m: f64::from_le_bytes(input.raw()?),
            location: newest.location,
            speed_kmh: newest.speed_kmh,
            heading_deg: None,
            segment: None,
            before: VecDeque::new(),
            doubted: None,
            last_moved_us: NEVER_US,
            trip_started_us: NEVER_US,
            last_trip: None,
            dirty: false,
            extra: X::default(),
        };
        before.iter().for_each(|point| track.push_before(point));
        if flags & HAS_HEADING != 0 {
            track.heading_deg = Some(f64::from_le_bytes(input.raw()?));
        }
        if flags & HAS_SEGMENT != 0 {
            let length = usize::try_from(input.int()?).ok()?;
            let id = std::str::from_utf8(input.take(length)?).ok()?;
            // Another city's street is no street of this one.
            track.segment = ground.by_id(id);
        }
        if flags & HAS_SUSPECT != 0 {
            let id = u64::from_le_bytes(input.raw()?);
            let point = input.point(&origin())?;
            // All that earlier versions stored of fixes that were not believed.
            let fixes = BadFixes {
                count: 1,
                reason: Doubt::Teleport,
                at_us: point.timestamp_us,
            };
            track.doubted = Some(Box::new(Doubted {
                fixes,
                suspect: Some(Suspect { point, id }),
            }));
        }
        if flags & HAS_TRIP != 0 {
            track.trip_started_us = input.int()?.wrapping_add(newest_us);
        }
        if flags & HAS_MOVED != 0 {
            track.last_moved_us = input.int()?.wrapping_add(newest_us);
        }
        if flags & HAS_LAST_TRIP != 0 {
            track.last_trip = Some(Box::new(Trip {
                started_at_us: input.int()?.wrapping_add(newest_us),
                ended_at_us: input.int()?.wrapping_add(newest_us),
            }));
        }
        if flags & HAS_BAD_FIXES != 0 {
            let [reason] = input.raw()?;
            let fixes = BadFixes {
                reason: *Doubt::ALL.get(usize::from(reason))?,
                count: u32::try_from(input.int()?).ok()?,
                at_us: input.int()?.wrapping_add(newest_us),
            };
            let suspect = track.suspect().copied();
            track.doubted = Some(Box::new(Doubted { fixes, suspect }));
        }
        input.0.is_empty().then_some(track)
    }
}

fn origin() -> TrailPoint {
    TrailPoint {
        location: Location::default(),
        speed_kmh: 0.0,
        timestamp_us: 0,
    }
}

/// `value` as a whole number of `1/scale`, if it is exactly one.
fn whole(value: f64, scale: f64) -> Option<i64> {
    let scaled = (value * scale).round();
    let exact = scaled.abs() < 1e15 && (scaled / scale).to_bits() == value.to_bits();
    exact.then_some(scaled as i64)
}

/// What a point's number is written against: its whole part, as far as it has one.
fn base(value: f64, scale: f64) -> i64 {
    whole(value, scale).unwrap_or(0)
}

struct Writer(Vec<u8>);

impl Writer {
    fn raw<const N: usize>(&mut self, bytes: [u8; N]) {
        self.0.extend(bytes);
    }

    fn int(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    fn point(&mut self, point: &TrailPoint, before: &TrailPoint) {
        let at = self.0.len();
        self.0.push(0);
        let step_us = point.timestamp_us.wrapping_sub(before.timestamp_us);
        let mut flags = 0;
        match step_us % 1000 {
            0 => {
                flags |= WHOLE_MS;
                self.int(step_us / 1000);
            }
            _ => self.int(step_us),
        }
        let numbers = [
            (
                point.location.latitude,
                before.location.latitude,
                DEGREE,
                RAW_LATITUDE,
            ),
            (
                point.location.longitude,
                before.location.longitude,
                DEGREE,
                RAW_LONGITUDE,
            ),
            (point.speed_kmh, before.speed_kmh, SPEED, RAW_SPEED),
        ];
        for (value, before, scale, raw) in numbers {
            match whole(value, scale) {
                Some(number) => self.int(number - base(before, scale)),
                None => {
                    flags |= raw;
                    self.raw(value.to_le_bytes());
                }
            }
        }
        self.0[at] = flags;
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn raw<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn int(&mut self) -> Option<i64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.raw()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        None
    }

    fn trail(&mut self) -> Option<Vec<TrailPoint>> {
        let length = usize::try_from(self.int()?).ok()?;
        if !(1..=crate::TRAIL_LENGTH).contains(&length) {
            return None;
        }
        let mut trail = Vec::with_capacity(length);
        let mut before = origin();
        for _ in 0..length {
            before = self.point(&before)?;
            trail.push(before);
        }
        Some(trail)
    }

    fn point(&mut self, before: &TrailPoint) -> Option<TrailPoint> {
        let [flags] = self.raw()?;
        let step = self.int()?;
        let step_us = match flags & WHOLE_MS {
            0 => step,
            _ => step.wrapping_mul(1000),
        };
        let mut number = |before: f64, scale: f64, raw: u8| match flags & raw {
            0 => {
                let whole = self.int()?.wrapping_add(base(before, scale));
                Some(whole as f64 / scale)
            }
            _ => Some(f64::from_le_bytes(self.raw()?)),
        };
        Some(TrailPoint {
            timestamp_us: before.timestamp_us.wrapping_add(step_us),
            location: Location {
                latitude: number(before.location.latitude, DEGREE, RAW_LATITUDE)?,
                longitude: number(before.location.longitude, DEGREE, RAW_LONGITUDE)?,
            },
            speed_kmh: number(before.speed_kmh, SPEED, RAW_SPEED)?,
        })
    }
}
