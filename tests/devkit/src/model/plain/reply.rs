//! The wording of the plain model's answers, in Markdown.

use serde_json::Value;

use super::{intent::Wish, questions::Question, tasks::Task};
use crate::model::request::Step;

/// The question that makes the next message an answer to it.
pub(super) const WHICH_ONE: &str = "Which one do you mean";
/// What stands between it and the words that raised it.
pub(super) const ASKED_BY: &str = " by ";

/// How many changes are told one by one, and how many tasks are named for a choice.
const NAMED: usize = 3;
const CANDIDATES: usize = 10;

const HELLO: &str = "Hello! I look after your to-do list. Tell me what you need to do, for example \
    *remind me to call Ann tomorrow at 5*, or ask *what is due today?*";

const HELP: &str = "I can look after your to-do list. You can say, for example:\n\n\
    - *buy milk, pay rent on the 1st of every month and water plants every Monday*\n\
    - *what is due this week?*, *what is overdue?* or *what have I done?*\n\
    - *I bought the milk*\n\
    - *move rent to Friday*, *postpone it by a week* or *make it urgent*\n\
    - *rename buy milk to buy oat milk* or *tag milk with home*\n\
    - *delete call Ann*, and *undo* for whatever I did last";

const THANKS: &str = "You're welcome! Ask *what is due today?* whenever you like.";

const UNKNOWN: &str = "I'm sorry, I'm only a stand-in for a real model and did not understand that. I do understand \
    simple requests such as *add buy milk tomorrow*, *what is left?*, *I bought the milk*, *move milk to Friday* \
    and *delete buy milk*. Say *help* for more.";

/// The answer to small talk; `None` for wishes that tools fulfil.
pub(super) fn talk(wish: &Wish) -> Option<&'static str> {
    match wish {
        Wish::Hello => Some(HELLO),
        Wish::Help => Some(HELP),
        Wish::Thanks => Some(THANKS),
        Wish::Unknown => Some(UNKNOWN),
        Wish::Add(_) | Wish::List(_) | Wish::Change(_) | Wish::Undo => None,
    }
}

/// What came of calls that change tasks, each with the task's title as it was. The page shows the tasks: a few are told of, many counted.
pub(super) fn done(steps: &[(Step, String)]) -> String {
    type Steps<'a> = Vec<&'a (Step, String)>;
    let (good, bad): (Steps<'_>, Steps<'_>) = steps.iter().partition(|(step, _)| step.succeeded());
    let is_added = |(step, _): &&(Step, String)| step.name == "add_task";
    let (added, changed): (Steps<'_>, Steps<'_>) = good.into_iter().partition(is_added);
    let mut parts = Vec::new();
    match added.len() {
        0 => {}
        1..=NAMED => {
            let named: Vec<String> = added
                .iter()
                .map(|(step, title)| with_due(title, &result(step)["task"]))
                .collect();
            parts.push(format!("I've added {} to your list.", listed(&named)));
        }
        many => parts.push(format!("I've added {many} tasks to your list.")),
    }
    match changed.len() {
        0..=NAMED => parts.extend(changed.iter().map(|(step, title)| change(step, title))),
        many => parts.push(format!("Done: that were {many} tasks.")),
    }
    let failures = bad
        .iter()
        .map(|(step, title)| failed(&format!("{} **{}**", verb(&step.name), short(title)), step));
    parts.extend(failures);
    parts.join("\n\n")
}

/// One change, as its result tells of it.
fn change(step: &Step, title: &str) -> String {
    let (result, title) = (result(step), short(title));
    let task = &result["task"];
    let now = short(task["title"].as_str().unwrap_or(&title));
    let said = |field: &str| task[field].as_str().unwrap_or_default();
    match step.name.as_str() {
        "complete_task" => match result["message"]
            .as_str()
            .and_then(|message| message.split_once("It comes again: "))
        {
            Some((_, next)) => {
                format!("Well done! **{title}** is ticked off. It comes again: {next}")
            }
            None => format!("Well done! **{title}** is ticked off."),
        },
        "delete_task" => format!("I've deleted **{title}**. Say *undo* to have it back."),
        _ => {
            let arguments = &step.arguments;
            let given = |field: &str| !arguments[field].is_null();
            let clears = |field: &str| {
                arguments["clear"]
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one == field))
            };
            let tags: Vec<String> = task["tags"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|tag| Some(format!("#{}", tag.as_str()?)))
                .collect();
            let facts = [
                (given("restore"), "is back".to_owned()),
                (arguments["completed"] == false, "is open again".to_owned()),
                (given("title"), format!("is the new name of *{title}*")),
                (
                    given("due_date") || given("due_time"),
                    format!("is due {}", said("due")),
                ),
                (given("repeat"), "comes again and again".to_owned()),
                (
                    given("priority"),
                    format!("has priority {}", said("priority")),
                ),
                (given("tags"), format!("has the tags {}", listed(&tags))),
                (given("description"), "has a note".to_owned()),
                (clears("due_date"), "has no date any more".to_owned()),
                (clears("due_time"), "has no time of day any more".to_owned()),
                (
                    clears("repeat") && !clears("due_date"),
                    "does not repeat any more".to_owned(),
                ),
                (clears("tags"), "has no tags any more".to_owned()),
                (clears("description"), "has no note any more".to_owned()),
            ];
            let facts: Vec<String> = facts
                .into_iter()
                .filter_map(|(is_so, fact)| is_so.then_some(fact))
                .collect();
            format!("**{now}** {}.", listed(&facts))
        }
    }
}

