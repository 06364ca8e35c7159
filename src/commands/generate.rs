//! `citypulse generate`: the simulated city.

use anyhow::{Result, bail};
use generators::Rate;

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
        generators.interval_s = interval_s;
    }
    if let Some(rate) = &args.rate {
        generators.rate = match rate.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Rate::EventsPerSecond(rate),
            _ if rate == "max" => Rate::Max,
            _ => bail!("--rate is {rate:?}; expected a number of events per second above 0, or max"),
        };
    }
    if let Some(percent) = args.dirt {
        generators.dirt = generators.dirt.scaled_to(percent / 100.0);
    }
    generators.validate()?;
    Ok(())
}
