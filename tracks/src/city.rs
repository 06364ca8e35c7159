//! The city's streets, as the tracks ask for them.

use std::sync::Arc;

use streets::{FixForMatch, Matcher, SegmentIndex, StreetNetwork};

use crate::{Fix, Ground, Previous};

/// Matches fixes to the streets of one city.
#[derive(Clone, Debug)]
pub struct Streets {
    matcher: Matcher,
    /// 0 matches nothing.
    max_distance_m: f64,
}

impl Streets {
    /// Fixes farther than `max_distance_m` metres from every street are on none.
    pub fn new(network: Arc<StreetNetwork>, max_distance_m: f64) -> Self {
        Self {
            matcher: Matcher::new(network),
            max_distance_m,
        }
    }

    /// The streets, to be kept.
    pub fn shared(&self) -> Arc<StreetNetwork> {
        self.matcher.streets().clone()
    }

    /// The streets.
    pub fn network(&self) -> &StreetNetwork {
        self.matcher.streets()
    }
}

impl Ground for Streets {
    fn locate(
        &self,
        fix: &Fix<'_>,
        heading_deg: Option<f64>,
        previous: Option<Previous>,
    ) -> Option<SegmentIndex> {
        if self.max_distance_m <= 0.0 {
            return None;
        }
        let fix = FixForMatch {
            location: fix.location,
            heading_deg,
            speed_kmh: fix.speed_kmh,
        };
        let previous = previous.map(|previous| streets::Previous {
            segment: previous.segment,
            location: previous.location,
        });
        self.matcher
            .segment_of(&fix, previous.as_ref(), self.max_distance_m)
    }

    fn segment_id(&self, segment: SegmentIndex) -> &str {
        &self.network().segment(segment).id
    }

    fn by_id(&self, id: &str) -> Option<SegmentIndex> {
        self.network().by_id(id)
    }
}
