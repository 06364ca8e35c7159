//! The fields that every stream has: id, device_id, timestamp and the place.

use super::{RawMember, Reader, Result, missing};
use crate::Location;
use crate::decode::scan::Scanner;
use crate::event::{Body, Event};
use crate::json::ObjectWriter;
use crate::time::{is_acceptable, parse_rfc3339_us};

const DEVICE_ID_CHARS_MAX: usize = 128;
const ID: &str = "a text that identifies the event";
const DEVICE_ID: &str = "a text of 1 to 128 characters";
const TIMESTAMP: &str = "an RFC 3339 timestamp from 1990 on, at most 24 h ahead of its arrival";
const LOCATION: &str =
    "[latitude, longitude] in degrees, latitude within -90..90, longitude within -180..180";
const LATITUDE: &str = "degrees within -90..90";
const LONGITUDE: &str = "degrees within -180..180";

/// The fields that an envelope may carry for any stream.
#[derive(Clone, Copy)]
pub(in crate::decode) enum Common {
    Id,
    DeviceId,
    Timestamp,
}

impl<'a> Reader<'a> {
    /// The stream's fields are read: checks what every event needs, and that
    /// nothing follows.
    #[inline]
    pub(in crate::decode) fn finish(&mut self, body: Body) -> Result<Event> {
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

    /// Reads `value`, JSON text that stands elsewhere, as a field that every
    /// stream has, unless the event has that one itself. Returns whether it was
    /// of use.
    pub(in crate::decode) fn fill_from_elsewhere(
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
    pub(super) fn id(&mut self) -> Result<()> {
        let mut slot = self.id.take();
        self.name(&mut slot, ID)?;
        self.id = slot;
        Ok(())
    }

    #[inline]
    pub(super) fn device_id(&mut self) -> Result<()> {
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
    pub(super) fn event_time(&mut self) -> Result<()> {
        let Some(text) = self.string_or_null(TIMESTAMP)? else {
            return Ok(());
        };
        let timestamp_us = parse_rfc3339_us(&text)
            .filter(|timestamp_us| is_acceptable(*timestamp_us, self.appended_at_us))
            .ok_or_else(|| self.wrong(TIMESTAMP))?;
        let mut slot = self.timestamp_us;
        self.fill(&mut slot, timestamp_us)?;
        self.timestamp_us = slot;
        Ok(())
    }

    #[inline]
    pub(super) fn place(&mut self) -> Result<()> {
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

    pub(super) fn latitude(&mut self) -> Result<()> {
        let degrees = self.number_or_null(LATITUDE)?;
        if degrees.is_some_and(|degrees| !is_latitude(degrees)) {
            return Err(self.wrong(LATITUDE));
        }
        let mut slot = self.latitude;
        degrees.map_or(Ok(()), |degrees| self.fill(&mut slot, degrees))?;
        self.latitude = slot;
        Ok(())
    }

    pub(super) fn longitude(&mut self) -> Result<()> {
        let degrees = self.number_or_null(LONGITUDE)?;
        if degrees.is_some_and(|degrees| !is_longitude(degrees)) {
            return Err(self.wrong(LONGITUDE));
        }
        let mut slot = self.longitude;
        degrees.map_or(Ok(()), |degrees| self.fill(&mut slot, degrees))?;
        self.longitude = slot;
        Ok(())
    }
}

fn is_latitude(degrees: f64) -> bool {
    (-90.0..=90.0).contains(&degrees)
}

fn is_longitude(degrees: f64) -> bool {
    (-180.0..=180.0).contains(&degrees)
}
