//! The dashboard in a real browser.

use end_to_end::{Deployment, project_root};

/// `screenshots.mjs` itself fails on a console error or a request that leaves loopback.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_draws_the_city_without_errors() {
    let deployment = Deployment::embedded();
    let platform = deployment.up(&[]).await;
    let pictures = deployment.scratch().join("pictures");
    std::fs::create_dir_all(&pictures).expect("a folder");
    let output = tokio::process::Command::new("node")
        .arg(project_root().join("dashboard/e2e/screenshots.mjs"))
        .arg(platform.api.url("/"))
        .arg(&pictures)
        .kill_on_drop(true)
        .output()
        .await
        .expect("node starts");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let taken = std::fs::read_dir(&pictures)
        .expect("the folder is there")
        .filter(|entry| {
            let path = entry.as_ref().expect("an entry").path();
            path.extension().is_some_and(|extension| extension == "png")
        })
        .count();
    assert!(taken >= 2, "{taken} pictures");
}
