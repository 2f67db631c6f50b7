//! Words, and patterns of words. Must not know what a sentence asks for.
//!
//! A pattern is a line of words: `a|the` is either, `the?` may be missing, `*` is any words, `X` one or more that are captured, `:` a colon
//! behind what was captured. Capitals are kinds of words whose value is captured: `N` a number, `O` an ordinal, `D` a weekday, `L` some
//! weekdays as bits, `P` the same in the plural, `M` a month, `U` a unit of time, `Y` a year, `C` a time of day in minutes, `H` an hour, `I` a date by ISO 8601.

use chrono::{Datelike, NaiveDate};

/// A word as it was written, and as it is compared. What stands in quotation marks is one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) raw: String,
    pub(super) low: String,
}

impl Word {
    fn new(raw: &str) -> Self {
        let low = raw.to_lowercase().replace('\u{2019}', "'");
        let low = match low.starts_with(QUOTES) && low.len() > 1 {
            true => "\"",
            false => low
                .trim_start_matches(['(', '*'])
                .trim_end_matches([',', ';', '.', ':', '!', '?', ')', '*']),
        };
        Self {
            raw: raw.to_owned(),
            low: low.to_owned(),
        }
    }

    /// Whether it was written with one of these behind it.
    pub(super) fn ends(&self, marks: &[char]) -> bool {
        self.raw.ends_with(marks)
    }
}

const QUOTES: [char; 3] = ['"', '\u{201c}', '\u{201d}'];

/// The words of a line.
pub(super) fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let mut marks = rest.char_indices().skip(1);
        let closing = QUOTES
            .contains(&first)
            .then(|| marks.find(|(_, c)| QUOTES.contains(c)))
            .flatten();
        let from = closing.map_or(0, |(at, _)| at);
        let end = rest
            .char_indices()
            .find(|(at, c)| *at > from && c.is_whitespace());
        let to = end.map_or(rest.len(), |(at, _)| at);
        words.push(Word::new(&rest[..to]));
        rest = rest[to..].trim_start();
    }
    words
}

/// The words as text, without the punctuation and the quotation marks around them.
pub(super) fn text(words: &[Word]) -> String {
    let raw: Vec<&str> = words.iter().map(|word| word.raw.as_str()).collect();
    let text = raw.join(" ");
    let text = text.trim_end_matches(['.', ',', ';', ':', '!', '?', ' ']);
    let text = text.trim_start_matches([',', ';', ':', ' ']);
    text.trim_matches(|c| QUOTES.contains(&c) || ['*', '`'].contains(&c))
        .trim()
        .to_owned()
}

/// What a pattern captured.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) words: Vec<&'a [Word]>,
    pub(super) numbers: Vec<i64>,
    /// How many words the pattern took.
    pub(super) len: usize,
}

/// The captures of a pattern that all the words fit.
pub(super) fn whole<'a>(pattern: &str, words: &'a [Word]) -> Option<Found<'a>> {
    let mut found = Found::default();
    fits(pattern, words, true, &mut found).then_some(found)
}

/// The captures of a pattern that the first words fit.
pub(super) fn start<'a>(pattern: &str, words: &'a [Word]) -> Option<Found<'a>> {
    let mut found = Found::default();
    if !fits(pattern, words, false, &mut found) {
        return None;
    }
    found.len = words.len() - found.len;
    Some(found)
}

/// The first thing that one of these patterns, which all the words fit, captured.
pub(super) fn first_of<'a>(patterns: &[&str], words: &'a [Word]) -> Option<&'a [Word]> {
    let found = patterns.iter().find_map(|pattern| whole(pattern, words));
    found?.words.first().copied()
}

fn fits<'a>(pattern: &str, words: &'a [Word], all: bool, found: &mut Found<'a>) -> bool {
    if pattern.is_empty() {
        found.len = words.len();
        return !all || words.is_empty();
    }
    let (token, rest) = pattern.split_once(' ').unwrap_or((pattern, ""));
    match token {
        "*" if rest.is_empty() => true,
        "*" => (0..=words.len()).any(|n| fits(rest, &words[n..], all, found)),
        ":" => {
            let before = found.words.last().and_then(|words| words.last());
            before.is_some_and(|word| word.ends(&[':'])) && fits(rest, words, all, found)
        }
        "X" => {
            let least = if rest.is_empty() { words.len() } else { 1 };
            (least.max(1)..=words.len()).any(|n| {
                found.words.push(&words[..n]);
                let fit = fits(rest, &words[n..], all, found);
                if !fit {
                    found.words.pop();
                }
                fit
            })
        }
        _ => {
            let optional = token.strip_suffix('?');
            if let Some((n, number)) = one(optional.unwrap_or(token), words) {
                let before = found.numbers.len();
                found.numbers.extend(number);
                if fits(rest, &words[n..], all, found) {
                    return true;
                }
                found.numbers.truncate(before);
            }
            optional.is_some() && fits(rest, words, all, found)
        }
    }
}

