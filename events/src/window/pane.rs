//! One minute of one thing, and how minutes become larger windows.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use uuid::Uuid;

use super::{PANE_US, Sliding, Window};
use crate::aggregate::Aggregate;
use crate::json::ObjectWriter;
use crate::sketch::Sketch;
use crate::time::parse_rfc3339_us;
use crate::{Body, ClosedWindow, Event, h3};

/// What windows are kept of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WindowKind {
    /// Speeds on a road segment; the key is the segment's id.
    Segment,
    /// Speeds in an H3 cell of resolution 8; the key is [`h3::cell_name`].
    Cell,
    /// One reading of a station; the key is `{station_id}:{reading}`, the reading a
    /// column of `weather_data` such as `temperature` or `pm25`, or `extra.NAME` of a
    /// sensor that the stream does not know.
    Station,
    /// Speeds in the whole city; the key is [`WindowKind::CITY_SPEED`].
    City,
}

impl WindowKind {
    /// Every kind.
    pub const ALL: [WindowKind; 4] = [
        WindowKind::Segment,
        WindowKind::Cell,
        WindowKind::Station,
        WindowKind::City,
    ];

    /// The key of the city's speeds.
    pub const CITY_SPEED: &'static str = "speed";

    /// The kind as people and tables write it.
    pub const fn name(self) -> &'static str {
        match self {
            WindowKind::Segment => "segment",
            WindowKind::Cell => "cell",
            WindowKind::Station => "station",
            WindowKind::City => "city",
        }
    }
}

impl fmt::Display for WindowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for WindowKind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let mut kinds = Self::ALL.into_iter();
        kinds.find(|kind| kind.name() == text).ok_or(UnknownKind)
    }
}

/// A text that is the name of no [`WindowKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one of segment, cell, station, city")]
pub struct UnknownKind;

/// What was measured of one thing in one minute: the unit that everything about
/// windows is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Pane {
    /// What kind of thing.
    pub kind: WindowKind,
    /// Which one; see [`WindowKind`].
    pub key: String,
    /// First instant, microseconds since the epoch, a multiple of [`PANE_US`].
    pub start_us: i64,
    /// The values in it.
    pub aggregate: Aggregate,
    /// How many different devices the values came from, where that is counted.
    pub vehicles: Option<u64>,
    /// The watermark has passed it: it does not change any more.
    pub is_final: bool,
}

/// The quantiles that are shown of a window, by their names.
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// Device ids have at most as many characters; keys may have more.
const DEVICE_ID_CHARS_MAX: usize = 128;

/// The field that has the sketch, of a hot value and of a closed window.
const SKETCH: &str = "sketch";

/// Names of closed windows are made in this namespace.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_0a52_94be_5d3c_8a57_3e0b_c1f2_7d90);

impl Pane {
    /// The span of event time it covers.
    pub fn window(&self) -> Window {
        Window {
            start_us: self.start_us,
            end_us: self.start_us.saturating_add(PANE_US),
        }
    }

    /// The id of the closed window: the same for the same kind, key and start, so
    /// that a window that is written again is known to be the same.
    pub fn id(&self) -> Uuid {
        let name = format!("{}\n{}\n{}", self.kind, self.key, self.start_us);
        Uuid::new_v5(&NAMESPACE, name.as_bytes())
    }

    /// The event that records it in the stream `windows`. What columns cannot say,
    /// the sketch, goes along as the field `sketch`, for [`recorded_sketch`].
    pub fn to_event(&self) -> Event {
        let moments = &self.aggregate.moments;
        let extreme = |value: f64| (!moments.is_empty()).then_some(value);
        let cell = (self.kind == WindowKind::Cell).then(|| h3::cell_from_name(&self.key));
        Event {
            id: self.id().to_string().into(),
            device_id: self.key.chars().take(DEVICE_ID_CHARS_MAX).collect(),
            timestamp_us: self.start_us,
            extra: self.sketch_as_extra(),
            body: Body::Window(Box::new(ClosedWindow {
                kind: self.kind.name().into(),
                key: self.key.as_str().into(),
                window_end_us: Some(self.window().end_us),
                count: Some(i64::try_from(moments.count).unwrap_or(i64::MAX)),
                mean: moments.mean(),
                min: extreme(moments.min),
                max: extreme(moments.max),
                p50: self.aggregate.quantile(0.5),
                p90: self.aggregate.quantile(0.9),
                p99: self.aggregate.quantile(0.99),
                vehicles: self.vehicles.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
                location: cell.flatten().and_then(h3::cell_center),
            })),
        }
    }

    fn sketch_as_extra(&self) -> Option<Box<str>> {
        let sketch = &self.aggregate.sketch;
        (!sketch.is_empty()).then(|| {
            let mut extra = ObjectWriter::new();
            extra.text(SKETCH, &BASE64.encode(sketch.to_bytes()));
            extra.finish_text().into()
        })
    }

