//! What is said about a task beside its title: when it is due and how often, how important it is, its tags. Must not know what is asked for.

use chrono::{Datelike, Duration, Months, NaiveDate, NaiveDateTime, Timelike};
use serde_json::{Map, Value, json};

use super::tasks::is_verb;
use super::words::{Word, start};

/// Arguments of a call, and until [`finish`] what they are made of: `minutes` of the day, less by a day if its half was not said, and
/// whether it is `early`; the `span` of days that a question is about; whether the date is the `end` of the rule; by how much to `shift`.
pub(super) type Fields = Map<String, Value>;
type Make = fn(&[i64], NaiveDateTime) -> Option<Value>;

/// Minutes of a day.
const DAY: i64 = 24 * 60;
/// What may stand before a date.
const LEADS: &str = "on by until till before due for at from starting to with";

/// `~` marks what counts only where the words end or more of the kind follows: it could also belong to a title.
#[rustfmt::skip]
const TABLE: &[(&str, Make)] = &[
    ("today|tonight", |_, now| days(now, 0)),
    ("this morning|afternoon|evening", |_, now| days(now, 0)),
    ("tomorrow|tmr|tmrw afternoon|evening|night?", |_, now| days(now, 1)),
    ("tomorrow morning", |_, now| early(days(now, 1))),
    ("the? day after tomorrow", |_, now| days(now, 2)),
    ("~D", |n, now| days(now, (n[0] - weekday(now) + 6) % 7 + 1)),
    ("~D afternoon|evening|night", |n, now| days(now, (n[0] - weekday(now) + 6) % 7 + 1)),
    ("~D morning", |n, now| early(days(now, (n[0] - weekday(now) + 6) % 7 + 1))),
    ("this D", |n, now| days(now, (n[0] - weekday(now) + 7) % 7)),
    ("next D", |n, now| days(now, n[0] - weekday(now) + 7)),
    ("~this|the? weekend", |_, now| weekend(now, 0)),
    ("next weekend", |_, now| weekend(now, 7)),
    ("this U", |n, now| span(n[0], now, 0, true)),
    ("next U", |n, now| span(n[0], now, 1, false)),
    ("the? end of the|this? U", |n, now| span(n[0], now, 0, true)),
    ("the? end of next U", |n, now| span(n[0], now, 1, true)),
    ("in|within N U", |n, now| on(later(now.date(), n[0], n[1]))),
    ("N U from now|today", |n, now| on(later(now.date(), n[0], n[1]))),
    ("in N minutes|minute|mins|min", |n, now| moment(now, n[0])),
    ("in N hours|hour", |n, now| moment(now, n[0] * 60)),
    ("in M", |n, now| span(2, now, (n[0] + 12 - i64::from(now.month())) % 12, true)),
    ("I", |n, _| on(NaiveDate::from_num_days_from_ce_opt(i32::try_from(n[0]).ok()?))),
    ("M O Y?", |n, now| date(n[0], n[1], n.get(2), now)),
    ("the? O of? M Y?", |n, now| date(n[1], n[0], n.get(2), now)),
    ("~on|by|until|till|before|from|to|due the O", |n, now| day_of_month(n[0], now)),
    ("C", |n, _| time(n[0])),
    ("H am|a.m", |n, _| time(n[0] % 12 * 60)),
    ("H pm|p.m", |n, _| time((n[0] % 12 + 12) * 60)),
    ("~at|by|before|until|till H", |n, _| time(n[0] * 60 - if n[0] <= 12 { DAY } else { 0 })),
    ("noon|midday", |_, _| time(12 * 60)),
    ("half past H", |n, _| time(n[0] * 60 + 30 - DAY)),
    ("quarter past H", |n, _| time(n[0] * 60 + 15 - DAY)),
    ("quarter to H", |n, _| time(n[0] * 60 - 15 - DAY)),
    ("every|each U", |n, _| every(n[0], 1)),
    ("every|each O U", |n, _| every(n[1], n[0])),
    ("every|each other U", |n, _| every(n[0], 2)),
    ("~daily|everyday", |_, _| every(0, 1)),
    ("~weekly", |_, _| every(1, 1)),
    ("~fortnightly|biweekly", |_, _| every(1, 2)),
    ("~monthly", |_, _| every(2, 1)),
    ("~yearly|annually", |_, _| every(3, 1)),
    ("every|each morning", |_, _| early(every(0, 1))),
    ("every|each afternoon|evening|night", |_, _| every(0, 1)),
    ("every|each L", |n, _| rule("WEEKLY", &by_day("", n[0]))),
    ("~P", |n, _| rule("WEEKLY", &by_day("", n[0]))),
    ("every|each other L", |n, _| rule("WEEKLY;INTERVAL=2", &by_day("", n[0]))),
    ("every|each second|2nd L", |n, _| rule("WEEKLY;INTERVAL=2", &by_day("", n[0]))),
    ("every|each O D", |n, _| rule("MONTHLY", &by_day(&n[0].to_string(), 1 << n[1]))),
    ("every|each weekday|workday|weekdays", |_, _| rule("WEEKLY", &by_day("", 0b1_1111))),
    ("~weekdays|workdays", |_, _| rule("WEEKLY", &by_day("", 0b1_1111))),
    ("every|each other weekend", |_, _| rule("WEEKLY;INTERVAL=2", &by_day("", 0b10_0000))),
    ("every|each weekend", |_, _| rule("WEEKLY", &by_day("", 0b10_0000))),
    ("every|each O D of the|each|every? month", |n, _| rule("MONTHLY", &by_day(&n[0].to_string(), 1 << n[1]))),
    ("the? O D of every|each month", |n, _| rule("MONTHLY", &by_day(&n[0].to_string(), 1 << n[1]))),
    ("every|each O of the|each|every? month?", |n, _| rule("MONTHLY", &format!(";BYMONTHDAY={}", n[0]))),
    ("the? O day? of every|each month", |n, _| rule("MONTHLY", &format!(";BYMONTHDAY={}", n[0]))),
    ("every|each M O", |n, now| yearly(date(n[0], n[1], None, now))),
    ("every|each the? O of? M", |n, now| yearly(date(n[1], n[0], None, now))),
    ("~urgent|urgently|asap|important", |_, _| priority(1)),
    ("high|highest|top priority", |_, _| priority(1)),
    ("low|lowest priority", |_, _| priority(4)),
    ("priority N", |n, _| priority(n[0])),
    ("p1|!1", |_, _| priority(1)),
    ("p2|!2", |_, _| priority(2)),
    ("p3|!3", |_, _| priority(3)),
    ("p4|!4", |_, _| priority(4)),
];

