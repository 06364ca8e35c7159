//! Back ends that can be taken away and given back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use event_log::{Bounds, Consumer, EventLog, NewRecord, TopicSpec};
use events::{Offset, Topic, TopicPartition};
use hot_store::memory::MemoryStore;
use hot_store::{Entry, Error, HotBatch, HotStore, Kind, Result, Watch};
use tokio::sync::Semaphore;

use crate::common::DEADLINE;

/// A hot store that can be taken away and given back.
pub struct FailingStore {
    pub inner: Arc<MemoryStore>,
    pub is_away: AtomicBool,
}

impl FailingStore {
    pub fn new(is_away: bool) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            is_away: AtomicBool::new(is_away),
        })
    }

    fn check(&self) -> Result<()> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Error::Unavailable {
                address: "redis.example:6379".into(),
                reason: "connection refused".into(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl HotStore for FailingStore {
    async fn apply(&self, owner: &str, batch: &HotBatch) -> Result<()> {
        self.inner.apply(owner, batch).await
    }
    async fn positions(&self, owner: &str) -> Result<HashMap<TopicPartition, Offset>> {
        self.check()?;
        self.inner.positions(owner).await
    }
    async fn cells(&self, owner: &str, partition: &TopicPartition) -> Result<Vec<(String, Bytes)>> {
        self.inner.cells(owner, partition).await
    }
    async fn reset(&self, owner: &str) -> Result<()> {
        self.inner.reset(owner).await
    }
    async fn get(&self, kind: Kind, id: &str) -> Result<Option<Entry>> {
        self.check()?;
        self.inner.get(kind, id).await
    }
    async fn get_many(&self, kind: Kind, ids: &[String]) -> Result<Vec<Option<Entry>>> {
        self.check()?;
        self.inner.get_many(kind, ids).await
    }
    async fn scan(&self, kind: Kind) -> Result<Vec<Entry>> {
        self.check()?;
        self.inner.scan(kind).await
    }
    async fn ids(&self, kind: Kind, prefix: &str) -> Result<Vec<String>> {
        self.check()?;
        self.inner.ids(kind, prefix).await
    }
    async fn watch(&self) -> Result<Box<dyn Watch>> {
        self.check()?;
        self.inner.watch().await
    }
    async fn ping(&self) -> Result<()> {
        self.check()
    }
}

/// A log that counts appends and takes one only when a permit is there, and none when it is closed.
pub struct FailingLog {
    pub permits: Semaphore,
    pub appends: AtomicUsize,
}

impl FailingLog {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(0),
            appends: AtomicUsize::new(0),
        })
    }

    /// Waits until that many appends have been asked for.
    pub async fn reached(&self, appends: usize) {
        let waiting = async {
            let mut pause = tokio::time::interval(Duration::from_millis(5));
            while self.appends.load(Ordering::Relaxed) < appends {
                pause.tick().await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting)
            .await
            .expect("the log is asked in time");
    }

    fn check(&self) -> event_log::Result<()> {
        if self.permits.is_closed() {
            return Err(event_log::Error::Unavailable {
                address: "kafka.example:9092".into(),
                reason: "connection refused".into(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl EventLog for FailingLog {
    async fn create_topics(&self, _topics: &[TopicSpec]) -> event_log::Result<()> {
        self.check()
    }
    async fn append(
        &self,
        _topic: &Topic,
        records: Vec<NewRecord>,
    ) -> event_log::Result<Vec<(i32, Offset)>> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
        self.check()?;
        Ok((0..records.len() as Offset)
            .map(|offset| (0, offset))
            .collect())
    }
    async fn bounds(&self, _topic: &Topic) -> event_log::Result<Vec<Bounds>> {
        self.check()?;
        Ok(Vec::new())
    }
    async fn subscribe(
        &self,
        _group: &str,
        _topics: &[Topic],
    ) -> event_log::Result<Box<dyn Consumer>> {
        Err(event_log::Error::Invalid("not part of this test".into()))
    }
    async fn read_from(
        &self,
        _positions: &[(TopicPartition, Offset)],
    ) -> event_log::Result<Box<dyn Consumer>> {
        Err(event_log::Error::Invalid("not part of this test".into()))
    }
    async fn ping(&self) -> event_log::Result<()> {
        self.check()
    }
}
