//! How many devices send how often to reach a rate.

use crate::config::{GeneratorConfig, Rate};

/// Vehicles send no more than this many fixes a second on their own.
const FIXES_PER_S_MAX: f64 = 5.0;
/// At full speed there are at least this many vehicles, so that a step is worth
/// an append.
const VEHICLES_AT_MAX: usize = 2_000;
const CAMERA_INTERVAL_S: f64 = 10.0;
const STATION_INTERVAL_S: f64 = 45.0;

/// How many vehicles there are and how often devices send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// How many vehicles are simulated.
    pub vehicles: usize,
    /// Microseconds between the fixes of a vehicle; 0: one a step.
    pub interval_us: i64,
    /// How much less often than usual cameras and stations send.
    pub slower: f64,
}

impl Plan {
    /// What `config` asks for.
    pub fn new(config: &GeneratorConfig) -> Self {
        match config.rate {
            Rate::Interval => Self {
                vehicles: config.vehicles,
                interval_us: (config.interval_s * 1e6) as i64,
                slower: 1.0,
            },
            Rate::Max => Self {
                vehicles: config.vehicles.max(VEHICLES_AT_MAX),
                interval_us: 0,
                slower: 1.0,
            },
            Rate::EventsPerSecond(rate) => Self::for_rate(config, rate),
        }
    }

    fn for_rate(config: &GeneratorConfig, rate: f64) -> Self {
        let others =
            config.cameras as f64 / CAMERA_INTERVAL_S + config.stations as f64 / STATION_INTERVAL_S;
        // Cameras and stations get at most a third of a small rate.
        let slower = if config.vehicles == 0 {
            others / rate
        } else {
            (others / (rate / 3.0)).max(1.0)
        };
        // A duplicate is a message more.
        let fixes_per_s = (rate - others / slower) / (1.0 + config.dirt.duplicate);
        let most = (fixes_per_s / FIXES_PER_S_MAX).ceil() as usize;
        let fewest = (fixes_per_s * 60.0).ceil() as usize;
        let vehicles = config
            .vehicles
            .min(fewest.max(1))
            .max(if config.vehicles == 0 { 0 } else { most });
        let vehicles = vehicles.min(GeneratorConfig::VEHICLES_MAX);
        Self {
            vehicles,
            interval_us: (vehicles as f64 / fixes_per_s * 1e6).max(1.0) as i64,
            slower,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: f64) -> Plan {
        Plan::new(&GeneratorConfig {
            rate: Rate::EventsPerSecond(rate),
            ..GeneratorConfig::default()
        })
    }

    #[test]
    fn a_rate_is_reached_by_interval_first_and_by_vehicles_then() {
        for rate in [1.0, 20.0, 100.0, 1_000.0, 5_000.0, 50_000.0] {
            let plan = plan(rate);
            let others = (20.0 + 50.0 / 45.0) / plan.slower;
            let sent = plan.vehicles as f64 / (plan.interval_us as f64 / 1e6) * 1.003 + others;
            assert!(
                (sent - rate).abs() / rate < 0.01,
                "{rate}: {sent} with {plan:?}"
            );
            assert!(
                (0.19..=61.0).contains(&(plan.interval_us as f64 / 1e6)),
                "{plan:?}"
            );
        }
        assert_eq!(plan(1_000.0).vehicles, 500);
    }
}