    /// The pane as a hot value, one flat JSON object:
    /// `{kind,key,window_start,window_end,count,sum,mean,min,max,p50,p90,p99,vehicles,final,sketch}`.
    /// Instants are RFC 3339. `sketch` is [`Aggregate::to_bytes`] in base64, from
    /// which [`Pane::from_json`] reads the whole aggregate back.
    pub fn to_json(&self) -> Vec<u8> {
        let moments = &self.aggregate.moments;
        let mut json = ObjectWriter::new();
        json.text("kind", self.kind.name())
            .text("key", &self.key)
            .timestamp("window_start", self.start_us)
            .timestamp("window_end", self.window().end_us)
            .integer("count", i64::try_from(moments.count).unwrap_or(i64::MAX))
            .number("sum", moments.sum());
        // JSON has no number for "none": it is null.
        json.number("mean", moments.mean().unwrap_or(f64::NAN))
            .number("min", moments.min)
            .number("max", moments.max);
        for (name, q) in QUANTILES {
            json.number(name, self.aggregate.quantile(q).unwrap_or(f64::NAN));
        }
        json.optional_integer(
            "vehicles",
            self.vehicles.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
        )
        .boolean("final", self.is_final)
        .text(SKETCH, &BASE64.encode(self.aggregate.to_bytes()));
        json.finish()
    }

    /// Reads what [`Pane::to_json`] wrote; `None` where it is anything else.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(json).ok()?;
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let aggregate = BASE64.decode(text(SKETCH)?).ok()?;
        Some(Self {
            kind: text("kind")?.parse().ok()?,
            key: text("key")?.to_owned(),
            start_us: parse_rfc3339_us(text("window_start")?)?,
            aggregate: Aggregate::from_bytes(&aggregate)?,
            vehicles: value.get("vehicles").and_then(Value::as_u64),
            is_final: value.get("final")?.as_bool()?,
        })
    }
}

/// The sketch of a closed window, from its event's `extra`; `None` where it was
/// recorded without one.
pub fn recorded_sketch(extra: &str) -> Option<Sketch> {
    let extra: Value = serde_json::from_str(extra).ok()?;
    let bytes = BASE64.decode(extra.get(SKETCH)?.as_str()?).ok()?;
    Sketch::from_bytes(&bytes)
}

/// One window of one thing, merged from its panes.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// The span of event time.
    pub window: Window,
    /// The values of all its panes.
    pub aggregate: Aggregate,
    /// How many different devices; `None` where several panes have values, because
    /// a device that is in two of them is one, and panes do not keep which.
    pub vehicles: Option<u64>,
    /// Event time has passed it, and none of its panes changes any more.
    pub is_final: bool,
}

/// Merges the panes of one thing into windows, the earliest first; a window
/// without values is left out. Panes may come in any order. Those of the same
/// minute are partials of different partitions: each device is in one of them,
/// so their devices add up. `watermark_us` is how far event time has come.
pub fn merge_panes<'p>(
    windows: Sliding,
    panes: impl IntoIterator<Item = &'p Pane>,
    watermark_us: i64,
) -> Vec<Merged> {
    let mut minutes: BTreeMap<i64, Merged> = BTreeMap::new();
    for pane in panes.into_iter().filter(|pane| !pane.aggregate.is_empty()) {
        let merged = Merged {
            window: pane.window(),
            aggregate: Aggregate::default(),
            vehicles: Some(0),
            is_final: true,
        };
        let minute = minutes.entry(pane.start_us).or_insert(merged);
        minute.aggregate.merge(&pane.aggregate);
        minute.vehicles = minute.vehicles.zip(pane.vehicles).map(|(a, b)| a + b);
        minute.is_final &= pane.is_final;
    }
    if (windows.size_us, windows.step_us) == (PANE_US, PANE_US) {
        return minutes.into_values().collect();
    }
    let mut merged: BTreeMap<i64, Merged> = BTreeMap::new();
    for minute in minutes.values() {
        for window in windows.windows_of(minute.window.start_us) {
            let passed = window.end_us <= watermark_us;
            merged
                .entry(window.start_us)
                .and_modify(|larger| {
                    larger.aggregate.merge(&minute.aggregate);
                    larger.vehicles = None;
                    larger.is_final &= minute.is_final;
                })
                .or_insert_with(|| Merged {
                    window,
                    is_final: minute.is_final && passed,
                    ..minute.clone()
                });
        }
    }
    merged.into_values().collect()
}

#[cfg(test)]
mod tests {
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;
    use crate::decode;

    fn pane(start_us: i64, values: &[f64], vehicles: Option<u64>, is_final: bool) -> Pane {
        Pane {
            kind: WindowKind::City,
            key: WindowKind::CITY_SPEED.to_owned(),
            start_us,
            aggregate: values.iter().copied().collect(),
            vehicles,
            is_final,
        }
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        for kind in WindowKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!("road".parse::<WindowKind>(), Err(UnknownKind));
    }

    #[test]
    fn partials_of_a_minute_add_their_vehicles_and_wait_for_each_other() {
        let panes = [
            pane(0, &[10.0, 30.0], Some(2), true),
            pane(0, &[20.0], Some(1), false),
        ];
        let [merged] = &merge_panes(Sliding::OFFERED[0].1, &panes, 0)[..] else {
            panic!("one window")
        };
        assert_eq!((merged.vehicles, merged.is_final), (Some(3), false));
        assert_eq!(merged.aggregate.moments.mean(), Some(20.0));
    }

