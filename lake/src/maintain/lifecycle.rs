//! Rules for S3 by which old dates move to cheaper storage.

use serde_json::{Value, json};

use crate::Table;

/// After so many days a data file is read seldom,
const INFREQUENT_AFTER_DAYS: u32 = 30;
/// and after so many hardly ever. Both classes still answer at once, so that a query
/// over years works as before.
const ARCHIVE_AFTER_DAYS: u32 = 180;
/// Uploads that were interrupted.
const ABORT_UPLOADS_AFTER_DAYS: u32 = 7;

/// A lifecycle configuration as `aws s3api put-bucket-lifecycle-configuration` takes it,
/// for a lake below `prefix` in its bucket (empty, or without a slash at its end).
///
/// Only data files are named, by the prefix that all of them share: the tables' logs
/// stay where they are. Nothing expires here, because a table whose files vanish is
/// broken: removing is retention's and vacuum's work.
pub fn lifecycle_rules(prefix: &str) -> Value {
    let root = match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    let mut rules: Vec<Value> = Table::all()
        .map(|table| {
            json!({
                "ID": format!("citypulse-{table}"),
                "Status": "Enabled",
                "Filter": {"Prefix": format!("{root}{table}/{}=", crate::snapshot::DATE)},
                "Transitions": [
                    {"Days": INFREQUENT_AFTER_DAYS, "StorageClass": "STANDARD_IA"},
                    {"Days": ARCHIVE_AFTER_DAYS, "StorageClass": "GLACIER_IR"},
                ],
            })
        })
        .collect();
    rules.push(json!({
        "ID": "citypulse-interrupted-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": root},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABORT_UPLOADS_AFTER_DAYS},
    }));
    json!({"Rules": rules})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tables_data_files_and_nothing_else_move() {
        let rules = lifecycle_rules("city/lake/");
        let rules = rules["Rules"].as_array().expect("rules");
        assert_eq!(rules.len(), Table::all().count() + 1);
        for (rule, table) in rules.iter().zip(Table::all()) {
            let prefix = rule["Filter"]["Prefix"].as_str().expect("a prefix");
            assert_eq!(prefix, format!("city/lake/{table}/date="));
            assert!(
                rule.get("Expiration").is_none(),
                "retention removes, not S3"
            );
        }
        assert_eq!(
            lifecycle_rules("")["Rules"][0]["Filter"]["Prefix"],
            "vehicle_data/date="
        );
    }
}
