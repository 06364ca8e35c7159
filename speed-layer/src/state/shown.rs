//! What readers see: hot values made of the state.

use compact_str::CompactString;
use events::time::format_rfc3339;
use events::{Body, Event, Stream, TopicPartition};
use foldhash::HashMap;
use hot_store::{Cell, Kind, Update};
use rules::AlertStep;
use tracks::{DeviceSlot, Ground, Motion, Track, TrailPoint};

use super::closing::{GroupTime, Progress};
use super::combined::{Combined, newest_of};
use super::latest::Latest;
use super::partition::{Extra, Partition, motion};
use super::shared::{Group, Shared};
use super::{
    FLUSHED, Slot, State, age, combined_cells_of, is_live, learned_cells_of, write_offset,
};
use crate::values;

/// How far an incident may be from the street that it is said to be on, metres.
const STREET_DISTANCE_M: f64 = 50.0;

/// A device of one of this process's partitions. What waits to be shown are these, not
/// values: a value is made when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Device {
    pub(super) at: Slot,
    slot: DeviceSlot,
}

impl State {
    /// Looks for vehicles that have fallen silent, in one partition after the other: a
    /// look at all would hold up the rest.
    pub(crate) fn look_for_silence(&mut self, now_us: i64) {
        let silent_after_us = self.silent_after_us();
        self.silence_turn = (self.silence_turn + 1) % self.partitions.len().max(1);
        let turn = self.partitions.get_mut(self.silence_turn);
        if let Some(partition) = turn.and_then(Option::as_mut)
            && !partition.is_catching_up
        {
            partition.show_silent(now_us, silent_after_us);
        }
    }

    /// In a partition that is idle, time goes on by the clock for its rules: where
    /// nobody says anything more, a device is silent all the same. Only as long as this
    /// process looks on: after a break of its own nobody else was silent.
    pub(crate) fn pass_idle_time(&mut self) {
        let idle_us = self.idle_us();
        let watched_us = self.combined.watched_us();
        for partition in self.partitions.iter_mut().flatten() {
            let progress = progress_of(&partition.shared, &self.combined, idle_us);
            if let Some(idle_for_us) = progress.idle_for_us
                && !partition.is_catching_up
            {
                let time_us = progress.watermark_us + idle_for_us.min(watched_us);
                partition.hooks.on_time(time_us);
            }
        }
    }

    /// Gathers the vehicles that moved or fell silent, besides those that wait already,
    /// to be shown by [`State::drain_vehicles`].
    pub(crate) fn gather_vehicles(&mut self) {
        for (at, partition) in self.partitions.iter_mut().enumerate() {
            let Some(partition) = partition.as_mut().filter(|p| !p.is_catching_up) else {
                continue;
            };
            let at = at as Slot;
            let unshown = partition.take_unshown().into_iter();
            self.moved.extend(unshown.map(|slot| Device { at, slot }));
        }
    }

    /// Whether all that were gathered are shown.
    pub(crate) fn are_vehicles_shown(&self) -> bool {
        self.moved.is_empty()
    }

    /// The next `most` of the vehicles that were gathered, as they are now.
    pub(crate) fn drain_vehicles(&mut self, most: usize, now_us: i64) -> Vec<Update> {
        let mut updates = Vec::with_capacity(most.min(self.moved.len()));
        while updates.len() < most
            && let Some(device) = self.moved.pop_front()
        {
            if let Some(partition) = self.partitions[usize::from(device.at)].as_mut() {
                partition.shown(device.slot);
            }
            let track = self.track(device);
            if track.is_some_and(|track| track.extra.details.is_none()) {
                self.unknown.insert(device);
            }
            updates.extend(self.vehicle(device, now_us));
        }
        updates
    }

