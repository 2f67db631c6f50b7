//! A shell that stands between this process and a program it started: when this process ends, however it ends, the shell
//! stops the program and removes its folder. Knows nothing of clusters; only of one command and one pipe.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::account::Account;

/// How often a guardian's state is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Longer than the script takes from the fast shutdown to its last resort.
const RELEASE_LIMIT: Duration = Duration::from_secs(30);

/// `$1` is the folder to remove once the owner is gone (may be empty), the rest is the command.
///
/// The end of standard input says that the owner is gone: the kernel closes the pipe even after `kill -9`. The command
/// may end by itself; then the shell ends with its status and leaves the folder, whose log the owner wants to read.
/// SIGINT is Postgres' fast shutdown and is repeated because a starting server may still ignore it. The removal is
/// repeated because an interrupted initdb leaves a child behind that writes for a moment longer.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
folder=$1
shift
owner_gone=
trap 'owner_gone=yes' USR1
exec 3<&0 </dev/null
"$@" 3<&- &
command=$!
(
    while read -r line; do :; done <&3
    kill -USR1 $$
    seconds=0
    while kill -INT "$command" 2>/dev/null; do
        if [ "$seconds" -ge 20 ]; then kill -KILL "$command"
        elif [ "$seconds" -ge 10 ]; then kill -QUIT "$command"
        fi
        seconds=$((seconds + 1))
        sleep 1
    done
) &
watcher=$!
wait "$command"
status=$?
while kill -0 "$command" 2>/dev/null; do
    wait "$command"
    status=$?
done
kill -KILL "$watcher" 2>/dev/null
if [ -n "$owner_gone" ] && [ -n "$folder" ]; then
    attempts=0
    until rm -rf "$folder" || [ "$attempts" -ge 10 ]; do
        attempts=$((attempts + 1))
        sleep 1
    done
fi
exit "$status"
"#;

/// A guarded program. Dropping it lets the program stop in the background.
#[derive(Debug)]
pub(super) struct Guardian {
    shell: Child,
    /// Open for as long as the program shall run. The standard library keeps it from being inherited by other children.
    pipe: Option<ChildStdin>,
}

impl Guardian {
    /// Starts `command` (program and arguments) under `account`, with its output in a new file `log`. `remove` is the
    /// folder that goes when the owner goes; the account must be able to remove it.
    pub(super) fn spawn(
        account: Account,
        command: &Command,
        log: &Path,
        remove: Option<&Path>,
    ) -> Result<Self> {
        // Anew each time: root must not write through a link that the account has put there.
        let _ = fs::remove_file(log);
        let log = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        let mut shell = account
            .command("/bin/sh")
            .args(["-c", SCRIPT, "guardian"])
            .arg(remove.unwrap_or(Path::new("")))
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Out of reach of the terminal's Ctrl-C: the owner shuts down first and needs the server for that.
            .process_group(0)
            .spawn()
            .context("cannot start /bin/sh")?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// The program's exit status if it ended by itself.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.shell
            .try_wait()
            .context("cannot look at a child process")
    }

    /// Waits until the program ends by itself, at most `limit`.
    pub(super) async fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        // Polled, and not a tokio child: a guardian may outlive the runtime it was started on (shared between tests).
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if tokio::time::Instant::now() >= deadline {
                bail!("still running after {limit:?}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Stops the program and waits until it and its folder are gone.
    pub(super) async fn release(mut self) -> Result<()> {
        drop(self.pipe.take());
        self.wait(RELEASE_LIMIT)
            .await
            .context("the server does not stop")?;
        Ok(())
    }
}
