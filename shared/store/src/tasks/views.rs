//! Views of a list: which tasks, and in which order. Each is a range of an index.

use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveTime, Utc};
use errand_core::calendar::{MAX_DATE, MIN_DATE, Now};
use uuid::Uuid;

use super::Priority;

/// Days that are upcoming, today not among them.
const UPCOMING: i64 = 7;

/// Where the index has tasks without a date.
const UNDATED: NaiveDate = match MAX_DATE.succ_opt() {
    Some(date) => date,
    None => MAX_DATE,
};
/// Where it has those without a time, on their day.
const END_OF_DAY: NaiveTime = match NaiveTime::from_hms_opt(23, 59, 59) {
    Some(time) => time,
    None => NaiveTime::MIN,
};

/// Which tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// All open ones.
    #[default]
    Open,
    /// Due today, or overdue.
    Today,
    /// Overdue.
    Overdue,
    /// Due in the next seven days, from tomorrow on.
    Upcoming,
    /// Open ones without a date.
    Undated,
    /// Done ones, the last done first.
    Completed,
    /// Deleted ones, the last deleted first.
    Deleted,
    /// All but the deleted ones, in the order they were added.
    All,
}

impl View {
    /// Those that a client may ask for, with their names.
    pub const NAMED: [(&'static str, Self); 6] = [
        ("today", Self::Today),
        ("overdue", Self::Overdue),
        ("upcoming", Self::Upcoming),
        ("undated", Self::Undated),
        ("completed", Self::Completed),
        ("deleted", Self::Deleted),
    ];

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::NAMED.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, view)| view)
    }
}

/// Which tasks to list.
#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// Of which view.
    pub view: View,
    /// Only done ones, or only open ones. For views that have both.
    pub completed: Option<bool>,
    /// Only those with this text in title or description, in any case; at most [`super::MAX_SEARCH`] characters.
    pub search: Option<&'a str>,
    /// Only those due on this date or later.
    pub due_from: Option<NaiveDate>,
    /// Only those due on this date or earlier.
    pub due_to: Option<NaiveDate>,
    /// Only those that have all of these tags, in any case.
    pub tags: Vec<String>,
    /// Only those of this priority.
    pub priority: Option<Priority>,
}

/// Where a page begins: behind this task, in the order of its view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cursor {
    /// In the order of due dates.
    Due(NaiveDate, NaiveTime, Priority, Uuid),
    /// In the order of moments, the last first.
    At(DateTime<Utc>, Uuid),
    /// In the order in which tasks were added.
    Id(Uuid),
}

impl Cursor {
    pub(super) fn due(
        date: Option<NaiveDate>,
        time: Option<NaiveTime>,
        priority: Priority,
        id: Uuid,
    ) -> Self {
        let (date, time) = (date.unwrap_or(UNDATED), time.unwrap_or(END_OF_DAY));
        Self::Due(date, time, priority, id)
    }

    /// The cursor that a page of this view has given out as this text.
    #[must_use]
    pub fn parse(view: View, text: &str) -> Option<Self> {
        match view {
            View::All => text.parse().ok().map(Self::Id),
            View::Completed | View::Deleted => {
                let (micros, id) = text.split_once('_')?;
                let at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
                // Far from it there are times that this type has and the database has not.
                let was_ours = (1970..10_000).contains(&at.year());
                was_ours.then_some(Self::At(at, id.parse().ok()?))
            }
            View::Open | View::Today | View::Overdue | View::Upcoming | View::Undated => {
                let mut parts = text.split('_');
                let mut next = || parts.next();
                let date = match next()? {
                    "none" => UNDATED,
                    date => date.parse().ok()?,
                };
                let time = match next()? {
                    "none" => END_OF_DAY,
                    time => NaiveTime::parse_from_str(time, "%H%M").ok()?,
                };
                let priority = Priority::named(next()?)?;
                let id = next()?.parse().ok()?;
                let was_ours = parts.next().is_none() && (MIN_DATE..=UNDATED).contains(&date);
                was_ours.then_some(Self::Due(date, time, priority, id))
            }
        }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Due(date, time, priority, id) => {
                match *date {
                    UNDATED => f.write_str("none")?,
                    date => write!(f, "{date}")?,
                }
                match *time {
                    END_OF_DAY => f.write_str("_none")?,
                    time => write!(f, "_{}", time.format("%H%M"))?,
                }
                write!(f, "_{}_{id}", priority.name())
            }
            Self::At(at, id) => write!(f, "{}_{id}", at.timestamp_micros()),
            Self::Id(id) => id.fmt(f),
        }
    }
}

/// The due dates of a view of open tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: NaiveDate,
    /// The last date, and the last time of it.
    pub(super) to: (NaiveDate, NaiveTime),
}

