//! Uber's H3 grid: the hexagons that cells of windows are.

use h3o::{LatLng, Resolution};

use crate::Location;

/// The size of the cells: resolution 8, on average 0.74 km2, edges of 0.53 km.
const RESOLUTION: Resolution = Resolution::Eight;

/// The H3 cell (resolution 8) that a place is in; 0, which is no cell, where a
/// coordinate is not a number.
pub fn cell_of(location: Location) -> u64 {
    LatLng::new(location.latitude, location.longitude)
        .map_or(0, |place| u64::from(place.to_cell(RESOLUTION)))
}

/// The name of a cell as H3 writes it: lower-case hexadecimal without zeros in
/// front, `881f25a933fffff`.
pub fn cell_name(cell: u64) -> String {
    format!("{cell:x}")
}

/// The cell of that name.
pub fn cell_from_name(name: &str) -> Option<u64> {
    let cell = u64::from_str_radix(name, 16).ok()?;
    let known = h3o::CellIndex::try_from(cell).ok()?;
    (known.resolution() == RESOLUTION && cell_name(cell) == name).then_some(cell)
}

/// The middle of a cell; `None` where `cell` is none.
pub fn cell_center(cell: u64) -> Option<Location> {
    let center = LatLng::from(h3o::CellIndex::try_from(cell).ok()?);
    Some(Location {
        latitude: center.lat(),
        longitude: center.lng(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(latitude: f64, longitude: f64) -> Location {
        Location {
            latitude,
            longitude,
        }
    }

    /// San Francisco, the example of h3-js's readme, at resolution 7.
    #[test]
    fn places_are_in_the_cells_that_h3_says() {
        let cell = cell_of(place(37.3615593, -122.0553238));
        let index = h3o::CellIndex::try_from(cell).expect("a cell");
        let parent = index.parent(Resolution::Seven).expect("a parent");
        assert_eq!(parent.to_string(), "87283472bffffff");
    }

    #[test]
    fn names_lead_back_to_cells() {
        let cell = cell_of(place(57.7089, 11.9746));
        let name = cell_name(cell);
        assert_eq!(name.len(), 15);
        assert_eq!(cell_from_name(&name), Some(cell));
        for other in ["", "881f", "zz", &name.to_uppercase(), "87283472bffffff"] {
            assert_eq!(cell_from_name(other), None, "{other}");
        }
    }

    #[test]
    fn the_center_of_a_cell_is_in_it() {
        let cell = cell_of(place(57.7089, 11.9746));
        let center = cell_center(cell).expect("a cell");
        assert_eq!(cell_of(center), cell);
        assert!(center.distance_m(place(57.7089, 11.9746)) < 600.0);
        assert_eq!(cell_center(0), None);
    }

    #[test]
    fn no_place_is_in_no_cell() {
        assert_eq!(cell_of(place(f64::NAN, 0.0)), 0);
        assert_eq!(cell_of(place(0.0, f64::INFINITY)), 0);
    }
}
