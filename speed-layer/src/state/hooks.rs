//! Where fences and rules look at what was folded.
//!
//! Everything here is pure and is called in the order of the records: replayed
//! records call it again and must find the same. State of devices and of what a
//! partition's records are about lives in [`PartitionHooks`], stored with the
//! partition's checkpoints; state that follows from the whole city in
//! [`CityHooks`], stored by the process that combines partitions.

use bytes::Bytes;
use events::window::Pane;
use events::{DeviceId, Event};
use tracks::{Accepted, Track};

use super::partition::Extra;

/// State of one partition.
#[derive(Debug, Default)]
pub(crate) struct PartitionHooks {}

impl PartitionHooks {
    /// A fix was believed; its track has taken it in.
    pub(crate) fn on_fix(&mut self, _event: &Event, _fix: &Accepted, _track: &Track<Extra>) {}

    /// A station reported; `is_newest` of that station.
    pub(crate) fn on_reading(&mut self, _event: &Event, _is_newest: bool) {}

    /// An incident was reported or changed; `is_newest` of that incident.
    pub(crate) fn on_incident(&mut self, _event: &Event, _is_newest: bool) {}

    /// The partition's watermark has come this far.
    pub(crate) fn on_time(&mut self, _watermark_us: i64) {}

    /// A device was forgotten.
    pub(crate) fn on_forgotten(&mut self, _device_id: &DeviceId) {}

    /// What changed since the last call, for a checkpoint.
    pub(crate) fn drain_cells(&mut self) -> Vec<(String, Option<Bytes>)> {
        Vec::new()
    }

    /// Takes a stored cell up; false where it is none of these.
    pub(crate) fn restore(&mut self, _key: &str, _value: &[u8]) -> bool {
        false
    }
}

/// State of what follows from all partitions.
#[derive(Debug, Default)]
pub(crate) struct CityHooks {}

impl CityHooks {
    /// A window changed, or was closed.
    pub(crate) fn on_pane(&mut self, _pane: &Pane) {}

    /// The watermark of all partitions has come this far.
    pub(crate) fn on_time(&mut self, _watermark_us: i64) {}

    /// What changed since the last call.
    pub(crate) fn drain_cells(&mut self) -> Vec<(String, Option<Bytes>)> {
        Vec::new()
    }

    /// Takes a stored cell up; false where it is none of these.
    pub(crate) fn restore(&mut self, _key: &str, _value: &[u8]) -> bool {
        false
    }
}
