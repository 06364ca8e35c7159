//! Every number of the configuration, and between what it makes sense.

use std::ops::RangeInclusive;

use super::validate::refused;
use super::{Config, ConfigError};

const DAY_S: i128 = 86_400;
const GIB: i128 = 1 << 30;

/// A whole number: key, value, range, unit.
type Whole = (&'static str, i128, RangeInclusive<i128>, &'static str);

impl Config {
    /// # Errors
    /// Names the first number that is out of its range.
    pub(super) fn validate_numbers(&self) -> Result<(), ConfigError> {
        let all = [
            self.numbers_of_back_ends(),
            self.numbers_of_speed(),
            self.numbers_of_batch(),
            self.numbers_of_doors(),
        ];
        for (key, value, range, unit) in all.into_iter().flatten() {
            check(key, value, &range, unit)?;
        }
        for (stream, lateness_s) in &self.speed.lateness {
            let key = format!("speed.lateness.{stream}");
            check(&key, (*lateness_s).into(), &(0..=DAY_S), " seconds")?;
        }
        self.validate_fractions()
    }

    fn numbers_of_back_ends(&self) -> Vec<Whole> {
        let (log, days) = (&self.log, 0..=100_000);
        let mut numbers: Vec<Whole> = vec![
            ("log.partitions", log.partitions.into(), 1..=1024, ""),
            // A hundred years, and a pebibyte.
            (
                "log.retention_hours",
                log.retention_hours.into(),
                0..=876_000,
                " hours",
            ),
            (
                "log.retention_mib",
                log.retention_mib.into(),
                0..=GIB,
                " MiB",
            ),
            (
                "log.fsync_ms",
                log.fsync_ms.into(),
                0..=60_000,
                " milliseconds",
            ),
            (
                "kafka.replication_factor",
                self.kafka.replication_factor.into(),
                1..=100,
                "",
            ),
            ("redis.port", self.redis.port.into(), 1..=65_535, ""),
        ];
        let kept = &self.retention;
        let kept = [
            ("retention.vehicle_data", kept.vehicle_data),
            ("retention.gps_data", kept.gps_data),
            ("retention.traffic_camera_data", kept.traffic_camera_data),
            ("retention.weather_data", kept.weather_data),
            (
                "retention.emergency_incident_data",
                kept.emergency_incident_data,
            ),
            ("retention.alerts", kept.alerts),
            ("retention.windows", kept.windows),
            ("retention.dead_letters", kept.dead_letters),
            ("retention.job_runs", kept.job_runs),
            ("retention.grace_days", kept.grace_days),
        ];
        let kept = kept.into_iter();
        numbers.extend(kept.map(|(key, value)| (key, value.into(), days.clone(), " days")));
        numbers
    }

    fn numbers_of_speed(&self) -> Vec<Whole> {
        let speed = &self.speed;
        vec![
            (
                "speed.lateness_s",
                speed.lateness_s.into(),
                0..=DAY_S,
                " seconds",
            ),
            (
                "speed.write_interval_ms",
                speed.write_interval_ms.into(),
                1..=60_000,
                " milliseconds",
            ),
            (
                "speed.checkpoint_interval_ms",
                speed.checkpoint_interval_ms.into(),
                100..=600_000,
                " milliseconds",
            ),
            ("speed.idle_s", speed.idle_s.into(), 1..=DAY_S, " seconds"),
            (
                "speed.silent_after_s",
                speed.silent_after_s.into(),
                1..=DAY_S,
                " seconds",
            ),
            (
                "speed.panes_max",
                speed.panes_max as i128,
                1..=100_000_000,
                "",
            ),
            (
                "speed.ids_max",
                speed.ids_max as i128,
                1..=1_000_000_000,
                "",
            ),
        ]
    }

    fn numbers_of_batch(&self) -> Vec<Whole> {
        let (batch, upkeep) = (&self.batch, &self.maintenance);
        let (views, query) = (&self.views, &self.query);
        let (minutes, memory) = (1..=10_080, 16..=65_536);
        vec![
            ("batch.flush_mib", batch.flush_mib as i128, 1..=4096, " MiB"),
            (
                "batch.memory_mib",
                batch.memory_mib as i128,
                1..=1_048_576,
                " MiB",
            ),
            (
                "maintenance.compact_every_min",
                upkeep.compact_every_min.into(),
                minutes.clone(),
                " minutes",
            ),
            (
                "maintenance.clean_every_min",
                upkeep.clean_every_min.into(),
                minutes,
                " minutes",
            ),
            (
                "maintenance.compact_min_files",
                upkeep.compact_min_files as i128,
                2..=100_000,
                "",
            ),
            (
                "maintenance.compact_memory_mib",
                upkeep.compact_memory_mib as i128,
                memory.clone(),
                " MiB",
            ),
            ("views.every_s", views.every_s.into(), 1..=DAY_S, " seconds"),
            ("views.memory_mib", views.memory_mib as i128, memory, " MiB"),
            (
                "query.memory_mib",
                query.memory_mib as i128,
                16..=1_048_576,
                " MiB",
            ),
            (
                "query.tail_mib",
                query.tail_mib as i128,
                1..=1_048_576,
                " MiB",
            ),
            (
                "query.timeout_s",
                query.timeout_s.into(),
                1..=2 * DAY_S,
                " seconds",
            ),
            (
                "query.max_rows",
                query.max_rows as i128,
                1..=1_000_000_000_000,
                "",
            ),
        ]
    }

