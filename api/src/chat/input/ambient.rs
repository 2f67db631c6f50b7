//! What an AG-UI client tells beside the messages: of its `context` and `forwardedProps` the user's time zone concerns us.

use std::borrow::Cow;

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{error::ApiError, request};

/// Something that a front end thinks the agent should know.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an entry of context")]
pub(super) struct Context<'a> {
    #[serde(borrow, default)]
    description: Option<Cow<'a, str>>,
    /// A text by the protocol. Some front ends send the JSON of a value as that text.
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
}

impl Context<'_> {
    /// Whether this is the user's time zone: "Time zone", "timeZone", "The user's time_zone", "timezone of the browser".
    fn is_time_zone(&self) -> bool {
        let letters = self.description.iter().flat_map(|text| text.chars());
        let letters = letters.filter(|c| c.is_alphanumeric());
        let letters: String = letters.flat_map(char::to_lowercase).collect();
        letters.contains("timezone")
    }
}

/// The user's zone, from `forwardedProps.timeZone`, or else from an entry of `context` whose description speaks of a time zone.
///
/// # Errors
/// There is no such zone.
pub(super) fn time_zone(
    forwarded_props: Option<&RawValue>,
    context: &[Context<'_>],
) -> Result<Option<Tz>, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Props<'a> {
        #[serde(borrow, default)]
        time_zone: Option<&'a RawValue>,
    }

    // They are the application's own and may be anything.
    let props =
        forwarded_props.and_then(|props| serde_json::from_str::<Props<'_>>(props.get()).ok());
    if let Some(zone) = props.and_then(|props| props.time_zone) {
        return known("forwardedProps.timeZone", zone).map(Some);
    }
    let entry = context.iter().find(|entry| entry.is_time_zone());
    let zone = entry.and_then(|entry| entry.value);
    zone.map(|zone| known("context", zone)).transpose()
}

fn known(field: &str, zone: &RawValue) -> Result<Tz, ApiError> {
    let name: String =
        serde_json::from_str(zone.get()).map_err(|_| request::unknown_zone(field))?;
    request::known_zone(field, name.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_known_by_its_description() {
        let entry = |description: &'static str| Context {
            description: Some(Cow::Borrowed(description)),
            value: None,
        };
        for description in [
            "time zone",
            "timeZone",
            "The user's TIME_ZONE",
            "Timezone (IANA)",
        ] {
            assert!(entry(description).is_time_zone(), "{description}");
        }
        for description in ["", "time", "the zone", "times of zones"] {
            assert!(!entry(description).is_time_zone(), "{description}");
        }
    }
}
