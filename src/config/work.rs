//! What is worked on, and within which limits.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CitySection {
    /// `gothenburg`, an `.osm.pbf` extract, or a folder with `*_nodes.csv` and
    /// `*_edges.csv`.
    pub streets: String,
}

impl Default for CitySection {
    fn default() -> Self {
        Self {
            streets: "gothenburg".into(),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSection {
    /// Rows of a table are committed when they take this much memory, MiB,
    pub flush_mib: usize,
    /// or when the oldest has waited this long, seconds,
    pub flush_age_s: f64,
    /// or when nothing has come for this long, seconds.
    pub flush_idle_s: f64,
    /// All rows in memory never take more than this, MiB.
    pub memory_mib: usize,
}

impl Default for BatchSection {
    fn default() -> Self {
        Self {
            flush_mib: 128,
            flush_age_s: 30.0,
            flush_idle_s: 2.0,
            memory_mib: 512,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySection {
    /// Memory of all running statements, MiB; beyond it they spill to disk.
    pub memory_mib: usize,
    /// The log's tail in memory, MiB; beyond it statements read the log.
    pub tail_mib: usize,
    /// Longest run of a statement, seconds.
    pub timeout_s: u64,
    /// Most rows of one answer.
    pub max_rows: usize,
}

impl Default for QuerySection {
    fn default() -> Self {
        Self {
            memory_mib: 512,
            tail_mib: 128,
            timeout_s: 60,
            max_rows: 1_000_000,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSection {
    /// Address to listen on; only this machine by default.
    pub host: String,
    pub port: u16,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8000,
        }
    }
}
