//! Arithmetic over an event's fields: `speed / speed_limit`.
//!
//! `+ - * /`, parentheses, a minus sign, numbers and field names. What cannot be
//! computed (a field that an event lacks, a division by zero, a result that is
//! not finite) is no value, and a rule without a value changes nothing.

use events::{Body, Event, Stream};

use crate::fact::SegmentFact;
use crate::limits::EXPRESSION_CHARACTERS_MAX;

/// Deepest nesting: what evaluation keeps on its stack.
const DEPTH_MAX: usize = 16;

/// A checked expression over the fields of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// In reverse Polish order.
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Number(f64),
    Field(Field),
    Negate,
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// A number that an event has.
#[derive(Clone, Debug, PartialEq)]
enum Field {
    Speed,
    Direction,
    SpeedLimit,
    FreeFlow,
    AccuracyM,
    AltitudeM,
    Occupied,
    Year,
    VehicleCount,
    Temperature,
    Humidity,
    WindSpeed,
    Precipitation,
    Visibility,
    AirQualityIndex,
    Pm25,
    Pm10,
    No2,
    O3,
    So2,
    Co,
    NoiseDb,
    Severity,
    Units,
    /// A field that the stream does not know.
    Extra(Box<str>),
}

const VEHICLE: &[(&str, Field)] = &[
    ("speed", Field::Speed),
    ("direction", Field::Direction),
    ("speed_limit", Field::SpeedLimit),
    ("free_flow", Field::FreeFlow),
    ("year", Field::Year),
];
const GPS: &[(&str, Field)] = &[
    ("speed", Field::Speed),
    ("direction", Field::Direction),
    ("speed_limit", Field::SpeedLimit),
    ("free_flow", Field::FreeFlow),
    ("accuracy_m", Field::AccuracyM),
    ("altitude_m", Field::AltitudeM),
    ("occupied", Field::Occupied),
];
const CAMERA: &[(&str, Field)] = &[
    ("speed", Field::Speed),
    ("direction", Field::Direction),
    ("vehicle_count", Field::VehicleCount),
];
const WEATHER: &[(&str, Field)] = &[
    ("temperature", Field::Temperature),
    ("humidity", Field::Humidity),
    ("wind_speed", Field::WindSpeed),
    ("precipitation", Field::Precipitation),
    ("visibility", Field::Visibility),
    ("air_quality_index", Field::AirQualityIndex),
    ("pm25", Field::Pm25),
    ("pm10", Field::Pm10),
    ("no2", Field::No2),
    ("o3", Field::O3),
    ("so2", Field::So2),
    ("co", Field::Co),
    ("noise_db", Field::NoiseDb),
];
const INCIDENT: &[(&str, Field)] = &[("severity", Field::Severity), ("units", Field::Units)];

/// Prefix of fields that a stream does not know: `extra.co2`.
const EXTRA: &str = "extra.";

/// The named fields that a rule over `stream` may use.
fn fields(stream: Stream) -> &'static [(&'static str, Field)] {
    match stream {
        Stream::VehicleData => VEHICLE,
        Stream::GpsData => GPS,
        Stream::TrafficCameraData => CAMERA,
        Stream::WeatherData => WEATHER,
        Stream::EmergencyIncidentData => INCIDENT,
        _ => &[],
    }
}

/// Whether rules may look at single events of `stream`.
pub(crate) fn has_fields(stream: Stream) -> bool {
    !fields(stream).is_empty()
}

/// The fields of `stream`, for people.
pub(crate) fn field_names(stream: Stream) -> String {
    let names: Vec<&str> = fields(stream).iter().map(|(name, _)| *name).collect();
    format!("{}, or extra.NAME for one of your own", names.join(", "))
}

