//! The judge of one partition's fixes.

use std::collections::HashMap;

use bytes::Bytes;
use events::window::PANE_US;
use events::{DeviceId, Event, Offset};
use streets::SegmentIndex;

use crate::hash::Identity;
use crate::ids::Ids;
use crate::track::{Step, Suspect, point_of};
use crate::{Doubt, Fix, Ground, Limits, Motion, Previous, Track, TripChange, hash64};

/// A device that was silent for this long by the log's clock begins anew.
const FORGET_AFTER_US: i64 = 24 * 3_600_000_000;

/// What the key of a device's cell begins with.
pub const TRACK_PREFIX: &str = "track:";
const IDS_PREFIX: &str = "ids:";

/// A change to the stored state: key, and bytes or `None` to delete.
pub type TrackerCell = (String, Option<Bytes>);

/// The number of a device within its [`Tracker`], until it is forgotten.
pub type DeviceSlot = u32;

/// What a fix turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The same device has sent the same id before: it counts once.
    Duplicate,
    /// At (0,0): a receiver without a position.
    NullIsland,
    /// Its stated accuracy is worse than the limit.
    Inaccurate,
    /// Too far from the last fix for the time between. Believed if the next
    /// fix agrees with it.
    Teleport,
    /// To be believed.
    Accepted(Accepted),
}

/// A believed fix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accepted {
    /// The device.
    pub device: DeviceSlot,
    /// Whether it is the newest of its device by event time.
    pub in_order: bool,
    /// Its minute had been closed by the watermark before it came.
    pub late: bool,
    /// The street it is on.
    pub segment: Option<SegmentIndex>,
    /// Its heading, as sent or derived, degrees clockwise from north.
    pub heading_deg: Option<f64>,
    /// The vehicle has been standing for two minutes and more.
    pub parked: bool,
    /// Whether the device moves.
    pub motion: Motion,
    /// Trips that it ended or began.
    pub trip: TripChange,
}

impl Accepted {
    /// The street that its speed is measured on: a parked vehicle says nothing
    /// about a street.
    #[inline]
    pub fn driven(&self) -> Option<SegmentIndex> {
        self.segment.filter(|_| !self.parked)
    }
}

/// Judges the fixes of one partition in offset order. `X` is what its user
/// keeps with each track.
#[derive(Debug)]
pub struct Tracker<X> {
    limits: Limits,
    by_hash: HashMap<u64, DeviceSlot, Identity>,
    /// Boxed: growing by half of all of them would take twice their memory.
    tracks: Vec<Option<Box<Track<X>>>>,
    free: Vec<DeviceSlot>,
    ids: Ids,
    dirty: Vec<DeviceSlot>,
    removed: Vec<DeviceId>,
}

impl<X: Default> Tracker<X> {
    /// One that has seen nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            ids: Ids::new(limits.ids),
            limits,
            by_hash: HashMap::default(),
            tracks: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// Whether an event of any stream is a duplicate. Must be asked once per
    /// event, and not for fixes: [`Tracker::judge`] does it for them. Events
    /// whose minute is closed are not remembered.
    pub fn is_duplicate(&mut self, event: &Event, watermark_us: i64) -> bool {
        self.is_repeated(
            &event.device_id,
            &event.id,
            event.timestamp_us,
            watermark_us,
        )
    }

    /// The same of an event of which only this is at hand.
    pub fn is_repeated(
        &mut self,
        device_id: &str,
        id: &str,
        timestamp_us: i64,
        watermark_us: i64,
    ) -> bool {
        let device = hash64(0, device_id.as_bytes());
        let id = hash64(device, id.as_bytes());
        let minute_us = minute_of(timestamp_us);
        let late = minute_us.saturating_add(PANE_US) <= watermark_us;
        !late && !self.ids.insert(minute_us, id, watermark_us)
    }

    /// Judges the next event of the partition. `watermark_us` is the
    /// partition's, this event included.
    ///
    /// # Panics
    /// When the event is of a stream without fixes.
    pub fn judge(
        &mut self,
        event: &Event,
        offset: Offset,
        appended_at_us: i64,
        watermark_us: i64,
        ground: &impl Ground,
    ) -> Verdict {
        let fix = Fix::of(event).expect("only fixes are judged");
        self.judge_fix(&fix, offset, appended_at_us, watermark_us, ground)
    }

