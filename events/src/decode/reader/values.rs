//! The tools with which a stream reads its own fields: each reads one value into
//! a slot, and `null` leaves the slot empty.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use compact_str::CompactString;

use super::{Reader, Result, missing};
use crate::decode::compass;
use crate::decode::scan::RawString;
use crate::time::parse_rfc3339_us;

/// What a speed is, for errors.
pub(crate) const SPEED: &str = "a number of km/h from 0 to 2000";
/// No vehicle goes faster on the ground: a sum with one such number in it is no
/// figure any more.
const SPEED_KMH_MAX: f64 = 2000.0;
const WIND: &str = "a number of km/h, at least 0";
const DIRECTION: &str = "degrees clockwise from north or a compass word such as North-East or NE";
const NUMBER: &str = "a finite number";
const READING: &str = "a number from -1e10 to 1e10";
/// Beyond every unit's use, and beyond the numbers (such as -9999 or those of 32
/// bits) by which sensors say that they have nothing to tell.
pub(crate) const READING_MAX: f64 = 1e10;

impl<'a> Reader<'a> {
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

    /// What a sensor measures, in any unit.
    #[inline]
    pub(crate) fn reading(&mut self, slot: &mut Option<f64>) -> Result<()> {
        self.number_within(slot, -READING_MAX..=READING_MAX, READING)
    }

    /// Of a vehicle, km/h.
    #[inline]
    pub(crate) fn speed(&mut self, slot: &mut Option<f64>) -> Result<()> {
        self.number_within(slot, 0.0..=SPEED_KMH_MAX, SPEED)
    }

    /// Of the wind, km/h.
    #[inline]
    pub(crate) fn wind(&mut self, slot: &mut Option<f64>) -> Result<()> {
        self.number_within(slot, 0.0..=READING_MAX, WIND)
    }

    #[inline]
    fn number_within(
        &mut self,
        slot: &mut Option<f64>,
        range: RangeInclusive<f64>,
        expected: &str,
    ) -> Result<()> {
        match self.number_or_null(expected)? {
            Some(value) if !range.contains(&value) => Err(self.wrong(expected)),
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

    /// A finite number, `None` for `null`.
    #[inline]
    pub(super) fn number_or_null(&mut self, expected: &str) -> Result<Option<f64>> {
        match self.json.number() {
            // Adding zero turns minus zero into zero.
            Ok(value) if value.is_finite() => Ok(Some(value + 0.0)),
            _ => self.null(expected),
        }
    }

    #[inline]
    pub(super) fn string_or_null(&mut self, expected: &str) -> Result<Option<Cow<'a, str>>> {
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
