//! What said something about itself last, by event time: stations, cameras,
//! incidents.

use bytes::Bytes;
use compact_str::CompactString;
use events::{Body, Event, Offset, Stream};
use foldhash::HashMap;

/// What the key of such a cell begins with.
pub(crate) const LATEST_PREFIX: &str = "latest:";

/// The newest message of one thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Latest {
    /// Event time and offset: the newest wins, ties by offset.
    pub(crate) order: (i64, Offset),
    pub(crate) appended_at_us: i64,
    /// The earliest event time seen.
    pub(crate) started_at_us: i64,
    pub(crate) event: Event,
}

impl Latest {
    /// An incident that is over: kept, so that an older message that comes late
    /// does not bring it back.
    pub(crate) fn is_over(&self) -> bool {
        match &self.event.body {
            Body::Incident(incident) => incident.status().is_over(),
            _ => false,
        }
    }

    fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend_from_slice(&self.order.1.to_le_bytes());
        bytes.extend_from_slice(&self.appended_at_us.to_le_bytes());
        bytes.extend_from_slice(&self.started_at_us.to_le_bytes());
        bytes.extend_from_slice(&self.event.to_json());
        bytes.into()
    }

    pub(crate) fn decode(stream: Stream, bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (appended, rest) = rest.split_first_chunk()?;
        let (started, json) = rest.split_first_chunk()?;
        let appended_at_us = i64::from_le_bytes(*appended);
        let json = Bytes::copy_from_slice(json);
        let event = events::decode(stream, &json, appended_at_us).ok()?;
        Some(Self {
            order: (event.timestamp_us, i64::from_le_bytes(*offset)),
            appended_at_us,
            started_at_us: i64::from_le_bytes(*started),
            event,
        })
    }
}

/// What the thing that an event is about is called; `None` for moving things.
pub(crate) fn subject_of(event: &Event) -> Option<&CompactString> {
    match &event.body {
        Body::Camera(camera) => Some(&camera.camera_id),
        Body::Incident(incident) => Some(&incident.incident_id),
        Body::Weather(_) => Some(&event.device_id),
        _ => None,
    }
}

/// The newest message per thing, as one partition has them.
#[derive(Debug, Default)]
pub(crate) struct LatestById {
    pub(crate) by_id: HashMap<CompactString, Latest>,
    unsaved: Vec<CompactString>,
}

impl LatestById {
    /// Takes a message in.
    pub(crate) fn fold(&mut self, event: Event, offset: Offset, appended_at_us: i64) {
        let Some(id) = subject_of(&event).cloned() else {
            return;
        };
        let order = (event.timestamp_us, offset);
        let mut started_at_us = event.timestamp_us;
        if let Some(known) = self.by_id.get_mut(&id) {
            // An incident that flares up again begins anew.
            let goes_on = !known.is_over() || order <= known.order;
            if goes_on {
                started_at_us = started_at_us.min(known.started_at_us);
            }
            if order <= known.order {
                if started_at_us < known.started_at_us && !known.is_over() {
                    known.started_at_us = started_at_us;
                    self.unsaved.push(id);
                }
                return;
            }
        }
        let latest = Latest {
            order,
            appended_at_us,
            started_at_us,
            event,
        };
        self.by_id.insert(id.clone(), latest);
        self.unsaved.push(id);
    }

    /// Whether a message of that order would be the newest.
    pub(crate) fn is_newest(&self, id: &str, order: (i64, Offset)) -> bool {
        self.by_id.get(id).is_none_or(|known| order > known.order)
    }

    /// Forgets what has not been heard of for `keep_us` by the log's clock.
    pub(crate) fn forget(&mut self, appended_at_us: i64, keep_us: i64) {
        let unsaved = &mut self.unsaved;
        self.by_id.retain(|id, latest| {
            let keep = appended_at_us.saturating_sub(latest.appended_at_us) < keep_us;
            if !keep {
                unsaved.push(id.clone());
            }
            keep
        });
    }

    pub(crate) fn drain_cells(&mut self, cells: &mut Vec<(String, Option<Bytes>)>) {
        self.unsaved.sort_unstable();
        self.unsaved.dedup();
        for id in self.unsaved.drain(..) {
            let value = self.by_id.get(&id).map(Latest::encode);
            cells.push((format!("{LATEST_PREFIX}{id}"), value));
        }
    }

    pub(crate) fn restore(&mut self, stream: Stream, id: &str, value: &[u8]) {
        if let Some(latest) = Latest::decode(stream, value) {
            self.by_id.insert(id.into(), latest);
        }
    }
}
