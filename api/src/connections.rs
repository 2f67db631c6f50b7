//! Connections that stay: how many sockets and streams this process takes, how many of one user, and how many unauthenticated from one address.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    error::ApiError,
    shares::{Share, Shares},
};

/// Sockets of one process.
const MAX_SOCKETS: usize = 10_000;
/// Of these, of one user: more windows than anybody looks at.
const MAX_SOCKETS_OF_ONE: usize = 50;
/// Sockets of one process that have not said who they are.
const MAX_UNAUTHENTICATED: usize = 2_000;
/// Of these, from one address. Generous: a whole office may come from one.
const MAX_UNAUTHENTICATED_FROM_ONE: usize = 1_024;
/// Streams of server-sent events of one process.
const MAX_STREAMS: usize = 10_000;
/// Of these, of one user.
const MAX_STREAMS_OF_ONE: usize = 50;
/// When to ask for a stream again; how soon one ends is anybody's guess.
const STREAM_PAUSE: Duration = Duration::from_secs(2);

/// How many this process takes.
pub(crate) struct Connections {
    sockets: Arc<Semaphore>,
    sockets_of: Arc<Shares<String>>,
    unauthenticated: Arc<Semaphore>,
    unauthenticated_from: Arc<Shares<IpAddr>>,
    streams: Arc<Semaphore>,
    streams_of: Arc<Shares<String>>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            sockets: Arc::new(Semaphore::new(MAX_SOCKETS)),
            sockets_of: Shares::of(MAX_SOCKETS_OF_ONE),
            unauthenticated: Arc::new(Semaphore::new(MAX_UNAUTHENTICATED)),
            unauthenticated_from: Shares::of(MAX_UNAUTHENTICATED_FROM_ONE),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            streams_of: Shares::of(MAX_STREAMS_OF_ONE),
        }
    }
}

/// The place of a socket that has not said who it is, until it is dropped.
pub(crate) struct Unauthenticated {
    socket: OwnedSemaphorePermit,
    _unauthenticated: OwnedSemaphorePermit,
    _address: Share<IpAddr>,
}

/// The place of a user's socket, until it is dropped.
pub(crate) struct Known {
    _socket: OwnedSemaphorePermit,
    _user: Share<String>,
}

/// The place of a stream, until it is dropped.
pub(crate) struct Streaming {
    _stream: OwnedSemaphorePermit,
    _user: Share<String>,
}

impl Connections {
    /// Streams of server-sent events and sockets that are open.
    pub(crate) fn open(&self) -> (usize, usize) {
        (
            MAX_STREAMS.saturating_sub(self.streams.available_permits()),
            MAX_SOCKETS.saturating_sub(self.sockets.available_permits()),
        )
    }

    /// A place for a new socket; none if there are too many.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Unauthenticated> {
        Some(Unauthenticated {
            socket: Arc::clone(&self.sockets).try_acquire_owned().ok()?,
            _unauthenticated: Arc::clone(&self.unauthenticated).try_acquire_owned().ok()?,
            _address: self.unauthenticated_from.take(network(address))?,
        })
    }

    /// Makes the place that of a user, who has been proven; none if the user has too many.
    pub(crate) fn know(&self, unauthenticated: Unauthenticated, user_id: &str) -> Option<Known> {
        Some(Known {
            _user: self.sockets_of.take(user_id.to_owned())?,
            _socket: unauthenticated.socket,
        })
    }

    /// A place for a stream of this user.
    ///
    /// # Errors
    /// 429 if the user has too many, 503 if the process has.
    pub(crate) fn stream(&self, user_id: &str) -> Result<Streaming, ApiError> {
        let user = self.streams_of.take(user_id.to_owned()).ok_or_else(|| {
            let message =
                format!("At most {MAX_STREAMS_OF_ONE} streams may be open at the same time.");
            ApiError::rate_limited(message, STREAM_PAUSE)
        })?;
        let stream = Arc::clone(&self.streams).try_acquire_owned();
        Ok(Streaming {
            _stream: stream
                .map_err(|_| ApiError::unavailable("Too many streams are open here."))?,
            _user: user,
        })
    }
}

/// What counts as one address: of IPv6 the network, because whoever has one address has all 2⁶⁴ of it. An IPv4 address is one however it is
/// written.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

/// Where a request comes from: the peer, or, behind that many proxies of ours, what the outermost of them has seen.
///
/// Each proxy appends to X-Forwarded-For whom it heard from, so what counts is counted from the right; what a client writes
/// there itself stands further left.
pub(crate) fn address(peer: IpAddr, headers: &HeaderMap, trusted_proxies: u8) -> IpAddr {
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

    fn at(address: &str) -> IpAddr {
        address.parse().expect("an address")
    }

    #[test]
    fn one_address_cannot_take_every_place_and_gives_its_own_back() {
        let connections = Connections::default();
        let fill = |address: &dyn Fn(usize) -> IpAddr| -> Vec<Unauthenticated> {
            let place = |n| connections.enter(address(n)).expect("a place");
            (0..MAX_UNAUTHENTICATED_FROM_ONE).map(place).collect()
        };
        let held = fill(&|_| PEER);
        assert!(connections.enter(PEER).is_none());
        // The same one in other words.
        assert!(connections.enter(at("::ffff:127.0.0.1")).is_none());
        assert!(connections.enter(at("10.0.0.1")).is_some());
        drop(held);
        assert!(connections.enter(PEER).is_some());
        // A network of IPv6 is one however many addresses somebody uses of it.
        let held = fill(&|n| at(&format!("2001:db8:1:2::{n:x}")));
        assert!(connections.enter(at("2001:db8:1:2:ffff::1")).is_none());
        assert!(connections.enter(at("2001:db8:1:3::1")).is_some());
        drop(held);
        assert!(connections.enter(at("2001:db8:1:2::1")).is_some());
    }

    #[test]
    fn a_user_has_a_share_of_the_sockets_and_of_the_streams() {
        let connections = Connections::default();
        let socket = |user: &str| {
            let unauthenticated = connections.enter(PEER).expect("a place");
            connections.know(unauthenticated, user)
        };
        let mut sockets: Vec<_> = (0..MAX_SOCKETS_OF_ONE)
            .map(|_| socket("ada").expect("a place"))
            .collect();
        assert!(socket("ada").is_none() && socket("bob").is_some());
        sockets.pop();
        assert!(socket("ada").is_some());
        let mut streams: Vec<_> = (0..MAX_STREAMS_OF_ONE)
            .map(|_| {
                connections
                    .stream("ada")
                    .unwrap_or_else(|_| panic!("no place"))
            })
            .collect();
        assert!(connections.stream("ada").is_err() && connections.stream("bob").is_ok());
        streams.pop();
        assert!(connections.stream("ada").is_ok());
    }
}
