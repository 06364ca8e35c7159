//! One partition: all that its records amount to, and nothing of any other.

use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use events::hexagons::{HexagonIndex, Hexagons, NO_HEXAGON};
use events::window::PANE_US;
use events::{Body, Event, Offset, Stream, TopicPartition};
use rules::RuleSet;
use streets::FreeFlow;
use tracks::{Accepted, DeviceSlot, Motion, Streets, Tracker, Verdict, hash64};

use super::fenced::Fences;
use super::hooks::PartitionHooks;
use super::latest::subject_of;
use super::panes::{Measured, PaneKey, Place, Places};
use super::shared::{Shared, VehicleCounts};
use super::{Counts, Details, is_live};
use crate::config::SpeedConfig;
use hot_store::Kind;

/// Things that said nothing for this long by the log's clock are forgotten.
const KEEP_LATEST_US: i64 = 24 * 3_600_000_000;

/// What the tracks no longer need is let go this often, by the watermark.
const TIME_STEP_US: i64 = 1_000_000;

/// What is kept with a device's track and follows from records still to come:
/// it is not stored.
#[derive(Debug)]
pub(crate) struct Extra {
    /// Of the newest fix; `None` until the first one after a restart.
    pub(crate) details: Option<Details>,
    pub(crate) is_unshown: bool,
    pub(crate) is_trail_unshown: bool,
    /// Whether it was told to the process that the device is in this partition.
    pub(crate) is_registered: bool,
    /// Its silence was shown.
    pub(crate) is_silent: bool,
    hexagon: HexagonIndex,
    places: Places,
}

impl Default for Extra {
    fn default() -> Self {
        Self {
            details: None,
            is_unshown: false,
            is_trail_unshown: false,
            is_registered: false,
            is_silent: false,
            hexagon: NO_HEXAGON,
            places: Places::default(),
        }
    }
}

/// What the process has to do after an event was folded.
pub(crate) enum Folded {
    Nothing,
    /// The first fix of a device in this partition: its hash.
    NewDevice(u64),
    /// Something fixed has a newer message.
    Latest(CompactString),
}

pub(crate) struct Partition {
    pub(crate) shared: Shared,
    pub(crate) tracker: Tracker<Extra>,
    pub(crate) hooks: PartitionHooks,
    /// Records are read again that were folded before: nothing is shown.
    pub(crate) is_catching_up: bool,
    /// Where values that are written once a second were written last.
    pub(crate) flushed: Offset,
    unshown: Vec<DeviceSlot>,
    unshown_trails: Vec<DeviceSlot>,
    next_time_us: i64,
}

/// What is not a partition's own: the ground on which its fixes are.
pub(crate) struct Surroundings<'a> {
    pub(crate) streets: &'a Streets,
    pub(crate) free_flow: &'a FreeFlow,
    pub(crate) hexagons: &'a mut Hexagons,
    pub(crate) fences: &'a mut Fences,
}

impl Partition {
    pub(crate) fn new(
        id: &TopicPartition,
        stream: Stream,
        config: &SpeedConfig,
        rules: Arc<RuleSet>,
    ) -> Self {
        Self {
            shared: Shared::new(id.clone(), stream, config),
            tracker: Tracker::new(config.limits()),
            hooks: PartitionHooks::new(rules),
            is_catching_up: false,
            flushed: 0,
            unshown: Vec::new(),
            unshown_trails: Vec::new(),
            next_time_us: i64::MIN,
        }
    }

    #[inline]
    pub(crate) fn fold(
        &mut self,
        event: Event,
        offset: Offset,
        appended_at_us: i64,
        at: Surroundings<'_>,
        counts: &mut Counts,
    ) -> Folded {
        self.shared.position = offset + 1;
        self.shared
            .watermark
            .observe(event.timestamp_us, appended_at_us);
        let watermark_us = self.shared.watermark.current_us();
        // At the same records in every replay, unlike a timer.
        self.hooks.on_time(watermark_us);
        if watermark_us >= self.next_time_us {
            self.next_time_us = watermark_us.saturating_add(TIME_STEP_US);
            self.tracker.pass(watermark_us);
        }
        match &event.body {
            Body::Vehicle(_) | Body::Gps(_) => {
                let verdict =
                    self.tracker
                        .judge(&event, offset, appended_at_us, watermark_us, at.streets);
                match verdict {
                    Verdict::Accepted(accepted) => {
                        return self.take_fix(event, accepted, appended_at_us, at, counts);
                    }
                    Verdict::Duplicate => {
                        counts.duplicates += 1;
                        return Folded::Nothing;
                    }
                    Verdict::NullIsland => counts.null_island += 1,
                    Verdict::Inaccurate => counts.inaccurate += 1,
                    Verdict::Teleport => counts.teleports += 1,
                }
                self.show_doubted(&event.device_id);
                Folded::Nothing
            }
            Body::Camera(_) | Body::Weather(_) | Body::Incident(_) => {
                if self.tracker.is_duplicate(&event, watermark_us) {
                    counts.duplicates += 1;
                    return Folded::Nothing;
                }
                self.take_message(event, offset, appended_at_us, watermark_us, counts)
            }
            Body::Alert(_) => {
                self.hooks.on_alert(&event, appended_at_us);
                Folded::Nothing
            }
            _ => Folded::Nothing,
        }
    }

