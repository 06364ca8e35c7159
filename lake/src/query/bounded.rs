//! Functions that make much of little, within bounds: `repeat(id, 100000)` over one
//! batch of rows would take gigabytes that no memory pool knows of, because an
//! expression's result is only counted once it is there.
//!
//! Each such function is asked for the size of its result first. Beyond the bound
//! the query ends with an error that says so.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};

use crate::query::growth::{Argument, Growth, Size};

/// Longest text that one call of a padding or repeating function makes, bytes. A
/// join copies a value to as many rows as it likes.
const TEXT_BYTES_MAX: u64 = 64 << 10;
/// Most list elements that one call makes over all rows of a batch: `unnest` makes
/// a row of each at once.
const ELEMENTS_MAX: u64 = 1_000_000;

/// Replaces the functions of `state` whose results can be far larger than their
/// arguments. `bytes_max` bounds one call's result over all rows of a batch.
pub(crate) fn bound_functions(state: &mut SessionState, bytes_max: u64) -> Result<()> {
    for (name, growth) in Growth::BY_NAME {
        // A build without that function needs no bound for it.
        if let Ok(inner) = state.udf(name) {
            state.register_udf(Arc::new(ScalarUDF::new_from_impl(Bounded {
                inner,
                growth,
                bytes_max,
            })))?;
        }
    }
    Ok(())
}

/// A function with a bound on what it returns.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
    bytes_max: u64,
}

impl Bounded {
    fn refuse<T>(&self, what: &str) -> Result<T> {
        Err(DataFusionError::ResourcesExhausted(format!(
            "{} would make {what}; make its values shorter or ask for fewer rows",
            self.inner.name()
        )))
    }

    /// Refuses what is too large whatever it turns out to be.
    fn check_row(&self, row: Size) -> Result<()> {
        if self.growth.makes_one_text() && row.bytes > TEXT_BYTES_MAX {
            return self.refuse(&format!(
                "a text of {} bytes, more than {TEXT_BYTES_MAX}",
                row.bytes
            ));
        }
        self.check_batch(row)
    }

    fn check_batch(&self, total: Size) -> Result<()> {
        if total.elements > ELEMENTS_MAX {
            return self.refuse(&format!("lists of more than {ELEMENTS_MAX} elements"));
        }
        if total.bytes > self.bytes_max {
            let mib = self.bytes_max >> 20;
            return self.refuse(&format!("more than {mib} MiB of values at once"));
        }
        Ok(())
    }

    /// Where the estimate is above the bound but may be far from the truth: some
    /// rows at a time, counting what comes out.
    fn invoke_in_parts(&self, args: &ScalarFunctionArgs, sizes: &[Size]) -> Result<ColumnarValue> {
        let mut parts: Vec<ArrayRef> = Vec::new();
        let (mut from, mut bytes) = (0, 0);
        while from < sizes.len() {
            let mut planned = Size::default();
            let fits = sizes[from..].iter().take_while(|size| {
                planned = planned + **size;
                planned.bytes <= self.bytes_max
            });
            // One row fits alone: it was checked.
            let rows = fits.count().max(1);
            let result = self.inner.invoke_with_args(part_of(args, from, rows))?;
            let part = result.to_array(rows)?;
            bytes += part.get_buffer_memory_size() as u64;
            self.check_batch(Size { bytes, elements: 0 })?;
            parts.push(part);
            from += rows;
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(concat(&parts)?))
    }
}

/// The arguments of `rows` rows from `from` on.
fn part_of(args: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let slice = |argument: &ColumnarValue| match argument {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        scalar => scalar.clone(),
    };
    ScalarFunctionArgs {
        args: args.args.iter().map(slice).collect(),
        number_rows: rows,
        ..args.clone()
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = args.args.iter().map(Argument::new);
        let arguments: Vec<Argument> = arguments.collect::<Result<_>>()?;
        let is_constant = arguments.iter().all(Argument::is_constant);
        let rows = if is_constant { 1 } else { args.number_rows };
        let sizes: Vec<Size> = (0..rows)
            .map(|row| self.growth.estimate(&arguments, row))
            .collect();
        for size in &sizes {
            self.check_row(*size)?;
        }
        let total = sizes
            .iter()
            .fold(Size::default(), |total, size| total + *size);
        match self.check_batch(total) {
            Ok(()) => self.inner.invoke_with_args(args),
            Err(_) if !self.growth.is_exact() => self.invoke_in_parts(&args, &sizes),
            Err(error) => Err(error),
        }
    }
}
