//! The operator's page: who may see it, and what it is told. Only there if `ADMIN_TOKEN` is set.

use aws_lc_rs::{constant_time, digest, hmac};
use secrecy::{ExposeSecret, SecretString};

mod attempts;
mod session;
mod snapshot;

use attempts::Attempts;
pub(crate) use session::{end, is_from_the_page};
use snapshot::Snapshots;

/// Characters of a token, at least: nobody guesses so many.
pub(crate) const SHORTEST_TOKEN: usize = 16;

/// What the page needs of its process.
#[derive(Debug)]
pub(crate) struct Admin {
    token: digest::Digest,
    key: hmac::Key,
    /// Wrong tokens of late.
    pub(crate) attempts: Attempts,
    pub(crate) snapshots: Snapshots,
}

impl Admin {
    /// For whoever has this token.
    pub(crate) fn new(token: &SecretString) -> Self {
        let token = token.expose_secret().as_bytes();
        Self {
            token: digest::digest(&digest::SHA256, token),
            key: hmac::Key::new(hmac::HMAC_SHA256, token),
            attempts: Attempts::default(),
            snapshots: Snapshots::default(),
        }
    }

    /// Whether this is the token. How long that takes depends on nothing but the length of what is given: hashes are compared, in constant
    /// time.
    pub(crate) fn is_token(&self, given: &str) -> bool {
        let given = digest::digest(&digest::SHA256, given.as_bytes());
        constant_time::verify_slices_are_equal(given.as_ref(), self.token.as_ref()).is_ok()
    }
}
