//! A scheduler with its executors, on a deployment.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Deployment, Process, free_ports, until};

const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// The scheduler's process and where it listens.
#[derive(Debug)]
pub struct JobScheduler {
    /// The process.
    pub process: Process,
    /// `HOST:PORT`.
    pub address: String,
}

/// An executor's process and what lies on its disk.
#[derive(Debug)]
pub struct JobExecutor {
    /// The process.
    pub process: Process,
    work_dir: PathBuf,
}

impl JobScheduler {
    /// Starts one and waits until it listens.
    pub async fn start(deployment: &Deployment) -> JobScheduler {
        let address = format!("127.0.0.1:{}", free_ports(1)[0]);
        let process = deployment.start("job", &["scheduler", "--listen", &address]);
        says(&process, "takes jobs and executors").await;
        JobScheduler { process, address }
    }
}

impl JobExecutor {
    /// Starts one with a single slot and waits until it has found its scheduler.
    pub async fn start(
        deployment: &Deployment,
        scheduler: &JobScheduler,
        name: &str,
    ) -> JobExecutor {
        let work_dir = deployment.scratch().join(name);
        let folder = work_dir.display().to_string();
        let arguments = [
            "executor",
            "--scheduler",
            &scheduler.address,
            "--work-dir",
            &folder,
            "--slots",
            "1",
            "--memory",
            "256",
        ];
        let process = deployment.start("job", &arguments);
        says(&process, "takes work").await;
        JobExecutor { process, work_dir }
    }

    /// How many files of computed rows it holds.
    pub fn files(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let sizes = entries.map(|entry| match entry.path().is_dir() {
                true => count(&entry.path()),
                false => 1,
            });
            sizes.sum()
        }
        let runs = std::fs::read_dir(&self.work_dir)
            .into_iter()
            .flatten()
            .flatten();
        runs.map(|run| count(&run.path().join("results"))).sum()
    }
}

async fn says(process: &Process, words: &str) {
    until(STARTS_WITHIN, words, || {
        let said = process.output();
        async move { said.contains(words).then_some(()).ok_or(said) }
    })
    .await;
}
