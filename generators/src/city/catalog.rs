//! What drives in a Nordic city, about as often as it does.

use events::{Gps, Vehicle};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::random;

/// Make, model, first year built, fuel.
type Model = (&'static str, &'static str, i32, &'static str);

const MODELS: &[(Model, f64)] = &[
    (("Volvo", "V60", 2010, "Diesel"), 7.0),
    (("Volvo", "V60", 2018, "Plug-in Hybrid"), 4.0),
    (("Volvo", "XC60", 2009, "Diesel"), 6.0),
    (("Volvo", "XC60", 2017, "Plug-in Hybrid"), 5.0),
    (("Volvo", "XC40", 2018, "Petrol"), 4.0),
    (("Volvo", "XC40 Recharge", 2020, "Electric"), 4.0),
    (("Volvo", "EX30", 2023, "Electric"), 2.0),
    (("Volvo", "V70", 2007, "Diesel"), 5.0),
    (("Volkswagen", "Golf", 2008, "Petrol"), 7.0),
    (("Volkswagen", "Passat", 2010, "Diesel"), 5.0),
    (("Volkswagen", "ID.4", 2021, "Electric"), 4.0),
    (("Toyota", "Yaris", 2011, "Hybrid"), 5.0),
    (("Toyota", "RAV4", 2016, "Hybrid"), 4.0),
    (("Toyota", "Corolla", 2019, "Hybrid"), 3.0),
    (("Kia", "Ceed", 2012, "Petrol"), 4.0),
    (("Kia", "Niro", 2017, "Plug-in Hybrid"), 4.0),
    (("Tesla", "Model 3", 2019, "Electric"), 3.0),
    (("Tesla", "Model Y", 2021, "Electric"), 5.0),
    (("BMW", "320d", 2010, "Diesel"), 3.0),
    (("BMW", "i4", 2022, "Electric"), 1.5),
    (("Audi", "A4", 2009, "Petrol"), 2.5),
    (("Mercedes-Benz", "C 220", 2011, "Diesel"), 2.0),
    (("Skoda", "Octavia", 2010, "Diesel"), 3.5),
    (("Skoda", "Enyaq", 2021, "Electric"), 2.0),
    (("Nissan", "Qashqai", 2010, "Petrol"), 2.5),
    (("Nissan", "Leaf", 2013, "Electric"), 1.5),
    (("Polestar", "2", 2020, "Electric"), 2.5),
    (("Renault", "Zoe", 2014, "Electric"), 1.5),
    (("Ford", "Focus", 2009, "Petrol"), 2.5),
    (("Saab", "9-5", 2003, "Petrol"), 1.0),
];

/// The newest model year on the road.
const YEAR_MAX: i32 = 2026;

/// A private car: everything but where it is.
pub(crate) fn car(random: &mut ChaCha8Rng) -> Vehicle {
    let (make, model, first, fuel) = *random::weighted(random, MODELS);
    // Newer cars are more frequent: the younger of two draws.
    let year = random
        .random_range(first..=YEAR_MAX)
        .max(random.random_range(first..=YEAR_MAX));
    Vehicle {
        make: Some(make.into()),
        model: Some(model.into()),
        year: Some(year),
        fuel_type: Some(fuel.into()),
        ..Vehicle::default()
    }
}

/// What carries a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Car,
    Taxi,
    Bus,
    Truck,
    Van,
    Ambulance,
}

pub(crate) const SERVICE_KINDS: &[(Kind, f64)] = &[
    (Kind::Taxi, 32.0),
    (Kind::Bus, 30.0),
    (Kind::Truck, 18.0),
    (Kind::Van, 14.0),
    (Kind::Ambulance, 6.0),
];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Car => "car",
            Kind::Taxi => "taxi",
            Kind::Bus => "bus",
            Kind::Truck => "truck",
            Kind::Van => "van",
            Kind::Ambulance => "ambulance",
        }
    }

    /// No faster than this anywhere, m/s.
    pub fn speed_max_ms(self) -> f64 {
        match self {
            Kind::Truck => 80.0 / 3.6,
            Kind::Bus => 90.0 / 3.6,
            _ => f64::INFINITY,
        }
    }

    /// How it gathers speed, m/s2.
    pub fn acceleration(self) -> f64 {
        match self {
            Kind::Truck => 0.9,
            Kind::Bus => 1.1,
            Kind::Ambulance => 2.4,
            _ => 1.8,
        }
    }
}

/// A tracker's message: everything but where it is.
pub(crate) fn tracker(kind: Kind, random: &mut ChaCha8Rng) -> Gps {
    Gps {
        vehicle_type: Some(kind.name().into()),
        accuracy_m: Some((random.random_range(2.0..8.0_f64) * 10.0).round() / 10.0),
        occupied: (kind == Kind::Taxi).then_some(false),
        ..Gps::default()
    }
}
