//! Reads the fields of one event: the ones that every stream has, and the tools
//! with which each stream reads its own.

use std::borrow::Cow;

use compact_str::CompactString;

use super::scan::{Fault, NESTING_MAX, RawString, Scanner};
use super::{DecodeError, compass};
use crate::Location;
use crate::event::{Body, Event};
use crate::json::ObjectWriter;
use crate::time::{DAY_US, days_from_civil, parse_rfc3339_us};

const DEVICE_ID_CHARS_MAX: usize = 128;
/// Older events are a producer's clock that was never set.
const OLDEST_US: i64 = days_from_civil(1990, 1, 1) * DAY_US;

const ID: &str = "a text that identifies the event";
const DEVICE_ID: &str = "a text of 1 to 128 characters";
const TIMESTAMP: &str = "an RFC 3339 timestamp from 1990 on, at most 24 h ahead of its arrival";
const LOCATION: &str =
    "[latitude, longitude] in degrees, latitude within -90..90, longitude within -180..180";
const LATITUDE: &str = "degrees within -90..90";
const LONGITUDE: &str = "degrees within -180..180";
/// What a speed is, for errors.
pub(crate) const SPEED: &str = "a number of km/h, at least 0";
const DIRECTION: &str = "degrees clockwise from north or a compass word such as North-East or NE";
const NUMBER: &str = "a finite number";

type Result<T> = std::result::Result<T, DecodeError>;

