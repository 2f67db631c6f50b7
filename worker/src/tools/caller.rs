//! Who calls, and under which key: carried in `_meta`, out of the model's reach.

use errand_shared::ids::CallKey;
use rmcp::model::{JsonObject, RequestMetaObject};
use serde::{Deserialize, Serialize};

/// The key in `_meta`.
const FIELD: &str = "errand/call";

/// The identity of a call inside the worker's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The owner of the run. The `user_id` argument must equal it.
    pub user_id: String,
    /// The call's key.
    pub key: CallKey,
    /// The attempt that makes the call: its fence.
    pub attempt: i32,
    /// Set if the call is only to be recorded and answered with this error, not made.
    pub refused: Option<String>,
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

    pub(super) fn from_meta(meta: &RequestMetaObject) -> Option<Self> {
        meta.get(FIELD)
            .and_then(|caller| Self::deserialize(caller).ok())
    }
}