impl Span {
    pub(super) fn of(filter: &Filter<'_>, now: &Now) -> Self {
        let today = now.today();
        let days = |days| today + Duration::days(days);
        let (from, to) = match filter.view {
            View::Today => (MIN_DATE, (today, END_OF_DAY)),
            View::Overdue => (MIN_DATE, before(now)),
            View::Upcoming => (days(1), (days(UPCOMING), END_OF_DAY)),
            View::Undated => (UNDATED, (UNDATED, END_OF_DAY)),
            View::Open | View::Completed | View::Deleted | View::All => {
                (MIN_DATE, (UNDATED, END_OF_DAY))
            }
        };
        let from = filter.due_from.map_or(from, |least| from.max(least));
        let to = match (filter.due_from, filter.due_to) {
            (None, None) => to,
            // What has no date is between no two.
            (_, most) => to.min((most.unwrap_or(MAX_DATE), END_OF_DAY)),
        };
        Self { from, to }
    }

    /// Where a page begins: behind a task, or before all.
    pub(super) fn behind(&self, after: Option<Cursor>) -> (NaiveDate, NaiveTime, Priority, Uuid) {
        match after {
            Some(Cursor::Due(date, time, priority, id)) => (date, time, priority, id),
            _ => (self.from, NaiveTime::MIN, Priority::P1, Uuid::nil()),
        }
    }
}

/// The last minute that is over.
fn before(now: &Now) -> (NaiveDate, NaiveTime) {
    match now.time().overflowing_sub_signed(Duration::minutes(1)) {
        (time, 0) => (now.today(), time),
        _ => (now.today() - Duration::days(1), END_OF_DAY),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDateTime, TimeZone};
    use errand_core::calendar::{self, Due};

    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    /// A moment that the clock in this zone shows, as "2026-11-27 18:00".
    fn at(text: &str, zone: &str) -> Now {
        let zone = calendar::zone(zone).expect("a zone");
        let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a time");
        let moment = zone.from_local_datetime(&local).earliest();
        Now::at(moment.expect("there is this time").to_utc(), zone)
    }

    fn has(view: View, now: &Now, due: Option<(&str, &str)>) -> bool {
        let filter = Filter {
            view,
            ..Filter::default()
        };
        let span = Span::of(&filter, now);
        let (on, at) = match due {
            Some((on, at)) => (date(on), at.parse().unwrap_or(END_OF_DAY)),
            None => (UNDATED, END_OF_DAY),
        };
        on >= span.from && (on, at) <= span.to
    }

    #[test]
    fn a_view_has_what_its_name_says() {
        let now = at("2026-11-26 18:00", "America/Los_Angeles");
        for (due, views) in [
            (Some(("2026-11-25", "")), "today overdue"),
            (Some(("2026-11-25", "23:00:00")), "today overdue"),
            (Some(("2026-11-26", "17:59:00")), "today overdue"),
            (Some(("2026-11-26", "18:00:00")), "today"),
            (Some(("2026-11-26", "")), "today"),
            (Some(("2026-11-27", "")), "upcoming"),
            (Some(("2026-12-03", "23:00:00")), "upcoming"),
            (Some(("2026-12-04", "")), ""),
            (None, "undated"),
        ] {
            let found: Vec<&str> = View::NAMED[..4]
                .iter()
                .filter(|(_, view)| has(*view, &now, due))
                .map(|(name, _)| *name)
                .collect();
            assert_eq!(found.join(" "), views, "{due:?}");
            if let Some((on, at)) = due {
                let due = Due {
                    date: date(on),
                    time: at.parse().ok(),
                };
                assert_eq!(due.is_over(&now), views.contains("overdue"));
            }
            assert!(has(View::Open, &now, due));
        }
        let midnight = at("2026-11-26 00:00", "UTC");
        assert!(!has(
            View::Overdue,
            &midnight,
            Some(("2026-11-26", "00:00:00"))
        ));
        assert!(has(View::Overdue, &midnight, Some(("2026-11-25", ""))));
    }

    #[test]
    fn a_cursor_is_read_by_the_view_that_gave_it_out() {
        let id = Uuid::now_v7();
        let at = DateTime::from_timestamp_micros(1_700_000_000_000_001).expect("a time");
        let time = NaiveTime::from_hms_opt(17, 5, 0).expect("a time");
        for (view, cursor) in [
            (
                View::Today,
                Cursor::Due(date("2026-11-26"), time, Priority::P2, id),
            ),
            (
                View::Open,
                Cursor::Due(UNDATED, END_OF_DAY, Priority::P4, id),
            ),
            (View::Completed, Cursor::At(at, id)),
            (View::All, Cursor::Id(id)),
        ] {
            let text = cursor.to_string();
            assert_eq!(Cursor::parse(view, &text), Some(cursor), "{text}");
            for other in [View::Open, View::Deleted, View::All] {
                let read = Cursor::parse(other, &text);
                assert!(read.is_none() || read == Some(cursor), "{text}");
            }
        }
        for text in [
            "",
            "_",
            "none",
            "none_none_p4",
            "0001-01-01_none_p1_0",
            "9_9",
            "none_2500_p1_",
        ] {
            let text = text.replace('0', &id.to_string());
            for view in [View::Open, View::Deleted, View::All] {
                assert_eq!(Cursor::parse(view, &text), None, "{text}");
            }
        }
    }
}
