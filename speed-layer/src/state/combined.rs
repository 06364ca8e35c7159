//! Figures of the whole city, out of the parts of all its partitions. One
//! process makes them: the one that owns the first partition.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use events::window::{PANE_US, Pane};
use events::{Event, Offset, Stream, TopicPartition};
use foldhash::{HashMap, HashSet};
use hot_store::{Kind, Update};
use rules::PaneFact;
use streets::{FreeFlow, SegmentIndex, StreetNetwork};

use super::breaks::Break;
use super::city_hooks::CityHooks;
use super::closing::{Closed, GroupTime};
use super::panes::{PaneKey, Partial, pane_start};
use super::shared::{Group, Remote, Shared};
use super::{age, is_live};
use crate::values::{self, Level, Road, RoadWindow};
use tracks::Streets;

/// A window with fewer fixes than this does not yet replace the one before it:
/// one vehicle at a junction would paint the street red.
const SETTLED_FIXES: u64 = 5;
/// A closed window is still corrected for this long, by event time, if a
/// partition that held nothing open turns out to have had more.
const CORRECTED_FOR_US: i64 = 300_000_000;
pub(crate) const CLOSED: &str = "closed";
/// What the keys of both cells begin with that say up to where values were made.
pub(crate) const SHOWN: &str = "shown:";
const SHOWN_PANES: &str = "shown:panes";
const SHOWN_LATEST: &str = "shown:latest";

/// The cells of a partition that others may read.
type SharedCells = (TopicPartition, Stream, Vec<(String, Bytes)>);

/// What a look at the log and at other processes' checkpoints found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observation {
    /// When it began, microseconds since the epoch.
    pub(crate) at_us: i64,
    /// The end of every partition of the streams.
    pub(crate) ends: std::collections::HashMap<TopicPartition, Offset>,
    /// The shared cells of partitions that are not this process's.
    pub(crate) remotes: Vec<SharedCells>,
    /// What the combining process has stored.
    pub(crate) combined: Vec<(String, Bytes)>,
    /// What it has learned about streets, where it was looked at.
    pub(crate) learned: Option<Vec<(String, Bytes)>>,
}

/// A value that is to be written. It is made when its turn comes: all at once they would
/// take more memory than what they are made of.
#[derive(Debug)]
enum Due {
    /// The window of a pane that begins then.
    Window(PaneKey, i64),
    /// A road, as of when windows were closed up to there.
    Road(SegmentIndex, i64),
}

/// What the combining process keeps beyond the partitions' own state.
pub(crate) struct Combined {
    pub(crate) remotes: HashMap<TopicPartition, Remote>,
    pub(crate) ends: std::collections::HashMap<TopicPartition, Offset>,
    /// When the partitions were seen to end there.
    pub(crate) observed_us: i64,
    /// When this process looked first.
    first_observed_us: i64,
    pub(crate) closed: Closed,
    due: VecDeque<Due>,
    /// As it was before what is due was found: that may still need what was dropped since.
    closed_before: Closed,
    /// By streams whose windows are closed together; those in no window are one more.
    breaks: HashMap<Option<Group>, Break>,
    /// Up to where the values show each partition: what is older was written.
    shown_panes: HashMap<TopicPartition, Offset>,
    shown_latest: HashMap<TopicPartition, Offset>,
    pub(crate) hooks: CityHooks,
    unshown_panes: HashSet<(PaneKey, i64)>,
    /// Panes of closed windows that wait until the watermark has passed them again.
    held_panes: HashSet<(PaneKey, i64)>,
    unshown_latest: HashSet<(Stream, CompactString)>,
    levels: HashMap<SegmentIndex, (Level, i64)>,
    /// Whether the levels are those of roads that were written before a restart.
    knows_levels: bool,
    /// Learned from closed windows.
    pub(crate) free_flow: FreeFlow,
    /// Changes to windows that had been dropped.
    pub(crate) missed: u64,
    /// Windows that changed after they were closed.
    pub(crate) corrected: u64,
}

