//! What waits for one watcher: bounded, and honest about what it dropped.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use events::{Offset, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use crate::{Notice, Watch, WatchEvent};

/// Most notices that wait for a watcher.
const NOTICES_MAX: usize = 1024;
/// Most bytes of ids and values that wait for a watcher.
const BYTES_MAX: usize = 32 << 20;

/// The queue between a store and one watcher.
#[derive(Default)]
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Default)]
struct Queue {
    notices: VecDeque<(Arc<Notice>, usize)>,
    bytes: usize,
    gap: bool,
    /// Where each owner's notices of a partition ended.
    ends: HashMap<String, HashMap<TopicPartition, Offset>>,
}

impl Mailbox {
    /// Hands over what `owner` changed.
    pub(crate) fn push(&self, owner: &str, notice: &Arc<Notice>) {
        let size = notice
            .updates
            .iter()
            .map(|update| update.id.len() + update.value.as_ref().map_or(0, |value| value.len()))
            .sum::<usize>();
        let mut queue = self.queue.lock();
        let overflow =
            queue.notices.len() >= NOTICES_MAX || queue.bytes.saturating_add(size) > BYTES_MAX;
        let continuous = queue.follow(owner, notice);
        if overflow || !continuous {
            queue.give_up();
        }
        // What overflowed is covered by the gap: the watcher reads again anyway.
        if !overflow {
            queue.bytes += size;
            queue.notices.push_back((notice.clone(), size));
        }
        drop(queue);
        self.arrived.notify_one();
    }

    /// Says that something may have been missed.
    pub(crate) fn push_gap(&self) {
        let mut queue = self.queue.lock();
        queue.give_up();
        queue.ends.clear();
        drop(queue);
        self.arrived.notify_one();
    }

    fn take(&self) -> Option<WatchEvent> {
        let mut queue = self.queue.lock();
        if std::mem::take(&mut queue.gap) {
            return Some(WatchEvent::Gap);
        }
        let (notice, size) = queue.notices.pop_front()?;
        queue.bytes -= size;
        Some(WatchEvent::Changed(notice))
    }
}

impl Queue {
    /// Notes where `notice` ends; whether it begins where the last one ended.
    fn follow(&mut self, owner: &str, notice: &Notice) -> bool {
        if notice.advances.is_empty() {
            return true;
        }
        if !self.ends.contains_key(owner) {
            self.ends.insert(owner.to_owned(), HashMap::new());
        }
        let Some(ends) = self.ends.get_mut(owner) else {
            return true;
        };
        let mut continuous = true;
        for advance in &notice.advances {
            match ends.get_mut(&advance.partition) {
                Some(end) => {
                    continuous &= *end == advance.from;
                    *end = advance.to;
                }
                None => {
                    ends.insert(advance.partition.clone(), advance.to);
                }
            }
        }
        continuous
    }

    fn give_up(&mut self) {
        self.notices.clear();
        self.bytes = 0;
        self.gap = true;
        metrics::counter!("citypulse_hot_store_watch_gaps_total").increment(1);
    }
}

/// The reading end of a mailbox.
pub(crate) struct MailboxWatch {
    mailbox: Arc<Mailbox>,
    /// The task that fills the mailbox; ends with the watch.
    _feed: Option<AbortOnDropHandle<()>>,
}

impl MailboxWatch {
    pub(crate) fn new(mailbox: Arc<Mailbox>, feed: Option<AbortOnDropHandle<()>>) -> Self {
        Self {
            mailbox,
            _feed: feed,
        }
    }
}

#[async_trait]
impl Watch for MailboxWatch {
    async fn next(&mut self) -> WatchEvent {
        loop {
            if let Some(event) = self.mailbox.take() {
                return event;
            }
            // A notification that comes between `take` and here is remembered.
            self.mailbox.arrived.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use events::Advance;

    use super::*;
    use crate::{Kind, Update};

    fn notice(from: Offset, to: Offset, bytes: usize) -> Arc<Notice> {
        Arc::new(Notice {
            advances: vec![Advance {
                partition: TopicPartition::new("t", 0),
                from,
                to,
            }],
            updates: vec![Update::new(
                Kind::Vehicle,
                "a",
                Some(Bytes::from(vec![b'1'; bytes])),
            )],
        })
    }

    fn is_gap(event: Option<WatchEvent>) -> bool {
        matches!(event, Some(WatchEvent::Gap))
    }

    #[test]
    fn more_notices_than_the_bound_become_one_gap_and_no_memory() {
        let mailbox = Mailbox::default();
        for number in 0..(10 * NOTICES_MAX as i64) {
            mailbox.push("speed", &notice(number, number + 1, 1));
            assert!(mailbox.queue.lock().notices.len() <= NOTICES_MAX);
        }
        assert!(is_gap(mailbox.take()));
        assert!(matches!(mailbox.take(), Some(WatchEvent::Changed(_))));
    }

    #[test]
    fn more_bytes_than_the_bound_become_a_gap() {
        let mailbox = Mailbox::default();
        for number in 0..5 {
            mailbox.push("speed", &notice(number, number + 1, BYTES_MAX / 2 - 1));
            assert!(mailbox.queue.lock().bytes <= BYTES_MAX);
        }
        assert!(is_gap(mailbox.take()));
    }

    #[test]
    fn a_hole_between_positions_is_a_gap_before_the_notice_that_shows_it() {
        let mailbox = Mailbox::default();
        mailbox.push("speed", &notice(0, 5, 1));
        mailbox.push("speed", &notice(6, 9, 1));
        assert!(is_gap(mailbox.take()));
        let Some(WatchEvent::Changed(seen)) = mailbox.take() else {
            panic!("no notice")
        };
        assert_eq!(seen.advances[0].from, 6);
        assert!(mailbox.take().is_none());
    }

    #[test]
    fn owners_do_not_disturb_each_others_continuity() {
        let mailbox = Mailbox::default();
        mailbox.push("speed", &notice(0, 5, 1));
        mailbox.push("other", &notice(40, 41, 1));
        mailbox.push("speed", &notice(5, 9, 1));
        for _ in 0..3 {
            assert!(matches!(mailbox.take(), Some(WatchEvent::Changed(_))));
        }
    }
}
