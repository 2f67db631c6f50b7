//! The API's operations, from its own document: requests for all of them, with somebody's ids in every place that takes one.

use std::collections::HashMap;

use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};

use super::{Answer, TestSystem};

/// What one user has: an id for every place of a request.
#[derive(Clone)]
pub(crate) struct Belongings {
    pub(crate) conversation: String,
    /// Another one, which is there to be deleted.
    pub(crate) spare: String,
    pub(crate) run: String,
    /// Another run, which waits for a decision.
    pub(crate) waiting: String,
    /// Another run, which was cancelled.
    pub(crate) stopped: String,
    pub(crate) task: String,
    /// The key that the run was accepted under. None: send none, and make new ids for what is to be new.
    pub(crate) key: Option<String>,
    /// A place in the middle of each list, by path.
    pub(crate) cursors: HashMap<String, String>,
}

/// One method of one path, as it is documented.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// It wants no token.
    pub(crate) is_public: bool,
    /// It is answered with an upgrade.
    pub(crate) is_socket: bool,
    parameters: Vec<(String, String)>,
    body: Vec<String>,
}

/// Every operation of the running API.
pub(crate) async fn operations(system: &TestSystem) -> Vec<Operation> {
    let document = Answer::of(system.bare(Method::GET, "/openapi.json")).await;
    let document = document.assert_ok();
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            operations.push(read(document, path, method, operation));
        }
    }
    operations
}

fn read(document: &Value, path: &str, method: &str, operation: &Value) -> Operation {
    let all = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let parameters = all(&operation["parameters"]);
    let security = operation.get("security").unwrap_or(&document["security"]);
    Operation {
        method: method.to_uppercase().parse().expect("a method"),
        path: path.to_owned(),
        is_public: all(security).iter().all(|way| *way == json!({})),
        is_socket: operation["responses"].get("101").is_some(),
        parameters: parameters
            .iter()
            .map(|parameter| (text(&parameter["in"]), text(&parameter["name"])))
            .collect(),
        body: fields_of_body(document, operation),
    }
}

fn fields_of_body(document: &Value, operation: &Value) -> Vec<String> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let schema = match schema["$ref"].as_str() {
        Some(name) => document.pointer(&name[1..]).expect("a schema"),
        None => schema,
    };
    let fields = schema["properties"].as_object();
    fields.map_or_else(Vec::new, |fields| fields.keys().cloned().collect())
}

impl Operation {
    /// Whether it lists in pages.
    pub(crate) fn is_paged(&self) -> bool {
        self.parameters.iter().any(|(_, name)| name == "cursor")
    }

    /// A request to `user`'s path with these ids in every place, and no token yet.
    ///
    /// A place that is new panics here: give it an id of somebody's, so that the matrix covers it.
    pub(crate) fn request(
        &self,
        system: &TestSystem,
        user: &str,
        ids: &Belongings,
    ) -> RequestBuilder {
        let path = self.path_of(user, ids);
        let mut request = system.bare(self.method.clone(), &path);
        for (place, name) in &self.parameters {
            request = match (place.as_str(), name.as_str()) {
                ("path", _) => request,
                ("query", "cursor") => request.query(&[(name, &ids.cursors[&self.path])]),
                ("query", "limit") => request.query(&[(name, "50")]),
                ("query", "wait") => request.query(&[(name, "0")]),
                // No limit to what is listed: filters are read as if they were not there.
                ("query", "view" | "due_from" | "due_to" | "priority") => {
                    request.query(&[(name, "")])
                }
                ("query", "tags" | "completed") => request,
                ("query", "target_pickup") => request.query(&[(name, "2")]),
                ("query", "order") => request.query(&[(name, "asc")]),
                ("query", "search") => request.query(&[(name, "only")]),
                ("header", "Idempotency-Key") => match &ids.key {
                    Some(key) => request.header(name, key),
                    None => request,
                },
                ("header", "X-Time-Zone") => request.header(name, "Europe/Berlin"),
                ("header", "traceparent") => request.header(
                    name,
                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                ),
                ("header", "Prefer") => request.header(name, "wait=20"),
                ("header", "Last-Event-ID") => request.header(name, "0"),
                _ => self.teach(&format!("the {place} parameter {name}")),
            };
        }
        if self.body.is_empty() {
            return request;
        }
        let fields = self
            .body
            .iter()
            .map(|name| (name.clone(), self.field(name, ids)));
        request.json(&Value::Object(fields.collect::<Map<_, _>>()))
    }

    fn path_of(&self, user: &str, ids: &Belongings) -> String {
        let mut of = "";
        let parts = self.path.split('/').map(|part| {
            let filled = match part {
                "{user_id}" => user,
                "{id}" if of == "conversations" && self.method == Method::DELETE => &ids.spare,
                "{id}" if of == "conversations" => &ids.conversation,
                "{id}" if of == "runs" && self.path.ends_with("/decision") => &ids.waiting,
                "{id}" if of == "runs" && self.path.ends_with("/retry") => &ids.stopped,
                "{id}" if of == "runs" => &ids.run,
                _ if part.starts_with('{') => self.teach(&format!("the path parameter {part}")),
                _ => part,
            };
            of = part;
            filled
        });
        parts.collect::<Vec<_>>().join("/")
    }

    fn field(&self, name: &str, ids: &Belongings) -> Value {
        match name {
            "message" => json!("hello"),
            "title" => json!("another title"),
            "conversation_id" => json!(ids.conversation),
            "metadata" => json!({"conversation_id": ids.conversation, "run_id": ids.run}),
            // The one that could do harm.
            "on_busy" => json!("interrupt"),
            "approve" => json!(true),
            // The other way to say it.
            "decisions" => Value::Null,
            "run_id" if ids.key.is_none() => json!(uuid::Uuid::now_v7()),
            "run_id" => json!(ids.run),
            _ => self.teach(&format!("the field {name}")),
        }
    }

    fn teach(&self, what: &str) -> ! {
        let Self { method, path, .. } = self;
        panic!("teach this test {what} of {method} {path}: which of a user's ids belongs there?")
    }
}
