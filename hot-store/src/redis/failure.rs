//! What a Redis failure means for the caller, and what to do about it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::Error;

/// Who we talk to, for messages: never shows the password.
pub(super) struct Peer {
    /// `host:port`, without credentials.
    pub(super) address: String,
    /// Taken out of every text that comes from the server.
    pub(super) secrets: Vec<String>,
}

impl Peer {
    /// The port's error for `error`.
    pub(super) fn failure(&self, error: &RedisError) -> Error {
        if error.code() == Some("WRONGTYPE") {
            return Error::Damaged {
                key: format!("of CityPulse at {}", self.address),
                reason: self.redact(&error.to_string()),
            };
        }
        if matches!(
            error.kind(),
            ErrorKind::UnexpectedReturnType | ErrorKind::Parse
        ) {
            return Error::Damaged {
                key: format!("answered by {}", self.address),
                reason: self.redact(&error.to_string()),
            };
        }
        let text = self.redact(&error.to_string());
        self.unavailable(match advice(error) {
            Some(advice) => format!("{text}; {advice}"),
            None => text,
        })
    }

    /// Not reachable, for `reason`.
    pub(super) fn unavailable(&self, reason: impl Into<String>) -> Error {
        Error::Unavailable {
            address: self.address.clone(),
            reason: reason.into(),
        }
    }

    /// Some servers and proxies repeat in their answer what they were sent.
    pub(super) fn redact(&self, text: &str) -> String {
        self.secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// Whether a connection that failed so should be replaced by a new one.
pub(super) fn breaks_connection(error: &RedisError) -> bool {
    // A read-only server was the primary once: a new connection finds the new one.
    error.is_io_error()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn advice(error: &RedisError) -> Option<&'static str> {
    if error.is_connection_refusal() {
        return Some("start Redis there, or configure where it runs");
    }
    if error.is_timeout() {
        return Some("the server is paused, overloaded or behind a firewall");
    }
    if error.kind() == ErrorKind::AuthenticationFailed {
        return Some("check the configured user name and password");
    }
    Some(match error.code()? {
        "LOADING" => "the server is reading its data from disk: wait until it has",
        "READONLY" => "it is a replica: configure the address of the primary",
        "MASTERDOWN" => "it is a replica that lost its primary",
        "OOM" => "raise maxmemory, or let the server evict values",
        "MISCONF" => "the server cannot write to its disk: make room there",
        "BUSY" => "another client's script is running",
        "NOAUTH" | "WRONGPASS" => "check the configured user name and password",
        "NOPERM" => {
            "the user needs read, write, transaction, scripting, pubsub and time on all keys and channels"
        }
        "MOVED" | "ASK" | "CROSSSLOT" => {
            "it is a node of a Redis Cluster: set redis.cluster = true"
        }
        "CLUSTERDOWN" => "the Redis Cluster has slots without a node, or no majority of nodes",
        "TRYAGAIN" => "the Redis Cluster is moving the slot to another node",
        _ => return None,
    })
}
