//! npm's `@ag-ui/client`, unchanged, as a program.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use super::{PATIENCE, TestSystem};

/// Has the client take a turn of ada's; what it made of the streams. None, and a reason, if it is not installed.
pub(crate) async fn turn(system: &TestSystem, thread: &str, message: &str) -> Option<Value> {
    turn_after(system, thread, message, 0).await
}

/// As [`turn`], by a client that has so many bytes of history.
pub(crate) async fn turn_after(
    system: &TestSystem,
    thread: &str,
    message: &str,
    history: usize,
) -> Option<Value> {
    let client = installed()?;
    let url = format!("{}/api/ada/chat", system.url);
    let token = system.identity.token("ada");
    let history = history.to_string();
    let mut node = Command::new("node");
    node.current_dir(&client)
        .args(["run.mjs", &url, &token, thread, message, &history])
        .kill_on_drop(true);
    let output = timeout(PATIENCE, node.output())
        .await
        .expect("ends in time")
        .expect("node");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    Some(serde_json::from_str(&said).expect("JSON"))
}

#[expect(clippy::print_stderr, reason = "a skipped test says why")]
fn installed() -> Option<PathBuf> {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("ag-ui");
    // All of what is asked for, not what an earlier version did.
    let packages = ["@ag-ui/client", "@ag-ui/core", "rxjs"];
    if packages
        .iter()
        .any(|name| !client.join("node_modules").join(name).exists())
    {
        eprintln!("skipped: the AG-UI client is not installed; run `npm ci` in tests/ag-ui");
        return None;
    }
    Some(client)
}

/// Has the client's own schemas and verifier look at whole runs.
pub(crate) async fn validate(runs: &[Vec<Value>]) {
    if let Some(faults) = faults(runs).await {
        assert!(faults.is_empty(), "{faults:#?}\n{runs:#?}");
    }
}

/// What they find wrong. None, and a reason, if they are not installed.
pub(crate) async fn faults(runs: &[Vec<Value>]) -> Option<Vec<String>> {
    let client = installed()?;
    let mut node = Command::new("node");
    node.current_dir(&client)
        .arg("validate.mjs")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut node = node.spawn().expect("node");
    let mut input = node.stdin.take().expect("a pipe");
    let runs = serde_json::to_vec(runs).expect("plain data");
    input.write_all(&runs).await.expect("it reads");
    drop(input);
    let output = timeout(PATIENCE, node.wait_with_output())
        .await
        .expect("ends in time")
        .expect("node");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}
