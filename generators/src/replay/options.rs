//! What is replayed, and how.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use events::{Stream, TopicNames};

pub use super::format::TimeFormat;

/// Where rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input; cannot be resumed.
    Stdin,
}

/// The layout of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Told from the content.
    #[default]
    Auto,
    /// One JSON object a line, in the wire form.
    Ndjson,
    /// Comma-separated with a header.
    Csv,
    /// San Francisco taxis: `cab,t,lat,lon,occ`, or a raw `new_<cab>.txt`.
    Cabspotting,
    /// Austin buses.
    Capmetro,
    /// A GTFS-Realtime protobuf message with vehicle positions.
    GtfsRt,
    /// San Francisco fire department calls.
    SfFire,
}

impl Format {
    /// What all rows of a known layout are; `None` where the file or the caller says.
    pub const fn stream(self) -> Option<Stream> {
        match self {
            Format::Cabspotting | Format::Capmetro | Format::GtfsRt => Some(Stream::GpsData),
            Format::SfFire => Some(Stream::EmergencyIncidentData),
            Format::Auto | Format::Ndjson | Format::Csv => None,
        }
    }

    /// As they are written on the command line.
    pub(crate) const LISTED: &str = "ndjson, csv, cabspotting, capmetro, gtfs-rt or sf-fire";

    const NAMES: [(&'static str, Format); 7] = [
        ("auto", Format::Auto),
        ("ndjson", Format::Ndjson),
        ("csv", Format::Csv),
        ("cabspotting", Format::Cabspotting),
        ("capmetro", Format::Capmetro),
        ("gtfs-rt", Format::GtfsRt),
        ("sf-fire", Format::SfFire),
    ];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::NAMES.iter().find(|(_, format)| format == self);
        f.write_str(found.map_or("auto", |(name, _)| name))
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found
            .map(|(_, format)| *format)
            .ok_or_else(|| format!("format {text:?}: expected auto, {}", Self::LISTED))
    }
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Speed {
    /// So many times as fast as recorded.
    Times(f64),
    /// As fast as the receiver takes it.
    #[default]
    Max,
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}x"),
            Self::Max => f.write_str("max"),
        }
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.strip_suffix('x').unwrap_or(text).parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(format!(
                "speed {text:?}: expected max or a multiple above 0, such as 1x or 60x"
            )),
        }
    }
}

/// Reads `field=column`.
pub fn parse_mapping(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, column)) if !field.is_empty() && !column.is_empty() => {
            Ok((field.to_owned(), column.to_owned()))
        }
        _ => Err(format!(
            "mapping {text:?}: expected field=column, such as device_id=bus_number"
        )),
    }
}

/// One recording and how to replay it.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// The recording.
    pub input: Input,
    /// Its layout.
    pub format: Format,
    /// Which stream the rows are for, where the format does not say.
    pub stream: Option<Stream>,
    /// (field, column) pairs for tables, beside those that the header's names tell. The
    /// timestamp may be of several columns, separated by commas.
    pub map: Vec<(String, String)>,
    /// (field, value) pairs for tables: what every row has.
    pub set: Vec<(String, String)>,
    /// How tables write times, where their form is none of those that are known.
    pub time_format: Option<TimeFormat>,
    /// How fast.
    pub speed: Speed,
    /// Shift event times so that the recording starts now.
    pub rebase_to_now: bool,
    /// The folder that remembers how far an interrupted replay got; without it,
    /// none is resumed.
    pub state_dir: Option<PathBuf>,
    /// Begin anew even where an interrupted replay could go on.
    pub restart: bool,
    /// The topics' names, for rows that name theirs.
    pub topics: TopicNames,
    /// A receiver that has not answered once after this long is given up; one
    /// that has is waited for without end.
    pub give_up_after: Duration,
}

impl ReplayOptions {
    /// Everything by default, from one file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            input: Input::File(path.into()),
            format: Format::Auto,
            stream: None,
            map: Vec::new(),
            set: Vec::new(),
            time_format: None,
            speed: Speed::Max,
            rebase_to_now: false,
            state_dir: None,
            restart: false,
            topics: TopicNames::default(),
            give_up_after: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_wrong_ones_explained() {
        assert_eq!("60x".parse(), Ok(Speed::Times(60.0)));
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert!("0x".parse::<Speed>().is_err());
        assert_eq!("sf-fire".parse(), Ok(Format::SfFire));
        assert!("xml".parse::<Format>().unwrap_err().contains("gtfs-rt"));
        assert_eq!(
            parse_mapping("device_id=bus"),
            Ok(("device_id".into(), "bus".into()))
        );
        assert!(parse_mapping("device_id").is_err());
    }
}
