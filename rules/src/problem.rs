//! What is wrong with a rule document.

/// The first thing that is wrong: which field, what it says, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field:?}: got {got}, expected {expected}")]
pub struct Invalid {
    /// The field's path, like `source.field`; `rule` for the document itself.
    pub field: String,
    /// Its value as JSON; `nothing` where it is missing.
    pub got: String,
    /// What would have been taken.
    pub expected: String,
}

/// A value is shown back with at most this many characters.
const SHOWN_CHARACTERS_MAX: usize = 120;

impl Invalid {
    pub(crate) fn new(field: &str, got: impl ToString, expected: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            got: shorten(&got.to_string()),
            expected: expected.into(),
        }
    }

    /// For a value that is a text.
    pub(crate) fn text(field: &str, got: &str, expected: impl Into<String>) -> Self {
        Self::new(field, format!("{got:?}"), expected)
    }

    /// For a value that is missing.
    pub(crate) fn missing(field: &str, expected: impl Into<String>) -> Self {
        Self::new(field, "nothing", expected)
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
