//! What an AG-UI client tells beside the messages: of its `context` the user's time zone concerns us, and of its `forwardedProps` what a plain
//! body has in its metadata.

use std::borrow::Cow;

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};

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

/// What concerns us of `forwardedProps`. They are the application's own and may be anything.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Props<'a> {
    #[serde(borrow, default)]
    time_zone: Option<&'a RawValue>,
    #[serde(borrow, default)]
    auto_title: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ask_before_deleting: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
}

/// What a client wants of its turn.
#[derive(Debug, Default)]
pub(in super::super) struct Wishes {
    auto_title: bool,
    ask_before_deleting: bool,
    /// The model that is to answer; not checked yet.
    pub(in super::super) model: Option<Value>,
}

impl<'a> Props<'a> {
    pub(super) fn read(props: Option<&'a RawValue>) -> Self {
        let read = props.and_then(|props| serde_json::from_str(props.get()).ok());
        read.unwrap_or_default()
    }

    pub(super) fn wishes(&self) -> Wishes {
        let is_true = |prop: Option<&RawValue>| prop.is_some_and(|prop| prop.get() == "true");
        Wishes {
            auto_title: is_true(self.auto_title),
            ask_before_deleting: is_true(self.ask_before_deleting),
            model: self
                .model
                .and_then(|model| serde_json::from_str(model.get()).ok()),
        }
    }
}

impl Wishes {
    /// As the metadata of a message has them; none if there are none. `has_models`: the model is a wish, and not the application's own business.
    pub(in super::super) fn metadata(&self, has_models: bool) -> Option<Value> {
        let mut metadata = Map::new();
        for (name, is_wanted) in [
            ("auto_title", self.auto_title),
            ("ask_before_deleting", self.ask_before_deleting),
        ] {
            if is_wanted {
                metadata.insert(name.to_owned(), Value::Bool(true));
            }
        }
        if let Some(model) = self
            .model
            .as_ref()
            .filter(|model| has_models && !model.is_null())
        {
            metadata.insert("model".to_owned(), model.clone());
        }
        (!metadata.is_empty()).then_some(Value::Object(metadata))
    }
}

/// The user's zone, from `forwardedProps.timeZone`, or else from an entry of `context` whose description speaks of a time zone.
///
/// # Errors
/// There is no such zone.
pub(super) fn time_zone(
    props: &Props<'_>,
    context: &[Context<'_>],
) -> Result<Option<Tz>, ApiError> {
    if let Some(zone) = props.time_zone {
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
