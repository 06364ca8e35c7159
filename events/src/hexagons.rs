//! The H3 cell of a fix, mostly without computing it: a vehicle stays in its
//! cell for minutes.

use std::collections::HashMap;

use h3o::CellIndex;

use crate::{Location, h3};

/// This close to an edge the cell is computed, metres: far more than the edge,
/// an arc, is off the straight line.
const MARGIN_M: f64 = 2.0;
const M_PER_DEGREE: f64 = 111_195.08;
/// A world of vehicles never needs more; beyond it all is computed again.
const CELLS_MAX: usize = 1 << 20;

/// Number of a known cell.
pub type HexagonIndex = u32;

/// No cell known.
pub const NO_HEXAGON: HexagonIndex = u32::MAX;

/// The cells that were met, with their edges.
#[derive(Debug, Default)]
pub struct Hexagons {
    by_cell: HashMap<u64, HexagonIndex>,
    all: Vec<Hexagon>,
}

/// On the plane around its middle, in metres.
#[derive(Debug)]
struct Hexagon {
    cell: u64,
    center: Location,
    m_per_degree_east: f64,
    /// Outward normal and distance of each edge.
    edges: [(f64, f64, f64); 6],
}

impl Hexagons {
    /// The cell of `location`; `near` is the one of the fix before, and becomes
    /// this one.
    #[inline]
    pub fn cell_of(&mut self, location: Location, near: &mut HexagonIndex) -> u64 {
        if let Some(hexagon) = self.all.get(*near as usize)
            && hexagon.surely_contains(location)
        {
            return hexagon.cell;
        }
        let cell = h3::cell_of(location);
        *near = self.index_of(cell);
        cell
    }

    fn index_of(&mut self, cell: u64) -> HexagonIndex {
        if let Some(index) = self.by_cell.get(&cell) {
            return *index;
        }
        if self.all.len() >= CELLS_MAX {
            return NO_HEXAGON;
        }
        let Some(hexagon) = Hexagon::of(cell) else {
            return NO_HEXAGON;
        };
        let index = self.all.len() as HexagonIndex;
        self.all.push(hexagon);
        self.by_cell.insert(cell, index);
        index
    }
}

impl Hexagon {
    /// `None` for the twelve pentagons, and near the poles and the antimeridian.
    fn of(cell: u64) -> Option<Self> {
        let center = h3::cell_center(cell)?;
        if center.latitude.abs() > 80.0 || center.longitude.abs() > 179.0 {
            return None;
        }
        let boundary = CellIndex::try_from(cell).ok()?.boundary();
        let m_per_degree_east = M_PER_DEGREE * center.latitude.to_radians().cos();
        let corners: Vec<(f64, f64)> = boundary
            .iter()
            .map(|corner| {
                let east = (corner.lng() - center.longitude) * m_per_degree_east;
                let north = (corner.lat() - center.latitude) * M_PER_DEGREE;
                (east, north)
            })
            .collect();
        let corners: [(f64, f64); 6] = corners.try_into().ok()?;
        let mut edges = [(0.0, 0.0, 0.0); 6];
        for (at, edge) in edges.iter_mut().enumerate() {
            let (from, to) = (corners[at], corners[(at + 1) % 6]);
            let (dx, dy) = (to.0 - from.0, to.1 - from.1);
            let length = (dx * dx + dy * dy).sqrt();
            let (nx, ny) = (dy / length, -dx / length);
            let distance = nx * from.0 + ny * from.1;
            // Outward, whichever way round the corners go.
            *edge = match distance < 0.0 {
                true => (-nx, -ny, -distance),
                false => (nx, ny, distance),
            };
        }
        Some(Self {
            cell,
            center,
            m_per_degree_east,
            edges,
        })
    }

    #[inline]
    fn surely_contains(&self, location: Location) -> bool {
        let east = (location.longitude - self.center.longitude) * self.m_per_degree_east;
        let north = (location.latitude - self.center.latitude) * M_PER_DEGREE;
        let inside =
            |(nx, ny, distance): &(f64, f64, f64)| nx * east + ny * north < distance - MARGIN_M;
        self.edges.iter().all(inside)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_remembered_cell_is_the_computed_one(
            latitude in -70.0..70.0_f64,
            longitude in -170.0..170.0_f64,
            steps in prop::collection::vec((-0.01..0.01_f64, -0.01..0.01_f64), 1..50),
        ) {
            let mut hexagons = Hexagons::default();
            let mut near = NO_HEXAGON;
            for (north, east) in steps {
                let location = Location { latitude: latitude + north, longitude: longitude + east };
                prop_assert_eq!(hexagons.cell_of(location, &mut near), h3::cell_of(location));
            }
        }
    }
}
