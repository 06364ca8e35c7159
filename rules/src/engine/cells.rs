//! The engine's state as cells: what a checkpoint saves and a restart takes up.

use bytes::{BufMut, Bytes, BytesMut};
use compact_str::CompactString;
use events::Location;
use events::aggregate::Aggregate;
use events::window::{Merged, Window};

use super::episode::{Episode, Phase};
use super::{Engine, Merging, abandoned};
use crate::rule::Measure;
use crate::step::AlertStep;

/// What every key begins with.
const PREFIX: &str = "rules:";
const CLOCK: &str = "rules:clock";
const ENDED: &str = "rules:ended";

/// Ids of rules have no colon, so that subjects may.
pub(super) fn episode(rule: &str, subject: &str) -> String {
    format!("{PREFIX}episode:{rule}:{subject}")
}

pub(super) fn window(rule: &str, end_us: i64, key: &str) -> String {
    format!("{PREFIX}window:{rule}:{end_us}:{key}")
}

impl Engine {
    /// The cells that changed since the last call; `None` deletes one.
    pub fn take_cells(&mut self) -> Vec<(String, Option<Bytes>)> {
        let mut cells: Vec<(String, Option<Bytes>)> = std::mem::take(&mut self.dirty.gone)
            .into_iter()
            .map(|key| (key, None))
            .collect();
        for (number, subject) in self.dirty.episodes.drain() {
            let rule = &self.rules.rules[number as usize];
            let open = self.open[number as usize].get(&subject);
            cells.push((episode(rule.id(), &subject), open.map(Episode::encode)));
        }
        for key in std::mem::take(&mut self.dirty.windows) {
            let rule = &self.rules.rules[key.1 as usize];
            let merging = self.windows.get(&key).map(Merging::encode);
            cells.push((window(rule.id(), key.0, &key.2), merging));
        }
        let dirty = &mut self.dirty;
        for (key, is_dirty, time_us) in [
            (CLOCK, &mut dirty.clock, self.clock_us),
            (ENDED, &mut dirty.ended, self.ended_us),
        ] {
            if std::mem::take(is_dirty) {
                let time = Bytes::copy_from_slice(&time_us.to_le_bytes());
                cells.push((key.to_owned(), Some(time)));
            }
        }
        cells
    }

    /// Takes up one cell, before the first fact; `false` where it is none of the
    /// engine's. An alert whose rule is gone or says something else now is cleared.
    pub fn restore_cell(&mut self, key: &str, value: &[u8], out: &mut Vec<AlertStep>) -> bool {
        let Some(rest) = key.strip_prefix(PREFIX) else {
            return false;
        };
        let time = value.try_into().map(i64::from_le_bytes).ok();
        let restored = match rest.split_once(':') {
            None if key == CLOCK => time.map(|time_us| self.clock_us = time_us),
            None if key == ENDED => time.map(|time_us| self.ended_us = time_us),
            Some(("episode", rest)) => self.restore_episode(rest, value, out),
            Some(("window", rest)) => self.restore_window(rest, value),
            _ => None,
        };
        if restored.is_none() {
            self.dirty.gone.push(key.to_owned());
        }
        true
    }

    /// `None` where the cell is to be deleted.
    fn restore_episode(
        &mut self,
        rest: &str,
        value: &[u8],
        out: &mut Vec<AlertStep>,
    ) -> Option<()> {
        let (rule, subject) = rest.split_once(':')?;
        let mut episode = Episode::decode(value)?;
        let Some(number) = self.same_rule(rule, episode.fingerprint) else {
            if episode.phase == Phase::Raised {
                out.push(abandoned(rule, subject, &episode));
            }
            return None;
        };
        if episode.fence_len == 0 && self.rules.fences.contains(&number) {
            // Written before the fence's id was kept: few ids of devices have colons.
            let fence_len = subject.rfind(':').unwrap_or_default();
            episode.fence_len = u16::try_from(fence_len).unwrap_or_default();
        }
        self.open[number as usize].insert(subject.into(), episode);
        Some(())
    }

    fn restore_window(&mut self, rest: &str, value: &[u8]) -> Option<()> {
        let (rule, rest) = rest.split_once(':')?;
        let (end_us, key) = rest.split_once(':')?;
        let end_us: i64 = end_us.parse().ok()?;
        let rules = &self.rules.rules;
        let number = rules.binary_search_by(|known| known.id().cmp(rule)).ok()?;
        let Measure::Window { size, .. } = &rules[number].measure else {
            return None;
        };
        let window = Window {
            start_us: end_us.checked_sub(size.size_us)?,
            end_us,
        };
        let merging = Merging::decode(window, value)?;
        self.windows
            .insert((end_us, number as u32, CompactString::from(key)), merging);
        Some(())
    }
}

impl Merging {
    /// Panes, free flow and place (NaN where there is none), then the aggregate.
    fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u32_le(self.panes);
        let (latitude, longitude) = self
            .location
            .map_or((f64::NAN, f64::NAN), |at| (at.latitude, at.longitude));
        for number in [self.free_flow_kmh.unwrap_or(f64::NAN), latitude, longitude] {
            bytes.put_f64_le(number);
        }
        bytes.put_slice(&self.merged.aggregate.to_bytes());
        bytes.freeze()
    }

    fn decode(window: Window, bytes: &[u8]) -> Option<Self> {
        let (panes, rest) = bytes.split_first_chunk()?;
        let (numbers, rest) = rest.split_at_checked(24)?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let there =
            |index: usize| Some(f64::from_le_bytes(numbers[index])).filter(|value| !value.is_nan());
        Some(Self {
            merged: Merged {
                window,
                aggregate: Aggregate::from_bytes(rest)?,
                vehicles: None,
                is_final: false,
            },
            panes: u32::from_le_bytes(*panes),
            free_flow_kmh: there(0),
            location: there(1)
                .zip(there(2))
                .map(|(latitude, longitude)| Location {
                    latitude,
                    longitude,
                }),
        })
    }
}
