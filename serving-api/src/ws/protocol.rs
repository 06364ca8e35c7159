//! The messages of `/ws/realtime`, read and written.

use std::collections::BTreeSet;

use hot_store::Kind;
use serde_json::{Map, Value, json};

use super::filter::{BoundingBox, Filter};
use super::subscription::Difference;
use crate::json::{now, write_array, write_string};
use crate::problem::shorten;

/// Updates per second where a client does not say.
const HZ_DEFAULT: f64 = 2.0;
/// The most updates per second; who asks for more gets these.
const HZ_MAX: f64 = 20.0;
/// The longest wait between updates that may be asked for is 1 / this.
const HZ_MIN: f64 = 0.01;
const ID_BYTES_MAX: usize = 128;
const IDS_MAX: usize = 1_000;

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    Vehicles,
    Emergencies,
    Traffic,
    Weather,
    Alerts,
    City,
}

const CHANNELS: [(&str, Channel); 6] = [
    ("vehicles", Channel::Vehicles),
    ("emergencies", Channel::Emergencies),
    ("traffic", Channel::Traffic),
    ("weather", Channel::Weather),
    ("alerts", Channel::Alerts),
    ("city", Channel::City),
];

impl Channel {
    /// The hot values that it carries.
    pub fn kind(self) -> Kind {
        match self {
            Channel::Vehicles => Kind::Vehicle,
            Channel::Emergencies => Kind::Incident,
            Channel::Traffic => Kind::Road,
            Channel::Weather => Kind::Station,
            Channel::City => Kind::CitySummary,
            Channel::Alerts => Kind::Alert,
        }
    }

    fn name(self) -> &'static str {
        CHANNELS
            .iter()
            .find(|(_, channel)| *channel == self)
            .map_or("", |(name, _)| name)
    }
}

/// A message from a client.
#[derive(Debug, PartialEq)]
pub(crate) enum ClientMessage {
    Ping,
    Subscribe(Subscribe),
    Unsubscribe { id: String },
}

/// `{"type":"subscribe",...}`
#[derive(Debug, PartialEq)]
pub(crate) struct Subscribe {
    pub id: String,
    pub channel: Channel,
    pub filter: Filter,
    pub max_hz: f64,
    pub resume: Option<String>,
}

/// A message that cannot be followed.
#[derive(Debug, PartialEq)]
pub(crate) struct BadMessage {
    /// The subscription meant, where that is known.
    pub id: Option<String>,
    pub detail: String,
}

/// Reads one text message.
pub(crate) fn parse(text: &str) -> Result<ClientMessage, BadMessage> {
    let bad = |detail: String| BadMessage { id: None, detail };
    let value: Value =
        serde_json::from_str(text).map_err(|error| bad(format!("message is not JSON: {error}")))?;
    let Value::Object(fields) = value else {
        return Err(bad(format!(
            "message: got {}, expected a JSON object with a type",
            shown(&value)
        )));
    };
    let id = fields.get("id").and_then(Value::as_str).map(str::to_owned);
    let message = match fields.get("type").and_then(Value::as_str) {
        Some("ping") => Ok(ClientMessage::Ping),
        Some("subscribe") => subscribe(&fields).map(ClientMessage::Subscribe),
        Some("unsubscribe") => subscription_id(&fields).map(|id| ClientMessage::Unsubscribe { id }),
        _ => Err(wrong(
            "type",
            fields.get("type"),
            "ping, subscribe or unsubscribe",
        )),
    };
    message.map_err(|detail| BadMessage { id, detail })
}

