//! The columns that a stream has beside those of every stream: what they are, and
//! how their values are gathered.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::timestamp_type;

/// A stream's own column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Number,
    Int32,
    Int64,
    Boolean,
    Text,
    Texts,
    Timestamp,
}

impl Column {
    /// An `f64`.
    pub(crate) const fn number(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Number,
        }
    }

    /// An `i32`.
    pub(crate) const fn int32(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Int32,
        }
    }

    /// An `i64`.
    pub(crate) const fn int64(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Int64,
        }
    }

    /// A truth value.
    pub(crate) const fn boolean(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Boolean,
        }
    }

    /// A text.
    pub(crate) const fn text(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Text,
        }
    }

    /// A list of texts.
    pub(crate) const fn texts(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Texts,
        }
    }

    /// Microseconds since the epoch.
    pub(crate) const fn timestamp(name: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Timestamp,
        }
    }

    pub(super) fn field(self) -> Field {
        let data_type = match self.kind {
            Kind::Number => DataType::Float64,
            Kind::Int32 => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Boolean => DataType::Boolean,
            Kind::Text => DataType::Utf8,
            Kind::Texts => DataType::List(list_item()),
            Kind::Timestamp => timestamp_type(),
        };
        Field::new(self.name, data_type, true)
    }

    pub(super) fn builder(self) -> Values {
        match self.kind {
            Kind::Number => Values::Number(Float64Builder::new()),
            Kind::Int32 => Values::Int32(Int32Builder::new()),
            Kind::Int64 => Values::Int64(Int64Builder::new()),
            Kind::Boolean => Values::Boolean(BooleanBuilder::new()),
            Kind::Text => Values::Text(StringBuilder::new()),
            Kind::Texts => {
                Values::Texts(ListBuilder::new(StringBuilder::new()).with_field(list_item()))
            }
            Kind::Timestamp => Values::Timestamp(timestamp_builder()),
        }
    }
}

/// The values of one of a stream's own columns.
#[derive(Debug)]
pub(super) enum Values {
    Number(Float64Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Boolean(BooleanBuilder),
    Text(StringBuilder),
    Texts(ListBuilder<StringBuilder>),
    Timestamp(TimestampMicrosecondBuilder),
}

impl Values {
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Values::Number(values) => Arc::new(values.finish()),
            Values::Int32(values) => Arc::new(values.finish()),
            Values::Int64(values) => Arc::new(values.finish()),
            Values::Boolean(values) => Arc::new(values.finish()),
            Values::Text(values) => Arc::new(values.finish()),
            Values::Texts(values) => Arc::new(values.finish()),
            Values::Timestamp(values) => Arc::new(values.finish()),
        }
    }
}

/// Takes one event's values, one call per column of its stream, in their order.
pub(crate) struct Row<'b> {
    pub(super) columns: std::slice::IterMut<'b, Values>,
    pub(super) text_bytes: usize,
}

impl Row<'_> {
    /// The next column's value.
    pub(crate) fn number(&mut self, value: Option<f64>) {
        match self.columns.next() {
            Some(Values::Number(values)) => values.append_option(value),
            other => mismatch(other),
        }
    }

    /// The next column's value.
    pub(crate) fn int32(&mut self, value: Option<i32>) {
        match self.columns.next() {
            Some(Values::Int32(values)) => values.append_option(value),
            other => mismatch(other),
        }
    }

    /// The next column's value.
    pub(crate) fn int64(&mut self, value: Option<i64>) {
        match self.columns.next() {
            Some(Values::Int64(values)) => values.append_option(value),
            other => mismatch(other),
        }
    }

    /// The next column's value.
    pub(crate) fn boolean(&mut self, value: Option<bool>) {
        match self.columns.next() {
            Some(Values::Boolean(values)) => values.append_option(value),
            other => mismatch(other),
        }
    }

    /// The next column's value.
    pub(crate) fn text(&mut self, value: Option<&str>) {
        self.text_bytes += value.map_or(0, str::len);
        match self.columns.next() {
            Some(Values::Text(values)) => values.append_option(value),
            other => mismatch(other),
        }
    }

    /// The next column's value; an empty list stays one.
    pub(crate) fn texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        match self.columns.next() {
            Some(Values::Texts(values)) => {
                for text in texts {
                    self.text_bytes += text.len();
                    values.values().append_value(text);
                }
                values.append(true);
            }
            other => mismatch(other),
        }
    }

    /// The next column's value.
    pub(crate) fn timestamp(&mut self, value_us: Option<i64>) {
        match self.columns.next() {
            Some(Values::Timestamp(values)) => values.append_option(value_us),
            other => mismatch(other),
        }
    }
}

#[cold]
fn mismatch(column: Option<&mut Values>) {
    unreachable!("a stream appends to its columns in the order in which it lists them: {column:?}");
}

/// The item's name is the one that Delta gives to items of lists.
fn list_item() -> FieldRef {
    Arc::new(Field::new("element", DataType::Utf8, true))
}

pub(super) fn timestamp_builder() -> TimestampMicrosecondBuilder {
    TimestampMicrosecondBuilder::new().with_data_type(timestamp_type())
}
