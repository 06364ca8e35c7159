//! `citypulse generate`: the simulated city.

use anyhow::{Result, anyhow};
use generators::{Dirt, Rate};

use crate::cli::GenerateArgs;
use crate::config::Config;
use crate::layers::Layers;
use crate::platform::Platform;

/// Appends the city's events until told to stop.
pub async fn run(mut config: Config, args: GenerateArgs) -> Result<()> {
    apply(&args, &mut config)?;
    let mut platform = Platform::for_one_role(config, "generate", false)?;
    let log = platform.open_log()?;
    let streets = platform.open_streets()?;
    let mut layers = Layers::new(&platform, log)?;
    layers.operations().await?;
    layers.generators(streets);
    layers.finish().await
}

/// Lets flags win over the configuration.
pub fn apply(args: &GenerateArgs, config: &mut Config) -> Result<()> {
    let generators = &mut config.generators;
    if let Some(vehicles) = args.vehicles {
        generators.vehicles = vehicles;
    }
    if let Some(seed) = args.seed {
        generators.seed = seed;
    }
    if let Some(interval_s) = args.interval {
        // A rate that the file says would make the flag mean nothing.
        (generators.interval_s, generators.rate) = (interval_s, Rate::Interval);
    }
    if let Some(rate) = args.rate {
        generators.rate = rate;
    }
    if let Some(percent) = args.dirt {
        generators.dirt = scaled(generators.dirt, percent / 100.0);
    }
    generators.validate().map_err(|error| anyhow!(error))
}

/// The same mix of mistakes with another sum of shares.
fn scaled(dirt: Dirt, sum: f64) -> Dirt {
    let share = |dirt: &Dirt| {
        dirt.late
            + dirt.duplicate
            + dirt.out_of_order
            + dirt.null_island
            + dirt.teleport
            + dirt.malformed
    };
    let mix = if share(&dirt) > 0.0 {
        dirt
    } else {
        Dirt::default()
    };
    let factor = sum / share(&mix);
    Dirt {
        late: mix.late * factor,
        duplicate: mix.duplicate * factor,
        out_of_order: mix.out_of_order * factor,
        null_island: mix.null_island * factor,
        teleport: mix.teleport * factor,
        malformed: mix.malformed * factor,
    }
}
