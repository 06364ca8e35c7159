//! `weather_data`: weather and air quality stations.

use std::ops::RangeInclusive;

use compact_str::{CompactString, format_compact};

use crate::Location;
use crate::columns::{Column, Row};
use crate::decode::{DecodeError, READING_MAX, Reader, number_members};
use crate::json::ObjectWriter;
use crate::stream::Fields;

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

/// Readings of weather and air that can be; what is outside is a fault of the
/// sensor. Temperature, wind: beyond the records of the World Meteorological
/// Organization (-89.2 and 56.7 degrees, 408 km/h) with some room.
const TEMPERATURE: RangeInclusive<f64> = -95.0..=65.0;
const PERCENT: RangeInclusive<f64> = 0.0..=100.0;
const WIND: RangeInclusive<f64> = 0.0..=420.0;
/// Defined from 0 to 500.
const AIR_QUALITY: RangeInclusive<f64> = 0.0..=500.0;
/// What cannot be negative: rain, distance, concentrations, noise. A gram of
/// something in a cubic metre is the most that any of them can say.
const AMOUNT: RangeInclusive<f64> = 0.0..=1e6;

impl Weather {
    /// The message without the readings that cannot be. It is kept in the lake as
    /// it was sent; the city's figures are made of this.
    pub fn plausible(&self) -> Self {
        let within = |value: Option<f64>, range: &RangeInclusive<f64>| {
            value.filter(|value| range.contains(value))
        };
        let amount = |value| within(value, &AMOUNT);
        Self {
            location: self.location,
            temperature: within(self.temperature, &TEMPERATURE),
            weather_condition: self.weather_condition.clone(),
            humidity: within(self.humidity, &PERCENT),
            wind_speed: within(self.wind_speed, &WIND),
            precipitation: amount(self.precipitation),
            visibility: amount(self.visibility),
            air_quality_index: within(self.air_quality_index, &AIR_QUALITY),
            pm25: amount(self.pm25),
            pm10: amount(self.pm10),
            no2: amount(self.no2),
            o3: amount(self.o3),
            so2: amount(self.so2),
            co: amount(self.co),
            noise_db: amount(self.noise_db),
        }
    }
}

/// Before the name of a reading that the stream does not know, as in rules.
const OWN: &str = "extra.";
/// The longest such name.
const OWN_CHARACTERS_MAX: usize = 64;

impl Weather {
    /// Readings of sensors that the stream does not know, of one message, at most.
    pub const OWN_READINGS_MAX: usize = 16;

    /// The numbers among the fields that the stream does not know, `extra.NAME` and
    /// value, in the order of the message: the first [`Weather::OWN_READINGS_MAX`] that
    /// can be readings and whose names rules can use. `extra` is
    /// [`Event::extra`](crate::Event::extra).
    pub fn own_readings(extra: &str) -> impl Iterator<Item = (CompactString, f64)> {
        let mut names: Vec<CompactString> = Vec::new();
        let own = number_members(extra).filter_map(move |(name, value)| {
            let is_plain = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'.';
            let is_usable = (1..=OWN_CHARACTERS_MAX).contains(&name.len())
                && name.bytes().all(is_plain)
                && value.abs() <= READING_MAX;
            let name = format_compact!("{OWN}{name}");
            if !is_usable || names.contains(&name) {
                return None;
            }
            names.push(name.clone());
            Some((name, value))
        });
        own.take(Self::OWN_READINGS_MAX)
    }
}

/// Defines the readings that windows and views are made of.
macro_rules! readings {
    ($($field:ident),+ $(,)?) => {
        impl Weather {
            /// The names of the readings, as columns, windows and views have them.
            pub const READINGS: [&str; [$(stringify!($field)),+].len()] = [$(stringify!($field)),+];

            /// What was read, in the order of [`Weather::READINGS`].
            pub fn readings(&self) -> [Option<f64>; Self::READINGS.len()] {
                [$(self.$field),+]
            }
        }
    };
}

readings!(
    temperature,
    humidity,
    wind_speed,
    visibility,
    precipitation,
    air_quality_index,
    pm25,
    pm10,
    no2,
    o3,
    so2,
    co,
    noise_db,
);

