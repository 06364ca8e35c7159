//! Who is the primary, asked of Sentinels.

use std::sync::Arc;
use std::time::Duration;

use redis::Client;
use tokio::time::timeout;

use super::access::{Access, Node};
use crate::Result;

/// The Sentinels that watch one primary.
pub(super) struct Sentinels {
    access: Arc<Access>,
    primary: String,
    nodes: Vec<(Node, Client)>,
}

impl Sentinels {
    pub(super) fn new(
        access: Arc<Access>,
        primary: &str,
        nodes: Vec<Node>,
        password: Option<&str>,
    ) -> Result<Self> {
        let client = |node: Node| {
            let client = access.client_of_sentinel(&node, password)?;
            Ok((node, client))
        };
        let nodes = nodes.into_iter().map(client).collect::<Result<_>>()?;
        Ok(Self {
            access,
            primary: primary.to_owned(),
            nodes,
        })
    }

    /// A client of the server that is the primary now, as the first Sentinel says
    /// that answers; or why there is none.
    pub(super) async fn primary(&self) -> std::result::Result<Client, String> {
        // One that is away must leave time to ask the others and to connect.
        let limit = self.access.connect_timeout / (self.nodes.len() as u32 + 1);
        let mut reasons = Vec::new();
        for (node, client) in &self.nodes {
            match self.ask(client, limit).await {
                Ok(Some(primary)) => {
                    return self
                        .access
                        .client_of(&primary)
                        .map_err(|error| error.to_string());
                }
                Ok(None) => reasons.push(format!(
                    "the Sentinel at {node} knows no primary named {}",
                    self.primary
                )),
                Err(reason) => reasons.push(format!("the Sentinel at {node}: {reason}")),
            }
        }
        Err(reasons.join("; "))
    }

    async fn ask(
        &self,
        client: &Client,
        limit: Duration,
    ) -> std::result::Result<Option<Node>, String> {
        let answer = async {
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&self.access.limits)
                .await?;
            let mut command = redis::cmd("SENTINEL");
            command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.primary);
            command
                .query_async::<Option<(String, u16)>>(&mut connection)
                .await
        };
        match timeout(limit, answer).await {
            Ok(Ok(primary)) => Ok(primary.map(|(host, port)| Node { host, port })),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {limit:?}")),
        }
    }
}
