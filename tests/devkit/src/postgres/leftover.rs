//! A server that still runs on a data directory although its owner, and the guardian, are dead or about to be.
//! Only whoever holds the directory's lock may call this.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// How long the server gets for a fast shutdown before it is told to quit at once, and how long after that.
const PATIENCE: Duration = Duration::from_secs(15);

/// Stops the server that runs on `data`, if one does. A pid file whose process is gone is Postgres' own affair.
pub(super) async fn stop(data: &Path) -> Result<()> {
    let Some(pid) = running(data) else {
        return Ok(());
    };
    tracing::info!(
        pid,
        "stopping the PostgreSQL server an earlier start has left"
    );
    for signal in ["INT", "QUIT"] {
        send(signal, pid);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if running(data).is_none() {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
    bail!(
        "a PostgreSQL server (pid {pid}) runs on {} and does not stop",
        data.display()
    )
}

/// The process named in the pid file, if it lives and is a server of this very directory: after a crash the number may
/// belong to a stranger.
fn running(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: u32 = text.lines().next()?.trim().parse().ok()?;
    let process = Path::new("/proc").join(pid.to_string());
    let ours = if Path::new("/proc/self").exists() {
        // The server's working directory is its data directory.
        fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == data)
    } else {
        let arguments = Command::new("ps")
            .args(["-p", &pid.to_string(), "-o", "args="])
            .output()
            .ok()?;
        String::from_utf8_lossy(&arguments.stdout).contains(&*data.to_string_lossy())
    };
    ours.then_some(pid)
}

/// `kill` of the shell: it is everywhere, the program is not.
fn send(signal: &str, pid: u32) {
    let _ = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$1\" \"$2\" 2>/dev/null", "kill", signal])
        .arg(pid.to_string())
        .status();
}
