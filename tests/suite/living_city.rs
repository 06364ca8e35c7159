//! After one command a city lives.

use std::collections::HashMap;
use std::time::Duration;

use end_to_end::{Api, Deployment, on_each_backend, until};
use serde_json::Value;

on_each_backend!(vehicles_move_along_streets, every_live_view_fills);

/// By id, where each vehicle is and what it says about its motion.
async fn positions(api: &Api) -> HashMap<String, Value> {
    let items = api.get_json("/api/vehicles/locations?limit=10000").await;
    let items = items.as_array().expect("a bare array").clone();
    items
        .into_iter()
        .map(|item| {
            (
                item["vehicle_id"]
                    .as_str()
                    .expect("a vehicle id")
                    .to_owned(),
                item,
            )
        })
        .collect()
}

fn degrees(item: &Value) -> (f64, f64) {
    (
        item["latitude"].as_f64().expect("a latitude"),
        item["longitude"].as_f64().expect("a longitude"),
    )
}

/// Metres between two fixes; exact enough within a city.
fn metres_between(from: &Value, to: &Value) -> f64 {
    let ((lat_a, lon_a), (lat_b, lon_b)) = (degrees(from), degrees(to));
    let north = (lat_b - lat_a) * 111_195.0;
    let east = (lon_b - lon_a) * 111_195.0 * lat_a.to_radians().cos();
    north.hypot(east)
}

async fn vehicles_move_along_streets(deployment: Deployment) {
    let platform = deployment.up(&[]).await;
    let api = &platform.api;
    let first = until(Duration::from_secs(30), "500 vehicles", || async {
        let seen = positions(api).await;
        if seen.len() >= 450 {
            Ok(seen)
        } else {
            Err(format!("{} vehicles", seen.len()))
        }
    })
    .await;
    assert!(
        first.len() <= 500,
        "more vehicles than the default 500: {}",
        first.len()
    );

    // A quarter of the city drives also in the dead of night.
    let later = until(
        Duration::from_secs(30),
        "a seventh of the city to move",
        || async {
            let later = positions(api).await;
            let moved = first
                .iter()
                .filter(|(id, before)| {
                    later
                        .get(*id)
                        .is_some_and(|now| metres_between(before, now) > 10.0)
                })
                .count();
            if moved * 7 > first.len() {
                Ok(later)
            } else {
                Err(format!("{moved} moved"))
            }
        },
    )
    .await;

    let bounds = api.get_json("/api/city").await["bounds"].clone();
    let bound = |index: usize| bounds[index].as_f64().expect("west, south, east, north");
    for item in later.values() {
        let (latitude, longitude) = degrees(item);
        assert!(
            (bound(0)..=bound(2)).contains(&longitude) && (bound(1)..=bound(3)).contains(&latitude),
            "outside of the city: {item}"
        );
        let speed_kmh = item["speed"].as_f64().expect("a speed");
        assert!(
            (0.0..=160.0).contains(&speed_kmh),
            "implausible speed: {item}"
        );
    }
}

async fn every_live_view_fills(deployment: Deployment) {
    let platform = deployment.up(&[]).await;
    let api = &platform.api;
    for path in [
        "/api/traffic/conditions",
        "/api/emergencies/active",
        "/api/weather/stations",
        "/api/cameras",
    ] {
        until(Duration::from_secs(60), path, || async {
            match api.get_json(path).await.as_array() {
                Some(items) if !items.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    until(
        Duration::from_secs(30),
        "a summary with figures",
        || async {
            let summary = api.get_json("/api/analytics/city-summary").await;
            let vehicles = summary["total_vehicles"].as_u64().unwrap_or_default();
            let speed = summary["average_city_speed"].as_f64().unwrap_or_default();
            let emergencies = summary["active_emergencies"].as_u64().unwrap_or_default();
            if vehicles >= 450 && speed > 1.0 && emergencies > 0 {
                Ok(())
            } else {
                Err(summary.to_string())
            }
        },
    )
    .await;
    let weather = api.get_json("/api/weather/current").await;
    assert!(weather["temperature"].is_f64(), "{weather}");
}
