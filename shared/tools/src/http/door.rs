//! Which hosts a request may be addressed to, and whose pages may send one: the protection from DNS rebinding that MCP asks
//! of every server over HTTP (specification, "Streamable HTTP", security warning).

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use errand_shared::config::OriginsConfig;
use http::{
    HeaderMap, HeaderValue,
    header::{HOST, ORIGIN},
    uri::Authority,
};
use url::Url;

use super::{PATH, refusal::Refusal};
use crate::McpConfig;

/// This machine, by its names. Nobody else's page can be addressed so.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// What is let in.
#[derive(Debug)]
pub(super) struct Door {
    /// Host names in lower case; a port of none means any.
    hosts: Vec<(String, Option<u16>)>,
    /// Exact origins; none given means those of this machine.
    origins: Vec<String>,
    public_url: Option<String>,
}

impl Door {
    pub(super) fn new(config: &McpConfig, origins: &OriginsConfig) -> Self {
        let public = config.public_url();
        let own = public
            .and_then(|url| Url::parse(url).ok())
            .and_then(|url| Some((url.host_str()?.to_ascii_lowercase(), url.port())));
        let further = config
            .given_hosts()
            .filter_map(|host| host.parse::<Authority>().ok())
            .map(|host| (host.host().to_ascii_lowercase(), host.port_u16()));
        let loopback = LOOPBACK.map(|host| (host.to_owned(), None));
        Self {
            hosts: own.into_iter().chain(further).chain(loopback).collect(),
            origins: origins.given().map(str::to_owned).collect(),
            public_url: public.map(str::to_owned),
        }
    }

    fn admits_host(&self, host: &Authority) -> bool {
        let name = host.host().to_ascii_lowercase();
        !host.as_str().contains('@')
            && self.hosts.iter().any(|(allowed, port)| {
                *allowed == name && port.is_none_or(|port| host.port_u16() == Some(port))
            })
    }

    /// Whether pages of this origin may connect.
    pub(super) fn admits_origin(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        if !self.origins.is_empty() {
            return self.origins.iter().any(|allowed| allowed == origin);
        }
        Url::parse(origin).is_ok_and(|url| {
            url.host_str().is_some_and(|host| LOOPBACK.contains(&host))
                && url.origin().ascii_serialization() == origin
        })
    }

    /// The URL of `/mcp` as this request's client knows it. The request has passed the door.
    pub(super) fn resource(&self, headers: &HeaderMap) -> String {
        match (&self.public_url, host(headers)) {
            (Some(url), _) => url.clone(),
            (None, Some(host)) => format!("http://{host}{PATH}"),
            (None, None) => PATH.to_owned(),
        }
    }
}

/// The one host that a request is addressed to.
fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return None;
    };
    Authority::try_from(host.as_bytes()).ok()
}

/// Refuses what is addressed to another host, or comes from another's page. What is no browser sends no `Origin`.
pub(super) async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let Some(host) = host(headers) else {
        return Refusal::invalid("The request names no host, or several.").into_response();
    };
    if !door.admits_host(&host) {
        let message = "This host is not served here; see MCP_URL and MCP_ALLOWED_HOSTS.";
        return Refusal::forbidden(message).into_response();
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    if !origins.all(|origin| door.admits_origin(origin)) {
        let message = "This origin may not connect; see ALLOWED_ORIGINS.";
        return Refusal::forbidden(message).into_response();
    }
    next.run(request).await
}
