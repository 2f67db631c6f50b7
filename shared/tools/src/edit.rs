//! What a call makes of a task: the arguments and the task as it is decide the task as it is to be. No I/O, so a preview and the call
//! itself come to the same.

use chrono::{NaiveDate, NaiveTime, Weekday};
use errand_core::calendar::{self, Due, Now, Repeat, RepeatFrom, Rule};
use errand_store::tasks::{Fields, Priority, Stored};
use serde_json::json;

use super::{
    calls::{AddTask, UpdateTask},
    check,
    contract::CLEARABLE,
    error::ToolError,
};

/// What the arguments ask for, checked as far as they can be without the task.
#[derive(Debug, Default)]
struct Requested {
    title: Option<String>,
    /// An empty one removes it.
    description: Option<String>,
    date: Option<NaiveDate>,
    time: Option<NaiveTime>,
    weekday: Option<Weekday>,
    priority: Option<Priority>,
    tags: Option<Vec<String>>,
    rule: Option<Rule>,
    from: Option<RepeatFrom>,
    clear: Vec<&'static str>,
}

/// The task that is added.
pub(super) fn begin(call: &AddTask, now: &Now) -> Result<Fields, ToolError> {
    let title = check::title(&call.title)?.to_owned();
    let named = |error: ToolError| error.with_detail("title", json!(check::cut(&title, 100)));
    // Some models send an empty text for what they leave out; there is nothing that it could remove.
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let requested = Requested {
        title: Some(title.clone()),
        ..Requested::read(
            Texts {
                description: call.description.clone(),
                due_date: given(call.due_date.clone()),
                due_time: given(call.due_time.clone()),
                weekday: given(call.weekday.clone()),
                priority: given(call.priority.clone()),
                repeat: given(call.repeat.clone()),
                repeat_from: given(call.repeat_from.clone()),
                tags: call.tags.clone(),
            },
            now,
        )
        .map_err(named)?
    };
    let nothing = Fields::default();
    requested.applied_to(&nothing, now).map_err(named)
}

/// The task as an update leaves it, but for its completion.
pub(super) fn change(call: &UpdateTask, task: &Stored, now: &Now) -> Result<Stored, ToolError> {
    let requested = Requested {
        title: call
            .title
            .as_deref()
            .map(check::title)
            .transpose()?
            .map(str::to_owned),
        clear: cleared(call)?,
        ..Requested::read(
            Texts {
                description: call.description.clone(),
                due_date: call.due_date.clone(),
                due_time: call.due_time.clone(),
                weekday: call.weekday.clone(),
                priority: call.priority.clone(),
                repeat: call.repeat.clone(),
                repeat_from: call.repeat_from.clone(),
                tags: call.tags.clone(),
            },
            now,
        )?
    };
    if !requested.ask_for_anything() && call.completed.is_none() && call.restore != Some(true) {
        return Err(ToolError::invalid(
            "Nothing to change: give a field of the task, completed, clear or restore.",
        ));
    }
    Ok(Stored {
        fields: requested.applied_to(&task.fields, now)?,
        is_deleted: task.is_deleted && call.restore != Some(true),
        ..task.clone()
    })
}

/// What is left to do of a task that has been done.
#[derive(Debug, PartialEq)]
pub(super) enum Done {
    /// Nothing: it is done.
    All(Stored),
    /// It comes again: what was done is a task of its own, and the task is due another time.
    Once {
        finished: Fields,
        task: Stored,
        next: NaiveDate,
    },
}

/// The task after it was done.
pub(super) fn complete(task: Stored, now: &Now) -> Done {
    let next = match (&task.fields.repeat, task.fields.due) {
        (Some(repeat), Some(due)) if !task.completed => repeat.next(due.date, now.today()),
        _ => None,
    };
    let (Some(repeat), Some(due)) = (next, task.fields.due) else {
        return Done::All(Stored {
            completed: true,
            ..task
        });
    };
    let next = repeat.start;
    let finished = Fields {
        repeat: None,
        ..task.fields.clone()
    };
    let due = Due { date: next, ..due };
    Done::Once {
        finished,
        task: Stored {
            fields: Fields {
                due: Some(due),
                repeat: Some(repeat),
                ..task.fields
            },
            ..task
        },
        next,
    }
}

/// Arguments as they came.
struct Texts {
    description: Option<String>,
    due_date: Option<String>,
    due_time: Option<String>,
    weekday: Option<String>,
    priority: Option<String>,
    repeat: Option<String>,
    repeat_from: Option<String>,
    tags: Option<Vec<String>>,
}

impl Requested {
    fn read(texts: Texts, now: &Now) -> Result<Self, ToolError> {
        let description = texts.description.as_deref().map(check::description);
        let date = |text: &str| check::date("due_date", text, now);
        Ok(Self {
            description: description.transpose()?.map(str::to_owned),
            date: texts.due_date.as_deref().map(date).transpose()?,
            time: texts.due_time.as_deref().map(check::time).transpose()?,
            weekday: texts.weekday.as_deref().map(check::weekday).transpose()?,
            priority: texts.priority.as_deref().map(check::priority).transpose()?,
            tags: texts.tags.map(check::tags).transpose()?,
            rule: texts.repeat.as_deref().map(check::rule).transpose()?,
            from: texts
                .repeat_from
                .as_deref()
                .map(check::repeat_from)
                .transpose()?,
            ..Self::default()
        })
    }

