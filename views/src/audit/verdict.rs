//! Which window is how (pure).

use std::collections::BTreeMap;

use events::aggregate::Aggregate;
use events::window::{PANE_US, Pane, WindowKind};

use super::fold::{Fold, Group, Key, Minute, Reached};
use super::report::{FINDINGS_MAX, Finding, KindReport, Report, Said};
use super::{Audit, GRACE_US};
use crate::source::instant_text;

/// What became of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Equal,
    Late,
    Duplicate,
    Bug,
    Missing,
    Extra,
}

impl Outcome {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Outcome::Equal => "equal",
            Outcome::Late => "late",
            Outcome::Duplicate => "duplicate",
            Outcome::Bug => "bug",
            Outcome::Missing => "missing",
            Outcome::Extra => "extra",
        }
    }
}

impl Said {
    /// What is to be said of these values.
    pub(crate) fn of(aggregate: &Aggregate, vehicles: Option<u64>) -> Self {
        let moments = &aggregate.moments;
        let extreme = |value: f64| (!moments.is_empty()).then_some(value);
        Self {
            count: i64::try_from(moments.count).unwrap_or(i64::MAX),
            mean: moments.mean(),
            min: extreme(moments.min),
            max: extreme(moments.max),
            p50: aggregate.quantile(0.5),
            p90: aggregate.quantile(0.9),
            p99: aggregate.quantile(0.99),
            vehicles: vehicles.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
        }
    }
}

impl Key {
    /// Vehicles are counted of everything but stations.
    fn counted(&self, vehicles: u64) -> Option<u64> {
        (self.kind() != WindowKind::Station).then_some(vehicles)
    }
}

/// `None` where there is nothing and nothing was said.
pub(crate) fn outcome(key: &Key, minute: &Minute) -> Option<Outcome> {
    let all = minute.all();
    // A window of no values takes back what was said before.
    let said = minute.said.as_ref().filter(|said| said.count > 0);
    let Some(said) = said else {
        return match (all.is_empty(), minute.in_time.is_empty()) {
            (true, _) => None,
            // All of them came too late for any window.
            (false, true) => Some(Outcome::Late),
            (false, false) => Some(Outcome::Missing),
        };
    };
    if all.is_empty() {
        return Some(Outcome::Extra);
    }
    let is_said =
        |aggregate: &Aggregate, vehicles| *said == Said::of(aggregate, key.counted(vehicles));
    if is_said(&all, minute.vehicles) {
        return Some(Outcome::Equal);
    }
    if is_said(&minute.in_time, minute.in_time_vehicles) {
        return Some(Outcome::Late);
    }
    // Healed, or corrected, before the rest of the late ones came.
    let known = said.count - i64::try_from(minute.in_time.moments.count).unwrap_or(i64::MAX);
    if known > 0 && known < minute.late.len() as i64 {
        let mut then = Said::of(&minute.with_late(known as usize), None);
        then.vehicles = said.vehicles;
        let most = key.counted(minute.vehicles).map(|most| most as i64);
        if *said == then && said.vehicles <= most {
            return Some(Outcome::Late);
        }
    }
    if let Some(repeated) = &minute.repeated {
        let with = |mut aggregate: Aggregate| {
            aggregate.merge(repeated);
            aggregate
        };
        let repeated = is_said(&with(minute.in_time.clone()), minute.in_time_vehicles)
            || is_said(&with(all), minute.vehicles);
        if repeated {
            return Some(Outcome::Duplicate);
        }
    }
    Some(Outcome::Bug)
}

