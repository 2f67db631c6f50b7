//! The matrix on the API's `/mcp`: every tool that it lists, called by Bob with what is Ada's.

use rmcp::model::Tool;
use serde_json::{Value, json};

use super::{HERS, Matrix};
use crate::system::{Answer, rows};

impl Matrix {
    pub(super) async fn at_mcp(&self) {
        let before = rows::of(&self.system.db, "ada").await;
        let mcp = self.system.mcp();
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        for token in [None, Some("not.a.token")] {
            let request = mcp.post(&list);
            let request = match token {
                Some(token) => request.bearer_auth(token),
                None => request,
            };
            let answer = Answer::of(request).await;
            answer.assert_error(401, "unauthorized");
        }
        let listed = mcp.ask("bob", "tools/list", json!({})).await;
        let tools = listed.assert_ok()["result"]["tools"].clone();
        let tools: Vec<Tool> = serde_json::from_value(tools).expect("tools");
        assert_eq!(tools.len(), 5);
        for tool in &tools {
            // He says he is Ada.
            let hers = self.arguments(tool, "ada");
            let result = mcp.call("bob", &tool.name, hers).await;
            let kind = &result["error"]["type"];
            assert_eq!(kind, "unauthorized_access", "{}: {result}", tool.name);
            // He is himself, and names what is hers.
            let arguments = self.arguments(tool, "bob");
            let names_a_task = arguments.get("task_id").is_some();
            let result = mcp.call("bob", &tool.name, arguments).await;
            match names_a_task {
                true => assert_eq!(result["error"]["type"], "resource_not_found", "{result}"),
                false => assert_eq!(result["success"], true, "{}: {result}", tool.name),
            }
            assert!(
                !result.to_string().contains(HERS),
                "{}: {result}",
                tool.name
            );
            let tasks = result.get("tasks");
            assert!(tasks.is_none_or(|tasks| *tasks == json!([])), "{result}");
        }
        assert_eq!(rows::of(&self.system.db, "ada").await, before);
        // The positive control: she finds what is hers.
        let found = mcp.call("ada", "list_tasks", json!({"user_id": "ada"}));
        let found: Value = found.await;
        assert!(found.to_string().contains(HERS), "{found}");
    }
}