    #[test]
    fn a_larger_window_is_final_when_event_time_has_passed_it() {
        let five: Sliding = "5m".parse().expect("offered");
        let panes = [
            pane(0, &[10.0], Some(1), true),
            pane(PANE_US, &[30.0], Some(1), true),
        ];
        for (watermark_us, is_final) in [(2 * PANE_US, false), (5 * PANE_US, true)] {
            let merged = merge_panes(five, &panes, watermark_us);
            assert_eq!(merged.len(), 1);
            assert_eq!((merged[0].is_final, merged[0].vehicles), (is_final, None));
            assert_eq!(merged[0].window.end_us, 5 * PANE_US);
        }
        let merged = merge_panes(five, &panes[..1], 5 * PANE_US);
        assert_eq!(merged[0].vehicles, Some(1));
    }

    #[test]
    fn a_closed_window_has_one_id_and_is_an_event() {
        let pane = Pane {
            kind: WindowKind::Cell,
            key: "881f25a933fffff".into(),
            ..pane(1_700_049_600_000_000, &[10.0, 20.0, 30.0], Some(2), true)
        };
        let event = pane.to_event();
        assert_eq!(event.id, pane.clone().to_event().id);
        let later = Pane {
            start_us: pane.start_us + PANE_US,
            ..pane.clone()
        };
        assert_ne!(later.to_event().id, event.id);
        let read = decode(event.stream(), &event.to_json(), pane.start_us);
        assert_eq!(read.as_ref(), Ok(&event));
        let Body::Window(window) = &event.body else {
            panic!("{event:?}")
        };
        assert_eq!(
            (window.count, window.mean, window.vehicles),
            (Some(3), Some(20.0), Some(2))
        );
        assert_eq!(window.window_end_us, Some(pane.start_us + PANE_US));
        let sketch = event.extra.as_deref().and_then(recorded_sketch);
        assert_eq!(sketch, Some(pane.aggregate.sketch));
    }

    #[test]
    fn a_record_without_a_sketch_has_none() {
        for extra in ["{}", r#"{"sketch":1}"#, r#"{"sketch":"AA=="}"#, "[]"] {
            assert_eq!(recorded_sketch(extra), None, "{extra}");
        }
        assert_eq!(pane(0, &[], Some(0), true).to_event().extra, None);
    }

    #[test]
    fn other_json_is_no_pane() {
        for json in ["", "{}", "[1]", r#"{"kind":"city","key":"speed"}"#] {
            assert_eq!(Pane::from_json(json.as_bytes()), None);
        }
    }

    fn panes() -> impl Strategy<Value = Vec<Pane>> {
        let values = prop::collection::vec(-50.0..300.0_f64, 0..8);
        let one = (0..40_i64, values, of(0..9_u64), any::<bool>());
        prop::collection::vec(
            one.prop_map(|(minute, values, vehicles, is_final)| {
                pane(minute * PANE_US, &values, vehicles, is_final)
            }),
            0..30,
        )
    }

    proptest! {
        #[test]
        fn each_window_has_exactly_the_values_of_its_span(
            panes in panes(),
            which in 0..Sliding::OFFERED.len(),
            reversed: bool,
        ) {
            let windows = Sliding::OFFERED[which].1;
            let mut order: Vec<&Pane> = panes.iter().collect();
            if reversed {
                order.reverse();
            }
            let merged = merge_panes(windows, order, i64::MAX);
            let mut expected: BTreeMap<i64, Aggregate> = BTreeMap::new();
            for start_us in (-15..40).map(|minute| minute * PANE_US) {
                if start_us.rem_euclid(windows.step_us) != 0 {
                    continue;
                }
                let span = start_us..start_us + windows.size_us;
                for pane in panes.iter().filter(|pane| span.contains(&pane.start_us)) {
                    if !pane.aggregate.is_empty() {
                        expected.entry(start_us).or_default().merge(&pane.aggregate);
                    }
                }
            }
            let got: BTreeMap<i64, Aggregate> = merged
                .into_iter()
                .map(|merged| (merged.window.start_us, merged.aggregate))
                .collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn hot_values_read_back(
            values in prop::collection::vec(-50.0..300.0_f64, 0..50),
            minute in 0_i64..60_000_000,
            vehicles in of(0..1_000_000_u64),
            is_final: bool,
            key in "\\PC{1,30}",
        ) {
            let pane = Pane {
                kind: WindowKind::Station,
                key,
                ..pane(minute * PANE_US, &values, vehicles, is_final)
            };
            let json = pane.to_json();
            let shown: Value = serde_json::from_slice(&json).expect("JSON");
            prop_assert_eq!(shown["count"].as_u64(), Some(values.len() as u64));
            prop_assert_eq!(shown["p50"].is_null(), values.is_empty());
            prop_assert_eq!(Pane::from_json(&json), Some(pane));
        }
    }
}