    #[inline]
    fn take_fix(
        &mut self,
        event: Event,
        accepted: Accepted,
        appended_at_us: i64,
        at: Surroundings<'_>,
        counts: &mut Counts,
    ) -> Folded {
        let Some(track) = self.tracker.track_mut(accepted.device) else {
            return Folded::Nothing;
        };
        let device = track.device_hash();
        let (location, speed_kmh) = match &event.body {
            Body::Gps(gps) => (gps.location, gps.speed_kmh),
            Body::Vehicle(car) => (car.location, car.speed_kmh),
            _ => return Folded::Nothing,
        };
        let extra = &mut track.extra;
        if accepted.late {
            counts.late += 1;
        } else {
            let measured = Measured {
                value: speed_kmh,
                device,
                timestamp_us: event.timestamp_us,
                appended_at_us,
                offset: self.shared.position - 1,
            };
            let panes = &mut self.shared.panes;
            let minute = panes.minute_of(event.timestamp_us);
            let places = panes.places_in(minute, &mut extra.places);
            panes.add(minute, &PaneKey::City, &measured, &mut places.in_city);
            let cell = at.hexagons.cell_of(location, &mut extra.hexagon);
            panes.add(minute, &PaneKey::Cell(cell), &measured, &mut places.in_cell);
            if let Some(segment) = accepted.driven() {
                panes.add(
                    minute,
                    &PaneKey::Segment(segment),
                    &measured,
                    &mut places.on_segment,
                );
            }
        }
        self.hooks.on_fix(&event, &accepted, track, at);
        let extra = &mut track.extra;
        if accepted.in_order {
            Details::renew(&mut extra.details, event.body);
            extra.is_silent = false;
            if !extra.is_unshown {
                extra.is_unshown = true;
                self.unshown.push(accepted.device);
            }
            if !extra.is_trail_unshown {
                extra.is_trail_unshown = true;
                self.unshown_trails.push(accepted.device);
            }
        } else {
            counts.out_of_order += 1;
        }
        match std::mem::replace(&mut extra.is_registered, true) {
            true => Folded::Nothing,
            false => Folded::NewDevice(device),
        }
    }

    /// A fix of the device was not believed, which is shown.
    #[cold]
    fn show_doubted(&mut self, device_id: &str) {
        if let Some((slot, _)) = self.tracker.by_id(device_id) {
            self.show(slot);
        }
    }

    /// Something of the device is to be shown.
    pub(crate) fn show(&mut self, slot: DeviceSlot) {
        if let Some(track) = self.tracker.track_mut(slot)
            && !std::mem::replace(&mut track.extra.is_unshown, true)
        {
            self.unshown.push(slot);
        }
    }

    fn take_message(
        &mut self,
        event: Event,
        offset: Offset,
        appended_at_us: i64,
        watermark_us: i64,
        counts: &mut Counts,
    ) -> Folded {
        let Some(id) = subject_of(&event).cloned() else {
            return Folded::Nothing;
        };
        let start_us = super::panes::pane_start(event.timestamp_us);
        if start_us.saturating_add(PANE_US) <= watermark_us {
            counts.late += 1;
        } else if matches!(event.body, Body::Weather(_)) {
            let minute = self.shared.panes.minute_of(event.timestamp_us);
            for (reading, value) in event.readings() {
                let measured = Measured {
                    value,
                    device: hash64(0, id.as_bytes()),
                    timestamp_us: event.timestamp_us,
                    appended_at_us,
                    offset,
                };
                let key = PaneKey::station(&id, &reading);
                self.shared
                    .panes
                    .add(minute, &key, &measured, &mut Place::default());
            }
        }
        let is_newest = self
            .shared
            .latest
            .is_newest(&id, (event.timestamp_us, offset));
        match &event.body {
            Body::Weather(_) | Body::Camera(_) => self.hooks.on_reading(&event, is_newest),
            Body::Incident(_) => self.hooks.on_incident(&event, is_newest),
            _ => {}
        }
        self.shared.latest.fold(event, offset, appended_at_us);
        match is_newest {
            true => Folded::Latest(id),
            false => Folded::Nothing,
        }
    }

