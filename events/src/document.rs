//! What is wrong with a document that people write, in words that name the field,
//! its value and what was expected. Pure; what the document is makes no difference.

use serde_json::Value;

/// The first thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The field's path, like `source.field`; empty for the document itself.
    pub field: String,
    /// Its value as JSON; `nothing` where it is missing.
    pub got: String,
    /// What would have been taken.
    pub expected: String,
}

impl Misfit {
    /// What serde said of `document` when it had come to `path`, as
    /// `serde_path_to_error` writes paths.
    pub fn of(document: &Value, path: &str, said: &str) -> Self {
        let path = if path == "." { "" } else { path };
        let expected = said
            .split_once(", expected ")
            .map_or(said, |(_, expected)| expected);
        let named = |prefix: &str| {
            let rest = said.strip_prefix(prefix)?;
            rest.split_once('`').map(|(name, _)| name)
        };
        if let Some(name) = named("missing field `") {
            return Self {
                field: join(path, name),
                got: NOTHING.to_owned(),
                expected: "it to be given".to_owned(),
            };
        }
        if let Some(name) = named("unknown field `") {
            let field = match path.strip_suffix(name) {
                Some(parent) => format!("{parent}{name}"),
                None => join(path, name),
            };
            let known = expected.trim_start_matches("one of ");
            return Self {
                got: at(document, &field),
                field,
                expected: format!("only the fields {known}"),
            };
        }
        Self {
            field: path.to_owned(),
            got: at(document, path),
            expected: in_words(expected).to_owned(),
        }
    }

    /// What serde said of `text`, which is no JSON, when it had come to `path`.
    pub fn of_text(text: &[u8], path: &str, error: &serde_json::Error) -> Self {
        let got = match error.is_eof() {
            true => "the end of the text".to_owned(),
            false => word_at(text, error.line(), error.column()),
        };
        // NaN and what is too large are numbers to people, and none in JSON.
        let is_number = got.parse().is_ok_and(|number: f64| !number.is_finite());
        // Of a field that ends before its name does `?` is said.
        let path = path.trim_end_matches('?').trim_end_matches('.');
        Self {
            field: path.to_owned(),
            got,
            expected: match is_number {
                true => format!("a number from {:.1e} to {:.1e}", -LARGEST, LARGEST),
                false => format!("JSON ({error})"),
            },
        }
    }
}

const NOTHING: &str = "nothing";
/// What a double holds at most, rounded down.
const LARGEST: f64 = 1.7e308;

/// serde names types of numbers as the language does.
fn in_words(expected: &str) -> &str {
    match expected {
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, at least 0",
        other => other,
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// The value at a path like `filters.device[2]`, as JSON.
fn at(document: &Value, path: &str) -> String {
    let mut found = Some(document);
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        let step = step.trim_end_matches(']');
        found = found.and_then(|value| match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            value => value.get(step),
        });
    }
    found.map_or_else(|| NOTHING.to_owned(), Value::to_string)
}

/// What stands at a line and column, both from 1, as far as it is one word.
fn word_at(text: &[u8], line: usize, column: usize) -> String {
    let mut lines = text.split(|byte| *byte == b'\n');
    let line = lines.nth(line.saturating_sub(1)).unwrap_or_default();
    let at = column.saturating_sub(1).min(line.len());
    let ends = |byte: &u8| byte.is_ascii_whitespace() || b",:[]{}".contains(byte);
    let (before, after) = line.split_at(at);
    let start = before.iter().rposition(ends).map_or(0, |end| end + 1);
    let end = after
        .iter()
        .position(ends)
        .map_or(line.len(), |end| at + end);
    let word = match start < end {
        true => &line[start..end],
        // A sign between words.
        false => &line[at..(at + 1).min(line.len())],
    };
    String::from_utf8_lossy(word).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(document: &Value, path: &str, said: &str) -> (String, String, String) {
        let misfit = Misfit::of(document, path, said);
        (misfit.field, misfit.got, misfit.expected)
    }

    fn words(field: &str, got: &str, expected: &str) -> (String, String, String) {
        (field.to_owned(), got.to_owned(), expected.to_owned())
    }

    #[test]
    fn field_value_and_expectation_are_named() {
        let document = json!({"dwell_s": -1, "source": {"strem": "x"}, "list": ["a", 3]});
        assert_eq!(
            told(
                &document,
                "dwell_s",
                "invalid value: integer `-1`, expected u32"
            ),
            words("dwell_s", "-1", "a whole number, at least 0")
        );
        assert_eq!(
            told(&document, ".", "missing field `shape`"),
            words("shape", "nothing", "it to be given")
        );
        let unknown = "unknown field `strem`, expected one of `stream`, `field`";
        assert_eq!(
            told(&document, "source.strem", unknown),
            words("source.strem", "\"x\"", "only the fields `stream`, `field`")
        );
        assert_eq!(
            told(
                &document,
                "list[1]",
                "invalid type: integer `3`, expected a string"
            ),
            words("list[1]", "3", "a string")
        );
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_stands() {
        for (text, got) in [
            ("{\"a\":nope,\"b\":1}", "nope"),
            ("{\"a\":", "the end of the text"),
            ("", "the end of the text"),
            ("{\"a\":1,}", "}"),
        ] {
            let error = serde_json::from_str::<Value>(text).expect_err("refused");
            let misfit = Misfit::of_text(text.as_bytes(), "a", &error);
            assert_eq!((misfit.field.as_str(), misfit.got.as_str()), ("a", got));
            assert!(misfit.expected.starts_with("JSON ("), "{misfit:?}");
        }
        let error = serde_json::from_str::<Value>("{").expect_err("refused");
        for (path, field) in [(".", ""), ("?", ""), ("a.?", "a"), ("a.b", "a.b")] {
            assert_eq!(Misfit::of_text(b"{", path, &error).field, field);
        }
        for (text, got) in [
            ("{\"a\":\n [1, NaN]}", "NaN"),
            ("{\"a\":1e999}", "1e999"),
            ("{\"a\":-Infinity}", "-Infinity"),
            ("{\"a\":nan,\"b\":1}", "nan"),
        ] {
            let error = serde_json::from_str::<Value>(text).expect_err("refused");
            let misfit = Misfit::of_text(text.as_bytes(), "a", &error);
            assert_eq!(
                (misfit.got.as_str(), misfit.expected.as_str()),
                (got, "a number from -1.7e308 to 1.7e308")
            );
        }
    }
}
