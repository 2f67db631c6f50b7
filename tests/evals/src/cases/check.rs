//! What is wrong with a case before it is played.

use std::collections::HashSet;

use anyhow::{Result, ensure};
use chrono::Utc;

use super::{After, Case, End};
use crate::clock::Clock;

/// What no file's form can hold: names that exist, dates that are some.
pub(super) fn check(case: &Case) -> Result<()> {
    let clock = Clock::of(&case.clock, Utc::now())?;
    ensure!(!case.turn.is_empty(), "nothing is said");
    ensure!(
        case.turn.last().is_some_and(|turn| turn.after.is_some()),
        "the last turn has no `after`"
    );
    let mut keys = HashSet::new();
    for task in &case.start {
        ensure!(
            keys.insert(task.key()),
            "two tasks are called {:?}: give one a `key`",
            task.key()
        );
        task.due.as_deref().map(|due| clock.date(due)).transpose()?;
        clock.fill(&task.title)?;
        task.description
            .as_deref()
            .map(|text| clock.fill(text))
            .transpose()?;
    }
    for turn in &case.turn {
        clock.fill(&turn.say)?;
        if let Some(After::Ends(ends)) = &turn.after {
            ensure!(!ends.is_empty(), "no end is allowed");
            for end in ends {
                check_end(end, &keys, &clock)?;
            }
        }
        for call in &turn.solution {
            ensure!(
                call.len() == 1,
                "a call of a solution is one tool with its arguments"
            );
        }
    }
    Ok(())
}

fn check_end(end: &End, keys: &HashSet<&str>, clock: &Clock) -> Result<()> {
    let listed = [&end.done, &end.open, &end.deleted, &end.restored];
    let listed = listed.into_iter().flatten().map(String::as_str);
    let changed = end.change.iter().flat_map(|change| change.task.iter());
    let once = end.once.iter().map(|once| once.task.as_str());
    for key in listed.chain(changed).chain(once) {
        ensure!(keys.contains(key), "no task is called {key:?}");
    }
    let added = end.add.iter().map(|added| &added.due);
    let changed = end.change.iter().filter_map(|change| change.due.as_ref());
    for pattern in added
        .chain(changed)
        .chain(end.once.iter().map(|once| &once.due))
    {
        clock.allows(pattern, None)?;
    }
    Ok(())
}
