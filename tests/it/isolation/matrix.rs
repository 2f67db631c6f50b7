//! Two users on every route, method, socket message and tool, the agent's and at `/mcp`: nobody reaches the other's rows.
//!
//! The matrix is read from the running system: routes from the API's document, methods from the socket, tools from the MCP
//! server. What is new and has no case here fails the test. It holds twice: behind row level security, and by the WHERE of
//! each query alone.

use std::collections::HashMap;

use errand_devkit::model::{Turn, request};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::system::{
    Answer, Options, TestSystem,
    openapi::{self, Belongings, Operation},
    rows,
};

mod mcp;
mod socket;
mod tools;

pub(crate) use socket::methods;

/// In every text of Ada's, and in no other.
const HERS: &str = "only Ada's";

#[tokio::test(flavor = "multi_thread")]
async fn two_users_meet_nowhere() {
    Matrix::build().await.walk().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_meet_nowhere_without_policies() {
    let matrix = Matrix::build().await;
    rows::without_policies(&matrix.system.db).await;
    matrix.walk().await;
}

pub(crate) struct Matrix {
    pub(crate) system: TestSystem,
    pub(crate) operations: Vec<Operation>,
    /// Ada's.
    pub(crate) ids: Belongings,
}

impl Matrix {
    /// A system in which Ada has something of everything, and Bob nothing.
    pub(crate) async fn build() -> Self {
        let system = TestSystem::with(Options {
            worker: vec!["--require-approval", "list_tasks"],
            ..Options::default()
        })
        .await;
        system.model.script(|asked| {
            let whose = if request::last_user(asked).contains(HERS) {
                HERS
            } else {
                "somebody's"
            };
            if request::last_user(asked).starts_with("look") && request::steps(asked).is_empty() {
                return Turn::call("list_tasks", json!({"search": whose}));
            }
            match request::steps(asked).len() {
                0 => Turn::call("add_task", json!({"title": format!("{whose} milk")}))
                    .and_call("add_task", json!({"title": "bread", "description": whose})),
                _ => Turn::text(format!("{whose} tasks are added.")),
            }
        });
        let operations = openapi::operations(&system).await;
        let first = json!({"message": format!("{HERS} message"), "metadata": {"note": HERS}});
        let first = system
            .post_chat("ada", &first)
            .header("idempotency-key", "hers");
        let first = Answer::of(first).await.assert_ok().clone();
        system.say("ada", HERS).await.assert_ok();
        let spare = system.say("ada", HERS).await;
        let spare = spare.assert_ok()["conversation_id"].clone();
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let waits = system.say("ada", &format!("look for what is {HERS}")).await;
            assert_eq!(waits.body["status"], "waiting", "{}", waits.body);
            waiting.push(waits.body);
        }
        let stopped = waiting[1]["run_id"].as_str().expect("a run");
        let cancel = system.request(Method::POST, "ada", &format!("runs/{stopped}/cancel"));
        Answer::of(cancel).await.assert_ok();
        let text = |value: &Value| value.as_str().expect("an id").to_owned();
        let mut ids = Belongings {
            conversation: text(&first["conversation_id"]),
            spare: text(&spare),
            run: text(&first["run_id"]),
            waiting: text(&waiting[0]["run_id"]),
            stopped: stopped.to_owned(),
            task: text(&first["tool_calls"][0]["result"]["task_id"]),
            key: Some("hers".to_owned()),
            cursors: HashMap::new(),
        };
        // Two more days on which she took something.
        rows::execute(
            &system.db,
            "insert into usage_days (user_id, day, tokens) values ('ada', current_date - 11, 7), ('ada', current_date - 10, 8)",
        )
        .await;
        // A place in the middle of each list: behind it there is something of hers.
        for operation in operations.iter().filter(|operation| operation.is_paged()) {
            let path = operation.path.replace("{user_id}", "ada");
            let path = format!("{}?limit=1", path.replace("{id}", &ids.conversation));
            let page = system.bare(Method::GET, &path);
            let page = Answer::of(page.bearer_auth(system.identity.token("ada"))).await;
            let cursor = text(&page.assert_ok()["next_cursor"]);
            ids.cursors.insert(operation.path.clone(), cursor);
        }
        Self {
            system,
            operations,
            ids,
        }
    }

    async fn walk(&self) {
        let before = rows::of(&self.system.db, "ada").await;
        self.strangers().await;
        self.foreign_paths().await;
        self.foreign_ids().await;
        self.foreign_ids_outside_of_the_document().await;
        self.undocumented_methods().await;
        self.on_sockets().await;
        self.with_tools().await;
        assert_eq!(rows::of(&self.system.db, "ada").await, before);
        self.at_mcp().await;
        // Only now, because it changes her rows: what Bob was refused is there for her.
        self.her_own().await;
        self.her_own_on_sockets().await;
        assert_eq!(rows::across_users(&self.system.db).await, 0);
        let hers = "select count(*) from messages m where user_id <> 'ada' and content like '%only Ada''s%'";
        assert_eq!(self.system.count(hers).await, 0);
    }

    /// Operations for users, but for the socket's upgrade, which has tests of its own.
    pub(crate) fn for_users(&self) -> impl Iterator<Item = &Operation> {
        self.operations
            .iter()
            .filter(|operation| !operation.is_public && !operation.is_socket)
    }

    /// Without a token, or with nonsense, there is nothing; except for what is documented to want none and names no user.
    async fn strangers(&self) {
        assert!(self.for_users().count() >= 7);
        for operation in self.for_users() {
            let request = || operation.request(&self.system, "ada", &self.ids);
            self.refused(request(), operation, 401, "unauthorized")
                .await;
            let nonsense = request().bearer_auth("not.a.token");
            self.refused(nonsense, operation, 401, "unauthorized").await;
        }
        for operation in self
            .operations
            .iter()
            .filter(|operation| operation.is_public)
        {
            let answer = Answer::of(operation.request(&self.system, "ada", &self.ids)).await;
            self.shows_nothing(&answer, operation);
            if operation.is_socket {
                answer.assert_error(400, "invalid_request");
            } else {
                assert!(
                    !operation.path.contains('{'),
                    "{} is for all",
                    operation.path
                );
                answer.assert_ok();
            }
        }
    }

    async fn foreign_paths(&self) {
        for operation in self.for_users() {
            let request = operation.request(&self.system, "ada", &self.ids);
            let request = request.bearer_auth(self.system.identity.token("bob"));
            self.refused(request, operation, 403, "forbidden").await;
        }
    }

    /// Bob, as himself, with Ada's ids wherever there is a place for an id.
    async fn foreign_ids(&self) {
        for operation in self.for_users() {
            let request = operation.request(&self.system, "bob", &self.ids);
            let request = request.bearer_auth(self.system.identity.token("bob"));
            let answer = Answer::of(request).await;
            self.shows_nothing(&answer, operation);
            match answer.status {
                StatusCode::NOT_FOUND => drop(answer.assert_error(404, "not_found")),
                StatusCode::OK => assert!(is_empty(&answer.body), "{}", answer.body),
                _ => panic!("{} {}: {}", operation.method, operation.path, answer.body),
            }
        }
    }

    /// The chat also takes AG-UI's input, which has ids of its own.
    async fn foreign_ids_outside_of_the_document(&self) {
        let agent_input = |thread: &str, run: &str| {
            let messages = json!([{"id": "1", "role": "user", "content": "hi"}]);
            let body = json!({"threadId": thread, "runId": run, "messages": messages});
            let request = self.system.post_chat("bob", &body);
            Answer::of(request.header("accept", "text/event-stream"))
        };
        let new = || uuid::Uuid::now_v7().to_string();
        let answer = agent_input(&self.ids.conversation, &new()).await;
        answer.assert_error(404, "not_found");
        // An id that is taken is told to be taken, and nothing else of it.
        let answer = agent_input(&new(), &self.ids.run).await;
        answer.assert_error(422, "idempotency_key_reused");
        let answer = agent_input(&self.ids.conversation, &self.ids.run).await;
        assert!(answer.status.is_client_error(), "{}", answer.body);
        let decision = json!({"interruptId": format!("{}/1/0", self.ids.waiting), "status": "resolved", "payload": true});
        for thread in [&self.ids.conversation, &new(), &"main".to_owned()] {
            let body =
                json!({"threadId": thread, "runId": new(), "messages": [], "resume": [decision]});
            let request = self.system.post_chat("bob", &body);
            let answer = Answer::of(request.header("accept", "text/event-stream")).await;
            answer.assert_error(404, "not_found");
        }
        assert_eq!(
            self.system
                .count("select count(*) from runs where user_id = 'bob'")
                .await,
            0
        );
    }

    async fn undocumented_methods(&self) {
        for path in self.operations.iter().map(|operation| &operation.path) {
            let documented = |method: &str| {
                self.operations.iter().any(|operation| {
                    operation.path == *path
                        && (operation.method == method
                            || (operation.method == Method::GET && method == "HEAD"))
                })
            };
            let filled = path
                .replace("{user_id}", "ada")
                .replace("{id}", &self.ids.run);
            for method in [
                "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND",
            ] {
                if documented(method) {
                    continue;
                }
                let request = self.system.bare(method.parse().expect("a method"), &filled);
                let request = request.bearer_auth(self.system.identity.token("ada"));
                let answer = Answer::of(request.json(&json!({}))).await;
                assert!(
                    matches!(answer.status.as_u16(), 404 | 405),
                    "{method} {path}: {}",
                    answer.body
                );
            }
        }
    }

    /// The positive control: the same requests, by her.
    async fn her_own(&self) {
        let ids = Belongings {
            key: None,
            ..self.ids.clone()
        };
        // Reads first: a message moves its conversation to the front, out of the page behind the cursor.
        let (reads, writes): (Vec<_>, Vec<_>) = self
            .for_users()
            .partition(|operation| operation.method == Method::GET);
        for operation in reads.into_iter().chain(writes) {
            let request = operation.request(&self.system, "ada", &ids);
            let answer = Answer::of(request.bearer_auth(self.system.identity.token("ada"))).await;
            assert!(
                answer.status.is_success(),
                "{}: {}",
                operation.path,
                answer.body
            );
            assert!(
                !is_empty(&answer.body),
                "{}: {}",
                operation.path,
                answer.body
            );
        }
    }

    async fn refused(
        &self,
        request: RequestBuilder,
        operation: &Operation,
        status: u16,
        code: &str,
    ) {
        let answer = Answer::of(request).await;
        self.shows_nothing(&answer, operation);
        assert_eq!(
            answer.status, status,
            "{} {}",
            operation.method, operation.path
        );
        answer.assert_error(status, code);
    }

    #[track_caller]
    fn shows_nothing(&self, answer: &Answer, operation: &Operation) {
        let text = format!("{} {:?}", answer.body, answer.headers);
        let Belongings {
            conversation,
            spare,
            run,
            waiting,
            stopped,
            task,
            ..
        } = &self.ids;
        for hers in [HERS, conversation, spare, run, waiting, stopped, task] {
            assert!(
                !text.contains(hers),
                "{} {}: {text}",
                operation.method,
                operation.path
            );
        }
    }
}

/// A page without rows: every list is empty, of nothing there is any, and nothing else is there.
pub(crate) fn is_empty(body: &Value) -> bool {
    body.as_object().is_some_and(|fields| {
        fields.values().all(|field| {
            field.is_null() || *field == 0 || field.as_array().is_some_and(Vec::is_empty)
        })
    })
}