/// Takes the details out of the words; the others are left.
pub(super) fn cut(words: &[Word], now: NaiveDateTime) -> (Fields, Vec<Word>) {
    let (mut found, mut left, mut rest) = (Fields::new(), Vec::new(), words);
    while let [first, more @ ..] = rest {
        let part = part(rest, left.is_empty(), now);
        rest = part.as_ref().map_or(more, |(_, behind)| *behind);
        match part {
            Some((part, _)) => add(&mut found, part),
            None => left.push(first.clone()),
        }
    }
    (found, left)
}

/// Takes the details off the beginning.
pub(super) fn prefix(mut words: &[Word], now: NaiveDateTime) -> (Fields, &[Word]) {
    let mut found = Fields::new();
    while let Some((part, rest)) = part(words, true, now) {
        add(&mut found, part);
        words = rest;
    }
    (found, words)
}

/// Adds to the fields; tags to the tags that are there.
fn add(fields: &mut Fields, more: Value) {
    let Value::Object(more) = more else { return };
    for (name, value) in more {
        match (fields.get_mut(&name), value) {
            (Some(Value::Array(old)), Value::Array(new)) if name == "tags" => old.extend(new),
            (_, value) => drop(fields.insert(name, value)),
        }
    }
}

/// The longest detail that the words begin with, and the words behind it.
fn part(words: &[Word], is_first: bool, now: NaiveDateTime) -> Option<(Value, &[Word])> {
    let first = words.first()?;
    if first.low.starts_with('#') && first.low[1..].starts_with(char::is_alphabetic) {
        let tag = first.raw.trim_matches(['#', ',', ';', '.', ':', '!', '?']);
        return Some((json!({"tags": [tag]}), &words[1..]));
    }
    let leads = words.iter().take_while(|word| word.is(LEADS));
    let leads = leads.take(2).count();
    (0..=leads).find_map(|lead| {
        let (mut part, left) = longest(&words[lead..], is_first, now)?;
        if lead > 0 && words[lead - 1].is("until till") {
            part["end"] = json!(true);
        }
        Some((part, &words[words.len() - left..]))
    })
}

