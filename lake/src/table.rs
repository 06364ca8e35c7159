//! The tables of the lake.

use std::fmt;

use arrow::datatypes::SchemaRef;
use events::Stream;

/// One table. Its name is the folder's name and the SQL name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// The events of one stream.
    Stream(Stream),
    /// What could not be decoded, of every stream.
    DeadLetters,
}

impl Table {
    /// Every table, in the order in which they are listed to people.
    pub fn all() -> impl Iterator<Item = Table> {
        Stream::ALL
            .into_iter()
            .map(Table::Stream)
            .chain([Table::DeadLetters])
    }

    /// The SQL and folder name.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Stream(stream) => stream.name(),
            Table::DeadLetters => "dead_letters",
        }
    }

    /// The table of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|table| table.name() == name)
    }

    /// The columns as this version of the program writes them, `date` included.
    pub fn schema(self) -> SchemaRef {
        match self {
            Table::Stream(stream) => stream.schema(),
            Table::DeadLetters => events::dead_letter::schema(),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
