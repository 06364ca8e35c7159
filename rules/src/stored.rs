//! A rule as the log keeps it: the document, who wrote it and when.

use events::time::{format_rfc3339, parse_rfc3339_us};
use serde_json::{Value, json};

use crate::document::RuleDocument;
use crate::problem::Invalid;
use crate::rule::Rule;

/// The compacted topic that rules are kept in; a record's key is the rule's id.
pub const TOPIC: &str = "citypulse.rules";

/// One rule that people wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRule {
    /// What they wrote.
    pub rule: Rule,
    /// Who wrote it last.
    pub author: String,
    /// When, microseconds since the epoch.
    pub updated_at_us: i64,
}

impl StoredRule {
    /// `{"rule":{...},"author":"...","updated_at":"..."}`
    pub fn to_json(&self) -> Vec<u8> {
        let value = json!({
            "rule": self.rule.document(),
            "author": self.author,
            "updated_at": format_rfc3339(self.updated_at_us),
        });
        value.to_string().into_bytes()
    }

    /// Reads what [`StoredRule::to_json`] wrote.
    ///
    /// # Errors
    /// What is wrong with it, as for any document.
    pub fn from_json(json: &[u8]) -> Result<Self, Invalid> {
        let value: Value = serde_json::from_slice(json)
            .map_err(|error| Invalid::new("rule", error, "one JSON object"))?;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let document = value.get("rule").unwrap_or(&Value::Null);
        Ok(Self {
            rule: Rule::stored(RuleDocument::from_value(document)?)?,
            author: text("author").unwrap_or_default().to_owned(),
            updated_at_us: text("updated_at")
                .and_then(parse_rfc3339_us)
                .unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::built_in::built_in_rules;

    #[test]
    fn what_was_written_reads_back() {
        for rule in built_in_rules() {
            let stored = StoredRule {
                rule,
                author: "Åsa".to_owned(),
                updated_at_us: 1_767_225_600_000_000,
            };
            assert_eq!(StoredRule::from_json(&stored.to_json()), Ok(stored));
        }
        assert!(StoredRule::from_json(b"{}").is_err());
        assert!(StoredRule::from_json(b"[").is_err());
    }
    #[test]
    fn a_rule_with_a_filter_that_earlier_versions_took_stays_in_force() {
        let rule = json!({"id": "r", "name": "R", "source": {"stream": "gps_data", "field": "speed"},
            "comparison": ">", "threshold": 1, "severity": "Low", "filters": {"fence": ["yard"]}});
        let read = StoredRule::from_json(json!({"rule": rule}).to_string().as_bytes());
        let stored = read.expect("as it was written");
        assert_eq!(stored.rule.document().filters.fence, ["yard"]);
        let off = stored.rule.switched(false);
        assert!(!off.document().enabled);
    }
}
