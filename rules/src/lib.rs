//! Rules, and the life of the alerts that they raise.
//!
//! Enters: rule documents, and facts in the order in which the log has them
//! (fixes, readings, incidents, fence transitions, closed panes, the passing of
//! the watermark). Leaves: [`AlertStep`]s, each one step in the life of an alert.
//! Promises: the same facts in the same order give the same steps with the same
//! ids, whatever restarts lie between; an alert's id follows from rule, subject
//! and the start of its episode. Never: I/O, clocks, async, randomness.

mod built_in;
mod cluster;
mod comparison;
mod document;
mod engine;
mod expression;
mod fact;
mod life;
mod message;
mod problem;
mod rule;
mod set;
mod step;
mod stored;
mod trial;
mod validate;

pub use built_in::{built_in, built_in_rules};
pub use cluster::{ActiveIncident, Clusters};
pub use comparison::{Comparison, Condition};
pub use document::{Filters, Parameters, RuleDocument, Source};
pub use engine::Engine;
pub use expression::Expression;
pub use fact::{FenceFact, FenceTransition, Fix, IncidentFact, PaneFact, Reading, SegmentFact};
pub use life::{Acknowledgement, AlertState};
pub use problem::Invalid;
pub use rule::Rule;
pub use set::RuleSet;
pub use step::{AlertStep, Status};
pub use stored::{StoredRule, TOPIC};
pub use trial::{Trial, TrialFix, TrialSegment};

/// Limits on what people may write; each is named where it is exceeded.
pub mod limits {
    /// Rules that may exist beside the built-in ones.
    pub const RULES_MAX: usize = 1_000;
    /// Bytes of one rule document.
    pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
    /// Characters of a rule's id.
    pub const ID_CHARACTERS_MAX: usize = 64;
    /// Characters of a rule's name.
    pub const NAME_CHARACTERS_MAX: usize = 120;
    /// Characters of a message template.
    pub const MESSAGE_CHARACTERS_MAX: usize = 500;
    /// Characters of an expression.
    pub const EXPRESSION_CHARACTERS_MAX: usize = 200;
    /// Values of one filter.
    pub const FILTER_VALUES_MAX: usize = 100;
    /// Characters of one value of a filter.
    pub const FILTER_CHARACTERS_MAX: usize = 128;
    /// Seconds that a condition may have to hold: one day.
    pub const HOLD_S_MAX: f64 = 86_400.0;
}
