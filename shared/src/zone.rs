//! Time zones by their names, as clients give them and the store keeps them.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

/// The zone of this name in IANA's data base, such as `Europe/Berlin`; none if there is no such zone. Upper and lower case matter.
#[must_use]
pub fn named(name: &str) -> Option<Tz> {
    name.parse().ok()
}

/// The zone of a stored name; UTC if there is none, or none that this version knows.
#[must_use]
pub fn or_utc(name: Option<&str>) -> Tz {
    name.and_then(named).unwrap_or(Tz::UTC)
}

/// A point in time, and where it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub at: DateTime<Utc>,
    /// By whose clock.
    pub zone: Tz,
}

impl Moment {
    /// From columns.
    #[must_use]
    pub fn new(at: DateTime<Utc>, zone: Option<&str>) -> Self {
        let zone = or_utc(zone);
        Self { at, zone }
    }

    /// Weekday, date, time to the minute and zone: `Thursday, 2026-11-26 18:03, America/Los_Angeles`.
    #[must_use]
    pub fn in_words(self) -> String {
        let local = self.at.with_timezone(&self.zone);
        format!(
            "{}, {}",
            local.format("%A, %Y-%m-%d %H:%M"),
            self.zone.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_by_the_clock_of_its_zone() {
        let at: DateTime<Utc> = "2026-11-27T02:03:59Z".parse().expect("a time");
        let told = |zone| Moment::new(at, zone).in_words();
        assert_eq!(
            told(Some("America/Los_Angeles")),
            "Thursday, 2026-11-26 18:03, America/Los_Angeles"
        );
        assert_eq!(
            told(Some("Asia/Kolkata")),
            "Friday, 2026-11-27 07:33, Asia/Kolkata"
        );
        assert_eq!(told(None), "Friday, 2026-11-27 02:03, UTC");
        assert_eq!(told(Some("Mars/Olympus")), told(None));
    }

    #[test]
    fn names_are_those_of_iana() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "America/Argentina/Buenos_Aires",
            "Asia/Calcutta",
        ] {
            assert_eq!(named(name).map(Tz::name), Some(name));
        }
        for name in ["", "europe/berlin", "+02:00", "Europe/Berlin ", "Berlin"] {
            assert_eq!(named(name), None, "{name}");
        }
    }
}