/// Walks over the members of one event and fills slots from them.
///
/// A stream calls [`Reader::next_field`] until there is none, and for each name
/// one of the methods that read the value into a slot. `null` leaves a slot
/// empty. A slot that is filled twice must get the same value both times: of two
/// different ones nobody knows which is true.
pub(crate) struct Reader<'a> {
    json: Scanner<'a>,
    appended_at_us: i64,
    /// No member was read yet.
    at_start: bool,
    /// The current field's name as written.
    name: &'a str,
    /// Where the current field's value starts.
    value_start: usize,
    id: Option<CompactString>,
    device_id: Option<CompactString>,
    timestamp_us: Option<i64>,
    location: Option<Location>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    /// Members that the stream does not know, without the closing brace.
    extra: String,
    may_be_envelope: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, appended_at_us: i64) -> Self {
        Self {
            json: Scanner::new(text),
            appended_at_us,
            at_start: true,
            name: "",
            value_start: 0,
            id: None,
            device_id: None,
            timestamp_us: None,
            location: None,
            latitude: None,
            longitude: None,
            extra: String::new(),
            may_be_envelope: false,
        }
    }

    /// The name of the next field of the stream itself. Those of every stream
    /// are read on the way.
    #[inline]
    pub(crate) fn next_field(&mut self) -> Result<Option<Cow<'a, str>>> {
        loop {
            let Some(name) = self.next_member()? else {
                return Ok(None);
            };
            match name.as_ref() {
                "id" => self.id()?,
                "device_id" | "deviceId" => self.device_id()?,
                "timestamp" => self.event_time()?,
                "location" => self.place()?,
                "latitude" => self.latitude()?,
                "longitude" => self.longitude()?,
                _ => return Ok(Some(name)),
            }
        }
    }

    #[inline]
    fn next_member(&mut self) -> Result<Option<Cow<'a, str>>> {
        let opening = std::mem::replace(&mut self.at_start, false);
        if opening && !self.json.pass(b'{') {
            return Err(self.no_object("one JSON object"));
        }
        if self.json.pass(b'}') {
            return Ok(None);
        }
        if !opening && !self.json.pass(b',') {
            return Err(self.no_object("a comma or a closing brace"));
        }
        let name = self
            .json
            .string()
            .and_then(|raw| Ok((raw.raw, raw.unescaped()?)));
        let Ok((raw, name)) = name else {
            return Err(self.no_object("a field name in quotes"));
        };
        if !self.json.pass(b':') {
            return Err(self.no_object("a colon after the field name"));
        }
        self.json.peek();
        self.name = raw;
        self.value_start = self.json.position();
        Ok(Some(name))
    }

    /// The stream's fields are read: checks what every event needs, and that
    /// nothing follows.
    #[inline]
    pub(super) fn finish(&mut self, body: Body) -> Result<Event> {
        if self.json.peek().is_some() {
            return Err(self.no_object("nothing after the closing brace"));
        }
        let timestamp_us = self
            .timestamp_us
            .ok_or_else(|| missing("timestamp", TIMESTAMP))?;
        let extra = match self.extra.is_empty() {
            true => None,
            false => {
                self.extra.push('}');
                Some(std::mem::take(&mut self.extra).into_boxed_str())
            }
        };
        Ok(Event {
            id: self.id.take().ok_or_else(|| missing("id", ID))?,
            device_id: self
                .device_id
                .take()
                .ok_or_else(|| missing("device_id", DEVICE_ID))?,
            timestamp_us,
            extra,
            body,
        })
    }

    /// Where it happened, once all fields are read.
    pub(crate) fn location(&mut self) -> Result<Location> {
        self.optional_location()?
            .ok_or_else(|| missing("location", LOCATION))
    }

    /// Where it happened, if it has a place.
    #[inline]
    pub(crate) fn optional_location(&mut self) -> Result<Option<Location>> {
        match (self.location, self.latitude, self.longitude) {
            (location, None, None) => Ok(location),
            (None, Some(latitude), Some(longitude)) => Ok(Some(Location {
                latitude,
                longitude,
            })),
            (None, Some(_), None) => Err(missing("longitude", LONGITUDE)),
            (None, None, Some(_)) => Err(missing("latitude", LATITUDE)),
            (Some(location), latitude, longitude) => {
                self.keep_other_place(location, latitude, longitude);
                Ok(Some(location))
            }
        }
    }

    /// `location` counts; separate coordinates that say something else are kept
    /// like fields that nobody knows.
    #[cold]
    fn keep_other_place(&mut self, place: Location, latitude: Option<f64>, longitude: Option<f64>) {
        let mut others = ObjectWriter::new();
        others.optional_number(
            "latitude",
            latitude.filter(|other| *other != place.latitude),
        );
        others.optional_number(
            "longitude",
            longitude.filter(|other| *other != place.longitude),
        );
        if !others.is_empty() {
            let members = others.finish_text();
            let members = members.trim_start_matches('{').trim_end_matches('}');
            self.separate_extra();
            self.extra.push_str(members);
        }
    }

    /// The value of a required slot.
    #[inline]
    pub(crate) fn required<T>(&self, slot: Option<T>, name: &str, expected: &str) -> Result<T> {
        slot.ok_or_else(|| missing(name, expected))
    }

    /// A finite number.
    #[inline]
    pub(crate) fn number(&mut self, slot: &mut Option<f64>) -> Result<()> {
        match self.number_or_null(NUMBER)? {
            Some(value) => self.fill(slot, value),
            None => Ok(()),
        }
    }

    /// km/h, at least 0.
    #[inline]
    pub(crate) fn speed(&mut self, slot: &mut Option<f64>) -> Result<()> {
        match self.number_or_null(SPEED)? {
            Some(value) if value < 0.0 => Err(self.wrong(SPEED)),
            Some(value) => self.fill(slot, value),
            None => Ok(()),
        }
    }

    /// Degrees clockwise from north, or a compass word; kept in `0.0..360.0`.
    #[inline]
    pub(crate) fn direction(&mut self, slot: &mut Option<f64>) -> Result<()> {
        let degrees = if self.json.peek() == Some(b'"') {
            match self.string_or_null(DIRECTION)? {
                Some(word) => Some(compass::degrees(&word).ok_or_else(|| self.wrong(DIRECTION))?),
                None => None,
            }
        } else {
            self.number_or_null(DIRECTION)?.map(normalised_deg)
        };
        match degrees {
            Some(degrees) => self.fill(slot, degrees),
            None => Ok(()),
        }
    }

    /// A whole number; `2020.0` is one too.
    pub(crate) fn whole<T: TryFrom<i64> + PartialEq>(
        &mut self,
        slot: &mut Option<T>,
    ) -> Result<()> {
        const WHOLE: &str = "a whole number";
        let Some(value) = self.number_or_null(WHOLE)? else {
            return Ok(());
        };
        let raw = self.json.since(self.value_start);
        let whole = raw.parse::<i64>().ok().or_else(|| {
            // Larger ones are not exact as f64.
            let is_whole = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
            is_whole.then_some(value as i64)
        });
        match whole.and_then(|whole| T::try_from(whole).ok()) {
            Some(value) => self.fill(slot, value),
            None => Err(self.wrong(WHOLE)),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, slot: &mut Option<bool>) -> Result<()> {
        if self.json.pass_word("true") {
            self.fill(slot, true)
        } else if self.json.pass_word("false") {
            self.fill(slot, false)
        } else if self.json.pass_word("null") {
            Ok(())
        } else {
            Err(self.wrong("true or false"))
        }
    }

    /// Any text.
    #[inline]
    pub(crate) fn text<T>(&mut self, slot: &mut Option<T>) -> Result<()>
    where
        T: for<'t> From<&'t str> + PartialEq,
    {
        match self.string_or_null("a text")? {
            Some(text) => self.fill(slot, T::from(text.as_ref())),
            None => Ok(()),
        }
    }

    /// A text that is not empty.
    #[inline]
    pub(crate) fn name(&mut self, slot: &mut Option<CompactString>, expected: &str) -> Result<()> {
        match self.string_or_null(expected)? {
            Some(text) if text.is_empty() => Err(self.wrong(expected)),
            Some(text) => self.fill(slot, CompactString::new(text)),
            None => Ok(()),
        }
    }

    /// An RFC 3339 timestamp, as microseconds since the epoch.
    pub(crate) fn timestamp(&mut self, slot: &mut Option<i64>) -> Result<()> {
        const INSTANT: &str = "an RFC 3339 timestamp";
        let Some(text) = self.string_or_null(INSTANT)? else {
            return Ok(());
        };
        match parse_rfc3339_us(&text) {
            Some(timestamp_us) => self.fill(slot, timestamp_us),
            None => Err(self.wrong(INSTANT)),
        }
    }

    /// A list of texts; numbers in it are kept as their text.
    pub(crate) fn texts(&mut self, slot: &mut Option<Vec<CompactString>>) -> Result<()> {
        const TEXTS: &str = "a list of texts";
        if self.json.pass_word("null") {
            return Ok(());
        }
        let mut texts = Vec::new();
        if !self.json.pass(b'[') {
            return Err(self.wrong(TEXTS));
        }
        if !self.json.pass(b']') {
            loop {
                texts.push(self.list_item().ok_or_else(|| self.wrong(TEXTS))?);
                if self.json.pass(b']') {
                    break;
                }
                if !self.json.pass(b',') {
                    return Err(self.wrong(TEXTS));
                }
            }
        }
        self.fill(slot, texts)
    }

    fn list_item(&mut self) -> Option<CompactString> {
        if self.json.peek() == Some(b'"') {
            return self
                .json
                .string()
                .and_then(RawString::unescaped)
                .ok()
                .map(CompactString::from);
        }
        let start = self.json.position();
        self.json.number().ok()?;
        Some(CompactString::from(self.json.since(start)))
    }

    /// A field that the stream does not know: kept as it is.
    #[cold]
    pub(crate) fn keep(&mut self) -> Result<()> {
        self.may_be_envelope |= self.name == "specversion";
        let name = self.name;
        let value = self.any_value()?;
        self.keep_member("", name, value);
        Ok(())
    }

    /// Adds a member to what is kept; name and value are JSON text.
    pub(super) fn keep_member(&mut self, prefix: &str, name: &str, value: &str) {
        self.separate_extra();
        for part in ["\"", prefix, name, "\":", value] {
            self.extra.push_str(part);
        }
    }

    fn separate_extra(&mut self) {
        self.extra
            .push(if self.extra.is_empty() { '{' } else { ',' });
    }

    fn any_value(&mut self) -> Result<&'a str> {
        self.json.value().map_err(|fault| match fault {
            Fault::Syntax => self.wrong("a JSON value"),
            Fault::TooDeep => self.wrong(&format!("at most {NESTING_MAX} levels of nesting")),
        })
    }

    /// Whether it has a member that only CloudEvents have.
    pub(super) fn may_be_envelope(&self) -> bool {
        self.may_be_envelope
    }

    /// Reads `value`, JSON text that stands elsewhere, as a field that every
    /// stream has, unless the event has that one itself. Returns whether it was
    /// of use.
    pub(super) fn fill_from_elsewhere(
        &mut self,
        field: Common,
        value: RawMember<'a>,
    ) -> Result<bool> {
        let is_missing = match field {
            Common::Id => self.id.is_none(),
            Common::DeviceId => self.device_id.is_none(),
            Common::Timestamp => self.timestamp_us.is_none(),
        };
        if is_missing {
            let rest = std::mem::replace(&mut self.json, Scanner::new(value.value));
            (self.name, self.value_start) = (value.name, 0);
            match field {
                Common::Id => self.id()?,
                Common::DeviceId => self.device_id()?,
                Common::Timestamp => self.event_time()?,
            }
            self.json = rest;
        }
        Ok(is_missing)
    }

    #[inline]
    fn id(&mut self) -> Result<()> {
        let mut slot = self.id.take();
        self.name(&mut slot, ID)?;
        self.id = slot;
        Ok(())
    }

    #[inline]
    fn device_id(&mut self) -> Result<()> {
        let mut slot = self.device_id.take();
        self.name(&mut slot, DEVICE_ID)?;
        // Every character is at least a byte.
        if let Some(device_id) = &slot
            && device_id.len() > DEVICE_ID_CHARS_MAX
            && device_id.chars().count() > DEVICE_ID_CHARS_MAX
        {
            return Err(self.wrong(DEVICE_ID));
        }
        self.device_id = slot;
        Ok(())
    }

    #[inline]
    fn event_time(&mut self) -> Result<()> {
        let Some(text) = self.string_or_null(TIMESTAMP)? else {
            return Ok(());
        };
        let latest_us = self.appended_at_us.saturating_add(DAY_US);
        let timestamp_us = parse_rfc3339_us(&text)
            .filter(|timestamp_us| (OLDEST_US..=latest_us).contains(timestamp_us))
            .ok_or_else(|| self.wrong(TIMESTAMP))?;
        let mut slot = self.timestamp_us;
        self.fill(&mut slot, timestamp_us)?;
        self.timestamp_us = slot;
        Ok(())
    }

    #[inline]
    fn place(&mut self) -> Result<()> {
        let place = match self.json.peek() {
            Some(b'[') => self.place_from_list(),
            Some(b'{') => self.place_from_object()?,
            _ if self.json.pass_word("null") => return Ok(()),
            _ => None,
        };
        let place = place
            .filter(|place| is_latitude(place.latitude) && is_longitude(place.longitude))
            .ok_or_else(|| self.wrong(LOCATION))?;
        let mut slot = self.location;
        self.fill(&mut slot, place)?;
        self.location = slot;
        Ok(())
    }

    #[inline]
    fn place_from_list(&mut self) -> Option<Location> {
        let json = &mut self.json;
        json.pass(b'[');
        let latitude = json.number().ok()?;
        if !json.pass(b',') {
            return None;
        }
        let longitude = json.number().ok()?;
        json.pass(b']').then_some(Location {
            latitude,
            longitude,
        })
    }

    /// `{"latitude":..,"longitude":..}`; its other members are kept as
    /// `location.<name>`.
    fn place_from_object(&mut self) -> Result<Option<Location>> {
        let (mut latitude, mut longitude) = (None, None);
        self.json.pass(b'{');
        if self.json.pass(b'}') {
            return Ok(None);
        }
        loop {
            let Ok(name) = self.json.string() else {
                return Ok(None);
            };
            if !self.json.pass(b':') {
                return Ok(None);
            }
            if let "latitude" | "longitude" = name.raw {
                let slot = if name.raw == "latitude" {
                    &mut latitude
                } else {
                    &mut longitude
                };
                let Ok(degrees) = self.json.number() else {
                    return Ok(None);
                };
                if slot
                    .replace(degrees)
                    .is_some_and(|before| before != degrees)
                {
                    return Ok(None);
                }
            } else {
                let Ok(value) = self.json.value() else {
                    return Ok(None);
                };
                self.keep_member("location.", name.raw, value);
            }
            if self.json.pass(b'}') {
                let place = latitude.zip(longitude);
                return Ok(place.map(|(latitude, longitude)| Location {
                    latitude,
                    longitude,
                }));
            }
            if !self.json.pass(b',') {
                return Ok(None);
            }
        }
    }

    fn latitude(&mut self) -> Result<()> {
        let degrees = self.number_or_null(LATITUDE)?;
        if degrees.is_some_and(|degrees| !is_latitude(degrees)) {
            return Err(self.wrong(LATITUDE));
        }
        let mut slot = self.latitude;
        degrees.map_or(Ok(()), |degrees| self.fill(&mut slot, degrees))?;
        self.latitude = slot;
        Ok(())
    }

    fn longitude(&mut self) -> Result<()> {
        let degrees = self.number_or_null(LONGITUDE)?;
        if degrees.is_some_and(|degrees| !is_longitude(degrees)) {
            return Err(self.wrong(LONGITUDE));
        }
        let mut slot = self.longitude;
        degrees.map_or(Ok(()), |degrees| self.fill(&mut slot, degrees))?;
        self.longitude = slot;
        Ok(())
    }

    /// A finite number, `None` for `null`.
    #[inline]
    fn number_or_null(&mut self, expected: &str) -> Result<Option<f64>> {
        match self.json.number() {
            // Adding zero turns minus zero into zero.
            Ok(value) if value.is_finite() => Ok(Some(value + 0.0)),
            _ => self.null(expected),
        }
    }

    #[inline]
    fn string_or_null(&mut self, expected: &str) -> Result<Option<Cow<'a, str>>> {
        match self.json.string().and_then(RawString::unescaped) {
            Ok(text) => Ok(Some(text)),
            Err(_) => self.null(expected),
        }
    }

    /// The value is not of the type that belongs here: `null` or an error.
    #[cold]
    fn null<T>(&mut self, expected: &str) -> Result<Option<T>> {
        self.json.rewind(self.value_start);
        if self.json.pass_word("null") {
            Ok(None)
        } else {
            Err(self.wrong(expected))
        }
    }

    #[inline]
    fn fill<T: PartialEq>(&self, slot: &mut Option<T>, value: T) -> Result<()> {
        match slot {
            None => {
                *slot = Some(value);
                Ok(())
            }
            Some(before) => self.check_repeated(*before == value),
        }
    }

    #[cold]
    fn check_repeated(&self, is_same: bool) -> Result<()> {
        match is_same {
            true => Ok(()),
            false => Err(self.wrong("the value that the same field has earlier in the message")),
        }
    }

    /// The current field's value is not what belongs there.
    #[cold]
    fn wrong(&self, expected: &str) -> DecodeError {
        let mut json = self.json.clone();
        json.rewind(self.value_start);
        let value = json.value().unwrap_or_else(|_| {
            json.rewind(self.value_start);
            json.token()
        });
        DecodeError::new(self.name, value, expected)
    }

    /// The message is not one JSON object.
    #[cold]
    fn no_object(&self, expected: &str) -> DecodeError {
        let position = self.json.position();
        let mut json = self.json.clone();
        json.rewind(0);
        let message = if json.rest().trim().is_empty() {
            "nothing"
        } else {
            json.rest()
        };
        DecodeError::new("", message, format!("{expected} at byte {position}"))
    }
}

/// The fields that an envelope may carry for any stream.
#[derive(Clone, Copy)]
pub(super) enum Common {
    Id,
    DeviceId,
    Timestamp,
}

/// A member's name and value as JSON text.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawMember<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

#[cold]
fn missing(name: &str, expected: &str) -> DecodeError {
    DecodeError::missing(name, expected)
}

fn is_latitude(degrees: f64) -> bool {
    (-90.0..=90.0).contains(&degrees)
}

fn is_longitude(degrees: f64) -> bool {
    (-180.0..=180.0).contains(&degrees)
}

#[inline]
fn normalised_deg(degrees: f64) -> f64 {
    if (0.0..360.0).contains(&degrees) {
        return degrees;
    }
    let turned = degrees.rem_euclid(360.0);
    // A tiny negative angle rounds up to the full circle.
    if turned < 360.0 { turned } else { 0.0 }
}
