//! What must hold of any bytes that the decoder is given. The same entry serves
//! the property test beside it and the fuzzer in `fuzz/`.

use events::columns::{ColumnBuilder, Origin};
use events::{DecodeError, Stream, decode};

/// Noon of 15 November 2023.
pub const APPENDED_AT_US: i64 = 1_700_049_600_000_000;

/// The first byte chooses the stream, the others are a record's value. Panics
/// where a promise is broken: a refusal says what was expected and stays short;
/// an event writes itself as JSON that is read back as the same event, again and
/// again, and is one row of its stream's table.
pub fn check(data: &[u8]) {
    let Some((&choice, value)) = data.split_first() else {
        return;
    };
    let stream = Stream::ALL[usize::from(choice) % Stream::ALL.len()];
    let event = match decode(stream, value, APPENDED_AT_US) {
        Ok(event) => event,
        Err(error) => {
            assert!(!error.expected.is_empty(), "{error:?}");
            assert!(
                error.field.chars().count() <= DecodeError::VALUE_CHARS_MAX,
                "{error:?}"
            );
            assert!(
                error.value.chars().count() <= DecodeError::VALUE_CHARS_MAX,
                "{error:?}"
            );
            return;
        }
    };
    assert_eq!(event.stream(), stream);
    let json = event.to_json();
    let shown = String::from_utf8_lossy(&json);
    match decode(stream, &json, APPENDED_AT_US) {
        Ok(again) => {
            assert_eq!(again, event, "{shown}");
            assert_eq!(again.to_json(), json, "{shown}");
        }
        Err(error) => panic!("{error} in {shown}"),
    }
    let mut rows = ColumnBuilder::new(stream);
    let origin = Origin {
        partition: 0,
        offset: 0,
        appended_at_us: APPENDED_AT_US,
    };
    rows.push(&event, &origin);
    assert_eq!(rows.finish().num_rows(), 1);
}
