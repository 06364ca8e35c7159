//! Parameters of a statement: `$name` in the text, a typed value in the plan.
//!
//! A value becomes a literal of its type in the parsed statement. It is never part
//! of a text that is parsed, so it can be nothing but a value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use arrow::datatypes::DataType as ArrowType;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, ExactNumberInfo, Expr, Statement as Ast, TimezoneInfo, UnaryOperator,
    Value, visit_expressions, visit_expressions_mut,
};
use events::time::{DAY_US, format_rfc3339, parse_rfc3339_us};

use crate::query::{QueryError, QueryResult};

/// What a parameter's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterType {
    /// Any text.
    Text,
    /// A whole number, 64 bits.
    Integer,
    /// A number, 64 bits.
    Double,
    /// `true` or `false`.
    Boolean,
    /// `2026-03-01`
    Date,
    /// `2026-03-01T12:00:00Z`, or a date for its midnight UTC.
    Timestamp,
}

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number that is finite.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// Days since the epoch.
    Date(i32),
    /// Microseconds since the epoch.
    Timestamp(i64),
}

/// What the author of a statement said about one of its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Declared {
    /// Without the `$`.
    pub name: String,
    /// What its values are.
    pub value_type: ParameterType,
    /// Taken where none is given.
    pub default: Option<ParameterValue>,
}

/// The parameters of one statement: those declared, and the values given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// With types; of the others the statement must tell.
    pub declared: Vec<Declared>,
    /// As people wrote them, by name.
    pub given: BTreeMap<String, String>,
    /// Values that there are without anybody giving them; given ones win.
    pub built_in: BTreeMap<String, ParameterValue>,
}

impl ParameterType {
    /// Every type, in the order in which they are listed to people.
    pub const ALL: [ParameterType; 6] = [
        ParameterType::Text,
        ParameterType::Integer,
        ParameterType::Double,
        ParameterType::Boolean,
        ParameterType::Date,
        ParameterType::Timestamp,
    ];

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            ParameterType::Text => "text",
            ParameterType::Integer => "integer",
            ParameterType::Double => "double",
            ParameterType::Boolean => "boolean",
            ParameterType::Date => "date",
            ParameterType::Timestamp => "timestamp",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|one| one.name().eq_ignore_ascii_case(name))
    }

    /// What a value of it looks like, for people.
    pub const fn expected(self) -> &'static str {
        match self {
            ParameterType::Text => "a text",
            ParameterType::Integer => "a whole number",
            ParameterType::Double => "a number",
            ParameterType::Boolean => "true or false",
            ParameterType::Date => "a date such as 2026-03-01",
            ParameterType::Timestamp => "a time such as 2026-03-01T12:00:00Z, or 2026-03-01",
        }
    }

    /// Reads a value.
    ///
    /// # Errors
    /// Names parameter, value and what was expected.
    pub fn read(self, name: &str, text: &str) -> QueryResult<ParameterValue> {
        let value = match self {
            ParameterType::Text => Some(ParameterValue::Text(text.to_owned())),
            ParameterType::Integer => text.parse().ok().map(ParameterValue::Integer),
            ParameterType::Double => text
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(ParameterValue::Double),
            ParameterType::Boolean => text.parse().ok().map(ParameterValue::Boolean),
            ParameterType::Date => midnight_us(text)
                .and_then(|time_us| i32::try_from(time_us.div_euclid(DAY_US)).ok())
                .map(ParameterValue::Date),
            ParameterType::Timestamp => parse_rfc3339_us(text)
                .or_else(|| midnight_us(text))
                .map(ParameterValue::Timestamp),
        };
        value.ok_or_else(|| {
            QueryError::User(format!(
                "parameter {name} is \"{text}\"; expected {}",
                self.expected()
            ))
        })
    }

    fn of(data_type: &ArrowType) -> Option<Self> {
        match data_type {
            ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => {
                Some(ParameterType::Text)
            }
            ArrowType::Float16 | ArrowType::Float32 | ArrowType::Float64 => {
                Some(ParameterType::Double)
            }
            ArrowType::Boolean => Some(ParameterType::Boolean),
            ArrowType::Date32 | ArrowType::Date64 => Some(ParameterType::Date),
            ArrowType::Timestamp(..) => Some(ParameterType::Timestamp),
            whole if whole.is_integer() => Some(ParameterType::Integer),
            _ => None,
        }
    }
}

