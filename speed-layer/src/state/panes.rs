//! The open minutes of one partition: what was measured of each street, cell,
//! station and the city. Partials merge with those of other partitions.

use bytes::Bytes;
use compact_str::{CompactString, format_compact};
use events::aggregate::Aggregate;
use events::window::{PANE_US, WindowKind};
use events::{Offset, h3};
use foldhash::HashSet;
use streets::SegmentIndex;
use tracks::Ground;

use super::keyed::{Key, Keyed};

/// What the key of a pane's cell begins with.
pub(crate) const PANE_PREFIX: &str = "pane:";
/// Up to so many devices are searched one by one.
const FEW: usize = 24;

/// What a pane is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PaneKey {
    Segment(SegmentIndex),
    Cell(u64),
    /// `station:reading`. Boxed: other keys are many more, and short.
    Station(Box<CompactString>),
    City,
}

impl PaneKey {
    pub(crate) fn station(id: &str, reading: &str) -> Self {
        PaneKey::Station(Box::new(format_compact!("{id}:{reading}")))
    }

    pub(crate) const fn kind(&self) -> WindowKind {
        match self {
            PaneKey::Segment(_) => WindowKind::Segment,
            PaneKey::Cell(_) => WindowKind::Cell,
            PaneKey::Station(_) => WindowKind::Station,
            PaneKey::City => WindowKind::City,
        }
    }

    pub(crate) const fn segment(&self) -> Option<SegmentIndex> {
        match self {
            PaneKey::Segment(segment) => Some(*segment),
            _ => None,
        }
    }

    pub(crate) fn name(&self, ground: &impl Ground) -> String {
        match self {
            PaneKey::Segment(segment) => ground.segment_id(*segment).to_owned(),
            PaneKey::Cell(cell) => h3::cell_name(*cell),
            PaneKey::Station(name) => name.to_string(),
            PaneKey::City => WindowKind::CITY_SPEED.to_owned(),
        }
    }

    pub(crate) fn parse(kind: &str, name: &str, ground: &impl Ground) -> Option<Self> {
        match kind.parse().ok()? {
            WindowKind::Segment => ground.by_id(name).map(PaneKey::Segment),
            WindowKind::Cell => h3::cell_from_name(name).map(PaneKey::Cell),
            WindowKind::Station => Some(PaneKey::Station(Box::new(name.into()))),
            WindowKind::City => Some(PaneKey::City),
        }
    }
}

/// One minute of one thing, as one partition saw it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Partial {
    pub(crate) aggregate: Aggregate,
    pub(crate) devices: Devices,
    /// Newest event time and append time, microseconds since the epoch.
    pub(crate) newest_us: i64,
    pub(crate) appended_at_us: i64,
    /// The last record in it; of one partition's partial.
    pub(crate) offset: Offset,
}

impl Partial {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.aggregate.merge(&other.aggregate);
        self.devices.merge(&other.devices);
        self.newest_us = self.newest_us.max(other.newest_us);
        self.appended_at_us = self.appended_at_us.max(other.appended_at_us);
    }

    fn encode(&self) -> Bytes {
        let aggregate = self.aggregate.to_bytes();
        // All of it: a checkpoint holds very many.
        let mut bytes = Vec::with_capacity(28 + self.devices.len() * 8 + aggregate.len());
        bytes.extend_from_slice(&self.newest_us.to_le_bytes());
        bytes.extend_from_slice(&self.appended_at_us.to_le_bytes());
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(&(self.devices.len() as u32).to_le_bytes());
        self.devices
            .for_each(|device| bytes.extend_from_slice(&device.to_le_bytes()));
        bytes.extend_from_slice(&aggregate);
        bytes.into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (newest, rest) = bytes.split_first_chunk()?;
        let (appended, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let length = (u32::from_le_bytes(*count) as usize).checked_mul(8)?;
        let (devices, aggregate) = rest.split_at_checked(length)?;
        Some(Self {
            newest_us: i64::from_le_bytes(*newest),
            appended_at_us: i64::from_le_bytes(*appended),
            offset: Offset::from_le_bytes(*offset),
            devices: devices
                .as_chunks()
                .0
                .iter()
                .map(|device| u64::from_le_bytes(*device))
                .collect(),
            aggregate: Aggregate::from_bytes(aggregate)?,
        })
    }
}

