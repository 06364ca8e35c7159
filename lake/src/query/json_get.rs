//! `json_get(text, name)`: a member of a JSON object, such as a field of one's own in
//! the column `extra`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::value::RawValue;

/// The member as text: a string without its quotes, anything else as JSON writes it.
/// NULL where the text is no JSON object or has no such member, or null there.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct JsonGet {
    signature: Signature,
}

impl Default for JsonGet {
    fn default() -> Self {
        Self {
            signature: Signature::string(2, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for JsonGet {
    fn name(&self) -> &str {
        "json_get"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = |at: usize| -> Result<StringArray> {
            let array: ArrayRef = args.args[at].to_array(args.number_rows)?;
            Ok(cast(&array, &DataType::Utf8)?.as_string::<i32>().clone())
        };
        let (objects, names) = (text(0)?, text(1)?);
        let mut members = StringBuilder::with_capacity(objects.len(), objects.len() * 8);
        for (object, name) in objects.iter().zip(&names) {
            let member = object.zip(name);
            members.append_option(member.and_then(|(object, name)| member_of(object, name)));
        }
        Ok(ColumnarValue::Array(Arc::new(members.finish())))
    }
}

fn member_of<'o>(object: &'o str, name: &str) -> Option<Cow<'o, str>> {
    // Most have no such member: that is seen without reading them.
    if !object.contains(name) && !object.contains('\\') {
        return None;
    }
    let members: HashMap<Cow<'_, str>, &'o RawValue> = serde_json::from_str(object).ok()?;
    let value = members.get(name)?.get();
    match value.as_bytes().first()? {
        b'n' => None,
        b'"' => serde_json::from_str::<String>(value).ok().map(Cow::Owned),
        _ => Some(Cow::Borrowed(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_text_and_what_is_not_there_is_null() {
        let object =
            r#"{"SO2": 4.5, "note": "a \"b\"", "none": null, "list": [1,2], "\u00e4": true}"#;
        let told = |name: &str| member_of(object, name).map(Cow::into_owned);
        assert_eq!(told("SO2").as_deref(), Some("4.5"));
        assert_eq!(told("note").as_deref(), Some("a \"b\""));
        assert_eq!(told("list").as_deref(), Some("[1,2]"));
        assert_eq!(told("ä").as_deref(), Some("true"));
        assert_eq!((told("none"), told("so2"), told("")), (None, None, None));
        assert_eq!(member_of("no JSON SO2", "SO2"), None);
        assert_eq!(member_of("[\"SO2\"]", "SO2"), None);
    }
}
