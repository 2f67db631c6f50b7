//! The operating system account that runs the server: the caller's own, or an unprivileged one when the caller is root.
//! Nothing here knows about clusters or data directories beyond asking who may enter a folder.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Accounts root may hand the server to, best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// Who runs initdb and postgres.
#[derive(Clone, Copy, Debug)]
pub(super) enum Account {
    /// The caller, who is not root.
    Own,
    /// Another account, because Postgres refuses to run as root.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// Picks the account. If `existing` already belongs to somebody, root continues as that owner, so that a developer
    /// who sometimes uses sudo keeps access to their own data.
    pub(super) fn pick(existing: Option<&Path>) -> Result<Self> {
        if !is_root()? {
            return Ok(Self::Own);
        }
        if let Some(owner) = existing.and_then(|path| fs::metadata(path).ok())
            && owner.uid() != 0
        {
            return Ok(Self::Other {
                uid: owner.uid(),
                gid: owner.gid(),
            });
        }
        let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        match UNPRIVILEGED.iter().find_map(|name| lookup(&passwd, name)) {
            Some((uid, gid)) => Ok(Self::Other { uid, gid }),
            None => bail!(
                "PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody` to run it as; \
                 create one or start as an ordinary user"
            ),
        }
    }

    /// Whether this is a switch away from root.
    pub(super) fn is_other(self) -> bool {
        matches!(self, Self::Other { .. })
    }

    /// A command that runs under this account, in a folder every account can enter.
    pub(super) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid } = self {
            // Setting the uid as root also drops root's supplementary groups.
            command.uid(uid).gid(gid);
        }
        // Messages are read by people and by the checks in this module, so they stay untranslated.
        command.current_dir("/").env("LC_ALL", "C");
        command
    }

    /// Whether the account can reach `dir` and look into it. Asks the kernel, which also knows of ACLs and mounts.
    pub(super) fn can_enter(self, dir: &Path) -> bool {
        self.check("cd \"$1\"", dir)
    }

    /// Whether the account can create and remove entries in `dir`.
    pub(super) fn can_write(self, dir: &Path) -> bool {
        self.check("cd \"$1\" && test -w .", dir)
    }

    /// Makes the account the owner of `path` (not of what lies below it).
    pub(super) fn give(self, path: &Path) -> Result<()> {
        if let Self::Other { uid, gid } = self {
            chown(path, Some(uid), Some(gid))
                .with_context(|| format!("cannot hand {} to uid {uid}", path.display()))?;
        }
        Ok(())
    }

    fn check(self, script: &str, dir: &Path) -> bool {
        self.command("/bin/sh")
            .args(["-c", script, "check"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// `id -u`, because the standard library has no `geteuid` and unsafe code is forbidden.
fn is_root() -> Result<bool> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .context("cannot run `id -u`")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

/// The uid and gid of `name` in the text of a passwd file.
fn lookup(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some((uid, gid))
    })
}

#[cfg(test)]
mod tests {
    use super::lookup;

    #[test]
    fn finds_an_account_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:admin:/var:/bin/sh\n";
        assert_eq!(lookup(passwd, "postgres"), Some((101, 104)));
        assert_eq!(lookup(passwd, "nobody"), None);
    }
}
