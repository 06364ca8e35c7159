//! What an audit says, for people, programs and metrics.

use events::window::WindowKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::verdict::Outcome;

/// So many windows are shown one by one.
pub(crate) const FINDINGS_MAX: usize = 100;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// Windows that begin here or later were looked at (RFC 3339); null without events.
    pub from: Option<String>,
    /// Windows of speeds that end by then were due; null where none was.
    pub until: Option<String>,
    /// The same of stations.
    pub until_stations: Option<String>,
    /// By kind.
    pub kinds: Vec<KindReport>,
    /// Up to 100 windows that differ, those first that should not.
    pub findings: Vec<Finding>,
    /// What was said anew, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed: Option<Healed>,
}

/// Windows of one kind, by what became of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KindReport {
    /// segment, cell, station or city.
    pub kind: String,
    /// The batch layer computes what the speed layer said.
    pub equal: u64,
    /// Equal but for events that came after their minute was closed.
    pub late: u64,
    /// Equal but for repeated messages, which were counted.
    pub duplicate: u64,
    /// Different, and nothing explains it.
    pub bug: u64,
    /// There are events in time, and nothing was said.
    pub missing: u64,
    /// Something was said, and there are no events.
    pub extra: u64,
    /// Not yet due, and so not judged.
    pub open: u64,
}

/// One window that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// segment, cell, station or city.
    pub kind: String,
    /// Which one.
    pub key: String,
    /// RFC 3339.
    pub window_start: String,
    /// late, duplicate, bug, missing or extra.
    pub result: String,
    /// What the speed layer said last.
    pub said: Option<Said>,
    /// What the batch layer computes of all events.
    pub computed: Option<Said>,
}

/// The figures of a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Said {
    /// Values in it.
    pub count: i64,
    /// Their mean.
    pub mean: Option<f64>,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The median, within 1 %.
    pub p50: Option<f64>,
    /// Nine of ten are at most this, within 1 %.
    pub p90: Option<f64>,
    /// 99 of 100 are at most this, within 1 %.
    pub p99: Option<f64>,
    /// Different devices; null for stations.
    pub vehicles: Option<i64>,
}

/// What was mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Healed {
    /// Windows appended to the topic `windows`, under their ids.
    pub windows: u64,
    /// Of them in the hot store, where they are still live.
    pub live: u64,
}

impl KindReport {
    pub(crate) fn new(kind: WindowKind) -> Self {
        Self {
            kind: kind.name().to_owned(),
            equal: 0,
            late: 0,
            duplicate: 0,
            bug: 0,
            missing: 0,
            extra: 0,
            open: 0,
        }
    }

    pub(crate) fn count(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Equal => &mut self.equal,
            Outcome::Late => &mut self.late,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Bug => &mut self.bug,
            Outcome::Missing => &mut self.missing,
            Outcome::Extra => &mut self.extra,
        };
        *count += 1;
    }

    /// Each result with its number of windows.
    pub fn results(&self) -> [(&'static str, u64); 7] {
        [
            ("equal", self.equal),
            ("late", self.late),
            ("duplicate", self.duplicate),
            ("bug", self.bug),
            ("missing", self.missing),
            ("extra", self.extra),
            ("open", self.open),
        ]
    }
}

impl Report {
    /// Windows that nothing explains: duplicates counted, bugs, missing and extra ones.
    pub fn wrong(&self) -> u64 {
        let of = |kind: &KindReport| kind.duplicate + kind.bug + kind.missing + kind.extra;
        self.kinds.iter().map(of).sum()
    }

    /// As metrics of this process.
    pub(crate) fn publish(&self) {
        for kind in &self.kinds {
            for (result, windows) in kind.results() {
                metrics::gauge!("citypulse_audit_windows", "kind" => kind.kind.clone(), "result" => result)
                    .set(windows as f64);
            }
        }
    }
}
