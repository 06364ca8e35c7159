//! `docker-compose.yml` says only what the binary understands.

use std::collections::BTreeMap;
use std::process::Command;

use end_to_end::{Deployment, project_root};
use serde_json::Value;

/// The file with anchors and merge keys resolved.
fn compose_file() -> Value {
    let path = project_root().join("docker-compose.yml");
    let text = std::fs::read_to_string(path).expect("docker-compose.yml is there");
    let mut document: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).expect("YAML");
    document.apply_merge().expect("its merge keys fit");
    serde_json::to_value(document).expect("YAML without exotic keys is JSON")
}

fn services() -> BTreeMap<String, Value> {
    let mut document = compose_file();
    let services = document["services"].take();
    serde_json::from_value(services).expect("services by name")
}

fn roles() -> BTreeMap<String, Value> {
    let mut services = services();
    services.retain(|_, service| service["image"] == "citypulse");
    services
}

fn words(value: &Value) -> Vec<String> {
    let words = value
        .as_array()
        .unwrap_or_else(|| panic!("no list of words: {value}"));
    words
        .iter()
        .map(|word| word.as_str().expect("a word").to_owned())
        .collect()
}

/// `${NAME:?message}` as Compose replaces it once NAME is set. A secret with a default
/// (`:-`) or without a check is refused here.
fn interpolated(value: &str) -> String {
    let Some(inside) = value
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
    else {
        assert!(
            !value.contains("${"),
            "only whole values are interpolated: {value}"
        );
        return value.to_owned();
    };
    let (name, _) = inside
        .split_once(":?")
        .unwrap_or_else(|| panic!("{value} has no `:?`"));
    format!("value-of-{}", name.to_lowercase())
}

fn environment(service: &Value) -> Vec<(String, String)> {
    let members = service["environment"]
        .as_object()
        .expect("environment by name");
    members
        .iter()
        .map(|(name, value)| {
            let text = value
                .as_str()
                .unwrap_or_else(|| panic!("{name} is no text: {value}"));
            (name.clone(), interpolated(text))
        })
        .collect()
}

/// The binary in the environment of a service and in no other.
fn citypulse(service: &Value, arguments: &[String]) -> std::process::Output {
    let program = Deployment::embedded()
        .command("config", &[])
        .get_program()
        .to_owned();
    Command::new(program)
        .env_clear()
        .envs(environment(service))
        .args(arguments)
        .output()
        .expect("the binary starts")
}

#[test]
fn every_role_has_a_service() {
    let commands: Vec<String> = roles()
        .values()
        .map(|role| words(&role["command"])[0].clone())
        .collect();
    for role in ["batch", "generate", "serve", "speed"] {
        assert!(
            commands.iter().any(|command| command == role),
            "{role} is not in {commands:?}"
        );
    }
}

#[test]
fn the_binary_accepts_each_command_and_environment() {
    for (name, role) in roles() {
        let mut help = words(&role["command"]);
        help.push("--help".into());
        let output = citypulse(&role, &help);
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );

        let output = citypulse(&role, &["config".into()]);
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        for expected in ["kafka:19092", "s3://citypulse/lake", "http://minio:9000"] {
            assert!(
                shown.contains(expected),
                "{name}: {expected} has no effect:\n{shown}"
            );
        }
        assert!(
            !shown.contains("value-of-"),
            "{name}: a secret is shown:\n{shown}"
        );
    }
}

#[test]
fn a_mistyped_setting_would_be_refused() {
    let (_, mut role) = roles().into_iter().next().expect("a role");
    role["environment"]["CITYPULSE_KAFKA__BOOTSTRAP_SERVER"] = "kafka:19092".into();
    assert_eq!(citypulse(&role, &["config".into()]).status.code(), Some(1));
}

#[test]
fn services_are_checked_limited_and_kept_to_this_machine() {
    let services = services();
    for (name, service) in &services {
        let runs_once = service["restart"].is_null();
        assert!(
            runs_once || service["healthcheck"]["test"].is_array(),
            "{name} has no health check"
        );
        assert!(
            service["deploy"]["resources"]["limits"]["memory"].is_string(),
            "{name} has no limit"
        );
        assert!(
            service["image"]
                .as_str()
                .is_some_and(|image| !image.ends_with(":latest")),
            "{name} has no fixed image"
        );
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().expect("a port as text");
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
        for needed in service["depends_on"].as_object().into_iter().flatten() {
            assert!(services.contains_key(needed.0), "{name} needs {}", needed.0);
            let condition = needed.1["condition"].as_str().unwrap_or_default();
            assert!(
                ["service_healthy", "service_completed_successfully"].contains(&condition),
                "{name} does not wait for {}",
                needed.0
            );
        }
    }
    for (name, service) in services {
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            let secret = ["PASSWORD", "SECRET", "ACCESS_KEY"]
                .iter()
                .any(|word| variable.contains(word));
            let text = value.as_str().unwrap_or_default();
            assert!(
                !secret || text.contains(":?"),
                "{name}: {variable} has a default"
            );
        }
    }
}
