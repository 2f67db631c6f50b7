//! Words, and patterns of words. Must not know what a sentence asks for.
//!
//! A pattern is a line of words: `a|the` is either, `the?` may be missing, `*` is any words, `X` one or more that are captured, `task:` is
//! a word with a colon behind it, `:` a colon behind what was captured. Other capitals are kinds of words, whose value is captured: `N` a
//! number, `O` that or an ordinal, `D` a weekday, `L` some weekdays as bits, `P` the same in the plural, `M` a month, `U` a unit of time,
//! `Y` a year, `C` a time of day in minutes, `H` an hour, `I` a date by ISO 8601.

use chrono::{Datelike, Month, NaiveDate, NaiveTime, Timelike, Weekday};

/// A word as it was written, and as it is compared. What stands in quotation marks is one word.
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
const NUMBERS: &str = ",a an one,two,three,four,five,six,seven,eight,nine,ten,eleven,twelve";
const ORDINALS: &str = ",first,second,third,fourth,fifth";

/// The words of a line.
pub(super) fn words(line: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_quote = |c: &char| QUOTES.contains(c);
        let mut marks = rest.char_indices().skip(1).filter(|_| is_quote(&first));
        let closing = marks.find(|(_, c)| is_quote(c)).map_or(0, |(at, _)| at);
        let mut spaces = rest.char_indices().skip_while(|(at, _)| *at <= closing);
        let end = spaces.find(|(_, c)| c.is_whitespace());
        let (raw, more) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        let low = raw.to_lowercase().replace('\u{2019}', "'");
        let low = low.trim_start_matches(['(', '*']);
        let low = low.trim_end_matches([',', ';', '.', ':', '!', '?', ')', '*']);
        let low = if closing > 0 { "\"" } else { low };
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
    text.trim_matches(|c| QUOTES.contains(&c) || ['*', '`', ' '].contains(&c))
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
    while let Some(found) = patterns
        .split(" / ")
        .find_map(|pattern| whole(pattern, words))
    {
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
        "*" if rest.is_empty() => true,
        "*" => (0..=words.len()).any(|n| fits(rest, &words[n..], all, found)),
        ":" => {
            let before = found.words.last().and_then(|words| words.last());
            before.is_some_and(|word| word.ends(&[':'])) && fits(rest, words, all, found)
        }
        "X" => {
            let least = if rest.is_empty() { words.len() } else { 1 };
            (least.max(1)..=words.len()).any(|n| {
                let before = found.words.len();
                found.words.push(&words[..n]);
                fits(rest, &words[n..], all, found) || {
                    found.words.truncate(before);
                    false
                }
            })
        }
        _ => {
            let optional = token.strip_suffix('?');
            let before = found.numbers.len();
            if let Some((n, number)) = one(optional.unwrap_or(token), words) {
                found.numbers.extend(number);
                if fits(rest, &words[n..], all, found) {
                    return true;
                }
            }
            found.numbers.truncate(before);
            optional.is_some() && fits(rest, words, all, found)
        }
    }
}

/// How many words fit a token, and their value if it is of a kind that has one.
fn one(token: &str, words: &[Word]) -> Option<(usize, Option<i64>)> {
    let word = words.first()?;
    let low = word.low.as_str();
    let month = |month: Month| i64::from(month.number_from_month());
    let days = |date: NaiveDate| i64::from(date.num_days_from_ce());
    let value = match token {
        "N" => number(low),
        "O" => ordinal(low),
        "D" => weekday(low),
        "L" => return weekdays(words),
        "P" => return weekdays(words).filter(|_| low.ends_with("days")),
        "M" => low.parse().ok().map(month),
        "U" => nth(UNITS, low),
        "Y" => number(low).filter(|year| *year >= 1900),
        "C" | "I" if !low.starts_with(|c: char| c.is_ascii_digit()) => None,
        "C" => clock(low),
        "H" => number(low).filter(|hour| (0..24).contains(hour)),
        "I" => low.parse().ok().map(days),
        _ => {
            let is_headed = |one: &str| one.strip_suffix(':') == Some(low) && word.ends(&[':']);
            let fits = |one: &str| one == low || is_headed(one);
            return token.split('|').any(fits).then_some((1, None));
        }
    };
    value.map(|value| (1, Some(value)))
}

fn nth(names: &str, low: &str) -> Option<i64> {
    let at = names
        .split(',')
        .position(|names| names.split(' ').any(|name| name == low));
    at.filter(|_| !low.is_empty())
        .and_then(|at| i64::try_from(at).ok())
}

fn number(low: &str) -> Option<i64> {
    let digits = low.len() <= 4 && low.bytes().all(|c| c.is_ascii_digit());
    low.parse()
        .ok()
        .filter(|_| digits)
        .or_else(|| nth(NUMBERS, low))
}

/// 3 for "3", "3rd" and "third"; -1 for the last.
fn ordinal(low: &str) -> Option<i64> {
    let digits = low.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let is_ordinal = ["", "st", "nd", "rd", "th"].contains(&&low[digits.len()..]);
    let named = if low == "last" {
        Some(-1)
    } else {
        nth(ORDINALS, low).or(nth(NUMBERS, low))
    };
    named.or_else(|| number(digits).filter(|_| is_ordinal))
}

fn weekday(low: &str) -> Option<i64> {
    let day: Weekday = low.parse().ok()?;
    Some(i64::from(day.num_days_from_monday()))
}

/// "Mon, Wed and Fri", or "Mondays".
fn weekdays(words: &[Word]) -> Option<(usize, Option<i64>)> {
    let (mut count, mut days) = (0, 0);
    loop {
        let rest = &words[count.min(words.len())..];
        let skip = usize::from(count > 0 && rest.first().is_some_and(|word| word.is("and or &")));
        let day = rest.get(skip).map(|word| word.low.trim_end_matches('s'));
        let Some(day) = day.and_then(weekday) else {
            return (count > 0).then_some((count, Some(days)));
        };
        (count, days) = (count + skip + 1, days | 1 << day);
    }
}

/// Minutes of "17:30", "5pm" and "5:30pm"; those that may be of the morning or of the evening are less by a day.
fn clock(low: &str) -> Option<i64> {
    let full = low.replace("am", ":00am").replace("pm", ":00pm");
    let full = if low.contains(':') { low } else { &full };
    let minutes = |time: NaiveTime| i64::from(time.num_seconds_from_midnight() / 60);
    let of_half = NaiveTime::parse_from_str(full, "%I:%M%P").map(minutes);
    let open = NaiveTime::parse_from_str(full, "%H:%M").map(minutes);
    let is_open = |minutes| minutes < 13 * 60 && !low.starts_with('0');
    let open = open.map(|said| said - if is_open(said) { 24 * 60 } else { 0 });
    of_half.or(open).ok()
}
