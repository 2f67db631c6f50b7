//! The system of one test: a database cloned from a template, an API, workers, a scripted model, an identity provider.

use std::{
    cell::RefCell,
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use clap::Parser;
use errand_api::Api;
use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider},
    model::ScriptedModel,
    postgres::{Cluster, ClusterOptions},
};
use errand_store::db::migrate;
use errand_worker::Worker;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::{sync::OnceCell, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

pub(crate) mod ag_ui;
pub(crate) mod better_auth;
pub(crate) mod events;
pub(crate) mod load;
pub(crate) mod mcp;
pub(crate) mod openapi;
pub(crate) mod otlp;
pub(crate) mod pooler;
pub(crate) mod process;
pub(crate) mod rows;
pub(crate) mod socket;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The key that workers send to their model.
pub(crate) const MODEL_KEY: &str = "sk-key-of-the-scripted-model";

const TEMPLATE: &str = "template_errand";

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The cluster that all tests of this run share, with a migrated template. It goes when this process does.
async fn cluster() -> &'static Cluster {
    CLUSTER
        .get_or_init(|| async {
            let cluster = Cluster::start(ClusterOptions::throwaway())
                .await
                .expect("a private Postgres");
            cluster
                .ensure_database(TEMPLATE)
                .await
                .expect("the template");
            migrate::run(&cluster.url(TEMPLATE))
                .await
                .expect("migrations");
            cluster
        })
        .await
}

/// Databases whose test has ended: the next one to be made takes them away.
static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    /// What the test of this thread has made. A test has a thread of its own, which ends with it.
    static MADE: RefCell<MadeHere> = const { RefCell::new(MadeHere(Vec::new())) };
}

struct MadeHere(Vec<String>);

impl Drop for MadeHere {
    fn drop(&mut self) {
        let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
        ended.append(&mut self.0);
    }
}

/// A connection of the superuser, by which databases are made. The databases of tests that have ended are gone then: some hundreds of
/// them would fill 3 GB.
async fn admin() -> PgConnection {
    let cluster = cluster().await;
    let mut admin = PgConnection::connect(&cluster.admin_url("postgres"))
        .await
        .unwrap_or_else(|error| panic!("{error}; {}", cluster.log_tail()));
    let ended = mem::take(&mut *ENDED.lock().unwrap_or_else(PoisonError::into_inner));
    for name in ended {
        let drop = format!("drop database if exists {name} with (force)");
        // Whoever still goes away there may hold it for a moment; a database that stays costs room and nothing else.
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut admin).await {
            eprintln!("{name} stays: {error}");
        }
    }
    admin
}

/// A name for a database of the test that runs on this thread.
fn new_name(prefix: &str) -> String {
    let name = format!("{prefix}_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    MADE.with_borrow_mut(|made| made.0.push(name.clone()));
    name
}

/// A new, migrated database; returns its URL. It goes some time after the test has ended.
pub(crate) async fn database() -> String {
    let cluster = cluster().await;
    let mut admin = admin().await;
    let name = new_name("test");
    let create = format!("create database {name} template {TEMPLATE} owner errand_app");
    // A template with another clone under way is "being accessed by other users".
    for _ in 0..100 {
        match sqlx::raw_sql(AssertSqlSafe(create.clone()))
            .execute(&mut admin)
            .await
        {
            Ok(_) => return cluster.url(&name),
            Err(error) if error.to_string().contains("being accessed") => {}
            Err(error) => panic!("{create}: {error}; {}", cluster.log_tail()),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the template is never free");
}

/// The same database for the superuser of the cluster.
pub(crate) fn as_superuser(url: &str) -> String {
    url.replacen("//errand_app@", "//errand@", 1)
}

/// A new database without any table; returns its URL.
pub(crate) async fn empty_database() -> String {
    let cluster = cluster().await;
    let name = new_name("empty");
    cluster
        .ensure_database(&name)
        .await
        .expect("an empty database");
    cluster.url(&name)
}

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
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// Gives up an idle connection before the server does (after 20 s): a request that is sent on one as it is closed has no answer.
pub(crate) fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(10));
    client.build().expect("a client")
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
        let database_url = database_url.to_owned();
        let model = ScriptedModel::start().await.expect("a model");
        let identity = IdentityProvider::start(IdentityOptions::default())
            .await
            .expect("an identity provider");
        let stop = CancellationToken::new();
        let mut arguments = vec![
            "--database-url",
            options.api_database_url.as_deref().unwrap_or(&database_url),
            "--database-direct-url",
            &database_url,
            "--better-auth-url",
            options.issuer.as_deref().unwrap_or(identity.issuer()),
        ];
        arguments.extend(["--port", "0", "--host", "127.0.0.1"]);
        arguments.extend(&options.api);
        let config =
            errand_api::Config::from_arguments(arguments).expect("the API's configuration");
        let api = Api::build(&config, stop.clone()).await.expect("an API");
        let url = format!("http://{}", api.address().expect("an address"));
        let serve = tokio::spawn(async move { api.serve().await.expect("the API serves") });
        let mut system = Self {
            url,
            db: PgPool::connect_lazy(&database_url).expect("a URL"),
            database_url,
            model,
            model_url: None,
            model_name: "scripted",
            identity,
            http: client(),
            worker_arguments: options.worker,
            stop,
            tasks: vec![serve],
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
        let mut arguments = vec!["errand-worker", "--database-url", &self.database_url];
        arguments.extend([
            "--openai-base-url",
            &base_url,
            "--openai-api-key",
            MODEL_KEY,
            "--openai-model",
            self.model_name,
        ]);
        arguments.extend(&self.worker_arguments);
        let config =
            errand_worker::Config::try_parse_from(arguments).expect("the worker's configuration");
        config.check().expect("the worker's configuration");
        let worker = Worker::build(&config).await.expect("a worker");
        let stop = self.stop.child_token();
        let run = worker.run(stop.clone());
        self.tasks.push(tokio::spawn(
            async move { run.await.expect("the worker runs") },
        ));
        stop
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
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        for task in self.tasks.drain(..) {
            tokio::time::timeout(PATIENCE, task)
                .await
                .expect("stops in time")
                .expect("without a panic");
        }
    }
}

impl Drop for TestSystem {
    fn drop(&mut self) {
        self.stop.cancel();
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
