//! Partitions that come and go.

use std::collections::HashSet;

use bytes::Bytes;
use events::{Stream, TopicPartition};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{OWNER, Session};
use crate::alert_outbox::NOTED;
use crate::error::Error;
use crate::outbox::{OUTBOX, Outbox};
use crate::progress::{Progress, Start};
use crate::state::{CLOSED, combined_cells_of, learned_cells_of, shared_cells_of};

impl Session<'_> {
    pub(super) async fn assign(
        &mut self,
        partitions: &[TopicPartition],
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        // What follows is restored from the store: it has to hold what was said.
        self.write_all(&HashSet::new(), shutdown).await?;
        let stored = self.deps.hot.positions(OWNER).await?;
        let city = combined_cells_of(&self.first);
        let city = self.deps.hot.cells(OWNER, &city).await?;
        self.state.restore_combined(&city);
        if partitions.contains(&self.first) {
            self.open_outbox(&city).await?;
        }
        let learned = learned_cells_of(&self.first);
        let learned = self.deps.hot.cells(OWNER, &learned).await?;
        self.state.restore_learned(&learned);
        self.refresh_configuration();
        let mut starts = Vec::with_capacity(partitions.len());
        let note_of = |cells: &[(String, Bytes)]| {
            let note = cells.iter().find(|(key, _)| key == NOTED);
            note.map(|(_, note)| note.clone())
        };
        let mut notes = vec![note_of(&city)];
        let mut goals = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let Some(stream) = self.streams.get(&partition.topic).copied() else {
                continue;
            };
            let mut cells = self.deps.hot.cells(OWNER, partition).await?;
            let shared = shared_cells_of(partition);
            cells.extend(self.deps.hot.cells(OWNER, &shared).await?);
            let bounds = self.deps.log.bounds(&partition.topic).await?;
            let oldest = bounds.iter().find(|bounds| bounds.partition == *partition);
            let end = oldest.map_or(0, |bounds| bounds.end);
            goals.push((partition.clone(), end));
            let oldest = oldest.map_or(0, |bounds| bounds.start);
            notes.push(note_of(&cells));
            let start = Start::of(&cells, stored.get(partition).copied(), oldest);
            let slot = self.state.assign(partition, stream, start.cells(&cells));
            if start.is_behind() {
                self.state.catch_up(slot);
            }
            self.progress
                .insert(partition, Progress::new(slot, stream, &start));
            starts.push((partition.clone(), start));
        }
        if !partitions.contains(&self.first) {
            notes.remove(0);
        }
        self.alerts
            .read_since(self.deps.log.as_ref(), &notes, goals)
            .await?;
        self.alerts_noted = self.alerts.note();
        // First where it is known to have been: an embedded log that lost its end
        // to a power failure goes on numbering there.
        let ends: Vec<_> = starts
            .iter()
            .map(|(id, start)| (id.clone(), start.stored))
            .collect();
        self.consumer.start(&ends).await?;
        let behind: Vec<_> = starts
            .iter()
            .filter(|(_, start)| start.is_behind())
            .map(|(id, start)| (id.clone(), start.read_from))
            .collect();
        if !behind.is_empty() {
            self.consumer.start(&behind).await?;
        }
        self.observations.set_own(self.progress.partitions());
        info!(
            partitions = partitions.len(),
            "speed layer took over partitions"
        );
        self.ready();
        Ok(())
    }

    async fn open_outbox(&mut self, city: &[(String, Bytes)]) -> Result<(), Error> {
        let topic = self.deps.topics.topic(Stream::Windows);
        let note = city.iter().find(|(key, _)| key == OUTBOX);
        let mut closed_until_us = i64::MIN;
        let outbox = Outbox::open(
            self.deps.log.as_ref(),
            topic,
            note.map(|(_, note)| note.as_ref()),
            |value| {
                if let Ok(event) = events::decode(Stream::Windows, value, i64::MAX)
                    && let events::Body::Window(window) = event.body
                {
                    closed_until_us = closed_until_us.max(window.window_end_us.unwrap_or(i64::MIN));
                }
            },
        );
        self.outbox = Some(outbox.await?);
        if !city.iter().any(|(key, _)| key == CLOSED) {
            // A store that was flushed: the log itself says what was closed.
            self.state.closed_until(closed_until_us);
        }
        Ok(())
    }

    pub(super) async fn revoke(
        &mut self,
        partitions: &[TopicPartition],
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        let given_up = partitions.iter().cloned().collect();
        self.write_all(&given_up, shutdown).await?;
        for partition in partitions {
            self.state.revoke(partition);
            self.progress.remove(partition);
        }
        if partitions.contains(&self.first) {
            self.outbox = None;
        }
        self.reached.set(self.progress.places());
        self.consumer.release(partitions).await?;
        self.observations.set_own(self.progress.partitions());
        Ok(())
    }
}
