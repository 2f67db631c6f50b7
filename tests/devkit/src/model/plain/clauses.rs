//! Cutting a message into clauses of one wish each, and lists into their items. Must not know what a clause asks for.

use chrono::NaiveDateTime;

use super::details;
use super::tasks::is_verb;
use super::words::{Word, start, strip, text, words};

/// What may stand before a request without changing it, and behind it.
const LEAD_INS: &str = "hi|hello|hey|ok|okay|great|so|and|also|then|now|oh|yes|no|please|thanks|just|actually X / can|could|would|will you X / \
    good morning|evening|afternoon X / thank you X / i'd|i want|like|need you to X / let's X";
const TAILS: &str = "X please|thanks|too|again / X for me / X as well / X right now";

/// What opens a clause of its own; and what does so even behind "add …", where almost anything could be a title.
const OPENERS: &str = "add|delete|remove|show|list|what|what's|mark|tick|rename|move|postpone|undo|remind|complete|finish|drop|forget|i|i've|i'm|\
    change|put|remember|make|set|push|done";
const SURE: &str = "add|delete|remove|show|what|what's|mark|rename|move|postpone|undo|remind|i|hi|hello|hey|thanks|please";
const ADDING: &str = "add|remember|remind|new|put|create|don't|i also? need|have|want|must|should";

/// The parts of a message in order, and which of them are items of a list of things to do.
pub(super) fn clauses(message: &str) -> Vec<(Vec<Word>, bool)> {
    let lines = message.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let (mut clauses, mut header) = (Vec::new(), None);
    for (at, line) in lines.iter().enumerate() {
        let (item, next) = (bullet(line), lines.get(at + 1));
        let is_header = |next: &&str| bullet(next).is_some() || line.ends_with(':');
        let words = words(item.unwrap_or(line));
        if item.is_none() && next.is_some_and(is_header) {
            header = Some(words);
        } else if let Some(header) = header.as_deref().filter(|header| opens(bare(header))) {
            // What is said above a list, to add or to delete, is said of each item.
            clauses.push(([bare(header), &words].concat(), false));
        } else if item.is_some() || header.is_some() || lines.len() > 2 && !is_sure(&words) {
            clauses.push((words, true));
        } else {
            let wishes = sentences(&words).into_iter().flat_map(wishes);
            clauses.extend(wishes.map(|wish| (wish.to_vec(), false)));
        }
    }
    clauses
}

fn opens(words: &[Word]) -> bool {
    start(OPENERS, words).is_some()
}

fn is_sure(words: &[Word]) -> bool {
    start(SURE, words).is_some()
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
        let is_time = details::prefix(item, now).1.is_empty();
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
    let unnumbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let marks: &[char] = match unnumbered.len() < line.len() {
        true => &['.', ')'],
        false => &['-', '*', '\u{2022}', '\u{2013}'],
    };
    unnumbered.strip_prefix(marks)?.strip_prefix(' ')
}

/// A short word before a full stop is more likely "Dr." or "Dec." than an end.
fn sentences(words: &[Word]) -> Vec<&[Word]> {
    let is_end =
        |word: &Word| word.ends(&['!', '?']) || word.ends(&['.']) && word.low.chars().count() > 3;
    words.split_inclusive(is_end).collect()
}

fn wishes(sentence: &[Word]) -> Vec<&[Word]> {
    let sentence = bare(sentence);
    let (mut wishes, mut from) = (Vec::new(), 0);
    for at in 1..sentence.len() {
        let is_apart = sentence[at].is("and then") || sentence[at - 1].ends(&[',', ';', '.']);
        let rest = strip(LEAD_INS, &sentence[at..]);
        let is_title = start(ADDING, &sentence[from..]).is_some() && !is_sure(rest);
        if is_apart && at > from && opens(rest) && !is_title {
            wishes.push(bare(&sentence[from..at]));
            from = sentence.len() - rest.len();
        }
    }
    wishes.push(bare(&sentence[from..]));
    wishes.retain(|wish| !text(wish).is_empty());
    wishes
}
