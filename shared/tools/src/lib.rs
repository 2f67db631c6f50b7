//! The MCP server: five tools, and nothing else changes a to-do list. It never sees the agent, a route of the API or the queue.
//!
//! `call_tool` is the single place where a call is fenced, made, recorded and guarded against panics. Effect and record
//! commit in one transaction: for the agent under the key (run, step, ordinal), so that a call that is repeated returns
//! what was recorded; for outside clients as a call of its own.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use errand_core::{
    hints::{Hint, Owner, TaskChange},
    pending::Effect,
    user_queue::Bounds,
};
use errand_store::{
    self as store, Pool, StoreError, UserPool, WriteError, lifecycle::tool_call::Record,
};
use futures::FutureExt;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestMethod,
        CompleteRequestParams, CompleteResult, CustomRequest, CustomResult, DiscoverResult,
        ErrorCode, Implementation, InitializeRequestParams, InitializeResult, JsonObject,
        ListPromptsRequestMethod, ListPromptsResult, ListResourceTemplatesRequestMethod,
        ListResourceTemplatesResult, ListResourcesRequestMethod, ListResourcesResult,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
};
use serde_json::{Value, json};

mod arguments;
mod calls;
mod check;
mod config;
mod contract;
mod edit;
mod error;
mod execute;
pub mod http;
mod identity;
mod kept;
mod list;
pub mod listing;
mod plan;
mod preview;
mod spans;
mod subject;
mod valid;

pub use config::McpConfig;
pub use contract::NAMES;
pub use error::ToolError;
use execute::CallError;
pub use identity::Caller;
use identity::{Identity, Who};

/// Answered to a caller whose attempt no longer owns the run: nothing was written.
pub const FENCED: ErrorCode = ErrorCode(-32_010);
/// Answered when the store fails: the same call may be repeated.
const UNAVAILABLE: ErrorCode = ErrorCode(-32_011);

/// Answered when the database is away: the same call may be repeated, and the run is not at fault.
pub const OUTAGE: ErrorCode = ErrorCode(-32_012);

/// Answered to an outside client that has made as many calls as a minute allows.
const RATE_LIMITED: ErrorCode = ErrorCode(-32_013);

/// Tells similar tools apart, for any client.
const INSTRUCTIONS: &str = "One user's to-do list. Find a task's id with list_tasks before you change it. \
complete_task marks a task as done and keeps it, and moves one that repeats to its next date; delete_task removes it, and for \
30 days update_task with restore brings it back; update_task changes everything else. Dates are the user's own days.";

/// Calls from outside: one of each user at a time in this process. Those that wait hold no connection.
const OUTSIDE: Bounds = Bounds {
    at_once: 1,
    waiting_of_one: 100,
    total: 2_000,
    patience: Duration::from_secs(8),
};

/// Whether a tool changes the list.
pub fn changes_tasks(name: &str) -> bool {
    contract::NAMES.contains(&name) && name != "list_tasks"
}

/// The server: of the worker's own agent, or of clients from outside.
#[derive(Clone)]
pub struct TaskServer {
    pool: Pool,
    /// The way to the pool for calls from outside.
    outside: Arc<UserPool>,
    identity: Identity,
    /// Calls a minute of one user from outside; 0: any number.
    limit: u32,
}

impl TaskServer {
    /// For the agent of this process alone: it trusts the caller's `_meta` to name user and run.
    pub fn for_agent(pool: Pool) -> Self {
        Self::new(pool, Identity::Meta, 0)
    }

    /// For HTTP clients whose token the middleware has verified; at most `limit` calls a minute of each user.
    pub fn for_bearers(pool: Pool, limit: u32) -> Self {
        Self::new(pool, Identity::Bearer, limit)
    }

    /// For a client of this one user; at most `limit` calls a minute.
    pub fn for_user(pool: Pool, user_id: &str, limit: u32) -> Self {
        Self::new(pool, Identity::Fixed(user_id.into()), limit)
    }

    fn new(pool: Pool, identity: Identity, limit: u32) -> Self {
        Self {
            outside: Arc::new(UserPool::new(pool.clone(), OUTSIDE)),
            pool,
            identity,
            limit,
        }
    }

    /// Waits, for a bounded time, until sockets and streams are told of the calls that were made: before the pool is closed.
    pub async fn told(&self) {
        self.pool.told().await;
    }

    /// What calls would do for their user, in their order; none for one that would come to an error.
    pub async fn previews(
        &self,
        user_id: &str,
        calls: Vec<(&str, JsonObject)>,
    ) -> Result<Vec<Option<Effect>>, StoreError> {
        store::within(async {
            let mut db = store::begin_for(&self.pool, user_id).await?;
            let mut previews = Vec::with_capacity(calls.len());
            for (name, arguments) in calls {
                let parameters = store::without_nul(Value::Object(arguments));
                let preview = preview::of(&mut db, user_id, name, parameters).await?;
                previews.push(preview.ok());
            }
            db.done(Ok(previews)).await
        })
        .await
    }

    /// What a model outside is told: also its user's id, which it has no other way to know and each tool asks for.
    fn instructions(&self, context: &RequestContext<RoleServer>) -> String {
        match self.identity.of(context) {
            Some(Who::ExternalCaller(outsider)) => {
                format!("{INSTRUCTIONS} The user_id is \"{}\".", outsider.user_id)
            }
            _ => INSTRUCTIONS.to_owned(),
        }
    }

