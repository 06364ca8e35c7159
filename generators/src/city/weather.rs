//! Weather and air stations: a daily cycle, fronts that cross the city, air
//! that is as good as traffic and wind let it be.

use events::{Body, DeviceId, Event, Location, Weather};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use streets::{NodeIndex, SegmentIndex};

use super::message::Outbox;
use super::plan::Plan;
use super::roads::M_PER_DEGREE;
use super::{World, air, demand, random};
use crate::config::GeneratorConfig;

const STREAM: u64 = 4;
const TAU: f64 = std::f64::consts::TAU;
/// A front comes about this often.
const FRONT_EVERY_S: f64 = 5_400.0;
/// Fronts begin this far upwind of the middle of the city, km.
const FRONT_FROM_KM: f64 = 30.0;

struct Station {
    device_id: DeviceId,
    location: Location,
    segment: SegmentIndex,
    /// East and north of the city's middle.
    x_km: f64,
    y_km: f64,
    /// This station's own degrees above or below the city.
    bias_c: f64,
    interval_us: i64,
    due_us: i64,
}

pub(crate) struct Stations {
    stations: Vec<Station>,
    random: ChaCha8Rng,
    sky: Sky,
}

/// The weather over the city, a function of place and time alone.
struct Sky {
    seed: u64,
    latitude: f64,
}

/// What a front does at one place.
#[derive(Default)]
struct FrontEffect {
    rain_mm_h: f64,
    cloud: f64,
    cooling_c: f64,
    wind_kmh: f64,
}

impl Stations {
    pub fn new(world: &World, config: &GeneratorConfig, plan: &Plan, start_us: i64) -> Self {
        let mut random = random::source(config.seed, STREAM);
        let center = world.streets.center();
        let m_per_lon = M_PER_DEGREE * center.latitude.to_radians().cos();
        let nodes = places(world, &mut random, config.stations);
        let stations = nodes
            .into_iter()
            .enumerate()
            .map(|(index, (node, segment))| {
                let location = world.streets.node_location(node);
                Station {
                    device_id: format!("station-{:02}", index + 1).into(),
                    location,
                    segment,
                    x_km: (location.longitude - center.longitude) * m_per_lon / 1000.0,
                    y_km: (location.latitude - center.latitude) * M_PER_DEGREE / 1000.0,
                    bias_c: random.random_range(-0.8..0.8),
                    interval_us: (random.random_range(30.0..60.0) * plan.slower * 1e6) as i64,
                    due_us: start_us,
                }
            })
            .collect();
        Self {
            stations,
            random,
            sky: Sky {
                seed: config.seed,
                latitude: center.latitude,
            },
        }
    }

    pub fn len(&self) -> usize {
        self.stations.len()
    }

    pub fn step(&mut self, world: &World, now_us: i64, outbox: &mut Outbox) {
        for station in self
            .stations
            .iter_mut()
            .filter(|station| station.due_us <= now_us)
        {
            let sent_us = station.due_us
                + (now_us - station.due_us) / station.interval_us * station.interval_us;
            station.due_us = sent_us + station.interval_us;
            let body = Body::Weather(Box::new(measure(
                station,
                &self.sky,
                world,
                &mut self.random,
                sent_us,
            )));
            outbox.push(Event {
                id: random::event_id(&mut self.random, &station.device_id, sent_us)
                    .to_string()
                    .into(),
                device_id: station.device_id.clone(),
                timestamp_us: sent_us,
                extra: None,
                body,
            });
        }
    }
}

