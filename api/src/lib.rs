//! errand-api: the front. It accepts messages, waits for their runs, and serves what its users may read.
//!
//! It holds no state about users: every request proves who it is from, and every answer comes from the database.

use std::{io, net::SocketAddr, sync::Arc};

use errand_core::{
    prices::Prices,
    user_queue::{Bounds, UserQueue},
};
use errand_server::{
    auth::Verifier,
    serve,
    supervise::{Supervisor, TaskFailure},
    wake::Wakes,
};
use errand_store::{self as store, Pool, Rest, UserPool};
use errand_tools::{TaskServer, http::Access};
use futures::future::BoxFuture;
use http::HeaderValue;
use secrecy::ExposeSecret;
use tokio::{net::TcpListener, sync::OnceCell};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod accept;
mod admin;
mod auth;
mod body;
mod chat;
pub mod config;
mod connections;
mod decide;
mod error;
mod live;
mod metrics;
pub mod operate;
mod operator;
mod policy;
mod quota;
mod request;
mod retry;
mod routes;
mod shares;
mod spans;
mod task_watch;
mod wakes;

pub use config::{Config, Limits};

/// Connections for queries.
const POOL: u32 = 20;
/// What takes a user's lock: one thing of each user at a time, which is all that the lock would let through. A router gives up
/// after 30 s. What waits is a request that has been read: a message and its metadata.
const CHANGES: Bounds = Bounds {
    at_once: 1,
    waiting_of_one: 256,
    total: 10_000,
    patience: std::time::Duration::from_secs(20),
};
/// What a user reads: so much at the same time takes a small part of the pool and of the database's processors, and what waits is small.
const READS: Bounds = Bounds {
    at_once: 2,
    waiting_of_one: 1_024,
    total: 20_000,
    patience: std::time::Duration::from_secs(10),
};
/// Searches, which read all texts of a user: one at a time, and then a read like any other.
const SEARCHES: Bounds = Bounds {
    at_once: 1,
    waiting_of_one: 64,
    total: 10_000,
    patience: std::time::Duration::from_secs(10),
};
/// Connections that listen, or run what a pooler cannot.
const DIRECT_POOL: u32 = 2;
/// Time that open requests get to end after the stop; waiting ones are answered with 202 at once.
const STOP_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// What every handler works with.
#[derive(Clone)]
struct App {
    db: Pool,
    /// Ended by whoever uses it.
    rest: Arc<Rest>,
    /// The way to the pool for what takes a user's lock.
    users: Arc<UserPool>,
    /// The way to the pool for what a user reads.
    reads: Arc<UserPool>,
    /// In front of it, for what reads much.
    searches: Arc<UserQueue>,
    auth: Arc<Verifier>,
    waiting: Arc<live::waiters::Waiting>,
    histories: Arc<body::Histories>,
    broker: Arc<live::broker::EventBroker>,
    task_watch: Arc<task_watch::TaskWatch>,
    pages: Arc<live::subscription::Pages>,
    connections: Arc<connections::Connections>,
    /// The sockets that have not closed.
    open_sockets: TaskTracker,
    trusted_proxies: u8,
    /// Origins whose pages may connect.
    origins: Arc<[HeaderValue]>,
    ui: Arc<routes::Ui>,
    /// What the operator's page needs, if there is one.
    admin: Option<Arc<admin::Admin>>,
    limits: Limits,
    policy: Arc<policy::Policy>,
    /// What tokens cost, by model; empty if nobody has said.
    prices: Arc<Prices>,
    metrics: Arc<metrics::Metrics>,
    /// Filled once the database has been seen with every migration.
    ready: Arc<OnceCell<()>>,
    stop: CancellationToken,
}

