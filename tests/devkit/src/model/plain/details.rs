//! What is said about a task beside its title: when it is due and how often, how important it is, its tags. Must not know what is asked for.

use chrono::{Datelike, Days, Duration, Months, NaiveDate, NaiveDateTime, NaiveTime};
use serde_json::{Map, Value, json};

use super::words::{Found, Word, start};

/// What was found among the words.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Details {
    pub(super) due: Option<NaiveDate>,
    /// The days that a question is about: "this week" is due on its last one.
    pub(super) span: Option<(NaiveDate, NaiveDate)>,
    /// Minutes of the day; less by a day if the half of the day was not said.
    minutes: Option<i64>,
    is_evening: Option<bool>,
    rule: Option<String>,
    last: Option<NaiveDate>,
    pub(super) priority: Option<i64>,
    pub(super) tags: Vec<String>,
}

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];
const FREQUENCIES: [&str; 4] = ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"];
const DAY: i64 = 24 * 60;

/// Words that may stand before a date. `~` marks what counts only where the words end or another date follows.
const LEADS: [&str; 13] = [
    "on",
    "by",
    "until",
    "till",
    "before",
    "due",
    "for",
    "at",
    "from",
    "starting",
    "beginning",
    "to",
    "with",
];

type Make = fn(&[i64], NaiveDateTime) -> Option<Details>;

