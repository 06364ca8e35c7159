//! What is worked on, and within which limits.

use events::Stream;
use lake::Table;
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
    /// The process takes at most about this much while it ingests, MiB.
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

/// How the batch layer keeps the lake in order by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaintenanceSection {
    /// Whether it does; `citypulse compact`, `retention` and `vacuum` do the same by hand.
    pub enabled: bool,
    /// Small files are merged this often, minutes,
    pub compact_every_min: u64,
    /// where a date has at least this many.
    pub compact_min_files: usize,
    /// Memory of the rows in work, MiB.
    pub compact_memory_mib: usize,
    /// Dates beyond their retention, and files that nobody needs, are removed this
    /// often, minutes.
    pub clean_every_min: u64,
    /// Replaced files stay this long for readers in other processes, hours; not less
    /// than a job may run.
    pub vacuum_retain_hours: u64,
}

impl Default for MaintenanceSection {
    fn default() -> Self {
        Self {
            enabled: true,
            compact_every_min: 10,
            compact_min_files: 8,
            compact_memory_mib: 128,
            clean_every_min: 360,
            vacuum_retain_hours: 48,
        }
    }
}

/// How the batch layer keeps the views up to date by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewsSection {
    /// Whether it does; `citypulse recompute` does it by hand.
    pub enabled: bool,
    /// Dates whose rows have changed are computed this often, seconds, or less often
    /// where that would take more than a tenth of the time.
    pub every_s: u64,
    /// Memory of the rows that are put in order, MiB; more goes to disk.
    pub memory_mib: usize,
}

impl Default for ViewsSection {
    fn default() -> Self {
        Self {
            enabled: true,
            every_s: 600,
            memory_mib: 256,
        }
    }
}

/// How many days the rows of each table are kept after the date of their event; 0
/// keeps them forever.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSection {
    pub vehicle_data: u32,
    pub gps_data: u32,
    pub traffic_camera_data: u32,
    pub weather_data: u32,
    pub emergency_incident_data: u32,
    pub alerts: u32,
    pub windows: u32,
    pub dead_letters: u32,
    pub job_runs: u32,
    /// Rows that arrived less than this many days ago are kept although their date is
    /// too old: who loads old recordings wants to look at them. `citypulse retention
    /// --no-grace` removes them.
    pub grace_days: u32,
}

const YEARS_2: u32 = 731;
const YEARS_7: u32 = 2_557;
const YEARS_10: u32 = 3_653;

impl Default for RetentionSection {
    fn default() -> Self {
        Self {
            vehicle_data: YEARS_7,
            gps_data: YEARS_7,
            traffic_camera_data: 90,
            weather_data: YEARS_10,
            emergency_incident_data: 0,
            alerts: 0,
            windows: 0,
            dead_letters: 0,
            job_runs: YEARS_2,
            grace_days: 30,
        }
    }
}

impl RetentionSection {
    /// What it says about `table`.
    pub fn days(&self, table: Table) -> u32 {
        match table {
            Table::Stream(Stream::VehicleData) => self.vehicle_data,
            Table::Stream(Stream::GpsData) => self.gps_data,
            Table::Stream(Stream::TrafficCameraData) => self.traffic_camera_data,
            Table::Stream(Stream::WeatherData) => self.weather_data,
            Table::Stream(Stream::EmergencyIncidentData) => self.emergency_incident_data,
            Table::Stream(Stream::Alerts) => self.alerts,
            Table::Stream(Stream::Windows) => self.windows,
            Table::DeadLetters => self.dead_letters,
            // Small, and what is left of raw rows that are gone.
            Table::View(_) | Table::Draft(_) => 0,
            Table::JobRuns => self.job_runs,
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
    /// Where `speed`, `batch` and `generate` serve `/livez`, `/readyz` and `/metrics`;
    /// 0: nowhere. `up` and `serve` have them on `port`.
    pub metrics_port: u16,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8000,
            metrics_port: 0,
        }
    }
}
