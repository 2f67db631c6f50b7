//! Where a worker can be asked how it is: `/metrics` and `/healthz`, on a port of their own. There it is woken, too, if it sleeps: `/wake`.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    response::IntoResponse,
    routing::{get, post},
};
use errand_server::{metrics::CONTENT_TYPE, serve};
use errand_store::{Pool, Rest};
use http::{StatusCode, header};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Metrics;
use crate::queue::Slots;

/// A server that is bound to its port.
pub(crate) struct Server {
    listener: TcpListener,
    router: Router,
}

impl Server {
    /// Binds the port, on all IPv4 addresses.
    ///
    /// # Errors
    /// The port is taken, or may not be used.
    pub(crate) async fn bind(
        port: u16,
        metrics: Arc<Metrics>,
        slots: Slots,
        pool: Pool,
        rest: Arc<Rest>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await?;
        let text = move || {
            let text = metrics.text(slots.busy(), slots.all, pool.usage());
            async { ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response() }
        };
        let wake = move || {
            rest.stir();
            async { StatusCode::NO_CONTENT }
        };
        let healthy = async || axum::Json(serde_json::json!({"status": "ok"}));
        let router = Router::new()
            .route("/metrics", get(text))
            .route("/healthz", get(healthy))
            .route("/wake", post(wake));
        Ok(Self { listener, router })
    }

    /// Answers until `stop`.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        if let Ok(address) = self.listener.local_addr() {
            tracing::info!(%address, "metrics");
        }
        serve::serve(self.listener, self.router, stop).await;
    }
}