impl Fields for Weather {
    const COLUMNS: &'static [Column] = &[
        Column::number("temperature"),
        Column::text("weather_condition"),
        Column::number("humidity"),
        Column::number("wind_speed"),
        Column::number("precipitation"),
        Column::number("visibility"),
        Column::number("air_quality_index"),
        Column::number("pm25"),
        Column::number("pm10"),
        Column::number("no2"),
        Column::number("o3"),
        Column::number("so2"),
        Column::number("co"),
        Column::number("noise_db"),
    ];

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut weather = Weather::default();
        while let Some(name) = reader.next_field()? {
            match name.as_ref() {
                "temperature" => reader.reading(&mut weather.temperature)?,
                "weather_condition" | "weatherCondition" => {
                    reader.text(&mut weather.weather_condition)?
                }
                "humidity" => reader.reading(&mut weather.humidity)?,
                "wind_speed" | "windSpeed" => reader.wind(&mut weather.wind_speed)?,
                "precipitation" => reader.reading(&mut weather.precipitation)?,
                "visibility" => reader.reading(&mut weather.visibility)?,
                "airQualityIndex" | "air_quality_index" => {
                    reader.reading(&mut weather.air_quality_index)?
                }
                "pm25" => reader.reading(&mut weather.pm25)?,
                "pm10" => reader.reading(&mut weather.pm10)?,
                "no2" => reader.reading(&mut weather.no2)?,
                "o3" => reader.reading(&mut weather.o3)?,
                "so2" => reader.reading(&mut weather.so2)?,
                "co" => reader.reading(&mut weather.co)?,
                "noise_db" => reader.reading(&mut weather.noise_db)?,
                _ => reader.keep()?,
            }
        }
        weather.location = reader.location()?;
        Ok(weather)
    }

    fn write(&self, json: &mut ObjectWriter) {
        json.location("location", self.location)
            .optional_number("temperature", self.temperature)
            .optional_text("weather_condition", self.weather_condition.as_deref())
            .optional_number("humidity", self.humidity)
            .optional_number("wind_speed", self.wind_speed)
            .optional_number("precipitation", self.precipitation)
            .optional_number("visibility", self.visibility)
            .optional_number("airQualityIndex", self.air_quality_index)
            .optional_number("pm25", self.pm25)
            .optional_number("pm10", self.pm10)
            .optional_number("no2", self.no2)
            .optional_number("o3", self.o3)
            .optional_number("so2", self.so2)
            .optional_number("co", self.co)
            .optional_number("noise_db", self.noise_db);
    }

    fn append(&self, row: &mut Row<'_>) {
        row.number(self.temperature);
        row.text(self.weather_condition.as_deref());
        row.number(self.humidity);
        row.number(self.wind_speed);
        row.number(self.precipitation);
        row.number(self.visibility);
        row.number(self.air_quality_index);
        row.number(self.pm25);
        row.number(self.pm10);
        row.number(self.no2);
        row.number(self.o3);
        row.number(self.so2);
        row.number(self.co);
        row.number(self.noise_db);
    }

    fn location(&self) -> Option<Location> {
        Some(self.location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_that_cannot_be_are_left_out_of_the_figures() {
        let sent = Weather {
            temperature: Some(12.0),
            humidity: Some(101.0),
            air_quality_index: Some(-1.0),
            pm25: Some(8.0),
            weather_condition: Some("Rain".into()),
            ..Weather::default()
        };
        let plausible = sent.plausible();
        assert_eq!(
            (plausible.humidity, plausible.air_quality_index),
            (None, None)
        );
        assert_eq!(
            (plausible.temperature, plausible.pm25),
            (Some(12.0), Some(8.0))
        );
        assert_eq!(plausible.weather_condition.as_deref(), Some("Rain"));
        let edges = Weather {
            humidity: Some(100.0),
            air_quality_index: Some(500.0),
            precipitation: Some(0.0),
            ..Weather::default()
        };
        assert_eq!(edges.plausible(), edges);
    }
}
