//! How large a function's result is, told from its arguments before it is made.

use std::ops::Add;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, IntervalMonthDayNanoType, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::ColumnarValue;

/// Bytes of a number or a short text where the real size is not known.
const ELEMENT_BYTES: u64 = 24;

/// The size of a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    /// Elements of lists.
    pub(crate) elements: u64,
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            elements: self.elements.saturating_add(other.elements),
        }
    }
}

/// How a function's result grows with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Growth {
    /// `(text, times)`
    Repeat,
    /// `(text, characters[, fill])`
    Pad,
    /// `(text, from, to)`
    Replace,
    /// `(text, pattern, to[, flags])`
    RegexpReplace,
    /// `(element, times)`
    RepeatElement,
    /// `(list, elements[, element])`
    Resize,
    /// `([start,] stop[, step])`
    Series,
    /// `(list, delimiter[, null])`
    Join,
}

impl Growth {
    /// The functions that grow.
    pub(crate) const BY_NAME: [(&'static str, Growth); 10] = [
        ("repeat", Growth::Repeat),
        ("lpad", Growth::Pad),
        ("rpad", Growth::Pad),
        ("replace", Growth::Replace),
        ("regexp_replace", Growth::RegexpReplace),
        ("array_repeat", Growth::RepeatElement),
        ("array_resize", Growth::Resize),
        ("range", Growth::Series),
        ("generate_series", Growth::Series),
        ("array_to_string", Growth::Join),
    ];

    /// Whether the result is one text whose length the caller chooses.
    pub(crate) fn makes_one_text(self) -> bool {
        matches!(self, Growth::Repeat | Growth::Pad)
    }

    /// Whether the estimate is the truth; otherwise it is an upper bound.
    pub(crate) fn is_exact(self) -> bool {
        !matches!(self, Growth::Replace | Growth::RegexpReplace | Growth::Join)
    }

    /// The size of the result of one row.
    pub(crate) fn estimate(self, arguments: &[Argument], row: usize) -> Size {
        let bytes = |index: usize| arguments.get(index).map_or(0, |given| given.bytes(row));
        let number = |index: usize| arguments.get(index).map_or(0, |given| given.number(row));
        let text = |bytes: u64| Size { bytes, elements: 0 };
        let list = |elements: u64, element_bytes: u64| Size {
            bytes: elements.saturating_mul(element_bytes.max(1)),
            elements,
        };
        match self {
            Growth::Repeat => text(bytes(0).saturating_mul(number(1))),
            Growth::Pad => text(number(1)),
            Growth::Replace => {
                let matches = bytes(0) / bytes(1).max(1) + 1;
                text(matches.saturating_mul(bytes(2)).saturating_add(bytes(0)))
            }
            // A match between all characters, and each reference to a group takes two
            // bytes of the replacement and brings in at most the text once over all matches.
            Growth::RegexpReplace => {
                text((bytes(0) + 1).saturating_mul(bytes(2).saturating_mul(2) + 1))
            }
            Growth::RepeatElement => list(number(1), bytes(0)),
            Growth::Resize => list(number(1), bytes(2).max(ELEMENT_BYTES)),
            Growth::Series => list(series_length(arguments, row), 8),
            Growth::Join => {
                let elements = arguments.first().map_or(0, |given| given.elements(row));
                let each = bytes(1).saturating_add(bytes(2)) + ELEMENT_BYTES;
                text(elements.saturating_mul(each).saturating_add(bytes(0)))
            }
        }
    }
}

/// How many values `range` or `generate_series` makes.
fn series_length(arguments: &[Argument], row: usize) -> u64 {
    let value = |index: usize| arguments.get(index).and_then(|given| given.moment(row));
    let (start, stop, step) = match arguments.len() {
        1 => (Some(0), value(0), Some(1)),
        2 => (value(0), value(1), Some(1)),
        _ => (value(0), value(1), value(2)),
    };
    let (Some(start), Some(stop), Some(step)) = (start, stop, step) else {
        return 0;
    };
    let is_empty = (stop < start && step > 0) || (stop > start && step < 0);
    match is_empty {
        true => 0,
        false => (stop.abs_diff(start) / step.unsigned_abs().max(1))
            .saturating_add(1)
            .try_into()
            .unwrap_or(u64::MAX),
    }
}

/// One argument of a call, for all its rows.
pub(crate) struct Argument {
    values: ArrayRef,
    is_constant: bool,
    /// As whole numbers, where they are numbers or times. Microseconds for times.
    numbers: Option<ArrayRef>,
}

impl Argument {
    pub(crate) fn new(given: &ColumnarValue) -> Result<Self> {
        let (values, is_constant) = match given {
            ColumnarValue::Array(array) => (array.clone(), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let numbers = match values.data_type() {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                Some(cast(&cast(&values, &micros)?, &DataType::Int64)?)
            }
            number if number.is_integer() => Some(cast(&values, &DataType::Int64)?),
            _ => None,
        };
        Ok(Self {
            values,
            is_constant,
            numbers,
        })
    }

    pub(crate) fn is_constant(&self) -> bool {
        self.is_constant
    }

    fn index(&self, row: usize) -> usize {
        if self.is_constant { 0 } else { row }
    }

    /// Bytes of the value; 0 of a null.
    fn bytes(&self, row: usize) -> u64 {
        let row = self.index(row);
        if self.values.is_null(row) {
            return 0;
        }
        let bytes = match self.values.data_type() {
            DataType::Utf8 => self.values.as_string::<i32>().value(row).len(),
            DataType::LargeUtf8 => self.values.as_string::<i64>().value(row).len(),
            DataType::Utf8View => self.values.as_string_view().value(row).len(),
            other => match other.primitive_width() {
                Some(width) => width,
                None => self.values.get_array_memory_size() / self.values.len().max(1),
            },
        };
        bytes as u64
    }

    /// The value as a count; 0 of a null or of what is below 0.
    fn number(&self, row: usize) -> u64 {
        let number = self.moment(row).unwrap_or_default();
        u64::try_from(number.max(0)).unwrap_or(u64::MAX)
    }

    /// Elements of the list.
    fn elements(&self, row: usize) -> u64 {
        let row = self.index(row);
        match self.values.data_type() {
            _ if self.values.is_null(row) => 0,
            DataType::List(_) => self.values.as_list::<i32>().value_length(row) as u64,
            DataType::LargeList(_) => self.values.as_list::<i64>().value_length(row) as u64,
            DataType::FixedSizeList(_, length) => *length as u64,
            _ => 0,
        }
    }

    /// A number, a time or an interval as a whole number; `None` of a null.
    fn moment(&self, row: usize) -> Option<i128> {
        let row = self.index(row);
        if self.values.is_null(row) {
            return None;
        }
        if let Some(numbers) = &self.numbers {
            let numbers = numbers.as_primitive::<Int64Type>();
            // A time that is out of range is as far away as can be.
            let far = i128::from(i64::MAX);
            return Some(match numbers.is_null(row) {
                true => far,
                false => numbers.value(row).into(),
            });
        }
        match self.values.data_type() {
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let intervals = self.values.as_primitive::<IntervalMonthDayNanoType>();
                let interval = intervals.value(row);
                const DAY_US: i128 = 86_400_000_000;
                // The shortest month: rather a longer series than a shorter.
                let days = i128::from(interval.months) * 28 + i128::from(interval.days);
                Some(days * DAY_US + i128::from(interval.nanoseconds) / 1000)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use datafusion::common::ScalarValue;

    use super::*;

    fn estimate(growth: Growth, arguments: &[ColumnarValue]) -> Size {
        let arguments: Vec<Argument> = arguments
            .iter()
            .map(|given| Argument::new(given).unwrap())
            .collect();
        growth.estimate(&arguments, 0)
    }

    fn array(array: impl Array + 'static) -> ColumnarValue {
        ColumnarValue::Array(Arc::new(array))
    }

    fn interval(days: i32, nanoseconds: i64) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::new_interval_mdn(0, days, nanoseconds))
    }

    #[test]
    fn texts_are_estimated_by_length_and_times() {
        let text = || array(StringArray::from(vec!["abcd"]));
        let number = |number| array(Int64Array::from(vec![number]));
        let bytes = |growth, arguments: &[ColumnarValue]| estimate(growth, arguments).bytes;
        assert_eq!(bytes(Growth::Repeat, &[text(), number(Some(1000))]), 4000);
        assert_eq!(bytes(Growth::Repeat, &[text(), number(Some(-1))]), 0);
        assert_eq!(bytes(Growth::Repeat, &[text(), number(None)]), 0);
        assert_eq!(
            bytes(Growth::Repeat, &[text(), number(Some(i64::MAX))]),
            u64::MAX
        );
        assert_eq!(bytes(Growth::Pad, &[text(), number(Some(77))]), 77);
        let to = array(StringArray::from(vec!["0123456789"]));
        let one = array(StringArray::from(vec!["a"]));
        assert!(bytes(Growth::Replace, &[text(), one, to]) >= 40);
    }

    #[test]
    fn series_are_estimated_for_numbers_days_and_times() {
        let elements = |arguments: &[ColumnarValue]| estimate(Growth::Series, arguments).elements;
        let number = |number: i64| array(Int64Array::from(vec![number]));
        assert_eq!(elements(&[number(999)]), 1000);
        assert_eq!(elements(&[number(5), number(1)]), 0);
        assert_eq!(elements(&[number(100), number(0), number(-10)]), 11);
        assert_eq!(elements(&[number(i64::MIN), number(i64::MAX)]), u64::MAX);
        let day = |day| array(Date32Array::from(vec![day]));
        assert_eq!(elements(&[day(0), day(365), interval(1, 0)]), 366);
        assert!(elements(&[day(0), day(i32::MAX), interval(1, 0)]) > 1_000_000);
        let time = |time_us: i64| {
            array(TimestampMicrosecondArray::from(vec![time_us]).with_timezone("+00:00"))
        };
        let hour = interval(0, 3_600_000_000_000);
        assert_eq!(elements(&[time(0), time(86_400_000_000), hour]), 25);
        // A step that rounds to nothing is the shortest that there is.
        assert!(elements(&[time(0), time(86_400_000_000), interval(0, 1)]) > 1_000_000);
    }
}