fn subscribe(fields: &Map<String, Value>) -> Result<Subscribe, String> {
    const KNOWN: [&str; 8] = [
        "type", "id", "channel", "bbox", "ids", "max_hz", "format", "resume",
    ];
    if let Some((name, value)) = fields
        .iter()
        .find(|(name, _)| !KNOWN.contains(&name.as_str()))
    {
        return Err(wrong(
            name,
            Some(value),
            &format!("only {}", KNOWN.join(", ")),
        ));
    }
    let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
    match given("format").map(Value::as_str) {
        None | Some(Some("json")) => {}
        Some(Some("binary")) => {
            return Err("field \"format\": binary is not supported yet, use json".to_owned());
        }
        Some(_) => return Err(wrong("format", fields.get("format"), "json")),
    }
    let named = fields.get("channel").and_then(Value::as_str);
    let channel = CHANNELS
        .iter()
        .find(|(name, _)| Some(*name) == named)
        .map(|(_, channel)| *channel);
    let channel = channel.ok_or_else(|| {
        wrong(
            "channel",
            fields.get("channel"),
            "vehicles, emergencies, traffic, weather, alerts or city",
        )
    })?;
    let bbox = given("bbox").map(bounding_box).transpose()?;
    if bbox.is_some() && channel == Channel::City {
        return Err(wrong(
            "bbox",
            fields.get("bbox"),
            "none: the city's figures have no place",
        ));
    }
    Ok(Subscribe {
        id: subscription_id(fields)?,
        channel,
        filter: Filter {
            bbox,
            ids: given("ids").map(ids).transpose()?,
            begins_with_active: channel == Channel::Alerts,
        },
        max_hz: given("max_hz").map_or(Ok(HZ_DEFAULT), max_hz)?,
        resume: given("resume").map(resume).transpose()?,
    })
}

fn subscription_id(fields: &Map<String, Value>) -> Result<String, String> {
    let id = fields
        .get("id")
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX);
    id.map(str::to_owned).ok_or_else(|| {
        wrong(
            "id",
            fields.get("id"),
            "text of 1 to 128 bytes that names the subscription",
        )
    })
}

fn bounding_box(value: &Value) -> Result<BoundingBox, String> {
    let corners: Option<Vec<f64>> = value
        .as_array()
        .and_then(|corners| corners.iter().map(Value::as_f64).collect());
    let bbox = corners.and_then(|corners| BoundingBox::new(&corners));
    bbox.ok_or_else(|| wrong("bbox", Some(value), &format!("[{}]", BoundingBox::EXPECTED)))
}

fn ids(value: &Value) -> Result<BTreeSet<String>, String> {
    let ids: Option<BTreeSet<String>> = value.as_array().and_then(|ids| {
        ids.iter()
            .map(|id| id.as_str().map(str::to_owned))
            .collect()
    });
    ids.filter(|ids| ids.len() <= IDS_MAX)
        .ok_or_else(|| wrong("ids", Some(value), "a list of at most 1000 texts"))
}

fn max_hz(value: &Value) -> Result<f64, String> {
    let hz = value.as_f64().filter(|hz| *hz >= HZ_MIN);
    hz.map(|hz| hz.min(HZ_MAX))
        .ok_or_else(|| wrong("max_hz", Some(value), "a number from 0.01 to 20"))
}

fn resume(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| {
        wrong(
            "resume",
            Some(value),
            "the token of the last snapshot or update",
        )
    })
}

fn wrong(field: &str, got: Option<&Value>, expected: &str) -> String {
    let got = got.map_or_else(|| "nothing".to_owned(), shown);
    format!("field {:?}: got {got}, expected {expected}", shorten(field))
}

fn shown(value: &Value) -> String {
    shorten(&value.to_string())
}

/// `{"type":"city_analytics",...}`
pub(crate) fn city_analytics(summary: &[u8]) -> Vec<u8> {
    let mut out = b"{\"type\":\"city_analytics\",\"data\":".to_vec();
    out.extend_from_slice(summary);
    out.extend_from_slice(format!(",\"timestamp\":\"{}\"}}", now()).as_bytes());
    out
}

/// `{"type":"pong",...}`
pub(crate) fn pong() -> Vec<u8> {
    json!({"type": "pong", "timestamp": now()})
        .to_string()
        .into_bytes()
}

/// `{"type":"heartbeat",...}`: nothing has changed, and the connection stands.
pub(crate) fn heartbeat() -> Vec<u8> {
    json!({"type": "heartbeat", "timestamp": now()})
        .to_string()
        .into_bytes()
}

/// `{"type":"subscribed",...}`
pub(crate) fn subscribed(request: &Subscribe, is_resumed: bool) -> Vec<u8> {
    let bbox = request.filter.bbox.map(|bbox| bbox.corners());
    json!({
        "type": "subscribed", "id": request.id, "channel": request.channel.name(), "bbox": bbox,
        "ids": request.filter.ids, "max_hz": request.max_hz, "format": "json", "resumed": is_resumed,
    })
    .to_string()
    .into_bytes()
}

