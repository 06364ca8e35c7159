//! Tells a layout from its first bytes.

use std::path::Path;

use super::super::{Format, ReplayError};
use super::csv_table::delimiter;

pub(crate) fn detect(head: &[u8], path: &Path) -> Result<Format, ReplayError> {
    let first_line = head
        .split(|byte| *byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty())
        .unwrap_or_default();
    let is_text = std::str::from_utf8(first_line).is_ok();
    let text = String::from_utf8_lossy(first_line.trim_ascii()).into_owned();
    let text = text.trim_start_matches('\u{feff}').to_owned();
    let between = char::from(delimiter(text.as_bytes()));
    let columns: Vec<&str> = text
        .split(between)
        .map(|column| column.trim().trim_matches('"'))
        .collect();
    let has = |names: &[&str]| between == ',' && names.iter().all(|name| columns.contains(name));
    // A FeedMessage begins with its header (field 1), which begins with its
    // version (field 1), a text such as 2.0.
    let is_gtfs = matches!(head, [0x0a, _, 0x0a, 0x03, major, b'.', ..] if major.is_ascii_digit());
    let is_raw_cab = {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        fields.len() == 4 && fields.iter().all(|field| field.parse::<f64>().is_ok())
    };
    match () {
        () if is_gtfs => Ok(Format::GtfsRt),
        () if text.starts_with('{') => Ok(Format::Ndjson),
        () if text.starts_with('[') => Err(ReplayError::Format(format!(
            "{} begins as a JSON array; expected NDJSON, one object a line (jq -c '.[]' makes it)",
            path.display()
        ))),
        () if has(&["cab", "t", "lat", "lon", "occ"]) || is_raw_cab => Ok(Format::Cabspotting),
        () if has(&["Call Number", "Unit ID", "Received DtTm"]) => Ok(Format::SfFire),
        () if has(&[
            "vehicle_id",
            "timestamp",
            "speed",
            "route_id",
            "trip_id",
            "trip_headsign",
        ]) =>
        {
            Ok(Format::Capmetro)
        }
        () if is_text && columns.len() > 1 => Ok(Format::Csv),
        () => {
            let start: String = text.chars().take(60).collect();
            Err(ReplayError::Format(format!(
                "cannot tell the format of {} from its start {start:?}; say with --format whether it is {}",
                path.display(),
                Format::LISTED
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layout_is_told_by_its_first_line() {
        let of = |head: &str| detect(head.as_bytes(), Path::new("file")).ok();
        assert_eq!(
            of("cab,t,lat,lon,occ\na,1,2,3,0"),
            Some(Format::Cabspotting)
        );
        assert_eq!(
            of("37.75 -122.39 0 1211033530\n"),
            Some(Format::Cabspotting)
        );
        assert_eq!(of("{\"id\":1}\n"), Some(Format::Ndjson));
        assert_eq!(
            of("Call Number,Unit ID,Received DtTm\n"),
            Some(Format::SfFire)
        );
        assert_eq!(
            of("vehicle_id,timestamp,speed,route_id,trip_id,latitude,longitude,trip_headsign"),
            Some(Format::Capmetro)
        );
        assert_eq!(of("bus,when,lat,lon\n"), Some(Format::Csv));
        assert_eq!(of("bus;when, or not;lat\n"), Some(Format::Csv));
        assert_eq!(of("bus\twhen\tlat\n"), Some(Format::Csv));
        assert_eq!(of("plain words"), None);
        assert_eq!(of("[\n{}]"), None);
        assert_eq!(
            detect(b"\x0a\x0d\x0a\x032.0\x10\x00", Path::new("file")).ok(),
            Some(Format::GtfsRt)
        );
        assert!(
            detect(b"hello", Path::new("file"))
                .unwrap_err()
                .to_string()
                .contains("--format")
        );
    }
}
