//! What a device sends.

use bytes::Bytes;
use events::{DeviceId, Event, Stream};

/// One message, ready to be appended.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The stream it is for.
    pub stream: Stream,
    /// The key in the log.
    pub device_id: DeviceId,
    /// When it happened, microseconds since the epoch.
    pub timestamp_us: i64,
    /// The wire form.
    pub value: Bytes,
}

impl Message {
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            stream: event.stream(),
            device_id: event.device_id.clone(),
            timestamp_us: event.timestamp_us,
            value: event.to_json().into(),
        }
    }
}

/// The events of one step, before anything goes wrong with them.
#[derive(Default)]
pub(crate) struct Outbox {
    pub events: Vec<Event>,
}

impl Outbox {
    pub fn push(&mut self, event: Event) {
        self.events.push(event);
    }
}
