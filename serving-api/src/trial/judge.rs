//! What events are worth, before a rule looks at them: duplicates, bad fixes,
//! streets and fences as in the speed layer's fold, by the same rooms (`tracks`,
//! `fences`).

use std::sync::Arc;

use events::{Body, Event, Location, Offset, Stream};
use fences::{FenceEvent, FenceEventKind, FenceIndex, FenceNo, FenceState};
use rules::{FenceFact, FenceTransition, SegmentFact, Trial, TrialFix};
use streets::StreetNetwork;
use tracks::{Accepted, Streets, Tracker, Verdict};
use views::audit::AuditConfig;

/// Hands the events of one partition after the other to a [`Trial`].
pub(super) struct Judge {
    trial: Trial,
    config: AuditConfig,
    streets: Streets,
    partition: Option<(Stream, i64)>,
    /// With each device the fences that it is in.
    tracker: Tracker<FenceState>,
    fences: FenceIndex,
    found: Vec<FenceNo>,
    happened: Vec<FenceEvent>,
}

impl Judge {
    pub fn new(
        config: &AuditConfig,
        streets: Arc<StreetNetwork>,
        fences: FenceIndex,
        trial: Trial,
    ) -> Self {
        // To match is what costs most; the verdicts on fixes do not depend on it.
        let match_distance_m = match trial.needs_segments() {
            true => config.match_distance_m,
            false => 0.0,
        };
        Self {
            trial,
            config: config.clone(),
            streets: Streets::new(streets, match_distance_m),
            partition: None,
            tracker: Tracker::new(config.limits.clone()),
            fences,
            found: Vec::new(),
            happened: Vec::new(),
        }
    }

    /// The trial, when all events were handed in.
    pub fn into_trial(self) -> Trial {
        self.trial
    }

    /// The next event of a partition; in order of their offsets.
    pub fn fold(
        &mut self,
        partition: (Stream, i64),
        event: &Event,
        offset: Offset,
        appended_at_us: i64,
    ) {
        if self.partition != Some(partition) {
            self.partition = Some(partition);
            self.tracker = Tracker::new(self.config.limits.clone());
            let lateness_us = self.config.lateness_us(partition.0);
            self.trial.begin_partition(lateness_us);
        }
        let watermark_us = self.trial.pass(event, appended_at_us);
        match &event.body {
            Body::Vehicle(_) | Body::Gps(_) => {
                let verdict =
                    self.tracker
                        .judge(event, offset, appended_at_us, watermark_us, &self.streets);
                if let Verdict::Accepted(fix) = verdict {
                    self.fold_fix(event, &fix, appended_at_us);
                }
            }
            Body::Camera(_) | Body::Weather(_) | Body::Incident(_)
                if !self.tracker.is_duplicate(event, watermark_us) =>
            {
                self.trial.fold_message(event, appended_at_us);
            }
            _ => {}
        }
    }

    fn fold_fix(&mut self, event: &Event, fix: &Accepted, appended_at_us: i64) {
        let network = self.streets.network();
        let segment = fix.segment.map(|index| {
            let segment = network.segment(index);
            SegmentFact {
                id: &segment.id,
                limit_kmh: segment.free_flow_kmh,
                free_flow_kmh: segment.free_flow_kmh,
            }
        });
        self.trial.fold_fix(&TrialFix {
            event,
            in_order: fix.in_order,
            late: fix.late,
            segment,
            driven: fix.driven().map(|index| &*network.segment(index).id),
        });
        if fix.in_order && !self.fences.is_empty() {
            self.fold_fences(event, fix, appended_at_us);
        }
    }

    fn fold_fences(&mut self, event: &Event, fix: &Accepted, appended_at_us: i64) {
        let Some(track) = self.tracker.track_mut(fix.device) else {
            return;
        };
        let Some((location, vehicle_type)) = place_of(event) else {
            return;
        };
        self.fences.move_anchor(&event.device_id, location);
        let fix = fences::Fix {
            device_id: &event.device_id,
            vehicle_type,
            location,
            at_us: event.timestamp_us,
            appended_at_us,
        };
        self.happened.clear();
        track
            .extra
            .observe(&self.fences, &fix, &mut self.found, &mut self.happened);
        for happened in &self.happened {
            self.trial.fold_fence(&FenceFact {
                fence: &happened.fence_id,
                device_id: fix.device_id,
                vehicle_type,
                transition: match happened.kind {
                    FenceEventKind::Enter => FenceTransition::Enter,
                    FenceEventKind::Exit => FenceTransition::Exit,
                    FenceEventKind::Dwell => FenceTransition::Dwell,
                },
                at_us: happened.at_us,
                inside_s: (happened.at_us - happened.since_us) as f64 / 1e6,
                location: happened.location,
            });
        }
    }
}

fn place_of(event: &Event) -> Option<(Location, Option<&str>)> {
    match &event.body {
        Body::Gps(gps) => Some((gps.location, gps.vehicle_type.as_deref())),
        Body::Vehicle(vehicle) => Some((vehicle.location, None)),
        _ => None,
    }
}