/// `{"type":"unsubscribed",...}`
pub(crate) fn unsubscribed(id: &str) -> Vec<u8> {
    json!({"type": "unsubscribed", "id": id})
        .to_string()
        .into_bytes()
}

/// `{"type":"error",...}`
pub(crate) fn error(bad: &BadMessage) -> Vec<u8> {
    json!({"type": "error", "id": bad.id, "detail": bad.detail})
        .to_string()
        .into_bytes()
}

/// `{"type":"snapshot",...}` or `{"type":"update",...}`
pub(crate) fn difference(id: &str, difference: &Difference, resume: &str) -> Vec<u8> {
    let data_bytes: usize = difference.data.iter().map(|value| value.len() + 1).sum();
    let mut out = Vec::with_capacity(128 + data_bytes);
    out.extend_from_slice(if difference.is_snapshot {
        b"{\"type\":\"snapshot\",\"id\":"
    } else {
        b"{\"type\":\"update\",\"id\":"
    });
    write_string(&mut out, id);
    out.extend_from_slice(b",\"data\":");
    write_array(&mut out, &difference.data);
    if !difference.is_snapshot {
        out.extend_from_slice(b",\"removed\":[");
        // A kind of one has an empty id, which says nothing to a client.
        for (index, id) in difference
            .removed
            .iter()
            .filter(|id| !id.is_empty())
            .enumerate()
        {
            if index > 0 {
                out.push(b',');
            }
            write_string(&mut out, id);
        }
        out.push(b']');
    }
    out.extend_from_slice(b",\"resume\":");
    write_string(&mut out, resume);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(text: &str) -> String {
        parse(text).expect_err("it is wrong").detail
    }

    #[test]
    fn subscribe_takes_what_is_documented() {
        let text = r#"{"type":"subscribe","id":"a","channel":"vehicles","bbox":[11,57,12,58],"ids":["x"],"max_hz":50,"format":"json"}"#;
        let Ok(ClientMessage::Subscribe(subscribe)) = parse(text) else {
            panic!("not understood")
        };
        assert_eq!(
            (subscribe.channel, subscribe.max_hz),
            (Channel::Vehicles, 20.0)
        );
        assert_eq!(
            subscribe.filter.bbox.map(|bbox| bbox.corners()),
            Some([11.0, 57.0, 12.0, 58.0])
        );
        assert_eq!(
            parse(r#"{"type":"ping","sent":1}"#),
            Ok(ClientMessage::Ping)
        );
    }

    #[test]
    fn wrong_fields_are_named_with_value_and_expectation() {
        assert!(detail("{").starts_with("message is not JSON"));
        assert_eq!(
            detail("[1]"),
            "message: got [1], expected a JSON object with a type"
        );
        assert!(
            detail(r#"{"type":"subscribe","id":"a","channel":"cars"}"#)
                .starts_with("field \"channel\": got \"cars\", expected vehicles")
        );
        assert!(
            detail(r#"{"type":"subscribe","channel":"city"}"#)
                .starts_with("field \"id\": got nothing")
        );
        assert!(
            detail(r#"{"type":"subscribe","id":"a","channel":"vehicles","bbox":[1,2,3]}"#)
                .starts_with("field \"bbox\": got [1,2,3]")
        );
        assert!(
            detail(r#"{"type":"subscribe","id":"a","channel":"vehicles","bbox":[1,9,3,2]}"#)
                .contains("south at most north")
        );
        assert!(
            detail(r#"{"type":"subscribe","id":"a","channel":"vehicles","format":"binary"}"#)
                .contains("not supported yet")
        );
        assert!(
            detail(r#"{"type":"subscribe","id":"a","channel":"vehicles","max_hz":0}"#)
                .starts_with("field \"max_hz\": got 0")
        );
        assert!(
            detail(r#"{"type":"subscribe","id":"a","channel":"vehicles","bboxx":1}"#)
                .starts_with("field \"bboxx\"")
        );
        let bad = parse(r#"{"type":"subscribe","id":"a"}"#).expect_err("no channel");
        assert_eq!(bad.id.as_deref(), Some("a"));
    }
}
