//! Places for sockets: how many this process takes, and how many strangers from one address.
//!
//! Open sockets are no state about users: they are gone with the process. Who has shown a token is limited by the database.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Sockets of one process.
const MAX_SOCKETS: usize = 10_000;
/// Sockets of one process that have not said who they are.
const MAX_STRANGERS: usize = 2_000;
/// Of these, from one address. Generous: a whole office may come from one.
const MAX_STRANGERS_OF_ONE: usize = 1_024;

/// How many sockets this process takes.
pub(crate) struct Sockets {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MAX_SOCKETS)),
            strangers: Arc::new(Semaphore::new(MAX_STRANGERS)),
            by_address: Mutex::default(),
        }
    }
}

/// A socket's place, until it is dropped.
pub(super) struct Place {
    _socket: OwnedSemaphorePermit,
}

/// The place of one who has not said who it is, until it is dropped.
pub(super) struct Stranger {
    sockets: Arc<Sockets>,
    address: IpAddr,
    _stranger: OwnedSemaphorePermit,
}

impl Sockets {
    /// Places for a new socket; none if there are too many.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<(Place, Stranger)> {
        let socket = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let stranger = Arc::clone(&self.strangers).try_acquire_owned().ok()?;
        let mut by_address = self.lock();
        let from_there = by_address.entry(address).or_default();
        if *from_there >= MAX_STRANGERS_OF_ONE {
            return None;
        }
        *from_there += 1;
        drop(by_address);
        let stranger = Stranger {
            sockets: Arc::clone(self),
            address,
            _stranger: stranger,
        };
        Some((Place { _socket: socket }, stranger))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut by_address = self.sockets.lock();
        if let Some(from_there) = by_address.get_mut(&self.address) {
            *from_there -= 1;
            if *from_there == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

/// Where a request comes from: the peer, or, behind that many proxies of ours, what the outermost of them has seen.
///
/// Each proxy appends to X-Forwarded-For whom it heard from, so what counts is counted from the right; what a client writes
/// there itself stands further left.
pub(super) fn address(peer: IpAddr, headers: &HeaderMap, trusted_proxies: u8) -> IpAddr {
    if trusted_proxies == 0 {
        return peer;
    }
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    forwarded
        .len()
        .checked_sub(usize::from(trusted_proxies))
        .and_then(|place| forwarded[place].trim().parse().ok())
        .unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn what_counts_is_what_our_own_proxies_wrote() {
        let mut headers = HeaderMap::new();
        headers.append(
            "x-forwarded-for",
            "6.6.6.6, 1.2.3.4".parse().expect("a header"),
        );
        headers.append("x-forwarded-for", "10.0.0.1".parse().expect("a header"));
        assert_eq!(address(PEER, &headers, 0), PEER);
        assert_eq!(address(PEER, &headers, 1).to_string(), "10.0.0.1");
        assert_eq!(address(PEER, &headers, 2).to_string(), "1.2.3.4");
        assert_eq!(address(PEER, &headers, 4), PEER);
        assert_eq!(address(PEER, &HeaderMap::new(), 1), PEER);
    }

    #[test]
    fn one_address_cannot_take_every_place_and_gives_its_own_back() {
        let sockets = Arc::new(Sockets::default());
        let held: Vec<_> = (0..MAX_STRANGERS_OF_ONE)
            .map(|_| sockets.enter(PEER).expect("a place"))
            .collect();
        assert!(sockets.enter(PEER).is_none());
        assert!(sockets.enter([10, 0, 0, 1].into()).is_some());
        drop(held);
        assert!(sockets.lock().is_empty());
        assert!(sockets.enter(PEER).is_some());
    }
}
