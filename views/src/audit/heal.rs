//! Says windows anew.

use bytes::Bytes;
use event_log::NewRecord;
use events::Stream;
use events::window::Pane;
use hot_store::keys::window_id;
use hot_store::{HotBatch, Kind, Update};

use super::{Auditor, Healed};
use crate::Result;

/// Records of one append, values of one write.
const CHUNK: usize = 1_000;
/// Whose writes these are; it has no positions.
const OWNER: &str = "audit";

impl Auditor {
    /// Appends the windows to their topic, under the ids that they have, so that the
    /// last word is the right one; and writes those that the hot store still has.
    pub(super) async fn heal(&self, corrections: &[Pane]) -> Result<Healed> {
        let mut healed = Healed::default();
        let topic = self.topics.topic(Stream::Windows);
        for panes in corrections.chunks(CHUNK) {
            let records = panes.iter().map(|pane| {
                let event = pane.to_event();
                NewRecord {
                    key: Some(Bytes::copy_from_slice(event.device_id.as_bytes())),
                    value: event.to_json().into(),
                    ..NewRecord::default()
                }
            });
            self.log.append(topic, records.collect()).await?;
            healed.windows += panes.len() as u64;
            let id = |pane: &Pane| window_id(pane.kind, &pane.key, pane.start_us);
            let ids: Vec<String> = panes.iter().map(id).collect();
            let live = self.hot.get_many(Kind::Window, &ids).await?;
            let updates: Vec<Update> = panes
                .iter()
                .zip(ids)
                .zip(live)
                .filter_map(|((pane, id), live)| {
                    let left = live?.expires_in;
                    // One of no values is none.
                    let value = (!pane.aggregate.is_empty()).then(|| pane.to_json().into());
                    let age = Kind::Window.time_to_live().saturating_sub(left);
                    Some(Update::new(Kind::Window, id, value).aged(age))
                })
                .collect();
            healed.live += updates.len() as u64;
            if !updates.is_empty() {
                let batch = HotBatch {
                    updates,
                    ..HotBatch::default()
                };
                self.hot.apply(OWNER, &batch).await?;
            }
        }
        Ok(healed)
    }
}
