//! The harness of the end-to-end tests: it starts the built `citypulse` binary as a
//! user would and talks to it only through what a user has: command line, HTTP,
//! WebSocket and SQL.
//!
//! Enters: the binary (from `CITYPULSE_BIN`, or beside the test's own executable) and,
//! with `CITYPULSE_TEST_REAL_SERVERS` set, Kafka, Redis and MinIO through
//! `infra/stack.sh`. Promises: every process and file of a test is gone when it ends,
//! and no port is used that was not free. Never: imports a crate of the product.

mod api;
mod deployment;
mod executors;
pub mod fixtures;
mod fleet;
mod load;
mod process;
mod readers;
mod redis;
mod roads;
mod roles;
mod rules;
mod servers;
mod skip;
mod wait;
mod websocket;

pub use api::{Answer, Api};
pub use deployment::{Deployment, Platform, free_ports};
pub use executors::{JobExecutor, JobScheduler};
pub use fleet::{Fleet, scramble};
pub use load::{Load, agrees_with_duckdb};
pub use process::{Finished, Process, Signal};
pub use readers::{python, read_lake};
pub use redis::{RedisCluster, RedisWithSentinels};
pub use roles::{LAG_KEPT, Roles, behind, positions};
pub use rules::put_in_force;
pub use servers::{Server, Servers};
pub use skip::skipped;
pub use wait::until;
pub use websocket::Socket;

use std::path::PathBuf;

/// The checkout. Tests run in their crate's folder; a path from compile time could be
/// another clone's, with which this one shares its target directory.
pub fn project_root() -> PathBuf {
    std::env::current_dir()
        .expect("a working directory")
        .parent()
        .expect("tests/ lies in the checkout")
        .to_path_buf()
}

/// A recording of a real city below `../shared/data` or `$CITYPULSE_REALDATA`; `None`,
/// with a plain word about it, where it is missing.
pub fn recording(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CITYPULSE_REALDATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| project_root().join("../shared/data"));
    let file = folder.join(path);
    if file.is_file() {
        return Some(file);
    }
    skipped(&format!(
        "the recording {path} is neither in ../shared/data nor in $CITYPULSE_REALDATA"
    ));
    None
}

/// Makes two tests of each named function `async fn(Deployment)`: one on the embedded
/// back ends, one on real Kafka, Redis and S3.
#[macro_export]
macro_rules! on_each_backend {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name($crate::Deployment::embedded()).await;
                }
            )+
        }
        $crate::on_real_servers!($($name),+);
    };
}

/// Makes one test of each named function `async fn(Deployment)`, on real servers.
#[macro_export]
macro_rules! on_real_servers {
    ($($name:ident),+ $(,)?) => {
        mod real_servers {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    if let Some(deployment) = $crate::Deployment::on_real_servers() {
                        super::$name(deployment).await;
                    }
                }
            )+
        }
    };
}
