//! What is said about a task beside its title: when it is due and how often, how important it is, its tags. Must not know what is asked for.

use chrono::{Datelike, Duration, Months, NaiveDate, NaiveDateTime, Timelike};
use serde_json::{Map, Value, json};

use super::tasks::is_verb;
use super::words::{Word, by_day, start};

/// Arguments of a call, and until [`finish`] what they are made of: the `span` of days that a question is about, and the one on which a
/// task is due; `minutes` of the day; by how much to `shift`.
pub(super) type Fields = Map<String, Value>;
type Make = fn(&[i64], NaiveDateTime) -> Option<Fields>;

/// What may stand before a date.
const LEADS: &str = "on by until before due for at from starting to";

/// `~` marks what counts only where the words end or more of the kind follows: it could also belong to a title.
#[rustfmt::skip]
const TABLE: &[(&str, Make)] = &[
    ("tonight at N", |n, now| Some(days(now, 0, 0)?.into_iter().chain(field("minutes", json!((n[0] % 12 + 12) * 60))).collect())),
    ("today|tonight", |_, now| days(now, 0, 0)),
    ("this morning|afternoon|evening", |_, now| days(now, 0, 0)),
    ("tomorrow|tmr morning|afternoon|evening|night?", |_, now| days(now, 1, 1)),
    ("the? day after tomorrow", |_, now| days(now, 2, 2)),
    ("~this? D morning|afternoon|evening|night?", |n, now| next(now, |day| day > now.date() && weekday(day) == n[0])),
    ("next D", |n, now| days(now, n[0] - weekday(now.date()) + 7, n[0] - weekday(now.date()) + 7)),
    ("~this|the? weekend", |_, now| days(now, 5 - weekday(now.date()), 6 - weekday(now.date()))),
    ("this week", |_, now| days(now, 0, 6 - weekday(now.date()))),
    ("next week", |_, now| days(now, 7 - weekday(now.date()), 13 - weekday(now.date()))),
    ("in N U", |n, now| on(later(now.date(), n[0], n[1])?)),
    ("by N U", |n, _| Some(field("shift", json!(n)))),
    ("M N Y?", |n, now| next(now, |day| is_date(day, n[0], n[1], n.get(2)))),
    ("the? N of? M Y?", |n, now| next(now, |day| is_date(day, n[1], n[0], n.get(2)))),
    ("~on|by|until|before|from|to|due the N", |n, now| next(now, |day| i64::from(day.day()) == n[0])),
    ("C", |n, _| Some(field("minutes", json!(n[0])))),
    ("N am|a.m", |n, _| Some(field("minutes", json!(n[0] % 12 * 60)))),
    ("N pm|p.m", |n, _| Some(field("minutes", json!((n[0] % 12 + 12) * 60)))),
    ("~at|by|before|until N", |n, _| (n[0] < 24).then(|| field("minutes", json!(by_day(n[0]) * 60)))),
    ("noon|midday", |_, _| Some(field("minutes", json!(12 * 60)))),
    ("every|each U", |n, _| every(n[0], 1)),
    ("every|each N U", |n, _| every(n[1], n[0])),
    ("every|each morning|evening|night", |_, _| rule("DAILY")),
    ("every|each weekday|workday", |_, _| rule("WEEKLY;BYDAY=MO,TU,WE,TH,FR")),
    ("every|each D and? D? and? D?", |n, _| rule(&format!("WEEKLY;BYDAY={}", names(n)))),
    ("every|each other|second|2nd D", |n, _| rule(&format!("WEEKLY;INTERVAL=2;BYDAY={}", names(n)))),
    ("the? N of every|each|the month", |n, _| rule(&format!("MONTHLY;BYMONTHDAY={}", n[0]))),
    ("~urgent|asap|important", |_, _| Some(field("priority", json!("p1")))),
    ("high|top priority", |_, _| Some(field("priority", json!("p1")))),
    ("low priority", |_, _| Some(field("priority", json!("p4")))),
    ("p1|!1", |_, _| Some(field("priority", json!("p1")))),
    ("p2|!2", |_, _| Some(field("priority", json!("p2")))),
    ("p3|!3", |_, _| Some(field("priority", json!("p3")))),
    ("p4|!4", |_, _| Some(field("priority", json!("p4")))),
];

/// Takes the details out of the words; the others are left.
pub(super) fn cut(words: &[Word], now: NaiveDateTime) -> (Fields, Vec<Word>) {
    let (mut found, mut left, mut rest) = (Fields::new(), Vec::new(), words);
    while let [first, more @ ..] = rest {
        let part = part(rest, left.is_empty(), now);
        rest = part.as_ref().map_or(more, |(_, behind)| *behind);
        match part {
            Some((part, _)) => found.extend(part),
            None => left.push(first.clone()),
        }
    }
    (found, left)
}

/// Takes the details off the beginning.
pub(super) fn prefix(mut words: &[Word], now: NaiveDateTime) -> (Fields, &[Word]) {
    let mut found = Fields::new();
    while let Some((part, rest)) = part(words, true, now) {
        found.extend(part);
        words = rest;
    }
    (found, words)
}

/// The longest detail that the words begin with, and the words behind it.
fn part(words: &[Word], is_first: bool, now: NaiveDateTime) -> Option<(Fields, &[Word])> {
    let tags = words.iter().map_while(|word| word.low.strip_prefix('#'));
    let tags: Vec<&str> = tags
        .take_while(|tag| tag.starts_with(char::is_alphabetic))
        .collect();
    if !tags.is_empty() {
        return Some((field("tags", json!(tags)), &words[tags.len()..]));
    }
    let leads = words.iter().take_while(|word| word.is(LEADS)).take(2);
    (0..=leads.count()).find_map(|lead| {
        let (part, left) = longest(&words[lead..], is_first, now)?;
        Some((part, &words[words.len() - left..]))
    })
}

