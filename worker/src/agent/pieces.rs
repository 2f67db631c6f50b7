//! Text that comes in pieces, each of which may end in the middle of a character.
//!
//! JSON writes a character beyond the BMP as two escapes, the halves of a surrogate pair (RFC 8259, 7), and some providers
//! put the halves into two chunks. A piece is therefore WTF-8: UTF-8 in which a half may stand alone.

use std::borrow::Cow;

/// Puts pieces together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    text: String,
    /// The first half of a character, whose second half has not come yet.
    high: Option<u32>,
}

impl Pieces {
    /// Adds a piece of WTF-8. A half that stays alone becomes a replacement character; NUL, which Postgres cannot store and no
    /// honest text has, is left out.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        if self.high.is_none()
            && let Ok(text) = std::str::from_utf8(piece)
        {
            self.text.push_str(&without_nul(text));
            return;
        }
        let mut rest = piece;
        while !rest.is_empty() {
            let (good, half) = split_at_half(rest);
            if !good.is_empty() {
                self.end();
                self.text.push_str(&without_nul(good));
            }
            rest = match half {
                Some((half, rest)) => {
                    self.half(half);
                    rest
                }
                None => &[],
            };
        }
    }

    /// Nothing more comes.
    pub(crate) fn end(&mut self) {
        if self.high.take().is_some() {
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    /// What is whole so far.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The whole text.
    pub(crate) fn into_string(mut self) -> String {
        self.end();
        self.text
    }

    fn half(&mut self, half: u32) {
        match (self.high, half) {
            (Some(high), 0xDC00..=0xDFFF) => {
                self.high = None;
                let code = 0x10000 + ((high - 0xD800) << 10) + (half - 0xDC00);
                self.text
                    .push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            (_, 0xD800..=0xDBFF) => {
                self.end();
                self.high = Some(half);
            }
            _ => self.text.push(char::REPLACEMENT_CHARACTER),
        }
    }
}

/// UTF-8 up to the first half, that half, and what follows it. A byte that is neither is read as a half that fits nothing.
fn split_at_half(bytes: &[u8]) -> (&str, Option<(u32, &[u8])>) {
    let Err(error) = std::str::from_utf8(bytes) else {
        return (std::str::from_utf8(bytes).unwrap_or_default(), None);
    };
    let (good, bad) = bytes.split_at(error.valid_up_to());
    let good = std::str::from_utf8(good).unwrap_or_default();
    match bad {
        [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, rest @ ..] => {
            let half = 0xD000 | (u32::from(second & 0x3F) << 6) | u32::from(third & 0x3F);
            (good, Some((half, rest)))
        }
        [_, rest @ ..] => (good, Some((0, rest))),
        [] => (good, None),
    }
}

/// Postgres cannot store NUL in a text, and no honest answer has one.
pub(crate) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', ""))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIGH: &[u8] = &[0xED, 0xA0, 0xBD];
    const LOW: &[u8] = &[0xED, 0xB8, 0x80];

    fn joined(pieces: &[&[u8]]) -> String {
        let mut text = Pieces::default();
        pieces.iter().for_each(|piece| text.push(piece));
        text.into_string()
    }

    #[test]
    fn two_halves_are_one_character() {
        assert_eq!(joined(&[b"a", HIGH, LOW, b"b"]), "a\u{1F600}b");
        assert_eq!(joined(&[&[HIGH, LOW].concat()]), "\u{1F600}");
        assert_eq!(joined(&["é".as_bytes(), b"", HIGH, b"", LOW]), "é\u{1F600}");
    }

    #[test]
    fn a_half_alone_is_replaced() {
        assert_eq!(joined(&[HIGH]), "\u{FFFD}");
        assert_eq!(joined(&[HIGH, b"x"]), "\u{FFFD}x");
        assert_eq!(joined(&[LOW, b"x"]), "\u{FFFD}x");
        assert_eq!(joined(&[HIGH, HIGH, LOW]), "\u{FFFD}\u{1F600}");
        assert_eq!(joined(&[b"a\0b", &[0xFF]]), "ab\u{FFFD}");
    }
}