    /// Some of the vehicles that wait for [`State::recall`], at most so many.
    pub(crate) fn take_unknown(&mut self, most: usize) -> Vec<(Device, String)> {
        let some: Vec<Device> = self.unknown.iter().take(most).copied().collect();
        let unknown = &mut self.unknown;
        some.iter().for_each(|device| {
            unknown.remove(device);
        });
        let id = |device| Some((device, self.track(device)?.device_id().to_string()));
        some.into_iter().filter_map(id).collect()
    }

    /// What a vehicle said of itself, from its stored value: it is shown then, unless it
    /// says something newer itself.
    pub(crate) fn recall(&mut self, device: Device, value: &[u8]) {
        if let Some(partition) = self.partitions[usize::from(device.at)].as_mut()
            && let Some(track) = partition.tracker.track_mut(device.slot)
            && track.extra.details.is_none()
        {
            track.extra.details = values::read_details(value);
            if track.extra.details.is_some() {
                partition.show(device.slot);
            }
        }
    }

    fn track(&self, device: Device) -> Option<&Track<Extra>> {
        let partition = self.partitions[usize::from(device.at)].as_ref()?;
        partition.tracker.track(device.slot)
    }

    fn vehicle(&self, device: Device, now_us: i64) -> Option<Update> {
        let track = self.track(device)?;
        // Where the records of a device are in several partitions, the newest of
        // them speaks. It is unshown itself if this one is not the newest.
        if self.spread.contains(&track.device_hash())
            && !self.is_newest_in(device.at.into(), track.device_id(), track.order())
        {
            return None;
        }
        let details = track.extra.details.as_ref()?;
        if !is_live(Kind::Vehicle, track.appended_at_us(), now_us) {
            return None;
        }
        let location = track.location();
        let state = motion(track, now_us, self.silent_after_us());
        let is_silent = state == Motion::Silent;
        let on_trip = track.trip_started_us().filter(|_| !is_silent);
        let value = values::Vehicle {
            vehicle_id: track.device_id(),
            latitude: location.latitude,
            longitude: location.longitude,
            speed: track.speed_kmh(),
            direction: track.heading_deg(),
            timestamp: format_rfc3339(track.order().0),
            last_moved: track.last_moved_us().map(format_rfc3339),
            state: state.name(),
            trip_started_at: on_trip.map(format_rfc3339),
            last_trip: track.last_trip(is_silent).map(values::Trip::of),
            bad_fixes: track.bad_fixes().map(values::BadFixes::of),
            distance_today_m: values::round1(track.distance_today_m()),
            road_id: track
                .segment()
                .map(|segment| self.streets.segment_id(segment)),
            log_offset: track.order().1,
            details: values::VehicleDetails::of(details),
        };
        let update = values::update(Kind::Vehicle, track.device_id(), &value);
        Some(update.aged(age(track.appended_at_us(), now_us)))
    }

    fn tracks_of(&self, device_id: &str) -> impl Iterator<Item = &Track<Extra>> {
        let partitions = self.partitions.iter().flatten();
        partitions.filter_map(move |partition| Some(partition.tracker.by_id(device_id)?.1))
    }

    /// Whose trails grew since the last call, and cells that say how far, to be written
    /// after them.
    pub(crate) fn drain_trails(&mut self, now_us: i64) -> (Vec<Device>, Vec<Cell>) {
        let (mut grown, mut cells) = (Vec::new(), Vec::new());
        for at in 0..self.partitions.len() {
            let Some(partition) = self.partitions[at].as_mut() else {
                continue;
            };
            if partition.is_catching_up {
                continue;
            }
            let unshown = partition.take_unshown_trails();
            let position = partition.shared.position;
            if position == partition.flushed {
                continue;
            }
            partition.flushed = position;
            cells.push(Cell {
                partition: partition.shared.id.clone(),
                key: FLUSHED.to_owned(),
                value: Some(write_offset(position)),
            });
            let tracker = &partition.tracker;
            let live = unshown.into_iter().filter(|slot| {
                let track = tracker.track(*slot);
                track.is_some_and(|track| is_live(Kind::Trail, track.appended_at_us(), now_us))
            });
            let at = at as Slot;
            grown.extend(live.map(|slot| Device { at, slot }));
        }
        (grown, cells)
    }

