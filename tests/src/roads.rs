//! Streets so simple that plain arithmetic tells which one a fix is on: DuckDB does it in
//! `readers/speed_layer.py` without a matcher of any kind.
//!
//! They run from west to east, in rows and columns hundreds of metres apart. Each has two
//! carriageways, 18 m apart, of two blocks, 445 m long: four segments. Fixes lie between
//! the two, some nearer to the wrong one, so that the heading must tell; never within
//! 59 m of a block's end, so that no other segment is within the 30 m of the matching.
//!
//! Places are whole millionths of a degree here.

use std::fmt::Write as _;
use std::path::Path;

use crate::Deployment;

/// South-west corner of the first street, and from one street to the next.
const SOUTH: u64 = 57_690_000;
const WEST: u64 = 11_930_000;
const ROW: u64 = 4_000;
const COLUMN: u64 = 20_000;
const ROWS: u64 = 10;
const COLUMNS: u64 = 4;

/// The length of a block, and how far apart the carriageways are.
const BLOCK: u64 = 7_500;
const BLOCKS: u64 = 2;
const APART: u64 = 160;

/// One carriageway; traffic keeps to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carriageway {
    East,
    West,
}

/// A street, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Street(u64);

/// A place on or beside a street, millionths of a degree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub latitude: u64,
    pub longitude: u64,
}

impl Street {
    /// The street of a vehicle.
    pub fn of(vehicle: u64) -> Street {
        Street(vehicle % (ROWS * COLUMNS))
    }

    fn corner(self) -> Place {
        Place {
            latitude: SOUTH + self.0 / COLUMNS * ROW,
            longitude: WEST + self.0 % COLUMNS * COLUMN,
        }
    }

    /// Somewhere on a carriageway, up to 11 m from its line and on the side of the other
    /// one. No place is on both: who has not moved is on the street it was on. Two places
    /// are at least 23 m apart unless they are abreast of each other.
    pub fn lane(self, carriageway: Carriageway, dice: u64) -> Place {
        let Place {
            latitude,
            longitude,
        } = self.corner();
        let off = dice % 50 * 2;
        Place {
            latitude: match carriageway {
                Carriageway::East => latitude + off,
                Carriageway::West => latitude + APART - 1 - off,
            },
            longitude: longitude + (dice >> 8) % BLOCKS * BLOCK + 1_400 + (dice >> 16) % 13 * 400,
        }
    }

    /// Where its vehicles park: by the carriageway to the east, more than 30 m from the
    /// other one and 23 m from where anything drives.
    pub fn kerb(self) -> Place {
        let Place {
            latitude,
            longitude,
        } = self.corner();
        Place {
            latitude: latitude - 180,
            longitude: longitude + 1_000,
        }
    }
}

impl Place {
    /// A hundred metres to the north: on no street.
    pub fn aside(self) -> Place {
        Place {
            latitude: self.latitude + 1_000,
            ..self
        }
    }

    /// Degrees.
    pub fn degrees(self) -> (f64, f64) {
        (self.latitude as f64 / 1e6, self.longitude as f64 / 1e6)
    }
}

impl Deployment {
    /// The same in the city that the fleet drives in, a road graph of the user's own.
    pub fn on_simple_streets(self) -> Deployment {
        let folder = self.scratch().join("streets");
        std::fs::create_dir_all(&folder).expect("a folder of our own");
        write_graph(&folder);
        let folder = folder.display().to_string();
        self.with("CITYPULSE_CITY__STREETS", folder)
    }
}

/// Edge `((street * 2 + carriageway) * 2 + block)` is a segment named `e` and that number.
fn write_graph(folder: &Path) {
    let mut nodes = String::from("osmid,x,y\n");
    // Nobody drives faster than the limit allows.
    let mut edges = String::from("uniqueid,u,v,length,lanes,speed_mph\n");
    for (number, (street, carriageway)) in (0..ROWS * COLUMNS)
        .flat_map(|street| [(street, Carriageway::East), (street, Carriageway::West)])
        .enumerate()
    {
        let (first_node, first_edge) = (number as u64 * (BLOCKS + 1), number as u64 * BLOCKS);
        let corner = Street(street).corner();
        let latitude = match carriageway {
            Carriageway::East => corner.latitude,
            Carriageway::West => corner.latitude + APART,
        };
        for end in 0..=BLOCKS {
            let longitude = corner.longitude + end * BLOCK;
            let (y, x) = Place {
                latitude,
                longitude,
            }
            .degrees();
            writeln!(nodes, "{},{x:.6},{y:.6}", first_node + end).expect("text grows");
        }
        for block in 0..BLOCKS {
            let (west, east) = (first_node + block, first_node + block + 1);
            let (from, to) = match carriageway {
                Carriageway::East => (west, east),
                Carriageway::West => (east, west),
            };
            writeln!(edges, "{},{from},{to},445,2,75", first_edge + block).expect("text grows");
        }
    }
    std::fs::write(folder.join("simple_nodes.csv"), nodes).expect("a file of our own");
    std::fs::write(folder.join("simple_edges.csv"), edges).expect("a file of our own");
}
