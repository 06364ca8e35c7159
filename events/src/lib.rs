//! The language of CityPulse: what an event is, how it is read from the wire,
//! how it lies in columns, and the arithmetic that speed and batch layer share.
//!
//! Enters: bytes of one log record. Leaves: a validated [`Event`], Arrow rows,
//! windows and mergeable aggregates. Promises: same bytes, same result, on
//! every layer. Never: I/O, clocks, async, global state. Time is passed in.
//!
//! Adding a stream is adding one file beside `vehicle.rs`, which holds its type,
//! its checks and its columns, and one line in `stream.rs`.

pub mod aggregate;
mod alert;
pub mod aqi;
pub mod backoff;
mod camera;
mod closed_window;
pub mod columns;
pub mod dead_letter;
mod decode;
pub mod document;
mod event;
pub mod geo;
mod gps;
pub mod h3;
pub mod health;
pub mod hexagons;
mod incident;
pub mod json;
pub mod position;
pub mod sketch;
mod stream;
pub mod time;
mod vehicle;
mod weather;
pub mod window;

pub use alert::Alert;
pub use camera::TrafficCamera;
pub use closed_window::ClosedWindow;
pub use decode::{DecodeError, decode};
pub use event::{Body, DeviceId, Event, EventId};
pub use geo::Location;
pub use gps::Gps;
pub use incident::{Incident, IncidentStatus, Severity};
pub use position::{Advance, Offset, Topic, TopicPartition};
pub use stream::{Stream, TopicNames};
pub use vehicle::Vehicle;
pub use weather::Weather;
