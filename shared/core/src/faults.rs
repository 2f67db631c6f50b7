//! Fail points: named places of a turn where the fault campaign kills the process.
//!
//! Without the feature `failpoints`, which no shipped program has, all of this is nothing. With it, the variable `FAILPOINTS`
//! says what happens where, in the language of the crate `fail`: `"step.committed=2*off->1*return"` aborts the
//! process when it comes there for the third time.

use crate::ids::{self, CallKey};

/// All places, in the order of a turn.
pub const POINTS: &[&str] = &[
    "accept.begin",
    "accept.before-commit",
    "accept.committed",
    "answer.before",
    "queue.claimed",
    "run.claimed",
    "model.before",
    "model.delta",
    "events.before",
    "events.appended",
    "step.before-commit",
    "step.committed",
    "tool.before",
    "tool.before-commit",
    "tool.committed",
    "finish.before",
    "finish.before-commit",
    "finish.committed",
    "release.before-commit",
    "summary.claimed",
    "summary.written",
];

/// Takes away the attempt's fence, to prove that the campaign notices.
pub const NO_FENCE: &str = "mutation.no-fence";
/// Takes away the key of a tool call, to prove that the campaign notices.
pub const NO_TOOL_KEY: &str = "mutation.no-tool-key";

/// Reads `FAILPOINTS`, for the rest of the process's life.
pub fn start() {
    #[cfg(feature = "failpoints")]
    std::mem::forget(fail::FailScenario::setup());
}

/// The process may die here, as if by kill -9; or, with `return(freeze)`, stand still.
#[cfg_attr(not(feature = "failpoints"), expect(unused_variables))]
pub fn point(name: &'static str) {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |how: Option<String>| match how.as_deref() {
        Some("freeze") => freeze(),
        _ => std::process::abort(),
    });
}

/// The fail point of a background task: `task.` and its name. Asked ten times a second, beside the work of the task and in the task, so that
/// `20*off->panic` is a panic of that task after two seconds. Never ends otherwise.
#[cfg_attr(not(feature = "failpoints"), expect(unused_variables))]
pub async fn task(name: &str) {
    #[cfg(feature = "failpoints")]
    {
        let point = format!("task.{name}");
        loop {
            // No value of it is a thing to return.
            fail::eval(&point, |_| ());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
    #[cfg(not(feature = "failpoints"))]
    std::future::pending().await
}

/// Stops the whole process, until somebody sends SIGCONT.
#[cfg(feature = "failpoints")]
fn freeze() {
    let me = std::process::id().to_string();
    let _ = std::process::Command::new("kill")
        .args(["-s", "STOP", &me])
        .status();
}

/// The key of a tool call; with the mutation, another one for each repeat.
pub fn key(key: CallKey) -> CallKey {
    if !is_mutated(NO_TOOL_KEY) {
        return key;
    }
    let [.., a, b] = ids::new_id().into_bytes();
    let ordinal = 1000 + i32::from(u16::from_be_bytes([a, b]));
    CallKey { ordinal, ..key }
}

/// Whether a safeguard is to be taken away.
#[cfg_attr(not(feature = "failpoints"), expect(unused_variables))]
pub fn is_mutated(name: &'static str) -> bool {
    #[cfg(feature = "failpoints")]
    fail::fail_point!(name, |_| true);
    false
}
