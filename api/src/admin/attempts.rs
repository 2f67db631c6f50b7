//! Wrong tokens: few in a minute, of one address and of all.
//!
//! Counted by the process, and not in the database as the limits of users are: it has to hold without a database, too. Several processes admit
//! as many times as much, which is still nothing beside the number of tokens.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::connections::network;

/// Wrong tokens from one address in a minute.
const MAX_OF_ONE: u32 = 5;
/// Wrong tokens in a minute, from anywhere. Who is signed in goes on.
const MAX: u32 = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// Wrong tokens of the minute. No more addresses are kept than there may be wrong tokens.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<Option<Window>>);

#[derive(Debug)]
struct Window {
    began: Instant,
    all: u32,
    from: HashMap<IpAddr, u32>,
}

impl Attempts {
    /// Whether one more may be made.
    ///
    /// # Errors
    /// How long to wait.
    pub(crate) fn check(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(window) = &*window else {
            return Ok(());
        };
        let age = now.saturating_duration_since(window.began);
        let of_one = window.from.get(&network(address)).copied().unwrap_or(0);
        match age < WINDOW && (of_one >= MAX_OF_ONE || window.all >= MAX) {
            true => Err(WINDOW - age),
            false => Ok(()),
        }
    }

    /// A token was wrong.
    pub(crate) fn count(&self, address: IpAddr, now: Instant) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Window {
            began: now,
            all: 0,
            from: HashMap::new(),
        };
        let window = window.get_or_insert_with(new);
        if now.saturating_duration_since(window.began) >= WINDOW {
            *window = new();
        }
        window.all += 1;
        *window.from.entry(network(address)).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_five_of_one_address_and_sixty_of_all() {
        let (attempts, begun) = (Attempts::default(), Instant::now());
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        for _ in 0..MAX_OF_ONE {
            assert!(attempts.check(address(0), begun).is_ok());
            attempts.count(address(0), begun);
        }
        let later = begun + Duration::from_secs(20);
        assert_eq!(
            attempts.check(address(0), later),
            Err(Duration::from_secs(40))
        );
        for n in 1..=55 {
            assert!(attempts.check(address(n), later).is_ok(), "{n}");
            attempts.count(address(n), later);
        }
        assert!(attempts.check(address(99), later).is_err());
        assert!(attempts.check(address(0), begun + WINDOW).is_ok());
        attempts.count(address(0), begun + WINDOW);
        assert!(attempts.check(address(99), begun + WINDOW).is_ok());
    }
}
