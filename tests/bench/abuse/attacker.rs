//! The attacker as a process of its own: elsewhere, in truth, so here its own work gets the processor only when nobody else wants it.
//!
//! It is this program again, under `nice`. It attacks until its standard input ends, and then tells what it was answered.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, Read},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use errand_devkit::process::Process;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::{
    attacks::{Attack, Counts, Target},
    stage::Stage,
};

/// For an attack to come to its end.
const END: Duration = Duration::from_secs(60);

/// Whom to attack, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Orders {
    /// Be the attacker of this program
    #[arg(long, hide = true, requires_all = ["api", "mcp", "token"])]
    attack: Option<Attack>,
    #[arg(long, hide = true, default_value = "")]
    api: String,
    #[arg(long, hide = true, default_value = "")]
    mcp: String,
    #[arg(long, hide = true, default_value = "")]
    token: String,
}

/// What the attacker was answered, and how often.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Answers(BTreeMap<String, usize>);

impl Answers {
    pub(crate) fn total(&self) -> usize {
        self.0.values().sum()
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers = self
            .0
            .iter()
            .map(|(what, times)| format!("{what}: {times}"));
        f.write_str(&answers.collect::<Vec<_>>().join(", "))
    }
}

impl Orders {
    /// Attacks, if that is what this process is for.
    pub(crate) async fn follow(&self, at_once: usize) -> Option<Result<()>> {
        let attack = self.attack?;
        Some(self.attack(attack, at_once).await)
    }

    #[expect(clippy::print_stdout, reason = "the parent reads it")]
    async fn attack(&self, attack: Attack, at_once: usize) -> Result<()> {
        let stop = CancellationToken::new();
        let left = stop.clone();
        std::thread::spawn(move || {
            let _ = io::stdin().read_to_end(&mut Vec::new());
            left.cancel();
        });
        let target = Target::new(&self.api, &self.mcp, &self.token)?;
        let counts = Counts::default();
        attack.run(target, at_once, &counts, stop).await?;
        println!("{}", serde_json::to_string(&Answers(counts.all()))?);
        Ok(())
    }
}

/// An attack under way.
pub(crate) struct Attacker(Process);

impl Attacker {
    pub(crate) fn start(stage: &Stage, attack: Attack, at_once: usize) -> Result<Self> {
        let attack = attack.to_possible_value().context("no name")?;
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"])
            .arg(std::env::current_exe()?)
            .args(["--attack", attack.get_name()])
            .args(["--at-once", &at_once.to_string()])
            .args(["--api", &stage.api, "--mcp", &stage.mcp])
            .args(["--token", &stage.attackers_token])
            .stdin(Stdio::piped());
        Ok(Self(Process::start_heard(
            "the attacker",
            &mut nice,
            |_| (),
        )?))
    }

    /// Ends the attack; what it was answered.
    pub(crate) async fn stop(mut self) -> Result<Answers> {
        self.0.hang_up();
        let told = self.0.until_says("{", END).await?;
        let status = self.0.ends(END).await?;
        ensure!(status.success(), "the attacker ended with {status}");
        Ok(serde_json::from_str(&told)?)
    }
}