#[rustfmt::skip]
const TABLE: &[(&str, Make)] = &[
    ("today", |_, now| days(now, 0)),
    ("tonight|tonite", |_, now| half(days(now, 0), true)),
    ("this morning", |_, now| half(days(now, 0), false)),
    ("this afternoon|evening", |_, now| half(days(now, 0), true)),
    ("tomorrow|tmr|tmrw", |_, now| days(now, 1)),
    ("tomorrow morning", |_, now| half(days(now, 1), false)),
    ("tomorrow afternoon|evening|night", |_, now| half(days(now, 1), true)),
    ("the? day after tomorrow", |_, now| days(now, 2)),
    ("in the morning", |_, _| half(Some(Details::default()), false)),
    ("in the afternoon|evening", |_, _| half(Some(Details::default()), true)),
    ("~D", |n, now| days(now, (n[0] - weekday(now) + 6) % 7 + 1)),
    ("D morning", |n, now| half(days(now, (n[0] - weekday(now) + 6) % 7 + 1), false)),
    ("D afternoon|evening|night", |n, now| half(days(now, (n[0] - weekday(now) + 6) % 7 + 1), true)),
    ("this|coming D", |n, now| days(now, (n[0] - weekday(now) + 7) % 7)),
    ("next D", |n, now| days(now, n[0] - weekday(now) + 7)),
    ("D next week", |n, now| days(now, n[0] - weekday(now) + 7)),
    ("~this|the? weekend", |_, now| weekend(now, 0)),
    ("next weekend", |_, now| weekend(now, 7)),
    ("this U", |n, now| span(n[0], now, 0, true)),
    ("next U", |n, now| span(n[0], now, 1, false)),
    ("the? end of the|this? U", |n, now| ends(span(n[0], now, 0, true))),
    ("the? end of next U", |n, now| ends(span(n[0], now, 1, true))),
    ("the? O day of the|this month", |n, now| if n[0] == -1 { ends(span(2, now, 0, true)) } else { day_of_month(n[0], now) }),
    ("in|within N U", |n, now| on(later(now.date(), n[0], n[1])?)),
    ("N U from now|today", |n, now| on(later(now.date(), n[0], n[1])?)),
    ("in N minutes|minute|mins|min", |n, now| moment(now, n[0])),
    ("in N hours|hour|hrs", |n, now| moment(now, n[0] * 60)),
    ("in half an hour", |_, now| moment(now, 30)),
    ("I", |n, _| on(NaiveDate::from_num_days_from_ce_opt(i32::try_from(n[0]).ok()?)?)),
    ("M N Y?", |n, now| date(n[0], n[1], n.get(2), now)),
    ("M O Y?", |n, now| date(n[0], n[1], n.get(2), now)),
    ("N M Y?", |n, now| date(n[1], n[0], n.get(2), now)),
    ("the? O of? M Y?", |n, now| date(n[1], n[0], n.get(2), now)),
    ("~on|by|until|till|before|from|to|due the O", |n, now| day_of_month(n[0], now)),
    ("C", |n, _| time(n[0])),
    ("H am|a.m", |n, _| time(n[0] % 12 * 60)),
    ("H pm|p.m", |n, _| time((n[0] % 12 + 12) * 60)),
    ("H o'clock", |n, _| time(n[0] * 60 - DAY)),
    ("~at|by|before|until|till H", |n, _| time(n[0] * 60 - if n[0] <= 12 { DAY } else { 0 })),
    ("noon|midday", |_, _| time(12 * 60)),
    ("half past H", |n, _| time(n[0] * 60 + 30 - DAY)),
    ("quarter past H", |n, _| time(n[0] * 60 + 15 - DAY)),
    ("quarter to H", |n, _| time(n[0] * 60 - 15 - DAY)),
    ("every|each U", |n, _| every(n[0], 1)),
    ("every|each N U", |n, _| every(n[1], n[0])),
    ("every|each O U", |n, _| every(n[1], n[0])),
    ("every|each other U", |n, _| every(n[0], 2)),
    ("~daily|everyday", |_, _| every(0, 1)),
    ("~weekly", |_, _| every(1, 1)),
    ("~fortnightly|biweekly", |_, _| every(1, 2)),
    ("~monthly", |_, _| every(2, 1)),
    ("~yearly|annually", |_, _| every(3, 1)),
    ("every|each morning", |_, _| half(every(0, 1), false)),
    ("every|each afternoon|evening|night", |_, _| half(every(0, 1), true)),
    ("every|each L", |n, _| rule("WEEKLY", &by_day(n[0]))),
    ("~P", |n, _| rule("WEEKLY", &by_day(n[0]))),
    ("every|each other L", |n, _| rule("WEEKLY;INTERVAL=2", &by_day(n[0]))),
    ("every|each weekday|workday|weekdays", |_, _| rule("WEEKLY", &by_day(0b1_1111))),
    ("~weekdays|workdays", |_, _| rule("WEEKLY", &by_day(0b1_1111))),
    ("every|each weekend", |_, _| rule("WEEKLY", &by_day(0b10_0000))),
    ("every|each O D", |n, _| match n[0] { 2 => rule("WEEKLY;INTERVAL=2", &by_day(1 << n[1])), nth => of_month(nth, n[1]) }),
    ("every|each O D of the|each|every? month", |n, _| of_month(n[0], n[1])),
    ("the? O D of every|each month", |n, _| of_month(n[0], n[1])),
    ("every|each O", |n, _| rule("MONTHLY", &format!(";BYMONTHDAY={}", n[0]))),
    ("every|each O of the|each|every? month", |n, _| rule("MONTHLY", &format!(";BYMONTHDAY={}", n[0]))),
    ("the? O day? of every|each month", |n, _| rule("MONTHLY", &format!(";BYMONTHDAY={}", n[0]))),
    ("every|each M N", |n, now| yearly(date(n[0], n[1], None, now))),
    ("every|each M O", |n, now| yearly(date(n[0], n[1], None, now))),
    ("every|each N M", |n, now| yearly(date(n[1], n[0], None, now))),
    ("every|each O of? M", |n, now| yearly(date(n[1], n[0], None, now))),
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
pub(super) fn cut(words: &[Word], now: NaiveDateTime) -> (Details, Vec<Word>) {
    let (mut found, mut left, mut at) = (Details::default(), Vec::new(), 0);
    while at < words.len() {
        match part(&words[at..], at == 0, now) {
            Some((count, part)) => {
                found.add(part);
                at += count;
            }
            None => {
                left.push(words[at].clone());
                at += 1;
            }
        }
    }
    (found.finished(), left)
}

/// Takes the details off the beginning.
pub(super) fn prefix(words: &[Word], now: NaiveDateTime) -> (Details, &[Word]) {
    let (mut found, mut rest) = (Details::default(), words);
    while let Some((count, part)) = part(rest, true, now) {
        found.add(part);
        rest = &rest[count..];
    }
    (found.finished(), rest)
}

/// The longest detail that the words begin with, and how many of them it took.
fn part(words: &[Word], is_first: bool, now: NaiveDateTime) -> Option<(usize, Details)> {
    let leads = words
        .iter()
        .take(2)
        .take_while(|word| LEADS.contains(&&*word.low))
        .count();
    let found = (0..=leads).find_map(|lead| {
        let (count, mut part) = longest(&words[lead..], is_first, now)?;
        if lead > 0 && ["until", "till"].contains(&&*words[lead - 1].low) {
            part.last = part.due;
        }
        Some((lead + count, part))
    });
    found.or_else(|| tag(words.first()?).map(|tag| (1, tag)))
}

fn longest(words: &[Word], is_first: bool, now: NaiveDateTime) -> Option<(usize, Details)> {
    let fits = |(pattern, make): &(&str, Make)| {
        let strict = pattern.strip_prefix('~');
        let Found { numbers, len, .. } = start(strict.unwrap_or(pattern), words)?;
        let stands = strict.is_none() || stands_alone(words, len, is_first);
        Some((len, make(&numbers, now).filter(|_| stands)?))
    };
    TABLE.iter().filter_map(fits).max_by_key(|(len, _)| *len)
}

/// Whether what could also belong to a title ends where the words do, or something of another kind follows.
fn stands_alone(words: &[Word], len: usize, is_first: bool) -> bool {
    let Some(next) = words.get(len) else {
        return true;
    };
    let is_kept_apart = words[len - 1].ends(&[',', ';', ':']);
    let begins_more = |word: &Word| {
        let more = ["and", "every", "each", "in", "this", "next", "morning"];
        LEADS.contains(&&*word.low)
            || more.contains(&&*word.low)
            || word.low.starts_with(['#', '!'])
            || TABLE
                .iter()
                .any(|(pattern, _)| start(pattern.trim_start_matches('~'), &words[len..]).is_some())
    };
    is_kept_apart || begins_more(next) || is_first && super::tasks::is_verb(&next.low)
}

fn tag(word: &Word) -> Option<Details> {
    let tag = word
        .low
        .strip_prefix('#')
        .filter(|tag| tag.starts_with(char::is_alphabetic))?;
    let tag = word.raw.get(1..=tag.len()).unwrap_or(tag);
    Some(Details {
        tags: vec![tag.to_owned()],
        ..Details::default()
    })
}

impl Details {
    pub(super) fn urgent() -> Self {
        Self {
            priority: Some(1),
            ..Self::default()
        }
    }

    pub(super) fn tagged(tags: Vec<String>) -> Self {
        Self {
            tags,
            ..Self::default()
        }
    }

    fn add(&mut self, more: Self) {
        *self = Self {
            due: more.due.filter(|_| more.last.is_none()).or(self.due),
            span: more.span.or(self.span),
            minutes: more.minutes.or(self.minutes),
            is_evening: more.is_evening.or(self.is_evening),
            rule: more.rule.or(self.rule.take()),
            last: more.last.or(self.last),
            priority: more.priority.or(self.priority),
            tags: [std::mem::take(&mut self.tags), more.tags].concat(),
        };
    }

    /// "Until Friday" ends a rule; without one it is a date like any other.
    fn finished(mut self) -> Self {
        match (&mut self.rule, self.last.take()) {
            (Some(rule), Some(last)) => rule.push_str(&last.format(";UNTIL=%Y%m%d").to_string()),
            (_, last) => self.due = self.due.or(last),
        }
        self
    }

    /// These, and where they say nothing the others.
    pub(super) fn or(mut self, others: &Self) -> Self {
        let mut all = others.clone();
        all.add(std::mem::take(&mut self));
        all
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether they say when something is due.
    pub(super) fn has_time(&self) -> bool {
        self.due.is_some() || self.minutes.is_some() || self.rule.is_some()
    }

    /// The arguments that say so, for a task that has a date or has none: a time of day alone needs one.
    pub(super) fn arguments(&self, now: NaiveDateTime, has_date: bool) -> Map<String, Value> {
        let mut arguments = Map::new();
        let time = self.time();
        let next = match time {
            Some(time) if time <= now.time() => now.date() + Days::new(1),
            _ => now.date(),
        };
        let is_daily = self.rule.as_deref() == Some("FREQ=DAILY");
        let needs_date = time.is_some() && !has_date && (self.rule.is_none() || is_daily);
        if let Some(date) = self.due.or(needs_date.then_some(next)) {
            arguments.extend(dated(date));
        }
        if let Some(time) = time {
            arguments.insert("due_time".into(), json!(time.format("%H:%M").to_string()));
        }
        if let Some(rule) = &self.rule {
            arguments.insert("repeat".into(), json!(rule));
        }
        if let Some(priority) = self.priority {
            arguments.insert("priority".into(), json!(format!("p{priority}")));
        }
        if !self.tags.is_empty() {
            arguments.insert("tags".into(), json!(self.tags));
        }
        arguments
    }

    /// A bare hour is one of the day: of 1 to 7 the afternoon's, unless the morning was named.
    fn time(&self) -> Option<NaiveTime> {
        let minutes = match self.minutes? {
            said @ 0.. => said,
            open => {
                let minutes = open + DAY;
                let is_late = self.is_evening.unwrap_or((60..8 * 60).contains(&minutes));
                minutes % (DAY / 2)
                    + if is_late || self.is_evening.is_none() && minutes >= DAY / 2 {
                        DAY / 2
                    } else {
                        0
                    }
            }
        };
        NaiveTime::from_num_seconds_from_midnight_opt(u32::try_from(minutes).ok()? * 60, 0)
    }
}

/// A date and its weekday, as arguments.
pub(super) fn dated(date: NaiveDate) -> [(String, Value); 2] {
    let weekday = WEEKDAYS[date.weekday().num_days_from_monday() as usize];
    [
        ("due_date".into(), json!(date.to_string())),
        ("weekday".into(), json!(weekday)),
    ]
}

/// The date some units later.
pub(super) fn later(date: NaiveDate, count: i64, unit: i64) -> Option<NaiveDate> {
    match unit {
        0 | 1 => {
            date.checked_add_signed(Duration::try_days(count * if unit == 1 { 7 } else { 1 })?)
        }
        _ => date.checked_add_months(Months::new(
            u32::try_from(count * if unit == 3 { 12 } else { 1 }).ok()?,
        )),
    }
}

fn weekday(now: NaiveDateTime) -> i64 {
    i64::from(now.weekday().num_days_from_monday())
}

fn on(date: NaiveDate) -> Option<Details> {
    Some(Details {
        due: Some(date),
        span: Some((date, date)),
        ..Details::default()
    })
}

fn days(now: NaiveDateTime, days: i64) -> Option<Details> {
    on(later(now.date(), days, 0)?)
}

/// The week, month or year of now or a later one, due on its first or last day; what is over of it is left out.
fn span(unit: i64, now: NaiveDateTime, count: i64, is_end: bool) -> Option<Details> {
    let today = now.date();
    let begin = match unit {
        0 => today,
        1 => today - Duration::days(weekday(now)),
        2 => today.with_day(1)?,
        _ => today.with_ordinal(1)?,
    };
    let from = later(begin, count, unit)?;
    let to = later(from, 1, unit)?.pred_opt()?;
    let from = from.max(today);
    Some(Details {
        span: Some((from, to)),
        ..on(if is_end { to } else { from })?
    })
}

fn ends(span: Option<Details>) -> Option<Details> {
    on(span?.due?)
}

fn weekend(now: NaiveDateTime, more: i64) -> Option<Details> {
    let saturday = later(now.date(), 5 - weekday(now) + more, 0)?;
    let from = saturday.max(now.date());
    Some(Details {
        span: Some((from, saturday + Days::new(1))),
        ..on(from)?
    })
}

/// A date; without a year the next one.
fn date(month: i64, day: i64, year: Option<&i64>, now: NaiveDateTime) -> Option<Details> {
    let (month, day) = (u32::try_from(month).ok()?, u32::try_from(day).ok()?);
    let mut years = match year {
        Some(year) => i32::try_from(*year).ok()?..=i32::try_from(*year).ok()?,
        None => now.year()..=now.year() + 8,
    };
    let is_next = |date: &NaiveDate| year.is_some() || *date >= now.date();
    on(years.find_map(|year| NaiveDate::from_ymd_opt(year, month, day).filter(is_next))?)
}

fn day_of_month(day: i64, now: NaiveDateTime) -> Option<Details> {
    let day = u32::try_from(day).ok()?;
    let first = now.date().with_day(1)?;
    let mut months = (0..12).filter_map(|n| first.checked_add_months(Months::new(n)));
    on(months.find_map(|month| month.with_day(day).filter(|date| *date >= now.date()))?)
}

fn time(minutes: i64) -> Option<Details> {
    Some(Details {
        minutes: Some(minutes),
        ..Details::default()
    })
}

fn moment(now: NaiveDateTime, minutes: i64) -> Option<Details> {
    let then = now.checked_add_signed(Duration::try_minutes(minutes)?)?;
    let minutes = then
        .signed_duration_since(then.date().and_hms_opt(0, 0, 0)?)
        .num_minutes();
    Some(Details {
        minutes: Some(minutes),
        ..on(then.date())?
    })
}

fn half(details: Option<Details>, is_evening: bool) -> Option<Details> {
    Some(Details {
        is_evening: Some(is_evening),
        ..details?
    })
}

fn priority(priority: i64) -> Option<Details> {
    (1..=4).contains(&priority).then(|| Details {
        priority: Some(priority),
        ..Details::default()
    })
}

fn rule(frequency: &str, more: &str) -> Option<Details> {
    Some(Details {
        rule: Some(format!("FREQ={frequency}{more}")),
        ..Details::default()
    })
}

fn every(unit: i64, interval: i64) -> Option<Details> {
    let frequency = FREQUENCIES.get(usize::try_from(unit).ok()?)?;
    match interval {
        1 => rule(frequency, ""),
        2..=999 => rule(frequency, &format!(";INTERVAL={interval}")),
        _ => None,
    }
}

fn by_day(days: i64) -> String {
    let names = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
        .into_iter()
        .enumerate();
    let names: Vec<&str> = names
        .filter(|(nth, _)| days >> nth & 1 == 1)
        .map(|(_, name)| name)
        .collect();
    format!(";BYDAY={}", names.join(","))
}

fn of_month(nth: i64, day: i64) -> Option<Details> {
    [-1, 1, 2, 3, 4, 5].contains(&nth).then(|| {
        rule(
            "MONTHLY",
            &by_day(1 << day).replace('=', &format!("={nth}")),
        )
    })?
}

fn yearly(date: Option<Details>) -> Option<Details> {
    Some(Details {
        due: date?.due,
        ..every(3, 1)?
    })
}
