//! citypulse
fn main() {}
