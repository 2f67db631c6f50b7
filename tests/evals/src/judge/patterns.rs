//! Single fields against their patterns, and which new task is which.

use anyhow::Result;
use chrono::{NaiveDate, NaiveTime};
use errand_core::calendar::{Repeat, RepeatFrom};

use crate::{
    state::{Task, read_time},
    text,
};

/// Dates of a rule that are compared: more than a case's COUNT.
const DATES: usize = 24;

/// The days on which it comes again, if it is always done in time.
pub(super) fn days(repeat: &Repeat) -> Vec<NaiveDate> {
    // Both kinds go by the schedule then.
    let first = Repeat {
        from: RepeatFrom::Due,
        ..repeat.clone()
    };
    let series = std::iter::successors(Some(first), |repeat| {
        repeat.next(repeat.start, repeat.start)
    });
    series.map(|repeat| repeat.start).take(DATES).collect()
}

/// For each task the place of the pattern that it was given, so that as many as possible have one.
pub(super) fn matched(fits: &[Vec<bool>], tasks: usize) -> Vec<Option<usize>> {
    fn place(
        pattern: usize,
        fits: &[Vec<bool>],
        by: &mut [Option<usize>],
        seen: &mut [bool],
    ) -> bool {
        for task in 0..by.len() {
            if fits[pattern][task] && !seen[task] {
                seen[task] = true;
                if by[task].is_none_or(|other| place(other, fits, by, seen)) {
                    by[task] = Some(pattern);
                    return true;
                }
            }
        }
        false
    }
    let mut by = vec![None; tasks];
    for pattern in 0..fits.len() {
        place(pattern, fits, &mut by, &mut vec![false; tasks]);
    }
    by
}

/// Whether a time is what a pattern allows: `none`, `any`, `17:00`, `06:00..12:00`, or several of these with `|` between them.
pub(super) fn allows_time(pattern: &str, time: Option<NaiveTime>) -> Result<bool> {
    let mut allowed = false;
    for one in pattern.split('|').map(str::trim) {
        allowed |= match (one, time) {
            ("any", _) => true,
            ("none", time) => time.is_none(),
            (one, time) => {
                let (from, to) = one.split_once("..").unwrap_or((one, one));
                let (from, to) = (read_time(from)?, read_time(to)?);
                time.is_some_and(|time| (from..=to).contains(&time))
            }
        };
    }
    Ok(allowed)
}

pub(super) fn are_tags(task: &Task, tags: &[String]) -> bool {
    task.tags == tags.iter().map(|tag| tag.to_lowercase()).collect()
}

pub(super) fn is_described(task: &Task, pattern: &str) -> bool {
    match pattern {
        "any" => true,
        "none" => task.description.is_none(),
        pattern => task
            .description
            .as_deref()
            .is_some_and(|text| text::has(text, pattern)),
    }
}
