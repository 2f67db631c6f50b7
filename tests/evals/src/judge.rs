//! Whether the tasks are as they should be. Of what was said, nothing is known here.

use anyhow::Result;
use errand_core::calendar::{Repeat, RepeatFrom, Rule};
use uuid::Uuid;

use crate::{
    cases::{Added, After, Change, End, Turn},
    clock::Clock,
    state::{Beginning, Task},
    text,
};

mod patterns;

use patterns::{allows_time, are_tags, days, is_described, matched};

/// Complaints about one state that are told.
const MAX_TOLD: usize = 6;

/// What is wrong with the tasks, if none of the allowed states is theirs: of the nearest one.
pub(crate) fn complaints(
    after: &After,
    beginning: &Beginning,
    now: &[Task],
    clock: &Clock,
) -> Result<Vec<String>> {
    let unchanged = [End::default()];
    let ends = match after {
        After::Word(_) => &unchanged[..],
        After::Ends(ends) => ends,
    };
    let mut nearest: Option<Vec<String>> = None;
    for end in ends {
        let judge = Judge {
            end,
            beginning,
            clock,
        };
        let found = judge.complaints(now)?;
        if nearest
            .as_ref()
            .is_none_or(|nearest| found.len() < nearest.len())
        {
            nearest = Some(found);
        }
    }
    let mut nearest = nearest.unwrap_or_default();
    if nearest.len() > MAX_TOLD {
        let more = nearest.len() - MAX_TOLD;
        nearest.truncate(MAX_TOLD);
        nearest.push(format!("and {more} more"));
    }
    Ok(nearest)
}

/// The calls that may not succeed and did. `calls` are those that succeeded: the tool, the task, the title.
pub(crate) fn forbidden(
    turn: &Turn,
    beginning: &Beginning,
    calls: &[(String, Option<Uuid>, String)],
) -> Vec<String> {
    let is_it = |never: &str, (tool, task, title): &(String, Option<Uuid>, String)| {
        let (name, rest) = never.split_once(' ').unwrap_or((never, ""));
        let rest = rest.trim_start_matches('$');
        let names_task = || {
            beginning
                .named(rest)
                .is_some_and(|named| Some(named.id) == *task)
        };
        name == tool
            && (rest.is_empty() || names_task() || !title.is_empty() && text::has(title, rest))
    };
    let found = turn
        .never
        .iter()
        .filter(|never| calls.iter().any(|call| is_it(never, call)));
    found.map(|never| format!("forbidden: {never}")).collect()
}

struct Judge<'a> {
    end: &'a End,
    beginning: &'a Beginning,
    clock: &'a Clock,
}

