//! The agent's way to its tools: an MCP client, in one process with the server and under the same protocol.
//!
//! Here the user enters a call: the model is told of tools without `user_id`, and whatever it sends under that name is
//! replaced by the run's owner.

use std::{sync::Arc, time::Duration};

use backon::{ConstantBuilder, Retryable};
use errand_core::pending::Effect;
use errand_server::supervise::Supervisor;
use errand_store::lifecycle::{Claimed, RequestedCall};
use errand_tools::{Caller, FENCED, OUTAGE, TaskServer};
use futures::{StreamExt, channel::mpsc};
use rmcp::{
    RoleClient, ServiceError, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig,
        ClientJsonRpcMessage, ClientRequest, GetMeta, Implementation, JsonRpcMessage,
        ServerJsonRpcMessage, Tool,
    },
    service::RunningService,
};
use serde_json::{Map, Value, json, value::to_raw_value};
use tokio::sync::RwLock;

use crate::agent::{Interrupted, Invocation, Refusal, ToolDefinition, ToolOutcome};

/// Messages each way between client and server before one waits for the other.
const CAPACITY: usize = 256;
/// Repeats of a call whose outcome is unknown. Its key makes that safe.
const REPEATS: usize = 2;
const REPEAT_PAUSE: Duration = Duration::from_millis(200);

/// The tool server cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ToolboxError {
    /// The handshake failed.
    #[error("handshake: {0}")]
    Handshake(Box<rmcp::service::ClientInitializeError>),
    /// The tools could not be listed.
    #[error("{0}")]
    Service(#[from] ServiceError),
    /// The schema of a tool cannot be written.
    #[error("{0}")]
    Schema(#[from] serde_json::Error),
}

type Client = RunningService<RoleClient, ClientConfig>;

/// A connected client and what it can do. One for the whole process.
pub(crate) struct Toolbox {
    server: TaskServer,
    supervisor: Supervisor,
    client: RwLock<Arc<Client>>,
    definitions: Vec<ToolDefinition>,
    /// How long one try of a call may take. The server bounds its own work, and this is for one that does not.
    patience: Duration,
}

impl Toolbox {
    /// Connects to the server and learns its tools.
    ///
    /// # Errors
    /// The handshake or the listing failed.
    pub(crate) async fn start(
        server: TaskServer,
        supervisor: Supervisor,
        patience: Duration,
    ) -> Result<Self, ToolboxError> {
        let client = connect(&server, &supervisor).await?;
        let tools = client.peer().list_all_tools().await?;
        let definitions = tools
            .into_iter()
            .map(for_the_model)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            server,
            supervisor,
            client: RwLock::new(Arc::new(client)),
            definitions,
            patience,
        })
    }

    /// Waits, for a bounded time, until sockets are told of the calls that were made.
    pub(crate) async fn told(&self) {
        self.server.told().await;
    }

    /// Ends the connection, and the server with it. No call is made behind it.
    pub(crate) async fn close(&self) {
        self.client.read().await.cancellation_token().cancel();
    }

    /// The tools for one attempt at a run.
    pub(crate) fn for_attempt<'a>(&'a self, run: &'a Claimed) -> AttemptTools<'a> {
        AttemptTools { toolbox: self, run }
    }

    async fn call(&self, params: CallToolRequestParams) -> Result<CallToolResult, Interrupted> {
        let client = self.client.read().await.clone();
        let call = client.peer().call_tool_once(params);
        match tokio::time::timeout(self.patience, call).await {
            Ok(Ok(CallToolResponse::Complete(result))) => Ok(result),
            Ok(Ok(_)) => Err(Interrupted::Unavailable(
                "the tool server asked for more input".to_owned(),
            )),
            Ok(Err(ServiceError::McpError(error))) if error.code == FENCED => {
                Err(Interrupted::Fenced)
            }
            Ok(Err(ServiceError::McpError(error))) if error.code == OUTAGE => {
                Err(Interrupted::Outage(error.message.into_owned()))
            }
            Ok(Err(ServiceError::McpError(error))) => {
                Err(Interrupted::Unavailable(error.message.into_owned()))
            }
            Ok(Err(error)) => {
                self.reconnect(&client).await;
                Err(Interrupted::Unavailable(error.to_string()))
            }
            // Whether it took effect is unknown, and the server may still be at it: it is made again under its key, so that there is one effect
            // whichever of them comes first.
            Err(_) => {
                tracing::warn!(patience = ?self.patience, "a tool did not answer in time");
                Err(Interrupted::Unavailable(
                    "the tool did not answer in time".to_owned(),
                ))
            }
        }
    }

    /// Replaces a pair that broke, unless another call has done so already.
    async fn reconnect(&self, broken: &Arc<Client>) {
        let mut current = self.client.write().await;
        if !Arc::ptr_eq(&current, broken) {
            return;
        }
        tracing::warn!("the connection to the tool server broke; making a new one");
        match connect(&self.server, &self.supervisor).await {
            Ok(client) => *current = Arc::new(client),
            Err(error) => tracing::error!(%error, "the tool server cannot be reached"),
        }
    }
}