/// How many words fit a token, and their value if it is of a kind that has one.
fn one(token: &str, words: &[Word]) -> Option<(usize, Option<i64>)> {
    let low = words.first()?.low.as_str();
    let value = match token {
        "N" => number(low),
        "O" => ordinal(low),
        "D" => nth(&WEEKDAYS, low),
        "L" => return weekdays(words),
        "P" => return weekdays(words).filter(|_| low.ends_with("days")),
        "M" => nth(&MONTHS, low).map(|month| month + 1),
        "U" => nth(&UNITS, low),
        "Y" => number(low).filter(|year| (1900..=9999).contains(year)),
        "C" => clock(low),
        "H" => number(low).filter(|hour| (0..24).contains(hour)),
        "I" => NaiveDate::parse_from_str(low, "%Y-%m-%d")
            .ok()
            .map(|date| i64::from(date.num_days_from_ce())),
        _ => {
            return token
                .split('|')
                .any(|word| word == low)
                .then_some((1, None));
        }
    };
    value.map(|value| (1, Some(value)))
}

const WEEKDAYS: [&str; 7] = [
    "monday mon",
    "tuesday tues tue",
    "wednesday wed",
    "thursday thurs thur thu",
    "friday fri",
    "saturday sat",
    "sunday sun",
];
const MONTHS: [&str; 12] = [
    "january jan",
    "february feb",
    "march mar",
    "april apr",
    "may",
    "june jun",
    "july jul",
    "august aug",
    "september sept sep",
    "october oct",
    "november nov",
    "december dec",
];
const UNITS: [&str; 4] = ["day days", "week weeks", "month months", "year years"];
const NUMBERS: [&str; 13] = [
    "zero", "a an one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
];
const ORDINALS: [&str; 11] = [
    "zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
    "tenth",
];

fn nth(names: &[&str], low: &str) -> Option<i64> {
    let at = names
        .iter()
        .position(|name| name.split(' ').any(|name| name == low));
    at.and_then(|at| i64::try_from(at).ok())
}

fn number(low: &str) -> Option<i64> {
    let digits = low.len() <= 4 && low.bytes().all(|c| c.is_ascii_digit());
    match digits {
        true => low.parse().ok(),
        false => nth(&NUMBERS, low),
    }
}

/// 1 for the first; -1 for the last.
fn ordinal(low: &str) -> Option<i64> {
    let ending = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|end| low.strip_suffix(end));
    let digits = ending.filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()));
    match low {
        "last" => Some(-1),
        _ => digits.and_then(number).or_else(|| nth(&ORDINALS, low)),
    }
}

/// "Mon, Wed and Fri", or "Mondays".
fn weekdays(words: &[Word]) -> Option<(usize, Option<i64>)> {
    let (mut count, mut days) = (0, 0);
    let joins = |word: &Word| ["and", "or", "&"].contains(&word.low.as_str());
    loop {
        let skip = usize::from(count > 0 && words.get(count).is_some_and(joins));
        let Some(day) = words.get(count + skip).and_then(weekday) else {
            return (count > 0).then_some((count, Some(days)));
        };
        (count, days) = (count + skip + 1, days | 1 << day);
    }
}

fn weekday(word: &Word) -> Option<i64> {
    let is_plural = word.low.ends_with("days");
    nth(
        &WEEKDAYS,
        if is_plural {
            word.low.trim_end_matches('s')
        } else {
            &word.low
        },
    )
}

/// Minutes of "17:30", "5pm" and "5:30pm"; those that may be of the morning or of the evening are less by a day.
fn clock(low: &str) -> Option<i64> {
    let (digits, half) = match (low.strip_suffix("am"), low.strip_suffix("pm")) {
        (Some(digits), _) => (digits, Some(0)),
        (_, Some(digits)) => (digits, Some(12)),
        _ => (low, None),
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "00"));
    let is_time = digits.contains(':') || half.is_some();
    let in_digits = [hours, minutes]
        .iter()
        .all(|part| part.bytes().all(|c| c.is_ascii_digit()));
    if !is_time || !in_digits || minutes.len() != 2 {
        return None;
    }
    let (hour, minute): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let hour = match half {
        Some(half) if (1..=12).contains(&hour) => hour % 12 + half,
        Some(_) => return None,
        None => hour,
    };
    let is_open = half.is_none() && !hours.starts_with('0') && hour <= 12;
    (hour < 24 && minute < 60).then_some(hour * 60 + minute - if is_open { 24 * 60 } else { 0 })
}