    /// The same of a fix without its event. With a watermark of [`i64::MIN`] nothing
    /// is late: the judgement of who looks back.
    #[inline]
    pub fn judge_fix(
        &mut self,
        fix: &Fix<'_>,
        offset: Offset,
        appended_at_us: i64,
        watermark_us: i64,
        ground: &impl Ground,
    ) -> Verdict {
        let minute_us = minute_of(fix.timestamp_us);
        let late = minute_us.saturating_add(PANE_US) <= watermark_us;
        let (device_hash, id) = (fix.device_hash, fix.id);
        if !late && !self.ids.insert(minute_us, id, watermark_us) {
            return Verdict::Duplicate;
        }
        if fix.location.is_null_island() {
            self.doubt(device_hash, fix, Doubt::NullIsland);
            return Verdict::NullIsland;
        }
        if fix.accuracy_m.is_some_and(|m| m > self.limits.accuracy_m) {
            self.doubt(device_hash, fix, Doubt::Inaccurate);
            return Verdict::Inaccurate;
        }
        let (place, slot) = self.find(device_hash, fix.device_id);
        let Some(slot) = slot else {
            let slot = self.begin(fix, offset, appended_at_us, place, device_hash, id);
            return self.accept(slot, fix, late, None, TripChange::default(), ground);
        };
        let track = self.tracks[slot as usize]
            .as_mut()
            .expect("a device that is found has a track");
        if appended_at_us - track.appended_at_us > FORGET_AFTER_US {
            let extra = std::mem::take(&mut track.extra);
            let dirty = track.dirty;
            **track = Track::begin(fix, offset, appended_at_us, device_hash, id);
            (track.extra, track.dirty) = (extra, dirty);
            return self.accept(slot, fix, late, None, TripChange::default(), ground);
        }
        if late && (track.last_id == id || track.suspect().is_some_and(|s| s.id == id)) {
            return Verdict::Duplicate;
        }
        if (fix.timestamp_us, offset) <= track.order {
            let verdict = out_of_order(track, slot, fix, late, &self.limits, ground);
            if verdict == Verdict::Teleport {
                self.doubt(device_hash, fix, Doubt::Teleport);
            }
            return verdict;
        }
        let step = track.step(fix, &self.limits.teleport);
        if step == Step::Teleport {
            let point = point_of(fix);
            track.doubt(fix, Doubt::Teleport, Some(Suspect { point, id }));
            self.mark(slot);
            return Verdict::Teleport;
        }
        let previous = match step {
            Step::Reachable => track.segment.map(|segment| Previous {
                segment,
                location: track.location(),
                timestamp_us: track.order.0,
            }),
            _ => None,
        };
        let trip = track.advance(fix, offset, appended_at_us, id, step);
        self.accept(slot, fix, late, previous, trip, ground)
    }

    /// Takes note of a fix that is not believed, of a device that is known.
    fn doubt(&mut self, device_hash: u64, fix: &Fix<'_>, reason: Doubt) {
        if let (_, Some(slot)) = self.find(device_hash, fix.device_id)
            && let Some(track) = self.tracks[slot as usize].as_mut()
        {
            track.doubt(fix, reason, None);
            self.mark(slot);
        }
    }

    /// The verdict on a fix that its track has taken in.
    fn accept(
        &mut self,
        slot: DeviceSlot,
        fix: &Fix<'_>,
        late: bool,
        previous: Option<Previous>,
        trip: TripChange,
        ground: &impl Ground,
    ) -> Verdict {
        self.mark(slot);
        let track = self.tracks[slot as usize]
            .as_mut()
            .expect("a track that took a fix in is there");
        track.segment = match previous {
            // Standing still: the street is the same.
            Some(previous) if previous.location == fix.location => Some(previous.segment),
            previous => ground.locate(fix, track.heading_deg, previous),
        };
        Verdict::Accepted(Accepted {
            device: slot,
            in_order: true,
            late,
            segment: track.segment,
            heading_deg: track.heading_deg,
            parked: track.is_parked(),
            motion: track.motion(),
            trip,
        })
    }

    /// Where the device is or would be, and its slot if it is known.
    fn find(&self, device_hash: u64, device_id: &str) -> (u64, Option<DeviceSlot>) {
        let mut place = device_hash;
        loop {
            match self.by_hash.get(&place) {
                None => return (place, None),
                Some(slot) => {
                    let track = self.tracks[*slot as usize].as_ref();
                    if track.is_some_and(|track| track.device_id == device_id) {
                        return (place, Some(*slot));
                    }
                    // Another device of the same 64 bits.
                    place = place.wrapping_add(1);
                }
            }
        }
    }

    fn begin(
        &mut self,
        fix: &Fix<'_>,
        offset: Offset,
        appended_at_us: i64,
        place: u64,
        device_hash: u64,
        id: u64,
    ) -> DeviceSlot {
        let track = Track::begin(fix, offset, appended_at_us, device_hash, id);
        self.put(place, Box::new(track))
    }

