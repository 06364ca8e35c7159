//! The air quality index of the US Environmental Protection Agency, with the
//! breakpoints in force since May 2024.
//!
//! Source: US EPA, "Technical Assistance Document for the Reporting of Daily Air
//! Quality: the Air Quality Index (AQI)", EPA-454/B-24-002, May 2024, tables 5 and
//! 6: concentrations are truncated, the index is interpolated linearly between
//! breakpoints and rounded, and the index of a place is the largest of its
//! pollutants. The index may exceed 500: beyond the last breakpoint its slope
//! goes on.
//!
//! EPA defines the index over averages of 1, 8 or 24 hours. [`of_readings`] takes
//! momentary readings for them, which says how the air is now, but is no official
//! index.

use std::fmt;

use crate::Weather;

/// A pollutant and the span over which EPA averages it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pollutant {
    /// Fine particles, 24 hours, ug/m3.
    Pm25,
    /// Particles up to 10 um, 24 hours, ug/m3.
    Pm10,
    /// Ozone, 8 hours, ppm. Above 0.200 ppm only the 1-hour value has an index.
    Ozone8h,
    /// Ozone, 1 hour, ppm. Below 0.125 ppm only the 8-hour value has an index.
    Ozone1h,
    /// Nitrogen dioxide, 1 hour, ppb.
    No2,
    /// Sulphur dioxide, 1 hour, ppb. Its index never exceeds 200.
    So2In1h,
    /// Sulphur dioxide, 24 hours, ppb. It has an index from 305 ppb on.
    So2In24h,
    /// Carbon monoxide, 8 hours, ppm.
    Co,
}

/// Concentrations in steps of truncation, both ends included, and their indices.
struct Range {
    low: u32,
    high: u32,
    index_low: u32,
    index_high: u32,
}

const fn range(low: u32, high: u32, index_low: u32, index_high: u32) -> Range {
    Range {
        low,
        high,
        index_low,
        index_high,
    }
}

const PM25: [Range; 6] = [
    range(0, 90, 0, 50),
    range(91, 354, 51, 100),
    range(355, 554, 101, 150),
    range(555, 1254, 151, 200),
    range(1255, 2254, 201, 300),
    range(2255, 3254, 301, 500),
];
const PM10: [Range; 6] = [
    range(0, 54, 0, 50),
    range(55, 154, 51, 100),
    range(155, 254, 101, 150),
    range(255, 354, 151, 200),
    range(355, 424, 201, 300),
    range(425, 604, 301, 500),
];
const OZONE_8H: [Range; 5] = [
    range(0, 54, 0, 50),
    range(55, 70, 51, 100),
    range(71, 85, 101, 150),
    range(86, 105, 151, 200),
    range(106, 200, 201, 300),
];
const OZONE_1H: [Range; 4] = [
    range(125, 164, 101, 150),
    range(165, 204, 151, 200),
    range(205, 404, 201, 300),
    range(405, 604, 301, 500),
];
const NO2: [Range; 6] = [
    range(0, 53, 0, 50),
    range(54, 100, 51, 100),
    range(101, 360, 101, 150),
    range(361, 649, 151, 200),
    range(650, 1249, 201, 300),
    range(1250, 2049, 301, 500),
];
const SO2_1H: [Range; 4] = [
    range(0, 35, 0, 50),
    range(36, 75, 51, 100),
    range(76, 185, 101, 150),
    range(186, 304, 151, 200),
];
const SO2_24H: [Range; 2] = [range(305, 604, 201, 300), range(605, 1004, 301, 500)];
const CO: [Range; 6] = [
    range(0, 44, 0, 50),
    range(45, 94, 51, 100),
    range(95, 124, 101, 150),
    range(125, 154, 151, 200),
    range(155, 304, 201, 300),
    range(305, 504, 301, 500),
];

