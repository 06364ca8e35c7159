//! Rows as Parquet files in memory, one a date, before anybody puts them anywhere.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parking_lot::Mutex;
use parquet::errors::ParquetError;

use crate::lake::refused;
use crate::layout::Order;
use crate::parquet_file::{FileEncoder, without_date};
use crate::statistics::format_date;
use crate::{NewFile, Result, Table};

/// A file that nobody has put anywhere yet.
#[derive(Clone, Debug)]
pub struct EncodedFile {
    /// How a commit names it.
    pub file: NewFile,
    /// Its bytes, in pieces.
    pub content: Vec<Bytes>,
}

/// Files of one table in the making, one a date. Rows can be added as often as wanted:
/// those added together lie in order, in row groups of their own, and take no more memory
/// than they will on disk.
pub struct DatedFiles {
    table: Table,
    /// Never locked: an encoder may go to another thread but not be shared, and whoever
    /// holds this may have to be.
    by_date: Mutex<BTreeMap<String, Growing>>,
    bytes: usize,
}

struct Growing {
    encoder: FileEncoder,
    content: Vec<Bytes>,
}

impl DatedFiles {
    /// None yet.
    pub fn new(table: Table) -> Self {
        Self {
            table,
            by_date: Mutex::default(),
            bytes: 0,
        }
    }

    /// Memory of what was added, bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds rows. Takes CPU time: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`crate::Error::Schema`] where they cannot be rows of the table's files.
    pub fn add(&mut self, batches: &[RecordBatch]) -> Result<()> {
        let (rows, parts) = order_rows(self.table, batches)?;
        for (date, order) in parts {
            let added = self.add_of_date(date, &rows, &order);
            self.bytes += added.map_err(|error| refused(self.table, error.to_string()))?;
        }
        Ok(())
    }

    /// How many bytes they are.
    fn add_of_date(
        &mut self,
        date: String,
        rows: &[RecordBatch],
        order: &Order,
    ) -> parquet::errors::Result<usize> {
        let file = match self.by_date.get_mut().entry(date) {
            Entry::Occupied(file) => file.into_mut(),
            Entry::Vacant(place) => {
                let first = rows.first();
                let first = first.ok_or_else(|| ParquetError::General("no rows".to_owned()))?;
                let schema = Arc::clone(first.schema_ref());
                let encoder = FileEncoder::new(self.table, place.key().clone(), schema)?;
                place.insert(Growing {
                    encoder,
                    content: Vec::new(),
                })
            }
        };
        file.encoder.write(rows, order)?;
        file.encoder.end_row_group()?;
        let bytes = file.encoder.take_bytes()?;
        let added = bytes.len();
        file.content.push(bytes);
        Ok(added)
    }

    /// Ends the files, in the order of dates.
    ///
    /// # Errors
    /// [`crate::Error::Schema`] where one cannot be ended.
    pub fn finish(self) -> Result<Vec<EncodedFile>> {
        let finish = |mut growing: Growing| {
            let ended = growing.encoder.finish(None);
            let (footer, file) = ended.map_err(|error| refused(self.table, error.to_string()))?;
            growing.content.push(footer);
            Ok(EncodedFile {
                file,
                content: growing.content,
            })
        };
        self.by_date
            .into_inner()
            .into_values()
            .map(finish)
            .collect()
    }
}

impl fmt::Debug for DatedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatedFiles")
            .field("table", &self.table)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// The rows without their date, and per date the order of those in its file.
pub(crate) type Ordered = (Arc<[RecordBatch]>, Vec<(String, Order)>);

pub(crate) fn order_rows(table: Table, batches: &[RecordBatch]) -> Result<Ordered> {
    let parts = Order::of(batches)
        .by_date(batches)
        .into_iter()
        .map(|(date, order)| {
            let date = date.and_then(format_date);
            let date = date.ok_or_else(|| refused(table, "a row has no date".to_owned()))?;
            Ok((date, order))
        })
        .collect::<Result<_>>()?;
    Ok((batches.iter().map(without_date).collect(), parts))
}