/// Why the API could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ApiStartError {
    /// The port is taken, or may not be used.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// The server failed.
    #[error(transparent)]
    Serve(#[from] io::Error),
    /// The client for the identity provider could not be built.
    #[error("identity provider: {0}")]
    Http(#[from] reqwest::Error),
    /// A task that the process cannot do without has ended.
    #[error(transparent)]
    Task(#[from] TaskFailure),
    /// What an operator asked for cannot be done.
    #[error("{0}")]
    Operate(String),
    /// The database is unusable.
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

/// An API that is bound to its port.
///
/// What is awaited here is boxed, so that its code is made once, in this library, and not again in each program and test.
pub struct Api {
    listener: TcpListener,
    router: axum::Router,
    app: App,
    tools: TaskServer,
    direct: Pool,
    /// The workers that may sleep.
    wakes: Wakes,
}

impl Api {
    /// Binds the port. The database need not be up yet: `/readyz` tells.
    ///
    /// # Errors
    /// The port is taken, or a client cannot be built.
    pub fn build(
        config: &Config,
        stop: CancellationToken,
    ) -> BoxFuture<'_, Result<Self, ApiStartError>> {
        Box::pin(Self::bind(config, stop))
    }

    async fn bind(config: &Config, stop: CancellationToken) -> Result<Self, ApiStartError> {
        let address = SocketAddr::new(config.host, config.port);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| ApiStartError::Bind(address, error))?;
        let url = &config.database.database_url;
        let direct_url = config.database.direct_url();
        let is_direct = url.expose_secret() == direct_url.expose_secret();
        let rest = Arc::new(Rest::new(config.sleep.sleep_after));
        let wakes = Wakes::new(config.wake.urls().unwrap_or_default())?;
        if rest.may_sleep() && wakes.is_empty() {
            tracing::warn!(
                "SLEEP_AFTER is set and WAKE_URLS is not: workers that sleep are not told of messages"
            );
        }
        let db = store::pool(url.expose_secret(), "errand-api", POOL, is_direct)?
            .stirring(Arc::clone(&rest));
        let mut metrics = metrics::Metrics::default();
        metrics.measure_waits(&db);
        let app = App {
            broker: Arc::new(live::broker::EventBroker::new(
                db.clone(),
                metrics.dropped.clone(),
            )),
            users: Arc::new(UserPool::new(db.clone(), CHANGES)),
            reads: Arc::new(UserPool::new(db.clone(), READS)),
            searches: Arc::new(UserQueue::new(SEARCHES)),
            db,
            rest,
            auth: Arc::new(Verifier::new(&config.auth)?),
            waiting: Arc::default(),
            task_watch: Arc::default(),
            pages: Arc::default(),
            histories: Arc::default(),
            connections: Arc::default(),
            open_sockets: TaskTracker::new(),
            trusted_proxies: config.trusted_proxies,
            origins: config.allowed_origins().into(),
            ui: Arc::new(routes::Ui::new(
                config.auth.issuer(),
                config.auth.stand_in_sign_in,
            )),
            admin: config.admin_token().map(admin::Admin::new).map(Arc::new),
            limits: config.limits,
            prices: Arc::new(config.prices().unwrap_or_default()),
            policy: Arc::new(policy::Policy::new(&config.policy)),
            metrics: Arc::new(metrics),
            ready: Arc::default(),
            stop,
        };
        let direct = store::pool(
            direct_url.expose_secret(),
            "errand-api-listen",
            DIRECT_POOL,
            true,
        )?;
        let tools = TaskServer::for_bearers(app.db.clone(), config.mcp.rate_calls_per_minute);
        let access = Access::within_application(
            &app.auth,
            config.auth.issuer(),
            &config.mcp,
            &config.origins,
        );
        let mcp = errand_tools::http::routes(tools.clone(), access);
        let router = routes::router(app.clone(), mcp);
        Ok(Self {
            listener,
            router,
            app,
            tools,
            direct,
            wakes,
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
    /// The server failed, or the database stayed unusable for a minute after the start.
    pub fn serve(self) -> BoxFuture<'static, Result<(), ApiStartError>> {
        Box::pin(self.serve_until_stopped())
    }

    async fn serve_until_stopped(self) -> Result<(), ApiStartError> {
        let Self {
            listener,
            router,
            app,
            tools,
            direct,
            wakes,
        } = self;
        let stop = app.stop.clone();
        tracing::info!(address = %listener.local_addr()?, "serving");

        // Whatever lives as long as the process is started here, and nowhere with a bare spawn.
        let supervisor = Supervisor::default();
        let listening = live::listener::listen(
            direct.clone(),
            Arc::clone(&app.rest),
            Arc::clone(&app.waiting),
            Arc::clone(&app.broker),
            Arc::clone(&app.task_watch),
            stop.clone(),
        );
        supervisor.permanent("listener", &stop, listening);
        let waiting = Arc::clone(&app.waiting).poll(app.db.clone(), stop.clone());
        supervisor.permanent("waiting", &stop, waiting);
        let rest = Arc::clone(&app.rest);
        let reading = Arc::clone(&app.broker).run(Arc::clone(&rest), stop.clone());
        supervisor.permanent("broker", &stop, reading);
        if !wakes.is_empty() {
            let waking = wakes::keep(wakes, app.db.clone(), rest, stop.clone());
            supervisor.permanent("wakes", &stop, waking);
        }

        let served = async {
            serve::serve(listener, router, stop.clone()).await;
            // Nothing upgrades any more; those that have say why they close, and need a moment for it.
            app.open_sockets.close();
            app.open_sockets.wait().await;
        };
        let work = async {
            let result = tokio::select! {
                () = Box::pin(served) => Ok(()),
                error = never_ready(&app, &direct) => Err(error),
                () = too_late(&stop) => {
                    tracing::warn!("some requests did not end in time");
                    Ok(())
                }
            };
            // Sockets elsewhere hear of the last calls.
            tools.told().await;
            result
        };
        let result = supervisor.watch(&stop, Box::pin(work)).await;
        stop.cancel();
        if !matches!(result, Err(ApiStartError::Task(_))) {
            supervisor.ended().await;
        }
        tracing::info!("stopped");
        result
    }
}

/// Watches for the first time the database is usable; ends only if it never is.
async fn never_ready(app: &App, direct: &Pool) -> ApiStartError {
    let ready = async {
        store::wait_until_current(&app.db).await?;
        store::trusted(direct).await
    };
    match ready.await {
        Ok(()) => {
            let _ = app.ready.set(());
            tracing::info!("the database is ready");
            std::future::pending().await
        }
        Err(error) => error.into(),
    }
}

async fn too_late(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOP_TIMEOUT).await;
}
