//! `weather_data`: weather and air quality stations.

use compact_str::CompactString;

use crate::Location;
use crate::columns::{Column, Row};
use crate::decode::{DecodeError, Reader};
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
                "temperature" => reader.number(&mut weather.temperature)?,
                "weather_condition" | "weatherCondition" => {
                    reader.text(&mut weather.weather_condition)?
                }
                "humidity" => reader.number(&mut weather.humidity)?,
                "wind_speed" | "windSpeed" => reader.speed(&mut weather.wind_speed)?,
                "precipitation" => reader.number(&mut weather.precipitation)?,
                "visibility" => reader.number(&mut weather.visibility)?,
                "airQualityIndex" | "air_quality_index" => {
                    reader.number(&mut weather.air_quality_index)?
                }
                "pm25" => reader.number(&mut weather.pm25)?,
                "pm10" => reader.number(&mut weather.pm10)?,
                "no2" => reader.number(&mut weather.no2)?,
                "o3" => reader.number(&mut weather.o3)?,
                "so2" => reader.number(&mut weather.so2)?,
                "co" => reader.number(&mut weather.co)?,
                "noise_db" => reader.number(&mut weather.noise_db)?,
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
