//! Memory of a run whose joins sort both of their sides.

use std::fmt;

use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// One half for those that can spill, in even shares, and one for those that cannot. In a
/// pool of one piece the sorts that begin first take what later ones need to begin at all.
#[derive(Debug)]
pub(crate) struct SplitPool {
    bytes: usize,
    spilling: FairSpillPool,
    others: GreedyMemoryPool,
}

impl SplitPool {
    /// A pool of so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            bytes,
            spilling: FairSpillPool::new(bytes / 2),
            others: GreedyMemoryPool::new(bytes - bytes / 2),
        }
    }

    fn of(&self, consumer: &MemoryConsumer) -> &dyn MemoryPool {
        match consumer.can_spill() {
            true => &self.spilling,
            false => &self.others,
        }
    }
}

impl MemoryPool for SplitPool {
    fn name(&self) -> &str {
        "split"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.of(consumer).register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.of(consumer).unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.of(reservation.consumer())
            .grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.of(reservation.consumer()).shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.of(reservation.consumer())
            .try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.spilling.reserved() + self.others.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl fmt::Display for SplitPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({}, {})", self.name(), self.spilling, self.others)
    }
}