    fn put(&mut self, place: u64, track: Box<Track<X>>) -> DeviceSlot {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.tracks[slot as usize] = Some(track);
                slot
            }
            None => {
                self.tracks.push(Some(track));
                (self.tracks.len() - 1) as DeviceSlot
            }
        };
        self.by_hash.insert(place, slot);
        slot
    }

    fn mark(&mut self, slot: DeviceSlot) {
        if let Some(track) = self.tracks[slot as usize].as_mut()
            && !track.dirty
        {
            track.dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Forgets the ids of closed minutes. Changes no verdict.
    pub fn pass(&mut self, watermark_us: i64) {
        self.ids.close(watermark_us);
    }

    /// Forgets devices that have been silent for a day by the log's clock, and
    /// says which. Changes no verdict: such a device begins anew in any case.
    pub fn forget_silent(&mut self, appended_at_us: i64) -> Vec<DeviceId> {
        let already = self.removed.len();
        let tracks = &mut self.tracks;
        let (free, removed) = (&mut self.free, &mut self.removed);
        self.by_hash.retain(|_, slot| {
            let place = &mut tracks[*slot as usize];
            let gone =
                place.take_if(|track| appended_at_us - track.appended_at_us > FORGET_AFTER_US);
            match gone {
                Some(track) => {
                    removed.push(track.device_id);
                    free.push(*slot);
                    false
                }
                None => true,
            }
        });
        self.removed[already..].to_vec()
    }

    /// Every change since the last call, as cells of a checkpoint at `offset`.
    pub fn drain_cells(&mut self, offset: Offset, ground: &impl Ground) -> Vec<TrackerCell> {
        let mut cells = Vec::with_capacity(self.dirty.len() + self.removed.len() + 4);
        let removed = self.removed.drain(..);
        cells.extend(removed.map(|device_id| (format!("{TRACK_PREFIX}{device_id}"), None)));
        for slot in self.dirty.drain(..) {
            if let Some(track) = self.tracks[slot as usize].as_mut()
                && track.dirty
            {
                track.dirty = false;
                let key = format!("{TRACK_PREFIX}{}", track.device_id);
                cells.push((key, Some(track.encode(ground))));
            }
        }
        let mut ids = Vec::new();
        self.ids.drain(offset, &mut ids);
        cells.extend(
            ids.into_iter()
                .map(|(key, value)| (format!("{IDS_PREFIX}{key}"), value)),
        );
        cells
    }

    /// Takes a stored cell up, before the first event; false where it is not one
    /// of a tracker's.
    pub fn restore_cell(&mut self, key: &str, value: &[u8], ground: &impl Ground) -> bool {
        if let Some(rest) = key.strip_prefix(IDS_PREFIX) {
            return self.ids.restore(rest, value);
        }
        let Some(device_id) = key.strip_prefix(TRACK_PREFIX) else {
            return false;
        };
        let Some(track) = Track::decode(device_id, value, ground) else {
            return false;
        };
        let (place, known) = self.find(track.device_hash, device_id);
        let track = Box::new(track);
        match known {
            Some(slot) => self.tracks[slot as usize] = Some(track),
            None => {
                self.put(place, track);
            }
        }
        true
    }
}

impl<X> Tracker<X> {
    /// One device's track; `None` once it was forgotten.
    pub fn track(&self, slot: DeviceSlot) -> Option<&Track<X>> {
        self.tracks.get(slot as usize)?.as_deref()
    }

    /// The same, to change what is kept with it.
    pub fn track_mut(&mut self, slot: DeviceSlot) -> Option<&mut Track<X>> {
        self.tracks.get_mut(slot as usize)?.as_deref_mut()
    }

    /// Every track, in no order.
    pub fn tracks(&self) -> impl Iterator<Item = (DeviceSlot, &Track<X>)> {
        let numbered = self.tracks.iter().enumerate();
        numbered.filter_map(|(slot, track)| Some((slot as DeviceSlot, track.as_deref()?)))
    }

    /// The track of that device.
    pub fn by_id(&self, device_id: &str) -> Option<(DeviceSlot, &Track<X>)> {
        let mut place = hash64(0, device_id.as_bytes());
        loop {
            let slot = *self.by_hash.get(&place)?;
            match self.track(slot) {
                Some(track) if track.device_id == device_id => return Some((slot, track)),
                _ => place = place.wrapping_add(1),
            }
        }
    }

    /// How many devices are known.
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// How many ids are remembered.
    pub fn ids(&self) -> usize {
        self.ids.len()
    }

    /// How many ids had to be forgotten early because there were too many.
    pub fn ids_forgotten(&self) -> u64 {
        self.ids.forgotten
    }
}

fn out_of_order<X>(
    track: &Track<X>,
    slot: DeviceSlot,
    fix: &Fix<'_>,
    late: bool,
    limits: &Limits,
    ground: &impl Ground,
) -> Verdict {
    if !track.fits_behind(fix, &limits.teleport) {
        return Verdict::Teleport;
    }
    // A late fix is in no window, so its street does not matter.
    let segment = match late {
        true => None,
        false => ground.locate(fix, fix.heading_deg, None),
    };
    Verdict::Accepted(Accepted {
        device: slot,
        in_order: false,
        late,
        segment,
        heading_deg: fix.heading_deg,
        parked: track.is_parked(),
        motion: track.motion(),
        trip: TripChange::default(),
    })
}

fn minute_of(timestamp_us: i64) -> i64 {
    timestamp_us.saturating_sub(timestamp_us.rem_euclid(PANE_US))
}
