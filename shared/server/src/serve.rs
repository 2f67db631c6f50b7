//! The HTTP server's loop: connections with bounds on how slowly a client may speak, and a stop that lets requests end.
//!
//! axum's own `serve` has no time-out for request heads, so a client that sends one byte a minute would keep a connection
//! for ever.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::request_id;

mod unread;

pub use unread::Received;

/// How long a client may take to send the head of a request; also how long a connection may be idle between two.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes of a request's head, more than enough for a token of 8 KiB.
const MAX_HEAD: usize = 64 * 1024;
/// How often a silent HTTP/2 connection is asked whether it is there, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at the same time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 200;
/// Pause after the system had no connection for us, such as with too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The other end of a connection, as an extension of each request: a router's address if there is one in between.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Serves until `stop`; then takes no more connections and returns when open requests have ended. WebSockets are the
/// handlers' own business.
pub async fn serve<S, B>(listener: TcpListener, service: S, stop: CancellationToken)
where
    S: Service<Request<Received>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let server = Arc::new(builder());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Short answers must not wait for the client's acknowledgement.
        let _ = socket.set_nodelay(true);
        let (server, watcher) = (Arc::clone(&server), graceful.watcher());
        let begun = Arc::new(Notify::new());
        let first = Arc::clone(&begun);
        let service = service.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            first.notify_one();
            request_id::keep_plain(request.headers_mut());
            request.extensions_mut().insert(Peer(peer));
            unread::answer(service.clone(), request)
        });
        #[expect(clippy::disallowed_methods, reason = "one connection")]
        tokio::spawn(async move {
            let io = TokioIo::<TcpStream>::new(socket);
            let connection = server.serve_connection_with_upgrades(io, service);
            // A client that hangs up or falls silent is no event for anybody.
            tokio::select! {
                _ = watcher.watch(connection.into_owned()) => {}
                () = never_begins(&begun) => {}
            }
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// Ends only if no request has come in time. The builder's own time-outs begin when it knows which protocol is spoken, and
/// for the bytes that tell it waits for ever.
async fn never_begins(begun: &Notify) {
    if timeout(HEAD_TIMEOUT, begun.notified()).await.is_ok() {
        std::future::pending().await
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
    builder
}