impl Fold<'_> {
    /// Windows that end at or before this must have been said.
    fn due_us(&self, group: Group) -> i64 {
        let all = self.partitions.iter().filter(|((of, ..), _)| *of == group);
        let all: Vec<Reached> = all.map(|(_, reached)| *reached).collect();
        let idle_us = self.config.idle.as_micros() as i64 + GRACE_US;
        let quiet_us = |reached: &Reached| self.told_us - reached.appended_us;
        let active = all.iter().filter(|reached| quiet_us(reached) <= idle_us);
        match active.map(|reached| reached.watermark_us).min() {
            Some(least) => least,
            // All are idle: time goes on by the clock.
            None => {
                let newest = all.iter().map(|reached| reached.watermark_us).max();
                let quiet = all.iter().map(quiet_us).min().unwrap_or_default();
                newest.map_or(i64::MIN, |newest| newest + (quiet - idle_us).max(0))
            }
        }
    }

    /// What was said of things that are no more.
    fn count_unknown(
        &mut self,
        kinds: &mut BTreeMap<WindowKind, KindReport>,
        corrections: &mut Vec<Pane>,
    ) {
        for ((kind, key, start_us), said) in self.unknown.drain() {
            let report = kinds.entry(kind).or_insert_with(|| KindReport::new(kind));
            if said.count == 0 {
                continue;
            }
            report.count(Outcome::Extra);
            corrections.push(Pane {
                kind,
                key,
                start_us,
                vehicles: Some(0),
                aggregate: Aggregate::default(),
                is_final: true,
            });
        }
    }

    pub(crate) fn finish(mut self) -> Audit {
        let due_us = [self.due_us(Group::Fixes), self.due_us(Group::Stations)];
        let mut kinds: BTreeMap<WindowKind, KindReport> = WindowKind::ALL
            .into_iter()
            .map(|kind| (kind, KindReport::new(kind)))
            .collect();
        let mut corrections = Vec::new();
        let mut findings: Vec<(Outcome, Finding)> = Vec::new();
        let mut minutes: Vec<_> = self.minutes.drain().collect();
        minutes.sort_unstable_by(|((a, a_us), _), ((b, b_us), _)| (a_us, a).cmp(&(b_us, b)));
        for ((key, start_us), minute) in minutes {
            let report = kinds
                .entry(key.kind())
                .or_insert_with(|| KindReport::new(key.kind()));
            if start_us + PANE_US > due_us[Group::of(key.kind()) as usize] {
                report.open += 1;
                continue;
            }
            let Some(outcome) = outcome(&key, &minute) else {
                continue;
            };
            report.count(outcome);
            if outcome == Outcome::Equal {
                continue;
            }
            let all = minute.all();
            let name = key.name(self.streets);
            if findings.len() < FINDINGS_MAX || !matches!(outcome, Outcome::Late) {
                let computed = Said::of(&all, key.counted(minute.vehicles));
                findings.push((
                    outcome,
                    Finding {
                        kind: key.kind().name().to_owned(),
                        key: name.clone(),
                        window_start: instant_text(start_us),
                        result: outcome.name().to_owned(),
                        said: minute.said.clone(),
                        computed: (!all.is_empty()).then_some(computed),
                    },
                ));
            }
            corrections.push(Pane {
                kind: key.kind(),
                key: name,
                start_us,
                vehicles: key.counted(minute.vehicles),
                aggregate: all,
                is_final: true,
            });
        }
        self.count_unknown(&mut kinds, &mut corrections);
        // What is wrong first.
        findings.sort_by_key(|(outcome, _)| *outcome == Outcome::Late);
        findings.truncate(FINDINGS_MAX);
        let until = |group: Group| {
            let due_us = due_us[group as usize];
            (due_us > self.from_us).then(|| instant_text(due_us))
        };
        Audit {
            report: Report {
                from: Some(instant_text(self.from_us)),
                until: until(Group::Fixes),
                until_stations: until(Group::Stations),
                kinds: kinds.into_values().collect(),
                findings: findings.into_iter().map(|(_, finding)| finding).collect(),
                healed: None,
            },
            corrections,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> Aggregate {
        values.iter().copied().collect()
    }

    fn minute(in_time: &[f64], late: &[f64], repeated: &[f64], said: Option<&[f64]>) -> Minute {
        let some = |values: &[f64]| (!values.is_empty()).then(|| Box::new(of(values)));
        Minute {
            in_time: of(in_time),
            in_time_vehicles: 1,
            vehicles: 1,
            late: (0..).zip(late.iter().copied()).collect(),
            repeated: some(repeated),
            said: said.map(|values| Said::of(&of(values), Some(u64::from(!values.is_empty())))),
            ..Minute::default()
        }
    }

    #[test]
    fn a_window_is_judged_by_what_explains_it() {
        let found = |minute: Minute| outcome(&Key::City, &minute);
        assert_eq!(
            found(minute(&[1.0, 2.0], &[], &[], Some(&[2.0, 1.0]))),
            Some(Outcome::Equal)
        );
        assert_eq!(
            found(minute(&[1.0], &[9.0], &[], Some(&[1.0]))),
            Some(Outcome::Late)
        );
        // Healed, and then one more came.
        assert_eq!(
            found(minute(&[1.0], &[9.0, 8.0], &[], Some(&[1.0, 9.0]))),
            Some(Outcome::Late)
        );
        // As it is after it was healed.
        assert_eq!(
            found(minute(&[1.0], &[9.0], &[], Some(&[1.0, 9.0]))),
            Some(Outcome::Equal)
        );
        assert_eq!(
            found(minute(&[1.0], &[], &[1.0], Some(&[1.0, 1.0]))),
            Some(Outcome::Duplicate)
        );
        assert_eq!(
            found(minute(&[1.0], &[9.0], &[1.0], Some(&[1.0, 3.0]))),
            Some(Outcome::Bug)
        );
        assert_eq!(
            found(minute(&[1.0], &[], &[], None)),
            Some(Outcome::Missing)
        );
        assert_eq!(found(minute(&[], &[9.0], &[], None)), Some(Outcome::Late));
        assert_eq!(
            found(minute(&[], &[], &[], Some(&[1.0]))),
            Some(Outcome::Extra)
        );
        // Taken back.
        assert_eq!(found(minute(&[], &[], &[], Some(&[]))), None);
    }

    #[test]
    fn another_number_of_vehicles_is_a_difference() {
        let mut minute = minute(&[1.0, 1.0], &[], &[], Some(&[1.0, 1.0]));
        minute.vehicles = 2;
        minute.in_time_vehicles = 2;
        assert_eq!(outcome(&Key::City, &minute), Some(Outcome::Bug));
        assert_eq!(
            outcome(&Key::Station("s:temperature".into()), &{
                let mut minute = minute;
                if let Some(said) = &mut minute.said {
                    said.vehicles = None;
                }
                minute
            }),
            Some(Outcome::Equal),
            "of a station they are not counted"
        );
    }
}
