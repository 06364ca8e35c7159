//! `weather_data`: weather and air quality stations.

use compact_str::CompactString;

use crate::Location;

/// One message of a weather or air quality station.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Weather {
    /// Where the station stands.
    pub location: Location,
    /// Degrees Celsius.
    pub temperature: Option<f64>,
    /// Clear, Rain, Snow, Fog, ...
    pub weather_condition: Option<CompactString>,
    /// Relative humidity, percent.
    pub humidity: Option<f64>,
    /// km/h.
    pub wind_speed: Option<f64>,
    /// mm/h.
    pub precipitation: Option<f64>,
    /// km.
    pub visibility: Option<f64>,
    /// Air quality index, 0 to 500 (`airQualityIndex` on the wire).
    pub air_quality_index: Option<f64>,
    /// ug/m3.
    pub pm25: Option<f64>,
    /// ug/m3.
    pub pm10: Option<f64>,
    /// ug/m3.
    pub no2: Option<f64>,
    /// ug/m3.
    pub o3: Option<f64>,
    /// ug/m3.
    pub so2: Option<f64>,
    /// mg/m3.
    pub co: Option<f64>,
    /// dB(A).
    pub noise_db: Option<f64>,
}