/// The midnight UTC of `2026-03-01`, microseconds since the epoch.
fn midnight_us(text: &str) -> Option<i64> {
    let is_date = text.len() == 10 && text.is_ascii();
    parse_rfc3339_us(&format!("{text}T00:00:00Z")).filter(|_| is_date)
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterValue::Text(text) => f.write_str(text),
            ParameterValue::Integer(number) => number.fmt(f),
            ParameterValue::Double(number) => number.fmt(f),
            ParameterValue::Boolean(is) => is.fmt(f),
            ParameterValue::Date(days) => {
                let text = format_rfc3339(i64::from(*days) * DAY_US);
                f.write_str(text.split('T').next().unwrap_or_default())
            }
            ParameterValue::Timestamp(time_us) => f.write_str(&format_rfc3339(*time_us)),
        }
    }
}

impl ParameterValue {
    fn literal(&self) -> Expr {
        let text = |text: String| Expr::Value(Value::SingleQuotedString(text).into());
        let cast = |expr: Expr, data_type: DataType| Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(expr),
            data_type,
            array: false,
            format: None,
        };
        match self {
            ParameterValue::Text(value) => text(value.clone()),
            ParameterValue::Integer(number) => {
                signed(number.unsigned_abs().to_string(), *number < 0)
            }
            ParameterValue::Double(number) => {
                // The shortest text that reads back as the same number.
                let digits = signed(format!("{:?}", number.abs()), *number < 0.0);
                cast(digits, DataType::Double(ExactNumberInfo::None))
            }
            ParameterValue::Boolean(is) => Expr::Value(Value::Boolean(*is).into()),
            ParameterValue::Date(_) => cast(text(self.to_string()), DataType::Date),
            // The very type of the tables' columns: files are skipped by it.
            ParameterValue::Timestamp(_) => cast(
                text(self.to_string()),
                DataType::Timestamp(Some(6), TimezoneInfo::WithTimeZone),
            ),
        }
    }
}

fn signed(digits: String, is_negative: bool) -> Expr {
    let number = Expr::Value(Value::Number(digits, false).into());
    match is_negative {
        false => number,
        true => Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(number),
        },
    }
}

fn ast(statement: &Statement) -> Option<&Ast> {
    match statement {
        Statement::Statement(statement) => Some(statement),
        _ => None,
    }
}

/// The names of the parameters that the statement has.
pub(crate) fn names_of(statement: &Statement) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Some(statement) = ast(statement) {
        let _ = visit_expressions(statement, |expression: &Expr| {
            if let Some(name) = placeholder(expression) {
                names.insert(name.to_owned());
            }
            ControlFlow::<()>::Continue(())
        });
    }
    names
}

fn placeholder(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(name.trim_start_matches('$')),
            _ => None,
        },
        _ => None,
    }
}

/// Puts the values in the place of their names.
pub(crate) fn bind(statement: &mut Statement, values: &BTreeMap<String, ParameterValue>) {
    if let Statement::Statement(statement) = statement {
        let _ = visit_expressions_mut(statement.as_mut(), |expression: &mut Expr| {
            if let Some(value) = placeholder(expression).and_then(|name| values.get(name)) {
                *expression = value.literal();
            }
            ControlFlow::<()>::Continue(())
        });
    }
}

