//! The system of one test: a database cloned from a template, an API, workers, a scripted model, an identity provider.

use std::time::Duration;

use errand_devkit::{
    identity::IdentityProvider,
    model::ScriptedModel,
    system::{Arguments, Database, InProcess, System},
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use databases::{as_superuser, database, empty_database};
use process::Process;

pub(crate) mod ag_ui;
pub(crate) mod better_auth;
mod databases;
pub(crate) mod events;
pub(crate) mod load;
pub(crate) mod mcp;
pub(crate) mod openapi;
pub(crate) mod otlp;
pub(crate) mod past;
pub(crate) mod pooler;
pub(crate) mod process;
pub(crate) mod rows;
pub(crate) mod socket;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The key that workers send to their model.
pub(crate) const MODEL_KEY: &str = errand_devkit::model::provider::KEY;

/// What differs from the defaults.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) api: Vec<&'static str>,
    pub(crate) worker: Vec<&'static str>,
    /// Workers in this process; none by default means one.
    pub(crate) workers: Option<usize>,
    /// Where the API's queries go, if not to the world's database URL, which then is its direct one.
    pub(crate) api_database_url: Option<String>,
    /// Whose tokens the API believes, if not the stand-in's.
    pub(crate) issuer: Option<String>,
}

pub(crate) struct TestSystem {
    pub(crate) url: String,
    pub(crate) db: PgPool,
    pub(crate) database_url: String,
    pub(crate) model: ScriptedModel,
    /// Where workers that are started from now on find their model, if not there.
    pub(crate) model_url: Option<String>,
    /// What workers that are started from now on call their model.
    pub(crate) model_name: &'static str,
    pub(crate) identity: IdentityProvider,
    http: reqwest::Client,
    worker_arguments: Vec<&'static str>,
    here: InProcess,
}

/// Gives up an idle connection before the server does (after 20 s): a request that is sent on one as it is closed has no answer.
pub(crate) fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(10));
    client.build().expect("a client")
}

/// A file with this text, as an option of a program names it.
pub(crate) fn file(name: &str, text: &str) -> &'static str {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{}-{name}", uuid::Uuid::now_v7()));
    std::fs::write(&path, text).expect("it can be written");
    path.to_string_lossy().into_owned().leak()
}

impl TestSystem {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        Self::on(&database().await, options).await
    }

    /// On this database, which is migrated.
    pub(crate) async fn on(database_url: &str, options: Options) -> Self {
        let parts = System::scripted(Database::given(database_url)).await;
        let System {
            identity, model, ..
        } = parts.expect("a model and an identity provider");
        let api_database_url = options.api_database_url.as_deref().unwrap_or(database_url);
        let issuer = options.issuer.as_deref().unwrap_or(identity.issuer());
        let arguments = Arguments::server(api_database_url, issuer)
            .with("--database-direct-url", database_url)
            .and(&options.api);
        let mut here = InProcess::default();
        let url = here.api(&arguments).await.expect("an API");
        let mut system = Self {
            url,
            db: PgPool::connect_lazy(database_url).expect("a URL"),
            database_url: database_url.to_owned(),
            model,
            model_url: None,
            model_name: "scripted",
            identity,
            http: client(),
            worker_arguments: options.worker,
            here,
        };
        for _ in 0..options.workers.unwrap_or(1) {
            system.start_worker().await;
        }
        system
    }

    /// Starts a worker in this process.
    pub(crate) async fn start_worker(&mut self) -> CancellationToken {
        let base_url = self.model_url.clone();
        let base_url = base_url.unwrap_or_else(|| self.model.base_url());
        let arguments = Arguments::worker(&self.database_url)
            .model(&base_url, MODEL_KEY)
            .with("--openai-model", self.model_name)
            .and(&self.worker_arguments);
        self.here.worker(&arguments).await.expect("a worker")
    }

    /// Starts a worker as a process, with these variables besides in its environment.
    pub(crate) async fn worker_process(&self, more: &[(&str, &str)]) -> Process {
        let base_url = self.model.base_url();
        let database_url = self.database_url.as_str();
        let own = [
            ("DATABASE_URL", database_url),
            ("OPENAI_BASE_URL", &base_url),
        ];
        let environment = own.iter().chain(more).copied();
        Process::start("errand-worker", &[], environment).await
    }

    /// A request as this user, to a path below `/api/{user}/`.
    pub(crate) fn request(&self, method: Method, user: &str, path: &str) -> RequestBuilder {
        self.request_with(&self.identity.token(user), method, user, path)
    }

    /// As [`Self::request`], with this token.
    pub(crate) fn request_with(
        &self,
        token: &str,
        method: Method,
        user: &str,
        path: &str,
    ) -> RequestBuilder {
        self.http
            .request(method, format!("{}/api/{user}/{path}", self.url))
            .bearer_auth(token)
            .timeout(Duration::from_secs(70))
    }

    /// A request without a token, to any path.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    pub(crate) fn post_chat(&self, user: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, user, "chat").json(body)
    }

    /// Says something in a new conversation and waits for the answer.
    pub(crate) async fn say(&self, user: &str, message: &str) -> Answer {
        self.answer_to(user, &json!({"message": message})).await
    }

    /// Says something in this conversation and waits for the answer.
    pub(crate) async fn say_in(&self, user: &str, conversation: &Value, message: &str) -> Answer {
        let body = json!({"message": message, "conversation_id": conversation});
        self.answer_to(user, &body).await
    }

    /// As long as one may wait: what takes a slow machine longer than the default is no 202 yet.
    async fn answer_to(&self, user: &str, body: &Value) -> Answer {
        let request = self.post_chat(user, body).header("prefer", "wait=60");
        Answer::of(request).await
    }

    pub(crate) async fn get(&self, user: &str, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, user, path)).await
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

    /// One number from the database.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.db)
            .await
            .expect("a number")
    }

    /// Waits until a query counts this many.
    pub(crate) async fn until(&self, query: &'static str, expected: i64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.count(query).await;
            if found == expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{query}: still {found} and not {expected}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until a statement like this one waits for a lock.
    pub(crate) async fn until_stuck(&self, statement: &str) {
        let query = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and query like $1";
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stuck = sqlx::query_scalar(query)
                .bind(statement)
                .fetch_one(&self.db);
            let stuck: i64 = stuck.await.expect("the database answers");
            if stuck > 0 {
                return;
            }
            assert!(Instant::now() < deadline, "nothing like {statement} waits");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops everything in good order, as SIGTERM would.
    pub(crate) async fn stop(self) {
        self.here.stop(PATIENCE).await.expect("it stops");
    }
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self {
            status,
            headers,
            body,
        }
    }

    /// Checks that it is an error of the contract, and returns its details.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str) -> &Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        let error = &self.body["error"];
        assert_eq!(error["code"], code, "{}", self.body);
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{}",
            self.body
        );
        assert!(error["details"].is_object(), "{}", self.body);
        assert_eq!(
            self.body.as_object().map(serde_json::Map::len),
            Some(1),
            "{}",
            self.body
        );
        &error["details"]
    }

    #[track_caller]
    pub(crate) fn assert_ok(&self) -> &Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        &self.body
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.headers));
        value.to_str().expect("a readable header")
    }
}
