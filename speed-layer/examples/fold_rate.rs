//! How fast decoded events fold, on one core: `cargo run --example fold_rate -- DEVICES EVENTS`.
use events::{Body, Event, Location, Stream, TopicPartition, Vehicle};
use speed_layer::{SpeedConfig, State};
use std::time::Instant;
use streets::StreetNetwork;

fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    s.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .map(|a| a.parse::<usize>().unwrap());
    let devices = args.next().unwrap_or(10_000);
    let total = args.next().unwrap_or(1_000_000);
    let streets = StreetNetwork::gothenburg();
    let segments = streets.segments();
    for matching in [30.0, 0.0] {
        let config = SpeedConfig {
            match_distance_m: matching,
            ..SpeedConfig::default()
        };
        let mut state = State::new(streets.clone(), config);
        let slots: Vec<_> = (0..4)
            .map(|n| {
                state.assign(
                    &TopicPartition::new("vehicle_data", n),
                    Stream::VehicleData,
                    &[],
                )
            })
            .collect();
        let mut offsets = [0i64; 4];
        let events: Vec<Event> = (0..total)
            .map(|n| {
                let device = n % devices;
                let step = n / devices;
                let line = &segments[device * 7919 % segments.len()].line;
                let (a, b) = (line[0], line[line.len() - 1]);
                let t = (step % 40) as f64 / 40.0;
                Event {
                    id: format!("{:08x}-0000-4000-8000-{:012x}", n, device).into(),
                    device_id: format!("car-{device:06}").into(),
                    timestamp_us: 1_700_000_000_000_000 + step as i64 * 1_000_000 + device as i64,
                    extra: None,
                    body: Body::Vehicle(Vehicle {
                        location: Location {
                            latitude: ((a.latitude + (b.latitude - a.latitude) * t) * 1e7).round()
                                / 1e7,
                            longitude: ((a.longitude + (b.longitude - a.longitude) * t) * 1e7)
                                .round()
                                / 1e7,
                        },
                        speed_kmh: 20.0 + (device % 300) as f64 / 10.0 + (step % 10) as f64,
                        direction_deg: Some(a.bearing_deg(b)),
                        make: Some("Volvo".into()),
                        model: Some("XC40".into()),
                        year: Some(2024),
                        fuel_type: Some("Electric".into()),
                    }),
                }
            })
            .collect();
        let began = Instant::now();
        let cpu0 = cpu();
        for event in events {
            let device: usize = event.device_id[4..].parse().unwrap();
            let at = device % 4;
            let appended = event.timestamp_us;
            state.fold(slots[at], event, offsets[at], appended);
            offsets[at] += 1;
        }
        let seconds = began.elapsed().as_secs_f64();
        let used = cpu() - cpu0;
        println!("cpu {:.0}/s", total as f64 / used);
        println!(
            "match {matching}: {:.0}/s {:?}",
            total as f64 / seconds,
            state.counts().next()
        );
        let rss = std::fs::read_to_string("/proc/self/status").unwrap();
        println!("{}", rss.lines().find(|l| l.starts_with("VmRSS")).unwrap());
    }
}
