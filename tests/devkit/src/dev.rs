//! `cargo dev`: a private Postgres, the stand-ins that are needed, and API and worker as the same code that ships.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use errand_api::Api;
use errand_server::{config, process, telemetry, trace};
use errand_store::db::migrate;
use errand_worker::Worker;
use tokio_util::sync::CancellationToken;

use crate::{
    identity::{IdentityOptions, IdentityProvider},
    model::{PlainModel, PlainSettings},
    postgres::ClusterOptions,
    system::{Arguments, Database},
};

mod banner;

/// The whole system on one machine: Postgres, API, worker, and stand-ins for what is not configured
#[derive(Debug, Parser)]
#[command(name = "cargo dev")]
struct DevConfig {
    /// Port of the API
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,

    /// Address to listen on; the stand-in identity provider trusts everybody, so this machine only
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,

    /// Use this database instead of a private one
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,

    /// Use this identity provider instead of the stand-in
    #[arg(long, env = "BETTER_AUTH_URL")]
    better_auth_url: Option<String>,

    /// Use this provider instead of the stand-in model
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    openai_api_key: Option<String>,

    /// As above, for providers that want no key
    #[arg(long, env = "OPENAI_BASE_URL")]
    openai_base_url: Option<String>,

    /// As above, by the name of a preset
    #[arg(long, env = "OPENAI_PROVIDER")]
    openai_provider: Option<String>,

    /// As above, for Gemini
    #[arg(long, env = "GEMINI_API_KEY", hide_env_values = true)]
    gemini_api_key: Option<String>,

    /// Where everything that lasts is kept [default: .errand in the clone]
    #[arg(long)]
    state: Option<PathBuf>,

    #[command(flatten)]
    log: config::LogConfig,
}

/// Runs until Ctrl-C.
pub async fn main() -> ExitCode {
    let config = match config::load(DevConfig::try_parse, |_| Ok(())) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(invalid) = telemetry::start(&config.log) {
        return config::refuse(&invalid);
    }
    let stop = CancellationToken::new();
    match process::until_terminated(stop.clone(), Box::pin(run(&config, stop))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            banner::failed(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(config: &DevConfig, stop: CancellationToken) -> Result<()> {
    // Before anything is started: a taken port is the most common trouble.
    let address = SocketAddr::new(config.host, config.port);
    if let Err(error) = TcpListener::bind(address) {
        bail!(
            "port {} cannot be used ({error}); choose another: PORT=8090 cargo dev",
            config.port
        );
    }
    let state = state_dir(config.state.as_deref())?;
    let parts = Parts::start(config, &state).await?;

    let api = parts.api_config(config)?;
    trace::start(&api.trace, "errand-dev")?;
    let api = Api::build(&api, stop.clone()).await?;
    let worker = Worker::build(&parts.worker_config()?).await?;
    banner::started(config, &parts, api.address()?);
    let result = tokio::try_join!(
        async { api.serve().await.map_err(anyhow::Error::from) },
        async { worker.run(stop.clone()).await.map_err(anyhow::Error::from) },
    );
    stop.cancel();
    parts.stop().await?;
    result.map(|_| ())
}

/// Makes the folder for everything that lasts.
fn state_dir(given: Option<&Path>) -> Result<PathBuf> {
    let clone = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("the clone has no folder")?;
    let state = given.map_or_else(|| clone.join(".errand"), Path::to_path_buf);
    std::fs::create_dir_all(&state).with_context(|| format!("cannot make {}", state.display()))?;
    Ok(state)
}

/// What runs beside API and worker.
struct Parts {
    database: Database,
    identity: Option<IdentityProvider>,
    model: Option<PlainModel>,
}

impl Parts {
    async fn start(config: &DevConfig, state: &Path) -> Result<Self> {
        let database = match given(&config.database_url) {
            Some(url) => {
                migrate::run(url).await.context("migrations")?;
                Database::given(url)
            }
            None => Database::private(ClusterOptions::durable(state)).await?,
        };
        let identity = match given(&config.better_auth_url) {
            Some(_) => None,
            None => Some(identity(config.port, state).await?),
        };
        let has_model = [
            &config.openai_api_key,
            &config.openai_base_url,
            &config.openai_provider,
            &config.gemini_api_key,
        ];
        let model = match has_model.into_iter().any(|value| given(value).is_some()) {
            true => None,
            false => Some(PlainModel::start(PlainSettings::default()).await?),
        };
        Ok(Self {
            database,
            identity,
            model,
        })
    }

    /// The API's own configuration, with the parts filled in; all else comes from the environment as ever.
    fn api_config(&self, config: &DevConfig) -> Result<errand_api::Config> {
        let mut arguments = Arguments::new()
            .with("--database-url", self.database.url())
            .with("--port", config.port)
            .with("--host", config.host);
        if let Some(identity) = &self.identity {
            arguments = arguments.with("--better-auth-url", identity.issuer());
            arguments = arguments.and(&["--stand-in-sign-in"]);
        }
        arguments.api_config()
    }

    fn worker_config(&self) -> Result<errand_worker::Config> {
        // Ctrl-C should feel like one.
        let mut arguments = Arguments::worker(self.database.url()).with("--drain-timeout", "2s");
        if let Some(model) = &self.model {
            arguments = arguments
                .with("--openai-base-url", model.base_url())
                .with("--openai-model", "stand-in");
        }
        arguments.worker_config()
    }

    async fn stop(self) -> Result<()> {
        self.database.stop().await
    }
}

/// The stand-in at the port after the API's, so that tokens survive a restart; at any other if that one is taken.
async fn identity(api_port: u16, state: &Path) -> Result<IdentityProvider> {
    let key_file = Some(state.join("identity.key"));
    let options = IdentityOptions {
        key_file: key_file.clone(),
        port: next_port(api_port),
    };
    match IdentityProvider::start(options).await {
        Ok(identity) => Ok(identity),
        Err(_) => {
            IdentityProvider::start(IdentityOptions {
                key_file,
                port: None,
            })
            .await
        }
    }
}

/// None for port 0, which is any port.
fn next_port(port: u16) -> Option<u16> {
    port.checked_add(1).filter(|_| port != 0)
}

fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}