    fn numbers_of_doors(&self) -> Vec<Whole> {
        let http = &self.http;
        let (seconds, bytes) = (1..=DAY_S, 1..=64 * GIB);
        let size = |key, value: usize| (key, value as i128, bytes.clone(), " bytes");
        let time = |key, value: u64| (key, value.into(), seconds.clone(), " seconds");
        vec![
            (
                "http.connections_max",
                http.connections_max as i128,
                1..=1_000_000,
                "",
            ),
            (
                "http.websockets_max",
                http.websockets_max as i128,
                0..=1_000_000,
                "",
            ),
            (
                "http.subscriptions_max",
                http.subscriptions_max as i128,
                1..=10_000,
                "",
            ),
            (
                "http.websocket_message_bytes_max",
                http.websocket_message_bytes_max as i128,
                1..=1 << 20,
                " bytes",
            ),
            time("http.websocket_ping_s", http.websocket_ping_s),
            time("http.websocket_idle_s", http.websocket_idle_s),
            size("http.ingest_body_bytes_max", http.ingest_body_bytes_max),
            size(
                "http.ingest_unpacked_bytes_max",
                http.ingest_unpacked_bytes_max,
            ),
            size(
                "http.ingest_in_flight_bytes_max",
                http.ingest_in_flight_bytes_max,
            ),
            (
                "http.ingest_wait_s",
                http.ingest_wait_s.into(),
                0..=3_600,
                " seconds",
            ),
            (
                "http.sql_held_back_bytes",
                http.sql_held_back_bytes as i128,
                0..=GIB,
                " bytes",
            ),
            (
                "http.sql_whole_bytes_max",
                http.sql_whole_bytes_max.into(),
                1..=GIB << 20,
                " bytes",
            ),
            time("http.sql_stalled_s", http.sql_stalled_s),
            time("http.request_timeout_s", http.request_timeout_s),
            (
                "http.shutdown_grace_s",
                http.shutdown_grace_s.into(),
                0..=3_600,
                " seconds",
            ),
        ]
    }

    fn validate_fractions(&self) -> Result<(), ConfigError> {
        let (speed, batch) = (&self.speed, &self.batch);
        let flush = (0.1..=86_400.0, "0.1 to 86400 seconds");
        for (key, value, (range, expected)) in [
            ("batch.flush_age_s", batch.flush_age_s, flush.clone()),
            ("batch.flush_idle_s", batch.flush_idle_s, flush),
            (
                "speed.match_distance_m",
                speed.match_distance_m,
                (0.0..=1_000.0, "0 to 1000 metres; 0 matches no street"),
            ),
        ] {
            if !range.contains(&value) {
                return Err(refused(key, value, expected));
            }
        }
        let teleport = &speed.teleport;
        let limits = [
            ("speed.teleport.speed_kmh".to_owned(), teleport.speed_kmh),
            ("speed.teleport.distance_m".to_owned(), teleport.distance_m),
            ("speed.accuracy_max_m".to_owned(), speed.accuracy_max_m),
        ];
        let by_type = teleport
            .by_type
            .iter()
            .map(|(name, limit)| (format!("speed.teleport.by_type.{name}"), *limit));
        for (key, limit) in limits.into_iter().chain(by_type) {
            if !(limit.is_finite() && limit > 0.0) {
                return Err(refused(&key, limit, "a number above 0"));
            }
        }
        Ok(())
    }
}

/// Refuses a whole number that is out of its range; the unit begins with a space.
pub(super) fn check(
    key: &str,
    value: i128,
    range: &RangeInclusive<i128>,
    unit: &str,
) -> Result<(), ConfigError> {
    match range.contains(&value) {
        true => Ok(()),
        false => {
            let expected = format!("{} to {}{unit}", range.start(), range.end());
            Err(refused(key, value, &expected))
        }
    }
}
