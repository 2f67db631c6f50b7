//! Shares: how many of something each may have at the same time, so that one cannot have them all.
//!
//! What is counted is open now, in this process, and gone with it: no state about users. What a user may ask for over time is counted in
//! the database.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// The shares of all who have one.
pub(crate) struct Shares<K: Hash + Eq> {
    each: usize,
    taken: Mutex<HashMap<K, usize>>,
}

/// One of somebody's share, until it is dropped.
pub(crate) struct Share<K: Hash + Eq> {
    shares: Arc<Shares<K>>,
    whose: K,
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// At most so many for each.
    pub(crate) fn of(each: usize) -> Arc<Self> {
        Arc::new(Self {
            each,
            taken: Mutex::default(),
        })
    }

    /// One more for this one; none if that would be too many.
    pub(crate) fn take(self: &Arc<Self>, whose: K) -> Option<Share<K>> {
        let mut taken = self.lock();
        let count = taken.entry(whose.clone()).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        Some(Share {
            shares: Arc::clone(self),
            whose,
        })
    }
}

impl<K: Hash + Eq> Shares<K> {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<K, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for Share<K> {
    fn drop(&mut self) {
        let mut taken = self.shares.lock();
        if let Some(count) = taken.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_a_share_and_all_of_it_comes_back() {
        let shares = Shares::of(2);
        let (first, second) = (shares.take("ada"), shares.take("ada"));
        assert!(first.is_some() && second.is_some());
        assert!(shares.take("ada").is_none());
        let bobs = shares.take("bob");
        assert!(bobs.is_some());
        drop(first);
        assert!(shares.take("ada").is_some());
        drop((second, bobs));
        assert!(shares.lock().is_empty());
    }
}
