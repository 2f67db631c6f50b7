//! npm's `@ag-ui/client`, unchanged, as a program.

use std::path::Path;

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use super::{PATIENCE, World};

/// Has the client take a turn of ada's; what it made of the streams. None, and a reason, if it is not installed.
pub(crate) async fn turn(world: &World, thread: &str, message: &str) -> Option<Value> {
    turn_after(world, thread, message, 0).await
}

/// As [`turn`], by a client that has so many bytes of history.
#[expect(clippy::print_stderr, reason = "a skipped test says why")]
pub(crate) async fn turn_after(
    world: &World,
    thread: &str,
    message: &str,
    history: usize,
) -> Option<Value> {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("ag-ui");
    if !client.join("node_modules/@ag-ui/client").exists() {
        eprintln!("skipped: the AG-UI client is not installed; run `npm ci` in tests/ag-ui");
        return None;
    }
    let url = format!("{}/api/ada/chat", world.url);
    let token = world.identity.token("ada");
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
