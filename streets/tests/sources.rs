//! Streets from a user's own files.

use std::env;
use std::path::{Path, PathBuf};

use events::Location;
use streets::{Error, RoadClass, StreetNetwork};

/// A real recording, or a plain word that the test was skipped.
fn real_data(file: &str) -> Option<PathBuf> {
    let beside = PathBuf::from("../../shared/data");
    let folder = env::var_os("CITYPULSE_REALDATA").map_or(beside, PathBuf::from);
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is missing", path.display());
    None
}

/// Writes protobuf messages by hand: an extract small enough to read.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    fn number(self, field: u64, value: u64) -> Self {
        self.varint(field << 3).varint(value)
    }

    fn bytes(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.varint(field << 3 | 2).varint(value.len() as u64);
        message.0.extend_from_slice(value);
        message
    }

    fn packed(self, field: u64, values: impl IntoIterator<Item = i64>) -> Self {
        let zigzag = |value: i64| ((value << 1) ^ (value >> 63)) as u64;
        let packed = values
            .into_iter()
            .fold(Message::default(), |packed, value| {
                packed.varint(zigzag(value))
            });
        self.bytes(field, &packed.0)
    }
}

fn blob(kind: &str, content: &[u8]) -> Vec<u8> {
    let blob = Message::default().bytes(1, content).0;
    let header = Message::default()
        .bytes(1, kind.as_bytes())
        .number(3, blob.len() as u64)
        .0;
    [&(header.len() as u32).to_be_bytes()[..], &header, &blob].concat()
}

/// Four nodes in a row; a street over all of them, a one-way side street
/// against its drawing, and a footway that is none.
fn tiny_extract() -> Vec<u8> {
    let texts = [
        "",
        "highway",
        "residential",
        "name",
        "Main Street",
        "oneway",
        "-1",
        "footway",
        "maxspeed",
        "30",
    ];
    let table = texts.iter().fold(Message::default(), |table, text| {
        table.bytes(1, text.as_bytes())
    });
    let deltas = |values: &[i64]| {
        let mut last = 0;
        values
            .iter()
            .map(|value| *value - std::mem::replace(&mut last, *value))
            .collect::<Vec<_>>()
    };
    // Granularity is 100 nanodegrees.
    let dense = Message::default()
        .packed(1, deltas(&[1, 2, 3, 4]))
        .packed(
            8,
            deltas(&[600_000_000, 600_010_000, 600_020_000, 600_010_000]),
        )
        .packed(
            9,
            deltas(&[250_000_000, 250_000_000, 250_000_000, 250_020_000]),
        );
    let way = |id: u64, keys: &[u8], values: &[u8], nodes: &[i64]| {
        Message::default()
            .number(1, id)
            .bytes(2, keys)
            .bytes(3, values)
            .packed(8, deltas(nodes))
            .0
    };
    let group = Message::default()
        .bytes(2, &dense.0)
        .bytes(3, &way(10, &[1, 3, 8], &[2, 4, 9], &[1, 2, 3]))
        .bytes(3, &way(11, &[1, 5], &[2, 6], &[2, 4]))
        .bytes(3, &way(12, &[1], &[7], &[3, 4]));
    let block = Message::default().bytes(1, &table.0).bytes(2, &group.0);
    let header = Message::default()
        .bytes(4, b"OsmSchema-V0.6")
        .bytes(4, b"DenseNodes");
    [blob("OSMHeader", &header.0), blob("OSMData", &block.0)].concat()
}

#[test]
fn an_extract_is_read() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tiny.osm.pbf");
    std::fs::write(&path, tiny_extract())?;
    let streets = StreetNetwork::load(path.to_str().ok_or("path")?)?;
    assert_eq!(streets.name(), "tiny");
    let ids: Vec<&str> = streets
        .segments()
        .iter()
        .map(|segment| segment.id.as_str())
        .collect();
    assert_eq!(ids, ["w10-0", "w10-1", "w11-0"]);
    let [main, _, side] = streets.segments() else {
        return Err("three segments".into());
    };
    assert_eq!(
        (main.name.as_deref(), main.free_flow_kmh, main.one_way),
        (Some("Main Street"), 30.0, false)
    );
    assert!((main.length_m - 111.2).abs() < 0.1);
    assert!(
        side.one_way && side.to_node == main.to_node,
        "oneway=-1 turns the line round"
    );
    Ok(())
}