    /// Makes a call, records it, and keeps a panic in it from doing harm.
    async fn make(&self, who: &Who, name: &str, parameters: Value) -> Result<Record, ErrorData> {
        let work = async {
            match who {
                Who::Agent(caller) => {
                    store::within(execute::for_agent(&self.pool, caller, name, parameters)).await
                }
                Who::ExternalCaller(outsider) => {
                    let turn = self.outside.enter(&outsider.user_id).await;
                    let turn = turn.map_err(CallError::of_crowd)?;
                    let call =
                        execute::for_external_caller(&turn, outsider, self.limit, name, parameters);
                    store::within(call).await
                }
            }
        };
        // A panic would otherwise leave the caller waiting for ever; the transaction is rolled back when it is dropped.
        let record = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(result) => result.map_err(|error| refusal(who, &error))?,
            Err(_) => return Err(ErrorData::internal_error("the tool panicked", None)),
        };
        // Also of a call that was made before: whoever made it may have died before it told anybody.
        if changes_tasks(name) && !record.is_error {
            let (owner, run_id) = (Owner::of(who.user_id()), who.run_id());
            let hint = Hint::TasksChanged(TaskChange { owner, run_id });
            match run_id {
                // Whoever follows the run hears of it from the run.
                Some(_) => self.pool.tell_soon([hint]),
                None => self.pool.tell(hint),
            }
        }
        Ok(record)
    }
}

/// What a caller is told when its call has neither effect nor record. The inside stays inside.
fn refusal(who: &Who, error: &CallError) -> ErrorData {
    match error {
        CallError::Write(WriteError::Fenced) => {
            ErrorData::new(FENCED, "the run is no longer this attempt's", None)
        }
        CallError::Write(WriteError::Store(error)) => {
            tracing::warn!(call = %who, %error, "a tool call failed in the store");
            let code = if error.is_outage() {
                OUTAGE
            } else {
                UNAVAILABLE
            };
            ErrorData::new(code, "the store is unavailable", None)
        }
        CallError::TooMany(pause) => {
            if let Who::ExternalCaller(outsider) = who {
                outsider.has_to_wait(*pause);
            }
            let seconds = whole_seconds(*pause);
            let message = format!("Too many calls; try again in {seconds} seconds.");
            let details = json!({"code": "rate_limited", "retry_after": seconds});
            ErrorData::new(RATE_LIMITED, message, Some(details))
        }
    }
}

/// Whole seconds, rounded up, at least 1.
fn whole_seconds(pause: Duration) -> u64 {
    (pause.as_secs() + u64::from(pause.subsec_nanos() > 0)).max(1)
}

impl ServerHandler for TaskServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("errand", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        context.peer.set_peer_info(request.clone());
        let mut result = self.negotiate_initialize(&request)?;
        result.instructions = Some(self.instructions(&context));
        Ok(result)
    }

    async fn discover(
        &self,
        context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        let config = self
            .get_info()
            .with_instructions(self.instructions(&context));
        Ok(DiscoverResult::from_server_info(versions, config))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = match self.identity {
            Identity::Fixed(_) => contract::tools_of_one_user(),
            Identity::Meta | Identity::Bearer => contract::tools(),
        };
        Ok(ListToolsResult::with_all_items(tools))
    }

    // The library's defaults would answer these with empty lists, as if there could be something.
    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<
            ListResourceTemplatesRequestMethod,
        >())
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        self.call(&request.name, arguments, &context)
            .await
            .map(Into::into)
    }

    /// What the library could not read. A call of a tool is among it if its arguments are no object: some clients send them as
    /// their model wrote them, as a text.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        if request.method != "tools/call" {
            return Err(ErrorData::new(
                ErrorCode::METHOD_NOT_FOUND,
                request.method,
                None,
            ));
        }
        let (name, arguments) = arguments::of_unread_call(request.params)?;
        let result = self.call(&name, arguments, &context).await?;
        let mut result = serde_json::to_value(result)
            .map_err(|_| ErrorData::internal_error("the result cannot be written", None))?;
        if let Some(fields) = result.as_object_mut() {
            // Older clients do not know it, and for the others it means what its absence means.
            fields.remove("resultType");
        }
        Ok(CustomResult::new(result))
    }
}

impl TaskServer {
    async fn call(
        &self,
        name: &str,
        mut arguments: JsonObject,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let who = self.identity.of(context).ok_or_else(|| {
            ErrorData::invalid_params("the call does not say for whom it is made", None)
        })?;
        if let Identity::Fixed(user) = &self.identity
            && arguments.get("user_id").is_none_or(Value::is_null)
        {
            arguments.insert("user_id".to_owned(), json!(user));
        }
        let name = name.replace('\0', "\u{fffd}");
        let parameters = store::without_nul(Value::Object(arguments));
        // Boxed: it is large, and is awaited in two ways.
        let making = Box::pin(self.make(&who, &name, parameters));
        let record = match &who {
            // Of the agent's own calls its worker tells.
            Who::Agent(_) => making.await?,
            Who::ExternalCaller(outsider) => {
                let mut span = spans::of_call(&name, outsider, context);
                let made = span.scope(making).await;
                match &made {
                    Ok(record) if record.is_error => span.fail("tool_error"),
                    Ok(_) => {}
                    Err(error) => span.fail(spans::failure(error)),
                }
                made?
            }
        };
        Ok(if record.is_error {
            CallToolResult::structured_error(record.result)
        } else {
            CallToolResult::structured(record.result)
        })
    }
}
