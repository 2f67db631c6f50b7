//! What serves `/mcp` in this process, clients of it, and a way in for those that cannot send a token.

use std::{net::Ipv4Addr, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    system::{Arguments, InProcess},
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::net::TcpListener;

use super::{Answer, PATIENCE, TestSystem, database};

/// What serves `/mcp`: whatever holds for one has to hold for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    /// errand-mcp.
    Program,
    Api,
}

/// Makes two tests of each of these functions, which take the [`Server`] to try.
macro_rules! of_both_servers {
    ($($test:ident),+ $(,)?) => {
        mod by_the_program {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test($crate::system::mcp::Server::Program).await;
            })+
        }
        mod by_the_api {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test($crate::system::mcp::Server::Api).await;
            })+
        }
    };
}

pub(crate) use of_both_servers;

/// A server on a database of its own, with an identity provider.
pub(crate) struct Mcp {
    /// Of `/mcp`.
    pub(crate) url: String,
    pub(crate) db: PgPool,
    pub(crate) database_url: String,
    pub(crate) identity: IdentityProvider,
    http: reqwest::Client,
    here: InProcess,
}

impl Mcp {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these arguments beyond the necessary ones.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        Self::on(&database().await, arguments).await
    }

    /// One of the two, with these arguments beyond the necessary ones.
    pub(crate) async fn by(server: Server, arguments: &[&str]) -> Self {
        Self::at(server, &database().await, arguments).await
    }

    /// An API in its place, without anything else around it.
    pub(crate) async fn of_an_api_on(database_url: &str, arguments: &[&str]) -> Self {
        Self::at(Server::Api, database_url, arguments).await
    }

    pub(crate) async fn on(database_url: &str, arguments: &[&str]) -> Self {
        Self::at(Server::Program, database_url, arguments).await
    }

    async fn at(server: Server, database_url: &str, arguments: &[&str]) -> Self {
        let identity = IdentityProvider::start(IdentityOptions::default())
            .await
            .expect("an identity provider");
        let arguments = Arguments::server(database_url, identity.issuer()).and(arguments);
        let mut here = InProcess::default();
        let url = match server {
            Server::Program => here.mcp(&arguments).await,
            Server::Api => here.api(&arguments).await,
        };
        Self {
            url: format!("{}/mcp", url.expect("a server")),
            db: PgPool::connect_lazy(database_url).expect("a URL"),
            database_url: database_url.to_owned(),
            identity,
            http: reqwest::Client::new(),
            here,
        }
    }

    fn client(&self) -> Client<'_> {
        Client {
            url: self.url.clone(),
            identity: &self.identity,
            http: &self.http,
        }
    }

    /// A request to any path, without a token.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        let server = self.url.strip_suffix("/mcp").expect("a path");
        let request = self.http.request(method, format!("{server}{path}"));
        request.timeout(PATIENCE)
    }

    /// A message to `/mcp`, without a token.
    pub(crate) fn post(&self, message: &Value) -> RequestBuilder {
        self.client().post(message)
    }

    /// A request of this user, as JSON-RPC and HTTP answer it.
    pub(crate) async fn ask(&self, user: &str, method: &str, params: Value) -> Answer {
        self.client().ask(user, method, params).await
    }

    /// A call of this user; returns the structured result, which must be there also as text.
    pub(crate) async fn call(&self, user: &str, tool: &str, arguments: Value) -> Value {
        self.client().call(user, tool, arguments).await
    }

    /// What `mcp_calls` has: user, tool, whether it was an error.
    pub(crate) async fn recorded(&self) -> Vec<(String, String, bool)> {
        sqlx::query_as("select user_id, tool_name, is_error from mcp_calls where result is not null order by id")
            .fetch_all(&self.db)
            .await
            .expect("the records")
    }

    /// The titles of the user's tasks, straight from the table.
    pub(crate) async fn titles(&self, user: &str) -> Vec<String> {
        sqlx::query_scalar(
            "select title from tasks where user_id = $1 and deleted_at is null order by id",
        )
        .bind(user)
        .fetch_all(&self.db)
        .await
        .expect("tasks")
    }

    /// As SIGTERM does.
    pub(crate) fn ask_to_stop(&self) {
        self.here.ask_to_stop();
    }

    /// Stops it in good order.
    pub(crate) async fn stop(self) {
        self.here.stop(PATIENCE).await.expect("it stops");
    }

    /// The URL of a way in that adds this user's token to what passes, for clients that cannot send one. Everything else
    /// stays as it is, the host included. Ends with the test's runtime.
    pub(crate) async fn signed_in(&self, user: &str) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let way = Arc::new(Way {
            server: self.url.strip_suffix("/mcp").expect("a path").to_owned(),
            token: self.identity.token(user),
            http: reqwest::Client::new(),
        });
        let router = Router::new().fallback(pass).with_state(way);
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

impl TestSystem {
    /// A client of the API's `/mcp`.
    pub(crate) fn mcp(&self) -> Client<'_> {
        Client {
            url: format!("{}/mcp", self.url),
            identity: &self.identity,
            http: &self.http,
        }
    }
}

/// A client of a `/mcp` that speaks plain JSON.
pub(crate) struct Client<'a> {
    url: String,
    identity: &'a IdentityProvider,
    http: &'a reqwest::Client,
}

impl Client<'_> {
    /// A message, without a token.
    pub(crate) fn post(&self, message: &Value) -> RequestBuilder {
        self.http
            .post(&self.url)
            .timeout(PATIENCE)
            .header("accept", "application/json, text/event-stream")
            .header("user-agent", "t 1")
            .json(message)
    }

    /// A request of this user, as JSON-RPC and HTTP answer it.
    pub(crate) async fn ask(&self, user: &str, method: &str, params: Value) -> Answer {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let token = self.identity.token(user);
        Answer::of(self.post(&message).bearer_auth(token)).await
    }

    /// A call of this user; returns the structured result, which must be there also as text.
    pub(crate) async fn call(&self, user: &str, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        let answer = self.ask(user, "tools/call", params).await;
        let result = &answer.assert_ok()["result"];
        let structured = &result["structuredContent"];
        let text = result["content"][0]["text"].as_str().expect("a text");
        let text: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(&text, structured, "{}", answer.body);
        let failed = structured["success"] == false;
        assert_eq!(result["isError"], failed, "{}", answer.body);
        structured.clone()
    }
}

struct Way {
    server: String,
    token: String,
    http: reqwest::Client,
}

async fn pass(State(way): State<Arc<Way>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 8 << 20).await;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let sent = way
        .http
        .request(parts.method, format!("{}{path}", way.server))
        .headers(parts.headers)
        .bearer_auth(&way.token)
        .body(body.unwrap_or_else(|_| Bytes::new()))
        .send();
    let answer = sent.await.expect("an answer");
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if name != "transfer-encoding" {
            response = response.header(name, value);
        }
    }
    response
        .body(Body::from_stream(answer.bytes_stream()))
        .expect("a response")
}
