//! Which hosts a request may be addressed to, and whose pages may send one: the protection from DNS rebinding that MCP asks
//! of every server over HTTP (specification, "Streamable HTTP", security warning).

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use errand_server::{config::OriginsConfig, origin};
use http::{HeaderMap, HeaderValue, Uri, header::ORIGIN, uri::Authority};
use url::Url;

use super::{PATH, http_error::HttpError};
use crate::McpConfig;

/// This machine, by its names. Nobody else's page can be addressed so.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
/// By what a client has reached the router in front.
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// What is let in.
#[derive(Debug)]
pub(super) struct HostGuard {
    /// Host names in lower case; a port of none means any. None: whatever the server is reached by.
    hosts: Option<Vec<(String, Option<u16>)>>,
    /// Exact origins whose pages may connect.
    origins: Vec<String>,
    /// Whose pages may connect besides.
    besides: Pages,
    public_url: Option<String>,
}

/// Pages that are not listed.
#[derive(Debug)]
enum Pages {
    None,
    /// Those of this machine.
    OfThisMachine,
    /// Those that the same server has served. Under a name that was bound anew they are somebody else's, who then is served as anybody
    /// is: without a token, with nothing.
    OfTheSameHost,
}

impl HostGuard {
    /// Of a server that has nothing but MCP.
    pub(super) fn alone(config: &McpConfig, origins: &OriginsConfig) -> Self {
        let listed: Vec<String> = origins.given().map(str::to_owned).collect();
        Self {
            hosts: Some(hosts(config)),
            besides: match listed.is_empty() {
                true => Pages::OfThisMachine,
                false => Pages::None,
            },
            origins: listed,
            public_url: config.public_url().map(str::to_owned),
        }
    }

    /// Of a server that has pages of its own, and is reached by names that only its router knows. `MCP_URL` does not limit them: it may be
    /// that of errand-mcp, whose environment this often is, too.
    pub(super) fn within_application(config: &McpConfig, origins: &OriginsConfig) -> Self {
        let is_limited = config.given_hosts().next().is_some();
        Self {
            hosts: is_limited.then(|| hosts(config)),
            origins: origins.given().map(str::to_owned).collect(),
            besides: Pages::OfTheSameHost,
            public_url: config.public_url().map(str::to_owned),
        }
    }

    fn admits_host(&self, host: &Authority) -> bool {
        let name = host.host().to_ascii_lowercase();
        !host.as_str().contains('@')
            && self.hosts.as_ref().is_none_or(|hosts| {
                hosts.iter().any(|(allowed, port)| {
                    *allowed == name && port.is_none_or(|port| host.port_u16() == Some(port))
                })
            })
    }

    /// Whether pages of this origin may send this request.
    pub(super) fn admits_origin(
        &self,
        origin: &HeaderValue,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> bool {
        let is_listed = self.origins.iter().any(|listed| origin == listed.as_str());
        is_listed
            || match self.besides {
                Pages::None => false,
                Pages::OfThisMachine => is_of_this_machine(origin),
                Pages::OfTheSameHost => {
                    origin::host(uri, headers).is_some_and(|host| origin::is_own(origin, &host))
                }
            }
    }

    /// The URL of `/mcp` as this request's client knows it. The request has passed the host_guard.
    pub(super) fn resource(&self, uri: &Uri, headers: &HeaderMap) -> String {
        match (&self.public_url, origin::host(uri, headers)) {
            (Some(url), _) => url.clone(),
            (None, Some(host)) => format!("{}://{host}{PATH}", scheme(headers)),
            (None, None) => PATH.to_owned(),
        }
    }
}

/// The names that are configured, and this machine's.
fn hosts(config: &McpConfig) -> Vec<(String, Option<u16>)> {
    let own = config
        .public_url()
        .and_then(|url| Url::parse(url).ok())
        .and_then(|url| Some((url.host_str()?.to_ascii_lowercase(), url.port())));
    let further = config
        .given_hosts()
        .filter_map(|host| host.parse::<Authority>().ok())
        .map(|host| (host.host().to_ascii_lowercase(), host.port_u16()));
    let loopback = LOOPBACK.map(|host| (host.to_owned(), None));
    own.into_iter().chain(further).chain(loopback).collect()
}

fn is_of_this_machine(origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    Url::parse(origin).is_ok_and(|url| {
        url.host_str().is_some_and(|host| LOOPBACK.contains(&host))
            && url.origin().ascii_serialization() == origin
    })
}

/// What the client speaks, as a router that ends TLS says. A client that writes it itself is told so itself, and nobody else.
fn scheme(headers: &HeaderMap) -> &'static str {
    let forwarded = headers.get(FORWARDED_PROTO).and_then(|v| v.to_str().ok());
    let first = forwarded.and_then(|schemes| schemes.split(',').next());
    match first {
        Some(scheme) if scheme.trim().eq_ignore_ascii_case("https") => "https",
        _ => "http",
    }
}

/// Refuses what is addressed to another host, or comes from another's page. What is no browser sends no `Origin`.
pub(super) async fn guard(
    State(host_guard): State<Arc<HostGuard>>,
    request: Request,
    next: Next,
) -> Response {
    let (uri, headers) = (request.uri(), request.headers());
    let Some(host) = origin::host(uri, headers) else {
        return HttpError::invalid("The request names no host, or several.").into_response();
    };
    if !host_guard.admits_host(&host) {
        let message = "This host is not served here; see MCP_URL and MCP_ALLOWED_HOSTS.";
        return HttpError::forbidden(message).into_response();
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    if !origins.all(|origin| host_guard.admits_origin(origin, uri, headers)) {
        let message = "This origin may not connect; see ALLOWED_ORIGINS.";
        return HttpError::forbidden(message).into_response();
    }
    next.run(request).await
}
