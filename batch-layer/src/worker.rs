//! The loop around the buffer: poll, dead letters, flush, rebalance.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use event_log::{Consumer, EventLog, Polled, Records};
use events::backoff::Backoff;
use events::{Offset, Stream, Topic, TopicNames, TopicPartition};
use lake::rows::{Source, sources};
use lake::{Lake, Table};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::buffer::{BadRecord, Buffer, Due, Limits, Pushed};
use crate::flush::{Outcome, encode, write};
use crate::problems::{Part, Problems};
use crate::{BatchConfig, Error, GROUP, dead_letters};

/// One poll's wait; also how late a flush may begin.
const POLL_WAIT: Duration = Duration::from_millis(250);
const LAG_INTERVAL: Duration = Duration::from_secs(5);
/// What is held is written within this after a shutdown was asked for.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(4);
/// Partitions to be given up are written within this, or left to the next owner,
/// who reads them again.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Worker {
    log: Arc<dyn EventLog>,
    lake: Arc<Lake>,
    topics: TopicNames,
    sources: HashMap<Topic, Source>,
    buffer: Buffer,
    /// Rows that are being written count against it too.
    memory_bytes: usize,
    /// The flush under way: one at a time, so that a table's commits are in order.
    writing: Option<Writing>,
    bad: Vec<BadRecord>,
    problems: Problems,
    /// The tables that this process keeps in order; see [`crate::upkeep`].
    keeps: watch::Sender<BTreeSet<Table>>,
    shutdown: CancellationToken,
}

struct Writing {
    table: Table,
    task: JoinHandle<Result<Outcome, Error>>,
    /// Memory of what it writes.
    bytes: Arc<AtomicUsize>,
}

