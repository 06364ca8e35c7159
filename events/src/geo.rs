//! Places and distances on WGS 84.

/// A point in degrees WGS 84.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Location {
    /// -90 to 90.
    pub latitude: f64,
    /// -180 to 180.
    pub longitude: f64,
}

/// Mean earth radius in metres (IUGG).
const EARTH_RADIUS_M: f64 = 6_371_008.8;

impl Location {
    /// The null island fix of receivers without a position.
    pub fn is_null_island(self) -> bool {
        self.latitude == 0.0 && self.longitude == 0.0
    }

    /// Great-circle distance in metres (haversine).
    pub fn distance_m(self, other: Location) -> f64 {
        let (lat1, lat2) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_dlat = (lat2 - lat1) / 2.0;
        let half_dlon = (other.longitude - self.longitude).to_radians() / 2.0;
        let h = half_dlat.sin().powi(2) + lat1.cos() * lat2.cos() * half_dlon.sin().powi(2);
        2.0 * EARTH_RADIUS_M * h.sqrt().min(1.0).asin()
    }

    /// Initial bearing to `other`, degrees clockwise from north, 0 up to 360.
    pub fn bearing_deg(self, other: Location) -> f64 {
        let (lat1, lat2) = (self.latitude.to_radians(), other.latitude.to_radians());
        let dlon = (other.longitude - self.longitude).to_radians();
        let y = dlon.sin() * lat2.cos();
        let x = lat1.cos() * lat2.sin() - lat1.sin() * lat2.cos() * dlon.cos();
        y.atan2(x).to_degrees().rem_euclid(360.0)
    }
}
