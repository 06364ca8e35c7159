//! One piece of street.

use std::fmt;

use events::Location;

use crate::NodeIndex;

/// The number of a segment in [`crate::StreetNetwork::segments`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentIndex(pub u32);

impl SegmentIndex {
    /// As an index of a slice.
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// The part of a way between two junctions.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// `w<osm way>-<n>`, n counting from 0 along the way; `e<edge>` from a CSV
    /// graph. Stable while the source is.
    pub id: String,
    /// Street name or road number.
    pub name: Option<String>,
    /// Its place in the road hierarchy.
    pub class: RoadClass,
    /// The speed limit, from the tags or by class, km/h.
    pub free_flow_kmh: f64,
    /// May be driven only from `from_node` to `to_node`.
    pub one_way: bool,
    /// Metres along the line.
    pub length_m: f64,
    /// At least two points, from `from_node` to `to_node`.
    pub line: Vec<Location>,
    /// The junction at the line's start.
    pub from_node: NodeIndex,
    /// The junction at the line's end.
    pub to_node: NodeIndex,
}

/// OpenStreetMap's road hierarchy; links belong to the road they lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RoadClass {
    /// Motorway.
    Motorway,
    /// Trunk road.
    Trunk,
    /// Primary road.
    Primary,
    /// Secondary road.
    Secondary,
    /// Tertiary road.
    Tertiary,
    /// A minor through road.
    Unclassified,
    /// A street people live on.
    Residential,
    /// A street where people on foot go first.
    LivingStreet,
    /// Access to something.
    Service,
}

impl RoadClass {
    /// Reads OpenStreetMap's `highway` value and whether it is a link (a slip
    /// road); `None` where cars do not drive.
    pub fn from_highway(highway: &str) -> Option<(Self, bool)> {
        let (base, is_link) = match highway.strip_suffix("_link") {
            Some(base) => (base, true),
            None => (highway, false),
        };
        let class = match base {
            "motorway" => Self::Motorway,
            "trunk" => Self::Trunk,
            "primary" => Self::Primary,
            "secondary" => Self::Secondary,
            "tertiary" => Self::Tertiary,
            "unclassified" => Self::Unclassified,
            "residential" => Self::Residential,
            "living_street" => Self::LivingStreet,
            "service" => Self::Service,
            _ => return None,
        };
        Some((class, is_link))
    }

    /// OpenStreetMap's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Motorway => "motorway",
            Self::Trunk => "trunk",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Tertiary => "tertiary",
            Self::Unclassified => "unclassified",
            Self::Residential => "residential",
            Self::LivingStreet => "living_street",
            Self::Service => "service",
        }
    }

    /// The limit where none is signed, km/h: usual urban values.
    pub const fn default_limit_kmh(self, is_link: bool) -> f64 {
        match (self, is_link) {
            (Self::Motorway, false) => 90.0,
            (Self::Motorway, true) | (Self::Trunk, false) => 70.0,
            (Self::Trunk, true) => 60.0,
            (Self::Primary, _) => 60.0,
            (Self::Secondary | Self::Tertiary | Self::Unclassified, _) => 50.0,
            (Self::Residential, _) => 40.0,
            (Self::Service, _) => 20.0,
            (Self::LivingStreet, _) => 15.0,
        }
    }
}

impl fmt::Display for RoadClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