impl Combined {
    pub(crate) fn new(streets: Arc<StreetNetwork>) -> Self {
        Self {
            remotes: HashMap::default(),
            ends: std::collections::HashMap::new(),
            closed: Closed::default(),
            due: VecDeque::new(),
            closed_before: Closed::default(),
            observed_us: i64::MIN,
            first_observed_us: i64::MIN,
            breaks: HashMap::default(),
            shown_panes: HashMap::default(),
            shown_latest: HashMap::default(),
            hooks: CityHooks::default(),
            unshown_panes: HashSet::default(),
            held_panes: HashSet::default(),
            unshown_latest: HashSet::default(),
            levels: HashMap::default(),
            knows_levels: false,
            free_flow: FreeFlow::new(streets),
            missed: 0,
            corrected: 0,
        }
    }

    /// Takes note of the newest append time of a group's partitions.
    pub(crate) fn look(&mut self, group: Option<Group>, newest_us: i64, idle_us: i64) {
        let all = self.breaks.entry(group).or_default();
        all.look(newest_us, idle_us);
    }

    /// The partitions were seen to end there.
    pub(crate) fn observed(
        &mut self,
        ends: std::collections::HashMap<TopicPartition, Offset>,
        at_us: i64,
    ) {
        self.ends = ends;
        self.observed_us = at_us;
        if self.first_observed_us == i64::MIN {
            self.first_observed_us = at_us;
        }
    }

    /// For how long this process has been looking.
    pub(crate) fn watched_us(&self) -> i64 {
        self.observed_us.saturating_sub(self.first_observed_us)
    }

    /// For how long a partition that is read to its end, and whose newest record was
    /// appended then, has had nothing. As of the look that saw its end: how fast this
    /// process reads does not matter.
    pub(crate) fn quiet_us(&self, group: Option<Group>, appended_us: i64, idle_us: i64) -> i64 {
        let all = self.breaks.get(&group).copied().unwrap_or_default();
        let since_us = all.quiet_since_us(appended_us, idle_us);
        self.observed_us.saturating_sub(since_us)
    }

    /// Takes up what was learned, in place of what this process knows.
    pub(crate) fn restore_learned(
        &mut self,
        streets: Arc<StreetNetwork>,
        cells: &[(String, Bytes)],
    ) {
        self.free_flow = FreeFlow::new(streets.clone());
        for (id, bytes) in cells {
            if let Some(segment) = streets.by_id(id) {
                self.free_flow.restore(segment, bytes);
            }
        }
    }

    /// What was learned since the last call: segments, and bytes.
    pub(crate) fn drain_learned(&mut self) -> Vec<(SegmentIndex, Vec<u8>)> {
        self.free_flow.drain_changed()
    }

    pub(crate) fn restore(&mut self, key: &str, value: &[u8]) {
        if key == CLOSED {
            self.closed = Closed::decode(value).unwrap_or(self.closed);
        } else if key == SHOWN_PANES {
            self.shown_panes = decode_shown(value);
        } else if key == SHOWN_LATEST {
            self.shown_latest = decode_shown(value);
        } else {
            self.hooks.restore(key, value);
        }
    }

    /// What is stored beside windows that were made up to here.
    pub(crate) fn cells(&mut self, parts: &[&Shared]) -> Vec<(String, Option<Bytes>)> {
        if self.held_panes.is_empty() {
            self.shown_panes = positions(parts);
        }
        let mut cells = self.hooks.drain_cells();
        cells.push((CLOSED.to_owned(), Some(self.closed.encode())));
        cells.push((
            SHOWN_PANES.to_owned(),
            Some(encode_shown(&self.shown_panes)),
        ));
        cells
    }

    /// What is stored beside the newest messages that were written up to here.
    pub(crate) fn latest_cell(&mut self, parts: &[&Shared]) -> (String, Option<Bytes>) {
        self.shown_latest = positions(parts);
        (
            SHOWN_LATEST.to_owned(),
            Some(encode_shown(&self.shown_latest)),
        )
    }

    fn is_latest_shown(&self, id: &TopicPartition, offset: Offset) -> bool {
        self.shown_latest
            .get(id)
            .is_some_and(|shown| offset < *shown)
    }

    /// Notes the panes of a part that the values do not show yet.
    pub(crate) fn collect_panes(&mut self, part: &mut Shared) {
        let shown = self
            .shown_panes
            .get(&part.id)
            .copied()
            .unwrap_or(Offset::MIN);
        let unshown = &mut self.unshown_panes;
        part.panes.drain_unshown(|key, start_us, offset| {
            if offset >= shown {
                unshown.insert((key.clone(), start_us));
            }
        });
    }

