//! JSON as strangers write it. An object that has a key twice says two things, of which every parser picks one: such texts are
//! refused before anybody reads them.
//!
//! Looked at is the text, not its values: what is skipped later costs nothing here but its keys, and a string that could not be
//! decoded (half a surrogate) is no reason to refuse what nobody wants to read.

use std::{borrow::Cow, collections::HashSet};

/// Objects and arrays in each other; what parses the text afterwards has the same limit.
const MAX_DEPTH: usize = 128;
/// Keys of all objects that are open at one place.
const MAX_KEYS: usize = 100_000;
/// Characters of a key in a message.
const MAX_SHOWN: usize = 64;

/// Why a text is refused, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An object has this key twice. Shortened.
    #[error("The key \"{0}\" is there twice.")]
    Twice(String),
    /// Too many objects and arrays in each other.
    #[error("The JSON is nested more than {MAX_DEPTH} deep.")]
    TooDeep,
    /// So many keys that remembering them would cost too much.
    #[error("The JSON has too many keys.")]
    TooMany,
}

/// Checks that no object of a JSON text, at any depth, has a key twice. A text that is no JSON may pass: who parses it finds out.
///
/// # Errors
/// A key is there twice; or the text is nested too deep, or has too many keys, to find out.
pub fn check_keys(text: &str) -> Result<(), KeyError> {
    let bytes = text.as_bytes();
    // The keys of each open object; none for an array.
    let mut open: Vec<Option<HashSet<Cow<'_, str>>>> = Vec::new();
    let mut keys = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => {
                if open.len() == MAX_DEPTH {
                    return Err(KeyError::TooDeep);
                }
                open.push((*byte == b'{').then(HashSet::new));
            }
            b'}' | b']' => keys -= open.pop().flatten().map_or(0, |closed| closed.len()),
            b'"' => {
                let start = at;
                let Some(end) = end_of_string(bytes, start) else {
                    return Ok(());
                };
                at = end + 1;
                let Some(Some(known)) = open.last_mut().filter(|_| is_key(bytes, at)) else {
                    continue;
                };
                let key = decode(text.get(start..end).unwrap_or_default());
                if known.contains(&key) {
                    return Err(KeyError::Twice(key.chars().take(MAX_SHOWN).collect()));
                }
                known.insert(key);
                keys += 1;
                if keys > MAX_KEYS {
                    return Err(KeyError::TooMany);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where the string that has begun before `at` has its closing quote.
fn end_of_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Whether the string that has ended before `at` is a key: in JSON nothing else has a colon behind it.
fn is_key(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

/// A key, however it is written. One that cannot be decoded stands for itself.
fn decode(written: &str) -> Cow<'_, str> {
    if !written.contains('\\') {
        return Cow::Borrowed(written);
    }
    serde_json::from_str(&format!("\"{written}\"")).map_or(Cow::Borrowed(written), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twice(key: &str) -> Result<(), KeyError> {
        Err(KeyError::Twice(key.to_owned()))
    }

    #[test]
    fn a_key_twice_is_found_and_nothing_else() {
        for (text, found) in [
            (r#"{"a":1,"b":2}"#, Ok(())),
            (r#"{"a":1,"a":2}"#, twice("a")),
            (r#"{"a" : 1 , "a"	: 2}"#, twice("a")),
            (r#"{"a":1,"\u0061":2}"#, twice("a")),
            (r#"{"\"":1,"\u0022":2}"#, twice("\"")),
            (r#"{"\\":1,"\\\\":2}"#, Ok(())),
            (r#"{"":1,"":2}"#, twice("")),
            (r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#, Ok(())),
            (r#"{"a":{"b":1},"a":2}"#, twice("a")),
            (r#"[{"a":1},{"a":1},{"b":[1,{"c":1,"c":2}]}]"#, twice("c")),
            (r#"["a","a",{"b":"b"}]"#, Ok(())),
            (r#"{"a":"\"a\":1,\"a\":2","b":"a"}"#, Ok(())),
            (r#"{"\ud83d":1,"\ud83d":2}"#, twice("\\ud83d")),
            (r#"{"a":"\ud83d","b":1}"#, Ok(())),
            ("\"a\":1,\"a\":2", Ok(())),
        ] {
            assert_eq!(check_keys(text), found, "{text}");
        }
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert_eq!(check_keys(&deep), Ok(()));
        assert_eq!(check_keys(&format!("[{deep}]")), Err(KeyError::TooDeep));
        let many: Vec<_> = (0..=MAX_KEYS).map(|n| format!("\"{n}\":0")).collect();
        assert_eq!(
            check_keys(&format!("{{{}}}", many.join(","))),
            Err(KeyError::TooMany)
        );
        let apart = r#"{"a":1,"b":2},"#.repeat(MAX_KEYS);
        assert_eq!(check_keys(&format!("[{apart}]")), Ok(()));
    }

    #[test]
    fn whatever_is_no_json_has_an_answer() {
        for text in [
            "",
            "\"",
            "{\"",
            "{\"a",
            "{\"a\\",
            "]]}}",
            "{]\"a\":",
            "\\\"é\u{0}",
            "{\"é\":1,\"é",
        ] {
            assert_eq!(check_keys(text), Ok(()), "{text}");
        }
    }
}
