//! Everything that runs: Postgres, the stand-ins, and the slots with the programs, each behind a proxy of its own.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use errand_core::faults::NO_FENCE;
use errand_devkit::{
    identity::IdentityProvider,
    model::ScriptedModel,
    postgres::ClusterOptions,
    process,
    programs::Build,
    proxy::Proxy,
    system::{Arguments, Database, Programs, System},
};
use tokio::task::JoinSet;

use crate::{
    history::History,
    model_script,
    slot::{Kind, Plan, Slot},
};

/// Time until an API must be ready.
const READY: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    /// Of the database, without a proxy.
    pub(crate) database_url: String,
    pub(crate) identity: Arc<IdentityProvider>,
    database: Database,
    model: ScriptedModel,
    programs: Programs,
    /// Base URLs of the APIs.
    pub(crate) apis: Vec<String>,
    pub(crate) slots: Vec<Slot>,
    keepers: JoinSet<Result<()>>,
}

/// How large, and what is taken away.
pub(crate) struct Size {
    pub(crate) apis: u16,
    pub(crate) workers: u16,
    pub(crate) seed: u64,
    /// Calls that add tasks wait for a decision.
    pub(crate) approvals: bool,
    pub(crate) mutation: Option<&'static str>,
}

impl Stage {
    /// Builds the programs and starts everything, with data and logs in this folder.
    pub(crate) async fn open(state: &Path, size: &Size, history: &Arc<History>) -> Result<Self> {
        let programs = Programs::build(Build::FailPoints, state).await?;
        let database = Database::private(ClusterOptions::durable(state)).await?;
        let System {
            database,
            identity,
            model,
        } = System::scripted(database).await?;
        model.script(model_script::answer);
        let mut stage = Self {
            database_url: database.url().to_owned(),
            identity: Arc::new(identity),
            database,
            model,
            programs,
            apis: Vec::new(),
            slots: Vec::new(),
            keepers: JoinSet::new(),
        };
        for n in 0..size.apis {
            stage.fill(Kind::Api, n, size, history).await?;
        }
        for n in 0..size.workers {
            stage.fill(Kind::Worker, n, size, history).await?;
        }
        stage.ready().await?;
        Ok(stage)
    }

    /// The arguments of a program whose way to the database is this one.
    fn arguments(&mut self, kind: Kind, database_url: &str) -> Arguments {
        match kind {
            Kind::Api => {
                let port = process::free_port();
                self.apis.push(format!("http://127.0.0.1:{port}"));
                let api = Arguments::server(database_url, self.identity.issuer());
                api.unlimited().with("--port", port)
            }
            Kind::Worker => Arguments::worker(database_url).model(&self.model.base_url(), "chaos"),
        }
    }

    async fn fill(
        &mut self,
        kind: Kind,
        n: u16,
        size: &Size,
        history: &Arc<History>,
    ) -> Result<()> {
        let proxy = Proxy::open(self.database.url()).await?;
        let mut arguments = self.arguments(kind, proxy.url());
        if size.approvals && kind == Kind::Worker {
            arguments = arguments.with("--require-approval", "add_task");
        }
        let (program, salt) = match kind {
            Kind::Api => ("errand-api", 1000),
            Kind::Worker => ("errand-worker", 2000),
        };
        let name = format!("{}-{n}", kind.name());
        let plan = Plan {
            kind,
            program: self.programs.path(program),
            arguments,
            mutation: size.mutation.filter(|_| kind == Kind::Worker),
            // One stays awake, to take over.
            freezes: kind == Kind::Worker && n > 0 && size.mutation == Some(NO_FENCE),
            log: self.programs.log(&format!("{program}-{n}")),
            seed: size.seed.wrapping_mul(31) + salt + u64::from(n),
        };
        let (slot, keeper) = Slot::fill(name, plan, proxy, Arc::clone(history));
        self.slots.push(slot);
        self.keepers
            .spawn(async move { keeper.await.context("a keeper panicked")? });
        Ok(())
    }

    async fn ready(&self) -> Result<()> {
        for api in &self.apis {
            process::until_ready(&format!("{api}/readyz"), READY, || Ok(())).await?;
        }
        Ok(())
    }

    /// Stops the programs in good order. Postgres stays, for the checker.
    pub(crate) async fn leave(&mut self) -> Result<()> {
        for slot in &self.slots {
            slot.leave().await;
        }
        while let Some(ended) = self.keepers.join_next().await {
            ended.context("a keeper panicked")??;
        }
        Ok(())
    }

    /// Whether a slot could not be kept filled.
    pub(crate) async fn broken(&mut self) -> anyhow::Error {
        match self.keepers.join_next().await {
            Some(Ok(Err(error))) => error,
            _ => anyhow::anyhow!("a slot is empty"),
        }
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.database.stop().await
    }
}
