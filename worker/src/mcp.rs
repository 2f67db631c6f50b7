//! errand-mcp: the five tools for MCP clients from outside, over HTTP with a bearer token or over standard input and output.
//!
//! It shares the tool server with the agent and nothing else: who the user is comes from the token (or the command line),
//! and each call is recorded in `mcp_calls` together with its effect. No sessions, no state between requests.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use errand_server::{auth::Verifier, serve};
use errand_store::{self as store, Pool, StoreError};
use errand_tools::{TaskServer, http::Access};
use futures::future::BoxFuture;
use rmcp::{ServiceExt, service::ServerInitializeError};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub mod config;
mod http;

pub use config::Config;

/// Connections for queries; a call holds one for moments.
const POOL: u32 = 20;

/// Time that open requests get to end after the stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Why errand-mcp could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// The port is taken, or may not be used.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// The client for the identity provider could not be built.
    #[error("identity provider: {0}")]
    Http(#[from] reqwest::Error),
    /// The desktop client does not speak MCP.
    #[error("the client does not speak MCP: {0}")]
    Handshake(Box<ServerInitializeError>),
    /// The database is unusable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Serves what the configuration says until the stop. Boxed, as [`crate::Worker::run`] is.
///
/// # Errors
/// It could not start, or the database stayed unusable for a minute after the start.
pub fn run(config: &Config, stop: CancellationToken) -> BoxFuture<'_, Result<(), McpError>> {
    Box::pin(async move {
        match &config.user {
            Some(user) => stdio(config, user, stop).await,
            None => HttpServer::build(config, stop).await?.serve().await,
        }
    })
}

fn pool(config: &Config, connections: u32) -> Result<Pool, StoreError> {
    let url = config.database.database_url.expose_secret();
    let is_direct = url == config.database.direct_url().expose_secret();
    store::pool(url, "errand-mcp", connections, is_direct)
}

async fn too_late(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_TIMEOUT).await;
}

/// Ends only if the database is not usable within a minute.
async fn never_ready(pool: Pool) -> McpError {
    match store::wait_until_current(&pool).await {
        Ok(()) => {
            tracing::info!("the database is ready");
            std::future::pending().await
        }
        Err(error) => error.into(),
    }
}

/// Speaks MCP with the one client at the other end of standard input and output, until it hangs up.
async fn stdio(config: &Config, user: &str, stop: CancellationToken) -> Result<(), McpError> {
    let pool = pool(config, 4)?;
    let server = TaskServer::for_user(pool.clone(), user, config.mcp.rate_calls_per_minute);
    let conversation = async {
        let running = Box::pin(server.clone().serve(rmcp::transport::stdio()))
            .await
            .map_err(|error| McpError::Handshake(Box::new(error)))?;
        if let Err(error) = running.waiting().await
            && let Ok(panic) = error.try_into_panic()
        {
            // The task that speaks with the client is all there is to this process.
            std::panic::resume_unwind(panic);
        }
        Ok(())
    };
    let result = tokio::select! {
        result = conversation => result,
        error = never_ready(pool.clone()) => Err(error),
        () = stop.cancelled() => Ok(()),
    };
    server.told().await;
    pool.close().await;
    result
}

/// A server that is bound to its port.
pub struct HttpServer {
    listener: TcpListener,
    router: Router,
    tools: TaskServer,
    pool: Pool,
    /// No URL of its own is configured.
    unnamed: bool,
    stop: CancellationToken,
}

impl HttpServer {
    /// Binds the port. The database need not be up yet: `/readyz` tells.
    ///
    /// # Errors
    /// The port is taken, or a client cannot be built.
    pub fn build(
        config: &Config,
        stop: CancellationToken,
    ) -> BoxFuture<'_, Result<Self, McpError>> {
        Box::pin(Self::bind(config, stop))
    }

    async fn bind(config: &Config, stop: CancellationToken) -> Result<Self, McpError> {
        let address = SocketAddr::new(config.host, config.port);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| McpError::Bind(address, error))?;
        let verifier = Verifier::new(&config.auth)?;
        let issuer = config.auth.issuer();
        let access = Access::alone(&verifier, issuer, &config.mcp, &config.origins);
        let pool = pool(config, POOL)?;
        let server = TaskServer::for_bearers(pool.clone(), config.mcp.rate_calls_per_minute);
        let router = http::router(
            errand_tools::http::routes(server.clone(), access),
            pool.clone(),
        );
        Ok(Self {
            listener,
            router,
            tools: server,
            pool,
            unnamed: config.mcp.public_url().is_none(),
            stop,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket has no address any more.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the stop; then finishes what is open, within a bound.
    ///
    /// # Errors
    /// The database stayed unusable for a minute after the start.
    pub fn serve(self) -> BoxFuture<'static, Result<(), McpError>> {
        Box::pin(self.serve_until_stopped())
    }

    async fn serve_until_stopped(self) -> Result<(), McpError> {
        if self.unnamed {
            tracing::warn!(
                "MCP_URL is not set: clients that ask for a token for this server (RFC 8707) are refused"
            );
        }
        if let Ok(address) = self.address() {
            tracing::info!(%address, "serving");
        }
        let result = tokio::select! {
            () = Box::pin(serve::serve(self.listener, self.router, self.stop.clone())) => Ok(()),
            error = never_ready(self.pool.clone()) => Err(error),
            () = too_late(&self.stop) => {
                tracing::warn!("some requests did not end in time");
                Ok(())
            }
        };
        self.tools.told().await;
        self.pool.close().await;
        tracing::info!("stopped");
        result
    }
}
