//! Cutting a message into clauses of one wish each, and lists into their items. Must not know what a clause asks for.

use chrono::NaiveDateTime;

use super::{
    details,
    tasks::is_verb,
    words::{Word, first_of, start, text, words},
};

/// A part of a message.
#[derive(Debug, Clone)]
pub(super) struct Clause {
    /// What stands above a list, which is about each of its items.
    pub(super) header: Vec<Word>,
    pub(super) words: Vec<Word>,
    pub(super) place: Place,
}

/// Where a clause stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Sentence,
    /// One of several lines, which may be a list.
    Line,
    /// An item of a list that is marked as one.
    Item,
}

/// What may stand before a request without changing it.
const LEAD_INS: [&str; 8] = [
    "hi|hello|hey|ok|okay|great|cool|nice|so|and|also|then|now|oh|yes|no|please|thanks|just|actually|quickly|well|sorry there? X",
    "good morning|evening|afternoon X",
    "thank you X",
    "can|could|would|will you X",
    "i'd|i want|like|need you to X",
    "i would like you to X",
    "you can X",
    "let's|lets X",
];
const TAILS: [&str; 5] = [
    "X please|thanks|thx|too|again",
    "X thank you",
    "X for me",
    "X as well",
    "X right now",
];

/// What opens a clause of its own even behind "add …", where almost anything could be a title.
const OPENERS: [&str; 4] = [
    "add|delete|remove|show|list|what|what's|mark|tick|rename|reopen|move|postpone|undo|restore|remind",
    "tell me",
    "i also? need|have|want to",
    "i must|should",
];
/// What opens one behind any other kind of wish.
const MORE_OPENERS: &str =
    "complete|finish|drop|forget|i|i've|i'm|change|put|remember|cross|make|set|push|clear|tag|stop";

/// The parts of a message in order.
pub(super) fn clauses(message: &str) -> Vec<Clause> {
    let lines: Vec<&str> = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let place = if lines.len() > 2 {
        Place::Line
    } else {
        Place::Sentence
    };
    let (mut clauses, mut header) = (Vec::new(), Vec::new());
    for (at, line) in lines.iter().enumerate() {
        let is_header = line.ends_with(':')
            || bullet(line).is_none()
                && lines.get(at + 1).is_some_and(|next| bullet(next).is_some());
        if is_header && at + 1 < lines.len() {
            header = words(line.trim_end_matches(':'));
        } else if bullet(line).is_some() || !header.is_empty() {
            let words = words(bullet(line).unwrap_or(line));
            clauses.push(Clause {
                header: header.clone(),
                words,
                place: Place::Item,
            });
        } else {
            let words = words(line);
            let wishes = sentences(&words)
                .into_iter()
                .flat_map(|sentence| wishes(bare(sentence)));
            clauses.extend(wishes.map(|words| Clause {
                header: Vec::new(),
                words,
                place,
            }));
        }
    }
    clauses.retain(|clause| !clause.words.is_empty());
    clauses
}

/// The words without greetings and politeness. A greeting alone is kept.
pub(super) fn bare(words: &[Word]) -> &[Word] {
    let words = without_lead_ins(words);
    std::iter::successors(Some(words), |words| first_of(&TAILS, words))
        .last()
        .unwrap_or(words)
}

fn without_lead_ins(words: &[Word]) -> &[Word] {
    std::iter::successors(Some(words), |words| first_of(&LEAD_INS, words))
        .last()
        .unwrap_or(words)
}

/// The items of "x, y and z". What only says when belongs to the item before it.
pub(super) fn items(words: &[Word], now: NaiveDateTime) -> Vec<Vec<Word>> {
    let mut items: Vec<Vec<Word>> = Vec::new();
    for piece in words.split_inclusive(|word| word.ends(&[',', ';'])) {
        for item in split_and(piece, now) {
            let is_time = details::prefix(item, now).1.is_empty();
            match items.last_mut().filter(|_| is_time) {
                Some(before) => before.extend_from_slice(item),
                None => items.push(item.to_vec()),
            }
        }
    }
    items.retain(|item| !text(item).is_empty());
    items
}

/// Splits at "and", unless what follows is the object of the same verb, as in "call Ann and Bob".
fn split_and(mut piece: &[Word], now: NaiveDateTime) -> Vec<&[Word]> {
    let mut parts = Vec::new();
    while let Some(rest) = first_of(&["and|also|then|to|- X"], piece) {
        piece = rest;
    }
    let verb = |words: &[Word]| {
        let (_, words) = details::prefix(words, now);
        words
            .iter()
            .find(|word| word.low != "to")
            .is_some_and(|word| is_verb(&word.low))
    };
    let (is_order, mut from) = (verb(piece), 0);
    for at in 1..piece.len() {
        let joins =
            ["and", "then", "&"].contains(&&*piece[at].low) && at > from && at + 1 < piece.len();
        if joins && (!is_order || verb(&piece[at + 1..])) {
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
    let numbered = digits
        .strip_prefix(['.', ')'])
        .filter(|_| digits.len() < line.len());
    let rest = line
        .strip_prefix(['-', '*', '\u{2022}', '\u{2013}'])
        .or(numbered)?;
    let rest = rest.strip_prefix(' ')?.trim_start();
    Some(
        ["[ ] ", "[x] "]
            .iter()
            .find_map(|mark| rest.strip_prefix(mark))
            .unwrap_or(rest),
    )
}

fn sentences(words: &[Word]) -> Vec<&[Word]> {
    let (mut sentences, mut from) = (Vec::new(), 0);
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).and_then(|word| word.raw.chars().next());
        // A short word before a full stop is more likely "Dr." than an end, and "Dec. 3" is one date.
        let is_short = word.low.chars().count() < 3 || ["mrs", "a.m", "p.m"].contains(&&*word.low);
        let stops = word.ends(&['.']) && !is_short && !next.is_some_and(|c| c.is_ascii_digit());
        if stops || word.ends(&['!', '?']) || next.is_none() {
            sentences.push(&words[from..=at]);
            from = at + 1;
        }
    }
    sentences
}

fn wishes(sentence: &[Word]) -> Vec<Vec<Word>> {
    let opens_add =
        "add|remember|remind|new|put|create|note|don't|i also? need|have|must|should|want *";
    let (mut wishes, mut from) = (Vec::new(), 0);
    for at in 1..sentence.len() {
        let is_joined = ["and", "then"].contains(&&*sentence[at].low);
        let is_apart = sentence[at - 1].ends(&[',', ';']);
        if !is_joined && !is_apart || at < from {
            continue;
        }
        let rest = without_lead_ins(&sentence[at..]);
        let is_adding = start(opens_add, &sentence[from..]).is_some();
        let opens = OPENERS.iter().any(|opener| start(opener, rest).is_some())
            || !is_adding && start(MORE_OPENERS, rest).is_some();
        if opens {
            wishes.push(bare(&sentence[from..at]).to_vec());
            from = sentence.len() - rest.len();
        }
    }
    wishes.push(bare(&sentence[from..]).to_vec());
    wishes
}