fn longest(words: &[Word], is_first: bool, now: NaiveDateTime) -> Option<(Fields, usize)> {
    let fits = |(pattern, make): &(&str, Make)| {
        let found = start(pattern.trim_start_matches('~'), words)?;
        let is_clear = !pattern.starts_with('~') || stands_alone(words, found.left, is_first);
        Some((make(&found.numbers, now).filter(|_| is_clear)?, found.left))
    };
    TABLE.iter().filter_map(fits).min_by_key(|(_, left)| *left)
}

/// Whether what could also belong to a title ends where the words do, or more of the kind follows.
fn stands_alone(words: &[Word], left: usize, is_first: bool) -> bool {
    let (taken, rest) = words.split_at(words.len() - left);
    let Some(next) = rest.first() else {
        return true;
    };
    let more = |(pattern, _): &(&str, Make)| start(pattern.trim_start_matches('~'), rest).is_some();
    let is_apart = taken.last().is_some_and(|word| word.ends(&[',', ';', ':']));
    let is_followed = next.is(LEADS) || next.is("and") || next.low.starts_with('#');
    is_apart || is_followed || is_first && is_verb(&next.low) || TABLE.iter().any(more)
}

/// The arguments that are made of them, for a task that is so far like this.
pub(super) fn finish(mut fields: Fields, now: NaiveDateTime, task: &Value) -> Fields {
    let mut take = |name: &str| fields.remove(name).unwrap_or_default();
    let (span, minutes, shift) = (take("span"), take("minutes"), take("shift"));
    let was = date_of(&task["due_date"]);
    let mut due = date_of(&span[2]);
    if let (Some(count), Some(unit)) = (shift[0].as_i64(), shift[1].as_i64()) {
        due = later(was.unwrap_or(now.date()), count, unit);
    }
    if let Some(minutes) = minutes.as_i64() {
        let is_over = minutes <= i64::from(now.hour() * 60 + now.minute());
        let time = format!("{:02}:{:02}", minutes / 60, minutes % 60);
        fields.insert("due_time".into(), json!(time));
        // A time needs a date; that of a rule is the tool's to find, but not one that is over.
        let rule = fields.get("repeat");
        let needs_date = was.is_none() && rule.is_none_or(|rule| rule == "FREQ=DAILY");
        let next = later(now.date(), i64::from(is_over), 0);
        due = due.or(next.filter(|_| needs_date));
    }
    if let Some(due) = due {
        let weekday = due.format("%A").to_string().to_lowercase();
        fields.insert("due_date".into(), json!(due));
        fields.insert("weekday".into(), json!(weekday));
    }
    fields
}

pub(super) fn date_of(value: &Value) -> Option<NaiveDate> {
    value.as_str()?.parse().ok()
}

/// The date some units later.
fn later(date: NaiveDate, count: i64, unit: i64) -> Option<NaiveDate> {
    let months = |count| Months::new(u32::try_from(count).unwrap_or(u32::MAX));
    match unit {
        0 => date.checked_add_signed(Duration::try_days(count)?),
        1 => date.checked_add_signed(Duration::try_weeks(count)?),
        2 => date.checked_add_months(months(count)),
        _ => date.checked_add_months(months(count * 12)),
    }
}

pub(super) fn field(name: &str, value: Value) -> Fields {
    Fields::from_iter([(name.to_owned(), value)])
}

fn on(day: NaiveDate) -> Option<Fields> {
    Some(field("span", json!([day, day, day])))
}

/// Some days from today on: what is due in this week is due at its end, and in a later one at its beginning.
fn days(now: NaiveDateTime, from: i64, to: i64) -> Option<Fields> {
    let day = |count| later(now.date(), count, 0);
    let due = if from > 0 { from } else { to };
    Some(field(
        "span",
        json!([day(from.max(0))?, day(to)?, day(due)?]),
    ))
}

/// The next day of a kind.
fn next(now: NaiveDateTime, is_meant: impl Fn(NaiveDate) -> bool) -> Option<Fields> {
    let mut days = now.date().iter_days().take(3000);
    on(days.find(|day| is_meant(*day))?)
}

/// Days from Monday on.
fn weekday(day: NaiveDate) -> i64 {
    i64::from(day.weekday().num_days_from_monday())
}

fn is_date(date: NaiveDate, month: i64, day: i64, year: Option<&i64>) -> bool {
    let is_year = year.is_none_or(|year| i64::from(date.year()) == *year);
    is_year && i64::from(date.month()) == month && i64::from(date.day()) == day
}

fn rule(rule: &str) -> Option<Fields> {
    Some(field("repeat", json!(format!("FREQ={rule}"))))
}

fn every(unit: i64, interval: i64) -> Option<Fields> {
    let frequency = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"][usize::try_from(unit).ok()?];
    match interval {
        1 => rule(frequency),
        _ => rule(&format!("{frequency};INTERVAL={interval}")),
    }
}

/// Weekdays as rules name them.
fn names(days: &[i64]) -> String {
    let name = |day: &i64| ["MO", "TU", "WE", "TH", "FR", "SA", "SU"][*day as usize];
    days.iter().map(name).collect::<Vec<_>>().join(",")
}
