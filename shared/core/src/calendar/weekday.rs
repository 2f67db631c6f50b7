//! Weekdays, and whether one fits a date: models make them up.

use chrono::{Datelike, NaiveDate, Weekday};

use super::date_in_words;

/// A weekday that is not the date's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{date} is a {}, not a {}. The nearest {} is {}.",
    weekday_name(.date.weekday()),
    weekday_name(*.given),
    weekday_name(*.given),
    date_in_words(self.nearest())
)]
pub struct WrongWeekday {
    /// The date.
    pub date: NaiveDate,
    /// What was said to be its weekday.
    pub given: Weekday,
}

impl WrongWeekday {
    /// The date nearest to the given one that has the weekday.
    #[must_use]
    pub fn nearest(&self) -> NaiveDate {
        (0..=3)
            .flat_map(|days| [days, -days])
            .map(|days| self.date + chrono::Duration::days(days))
            .find(|date| date.weekday() == self.given)
            .unwrap_or(self.date)
    }
}

/// The weekday of this English name, whole or its first three letters, in any case.
#[must_use]
pub fn read_weekday(name: &str) -> Option<Weekday> {
    name.parse().ok()
}

/// Its English name.
#[must_use]
pub const fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "Monday",
        Weekday::Tue => "Tuesday",
        Weekday::Wed => "Wednesday",
        Weekday::Thu => "Thursday",
        Weekday::Fri => "Friday",
        Weekday::Sat => "Saturday",
        Weekday::Sun => "Sunday",
    }
}

/// Whether a date has the weekday that somebody thinks it has.
///
/// # Errors
/// It has another one.
pub fn check_weekday(date: NaiveDate, given: Weekday) -> Result<(), WrongWeekday> {
    match date.weekday() == given {
        true => Ok(()),
        false => Err(WrongWeekday { date, given }),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::date, *};

    #[test]
    fn a_wrong_weekday_is_told_with_both_facts() {
        let friday = date("2026-11-27");
        assert_eq!(check_weekday(friday, Weekday::Fri), Ok(()));
        let wrong = check_weekday(friday, Weekday::Mon).expect_err("it is no Monday");
        assert_eq!(
            wrong.to_string(),
            "2026-11-27 is a Friday, not a Monday. The nearest Monday is Mon, 30 Nov 2026."
        );
        for day in 0..7 {
            let given = Weekday::try_from(day).expect("a weekday");
            let wrong = WrongWeekday {
                date: friday,
                given,
            };
            assert_eq!(wrong.nearest().weekday(), given);
        }
    }

    #[test]
    fn weekdays_are_read_in_any_case() {
        for name in ["monday", "Monday", "MON"] {
            assert_eq!(read_weekday(name), Some(Weekday::Mon), "{name}");
        }
        for name in ["", "montag", "0", "mondays"] {
            assert_eq!(read_weekday(name), None, "{name}");
        }
    }
}
