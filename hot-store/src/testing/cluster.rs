use std::ops::Range;

use super::{RedisServer, free_port, wait_until};
use crate::{Layout, RedisConfig};

/// How long nodes hear nothing of each other before they call one failed.
const NODE_TIMEOUT_MS: &str = "1500";
const SLOTS: u16 = 16_384;

/// A Redis Cluster of three primaries on loopback.
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three nodes and waits until they serve every slot. Panics where
    /// Redis is not installed.
    pub fn start() -> Self {
        let (nodes, bus_ports): (Vec<_>, Vec<_>) = (0..3).map(|_| start_node()).unzip();
        let cluster = Self { nodes };
        for (number, node) in cluster.nodes.iter().enumerate() {
            let epoch = (number + 1).to_string();
            cluster.tell(node, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            let slots = slots_of(number);
            let (first, last) = (slots.start.to_string(), (slots.end - 1).to_string());
            cluster.tell(node, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
        let first = &cluster.nodes[0];
        for (node, bus_port) in cluster.nodes.iter().zip(&bus_ports).skip(1) {
            let (port, bus_port) = (node.port().to_string(), bus_port.to_string());
            cluster.tell(first, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port]);
        }
        for node in &cluster.nodes {
            wait_until("the cluster serves every slot", || is_whole(node));
        }
        cluster
    }

    /// How to reach it: the first node by its URL, the others beside it.
    pub fn config(&self) -> RedisConfig {
        let nodes = self.nodes[1..]
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()));
        RedisConfig {
            layout: Layout::Cluster {
                nodes: nodes.collect(),
            },
            ..RedisConfig::new(self.nodes[0].url())
        }
    }

    /// Takes every key from every node.
    pub fn flush(&self) {
        for node in &self.nodes {
            self.tell(node, &["FLUSHALL"]);
        }
    }

    /// Its nodes, in the order of their slots.
    pub fn nodes(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    /// Gives node `of` a replica, which takes over when that node dies.
    pub fn add_replica(&mut self, of: usize) {
        let (replica, bus_port) = start_node();
        let (port, bus_port) = (replica.port().to_string(), bus_port.to_string());
        let primary: String = self.nodes[of].ask(&["CLUSTER", "MYID"]).expect("an id");
        for node in &self.nodes {
            self.tell(node, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus_port]);
        }
        wait_until("the replica knows its primary", || {
            let done: redis::RedisResult<()> = replica.ask(&["CLUSTER", "REPLICATE", &primary]);
            done.is_ok()
        });
        wait_until("the replica follows and all know it", || {
            let info: String = replica.ask(&["INFO", "replication"]).unwrap_or_default();
            info.contains("master_link_status:up")
                && self.nodes.iter().all(|node| {
                    let nodes: String = node.ask(&["CLUSTER", "NODES"]).unwrap_or_default();
                    nodes
                        .lines()
                        .any(|line| line.contains(&format!("slave {primary}")))
                })
        });
        self.nodes.push(replica);
    }

    /// Hands `slot` with its keys from the node that has it to node `to`, key by
    /// key as `redis-cli --cluster reshard` does; `between` runs half way.
    pub fn move_slot(&self, slot: u16, to: usize, mut between: impl FnMut()) {
        let from = (0..3)
            .find(|&node| slots_of(node).contains(&slot))
            .expect("a node");
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let id = |node: &RedisServer| -> String { node.ask(&["CLUSTER", "MYID"]).expect("an id") };
        let (source_id, target_id, slot) = (id(source), id(target), slot.to_string());
        self.tell(
            target,
            &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id],
        );
        self.tell(
            source,
            &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id],
        );
        between();
        let port = target.port().to_string();
        loop {
            let keys: Vec<String> = source
                .ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "1"])
                .expect("keys");
            let Some(key) = keys.first() else { break };
            self.tell(source, &["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
            between();
        }
        for node in [target, source] {
            self.tell(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]);
        }
    }

    fn tell(&self, node: &RedisServer, words: &[&str]) {
        let answer: redis::RedisResult<redis::Value> = node.ask(words);
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
}

/// The slots that node `number` begins with.
fn slots_of(number: usize) -> Range<u16> {
    let bound = |number: usize| (number * usize::from(SLOTS) / 3) as u16;
    bound(number)..bound(number + 1)
}

/// A node and its bus port. The usual one, 10,000 above, may not exist.
fn start_node() -> (RedisServer, u16) {
    let bus_port = free_port();
    let arguments = [
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        NODE_TIMEOUT_MS,
        "--cluster-require-full-coverage",
        "no",
        "--cluster-port",
        &bus_port.to_string(),
    ];
    (RedisServer::start_with(&arguments), bus_port)
}

fn is_whole(node: &RedisServer) -> bool {
    let info: String = node.ask(&["CLUSTER", "INFO"]).unwrap_or_default();
    let has = |line: &str| info.lines().any(|found| found.trim() == line);
    has("cluster_state:ok") && has("cluster_known_nodes:3") && has("cluster_slots_ok:16384") && {
        // Known to all by their place, also for clients.
        let ranges: Vec<Vec<redis::Value>> = node.ask(&["CLUSTER", "SLOTS"]).unwrap_or_default();
        ranges.len() == 3
    }
}
