//! The tables of the lake.

use std::fmt;

use arrow::datatypes::SchemaRef;
use events::Stream;

use crate::{View, job_runs};

/// One table. Its name is the folder's name and the SQL name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// The events of one stream.
    Stream(Stream),
    /// What could not be decoded, of every stream.
    DeadLetters,
    /// What the events amount to.
    View(View),
    /// A view computed beside the one in use, to be compared with it. Not listed.
    Draft(View),
    /// What became of every run of a job; no topic feeds it.
    JobRuns,
}

impl Table {
    /// Every table, in the order in which they are listed to people.
    pub fn all() -> impl Iterator<Item = Table> {
        Stream::ALL
            .into_iter()
            .map(Table::Stream)
            .chain([Table::DeadLetters, Table::JobRuns])
            .chain(View::ALL.into_iter().map(Table::View))
    }

    /// Every table that can be, listed or not.
    pub(crate) fn all_and_drafts() -> impl Iterator<Item = Table> {
        Self::all().chain(View::ALL.into_iter().map(Table::Draft))
    }

    /// The SQL and folder name.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Stream(stream) => stream.name(),
            Table::DeadLetters => "dead_letters",
            Table::View(view) => view.name(),
            Table::Draft(view) => view.draft_name(),
            Table::JobRuns => job_runs::TABLE,
        }
    }

    /// The table of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all_and_drafts().find(|table| table.name() == name)
    }

    /// The columns as this version of the program writes them, `date` included.
    pub fn schema(self) -> SchemaRef {
        match self {
            Table::Stream(stream) => stream.schema(),
            Table::DeadLetters => events::dead_letter::schema(),
            Table::View(view) | Table::Draft(view) => view.schema(),
            Table::JobRuns => job_runs::schema(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
