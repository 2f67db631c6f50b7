//! A rule by which dates come again: an RFC 5545 RRULE without DTSTART, of days.
//!
//! The dates are the crate `rrule`'s; here is decided which rules mean something for a task, and how far is looked. Dates are computed
//! without a zone, and a task's time is kept beside them, so no change of a clock moves or drops one.
//!
//! A month that lacks the day is left out, as the RFC has it: the 31st comes seven times a year, the 29th of February every four years.
//! Whoever means the last day of each month says `BYMONTHDAY=-1`.

use std::{fmt, str::FromStr};

use chrono::{Datelike, Duration, NaiveDate, TimeZone};
use rrule::{RRule, Unvalidated};

use super::MAX_DATE;

/// Characters of a rule.
const MAX_RULE: usize = 255;
/// Times that a rule may come with COUNT, and periods between two dates.
const MAX_NUMBER: u32 = 1_000;
/// Years after which the calendar begins anew, weekdays included.
const CYCLE: i32 = 400;
/// Dates are looked for until the year 10,000, where the crate stops. So that a rule that has none is found out soon, they are looked for
/// in this year at the earliest, and moved back by whole cycles.
const FROM_YEAR: i32 = 9_200;

/// Rules that are valid, for whoever wrote one that is not.
pub const VALID_RULES: [&str; 6] = [
    "FREQ=DAILY",
    "FREQ=WEEKLY;BYDAY=MO,TH",
    "FREQ=WEEKLY;INTERVAL=2;UNTIL=20271231",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=MONTHLY;BYDAY=1MO;COUNT=6",
    "FREQ=YEARLY;BYMONTH=5;BYMONTHDAY=17",
];

/// Why a text is no rule that a task can come again by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// It is no RRULE, or one that means nothing for days.
    #[error("{0}")]
    Invalid(String),
    /// No date fits it.
    #[error("repeat: the rule {0} never yields a date from {1} on.")]
    Never(String, NaiveDate),
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Without COUNT and UNTIL.
    rest: String,
    freq: Freq,
    interval: u32,
    /// Dates that are left, that of the task included.
    count: Option<u32>,
    /// The last day.
    until: Option<NaiveDate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freq {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let text = text.trim().to_ascii_uppercase();
        let text = text.strip_prefix("RRULE:").unwrap_or(&text);
        if text.is_empty() || text.len() > MAX_RULE {
            return Err(invalid(format!(
                "repeat must have 1 to {MAX_RULE} characters."
            )));
        }
        let mut parts: Vec<(&str, &str)> = Vec::new();
        for part in text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let Some((name, value)) = part.split_once('=') else {
                return Err(invalid(format!(
                    "repeat: {} is not NAME=VALUE.",
                    shown(part)
                )));
            };
            if parts.iter().any(|(known, _)| *known == name) {
                return Err(invalid(format!("repeat has {} twice.", shown(name))));
            }
            parts.push((name, value));
        }
        let find = |name| {
            parts
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| *value)
        };
        let freq = freq(find("FREQ"))?;
        for (name, value) in &parts {
            check(name, value, freq)?;
        }
        if find("BYSETPOS").is_some()
            && !parts
                .iter()
                .any(|(name, _)| name.starts_with("BY") && *name != "BYSETPOS")
        {
            return Err(invalid(
                "repeat: BYSETPOS needs another BY… beside it.".to_owned(),
            ));
        }
        let until = find("UNTIL").map(until).transpose()?;
        let count = find("COUNT")
            .map(|value| number("COUNT", value))
            .transpose()?;
        if until.is_some() && count.is_some() {
            return Err(invalid("repeat has either UNTIL or COUNT.".to_owned()));
        }
        let interval = find("INTERVAL")
            .map(|value| number("INTERVAL", value))
            .transpose()?;
        let mut rest = format!("FREQ={}", find("FREQ").unwrap_or_default());
        for (name, value) in parts
            .iter()
            .filter(|(name, _)| !["FREQ", "UNTIL", "COUNT"].contains(name))
        {
            rest.push_str(&format!(";{name}={value}"));
        }
        let rule = Self {
            rest,
            freq,
            interval: interval.unwrap_or(1),
            count,
            until,
        };
        // What the crate has to say against it.
        drop(rule.dates(MAX_DATE)?);
        Ok(rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rest)?;
        if let Some(count) = self.count {
            write!(f, ";COUNT={count}")?;
        }
        if let Some(until) = self.until {
            write!(f, ";UNTIL={}", until.format("%Y%m%d"))?;
        }
        Ok(())
    }
}

