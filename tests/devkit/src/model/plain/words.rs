//! Words, and patterns of words. Must not know what a sentence asks for.
//!
//! A pattern is a line of words: `a|the` is either, `the?` may be missing, `*` is any words, `X` one or more that are captured. Other
//! capitals are kinds of words, whose value is captured: `N` a number or ordinal, `D` a weekday, `M` a month, `U` a unit of time, `Y` a
//! year, `C` a time of day in minutes.

use chrono::{Month, Weekday};

/// A word as it was written, and as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) raw: String,
    pub(super) low: String,
}

impl Word {
    /// Whether it was written with one of these behind it.
    pub(super) fn ends(&self, marks: &[char]) -> bool {
        self.raw.ends_with(marks)
    }

    pub(super) fn is(&self, list: &str) -> bool {
        list.split_whitespace().any(|word| word == self.low)
    }
}

const QUOTES: [char; 3] = ['"', '\u{201c}', '\u{201d}'];
const UNITS: &str = "day days,week weeks,month months,year years";
const NUMBERS: &str =
    ",a an one first,two second other,three third,four fourth,five fifth,six,seven,eight,nine,ten";

/// The words of a line. What stands in quotation marks is one word.
pub(super) fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let quoted = rest.strip_prefix(QUOTES);
        let closing = quoted.and_then(|inner| Some(rest.len() - inner.len() + inner.find(QUOTES)?));
        let behind = closing.unwrap_or(0);
        let end = rest[behind..].find(char::is_whitespace);
        let (raw, more) = rest.split_at(end.map_or(rest.len(), |end| behind + end));
        let low = raw.to_lowercase().replace('\u{2019}', "'");
        let low = low.trim_matches([',', ';', '.', ':', '!', '?', '(', ')', '*']);
        let low = if closing.is_some() { "\"" } else { low };
        words.push(Word {
            raw: raw.to_owned(),
            low: low.to_owned(),
        });
        rest = more.trim_start();
    }
    words
}

/// The words as text, without the punctuation and the quotation marks around them.
pub(super) fn text(words: &[Word]) -> String {
    let raw: Vec<&str> = words.iter().map(|word| word.raw.as_str()).collect();
    let text = raw.join(" ");
    let text = text.trim_matches([',', ';', ':', ' ']);
    let text = text.trim_end_matches(['.', ',', ';', ':', '!', '?', ' ']);
    text.trim_matches(|c| QUOTES.contains(&c) || ['*', ' '].contains(&c))
        .to_owned()
}

/// What a pattern captured.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) words: Vec<&'a [Word]>,
    pub(super) numbers: Vec<i64>,
    /// How many words the pattern left.
    pub(super) left: usize,
}

/// The captures of a pattern that all the words fit.
pub(super) fn whole<'a>(pattern: &str, words: &'a [Word]) -> Option<Found<'a>> {
    let mut found = Found::default();
    fits(pattern, words, true, &mut found).then_some(found)
}

/// The captures of a pattern that the first words fit.
pub(super) fn start<'a>(pattern: &str, words: &'a [Word]) -> Option<Found<'a>> {
    let mut found = Found::default();
    fits(pattern, words, false, &mut found).then_some(found)
}

/// What one of these patterns, between slashes, that all the words fit captured first, and so on until none fits.
pub(super) fn strip<'a>(patterns: &str, mut words: &'a [Word]) -> &'a [Word] {
    let first = |words| patterns.split(" / ").find_map(|one| whole(one, words));
    while let Some(found) = first(words) {
        words = found.words[0];
    }
    words
}

fn fits<'a>(pattern: &str, words: &'a [Word], all: bool, found: &mut Found<'a>) -> bool {
    if pattern.is_empty() {
        found.left = words.len();
        return !all || words.is_empty();
    }
    let (token, rest) = pattern.split_once(' ').unwrap_or((pattern, ""));
    match token {
        "*" => (0..=words.len()).any(|n| fits(rest, &words[n..], all, found)),
        "X" => (1..=words.len()).any(|n| {
            let before = found.words.len();
            found.words.push(&words[..n]);
            let does = fits(rest, &words[n..], all, found);
            if !does {
                found.words.truncate(before);
            }
            does
        }),
        _ => {
            let optional = token.strip_suffix('?');
            let before = found.numbers.len();
            let value = words.first().and_then(|word| {
                let token = optional.unwrap_or(token);
                value(token, &word.low)
            });
            if let Some(number) = value {
                found.numbers.extend(number);
                if fits(rest, &words[1..], all, found) {
                    return true;
                }
            }
            found.numbers.truncate(before);
            optional.is_some() && fits(rest, words, all, found)
        }
    }
}

/// Whether a word fits a token; and its value, if it is of a kind that has one.
fn value(token: &str, low: &str) -> Option<Option<i64>> {
    let weekday = |day: Weekday| i64::from(day.num_days_from_monday());
    let value = match token {
        "N" => number(low),
        "Y" => number(low).filter(|year| *year >= 1900),
        "D" => low.parse().ok().map(weekday),
        "M" => low
            .parse()
            .ok()
            .map(|month: Month| month.number_from_month().into()),
        "U" => nth(UNITS, low),
        "C" if !low.starts_with(|c: char| c.is_ascii_digit()) => None,
        "C" => clock(low),
        _ => return token.split('|').any(|one| one == low).then_some(None),
    };
    value.map(Some)
}

fn nth(names: &str, low: &str) -> Option<i64> {
    let mut names = names.split(',');
    let at = names.position(|names| names.split_whitespace().any(|name| name == low))?;
    i64::try_from(at).ok()
}

/// 3 for "3", "3rd", "three" and "third".
fn number(low: &str) -> Option<i64> {
    let endings = ["st", "nd", "rd", "th"];
    let digits = endings.iter().find_map(|ending| low.strip_suffix(ending));
    let digits = digits.unwrap_or(low);
    let is_number = digits.len() <= 4 && digits.bytes().all(|c| c.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_number);
    number.or_else(|| nth(NUMBERS, low))
}

/// An hour of which the half of the day is not said: up to six it is one of the afternoon.
pub(super) fn by_day(hour: i64) -> i64 {
    if (1..7).contains(&hour) {
        hour + 12
    } else {
        hour
    }
}

/// Minutes of "17:30", "5pm" and "5:30pm".
fn clock(low: &str) -> Option<i64> {
    let low = low.replace("am", " am").replace("pm", " pm");
    let (time, half) = low.split_once(' ').unwrap_or((&low, ""));
    let (hour, minute) = time.split_once(':').unwrap_or((time, "0"));
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    let hour = match half {
        "am" => hour % 12,
        "pm" => hour % 12 + 12,
        _ if time.contains(':') && !time.starts_with('0') => by_day(hour),
        _ if time.contains(':') => hour,
        _ => return None,
    };
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}
