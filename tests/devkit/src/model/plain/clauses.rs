//! Cutting a message into clauses of one wish each, and lists into their items. Must not know what a clause asks for.

use chrono::NaiveDateTime;

use super::details;
use super::tasks::is_verb;
use super::words::{Word, start, strip, text, words};

/// What stands above a list, which is about each of its items; a part of the message; and where that stands.
pub(super) type Clause = (Vec<Word>, Vec<Word>, Place);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Sentence,
    /// One of several lines, which may be a list.
    Line,
    /// An item of a list that is marked as one.
    Item,
}

/// What may stand before a request without changing it, and behind it.
const LEAD_INS: &str = "hi|hello|hey|ok|okay|great|cool|nice|so|and|also|then|now|oh|yes|no|please|thanks|just|actually|well there? X / \
    good morning|evening|afternoon X / thank you X / can|could|would|will you X / i'd|i want|like|need you to X / let's X";
const TAILS: &str = "X please|thanks|too|again / X thank you / X for me / X as well / X right now";

/// What opens a clause of its own even behind "add …", where almost anything could be a title; what does behind any other kind of wish.
const OPENERS: &str = "add|delete|remove|show|list|what|what's|mark|tick|rename|reopen|move|postpone|undo|restore|remind * / tell me * / \
    i also? need|have|want to * / i must|should *";
const MORE_OPENERS: &str =
    "complete|finish|drop|forget|i|i've|i'm|change|put|remember|make|set|push|clear|tag|stop *";
const ADDING: &str = "add|remember|remind|new|put|create|don't|i also? need|have|must|should|want";

/// The parts of a message in order.
pub(super) fn clauses(message: &str) -> Vec<Clause> {
    let lines: Vec<&str> = message.lines().map(str::trim).collect();
    let is_line = lines.len() > 2;
    let (mut clauses, mut header) = (Vec::new(), Vec::new());
    for (at, line) in lines.iter().enumerate() {
        let is_next_marked = lines.get(at + 1).is_some_and(|next| bullet(next).is_some());
        let is_header = line.ends_with(':') || bullet(line).is_none() && is_next_marked;
        if is_header && at + 1 < lines.len() {
            header = words(line.trim_end_matches(':'));
        } else if bullet(line).is_some() || !header.is_empty() {
            let words = words(bullet(line).unwrap_or(line));
            clauses.push((header.clone(), words, Place::Item));
        } else {
            let place = if is_line {
                Place::Line
            } else {
                Place::Sentence
            };
            for words in sentences(&words(line)).into_iter().flat_map(wishes) {
                clauses.push((Vec::new(), words.to_vec(), place));
            }
        }
    }
    clauses.retain(|(_, words, _)| !words.is_empty());
    clauses
}

/// The words without greetings and politeness. A greeting alone is kept.
pub(super) fn bare(words: &[Word]) -> &[Word] {
    strip(TAILS, strip(LEAD_INS, words))
}

/// The items of "x, y and z". What only says when belongs to the item before it.
pub(super) fn items(words: &[Word], now: NaiveDateTime) -> Vec<Vec<Word>> {
    let mut items: Vec<Vec<Word>> = Vec::new();
    let pieces = words.split_inclusive(|word| word.ends(&[',', ';']));
    for item in pieces.flat_map(|piece| split_and(piece, now)) {
        let behind = usize::from(start("Y", item).is_some());
        let is_time = details::prefix(&item[behind..], now).1.is_empty();
        match items.last_mut().filter(|_| is_time) {
            Some(before) => before.extend_from_slice(item),
            None => items.push(item.to_vec()),
        }
    }
    items
}

/// Splits at "and", unless what follows is the object of the same verb, as in "call Ann and Bob".
fn split_and(piece: &[Word], now: NaiveDateTime) -> Vec<&[Word]> {
    let piece = strip("and|also|then|to|- X", piece);
    let is_order = |words: &[Word]| {
        let rest = strip("to X", details::prefix(words, now).1);
        rest.first().is_some_and(|word| is_verb(&word.low))
    };
    let (is_first_order, mut parts, mut from) = (is_order(piece), Vec::new(), 0);
    for at in 1..piece.len().saturating_sub(1) {
        let joins = at > from && piece[at].is("and then &");
        if joins && (!is_first_order || is_order(&piece[at + 1..])) {
            parts.push(&piece[from..at]);
            from = at + 1;
        }
    }
    parts.push(&piece[from..]);
    parts
}

/// The rest of a line of a list.
fn bullet(line: &str) -> Option<&str> {
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_numbered = digits.len() < line.len() && digits.starts_with(['.', ')']);
    let marks: &[char] = if is_numbered {
        &['.', ')']
    } else {
        &['-', '*', '\u{2022}', '\u{2013}']
    };
    let rest = digits.strip_prefix(marks)?.strip_prefix(' ')?;
    Some(rest.trim_start_matches("[ ] ").trim_start_matches("[x] "))
}

fn sentences(words: &[Word]) -> Vec<&[Word]> {
    let (mut sentences, mut from) = (Vec::new(), 0);
    for (at, word) in words.iter().enumerate() {
        let next = words
            .get(at + 1)
            .map(|word| word.raw.starts_with(|c: char| c.is_ascii_digit()));
        // A short word before a full stop is more likely "Dr." than an end, and "Dec. 3" is one date.
        let is_short = word.low.chars().count() < 3 || word.is("mrs a.m p.m");
        let stops = word.ends(&['.']) && !is_short && next != Some(true);
        if stops || word.ends(&['!', '?']) || next.is_none() {
            sentences.push(&words[from..=at]);
            from = at + 1;
        }
    }
    sentences
}

fn wishes(sentence: &[Word]) -> Vec<&[Word]> {
    let sentence = bare(sentence);
    let (mut wishes, mut from) = (Vec::new(), 0);
    for at in 1..sentence.len() {
        let is_apart = sentence[at].is("and then") || sentence[at - 1].ends(&[',', ';']);
        if !is_apart || at < from {
            continue;
        }
        let rest = strip(LEAD_INS, &sentence[at..]);
        let is_adding = start(ADDING, &sentence[from..]).is_some();
        let opens = |opener: &str| start(opener, rest).is_some();
        if OPENERS.split(" / ").any(opens) || !is_adding && opens(MORE_OPENERS) {
            wishes.push(bare(&sentence[from..at]));
            from = sentence.len() - rest.len();
        }
    }
    wishes.push(bare(&sentence[from..]));
    wishes.retain(|wish| !text(wish).is_empty());
    wishes
}
