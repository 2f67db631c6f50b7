//! When a task is due, and how that is told.

use chrono::{NaiveDate, NaiveTime, Timelike};

use super::Now;

/// The first date that a task may be due on.
pub const MIN_DATE: NaiveDate = match NaiveDate::from_ymd_opt(1900, 1, 1) {
    Some(date) => date,
    None => NaiveDate::MIN,
};
/// The last one.
pub const MAX_DATE: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(date) => date,
    None => NaiveDate::MAX,
};

/// A day of the user's own, and perhaps a time of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The day.
    pub date: NaiveDate,
    /// What the clock shows, to the minute.
    pub time: Option<NaiveTime>,
}

impl Due {
    /// Whether the day is over, or the clock shows more than the time.
    #[must_use]
    pub fn is_over(&self, now: &Now) -> bool {
        self.date < now.today()
            || (self.date == now.today() && self.time.is_some_and(|time| time < now.time()))
    }

    /// In words: the weekday, the date, the time, and unless the task is done how far away that is.
    #[must_use]
    pub fn in_words(&self, now: &Now, is_done: bool) -> String {
        let mut words = date_in_words(self.date);
        if let Some(time) = self.time {
            words.push_str(&time.format(" at %H:%M").to_string());
        }
        if !is_done {
            words.push_str(", ");
            words.push_str(&self.distance(now));
        }
        words
    }

    fn distance(&self, now: &Now) -> String {
        let days = (self.date - now.today()).num_days();
        match (days, self.time) {
            (..0, _) => format!("overdue by {}", of(-days, "day")),
            (0, Some(time)) if time < now.time() => {
                let minutes = i64::from(minute_of_day(now.time()) - minute_of_day(time));
                match minutes {
                    ..60 => format!("overdue by {}", of(minutes, "minute")),
                    _ => format!("overdue by {}", of(minutes / 60, "hour")),
                }
            }
            (0, _) => "today".to_owned(),
            (1, _) => "tomorrow".to_owned(),
            _ => format!("in {}", of(days, "day")),
        }
    }
}

/// A date with its weekday: "Fri, 27 Nov 2026".
#[must_use]
pub fn date_in_words(date: NaiveDate) -> String {
    date.format("%a, %-d %b %Y").to_string()
}

fn minute_of_day(time: NaiveTime) -> i32 {
    i32::try_from(time.num_seconds_from_midnight() / 60).unwrap_or(0)
}

fn of(count: i64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{date, now},
        *,
    };

    fn due(on: &str, at: &str) -> Due {
        Due {
            date: date(on),
            time: at.parse().ok(),
        }
    }

    #[test]
    fn a_due_date_is_told_with_weekday_and_distance() {
        let now = now("2026-11-25 18:00", "America/Los_Angeles");
        for (on, at, words) in [
            ("2026-11-27", "", "Fri, 27 Nov 2026, in 2 days"),
            ("2026-11-26", "", "Thu, 26 Nov 2026, tomorrow"),
            (
                "2026-11-26",
                "02:30:00",
                "Thu, 26 Nov 2026 at 02:30, tomorrow",
            ),
            ("2026-11-25", "", "Wed, 25 Nov 2026, today"),
            ("2026-11-25", "18:00:00", "Wed, 25 Nov 2026 at 18:00, today"),
            (
                "2026-11-25",
                "17:59:00",
                "Wed, 25 Nov 2026 at 17:59, overdue by 1 minute",
            ),
            (
                "2026-11-25",
                "16:01:00",
                "Wed, 25 Nov 2026 at 16:01, overdue by 1 hour",
            ),
            (
                "2026-11-25",
                "00:00:00",
                "Wed, 25 Nov 2026 at 00:00, overdue by 18 hours",
            ),
            (
                "2026-11-24",
                "23:00:00",
                "Tue, 24 Nov 2026 at 23:00, overdue by 1 day",
            ),
            ("2026-11-22", "", "Sun, 22 Nov 2026, overdue by 3 days"),
            ("2027-11-25", "", "Thu, 25 Nov 2027, in 365 days"),
        ] {
            let due = due(on, at);
            assert_eq!(due.in_words(&now, false), words);
            assert_eq!(due.is_over(&now), words.contains("overdue"), "{words}");
        }
        assert_eq!(
            due("2026-11-22", "").in_words(&now, true),
            "Sun, 22 Nov 2026"
        );
    }

    #[test]
    fn a_night_without_its_time_moves_nothing() {
        // There is no 02:30 on this night: the clock goes from 01:59 to 03:00.
        let due = due("2027-03-28", "02:30:00");
        let before = now("2027-03-28 01:59", "Europe/Berlin");
        assert_eq!(
            due.in_words(&before, false),
            "Sun, 28 Mar 2027 at 02:30, today"
        );
        let after = now("2027-03-28 03:00", "Europe/Berlin");
        assert!(!due.is_over(&before) && due.is_over(&after));
        // And the next day is a day later, though the one between has 23 hours.
        let next = now("2027-03-29 00:00", "Europe/Berlin");
        assert!(
            due.in_words(&next, false).ends_with("overdue by 1 day"),
            "{}",
            due.in_words(&next, false)
        );
    }

    #[test]
    fn dates_at_the_ends_of_time_are_told() {
        let now = now("2026-11-25 18:00", "UTC");
        for date in [MIN_DATE, MAX_DATE] {
            let due = Due { date, time: None };
            assert!(due.in_words(&now, false).ends_with("days"));
        }
    }
}
