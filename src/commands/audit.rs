//! `citypulse audit`: what the speed layer said, beside what its events amount to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use tokio_util::sync::CancellationToken;
use views::audit::Report;

use crate::cli::AuditArgs;
use crate::config::Config;
use crate::instance::running_address;
use crate::platform::Platform;
use crate::terminal::{print, tell};

/// Longer than a server lets an audit take.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Has a running instance compare where there is one, otherwise does so itself.
///
/// # Errors
/// Also where windows differ that nothing explains.
pub async fn run(config: Config, args: AuditArgs) -> Result<()> {
    let running = running_address(&config.data_dir);
    let report = match args.to.clone().or(running) {
        Some(address) => ask(&address, &args).await?,
        None => compute(config, &args).await?,
    };
    match args.json {
        true => print(format!("{}\n", serde_json::to_string_pretty(&report)?))?,
        false => print(as_table(&report))?,
    }
    match report.wrong() {
        0 => Ok(()),
        _ if args.heal => Ok(()),
        wrong => bail!("{wrong} windows differ and should not; --heal says them anew"),
    }
}

async fn ask(address: &str, args: &AuditArgs) -> Result<Report> {
    let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
    let hours = args.window;
    let request = match args.heal {
        true => client.post(format!("{address}/api/audit/heal?hours={hours}")),
        false => client.get(format!("{address}/api/audit?hours={hours}")),
    };
    let response = request.send().await;
    let response = response.with_context(|| format!("no answer from the instance at {address}"))?;
    let status = response.status();
    let body = response.bytes().await.context("the answer broke off")?;
    if !status.is_success() {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or("no detail was given");
        bail!("{detail} ({status})");
    }
    serde_json::from_slice(&body).context("the instance's answer is not understood")
}

/// In this process, over the same back ends that a server would use.
async fn compute(config: Config, args: &AuditArgs) -> Result<Report> {
    let folder = &config.data_dir;
    if !config.uses_kafka() && !folder.is_dir() {
        bail!(
            "data folder {} does not exist, so there is nothing to audit; --data-dir names another, \
             --to asks a running instance",
            folder.display()
        );
    }
    let mut platform = Platform::new(config)?;
    let (log, hot) = (platform.open_log()?, platform.open_hot()?);
    let streets = platform.open_streets()?;
    let lake = platform.open_lake().await?;
    let engine = platform.open_engine(lake, log.clone())?;
    let stop = CancellationToken::new();
    let tail = tokio::spawn(engine.clone().run(stop.clone()));
    let auditor = platform.auditor(engine, log, hot, streets);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_us = now.context("the clock stands before 1970")?.as_micros() as i64;
    let report = auditor.run(args.window, args.heal, now_us).await;
    stop.cancel();
    tail.await.context("the log's tail broke")?;
    platform.close().await?;
    Ok(report?)
}

fn as_table(report: &Report) -> String {
    let Some(from) = &report.from else {
        return "no events: nothing to compare\n".to_owned();
    };
    let until = report.until.as_deref().unwrap_or("(none was due)");
    let stations = report.until_stations.as_deref().unwrap_or("(none was due)");
    let mut text = format!(
        "windows from {from}, of speeds until {until}, of stations until {stations}\n\n{:<8}",
        "kind"
    );
    let first = report.kinds.first().map(|kind| kind.results());
    for (result, _) in first.into_iter().flatten() {
        text.push_str(&format!(" {result:>10}"));
    }
    text.push('\n');
    for kind in &report.kinds {
        text.push_str(&format!("{:<8}", kind.kind));
        for (_, windows) in kind.results() {
            text.push_str(&format!(" {windows:>10}"));
        }
        text.push('\n');
    }
    for finding in report
        .findings
        .iter()
        .filter(|of| of.result != "late")
        .take(20)
    {
        let count = |said: &Option<views::audit::Said>| said.as_ref().map_or(0, |said| said.count);
        text.push_str(&format!(
            "\n{}: {} {} {}: {} values were said, {} are computed",
            finding.result,
            finding.kind,
            finding.key,
            finding.window_start,
            count(&finding.said),
            count(&finding.computed)
        ));
    }
    if report
        .findings
        .iter()
        .any(|finding| finding.result != "late")
    {
        text.push('\n');
    }
    if let Some(healed) = &report.healed {
        text.push_str(&format!(
            "\n{} windows were said anew, {} of them in the hot store\n",
            healed.windows, healed.live
        ));
    }
    if report.kinds.iter().any(|kind| kind.open > 0) {
        tell("Windows that are open need not be closed yet, and were not judged.");
    }
    text
}