    /// A trail as it is now.
    pub(crate) fn trail(&self, device: Device, now_us: i64) -> Option<Update> {
        let track = self.track(device)?;
        if !is_live(Kind::Trail, track.appended_at_us(), now_us) {
            return None;
        }
        let age = age(track.appended_at_us(), now_us);
        if !self.spread.contains(&track.device_hash()) {
            return Some(values::trail(track.device_id(), track.trail()).aged(age));
        }
        let mut points: Vec<TrailPoint> = self
            .tracks_of(track.device_id())
            .flat_map(Track::trail)
            .collect();
        points.sort_by_key(|point| point.timestamp_us);
        let newest = points.split_off(points.len().saturating_sub(tracks::TRAIL_LENGTH));
        Some(values::trail(track.device_id(), newest.into_iter()).aged(age))
    }

    /// Whether all partitions of the city are known as they are: this process's
    /// own have caught up, the others' checkpoints were read.
    pub(crate) fn can_combine(&self) -> bool {
        let own = self.partitions.iter().flatten();
        let caught_up = own.clone().all(|partition| !partition.is_catching_up);
        let known = |id: &TopicPartition| {
            self.slots.contains_key(id) || self.combined.remotes.contains_key(id)
        };
        caught_up && !self.combined.ends.is_empty() && self.combined.ends.keys().all(known)
    }

    /// Stations, cameras and incidents that said something new.
    pub(crate) fn drain_latest(&mut self, now_us: i64) -> Vec<Update> {
        let (combined, partitions) = (&mut self.combined, &self.partitions);
        let remotes = std::mem::take(&mut combined.remotes);
        let parts = all_parts(partitions, remotes.values().map(|remote| &remote.shared));
        let mut updates = Vec::new();
        let mut weather_changed = false;
        for (stream, id) in combined.take_unshown_latest(&parts) {
            let Some((latest, started_at_us)) = newest_of(&parts, stream, &id) else {
                continue;
            };
            let update = latest_update(&self.streets, &id, latest, started_at_us, now_us);
            updates.extend(update);
            weather_changed |= stream == Stream::WeatherData;
        }
        if weather_changed {
            updates.extend(city_weather(&parts, now_us));
        }
        drop(parts);
        combined.remotes = remotes;
        updates
    }

    /// Closes windows, and finds what else follows from all partitions: what rules over
    /// them say, for the topic of alerts, and values that are due, for
    /// [`State::drain_combined`].
    pub(crate) fn combine(&mut self, now_us: i64) -> Vec<AlertStep> {
        self.look_for_breaks();
        let times = Group::ALL.map(|group| self.time_of(group));
        let combined = &mut self.combined;
        for partition in self.partitions.iter_mut().flatten() {
            combined.collect_panes(&mut partition.shared);
        }
        let mut remotes = std::mem::take(&mut combined.remotes);
        for remote in remotes.values_mut() {
            combined.collect_panes(&mut remote.shared);
        }
        let parts = all_parts(
            &self.partitions,
            remotes.values().map(|remote| &remote.shared),
        );
        combined.close_panes(&parts, times, &self.streets, now_us);
        let incidents = active_incidents(&parts, now_us);
        let heard_us = |id: &str| {
            let (latest, _) = newest_of(&parts, Stream::EmergencyIncidentData, id)?;
            Some(latest.order.0)
        };
        combined.hooks.on_incidents(incidents.into_iter(), heard_us);
        let alerts = combined.hooks.take_steps();
        drop(parts);
        combined.remotes = remotes;
        alerts
    }

