//! Where a hot value is, read once per change.

use events::Location;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
struct Place {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

/// The value's `latitude` and `longitude`, where it has both.
///
/// # Errors
/// When `value` is not one JSON value in UTF-8, so that it would break any
/// answer that it became part of.
pub(super) fn of(value: &[u8]) -> Result<Option<Location>, NotJson> {
    let value = std::str::from_utf8(value)?;
    match serde_json::from_str::<Place>(value) {
        Ok(Place {
            latitude: Some(latitude),
            longitude: Some(longitude),
        }) => Ok(Some(Location {
            latitude,
            longitude,
        })),
        Ok(_) => Ok(None),
        // Perhaps only the coordinates are of an unexpected type.
        Err(_) => {
            serde_json::from_str::<IgnoredAny>(value)?;
            Ok(None)
        }
    }
}

/// Why a value cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotJson {
    #[error("not UTF-8: {0}")]
    Text(#[from] std::str::Utf8Error),
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn place_is_optional_but_json_is_not() {
        assert_eq!(
            of(br#"{"latitude":1.5,"longitude":2,"x":[1]}"#)
                .unwrap()
                .map(|place| place.latitude),
            Some(1.5)
        );
        assert_eq!(of(br#"{"latitude":null,"longitude":2}"#).unwrap(), None);
        assert_eq!(of(br#"{"latitude":"north"}"#).unwrap(), None);
        assert!(of(b"{\"latitude\":1").is_err());
        assert!(of(b"{} {}").is_err());
        assert!(of(b"{\"name\":\"\xff\"}").is_err());
    }
}
