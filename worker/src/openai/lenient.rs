//! JSON as providers write it, read leniently: a field that is missing, null or of another type than expected is not there.
//!
//! Values stay raw until they are asked for, so that what nobody asks for cannot be wrong, and a text may hold half a
//! surrogate pair: serde_json reads it into bytes, not into a `str`.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// An object's fields, in order.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Object<'a> {
    /// None if the text is no object.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The fields with a value. A name that comes twice: all of them.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        let fields = self.0.iter().map(|(name, raw)| (name.as_str(), *raw));
        fields.filter(|(_, raw)| raw.get() != "null")
    }

    /// The last field of this name.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.fields().filter(|(known, _)| *known == name).last();
        found.map(|(_, raw)| raw)
    }

    pub(super) fn object(&self, name: &str) -> Option<Self> {
        Self::parse(self.get(name)?.get())
    }

    /// The objects of a list.
    pub(super) fn objects(&self, name: &str) -> Vec<Self> {
        let items: Option<Items<'a>> = self
            .get(name)
            .and_then(|raw| serde_json::from_str(raw.get()).ok());
        let items = items.map(|items| items.0).unwrap_or_default();
        items
            .iter()
            .filter_map(|raw| Self::parse(raw.get()))
            .collect()
    }

    /// A text, as WTF-8.
    pub(super) fn text(&self, name: &str) -> Option<Vec<u8>> {
        text(self.get(name)?)
    }

    /// A text; half a surrogate pair becomes a replacement character.
    pub(super) fn string(&self, name: &str) -> Option<String> {
        self.text(name)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A whole number, be it written as `7`, `7.0` or `"7"`.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        let raw = self.get(name)?.get().trim_matches('"');
        raw.parse().ok().or_else(|| {
            let number: f64 = raw.parse().ok()?;
            // Saturates, and is 0 for what is no number.
            number.is_finite().then_some(number.round() as i64)
        })
    }

    pub(super) fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }
}

/// The text that a raw value is, as WTF-8. None if it is something else.
pub(super) fn text(raw: &RawValue) -> Option<Vec<u8>> {
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    reader.deserialize_bytes(TextVisitor).ok()
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key()? {
            fields.push((name, map.next_value()?));
        }
        Ok(Object(fields))
    }
}

struct Items<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<u8>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Err(serde::de::Error::custom("a list is no text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_what_they_mean() {
        let object = Object::parse(
            r#"{"a":7.0,"b":"7","c":null,"d":[1],"e":"\ud83d","f":1e99,"a2":7,"g":{"x":"\ude00"},"a":8}"#,
        )
        .expect("an object");
        assert_eq!(object.number("a"), Some(8));
        assert_eq!(object.number("a2"), Some(7));
        assert_eq!(object.number("b"), Some(7));
        assert_eq!(object.number("c"), None);
        assert_eq!(object.text("d"), None);
        assert_eq!(object.text("e"), Some(vec![0xED, 0xA0, 0xBD]));
        assert_eq!(object.number("f"), Some(i64::MAX));
        assert!(object.object("g").is_some());
        assert!(object.value("g").is_none());
        assert!(Object::parse("[]").is_none());
    }
}