    pub(crate) fn latest_changed(&mut self, stream: Stream, id: CompactString) {
        self.unshown_latest.insert((stream, id));
    }

    /// Takes the things that said something that the values do not show yet.
    pub(crate) fn take_unshown_latest(
        &mut self,
        parts: &[&Shared],
    ) -> Vec<(Stream, CompactString)> {
        let mut all: Vec<_> = self.unshown_latest.drain().collect();
        all.retain(|(stream, id)| {
            let mut parts = parts.iter().filter(|part| part.stream == *stream);
            parts.any(|part| {
                let latest = part.latest.by_id.get(id);
                latest.is_some_and(|latest| !self.is_latest_shown(&part.id, latest.order.1))
            })
        });
        all.sort_unstable();
        all
    }

    /// Windows that end here or before can be dropped.
    pub(crate) fn dropped_us(&self, group: Group) -> i64 {
        let closed = match self.due.is_empty() {
            true => &self.closed,
            false => &self.closed_before,
        };
        closed.dropped_us[group as usize]
    }

    /// Closes the windows that can be: those that end at or before the group's
    /// watermark. They are due to be shown, as are windows and roads that changed.
    pub(crate) fn close_panes(
        &mut self,
        parts: &[&Shared],
        times: [GroupTime; 2],
        streets: &Streets,
        now_us: i64,
    ) {
        self.know_levels(parts, streets, now_us);
        if self.due.is_empty() {
            self.closed_before = self.closed;
        }
        let mut changed = std::mem::take(&mut self.unshown_panes);
        changed.extend(self.held_panes.drain());
        for group in Group::ALL {
            let GroupTime {
                watermark_us,
                clock_us,
                least_us: passed_by_all_us,
            } = times[group as usize];
            let parts: Vec<&Shared> = parts
                .iter()
                .filter(|part| Group::of(part.stream) == Some(group))
                .copied()
                .collect();
            let before_us = self.closed.until_us[group as usize];
            let until_us = pane_start(watermark_us).max(before_us);
            let mut due: HashSet<(PaneKey, i64)> = changed
                .iter()
                .filter(|(key, _)| group_of(key) == group)
                .cloned()
                .collect();
            let dropped_us = self.closed.dropped_us[group as usize];
            let known = due.len();
            due.retain(|(_, start_us)| start_us + PANE_US > dropped_us);
            self.missed += (known - due.len()) as u64;
            // Closing a window is no news about a road.
            let mut roads: Vec<SegmentIndex> =
                due.iter().filter_map(|(key, _)| key.segment()).collect();
            roads.sort_unstable();
            roads.dedup();
            // A closed window that partitions still add to, because the log is read
            // once more, is corrected when they all have passed it again.
            let passed_us = pane_start(watermark_us);
            self.held_panes.extend(due.extract_if(|(_, start_us)| {
                let end_us = start_us + PANE_US;
                end_us > passed_us && end_us <= before_us
            }));
            for part in &parts {
                for minute in part.panes.minutes() {
                    let end_us = minute.start_us + PANE_US;
                    if end_us > before_us && end_us <= until_us {
                        due.extend(minute.keys().map(|key| (key.clone(), minute.start_us)));
                    }
                }
            }
            self.close(due, &parts, (before_us, until_us), streets);
            let roads = roads.into_iter();
            self.due
                .extend(roads.map(|segment| Due::Road(segment, before_us)));
            self.closed.until_us[group as usize] = until_us;
            self.closed.dropped_us[group as usize] = passed_by_all_us
                .max(passed_us.min(until_us).saturating_sub(CORRECTED_FOR_US))
                .min(until_us)
                .max(dropped_us);
            self.hooks.on_time(group, watermark_us, clock_us);
        }
    }

