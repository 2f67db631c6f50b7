//! How a task comes again: its rule, which date the next one follows, and which date of the rule the task stands for.
//!
//! `due` keeps the schedule: the next date is the rule's first after the one that was due and after today, so whoever is late gets one
//! task and not one for each date that was missed. `completion` begins the rule anew on the day on which the task is done. COUNT counts
//! dates of the schedule, those that were missed included.

use chrono::NaiveDate;

use super::{Rule, RuleError};

/// Which date the next one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RepeatFrom {
    /// The one on which the task was due.
    #[default]
    Due,
    /// The one on which it was done.
    Completion,
}

impl RepeatFrom {
    /// Its name, in the tools and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Completion => "completion",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Due, Self::Completion]
            .into_iter()
            .find(|from| from.name() == name)
    }
}

/// How a task comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// By which rule.
    pub rule: Rule,
    /// After which date.
    pub from: RepeatFrom,
    /// The date that the task has by the rule. It may be due on another: a task can be moved, and its schedule stays.
    pub start: NaiveDate,
}

impl Repeat {
    /// As it begins, with a task that is due on this date, or on the rule's first from today on.
    ///
    /// # Errors
    /// The rule has no date from there on.
    pub fn begin(
        rule: Rule,
        from: RepeatFrom,
        due: Option<NaiveDate>,
        today: NaiveDate,
    ) -> Result<Self, RuleError> {
        let first = rule.first(due.unwrap_or(today))?;
        Ok(Self {
            rule,
            from,
            start: due.unwrap_or(first),
        })
    }

    /// After its task was moved to another date. Where that is a date of the rule, the task stands for that one from then on.
    #[must_use]
    pub fn moved(&self, to: NaiveDate) -> Self {
        let moved = if to > self.start {
            let passed = self.rule.steps(self.start, to);
            passed.and_then(|dates| self.rule.counting(-i64::from(dates)))
        } else if to < self.start && self.rule.first(to) == Ok(to) {
            let again = self.rule.steps(to, self.start);
            again.and_then(|dates| self.rule.counting(i64::from(dates)))
        } else {
            None
        };
        match moved {
            Some(rule) => Self {
                rule,
                from: self.from,
                start: to,
            },
            None => self.clone(),
        }
    }

