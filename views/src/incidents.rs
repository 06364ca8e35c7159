//! One date's incidents into `incident_daily`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use events::time::DAY_US;
use events::{IncidentStatus, Severity};
use lake::View;

use crate::Result;
use crate::groups::ViewRows;
use crate::source::{numbers, text};

/// Folds the messages of one date and the days before, incident by incident, each by
/// time.
pub(crate) struct IncidentFold {
    date: i32,
    day_us: Range<i64>,
    current: Current,
    /// By kind and severity.
    groups: BTreeMap<(String, &'static str), Group>,
}

/// The incident in work.
#[derive(Default)]
struct Current {
    incident_id: String,
    incident_type: String,
    severity: &'static str,
    /// Since when it goes on; `None` while it is over, and before its first message.
    since_us: Option<i64>,
    is_known: bool,
    today: Group,
}

/// Incidents of one kind and severity.
#[derive(Clone, Copy, Default)]
struct Group {
    count: i64,
    opened: i64,
    ended: i64,
    duration_us: i64,
}

impl IncidentFold {
    pub(crate) fn new(date: i32) -> Self {
        let start_us = i64::from(date) * DAY_US;
        Self {
            date,
            day_us: start_us..start_us + DAY_US,
            current: Current::default(),
            groups: BTreeMap::new(),
        }
    }

    pub(crate) fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        let ids = text(rows, "incident_id")?;
        let (types, statuses) = (text(rows, "incident_type")?, text(rows, "status")?);
        let severities = text(rows, "severity")?;
        let times = numbers::<TimestampMicrosecondType>(rows, "timestamp")?;
        for row in 0..rows.num_rows() {
            if self.current.incident_id != ids.value(row) {
                self.end_incident();
                self.current.incident_id = ids.value(row).to_owned();
            }
            let (time_us, incident_type) = (times.value(row), types.value(row));
            let is_today = self.day_us.contains(&time_us);
            let is_over = IncidentStatus::parse(statuses.value(row)).is_over();
            let current = &mut self.current;
            let given = severities.is_valid(row).then(|| severities.value(row));
            let severity = given
                .and_then(Severity::parse)
                .unwrap_or_else(|| Severity::of_incident_type(incident_type));
            current.severity = severity.name();
            current.incident_type.clear();
            current.incident_type.push_str(incident_type);
            // One that was over and flares up again begins anew.
            if current.since_us.is_none() && !(is_over && current.is_known) {
                current.since_us = Some(time_us);
                current.today.opened += i64::from(is_today);
            }
            current.is_known = true;
            if is_today {
                current.today.count = 1;
            }
            if is_over
                && let Some(since_us) = current.since_us.take()
                && is_today
            {
                current.today.ended += 1;
                current.today.duration_us += time_us - since_us;
            }
        }
        Ok(())
    }

    fn end_incident(&mut self) {
        let done = std::mem::take(&mut self.current);
        if done.today.count == 0 {
            return;
        }
        let group = self
            .groups
            .entry((done.incident_type, done.severity))
            .or_default();
        group.count += done.today.count;
        group.opened += done.today.opened;
        group.ended += done.today.ended;
        group.duration_us += done.today.duration_us;
    }

    pub(crate) fn finish(mut self) -> Result<Vec<(View, RecordBatch)>> {
        self.end_incident();
        let all = &self.groups;
        let mut rows = ViewRows::new(View::IncidentDaily);
        let types = all.keys().map(|(incident_type, _)| incident_type);
        rows.put(
            "incident_type",
            Arc::new(StringArray::from_iter_values(types)),
        );
        let severities = all.keys().map(|(_, severity)| *severity);
        rows.put(
            "severity",
            Arc::new(StringArray::from_iter_values(severities)),
        );
        let mut whole = |name, of: fn(&Group) -> i64| {
            rows.put(name, Arc::new(all.values().map(of).collect::<Int64Array>()));
        };
        whole("count", |group| group.count);
        whole("opened", |group| group.opened);
        whole("ended", |group| group.ended);
        let seconds = |group: &Group| group.duration_us as f64 / 1e6;
        let sums = all.values().map(|group| Some(seconds(group)));
        rows.put("sum_duration_s", Arc::new(sums.collect::<Float64Array>()));
        let means = all
            .values()
            .map(|group| (group.ended > 0).then(|| seconds(group) / group.ended as f64));
        rows.put("mean_duration_s", Arc::new(means.collect::<Float64Array>()));
        Ok(vec![(
            View::IncidentDaily,
            rows.finish(self.date, all.len())?,
        )])
    }
}
