//! The matrix on the tools: every tool of the MCP server, called for Bob with what is Ada's.

use errand_core::ids::CallKey;
use errand_store as store;
use errand_tools::{Caller, TaskServer};
use rmcp::{
    RoleClient, ServiceError, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation,
        Tool,
    },
    service::RunningService,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{HERS, Matrix};
use crate::system::rows;

/// A client of the MCP server that makes calls in a run of somebody's.
pub(crate) struct Desk {
    client: RunningService<RoleClient, ClientConfig>,
    run_id: Uuid,
    next: i32,
}

impl Desk {
    /// Opens a run for the user by hand: no worker knows it, so it stays at work for as long as the test wants.
    pub(crate) async fn open(matrix: &Matrix, user: &str) -> Self {
        let run_id = Uuid::now_v7();
        let open = format!(
            "insert into conversations (id, user_id, title) values ('{run_id}', '{user}', 'by hand');
             insert into runs (id, conversation_id, user_id, status, attempt, admitted_at)
                 values ('{run_id}', '{run_id}', '{user}', 'running', 1, now());
             insert into steps (run_id, step, attempt, content, tool_calls) values ('{run_id}', 1, 1, '', '[]')"
        );
        rows::execute(&matrix.system.db, &open).await;
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let pool = store::pool(&matrix.system.database_url, "tools", 4, true).expect("a pool");
        let server = TaskServer::for_agent(pool);
        tokio::spawn(async move {
            let running = Box::pin(server.serve(theirs)).await.expect("a handshake");
            let _ = running.waiting().await;
        });
        let info = Implementation::new("tests", "1");
        let client = ClientConfig::new(ClientCapabilities::default(), info).serve(ours);
        Self {
            client: client.await.expect("a handshake"),
            run_id,
            next: 0,
        }
    }

    pub(crate) async fn tools(&self) -> Vec<Tool> {
        self.client.peer().list_all_tools().await.expect("tools")
    }

    /// Makes a call for the user in this run; returns the structured output.
    pub(crate) async fn call(&mut self, user: &str, tool: &str, arguments: &Value) -> Value {
        let run_id = self.run_id;
        self.try_call(user, run_id, tool, arguments)
            .await
            .expect("a result")
    }

    async fn try_call(
        &mut self,
        user: &str,
        run_id: Uuid,
        tool: &str,
        arguments: &Value,
    ) -> Result<Value, ServiceError> {
        let key = CallKey {
            run_id,
            step: 1,
            ordinal: self.next,
        };
        self.next += 1;
        let caller = Caller {
            time_zone: None,
            user_id: user.to_owned(),
            key,
            attempt: 1,
            refused: None,
            is_unapproved: false,
            has_failed: false,
        };
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        let mut params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        params.meta = Some(caller.to_meta());
        match self.client.peer().call_tool_once(params).await? {
            CallToolResponse::Complete(result) => Ok(result.structured_content.expect("an output")),
            other => panic!("{other:?}"),
        }
    }
}

impl Matrix {
    /// Arguments for a tool, with Ada's ids wherever there is a place for an id. A place that is new panics here: teach it.
    pub(super) fn arguments(&self, tool: &Tool, user: &str) -> Value {
        let names = tool.input_schema["properties"]
            .as_object()
            .expect("properties");
        let values = names.keys().map(|name| {
            let value = match name.as_str() {
                "user_id" => json!(user),
                "task_id" => json!(self.ids.task),
                "cursor" => {
                    let task = self.ids.cursors["/api/{user_id}/tasks"].as_str();
                    json!(format!("none_none_p1_{task}"))
                }
                "title" | "description" => json!("changed"),
                "search" => json!("only"),
                "completed" => json!(false),
                "limit" => json!(200),
                "view" => json!("undated"),
                "due_date" | "due_from" | "due_to" => json!("2026-12-01"),
                "due_time" => json!("17:00"),
                "weekday" => json!("tuesday"),
                "priority" => json!("p1"),
                "tags" => json!(["changed"]),
                "repeat" => json!("FREQ=DAILY"),
                "repeat_from" => json!("due"),
                "clear" => json!([]),
                "restore" => json!(true),
                _ => panic!("teach this test the argument {name} of {}", tool.name),
            };
            (name.clone(), value)
        });
        Value::Object(values.collect::<Map<_, _>>())
    }

    pub(super) async fn with_tools(&self) {
        let before = rows::of(&self.system.db, "ada").await;
        let mut desk = Desk::open(self, "bob").await;
        let tools = desk.tools().await;
        assert_eq!(tools.len(), 5);
        for tool in &tools {
            // He says he is Ada.
            let result = desk
                .call("bob", &tool.name, &self.arguments(tool, "ada"))
                .await;
            assert_eq!(
                result["error"]["type"], "unauthorized_access",
                "{}: {result}",
                tool.name
            );
            // He is himself, and names what is hers.
            let arguments = self.arguments(tool, "bob");
            let result = desk.call("bob", &tool.name, &arguments).await;
            if arguments.get("task_id").is_some() {
                assert_eq!(
                    result["error"]["type"], "resource_not_found",
                    "{}: {result}",
                    tool.name
                );
            } else {
                assert_eq!(result["success"], true, "{}: {result}", tool.name);
            }
            assert!(
                !result.to_string().contains(HERS),
                "{}: {result}",
                tool.name
            );
            assert!(
                result.get("tasks").is_none_or(|tasks| *tasks == json!([])),
                "{result}"
            );
            // He is himself, in a run of hers.
            let run = self.ids.run.parse().expect("an id");
            let fenced = desk.try_call("bob", run, &tool.name, &arguments).await;
            assert!(
                matches!(fenced, Err(ServiceError::McpError(_))),
                "{}: {fenced:?}",
                tool.name
            );
        }
        assert_eq!(rows::of(&self.system.db, "ada").await, before);
        self.tools_work(&tools).await;
    }

    /// The positive control, for a third user: with ids of one's own, each tool works.
    async fn tools_work(&self, tools: &[Tool]) {
        let mut desk = Desk::open(self, "carol").await;
        let added = desk
            .call(
                "carol",
                "add_task",
                &json!({"user_id": "carol", "title": "hers"}),
            )
            .await;
        for tool in tools {
            let mut arguments = self.arguments(tool, "carol");
            let fields = arguments.as_object_mut().expect("an object");
            fields.remove("cursor");
            fields.remove("search");
            fields.remove("view");
            if let Some(task_id) = fields.get_mut("task_id") {
                let again = desk
                    .call(
                        "carol",
                        "add_task",
                        &json!({"user_id": "carol", "title": "a"}),
                    )
                    .await;
                *task_id = again["task_id"].clone();
            }
            let result = desk.call("carol", &tool.name, &arguments).await;
            assert_eq!(result["success"], true, "{}: {result}", tool.name);
            assert!(result["count"] != 0, "{result}");
        }
        assert_eq!(added["success"], true);
    }
}
