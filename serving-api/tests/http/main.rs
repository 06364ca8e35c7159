//! The server as its clients see it: `serve` on a free port, embedded back ends.
//!
//! One program for all files: each would link the whole query engine again.

mod common;
mod failing;
mod fences;
mod ingest;
mod rest;
mod rules;
mod service;
mod sql;
mod websocket;
mod windows;
