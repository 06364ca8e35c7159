//! What cannot work is said in one sentence, with the right exit code.

use std::net::TcpListener;
use std::time::Duration;

use end_to_end::{Deployment, Finished, project_root};

/// Exit code 1 and one line, which is not a panic and holds `words`.
fn assert_refused(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code(), 1, "{finished:?}");
    let said = finished.stderr.trim();
    assert!(!said.contains("panicked"), "{said}");
    let last = said.lines().last().unwrap_or_default();
    for word in words {
        assert!(last.contains(word), "{word:?} is not in: {said}");
    }
}

async fn run_briefly(deployment: &Deployment, arguments: &[&str]) -> Finished {
    let running = deployment.run("up", arguments);
    tokio::time::timeout(Duration::from_secs(30), running)
        .await
        .expect("it ends by itself")
}

#[tokio::test]
async fn port_in_use_is_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port().to_string();
    let deployment = Deployment::embedded();
    let arguments = [
        "--port",
        &port,
        "--pg-port",
        "0",
        "--flight-port",
        "0",
        "--no-generators",
    ];
    let finished = run_briefly(&deployment, &arguments).await;
    assert_refused(&finished, &[&port, "in use"]);
}

#[tokio::test]
async fn data_folder_held_by_another_process_is_one_sentence() {
    let deployment = Deployment::embedded();
    let holder = deployment.up(&["--no-generators"]).await;
    let arguments = [
        "--port",
        "0",
        "--pg-port",
        "0",
        "--flight-port",
        "0",
        "--no-generators",
    ];
    let finished = run_briefly(&deployment, &arguments).await;
    let folder = deployment.data_folder().display().to_string();
    assert_refused(&finished, &[&folder]);
    drop(holder);
}

#[tokio::test]
async fn unknown_configuration_key_names_the_nearest_known_one() {
    let deployment = Deployment::embedded();
    let file = deployment.scratch().join("citypulse.toml");
    std::fs::write(&file, "[kafka]\nbootstrap_server = \"127.0.0.1:1\"\n").expect("written");
    let finished = run_briefly(&deployment, &["--config", &file.display().to_string()]).await;
    assert_refused(&finished, &["bootstrap_server", "bootstrap_servers"]);

    let deployment = Deployment::embedded().with("CITYPULSE_SERVER__PROT", 1);
    let finished = run_briefly(&deployment, &[]).await;
    assert_refused(&finished, &["port"]);
}

#[tokio::test]
async fn missing_and_broken_configuration_files_are_named() {
    let deployment = Deployment::embedded();
    let file = deployment.scratch().join("citypulse.toml");
    let name = file.display().to_string();
    let finished = run_briefly(&deployment, &["--config", &name]).await;
    assert_refused(&finished, &[&name]);
    std::fs::write(&file, "[kafka\n").expect("written");
    let finished = run_briefly(&deployment, &["--config", &name]).await;
    assert_eq!(finished.code(), 1, "{finished:?}");
    assert!(finished.stderr.contains(&name), "{finished:?}");
}

#[tokio::test]
async fn servers_of_the_stack_without_their_keys_name_the_file_that_has_them() {
    let deployment = Deployment::embedded();
    let file = project_root().join("infra/stack.toml");
    let file = file.display().to_string();
    let finished = run_briefly(&deployment, &["--config", &file, "--port", "0"]).await;
    assert_refused(&finished, &["AWS_ACCESS_KEY_ID", "stack/env"]);
}

#[tokio::test]
async fn bad_usage_is_exit_code_2() {
    let deployment = Deployment::embedded();
    for arguments in [
        &["--no-such-flag"][..],
        &["--port", "many"],
        &["--port", "70000"],
        &["--rate", "0"],
        &["--interval", "61"],
        &["--dirt", "101"],
        &["--rate", "10", "--interval", "5"],
        &["--no-generators", "--rate", "10"],
        &["--log", "loud"],
    ] {
        let finished = run_briefly(&deployment, arguments).await;
        assert_eq!(finished.code(), 2, "{arguments:?}: {finished:?}");
    }
    let finished = deployment.run("no-such-verb", &[]).await;
    assert_eq!(finished.code(), 2, "{finished:?}");
}