impl Pollutant {
    /// Its ranges, and how many steps of truncation a unit has.
    const fn ranges(self) -> (&'static [Range], f64) {
        match self {
            Pollutant::Pm25 => (&PM25, 10.0),
            Pollutant::Pm10 => (&PM10, 1.0),
            Pollutant::Ozone8h => (&OZONE_8H, 1000.0),
            Pollutant::Ozone1h => (&OZONE_1H, 1000.0),
            Pollutant::No2 => (&NO2, 1.0),
            Pollutant::So2In1h => (&SO2_1H, 1.0),
            Pollutant::So2In24h => (&SO2_24H, 1.0),
            Pollutant::Co => (&CO, 10.0),
        }
    }

    /// The name of the reading it comes from, a column of `weather_data`.
    pub const fn reading(self) -> &'static str {
        match self {
            Pollutant::Pm25 => "pm25",
            Pollutant::Pm10 => "pm10",
            Pollutant::Ozone8h | Pollutant::Ozone1h => "o3",
            Pollutant::No2 => "no2",
            Pollutant::So2In1h | Pollutant::So2In24h => "so2",
            Pollutant::Co => "co",
        }
    }
}

/// The index of one pollutant from its concentration in the pollutant's unit
/// (see [`Pollutant`]). Concentrations below zero, as instruments drift, count as
/// zero. `None` where EPA defines no index for it, and for what is no finite number.
pub fn index_of(pollutant: Pollutant, concentration: f64) -> Option<u32> {
    if !concentration.is_finite() {
        return None;
    }
    let (ranges, steps_per_unit) = pollutant.ranges();
    // Truncation must not take a step off 0.055 ppm, which times 1000 may be
    // a hair below 55.
    let steps = (concentration.max(0.0) * steps_per_unit + 1e-6).floor();
    // Larger ones saturate, far beyond any air.
    let steps = steps as u32;
    let last = ranges.last()?;
    if steps > last.high {
        return match pollutant {
            Pollutant::Ozone8h => None,
            Pollutant::So2In1h => Some(last.index_high),
            _ => Some(interpolate(last, steps)),
        };
    }
    let range = ranges.iter().find(|range| steps <= range.high)?;
    (steps >= range.low).then(|| interpolate(range, steps))
}

/// Equation 1 of the source, rounded half up, in whole numbers.
fn interpolate(range: &Range, steps: u32) -> u32 {
    let width = u64::from(range.high - range.low);
    let rise = u64::from(range.index_high - range.index_low) * u64::from(steps - range.low);
    let above = (2 * rise + width) / (2 * width);
    range
        .index_low
        .saturating_add(u32::try_from(above).unwrap_or(u32::MAX))
}

/// An index and the pollutant that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AirQuality {
    /// 0 is clean, 500 the worst that has a meaning of its own.
    pub index: u32,
    /// The pollutant with the largest index.
    pub pollutant: Pollutant,
}

impl AirQuality {
    /// What the index means for people.
    pub fn category(&self) -> Category {
        Category::of(self.index)
    }
}

/// Molar volume of air at 25 degrees C and 1 atm, litres: EPA's conditions.
const MOLAR_VOLUME_L: f64 = 24.45;

/// ppb of a gas from ug/m3, and so ppm from mg/m3.
fn volume_share(mass_per_volume: f64, molar_mass_g: f64) -> f64 {
    mass_per_volume * MOLAR_VOLUME_L / molar_mass_g
}

/// The index of a station's momentary readings: the largest of its pollutants.
/// `None` where it reports none of them.
pub fn of_readings(weather: &Weather) -> Option<AirQuality> {
    let ozone_ppm = weather.o3.map(|o3| volume_share(o3, 47.998) / 1000.0);
    let so2_ppb = weather.so2.map(|so2| volume_share(so2, 64.064));
    let readings = [
        (Pollutant::Pm25, weather.pm25),
        (Pollutant::Pm10, weather.pm10),
        (Pollutant::Ozone8h, ozone_ppm),
        (Pollutant::Ozone1h, ozone_ppm),
        (
            Pollutant::No2,
            weather.no2.map(|no2| volume_share(no2, 46.006)),
        ),
        (Pollutant::So2In1h, so2_ppb),
        (Pollutant::So2In24h, so2_ppb),
        (Pollutant::Co, weather.co.map(|co| volume_share(co, 28.010))),
    ];
    readings
        .into_iter()
        .filter_map(|(pollutant, value)| {
            let index = index_of(pollutant, value?)?;
            Some(AirQuality { index, pollutant })
        })
        .reduce(|worst, next| match next.index > worst.index {
            true => next,
            false => worst,
        })
}