    fn ask_for_anything(&self) -> bool {
        self.title.is_some()
            || self.description.is_some()
            || self.date.is_some()
            || self.time.is_some()
            || self.weekday.is_some()
            || self.priority.is_some()
            || self.tags.is_some()
            || self.rule.is_some()
            || self.from.is_some()
            || !self.clear.is_empty()
    }

    fn applied_to(self, old: &Fields, now: &Now) -> Result<Fields, ToolError> {
        let (due, repeat) = self.schedule(old, now)?;
        let clears = |name| self.clear.contains(&name);
        let description = match self.description {
            Some(text) => Some(text).filter(|text| !text.is_empty()),
            None if clears("description") => None,
            None => old.description.clone(),
        };
        let tags = match self.tags {
            Some(tags) => tags,
            None if clears("tags") => Vec::new(),
            None => old.tags.clone(),
        };
        Ok(Fields {
            title: self.title.unwrap_or_else(|| old.title.clone()),
            description,
            due,
            priority: self.priority.unwrap_or(old.priority),
            tags,
            repeat,
        })
    }

    /// When the task is due, and how it comes again. Without a date there is neither a time nor a rule; a new date keeps both.
    fn schedule(
        &self,
        old: &Fields,
        now: &Now,
    ) -> Result<(Option<Due>, Option<Repeat>), ToolError> {
        let clears = |name| self.clear.contains(&name);
        let kept = old.due.filter(|_| !clears("due_date"));
        let kept_repeat = old
            .repeat
            .clone()
            .filter(|_| kept.is_some() && !clears("repeat"));
        let date = self.date.or(kept.map(|due| due.date));
        let (date, repeat) = match (&self.rule, kept_repeat) {
            (Some(rule), before) => {
                let from = self.from.or(before.map(|before| before.from));
                let repeat =
                    Repeat::begin(rule.clone(), from.unwrap_or_default(), date, now.today());
                let repeat = repeat.map_err(|error| check::no_rule(&error))?;
                (date.or(Some(repeat.start)), Some(repeat))
            }
            (None, Some(before)) => {
                let moved = match self.date {
                    Some(date) if old.due.is_none_or(|due| due.date != date) => before.moved(date),
                    _ => before,
                };
                let from = self.from.unwrap_or(moved.from);
                (date, Some(Repeat { from, ..moved }))
            }
            (None, None) if self.from.is_some() => {
                return Err(check::field(
                    "repeat_from",
                    "repeat_from says from when repeat counts, and the task does not repeat: give repeat, too.",
                ));
            }
            (None, None) => (date, None),
        };
        let time = self.time.or(kept
            .filter(|_| !clears("due_time"))
            .and_then(|due| due.time));
        let today = now.today();
        let Some(date) = date else {
            let needs = |name| {
                let message = format!(
                    "{name} needs a due_date. Today is {}.",
                    calendar::date_in_words(today)
                );
                Err(check::field(name, message))
            };
            return match (time, self.weekday) {
                (Some(_), _) => needs("due_time"),
                (_, Some(_)) => needs("weekday"),
                (None, None) => Ok((None, repeat)),
            };
        };
        if let Some(weekday) = self.weekday {
            calendar::check_weekday(date, weekday).map_err(|wrong| {
                let is = calendar::weekday_name(chrono::Datelike::weekday(&date)).to_lowercase();
                let given = calendar::weekday_name(weekday).to_lowercase();
                let message = format!("{wrong} Nothing was changed: give the date or the weekday that is meant.");
                ToolError::invalid(message).with_details(json!({
                    "field": "weekday", "due_date": date.to_string(), "weekday": given, "weekday_of_due_date": is,
                    "nearest": wrong.nearest().to_string(), "today": today.to_string(),
                }))
            })?;
        }
        Ok((Some(Due { date, time }), repeat))
    }
}

/// The names of the fields that are to be emptied.
fn cleared(call: &UpdateTask) -> Result<Vec<&'static str>, ToolError> {
    let mut names = Vec::new();
    for name in call.clear.iter().flatten() {
        let name = name.trim();
        let known = CLEARABLE.into_iter().find(|known| *known == name);
        names.push(known.ok_or_else(|| {
            ToolError::invalid(format!("clear cannot empty \"{}\".", check::cut(name, 40)))
                .with_details(json!({"field": "clear", "valid": CLEARABLE}))
        })?);
    }
    let given = [
        ("due_date", call.due_date.is_some()),
        ("due_time", call.due_time.is_some()),
        ("description", call.description.is_some()),
        ("tags", call.tags.is_some()),
        ("repeat", call.repeat.is_some()),
    ];
    let both = given
        .into_iter()
        .find(|(name, is_given)| *is_given && names.contains(name));
    match both {
        Some((name, _)) => Err(check::field(
            "clear",
            format!("{name} is both given and to be cleared: do one of the two."),
        )),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests;
