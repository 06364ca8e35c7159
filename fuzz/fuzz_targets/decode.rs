//! The decoder under whatever bytes a fuzzer finds interesting.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../events/tests/decoder_entry/mod.rs"]
mod decoder_entry;

fuzz_target!(|data: &[u8]| decoder_entry::check(data));
