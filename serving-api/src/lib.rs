//! Both answers through one door: what is happening now, what has happened ever.
//!
//! Enters: HTTP requests, WebSocket messages, change notices of the hot store.
//! Leaves: JSON from an in-process mirror of the hot store, rows from the SQL
//! engine, and ingested events, appended to the log. Promises: a live read never
//! waits for the hot store; an ingest answer means durable; a slow WebSocket
//! reader costs no memory. Never: computes a live value, or trusts a body's size.
//!
//! Where to find what:
//! - [`serve`]: the listener, the tasks beside it, and the orderly end
//! - `mirror/`: the hot store's values by change number, and the task that follows
//! - `rest/`: one file per resource; `params` and `problem` are their common ground
//! - `ingest/`: body to records: unpack, split, validate, append
//! - `sql/`: how an SQL answer is asked for, begins, stalls and fails
//! - `ws/`: protocol (messages), subscription (pure differences), session (the socket)
//! - `windows/`: panes of hot store and table, merged into the windows asked for
//! - `jobs`: how scheduled jobs stand, as somebody else tells
//! - `lag/`: how far the layers are behind, in events and in seconds
//! - `docs`, `dashboard`: what is embedded in the binary
//! - `guard`, `observe`: headers, origins, panics; metrics and the access log

mod body;
mod config;
mod dashboard;
mod docs;
mod error;
mod guard;
mod ingest;
mod jobs;
mod json;
mod lag;
mod listener;
mod mirror;
mod observe;
mod operations;
mod params;
mod probe;
mod problem;
mod rest;
mod router;
pub mod schema;
mod serve;
mod sql;
mod state;
mod static_file;
mod trial;
pub mod windows;
mod ws;

pub use config::HttpConfig;
pub use error::{Error, Result};
pub use jobs::{JobProgress, LastRun, ScheduledJob, ScheduledJobs};
pub use operations::serve_operations;
pub use serve::serve;
pub use sql::{LakePositions, QueryEngine};
pub use state::Deps;