impl Parameters {
    /// Whether every name is one that the statement has, and every one that it has
    /// and that has a known type has a value; without looking at any table.
    ///
    /// # Errors
    /// Names parameter, value and what was expected.
    pub(crate) fn check(&self, names: &BTreeSet<String>) -> QueryResult<()> {
        for declared in &self.declared {
            if !names.contains(&declared.name) {
                let name = &declared.name;
                return Err(QueryError::User(format!(
                    "parameter {name} is declared, but the statement has no ${name}; use it or remove its line"
                )));
            }
        }
        for (name, value) in &self.given {
            if !names.contains(name) {
                return Err(QueryError::User(format!(
                    "parameter {name} is \"{value}\", but the statement has no ${name}; expected {}",
                    listed(names)
                )));
            }
        }
        for name in names {
            let declared = self.declared.iter().find(|one| one.name == *name);
            match (self.given.get(name), declared) {
                (Some(value), Some(declared)) => {
                    declared.value_type.read(name, value)?;
                }
                (None, None) if !self.built_in.contains_key(name) => {
                    return Err(missing(name, "a value"));
                }
                (None, Some(declared))
                    if declared.default.is_none() && !self.built_in.contains_key(name) =>
                {
                    return Err(missing(name, declared.value_type.expected()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The value of every parameter of `statement`, which [`Parameters::check`] has let
    /// through. Of those whose type nobody declared the statement tells it: a parameter
    /// that is compared with a column is of the column's type.
    pub(crate) async fn values(
        &self,
        state: &SessionState,
        statement: &Statement,
        names: &BTreeSet<String>,
    ) -> QueryResult<BTreeMap<String, ParameterValue>> {
        let mut values = BTreeMap::new();
        let mut open = Vec::new();
        for name in names {
            let declared = self.declared.iter().find(|one| one.name == *name);
            let value = match (self.given.get(name), declared) {
                (Some(text), Some(declared)) => Some(declared.value_type.read(name, text)?),
                (Some(text), None) => match self.built_in.get(name) {
                    Some(built_in) => Some(built_in.value_type().read(name, text)?),
                    None => {
                        open.push((name, text));
                        None
                    }
                },
                (None, declared) => declared
                    .and_then(|declared| declared.default.clone())
                    .or_else(|| self.built_in.get(name).cloned()),
            };
            if let Some(value) = value {
                values.insert(name.clone(), value);
            }
        }
        if let Some((first, _)) = open.first() {
            let mut known = statement.clone();
            bind(&mut known, &values);
            let untold = |name: &str, why: &str| {
                QueryError::User(format!(
                    "parameter {name} has no type that the statement tells{why}; declare it at the top of \
                     the file, such as: -- param {name}: timestamp"
                ))
            };
            let plan = state.statement_to_plan(known).await;
            let plan = plan.map_err(|error| match QueryError::from(error) {
                QueryError::User(why) => untold(first, &format!(" ({why})")),
                other => other,
            })?;
            let types = plan.get_parameter_types()?;
            for (name, text) in open {
                let told = types.get(&format!("${name}")).and_then(Option::as_ref);
                let value_type = told
                    .and_then(ParameterType::of)
                    .ok_or_else(|| untold(name, ""))?;
                values.insert(name.clone(), value_type.read(name, text)?);
            }
        }
        Ok(values)
    }
}

impl ParameterValue {
    fn value_type(&self) -> ParameterType {
        match self {
            ParameterValue::Text(_) => ParameterType::Text,
            ParameterValue::Integer(_) => ParameterType::Integer,
            ParameterValue::Double(_) => ParameterType::Double,
            ParameterValue::Boolean(_) => ParameterType::Boolean,
            ParameterValue::Date(_) => ParameterType::Date,
            ParameterValue::Timestamp(_) => ParameterType::Timestamp,
        }
    }
}

fn missing(name: &str, expected: &str) -> QueryError {
    QueryError::User(format!(
        "parameter {name} has no value; expected {expected}, given as {name}=..."
    ))
}

fn listed(names: &BTreeSet<String>) -> String {
    match names.len() {
        0 => "no parameter at all".to_owned(),
        _ => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("one of {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_type_or_refused_by_name() {
        let noon_us = 1_772_366_400_000_000;
        let read = |value_type: ParameterType, text: &str| value_type.read("p", text);
        assert_eq!(
            read(ParameterType::Timestamp, "2026-03-01T13:00:00+01:00"),
            Ok(ParameterValue::Timestamp(noon_us))
        );
        assert_eq!(
            read(ParameterType::Timestamp, "2026-03-01").map(|value| value.to_string()),
            Ok("2026-03-01T00:00:00Z".to_owned())
        );
        assert_eq!(
            read(ParameterType::Date, "2026-03-01").map(|value| value.to_string()),
            Ok("2026-03-01".to_owned())
        );
        assert_eq!(
            read(ParameterType::Integer, "-9223372036854775808"),
            Ok(ParameterValue::Integer(i64::MIN))
        );
        for (value_type, text) in [
            (ParameterType::Integer, "1.5"),
            (ParameterType::Double, "inf"),
            (ParameterType::Boolean, "yes"),
            (ParameterType::Date, "2026-02-30"),
            (ParameterType::Date, "2026-03-01T00:00:00Z"),
            (ParameterType::Timestamp, "yesterday"),
        ] {
            let error = read(value_type, text).expect_err(text).to_string();
            assert!(
                error.contains("parameter p")
                    && error.contains(text)
                    && error.contains(value_type.expected()),
                "{error}"
            );
        }
    }
}
