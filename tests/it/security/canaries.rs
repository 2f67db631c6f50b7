//! Secrets planted as canaries, in every place where one can be: no log holds one, however much is logged.
//!
//! The shipped programs as processes. What looks for canaries is `system::process`, in the output of every process of every
//! test; here they are planted, and errors are provoked that could carry them.

use std::time::Duration;

use errand_devkit::{
    identity::{IdentityOptions, IdentityProvider, Signature, TokenSpec},
    model::{ScriptedModel, Turn},
    proxy::Proxy,
    socket::{Received, Socket},
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::system::{
    self, Answer,
    process::{self, Process},
    rows,
};

mod start_up;

/// Long enough for a program that must stop.
const STOP: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_log_for_people() {
    Programs::start(
        "text",
        "debug,errand_api=trace,errand_worker=trace,errand_tools=trace,errand_core=trace,errand_store=trace,errand_server=trace",
    )
    .await
    .live()
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_log_for_machines() {
    Programs::start("json", "trace").await.live().await;
}

/// A database behind a door, a model, an identity provider, an API, a worker; canaries in their configuration.
struct Programs {
    door: Proxy,
    db: PgPool,
    model: ScriptedModel,
    identity: IdentityProvider,
    api: Process,
    worker: Process,
    address: String,
    http: reqwest::Client,
}

impl Programs {
    async fn start(format: &str, level: &str) -> Self {
        let url = system::database().await;
        let door = Proxy::open(&url.replacen('@', ":canary-password@", 1))
            .await
            .expect("a proxy");
        let model = ScriptedModel::start().await.unwrap();
        let identity = IdentityProvider::start(IdentityOptions::default())
            .await
            .unwrap();
        let jwks = format!("{}/api/auth/jwks?key=canary-jwks", identity.issuer());
        let model_url = model
            .base_url()
            .replacen("//", "//canary-user:canary-pass@", 1);
        let environment = [
            ("DATABASE_URL", door.url()),
            ("BETTER_AUTH_URL", identity.issuer()),
            ("AUTH_JWKS_URL", &jwks),
            ("OPENAI_BASE_URL", &model_url),
            ("OPENAI_API_KEY", "canary-key"),
            ("GEMINI_API_KEY", "canary-gemini-key"),
            ("MAX_ATTEMPTS", "1"),
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("LOG_FORMAT", format),
            ("RUST_LOG", level),
        ];
        let (status, _) = process::run("errand-api", &["migrate"], environment).await;
        assert!(status.success());
        let mut api = Process::start("errand-api", &[], environment).await;
        let mut worker = Process::start("errand-worker", &[], environment).await;
        let line = api.until_says("serving").await;
        let (_, address) = line.split_once("127.0.0.1:").unwrap();
        let port = address
            .chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>();
        worker.until_says("taking runs").await;
        Self {
            door,
            db: PgPool::connect_lazy(&url).unwrap(),
            model,
            identity,
            api,
            worker,
            address: format!("127.0.0.1:{port}"),
            http: system::client(),
        }
    }

    async fn live(mut self) {
        let conversation = self.turns().await;
        self.streams().await;
        self.strangers().await;
        self.malformed_requests().await;
        self.a_model_that_tells().await;
        self.rows_that_cannot_be_read(&conversation).await;
        self.outage().await;
        self.stop().await;
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}/api/ada/{path}", self.address);
        let request = self
            .http
            .request(method, url)
            .header("cookie", "session=canary-cookie");
        request.timeout(Duration::from_secs(70))
    }

    fn as_ada(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path)
            .bearer_auth(self.identity.token("ada"))
    }

    async fn say(&self, body: &Value) -> Answer {
        Answer::of(
            self.as_ada(Method::POST, "chat?token=canary-query")
                .json(body),
        )
        .await
    }

    /// Texts of people and of the model, in a turn that goes well.
    async fn turns(&self) -> Value {
        self.model.push(
            Turn::call(
                "add_task",
                json!({"title": "canary-title", "description": "canary-description"}),
            )
            .and_call("canary-tool", json!({"canary-name": "canary-argument"}))
            .and_call_raw("add_task", "{\"title\": \"canary-broken")
            .and_call(
                "complete_task",
                json!({"task_id": "canary-id", "user_id": "canary-user"}),
            ),
        );
        self.model
            .push(Turn::call("list_tasks", json!({"search": "canary-title"})));
        self.model.push(Turn::text("canary-answer"));
        let mut body =
            json!({"message": "canary-message", "metadata": {"source": "canary-metadata"}});
        for (text, status) in [
            ("canary-message", 200),
            ("canary-message", 200),
            ("canary-other", 422),
        ] {
            body["message"] = json!(text);
            let chat = self
                .as_ada(Method::POST, "chat")
                .header("idempotency-key", "canary-idempotency");
            let answer = Answer::of(chat.json(&body)).await;
            assert_eq!(answer.status, status, "{}", answer.body);
            if status == 422 {
                break;
            }
            // The canaries were there: this is what the logs are compared with.
            assert!(process::leaks(&answer.body.to_string()));
            let tasks = self.as_ada(Method::GET, "tasks?search=canary-title&limit=1");
            assert!(process::leaks(
                &Answer::of(tasks).await.assert_ok().to_string()
            ));
        }
        let listed = Answer::of(self.as_ada(Method::GET, "conversations")).await;
        listed.assert_ok()["conversations"][0]["id"].clone()
    }

    async fn streams(&self) {
        self.model.push(Turn::text("canary-streamed words"));
        let chat = self
            .as_ada(Method::POST, "chat")
            .header("accept", "text/event-stream");
        let events = Answer::of(chat.json(&json!({"message": "canary-stream"}))).await;
        assert!(events.body.as_str().unwrap().contains("canary-streamed"));

        self.model.push(Turn::text("canary-socket-answer"));
        let url = format!("ws://{}/api/ada/chat?token=canary-query", self.address);
        let mut socket = Socket::at(url).await.unwrap();
        let auth = json!({"id": "canary-call", "method": "auth", "params": {"token": self.identity.token("ada")}});
        let start =
            json!({"id": "2", "method": "run.start", "params": {"message": "canary-socket"}});
        for frame in [
            auth,
            start,
            json!({"id": "3", "method": "canary-method", "params": "canary-params"}),
        ] {
            socket.send(frame.to_string()).await.unwrap();
        }
        while let Ok(Received::Frame(frame)) = socket.receive().await {
            if frame.to_string().contains("RUN_FINISHED") {
                break;
            }
        }
        socket.send("canary-malformed {").await.unwrap();
        socket.idle().await;
    }

    async fn strangers(&self) {
        // The provider is down when a key is needed that nobody has: the fetch fails, and says why.
        self.identity.set_down(true);
        let base = || TokenSpec {
            user: "ada".to_owned(),
            ..TokenSpec::default()
        };
        let specs = [
            TokenSpec {
                kid: Some("canary-kid".to_owned()),
                ..base()
            },
            TokenSpec {
                signature: Signature::ForeignKey,
                ..base()
            },
            TokenSpec {
                claims: json!({"iss": "https://canary-issuer.example"}),
                ..base()
            },
            TokenSpec {
                user: "canary-subject".to_owned(),
                ..base()
            },
        ];
        for spec in specs {
            let token = self.identity.token_with(&spec).unwrap();
            let answer = Answer::of(self.request(Method::GET, "tasks").bearer_auth(token)).await;
            assert!(
                matches!(answer.status.as_u16(), 401 | 403 | 503),
                "{}",
                answer.body
            );
        }
        self.identity.set_down(false);
        for header in [
            "Bearer canary-token",
            "Basic canary-basic",
            "canary-scheme x",
            "Bearer eyJhbGciOi.canary.x",
        ] {
            let request = self
                .request(Method::GET, "tasks")
                .header("authorization", header);
            Answer::of(request).await.assert_error(401, "unauthorized");
        }
    }

    async fn malformed_requests(&self) {
        for body in [
            "{\"message\": \"canary-cut",
            "{\"canary-field\": 1}",
            "{\"message\": {\"canary\": \"canary-\"}}",
            "\"canary-text\"",
        ] {
            let chat = self
                .as_ada(Method::POST, "chat")
                .header("content-type", "application/json");
            Answer::of(chat.body(body))
                .await
                .assert_error(400, "invalid_request");
        }
        let chat = self
            .as_ada(Method::POST, "chat")
            .header("content-type", "canary/canary-type");
        Answer::of(chat.body("x"))
            .await
            .assert_error(415, "unsupported_media_type");
        let huge = format!("{{\"message\": \"{}\"}}", "canary-".repeat(40_000));
        let chat = self
            .as_ada(Method::POST, "chat")
            .header("content-type", "application/json");
        Answer::of(chat.body(huge))
            .await
            .assert_error(413, "payload_too_large");
        for path in [
            "tasks?cursor=canary-cursor",
            "tasks?canary-name=canary-value",
            "tasks?completed=canary-no",
        ] {
            let answer = Answer::of(self.as_ada(Method::GET, path)).await;
            assert!(
                matches!(answer.status.as_u16(), 200 | 400),
                "{}",
                answer.body
            );
        }
    }

    /// Providers repeat what they were sent, the key included.
    async fn a_model_that_tells(&self) {
        let told = json!({"error": {"message": "Incorrect API key provided: canary-key. You said: canary-message",
                                    "type": "invalid_request_error", "code": "invalid_api_key", "param": "canary-param with words"}});
        let chunk = "data: {\"choices\":\"canary-chunk\"}\n\n";
        let nonsense = "data: canary-nonsense\n\n";
        let cases = [
            Turn::status(401).body(&told),
            Turn::status(400).body("canary-plain text"),
            Turn::status(503)
                .header("retry-after", "0")
                .body("<html>canary-page</html>"),
            Turn::raw([chunk]),
            Turn::raw([nonsense]),
            Turn::text("canary-one canary-two canary-three").error_after(2, 400, "canary-in-band"),
            Turn::text("canary-one canary-two canary-three").cut_after(2),
        ];
        for case in cases {
            // Passing trouble is tried again three times.
            self.model.script(move |_| case.clone());
            let answer = self.say(&json!({"message": "canary-message"})).await;
            answer.assert_error(502, "model_error");
            assert!(!process::leaks(&answer.body.to_string()), "{}", answer.body);
        }
    }

    /// A row that is not what it should be: the error says so, and not what it is.
    async fn rows_that_cannot_be_read(&self, conversation: &Value) {
        for rows in [
            r#"update messages set turn_steps = '"canary-calls"' where turn_steps is not null"#,
            r#"update steps set tool_calls = '"canary-calls"'"#,
        ] {
            rows::execute(&self.db, rows).await;
        }
        let body = json!({"message": "canary-message", "conversation_id": conversation});
        self.say(&body).await.assert_error(500, "run_failed");
    }

    async fn outage(&self) {
        self.door.close();
        let tasks = || self.as_ada(Method::GET, "tasks?search=canary-title");
        Answer::of(tasks()).await.assert_error(503, "unavailable");
        self.say(&json!({"message": "canary-outage"}))
            .await
            .assert_error(503, "unavailable");
        self.door.reopen();
        while Answer::of(tasks()).await.status != 200 {}
    }

    async fn stop(&mut self) {
        for process in [&mut self.api, &mut self.worker] {
            process.signal("TERM").await;
            let end = process.ends(STOP).await;
            process.rest().await;
            assert!(
                end.success(),
                "{end}: {:#?}",
                process.heard().iter().rev().take(20).collect::<Vec<_>>()
            );
        }
        // It was all logged, only not that.
        for (process, said) in [
            (
                &self.api,
                &[
                    "DEBUG",
                    "finished processing request",
                    "cannot fetch the identity provider's keys",
                    "the database is unavailable",
                ][..],
            ),
            (
                &self.worker,
                &[
                    "DEBUG",
                    "tool call",
                    "the model failed",
                    "the attempt failed",
                ][..],
            ),
        ] {
            for said in said {
                assert!(
                    process.heard().iter().any(|line| line.contains(said)),
                    "{said}"
                );
            }
            process.assert_discreet();
        }
    }
}