impl Rule {
    /// The first date from this one on, if the rule begins there.
    ///
    /// # Errors
    /// There is none.
    pub fn first(&self, start: NaiveDate) -> Result<NaiveDate, RuleError> {
        let first = self.dates(start)?.next();
        first.ok_or_else(|| RuleError::Never(self.to_string(), start))
    }

    /// The first date after `after`, of the rule as it begins at `start`, with the rule as it is then: dates that it passes over count.
    /// None if it has ended, which is what COUNT says of the dates from `start` on.
    #[must_use]
    pub fn next(&self, start: NaiveDate, after: NaiveDate) -> Option<(NaiveDate, Self)> {
        let Some(count) = self.count else {
            let dates = self.dates(self.nearer(start, after)).ok()?;
            let date = dates.into_iter().find(|date| *date > after.max(start))?;
            return Some((date, self.clone()));
        };
        let mut left = count;
        for date in self.dates(start).ok()?.filter(|date| *date > start) {
            left = left.checked_sub(1).filter(|left| *left > 0)?;
            if date > after {
                let rule = Self {
                    count: Some(left),
                    ..self.clone()
                };
                return Some((date, rule));
            }
        }
        None
    }

    /// How many dates the rule as it begins at `start` has behind it until this one, which is one of them. None if it is not, or is far
    /// away.
    pub(super) fn steps(&self, start: NaiveDate, to: NaiveDate) -> Option<u32> {
        let dates = self.dates(start).ok()?.filter(|date| *date > start);
        let place = dates
            .take(MAX_NUMBER as usize)
            .take_while(|date| *date <= to)
            .position(|date| date == to)?;
        u32::try_from(place + 1).ok()
    }

    /// The same rule with so many dates more, or fewer. None if it had none left then.
    pub(super) fn counting(&self, more: i64) -> Option<Self> {
        let Some(count) = self.count else {
            return Some(self.clone());
        };
        let count = u32::try_from(i64::from(count) + more).ok()?;
        (1..=MAX_NUMBER).contains(&count).then(|| Self {
            count: Some(count),
            ..self.clone()
        })
    }

    /// A later day on which the rule may as well begin, as far as dates after `after` go: a task may be many years overdue.
    fn nearer(&self, start: NaiveDate, after: NaiveDate) -> NaiveDate {
        let period = match self.freq {
            Freq::Daily => i64::from(self.interval),
            Freq::Weekly => 7 * i64::from(self.interval),
            // Few steps, however far.
            Freq::Monthly | Freq::Yearly => return start,
        };
        let periods = (after - start).num_days().max(0) / period;
        start
            .checked_add_signed(Duration::days(periods * period))
            .unwrap_or(start)
    }

    /// Its dates from `start` on, COUNT aside.
    fn dates(
        &self,
        start: NaiveDate,
    ) -> Result<impl Iterator<Item = NaiveDate> + use<>, RuleError> {
        let refuse = |error: rrule::RRuleError| invalid(format!("repeat: {error}."));
        let cycles = (FROM_YEAR + CYCLE - 1 - start.year()).div_euclid(CYCLE) * CYCLE;
        // A year of the same length: the day is there.
        let moved = start.with_year(start.year() + cycles).unwrap_or(start);
        let begin = rrule::Tz::UTC.from_utc_datetime(&moved.and_time(chrono::NaiveTime::MIN));
        let rule: RRule<Unvalidated> = self.rest.parse().map_err(refuse)?;
        let set = rule.build(begin).map_err(refuse)?;
        let until = self.until.unwrap_or(MAX_DATE).min(MAX_DATE);
        let dates = set.limit().into_iter();
        Ok(dates
            .map_while(move |at| {
                let date = at.date_naive();
                date.with_year(date.year() - cycles)
            })
            .take_while(move |date| *date <= until))
    }
}

fn invalid(message: String) -> RuleError {
    RuleError::Invalid(message)
}

fn freq(value: Option<&str>) -> Result<Freq, RuleError> {
    match value {
        Some("DAILY") => Ok(Freq::Daily),
        Some("WEEKLY") => Ok(Freq::Weekly),
        Some("MONTHLY") => Ok(Freq::Monthly),
        Some("YEARLY") => Ok(Freq::Yearly),
        Some("HOURLY" | "MINUTELY" | "SECONDLY") => Err(invalid(
            "repeat: a task comes again on another day, so FREQ is DAILY, WEEKLY, MONTHLY or YEARLY.".to_owned(),
        )),
        _ => Err(invalid(
            "repeat needs FREQ: DAILY, WEEKLY, MONTHLY or YEARLY.".to_owned(),
        )),
    }
}

