//! Streets from a road graph in CSV: nodes `osmid,x,y`, directed edges
//! `u,v,length` (metres), `lanes`, `speed_mph`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use csv::StringRecord;
use events::Location;
use foldhash::fast::FixedState;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::split::Way;
use crate::{Error, Result, RoadClass, StreetNetwork};

const KMH_PER_MPH: f64 = 1.609_344;

/// The two files of a graph.
pub(crate) struct Files {
    name: String,
    nodes: PathBuf,
    edges: PathBuf,
}

/// Finds `*_nodes.csv` with its `*_edges.csv` in a folder, or by their prefix.
pub(crate) fn find(path: &Path) -> Option<Files> {
    if path.is_dir() {
        let mut found: Vec<_> = std::fs::read_dir(path)
            .ok()?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        found.sort();
        return found.iter().find_map(|file| {
            let prefix = file.to_str()?.strip_suffix("_nodes.csv")?;
            with_prefix(prefix)
        });
    }
    with_prefix(path.to_str()?.trim_end_matches('_'))
}

fn with_prefix(prefix: &str) -> Option<Files> {
    let nodes = PathBuf::from(format!("{prefix}_nodes.csv"));
    let edges = PathBuf::from(format!("{prefix}_edges.csv"));
    let name = Path::new(prefix)
        .file_name()?
        .to_string_lossy()
        .into_owned();
    (nodes.is_file() && edges.is_file()).then_some(Files { name, nodes, edges })
}

#[derive(Deserialize)]
struct Node {
    osmid: i64,
    x: f64,
    y: f64,
}

#[derive(Clone, Deserialize)]
struct Edge {
    uniqueid: Option<u64>,
    u: i64,
    v: i64,
    lanes: Option<f64>,
    speed_mph: Option<f64>,
}

pub(crate) fn load(files: &Files) -> Result<StreetNetwork> {
    let mut places: HashMap<i64, Location, FixedState> = HashMap::default();
    read(&files.nodes, |_, node: Node| {
        if !(node.x.abs() <= 180.0 && node.y.abs() <= 90.0) {
            return Err(format!(
                "x {} and y {}: expected degrees of longitude and latitude",
                node.x, node.y
            ));
        }
        places.insert(
            node.osmid,
            Location {
                latitude: node.y,
                longitude: node.x,
            },
        );
        Ok(())
    })?;
    let mut edges: Vec<(u64, Edge)> = Vec::new();
    let mut by_ends: HashMap<(i64, i64), usize, FixedState> = HashMap::default();
    let mut is_two_way: Vec<bool> = Vec::new();
    read(&files.edges, |row, edge: Edge| {
        if let Some(missing) = [edge.u, edge.v]
            .iter()
            .find(|node| !places.contains_key(node))
        {
            return Err(format!("node {missing} is not among the nodes"));
        }
        // The opposite edge of one already read makes that one two-way.
        if let Some(twin) = by_ends.get(&(edge.v, edge.u)) {
            is_two_way[*twin] = true;
        } else if let Entry::Vacant(place) = by_ends.entry((edge.u, edge.v)) {
            place.insert(edges.len());
            edges.push((edge.uniqueid.unwrap_or(row), edge));
            is_two_way.push(false);
        }
        Ok(())
    })?;
    let ways = edges
        .into_iter()
        .zip(is_two_way)
        .map(|((id, edge), is_two_way)| to_way(id, &edge, !is_two_way, &places))
        .collect();
    StreetNetwork::from_ways(&files.name, ways)
}

fn to_way(id: u64, edge: &Edge, one_way: bool, places: &HashMap<i64, Location, FixedState>) -> Way {
    let class = class_of(edge);
    let limit_kmh = edge
        .speed_mph
        .filter(|mph| mph.is_finite() && *mph > 0.0)
        .map_or(class.default_limit_kmh(false), |mph| {
            (mph * KMH_PER_MPH).round()
        });
    Way {
        id: format!("e{id}"),
        name: None,
        class,
        limit_kmh,
        one_way,
        nodes: vec![edge.u, edge.v],
        line: vec![places[&edge.u], places[&edge.v]],
        is_whole: true,
    }
}

/// The graph has no classes: speed and lanes stand in for them.
fn class_of(edge: &Edge) -> RoadClass {
    let (mph, lanes) = (edge.speed_mph.unwrap_or(25.0), edge.lanes.unwrap_or(1.0));
    match mph {
        mph if mph >= 60.0 => RoadClass::Motorway,
        mph if mph >= 45.0 => RoadClass::Trunk,
        mph if mph >= 35.0 => RoadClass::Primary,
        _ if lanes >= 3.0 => RoadClass::Secondary,
        mph if mph >= 30.0 || lanes >= 2.0 => RoadClass::Tertiary,
        _ => RoadClass::Residential,
    }
}

fn read<T: DeserializeOwned>(
    path: &Path,
    mut take: impl FnMut(u64, T) -> Result<(), String>,
) -> Result<()> {
    let at = |line: u64, detail: String| Error::Csv {
        path: path.to_owned(),
        line,
        detail,
    };
    let file = std::fs::File::open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(file);
    let headers = reader.headers().cloned();
    let headers = headers.map_err(|error| at(1, error.to_string()))?;
    for (row, record) in reader.records().enumerate() {
        let line = row as u64 + 2;
        let record = record.map_err(|error| at(line, error.to_string()))?;
        let line = record.position().map_or(line, csv::Position::line);
        let read = record.deserialize(Some(&headers));
        let read = read.map_err(|error| at(line, misfit(&headers, &record, &error)))?;
        take(row as u64, read).map_err(|detail| at(line, detail))?;
    }
    Ok(())
}

/// What does not fit in a line: column, value and what was expected.
fn misfit(headers: &StringRecord, record: &StringRecord, error: &csv::Error) -> String {
    use csv::DeserializeErrorKind::{ParseFloat, ParseInt};
    let csv::ErrorKind::Deserialize { err, .. } = error.kind() else {
        return error.to_string();
    };
    let field = err.field().and_then(|index| usize::try_from(index).ok());
    let Some((name, value)) = field.and_then(|index| headers.get(index).zip(record.get(index)))
    else {
        return err.to_string();
    };
    let expected = match err.kind() {
        ParseFloat(_) => "a number".to_owned(),
        ParseInt(_) => "a whole number".to_owned(),
        other => other.to_string(),
    };
    format!("column {name}: got {value:?}, expected {expected}")
}
