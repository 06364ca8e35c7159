//! Gothenburg, carried in the program. `data/README.md` says how it is made.

use std::io::Read;

use events::Location;
use flate2::read::GzDecoder;
use serde::Deserialize;

use crate::split::Way;
use crate::{Error, Result, RoadClass, StreetNetwork};

const GOTHENBURG: &[u8] = include_bytes!("../../data/gothenburg.jsonl.gz");

/// A line of the asset; `data/convert.mjs` describes the fields.
#[derive(Deserialize)]
struct Line {
    w: i64,
    h: String,
    n: Option<String>,
    s: Option<f64>,
    #[serde(default)]
    o: i8,
    p: Vec<i64>,
}

pub(crate) fn gothenburg() -> Result<StreetNetwork> {
    let mut text = String::new();
    GzDecoder::new(GOTHENBURG)
        .read_to_string(&mut text)
        .map_err(|error| Error::Embedded(error.to_string()))?;
    let mut ways = Vec::with_capacity(8_000);
    for line in text.lines() {
        let line: Line =
            serde_json::from_str(line).map_err(|error| Error::Embedded(error.to_string()))?;
        ways.push(to_way(line)?);
    }
    StreetNetwork::from_ways("Gothenburg", ways)
}

fn to_way(line: Line) -> Result<Way> {
    let (class, is_link) = RoadClass::from_highway(&line.h).ok_or_else(|| {
        Error::Embedded(format!("way {} has the unknown class {:?}", line.w, line.h))
    })?;
    let (mut nodes, mut points) = (Vec::new(), Vec::new());
    let (mut longitude, mut latitude) = (0, 0);
    for step in line.p.chunks_exact(2) {
        longitude += step[0];
        latitude += step[1];
        // GeoJSON has no node ids: the place itself is the id.
        nodes.push((longitude << 32) | (latitude & 0xffff_ffff));
        points.push(Location {
            latitude: latitude as f64 / 1e7,
            longitude: longitude as f64 / 1e7,
        });
    }
    if line.o < 0 {
        nodes.reverse();
        points.reverse();
    }
    Ok(Way {
        id: format!("w{}", line.w),
        name: line.n,
        class,
        limit_kmh: line.s.unwrap_or(class.default_limit_kmh(is_link)),
        one_way: line.o != 0,
        nodes,
        line: points,
        is_whole: false,
    })
}
