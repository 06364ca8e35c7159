//! A deployment at work: a door for events, a batch layer, and one speed layer or more.

use std::time::Duration;

use tokio::sync::watch;

use crate::{Api, Deployment, Platform, Process, until};

/// How long a layer may take until it has read to the log's end.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(300);

/// The processes of one deployment. Embedded there is one, which does everything.
#[derive(Debug)]
pub struct Roles {
    deployment: Deployment,
    door: Option<Platform>,
    _batch: Option<Process>,
    speed: Vec<Option<Process>>,
    address: watch::Sender<Api>,
}

impl Roles {
    /// Starts them, with `speed` speed layers where processes can share work.
    pub async fn start(deployment: &Deployment, speed: usize) -> Roles {
        let is_embedded = deployment.servers().is_none();
        let door = match is_embedded {
            true => deployment.up(&["--no-generators"]).await,
            false => deployment.serve(&[]).await,
        };
        let start = |verb| deployment.start(verb, &[]);
        let speed = if is_embedded { 0 } else { speed };
        Roles {
            address: watch::Sender::new(door.api.clone()),
            door: Some(door),
            _batch: (!is_embedded).then(|| start("batch")),
            speed: (0..speed).map(|_| Some(start("speed"))).collect(),
            deployment: deployment.clone(),
        }
    }

    /// The door that is open now.
    pub fn api(&self) -> Api {
        self.address.borrow().clone()
    }

    /// The door, also after it has moved to another port.
    pub fn address(&self) -> watch::Receiver<Api> {
        self.address.subscribe()
    }

    /// The process of speed layer `number`, where that is one of its own.
    pub fn speed(&self, number: usize) -> Option<&Process> {
        self.speed.get(number)?.as_ref()
    }

    /// `kill -9` of the process that is speed layer `number`, for good.
    pub fn kill(&mut self, number: usize) {
        let process = self.speed[number].take();
        process.expect("it was not killed before").kill();
    }

    /// `kill -9` of the process that is the first speed layer, and another one in its
    /// place. Embedded that is the whole platform.
    pub async fn replace(&mut self) {
        match self.speed.first_mut() {
            Some(process) => {
                process.take().expect("it runs").kill();
                *process = Some(self.deployment.start("speed", &[]));
            }
            None => {
                self.door.take().expect("it runs").kill();
                let door = self.deployment.up(&["--no-generators"]).await;
                self.address.send_replace(door.api.clone());
                self.door = Some(door);
            }
        }
    }

    /// Starts speed layer `number`, which was killed, again.
    pub fn start_again(&mut self, number: usize, arguments: &[&str]) {
        self.speed[number] = Some(self.deployment.start("speed", arguments));
    }

    /// Waits until a layer has done everything that is in the log.
    pub async fn caught_up(&self, layer: &str) {
        let api = self.api();
        until(
            CAUGHT_UP_WITHIN,
            &format!("the {layer} layer at the log's end"),
            || async {
                match behind(&api, layer).await {
                    0 => Ok(()),
                    events => Err(format!("{events} events behind")),
                }
            },
        )
        .await;
    }
}

/// What the speed layer says itself and does not read again.
const ITS_OWN: [&str; 2] = ["windows", "alerts"];

/// How many events a layer has not done yet, over all partitions that it reads.
pub async fn behind(api: &Api, layer: &str) -> u64 {
    let lag = api.get_json("/api/lag").await;
    let entries = lag.as_array().expect("a list of positions");
    let of_layer = entries
        .iter()
        .filter(|entry| entry["layer"] == layer)
        .filter(|entry| layer != "speed" || ITS_OWN.iter().all(|own| entry["topic"] != *own));
    of_layer
        .map(|entry| {
            let figure = |name: &str| entry[name].as_u64();
            figure("lag_events")
                .or(figure("events"))
                .unwrap_or(u64::MAX / 1024)
        })
        .sum()
}

/// `/api/lag` answers with what it knows for this long.
pub const LAG_KEPT: Duration = Duration::from_secs(1);

/// Where a layer stands in each partition of a topic.
pub async fn positions(api: &Api, layer: &str, topic: &str) -> Vec<(u64, u64)> {
    let lag = api.get_json("/api/lag").await;
    let entries = lag.as_array().expect("a list of positions");
    let mut positions: Vec<_> = entries
        .iter()
        .filter(|entry| entry["layer"] == layer && entry["topic"] == topic)
        .filter_map(|entry| Some((entry["partition"].as_u64()?, entry["position"].as_u64()?)))
        .collect();
    positions.sort_unstable();
    positions
}
