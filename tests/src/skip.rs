//! A test that cannot run here says so, on its output and in the sum of `make test`.

use std::io::Write as _;

/// Says that the current test is skipped and why. `CITYPULSE_TEST_SKIPPED` names a file
/// that collects these lines.
pub fn skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped {name}: {why}");
    if let Some(path) = std::env::var_os("CITYPULSE_TEST_SKIPPED") {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("the list of skipped tests can be written");
        writeln!(file, "{name}: {why}").expect("the list of skipped tests can be written");
    }
}
