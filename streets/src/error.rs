//! Why streets could not be loaded.

use std::path::PathBuf;

/// The result of loading.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why streets could not be loaded. None of these goes away by trying again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text names no known source.
    #[error(
        "no streets at {0:?}: expected \"gothenburg\", the path of an .osm.pbf extract, or a folder or path prefix with *_nodes.csv and *_edges.csv"
    )]
    UnknownSource(String),
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An extract is damaged or not in the PBF format.
    #[error("cannot read {path} as an OpenStreetMap PBF extract")]
    Pbf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: osmpbf::Error,
    },
    /// A CSV file does not hold what it should.
    #[error("cannot read {path}, line {line}: {detail}")]
    Csv {
        /// The file.
        path: PathBuf,
        /// Counted from 1, the header included.
        line: u64,
        /// Field, value and what was expected.
        detail: String,
    },
    /// The embedded streets are damaged.
    #[error("the built-in streets are damaged: {0}")]
    Embedded(String),
    /// The source holds no drivable street.
    #[error("no drivable street in {0}")]
    Empty(String),
}
