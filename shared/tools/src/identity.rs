//! For whom a call is made: how the server learns it depends on who can reach it, never on what a stranger writes.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use errand_core::{calendar::Tz, ids::CallKey};
use rmcp::{
    RoleServer,
    model::{JsonObject, RequestMetaObject},
    service::RequestContext,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The key in `_meta`.
const FIELD: &str = "errand/call";
/// Characters of a client's name that are kept.
const MAX_CLIENT: usize = 200;

/// Where the server finds the user of a call.
#[derive(Debug, Clone)]
pub(super) enum Identity {
    /// In `_meta`, which the client writes: only for the worker's own process, where the client is ours.
    Meta,
    /// In the request's extensions, where the middleware that verified the token has put it.
    Bearer,
    /// One user, whom the process was started for.
    Fixed(Arc<str>),
}

/// Who makes a call.
#[derive(Debug)]
pub(super) enum Who {
    /// The agent, in a run.
    Agent(Caller),
    /// A client from outside.
    ExternalCaller(ExternalCaller),
}

impl fmt::Display for Who {
    /// For the log: no name of a user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(caller) => caller.key.fmt(f),
            Self::ExternalCaller(_) => f.write_str("from outside"),
        }
    }
}

/// The identity of a call inside the worker's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The owner of the run. The `user_id` argument must equal it.
    pub user_id: String,
    /// The call's key.
    pub key: CallKey,
    /// The attempt that makes the call: its fence.
    pub attempt: i32,
    /// The zone that was remembered of the user when the run was accepted: what most calls can be planned with.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// Set if the call is only to be recorded and answered with this error, not made.
    pub refused: Option<String>,
    /// It is refused because its user was not asked. An error that it would come to anyway says more, and is the answer then.
    #[serde(default)]
    pub is_unapproved: bool,
    /// The same call has failed in the run before. If it fails again, its error says what would be valid.
    #[serde(default)]
    pub has_failed: bool,
}

/// What a verified token proves, handed to the server in the extensions of an HTTP request.
#[derive(Debug, Clone)]
pub(super) struct Bearer {
    /// The token's user. The `user_id` argument must equal it.
    pub(super) user_id: String,
    /// Where the client says that its user is; it is remembered.
    pub(super) zone: Option<Tz>,
    /// Set by the server if the user has made too many calls: how long to wait. HTTP has a status for that.
    pub(super) too_many: Arc<OnceLock<Duration>>,
}

/// A client from outside, and its user.
#[derive(Debug)]
pub(super) struct ExternalCaller {
    pub(super) user_id: String,
    /// What it says it is.
    pub(super) client: Option<String>,
    /// Where it says that its user is.
    pub(super) zone: Option<Tz>,
    too_many: Option<Arc<OnceLock<Duration>>>,
}

impl Identity {
    /// Who makes this call; none if it does not say so in the place where this server looks.
    pub(super) fn of(&self, context: &RequestContext<RoleServer>) -> Option<Who> {
        let (user_id, zone, too_many) = match self {
            Self::Meta => return Caller::from_meta(&context.meta).map(Who::Agent),
            Self::Fixed(user) => (user.to_string(), None, None),
            Self::Bearer => {
                let request = context.extensions.get::<http::request::Parts>()?;
                let bearer = request.extensions.get::<Bearer>()?;
                let too_many = Arc::clone(&bearer.too_many);
                (bearer.user_id.clone(), bearer.zone, Some(too_many))
            }
        };
        Some(Who::ExternalCaller(ExternalCaller {
            user_id,
            client: client(context),
            zone,
            too_many,
        }))
    }
}

impl Who {
    /// The run that the call is a part of, if it is one.
    pub(super) fn run_id(&self) -> Option<Uuid> {
        match self {
            Self::Agent(caller) => Some(caller.key.run_id),
            Self::ExternalCaller(_) => None,
        }
    }

    /// For whom the call is made.
    pub(super) fn user_id(&self) -> &str {
        match self {
            Self::Agent(caller) => &caller.user_id,
            Self::ExternalCaller(outsider) => &outsider.user_id,
        }
    }
}

impl ExternalCaller {
    pub(super) fn has_to_wait(&self, pause: Duration) {
        if let Some(slot) = &self.too_many {
            let _ = slot.set(pause);
        }
    }
}

/// The client's name and version as it told them to MCP, else to HTTP.
fn client(context: &RequestContext<RoleServer>) -> Option<String> {
    let told = context
        .client_info()
        .map(|client| (client.name, client.version));
    let built_in = rmcp::model::Implementation::default();
    let name = match told {
        // What the library fills in for a request of an older protocol, which tells it only once, at the start.
        Some((name, _)) if name == built_in.name || name.is_empty() => None,
        Some((name, version)) => Some(format!("{name} {version}")),
        None => None,
    };
    let name = name.or_else(|| {
        let request = context.extensions.get::<http::request::Parts>()?;
        let agent = request.headers.get(http::header::USER_AGENT)?;
        agent.to_str().ok().map(str::to_owned)
    })?;
    let name = name.chars().filter(|c| !c.is_control());
    let name: String = name.take(MAX_CLIENT).collect();
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

impl Caller {
    /// As `_meta` of a request.
    pub fn to_meta(&self) -> RequestMetaObject {
        let mut meta = JsonObject::new();
        if let Ok(caller) = serde_json::to_value(self) {
            meta.insert(FIELD.to_owned(), caller);
        }
        rmcp::model::MetaObject::from(meta).into()
    }

    fn from_meta(meta: &RequestMetaObject) -> Option<Self> {
        meta.get(FIELD)
            .and_then(|caller| Self::deserialize(caller).ok())
    }
}
