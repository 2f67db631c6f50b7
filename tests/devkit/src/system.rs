//! A whole system: a migrated database, an identity provider and a model, and around them APIs and workers, in this process
//! ([`InProcess`]) or as processes of their own ([`Programs`]).
//!
//! ```no_run
//! # use errand_devkit::{postgres::ClusterOptions, system::{Database, InProcess, System}};
//! # async fn start() -> anyhow::Result<()> {
//! let system = System::scripted(Database::private(ClusterOptions::throwaway()).await?).await?;
//! let mut here = InProcess::default();
//! let url = here.api(&system.api().unlimited()).await?;
//! here.worker(&system.worker(&system.model.base_url())).await?;
//! # Ok(()) }
//! ```

use anyhow::{Context, Result};
use errand_store::db::migrate;

use crate::{
    identity::{IdentityOptions, IdentityProvider},
    model::ScriptedModel,
    postgres::{Cluster, ClusterOptions},
};

mod arguments;
mod in_process;
mod programs;

pub use arguments::Arguments;
pub use in_process::InProcess;
pub use programs::{Programs, Served};

/// The database of a private server that is the system's.
const NAME: &str = "errand";

/// What stays while APIs and workers come and go.
#[derive(Debug)]
pub struct System<M> {
    pub database: Database,
    pub identity: IdentityProvider,
    pub model: M,
}

impl System<ScriptedModel> {
    /// On this database, with a model that says what it is told to say.
    ///
    /// # Errors
    /// There is no port left.
    pub async fn scripted(database: Database) -> Result<Self> {
        Self::around(database, ScriptedModel::start().await?).await
    }
}

impl<M> System<M> {
    /// On this database, with this model.
    ///
    /// # Errors
    /// There is no port left.
    pub async fn around(database: Database, model: M) -> Result<Self> {
        Ok(Self {
            database,
            identity: IdentityProvider::start(IdentityOptions::default()).await?,
            model,
        })
    }

    /// The arguments of an API.
    pub fn api(&self) -> Arguments {
        Arguments::server(self.database.url(), self.identity.issuer())
    }

    /// The arguments of a worker whose model is at this base URL and asks for no certain key.
    pub fn worker(&self, model_url: &str) -> Arguments {
        Arguments::worker(self.database.url()).model(model_url, "x")
    }

    /// Stops what was started for it.
    ///
    /// # Errors
    /// The server does not stop.
    pub async fn stop(self) -> Result<()> {
        drop((self.identity, self.model));
        self.database.stop().await
    }
}

/// A migrated database, on a private server or a given one.
#[derive(Debug)]
pub struct Database {
    url: String,
    cluster: Option<Cluster>,
}

impl Database {
    /// On a server that is started for it.
    ///
    /// # Errors
    /// It does not start, or a migration fails.
    pub async fn private(options: ClusterOptions) -> Result<Self> {
        Self::on(Cluster::start(options).await?).await
    }

    /// On this server.
    ///
    /// # Errors
    /// A migration fails.
    pub async fn on(cluster: Cluster) -> Result<Self> {
        let url = migrated(&cluster, NAME).await?;
        let cluster = Some(cluster);
        Ok(Self { url, cluster })
    }

    /// One that is there, and migrated.
    pub fn given(url: impl Into<String>) -> Self {
        let (url, cluster) = (url.into(), None);
        Self { url, cluster }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its private server.
    ///
    /// # Errors
    /// The database was given, and so is on somebody else's.
    pub fn server(&self) -> Result<&Cluster> {
        self.cluster.as_ref().context("it is on no private server")
    }

    /// Stops the private server, if there is one.
    ///
    /// # Errors
    /// It does not stop.
    pub async fn stop(self) -> Result<()> {
        match self.cluster {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }
}

/// Makes a database of this name on a server, unless it is there, and migrates it; its URL.
///
/// # Errors
/// The server refuses, or a migration fails.
pub async fn migrated(cluster: &Cluster, name: &str) -> Result<String> {
    cluster.ensure_database(name).await?;
    let url = cluster.url(name);
    migrate::run(&url).await.context("migrations")?;
    Ok(url)
}