    fn look_for_breaks(&mut self) {
        let mut newest_us = HashMap::<Option<Group>, i64>::default();
        for part in self.parts() {
            let newest_us = newest_us.entry(Group::of(part.stream)).or_insert(i64::MIN);
            *newest_us = part.appended_us_max().max(*newest_us);
        }
        let idle_us = self.idle_us();
        for (group, newest_us) in newest_us {
            self.combined.look(group, newest_us, idle_us);
        }
    }

    /// Whether all that [`State::combine`] found due is shown.
    pub(crate) fn is_combined_shown(&self) -> bool {
        self.combined.is_shown()
    }

    /// How many windows and roads are due.
    pub(crate) fn combined_due(&self) -> usize {
        self.combined.due()
    }

    /// The next `most` windows and roads that are due, as they are now. `closed` is told
    /// of those windows that are closed: before the store says so, the log has to.
    pub(crate) fn drain_combined(
        &mut self,
        most: usize,
        now_us: i64,
        mut closed: impl FnMut(Event),
    ) -> Vec<Update> {
        let combined = &mut self.combined;
        let remotes = std::mem::take(&mut combined.remotes);
        let shared = remotes.values().map(|remote| &remote.shared);
        let parts = all_parts(&self.partitions, shared);
        let updates = combined.drain_due(most, &parts, &self.streets, now_us, &mut closed);
        drop(parts);
        combined.remotes = remotes;
        updates
    }

    /// Alerts of which something new is to be shown.
    pub(crate) fn drain_alerts(&mut self, now_us: i64) -> Vec<Update> {
        let partitions = self.partitions.iter_mut().flatten();
        partitions
            .filter(|partition| !partition.is_catching_up)
            .flat_map(|partition| partition.hooks.alerts.take_unshown(now_us))
            .collect()
    }

    /// Alerts that are not over, in this process's partitions.
    pub(crate) fn active_alerts(&self) -> usize {
        let partitions = self.partitions.iter().flatten();
        partitions
            .map(|partition| partition.hooks.alerts.active())
            .sum()
    }

    /// What the combining process stores with values that [`State::combine`] made.
    pub(crate) fn combined_cells(&mut self, first: &TopicPartition) -> Vec<Cell> {
        let remotes = std::mem::take(&mut self.combined.remotes);
        let parts = all_parts(
            &self.partitions,
            remotes.values().map(|remote| &remote.shared),
        );
        let cells = self.combined.cells(&parts);
        drop(parts);
        self.combined.remotes = remotes;
        let (city, learned) = (combined_cells_of(first), learned_cells_of(first));
        let cells = cells.into_iter().map(|(key, value)| Cell {
            partition: city.clone(),
            key,
            value,
        });
        let streets = &self.streets;
        let changed = self.combined.drain_learned().into_iter();
        let changed = changed.map(|(segment, bytes)| Cell {
            partition: learned.clone(),
            key: streets.segment_id(segment).to_owned(),
            value: Some(bytes.into()),
        });
        cells.chain(changed).collect()
    }

    /// What is stored with the values that [`State::drain_latest`] made.
    pub(crate) fn latest_shown(&mut self, first: &TopicPartition) -> Cell {
        let remotes = std::mem::take(&mut self.combined.remotes);
        let shared = remotes.values().map(|remote| &remote.shared);
        let parts = all_parts(&self.partitions, shared);
        let (key, value) = self.combined.latest_cell(&parts);
        drop(parts);
        self.combined.remotes = remotes;
        Cell {
            partition: combined_cells_of(first),
            key,
            value,
        }
    }

    pub(super) fn idle_us(&self) -> i64 {
        i64::from(self.config.idle_s) * 1_000_000
    }

    fn time_of(&self, group: Group) -> GroupTime {
        let idle_us = self.idle_us();
        let parts = self.parts();
        let progress: Vec<Progress> = parts
            .iter()
            .filter(|part| Group::of(part.stream) == Some(group))
            .map(|part| progress_of(part, &self.combined, idle_us))
            .collect();
        GroupTime::of(&progress)
    }