    fn close(
        &mut self,
        due: HashSet<(PaneKey, i64)>,
        parts: &[&Shared],
        (before_us, until_us): (i64, i64),
        streets: &Streets,
    ) {
        let mut due: Vec<_> = due.into_iter().collect();
        due.sort_unstable_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        for (key, start_us) in due {
            let end_us = start_us + PANE_US;
            if end_us <= until_us
                && let Some(partial) = merged(parts, &key, start_us)
            {
                let pane = pane_of(&key, start_us, partial, true, streets);
                let is_correction = end_us <= before_us;
                self.corrected += u64::from(is_correction);
                let segment = key.segment();
                if let (Some(segment), false) = (segment, is_correction)
                    && let Some(mean_kmh) = pane.aggregate.moments.mean()
                {
                    self.free_flow.observe(segment, mean_kmh, start_us);
                }
                let fact = PaneFact {
                    pane: &pane,
                    free_flow_kmh: segment.map(|segment| self.free_flow.get(segment)),
                    location: middle_of(&key, streets),
                };
                self.hooks.on_closed_pane(group_of(&key), &fact);
            }
            self.due.push_back(Due::Window(key, start_us));
        }
    }

    /// Whether all that was due is shown.
    pub(crate) fn is_shown(&self) -> bool {
        self.due.is_empty()
    }

    /// How many values are due.
    pub(crate) fn due(&self) -> usize {
        self.due.len()
    }

    /// The next `most` of the values that are due, as they are now. `closed` is told of
    /// the windows among them that are closed.
    pub(crate) fn drain_due(
        &mut self,
        most: usize,
        parts: &[&Shared],
        streets: &Streets,
        now_us: i64,
        closed: &mut impl FnMut(Event),
    ) -> Vec<Update> {
        let due = self.due.len().min(most);
        let mut updates = Vec::with_capacity(due);
        for _ in 0..due {
            let Some(due) = self.due.pop_front() else {
                break;
            };
            updates.extend(match due {
                Due::Window(key, start_us) => {
                    self.window(&key, start_us, parts, streets, now_us, closed)
                }
                Due::Road(segment, closed_us) => {
                    let value = self.road(segment, parts, closed_us, streets, now_us);
                    value.map(|(value, appended_at_us)| {
                        let update = values::update(Kind::Road, value.road_id, &value);
                        update.aged(age(appended_at_us, now_us))
                    })
                }
            });
        }
        updates
    }

    fn window(
        &self,
        key: &PaneKey,
        start_us: i64,
        parts: &[&Shared],
        streets: &Streets,
        now_us: i64,
        closed: &mut impl FnMut(Event),
    ) -> Option<Update> {
        let partial = merged(parts, key, start_us)?;
        let appended_at_us = partial.appended_at_us;
        let is_final = start_us + PANE_US <= self.closed.until_us[group_of(key) as usize];
        let pane = pane_of(key, start_us, partial, is_final, streets);
        if is_final {
            closed(pane.to_event());
        }
        if !is_live(Kind::Window, appended_at_us, now_us) {
            return None;
        }
        let age = age(appended_at_us, now_us);
        let id = format!("{}:{}:{}", pane.kind, pane.key, start_us / 1_000_000);
        Some(Update::new(Kind::Window, id, Some(pane.to_json().into())).aged(age))
    }

    /// The value of a road, whose level is counted, and when its newest fix was appended.
    fn road<'s>(
        &mut self,
        segment: SegmentIndex,
        parts: &[&Shared],
        closed_us: i64,
        streets: &'s Streets,
        now_us: i64,
    ) -> Option<(Road<'s>, i64)> {
        let (start_us, partial) = settled(parts, segment, closed_us)?;
        if !is_live(Kind::Road, partial.appended_at_us, now_us) {
            return None;
        }
        let window = RoadWindow {
            start_us,
            end_us: start_us + PANE_US,
            speeds: partial.aggregate.moments,
            newest_us: partial.newest_us,
            vehicles: partial.devices.len(),
        };
        let road = streets.network().segment(segment);
        let value = Road::new(road, self.free_flow.get(segment), &window);
        let level = (value.congestion_level, partial.appended_at_us);
        self.levels.insert(segment, level);
        Some((value, partial.appended_at_us))
    }

    /// After a restart: the levels of the roads that the open windows tell of.
    fn know_levels(&mut self, parts: &[&Shared], streets: &Streets, now_us: i64) {
        if std::mem::replace(&mut self.knows_levels, true) {
            return;
        }
        let minutes = parts.iter().flat_map(|part| part.panes.minutes());
        let segments: HashSet<SegmentIndex> = minutes
            .flat_map(|minute| minute.keys())
            .filter_map(PaneKey::segment)
            .collect();
        for segment in segments {
            self.road(segment, parts, i64::MIN, streets, now_us);
        }
    }

    /// Roads by level of congestion, of those that are shown.
    pub(crate) fn by_level(&mut self, now_us: i64) -> values::Congestion {
        let mut congestion = values::Congestion::default();
        self.levels
            .retain(|_, (_, at_us)| is_live(Kind::Road, *at_us, now_us));
        for (level, _) in self.levels.values() {
            congestion.count(*level);
        }
        congestion
    }
}

