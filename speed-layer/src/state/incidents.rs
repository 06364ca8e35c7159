//! Active incidents, by event time.

use bytes::Bytes;
use compact_str::CompactString;
use events::{Body, Event, Incident, IncidentStatus, Offset, TopicPartition};
use foldhash::HashMap;
use hot_store::{Cell, Entry, Kind, Update};
use streets::StreetNetwork;

use super::{Origin, Slot, read_i64};
use crate::values;

/// How far an incident may be from the street that it is said to be on, metres.
const STREET_DISTANCE_M: f64 = 50.0;

struct IncidentState {
    order: (i64, Offset),
    started_at_us: i64,
    written_at_us: i64,
    incident: Incident,
}

pub(crate) struct Incidents {
    active: HashMap<CompactString, IncidentState>,
    /// Ended incidents with the time of their end, so that an older message
    /// that arrives late does not bring them back.
    resolved: HashMap<CompactString, (i64, Slot)>,
    dirty: Vec<CompactString>,
    dirty_cells: Vec<(CompactString, Slot)>,
    time_to_live_us: i64,
}

impl Default for Incidents {
    fn default() -> Self {
        Self {
            active: HashMap::default(),
            resolved: HashMap::default(),
            dirty: Vec::new(),
            dirty_cells: Vec::new(),
            time_to_live_us: Kind::Incident.time_to_live().as_micros() as i64,
        }
    }
}

impl Incidents {
    pub(crate) fn fold(&mut self, event: Event, origin: Origin, now_us: i64) {
        let Body::Incident(incident) = event.body else {
            return;
        };
        let id = incident.incident_id.clone();
        let order = (event.timestamp_us, origin.offset);
        if self
            .resolved
            .get(&id)
            .is_some_and(|(ended_us, _)| *ended_us >= event.timestamp_us)
        {
            return;
        }
        if let Some(known) = self.active.get_mut(&id) {
            known.started_at_us = known.started_at_us.min(event.timestamp_us);
            if order <= known.order {
                return;
            }
        }
        if incident.status() == IncidentStatus::Resolved {
            self.active.remove(&id);
            self.resolved
                .insert(id.clone(), (event.timestamp_us, origin.slot));
            self.dirty_cells.push((id.clone(), origin.slot));
        } else {
            let started_at_us = self
                .active
                .get(&id)
                .map_or(event.timestamp_us, |known| known.started_at_us);
            let state = IncidentState {
                order,
                started_at_us,
                written_at_us: now_us,
                incident: *incident,
            };
            self.active.insert(id.clone(), state);
        }
        self.dirty.push(id);
    }

    pub(crate) fn restore(&mut self, entry: &Entry, written_at_us: i64) {
        let Some(stored) = values::StoredIncident::parse(&entry.id, &entry.value) else {
            return;
        };
        let values::StoredIncident {
            incident,
            order,
            started_at_us,
        } = stored;
        let id = incident.incident_id.clone();
        self.active.insert(
            id,
            IncidentState {
                order,
                started_at_us,
                written_at_us,
                incident,
            },
        );
    }

    pub(crate) fn restore_cell(&mut self, slot: Slot, incident_id: &str, value: &[u8]) {
        if let Some(ended_us) = read_i64(value) {
            self.resolved.insert(incident_id.into(), (ended_us, slot));
        }
    }

    pub(crate) fn forget(&mut self, slot: Slot) {
        self.resolved.retain(|_, (_, owner)| *owner != slot);
    }

    /// Forgets what the stream has moved far beyond.
    pub(crate) fn close(&mut self, slot: Slot, watermark_us: i64) {
        let horizon_us = watermark_us.saturating_sub(self.time_to_live_us);
        let dirty_cells = &mut self.dirty_cells;
        self.resolved.retain(|id, (ended_us, owner)| {
            let keep = *owner != slot || *ended_us > horizon_us;
            if !keep {
                dirty_cells.push((id.clone(), slot));
            }
            keep
        });
    }

    /// Forgets incidents of which nothing was heard for as long as they are kept.
    pub(crate) fn expire(&mut self, now_us: i64) {
        let time_to_live_us = self.time_to_live_us;
        self.active
            .retain(|_, state| now_us - state.written_at_us < time_to_live_us);
    }

    pub(crate) fn drain(&mut self, streets: &StreetNetwork, updates: &mut Vec<Update>) {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        for id in self.dirty.drain(..) {
            let Some(state) = self.active.get(&id) else {
                updates.push(Update {
                    kind: Kind::Incident,
                    id: id.to_string(),
                    value: None,
                });
                continue;
            };
            let found = streets.nearest(state.incident.location, None, STREET_DISTANCE_M);
            let value = values::IncidentValue::new(
                &state.incident,
                state.order,
                state.started_at_us,
                found.map(|found| streets.segment(found.segment)),
            );
            updates.push(values::update(Kind::Incident, &id, &value));
        }
    }

    pub(crate) fn drain_cells(&mut self, partitions: &[TopicPartition], cells: &mut Vec<Cell>) {
        self.dirty_cells.sort_unstable();
        self.dirty_cells.dedup();
        for (id, slot) in self.dirty_cells.drain(..) {
            let ended = self.resolved.get(&id);
            cells.push(Cell {
                partition: partitions[slot as usize].clone(),
                key: format!("resolved:{id}"),
                value: ended.map(|(ended_us, _)| Bytes::copy_from_slice(&ended_us.to_le_bytes())),
            });
        }
    }

    pub(crate) fn active(&self) -> usize {
        self.active.len()
    }
}
