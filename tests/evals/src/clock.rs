//! Time in a case. Nothing in it is a date of the calendar: what is written is relative to the day on which it is played, in the user's
//! zone, because the product takes the time from the machine that it runs on.
//!
//! A date is a base with an offset or without: `today`, `tomorrow`, `+3d`, `friday`, `friday+1w`, `month-end-1d`, `15th`, `12-24`. Bases that
//! recur (`friday`, `15th`, `12-24`) mean the next such day *after* today.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Timelike, Utc, Weekday};
use errand_core::calendar::{self, Tz};

/// Zones of whole hours without summer time, one for each hour that a clock can show.
const ZONES: [&str; 24] = [
    "Pacific/Pago_Pago",
    "Pacific/Honolulu",
    "Pacific/Gambier",
    "Pacific/Pitcairn",
    "America/Phoenix",
    "America/Costa_Rica",
    "America/Bogota",
    "America/Caracas",
    "America/Sao_Paulo",
    "America/Noronha",
    "Atlantic/Cape_Verde",
    "Africa/Abidjan",
    "Africa/Lagos",
    "Africa/Johannesburg",
    "Africa/Nairobi",
    "Asia/Dubai",
    "Asia/Karachi",
    "Asia/Dhaka",
    "Asia/Bangkok",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Brisbane",
    "Pacific/Guadalcanal",
    "Pacific/Tarawa",
];

/// The user's zone, and what day it is there.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    zone: Tz,
    today: NaiveDate,
}

impl Clock {
    /// A clock at this moment. `name` is a zone of IANA's, or a time of the day, for which a zone is chosen where it is that time now:
    /// `morning` (after nine), `late` (between ten to eleven and ten to midnight), `early` (within the first hour of the day).
    ///
    /// # Errors
    /// There is no such zone.
    pub fn of(name: &str, moment: DateTime<Utc>) -> Result<Self> {
        let hour = match name {
            "morning" => Some(9),
            // Far enough from midnight for a slow model, and after it in most of the zones to the east.
            "late" => Some(if moment.minute() < 50 { 23 } else { 22 }),
            "early" => Some(0),
            _ => None,
        };
        let zone = match hour {
            None => calendar::zone(name),
            Some(hour) => ZONES
                .iter()
                .filter_map(|name| calendar::zone(name))
                .find(|zone| moment.with_timezone(zone).hour() == hour),
        };
        let zone = zone.with_context(|| format!("no time zone {name:?}"))?;
        Ok(Self::in_zone(zone, moment))
    }

    fn in_zone(zone: Tz, moment: DateTime<Utc>) -> Self {
        let today = moment.with_timezone(&zone).date_naive();
        Self { zone, today }
    }

    /// The name of the zone.
    #[must_use]
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// The user's day.
    #[must_use]
    pub const fn today(&self) -> NaiveDate {
        self.today
    }

    /// Whether it is another day by now.
    #[must_use]
    pub fn has_passed(&self, moment: DateTime<Utc>) -> bool {
        Self::in_zone(self.zone, moment).today != self.today
    }

    /// The date of an expression.
    ///
    /// # Errors
    /// It is none.
    pub fn date(&self, expression: &str) -> Result<NaiveDate> {
        let (base, offset) = split(expression.trim());
        let base = self.base(base)?;
        let date = match offset {
            None => Some(base),
            Some((number, unit)) => shifted(base, number, unit),
        };
        date.with_context(|| format!("no date: {expression:?}"))
    }

    fn base(&self, base: &str) -> Result<NaiveDate> {
        let today = self.today;
        let date = match base {
            "" | "today" => Some(today),
            "tomorrow" => shifted(today, 1, 'd'),
            "yesterday" => shifted(today, -1, 'd'),
            "month-end" => month_end(today),
            "next-month-end" => {
                shifted(today.with_day(1).unwrap_or(today), 1, 'm').and_then(month_end)
            }
            "week-start" => shifted(
                today,
                -i64::from(today.weekday().num_days_from_monday()),
                'd',
            ),
            _ if base.len() == 10 && base.parse::<NaiveDate>().is_ok() => base.parse().ok(),
            _ => {
                let is = recurring(base).with_context(|| format!("no date: {base:?}"))?;
                // The 29th of February may be eight years away.
                let days = today.iter_days().skip(1).take(8 * 366 + 1);
                days.into_iter().find(|day| is.is(*day))
            }
        };
        date.with_context(|| format!("no date: {base:?}"))
    }

