//! The wording of the plain model's answers, in Markdown.

use serde_json::Value;

use super::questions::Question;
use super::tasks::Task;
use crate::model::request::Step;

/// The question that makes the next message an answer to it.
pub(super) const WHICH_ONE: &str = "Which one do you mean by ";

/// How many changes of a kind are told one by one, and how many tasks are named for a choice.
const TOLD: usize = 3;
const CANDIDATES: usize = 10;

pub(super) const HELLO: &str = "Hello! I look after your to-do list. Tell me what you need to do, for example \
    *remind me to call Ann tomorrow at 5*, or ask *what is due today?*";

pub(super) const HELP: &str = "I can look after your to-do list. You can say, for example:\n\n\
    - *buy milk, pay rent on the 1st of every month and water plants every Monday*\n\
    - *what is due this week?*, *what is overdue?* or *what have I done?*\n\
    - *I bought the milk*\n\
    - *move rent to Friday*, *postpone it by a week* or *make it urgent*\n\
    - *rename buy milk to buy oat milk* or *tag milk with home*\n\
    - *delete call Ann*, and *undo* for whatever I did last";

pub(super) const THANKS: &str = "You're welcome! Ask *what is due today?* whenever you like.";

pub(super) const UNKNOWN: &str = "I'm sorry, I'm only a stand-in for a real model and did not understand that. I do understand \
    simple requests such as *add buy milk tomorrow*, *what is left?*, *I bought the milk*, *move milk to Friday* \
    and *delete buy milk*. Say *help* for more.";

/// What came of calls that change tasks, in the tools' words. The page shows the tasks: many are counted.
pub(super) fn done(steps: &[Step]) -> Vec<String> {
    let mut parts = Vec::new();
    for steps in steps.chunk_by(|one, next| one.name == next.name) {
        let good = steps.iter().filter(|step| step.succeeded());
        match (good.clone().count(), steps[0].name.as_str()) {
            (0, _) => {}
            (1..=TOLD, _) => parts.push(good.map(told).collect::<Vec<_>>().join("\n")),
            (many, "add_task") => parts.push(format!("Added {many} tasks.")),
            (many, "delete_task") => parts.push(format!("Deleted {many} tasks.")),
            (many, _) => parts.push(format!("Changed {many} tasks.")),
        }
        parts.extend(steps.iter().filter(|step| !step.succeeded()).map(failed));
    }
    parts
}

/// What a tool said, as far as it is for the user.
fn told(step: &Step) -> String {
    let message = step.answer("message").as_str().unwrap_or("Done.");
    match message.split_once(" For 30 days") {
        Some((deleted, _)) => format!("{deleted} Say *undo* to have it back."),
        None => {
            let told = ["priority", "tags", "clear", "description"].iter();
            let told = told
                .filter(|field| step.name == "update_task" && !step.arguments[**field].is_null());
            let told = told.map(|field| format!(" {field}: {}.", step.arguments[*field]));
            format!(
                "{message}{}",
                told.collect::<String>().replace(['[', ']', '"'], "")
            )
        }
    }
}

/// A tool's failure, in its words.
pub(super) fn failed(step: &Step) -> String {
    let what = quoted(step.arguments["title"].as_str().unwrap_or("that"));
    let reason = step.answer("error")["message"]
        .as_str()
        .unwrap_or("no reason is given.");
    format!("I'm sorry, {what} did not work: {reason}")
}

/// Asks which of several tasks is meant.
pub(super) fn which_one(wanted: &str, lines: &[String]) -> String {
    let lines = lines[..lines.len().min(CANDIDATES)].join("\n");
    format!("{WHICH_ONE}{}?\n\n{lines}", quoted(wanted))
}

pub(super) fn not_found(wanted: &str) -> String {
    let wanted = quoted(wanted);
    format!("I could not find a task like {wanted}. Ask *what is left?* to see your list.")
}

/// The answer to a question about the list.
pub(super) fn list(question: &Question, steps: &[Step]) -> String {
    if let Some(step) = steps.iter().find(|step| !step.succeeded()) {
        return failed(step);
    }
    let Question { kind, about, .. } = question;
    let tasks: Vec<Task> = steps.iter().flat_map(Task::all).collect();
    let total: u64 = steps
        .iter()
        .filter_map(|step| step.answer("total").as_u64())
        .sum();
    let plural = if total == 1 { "" } else { "s" };
    match tasks.len() as u64 {
        0 if *kind == "open " && about.is_empty() => "Nothing is left: your list is clear.".into(),
        0 => format!("You have no {kind}tasks{about}."),
        count => {
            let first = if count < total { ". The first are" } else { "" };
            let lines = tasks.iter().map(line).collect::<Vec<_>>().join("\n");
            format!("You have {total} {kind}task{plural}{about}{first}:\n\n{lines}")
        }
    }
}

/// A task as a line of a list. It begins with the title, so that it is known again.
pub(super) fn line(task: &Task) -> String {
    let value = &task.value;
    let mark = if value["completed"] == true {
        "[x] "
    } else {
        ""
    };
    let mut line = format!("- {mark}{}", task.title());
    if let (Value::String(_), Value::String(due)) = (&value["due_date"], &value["due"]) {
        line.push_str(&format!(" ({due})"));
    }
    if let Some(note) = value["description"].as_str() {
        line.push_str(&format!(": *{note}*"));
    }
    line
}

/// The user's own words, not too many.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("\u{201c}{}\u{2026}\u{201d}", &text[..end]),
        None => format!("\u{201c}{text}\u{201d}"),
    }
}
