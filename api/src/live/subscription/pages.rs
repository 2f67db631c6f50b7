//! Pages of stored events in memory: few bytes in all, however many clients catch up and however slowly they read.
//!
//! Nobody waits for a place. When there is too much, the oldest page is emptied; whoever was reading it finds the rest where it came
//! from, in the store.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use errand_store::events::{Bounds, Stored};

/// What one page holds.
pub(super) const PAGE: Bounds = Bounds {
    events: 500,
    bytes: 256 << 10,
};
/// Bytes of all pages of a process, as JSON text.
const MAX_BYTES: usize = 32 << 20;
/// Bytes that a page counts for at least: so there are not too many either.
const MIN_BYTES: usize = 4 << 10;

/// All pages of this process, the oldest first. Pages that were read to their end count until it is their turn to go.
#[derive(Default)]
pub(crate) struct Pages(Mutex<Held>);

#[derive(Default)]
struct Held {
    pages: VecDeque<(Weak<Rest>, usize)>,
    bytes: usize,
}

/// The events of a page that have not been taken.
type Rest = Mutex<VecDeque<Stored>>;

/// A page of one run.
pub(super) struct Page {
    rest: Arc<Rest>,
    /// The seq of its last event.
    pub(super) last_seq: i64,
    /// There may be more behind it.
    pub(super) is_cut: bool,
}

impl Pages {
    /// Keeps a page; none if there is nothing in it.
    pub(super) fn keep(&self, events: Vec<Stored>, is_cut: bool) -> Option<Page> {
        let last_seq = events.last()?.seq;
        let bytes: usize = events.iter().map(|event| event.bytes).sum();
        let bytes = bytes.max(MIN_BYTES);
        let rest = Arc::new(Mutex::new(VecDeque::from(events)));
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.bytes += bytes;
        while held.bytes > MAX_BYTES
            && let Some((oldest, bytes)) = held.pages.pop_front()
        {
            held.bytes -= bytes;
            if let Some(oldest) = oldest.upgrade() {
                *lock(&oldest) = VecDeque::new();
            }
        }
        held.pages.push_back((Arc::downgrade(&rest), bytes));
        Some(Page {
            rest,
            last_seq,
            is_cut,
        })
    }
}

impl Page {
    /// Takes the next event; none at its end, or if it was emptied.
    pub(super) fn take(&self) -> Option<Stored> {
        lock(&self.rest).pop_front()
    }
}

fn lock(rest: &Rest) -> std::sync::MutexGuard<'_, VecDeque<Stored>> {
    rest.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn page(pages: &Pages, bytes: usize) -> Page {
        let events = (1..=2).map(|seq| Stored {
            run_id: Uuid::nil(),
            seq,
            event: json!({}),
            bytes: bytes / 2,
        });
        pages.keep(events.collect(), false).expect("a page")
    }

    #[test]
    fn the_oldest_page_makes_room() {
        let pages = Pages::default();
        let oldest = page(&pages, MAX_BYTES / 4);
        assert_eq!(oldest.take().map(|event| event.seq), Some(1));
        let next = page(&pages, MAX_BYTES / 2);
        // Read to its end and gone, it goes before any other.
        drop(page(&pages, MAX_BYTES / 4));
        let newest = page(&pages, MAX_BYTES / 4);
        assert!(oldest.take().is_none());
        assert!(next.take().is_some() && newest.take().is_some());
        // Small ones are not without end either.
        for _ in 0..2 * MAX_BYTES / MIN_BYTES {
            drop(page(&pages, 0));
        }
        let held = pages.0.lock().expect("no panic");
        assert!(held.bytes <= MAX_BYTES && held.pages.len() <= MAX_BYTES / MIN_BYTES);
        drop(held);
        assert!(next.take().is_none());
        assert!(pages.keep(Vec::new(), false).is_none());
    }
}
