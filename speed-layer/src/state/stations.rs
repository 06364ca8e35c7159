//! What fixed things said last: weather stations and cameras.

use compact_str::CompactString;
use events::{Body, DeviceId, Event, Offset, TrafficCamera, Weather};
use foldhash::HashMap;
use hot_store::{Entry, Kind, Update};

use crate::values;

struct Latest<T> {
    order: (i64, Offset),
    value: T,
    written_at_us: i64,
}

/// The newest message per station, and the city's weather made of them.
#[derive(Default)]
pub(crate) struct Stations {
    by_id: HashMap<DeviceId, Latest<Weather>>,
    dirty: Vec<DeviceId>,
}

impl Stations {
    pub(crate) fn fold(&mut self, event: Event, offset: Offset, now_us: i64) {
        let Body::Weather(weather) = event.body else {
            return;
        };
        let order = (event.timestamp_us, offset);
        if insert_newer(
            &mut self.by_id,
            event.device_id.clone(),
            order,
            *weather,
            now_us,
        ) {
            self.dirty.push(event.device_id);
        }
    }

    pub(crate) fn restore(&mut self, entry: &Entry, written_at_us: i64) {
        if let Some((order, value)) = values::parse_station(&entry.value) {
            self.by_id.insert(
                entry.id.as_str().into(),
                Latest {
                    order,
                    value,
                    written_at_us,
                },
            );
        }
    }

    pub(crate) fn drain(&mut self, now_us: i64, updates: &mut Vec<Update>) {
        if self.dirty.is_empty() {
            return;
        }
        self.dirty.sort_unstable();
        self.dirty.dedup();
        for id in self.dirty.drain(..) {
            if let Some(latest) = self.by_id.get(&id) {
                let value = values::Station::new(&id, latest.order, &latest.value);
                updates.push(values::update(Kind::Station, &id, &value));
            }
        }
        let live = self
            .by_id
            .values()
            .filter(|latest| is_live(Kind::Station, latest.written_at_us, now_us));
        let live: Vec<_> = live
            .map(|latest| (latest.order.0, latest.value.plausible()))
            .collect();
        let city = values::CityWeather::of(live.iter().map(|(time_us, said)| (*time_us, said)));
        updates.push(values::update(Kind::Weather, "", &city));
    }

    pub(crate) fn expire(&mut self, now_us: i64) {
        self.by_id
            .retain(|_, latest| is_live(Kind::Station, latest.written_at_us, now_us));
    }

    pub(crate) fn live(&self) -> usize {
        self.by_id.len()
    }
}

/// The newest message per camera.
#[derive(Default)]
pub(crate) struct Cameras {
    by_id: HashMap<CompactString, Latest<TrafficCamera>>,
    dirty: Vec<CompactString>,
}

impl Cameras {
    pub(crate) fn fold(&mut self, event: Event, offset: Offset, now_us: i64) {
        let Body::Camera(camera) = event.body else {
            return;
        };
        let id = camera.camera_id.clone();
        let order = (event.timestamp_us, offset);
        if insert_newer(&mut self.by_id, id.clone(), order, camera, now_us) {
            self.dirty.push(id);
        }
    }

    pub(crate) fn restore(&mut self, entry: &Entry, written_at_us: i64) {
        if let Some((order, value)) = values::parse_camera(&entry.id, &entry.value) {
            self.by_id.insert(
                entry.id.as_str().into(),
                Latest {
                    order,
                    value,
                    written_at_us,
                },
            );
        }
    }

    pub(crate) fn drain(&mut self, updates: &mut Vec<Update>) {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        for id in self.dirty.drain(..) {
            if let Some(latest) = self.by_id.get(&id) {
                let value = values::Camera::new(latest.order, &latest.value);
                updates.push(values::update(Kind::Camera, &id, &value));
            }
        }
    }

    pub(crate) fn expire(&mut self, now_us: i64) {
        self.by_id
            .retain(|_, latest| is_live(Kind::Camera, latest.written_at_us, now_us));
    }

    pub(crate) fn live(&self) -> usize {
        self.by_id.len()
    }
}

fn insert_newer<T>(
    by_id: &mut HashMap<CompactString, Latest<T>>,
    id: CompactString,
    order: (i64, Offset),
    value: T,
    now_us: i64,
) -> bool {
    if by_id.get(&id).is_some_and(|known| order <= known.order) {
        return false;
    }
    by_id.insert(
        id,
        Latest {
            order,
            value,
            written_at_us: now_us,
        },
    );
    true
}

fn is_live(kind: Kind, written_at_us: i64, now_us: i64) -> bool {
    now_us - written_at_us < kind.time_to_live().as_micros() as i64
}
