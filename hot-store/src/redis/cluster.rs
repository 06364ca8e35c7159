//! Commands to the nodes of a Redis Cluster that have their keys.
//!
//! Commands of one call travel as one pipeline per node, all nodes at once: a
//! batch of thousands of values costs as many round trips as one value. Promises:
//! follows slots that move, and tells a command's own errors from the cluster's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

use super::access::{Access, Node};
use super::failure::Peer;
use super::link::{Link, Route};
use super::slots::{SlotMap, slot_of};
use crate::Result;

/// How often a command follows a slot before the caller is told to try later.
const TRIES: u32 = 5;
/// Pause before the second try; each further one doubles it.
const PAUSE: Duration = Duration::from_millis(20);

/// A Redis Cluster.
pub(super) struct Cluster {
    access: Arc<Access>,
    /// Asked for the map when no known node answers.
    seeds: Vec<Node>,
    pub(super) peer: Peer,
    links: Mutex<HashMap<Node, Arc<Link>>>,
    map: Mutex<Option<Arc<SlotMap>>>,
    /// Held while the map is read, so that many callers read it once.
    reading: tokio::sync::Mutex<()>,
}

/// A command and its place among those of the call.
struct Open {
    index: usize,
    slot: u16,
    command: Cmd,
    /// The node that said to have the key during its move, where one did.
    moving_to: Option<Node>,
}

/// Commands for one node.
#[derive(Default)]
struct Round {
    pipeline: Pipeline,
    /// Index and slot of each command, and whether `ASKING` stands before it.
    places: Vec<(usize, u16, bool)>,
}