fn measure(
    station: &Station,
    sky: &Sky,
    world: &World,
    random: &mut ChaCha8Rng,
    now_us: i64,
) -> Weather {
    let clock = &world.clock;
    let hour = clock.hour(now_us);
    let front = sky.front_at(station.x_km, station.y_km, now_us);
    let temperature = sky.temperature_c(clock.day_of_year(now_us), hour, clock.day(now_us), &front)
        + station.bias_c
        + random.random_range(-0.15..0.15);
    let day_cycle = ((hour - 15.0) / 24.0 * TAU).cos();
    let humidity = (72.0 - 14.0 * day_cycle + 22.0 * front.cloud + random.random_range(-2.0..2.0))
        .clamp(20.0, 100.0);
    let gust = random.random_range(0.85..1.15);
    let wind_kmh = ((sky.wind_kmh(now_us) + 2.0 * day_cycle).max(1.0) + front.wind_kmh) * gust;
    let is_foggy = sky.is_foggy(clock.day(now_us), hour) && front.cloud < 0.3 && wind_kmh < 14.0;
    let humidity = if is_foggy {
        humidity.max(97.0)
    } else {
        humidity
    };
    let rain_mm_h = if front.rain_mm_h < 0.05 {
        0.0
    } else {
        front.rain_mm_h * random.random_range(0.9..1.1)
    };
    let condition = match () {
        () if rain_mm_h > 0.0 && temperature < 0.8 => "Snow",
        () if rain_mm_h > 0.0 => "Rain",
        () if is_foggy => "Fog",
        () if front.cloud > 0.35 || sky.cloud(now_us, station.x_km, station.y_km) > 0.6 => "Cloudy",
        () => "Clear",
    };
    let visibility_km = match condition {
        "Fog" => random.random_range(0.2..0.9),
        "Snow" => 6.0 / (1.0 + rain_mm_h),
        "Rain" => 16.0 / (1.0 + 0.5 * rain_mm_h),
        _ => 34.0 - 12.0 * front.cloud,
    };
    let round = |value: f64, steps: f64| Some((value * steps).round() / steps);
    let mut weather = Weather {
        location: station.location,
        temperature: round(temperature, 10.0),
        weather_condition: Some(condition.into()),
        humidity: round(humidity, 1.0),
        wind_speed: round(wind_kmh, 10.0),
        precipitation: round(rain_mm_h, 10.0),
        visibility: round(visibility_km, 10.0),
        ..Weather::default()
    };
    add_air(&mut weather, station, sky, world, random, now_us);
    weather
}

/// Exhaust is diluted by wind, dust is washed out by rain, ozone needs sun.
fn add_air(
    weather: &mut Weather,
    station: &Station,
    sky: &Sky,
    world: &World,
    random: &mut ChaCha8Rng,
    now_us: i64,
) {
    let busy = world.roads.road(station.segment).busy;
    let traffic = world.clock.demand(now_us) * (0.35 + 0.65 * busy);
    let dilution = 1.0 + weather.wind_speed.unwrap_or(0.0) / 14.0;
    let washout = 1.0 / (1.0 + 0.35 * weather.precipitation.unwrap_or(0.0));
    let regional = demand::noise(sky.seed ^ 0xa1, now_us as f64 / 1e6 / 21_600.0, 0.0);
    let mut noisy = |value: f64, steps: f64| {
        Some(
            (value * random.random_range(0.93..1.07) * steps)
                .round()
                .max(0.0)
                / steps,
        )
    };
    let pm25 = (3.0 + 9.0 * regional + 26.0 * traffic / dilution) * washout;
    let no2 = 6.0 + 105.0 * traffic / dilution;
    let sun = ((world.clock.hour(now_us) - 14.0) / 24.0 * TAU)
        .cos()
        .max(0.0);
    weather.pm25 = noisy(pm25, 10.0);
    weather.pm10 = noisy(pm25 * 1.5 + 10.0 * traffic * washout + 3.0, 10.0);
    weather.no2 = noisy(no2, 10.0);
    weather.o3 = noisy((52.0 + 42.0 * sun - 0.45 * no2).max(4.0), 10.0);
    weather.so2 = noisy(1.5 + 2.5 * traffic, 10.0);
    weather.co = noisy(0.18 + 0.75 * traffic / dilution, 100.0);
    weather.noise_db = noisy(44.0 + 24.0 * traffic.sqrt(), 10.0);
    let of = |value: Option<f64>| value.unwrap_or(0.0);
    weather.air_quality_index = Some(air::quality_index(
        of(weather.pm25),
        of(weather.pm10),
        of(weather.no2),
    ));
}

impl Sky {
    fn temperature_c(&self, day_of_year: f64, hour: f64, day: i64, front: &FrontEffect) -> f64 {
        // Means of the latitude; the southern half year is the other one.
        let warmest_day = if self.latitude < 0.0 { 15.0 } else { 200.0 };
        let annual =
            ((day_of_year - warmest_day) / 365.25 * TAU).cos() * 0.16 * self.latitude.abs();
        let mean = 27.0 - 0.33 * self.latitude.abs();
        let spell = (demand::noise(self.seed ^ 0x7e, day as f64 / 4.0, 0.0) - 0.5) * 7.0;
        let daily = ((hour - 15.0) / 24.0 * TAU).cos() * 3.6 * (1.0 - 0.6 * front.cloud);
        mean + annual + spell + daily - front.cooling_c
    }