impl Expression {
    /// Reads `text` as an expression over the fields of `stream`.
    ///
    /// # Errors
    /// Says what is wrong: an unknown field, a divisor that is always zero, what is
    /// no expression, too long or too deep.
    pub fn parse(stream: Stream, text: &str) -> Result<Self, String> {
        if text.chars().count() > EXPRESSION_CHARACTERS_MAX {
            return Err(format!("at most {EXPRESSION_CHARACTERS_MAX} characters"));
        }
        let mut parser = Parser {
            stream,
            rest: text,
            steps: Vec::new(),
            depth: 0,
        };
        parser.sum()?;
        if !parser.rest.trim_start().is_empty() {
            return Err(format!(
                "an operator + - * / before {:?}",
                parser.rest.trim_start()
            ));
        }
        let expression = Self {
            steps: parser.steps,
        };
        expression.check_divisors()?;
        Ok(expression)
    }

    /// The value for `event`, a fix of which lies on `segment`.
    pub fn value(&self, event: &Event, segment: Option<&SegmentFact<'_>>) -> Option<f64> {
        // The common case without a stack: one field.
        if let [Step::Field(field)] = self.steps.as_slice() {
            return field
                .value(event, segment)
                .filter(|value| value.is_finite());
        }
        let mut stack = [0.0_f64; DEPTH_MAX * 2];
        let mut height = 0;
        for step in &self.steps {
            let pushed = match step {
                Step::Number(number) => Some(*number),
                Step::Field(field) => Some(field.value(event, segment)?),
                Step::Negate => {
                    stack[height - 1] = -stack[height - 1];
                    None
                }
                operator => {
                    height -= 1;
                    stack[height - 1] = operator.apply(stack[height - 1], stack[height])?;
                    None
                }
            };
            if let Some(value) = pushed {
                stack[height] = value;
                height += 1;
            }
        }
        Some(stack[0]).filter(|value| value.is_finite())
    }

    /// Whether the street under a fix has to be known.
    pub(crate) fn needs_segment(&self) -> bool {
        let is_of_segment =
            |step: &Step| matches!(step, Step::Field(Field::SpeedLimit | Field::FreeFlow));
        self.steps.iter().any(is_of_segment)
    }

    /// Refuses what would be divided by zero whatever the events say: tried with values
    /// that no expression but such a one brings to zero all alike.
    fn check_divisors(&self) -> Result<(), String> {
        let mut stack: Vec<Samples> = Vec::new();
        let mut fields: Vec<&Field> = Vec::new();
        for step in &self.steps {
            let values = match step {
                Step::Number(number) => [Some(*number); SAMPLES],
                Step::Field(field) => {
                    let known = fields.iter().position(|known| *known == field);
                    let number = known.unwrap_or_else(|| {
                        fields.push(field);
                        fields.len() - 1
                    });
                    sampled(number)
                }
                Step::Negate => {
                    let values = stack.pop().unwrap_or_default();
                    values.map(|value| value.map(|value| -value))
                }
                operator => {
                    let (right, left) = (stack.pop(), stack.pop());
                    let (left, right) = (left.unwrap_or_default(), right.unwrap_or_default());
                    if *operator == Step::Divide && right == [Some(0.0); SAMPLES] {
                        return Err("no division by zero".to_owned());
                    }
                    std::array::from_fn(|sample| operator.apply(left[sample]?, right[sample]?))
                }
            };
            stack.push(values);
            if stack.len() > DEPTH_MAX {
                return Err(format!("at most {DEPTH_MAX} nested operations"));
            }
        }
        Ok(())
    }
}

/// How many times each field is given another value.
const SAMPLES: usize = 4;
/// The value at each step of what is computed.
type Samples = [Option<f64>; SAMPLES];

/// Values of a field, as if by chance. Of few binary digits, so that what is added and
/// taken away again leaves nothing.
fn sampled(field: usize) -> Samples {
    std::array::from_fn(|sample| {
        let number = field * SAMPLES + sample + 2;
        Some((number.pow(3) % 1_021) as f64 / 4.0)
    })
}

impl Step {
    /// An operator's result; `None` for a division by zero.
    fn apply(&self, left: f64, right: f64) -> Option<f64> {
        match self {
            Self::Add => Some(left + right),
            Self::Subtract => Some(left - right),
            Self::Multiply => Some(left * right),
            Self::Divide => (right != 0.0).then(|| left / right),
            Self::Number(_) | Self::Field(_) | Self::Negate => None,
        }
    }
}