#[test]
fn a_real_extract_is_read_where_one_is_given() -> Result<(), Box<dyn std::error::Error>> {
    let Some(path) = env::var_os("CITYPULSE_TEST_PBF") else {
        println!("skipped: CITYPULSE_TEST_PBF does not name an .osm.pbf extract");
        return Ok(());
    };
    let streets = StreetNetwork::load(path.to_str().ok_or("path")?)?;
    let connected = (0..streets.node_count())
        .filter(|node| streets.is_connected(*node))
        .count();
    println!(
        "{} segments, {connected} of {} junctions connected",
        streets.segments().len(),
        streets.node_count()
    );
    assert!(streets.segments().len() > 100 && connected > 50);
    Ok(())
}

#[test]
fn the_bay_area_graph_is_read() -> Result<(), Box<dyn std::error::Error>> {
    let Some(nodes) = real_data("roads/bayarea_osm_nodes.csv") else {
        return Ok(());
    };
    let folder = nodes.parent().and_then(Path::to_str).ok_or("folder")?;
    let streets = StreetNetwork::load(folder)?;
    assert_eq!(
        (streets.name(), streets.node_count() <= 30_826),
        ("bayarea_osm", true)
    );
    // 65,524 directed edges; opposite ones are one two-way segment.
    let one_way = streets
        .segments()
        .iter()
        .filter(|segment| segment.one_way)
        .count();
    let directed = one_way + 2 * (streets.segments().len() - one_way);
    assert!((64_000..=65_524).contains(&directed), "{directed}");
    assert!(
        streets
            .segments()
            .iter()
            .any(|segment| segment.class == RoadClass::Motorway)
    );
    let market_street = Location {
        latitude: 37.7793,
        longitude: -122.4193,
    };
    assert!(streets.nearest(market_street, None, 500.0).is_some());
    let by_prefix = StreetNetwork::load(&format!("{folder}/bayarea_osm"))?;
    assert_eq!(by_prefix.segments(), streets.segments());
    Ok(())
}

#[test]
fn a_csv_graph_joins_opposite_edges_and_names_bad_lines() -> Result<(), Box<dyn std::error::Error>>
{
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    std::fs::write(
        at("town_nodes.csv"),
        "osmid,x,y\n1,12.0,57.0\n2,12.01,57.0\n3,12.02,57.0\n",
    )?;
    std::fs::write(
        at("town_edges.csv"),
        "u,v,length,lanes,speed_mph\n1,2,600,1,30\n2,1,600,1,30\n2,3,600,2,65\n",
    )?;
    let from = folder.path().to_str().ok_or("path")?;
    let streets = StreetNetwork::load(from)?;
    let seen: Vec<_> = streets
        .segments()
        .iter()
        .map(|s| (s.id.as_str(), s.one_way, s.free_flow_kmh))
        .collect();
    assert_eq!(seen, [("e0", false, 48.0), ("e2", true, 105.0)]);
    std::fs::write(
        at("town_edges.csv"),
        "u,v,length,lanes,speed_mph\n1,9,600,1,30\n",
    )?;
    let error = StreetNetwork::load(from).unwrap_err().to_string();
    assert!(
        error.contains("line 2") && error.contains("node 9"),
        "{error}"
    );
    Ok(())
}

#[test]
fn a_value_of_a_csv_graph_that_does_not_fit_is_named_with_its_column()
-> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let from = folder.path().to_str().ok_or("path")?;
    let nodes = "osmid,x,y\n1,12.0,57.0\n2,12.01,57.0\n";
    let edges = "u,v,length,lanes,speed_mph\n1,2,600,1,30\n";
    for (nodes, edges, expected) in [
        (
            "osmid,x,y\n1,12.0,57.0\n2,12.01,abc\n",
            edges,
            "nodes.csv, line 3: column y: got \"abc\", expected a number",
        ),
        (
            "osmid,x,y\n1,12.0,57.0\n2.5,12.01,57.0\n",
            edges,
            "line 3: column osmid: got \"2.5\", expected a whole number",
        ),
        (
            nodes,
            "u,v,length,lanes,speed_mph\n1,2,600,two,30\n",
            "edges.csv, line 2: column lanes: got \"two\", expected a number",
        ),
        ("osmid,x\n1,12.0\n", edges, "line 2: missing field `y`"),
    ] {
        std::fs::write(at("town_nodes.csv"), nodes)?;
        std::fs::write(at("town_edges.csv"), edges)?;
        let error = StreetNetwork::load(from).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    Ok(())
}

#[test]
fn what_is_no_source_is_explained() {
    let error = StreetNetwork::load("atlantis").unwrap_err();
    assert!(matches!(error, Error::UnknownSource(_)) && error.to_string().contains(".osm.pbf"));
}
