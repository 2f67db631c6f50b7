//! A slot of the platform: one process that is started again whenever it ends, as the platform would.

use std::{
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::ExitStatus,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use errand_core::faults::{self, NO_FENCE};
use errand_devkit::{
    process::{self, Process},
    proxy::Proxy,
    system::Arguments,
};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use tokio::{task::JoinHandle, time::sleep};

use crate::history::History;

/// Between the end of a process and the next start.
const RESTART: Duration = Duration::from_millis(150);
/// Share of starts with a fail point.
const WITH_FAIL_POINT: f64 = 0.6;
/// Share of worker starts under another clock.
const WITH_OTHER_CLOCK: f64 = 0.2;
/// Between two looks at a process.
const LOOK: Duration = Duration::from_secs(1);
/// A process that was asked to stop must be gone by then; a platform kills after 30 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
const LIBFAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// What abort sends.
const SIGABRT: i32 = 6;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Api,
    Worker,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Worker => "worker",
        }
    }

    /// The fail points that this kind of process comes to.
    fn points(self) -> Vec<&'static str> {
        let is_api = |point: &&str| point.starts_with("accept.") || point.starts_with("answer.");
        let points = faults::POINTS.iter().copied();
        points
            .filter(|point| is_api(point) == (self == Self::Api))
            .collect()
    }
}

/// How the slot's process is started.
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Arguments,
    /// A safeguard that is taken away.
    pub(crate) mutation: Option<&'static str>,
    /// Stands still at some of its tool calls, until somebody wakes it.
    pub(crate) freezes: bool,
    pub(crate) log: PathBuf,
    pub(crate) seed: u64,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) kind: Kind,
    pub(crate) name: Arc<str>,
    pub(crate) proxy: Proxy,
    pid: Arc<Mutex<Option<u32>>>,
    faults: Arc<AtomicBool>,
    leaving: Arc<AtomicBool>,
}

impl Slot {
    /// Fills a slot.
    pub(crate) fn fill(
        name: String,
        plan: Plan,
        proxy: Proxy,
        history: Arc<History>,
    ) -> (Self, JoinHandle<Result<()>>) {
        let slot = Self {
            kind: plan.kind,
            name: name.into(),
            proxy,
            pid: Arc::default(),
            faults: Arc::new(AtomicBool::new(true)),
            leaving: Arc::default(),
        };
        let keeper = tokio::spawn(slot.clone().keep(plan, history));
        (slot, keeper)
    }

    /// Sends a signal by name to the process, if there is one.
    pub(crate) async fn signal(&self, signal: &str) {
        let pid = *self.pid.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = pid {
            let _ = process::signal(pid, signal).await;
        }
    }

    /// Ends every fault; from the next start on the process is left in peace.
    pub(crate) async fn heal(&self) {
        self.faults.store(false, Ordering::Relaxed);
        self.proxy.reopen();
        self.proxy.cut();
        self.signal("CONT").await;
    }

    /// Asks the process to stop, for good.
    pub(crate) async fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.signal("CONT").await;
        self.signal("TERM").await;
    }

    async fn keep(self, plan: Plan, history: Arc<History>) -> Result<()> {
        let mut random = StdRng::seed_from_u64(plan.seed);
        let mut points = Vec::new();
        loop {
            if points.is_empty() {
                points = plan.kind.points();
                points.shuffle(&mut random);
            }
            let faults = self.faults.load(Ordering::Relaxed) && plan.mutation != Some(NO_FENCE);
            let point = (faults && random.random_bool(WITH_FAIL_POINT))
                .then(|| points.pop())
                .flatten();
            let skipped = random.random_range(0..12);
            let other_clock = faults
                && plan.kind == Kind::Worker
                && PathBuf::from(LIBFAKETIME).exists()
                && random.random_bool(WITH_OTHER_CLOCK);
            let clock = other_clock.then(|| ["+1h", "-1h"][random.random_range(0..2)]);
            let mut process = start(&plan, point.map(|point| (point, skipped)), clock)?;
            if let Some(clock) = clock {
                history.fault(&format!("clock {clock}"), Some(&self.name));
            }
            *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.pid());
            let status = self.wait(&mut process).await?;
            *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = None;
            match (status.signal(), point) {
                (Some(SIGABRT), Some(point)) => {
                    history.fault(&format!("fail point {point}"), Some(&self.name));
                }
                (Some(SIGABRT), None) => anyhow::bail!("{} aborted", plan.kind.name()),
                (None, _) if !status.success() => {
                    let what = format!("{} gave up by itself", plan.kind.name());
                    history.fault(&what, Some(&self.name));
                }
                _ => {}
            }
            if self.leaving.load(Ordering::Relaxed) {
                return Ok(());
            }
            sleep(RESTART).await;
        }
    }

    /// Waits for the end of a process. One that was asked to leave has to be gone in time.
    async fn wait(&self, process: &mut Process) -> Result<ExitStatus> {
        let mut asked = Duration::ZERO;
        loop {
            if let Some(status) = process.ended_within(LOOK).await? {
                return Ok(status);
            }
            if self.leaving.load(Ordering::Relaxed) {
                self.signal("CONT").await;
                asked += LOOK;
            }
            let kind = self.kind.name();
            ensure!(asked < STOP_TIMEOUT, "a {kind} does not stop when asked to");
        }
    }
}

fn start(plan: &Plan, point: Option<(&str, u32)>, clock: Option<&str>) -> Result<Process> {
    let mut failpoints: Vec<String> = Vec::new();
    if let Some((point, skipped)) = point {
        failpoints.push(format!("{point}={skipped}*off->1*return"));
    }
    if plan.freezes {
        failpoints.push("tool.before=60%return(freeze)".to_owned());
    }
    if let Some(mutation) = plan.mutation {
        failpoints.push(format!("{mutation}=return"));
    }
    let mut command = process::command(&plan.program);
    process::log_to(&mut command, &plan.log)?;
    command
        .args(plan.arguments.iter())
        .env("FAILPOINTS", failpoints.join(";"));
    if let Some(clock) = clock {
        command
            .env("LD_PRELOAD", LIBFAKETIME)
            .env("FAKETIME", clock);
        // Only the wall clock jumps: the monotonic one never does.
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    Process::start(plan.kind.name(), &mut command)
}

/// Whether clocks can be set at all here.
pub(crate) fn clocks_jump() -> bool {
    PathBuf::from(LIBFAKETIME).exists()
}
