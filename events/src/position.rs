//! Where a record is in the log.

use std::fmt;
use std::sync::Arc;

/// A log topic's name.
pub type Topic = Arc<str>;

/// The number of a record within its partition; the first is 0.
pub type Offset = i64;

/// One partition of one topic: the unit of order and of progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Topic,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: impl Into<Topic>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }

    /// Reads `topic/partition`, as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (topic, partition) = text.rsplit_once('/')?;
        Some(Self::new(topic, partition.parse().ok()?))
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A step of progress: the records `from..to` of a partition are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advance {
    /// The partition that was read.
    pub partition: TopicPartition,
    /// First offset covered, inclusive.
    pub from: Offset,
    /// The next offset to read, exclusive end of what is covered.
    pub to: Offset,
}

impl Advance {
    /// An advance that moves nothing and only claims that `partition` stands at
    /// `position`.
    pub fn fence(partition: TopicPartition, position: Offset) -> Self {
        Self {
            partition,
            from: position,
            to: position,
        }
    }

    /// Whether it ends where it begins.
    pub fn is_fence(&self) -> bool {
        self.from == self.to
    }
}