/// Recursive descent: sum, product, factor.
struct Parser<'a> {
    stream: Stream,
    rest: &'a str,
    steps: Vec<Step>,
    depth: usize,
}

impl Parser<'_> {
    fn sum(&mut self) -> Result<(), String> {
        self.product()?;
        loop {
            let operator = match self.peek() {
                Some('+') => Step::Add,
                Some('-') => Step::Subtract,
                _ => return Ok(()),
            };
            self.skip();
            self.product()?;
            self.steps.push(operator);
        }
    }

    fn product(&mut self) -> Result<(), String> {
        self.factor()?;
        loop {
            let operator = match self.peek() {
                Some('*') => Step::Multiply,
                Some('/') => Step::Divide,
                _ => return Ok(()),
            };
            self.skip();
            self.factor()?;
            self.steps.push(operator);
        }
    }

    fn factor(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("at most {DEPTH_MAX} nested operations"));
        }
        match self.peek() {
            Some('(') => {
                self.skip();
                self.sum()?;
                if self.peek() != Some(')') {
                    return Err("a closing parenthesis".to_owned());
                }
                self.skip();
            }
            Some('-') => {
                self.skip();
                self.factor()?;
                self.steps.push(Step::Negate);
            }
            Some(first) if first.is_ascii_digit() || first == '.' => self.number()?,
            Some(first) if first.is_ascii_alphabetic() => self.field()?,
            _ => {
                return Err(format!(
                    "a field, a number or a parenthesis at {:?}; fields are {}",
                    self.rest,
                    field_names(self.stream)
                ));
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        let text = self.word(|c| c.is_ascii_digit() || c == '.');
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        let number = number.ok_or_else(|| format!("a number instead of {text:?}"))?;
        self.steps.push(Step::Number(number));
        Ok(())
    }

    fn field(&mut self) -> Result<(), String> {
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        let known = fields(self.stream)
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, field)| field.clone());
        let own = || {
            let extra = name.strip_prefix(EXTRA).filter(|name| !name.is_empty())?;
            Some(Field::Extra(extra.into()))
        };
        let field = known.or_else(own).ok_or_else(|| {
            format!(
                "a field of {} instead of {name:?}: {}",
                self.stream,
                field_names(self.stream)
            )
        })?;
        self.steps.push(Step::Field(field));
        Ok(())
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }
}

