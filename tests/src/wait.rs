//! Waiting for a condition with a limit, instead of for a length of time.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Calls `probe` until it returns `Ok` and gives that back. Panics once `limit` has
/// passed, naming `what` and the last reason why it was not so.
pub async fn until<T, E, F, Fut>(limit: Duration, what: &str, mut probe: F) -> T
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let started = Instant::now();
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match probe().await {
            Ok(value) => return value,
            Err(why) if started.elapsed() >= limit => {
                panic!("{what}: not within {limit:?}; last seen: {why}")
            }
            Err(_) => {}
        }
    }
}
