//! The lake as others read it: the scripts in `tests/readers/`.

use std::ffi::OsString;
use std::process::Output;

use crate::{Deployment, project_root, skipped};

/// Python with DuckDB, PyArrow and Polars. `None`, and that said, where `make test` has not set
/// it up.
pub fn python() -> Option<OsString> {
    let python = std::env::var_os("CITYPULSE_TEST_PYTHON");
    if python.is_none() {
        skipped("the readers of the lake are set up by `make test` only");
    }
    python
}

/// Runs a script of `tests/readers/` with the deployment's way to its lake.
pub async fn read_lake(
    python: &OsString,
    deployment: &Deployment,
    script: &str,
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Output {
    tokio::process::Command::new(python)
        .arg(project_root().join("tests/readers").join(script))
        .args(arguments.into_iter().map(Into::into))
        .env_clear()
        .envs(deployment.environment())
        .kill_on_drop(true)
        .output()
        .await
        .expect("python starts")
}