impl Field {
    fn value(&self, event: &Event, segment: Option<&SegmentFact<'_>>) -> Option<f64> {
        match self {
            Self::SpeedLimit => return segment.map(|segment| segment.limit_kmh),
            Self::FreeFlow => return segment.map(|segment| segment.free_flow_kmh),
            Self::Extra(name) => return event.extra_number(name),
            _ => {}
        }
        match &event.body {
            Body::Vehicle(vehicle) => match self {
                Self::Speed => Some(vehicle.speed_kmh),
                Self::Direction => vehicle.direction_deg,
                Self::Year => vehicle.year.map(f64::from),
                _ => None,
            },
            Body::Gps(gps) => match self {
                Self::Speed => Some(gps.speed_kmh),
                Self::Direction => gps.direction_deg,
                Self::AccuracyM => gps.accuracy_m,
                Self::AltitudeM => gps.altitude_m,
                Self::Occupied => gps.occupied.map(|occupied| f64::from(u8::from(occupied))),
                _ => None,
            },
            Body::Camera(camera) => match self {
                Self::Speed => camera.speed_kmh,
                Self::Direction => camera.direction_deg,
                Self::VehicleCount => camera.vehicle_count.map(|count| count as f64),
                _ => None,
            },
            Body::Weather(weather) => match self {
                Self::Temperature => weather.temperature,
                Self::Humidity => weather.humidity,
                Self::WindSpeed => weather.wind_speed,
                Self::Precipitation => weather.precipitation,
                Self::Visibility => weather.visibility,
                Self::AirQualityIndex => weather.air_quality_index,
                Self::Pm25 => weather.pm25,
                Self::Pm10 => weather.pm10,
                Self::No2 => weather.no2,
                Self::O3 => weather.o3,
                Self::So2 => weather.so2,
                Self::Co => weather.co,
                Self::NoiseDb => weather.noise_db,
                _ => None,
            },
            Body::Incident(incident) => match self {
                // Low 1, Medium 2, High 3, Critical 4.
                Self::Severity => Some(f64::from(incident.severity() as u8 + 1)),
                Self::Units => Some(incident.units.len() as f64),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use events::Gps;
    use proptest::prelude::*;

    use super::*;

    fn event(speed_kmh: f64, extra: Option<&str>) -> Event {
        Event {
            id: "e".into(),
            device_id: "d".into(),
            timestamp_us: 0,
            extra: extra.map(Into::into),
            body: Body::Gps(Gps {
                speed_kmh,
                ..Gps::default()
            }),
        }
    }

    fn value(text: &str, speed_kmh: f64) -> Option<f64> {
        let segment = SegmentFact {
            id: "w1-0",
            limit_kmh: 50.0,
            free_flow_kmh: 45.0,
        };
        let expression = Expression::parse(Stream::GpsData, text).expect(text);
        expression.value(
            &event(speed_kmh, Some(r#"{"co2":400,"n":"x"}"#)),
            Some(&segment),
        )
    }

    #[test]
    fn arithmetic_has_the_usual_precedence() {
        for (text, expected) in [
            ("speed", 100.0),
            ("speed / speed_limit", 2.0),
            ("2 + 3 * 4 - 1", 13.0),
            ("(2 + 3) * -(4 - 6)", 10.0),
            ("8 / 4 / 2", 1.0),
            ("1 - 2 - 3", -4.0),
            (" - speed + .5 ", -99.5),
            ("extra.co2 / 100", 4.0),
            ("1 / (speed - 99)", 1.0),
            ("2 / (speed - extra.co2 + 302)", 1.0),
        ] {
            assert_eq!(value(text, 100.0), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_computed_is_no_value() {
        assert_eq!(value("speed / (speed_limit - 50)", 10.0), None);
        assert_eq!(value("speed / speed", 0.0), None);
        assert_eq!(value("altitude_m", 10.0), None);
        assert_eq!(value("extra.n", 10.0), None);
        assert_eq!(value("extra.missing + 1", 10.0), None);
        let product = vec!["9".repeat(30); 6].join("*");
        assert!(value(&product, 10.0).is_some_and(f64::is_finite));
    }

    #[test]
    fn bad_expressions_are_refused_with_what_was_expected() {
        for (text, expected) in [
            ("speed / 0", "no division by zero"),
            ("speed / (2 - 2)", "no division by zero"),
            ("speed / -0", "no division by zero"),
            ("speed / (0 * speed)", "no division by zero"),
            ("speed / (speed - speed)", "no division by zero"),
            (
                "1 / (speed + 2 - direction - (speed - direction + 2))",
                "no division by zero",
            ),
            ("sped", "a field of gps_data instead of \"sped\": speed,"),
            ("temperature", "a field of gps_data"),
            ("speed 3", "an operator + - * / before \"3\""),
            ("speed + (1", "a closing parenthesis"),
            ("speed +", "a field, a number or a parenthesis"),
            ("", "a field, a number or a parenthesis"),
            ("extra.", "a field of gps_data"),
            ("1.2.3", "a number instead of \"1.2.3\""),
            ("speed; drop", "an operator"),
            ("日本", "a field, a number or a parenthesis"),
        ] {
            let refused = Expression::parse(Stream::GpsData, text).expect_err(text);
            assert!(refused.starts_with(expected), "{text}: {refused}");
        }
        let deep = format!("{}1{}", "(".repeat(50), ")".repeat(50));
        assert!(Expression::parse(Stream::GpsData, &deep).is_err());
        assert!(Expression::parse(Stream::GpsData, &"1+".repeat(300)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_never_panics(text in "[ a-z0-9_.()+*/-]{0,60}", speed in any::<f64>()) {
            if let Ok(expression) = Expression::parse(Stream::GpsData, &text) {
                let value = expression.value(&event(speed, None), None);
                prop_assert!(value.is_none_or(f64::is_finite));
            }
        }
    }
}
