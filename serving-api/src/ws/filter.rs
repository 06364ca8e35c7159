//! What of a channel a subscription wants.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use events::Location;

use crate::mirror::Item;

/// A box on the map. Where west is greater than east it goes over the 180th
/// meridian, as in RFC 7946.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BoundingBox {
    pub west: f64,
    pub south: f64,
    pub east: f64,
    pub north: f64,
}

impl BoundingBox {
    /// What is said where it is wrong.
    pub const EXPECTED: &str = "west, south, east, north in degrees, south at most north";

    /// `[west, south, east, north]`, where that is on Earth.
    pub fn new(corners: &[f64]) -> Option<Self> {
        let &[west, south, east, north] = corners else {
            return None;
        };
        // NaN is in no range.
        let is_on_earth = [west, east].iter().all(|degrees| degrees.abs() <= 180.0)
            && [south, north].iter().all(|degrees| degrees.abs() <= 90.0);
        (is_on_earth && south <= north).then_some(Self {
            west,
            south,
            east,
            north,
        })
    }

    /// Its edges belong to it.
    pub fn contains(&self, place: Location) -> bool {
        let Location {
            latitude,
            longitude,
        } = place;
        let between = if self.west <= self.east {
            longitude >= self.west && longitude <= self.east
        } else {
            longitude >= self.west || longitude <= self.east
        };
        between && latitude >= self.south && latitude <= self.north
    }

    pub fn corners(&self) -> [f64; 4] {
        [self.west, self.south, self.east, self.north]
    }
}

/// Both conditions hold where both are given.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    pub bbox: Option<BoundingBox>,
    pub ids: Option<BTreeSet<String>>,
    /// Alerts that are over are told when they end and are in no snapshot.
    pub begins_with_active: bool,
}

impl Filter {
    /// Whether everything passes, always.
    pub fn is_everything(&self) -> bool {
        self.bbox.is_none() && self.ids.is_none()
    }

    /// A thing without a place is in no box.
    pub fn passes(&self, id: &str, item: &Item) -> bool {
        let inside = |bbox: &BoundingBox| item.location.is_some_and(|place| bbox.contains(place));
        self.bbox.as_ref().is_none_or(inside)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(id))
    }

    /// Whether `item`, which passes, is what a snapshot shows.
    pub fn shows_at_first(&self, item: &Item) -> bool {
        // Within a JSON text the quotes would be escaped: this is the field.
        const CLEARED: &[u8] = br#""status":"cleared""#;
        !self.begins_with_active || memchr::memmem::find(&item.value, CLEARED).is_none()
    }

    /// Equal for equal filters: a resume token is good only for the filter that
    /// it was given for.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.bbox
            .map(|bbox| bbox.corners().map(f64::to_bits))
            .hash(&mut hasher);
        self.ids.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn box_may_cross_the_180th_meridian() {
        let fiji = BoundingBox {
            west: 177.0,
            south: -20.0,
            east: -178.0,
            north: -12.0,
        };
        let at = |longitude| Location {
            latitude: -17.0,
            longitude,
        };
        assert!(fiji.contains(at(179.5)) && fiji.contains(at(-179.0)) && fiji.contains(at(177.0)));
        assert!(!fiji.contains(at(0.0)));
    }
}
