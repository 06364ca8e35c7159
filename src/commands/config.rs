//! `citypulse config`

use anyhow::Result;

use crate::config::Config;

/// Prints the effective configuration as TOML, secrets masked.
pub fn run(config: &Config) -> Result<()> {
    print!("{}", config.masked());
    Ok(())
}
