//! The wording of the plain model's answers, in Markdown.

use super::questions::Question;
use super::tasks::Task;
use crate::model::request::Step;

/// The question that makes the next message an answer to it.
pub(super) const WHICH_ONE: &str = "Which one do you mean by ";

/// How many tasks are named for a choice.
const CANDIDATES: usize = 10;

pub(super) const HELLO: &str = "Hello! I look after your to-do list. Tell me what you need to do, for example \
    *remind me to call Ann tomorrow at 5*, or ask *what is due today?*";

pub(super) const HELP: &str = "I can look after your to-do list. You can say, for example:\n\n\
    - *buy milk, pay rent on the 1st of every month and water plants every Monday*\n\
    - *what is due this week?*, *what is overdue?* or *what have I done?*\n\
    - *I bought the milk*\n\
    - *move rent to Friday*, *postpone it by a week* or *make it urgent*\n\
    - *rename buy milk to buy oat milk*\n\
    - *delete call Ann*, and *undo* for what I added, ticked off or deleted last";

pub(super) const THANKS: &str = "You're welcome! Ask *what is due today?* whenever you like.";

pub(super) const UNKNOWN: &str = "I'm sorry, I'm only a stand-in for a real model and did not understand that. I do understand \
    simple requests such as *add buy milk tomorrow*, *what is left?*, *I bought the milk*, *move milk to Friday* \
    and *delete buy milk*. Say *help* for more.";

pub(super) const NO_UNDO: &str =
    "There is nothing to take back: I can undo what I added, ticked off or deleted last.";

pub(super) const TOO_MANY: &str = "That is much at once: I did the first hundred.";

/// What came of calls that change tasks, in the tools' words. The page shows the tasks: many are counted.
pub(super) fn done(steps: &[Step]) -> Vec<String> {
    let (good, bad): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(|step| step.succeeded());
    let done = match good.first().map(|step| step.name.as_str()) {
        Some("add_task") => "Added",
        Some("delete_task") => "Deleted",
        _ => "Changed",
    };
    let done = match good.len() {
        0..4 => good.into_iter().map(told).collect::<Vec<_>>().join("\n"),
        many => format!("{done} {many} tasks."),
    };
    let bad = bad.into_iter().map(failed);
    let all = std::iter::once(done).chain(bad);
    all.filter(|part| !part.is_empty()).collect()
}

/// What a tool said, as far as it is for the user.
fn told(step: &Step) -> String {
    let message = step.answer("message").as_str().unwrap_or("Done.");
    match message.split_once(" For 30 days") {
        Some((deleted, _)) => format!("{deleted} Say *undo* to have it back."),
        None => message.to_owned(),
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
pub(super) fn which_one(wanted: &str, tasks: &[Task]) -> String {
    let lines: Vec<String> = tasks.iter().take(CANDIDATES).map(line).collect();
    format!("{WHICH_ONE}{}?\n\n{}", quoted(wanted), lines.join("\n"))
}

pub(super) fn not_found(wanted: &str) -> String {
    let wanted = quoted(wanted);
    format!("I could not find a task like {wanted}. Ask *what is left?* to see your list.")
}

/// The answer to a question about the list.
pub(super) fn list(question: &Question, step: &Step) -> String {
    if !step.succeeded() {
        return failed(step);
    }
    let tasks = Task::listed(step);
    let lines: Vec<String> = tasks.iter().map(line).collect();
    let (told, lines) = (&question.told, lines.join("\n"));
    match step.answer("total").as_u64().unwrap_or(tasks.len() as u64) {
        0 => format!("No task is {told}."),
        1 => format!("One task is {told}:\n\n{lines}"),
        total if total > tasks.len() as u64 => {
            format!("{total} tasks are {told}, first these:\n\n{lines}")
        }
        total => format!("{total} tasks are {told}:\n\n{lines}"),
    }
}

/// A task as a line of a list.
fn line(task: &Task) -> String {
    match task.value["due"].as_str() {
        Some(due) => format!("- {} ({due})", task.title()),
        None => format!("- {}", task.title()),
    }
}

/// The user's own words, not too many.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("\u{201c}{}\u{2026}\u{201d}", &text[..end]),
        None => format!("\u{201c}{text}\u{201d}"),
    }
}
