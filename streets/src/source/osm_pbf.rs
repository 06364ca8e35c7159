//! Streets from an OpenStreetMap `.osm.pbf` extract.

use std::collections::HashMap;
use std::path::Path;

use events::Location;
use foldhash::fast::FixedState;
use osmpbf::{Element, ElementReader};

use crate::split::Way;
use crate::{Error, Result, RoadClass, StreetNetwork};

/// Two passes: the drivable ways, then the places of their nodes, so that
/// memory is bounded by the streets and not by the extract.
pub(crate) fn load(path: &Path) -> Result<StreetNetwork> {
    let mut ways: Vec<TaggedWay> = Vec::new();
    for_each(path, |element| {
        if let Element::Way(way) = element
            && let Some(tags) = Tags::read(way.tags())
        {
            ways.push(TaggedWay {
                id: way.id(),
                tags,
                refs: way.refs().collect(),
            });
        }
    })?;
    let mut places: HashMap<i64, Option<Location>, FixedState> = HashMap::default();
    for node in ways.iter().flat_map(|way| &way.refs) {
        places.insert(*node, None);
    }
    let mut place = |id: i64, latitude: f64, longitude: f64| {
        if let Some(place) = places.get_mut(&id) {
            *place = Some(Location {
                latitude,
                longitude,
            });
        }
    };
    for_each(path, |element| match element {
        Element::Node(node) => place(node.id(), node.lat(), node.lon()),
        Element::DenseNode(node) => place(node.id(), node.lat(), node.lon()),
        _ => {}
    })?;
    let ways = ways
        .into_iter()
        .flat_map(|way| way.into_runs(&places))
        .collect();
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let name = name.split('.').next().unwrap_or(&name).to_owned();
    StreetNetwork::from_ways(&name, ways)
}

fn for_each(path: &Path, visit: impl for<'a> FnMut(Element<'a>)) -> Result<()> {
    let pbf = |source| Error::Pbf {
        path: path.to_owned(),
        source,
    };
    ElementReader::from_path(path)
        .map_err(pbf)?
        .for_each(visit)
        .map_err(pbf)
}

struct TaggedWay {
    id: i64,
    tags: Tags,
    refs: Vec<i64>,
}

impl TaggedWay {
    /// An extract leaves out nodes beyond its edge: the rest of the way comes
    /// in runs of known nodes.
    fn into_runs(mut self, places: &HashMap<i64, Option<Location>, FixedState>) -> Vec<Way> {
        if self.tags.direction < 0 {
            self.refs.reverse();
        }
        let known = |node: &i64| places.get(node).copied().flatten();
        self.refs
            .split(|node| known(node).is_none())
            .filter(|run| run.len() > 1)
            .map(|run| Way {
                id: format!("w{}", self.id),
                name: self.tags.name.clone(),
                class: self.tags.class,
                limit_kmh: self.tags.limit_kmh,
                one_way: self.tags.direction != 0,
                nodes: run.to_vec(),
                line: run.iter().filter_map(known).collect(),
                is_whole: false,
            })
            .collect()
    }
}

/// What the tags of a drivable way say. The same rules as `data/convert.mjs`.
#[derive(Debug, PartialEq)]
struct Tags {
    name: Option<String>,
    class: RoadClass,
    limit_kmh: f64,
    /// 1 along the line only, -1 against it only, 0 both.
    direction: i8,
}

impl Tags {
    /// `None` where cars may not drive.
    fn read<'a>(tags: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let tags: HashMap<&str, &str> = tags.collect();
        let highway = *tags.get("highway")?;
        let (class, is_link) = RoadClass::from_highway(highway)?;
        let is_closed = ["access", "vehicle", "motor_vehicle", "motorcar"]
            .iter()
            .any(|key| {
                matches!(
                    tags.get(key),
                    Some(&("no" | "private" | "agricultural" | "forestry" | "military"))
                )
            });
        let is_minor = class == RoadClass::Service
            && matches!(
                tags.get("service"),
                Some(&("parking_aisle" | "driveway" | "drive-through" | "emergency_access"))
            );
        if is_closed || is_minor || tags.get("area") == Some(&"yes") {
            return None;
        }
        let limit_kmh = tags
            .get("maxspeed")
            .and_then(|text| limit_kmh(text))
            .unwrap_or(class.default_limit_kmh(is_link));
        let is_implied = matches!(tags.get("junction"), Some(&("roundabout" | "circular")))
            || class == RoadClass::Motorway;
        let direction = match tags.get("oneway") {
            Some(&("-1" | "reverse")) => -1,
            Some(&("yes" | "true" | "1")) => 1,
            Some(&"no") => 0,
            _ => i8::from(is_implied),
        };
        let name = tags
            .get("name")
            .or_else(|| tags.get("ref"))
            .map(|name| (*name).to_owned());
        Some(Self {
            name,
            class,
            limit_kmh,
            direction,
        })
    }
}

/// `50`, `30 mph`; words such as `none` or `signals` have no number.
fn limit_kmh(text: &str) -> Option<f64> {
    let (number, factor) = match text.strip_suffix("mph") {
        Some(number) => (number, 1.609_344),
        None => (text, 1.0),
    };
    let limit = number.trim().parse::<f64>().ok()? * factor;
    (limit.is_finite() && limit >= 5.0).then(|| limit.round())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tags: &[(&str, &str)]) -> Option<Tags> {
        Tags::read(tags.iter().copied())
    }

    #[test]
    fn roundabouts_motorways_and_minus_one_are_one_way() {
        let direction = |tags: &[(&str, &str)]| read(tags).map(|tags| tags.direction);
        assert_eq!(direction(&[("highway", "residential")]), Some(0));
        assert_eq!(
            direction(&[("highway", "residential"), ("junction", "roundabout")]),
            Some(1)
        );
        assert_eq!(direction(&[("highway", "motorway_link")]), Some(1));
        assert_eq!(
            direction(&[("highway", "motorway"), ("oneway", "no")]),
            Some(0)
        );
        assert_eq!(
            direction(&[("highway", "service"), ("oneway", "-1")]),
            Some(-1)
        );
    }

    #[test]
    fn paths_areas_and_closed_ways_are_no_streets() {
        assert_eq!(read(&[("highway", "footway")]), None);
        assert_eq!(read(&[("highway", "service"), ("area", "yes")]), None);
        assert_eq!(
            read(&[("highway", "residential"), ("motor_vehicle", "no")]),
            None
        );
        assert_eq!(
            read(&[("highway", "service"), ("service", "parking_aisle")]),
            None
        );
    }

    #[test]
    fn limits_are_read_in_both_units_and_fall_back_by_class() {
        let limit =
            |text| read(&[("highway", "primary"), ("maxspeed", text)]).map(|tags| tags.limit_kmh);
        assert_eq!(limit("70"), Some(70.0));
        assert_eq!(limit("30 mph"), Some(48.0));
        assert_eq!(limit("signals"), Some(60.0));
    }
}
