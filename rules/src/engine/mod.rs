//! Rules at work: facts in, steps of alerts out.
//!
//! All state is per rule and subject and can be saved as cells. Event time is the
//! only time: what ends by itself (a silent device, a window, an episode of which
//! nothing more is heard) is looked for whenever the watermark passes a multiple
//! of [`TICK_US`], so that it does not depend on when anybody looks.

mod cells;
mod episode;
mod samples;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compact_str::{CompactString, format_compact};
use events::window::{Merged, PANE_US};
use events::{Event, Location};
use foldhash::{HashMap, HashSet};

use self::episode::{Change, Episode, Phase, Sample};
use crate::fact::{FenceFact, Fix, IncidentFact, PaneFact, Reading};
use crate::rule::{Measure, Rule, passes};
use crate::set::{RuleNo, RuleSet};
use crate::step::{AlertStep, Status, alert_id};

/// How often event time is looked at for what ends by itself, microseconds.
const TICK_US: i64 = 10_000_000;
/// A device that was silent for this long is forgotten, microseconds.
const FORGET_AFTER_US: i64 = 24 * 3_600_000_000;

/// The state of all rules in one partition, or over the merged windows of all.
///
/// Facts of one subject must come newest by event time; [`Engine::on_time`] before
/// each record with the partition's watermark, or after the closed panes with the
/// merged one.
pub struct Engine {
    rules: Arc<RuleSet>,
    /// Per rule: subject -> episode.
    open: Vec<HashMap<CompactString, Episode>>,
    /// When each device was heard last; only with a rule that asks.
    seen: HashMap<CompactString, Seen>,
    /// Windows of several panes that have not ended.
    windows: BTreeMap<WindowKey, Merging>,
    /// The last multiple of [`TICK_US`] that the watermark passed.
    clock_us: i64,
    /// Windows that end here or before have been evaluated: there is no going back.
    ended_us: i64,
    dirty: Dirty,
}

/// End, rule, key: in the order in which windows are evaluated.
type WindowKey = (i64, RuleNo, CompactString);

/// What was changed since the cells were taken.
#[derive(Default)]
struct Dirty {
    episodes: HashSet<(RuleNo, CompactString)>,
    windows: BTreeSet<WindowKey>,
    clock: bool,
    ended: bool,
    /// Cells of rules that are no longer there.
    gone: Vec<String>,
}

struct Seen {
    last_us: i64,
    location: Option<Location>,
    vehicle_type: Option<CompactString>,
}

struct Merging {
    merged: Merged,
    /// Bit n: the pane that begins n minutes after the window is in.
    panes: u32,
    free_flow_kmh: Option<f64>,
    location: Option<Location>,
}

