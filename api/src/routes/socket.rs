//! `GET /api/{user_id}/chat` with `Upgrade: websocket`: the same entry, streaming.
//!
//! Here is the upgrade: who may connect from where, and how many. What is said is in `session`, how it looks in `frames`.

use axum::{
    Extension,
    extract::{
        Path, State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use errand_server::{origin, serve::Peer};
use errand_store::events::MAX_SHOWN_BYTES;
use http::{HeaderMap, StatusCode, Uri, header};

use crate::{App, connections, error::ApiError};

mod calls;
mod deliveries;
mod frames;
mod methods;
mod queue;
mod session;
mod threads;

/// Bytes of a frame; a larger one closes the socket with 1009. The longest message fits with every character escaped.
const MAX_FRAME: usize = 128 * 1024;
/// Bytes of a frame of ours: an event as it is shown and what is around it, or an answer with the id that a client made up.
const MAX_SENT: usize = MAX_SHOWN_BYTES + 128 * 1024;
/// Bytes that wait to be sent to one client. A frame that does not fit in is an error that leaves no way to close in order.
const MAX_WRITE_BUFFER: usize = 1024 * 1024;
const _: () = assert!(MAX_SENT + 256 * 1024 <= MAX_WRITE_BUFFER);
/// Bytes read at a time, kept for as long as the socket is open: what clients say is short, and most are silent.
const READ_BUFFER: usize = 4 * 1024;

/// Chat over a WebSocket: JSON frames, a token in the first one.
#[utoipa::path(
    get,
    path = "/api/{user_id}/chat",
    tag = "chat",
    security(()),
    params(("user_id" = String, Path, description = "The user; must be the token's `sub`")),
    responses(
        (status = 101, description = "A WebSocket"),
        (status = 400, description = "Not an upgrade to a WebSocket", body = crate::error::ErrorBody),
        (status = 403, description = "A foreign origin", body = crate::error::ErrorBody),
    )
)]
pub(crate) async fn get(
    State(app): State<App>,
    path: Path<String>,
    uri: Uri,
    headers: HeaderMap,
    Extension(Peer(peer)): Extension<Peer>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    if !is_welcome(&app, &uri, &headers) {
        return Err(ApiError::foreign_origin());
    }
    let upgrade = upgrade.map_err(|rejection| match rejection.status() {
        StatusCode::METHOD_NOT_ALLOWED => ApiError::method_not_allowed(),
        _ => ApiError::invalid("Here one speaks WebSocket: send an upgrade."),
    })?;
    let Path(user_id) = path;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME)
        .max_write_buffer_size(MAX_WRITE_BUFFER);
    let address = connections::address(peer.ip(), &headers, app.trusted_proxies);
    // From here on, and not from when the connection is handed over: the end of the process may come in between.
    let open = app.open_sockets.token();
    Ok(upgrade.on_upgrade(move |socket| async move {
        session::serve(app, user_id, address, socket).await;
        drop(open);
    }))
}

/// A browser says where a page is from: one of the listed origins, or our own. What is no browser says nothing.
fn is_welcome(app: &App, uri: &Uri, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    if app.origins.contains(origin) {
        return true;
    }
    origin::host(uri, headers).is_some_and(|host| origin::is_own(origin, &host))
}
