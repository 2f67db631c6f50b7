//! `X-Time-Zone`: the zone of the user, as a request has it.

use http::HeaderMap;

use crate::calendar::{self, Tz};

/// The header's name.
pub const HEADER: &str = "x-time-zone";

/// It is no zone, or there are several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("X-Time-Zone must be the name of a time zone of IANA, such as Europe/Berlin.")]
pub struct UnknownZone;

/// The zone that the headers name; none if they name none.
///
/// # Errors
/// It is no zone, or there are several.
pub fn of_headers(headers: &HeaderMap) -> Result<Option<Tz>, UnknownZone> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let name = value.to_str().map_err(|_| UnknownZone)?;
    match (calendar::zone(name.trim()), values.next()) {
        (Some(zone), None) => Ok(Some(zone)),
        _ => Err(UnknownZone),
    }
}