impl Engine {
    /// Nothing is known yet.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        Self {
            open: vec![HashMap::default(); rules.rules.len()],
            rules,
            seen: HashMap::default(),
            windows: BTreeMap::new(),
            clock_us: i64::MIN,
            ended_us: i64::MIN,
            dirty: Dirty::default(),
        }
    }

    /// The rules that are evaluated.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Open episodes, those included that nobody was told of yet.
    pub fn episodes(&self) -> usize {
        self.open.iter().map(HashMap::len).sum()
    }

    /// Event time up to which this has said all that time alone makes it say; `None`
    /// where nothing goes on and nobody can fall silent, so that there is nothing to say.
    pub fn said_until_us(&self) -> Option<i64> {
        let may_speak = self.episodes() > 0 || !self.seen.is_empty() || !self.windows.is_empty();
        may_speak.then_some(self.clock_us)
    }

    /// Goes on with other rules. Alerts of rules that are gone, off or say
    /// something else now are cleared.
    pub fn set_rules(&mut self, rules: Arc<RuleSet>, out: &mut Vec<AlertStep>) {
        let before = std::mem::replace(&mut self.rules, rules);
        let mut open = std::mem::take(&mut self.open);
        self.open = vec![HashMap::default(); self.rules.rules.len()];
        let mut renumbered: HashMap<RuleNo, RuleNo> = HashMap::default();
        for (old, rule) in before.rules.iter().enumerate() {
            let episodes = std::mem::take(&mut open[old]);
            match self.same_rule(rule.id(), rule.fingerprint) {
                Some(new) => {
                    renumbered.insert(old as RuleNo, new);
                    self.open[new as usize] = episodes;
                }
                None => self.end_all(rule, episodes, out),
            }
        }
        let dirty = std::mem::take(&mut self.dirty.episodes);
        self.dirty.episodes = dirty
            .into_iter()
            .filter_map(|(old, subject)| Some((*renumbered.get(&old)?, subject)))
            .collect();
        self.dirty.windows.clear();
        for ((end_us, old, key), merging) in std::mem::take(&mut self.windows) {
            if let Some(new) = renumbered.get(&old) {
                let key = (end_us, *new, key);
                self.dirty.windows.insert(key.clone());
                self.windows.insert(key, merging);
            } else if let Some(rule) = before.rules.get(old as usize) {
                self.dirty.gone.push(cells::window(rule.id(), end_us, &key));
            }
        }
        if self.rules.silence.is_empty() {
            self.seen.clear();
        }
    }

    fn same_rule(&self, id: &str, fingerprint: u64) -> Option<RuleNo> {
        let rules = &self.rules.rules;
        let found = rules.binary_search_by(|rule| rule.id().cmp(id)).ok()?;
        (rules[found].fingerprint == fingerprint).then_some(found as RuleNo)
    }

    /// The end of every episode of a rule that is no longer evaluated.
    fn end_all(
        &mut self,
        rule: &Rule,
        episodes: HashMap<CompactString, Episode>,
        out: &mut Vec<AlertStep>,
    ) {
        let mut episodes: Vec<_> = episodes.into_iter().collect();
        episodes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (subject, episode) in episodes {
            self.dirty.gone.push(cells::episode(rule.id(), &subject));
            if episode.phase == Phase::Raised {
                out.push(abandoned(rule.id(), &subject, &episode));
            }
        }
    }

    /// Ends what goes on at fences that are no longer watched. `is_watched` is asked
    /// with their ids.
    pub fn end_at_fences(&mut self, is_watched: impl Fn(&str) -> bool, out: &mut Vec<AlertStep>) {
        let rules = self.rules.clone();
        for number in &rules.fences {
            let rule = &rules.rules[*number as usize];
            let open = self.open[*number as usize].iter();
            let mut over: Vec<CompactString> = open
                .filter(|(subject, episode)| {
                    let fence = subject.get(..usize::from(episode.fence_len));
                    !is_watched(fence.unwrap_or_default())
                })
                .map(|(subject, _)| subject.clone())
                .collect();
            over.sort_unstable();
            for subject in over {
                self.abandon(*number, rule, &subject, None, out);
            }
        }
    }

    /// A device was heard at that time: to be called before the first fact with
    /// what is known from before a restart.
    pub fn remember(
        &mut self,
        device_id: &str,
        at_us: i64,
        location: Option<Location>,
        vehicle_type: Option<&str>,
    ) {
        if self.rules.silence.is_empty() {
            return;
        }
        match self.seen.get_mut(device_id) {
            Some(seen) if at_us <= seen.last_us => {}
            Some(seen) => {
                seen.last_us = at_us;
                seen.location = location.or(seen.location);
                if seen.vehicle_type.as_deref() != vehicle_type {
                    seen.vehicle_type = vehicle_type.map(Into::into);
                }
            }
            None => {
                let seen = Seen {
                    last_us: at_us,
                    location,
                    vehicle_type: vehicle_type.map(Into::into),
                };
                self.seen.insert(device_id.into(), seen);
            }
        }
    }

    /// An accepted fix, the newest of its device.
    pub fn on_fix(&mut self, fix: &Fix<'_>, out: &mut Vec<AlertStep>) {
        self.heard(fix.event, out);
        let rules = self.rules.clone();
        for number in rules.of_stream(fix.event.stream()) {
            let rule = &rules.rules[*number as usize];
            if let Some(sample) = samples::of_event(rule, fix.event, fix.segment.as_ref()) {
                self.observe(*number, rule, &sample, out);
            }
        }
    }

    /// The newest message of a station or camera.
    pub fn on_reading(&mut self, reading: &Reading<'_>, out: &mut Vec<AlertStep>) {
        self.on_fix(
            &Fix {
                event: reading.event,
                segment: None,
            },
            out,
        );
    }

    /// The newest message about an incident.
    pub fn on_incident(&mut self, incident: &IncidentFact<'_>, out: &mut Vec<AlertStep>) {
        let rules = self.rules.clone();
        for number in rules.of_stream(incident.event.stream()) {
            let rule = &rules.rules[*number as usize];
            if let Some(sample) = samples::of_event(rule, incident.event, None) {
                self.observe(*number, rule, &sample, out);
            }
        }
    }

    /// What a device did at a fence.
    pub fn on_fence(&mut self, fact: &FenceFact<'_>, out: &mut Vec<AlertStep>) {
        let rules = self.rules.clone();
        if rules.fences.is_empty() {
            return;
        }
        let subject = format_compact!("{}:{}", fact.fence, fact.device_id);
        for number in &rules.fences {
            let rule = &rules.rules[*number as usize];
            if let Some(sample) = samples::of_fence(rule, fact, &subject) {
                self.observe(*number, rule, &sample, out);
            }
        }
    }

    /// A closed pane, merged from all partitions. One that was handed in before
    /// changes nothing.
    pub fn on_pane(&mut self, fact: &PaneFact<'_>, out: &mut Vec<AlertStep>) {
        let rules = self.rules.clone();
        let pane = fact.pane;
        if pane.window().end_us <= self.clock_us {
            return;
        }
        for number in rules.of_window(pane.kind) {
            let rule = &rules.rules[*number as usize];
            if !passes(&rule.filters.key, Some(&pane.key)) {
                continue;
            }
            match &rule.measure {
                Measure::Window {
                    reading: Some(reading),
                    ..
                } if pane.key.rsplit(':').next() != Some(reading.as_str()) => {}
                Measure::Window { size, .. } if size.size_us > PANE_US => {
                    for window in size.windows_of(pane.start_us) {
                        self.merge(*number, window, fact);
                    }
                }
                _ => {
                    let window = Merged {
                        window: pane.window(),
                        aggregate: pane.aggregate.clone(),
                        vehicles: pane.vehicles,
                        is_final: true,
                    };
                    if let Some(mut sample) = samples::of_window(rule, &window, fact.free_flow_kmh)
                    {
                        sample.subject = &pane.key;
                        sample.location = fact.location;
                        self.observe(*number, rule, &sample, out);
                    }
                }
            }
        }
    }

    fn merge(&mut self, number: RuleNo, window: events::window::Window, fact: &PaneFact<'_>) {
        let pane = fact.pane;
        if window.end_us <= self.ended_us {
            return;
        }
        let bit = 1_u32 << ((pane.start_us - window.start_us) / PANE_US);
        let key = (
            window.end_us,
            number,
            CompactString::from(pane.key.as_str()),
        );
        let merging = self.windows.entry(key.clone()).or_insert_with(|| Merging {
            merged: Merged {
                window,
                aggregate: events::aggregate::Aggregate::default(),
                vehicles: None,
                is_final: false,
            },
            panes: 0,
            free_flow_kmh: None,
            location: None,
        });
        if merging.panes & bit != 0 {
            return;
        }
        merging.panes |= bit;
        merging.merged.aggregate.merge(&pane.aggregate);
        merging.free_flow_kmh = fact.free_flow_kmh.or(merging.free_flow_kmh);
        merging.location = fact.location.or(merging.location);
        self.dirty.windows.insert(key);
    }

    /// Event time has come to `watermark_us`: raises what has been silent for too
    /// long, evaluates windows that ended, and gives up episodes of which nothing
    /// more is heard.
    #[inline]
    pub fn on_time(&mut self, watermark_us: i64, out: &mut Vec<AlertStep>) {
        if watermark_us < self.clock_us.saturating_add(TICK_US) {
            return;
        }
        let tick_us = watermark_us - watermark_us.rem_euclid(TICK_US);
        if tick_us > self.clock_us {
            self.tick(tick_us, out);
        }
    }

    fn tick(&mut self, tick_us: i64, out: &mut Vec<AlertStep>) {
        self.clock_us = tick_us;
        self.dirty.clock = true;
        self.end_windows(tick_us, out);
        let rules = self.rules.clone();
        self.find_silent(&rules, tick_us, out);
        self.give_up(&rules, tick_us, out);
    }

    /// Evaluates the windows of several minutes that end at `until_us` or before, and no
    /// pane is added to them any more. Event time does this by itself; to be called where
    /// it stands still and windows end by the clock.
    pub fn end_windows(&mut self, until_us: i64, out: &mut Vec<AlertStep>) {
        let rules = self.rules.clone();
        while let Some(entry) = self.windows.first_entry() {
            if entry.key().0 > until_us {
                break;
            }
            let (key, merging) = entry.remove_entry();
            self.dirty.windows.insert(key.clone());
            self.dirty.ended |= key.0 > self.ended_us;
            self.ended_us = self.ended_us.max(key.0);
            let rule = &rules.rules[key.1 as usize];
            if let Some(mut sample) =
                samples::of_window(rule, &merging.merged, merging.free_flow_kmh)
            {
                sample.subject = &key.2;
                sample.location = merging.location;
                self.observe(key.1, rule, &sample, out);
            }
        }
    }

    fn find_silent(&mut self, rules: &RuleSet, tick_us: i64, out: &mut Vec<AlertStep>) {
        if rules.silence.is_empty() {
            return;
        }
        let forgotten_us = tick_us.saturating_sub(FORGET_AFTER_US);
        self.seen.retain(|_, seen| seen.last_us > forgotten_us);
        for number in &rules.silence {
            let rule = &rules.rules[*number as usize];
            let silent_us = (rule.condition.threshold * 1e6) as i64;
            let open = &self.open[*number as usize];
            let mut silent: Vec<(i64, CompactString, Option<Location>)> = self
                .seen
                .iter()
                .filter(|(device_id, seen)| {
                    seen.last_us.saturating_add(silent_us) <= tick_us
                        && !open.contains_key(*device_id)
                        && passes(&rule.filters.device, Some(device_id))
                        && passes(&rule.filters.vehicle_type, seen.vehicle_type.as_deref())
                })
                .map(|(device_id, seen)| (seen.last_us, device_id.clone(), seen.location))
                .collect();
            silent.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
            for (seen_us, device_id, location) in silent {
                let mut sample = samples::of_silence(rule, &device_id, seen_us, silent_us);
                sample.location = location;
                self.observe(*number, rule, &sample, out);
            }
        }
    }

    /// Ends the episodes of which nothing was heard for as long as the rule waits.
    fn give_up(&mut self, rules: &RuleSet, tick_us: i64, out: &mut Vec<AlertStep>) {
        for (number, rule) in rules.rules.iter().enumerate() {
            let wait_us = rule.gives_up_after_us();
            let mut over: Vec<(i64, CompactString)> = self.open[number]
                .iter()
                .map(|(subject, episode)| (episode.last_us.saturating_add(wait_us), subject))
                .filter(|(due_us, _)| *due_us <= tick_us)
                .map(|(due_us, subject)| (due_us, subject.clone()))
                .collect();
            over.sort_unstable();
            for (due_us, subject) in over {
                self.abandon(number as RuleNo, rule, &subject, Some(due_us), out);
            }
        }
    }

    /// Ends an episode, at `end_us` or when it was last heard of.
    fn abandon(
        &mut self,
        number: RuleNo,
        rule: &Rule,
        subject: &CompactString,
        end_us: Option<i64>,
        out: &mut Vec<AlertStep>,
    ) {
        let Some(mut episode) = self.open[number as usize].remove(subject) else {
            return;
        };
        self.dirty.episodes.insert((number, subject.clone()));
        if episode.phase == Phase::Raised {
            episode.last_us = end_us.unwrap_or(episode.last_us);
            out.push(abandoned(rule.id(), subject, &episode));
        }
    }

    /// Notes that a device was heard, which ends its silence.
    fn heard(&mut self, event: &Event, out: &mut Vec<AlertStep>) {
        let rules = self.rules.clone();
        if rules.silence.is_empty() {
            return;
        }
        for number in &rules.silence {
            let open = &self.open[*number as usize];
            if open.is_empty() {
                continue;
            }
            let Some(episode) = open.get(&event.device_id) else {
                continue;
            };
            let rule = &rules.rules[*number as usize];
            // Also what comes very late shows that the device was not silent.
            let at_us = event.timestamp_us.max(episode.last_us);
            let mut sample = samples::of_return(rule, &event.device_id, at_us, episode.since_us);
            sample.location = event.location();
            self.observe(*number, rule, &sample, out);
        }
        self.remember(
            &event.device_id,
            event.timestamp_us,
            event.location(),
            event.vehicle_type(),
        );
    }

    /// Takes a sample to its episode.
    fn observe(
        &mut self,
        number: RuleNo,
        rule: &Rule,
        sample: &Sample<'_>,
        out: &mut Vec<AlertStep>,
    ) {
        let open = &mut self.open[number as usize];
        // Most facts are in order: nothing is looked up for them.
        if open.is_empty() && !sample.is_met {
            return;
        }
        let change = match open.get_mut(sample.subject) {
            Some(episode) => {
                let change = episode.observe(sample, rule.hold_us);
                tell(rule, sample.subject, episode, change, out);
                change
            }
            None if sample.is_met => {
                let (episode, change) = Episode::begin(sample, rule.hold_us, rule.fingerprint);
                tell(rule, sample.subject, &episode, change, out);
                open.insert(sample.subject.into(), episode);
                change
            }
            None => return,
        };
        if matches!(change, Change::Cleared | Change::Dropped) {
            open.remove(sample.subject);
        }
        if change != Change::None {
            self.dirty.episodes.insert((number, sample.subject.into()));
        }
    }
}

