//! The turns that a socket has begun and not seen the end of, for their traces alone: nothing depends on it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use errand_server::trace::Span;
use uuid::Uuid;

/// Turns at the same time; others have no such span.
const MAX: usize = 64;

/// A span for each, which ends when it is taken out.
#[derive(Clone, Default)]
pub(super) struct Deliveries(Arc<Mutex<HashMap<Uuid, Span>>>);

impl Deliveries {
    /// A turn begins here, if it is traced.
    pub(super) fn begin(&self, run_id: Uuid, span: Span) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if span.is_recorded() && under_way.len() < MAX {
            under_way.insert(run_id, span);
        }
    }

    /// Its last event is on its way, or there will be none.
    pub(super) fn end(&self, run_id: Uuid) {
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(under_way.remove(&run_id));
    }
}
