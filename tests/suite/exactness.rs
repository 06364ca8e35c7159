//! `kill -9` of the speed layer at random moments under load: afterwards every window,
//! every last position and every alert is what DuckDB makes of the same events.
//!
//! Short in `make test`. `make soak` sets `CITYPULSE_CRASH_SECONDS`, `_RATE`, `_KILLS`.

use chrono::{DurationRound, TimeDelta, Utc};
use end_to_end::{Deployment, Fleet, Load, Roles, agrees_with_duckdb, on_each_backend, scramble};

on_each_backend!(killed_speed_layer_is_as_one_that_ran_on);

/// Event time that the load covers, minutes, whatever its length by the clock.
pub const MINUTES: u64 = 20;

/// A setting of the long form, or the short form's.
pub fn figure(name: &str, default: u64) -> u64 {
    let text = std::env::var(format!("CITYPULSE_CRASH_{name}"));
    text.map_or(default, |text| text.parse().expect("a whole number"))
}

/// A fleet whose `total` events cover `MINUTES`, which end before now.
pub fn fleet(total: u64) -> Fleet {
    let began = Utc::now() - TimeDelta::minutes(2 * MINUTES as i64);
    Fleet {
        began: began
            .duration_trunc(TimeDelta::minutes(1))
            .expect("a time of our days"),
        vehicles: 2000,
        per_minute: total / MINUTES,
    }
}

async fn killed_speed_layer_is_as_one_that_ran_on(deployment: Deployment) {
    let deployment = deployment.on_simple_streets();
    let (rate, kills) = (figure("RATE", 20_000), figure("KILLS", 5));
    let total = rate * figure("SECONDS", 25);
    let fleet = fleet(total);
    let mut roles = Roles::start(&deployment, 1).await;
    let load = Load::start(fleet.clone(), total, rate, roles.address()).await;
    let seed = Utc::now().timestamp_subsec_nanos();
    println!("moments of the kills from {seed}");
    for kill in 0..kills {
        // Somewhere in its part of the load, never at the same place.
        let part = total / kills;
        let within = scramble(u64::from(seed) + kill) % (part * 3 / 4);
        load.reached(kill * part + within).await;
        roles.replace().await;
    }
    println!("{:.0} events/s with {kills} kills", load.finished().await);
    agrees_with_duckdb(&deployment, &roles, &fleet).await;
}