/// Different devices, by their hashes.
#[derive(Clone, Debug)]
pub(crate) enum Devices {
    Few(Vec<u64>),
    /// Boxed: hardly any pane has so many.
    Many(Box<HashSet<u64>>),
}

impl Default for Devices {
    fn default() -> Self {
        Devices::Few(Vec::new())
    }
}

impl Devices {
    pub(crate) fn insert(&mut self, device: u64) {
        match self {
            Devices::Few(few) if few.contains(&device) => {}
            Devices::Few(few) if few.len() < FEW => {
                if few.len() == few.capacity() {
                    // Doubling would leave most panes with room for nobody.
                    few.reserve_exact((few.len() / 2).max(2));
                }
                few.push(device);
            }
            Devices::Few(few) => {
                let mut many: HashSet<u64> = few.iter().copied().collect();
                many.insert(device);
                *self = Devices::Many(Box::new(many));
            }
            Devices::Many(many) => {
                many.insert(device);
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Devices::Few(few) => few.len(),
            Devices::Many(many) => many.len(),
        }
    }

    fn for_each(&self, mut each: impl FnMut(u64)) {
        match self {
            Devices::Few(few) => few.iter().copied().for_each(&mut each),
            Devices::Many(many) => many.iter().copied().for_each(&mut each),
        }
    }

    fn merge(&mut self, other: &Self) {
        other.for_each(|device| self.insert(device));
    }
}

impl PartialEq for Devices {
    fn eq(&self, other: &Self) -> bool {
        let mut same = self.len() == other.len();
        self.for_each(|device| {
            same &= match other {
                Devices::Few(few) => few.contains(&device),
                Devices::Many(many) => many.contains(&device),
            }
        });
        same
    }
}

impl FromIterator<u64> for Devices {
    fn from_iter<I: IntoIterator<Item = u64>>(devices: I) -> Self {
        let mut all = Self::default();
        devices.into_iter().for_each(|device| all.insert(device));
        all
    }
}

/// What one event adds to a pane.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    pub(crate) device: u64,
    pub(crate) timestamp_us: i64,
    pub(crate) appended_at_us: i64,
    pub(crate) offset: Offset,
}

/// One of the open minutes.
#[derive(Clone, Copy)]
pub(crate) struct MinuteAt(usize);

/// Where a partial is within its minute, remembered to find it again without looking it
/// up: of the same thing, it is still there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(u32);

impl Default for Place {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

/// Where a device was added to last, all in one minute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// Number of the minute.
    minute: u32,
    pub(crate) in_city: Place,
    pub(crate) in_cell: Place,
    pub(crate) on_segment: Place,
}

impl Places {
    /// None yet, in the minute of that number.
    fn none_in(minute: u32) -> Self {
        Self {
            minute,
            in_city: Place::default(),
            in_cell: Place::default(),
            on_segment: Place::default(),
        }
    }
}

impl Default for Places {
    fn default() -> Self {
        Self::none_in(u32::MAX)
    }
}

#[derive(Debug)]
struct Slot {
    key: PaneKey,
    partial: Partial,
    /// Changed since the last checkpoint, since the values were last drained.
    unsaved: bool,
    unshown: bool,
    /// In a checkpoint.
    is_stored: bool,
}

impl Key for Slot {
    type Key = PaneKey;

    fn key(&self) -> &PaneKey {
        &self.key
    }
}

#[derive(Debug)]
pub(crate) struct Minute {
    pub(crate) start_us: i64,
    /// Number of this minute, never given twice.
    number: u32,
    slots: Keyed<Slot>,
    unsaved: Vec<u32>,
    unshown: Vec<u32>,
}

