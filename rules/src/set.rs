//! All rules that are evaluated, sorted by what they follow from.

use std::sync::Arc;

use events::Stream;
use events::window::WindowKind;

use crate::built_in::built_in_rules;
use crate::rule::{Measure, Rule};

/// The number of a rule in its set.
pub(crate) type RuleNo = u32;

/// The enabled rules. Cheap to share; a change makes a new set.
#[derive(Debug, Default)]
pub struct RuleSet {
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) by_stream: Vec<Vec<RuleNo>>,
    pub(crate) by_window: [Vec<RuleNo>; 4],
    pub(crate) fences: Vec<RuleNo>,
    pub(crate) silence: Vec<RuleNo>,
    pub(crate) merging: Vec<RuleNo>,
    needs_segment: bool,
}

impl RuleSet {
    /// A set of what is enabled among `rules`; of two with the same id the last
    /// one is taken.
    pub fn new(rules: impl IntoIterator<Item = Arc<Rule>>) -> Self {
        let mut kept: Vec<Arc<Rule>> = Vec::new();
        for rule in rules {
            kept.retain(|before| before.id() != rule.id());
            kept.push(rule);
        }
        kept.retain(|rule| rule.document.enabled);
        // The same rules are evaluated in the same order everywhere.
        kept.sort_by(|a, b| a.id().cmp(b.id()));
        let mut set = Self {
            by_stream: vec![Vec::new(); Stream::ALL.len()],
            needs_segment: kept.iter().any(|rule| rule.needs_segment()),
            ..Self::default()
        };
        for (number, rule) in kept.iter().enumerate() {
            set.sort_in(number as RuleNo, rule);
        }
        set.rules = kept;
        set
    }

    /// The built-in rules with those of `written` in place of the ones with their
    /// ids, and beside them.
    pub fn with_built_in(written: impl IntoIterator<Item = Arc<Rule>>) -> Self {
        Self::new(built_in_rules().into_iter().map(Arc::new).chain(written))
    }

    /// Whether the same rules are in `other`.
    pub fn is_same(&self, other: &Self) -> bool {
        self.rules == other.rules
    }

    /// The rules, by id.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(Arc::as_ref)
    }

    /// Whether the street under a fix has to be known.
    pub fn needs_segments(&self) -> bool {
        self.needs_segment
    }

    /// Whether what devices do at fences is looked at.
    pub fn needs_fences(&self) -> bool {
        !self.fences.is_empty()
    }

    /// Whether closed panes are looked at.
    pub fn needs_panes(&self) -> bool {
        self.by_window.iter().any(|rules| !rules.is_empty())
    }

    pub(crate) fn of_stream(&self, stream: Stream) -> &[RuleNo] {
        self.by_stream
            .get(stream as usize)
            .map_or(&[], Vec::as_slice)
    }

    pub(crate) fn of_window(&self, kind: WindowKind) -> &[RuleNo] {
        &self.by_window[kind as usize]
    }

    fn sort_in(&mut self, number: RuleNo, rule: &Rule) {
        match &rule.measure {
            Measure::Window { kind, .. } => self.by_window[*kind as usize].push(number),
            Measure::Congestion { .. } => {
                self.by_window[WindowKind::Segment as usize].push(number);
            }
            Measure::FenceEnter | Measure::FenceExit | Measure::FenceDwell => {
                self.fences.push(number);
            }
            Measure::Silence => self.silence.push(number),
            Measure::MergedIncidents { .. } => self.merging.push(number),
            _ => {
                for stream in rule.streams() {
                    self.by_stream[stream as usize].push(number);
                }
            }
        }
    }
}
