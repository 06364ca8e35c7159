//! `citypulse config`

use anyhow::Result;

use crate::config::Config;
use crate::terminal;

/// Prints the effective configuration as TOML, secrets masked.
pub fn run(config: &Config) -> Result<()> {
    terminal::print(config.masked())
}
