//! Everything that runs: Postgres, the stand-ins, and the slots with the programs, each behind a proxy of its own.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use errand_core::faults::NO_FENCE;
use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    model::ScriptedModel,
    postgres::{Cluster, ClusterOptions},
    process,
    programs::{self, Build},
    proxy::Proxy,
};
use errand_store::db::migrate;
use tokio::task::JoinSet;

use crate::{
    history::History,
    model_script,
    slot::{Kind, Plan, Slot},
};

/// Time until an API must be ready.
const READY: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    cluster: Cluster,
    pub(crate) identity: Arc<IdentityProvider>,
    _model: ScriptedModel,
    /// The database, without a proxy.
    pub(crate) database: String,
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
    pub(crate) mutation: Option<&'static str>,
}

impl Stage {
    /// Builds the programs and starts everything, with data and logs in this folder.
    pub(crate) async fn open(state: &Path, size: &Size, history: &Arc<History>) -> Result<Self> {
        let programs = tokio::task::spawn_blocking(|| programs::build(Build::FailPoints)).await??;
        let cluster = Cluster::start(ClusterOptions::durable(state)).await?;
        cluster.ensure_database("errand").await?;
        let database = cluster.url("errand");
        migrate::run(&database).await?;
        let identity = Arc::new(IdentityProvider::start(IdentityOptions::default()).await?);
        let model = ScriptedModel::start().await?;
        model.script(model_script::answer);
        let mut stage = Self {
            cluster,
            identity,
            database,
            apis: Vec::new(),
            slots: Vec::new(),
            keepers: JoinSet::new(),
            _model: model,
        };
        for n in 0..size.apis {
            let port = process::free_port();
            let environment = stage.api(port);
            stage.apis.push(format!("http://127.0.0.1:{port}"));
            stage
                .fill(Kind::Api, n, environment, &programs, state, size, history)
                .await?;
        }
        let base_url = stage._model.base_url();
        for n in 0..size.workers {
            let environment = vec![
                ("OPENAI_BASE_URL".to_owned(), base_url.clone()),
                ("OPENAI_API_KEY".to_owned(), "chaos".to_owned()),
            ];
            stage
                .fill(
                    Kind::Worker,
                    n,
                    environment,
                    &programs,
                    state,
                    size,
                    history,
                )
                .await?;
        }
        stage.ready().await?;
        Ok(stage)
    }

    fn api(&self, port: u16) -> Vec<(String, String)> {
        [
            ("PORT", port.to_string()),
            ("HOST", "127.0.0.1".to_owned()),
            ("BETTER_AUTH_URL", self.identity.issuer().to_owned()),
            ("RATE_RUNS_PER_MINUTE", "0".to_owned()),
            ("MAX_ACTIVE_RUNS", "0".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    #[expect(clippy::too_many_arguments, reason = "called twice, above")]
    async fn fill(
        &mut self,
        kind: Kind,
        n: u16,
        mut environment: Vec<(String, String)>,
        programs: &Path,
        state: &Path,
        size: &Size,
        history: &Arc<History>,
    ) -> Result<()> {
        let proxy = Proxy::open(&self.database).await?;
        environment.push(("DATABASE_URL".to_owned(), proxy.url().to_owned()));
        let (program, salt) = match kind {
            Kind::Api => ("errand-api", 1000),
            Kind::Worker => ("errand-worker", 2000),
        };
        let name = format!("{}-{n}", kind.name());
        let plan = Plan {
            kind,
            program: programs.join(program),
            environment,
            mutation: size.mutation.filter(|_| kind == Kind::Worker),
            // One stays awake, to take over.
            freezes: kind == Kind::Worker && n > 0 && size.mutation == Some(NO_FENCE),
            log: state.join(format!("{program}-{n}.log")),
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
        self.cluster.stop().await
    }
}