fn positions(parts: &[&Shared]) -> HashMap<TopicPartition, Offset> {
    parts
        .iter()
        .map(|part| (part.id.clone(), part.position))
        .collect()
}

fn encode_shown(shown: &HashMap<TopicPartition, Offset>) -> Bytes {
    let mut lines: Vec<String> = shown
        .iter()
        .map(|(id, offset)| format!("{id}={offset}"))
        .collect();
    lines.sort_unstable();
    lines.join("\n").into()
}

/// Lines of `topic/partition=offset`.
fn decode_shown(bytes: &[u8]) -> HashMap<TopicPartition, Offset> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.rsplit_once('='));
    lines
        .filter_map(|(id, offset)| Some((TopicPartition::parse(id)?, offset.parse().ok()?)))
        .collect()
}

/// Where on the map a window is shown.
fn middle_of(key: &PaneKey, streets: &Streets) -> Option<events::Location> {
    match key {
        PaneKey::Cell(cell) => events::h3::cell_center(*cell),
        PaneKey::Segment(segment) => {
            let line = &streets.network().segment(*segment).line;
            line.get(line.len() / 2).copied()
        }
        PaneKey::City | PaneKey::Station(_) => None,
    }
}

fn pane_of(
    key: &PaneKey,
    start_us: i64,
    partial: Partial,
    is_final: bool,
    streets: &Streets,
) -> Pane {
    Pane {
        kind: key.kind(),
        key: key.name(streets),
        start_us,
        vehicles: match key {
            PaneKey::Station(_) => None,
            _ => Some(partial.devices.len() as u64),
        },
        aggregate: partial.aggregate,
        is_final,
    }
}

fn group_of(key: &PaneKey) -> Group {
    match key {
        PaneKey::Station(_) => Group::Stations,
        _ => Group::Fixes,
    }
}

/// A pane out of what each partition has of it.
fn merged(parts: &[&Shared], key: &PaneKey, start_us: i64) -> Option<Partial> {
    let mut found = parts
        .iter()
        .filter_map(|part| part.panes.get(key, start_us));
    let mut whole = found.next()?.clone();
    for partial in found {
        whole.merge(partial);
    }
    Some(whole)
}

/// A street's newest minute with enough fixes, else the one before it, as long as
/// that is not closed.
fn settled(parts: &[&Shared], segment: SegmentIndex, closed_us: i64) -> Option<(i64, Partial)> {
    let key = PaneKey::Segment(segment);
    let minutes = parts.iter().flat_map(|part| part.panes.minutes());
    let start_us = minutes
        .filter(|minute| minute.get(&key).is_some())
        .map(|minute| minute.start_us)
        .max()?;
    let newest = merged(parts, &key, start_us)?;
    if newest.aggregate.moments.count < SETTLED_FIXES && start_us > closed_us {
        let before_us = start_us - PANE_US;
        if let Some(before) = merged(parts, &key, before_us) {
            return Some((before_us, before));
        }
    }
    Some((start_us, newest))
}

/// The newest message about a thing, and since when the thing goes on.
pub(crate) fn newest_of<'a>(
    parts: &[&'a Shared],
    stream: Stream,
    id: &str,
) -> Option<(&'a super::latest::Latest, i64)> {
    let all = parts
        .iter()
        .filter(|part| part.stream == stream)
        .filter_map(|part| Some((part.latest.by_id.get(id)?, &part.id)));
    // Equal times and offsets of two partitions: one answer for every process.
    let (newest, _) = all.clone().max_by_key(|(latest, id)| (latest.order, *id))?;
    let ongoing = all.filter(|(latest, _)| !latest.is_over());
    let started_us = ongoing.map(|(latest, _)| latest.started_at_us).min();
    Some((newest, started_us.unwrap_or(newest.started_at_us)))
}