impl Minute {
    fn end_us(&self) -> i64 {
        self.start_us.saturating_add(PANE_US)
    }

    pub(crate) fn get(&self, key: &PaneKey) -> Option<&Partial> {
        let index = self.slots.find(key)?;
        Some(&self.slots[index].partial)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &PaneKey> {
        self.slots.iter().map(|slot| &slot.key)
    }

    fn index_of(&mut self, key: &PaneKey) -> u32 {
        let known = self.slots.find(key);
        known.unwrap_or_else(|| {
            self.slots.push(Slot {
                key: key.clone(),
                partial: Partial {
                    newest_us: i64::MIN,
                    appended_at_us: i64::MIN,
                    offset: -1,
                    ..Partial::default()
                },
                unsaved: false,
                unshown: false,
                is_stored: false,
            })
        })
    }

    fn add(&mut self, index: u32, measured: &Measured, is_new_device: bool) {
        let slot = &mut self.slots[index];
        let partial = &mut slot.partial;
        partial.aggregate.add(measured.value);
        if is_new_device {
            partial.devices.insert(measured.device);
        }
        partial.newest_us = partial.newest_us.max(measured.timestamp_us);
        partial.appended_at_us = partial.appended_at_us.max(measured.appended_at_us);
        partial.offset = measured.offset;
        if !slot.unsaved {
            slot.unsaved = true;
            self.unsaved.push(index);
        }
        if !slot.unshown {
            slot.unshown = true;
            self.unshown.push(index);
        }
    }
}

/// Every minute of a partition that is not yet done with.
#[derive(Debug)]
pub(crate) struct Panes {
    /// Ascending by start.
    minutes: Vec<Minute>,
    next_number: u32,
    count: usize,
    limit: usize,
    /// Keys of cells that are to be deleted.
    removed: Vec<String>,
    /// Measurements that were in no pane because there were too many.
    pub(crate) refused: u64,
}

impl Panes {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            minutes: Vec::new(),
            next_number: 0,
            count: 0,
            limit,
            removed: Vec::new(),
            refused: 0,
        }
    }

    /// The minute of an instant, for [`Panes::add`]; good until another is asked for.
    pub(crate) fn minute_of(&mut self, timestamp_us: i64) -> MinuteAt {
        MinuteAt(self.minute_at(pane_start(timestamp_us)))
    }

    /// Where a device was added to last in that minute: nowhere, if it was another one.
    #[inline]
    pub(crate) fn places_in<'p>(
        &self,
        MinuteAt(at): MinuteAt,
        places: &'p mut Places,
    ) -> &'p mut Places {
        let number = self.minutes[at].number;
        if places.minute != number {
            *places = Places::none_in(number);
        }
        places
    }

    /// Adds to the pane of `key` in a minute. `place` is where the same thing of
    /// the same device was added to last in that minute, and becomes where it is now.
    #[inline]
    pub(crate) fn add(
        &mut self,
        MinuteAt(at): MinuteAt,
        key: &PaneKey,
        measured: &Measured,
        place: &mut Place,
    ) {
        let minute = &mut self.minutes[at];
        let known = minute.slots.get(place.0);
        if known.is_some_and(|slot| slot.key == *key) {
            minute.add(place.0, measured, false);
            return;
        }
        if self.count >= self.limit && minute.slots.find(key).is_none() {
            self.refused += 1;
            return;
        }
        let before = minute.slots.len();
        let index = minute.index_of(key);
        minute.add(index, measured, true);
        self.count += minute.slots.len() - before;
        *place = Place(index);
    }

    fn minute_at(&mut self, start_us: i64) -> usize {
        // The newest one, nearly always.
        let at = match self.minutes.iter().rposition(|m| m.start_us <= start_us) {
            Some(at) if self.minutes[at].start_us == start_us => return at,
            Some(at) => at + 1,
            None => 0,
        };
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        let minute = Minute {
            start_us,
            number,
            slots: Keyed::default(),
            unsaved: Vec::new(),
            unshown: Vec::new(),
        };
        self.minutes.insert(at, minute);
        at
    }

    pub(crate) fn minutes(&self) -> &[Minute] {
        &self.minutes
    }

    pub(crate) fn minute(&self, start_us: i64) -> Option<&Minute> {
        let at = self
            .minutes
            .binary_search_by_key(&start_us, |minute| minute.start_us);
        at.ok().map(|at| &self.minutes[at])
    }

    pub(crate) fn get(&self, key: &PaneKey, start_us: i64) -> Option<&Partial> {
        self.minute(start_us)?.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Drops the minutes that end at `until_us` or before.
    pub(crate) fn drop_until(&mut self, until_us: i64, ground: &impl Ground) {
        while let Some(first) = self.minutes.first()
            && first.end_us() <= until_us
        {
            let gone = self.minutes.remove(0);
            self.count -= gone.slots.len();
            let start_us = gone.start_us;
            let stored = gone.slots.iter().filter(|slot| slot.is_stored);
            self.removed
                .extend(stored.map(|slot| cell_key(&slot.key, start_us, ground)));
        }
    }

    /// Calls `each` with every pane that changed since the last call, its start
    /// and its last record.
    pub(crate) fn drain_unshown(&mut self, mut each: impl FnMut(&PaneKey, i64, Offset)) {
        for minute in &mut self.minutes {
            for index in minute.unshown.drain(..) {
                let slot = &mut minute.slots[index];
                slot.unshown = false;
                each(&slot.key, minute.start_us, slot.partial.offset);
            }
        }
    }

    /// The cells that changed since the last call.
    pub(crate) fn drain_cells(
        &mut self,
        ground: &impl Ground,
        cells: &mut Vec<(String, Option<Bytes>)>,
    ) {
        cells.extend(self.removed.drain(..).map(|key| (key, None)));
        for minute in &mut self.minutes {
            for index in minute.unsaved.drain(..) {
                let slot = &mut minute.slots[index];
                slot.unsaved = false;
                slot.is_stored = true;
                let key = cell_key(&slot.key, minute.start_us, ground);
                cells.push((key, Some(slot.partial.encode())));
            }
        }
    }

    /// Takes a stored pane up; its key without [`PANE_PREFIX`].
    pub(crate) fn restore(&mut self, key: &str, value: &[u8], ground: &impl Ground) {
        let Some((key, start_us)) = parse_cell_key(key, ground) else {
            return;
        };
        let Some(partial) = Partial::decode(value) else {
            return;
        };
        let at = self.minute_at(start_us);
        let minute = &mut self.minutes[at];
        let before = minute.slots.len();
        let index = minute.index_of(&key);
        let slot = &mut minute.slots[index];
        slot.partial = partial;
        slot.is_stored = true;
        if !slot.unshown {
            slot.unshown = true;
            minute.unshown.push(index);
        }
        self.count += minute.slots.len() - before;
    }
}

/// `start:kind:name`; what the key of a cell is after [`PANE_PREFIX`].
pub(crate) fn parse_cell_key(key: &str, ground: &impl Ground) -> Option<(PaneKey, i64)> {
    let mut parts = key.splitn(3, ':');
    let start_us = parts.next()?.parse().ok()?;
    let key = PaneKey::parse(parts.next()?, parts.next()?, ground)?;
    Some((key, start_us))
}

fn cell_key(key: &PaneKey, start_us: i64, ground: &impl Ground) -> String {
    format!(
        "{PANE_PREFIX}{start_us}:{}:{}",
        key.kind(),
        key.name(ground)
    )
}

/// The first instant of the pane that an instant is in.
pub(crate) fn pane_start(timestamp_us: i64) -> i64 {
    timestamp_us.saturating_sub(timestamp_us.rem_euclid(PANE_US))
}