/// Whether a part means something beside this frequency (RFC 5545, 3.3.10).
fn check(name: &str, value: &str, freq: Freq) -> Result<(), RuleError> {
    let numbers = |most: i32, signed: bool| {
        let fits = |text: &str| {
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_plain
                && (signed || digits.len() == text.len())
                && digits
                    .parse()
                    .is_ok_and(|number| (1..=most).contains(&number))
        };
        match value.split(',').all(fits) {
            true => Ok(()),
            false => Err(invalid(format!(
                "repeat: {name} takes numbers from 1 to {most}{}.",
                if signed {
                    ", or negative ones from the end"
                } else {
                    ""
                }
            ))),
        }
    };
    let only = |fits: bool, with: &str| match fits {
        true => Ok(()),
        false => Err(invalid(format!("repeat: {name} goes with {with} only."))),
    };
    match name {
        "FREQ" | "UNTIL" => Ok(()),
        "COUNT" | "INTERVAL" => number(name, value).map(drop),
        "BYMONTH" => numbers(12, false),
        "BYMONTHDAY" => {
            only(freq != Freq::Weekly, "FREQ=DAILY, MONTHLY or YEARLY")?;
            numbers(31, true)
        }
        "BYYEARDAY" | "BYWEEKNO" => {
            only(freq == Freq::Yearly, "FREQ=YEARLY")?;
            numbers(if name == "BYWEEKNO" { 53 } else { 366 }, true)
        }
        "BYSETPOS" => numbers(366, true),
        "BYDAY" => value.split(',').try_for_each(|day| by_day(day, freq)),
        "WKST" if is_day(value) => Ok(()),
        "WKST" => Err(invalid(
            "repeat: WKST is one of MO, TU, WE, TH, FR, SA, SU.".to_owned(),
        )),
        "BYHOUR" | "BYMINUTE" | "BYSECOND" => Err(invalid(format!(
            "repeat has no {name}: the time of day is due_time."
        ))),
        "DTSTART" => Err(invalid(
            "repeat has no DTSTART: the first date is due_date.".to_owned(),
        )),
        _ => Err(invalid(format!("repeat: there is no {}.", shown(name)))),
    }
}

fn by_day(text: &str, freq: Freq) -> Result<(), RuleError> {
    let refuse = |why: &str| Err(invalid(format!("repeat: BYDAY={} {why}", shown(text))));
    let Some((place, day)) = text
        .len()
        .checked_sub(2)
        .and_then(|at| text.split_at_checked(at))
    else {
        return refuse("is none of MO, TU, WE, TH, FR, SA, SU.");
    };
    if !is_day(day) {
        return refuse("is none of MO, TU, WE, TH, FR, SA, SU.");
    }
    let most = match freq {
        _ if place.is_empty() => return Ok(()),
        Freq::Monthly => 5,
        Freq::Yearly => 53,
        Freq::Daily | Freq::Weekly => {
            return refuse("with a number goes with FREQ=MONTHLY or YEARLY only.");
        }
    };
    match place.parse::<i32>() {
        Ok(place) if (1..=most).contains(&place.abs()) => Ok(()),
        _ => refuse("has no such place in the month or year."),
    }
}

fn is_day(text: &str) -> bool {
    ["MO", "TU", "WE", "TH", "FR", "SA", "SU"].contains(&text)
}

fn number(name: &str, value: &str) -> Result<u32, RuleError> {
    let number = value
        .parse()
        .ok()
        .filter(|number| (1..=MAX_NUMBER).contains(number));
    number.ok_or_else(|| invalid(format!("repeat: {name} must be 1 to {MAX_NUMBER}.")))
}

/// The last day. What is written as a moment is meant as its day: days here are the user's own, and have no zone.
fn until(value: &str) -> Result<NaiveDate, RuleError> {
    let (day, time) = value.split_once('T').unwrap_or((value, "000000"));
    let is_time = time
        .strip_suffix('Z')
        .unwrap_or(time)
        .bytes()
        .filter(u8::is_ascii_digit)
        .count()
        == 6;
    let date = (day.len() == 8 && is_time)
        .then(|| NaiveDate::parse_from_str(day, "%Y%m%d").ok())
        .flatten();
    date.ok_or_else(|| invalid("repeat: UNTIL is the last day, as UNTIL=20261231.".to_owned()))
}

fn shown(text: &str) -> String {
    text.chars().take(20).collect()
}

#[cfg(test)]
mod tests;