    /// Whether a date is what a pattern allows: `none`, `any`, a date, two dates with `..` between them, or several of these with `|`
    /// between them. What recurs may be today as well: "on Friday", said on a Friday, can be both.
    ///
    /// # Errors
    /// It is no pattern.
    pub fn allows(&self, pattern: &str, date: Option<NaiveDate>) -> Result<bool> {
        let mut allowed = false;
        for one in pattern.split('|').map(str::trim) {
            allowed |= match (one, date) {
                ("any", _) => true,
                ("none", date) => date.is_none(),
                (one, date) => {
                    let (from, to) = match one.split_once("..") {
                        Some((from, to)) => (self.date(from)?, self.date(to)?),
                        None => (self.date(one)?, self.date(one)?),
                    };
                    ensure!(from <= to, "{pattern:?} ends before it begins");
                    let may_be_today = recurring(one).is_some_and(|is| is.is(self.today));
                    date.is_some_and(|date| {
                        (from..=to).contains(&date) || may_be_today && date == self.today
                    })
                }
            };
        }
        Ok(allowed)
    }

    /// A text with its placeholders filled in: `{friday}` is a date such as 2026-11-27, `{friday:day}` "27 November", `{friday:weekday}`
    /// "Friday", `{friday:month}` "November", `{friday:basic}` 20261127, `{friday:year}` 2026. `{{` is a brace.
    ///
    /// # Errors
    /// A placeholder is no date.
    pub fn fill(&self, text: &str) -> Result<String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            if let Some(behind) = behind.strip_prefix('{') {
                filled.push_str(before);
                filled.push('{');
                rest = behind;
                continue;
            }
            let (inside, behind) = behind.split_once('}').context("a { without a }")?;
            let (expression, form) = inside.split_once(':').unwrap_or((inside, ""));
            let form = match form {
                "" => "%Y-%m-%d",
                "day" => "%-d %B",
                "weekday" => "%A",
                "month" => "%B",
                "basic" => "%Y%m%d",
                "year" => "%Y",
                form => bail!("no form of a date: {form:?}"),
            };
            filled.push_str(before);
            write!(filled, "{}", self.date(expression)?.format(form))?;
            rest = behind;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// How a date is written relative to today.
    #[must_use]
    pub fn relative(&self, date: NaiveDate) -> String {
        format!("{:+}d", (date - self.today).num_days())
    }
}

/// A day that comes again and again.
enum Recurring {
    Weekday(Weekday),
    Day(u32),
    MonthDay(u32, u32),
}

impl Recurring {
    fn is(&self, date: NaiveDate) -> bool {
        match *self {
            Self::Weekday(weekday) => date.weekday() == weekday,
            Self::Day(day) => date.day() == day,
            Self::MonthDay(month, day) => (date.month(), date.day()) == (month, day),
        }
    }
}

fn recurring(base: &str) -> Option<Recurring> {
    if let Some(number) = ["st", "nd", "rd", "th"]
        .iter()
        .find_map(|end| base.strip_suffix(end))
    {
        return number.parse().ok().map(Recurring::Day);
    }
    if let Some((month, day)) = base.split_once('-').filter(|_| base.len() == 5) {
        return Some(Recurring::MonthDay(month.parse().ok()?, day.parse().ok()?));
    }
    let is_whole = base.ends_with("day");
    base.parse()
        .ok()
        .filter(|_| is_whole)
        .map(Recurring::Weekday)
}

/// An expression's base and offset: `friday+1w` is `friday` and 1 week.
fn split(expression: &str) -> (&str, Option<(i64, char)>) {
    let found = || {
        let unit = expression
            .chars()
            .last()
            .filter(|unit| "dwmy".contains(*unit))?;
        let digits = &expression[..expression.len() - 1];
        let at = digits.rfind(['+', '-'])?;
        let number = digits[at..].parse().ok()?;
        Some((&expression[..at], Some((number, unit))))
    };
    found().unwrap_or((expression, None))
}

fn shifted(date: NaiveDate, number: i64, unit: char) -> Option<NaiveDate> {
    let size = number.unsigned_abs();
    let days = |size: u64| match number < 0 {
        true => date.checked_sub_days(Days::new(size)),
        false => date.checked_add_days(Days::new(size)),
    };
    let months = |size: u64| {
        let months = Months::new(u32::try_from(size).ok()?);
        match number < 0 {
            true => date.checked_sub_months(months),
            false => date.checked_add_months(months),
        }
    };
    match unit {
        'w' => days(size.checked_mul(7)?),
        'm' => months(size),
        'y' => months(size.checked_mul(12)?),
        _ => days(size),
    }
}

fn month_end(date: NaiveDate) -> Option<NaiveDate> {
    shifted(date.with_day(1)?, 1, 'm')?.pred_opt()
}