    /// Every part of the city that is known, and its owner's counts of vehicles.
    pub(super) fn parts(&self) -> Vec<&Shared> {
        let remotes = self.combined.remotes.values().map(|remote| &remote.shared);
        all_parts(&self.partitions, remotes)
    }
}

/// How far event time has come in a part, and whether it is idle.
fn progress_of(part: &Shared, combined: &Combined, idle_us: i64) -> Progress {
    let end = combined.ends.get(&part.id).copied();
    let is_at_end = end.is_some_and(|end| part.position >= end);
    let group = Group::of(part.stream);
    let quiet_us = combined.quiet_us(group, part.appended_us_max(), idle_us);
    Progress {
        watermark_us: part.watermark.current_us(),
        reached_us: part.watermark.reached_us(),
        idle_for_us: is_at_end
            .then(|| quiet_us.saturating_sub(idle_us))
            .filter(|us| *us >= 0),
    }
}

fn all_parts<'a>(
    partitions: &'a [Option<Partition>],
    remotes: impl Iterator<Item = &'a Shared>,
) -> Vec<&'a Shared> {
    let own = partitions
        .iter()
        .flatten()
        .map(|partition| &partition.shared);
    own.chain(remotes).collect()
}

/// The incidents that go on, each once, and since when.
fn active_incidents<'a>(parts: &[&'a Shared], now_us: i64) -> Vec<(&'a Latest, i64)> {
    let stream = Stream::EmergencyIncidentData;
    let reporting = parts.iter().filter(|part| part.stream == stream);
    let mut ids: Vec<&CompactString> = reporting
        .flat_map(|part| part.latest.by_id.keys())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
        .filter_map(|id| newest_of(parts, stream, id))
        .filter(|(latest, _)| {
            !latest.is_over() && is_live(Kind::Incident, latest.appended_at_us, now_us)
        })
        .collect()
}

fn latest_update(
    streets: &tracks::Streets,
    id: &str,
    latest: &Latest,
    started_at_us: i64,
    now_us: i64,
) -> Option<Update> {
    let is_live = |kind| is_live(kind, latest.appended_at_us, now_us);
    let update = match &latest.event.body {
        Body::Incident(_) if latest.is_over() => Some(Update::new(Kind::Incident, id, None)),
        Body::Incident(incident) if is_live(Kind::Incident) => {
            let network = streets.network();
            let found = network.nearest(incident.location, None, STREET_DISTANCE_M);
            let road = found.map(|found| network.segment(found.segment));
            let value = values::IncidentValue::new(incident, latest.order, started_at_us, road);
            Some(values::update(Kind::Incident, id, &value))
        }
        Body::Camera(camera) if is_live(Kind::Camera) => {
            let value = values::Camera::new(latest.order, camera);
            Some(values::update(Kind::Camera, id, &value))
        }
        Body::Weather(weather) if is_live(Kind::Station) => {
            let value = values::Station::new(id, latest.order, weather);
            Some(values::update(Kind::Station, id, &value))
        }
        _ => None,
    };
    update.map(|update| update.aged(age(latest.appended_at_us, now_us)))
}

/// The mean over the stations that are live.
fn city_weather(parts: &[&Shared], now_us: i64) -> Option<Update> {
    let live = super::city::live_latest(parts, Stream::WeatherData, Kind::Station, now_us);
    let stations: Vec<_> = live
        .iter()
        .filter_map(|latest| match &latest.event.body {
            Body::Weather(weather) => Some((latest.order.0, weather.plausible())),
            _ => None,
        })
        .collect();
    let city = values::CityWeather::of(stations.iter().map(|(time_us, said)| (*time_us, said)));
    let appended_at_us = live.iter().map(|latest| latest.appended_at_us).max()?;
    let update = values::update(Kind::Weather, "", &city);
    Some(update.aged(age(appended_at_us, now_us)))
}
