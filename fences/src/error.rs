//! What is wrong with a document.

use std::fmt::Display;

use events::document::Misfit;

/// A document that cannot be used: which field, what it holds, what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field's path, like `shape.coordinates[0][3]`.
    pub field: String,
    /// What it holds and what was expected.
    pub problem: String,
}

impl Invalid {
    /// `field` holds `got` instead of `expected`.
    pub fn new(field: impl Into<String>, got: impl Display, expected: impl Display) -> Self {
        Self {
            field: field.into(),
            problem: format!("got {}, expected {expected}", shorten(&got.to_string())),
        }
    }

    /// The same within a larger document.
    pub fn within(self, parent: &str) -> Self {
        Self {
            field: format!("{parent}.{}", self.field),
            ..self
        }
    }
}

impl From<Misfit> for Invalid {
    fn from(misfit: Misfit) -> Self {
        let field = match misfit.field.as_str() {
            "" => "body",
            field => field,
        };
        Self::new(field, misfit.got, misfit.expected)
    }
}

fn shorten(text: &str) -> String {
    const CHARACTERS_MAX: usize = 100;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