fn longest(words: &[Word], is_first: bool, now: NaiveDateTime) -> Option<(Value, usize)> {
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
    let (minutes, early, end, shift) = (take("minutes"), take("early"), take("end"), take("shift"));
    take("span");
    let was = date_of(&task["due_date"]);
    let mut due = fields.get("due_date").and_then(date_of);
    let rule = fields.get("repeat").and_then(Value::as_str);
    let rule = rule.map(str::to_owned);
    if let (Some(rule), Some(last), Some(true)) = (&rule, due, end.as_bool()) {
        let until = last.format("UNTIL=%Y%m%d");
        add(&mut fields, json!({"repeat": format!("{rule};{until}")}));
        fields.remove("due_date");
        due = None;
    }
    if let (Some(count), Some(unit)) = (shift[0].as_i64(), shift[1].as_i64()) {
        due = later(was.unwrap_or(now.date()), count, unit);
    }
    if let Some(minutes) = minutes.as_i64() {
        let today = due.is_none_or(|due| due == now.date());
        let is_over = |minutes| minutes <= i64::from(now.hour() * 60 + now.minute());
        // A bare hour is one of the day: of 1 to 7 the afternoon's, unless the morning was named. What is over today is of the evening.
        let mut of_day = minutes.rem_euclid(DAY);
        let is_late = (60..8 * 60).contains(&of_day) || due.is_some() && today && is_over(of_day);
        if minutes < 0 && is_late && of_day < DAY / 2 && early.is_null() {
            of_day += DAY / 2;
        }
        let time = format!("{:02}:{:02}", of_day / 60, of_day % 60);
        add(&mut fields, json!({"due_time": time}));
        // A time needs a date; that of a rule is the tool's to find, but not one that is over.
        let needs_date = was.is_none() && rule.is_none_or(|rule| rule == "FREQ=DAILY");
        let next = later(now.date(), i64::from(is_over(of_day)), 0);
        due = due.or(next.filter(|_| needs_date));
    }
    if let Some(due) = due {
        let weekday = due.format("%A").to_string().to_lowercase();
        add(&mut fields, json!({"due_date": due, "weekday": weekday}));
    }
    if let (Some(Value::Array(tags)), Some(old)) = (fields.get_mut("tags"), task["tags"].as_array())
    {
        tags.extend(old.clone());
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

fn on(date: Option<NaiveDate>) -> Option<Value> {
    date.map(|date| json!({"due_date": date, "span": [date, date]}))
}

fn days(now: NaiveDateTime, days: i64) -> Option<Value> {
    on(later(now.date(), days, 0))
}

fn weekday(now: NaiveDateTime) -> i64 {
    i64::from(now.weekday().num_days_from_monday())
}

/// A week, month or year, due on its first or last day; what is over of it is left out.
fn span(unit: i64, now: NaiveDateTime, count: i64, is_end: bool) -> Option<Value> {
    let today = now.date();
    let begin = match unit {
        1 => later(today, -weekday(now), 0)?,
        2 => today.with_day(1)?,
        3 => today.with_ordinal(1)?,
        _ => today,
    };
    let from = later(begin, count, unit)?;
    let to = later(from, 1, unit)?.pred_opt()?;
    let from = from.max(today);
    Some(json!({"due_date": if is_end { to } else { from }, "span": [from, to]}))
}

fn weekend(now: NaiveDateTime, more: i64) -> Option<Value> {
    let saturday = later(now.date(), 5 - weekday(now) + more, 0)?;
    let from = saturday.max(now.date());
    Some(json!({"due_date": from, "span": [from, saturday.succ_opt()?]}))
}

/// A date; without a year the next one.
fn date(month: i64, day: i64, year: Option<&i64>, now: NaiveDateTime) -> Option<Value> {
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    let year = year.and_then(|year| i32::try_from(*year).ok());
    let mut years = year.map_or(now.year()..=now.year() + 8, |year| year..=year);
    let is_next = |date: &NaiveDate| year.is_some() || *date >= now.date();
    on(years.find_map(|year| NaiveDate::from_ymd_opt(year, month, day).filter(is_next)))
}

fn day_of_month(day: i64, now: NaiveDateTime) -> Option<Value> {
    let (day, first) = (u32::try_from(day).ok()?, now.date().with_day(1)?);
    let mut months = (0..12).filter_map(|n| later(first, n, 2)?.with_day(day));
    on(months.find(|date| *date >= now.date()))
}

fn time(minutes: i64) -> Option<Value> {
    Some(json!({"minutes": minutes}))
}

fn moment(now: NaiveDateTime, minutes: i64) -> Option<Value> {
    let then = now.checked_add_signed(Duration::try_minutes(minutes)?)?;
    let of_day = then.hour() * 60 + then.minute();
    Some(json!({"due_date": then.date(), "minutes": of_day}))
}

fn early(details: Option<Value>) -> Option<Value> {
    let mut details = details?;
    details["early"] = json!(true);
    Some(details)
}

fn priority(priority: i64) -> Option<Value> {
    let is_valid = (1..=4).contains(&priority);
    is_valid.then(|| json!({"priority": format!("p{priority}")}))
}

fn rule(frequency: &str, more: &str) -> Option<Value> {
    Some(json!({"repeat": format!("FREQ={frequency}{more}")}))
}

fn every(unit: i64, interval: i64) -> Option<Value> {
    let frequency = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"][usize::try_from(unit).ok()?];
    match interval {
        1 => rule(frequency, ""),
        2..=999 => rule(frequency, &format!(";INTERVAL={interval}")),
        _ => None,
    }
}

/// The weekdays of these bits; of the nth week, if one is given.
fn by_day(nth: &str, days: i64) -> String {
    let mut named = Vec::new();
    for (day, name) in ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
        .iter()
        .enumerate()
    {
        named.extend((days >> day & 1 == 1).then(|| format!("{nth}{name}")));
    }
    format!(";BYDAY={}", named.join(","))
}

fn yearly(date: Option<Value>) -> Option<Value> {
    Some(json!({"repeat": "FREQ=YEARLY", "due_date": date?["due_date"]}))
}