/// EPA's six levels of concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// 0 to 50.
    Good,
    /// 51 to 100.
    Moderate,
    /// 101 to 150.
    UnhealthyForSensitiveGroups,
    /// 151 to 200.
    Unhealthy,
    /// 201 to 300.
    VeryUnhealthy,
    /// 301 and more.
    Hazardous,
}

impl Category {
    /// The category of an index.
    pub const fn of(index: u32) -> Self {
        match index {
            0..=50 => Category::Good,
            51..=100 => Category::Moderate,
            101..=150 => Category::UnhealthyForSensitiveGroups,
            151..=200 => Category::Unhealthy,
            201..=300 => Category::VeryUnhealthy,
            _ => Category::Hazardous,
        }
    }

    /// Its name as EPA writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Category::Good => "Good",
            Category::Moderate => "Moderate",
            Category::UnhealthyForSensitiveGroups => "Unhealthy for Sensitive Groups",
            Category::Unhealthy => "Unhealthy",
            Category::VeryUnhealthy => "Very Unhealthy",
            Category::Hazardous => "Hazardous",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of every range have the index that the table gives them.
    #[test]
    fn breakpoints_have_their_indices() {
        use Pollutant::*;
        for pollutant in [Pm25, Pm10, Ozone8h, Ozone1h, No2, So2In1h, So2In24h, Co] {
            let (ranges, steps_per_unit) = pollutant.ranges();
            for range in ranges {
                for (steps, index) in [(range.low, range.index_low), (range.high, range.index_high)]
                {
                    let concentration = f64::from(steps) / steps_per_unit;
                    assert_eq!(
                        index_of(pollutant, concentration),
                        Some(index),
                        "{pollutant:?} {concentration}"
                    );
                }
            }
        }
    }

    #[test]
    fn concentrations_are_truncated_not_rounded() {
        assert_eq!(index_of(Pollutant::Pm25, 9.09), Some(50));
        assert_eq!(index_of(Pollutant::Pm25, 9.1), Some(51));
        assert_eq!(index_of(Pollutant::Pm10, 54.99), Some(50));
        assert_eq!(index_of(Pollutant::Ozone8h, 0.0709), Some(100));
    }

    /// The worked example of the source: ozone of 0.07853333 ppm over 8 hours,
    /// fine particles of 35.9 ug/m3, carbon monoxide of 8.4 ppm.
    #[test]
    fn the_example_of_the_source() {
        assert_eq!(index_of(Pollutant::Ozone8h, 0.078_533_33), Some(126));
        assert_eq!(index_of(Pollutant::Pm25, 35.9), Some(102));
        assert_eq!(index_of(Pollutant::Co, 8.4), Some(90));
    }

    #[test]
    fn what_has_no_index_has_none() {
        assert_eq!(index_of(Pollutant::Ozone8h, 0.201), None);
        assert_eq!(index_of(Pollutant::Ozone1h, 0.124), None);
        assert_eq!(index_of(Pollutant::So2In24h, 304.0), None);
        assert_eq!(index_of(Pollutant::So2In1h, 900.0), Some(200));
        assert_eq!(index_of(Pollutant::Pm25, f64::NAN), None);
        assert_eq!(index_of(Pollutant::Pm25, -3.0), Some(0));
        assert!(index_of(Pollutant::Pm10, 1e300) > Some(500));
    }

    #[test]
    fn the_worst_pollutant_gives_the_index() {
        let weather = Weather {
            pm25: Some(35.4),
            pm10: Some(20.0),
            // 0.0786 ppm
            o3: Some(154.4),
            ..Weather::default()
        };
        let air = of_readings(&weather).expect("readings");
        assert_eq!((air.index, air.pollutant), (126, Pollutant::Ozone8h));
        assert_eq!(air.category().name(), "Unhealthy for Sensitive Groups");
        assert_eq!(of_readings(&Weather::default()), None);
    }
}