fn verb(tool: &str) -> &'static str {
    match tool {
        "add_task" => "add",
        "delete_task" => "delete",
        "complete_task" => "complete",
        _ => "change",
    }
}

/// A tool's failure, in the tool's words.
pub(super) fn failed(what: &str, step: &Step) -> String {
    let result = result(step);
    let message = result["error"]["message"]
        .as_str()
        .or(result["error"].as_str());
    match message.or(result["message"].as_str()).or(result.as_str()) {
        Some(reason) => format!("I'm sorry, I could not {what}: {reason}"),
        None => format!("I'm sorry, I could not {what}."),
    }
}

/// Asks which of several tasks is meant.
pub(super) fn which_one(asked_by: &str, tasks: &[Task]) -> String {
    let lines: Vec<String> = tasks
        .iter()
        .take(CANDIDATES)
        .map(|task| line(task, false))
        .collect();
    let more = if tasks.len() > CANDIDATES {
        "\n\nAnd there are more."
    } else {
        ""
    };
    format!("{WHICH_ONE}{asked_by}?\n\n{}{more}", lines.join("\n"))
}

/// Says that no task fits, and which there are.
pub(super) fn not_found(target: &str, tasks: &[Task]) -> String {
    let sorry = format!(
        "I could not find a task like \u{201c}{}\u{201d}.",
        short(target)
    );
    let lines: Vec<String> = tasks.iter().map(|task| line(task, false)).collect();
    match lines.len() {
        0 => format!("{sorry} There is nothing open on your list."),
        1..=CANDIDATES => format!("{sorry} These are open:\n\n{}", lines.join("\n")),
        many => format!("{sorry} You have {many} open tasks; ask *what is left?* to see them."),
    }
}

/// The answer to a question about the list.
pub(super) fn list(question: &Question, steps: &[Step]) -> String {
    if let Some(step) = steps.iter().find(|step| !step.succeeded()) {
        return failed("read your list", step);
    }
    let Question { kind, about, .. } = question;
    let tasks: Vec<Task> = steps
        .iter()
        .flat_map(|step| Task::all(&result(step)))
        .collect();
    let total: usize = steps
        .iter()
        .map(|step| {
            result(step)["total"]
                .as_u64()
                .map_or(0, |total| total as usize)
        })
        .sum();
    match tasks.len() {
        0 if about.is_empty() && *kind == "open " => {
            return "Nothing is left: your list is clear.".to_owned();
        }
        0 => return format!("You have no {kind}tasks{about}."),
        _ => {}
    }
    let lines: Vec<String> = tasks
        .iter()
        .map(|task| line(task, kind.is_empty()))
        .collect();
    let total = total.max(tasks.len());
    let plural = if total == 1 { "" } else { "s" };
    let first = if total > tasks.len() {
        format!(". The first {}", tasks.len())
    } else {
        String::new()
    };
    format!(
        "You have {total} {kind}task{plural}{about}{first}:\n\n{}",
        lines.join("\n")
    )
}

/// A task as an item of a list: it begins with the title, so that it is known again.
fn line(task: &Task, is_boxed: bool) -> String {
    let mark = match (is_boxed, task.value["completed"] == true) {
        (false, _) => "",
        (true, true) => "[x] ",
        (true, false) => "[ ] ",
    };
    let note = match task.value["description"].as_str() {
        None | Some("") => String::new(),
        Some(note) => format!(": *{}*", short(note)),
    };
    let due = match (&task.value["due_date"], task.value["due"].as_str()) {
        (Value::String(_), Some(due)) => format!(" ({due})"),
        _ => String::new(),
    };
    format!("- {mark}{}{due}{note}", task.title())
}

fn with_due(title: &str, task: &Value) -> String {
    let title = short(title);
    match task["due"].as_str() {
        Some(due) if task["due_date"].is_string() => format!("**{title}** ({due})"),
        _ => format!("**{title}**"),
    }
}

fn result(step: &Step) -> Value {
    step.result.clone().unwrap_or_default()
}

/// "a, b and c".
fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text.to_owned(),
    }
}