    /// As it is after a task due on this date was done today: its start is the next date. None if that was the last one.
    #[must_use]
    pub fn next(&self, due: NaiveDate, today: NaiveDate) -> Option<Self> {
        let (start, rule) = match self.from {
            RepeatFrom::Due => self.rule.next(self.start, self.start.max(due).max(today))?,
            RepeatFrom::Completion => self.rule.next(today, today)?,
        };
        Some(Self {
            rule,
            from: self.from,
            start,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::date, *};

    fn repeat(rule: &str, from: RepeatFrom, due: &str) -> Repeat {
        let rule = rule.parse().expect("a rule");
        Repeat::begin(rule, from, Some(date(due)), date(due)).expect("a date")
    }

    /// The date behind this one, if the task was due then and done today.
    fn next(repeat: &Repeat, due: &str, today: &str) -> Option<String> {
        let next = repeat.next(date(due), date(today));
        next.map(|next| next.start.to_string())
    }

    #[track_caller]
    fn assert_next(rule: &str, due: &str, today: &str, expected: &str) {
        let found = next(&repeat(rule, RepeatFrom::Due, due), due, today);
        assert_eq!(found.as_deref(), Some(expected), "{rule}");
    }

    #[test]
    fn the_schedule_stays_whenever_a_task_is_done() {
        // In time, early, late, and late on a day of the schedule.
        let mondays = "FREQ=WEEKLY;BYDAY=MO";
        assert_next(mondays, "2026-11-30", "2026-11-30", "2026-12-07");
        assert_next(mondays, "2026-11-30", "2026-11-27", "2026-12-07");
        assert_next(mondays, "2026-11-30", "2026-12-17", "2026-12-21");
        assert_next(mondays, "2026-11-30", "2026-12-07", "2026-12-14");
        assert_next("FREQ=DAILY", "2026-11-25", "2026-11-27", "2026-11-28");
        assert_next("FREQ=MONTHLY", "2026-12-31", "2026-12-31", "2027-01-31");
        assert_next("FREQ=MONTHLY", "2027-01-31", "2027-02-01", "2027-03-31");
        assert_next("FREQ=YEARLY", "2028-02-29", "2028-02-29", "2032-02-29");
    }

    #[test]
    fn a_task_that_was_moved_keeps_its_schedule() {
        for rule in ["FREQ=WEEKLY;BYDAY=MO", "FREQ=WEEKLY"] {
            let mondays = repeat(rule, RepeatFrom::Due, "2026-11-30");
            let tuesday = mondays.moved(date("2026-12-01"));
            assert_eq!(
                next(&tuesday, "2026-12-01", "2026-12-01").as_deref(),
                Some("2026-12-07"),
                "{rule}"
            );
            // To the Saturday before: the Monday that was meant is not there once more.
            let saturday = mondays.moved(date("2026-11-28"));
            assert_eq!(
                next(&saturday, "2026-11-28", "2026-11-28").as_deref(),
                Some("2026-12-07"),
                "{rule}"
            );
            // Into the week after next.
            let later = mondays.moved(date("2026-12-09"));
            assert_eq!(
                next(&later, "2026-12-09", "2026-12-01").as_deref(),
                Some("2026-12-14"),
                "{rule}"
            );
        }
        // Every second week stays every second week.
        let second = repeat("FREQ=WEEKLY;INTERVAL=2", RepeatFrom::Due, "2026-11-30");
        let off = second.moved(date("2026-12-08"));
        assert_eq!(
            next(&off, "2026-12-08", "2026-12-08").as_deref(),
            Some("2026-12-14")
        );
    }

    #[test]
    fn a_task_moved_to_a_date_of_its_rule_stands_for_that_one() {
        // Done, and taken back: the date is again what it was, and so is what follows.
        let mondays = repeat(
            "FREQ=WEEKLY;BYDAY=MO;COUNT=3",
            RepeatFrom::Due,
            "2026-11-30",
        );
        let second = mondays
            .next(date("2026-11-30"), date("2026-11-30"))
            .expect("a second");
        assert_eq!(second.rule.to_string(), "FREQ=WEEKLY;BYDAY=MO;COUNT=2");
        assert_eq!(second.moved(date("2026-11-30")), mondays);
        assert_eq!(mondays.moved(date("2026-12-07")), second);
        let daily = repeat("FREQ=DAILY", RepeatFrom::Due, "2026-11-28");
        let today = daily.moved(date("2026-11-27"));
        assert_eq!(
            next(&today, "2026-11-27", "2026-11-27").as_deref(),
            Some("2026-11-28")
        );
    }

    #[test]
    fn from_completion_the_rule_begins_anew() {
        let plants = repeat(
            "FREQ=DAILY;INTERVAL=10",
            RepeatFrom::Completion,
            "2026-11-20",
        );
        assert_eq!(
            next(&plants, "2026-11-20", "2026-11-27").as_deref(),
            Some("2026-12-07")
        );
        assert_eq!(
            next(&plants, "2026-11-20", "2026-11-18").as_deref(),
            Some("2026-11-28")
        );
        let monthly = repeat("FREQ=MONTHLY;COUNT=2", RepeatFrom::Completion, "2026-11-20");
        let second = monthly
            .next(date("2026-11-20"), date("2027-01-05"))
            .expect("a second");
        assert_eq!(
            (second.start, second.rule.to_string().as_str()),
            (date("2027-02-05"), "FREQ=MONTHLY;COUNT=1")
        );
        assert_eq!(second.next(second.start, second.start), None);
    }

    #[test]
    fn a_rule_ends() {
        let three = repeat("FREQ=DAILY;COUNT=3", RepeatFrom::Due, "2026-11-27");
        let second = three
            .next(date("2026-11-27"), date("2026-11-27"))
            .expect("a second");
        assert_eq!(second.rule.to_string(), "FREQ=DAILY;COUNT=2");
        let third = second.next(second.start, second.start).expect("a third");
        assert_eq!(third.next(third.start, third.start), None);
        // What was missed counts, too.
        assert_eq!(
            next(&three, "2026-11-27", "2026-11-28").as_deref(),
            Some("2026-11-29")
        );
        assert_eq!(next(&three, "2026-11-27", "2026-11-29"), None);
        let until = repeat("FREQ=WEEKLY;UNTIL=20261211", RepeatFrom::Due, "2026-12-04");
        assert_eq!(
            next(&until, "2026-12-04", "2026-12-04").as_deref(),
            Some("2026-12-11")
        );
        assert_eq!(next(&until, "2026-12-11", "2026-12-11"), None);
    }

    #[test]
    fn without_a_date_the_first_is_the_rules_from_today_on() {
        let begin = |rule: &str, due: Option<&str>| {
            let rule = rule.parse().expect("a rule");
            Repeat::begin(rule, RepeatFrom::Due, due.map(date), date("2026-11-27"))
                .map(|repeat| repeat.start)
        };
        assert_eq!(begin("FREQ=WEEKLY;BYDAY=MO", None), Ok(date("2026-11-30")));
        assert_eq!(begin("FREQ=DAILY", None), Ok(date("2026-11-27")));
        assert_eq!(
            begin("FREQ=WEEKLY;BYDAY=MO", Some("2026-12-01")),
            Ok(date("2026-12-01"))
        );
        assert!(begin("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", None).is_err());
        assert!(begin("FREQ=DAILY;UNTIL=20261201", Some("2026-12-02")).is_err());
    }
}