/// Says what a change means to people, if anything.
fn tell(rule: &Rule, subject: &str, episode: &Episode, change: Change, out: &mut Vec<AlertStep>) {
    let status = match change {
        Change::Raised => Status::Raised,
        Change::Updated => Status::Updated,
        Change::Cleared => Status::Cleared,
        Change::None | Change::Noted | Change::Dropped => return,
    };
    let message = rule.message(Some(episode.value), episode.threshold, subject);
    out.push(step(rule.id(), subject, episode, status, message));
}

/// The end of an alert of which nothing more will be heard.
fn abandoned(rule: &str, subject: &str, episode: &Episode) -> AlertStep {
    let message = format!("no longer watched: {subject}").into();
    step(rule, subject, episode, Status::Cleared, message)
}

fn step(
    rule: &str,
    subject: &str,
    episode: &Episode,
    status: Status,
    message: Box<str>,
) -> AlertStep {
    AlertStep {
        alert_id: alert_id(rule, subject, episode.since_us),
        rule: rule.into(),
        subject: subject.into(),
        severity: episode.severity,
        status,
        value: Some(episode.value),
        threshold: episode.threshold,
        location: episode.location,
        started_at_us: episode.since_us,
        at_us: episode.last_us,
        message,
        sources: Vec::new(),
    }
}
