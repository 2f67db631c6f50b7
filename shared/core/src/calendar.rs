//! The calendar: what day it is for a user, how a date is told, and how a task comes again. No I/O, no clock of its own.
//!
//! A due date is a day of the user's own and a due time is what the user's clock shows; neither has a zone, so neither moves when the
//! zone does. The zone says one thing only: which day and which minute it is now. So a clock that is put forward or back moves no task:
//! what is due at 02:30 of a night that has no 02:30 is due on that day, and overdue as soon as the clock shows more.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
pub use chrono_tz::Tz;

mod due;
mod moment;
mod repeat;
mod rule;
mod weekday;

pub use due::{Due, MAX_DATE, MIN_DATE, date_in_words};
pub use moment::Moment;
pub use repeat::{Repeat, RepeatFrom};
pub use rule::{Rule, RuleError, VALID_RULES};
pub use weekday::{WrongWeekday, check_weekday, read_weekday, weekday_name};

/// Characters of the name of a zone.
pub const MAX_ZONE: usize = 64;

/// The zone of this IANA name, such as `Europe/Berlin`. Upper and lower case matter.
#[must_use]
pub fn zone(name: &str) -> Option<Tz> {
    if name.len() > MAX_ZONE {
        return None;
    }
    name.parse().ok()
}

/// The zone of a stored name; UTC if there is none, or none that this version knows.
#[must_use]
pub fn zone_or_utc(name: Option<&str>) -> Tz {
    name.and_then(zone).unwrap_or(Tz::UTC)
}

/// A moment as a user's calendar and clock show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    zone: Tz,
    local: NaiveDateTime,
}

impl Now {
    /// This moment in this zone.
    #[must_use]
    pub fn at(moment: DateTime<Utc>, zone: Tz) -> Self {
        Self {
            zone,
            local: moment.with_timezone(&zone).naive_local(),
        }
    }

    /// The user's zone.
    #[must_use]
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    /// The user's date.
    #[must_use]
    pub fn today(&self) -> NaiveDate {
        self.local.date()
    }

    /// The time that the user's clock shows, to the minute.
    #[must_use]
    pub fn time(&self) -> NaiveTime {
        let time = self.local.time();
        time.with_second(0)
            .and_then(|time| time.with_nanosecond(0))
            .unwrap_or(time)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::TimeZone;

    use super::*;

    pub(crate) fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    /// A moment that the clock in this zone shows, as "2026-11-27 18:00".
    pub(crate) fn now(text: &str, name: &str) -> Now {
        let zone = zone(name).expect("a zone");
        let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a time");
        let moment = zone.from_local_datetime(&local).earliest();
        Now::at(moment.expect("there is this time").to_utc(), zone)
    }

    #[test]
    fn the_day_is_that_of_the_zone() {
        let evening = now("2026-11-26 18:00", "America/Los_Angeles");
        let moment: DateTime<Utc> = "2026-11-27T02:00:00Z".parse().expect("a moment");
        assert_eq!(
            evening,
            Now::at(moment, zone("America/Los_Angeles").expect("a zone"))
        );
        assert_eq!(evening.today(), date("2026-11-26"));
        let elsewhere = Now::at(moment, zone("Europe/Berlin").expect("a zone"));
        assert_eq!(elsewhere.today(), date("2026-11-27"));
        assert_eq!(elsewhere.time().to_string(), "03:00:00");
    }

    #[test]
    fn a_zone_has_an_iana_name() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "Asia/Kathmandu",
            "America/Argentina/Ushuaia",
            "Asia/Calcutta",
        ] {
            assert!(zone(name).is_some(), "{name}");
        }
        for name in ["", "Mars/Olympus", "+02:00", "CET/Berlin"] {
            assert_eq!(zone(name), None, "{name}");
        }
        assert_eq!(zone(&"x".repeat(100_000)), None);
    }
}
