//! The streets, as far as judging a fix needs them.

use events::Location;
use streets::SegmentIndex;

use crate::Fix;

/// Where a device was before the fix that is being matched.
#[derive(Clone, Copy, Debug)]
pub struct Previous {
    /// The street it was on.
    pub segment: SegmentIndex,
    /// The fix itself.
    pub location: Location,
    /// When, microseconds since the epoch.
    pub timestamp_us: i64,
}

/// Finds the street of a fix. Must be deterministic.
pub trait Ground {
    /// The street that `fix` is on; `heading_deg` is its own heading or the one
    /// derived from the way it came.
    fn locate(
        &self,
        fix: &Fix<'_>,
        heading_deg: Option<f64>,
        previous: Option<Previous>,
    ) -> Option<SegmentIndex>;

    /// The lasting name of a street.
    fn segment_id(&self, segment: SegmentIndex) -> &str;

    /// The street of that name.
    fn by_id(&self, id: &str) -> Option<SegmentIndex>;
}

/// No streets: every fix is on none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGround;

impl Ground for NoGround {
    fn locate(&self, _: &Fix<'_>, _: Option<f64>, _: Option<Previous>) -> Option<SegmentIndex> {
        None
    }

    fn segment_id(&self, _: SegmentIndex) -> &str {
        ""
    }

    fn by_id(&self, _: &str) -> Option<SegmentIndex> {
        None
    }
}