impl Worker {
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        lake: Arc<Lake>,
        topics: TopicNames,
        config: &BatchConfig,
        problems: Problems,
        keeps: watch::Sender<BTreeSet<Table>>,
        shutdown: CancellationToken,
    ) -> Self {
        let limits = Limits {
            flush_bytes: config.flush_bytes,
            flush_age: config.flush_age,
            flush_idle: config.flush_idle,
            // Less than half of what is for rows: more can come in while these are encoded and
            // go up, so that neither waits for the other.
            total_bytes: config.memory_bytes * 5 / 32,
            encoded_bytes: config.memory_bytes / 16,
        };
        Self {
            sources: sources(&topics),
            buffer: Buffer::new(limits),
            memory_bytes: config.memory_bytes,
            writing: None,
            bad: Vec::new(),
            log,
            lake,
            topics,
            problems,
            keeps,
            shutdown,
        }
    }

    /// Runs until the shutdown; an outage of the log begins again with a new consumer.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        let mut backoff = Backoff::new();
        while !self.shutdown.is_cancelled() {
            match self.consume(&mut backoff).await {
                Ok(()) => {}
                Err(Error::Log(error)) if error.is_retryable() => {
                    self.problems.failed(Part::Log, error.to_string());
                    self.pause(&mut backoff).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn consume(&mut self, backoff: &mut Backoff) -> Result<(), Error> {
        let topics: Vec<Topic> = self.sources.keys().cloned().collect();
        let mut consumer = self.log.subscribe(GROUP, &topics).await?;
        self.problems.works(Part::Log);
        let mut lag_reported_at: Option<Instant> = None;
        let result = loop {
            if self.shutdown.is_cancelled() {
                break self.close(consumer.as_mut()).await;
            }
            if let Err(error) = self.step(consumer.as_mut()).await {
                break Err(error);
            }
            self.problems.works(Part::Log);
            backoff.reset();
            if lag_reported_at.is_none_or(|at| at.elapsed() >= LAG_INTERVAL) {
                self.report_lag().await;
                lag_reported_at = Some(Instant::now());
            }
        };
        // Whatever was not written is read again by the next consumer of these partitions.
        self.abandon().await;
        result
    }

    async fn step(&mut self, consumer: &mut dyn Consumer) -> Result<(), Error> {
        self.append_dead_letters().await?;
        self.start_flush();
        if self.is_full() {
            return self.finish_flush(consumer).await;
        }
        let flushed = async {
            match self.writing.as_mut() {
                Some(writing) => (&mut writing.task).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = flushed => {
                self.writing = None;
                self.settle(consumer, ended).await
            }
            polled = consumer.poll(POLL_WAIT) => self.take_in(consumer, polled?).await,
            () = self.shutdown.cancelled() => Ok(()),
        }
    }

    async fn take_in(&mut self, consumer: &mut dyn Consumer, polled: Polled) -> Result<(), Error> {
        match polled {
            Polled::Records(batches) => {
                for records in batches {
                    self.push(consumer, records).await?;
                }
                metrics::gauge!("citypulse_batch_buffer_bytes").set(self.buffer.bytes() as f64);
                Ok(())
            }
            Polled::Assigned(partitions) => self.assign(consumer, partitions).await,
            Polled::Revoked(partitions) => self.hand_over(consumer, partitions).await,
            Polled::Nothing => Ok(()),
        }
    }

    async fn push(&mut self, consumer: &mut dyn Consumer, records: Records) -> Result<(), Error> {
        let Some(source) = self.sources.get(&records.partition.topic).copied() else {
            return Ok(());
        };
        match self.buffer.push(source, records, Instant::now()) {
            Pushed::In(bad) => {
                self.bad.extend(bad);
                Ok(())
            }
            Pushed::Gap => self.read_again(consumer, source.table()).await,
        }
    }

    /// Nothing more is read before the dead letters are in the log: a position
    /// never passes one that is not.
    async fn append_dead_letters(&mut self) -> Result<(), Error> {
        if !self.bad.is_empty() {
            if let Err(error) =
                dead_letters::append(self.log.as_ref(), &self.topics, &self.bad).await
            {
                self.problems.failed(Part::DeadLetters, error.to_string());
                return Err(error.into());
            }
            self.bad.clear();
            self.problems.works(Part::DeadLetters);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.writing.as_ref().is_some_and(|writing| {
            // Three eighths of it are for rows and files. The rest is for the program itself,
            // what is read ahead, what encoding takes, and memory that was freed and not
            // given back.
            let bytes = writing.bytes.load(Ordering::Relaxed);
            (self.buffer.bytes() + bytes) * 8 > self.memory_bytes * 3
        })
    }

    fn start_flush(&mut self) {
        if self.writing.is_some() || !self.bad.is_empty() {
            return;
        }
        match self.buffer.due(Instant::now()) {
            Some(Due::Commit(table)) => self.flush(table),
            Some(Due::Encode(table)) => self.encode(table),
            None => {}
        }
    }

    fn flush(&mut self, table: Table) {
        if let Some(flush) = self.buffer.take(table, Instant::now()) {
            let bytes = Arc::new(AtomicUsize::new(flush.bytes));
            let (lake, problems) = (self.lake.clone(), self.problems.clone());
            let written = write(lake, flush, bytes.clone(), problems, self.shutdown.clone());
            let task = tokio::spawn(written);
            self.writing = Some(Writing { table, task, bytes });
        }
    }

    fn encode(&mut self, table: Table) {
        if let Some(flush) = self.buffer.take(table, Instant::now()) {
            let bytes = Arc::new(AtomicUsize::new(flush.bytes));
            let task = tokio::spawn(encode(flush));
            self.writing = Some(Writing { table, task, bytes });
        }
    }

    /// Waits for the flush under way. Who gives the waiting up has to abandon it.
    async fn finish_flush(&mut self, consumer: &mut dyn Consumer) -> Result<(), Error> {
        match self.writing.as_mut() {
            Some(writing) => {
                let ended = (&mut writing.task).await;
                self.writing = None;
                self.settle(consumer, ended).await
            }
            None => Ok(()),
        }
    }

    async fn settle(
        &mut self,
        consumer: &mut dyn Consumer,
        ended: Result<Result<Outcome, Error>, tokio::task::JoinError>,
    ) -> Result<(), Error> {
        match ended.map_err(|error| Error::Internal(error.to_string()))?? {
            Outcome::Written(advances) => {
                let positions: Vec<_> = advances
                    .into_iter()
                    .map(|advance| (advance.partition, advance.to))
                    .collect();
                consumer.commit_advisory(&positions);
                Ok(())
            }
            Outcome::Encoded(flush) => {
                self.buffer.put_back(flush);
                Ok(())
            }
            Outcome::Moved(table) => self.read_again(consumer, table).await,
            Outcome::Stopped(table) => {
                self.buffer.reset(table);
                Ok(())
            }
        }
    }

    /// Drops what is held of a table and reads its partitions from the stored positions.
    async fn read_again(&mut self, consumer: &mut dyn Consumer, table: Table) -> Result<(), Error> {
        let partitions = self.buffer.reset(table);
        self.start(consumer, table, partitions).await
    }

    async fn assign(
        &mut self,
        consumer: &mut dyn Consumer,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), Error> {
        let mut by_table: BTreeMap<Table, Vec<TopicPartition>> = BTreeMap::new();
        for partition in partitions {
            if let Some(source) = self.sources.get(&partition.topic) {
                by_table.entry(source.table()).or_default().push(partition);
            }
        }
        for (table, partitions) in by_table {
            tracing::info!(%table, partitions = partitions.len(), "writing these partitions");
            if partitions
                .iter()
                .any(|partition| self.buffer.holds(table, partition))
            {
                self.read_again(consumer, table).await?;
            }
            self.start(consumer, table, partitions).await?;
        }
        self.say_what_it_keeps();
        Ok(())
    }

    /// One process a table: the one that has the first partition of its first topic.
    fn say_what_it_keeps(&self) {
        let is_kept = |table: &Table| {
            let topic = match table {
                Table::Stream(stream) => self.topics.topic(*stream).clone(),
                // No topic of its own: kept by whoever keeps the first stream's dead letters.
                Table::DeadLetters | Table::JobRuns => self.topics.dead_letters(Stream::ALL[0]),
                // Views: by the one that keeps the first stream.
                Table::View(_) | Table::Draft(_) => self.topics.topic(Stream::ALL[0]).clone(),
            };
            let table = match table {
                Table::View(_) | Table::Draft(_) => Table::Stream(Stream::ALL[0]),
                Table::JobRuns => Table::DeadLetters,
                table => *table,
            };
            self.buffer.holds(table, &TopicPartition::new(topic, 0))
        };
        self.keeps
            .send_replace(Table::all().filter(is_kept).collect());
    }

    /// Begins each partition at its stored position; waits until the lake says which.
    async fn start(
        &mut self,
        consumer: &mut dyn Consumer,
        table: Table,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), Error> {
        let Some(snapshot) = self.stored(table).await? else {
            return Ok(()); // shutting down
        };
        self.buffer.set_marks(table, &snapshot.marks);
        let mut positions: Vec<(TopicPartition, Option<Offset>)> = Vec::new();
        for partition in partitions {
            let stored = snapshot.positions.get(&partition).copied();
            self.buffer.assign(table, partition.clone(), stored);
            positions.push((partition, stored));
        }
        consumer.start(&positions).await?;
        Ok(())
    }

    async fn stored(&self, table: Table) -> Result<Option<Arc<lake::Snapshot>>, Error> {
        let mut backoff = Backoff::new();
        while !self.shutdown.is_cancelled() {
            match self.lake.refresh(table).await {
                Ok(snapshot) => {
                    self.problems.works(Part::Lake);
                    return Ok(Some(snapshot));
                }
                Err(error) if error.is_retryable() => {
                    self.problems.failed(Part::Lake, error.to_string());
                    self.pause(&mut backoff).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Writes what is held of the revoked partitions, then lets go of them.
    async fn hand_over(
        &mut self,
        consumer: &mut dyn Consumer,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), Error> {
        let table_of = |partition: &TopicPartition| {
            let source = self.sources.get(&partition.topic);
            source.map(|source| source.table())
        };
        let mut tables: BTreeSet<Table> = partitions.iter().filter_map(table_of).collect();
        self.append_dead_letters().await?;
        let written =
            tokio::time::timeout(HAND_OVER_LIMIT, self.write_out(consumer, &tables)).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::warn!(
                "partitions are given up before their rows are written; the next owner reads them again"
            );
            // What another table's flush had is to be read again as well.
            tables.extend(self.abandon_writing().await);
            for table in &tables {
                let kept: Vec<_> = self
                    .buffer
                    .reset(*table)
                    .into_iter()
                    .filter(|held| !partitions.contains(held))
                    .collect();
                self.start(consumer, *table, kept).await?;
            }
        }
        for partition in &partitions {
            for table in &tables {
                self.buffer.release(*table, partition);
            }
        }
        self.say_what_it_keeps();
        consumer.release(&partitions).await?;
        Ok(())
    }

    async fn write_out(
        &mut self,
        consumer: &mut dyn Consumer,
        tables: &BTreeSet<Table>,
    ) -> Result<(), Error> {
        self.finish_flush(consumer).await?;
        for table in tables {
            self.flush(*table);
            self.finish_flush(consumer).await?;
        }
        Ok(())
    }

    /// Writes everything within the shutdown's limit. The token is cancelled, so
    /// that a lake that is down is not waited for.
    async fn close(&mut self, consumer: &mut dyn Consumer) -> Result<(), Error> {
        let everything = async {
            self.append_dead_letters().await?;
            self.finish_flush(consumer).await?;
            let tables = self.buffer.unwritten();
            self.write_out(consumer, &tables).await
        };
        match tokio::time::timeout(SHUTDOWN_LIMIT, everything).await {
            Ok(result) => result,
            Err(_) => {
                tracing::warn!(
                    "stopped before everything was written; the rest is read again at the next start"
                );
                Ok(())
            }
        }
    }

    /// Forgets what is held: positions were not moved past it.
    async fn abandon(&mut self) {
        self.abandon_writing().await;
        self.bad.clear();
        for table in Table::all() {
            self.buffer.reset(table);
        }
        self.say_what_it_keeps();
    }

    /// The table whose flush was under way.
    async fn abandon_writing(&mut self) -> Option<Table> {
        let writing = self.writing.take()?;
        writing.task.abort();
        // A commit may or may not have got through; the stored position tells.
        let _ = writing.task.await;
        Some(writing.table)
    }

    async fn report_lag(&self) {
        let mut lag: i64 = 0;
        for (topic, source) in &self.sources {
            let (Ok(bounds), Ok(snapshot)) = (
                self.log.bounds(topic).await,
                self.lake.snapshot(source.table()).await,
            ) else {
                continue;
            };
            lag += bounds
                .iter()
                .map(|bounds| bounds.end - snapshot.position(&bounds.partition).max(bounds.start))
                .sum::<i64>();
        }
        metrics::gauge!("citypulse_batch_lag_records").set(lag as f64);
    }

    async fn pause(&self, backoff: &mut Backoff) {
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = self.shutdown.cancelled() => {}
        }
    }
}