    /// Devices of which something newer is to be shown, once each until
    /// [`Partition::shown`].
    pub(crate) fn take_unshown(&mut self) -> Vec<DeviceSlot> {
        std::mem::take(&mut self.unshown)
    }

    /// All that is known of a device now is shown.
    pub(crate) fn shown(&mut self, slot: DeviceSlot) {
        if let Some(track) = self.tracker.track_mut(slot) {
            track.extra.is_unshown = false;
        }
    }

    /// Devices whose trail is newer than the written one, once each.
    pub(crate) fn take_unshown_trails(&mut self) -> Vec<DeviceSlot> {
        let mut unshown = std::mem::take(&mut self.unshown_trails);
        let flushed = self.flushed;
        unshown.retain(|slot| match self.tracker.track_mut(*slot) {
            Some(track) => {
                track.extra.is_trail_unshown = false;
                track.order().1 >= flushed
            }
            None => false,
        });
        unshown
    }

    /// After its cells were taken up: what those cells hold and the values do not.
    pub(crate) fn restored(&mut self) {
        let all: Vec<DeviceSlot> = self.tracker.tracks().map(|(slot, _)| slot).collect();
        for slot in all {
            if let Some(track) = self.tracker.track_mut(slot) {
                let at_us = track.order().0;
                self.hooks
                    .remember(track.device_id(), at_us, Some(track.location()));
                track.extra.is_registered = true;
                if track.order().1 >= self.flushed {
                    track.extra.is_trail_unshown = true;
                    self.unshown_trails.push(slot);
                }
            }
        }
        for latest in self.shared.latest.by_id.values() {
            self.hooks.remember_message(&latest.event);
        }
    }

    /// Forgets what is not needed any more; changes nothing that is decided.
    pub(crate) fn tidy(&mut self) {
        let appended_us = self.shared.appended_us_max();
        for device_id in self.tracker.forget_silent(appended_us) {
            self.hooks.on_forgotten(&device_id);
        }
        self.shared.latest.forget(appended_us, KEEP_LATEST_US);
        self.hooks.alerts.forget(appended_us);
    }

    /// Vehicles that have fallen silent until now are shown once more.
    pub(crate) fn show_silent(&mut self, now_us: i64, silent_after_us: i64) {
        let is_news = |track: &tracks::Track<Extra>| {
            !track.extra.is_silent
                && is_live(Kind::Vehicle, track.appended_at_us(), now_us)
                && motion(track, now_us, silent_after_us) == Motion::Silent
        };
        let tracks = self.tracker.tracks();
        let silent: Vec<DeviceSlot> = tracks
            .filter(|(_, track)| is_news(track))
            .map(|(slot, _)| slot)
            .collect();
        for slot in silent {
            if let Some(track) = self.tracker.track_mut(slot) {
                track.extra.is_silent = true;
            }
            self.show(slot);
        }
    }

    /// What its vehicles do at `now_us`. `is_counted` says which are counted here.
    pub(crate) fn count_vehicles(
        &self,
        now_us: i64,
        silent_after_us: i64,
        is_counted: impl Fn(&tracks::Track<Extra>) -> bool,
    ) -> VehicleCounts {
        let mut counts = VehicleCounts::default();
        for (_, track) in self.tracker.tracks() {
            if !is_live(Kind::Vehicle, track.appended_at_us(), now_us) || !is_counted(track) {
                continue;
            }
            counts.live += 1;
            counts.speed_sum_kmh += track.speed_kmh();
            match motion(track, now_us, silent_after_us) {
                Motion::Moving => counts.moving += 1,
                Motion::Stopped => counts.stopped += 1,
                Motion::Silent => counts.silent += 1,
            }
        }
        counts
    }

    /// Its own cells that changed since the last call, for a checkpoint at the
    /// position.
    pub(crate) fn drain_cells(&mut self, streets: &Streets) -> Vec<(String, Option<Bytes>)> {
        let mut cells = self.tracker.drain_cells(self.shared.position, streets);
        cells.extend(self.hooks.drain_cells());
        cells
    }
}

/// What a device does, as far as is known at `now_us`.
pub(crate) fn motion(track: &tracks::Track<Extra>, now_us: i64, silent_after_us: i64) -> Motion {
    match now_us - track.appended_at_us() > silent_after_us {
        true => Motion::Silent,
        false => track.motion(),
    }
}
