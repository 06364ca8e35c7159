//! From the server's channel of changes to one watcher's mailbox.

use std::sync::{Arc, Weak};
use std::time::Duration;

use events::backoff::Backoff;
use futures::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::notice::decode_notice;
use super::servers::Servers;
use crate::Result;
use crate::mailbox::{Mailbox, MailboxWatch};

/// A connection on which nothing arrives is asked this often whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Subscribes to `channel`; changes after the return are in the watch.
pub(super) async fn watch(servers: &Arc<Servers>, channel: String) -> Result<MailboxWatch> {
    let (sink, stream) = servers.subscribe(&channel).await?;
    let mailbox = Arc::new(Mailbox::default());
    let feed = feed(
        servers.clone(),
        channel,
        Arc::downgrade(&mailbox),
        sink,
        stream,
    );
    let feed = AbortOnDropHandle::new(tokio::spawn(feed));
    Ok(MailboxWatch::new(mailbox, Some(feed)))
}

/// Fills the mailbox; after a lost connection subscribes again and says that
/// there is a gap. Ends when nobody watches.
async fn feed(
    servers: Arc<Servers>,
    channel: String,
    mailbox: Weak<Mailbox>,
    mut sink: PubSubSink,
    mut stream: PubSubStream,
) {
    loop {
        read(&servers, &mailbox, &mut sink, &mut stream).await;
        tracing::warn!(
            address = %servers.peer().address,
            "lost the hot store's change notices; connecting again, then reading everything"
        );
        let mut backoff = Backoff::new();
        (sink, stream) = loop {
            tokio::time::sleep(backoff.next_delay()).await;
            if mailbox.strong_count() == 0 {
                return;
            }
            match servers.subscribe(&channel).await {
                Ok(subscribed) => break subscribed,
                Err(error) => tracing::debug!(%error, "no change notices yet"),
            }
        };
        // Only now: what is read after this is at least as new as the subscription.
        match mailbox.upgrade() {
            Some(mailbox) => mailbox.push_gap(),
            None => return,
        }
    }
}

/// Returns when the connection is lost or nobody watches.
async fn read(
    servers: &Servers,
    mailbox: &Weak<Mailbox>,
    sink: &mut PubSubSink,
    stream: &mut PubSubStream,
) {
    let alive = keep_asking(servers.response_timeout, sink);
    tokio::pin!(alive);
    loop {
        let message = tokio::select! {
            message = stream.next() => message,
            () = &mut alive => None,
        };
        let (Some(message), Some(mailbox)) = (message, mailbox.upgrade()) else {
            return;
        };
        match decode_notice(message.get_payload_bytes()) {
            Some((owner, notice)) => mailbox.push(&owner, &Arc::new(notice)),
            None => {
                tracing::debug!("a change notice of another version: reading everything");
                mailbox.push_gap();
            }
        }
    }
}

/// Pings until there is no answer: a peer that vanished without a word would
/// otherwise look like a city where nothing happens.
async fn keep_asking(limit: Duration, sink: &mut PubSubSink) {
    let mut tick = interval(PING_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match timeout(limit, sink.ping::<redis::Value>()).await {
            Ok(Ok(_)) => {}
            _ => return,
        }
    }
}