    fn wind_kmh(&self, now_us: i64) -> f64 {
        4.0 + 20.0 * demand::noise(self.seed ^ 0x3d, now_us as f64 / 1e6 / 10_800.0, 0.0)
    }

    /// Clouds that belong to no front, 0 to 1.
    fn cloud(&self, now_us: i64, x_km: f64, y_km: f64) -> f64 {
        let drift = now_us as f64 / 1e6 / 3_600.0;
        demand::noise(self.seed ^ 0xc1, x_km / 12.0 - drift, y_km / 12.0)
    }

    fn is_foggy(&self, day: i64, hour: f64) -> bool {
        (3.0..8.5).contains(&hour) && random::hash_unit(self.seed ^ 0xf0, day as u64) < 0.2
    }

    /// Sum of all fronts near: each is a band of rain that moves over the plane.
    fn front_at(&self, x_km: f64, y_km: f64, now_us: i64) -> FrontEffect {
        let now_s = now_us as f64 / 1e6;
        let newest = (now_s / FRONT_EVERY_S).floor() as i64;
        let mut effect = FrontEffect::default();
        for number in newest - 5..=newest {
            let draw = |what: u64| random::hash_unit(self.seed ^ (what << 32), number as u64);
            let began_s = (number as f64 + draw(1)) * FRONT_EVERY_S;
            // Mostly from the west.
            let (sin, cos) = (draw(2) * 1.6 - 0.8).sin_cos();
            let speed_km_s = (22.0 + 26.0 * draw(3)) / 3_600.0;
            let width_km = 4.0 + 11.0 * draw(4);
            let strength = if draw(5) < 0.45 { 0.0 } else { draw(6).powi(2) };
            // How far the front's edge has passed this place.
            let behind_km =
                (now_s - began_s) * speed_km_s - FRONT_FROM_KM - (x_km * cos + y_km * sin);
            let cloud = (1.0 - ((behind_km - width_km / 2.0).abs() / (width_km * 1.3)).min(1.0))
                * (0.4 + strength);
            effect.cloud = effect.cloud.max(cloud.min(1.0));
            if (0.0..width_km).contains(&behind_km) {
                let shape = (behind_km / width_km * std::f64::consts::PI).sin();
                effect.rain_mm_h += 9.0 * strength * shape * shape;
                effect.wind_kmh += 16.0 * strength * shape;
            }
            if behind_km > 0.0 {
                // Cooler air behind it, which warms up again over an hour or two.
                let hours = behind_km / speed_km_s / 3_600.0;
                effect.cooling_c +=
                    3.0 * strength * (-hours / 1.5).exp() * (1.0 - (-hours * 8.0).exp());
            }
        }
        effect
    }
}

/// Spread over the city: each next one is the candidate farthest from all others.
fn places(world: &World, random: &mut ChaCha8Rng, count: usize) -> Vec<(NodeIndex, SegmentIndex)> {
    let streets = &world.streets;
    let mut places: Vec<(NodeIndex, SegmentIndex)> = Vec::new();
    for _ in 0..count {
        let mut best: Option<(f64, NodeIndex, SegmentIndex)> = None;
        for _ in 0..12 {
            let segment = SegmentIndex(random.random_range(0..streets.segments().len() as u32));
            let node = streets.segment(segment).from_node;
            let here = streets.node_location(node);
            let apart_m = places
                .iter()
                .map(|(other, _)| streets.node_location(*other).distance_m(here))
                .fold(f64::INFINITY, f64::min);
            if best.is_none_or(|(best_m, ..)| apart_m > best_m) {
                best = Some((apart_m, node, segment));
            }
        }
        places.extend(best.map(|(_, node, segment)| (node, segment)));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_reaches_the_west_before_the_east() {
        let sky = Sky {
            seed: 7,
            latitude: 57.7,
        };
        let rain = |x_km: f64, minute: i64| sky.front_at(x_km, 0.0, minute * 60_000_000).rain_mm_h;
        // Rain in the east looks like the west's of half an hour ago, not the other way round.
        let together = |west_later: i64, east_later: i64| -> f64 {
            (0..20_000)
                .map(|minute| rain(-8.0, minute + west_later) * rain(8.0, minute + east_later))
                .sum()
        };
        let (west_first, east_first) = (together(0, 25), together(25, 0));
        assert!(west_first > 1.2 * east_first, "{west_first} {east_first}");
    }
}
