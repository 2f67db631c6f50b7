//! The HTTP server that every stand-in shares: routes, checks, the record of what came in.
//! Must not decide what to say; that is the [`Answers`]'s.

mod check;
mod ledger;
mod play;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::provider::{Asked, Provider};
use super::quirks::Dialect;
use super::scripted::Turn;
pub(super) use ledger::Ledger;
use play::Playback;
pub(super) use play::{Act, Reply};

/// Enough for any conversation, little enough that a runaway test fails on it.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

/// Says what to answer. Called once per accepted request.
pub(super) trait Answers: Send + Sync + 'static {
    fn turn(&self, request: &Value) -> Turn;

    fn dialect(&self) -> Dialect {
        Dialect::OpenAi
    }

    /// Whose rules it has besides; none: it is found at `/v1` and takes any key.
    fn provider(&self) -> Option<Provider> {
        None
    }
}

/// A running server. Dropping it closes the port and every connection, streams in the middle included.
pub(super) struct Server {
    address: SocketAddr,
    ledger: Arc<Ledger>,
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    answers: Arc<dyn Answers>,
    ledger: Arc<Ledger>,
    closing: watch::Receiver<bool>,
}

impl Server {
    /// Listens on 127.0.0.1; port 0 takes a free one.
    pub(super) async fn start(port: u16, answers: Arc<dyn Answers>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("the stand-in model cannot listen on port {port}"))?;
        let address = listener.local_addr()?;
        // Small chunks must leave at once: their pace is part of what is being imitated.
        let listener = listener.tap_io(|tcp| {
            if let Err(error) = tcp.set_nodelay(true) {
                tracing::debug!(%error, "no TCP_NODELAY");
            }
        });
        let (closing, mut closed) = watch::channel(false);
        let ledger = Arc::new(Ledger::default());
        let app = router(Shared {
            answers,
            ledger: ledger.clone(),
            closing: closed.clone(),
        });
        let server = axum::serve(listener, app).with_graceful_shutdown(async move {
            // An error means that the sender is gone, which is the same news.
            let _ = closed.wait_for(|closing| *closing).await;
        });
        let task = tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the stand-in model stopped");
            }
        });
        Ok(Self {
            address,
            ledger,
            closing,
            task,
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn base_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Aborting ends the accept loop only; the signal is what ends the connections.
        self.closing.send_replace(true);
        self.task.abort();
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(shared)
}

async fn chat(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let dialect = shared.answers.dialect();
    let request: Value = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => {
            return refuse(
                dialect,
                400,
                &format!("We could not parse the JSON body of your request: {error}"),
            );
        }
    };
    let entry = shared.ledger.enter(&request);
    let asked = Asked {
        uri: &uri,
        headers: &headers,
        body: &request,
    };
    let provider = shared.answers.provider();
    if let Some((status, body)) = provider.and_then(|provider| provider.refusal(&asked)) {
        entry.finish();
        return status_and(status, body);
    }
    if let Err(complaint) = check::request(&request) {
        entry.finish();
        return refuse(dialect, 400, &complaint);
    }
    let reply = shared.answers.turn(&request).perform(&request, dialect);
    let mut playback = Playback::new(reply.acts, entry, shared.closing);
    playback.overture().await;
    let mut response = Response::new(Body::from_stream(playback.into_stream()));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(reply.content_type),
    );
    for (name, value) in &reply.headers {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => drop(headers.insert(name, value)),
            _ => tracing::error!(name, value, "not a header; left out"),
        }
    }
    response
}

async fn models() -> Json<Value> {
    Json(json!({
        "object": "list",
        "data": [{"id": "stand-in", "object": "model", "created": 1_700_000_000, "owned_by": "errand-devkit"}],
    }))
}

/// Providers with rules of their own are at paths of their own.
async fn elsewhere(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let provider = shared.answers.provider();
    let is_there = provider.is_some_and(|provider| uri.path().starts_with(provider.base_path()));
    if is_there && method == Method::POST && uri.path().ends_with("/chat/completions") {
        return chat(State(shared), uri, headers, body).await;
    }
    refuse(
        shared.answers.dialect(),
        404,
        &format!("Invalid URL ({method} {})", uri.path()),
    )
}

fn refuse(dialect: Dialect, status: u16, message: &str) -> Response {
    status_and(status, dialect.error_body(status, message))
}

fn status_and(status: u16, body: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(body)).into_response()
}