impl Cluster {
    pub(super) fn new(access: Arc<Access>, mut seeds: Vec<Node>) -> Self {
        seeds.splice(0..0, access.node());
        let names: Vec<_> = seeds.iter().map(Node::to_string).collect();
        Self {
            peer: Peer {
                address: names.join(","),
                secrets: access.secrets.clone(),
            },
            access,
            seeds,
            links: Mutex::default(),
            map: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Runs each command on the node that has the key beside it; the answers in
    /// the order of the commands. Fails as a whole only where a node cannot be
    /// reached or a slot is with no node; some commands may then have run.
    pub(super) async fn each(
        &self,
        commands: Vec<(Vec<u8>, Cmd)>,
    ) -> Result<Vec<RedisResult<Value>>> {
        let mut open: Vec<Open> = commands
            .into_iter()
            .enumerate()
            .map(|(index, (key, command))| Open {
                index,
                slot: slot_of(&key),
                command,
                moving_to: None,
            })
            .collect();
        let mut answers: Vec<Option<RedisResult<Value>>> = Vec::new();
        answers.resize_with(open.len(), || None);
        let mut last_reason = String::new();
        for attempt in 0..TRIES {
            if open.is_empty() {
                break;
            }
            if attempt > 0 {
                tokio::time::sleep(PAUSE * (1 << (attempt - 1))).await;
            }
            let rounds = self.rounds(std::mem::take(&mut open)).await?;
            let sent = rounds
                .into_iter()
                .map(|(node, round)| self.send(node, round));
            for outcome in join_all(sent).await {
                let (round, results) = outcome?;
                let mut commands = round.pipeline.cmd_iter();
                for ((index, slot, asked), result) in round.places.into_iter().zip(results) {
                    let command = commands.nth(usize::from(asked));
                    match result {
                        Err(error) if self.follows(&error) => {
                            last_reason = error.to_string();
                            let Some(command) = command.cloned() else {
                                continue;
                            };
                            let moving_to = redirection(&error);
                            open.push(Open {
                                index,
                                slot,
                                command,
                                moving_to,
                            });
                        }
                        result => answers[index] = Some(result),
                    }
                }
            }
        }
        // All answered, or some slot did not settle.
        answers
            .into_iter()
            .collect::<Option<_>>()
            .ok_or_else(|| self.peer.unavailable(self.peer.redact(&last_reason)))
    }

    /// The commands by node.
    async fn rounds(&self, open: Vec<Open>) -> Result<HashMap<Node, Round>> {
        let map = self.map().await?;
        let mut rounds: HashMap<Node, Round> = HashMap::new();
        for command in open {
            let is_asking = command.moving_to.is_some();
            let node = match command.moving_to {
                Some(node) => node,
                None => map.node(command.slot).cloned().ok_or_else(|| {
                    self.forget_map();
                    self.peer.unavailable(format!(
                        "no node of the Redis Cluster has slot {}",
                        command.slot
                    ))
                })?,
            };
            let round = rounds.entry(node).or_default();
            if is_asking {
                round.pipeline.cmd("ASKING");
            }
            round.pipeline.add_command(command.command);
            round.places.push((command.index, command.slot, is_asking));
        }
        Ok(rounds)
    }

    /// One round trip; a result for each of the round's places.
    async fn send(&self, node: Node, mut round: Round) -> Result<(Round, Vec<RedisResult<Value>>)> {
        let link = self.link(&node)?;
        round.pipeline.ignore_errors();
        let pipeline = &round.pipeline;
        let answered: Result<Vec<RedisResult<Value>>> = link
            .run(async |connection| pipeline.query_async(connection).await)
            .await;
        // Another node may have taken over from one that does not answer.
        let answered = answered.inspect_err(|_| self.forget_map())?;
        let mut answers = answered.into_iter();
        let results = round
            .places
            .iter()
            .filter_map(|&(_, _, asked)| answers.nth(usize::from(asked)))
            .collect();
        Ok((round, results))
    }

    /// Whether an error is the cluster's word that the command should be tried
    /// again, here or elsewhere.
    fn follows(&self, error: &RedisError) -> bool {
        let ErrorKind::Server(kind) = error.kind() else {
            return false;
        };
        match kind {
            ServerErrorKind::Moved
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown => {
                self.forget_map();
                true
            }
            ServerErrorKind::Ask | ServerErrorKind::TryAgain => true,
            _ => false,
        }
    }

    /// The way to every primary.
    pub(super) async fn links(&self) -> Result<Vec<Arc<Link>>> {
        let nodes = self.map().await?.nodes();
        nodes.iter().map(|node| self.link(node)).collect()
    }

    fn link(&self, node: &Node) -> Result<Arc<Link>> {
        let mut links = self.links.lock();
        if let Some(link) = links.get(node) {
            return Ok(link.clone());
        }
        let client = self.access.client_of(node)?;
        let link = Link::new(self.access.clone(), Route::Fixed(client), node.to_string());
        let link = Arc::new(link);
        links.insert(node.clone(), link.clone());
        Ok(link)
    }

    /// The map will be read again before it is next used.
    pub(super) fn forget_map(&self) {
        *self.map.lock() = None;
    }

    async fn map(&self) -> Result<Arc<SlotMap>> {
        if let Some(map) = self.map.lock().clone() {
            return Ok(map);
        }
        let _reading = self.reading.lock().await;
        if let Some(map) = self.map.lock().clone() {
            return Ok(map);
        }
        let known: Vec<Node> = self.links.lock().keys().cloned().collect();
        let mut failure = None;
        for node in self.seeds.iter().chain(&known) {
            match self.ask_for_map(node).await {
                Ok(map) => {
                    let map = Arc::new(map);
                    let nodes = map.nodes();
                    self.links.lock().retain(|node, _| nodes.contains(node));
                    *self.map.lock() = Some(map.clone());
                    return Ok(map);
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| self.peer.unavailable("no node is configured")))
    }

    async fn ask_for_map(&self, node: &Node) -> Result<SlotMap> {
        type Answer = Vec<(u16, u16, Vec<Value>)>;
        let link = self.link(node)?;
        let answer: Answer = link
            .run(async |connection| {
                let ranges: Vec<Vec<Value>> = redis::cmd("CLUSTER")
                    .arg("SLOTS")
                    .query_async(connection)
                    .await?;
                ranges.into_iter().map(range).collect()
            })
            .await?;
        let ranges = answer.into_iter().filter_map(|(first, last, primary)| {
            let host = redis::from_redis_value::<Option<String>>(primary.first()?.clone());
            // A node that does not know its own name is where it was asked.
            let host = host.ok().flatten().filter(|host| !host.is_empty());
            let port = redis::from_redis_value(primary.get(1)?.clone()).ok()?;
            Some((
                first,
                last,
                Node {
                    host: host.unwrap_or_else(|| node.host.clone()),
                    port,
                },
            ))
        });
        Ok(SlotMap::new(ranges.collect()))
    }
}

/// One element of `CLUSTER SLOTS`: first and last slot, and the primary.
fn range(element: Vec<Value>) -> RedisResult<(u16, u16, Vec<Value>)> {
    let mut parts = element.into_iter();
    let mut part = || parts.next().unwrap_or(Value::Nil);
    Ok((
        redis::from_redis_value(part())?,
        redis::from_redis_value(part())?,
        redis::from_redis_value(part())?,
    ))
}

/// The node that an `ASK` answer names.
fn redirection(error: &RedisError) -> Option<Node> {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::Ask) => {
            let (address, _) = error.redirect_node()?;
            Node::parse(address)
        }
        _ => None,
    }
}