async fn connect(server: &TaskServer, supervisor: &Supervisor) -> Result<Client, ToolboxError> {
    // Messages as they are: in one process nothing is gained by writing them as JSON and reading that.
    let (client_tx, server_rx) = mpsc::channel::<ClientJsonRpcMessage>(CAPACITY);
    let (server_tx, client_rx) = mpsc::channel::<ServerJsonRpcMessage>(CAPACITY);
    let server = server.clone();
    // It ends when its pair is broken or closed, which is mended; a panic in it is not.
    supervisor.transient("tool server", async move {
        if let Ok(running) = Box::pin(server.serve((server_tx, server_rx.map(with_its_meta)))).await
            && let Err(error) = running.waiting().await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    });
    let info = Implementation::new("errand-worker", env!("CARGO_PKG_VERSION"));
    ClientConfig::new(ClientCapabilities::default(), info)
        .serve((client_tx, client_rx))
        .await
        .map_err(|error| ToolboxError::Handshake(Box::new(error)))
}

/// Moves the `_meta` of a call to where a server looks for it, which is what rmcp does as it reads a message from JSON.
fn with_its_meta(mut message: ClientJsonRpcMessage) -> ClientJsonRpcMessage {
    if let JsonRpcMessage::Request(request) = &mut message
        && let ClientRequest::CallToolRequest(call) = &mut request.request
        && let Some(meta) = call.params.meta.take()
    {
        request.request.get_meta_mut().extend(meta);
    }
    message
}

/// A tool as the model is told of it: without the user, who is none of its business.
fn for_the_model(tool: Tool) -> Result<ToolDefinition, serde_json::Error> {
    let is_read_only = tool
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.read_only_hint)
        .unwrap_or(false);
    let mut parameters = Value::Object((*tool.input_schema).clone());
    if let Some(properties) = parameters
        .get_mut("properties")
        .and_then(Value::as_object_mut)
    {
        properties.remove("user_id");
    }
    if let Some(required) = parameters.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name != "user_id");
    }
    Ok(ToolDefinition {
        name: tool.name.into_owned(),
        description: tool.description.unwrap_or_default().into_owned(),
        parameters: to_raw_value(&parameters)?,
        is_read_only,
    })
}

/// The toolbox of one attempt.
pub(crate) struct AttemptTools<'a> {
    toolbox: &'a Toolbox,
    run: &'a Claimed,
}

impl crate::agent::Toolbox for AttemptTools<'_> {
    fn definitions(&self) -> &[ToolDefinition] {
        &self.toolbox.definitions
    }

    async fn call(&self, invocation: Invocation<'_>) -> Result<ToolOutcome, Interrupted> {
        let Invocation {
            key,
            user_id,
            call,
            refused,
            has_failed,
        } = invocation;
        let (arguments, malformed) = arguments(user_id, call);
        let reason = refused.map(Refusal::reason).or(malformed);
        let caller = Caller {
            user_id: user_id.to_owned(),
            key,
            attempt: self.run.attempt,
            time_zone: self.run.time_zone.clone(),
            refused: reason.map(str::to_owned),
            is_unapproved: matches!(refused, Some(Refusal::Unapproved(_))),
            has_failed,
        };
        let mut params = CallToolRequestParams::new(call.name.clone()).with_arguments(arguments);
        params.meta = Some(caller.to_meta());
        let repeats = ConstantBuilder::default()
            .with_delay(REPEAT_PAUSE)
            .with_max_times(REPEATS);
        let result = (|| self.toolbox.call(params.clone()))
            .retry(repeats)
            .when(|error| *error != Interrupted::Fenced)
            .await?;
        Ok(ToolOutcome {
            result: result
                .structured_content
                .unwrap_or_else(|| json!({"success": false})),
        })
    }

    async fn previews(
        &self,
        user_id: &str,
        calls: &[&RequestedCall],
    ) -> Result<Vec<Option<Effect>>, Interrupted> {
        let calls = calls
            .iter()
            .map(|call| (call.name.as_str(), arguments(user_id, call).0))
            .collect();
        let previews = self.toolbox.server.previews(user_id, calls).await;
        previews.map_err(|error| Interrupted::from(&error))
    }
}

/// The arguments with the user filled in. Text that is no JSON object is kept for the record, and the call refused.
fn arguments(user_id: &str, call: &RequestedCall) -> (Map<String, Value>, Option<&'static str>) {
    let (mut arguments, malformed) = match call.object() {
        Some(arguments) => (arguments, None),
        None => {
            let raw = Map::from_iter([("malformed_arguments".to_owned(), json!(call.arguments))]);
            (
                raw,
                Some(
                    "The arguments are not a JSON object with each name once; send them again as one.",
                ),
            )
        }
    };
    arguments.insert("user_id".to_owned(), json!(user_id));
    (arguments, malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(arguments: &str) -> RequestedCall {
        RequestedCall {
            id: String::new(),
            name: "add_task".to_owned(),
            arguments: arguments.to_owned(),
            extra: Map::new(),
            is_unclear: false,
        }
    }

    #[test]
    fn the_user_is_filled_in_whatever_the_model_sends() {
        let (arguments, malformed) = arguments("ada", &asked(r#"{"user_id":"eve","title":"x"}"#));
        assert_eq!(arguments["user_id"], "ada");
        assert_eq!(malformed, None);
    }

    #[test]
    fn broken_arguments_are_kept_and_refused() {
        let (arguments, malformed) = arguments("ada", &asked(r#"{"title": "#));
        assert_eq!(arguments["malformed_arguments"], r#"{"title": "#);
        assert!(malformed.is_some());
    }
}
