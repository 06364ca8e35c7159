//! The text of an alert.

use crate::problem::Invalid;

/// What may stand between braces.
const PLACEHOLDERS: [&str; 4] = ["value", "threshold", "subject", "name"];

/// A checked template: text with `{value}`, `{threshold}`, `{subject}`, `{name}`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(Box<str>),
    Placeholder(&'static str),
}

/// What a template is filled with.
pub(crate) struct Filling<'a> {
    pub value: Option<f64>,
    pub threshold: Option<f64>,
    pub subject: &'a str,
    pub name: &'a str,
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = |got: &str| {
            let expected = "text with {value}, {threshold}, {subject} and {name} only";
            Err(Invalid::text("message", got, expected))
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(open);
            let Some((name, tail)) = after[1..]
                .split_once('}')
                .filter(|_| after.starts_with('{'))
            else {
                return refuse(text);
            };
            let Some(known) = PLACEHOLDERS.iter().find(|known| **known == name) else {
                return refuse(&format!("{{{name}}}"));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(Part::Placeholder(known));
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts))
    }

    /// The text for one alert. Numbers have at most two decimals.
    pub fn fill(&self, filling: &Filling<'_>) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Placeholder("value") => text.push_str(&number(filling.value)),
                Part::Placeholder("threshold") => text.push_str(&number(filling.threshold)),
                Part::Placeholder("subject") => text.push_str(filling.subject),
                Part::Placeholder(_) => text.push_str(filling.name),
            }
        }
        text
    }
}

fn number(value: Option<f64>) -> String {
    let Some(value) = value else {
        return "?".to_owned();
    };
    let rounded = (value * 100.0).round() / 100.0;
    // Minus zero is zero to people.
    (rounded + 0.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let template = Template::parse("{name}: {subject} at {value} over {threshold}!").unwrap();
        let filling = Filling {
            value: Some(81.23456),
            threshold: Some(50.0),
            subject: "bus-1",
            name: "Fast",
        };
        assert_eq!(template.fill(&filling), "Fast: bus-1 at 81.23 over 50!");
        let plain = Template::parse("nothing to fill").unwrap();
        assert_eq!(plain.fill(&filling), "nothing to fill");
    }

    #[test]
    fn other_braces_are_refused() {
        for text in ["{speed}", "{", "}", "{value", "a } b {value}", "{{value}}"] {
            let error = Template::parse(text).expect_err(text).to_string();
            assert!(error.starts_with("field \"message\": got "), "{error}");
        }
    }
}
