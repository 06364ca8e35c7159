//! Replay of recordings.
//!
//! Enters: a file in one of the known formats. Leaves: its rows as messages, to
//! the ingest path of a running instance or straight to a log. Promises: order
//! per device is kept; a row is sent or reported; an interrupted replay goes on
//! where it was acknowledged. Never: the whole of a large file in memory.
