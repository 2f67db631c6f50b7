//! `X-Request-Id`: a client's own is kept, for its log and ours to be read together, if it is short and plain.

use http::{HeaderMap, HeaderName};

/// The header.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id.
const MAX: usize = 64;

/// Removes an id that is no 1 to 64 of `[A-Za-z0-9-]`, or is there twice: whatever is logged has a bound, and nobody writes into logs what
/// they like. Behind this the request gets an id of ours.
pub(crate) fn keep_plain(headers: &mut HeaderMap) {
    let mut given = headers.get_all(&REQUEST_ID).iter();
    let is_plain = match (given.next(), given.next()) {
        (Some(id), None) => {
            (1..=MAX).contains(&id.len())
                && id
                    .as_bytes()
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        }
        (None, _) => return,
        (Some(_), Some(_)) => false,
    };
    if !is_plain {
        headers.remove(&REQUEST_ID);
    }
}
