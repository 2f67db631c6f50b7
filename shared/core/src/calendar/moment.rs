//! A moment as the model is told of it.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::zone_or_utc;

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
        let zone = zone_or_utc(zone);
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
}