impl Judge<'_> {
    fn complaints(&self, now: &[Task]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for (key, was) in &self.beginning.tasks {
            match now.iter().find(|task| task.id == was.id) {
                Some(is) => found.extend(self.task(key.as_deref(), was, is)?),
                None => found.push(format!("{:?} is gone", was.title)),
            }
        }
        // What was added and deleted again has left nothing on the list.
        let is_new = |task: &&Task| {
            self.beginning
                .tasks
                .iter()
                .all(|(_, was)| was.id != task.id)
        };
        let new: Vec<&Task> = now
            .iter()
            .filter(is_new)
            .filter(|task| !task.deleted)
            .collect();
        found.extend(self.added(&new)?);
        Ok(found)
    }

    /// A task that was there, against what it should be now.
    fn task(&self, key: Option<&str>, was: &Task, is: &Task) -> Result<Vec<String>> {
        let End {
            change,
            done,
            open,
            deleted,
            restored,
            once,
            ..
        } = self.end;
        let named = |names: &[String]| key.is_some_and(|key| names.iter().any(|name| name == key));
        let changed = change
            .iter()
            .find(|change| key.is_some_and(|key| change.task.iter().any(|name| name == key)));
        let once = once.iter().find(|once| key == Some(&once.task));
        let mut wrong = Vec::new();
        let mut check = |what: &str, is_right: bool| {
            if !is_right {
                wrong.push(format!("{:?}: {what}", was.title));
            }
        };
        let should_be_done = (was.done || named(done)) && !named(open);
        check(
            if is.done { "is done" } else { "is not done" },
            is.done == should_be_done,
        );
        let should_be_deleted = (was.deleted || named(deleted)) && !named(restored);
        check(
            if is.deleted {
                "is deleted"
            } else {
                "is not deleted"
            },
            is.deleted == should_be_deleted,
        );
        let pattern = |of: fn(&Change) -> Option<&String>| changed.and_then(of).map(String::as_str);
        let title = pattern(|change| change.title.as_ref());
        check(
            &format!("is called {:?}", is.title),
            title.map_or(is.title == was.title, |title| text::has(&is.title, title)),
        );
        let due = pattern(|change| change.due.as_ref()).or(once.map(|once| once.due.as_str()));
        let is_due = match due {
            Some(pattern) => self.clock.allows(pattern, is.due)?,
            None => is.due == was.due,
        };
        check(&format!("is due {}", shown(is.due.as_ref())), is_due);
        let is_timely = match pattern(|change| change.time.as_ref()) {
            Some(pattern) => allows_time(pattern, is.time)?,
            None => is.time == was.time.filter(|_| is.due.is_some()),
        };
        check(
            &format!("has the time {}", shown(is.time.as_ref())),
            is_timely,
        );
        let priority = pattern(|change| change.priority.as_ref());
        check(
            &format!("is {}", is.priority),
            text::is(&is.priority, priority.unwrap_or(&was.priority)),
        );
        let tags = changed.and_then(|change| change.tags.as_deref());
        check(
            &format!("is tagged {:?}", is.tags),
            tags.map_or(is.tags == was.tags, |tags| are_tags(is, tags)),
        );
        let described = match pattern(|change| change.description.as_ref()) {
            Some(pattern) => is_described(is, pattern),
            None => is.description == was.description,
        };
        check(&format!("is described as {:?}", is.description), described);
        let repeat = match pattern(|change| change.repeat.as_ref()) {
            Some(pattern) => self.repeats(pattern, is)?,
            // What is moved or done goes on with its rule, whose COUNT may be less.
            None if once.is_some() || due.is_some() && is.due.is_some() => {
                is.repeat.is_some() == was.repeat.is_some()
            }
            None => is.repeat == was.repeat || is.due.is_none(),
        };
        check(
            &format!(
                "repeats {}",
                shown(is.repeat.as_ref().map(|repeat| &repeat.rule))
            ),
            repeat,
        );
        Ok(wrong)
    }

    /// The new tasks: each of those that are allowed is there once, and no other.
    fn added(&self, new: &[&Task]) -> Result<Vec<String>> {
        let mut wanted: Vec<(Added, String)> = Vec::new();
        let titles = self.end.titles.iter().map(|title| Added::titled(title));
        for added in self.end.add.iter().cloned().chain(titles) {
            let told = format!("no new task is {:?}, due {}", added.title, added.due);
            wanted.push((added, told));
        }
        for once in &self.end.once {
            let Some(was) = self.beginning.named(&once.task) else {
                continue;
            };
            let due = was
                .due
                .map_or("none".to_owned(), |due| self.clock.relative(due));
            let time = was
                .time
                .map_or("none".to_owned(), |time| time.format("%H:%M").to_string());
            let done = Added {
                due,
                time,
                done: true,
                ..Added::titled(&was.title)
            };
            wanted.push((done, format!("{:?} was not done once", was.title)));
        }
        let mut fits = Vec::new();
        for (added, _) in &wanted {
            let mut row = Vec::new();
            for task in new {
                row.push(self.is(task, added)?);
            }
            fits.push(row);
        }
        let matched = matched(&fits, new.len());
        let missing = wanted
            .iter()
            .enumerate()
            .filter(|(n, _)| !matched.contains(&Some(*n)));
        let mut wrong: Vec<String> = missing.map(|(_, (_, told))| told.clone()).collect();
        let odd = new.iter().zip(&matched).filter(|(_, by)| by.is_none());
        wrong.extend(odd.map(|(task, _)| {
            let (due, time) = (shown(task.due.as_ref()), shown(task.time.as_ref()));
            format!(
                "there is a new task {:?}, due {due}, time {time}, done: {}",
                task.title, task.done
            )
        }));
        Ok(wrong)
    }

    fn is(&self, task: &Task, added: &Added) -> Result<bool> {
        Ok(text::has(&task.title, &added.title)
            && task.done == added.done
            && self.clock.allows(&added.due, task.due)?
            && allows_time(&added.time, task.time)?
            && added
                .priority
                .as_deref()
                .is_none_or(|priority| text::is(&task.priority, priority))
            && added
                .tags
                .as_deref()
                .is_none_or(|tags| are_tags(task, tags))
            && added
                .description
                .as_deref()
                .is_none_or(|pattern| is_described(task, pattern))
            && self.repeats(&added.repeat, task)?)
    }

    /// Whether a task comes again on the days that a pattern says: `none`, `any`, or rules with `|` between them, each counted from the due
    /// date unless ` from completion` is behind it. Rules are compared by the days that they yield, however they are written.
    fn repeats(&self, pattern: &str, task: &Task) -> Result<bool> {
        let mut fits = false;
        for one in pattern.split('|').map(str::trim) {
            fits |= match (one, &task.repeat) {
                ("any", _) => true,
                ("none", is) => is.is_none(),
                (_, None) => false,
                (one, Some(is)) => {
                    let (rule, from) = match one.strip_suffix(" from completion") {
                        Some(rule) => (rule, RepeatFrom::Completion),
                        None => (one, RepeatFrom::Due),
                    };
                    let rule: Rule = self.clock.fill(rule)?.parse()?;
                    let wanted = Repeat {
                        rule,
                        from,
                        start: is.start,
                    };
                    is.from == from && days(&wanted) == days(is)
                }
            };
        }
        Ok(fits)
    }
}

fn shown<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "never".to_owned(), T::to_string)
}
