//! A fence as people write it.

use events::document::Misfit;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Invalid;
use crate::schedule::Schedule;
use crate::shape::Shape;

/// The compacted topic of the log in which fences are: key the id, value the
/// document.
pub const TOPIC: &str = "citypulse.fences";
/// Fences that one platform holds at most.
pub const FENCES_MAX: usize = 100_000;
/// Characters of an id, a vehicle type or an author.
const TEXT_MAX: usize = 128;
const NAME_MAX: usize = 200;
const VEHICLE_TYPES_MAX: usize = 64;
/// Bytes of `properties` as JSON.
const PROPERTIES_BYTES_MAX: usize = 8 << 10;
/// A week.
const DWELL_S_MAX: u32 = 7 * 86_400;

/// One fence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    /// Letters, digits, `.`, `_`, `-` and `:`; given by the server where empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// For people.
    pub name: String,
    /// Where it is.
    pub shape: Shape,
    /// Only vehicles of these types; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vehicle_types: Vec<String>,
    /// Only at these times of the week; none: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Seconds inside after which a vehicle dwells; none: dwelling is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dwell_s: Option<u32>,
    /// Whether it is watched.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Anything that people want to keep with it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub properties: Map<String, Value>,
    /// Who wrote it last, as they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When it was written, RFC 3339; set by the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

fn yes() -> bool {
    true
}

impl Fence {
    /// Reads and checks a document; an empty id is left for the caller to fill.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Invalid> {
        let document = read_json(bytes)?;
        if !document.is_object() {
            return Err(Invalid::new("body", document, "one JSON object"));
        }
        let fence: Self = serde_path_to_error::deserialize(&document)
            .map_err(|error| explain(&document, &error))?;
        fence.check()?;
        Ok(fence)
    }

    /// Reads a record of [`TOPIC`].
    pub fn from_record(key: &str, value: &[u8]) -> Result<Self, String> {
        let fence = Self::from_json(value).map_err(|invalid| invalid.to_string())?;
        match fence.id == key {
            true => Ok(fence),
            false => Err(format!("the document's id is {:?}", fence.id)),
        }
    }

    /// The document as it is stored.
    pub fn to_json(&self) -> Vec<u8> {
        // Only maps with keys that are not text fail, and there are none.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether every field is one that can be used.
    pub fn check(&self) -> Result<(), Invalid> {
        if !self.id.is_empty() {
            check_id(&self.id)?;
        }
        check_text("name", &self.name, NAME_MAX)?;
        self.shape.check().map_err(|error| error.within("shape"))?;
        if self.vehicle_types.len() > VEHICLE_TYPES_MAX {
            let expected = format!("at most {VEHICLE_TYPES_MAX}");
            return Err(Invalid::new(
                "vehicle_types",
                format!("{} of them", self.vehicle_types.len()),
                expected,
            ));
        }
        for (index, text) in self.vehicle_types.iter().enumerate() {
            check_text(&format!("vehicle_types[{index}]"), text, TEXT_MAX)?;
        }
        if let Some(schedule) = &self.schedule {
            schedule.check().map_err(|error| error.within("schedule"))?;
        }
        if let Some(dwell_s) = self.dwell_s
            && !(1..=DWELL_S_MAX).contains(&dwell_s)
        {
            let expected = format!("1 to {DWELL_S_MAX} seconds");
            return Err(Invalid::new("dwell_s", dwell_s, expected));
        }
        if let Some(author) = &self.author {
            check_text("author", author, TEXT_MAX)?;
        }
        let properties = serde_json::to_string(&self.properties).map_or(0, |text| text.len());
        if properties > PROPERTIES_BYTES_MAX {
            return Err(Invalid::new(
                "properties",
                format!("{properties} bytes of JSON"),
                format!("at most {PROPERTIES_BYTES_MAX}"),
            ));
        }
        Ok(())
    }
}

/// Whether `id` can name a fence.
pub fn check_id(id: &str) -> Result<(), Invalid> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    if (1..=TEXT_MAX).contains(&id.len()) && id.bytes().all(allowed) {
        return Ok(());
    }
    let expected = format!("1 to {TEXT_MAX} letters, digits, '.', '_', '-' and ':'");
    Err(Invalid::new("id", format!("{id:?}"), expected))
}

fn check_text(field: &str, text: &str, characters_max: usize) -> Result<(), Invalid> {
    let is_long = text.chars().count() > characters_max;
    if !text.trim().is_empty() && !is_long && !text.chars().any(char::is_control) {
        return Ok(());
    }
    let expected = format!("1 to {characters_max} characters, none of them a control character");
    Err(Invalid::new(field, format!("{text:?}"), expected))
}

/// serde's words about `document`, at the field they are about.
pub(crate) fn explain(
    document: &Value,
    error: &serde_path_to_error::Error<serde_json::Error>,
) -> Invalid {
    let (path, said) = (error.path().to_string(), error.inner().to_string());
    // Where the shape's own reading found it, it has said which field it is.
    if let Some(told) = said.strip_prefix(crate::shape::MARK) {
        let (inner, problem) = told.split_once(": ").unwrap_or(("", told));
        return Invalid {
            field: match inner {
                "" => path,
                inner => format!("{path}.{inner}"),
            },
            problem: problem.to_owned(),
        };
    }
    Misfit::of(document, &path, &said).into()
}

/// Reads JSON of any kind.
pub(crate) fn read_json(bytes: &[u8]) -> Result<Value, Invalid> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read: Value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| Misfit::of_text(bytes, &error.path().to_string(), error.inner()))?;
    json.end()
        .map_err(|error| Misfit::of_text(bytes, "", &error))?;
    Ok(read)
}
