//! Query parameters, read so that a wrong one is named with its value and what
//! was expected.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use events::time::parse_rfc3339_us;
use url::form_urlencoded;

use crate::problem::Problem;
use crate::ws::filter::BoundingBox;

/// The parameters of one request. Take the known ones, then [`Params::finish`].
pub(crate) struct Params {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Params {
    pub fn new(query: Option<&str>) -> Self {
        let given = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        Self {
            given,
            known: Vec::new(),
        }
    }

    /// A whole number in `range`, or `default` where it is not given.
    pub fn number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<usize>,
        default: usize,
    ) -> Result<usize, Problem> {
        let Some(text) = self.take(name)? else {
            return Ok(default);
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            Problem::unprocessable(&describe(name), &quote_unless_number(&text), &expected)
        })
    }

    /// `west,south,east,north` in degrees.
    pub fn bbox(&mut self, name: &'static str) -> Result<Option<BoundingBox>, Problem> {
        let Some(text) = self.take(name)? else {
            return Ok(None);
        };
        let corners = text.split(',').map(|corner| corner.trim().parse().ok());
        let bbox = corners
            .collect::<Option<Vec<f64>>>()
            .and_then(|corners| BoundingBox::new(&corners));
        bbox.map(Some).ok_or_else(|| {
            let got = format!("{:?}", crate::problem::shorten(&text));
            Problem::unprocessable(&describe(name), &got, BoundingBox::EXPECTED)
        })
    }

    /// A text of 1 to `chars_max` characters, if it is given.
    pub fn text(
        &mut self,
        name: &'static str,
        chars_max: usize,
    ) -> Result<Option<String>, Problem> {
        let Some(text) = self.take(name)? else {
            return Ok(None);
        };
        if text.is_empty() || text.chars().count() > chars_max {
            let expected = format!("a text of 1 to {chars_max} characters");
            return Err(wrong(name, &text, &expected));
        }
        Ok(Some(text))
    }

    /// What `T` reads from a text, if it is given; its error says what it expects.
    pub fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name)? else {
            return Ok(None);
        };
        let parsed = text.parse::<T>();
        parsed
            .map(Some)
            .map_err(|expected| wrong(name, &text, &expected.to_string()))
    }

    /// An instant, microseconds since the epoch, if it is given.
    pub fn instant(&mut self, name: &'static str) -> Result<Option<i64>, Problem> {
        const EXPECTED: &str = "an RFC 3339 timestamp such as 2026-05-01T08:30:00Z";
        let Some(text) = self.take(name)? else {
            return Ok(None);
        };
        let instant = parse_rfc3339_us(&text);
        instant
            .map(Some)
            .ok_or_else(|| wrong(name, &text, EXPECTED))
    }

    /// One of `known`, whatever its case.
    pub fn one_of(
        &mut self,
        name: &'static str,
        known: &[&'static str],
    ) -> Result<Option<&'static str>, Problem> {
        let Some(text) = self.take(name)? else {
            return Ok(None);
        };
        let found = known.iter().find(|known| known.eq_ignore_ascii_case(&text));
        let found = found.ok_or_else(|| {
            let expected = format!("one of {}", known.join(", "));
            wrong(name, &text, &expected)
        })?;
        Ok(Some(found))
    }

    /// Refuses what was given but not asked for.
    pub fn finish(self) -> Result<(), Problem> {
        let Some((name, value)) = self.given.first() else {
            return Ok(());
        };
        let expected = match self.known.as_slice() {
            [] => "no query parameter on this path".to_owned(),
            known => format!("only {}", known.join(", ")),
        };
        Err(Problem::unprocessable(
            &describe(name),
            &quote_unless_number(value),
            &expected,
        ))
    }

    fn take(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        self.known.push(name);
        let mut values = self
            .given
            .extract_if(.., |(given, _)| given == name)
            .map(|(_, value)| value);
        let first = values.next();
        match values.next() {
            Some(second) => Err(Problem::unprocessable(
                &describe(name),
                &format!("a second value {second:?}"),
                "it once",
            )),
            None => Ok(first),
        }
    }
}

/// The one id in a path.
pub(crate) struct PathId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = parts.uri.path().to_owned();
        let id = Path::<String>::from_request_parts(parts, state).await;
        let id =
            id.map_err(|_| Problem::unprocessable("path", &path, "percent-encoded UTF-8 text"))?;
        Ok(Self(id.0))
    }
}

/// A parameter that is given, but is not what it should be.
pub(crate) fn wrong(name: &str, got: &str, expected: &str) -> Problem {
    Problem::unprocessable(&describe(name), &quote_unless_number(got), expected)
}

fn describe(name: &str) -> String {
    format!("query parameter {:?}", crate::problem::shorten(name))
}

fn quote_unless_number(text: &str) -> String {
    if text.parse::<f64>().is_ok() {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(problem: Problem) -> String {
        serde_json::to_value(problem).unwrap()["detail"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn limit(query: &str) -> Result<usize, String> {
        let mut params = Params::new(Some(query));
        let limit = params.number("limit", 1..=10_000, 1000).map_err(detail)?;
        params.finish().map_err(detail)?;
        Ok(limit)
    }

    #[test]
    fn boxes_are_four_numbers_on_earth() {
        let bbox = |query: &str| Params::new(Some(query)).bbox("bbox").map_err(detail);
        let corners = bbox("bbox=11.9,57.6,%2012.1,57.8").map(|found| found.map(|b| b.corners()));
        assert_eq!(corners, Ok(Some([11.9, 57.6, 12.1, 57.8])));
        assert_eq!(bbox(""), Ok(None));
        for wrong in [
            "11,57,12",
            "11,58,12,57",
            "11,57,181,58",
            "a,b,c,d",
            "NaN,1,2,3",
            "",
        ] {
            let said = bbox(&format!("bbox={wrong}")).expect_err(wrong);
            assert!(said.contains("west, south, east, north"), "{said}");
        }
    }

    #[test]
    fn wrong_parameters_are_named_with_value_and_expectation() {
        assert_eq!(limit(""), Ok(1000));
        assert_eq!(limit("limit=7"), Ok(7));
        let expected = "expected a whole number from 1 to 10000";
        assert_eq!(
            limit("limit=0"),
            Err(format!("query parameter \"limit\": got 0, {expected}"))
        );
        assert_eq!(
            limit("limit=abc"),
            Err(format!(
                "query parameter \"limit\": got \"abc\", {expected}"
            ))
        );
        assert_eq!(
            limit("limit="),
            Err(format!("query parameter \"limit\": got \"\", {expected}"))
        );
        assert_eq!(
            limit("limti=5"),
            Err("query parameter \"limti\": got 5, expected only limit".to_owned())
        );
        assert!(limit("limit=1&limit=2").is_err());
    }
}
