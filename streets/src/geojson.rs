//! The streets as GeoJSON, to draw.

use std::fmt::Write;

use crate::Segment;

/// A FeatureCollection of LineStrings, one a segment, coordinates to 1e-6
/// degrees (0.1 m). Properties: id, name (text or null), class, limit_kmh,
/// free_flow_kmh (what congestion is measured against).
pub(crate) fn feature_collection(segments: &[Segment]) -> Vec<u8> {
    let mut out = String::with_capacity(segments.len() * 300 + 64);
    out.push_str(r#"{"type":"FeatureCollection","features":["#);
    for (index, segment) in segments.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_feature(&mut out, segment);
    }
    out.push_str("]}");
    out.into_bytes()
}

fn push_feature(out: &mut String, segment: &Segment) {
    let name = serde_json::Value::from(segment.name.as_deref());
    let id = serde_json::Value::from(segment.id.as_str());
    // Writing into a String cannot fail.
    let _ = write!(
        out,
        r#"{{"type":"Feature","properties":{{"id":{id},"name":{name},"class":"{}","limit_kmh":{},"free_flow_kmh":{}}},"geometry":{{"type":"LineString","coordinates":["#,
        segment.class,
        segment.free_flow_kmh.round(),
        (segment.free_flow_kmh * 10.0).round() / 10.0,
    );
    for (index, point) in segment.line.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let round = |degrees: f64| (degrees * 1e6).round() / 1e6;
        let _ = write!(
            out,
            "{comma}[{},{}]",
            round(point.longitude),
            round(point.latitude)
        );
    }
    out.push_str("]}}");
}
